/**
 * burthen/run.h: devices, the memory of a run, sessions, and eager calls.
 */
#ifndef BURTHEN_RUN_H
#define BURTHEN_RUN_H

#include <burthen/plan.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- devices ---- */

typedef struct bur_device bur_device;

/** Adds a backend to the context, besides the built-in ones (for tests and other authors). */
BUR_API bur_status bur_context_add_backend(bur_context *context, const bur_backend *backend);

/** Lists the devices of every backend, the CPU first; *out is the context's, until the next call.
 * Drivers are asked in a child process with a time limit, so that a broken one cannot hurt the
 * caller. *note names platforms without a device or with a broken driver, "" if nothing is to tell.
 * A machine with the CPU alone is normal, not an error. */
BUR_API bur_status bur_device_list(bur_context *context, const bur_device_info **out,
                                   int32_t *count, const char **note);

/** Opens a device by name: "cpu", "auto", "cl:0", "cl:1.0" (platform.device), or part of a
 * description: "cl:radeon". The context owns it; a second call gives the same. BUR_E_DEVICE names
 * the devices there are. "auto" is the device of the highest training speed (bur_device_speeds);
 * what is not known yet is measured, unless there is no choice. An answer of "cpu" is kept: until
 * the installed drivers change, no driver is asked for it again. */
BUR_API bur_status bur_device_open(bur_device **out, bur_context *context, const char *name);

BUR_API const bur_device_info *bur_device_describe(const bur_device *device);
BUR_API bur_context *bur_device_context(const bur_device *device);
BUR_API bur_target bur_device_target(const bur_device *device);
/** Bytes in the device's buffers now, and the most there ever were. */
BUR_API size_t bur_device_live_bytes(const bur_device *device);
BUR_API size_t bur_device_peak_bytes(const bur_device *device);

/** Measures what the device can do at most; takes below two seconds, keeps nothing.
 * BUR_E_UNSUPPORTED if its backend does not offer that. */
BUR_API bur_status bur_device_measure_limits(bur_device *device, bur_limits *out);

/** How fast a device was when it was last measured; all 0 if it never was or failed. */
typedef struct bur_device_speed {
    bur_limits limits;          /* measured by bur_device_speeds(anew) alone */
    double train_samples_per_s; /* of a small convolutional network: what "auto" compares */
    bool is_auto;               /* what "auto" opens by these figures; none if it has to measure */
    char note[BUR_TEXT_BYTES];  /* why it could not be measured, "" if it was */
} bur_device_speed;

/** The speeds of the devices of bur_device_list, in its order; *out is the context's, until the
 * next call. Each is measured in a child process with a time limit (the CPU, which has no driver,
 * and drivers that this process has loaded, in this one) and kept in the user's cache until the
 * device, its driver, the threads or this library's version change; `anew` measures what is kept,
 * too, and the limits. A device that hangs or crashes is a speed of 0 with a note, also kept. */
BUR_API bur_status bur_device_speeds(bur_context *context, bool anew, const bur_device_speed **out,
                                     int32_t *count);
/** The same from the cache alone: nothing is measured. */
BUR_API bur_status bur_device_speeds_kept(bur_context *context, const bur_device_speed **out,
                                          int32_t *count);

/** What is known of the times of this device's kernels: the limits that were measured last, and
 * what bur_session_calibrate kept in the user's cache. The device's, until it is closed. */
BUR_API bur_status bur_device_calibration(const bur_calibration **out, bur_device *device);

/* ---- memory and sessions ---- */

/** Persistent region and arena for sessions over the same parameters: the largest of what the plans
 * ask for, committed at once, so that running out of memory is an answer here and not later.
 * BUR_E_NOMEM, BUR_E_LOST. */
typedef struct bur_memory bur_memory;
BUR_API bur_status bur_memory_create(bur_memory **out, bur_device *device,
                                     const bur_plan *const *plans, int32_t count);
/** The same memory taken piece by piece (the chunks of their targets), each when something is
 * written to it or a session's first step comes to a kernel that uses it: it begins with nothing,
 * never shrinks, and ends with what the plans ask for. Running out is an answer of the first step
 * then. */
BUR_API bur_status bur_memory_create_growing(bur_memory **out, bur_device *device,
                                             const bur_plan *const *plans, int32_t count);
BUR_API void bur_memory_destroy(bur_memory *memory);

/** A plan bound to memory. Sessions over one memory share parameters and arena, so only one of them
 * is in a step at a time. Plan and memory must outlive the session. */
typedef struct bur_session bur_session;
BUR_API bur_status bur_session_create(bur_session **out, bur_memory *memory, const bur_plan *plan);
BUR_API void bur_session_destroy(bur_session *session);

/** Writes the batch: x is the recipe's first input, target the labels (i32[N]) or values; target
 * may be NULL in predict mode. Sizes are the graph's. */
BUR_API bur_status bur_session_write_batch(bur_session *session, const void *x, const void *target);

/** accumulate: forward, loss and backward of the batch last written (forward and loss, or forward
 * alone, in the other modes). update: the optimizer. step: both. `scalars` are written first; the
 * accumulating sessions' gradients begin anew when scalars->first_sample is 0. With early_update
 * accumulate does both and update finds nothing to do.
 * May return before the device is done. BUR_E_LOST if it failed. */
BUR_API bur_status bur_session_accumulate(bur_session *session, const bur_scalars *scalars);
BUR_API bur_status bur_session_update(bur_session *session);
BUR_API bur_status bur_session_step(bur_session *session, const bur_scalars *scalars);

/** A whole step on `parts` batches of the session's size that lie one after the other in x and
 * target: each is written and accumulated, then one update. Above 1 the graph must accumulate
 * (BUR_E_ARG). */
BUR_API bur_status bur_session_step_parts(bur_session *session, const void *x, const void *target,
                                          const bur_scalars *scalars, int64_t parts);

/** The last batch's result, and the sum of all results since bur_session_clear_totals (shared by
 * the memory's sessions). f32[BUR_RESULT_WORDS]. Both wait for the device. */
BUR_API bur_status bur_session_read_result(bur_session *session, float *result);
BUR_API bur_status bur_session_read_totals(bur_session *session, float *totals);
BUR_API bur_status bur_session_clear_totals(bur_session *session);
/** The model's output of the batch last run (evaluate without fusion, predict). */
BUR_API bur_status bur_session_read_output(bur_session *session, void *y, size_t bytes);

/** The tensors that outlive a step: parameters in the recipe's order, then their averages (with an
 * optimizer's ema), then optimizer state. */
enum { BUR_SLOT_PARAMETER = -1, BUR_SLOT_AVERAGE = -2 };
typedef struct bur_state_tensor {
    const char *name; /* "dense1.weight", "ema.dense1.weight", "adam.m.dense1.weight" */
    bur_desc desc;
    int32_t parameter; /* index in the recipe */
    int32_t slot;      /* the optimizer's slot, or one of the above */
    float initial;     /* of a slot: where it starts */
} bur_state_tensor;

BUR_API int32_t bur_session_state_count(const bur_session *session);
BUR_API const bur_state_tensor *bur_session_state_at(const bur_session *session, int32_t index);
BUR_API bur_status bur_session_read_state(bur_session *session, int32_t index, void *data);
BUR_API bur_status bur_session_write_state(bur_session *session, int32_t index, const void *data);
/** Writes zeros into a state tensor. Memory that has not grown so far need not: it comes zeroed. */
BUR_API bur_status bur_session_clear_state(bur_session *session, int32_t index);
/** A parameter's gradient after accumulate, before another step overwrites it. BUR_E_STATE where
 * the optimizer took it (bur_graph_options.early_update). */
BUR_API bur_status bur_session_read_gradient(bur_session *session, int32_t parameter, void *data);

/** One row of a profile: a command of the step, or what the host does for it. */
typedef struct bur_profile_row {
    bur_op op;          /* BUR_OP_COUNT: the host */
    const char *layer;  /* recipe layer, "" for the optimizer and the host */
    const char *kernel; /* what carried it out: "oneDNN brg:avx512", "write the batch" */
    int64_t ns;         /* of all its runs in a step, the median over the steps */
    int64_t runs;       /* in a step */
    bur_cost cost;      /* of one run */
} bur_profile_row;

/** Runs `runs` steps (bur_session_step_parts) whole and as many with each command timed, in turn:
 * write the batch, step, read the result. rows[] of capacity (bur_session_profile_rows is enough):
 * the median of each part; *count rows were filled. *step_ns: the median of the whole, untimed
 * steps, so that the sum of the rows tells how much of it they account for. Parameters change as in
 * as many steps. */
BUR_API bur_status bur_session_profile(bur_session *session, const void *x, const void *target,
                                       const bur_scalars *scalars, int64_t parts, int32_t runs,
                                       bur_profile_row *rows, int32_t capacity, int32_t *count,
                                       int64_t *step_ns);
BUR_API int32_t bur_session_profile_rows(const bur_session *session);

/** Profiles `runs` steps (as bur_session_profile) and keeps the time of each kernel, for the plans
 * of this device's next sessions, in this process and in later ones. A cache that cannot be written
 * is no error. */
BUR_API bur_status bur_session_calibrate(bur_session *session, const void *x, const void *target,
                                         const bur_scalars *scalars, int64_t parts, int32_t runs);

/* ---- eager calls ---- */

/** A tensor on a device, in plain layout; for library users and small numeric programs. */
typedef struct bur_array bur_array;

/** Creates an array with the contents of `data` (zero if NULL); yours to destroy. */
BUR_API bur_status bur_array_create(bur_array **out, bur_device *device, bur_dtype dtype,
                                    const bur_shape *shape, const void *data);
BUR_API void bur_array_destroy(bur_array *array);
BUR_API const bur_desc *bur_array_desc(const bur_array *array);
/** Copies all of the array; `bytes` must be its size (BUR_E_ARG). */
BUR_API bur_status bur_array_read(bur_array *array, void *data, size_t bytes);
BUR_API bur_status bur_array_write(bur_array *array, const void *data, size_t bytes);

/** Runs one operator on a device through the same rows and kernels as a session: shapes by the
 * row's rule, outputs[0..n_outputs) created and yours. `attr` may be NULL. An operator the device
 * lacks is BUR_E_UNSUPPORTED with its reason. Updating operators (sgd, ...) change their inputs. */
BUR_API bur_status bur_run(bur_device *device, bur_op op, const bur_attr *attr,
                           bur_array *const *inputs, int32_t n_inputs, bur_array **outputs,
                           int32_t n_outputs);

#ifdef __cplusplus
}
#endif
#endif
