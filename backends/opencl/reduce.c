/* Sums over rows: bias_grad and bias_act_grad; also the second half of a split reduction. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

enum { LEAST_CHUNK_ROWS = 16, CHUNK_ITEMS = 32768, CHUNK_ITEMS_ON_HOST = 1024 };

/* How many chunks the rows are cut into: enough work-items to fill the device, each with enough
 * rows to pay for its partial sum. */
static int64_t chunks_of(const bur_device_info *info, int64_t rows, int64_t columns)
{
    const int64_t items = bur__cl_on_host(info) ? CHUNK_ITEMS_ON_HOST : CHUNK_ITEMS;
    const int64_t most = bur__cl_divide_up(items, bur__cl_max(columns, 1));
    return bur__cl_max(1, bur__cl_min(most, bur__cl_divide_up(rows, LEAST_CHUNK_ROWS)));
}

size_t bur__cl_scratch_bias_grad(const bur_device_info *info, const bur_call *call)
{
    const int64_t rows = bur__cl_rows(&call->inputs[0]),
                  columns = bur__cl_columns(&call->inputs[0]);
    return (size_t)(chunks_of(info, rows, columns) * columns) * sizeof(cl_float);
}

/* On a GPU neighbours read neighbouring columns; on a CPU a work-item has a vector of them. */
static int64_t vector_of(const bur_device_handle *device, int64_t columns)
{
    return bur__cl_on_host(&device->info) ? bur__cl_vector_of(device, columns) : 1;
}

static bur_status build(cl_program *out, bur_device_handle *device, int64_t columns,
                        const char *more)
{
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options, "-DV=%" PRId64 "%s", vector_of(device, columns), more);
    return bur__cl_program(out, device, "reduce", options);
}

bur_status bur__cl_build_bias_grad(bur_kernel *kernel)
{
    char more[BUR_NAME_BYTES] = "";
    if (kernel->call.op == BUR_OP_bias_act_grad)
        snprintf(more, sizeof more, " -DACT=%" PRId32, kernel->call.attr->activation.activation);
    return build(&kernel->program, kernel->device, bur__cl_columns(&kernel->call.inputs[0]), more);
}

bur_status bur__cl_build_sum_chunks(cl_program *out, bur_device_handle *device, int64_t columns)
{
    return build(out, device, columns, "");
}

bur_status bur__cl_launch_sum_chunks(bur_command *command, cl_program program,
                                     const bur_place *partial, const bur_place *y, int64_t columns,
                                     int64_t chunks)
{
    return bur__cl_launch_add(command, program, "sum_chunks",
                              columns / vector_of(command->device, columns), BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(partial), bur__cl_f32(y),
                                          bur__cl_int(columns), bur__cl_int(chunks)));
}

bur_status bur__cl_launch_add_chunks(bur_command *command, cl_program program,
                                     const bur_place *partial, const bur_place *sum,
                                     const bur_place *scalars, const bur_place *y, int64_t columns,
                                     int64_t chunks)
{
    return bur__cl_launch_add(
        command, program, "add_chunks", columns / vector_of(command->device, columns), BUR_CL_LOCAL,
        BUR_CL_ARGS(bur__cl_f32(partial), bur__cl_f32(sum), bur__cl_f32(scalars), bur__cl_f32(y),
                    bur__cl_int(columns), bur__cl_int(chunks)));
}

bur_status bur__cl_bind_bias_grad(bur_command *command, const bur_kernel *kernel,
                                  const bur_place *inputs, const bur_place *outputs,
                                  const bur_place *scratch)
{
    const bur_call *call = &kernel->call;
    const int64_t rows = bur__cl_rows(&call->inputs[0]),
                  columns = bur__cl_columns(&call->inputs[0]);
    const int64_t chunks = chunks_of(&kernel->device->info, rows, columns);
    const int64_t chunk_rows = bur__cl_divide_up(rows, chunks);
    const bur__cl_arg sizes[] = {bur__cl_int(rows), bur__cl_int(columns), bur__cl_int(chunk_rows),
                                 bur__cl_int(chunks), bur__cl_float(call->attr->activation.alpha)};
    const bool fused = call->op == BUR_OP_bias_act_grad;
    const int64_t vector = vector_of(kernel->device, columns), items = chunks * columns / vector;
    const int64_t local = vector > 1 ? 1 : BUR_CL_LOCAL;
    if (fused)
        BUR_TRY(bur__cl_launch_add(command, kernel->program, "bias_grad_chunks", items, local,
                                   BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]),
                                               bur__cl_f32(&outputs[0]), bur__cl_f32(scratch),
                                               sizes[0], sizes[1], sizes[2], sizes[3], sizes[4])));
    else
        BUR_TRY(bur__cl_launch_add(command, kernel->program, "bias_grad_chunks", items, local,
                                   BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(scratch),
                                               sizes[0], sizes[1], sizes[2], sizes[3], sizes[4])));
    return bur__cl_launch_sum_chunks(command, kernel->program, scratch, &outputs[fused ? 1 : 0],
                                     columns, chunks);
}
