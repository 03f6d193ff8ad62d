/* Layer, RMS and group normalisation: the sizes of a sample are constants of the program. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    GROUP = 64, /* work-items of a cell on a device with local memory */
    LONG_CELL = 128,
    LEAST_CHUNK_ROWS = 32,
    CHUNK_ITEMS = 32768,
    CHUNK_ITEMS_ON_HOST = 512
};

/* x is [samples, area, groups, width]; a cell is what one mean and deviation is of. */
typedef struct norm_sizes {
    int64_t rows, cells, area, groups, width, c;
    bool centred; /* not RMS */
} norm_sizes;

static norm_sizes sizes_of(const bur_call *call, const bur_desc *x)
{
    const bool grouped = call->op == BUR_OP_group_norm || call->op == BUR_OP_group_norm_grad;
    const int64_t rows = bur__cl_rows(x), c = bur__cl_columns(x);
    norm_sizes v = {.rows = rows, .cells = rows, .area = 1, .groups = 1, .width = c, .c = c};
    v.centred = call->op != BUR_OP_rms_norm && call->op != BUR_OP_rms_norm_grad;
    if (grouped) {
        const int64_t samples = bur__cl_max(x->shape.dim[0], 1);
        v.groups = bur__cl_max(call->attr->norm.groups, 1);
        v.area = bur__cl_max(rows / samples, 1);
        v.cells = rows / v.area * v.groups;
        v.width = c / v.groups;
    }
    return v;
}

static int64_t group_of(const bur_device_handle *device, const norm_sizes *v)
{
    const bool wide = !bur__cl_on_host(&device->info) && device->info.local_bytes > 0 &&
                      device->info.max_group_size >= GROUP && v->area * v->width >= LONG_CELL;
    return wide ? GROUP : 1;
}

static bur_status build(bur_kernel *kernel, const bur_desc *x, const char *more)
{
    const norm_sizes v = sizes_of(&kernel->call, x);
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DV=%" PRId64 " -DGROUP=%" PRId64 " -DAREA=%" PRId64 " -DGROUPS=%" PRId64
             " -DWIDTH=%" PRId64 " -DCENTRED=%d%s",
             bur__cl_vector_of(kernel->device, v.width), group_of(kernel->device, &v), v.area,
             v.groups, v.width, v.centred, more);
    return bur__cl_program(&kernel->program, kernel->device, "norm", options);
}

/* All work-items of a cell make a group, or each cell has one. */
static bur_status launch_cells(bur_command *command, const bur_kernel *kernel, const char *name,
                               const norm_sizes *v, const bur__cl_arg *args, int32_t n)
{
    const int64_t group = group_of(kernel->device, v);
    return bur__cl_launch_add(command, kernel->program, name, v->cells * group,
                              group > 1 ? group : BUR_CL_LOCAL, args, n);
}

bur_status bur__cl_build_norm(bur_kernel *kernel)
{
    return build(kernel, &kernel->call.inputs[0], kernel->call.n_outputs > 1 ? " -DSTATS" : "");
}

bur_status bur__cl_bind_norm(bur_command *command, const bur_kernel *kernel,
                             const bur_place *inputs, const bur_place *outputs,
                             const bur_place *scratch)
{
    (void)scratch;
    const bur_call *call = &kernel->call;
    const norm_sizes v = sizes_of(call, &call->inputs[0]);
    const float epsilon = call->attr->norm.epsilon;
    bur__cl_arg args[7];
    int32_t n = 0;
    for (int32_t i = 0; i < call->n_inputs; i++)
        args[n++] = bur__cl_f32(&inputs[i]);
    for (int32_t i = 0; i < call->n_outputs; i++)
        args[n++] = bur__cl_f32(&outputs[i]);
    args[n++] = bur__cl_int(v.cells);
    args[n++] = bur__cl_float(epsilon > 0 ? epsilon : 1e-5F);
    return launch_cells(command, kernel, "norm", &v, args, n);
}

/* ---- gradient ---- */

int64_t bur__cl_row_chunks(const bur_device_info *info, int64_t rows, int64_t columns)
{
    const int64_t items = bur__cl_on_host(info) ? CHUNK_ITEMS_ON_HOST : CHUNK_ITEMS;
    const int64_t most = bur__cl_divide_up(items, columns);
    return bur__cl_max(1, bur__cl_min(most, bur__cl_divide_up(rows, LEAST_CHUNK_ROWS)));
}

size_t bur__cl_scratch_norm_grad(const bur_device_info *info, const bur_call *call)
{
    const norm_sizes v = sizes_of(call, &call->inputs[1]);
    return (size_t)(bur__cl_row_chunks(info, v.rows, v.c) * 2 * v.c) * sizeof(cl_float);
}

bur_status bur__cl_build_norm_grad(bur_kernel *kernel)
{
    return build(kernel, &kernel->call.inputs[1], "");
}

/* The sums over rows come before dx, which may take dy's place. */
bur_status bur__cl_bind_norm_grad(bur_command *command, const bur_kernel *kernel,
                                  const bur_place *inputs, const bur_place *outputs,
                                  const bur_place *scratch)
{
    const norm_sizes v = sizes_of(&kernel->call, &kernel->call.inputs[1]);
    const int64_t chunks = bur__cl_row_chunks(&kernel->device->info, v.rows, v.c);
    const bur__cl_arg dy = bur__cl_f32(&inputs[0]), x = bur__cl_f32(&inputs[1]),
                      scale = bur__cl_f32(&inputs[2]), stats = bur__cl_f32(&inputs[3]),
                      partial = bur__cl_f32(scratch), cells = bur__cl_int(v.cells);
    BUR_TRY(bur__cl_launch_add(
        command, kernel->program, "norm_grad_chunks",
        chunks * (v.c / bur__cl_vector_of(kernel->device, v.width)), BUR_CL_LOCAL,
        BUR_CL_ARGS(dy, x, stats, partial, cells, bur__cl_int(v.rows),
                    bur__cl_int(bur__cl_divide_up(v.rows, chunks)), bur__cl_int(chunks))));
    bur__cl_arg sums[4];
    int32_t n = 0;
    sums[n++] = partial;
    for (int32_t i = 1; i < kernel->call.n_outputs; i++)
        sums[n++] = bur__cl_f32(&outputs[i]);
    sums[n++] = bur__cl_int(chunks);
    BUR_TRY(
        bur__cl_launch_add(command, kernel->program, "norm_grad_sum", v.c, BUR_CL_LOCAL, sums, n));
    return launch_cells(command, kernel, "norm_grad", &v,
                        BUR_CL_ARGS(dy, x, scale, stats, bur__cl_f32(&outputs[0]), cells));
}
