/* The gradient of a factor for each channel of each sample. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

enum { CHUNK_ROWS = 64 };

typedef struct gate_sizes {
    int64_t samples, area, columns, chunks;
} gate_sizes;

static gate_sizes sizes_of(const bur_call *call)
{
    const int64_t *dim = call->inputs[1].shape.dim;
    return (gate_sizes){dim[0], dim[1] * dim[2], dim[3],
                        bur__cl_divide_up(dim[1] * dim[2], CHUNK_ROWS)};
}

size_t bur__cl_scratch_gate_grad(const bur_device_info *info, const bur_call *call)
{
    (void)info;
    const gate_sizes v = sizes_of(call);
    return (size_t)(v.samples * v.chunks * v.columns) * sizeof(cl_float);
}

bur_status bur__cl_build_gate_grad(bur_kernel *kernel)
{
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options, "-DV=%" PRId64,
             bur__cl_vector_of(kernel->device, sizes_of(&kernel->call).columns));
    return bur__cl_program(&kernel->program, kernel->device, "gate", options);
}

bur_status bur__cl_bind_gate_grad(bur_command *command, const bur_kernel *kernel,
                                  const bur_place *inputs, const bur_place *outputs,
                                  const bur_place *scratch)
{
    const gate_sizes v = sizes_of(&kernel->call);
    const int64_t items = v.columns / bur__cl_vector_of(kernel->device, v.columns);
    const bur__cl_arg partial = bur__cl_f32(scratch), samples = bur__cl_int(v.samples),
                      columns = bur__cl_int(v.columns), chunks = bur__cl_int(v.chunks);
    BUR_TRY(bur__cl_launch_add(
        command, kernel->program, "gate_chunks", v.samples * v.chunks * items, BUR_CL_LOCAL,
        BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]), bur__cl_f32(&inputs[2]),
                    bur__cl_f32(&outputs[0]), partial, samples, bur__cl_int(v.area), columns,
                    bur__cl_int(CHUNK_ROWS), chunks)));
    return bur__cl_launch_add(
        command, kernel->program, "gate_sum", v.samples * v.columns, BUR_CL_LOCAL,
        BUR_CL_ARGS(partial, bur__cl_f32(&outputs[1]), samples, columns, chunks));
}
