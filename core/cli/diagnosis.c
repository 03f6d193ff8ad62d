/* Whether a larger batch would train faster (S-069). */
#include "diagnosis.h"
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

/* Seconds of a run that nobody would call slow. */
#define SLOW_S 60
/* Less is not worth another batch, which learns otherwise. */
#define LEAST_GAIN 1.25
/* Of two batches about as fast the smaller is advised. */
#define ABOUT_AS_FAST 0.97

static double samples_per_s(const bur_run_plan *plan)
{
    return plan->fits && plan->step_s > 0 ? (double)plan->batch / plan->step_s : 0;
}

bur_status cli_diagnose_slow(char *text, size_t size, const cli_target *target,
                             const cli_model *model, const bur_fit_options *options,
                             const bur_run_plan *plan)
{
    const double present = samples_per_s(plan);
    const int64_t samples = cli_train_samples(model, options);
    const double epochs = (double)(options->epochs > 0 ? options->epochs : 1);
    const double run_s = present > 0 ? epochs * (double)samples / present : 0;
    char seconds[CLI_NUMBER_TEXT];
    int64_t advised = 0;
    double best = LEAST_GAIN * present * ABOUT_AS_FAST;
    text[0] = '\0';
    for (int64_t times = 2; times <= 8 && run_s >= SLOW_S; times *= 2) {
        bur_run_plan larger = {0};
        bur_fit_options set = *options;
        set.batch = times * plan->batch;
        if (set.batch > samples)
            break;
        BUR_TRY(bur_run_plan_make(&larger, model->recipe, &target->target, target->fallback,
                                  &model->train, model->has_test ? &model->test : NULL, &set));
        if (samples_per_s(&larger) * ABOUT_AS_FAST < best)
            continue;
        best = samples_per_s(&larger);
        advised = set.batch;
    }
    if (advised > 0)
        snprintf(text, size,
                 "training is slow (%s): batch=%" PRId64
                 " fits and is planned %.1f times as fast; it goes with a larger lr",
                 cli_seconds_text(seconds, sizeof seconds, run_s), advised, best / present);
    return BUR_OK;
}
