/* find.h: batch=find and batch=usual, the batch size by measured speed. */
#ifndef BUR_CLI_FIND_H
#define BUR_CLI_FIND_H

#include "model.h"
#include "target.h"

enum { CLI_MOST_FOUND = 32 };

typedef struct cli_found_row {
    bur_run_plan plan;
    uint64_t measured_peak_bytes;
    double measured_step_s, samples_per_s;
} cli_found_row;

/* The sizes that were measured; `batch` is the fastest of them, 0 if none could be. */
typedef struct cli_found {
    cli_found_row rows[CLI_MOST_FOUND];
    int32_t count;
    int64_t batch;
    char reason[BUR_TEXT_BYTES]; /* why this batch, and why the doubling ended */
} cli_found;

/* Doubles the batch as long as its plan fits and there are samples for it, and measures a few steps
 * of each in a process of its own. CLI_BATCH_FIND: from 4 on (or the largest below it that fits) as
 * long as the speed still grows. CLI_BATCH_USUAL: from 16 to 256. Nothing is found out by running
 * out of memory: what the plan refuses is not started. `options->batch` is not read. */
bur_status cli_batch_find(cli_found *out, const cli_app *app, const cli_target *target,
                          const cli_model *model, const bur_fit_options *options, int64_t which);

#endif
