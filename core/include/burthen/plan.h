/**
 * burthen/plan.h: what a graph needs in bytes, before anything is allocated.
 *
 * The plan is the allocator, stopped before it allocates: a session takes its offsets from it.
 */
#ifndef BURTHEN_PLAN_H
#define BURTHEN_PLAN_H

#include <burthen/backend.h>
#include <burthen/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What bytes are for. */
#define BUR_BYTE_CLASS_MAP(X)                                                                      \
    X(PARAMETERS, "parameters")                                                                    \
    X(GRADIENTS, "gradients")                                                                      \
    X(OPTIMIZER, "optimizer")                                                                      \
    X(ACTIVATIONS, "activations")                                                                  \
    X(WORKSPACE, "workspace")                                                                      \
    X(LOADER, "loader")                                                                            \
    X(DATASET, "dataset")                                                                          \
    X(CHECKPOINT, "checkpoint")                                                                    \
    X(RUNTIME, "runtime")

typedef enum bur_byte_class {
#define BUR_BYTE_CLASS_ENUM(name, text) BUR_BYTES_##name,
    BUR_BYTE_CLASS_MAP(BUR_BYTE_CLASS_ENUM)
#undef BUR_BYTE_CLASS_ENUM
        BUR_BYTE_CLASS_COUNT
} bur_byte_class;

BUR_API const char *bur_byte_class_name(bur_byte_class byte_class);

/** How hard offsets are searched for. Both count comparisons, not time: plans repeat. */
typedef enum bur_placement_effort {
    BUR_PLACEMENT_QUICK,      /* milliseconds: within a thousandth of the bound as a rule */
    BUR_PLACEMENT_EXHAUSTIVE, /* seconds if need be, to the bound itself where it can be reached */
} bur_placement_effort;

/** Where a graph is to run: a backend, one of its devices (present or described), compute threads,
 * and how hard its arena is packed. */
typedef struct bur_target {
    const bur_backend *backend;
    const bur_device_info *info;
    int32_t threads;
    bur_placement_effort placement;
    /* The persistent region and the arena come in pieces of at most so much; 0: as large as the
     * device allocates. */
    size_t persistent_chunk_bytes, arena_chunk_bytes;
} bur_target;

typedef struct bur_plan_summary {
    size_t arena_bytes;       /* of the device: everything with a lifetime within the step */
    size_t lower_bound_bytes; /* largest sum of live aligned bytes: no arena can be smaller */
    size_t
        persistent_bytes; /* of the device: parameters, optimizer state, kept gradients, scalars */
    size_t host_bytes;    /* host arena of nodes that fall back to the CPU, 0 if none */
    size_t total_bytes;   /* the sum of the three regions */
    size_t bytes[BUR_BYTE_CLASS_COUNT]; /* live at the peak; they sum to total_bytes */
    size_t code_bytes; /* host memory that the device's kernels take once they are built, estimated;
                          not in total_bytes */
    int32_t steps;     /* commands in a step, copies included */
    int32_t fallback_nodes; /* nodes that run on the CPU */
} bur_plan_summary;

typedef struct bur_plan bur_plan;

/** Plans `graph` for `target`. Nodes the target does not support go to `fallback` (NULL:
 * BUR_E_UNSUPPORTED with operator and reason). BUR_E_BUDGET if one tensor exceeds the largest
 * allocation of the device. The graph must outlive the plan. */
BUR_API bur_status bur_plan_create(bur_plan **out, const bur_graph *graph, const bur_target *target,
                                   const bur_target *fallback);
BUR_API void bur_plan_destroy(bur_plan *plan);
BUR_API const bur_plan_summary *bur_plan_get_summary(const bur_plan *plan);
/** The operator of the i-th node that falls back to the CPU, and why. */
BUR_API const char *bur_plan_fallback(const bur_plan *plan, int32_t index, const char **reason);

/** Into how many equal parts a training batch of options->batch samples is best split for speed:
 * the fewest whose step stays in the device's cache. Convolutions and pools are then not held up by
 * memory (cnn, batch 256, two Zen 5 cores: 10,090 samples/s in 8 parts, 7,100 in one). 1 where an
 * operator needs the whole batch (batch normalisation), the device tells no cache size, no part of
 * at least 16 samples fits, or the parameters, which each part goes through anew, take more than an
 * eighth of what is counted on of the cache. The parts' gradients add up to the batch's
 * (bur_graph_options.accumulate). Makes a plan for each number it looks at; allocates nothing on
 * the device. */
BUR_API bur_status bur_plan_choose_parts(int64_t *out, const bur_recipe *recipe,
                                         const bur_graph_options *options, const bur_target *target,
                                         const bur_target *fallback);

/* ---- seconds ---- */

/** The least seconds that such a cost takes within the limits: the longer of arithmetic and memory
 * traffic, whose limit is that of the caches if its bytes fit there (roofline: Williams, Waterman
 * and Patterson, 2009). */
BUR_API double bur_limits_least_s(const bur_limits *limits, bur_cost cost);

/** Times of calls on one device, as they were measured. */
typedef struct bur_calibration bur_calibration;

/** One call and what it took. `key` stands for operator, attributes, dtypes and all shapes,
 * `family` for the same without every tensor's first dimension, which is where batches differ;
 * `variant` for the class of kernels that such a call takes: convolutions are of any size, of
 * single pixels, of single channels (depthwise, groups) or of few (a photograph's colours). */
typedef struct bur_call_time {
    uint64_t key, family;
    int32_t op, variant;
    bur_cost cost;
    double far_bytes; /* of the cost's: touched so long before that no cache has them any more */
    double seconds;
} bur_call_time;

/** Knows nothing yet but the limits (all 0: not even these); yours to destroy. */
BUR_API bur_status bur_calibration_create(bur_calibration **out, bur_context *context,
                                          const bur_limits *limits);
BUR_API void bur_calibration_destroy(bur_calibration *calibration);
/** A call that took so many seconds; a later time of the same call takes the place of the first. */
BUR_API bur_status bur_calibration_add(bur_calibration *calibration, const bur_call_time *time);
/** As if all its operands were near: far_bytes is 0. */
BUR_API bur_call_time bur_call_time_of(const bur_call *call, double seconds);
BUR_API int32_t bur_calibration_count(const bur_calibration *calibration);
BUR_API const bur_call_time *bur_calibration_at(const bur_calibration *calibration, int32_t index);

/** What a step of a plan will take. A call that was measured takes what it took; one that differs
 * from a measured one in the batch, as much in proportion to its time at the limits, which is its
 * arithmetic's, and its bytes' from the caches or, of those that a step finds in none, from memory;
 * any other its time at the limits over the share of them that its class of kernels reached, else
 * kernels that are bound by the same limit, else all.
 * Nothing is known without limits or times: known is false then. */
typedef struct bur_step_time {
    bool known;
    double accumulate_s;   /* forward and backward of one (micro-)batch */
    double update_s;       /* the optimizer, once for each update */
    double measured_share; /* of these seconds: of calls that were measured just so */
} bur_step_time;
BUR_API bur_step_time bur_plan_step_time(const bur_plan *plan, const bur_calibration *calibration);

/** Host memory: what there is and what may be used. Bytes. */
typedef struct bur_host_memory {
    uint64_t total_bytes; /* MemTotal, or the smallest memory limit above this process if less */
    uint64_t available_bytes; /* MemAvailable, or what the tightest cgroup (v1 or v2) leaves */
    uint64_t limit_bytes;     /* smallest cgroup limit above this process; 0 if there is none */
    uint64_t ram_bytes, ram_available_bytes; /* MemTotal and MemAvailable, whatever the limits */
    uint64_t left_bytes;   /* of the tightest cgroup; file pages are free if they are clean and not
                              a running program's; UINT64_MAX: no limit */
    uint64_t mapped_bytes; /* those of running programs that this cgroup is charged for */
    uint64_t resident_bytes;      /* this process now */
    uint64_t resident_file_bytes; /* of them: pages of files */
    uint64_t peak_bytes;          /* this process's most since bur_host_memory_reset_peak (VmHWM) */
    double used_percent;    /* (total - available) / total, as psutil's virtual_memory() has it */
    double stalled_percent; /* of the last 10 s: everything in its cgroup (v2), else on the machine,
                               waited for memory; 0 where the kernel does not tell (PSI) */
} bur_host_memory;

BUR_API bur_status bur_host_memory_read(bur_host_memory *out);
/** Restarts peak_bytes at the present size (Linux >= 4.0); silently nothing where that is denied.
 */
BUR_API void bur_host_memory_reset_peak(void);

/** What to leave for others of `total_bytes`: max(512 MiB, 5%), at most a quarter. */
BUR_API uint64_t bur_host_reserve_bytes(uint64_t total_bytes);

/** Bytes that this process may yet take: the RAM that is available less the reserve, since others
 * take from it too, or all that a cgroup leaves, which is this process's to use up, but for the
 * 512th part that page tables take, which count there. *by_limit: a cgroup binds. */
BUR_API uint64_t bur_host_free_bytes(const bur_host_memory *memory, uint64_t reserve_bytes,
                                     bool *by_limit);

#ifdef __cplusplus
}
#endif
#endif
