/* Multi-tensor optimizers: one launch for all parameters whose tensors lie in the same buffers,
 * with a table of tensors and one of blocks that bind writes once. */
#include "cl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum {
    BLOCK = 64,           /* elements of a work-group: one each for a GPU's work-items, */
    BLOCK_ON_HOST = 1024, /* vectors for the only one on a CPU */
    MAX_SLOTS = 4         /* parameter, gradient, two states */
};

/* As in optimizer.cl. */
typedef struct tensors {
    cl_ulong count, offset[MAX_SLOTS];
} tensors;

static int64_t block_of(const bur_device_handle *device)
{
    return bur__cl_on_host(&device->info) ? BLOCK_ON_HOST : BLOCK;
}

bur_status bur__cl_build_optimizer(bur_kernel *kernel)
{
    static const char *const names[BUR_OP_COUNT] = {[BUR_OP_sgd] = "SGD",
                                                    [BUR_OP_momentum] = "MOMENTUM",
                                                    [BUR_OP_rmsprop] = "RMSPROP",
                                                    [BUR_OP_adagrad] = "ADAGRAD",
                                                    [BUR_OP_adam] = "ADAM"};
    const bur_optimizer_attr *attr = &kernel->call.attr->optimizer;
    const bool plain =
        attr->l1 == 0 && attr->l2 == 0 && attr->weight_decay == 0 && attr->clip_value == 0;
    char options[BUR_CL_OPTIONS_BYTES];
    const bur_device_handle *device = kernel->device;
    snprintf(options, sizeof options, "-DSTEP=%s -DBLOCK=%" PRId64 " -DV=%" PRId32 "%s",
             names[kernel->call.op], block_of(device),
             bur__cl_on_host(&device->info) ? device->vector_width : 1,
             plain            ? ""
             : attr->proximal ? " -DREGULAR -DPROXIMAL"
                              : " -DREGULAR");
    return bur__cl_program(&kernel->program, kernel->device, "optimizer", options);
}

static bool same_buffers(const bur_place *a, const bur_place *b, int32_t slots)
{
    for (int32_t s = 0; s < slots; s++)
        if (a[s].buffer != b[s].buffer)
            return false;
    return true;
}

/* A constant buffer that the command owns. */
static bur_status own_table(cl_mem *out, bur_command *command, void *data, size_t bytes)
{
    cl_int error = CL_SUCCESS;
    cl_mem mem = clCreateBuffer(command->device->cl, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, bytes,
                                data, &error);
    if (error != CL_SUCCESS)
        return bur_fail(BUR_E_NOMEM, "a table of %zu bytes: %s", bytes, bur__cl_error_name(error));
    return bur__cl_own(out, command, mem);
}

/* One launch over the `n` groups listed in `member`; all lie in the buffers of the first. */
static bur_status launch_members(bur_command *command, const bur_kernel *kernel,
                                 const bur_place *inputs, const int32_t *member, int32_t n,
                                 tensors *table, cl_uint *block)
{
    const bur_call *call = &kernel->call;
    const int32_t slots = bur_op_get(call->op)->group;
    const cl_ulong block_elements = (cl_ulong)block_of(kernel->device);
    const int64_t local = bur__cl_on_host(&kernel->device->info) ? 1 : BLOCK;
    int64_t n_blocks = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t first = 1 + member[i] * slots;
        table[i] = (tensors){.count = (cl_ulong)bur_desc_count(&call->inputs[first])};
        for (int32_t s = 0; s < slots; s++)
            table[i].offset[s] = inputs[first + s].offset_bytes / sizeof(cl_float);
        for (cl_ulong at = 0; at < table[i].count; at += block_elements, n_blocks++) {
            block[2 * n_blocks] = (cl_uint)i;
            block[2 * n_blocks + 1] = (cl_uint)at;
        }
    }
    if (n_blocks == 0)
        return BUR_OK;
    cl_mem groups = NULL, blocks = NULL;
    BUR_TRY(own_table(&groups, command, table, (size_t)n * sizeof *table));
    BUR_TRY(own_table(&blocks, command, block, (size_t)n_blocks * 2 * sizeof *block));
    const bur_place *place = &inputs[1 + member[0] * slots];
    cl_mem mem[MAX_SLOTS]; /* a state the optimizer lacks is not read: any buffer will do */
    for (int32_t s = 0; s < MAX_SLOTS; s++)
        mem[s] = place[s < slots ? s : 0].buffer->mem;
    const bur_optimizer_attr *attr = &call->attr->optimizer;
    return bur__cl_launch_add(
        command, kernel->program, "optimizer_step", n_blocks * local, local,
        BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_mem(mem[0]), bur__cl_mem(mem[1]),
                    bur__cl_mem(mem[2]), bur__cl_mem(mem[3]), bur__cl_mem(groups),
                    bur__cl_mem(blocks), bur__cl_float(attr->momentum), bur__cl_int(attr->nesterov),
                    bur__cl_float(attr->beta1), bur__cl_float(attr->beta2),
                    bur__cl_float(attr->epsilon), bur__cl_float(attr->l1), bur__cl_float(attr->l2),
                    bur__cl_float(attr->weight_decay),
                    bur__cl_float(attr->clip_value > 0 ? attr->clip_value : INFINITY)));
}

/* Splits the groups by the buffers they lie in and launches once for each set. */
static bur_status bind_all(bur_command *command, const bur_kernel *kernel, const bur_place *inputs,
                           int32_t n_groups, int32_t *member, tensors *table, cl_uint *block)
{
    const int32_t slots = bur_op_get(kernel->call.op)->group;
    for (int32_t first = 0; first < n_groups; first++) {
        const bur_place *place = &inputs[1 + first * slots];
        bool done = false;
        for (int32_t g = 0; g < first && !done; g++)
            done = same_buffers(place, &inputs[1 + g * slots], slots);
        int32_t n = 0;
        for (int32_t g = first; g < n_groups && !done; g++)
            if (same_buffers(place, &inputs[1 + g * slots], slots))
                member[n++] = g;
        if (n > 0)
            BUR_TRY(launch_members(command, kernel, inputs, member, n, table, block));
    }
    return BUR_OK;
}

bur_status bur__cl_bind_optimizer(bur_command *command, const bur_kernel *kernel,
                                  const bur_place *inputs, const bur_place *outputs,
                                  const bur_place *scratch)
{
    (void)outputs, (void)scratch;
    const bur_call *call = &kernel->call;
    const int32_t slots = bur_op_get(call->op)->group, n_groups = (call->n_inputs - 1) / slots;
    size_t n_blocks = 0;
    for (int32_t g = 0; g < n_groups; g++)
        n_blocks += (size_t)bur__cl_divide_up(bur_desc_count(&call->inputs[1 + g * slots]),
                                              block_of(kernel->device));
    bur_context *context = command->device->context;
    int32_t *member = bur_alloc_array(context, (size_t)n_groups, sizeof *member);
    tensors *table = bur_alloc_array(context, (size_t)n_groups, sizeof *table);
    cl_uint *block = bur_alloc_array(context, n_blocks, 2 * sizeof *block);
    bur_status status = BUR_E_NOMEM;
    if (member != NULL && table != NULL && block != NULL)
        status = bind_all(command, kernel, inputs, n_groups, member, table, block);
    bur_free(context, block);
    bur_free(context, table);
    bur_free(context, member);
    return status;
}
