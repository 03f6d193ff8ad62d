/* Eager calls: one operator at a time on arrays of a device. */
#include "device.h"

#include <inttypes.h>
#include <string.h>

struct bur_array {
    bur_device *device;
    bur_buffer *buffer;
    bur_desc desc;
    size_t bytes;
};

bur_status bur_array_create(bur_array **out, bur_device *device, bur_dtype dtype,
                            const bur_shape *shape, const void *data)
{
    if (out == NULL || device == NULL || shape == NULL || (unsigned)dtype >= BUR_DTYPE_COUNT)
        return bur_fail(BUR_E_ARG, "bur_array_create: NULL argument or unknown dtype %d",
                        (int)dtype);
    size_t bytes = 0;
    BUR_TRY(bur_shape_bytes(&bytes, shape, dtype));
    if (bytes == 0)
        return bur_fail(BUR_E_SHAPE, "an array must have elements");
    bur_array *array = bur_alloc(device->context, sizeof *array);
    if (array == NULL)
        return BUR_E_NOMEM;
    *array = (bur_array){.device = device, .desc = bur_desc_make(dtype, shape), .bytes = bytes};
    bur_status status = bur__buffer_create(&array->buffer, device, bytes);
    if (status == BUR_OK)
        status = data == NULL ? device->backend->fill(array->buffer, 0, 0, bytes)
                              : device->backend->write(array->buffer, 0, data, bytes);
    if (status != BUR_OK) {
        bur_array_destroy(array);
        return status;
    }
    *out = array;
    return BUR_OK;
}

void bur_array_destroy(bur_array *array)
{
    if (array == NULL)
        return;
    bur__buffer_destroy(array->device, array->buffer, array->bytes);
    bur_free(array->device->context, array);
}

const bur_desc *bur_array_desc(const bur_array *array)
{
    return &array->desc;
}

bur_status bur_array_read(bur_array *array, void *data, size_t bytes)
{
    if (bytes != array->bytes)
        return bur_fail(BUR_E_ARG, "the array has %zu bytes, not %zu", array->bytes, bytes);
    return array->device->backend->read(array->buffer, 0, data, bytes);
}

bur_status bur_array_write(bur_array *array, const void *data, size_t bytes)
{
    if (bytes != array->bytes)
        return bur_fail(BUR_E_ARG, "the array has %zu bytes, not %zu", array->bytes, bytes);
    return array->device->backend->write(array->buffer, 0, data, bytes);
}

/* Builds, binds and runs the call on `device`; the scratch lives for the call. */
static bur_status run_call(bur_device *device, const bur_call *call, const bur_place *inputs,
                           const bur_place *outputs)
{
    const bur_backend *backend = device->backend;
    const size_t scratch_bytes =
        backend->scratch(&device->info, call, bur_context_threads(device->context));
    bur_place scratch = {NULL, 0};
    bur_kernel *kernel = NULL;
    bur_command *command = NULL;
    BUR_TRY(backend->build(&kernel, device->handle, call));
    if (scratch_bytes > 0)
        BUR_TRY(bur__buffer_create(&scratch.buffer, device, scratch_bytes));
    bur_status status = backend->bind(&command, kernel, inputs, outputs, &scratch);
    if (status == BUR_OK) {
        status = backend->run(device->handle, &command, 1);
        const bur_status synced = backend->sync(device->handle);
        status = status == BUR_OK ? synced : status;
        backend->command_destroy(command);
    }
    bur__buffer_destroy(device, scratch.buffer, scratch_bytes);
    return status;
}

static bur_status check_inputs(bur_device *device, bur_op op, bur_array *const *inputs,
                               int32_t n_inputs)
{
    for (int32_t i = 0; i < n_inputs; i++) {
        if (inputs[i] == NULL)
            return bur_fail(BUR_E_ARG, "%s: input %" PRId32 " is NULL", bur_op_get(op)->name, i);
        if (inputs[i]->device != device)
            return bur_fail(BUR_E_ARG, "%s: input %" PRId32 " is on %s, not on %s",
                            bur_op_get(op)->name, i, inputs[i]->device->info.name,
                            device->info.name);
    }
    return BUR_OK;
}

/* Runs with room[n_inputs + n_outputs] of descriptions and places. */
static bur_status run_with(bur_device *device, bur_op op, const bur_attr *attr,
                           bur_array *const *inputs, int32_t n_inputs, bur_array **outputs,
                           int32_t n_outputs, bur_desc *descs, bur_place *places)
{
    for (int32_t i = 0; i < n_inputs; i++) {
        descs[i] = inputs[i]->desc;
        places[i] = (bur_place){inputs[i]->buffer, 0};
    }
    bur_desc *output_descs = descs + n_inputs;
    const bur_call call = {op, attr, n_inputs, n_outputs, descs, output_descs};
    BUR_TRY(bur_op_infer(&call, output_descs));
    const bool view = bur_op_get(op)->flags & BUR_OP_VIEW;
    char reason[BUR_TEXT_BYTES] = "";
    if (!view && !device->backend->supports(&device->info, &call, reason))
        return bur_fail(BUR_E_UNSUPPORTED, "%s has no %s: %s", device->info.name,
                        bur_op_get(op)->name, reason);

    bur_array *made[BUR_MAX_OUTPUTS] = {NULL};
    bur_status status = BUR_OK;
    for (int32_t i = 0; i < n_outputs && status == BUR_OK; i++) {
        status = bur_array_create(&made[i], device, (bur_dtype)output_descs[i].dtype,
                                  &output_descs[i].shape, NULL);
        if (status == BUR_OK)
            places[n_inputs + i] = (bur_place){made[i]->buffer, 0};
    }
    if (status == BUR_OK && view) { /* an array owns its memory, so a view is a copy here */
        void *copy = bur_alloc(device->context, inputs[0]->bytes);
        status = copy == NULL ? BUR_E_NOMEM : bur_array_read(inputs[0], copy, inputs[0]->bytes);
        if (status == BUR_OK)
            status = bur_array_write(made[0], copy, made[0]->bytes);
        bur_free(device->context, copy);
    } else if (status == BUR_OK) {
        status = run_call(device, &call, places, places + n_inputs);
    }
    for (int32_t i = 0; i < n_outputs; i++) {
        if (status == BUR_OK)
            outputs[i] = made[i];
        else
            bur_array_destroy(made[i]);
    }
    return status;
}

bur_status bur_run(bur_device *device, bur_op op, const bur_attr *attr, bur_array *const *inputs,
                   int32_t n_inputs, bur_array **outputs, int32_t n_outputs)
{
    static const bur_attr no_attr;
    if (device == NULL || inputs == NULL || (unsigned)op >= BUR_OP_COUNT || n_inputs < 1 ||
        n_outputs < 0 || n_outputs > BUR_MAX_OUTPUTS)
        return bur_fail(BUR_E_ARG, "bur_run: NULL argument, unknown operator or wrong counts");
    BUR_TRY(check_inputs(device, op, inputs, n_inputs));
    const size_t n = (size_t)n_inputs + BUR_MAX_OUTPUTS;
    bur_desc *descs = bur_alloc_array(device->context, n, sizeof *descs);
    bur_place *places = bur_alloc_array(device->context, n, sizeof *places);
    const bur_status status = descs == NULL || places == NULL
                                  ? BUR_E_NOMEM
                                  : run_with(device, op, attr == NULL ? &no_attr : attr, inputs,
                                             n_inputs, outputs, n_outputs, descs, places);
    bur_free(device->context, descs);
    bur_free(device->context, places);
    return status;
}
