/* Devices as users open them, and single steps of training on them. Everything here fails the
 * running test on error. */
#ifndef BUR_TESTS_SUPPORT_RUN_H
#define BUR_TESTS_SUPPORT_RUN_H

#include <burthen/train.h>

enum { TEST_MAX_RUN_DEVICES = 8 };

/* N of BURTHEN_LONG_FRACTION=N, by which long tests are shortened; 1 without it. */
int32_t test_long_fraction(void);

/* Opens "cpu" and every device that BURTHEN_TEST_DEVICES expects; fails if one is missing. The
 * context owns them. Returns how many. */
int32_t test_run_devices(bur_device *devices[TEST_MAX_RUN_DEVICES], bur_context *context);

/* Opens the CPU's portable kernels, a device for each instruction set that runs here. Returns how
 * many. */
int32_t test_run_portable(bur_device *devices[TEST_MAX_RUN_DEVICES], bur_context *context);

/* Adds the reference backend to the context and opens its device. */
bur_device *test_run_reference(bur_context *context);

/* "cl:0 (llvmpipe ...)". Borrowed until the next call. */
const char *test_run_label(const bur_device *device);

/* A graph planned and bound on one device. */
typedef struct test_run {
    bur_device *device;
    bur_optimizer optimizer;
    int64_t batch;
    uint64_t seed;
    bur_graph *graph;
    bur_plan *plan;
    bur_memory *memory;
    bur_session *session;
    float *x; /* one batch */
    void *target;
} test_run;

/* A session of a graph with these options, its state not yet written, without room for a batch. */
void test_run_open(test_run *out, bur_device *device, bur_device *fallback,
                   const bur_recipe *recipe, const bur_graph_options *options);
/* A training session at start values from `seed`; the loss follows from the data. `fallback` may be
 * NULL. */
void test_run_create(test_run *out, bur_device *device, bur_device *fallback,
                     const bur_recipe *recipe, const bur_dataset *data, int64_t batch,
                     const bur_optimizer *optimizer, uint64_t seed);
void test_run_destroy(test_run *run);

/* The scalars of step `step` (from 0) over `samples` samples, from the optimizer's definition. */
bur_scalars test_run_scalars(const bur_optimizer *optimizer, uint64_t seed, int64_t step,
                             int64_t samples);

/* Batch number `step` of the data in order, from the start again when it ends; forward, loss and
 * backward. The loss. */
double test_run_accumulate(test_run *run, const bur_dataset *data, int64_t step);
/* The same, then the optimizer. */
double test_run_step(test_run *run, const bur_dataset *data, int64_t step);

/* All state of a session one after the other, as f32; free() it. */
float *test_run_read_state(bur_session *session, int64_t *count);
void test_run_write_state(bur_session *session, const float *state);
/* A parameter's gradient; free() it. */
float *test_run_read_gradient(const test_run *run, int32_t parameter, int64_t *count);

/* |a - b| / |b| in the Euclidean norm; 0 if both are all zero, NaN if any is. */
double test_run_difference(const float *a, const float *b, int64_t count);

/* malloc, failing the test. */
void *test_run_memory(size_t bytes);

#endif
