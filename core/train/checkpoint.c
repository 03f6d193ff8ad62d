/* State on the host: snapshots against a lost device, and files. */
#include "trainer.h"
#include "../run/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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
     * the old snapshot is gone. */
    float totals[BUR_RESULT_WORDS];
    BUR_TRY(bur_session_read_totals(session, totals));
    size_t offset = 0;
    for (int32_t i = 0; i < n; i++) {
        BUR_TRY(bur_session_read_state(session, i, trainer->snapshot + offset));
        offset += bur_desc_bytes(&bur_session_state_at(session, i)->desc);
    }
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
    char note[512];
    snprintf(
        note, sizeof note, "%s failed (%.300s); training goes on on the CPU from update %" PRId64,
        bur_device_describe(trainer->device)->name, bur_last_error(), trainer->snapshot_updates);
    BUR_TRY(bur_device_open(&cpu, trainer->context, "cpu"));
    bur__trainer_unbind(trainer);
    BUR_TRY(rebind_on_cpu(trainer, cpu));
    bur_log(trainer->context, BUR_LOG_WARN, "train", "%s", note);
    return bur__trainer_tell(trainer, BUR_EVENT_NOTE, note);
}

/* State tensors to save: parameters, with `state` the optimizer's too. They come first in that
 * order. */
static int32_t count_saved(const bur_session *session, bool state)
{
    int32_t n = bur_session_state_count(session);
    while (!state && n > 0 && bur_session_state_at(session, n - 1)->slot != BUR_SLOT_PARAMETER)
        n--;
    return n;
}

/* The average of a parameter; -1 if there is none. */
static int32_t average_of(const bur_session *session, int32_t parameter)
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
        const int32_t average = state ? -1 : average_of(session, tensor->parameter),
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
    const int32_t count = count_saved(session, state);
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

/* Every tensor of the model must be in the file with its dtype and shape. */
static bur_status check_file(const bur_safetensors *file, const bur_session *session, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        const bur_state_tensor *tensor = bur_session_state_at(session, i);
        const int32_t index = bur_safetensors_find(file, tensor->name);
        if (index < 0)
            return bur_fail(BUR_E_FORMAT, "the file has no tensor '%s'", tensor->name);
        const bur_desc *desc = bur_safetensors_desc(file, index);
        char a[BUR_SHAPE_TEXT], b[BUR_SHAPE_TEXT];
        if (desc->dtype != tensor->desc.dtype ||
            !bur_shape_equal(&desc->shape, &tensor->desc.shape))
            return bur_fail(BUR_E_FORMAT, "'%s' is %s %s in the file, %s %s in the model",
                            tensor->name, bur_dtype_name((bur_dtype)desc->dtype),
                            bur_shape_format(a, sizeof a, &desc->shape),
                            bur_dtype_name((bur_dtype)tensor->desc.dtype),
                            bur_shape_format(b, sizeof b, &tensor->desc.shape));
    }
    return BUR_OK;
}

/* A parameter that is loaded without its average is its first average. */
static bur_status load_tensors(bur_trainer *trainer, const bur_safetensors *file, int32_t count,
                               bool state)
{
    bur_session *session = bur_trainer_session(trainer);
    size_t most = 0;
    for (int32_t i = 0; i < count; i++) {
        const size_t bytes = bur_desc_bytes(&bur_session_state_at(session, i)->desc);
        most = bytes > most ? bytes : most;
    }
    void *data = bur_alloc(trainer->context, most);
    if (data == NULL)
        return BUR_E_NOMEM;
    bur_status status = BUR_OK;
    for (int32_t i = 0; i < count && status == BUR_OK; i++) {
        const bur_state_tensor *tensor = bur_session_state_at(session, i);
        status = bur_safetensors_read(file, bur_safetensors_find(file, tensor->name), data,
                                      bur_desc_bytes(&tensor->desc));
        if (status == BUR_OK)
            status = bur_session_write_state(session, i, data);
        const int32_t average = state ? -1 : average_of(session, tensor->parameter);
        if (status == BUR_OK && average >= 0)
            status = bur_session_write_state(session, average, data);
    }
    bur_free(trainer->context, data);
    return status;
}

bur_status bur_trainer_load(bur_trainer *trainer, const char *path, bool state)
{
    if (trainer == NULL || path == NULL)
        return bur_fail(BUR_E_ARG, "bur_trainer_load: NULL argument");
    bur_safetensors *file = NULL;
    BUR_TRY(bur_safetensors_open(&file, trainer->context, path));
    bur_session *session = bur_trainer_session(trainer);
    const int32_t count = count_saved(session, state);
    bur_status status = check_file(file, session, count);
    if (status == BUR_OK)
        status = load_tensors(trainer, file, count, state);
    const char *updates = bur_safetensors_metadata(file, "updates");
    if (status == BUR_OK && state && updates != NULL)
        trainer->updates = strtoll(updates, NULL, 10);
    bur_safetensors_close(file);
    if (status != BUR_OK)
        return bur_fail_in(status, "%s", path);
    return bur__trainer_snapshot(trainer, true);
}
