/* Fitting: epochs of updates, validation after each. */
#include "trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
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

/* What the loss of an effective batch is divided by: its samples, or the weights of their labels.
 */
static double weight_sum(const bur_trainer *trainer, const bur_batch *batch)
{
    const float *weights = trainer->options.class_weights;
    const bur_loss_attr *attr = &trainer->options.loss_attr;
    const int32_t classes = bur_dataset_describe(trainer->train)->classes;
    if (weights == NULL && !attr->ignores)
        return (double)batch->count;
    const int32_t *labels = batch->target;
    double sum = 0;
    for (int64_t i = 0; i < batch->count; i++) {
        const bool counts =
            labels[i] >= 0 && labels[i] < classes && !(attr->ignores && labels[i] == attr->ignored);
        sum += !counts ? 0 : weights == NULL ? 1 : (double)weights[labels[i]];
    }
    return sum;
}

/* S-110: what the device held at the start, with the first gradients and after the first update. */
static bur_status tell_growth(const bur_trainer *trainer)
{
    char note[256];
    const double mib = 1048576.0;
    snprintf(
        note, sizeof note,
        "memory grew as it was needed from %.1f MiB: %.1f on %s with the parameters, %.1f with "
        "the first gradients, %.1f after the first update; planned are %.1f",
        (double)trainer->sessions.persistent_chunk_bytes / mib,
        (double)trainer->grown_bytes[0] / mib, bur_device_describe(trainer->device)->name,
        (double)trainer->grown_bytes[1] / mib, (double)bur_device_live_bytes(trainer->device) / mib,
        (double)trainer->plan.device_bytes / mib);
    return bur__trainer_tell(trainer, BUR_EVENT_NOTE, note);
}

/* One update from an effective batch, in micro-batches that each add their gradients. */
static bur_status update(bur_trainer *trainer, const bur_batch *batch)
{
    const bur_dataset_info *info = bur_dataset_describe(trainer->train);
    int64_t x_count = 1;
    BUR_TRY(bur_shape_count(&x_count, &info->sample));
    const size_t target_bytes = bur_dataset_target_bytes(info);
    const int64_t micro = trainer->options.batch / trainer->options.accumulate;
    bur_scalars scalars = bur__trainer_scalars(trainer, weight_sum(trainer, batch));
    bur_session *session = NULL;
    const bool growing = trainer->options.memory_growth && trainer->updates == 0;
    if (growing)
        trainer->grown_bytes[0] = bur_device_live_bytes(trainer->device);
    for (int64_t first = 0; first < batch->count; first += micro) {
        const int64_t count = batch->count - first < micro ? batch->count - first : micro;
        BUR_TRY(bur__trainer_session(trainer, BUR_TRAIN, count, &session));
        scalars.first_sample = (uint32_t)first;
        BUR_TRY(
            bur_session_write_batch(session, batch->x + first * x_count,
                                    (const char *)batch->target + (size_t)first * target_bytes));
        BUR_TRY(bur_session_accumulate(session, &scalars));
    }
    if (growing)
        trainer->grown_bytes[1] = bur_device_live_bytes(trainer->device);
    BUR_TRY(bur_session_update(session));
    trainer->updates++;
    trainer->step++;
    return growing ? tell_growth(trainer) : BUR_OK;
}

/* Of the host, now; NaN where it is not told. */
static double ram_percent(void)
{
    bur_host_memory memory = {0};
    return bur_host_memory_read(&memory) == BUR_OK ? memory.used_percent : NAN;
}

typedef struct epoch_clock {
    int64_t start_ns, told_ns;
    int64_t steps, samples;
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
        (double)((clock->last_epoch - clock->epoch + 1) * clock->steps - trainer->step);
    bur_progress progress = {.epoch = clock->epoch,
                             .epochs = clock->last_epoch,
                             .step = trainer->step,
                             .steps = clock->steps,
                             .samples_per_s = (double)clock->samples / seconds,
                             .eta_s = seconds / (double)trainer->step * steps_left,
                             .ram_percent = ram_percent()};
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

/* The epoch's updates that are still to come: all, or those after the snapshot that a lost device
 * left. */
static bur_status train_epoch(bur_trainer *trainer, epoch_clock *clock)
{
    bur_batch batch;
    BUR_TRY(bur_loader_start(trainer->loader, clock->epoch));
    for (int64_t i = 0; i < trainer->step; i++)
        BUR_TRY(bur_loader_next(trainer->loader, &batch));
    while (!over(trainer)) {
        BUR_TRY(bur_loader_next(trainer->loader, &batch));
        if (batch.count == 0)
            break;
        BUR_TRY(update(trainer, &batch));
        clock->samples += batch.count;
        BUR_TRY(bur__trainer_snapshot(trainer, false));
        BUR_TRY(tell_progress(trainer, clock));
    }
    return BUR_OK;
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
        const bur_scalars scalars = bur__trainer_scalars(trainer, (double)batch.count);
        BUR_TRY(bur_session_write_batch(session, batch.x, batch.target));
        BUR_TRY(bur_session_accumulate(session, &scalars));
    }
    return read_means(bur_trainer_session(trainer), loss, metric);
}

/* Of the parameters that the optimizer penalizes, in double. */
static bur_status read_penalty(bur_trainer *trainer, double *penalty)
{
    const bur_optimizer_attr *attr = &trainer->options.optimizer.attr;
    bur_session *session = bur_trainer_session(trainer);
    double sum = 0;
    for (int32_t i = 0; i < bur_session_state_count(session); i++) {
        const bur_state_tensor *tensor = bur_session_state_at(session, i);
        const bur_parameter *parameter =
            bur_recipe_parameter_at(trainer->recipe, tensor->parameter);
        if (tensor->slot != BUR_SLOT_PARAMETER || !parameter->trainable || parameter->unpenalized)
            continue;
        float *values = bur_alloc(trainer->context, bur_desc_bytes(&tensor->desc));
        if (values == NULL)
            return BUR_E_NOMEM;
        const bur_status status = bur_session_read_state(session, i, values);
        for (int64_t j = 0; status == BUR_OK && j < bur_desc_count(&tensor->desc); j++)
            sum += ((double)attr->l1 + (double)attr->l2 * fabs((double)values[j])) *
                   fabs((double)values[j]);
        bur_free(trainer->context, values);
        BUR_TRY(status);
    }
    *penalty = sum;
    return BUR_OK;
}

static bur_status finish_epoch(bur_trainer *trainer, const epoch_clock *clock)
{
    bur_epoch row = {.epoch = clock->epoch,
                     .val_loss = NAN,
                     .val_metric = NAN,
                     .learning_rate = bur__trainer_learning_rate(trainer, trainer->updates - 1),
                     .wait_s = (double)bur_loader_wait_ns(trainer->loader) * 1e-9};
    BUR_TRY(read_means(bur_trainer_session(trainer), &row.loss, &row.metric));
    row.seconds = (double)(bur_time_ns() - clock->start_ns) * 1e-9;
    row.samples_per_s = (double)clock->samples / row.seconds;
    row.updates = trainer->updates;
    row.ram_percent = ram_percent();
    if (trainer->options.optimizer.attr.l1 > 0 || trainer->options.optimizer.attr.l2 > 0)
        BUR_TRY(read_penalty(trainer, &row.penalty));
    if (trainer->validation_loader != NULL)
        BUR_TRY(evaluate(trainer, trainer->validation_loader, &row.val_loss, &row.val_metric));
    /* A device that is lost from here on does not take the epoch with it. */
    trainer->step = 0;
    BUR_TRY(bur__trainer_snapshot(trainer, true));
    bur__plateau_look(&trainer->plateau, &trainer->options.schedule,
                      trainer->validation_loader != NULL ? row.val_loss : row.loss);
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

/* One epoch and its row of the history. A lost device is replaced by the CPU, which repeats what
 * came after the last snapshot. */
static bur_status fit_epoch(bur_trainer *trainer, epoch_clock *clock)
{
    trainer->step = 0;
    bur_status status = bur_session_clear_totals(bur_trainer_session(trainer));
    for (;;) {
        if (status == BUR_OK)
            status = train_epoch(trainer, clock);
        if (status == BUR_OK && trainer->step > 0)
            status = finish_epoch(trainer, clock);
        if (status != BUR_E_LOST)
            return status;
        BUR_TRY(bur__trainer_recover(trainer, status));
        status = BUR_OK;
    }
}

/* After a run gave its arena back and got no other there is its state to save, and no more. */
static bur_status check_arena(const bur_trainer *trainer)
{
    return trainer->has_no_arena
               ? bur_fail(BUR_E_STATE,
                          "the run has no memory to go on in; save what it has learned")
               : BUR_OK;
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
    BUR_TRY(check_arena(trainer));
    BUR_TRY(reserve_history(trainer));
    const int64_t steps = bur__trainer_epoch_updates(trainer);
    const int64_t most = trainer->options.max_steps;
    bur__plateau_start(&trainer->plateau);
    trainer->first_update = trainer->updates;
    trainer->last_update = trainer->updates + steps * trainer->options.epochs;
    if (most > 0 && trainer->last_update > most)
        trainer->last_update = most;
    const int64_t first = trainer->n_history + 1,
                  last = trainer->n_history + trainer->options.epochs;
    for (int64_t epoch = first; epoch <= last; epoch++) {
        epoch_clock clock = {.start_ns = bur_time_ns(), .epoch = epoch, .last_epoch = last};
        clock.told_ns = clock.start_ns;
        BUR_TRY(bur__trainer_watch(trainer, epoch));
        clock.steps = steps;
        BUR_TRY(fit_epoch(trainer, &clock));
        if (atomic_exchange(&trainer->stop, false))
            return bur_fail(BUR_E_STOPPED, "stopped after %" PRId64 " updates", trainer->updates);
        if (over(trainer))
            break;
    }
    return BUR_OK;
}

/* A loader of another set than the run's own. Its batches are no larger than those the run has
 * memory for: a training set smaller than the batch made it less. */
static bur_status create_loader(bur_loader **out, bur_trainer *trainer, const bur_dataset *dataset)
{
    bur_loader_options options = bur__loader_options(&trainer->options, false);
    int64_t most = 1;
    for (int32_t i = 0; i < trainer->sessions.count; i++)
        if (trainer->sessions.list[i].batch > most)
            most = trainer->sessions.list[i].batch;
    options.batch = options.batch < most ? options.batch : most;
    return bur_loader_create(out, trainer->context, dataset, &options);
}

bur_status bur_trainer_evaluate(bur_trainer *trainer, const bur_dataset *dataset, double *loss,
                                double *metric)
{
    if (trainer == NULL || dataset == NULL || loss == NULL || metric == NULL)
        return bur_fail(BUR_E_ARG, "bur_trainer_evaluate: NULL argument");
    BUR_TRY(check_arena(trainer));
    BUR_TRY(bur__run_check_data(trainer->recipe, bur_dataset_describe(dataset)));
    const bool own = dataset == trainer->test;
    bur_loader *loader = trainer->test_loader;
    if (!own)
        BUR_TRY(create_loader(&loader, trainer, dataset));
    const int32_t n_sessions = trainer->sessions.count;
    bur_status status = evaluate(trainer, loader, loss, metric);
    if (status == BUR_E_LOST) {
        status = bur__trainer_recover(trainer, status);
        if (status == BUR_OK)
            status = evaluate(trainer, loader, loss, metric);
    } else {
        /* Sessions for this set's batch sizes alone: others will follow. */
        bur__run_sessions_keep(&trainer->sessions, n_sessions);
    }
    if (!own)
        bur_loader_destroy(loader);
    return status;
}
