/* Memory's and sessions' insides, for core/run and tests. */
#ifndef BUR_RUN_SESSION_H
#define BUR_RUN_SESSION_H

#include "device.h"
#include "../plan/plan.h"

/* One region of a run. */
typedef struct bur_region_memory {
    bur_device *device;
    bur_buffer **chunks; /* in a region that grows NULL until it is needed */
    size_t *sizes;       /* of chunks */
    bool grows;
    int32_t n_chunks;
    size_t chunk_bytes; /* how far apart they begin in a plan's offsets; 0: there is but one */
} bur_region_memory;

struct bur_memory {
    bur_context *context;
    bur_device *device;
    bur_region_memory regions[BUR_REGION_COUNT];
};

/* Fits the regions to other plans of the recipe that the memory was made for; what is persistent is
 * kept. What was bound before may still read and write state tensors, but not run. The arena is
 * given back before anything is taken; the persistent region, if it changes its size, is there
 * twice for a moment. BUR_E_UNSUPPORTED, with nothing changed, for a device whose memory the host
 * does not map; BUR_E_BUDGET, BUR_E_NOMEM: the state is kept, but there is no arena. */
bur_status bur__memory_replan(bur_memory *memory, const bur_plan *const *plans, int32_t count);
/* Gives the arena back before there are other plans, of a memory that can be replanned. */
void bur__memory_give_back(bur_memory *memory);

/* A run of commands on one device, or one copy. */
typedef struct bur_segment {
    bur_plan_step_kind kind;
    bool update;
    bur_device *device;   /* of a run */
    int32_t first, count; /* of a run: commands */
    bur_place from, to;   /* of a copy: device and host, or the other way */
    size_t bytes;
} bur_segment;

struct bur_session {
    bur_context *context;
    bur_memory *memory;
    const bur_plan *plan;
    bur_command **commands;
    const bur_backend **command_backends;
    int32_t *command_nodes;
    int32_t n_commands;
    int32_t n_bound; /* of the plan's steps; over memory that grows the first step binds them */
    bur_segment *segments;
    int32_t n_segments;
    bur_state_tensor *states;
    int32_t *state_values;
    int32_t n_states;
};

/* Makes the piece of a region that holds this offset, zeroed, if it is not there yet. */
bur_status bur__memory_need(bur_memory *memory, bur_region region, size_t offset);

/* Makes the commands; in memory that grows they come with the first step. */
bur_status bur__session_bind(bur_session *session);
/* Destroys them; state can still be read and written. */
void bur__session_unbind(bur_session *session);

/* Where a value or buffer of the plan lies in the memory; its buffer is NULL in memory that grows
 * and has not come so far. */
bur_place bur__session_place(const bur_session *session, int32_t buffer);

/* Rows of a profile before those of the commands: what the host does. */
enum { BUR__PROFILE_HOST_ROWS = 3 };

/* Runs a segment that is a copy. */
bur_status bur__session_copy(const bur_session *session, const bur_segment *segment);

/* What comes before the accumulate list: the scalars. */
bur_status bur__session_begin(bur_session *session, const bur_scalars *scalars);

/* As bur_session_calibrate; of_classes: what is kept tells of the kernels' classes alone, and
 * stands for no call. */
bur_status bur__session_calibrate(bur_session *session, const void *x, const void *target,
                                  const bur_scalars *scalars, int64_t parts, int32_t runs,
                                  bool of_classes);

/* Sets the sum of all results (see bur_session_read_totals). */
bur_status bur__session_write_totals(bur_session *session, const float *totals);

/* The address of a state tensor in host memory; NULL if the backend does not map its buffers. */
const char *bur__session_map_state(const bur_session *session, int32_t index);

#endif
