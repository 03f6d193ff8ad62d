/* bench.h: measuring. Each measurement has a context of its own, so that a device that fails in one
 * does not spoil the next. */
#ifndef BUR_CLI_BENCH_H
#define BUR_CLI_BENCH_H

#include "cli.h"
#include "output.h"

/* Something to be timed: one repetition, after which the device is done. */
typedef bur_status (*cli_timed)(void *user);

typedef struct cli_timing {
    double median_ms, least_ms;
    int32_t runs;
} cli_timing;

/* Two repetitions of warm-up, then 10 and half a second of them, or 3 if these take 3 seconds. */
bur_status cli_time(cli_timing *out, cli_timed once, void *user);

/* Measures the cases of `kind` (device, gemm, conv) on a device; appends a row per case. */
bur_status cli_bench_kernels(json_t *rows, bur_device *device, const char *kind);

typedef struct cli_model_bench {
    const char *model;
    int64_t batch, accumulate; /* accumulate 0: auto */
    double recompute;          /* 0, 1: off */
    bool infer, profile;
} cli_model_bench;

/* Measures whole steps of a model, or forward passes; appends one row. */
bur_status cli_bench_model(json_t *rows, cli_app *app, bur_device *device,
                           const cli_model_bench *what);

/* A bound session and what a step of it takes. */
typedef struct cli_profiled {
    bur_device *device;
    bur_session *session;
    const void *x, *target; /* of all parts; target NULL: forward passes */
    const bur_scalars *scalars;
    int64_t parts;
} cli_profiled;

/* Profiles steps: sets "breakdown" (by operator, longest first), "kernels" (in the order of the
 * step), "profiled_step_ms" and "accounted_percent" (what the parts are of the whole) of `row`. */
bur_status cli_bench_profile(json_t *row, const cli_profiled *what);
/* Prints the profiles among the rows of a result: by operator, then the kernels that matter. */
void cli_bench_print_profiles(const json_t *result);

/* --compare: reads the rows of an earlier `bench --json` before anything is measured; *out is yours
 * to json_decref. Gives the exit code. */
int cli_bench_compare_open(json_t **out, const char *path);
/* Sets "before_ms" and "ratio" (now / before) of each row that was measured before, too; gives how
 * many, and the geometric mean of their ratios. */
int32_t cli_bench_compare(json_t *rows, const json_t *before, double *geometric_mean);

/* f32 values in [-1, 1), the same every time. */
void cli_fill_random(float *values, int64_t count, uint32_t stream);

#endif
