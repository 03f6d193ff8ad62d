/* A plan's insides, for core/plan and core/run. */
#ifndef BUR_PLAN_PLAN_H
#define BUR_PLAN_PLAN_H

#include "../graph/graph.h"
#include <burthen/plan.h>

typedef enum bur_region {
    BUR_REGION_PERSISTENT, /* device: what outlives a step */
    BUR_REGION_ARENA,      /* device: what lives within one */
    BUR_REGION_HOST,       /* host: copies for nodes that fall back to the CPU */
    BUR_REGION_COUNT
} bur_region;

/* A piece of a region. Values that share memory share a buffer; scratch has one of its own. */
typedef struct bur_plan_buffer {
    bur_region region;
    bur_byte_class byte_class;
    size_t bytes;
    size_t offset; /* in the region's address space; chunk = offset / chunk_bytes */
    int32_t first, last;
} bur_plan_buffer;

typedef enum bur_plan_step_kind {
    BUR_STEP_RUN,
    BUR_STEP_TO_HOST,
    BUR_STEP_TO_DEVICE
} bur_plan_step_kind;

typedef struct bur_plan_step {
    bur_plan_step_kind kind;
    int32_t node;
    int32_t value;   /* of copies */
    int32_t scratch; /* buffer of a run, -1 */
    bool on_host;    /* a run on the fallback */
    bool update;     /* belongs to the update list */
} bur_plan_step;

typedef struct bur_plan_fallback_node {
    int32_t node;
    char reason[BUR_TEXT_BYTES];
} bur_plan_fallback_node;

struct bur_plan {
    bur_context *context;
    const bur_graph *graph;
    bur_target target, fallback;
    size_t guard_bytes; /* kept free before and behind every buffer, for tests */
    bur_plan_buffer *buffers;
    bur_plan_step *steps;
    bur_plan_fallback_node *fallbacks;
    int32_t n_buffers, n_steps, n_fallbacks;
    int32_t buffer_room, step_room, fallback_room;
    int32_t *device_buffer;                /* of each value: its buffer on the device, -1 */
    int32_t *host_buffer;                  /* of each value: its copy on the host, -1 */
    size_t region_bytes[BUR_REGION_COUNT]; /* the sum of its chunks */
    /* How far apart chunks begin in the region's address space, none being larger; 0: there is but
     * one. */
    size_t chunk_bytes[BUR_REGION_COUNT];
    size_t *chunk_sizes[BUR_REGION_COUNT]; /* of each: as far as it is filled */
    int32_t n_chunks[BUR_REGION_COUNT];
    bur_plan_summary summary;
};

/* As bur_plan_create, with guard bytes around every buffer. */
bur_status bur__plan_create(bur_plan **out, const bur_graph *graph, const bur_target *target,
                            const bur_target *fallback, size_t guard_bytes);

/* The bytes of a region's largest buffer, aligned: what a chunk of it must hold. */
size_t bur__plan_largest_buffer(const bur_plan *plan, bur_region region);

/* A region that all these plans fit into: how many chunks, the size of each, and their sum. */
int32_t bur__plan_count_chunks(const bur_plan *const *plans, int32_t count, bur_region region);
size_t bur__plan_chunk_size(const bur_plan *const *plans, int32_t count, bur_region region,
                            int32_t chunk);
size_t bur__plan_shared_bytes(const bur_plan *const *plans, int32_t count, bur_region region);

/* Of each node's least traffic the bytes that no cache holds any more when a step of the plan comes
 * to them: since they were last touched, more was moved than the device's caches hold. *out is for
 * every node of the graph, and yours to free. Nodes on the host and devices that tell no cache
 * size: 0. BUR_E_NOMEM. */
bur_status bur__plan_far_bytes(double **out, const bur_plan *plan);

/* The same time as a word on the class of its kernel alone: it stands for no call. */
bur_call_time bur__call_time_of_class(const bur_call_time *time);

#endif
