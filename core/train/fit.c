/* Fitting: epochs of updates, validation after each. */
#include "trainer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { PROGRESS_NS = 100000000 };

/* Means over what was added up since the totals were cleared. */
static bur_status read_means(bur_session *session, double *loss, double *metric)
{
    float totals[BUR_RESULT_WORDS];
    BUR_TRY(bur_session_read_totals(session, totals));
    const double count = (double)totals[BUR_RESULT_COUNT];
    *loss = (double)totals[BUR_RESULT_LOSS_SUM] / count;
    *metric = (double)totals[BUR_RESULT_METRIC] / count;
    return BUR_OK;
}

/* One update from an effective batch, in micro-batches that each add their gradients. */
static bur_status update(bur_trainer *trainer, const bur_batch *batch)
{
    const bur_dataset_info *info = bur_dataset_describe(trainer->train);
    int64_t x_count = 1;
    BUR_TRY(bur_shape_count(&x_count, &info->sample));
    const size_t target_bytes = bur_dataset_target_bytes(info);
    const int64_t micro = trainer->options.batch / trainer->options.accumulate;
    bur_scalars scalars = bur__trainer_scalars(trainer, batch->count);
    bur_session *session = NULL;
    for (int64_t first = 0; first < batch->count; first += micro) {
        const int64_t count = batch->count - first < micro ? batch->count - first : micro;
        BUR_TRY(bur__trainer_session(trainer, BUR_TRAIN, count, &session));
        scalars.first_sample = (uint32_t)first;
        BUR_TRY(
            bur_session_write_batch(session, batch->x + first * x_count,
                                    (const char *)batch->target + (size_t)first * target_bytes));
        BUR_TRY(bur_session_accumulate(session, &scalars));
    }
    BUR_TRY(bur_session_update(session));
    trainer->updates++;
    return BUR_OK;
}

typedef struct epoch_clock {
    int64_t start_ns, told_ns;
    int64_t step, steps, samples;
    int64_t epoch, last_epoch;
} epoch_clock;

static bur_status tell_progress(bur_trainer *trainer, epoch_clock *clock)
{
    const int64_t now_ns = bur_time_ns();
    if (now_ns - clock->told_ns < PROGRESS_NS || trainer->options.callback == NULL)
        return BUR_OK;
    clock->told_ns = now_ns;
    const double seconds = (double)(now_ns - clock->start_ns) * 1e-9;
    const double steps_left =
        (double)((clock->last_epoch - clock->epoch + 1) * clock->steps - clock->step);
    bur_progress progress = {.epoch = clock->epoch,
                             .epochs = clock->last_epoch,
                             .step = clock->step,
                             .steps = clock->steps,
                             .samples_per_s = (double)clock->samples / seconds,
                             .eta_s = seconds / (double)clock->step * steps_left};
    BUR_TRY(read_means(bur_trainer_session(trainer), &progress.loss, &progress.metric));
    if (!isfinite(progress.loss))
        return bur_fail(BUR_E_DIVERGED,
                        "the loss is no number after %" PRId64
                        " updates; a lower learning rate than %g may help",
                        trainer->updates, (double)trainer->options.optimizer.learning_rate);
    return bur__trainer_tell(trainer, BUR_EVENT_PROGRESS, &progress);
}

static bool over(const bur_trainer *trainer)
{
    const int64_t most = trainer->options.max_steps;
    return atomic_load(&trainer->stop) || (most > 0 && trainer->updates >= most);
}

/* All updates of an epoch. A lost device is replaced by the CPU, and the epoch goes on. */
static bur_status train_epoch(bur_trainer *trainer, epoch_clock *clock)
{
    BUR_TRY(bur_loader_start(trainer->loader, clock->epoch));
    bur_status status = bur_session_clear_totals(bur_trainer_session(trainer));
    while (!over(trainer)) {
        bur_batch batch;
        if (status == BUR_OK) {
            BUR_TRY(bur_loader_next(trainer->loader, &batch));
            if (batch.count == 0)
                break;
            status = update(trainer, &batch);
        }
        if (status == BUR_OK) {
            clock->step++;
            clock->samples += batch.count;
            status = bur__trainer_snapshot(trainer, false);
        }
        if (status == BUR_OK)
            status = tell_progress(trainer, clock);
        if (status == BUR_E_LOST)
            status = bur__trainer_recover(trainer, status);
        BUR_TRY(status);
    }
    return status;
}

/* Adds up results over what a loader gives. */
static bur_status evaluate(bur_trainer *trainer, bur_loader *loader, double *loss, double *metric)
{
    BUR_TRY(bur_loader_start(loader, 0));
    BUR_TRY(bur_session_clear_totals(bur_trainer_session(trainer)));
    for (;;) {
        bur_batch batch;
        BUR_TRY(bur_loader_next(loader, &batch));
        if (batch.count == 0)
            break;
        bur_session *session = NULL;
        BUR_TRY(bur__trainer_session(trainer, BUR_EVALUATE, batch.count, &session));
        const bur_scalars scalars = bur__trainer_scalars(trainer, batch.count);
        BUR_TRY(bur_session_write_batch(session, batch.x, batch.target));
        BUR_TRY(bur_session_accumulate(session, &scalars));
    }
    return read_means(bur_trainer_session(trainer), loss, metric);
}

static bur_status finish_epoch(bur_trainer *trainer, const epoch_clock *clock)
{
    bur_epoch row = {.epoch = clock->epoch,
                     .val_loss = NAN,
                     .val_metric = NAN,
                     .learning_rate = (double)trainer->options.optimizer.learning_rate,
                     .wait_s = (double)bur_loader_wait_ns(trainer->loader) * 1e-9};
    BUR_TRY(read_means(bur_trainer_session(trainer), &row.loss, &row.metric));
    row.seconds = (double)(bur_time_ns() - clock->start_ns) * 1e-9;
    row.samples_per_s = (double)clock->samples / row.seconds;
    row.updates = trainer->updates;
    if (trainer->validation_loader != NULL)
        BUR_TRY(evaluate(trainer, trainer->validation_loader, &row.val_loss, &row.val_metric));
    if (trainer->n_history < trainer->history_room)
        trainer->history[trainer->n_history++] = row;
    BUR_TRY(bur__trainer_tell(trainer, BUR_EVENT_EPOCH, &row));
    if (!isfinite(row.loss))
        return bur_fail(BUR_E_DIVERGED,
                        "the loss is no number after epoch %" PRId64
                        "; a lower learning rate than %g may help",
                        row.epoch, (double)trainer->options.optimizer.learning_rate);
    return BUR_OK;
}

/* Room for the epochs of this call behind those of earlier ones. */
static bur_status reserve_history(bur_trainer *trainer)
{
    const int64_t wanted = trainer->n_history + trainer->options.epochs;
    if (wanted <= trainer->history_room)
        return BUR_OK;
    bur_epoch *grown =
        bur_realloc(trainer->context, trainer->history, (size_t)wanted * sizeof *grown);
    if (grown == NULL)
        return BUR_E_NOMEM;
    trainer->history = grown;
    trainer->history_room = wanted;
    return BUR_OK;
}

bur_status bur_trainer_fit(bur_trainer *trainer)
{
    if (trainer == NULL)
        return bur_fail(BUR_E_ARG, "bur_trainer_fit: NULL argument");
    BUR_TRY(reserve_history(trainer));
    const int64_t samples = bur_dataset_describe(trainer->train)->count;
    const int64_t first = trainer->n_history + 1,
                  last = trainer->n_history + trainer->options.epochs;
    for (int64_t epoch = first; epoch <= last; epoch++) {
        epoch_clock clock = {.start_ns = bur_time_ns(), .epoch = epoch, .last_epoch = last};
        clock.told_ns = clock.start_ns;
        clock.steps = (samples + trainer->options.batch - 1) / trainer->options.batch;
        BUR_TRY(train_epoch(trainer, &clock));
        if (clock.step > 0) {
            bur_status status = finish_epoch(trainer, &clock);
            if (status == BUR_E_LOST)
                status = bur__trainer_recover(trainer, status);
            BUR_TRY(status);
        }
        if (atomic_load(&trainer->stop))
            return bur_fail(BUR_E_STOPPED, "stopped after %" PRId64 " updates", trainer->updates);
        if (over(trainer))
            break;
    }
    return BUR_OK;
}

bur_status bur_trainer_evaluate(bur_trainer *trainer, const bur_dataset *dataset, double *loss,
                                double *metric)
{
    if (trainer == NULL || dataset == NULL || loss == NULL || metric == NULL)
        return bur_fail(BUR_E_ARG, "bur_trainer_evaluate: NULL argument");
    if (dataset == trainer->test)
        return evaluate(trainer, trainer->test_loader, loss, metric);
    const bur_loader_options options = bur__loader_options(&trainer->options, false);
    bur_loader *loader = NULL;
    BUR_TRY(bur_loader_create(&loader, trainer->context, dataset, &options));
    const bur_status status = evaluate(trainer, loader, loss, metric);
    bur_loader_destroy(loader);
    return status;
}
