#define _DEFAULT_SOURCE /* madvise */
/* Opened CPU devices: memory, cached kernels, commands. */
#include "cpu.h"

#include <assert.h>
#include <string.h>

#include <sys/mman.h>

/* ---- devices ---- */

bur_status bur__cpu_open(bur_device_handle **out, bur_context *context, const bur_device_info *info)
{
    const bur_cpu_isa *isa = bur__cpu_isa_of(info);
    if (isa == NULL || !isa->runs_here())
        return bur_fail(BUR_E_DEVICE, "this processor or build cannot run '%s'", info->driver);
    bur_device_handle *device = bur_alloc(context, sizeof *device);
    if (device == NULL)
        return BUR_E_NOMEM;
    device->context = context;
    device->info = *info;
    device->isa = isa;
    device->threads = bur_context_threads(context);
    device->modes = bur_alloc_array(context, (size_t)device->threads, sizeof *device->modes);
    if (device->modes == NULL) {
        bur_free(context, device);
        return BUR_E_NOMEM;
    }
    *out = device;
    return BUR_OK;
}

static void kernel_destroy(bur_kernel *kernel)
{
    if (kernel->entry->discard != NULL)
        kernel->entry->discard(kernel);
    bur_free(kernel->device->context, kernel);
}

void bur__cpu_close(bur_device_handle *device)
{
    if (device == NULL)
        return;
    for (int32_t i = 0; i < BUR_CPU_BUCKETS; i++)
        for (bur_kernel *kernel = device->kernels[i], *next; kernel != NULL; kernel = next) {
            next = kernel->next;
            kernel_destroy(kernel);
        }
    bur_free(device->context, device->modes);
    bur_free(device->context, device);
}

/* ---- memory ---- */

enum { CACHE_LINE_BYTES = 64, HUGE_PAGE_BYTES = 2 << 20 };

/* Large buffers ask for huge pages: fewer TLB misses. That is advice; the result does not matter.
 */
bur_status bur__cpu_buffer_create(bur_buffer **out, bur_device_handle *device, size_t bytes)
{
    bur_buffer *buffer = bur_alloc(device->context, sizeof *buffer);
    if (buffer == NULL)
        return BUR_E_NOMEM;
    const bool large = bytes >= HUGE_PAGE_BYTES;
    buffer->device = device;
    buffer->bytes = bytes;
    buffer->memory =
        bur_alloc_aligned(device->context, bytes, large ? HUGE_PAGE_BYTES : CACHE_LINE_BYTES);
    if (buffer->memory == NULL) {
        bur_free(device->context, buffer);
        return BUR_E_NOMEM;
    }
    if (large)
        (void)madvise(buffer->memory, bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES, MADV_HUGEPAGE);
    *out = buffer;
    return BUR_OK;
}

void bur__cpu_buffer_destroy(bur_buffer *buffer)
{
    if (buffer == NULL)
        return;
    bur_context *context = buffer->device->context;
    bur_free(context, buffer->memory);
    bur_free(context, buffer);
}

/* ---- kernels ---- */

/* FNV-1a. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ byte[i]) * 0x100000001b3u;
    return hash;
}

static size_t desc_bytes(int32_t count)
{
    return (size_t)count * sizeof(bur_desc);
}

static uint64_t hash_call(const bur_call *call)
{
    const int32_t head[3] = {(int32_t)call->op, call->n_inputs, call->n_outputs};
    uint64_t hash = hash_bytes(0xcbf29ce484222325u, head, sizeof head);
    hash = hash_bytes(hash, call->attr, sizeof *call->attr);
    hash = hash_bytes(hash, call->inputs, desc_bytes(call->n_inputs));
    return hash_bytes(hash, call->outputs, desc_bytes(call->n_outputs));
}

static bool same_bytes(const void *a, const void *b, size_t bytes)
{
    return bytes == 0 || memcmp(a, b, bytes) == 0;
}

static bool same_call(const bur_call *a, const bur_call *b)
{
    return a->op == b->op && a->n_inputs == b->n_inputs && a->n_outputs == b->n_outputs &&
           same_bytes(a->attr, b->attr, sizeof *a->attr) &&
           same_bytes(a->inputs, b->inputs, desc_bytes(a->n_inputs)) &&
           same_bytes(a->outputs, b->outputs, desc_bytes(a->n_outputs));
}

/* One block: the kernel, its attributes, its descriptions. */
static bur_kernel *kernel_allocate(bur_context *context, const bur_call *call)
{
    const int32_t count = call->n_inputs + call->n_outputs;
    bur_kernel *kernel = bur_alloc(context, sizeof *kernel + sizeof(bur_attr) + desc_bytes(count));
    if (kernel == NULL)
        return NULL;
    bur_desc *descs = (bur_desc *)(kernel + 1);
    bur_attr *attr = (bur_attr *)(descs + count);
    if (call->n_inputs > 0)
        memcpy(descs, call->inputs, desc_bytes(call->n_inputs));
    if (call->n_outputs > 0)
        memcpy(descs + call->n_inputs, call->outputs, desc_bytes(call->n_outputs));
    *attr = *call->attr;
    kernel->call = *call;
    kernel->call.attr = attr;
    kernel->call.inputs = descs;
    kernel->call.outputs = descs + call->n_inputs;
    return kernel;
}

bur_status bur__cpu_build(bur_kernel **out, bur_device_handle *device, const bur_call *call)
{
    const uint64_t hash = hash_call(call);
    bur_kernel **bucket = &device->kernels[hash % BUR_CPU_BUCKETS];
    for (bur_kernel *known = *bucket; known != NULL; known = known->next)
        if (known->hash == hash && same_call(&known->call, call)) {
            *out = known;
            return BUR_OK;
        }
    char reason[BUR_TEXT_BYTES] = "";
    const bur_cpu_entry *entry = bur__cpu_entry(&device->info, call, reason);
    if (entry == NULL)
        return bur_fail(BUR_E_UNSUPPORTED, "%s", reason);
    bur_kernel *kernel = kernel_allocate(device->context, call);
    if (kernel == NULL)
        return BUR_E_NOMEM;
    kernel->entry = entry;
    kernel->device = device;
    kernel->alone = bur__cpu_is_alone(entry, call);
    kernel->threads = kernel->alone ? 1 : device->threads;
    kernel->scratch_bytes =
        entry->scratch == NULL ? 0 : entry->scratch(&device->info, call, kernel->threads);
    kernel->hash = hash;
    const bur_status status = entry->build == NULL ? BUR_OK : entry->build(kernel);
    if (status != BUR_OK) {
        bur_free(device->context, kernel);
        return status;
    }
    kernel->next = *bucket;
    *bucket = kernel;
    *out = kernel;
    return BUR_OK;
}

/* ---- commands ---- */

static void *address(const bur_place *place)
{
    char *at = place->buffer->memory + place->offset_bytes;
    assert((uintptr_t)at % CACHE_LINE_BYTES == 0);
    return at;
}

/* One block: the command and its addresses. */
bur_status bur__cpu_bind(bur_command **out, bur_kernel *kernel, const bur_place *inputs,
                         const bur_place *outputs, const bur_place *scratch)
{
    bur_context *context = kernel->device->context;
    const bur_call *call = &kernel->call;
    const size_t count = (size_t)(call->n_inputs + call->n_outputs);
    bur_command *command = bur_alloc(context, sizeof *command + count * sizeof(void *));
    if (command == NULL)
        return BUR_E_NOMEM;
    command->run = kernel->entry->run;
    command->alone = kernel->alone;
    command->outside = kernel->entry->outside;
    command->kernel = kernel;
    command->inputs = (void **)(command + 1);
    command->outputs = command->inputs + call->n_inputs;
    for (int32_t i = 0; i < call->n_inputs; i++)
        command->inputs[i] = address(&inputs[i]);
    for (int32_t i = 0; i < call->n_outputs; i++)
        command->outputs[i] = address(&outputs[i]);
    assert(kernel->scratch_bytes == 0 || (scratch != NULL && scratch->buffer != NULL));
    if (kernel->scratch_bytes > 0)
        command->scratch = address(scratch);
    const bur_status status = kernel->entry->bind == NULL ? BUR_OK : kernel->entry->bind(command);
    if (status != BUR_OK) {
        bur_free(context, command);
        return status;
    }
    *out = command;
    return BUR_OK;
}

void bur__cpu_command_destroy(bur_command *command)
{
    if (command == NULL)
        return;
    const bur_kernel *kernel = command->kernel;
    if (kernel->entry->unbind != NULL)
        kernel->entry->unbind(command);
    bur_free(kernel->device->context, command);
}
