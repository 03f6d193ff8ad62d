/* Batch normalisation, its gradient and its running statistics. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

enum { APPLY_ROWS = 16 }; /* of a work-item that only maps: they share its constants */

/* x as [rows, columns], cut into chunks of rows for sums over them and for maps. */
typedef struct batch_sizes {
    int64_t rows, columns, items; /* items: vectors of a row */
    int64_t sum_chunks, map_chunks;
    float epsilon;
} batch_sizes;

static batch_sizes sizes_of(const bur_kernel *kernel, const bur_desc *x)
{
    const float epsilon = kernel->call.attr->norm.epsilon;
    batch_sizes v = {.rows = bur__cl_rows(x), .columns = bur__cl_columns(x)};
    v.items = v.columns / bur__cl_vector_of(kernel->device, v.columns);
    v.sum_chunks = bur__cl_row_chunks(&kernel->device->info, v.rows, v.columns);
    v.map_chunks = bur__cl_divide_up(v.rows, APPLY_ROWS);
    v.epsilon = epsilon > 0 ? epsilon : 1e-5F;
    return v;
}

static bur_status build(bur_kernel *kernel, const bur_desc *x)
{
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options, "-DV=%" PRId64,
             bur__cl_vector_of(kernel->device, bur__cl_columns(x)));
    return bur__cl_program(&kernel->program, kernel->device, "batchnorm", options);
}

/* The second half of statistics [2, c]. */
static bur__cl_arg variances_of(bur__cl_arg stats, const batch_sizes *v)
{
    stats.offset += (cl_ulong)v->columns;
    return stats;
}

/* The residual, if there is one, is the last of `n_inputs` inputs. */
static bur_status launch_apply(bur_command *command, const bur_kernel *kernel, const batch_sizes *v,
                               const bur_place *inputs, bur__cl_arg mean, bur__cl_arg variance,
                               bool has_residual, const bur_place *y)
{
    const bur_place *residual = &inputs[has_residual ? kernel->call.n_inputs - 1 : 0];
    return bur__cl_launch_add(
        command, kernel->program, "batch_apply", v->map_chunks * v->items, BUR_CL_LOCAL,
        BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]), bur__cl_f32(&inputs[2]), mean,
                    variance, bur__cl_f32(residual), bur__cl_f32(y), bur__cl_int(v->rows),
                    bur__cl_int(v->columns), bur__cl_int(APPLY_ROWS), bur__cl_int(v->map_chunks),
                    bur__cl_float(v->epsilon), bur__cl_int(kernel->call.attr->norm.activation),
                    bur__cl_int(has_residual)));
}

/* Two figures of each column in each chunk. */
size_t bur__cl_scratch_batch_norm(const bur_device_info *info, const bur_call *call)
{
    const int64_t rows = bur__cl_rows(&call->inputs[0]),
                  columns = bur__cl_columns(&call->inputs[0]);
    return (size_t)(bur__cl_row_chunks(info, rows, columns) * 2 * columns) * sizeof(cl_float);
}

bur_status bur__cl_build_batch_norm(bur_kernel *kernel)
{
    return build(kernel, &kernel->call.inputs[0]);
}

bur_status bur__cl_bind_batch_norm(bur_command *command, const bur_kernel *kernel,
                                   const bur_place *inputs, const bur_place *outputs,
                                   const bur_place *scratch)
{
    const batch_sizes v = sizes_of(kernel, &kernel->call.inputs[0]);
    const bur__cl_arg partial = bur__cl_f32(scratch), stats = bur__cl_f32(&outputs[1]),
                      rows = bur__cl_int(v.rows), columns = bur__cl_int(v.columns),
                      chunk_rows = bur__cl_int(bur__cl_divide_up(v.rows, v.sum_chunks)),
                      chunks = bur__cl_int(v.sum_chunks);
    BUR_TRY(bur__cl_launch_add(
        command, kernel->program, "batch_moments", v.sum_chunks * v.items, BUR_CL_LOCAL,
        BUR_CL_ARGS(bur__cl_f32(&inputs[0]), partial, rows, columns, chunk_rows, chunks)));
    BUR_TRY(bur__cl_launch_add(command, kernel->program, "batch_stats", v.columns, BUR_CL_LOCAL,
                               BUR_CL_ARGS(partial, stats, rows, columns, chunk_rows, chunks)));
    return launch_apply(command, kernel, &v, inputs, stats, variances_of(stats, &v),
                        kernel->call.n_inputs > 3, &outputs[0]);
}

bur_status bur__cl_build_batch_norm_infer(bur_kernel *kernel)
{
    return build(kernel, &kernel->call.inputs[0]);
}

bur_status bur__cl_bind_batch_norm_infer(bur_command *command, const bur_kernel *kernel,
                                         const bur_place *inputs, const bur_place *outputs,
                                         const bur_place *scratch)
{
    (void)scratch;
    const batch_sizes v = sizes_of(kernel, &kernel->call.inputs[0]);
    return launch_apply(command, kernel, &v, inputs, bur__cl_f32(&inputs[3]),
                        bur__cl_f32(&inputs[4]), kernel->call.n_inputs > 5, &outputs[0]);
}

bur_status bur__cl_build_batch_norm_grad(bur_kernel *kernel)
{
    return build(kernel, &kernel->call.inputs[1]);
}

/* The sums over rows come before dx, which may take dy's place. */
static bur_status launch_grad(bur_command *command, const bur_kernel *kernel,
                              const bur_place *inputs, const bur_place *outputs,
                              const bur_place *scratch, bur__cl_arg shift, bur__cl_arg mean,
                              bur__cl_arg variance, float share)
{
    const batch_sizes v = sizes_of(kernel, &kernel->call.inputs[1]);
    const bur__cl_arg dy = bur__cl_f32(&inputs[0]), x = bur__cl_f32(&inputs[1]),
                      scale = bur__cl_f32(&inputs[2]), partial = bur__cl_f32(scratch),
                      dscale = bur__cl_f32(&outputs[1]), dshift = bur__cl_f32(&outputs[2]),
                      rows = bur__cl_int(v.rows), columns = bur__cl_int(v.columns),
                      chunks = bur__cl_int(v.sum_chunks), epsilon = bur__cl_float(v.epsilon),
                      activation = bur__cl_int(kernel->call.attr->norm.activation);
    BUR_TRY(bur__cl_launch_add(
        command, kernel->program, "batch_grad_chunks", v.sum_chunks * v.items, BUR_CL_LOCAL,
        BUR_CL_ARGS(dy, x, scale, shift, mean, variance, partial, rows, columns,
                    bur__cl_int(bur__cl_divide_up(v.rows, v.sum_chunks)), chunks, epsilon,
                    activation)));
    BUR_TRY(bur__cl_launch_add(
        command, kernel->program, "batch_grad_sum", v.columns, BUR_CL_LOCAL,
        BUR_CL_ARGS(partial, variance, dscale, dshift, columns, chunks, epsilon)));
    return bur__cl_launch_add(
        command, kernel->program, "batch_grad", v.map_chunks * v.items, BUR_CL_LOCAL,
        BUR_CL_ARGS(dy, x, scale, shift, mean, variance, dscale, dshift, bur__cl_f32(&outputs[0]),
                    rows, columns, bur__cl_int(APPLY_ROWS), bur__cl_int(v.map_chunks), epsilon,
                    activation, bur__cl_float(share)));
}

/* The shift is read only with an activation. */
bur_status bur__cl_bind_batch_norm_grad(bur_command *command, const bur_kernel *kernel,
                                        const bur_place *inputs, const bur_place *outputs,
                                        const bur_place *scratch)
{
    const batch_sizes v = sizes_of(kernel, &kernel->call.inputs[1]);
    const bur__cl_arg stats = bur__cl_f32(&inputs[3]);
    return launch_grad(command, kernel, inputs, outputs, scratch,
                       bur__cl_f32(&inputs[kernel->call.n_inputs > 4 ? 4 : 2]), stats,
                       variances_of(stats, &v), 1.0F / (float)v.rows);
}

bur_status bur__cl_build_batch_norm_infer_grad(bur_kernel *kernel)
{
    return build(kernel, &kernel->call.inputs[1]);
}

bur_status bur__cl_bind_batch_norm_infer_grad(bur_command *command, const bur_kernel *kernel,
                                              const bur_place *inputs, const bur_place *outputs,
                                              const bur_place *scratch)
{
    return launch_grad(command, kernel, inputs, outputs, scratch, bur__cl_f32(&inputs[2]),
                       bur__cl_f32(&inputs[3]), bur__cl_f32(&inputs[4]), 0);
}

bur_status bur__cl_build_running_stats(bur_kernel *kernel)
{
    return bur__cl_program(&kernel->program, kernel->device, "batchnorm", "-DV=1");
}

bur_status bur__cl_bind_running_stats(bur_command *command, const bur_kernel *kernel,
                                      const bur_place *inputs, const bur_place *outputs,
                                      const bur_place *scratch)
{
    (void)scratch;
    const bur_norm_attr *attr = &kernel->call.attr->norm;
    const int64_t columns = bur__cl_columns(&kernel->call.inputs[0]);
    const float correction =
        attr->unbiased && attr->rows > 1 ? (float)attr->rows / (float)(attr->rows - 1) : 1.0F;
    return bur__cl_launch_add(command, kernel->program, "running_stats", columns, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]),
                                          bur__cl_f32(&inputs[2]), bur__cl_f32(&outputs[0]),
                                          bur__cl_f32(&outputs[1]), bur__cl_int(columns),
                                          bur__cl_float(attr->momentum > 0 ? attr->momentum : 0.1F),
                                          bur__cl_float(correction)));
}
