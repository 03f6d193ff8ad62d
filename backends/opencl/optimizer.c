/* Multi-tensor optimizers: one launch for all parameters whose tensors lie in the same buffers,
 * with a table of tensors and one of blocks that bind writes once. */
#include "cl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum {
    BLOCK = 64,           /* elements of a work-group: one each for a GPU's work-items, */
    BLOCK_ON_HOST = 1024, /* vectors for the only one on a CPU */
    NORM_BLOCK = 4096,    /* elements whose squares a work-group adds up */
    MAX_SLOTS = 4         /* parameter, gradient, two states */
};

/* As in optimizer.cl. */
typedef struct tensors {
    cl_ulong count, offset[MAX_SLOTS];
} tensors;

/* Where a row's tensors stand among its inputs and how they are cut. */
typedef struct layout {
    int32_t first, slots, groups;
    int64_t block; /* elements of a work-group */
} layout;

static layout layout_of(const bur_device_info *info, const bur_call *call)
{
    layout l = {.slots = 1, .groups = call->n_inputs, .block = NORM_BLOCK};
    if (call->op != BUR_OP_global_norm) {
        l.first = bur_op_first_group(call);
        l.slots = bur_op_get(call->op)->group;
        l.groups = (call->n_inputs - l.first) / l.slots;
        l.block = bur__cl_on_host(info) ? BLOCK_ON_HOST : BLOCK;
    }
    return l;
}

static int64_t blocks_of(const layout *l, const bur_call *call)
{
    int64_t n = 0;
    for (int32_t g = 0; g < l->groups; g++)
        n += bur__cl_divide_up(bur_desc_count(&call->inputs[l->first + g * l->slots]), l->block);
    return n;
}

/* Work-items of a group that adds up: one without local memory. */
static int64_t group_of(const bur_device_handle *device)
{
    const bool wide = !bur__cl_on_host(&device->info) && device->info.local_bytes > 0 &&
                      device->info.max_group_size >= BUR_CL_LOCAL;
    return wide ? BUR_CL_LOCAL : 1;
}

static bur_status build(bur_kernel *kernel, const char *step, int64_t block, const char *more)
{
    const bur_device_handle *device = kernel->device;
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DSTEP=%s -DBLOCK=%" PRId64 " -DGROUP=%" PRId64 " -DV=%" PRId32 "%s", step, block,
             group_of(device), bur__cl_on_host(&device->info) ? device->vector_width : 1, more);
    return bur__cl_program(&kernel->program, kernel->device, "optimizer", options);
}

bur_status bur__cl_build_global_norm(bur_kernel *kernel)
{
    return build(kernel, "SGD", NORM_BLOCK, "");
}

size_t bur__cl_scratch_global_norm(const bur_device_info *info, const bur_call *call)
{
    const layout l = layout_of(info, call);
    return (size_t)bur__cl_max(blocks_of(&l, call), 1) * sizeof(cl_float);
}

bur_status bur__cl_build_optimizer(bur_kernel *kernel)
{
    static const char *const names[BUR_OP_COUNT] = {
        [BUR_OP_sgd] = "SGD",         [BUR_OP_momentum] = "MOMENTUM",
        [BUR_OP_rmsprop] = "RMSPROP", [BUR_OP_adagrad] = "ADAGRAD",
        [BUR_OP_adam] = "ADAM",       [BUR_OP_moving_average] = "AVERAGE",
        [BUR_OP_accumulate] = "SUM"};
    const bur_optimizer_attr *attr = &kernel->call.attr->optimizer;
    const bool plain = attr->l1 == 0 && attr->l2 == 0 && attr->weight_decay == 0 &&
                       attr->clip_value == 0 && attr->clip_norm == 0;
    char more[BUR_NAME_BYTES];
    snprintf(more, sizeof more, "%s%s%s", plain ? "" : " -DREGULAR",
             attr->proximal ? " -DPROXIMAL" : "", attr->clip_norm > 0 ? " -DSCALED" : "");
    return build(kernel, names[kernel->call.op],
                 layout_of(&kernel->device->info, &kernel->call).block, more);
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

/* A row's way into launches, one for each set of groups that lie in the same buffers. */
typedef struct binding {
    bur_command *command;
    const bur_kernel *kernel;
    const bur_place *inputs, *scratch;
    layout layout;
    int32_t *member; /* groups of the present launch */
    tensors *table;
    cl_uint *block;
    int64_t done; /* blocks of the launches before */
} binding;

static const bur_place *place_of(const binding *b, int32_t group)
{
    return &b->inputs[b->layout.first + group * b->layout.slots];
}

static bur_status launch_norm(const binding *b, const bur_place *place, cl_mem groups,
                              cl_mem blocks, int64_t n_blocks)
{
    const int64_t group = group_of(b->kernel->device);
    return bur__cl_launch_add(
        b->command, b->kernel->program, "sum_of_squares", n_blocks * group, group,
        BUR_CL_ARGS(bur__cl_mem(place->buffer->mem), bur__cl_f32(b->scratch), bur__cl_mem(groups),
                    bur__cl_mem(blocks), bur__cl_int(b->done)));
}

static bur_status launch_step(const binding *b, const bur_place *place, cl_mem groups,
                              cl_mem blocks, int64_t n_blocks)
{
    const int64_t local = bur__cl_on_host(&b->kernel->device->info) ? 1 : BLOCK;
    cl_mem mem[MAX_SLOTS]; /* a state the optimizer lacks is not read: any buffer will do */
    for (int32_t s = 0; s < MAX_SLOTS; s++)
        mem[s] = place[s < b->layout.slots ? s : 0].buffer->mem;
    const bur_optimizer_attr *attr = &b->kernel->call.attr->optimizer;
    return bur__cl_launch_add(
        b->command, b->kernel->program, "optimizer_step", n_blocks * local, local,
        BUR_CL_ARGS(bur__cl_f32(&b->inputs[0]), bur__cl_f32(&b->inputs[b->layout.first - 1]),
                    bur__cl_mem(mem[0]), bur__cl_mem(mem[1]), bur__cl_mem(mem[2]),
                    bur__cl_mem(mem[3]), bur__cl_mem(groups), bur__cl_mem(blocks),
                    bur__cl_float(attr->momentum), bur__cl_int(attr->nesterov),
                    bur__cl_float(attr->beta1), bur__cl_float(attr->beta2),
                    bur__cl_float(attr->epsilon), bur__cl_float(attr->l1), bur__cl_float(attr->l2),
                    bur__cl_float(attr->weight_decay),
                    bur__cl_float(attr->clip_value > 0 ? attr->clip_value : INFINITY),
                    bur__cl_float(attr->ema)));
}

/* One launch over the first `n` groups of b->member; all lie in the buffers of the first. */
static bur_status launch_members(binding *b, int32_t n)
{
    const bur_call *call = &b->kernel->call;
    int64_t n_blocks = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t first = b->layout.first + b->member[i] * b->layout.slots;
        b->table[i] = (tensors){.count = (cl_ulong)bur_desc_count(&call->inputs[first])};
        for (int32_t s = 0; s < b->layout.slots; s++)
            b->table[i].offset[s] = b->inputs[first + s].offset_bytes / sizeof(cl_float);
        for (cl_ulong at = 0; at < b->table[i].count; at += (cl_ulong)b->layout.block, n_blocks++) {
            b->block[2 * n_blocks] = (cl_uint)i;
            b->block[2 * n_blocks + 1] = (cl_uint)at;
        }
    }
    if (n_blocks == 0)
        return BUR_OK;
    cl_mem groups = NULL, blocks = NULL;
    BUR_TRY(own_table(&groups, b->command, b->table, (size_t)n * sizeof *b->table));
    BUR_TRY(own_table(&blocks, b->command, b->block, (size_t)n_blocks * 2 * sizeof *b->block));
    const bur_place *place = place_of(b, b->member[0]);
    BUR_TRY((call->op == BUR_OP_global_norm ? launch_norm : launch_step)(b, place, groups, blocks,
                                                                         n_blocks));
    b->done += n_blocks;
    return BUR_OK;
}

/* Splits the groups by the buffers they lie in and launches once for each set. */
static bur_status launch_all(binding *b)
{
    const layout *l = &b->layout;
    for (int32_t first = 0; first < l->groups; first++) {
        const bur_place *place = place_of(b, first);
        bool done = false;
        for (int32_t g = 0; g < first && !done; g++)
            done = same_buffers(place, place_of(b, g), l->slots);
        int32_t n = 0;
        for (int32_t g = first; g < l->groups && !done; g++)
            if (same_buffers(place, place_of(b, g), l->slots))
                b->member[n++] = g;
        if (n > 0)
            BUR_TRY(launch_members(b, n));
    }
    return BUR_OK;
}

bur_status bur__cl_bind_optimizer(bur_command *command, const bur_kernel *kernel,
                                  const bur_place *inputs, const bur_place *outputs,
                                  const bur_place *scratch)
{
    (void)outputs;
    binding b = {.command = command,
                 .kernel = kernel,
                 .inputs = inputs,
                 .scratch = scratch,
                 .layout = layout_of(&kernel->device->info, &kernel->call)};
    bur_context *context = command->device->context;
    const size_t groups = (size_t)b.layout.groups;
    b.member = bur_alloc_array(context, groups, sizeof *b.member);
    b.table = bur_alloc_array(context, groups, sizeof *b.table);
    b.block =
        bur_alloc_array(context, (size_t)blocks_of(&b.layout, &kernel->call), 2 * sizeof *b.block);
    bur_status status = BUR_E_NOMEM;
    if (b.member != NULL && b.table != NULL && b.block != NULL)
        status = launch_all(&b);
    bur_free(context, b.block);
    bur_free(context, b.table);
    bur_free(context, b.member);
    return status;
}

/* The sums of the blocks, then one group for all of them. */
bur_status bur__cl_bind_global_norm(bur_command *command, const bur_kernel *kernel,
                                    const bur_place *inputs, const bur_place *outputs,
                                    const bur_place *scratch)
{
    const layout l = layout_of(&kernel->device->info, &kernel->call);
    const int64_t group = group_of(kernel->device);
    BUR_TRY(bur__cl_bind_optimizer(command, kernel, inputs, outputs, scratch));
    return bur__cl_launch_add(command, kernel->program, "norm_of_squares", group, group,
                              BUR_CL_ARGS(bur__cl_f32(scratch), bur__cl_f32(&outputs[0]),
                                          bur__cl_int(blocks_of(&l, &kernel->call)),
                                          bur__cl_float(kernel->call.attr->optimizer.clip_norm)));
}
