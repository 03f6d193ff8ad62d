/* The backend interface around the reference rows, and its faults. */
#include "reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { GIB = 1 << 30, ALIGN_BYTES = 64 };

/* What tests have asked for; supports() has no argument that could carry it. */
static struct {
    const char *refused;
    bool loses;
    int64_t calls, calls_left;
    uint64_t memory_bytes, max_alloc_bytes;
} faults;

struct bur_device_handle {
    bur_context *context;
    bur_device_info info;
    uint64_t live_bytes;
    bur_kernel *kernels; /* built so far */
};

struct bur_buffer {
    bur_device_handle *device;
    size_t bytes;
    unsigned char *data;
};

struct bur_kernel {
    bur_kernel *next;
    bur_device_handle *device;
    bur_attr attr;
    bur_call call;
    bur_desc *descs; /* inputs, then outputs */
};

struct bur_command {
    const bur_kernel *kernel;
    void **operands; /* addresses: inputs, then outputs */
};

void bur_test_reference_reset(void)
{
    memset(&faults, 0, sizeof faults);
}

void bur_test_reference_refuse(const char *op_name)
{
    faults.refused = op_name;
}

void bur_test_reference_lose_after(int64_t calls)
{
    faults.loses = true;
    faults.calls_left = calls;
}

void bur_test_reference_limit(uint64_t memory_bytes, uint64_t max_alloc_bytes)
{
    faults.memory_bytes = memory_bytes;
    faults.max_alloc_bytes = max_alloc_bytes;
}

int64_t bur_test_reference_calls(void)
{
    return faults.calls;
}

/* Counts a call that touches the device. */
static bur_status touch(void)
{
    faults.calls++;
    faults.calls_left -= faults.loses && faults.calls_left >= 0;
    return faults.loses && faults.calls_left < 0
               ? bur_fail(BUR_E_LOST, "the reference device was lost by request")
               : BUR_OK;
}

static bur_status reference_enumerate(bur_context *context, bur_device_info *out, int32_t capacity,
                                      int32_t *count, char *note)
{
    (void)context;
    note[0] = '\0';
    *count = capacity < 1 ? 0 : 1;
    if (capacity < 1)
        return BUR_OK;
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "ref:0");
    snprintf(out->description, sizeof out->description, "reference in double");
    snprintf(out->vendor, sizeof out->vendor, "burthen tests");
    snprintf(out->driver, sizeof out->driver, "reference 1");
    out->kind = BUR_DEVICE_OTHER;
    out->compute_units = 1;
    out->trains = 1;
    out->memory_bytes = faults.memory_bytes > 0 ? faults.memory_bytes : GIB;
    out->max_alloc_bytes = faults.max_alloc_bytes > 0 ? faults.max_alloc_bytes : out->memory_bytes;
    out->align_bytes = ALIGN_BYTES;
    out->max_group_size = 1;
    return BUR_OK;
}

static bur_status reference_open(bur_device_handle **out, bur_context *context,
                                 const bur_device_info *info)
{
    bur_device_handle *device = bur_alloc(context, sizeof *device);
    if (device == NULL)
        return BUR_E_NOMEM;
    device->context = context;
    device->info = *info;
    *out = device;
    return BUR_OK;
}

static void reference_close(bur_device_handle *device)
{
    if (device == NULL)
        return;
    for (bur_kernel *kernel = device->kernels; kernel != NULL;) {
        bur_kernel *next = kernel->next;
        bur_free(device->context, kernel->descs);
        bur_free(device->context, kernel);
        kernel = next;
    }
    bur_free(device->context, device);
}

static bur_status reference_buffer_create(bur_buffer **out, bur_device_handle *device, size_t bytes)
{
    BUR_TRY(touch());
    if (bytes > device->info.max_alloc_bytes ||
        bytes > device->info.memory_bytes - device->live_bytes)
        return bur_fail(BUR_E_NOMEM,
                        "a buffer of %zu bytes; %" PRIu64 " of %" PRIu64
                        " bytes are free, largest buffer %" PRIu64,
                        bytes, device->info.memory_bytes - device->live_bytes,
                        device->info.memory_bytes, device->info.max_alloc_bytes);
    bur_buffer *buffer = bur_alloc(device->context, sizeof *buffer);
    void *data = bur_alloc(device->context, bytes > 0 ? bytes : 1);
    if (buffer == NULL || data == NULL) {
        bur_free(device->context, buffer);
        bur_free(device->context, data);
        return BUR_E_NOMEM;
    }
    *buffer = (bur_buffer){device, bytes, data};
    device->live_bytes += bytes;
    *out = buffer;
    return BUR_OK;
}

static void reference_buffer_destroy(bur_buffer *buffer)
{
    if (buffer == NULL)
        return;
    bur_context *context = buffer->device->context;
    buffer->device->live_bytes -= buffer->bytes;
    bur_free(context, buffer->data);
    bur_free(context, buffer);
}

static bur_status check_range(const bur_buffer *buffer, size_t offset, size_t bytes)
{
    return offset <= buffer->bytes && bytes <= buffer->bytes - offset
               ? BUR_OK
               : bur_fail(BUR_E_ARG, "%zu bytes at %zu of a buffer of %zu", bytes, offset,
                          buffer->bytes);
}

static bur_status reference_write(bur_buffer *buffer, size_t offset, const void *data, size_t bytes)
{
    BUR_TRY(touch());
    BUR_TRY(check_range(buffer, offset, bytes));
    memcpy(buffer->data + offset, data, bytes);
    return BUR_OK;
}

static bur_status reference_read(bur_buffer *buffer, size_t offset, void *data, size_t bytes)
{
    BUR_TRY(touch());
    BUR_TRY(check_range(buffer, offset, bytes));
    memcpy(data, buffer->data + offset, bytes);
    return BUR_OK;
}

static bur_status reference_fill(bur_buffer *buffer, size_t offset, int value, size_t bytes)
{
    BUR_TRY(touch());
    BUR_TRY(check_range(buffer, offset, bytes));
    memset(buffer->data + offset, value, bytes);
    return BUR_OK;
}

static bool dtype_is_known(const bur_desc *desc)
{
    return desc->layout == BUR_LAYOUT_PLAIN && (desc->dtype == BUR_F32 || desc->dtype == BUR_F64 ||
                                                desc->dtype == BUR_I32 || desc->dtype == BUR_U8);
}

static bool reference_supports(const bur_device_info *info, const bur_call *call, char *reason)
{
    (void)info;
    const char *name = bur_op_get(call->op)->name;
    if (faults.refused != NULL && strcmp(faults.refused, name) == 0) {
        snprintf(reason, BUR_TEXT_BYTES, "%s is refused by request", name);
        return false;
    }
    for (int32_t i = 0; i < call->n_inputs + call->n_outputs; i++)
        if (!dtype_is_known(i < call->n_inputs ? &call->inputs[i]
                                               : &call->outputs[i - call->n_inputs])) {
            snprintf(reason, BUR_TEXT_BYTES, "tensor %" PRId32 " is not plain f32, f64, i32 or u8",
                     i);
            return false;
        }
    return true;
}

static size_t reference_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info, (void)call, (void)threads;
    return 0;
}

static bool same_descs(const bur_desc *a, const bur_desc *b, int32_t n)
{
    return n == 0 || memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static bool same_call(const bur_call *a, const bur_call *b)
{
    return a->op == b->op && memcmp(a->attr, b->attr, sizeof *a->attr) == 0 &&
           a->n_inputs == b->n_inputs && a->n_outputs == b->n_outputs &&
           same_descs(a->inputs, b->inputs, a->n_inputs) &&
           same_descs(a->outputs, b->outputs, a->n_outputs);
}

static bur_status reference_build(bur_kernel **out, bur_device_handle *device, const bur_call *call)
{
    char reason[BUR_TEXT_BYTES];
    if (!reference_supports(&device->info, call, reason))
        return bur_fail(BUR_E_UNSUPPORTED, "%s", reason);
    for (bur_kernel *kernel = device->kernels; kernel != NULL; kernel = kernel->next)
        if (same_call(&kernel->call, call)) {
            *out = kernel;
            return BUR_OK;
        }
    bur_kernel *kernel = bur_alloc(device->context, sizeof *kernel);
    bur_desc *descs = bur_alloc_array(
        device->context, (size_t)call->n_inputs + (size_t)call->n_outputs + 1, sizeof *descs);
    if (kernel == NULL || descs == NULL) {
        bur_free(device->context, kernel);
        bur_free(device->context, descs);
        return BUR_E_NOMEM;
    }
    for (int32_t i = 0; i < call->n_inputs; i++)
        descs[i] = call->inputs[i];
    for (int32_t i = 0; i < call->n_outputs; i++)
        descs[call->n_inputs + i] = call->outputs[i];
    *kernel = (bur_kernel){.next = device->kernels,
                           .device = device,
                           .attr = *call->attr,
                           .call = *call,
                           .descs = descs};
    kernel->call.attr = &kernel->attr;
    kernel->call.inputs = descs;
    kernel->call.outputs = descs + call->n_inputs;
    device->kernels = kernel;
    *out = kernel;
    return BUR_OK;
}

static bur_status check_place(const bur_place *place, const bur_desc *desc)
{
    if (place->offset_bytes % ALIGN_BYTES != 0)
        return bur_fail(BUR_E_ARG, "offset %zu is not a multiple of %d", place->offset_bytes,
                        ALIGN_BYTES);
    return check_range(place->buffer, place->offset_bytes, bur_desc_bytes(desc));
}

static bur_status reference_bind(bur_command **out, bur_kernel *kernel, const bur_place *inputs,
                                 const bur_place *outputs, const bur_place *scratch)
{
    (void)scratch;
    const int32_t n_inputs = kernel->call.n_inputs, n = n_inputs + kernel->call.n_outputs;
    for (int32_t i = 0; i < n; i++)
        BUR_TRY(check_place(i < n_inputs ? &inputs[i] : &outputs[i - n_inputs], &kernel->descs[i]));
    bur_context *context = kernel->device->context;
    bur_command *command = bur_alloc(context, sizeof *command);
    void **operands = bur_alloc_array(context, (size_t)n + 1, sizeof *operands);
    if (command == NULL || operands == NULL) {
        bur_free(context, command);
        bur_free(context, operands);
        return BUR_E_NOMEM;
    }
    for (int32_t i = 0; i < n; i++) {
        const bur_place *place = i < n_inputs ? &inputs[i] : &outputs[i - n_inputs];
        operands[i] = place->buffer->data + place->offset_bytes;
    }
    *command = (bur_command){kernel, operands};
    *out = command;
    return BUR_OK;
}

static void reference_command_destroy(bur_command *command)
{
    if (command == NULL)
        return;
    bur_context *context = command->kernel->device->context;
    bur_free(context, command->operands);
    bur_free(context, command);
}

static bur_status reference_run(bur_device_handle *device, bur_command *const *commands,
                                int32_t count)
{
    (void)device;
    BUR_TRY(touch());
    for (int32_t i = 0; i < count; i++) {
        const bur_call *call = &commands[i]->kernel->call;
        bur_test_reference_evaluate(call, commands[i]->operands,
                                    commands[i]->operands + call->n_inputs);
    }
    return BUR_OK;
}

static bur_status reference_sync(bur_device_handle *device)
{
    (void)device;
    return touch();
}

static const char *reference_command_text(const bur_command *command)
{
    (void)command;
    return "reference";
}

const bur_backend *bur_test_reference_backend(void)
{
    static const bur_backend backend = {
        .version = BUR_BACKEND_VERSION,
        .name = "reference",
        .enumerate = reference_enumerate,
        .open = reference_open,
        .close = reference_close,
        .buffer_create = reference_buffer_create,
        .buffer_destroy = reference_buffer_destroy,
        .write = reference_write,
        .read = reference_read,
        .fill = reference_fill,
        .supports = reference_supports,
        .scratch = reference_scratch,
        .build = reference_build,
        .bind = reference_bind,
        .command_destroy = reference_command_destroy,
        .run = reference_run,
        .sync = reference_sync,
        .command_text = reference_command_text,
    };
    return &backend;
}
