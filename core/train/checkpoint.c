/* State on the host: snapshots against a lost device, and files. */
#include "trainer.h"
#include "../run/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_mapped(const bur_trainer *trainer)
{
    return bur_device_target(trainer->device).backend->map != NULL;
}

/* The offset of each state tensor in a snapshot. */
static size_t snapshot_offset(const bur_session *session, int32_t index)
{
    size_t offset = 0;
    for (int32_t i = 0; i < index; i++)
        offset += bur_desc_bytes(&bur_session_state_at(session, i)->desc);
    return offset;
}

bur_status bur__trainer_snapshot(bur_trainer *trainer, bool at_once)
{
    if (is_mapped(trainer))
        return BUR_OK;
    const int64_t now_ns = bur_time_ns();
    if (!at_once && (double)(now_ns - trainer->snapshot_ns) < trainer->options.snapshot_s * 1e9)
        return BUR_OK;
    bur_session *session = bur_trainer_session(trainer);
    const int32_t n = bur_session_state_count(session);
    if (trainer->snapshot == NULL)
        trainer->snapshot = bur_alloc(trainer->context, snapshot_offset(session, n));
    if (trainer->snapshot == NULL)
        return BUR_E_NOMEM;
    /* The first read waits for all that was queued: a device that failed is known before a byte of
     * the old snapshot is gone. One that fails in the midst of the copy leaves tensors of both; a
     * second copy on the host against that would cost as much as the state itself. */
    float totals[BUR_RESULT_WORDS];
    BUR_TRY(bur_session_read_totals(session, totals));
    size_t offset = 0;
    for (int32_t i = 0; i < n; i++) {
        BUR_TRY(bur_session_read_state(session, i, trainer->snapshot + offset));
        offset += bur_desc_bytes(&bur_session_state_at(session, i)->desc);
        trainer->snapshot_is_mixed = true;
    }
    trainer->snapshot_is_mixed = false;
    trainer->snapshot_ns = bur_time_ns();
    trainer->snapshot_updates = trainer->updates;
    trainer->snapshot_step = trainer->step;
    for (int32_t i = 0; i < BUR_RESULT_WORDS; i++)
        trainer->snapshot_totals[i] = trainer->step > 0 ? totals[i] : 0;
    return BUR_OK;
}

/* Plans and binds the run on the CPU and writes the snapshot into it. */
static bur_status rebind_on_cpu(bur_trainer *trainer, bur_device *cpu)
{
    const bur_target target = bur_device_target(cpu);
    const bur_dataset_info *test =
        trainer->test == NULL ? NULL : bur_dataset_describe(trainer->test);
    const bur_dataset_info *train = bur_dataset_describe(trainer->train);
    bur_fit_options options = trainer->options;
    options.validation_split = 0; /* trainer->train is the training part already */
    trainer->device = cpu;
    BUR_TRY(bur__run_sessions_plan(&trainer->sessions, trainer->recipe, &target, NULL, train, test,
                                   &options));
    BUR_TRY(bur__run_plan_sum(&trainer->present, &trainer->sessions, trainer->recipe, &target,
                              train, test, &options));
    BUR_TRY(bur__trainer_bind(trainer));
    bur_session *session = bur_trainer_session(trainer);
    for (int32_t i = 0; i < bur_session_state_count(session); i++)
        BUR_TRY(
            bur_session_write_state(session, i, trainer->snapshot + snapshot_offset(session, i)));
    trainer->updates = trainer->snapshot_updates;
    trainer->step = trainer->snapshot_step;
    return bur__session_write_totals(session, trainer->snapshot_totals);
}

bur_status bur__trainer_recover(bur_trainer *trainer, bur_status lost)
{
    bur_device *cpu = NULL;
    if (trainer->options.fallback_off || is_mapped(trainer) || trainer->snapshot == NULL)
        return lost;
    char note[512], mixed[96] = "";
    if (trainer->snapshot_is_mixed)
        snprintf(mixed, sizeof mixed, ", with some tensors of update %" PRId64 " already",
                 trainer->updates);
    snprintf(note, sizeof note,
             "%s failed (%.300s); training goes on on the CPU from update %" PRId64 "%s",
             bur_device_describe(trainer->device)->name, bur_last_error(),
             trainer->snapshot_updates, mixed);
    BUR_TRY(bur_device_open(&cpu, trainer->context, "cpu"));
    bur__trainer_unbind(trainer);
    BUR_TRY(rebind_on_cpu(trainer, cpu));
    bur_log(trainer->context, BUR_LOG_WARN, "train", "%s", note);
    return bur__trainer_tell(trainer, BUR_EVENT_NOTE, note);
}

int32_t bur__saved_count(const bur_session *session, bool state)
{
    int32_t n = bur_session_state_count(session);
    while (!state && n > 0 && bur_session_state_at(session, n - 1)->slot != BUR_SLOT_PARAMETER)
        n--;
    return n;
}

int32_t bur__average_of(const bur_session *session, int32_t parameter)
{
    for (int32_t i = 0; i < bur_session_state_count(session); i++) {
        const bur_state_tensor *tensor = bur_session_state_at(session, i);
        if (tensor->parameter == parameter && tensor->slot == BUR_SLOT_AVERAGE)
            return i;
    }
    return -1;
}

/* Addresses of the tensors: in the buffers themselves, or in a fresh snapshot. Without `state` a
 * parameter that has an average gives that: the model as it is evaluated. */
static bur_status collect(bur_trainer *trainer, bur_named_tensor *tensors, int32_t count,
                          bool state)
{
    bur_session *session = bur_trainer_session(trainer);
    BUR_TRY(bur__trainer_snapshot(trainer, true));
    for (int32_t i = 0; i < count; i++) {
        const bur_state_tensor *tensor = bur_session_state_at(session, i);
        const int32_t average = state ? -1 : bur__average_of(session, tensor->parameter),
                      from = average < 0 ? i : average;
        const char *data = is_mapped(trainer) ? bur__session_map_state(session, from)
                                              : trainer->snapshot + snapshot_offset(session, from);
        tensors[i] = (bur_named_tensor){tensor->name, tensor->desc, data};
    }
    return BUR_OK;
}

bur_status bur_trainer_save(bur_trainer *trainer, const char *path, bool state)
{
    if (trainer == NULL || path == NULL)
        return bur_fail(BUR_E_ARG, "bur_trainer_save: NULL argument");
    bur_session *session = bur_trainer_session(trainer);
    const int32_t count = bur__saved_count(session, state);
    bur_named_tensor *tensors = bur_alloc_array(trainer->context, (size_t)count, sizeof *tensors);
    if (tensors == NULL)
        return BUR_E_NOMEM;
    char updates[24], epochs[24];
    snprintf(updates, sizeof updates, "%" PRId64, trainer->updates);
    snprintf(epochs, sizeof epochs, "%" PRId64, trainer->n_history);
    const char *const metadata[] = {
        "format",  "burthen", "model",  bur_recipe_name(trainer->recipe),
        "updates", updates,   "epochs", epochs};
    bur_status status = collect(trainer, tensors, count, state);
    if (status == BUR_OK)
        status = bur_safetensors_save(trainer->context, path, tensors, count, metadata, 4);
    bur_free(trainer->context, tensors);
    return status;
}
