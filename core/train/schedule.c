/* Learning-rate schedules: the share of the learning rate that an update takes, from its number. */
#include "trainer.h"

#include <inttypes.h>
#include <math.h>

/* Keras' default of ReduceLROnPlateau. */
#define PLATEAU_DELTA 1e-4

static const double pi = 3.14159265358979323846;

/* How far the run is, in [0, 1). */
typedef struct progress {
    double share;  /* of the updates after the warm-up */
    double epochs; /* since the start */
} progress;

static double constant_share(const bur_schedule *schedule, const progress *at)
{
    (void)schedule, (void)at;
    return 1;
}

/* What it multiplies the rate by comes from the losses, see bur__plateau_look. */
static double plateau_share(const bur_schedule *schedule, const progress *at)
{
    return constant_share(schedule, at);
}

static double cosine_share(const bur_schedule *schedule, const progress *at)
{
    (void)schedule;
    return 0.5 * (1 + cos(pi * at->share));
}

static double exponential_share(const bur_schedule *schedule, const progress *at)
{
    return pow((double)schedule->decay, at->epochs / (double)schedule->decay_epochs);
}

static double step_share(const bur_schedule *schedule, const progress *at)
{
    return pow((double)schedule->decay, floor(at->epochs / (double)schedule->decay_epochs));
}

static const struct {
    const char *name;
    double (*share)(const bur_schedule *schedule, const progress *at);
    float decay; /* these two if none are given */
    int64_t decay_epochs;
} schedules[] = {
#define SCHEDULE_ROW(name, text, decay, epochs) {#text, text##_share, decay, epochs},
    BUR_SCHEDULE_MAP(SCHEDULE_ROW)
#undef SCHEDULE_ROW
};

const char *bur_schedule_name(bur_schedule_kind kind)
{
    return (unsigned)kind < BUR_SCHEDULE_COUNT ? schedules[kind].name : "unknown";
}

double bur_schedule_share(const bur_schedule *schedule, int64_t update, int64_t updates,
                          int64_t epoch_updates)
{
    const int64_t warmup = schedule->warmup;
    if (update < warmup)
        return (double)(update + 1) / (double)(warmup + 1);
    const int64_t rest = updates > warmup ? updates - warmup : 1;
    const progress at = {.share = fmin((double)(update - warmup) / (double)rest, 1),
                         .epochs = (double)update / (double)epoch_updates};
    return schedules[schedule->kind].share(schedule, &at);
}

bur_status bur__schedule_complete(bur_schedule *schedule, int64_t epochs)
{
    if ((unsigned)schedule->kind >= BUR_SCHEDULE_COUNT)
        return bur_fail(BUR_E_ARG, "schedule %d is unknown", (int)schedule->kind);
    if (schedule->warmup < 0 || schedule->decay_epochs < 0)
        return bur_fail(BUR_E_ARG,
                        "warmup %" PRId64 ", decay_epochs %" PRId64 "; none may be below 0",
                        schedule->warmup, schedule->decay_epochs);
    if (!(schedule->decay >= 0 && schedule->decay <= 1))
        return bur_fail(BUR_E_ARG, "decay %g is not in [0, 1]", (double)schedule->decay);
    if (schedule->decay == 0)
        schedule->decay = schedules[schedule->kind].decay;
    if (schedule->decay_epochs == 0)
        schedule->decay_epochs = schedules[schedule->kind].decay_epochs;
    if (schedule->decay_epochs == 0)
        schedule->decay_epochs = (epochs + 2) / 3;
    return BUR_OK;
}

void bur__plateau_start(bur_plateau *plateau)
{
    *plateau = (bur_plateau){.best_loss = INFINITY, .share = 1};
}

void bur__plateau_look(bur_plateau *plateau, const bur_schedule *schedule, double loss)
{
    if (loss < plateau->best_loss - PLATEAU_DELTA) {
        plateau->best_loss = loss;
        plateau->epochs = 0;
        return;
    }
    plateau->epochs++;
    if (schedule->kind != BUR_SCHEDULE_PLATEAU || plateau->epochs < schedule->decay_epochs)
        return;
    plateau->share *= (double)schedule->decay;
    plateau->epochs = 0;
}
