/* batch=find, batch=usual: doubling by plan, with measured steps at each size. */
#include "find.h"
#include "output.h"
#include "verify.h"

#include <inttypes.h>
#include <stdio.h>

/* Sizes from `first` to `last`, each twice the one before. */
typedef struct search {
    int64_t first, last;
    bool pays; /* begins lower where the first does not fit, ends where larger ones are no faster */
} search;

static const search searches[CLI_BATCH_SEARCHES + 1] = {
    [-CLI_BATCH_FIND] = {4, INT64_MAX, true},
    [-CLI_BATCH_USUAL] = {16, 256, false},
};

/* Less than this is no gain; and so many sizes without one end a search that is to pay: a size may
 * be slow for a reason of its own. */
static const double least_gain = 1.03;
enum { WITHOUT_GAIN = 2 };

static bur_status plan_of(bur_run_plan *out, const cli_target *target, const cli_model *model,
                          const bur_fit_options *options, int64_t batch)
{
    bur_fit_options trial = *options;
    trial.batch = batch;
    return bur_run_plan_make(out, model->recipe, &target->target, target->fallback, &model->train,
                             model->has_test ? &model->test : NULL, &trial);
}

static bool measure(cli_found_row *row, const cli_app *app, char *why, size_t size)
{
    cli_verified measured;
    cli_verify_batch(&measured, app, &row->plan);
    if (!measured.ran || !(measured.step_s > 0)) {
        snprintf(why, size, "batch=%" PRId64 " could not be measured: %.200s", row->plan.batch,
                 measured.why);
        return false;
    }
    row->measured_peak_bytes = measured.peak_bytes;
    row->measured_step_s = measured.step_s;
    row->samples_per_s = (double)row->plan.batch / measured.step_s;
    return true;
}

static void tell_end(cli_found *out, const char *end)
{
    char speed[CLI_NUMBER_TEXT];
    double best = 0;
    for (int32_t i = 0; i < out->count; i++)
        if (out->rows[i].plan.batch == out->batch)
            best = out->rows[i].samples_per_s;
    if (out->batch == 0)
        snprintf(out->reason, sizeof out->reason, "%s", end);
    else
        snprintf(out->reason, sizeof out->reason,
                 "the fastest that was measured, %s samples/s; the doubling ended: %s",
                 cli_number_text(speed, sizeof speed, best), end);
}

/* The first size that fits, into *batch and its plan; the least there is if none does. */
static bur_status plan_first(bur_run_plan *out, int64_t *batch, const search *s,
                             const cli_target *target, const cli_model *model,
                             const bur_fit_options *options)
{
    BUR_TRY(plan_of(out, target, model, options, *batch));
    while (s->pays && !out->fits && *batch > 1 && options->accumulate <= 1) {
        *batch /= 2;
        BUR_TRY(plan_of(out, target, model, options, *batch));
    }
    return BUR_OK;
}

bur_status cli_batch_find(cli_found *out, const cli_app *app, const cli_target *target,
                          const cli_model *model, const bur_fit_options *options, int64_t which)
{
    const search *s = &searches[-which];
    const int64_t samples = cli_train_samples(model, options);
    const int64_t first = options->accumulate > s->first ? options->accumulate : s->first;
    char end[320] = "that is as far as it goes";
    double best = 0;
    int32_t without_gain = 0;
    *out = (cli_found){.count = 0};
    for (int64_t batch = first; batch <= s->last && out->count < CLI_MOST_FOUND; batch *= 2) {
        cli_found_row *row = &out->rows[out->count];
        if (batch > samples) {
            snprintf(end, sizeof end, "there are %" PRId64 " samples", samples);
            break;
        }
        BUR_TRY(out->count == 0 ? plan_first(&row->plan, &batch, s, target, model, options)
                                : plan_of(&row->plan, target, model, options, batch));
        if (!row->plan.fits) {
            snprintf(end, sizeof end, "batch=%" PRId64 " does not fit (%s)", batch,
                     row->plan.binds);
            break;
        }
        if (!measure(row, app, end, sizeof end))
            break;
        out->count++;
        without_gain = row->samples_per_s > least_gain * best ? 0 : without_gain + 1;
        if (row->samples_per_s > best) {
            best = row->samples_per_s;
            out->batch = batch;
        }
        if (s->pays && without_gain == WITHOUT_GAIN) {
            snprintf(end, sizeof end, "larger ones were no faster");
            break;
        }
    }
    tell_end(out, end);
    return BUR_OK;
}
