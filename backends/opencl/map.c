/* Pointwise operators: activations and their gradients, add, bias_add, dropout. */
#include "cl.h"

#include <stdio.h>

bur_status bur__cl_build_map(bur_kernel *kernel)
{
    return bur__cl_program(&kernel->program, kernel->device, "map", "");
}

/* Kernel map_<operator>(inputs..., y, count, alpha). */
bur_status bur__cl_bind_map(bur_command *command, const bur_kernel *kernel, const bur_place *inputs,
                            const bur_place *outputs, const bur_place *scratch)
{
    (void)scratch;
    const bur_call *call = &kernel->call;
    const int64_t count = bur_desc_count(&call->outputs[0]);
    const bur__cl_arg n = bur__cl_int(count), alpha = bur__cl_float(call->attr->activation.alpha);
    char name[BUR_NAME_BYTES];
    snprintf(name, sizeof name, "map_%s", kernel->row->name);
    if (call->n_inputs == 1)
        return bur__cl_launch_add(
            command, kernel->program, name, count, BUR_CL_LOCAL,
            BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&outputs[0]), n, alpha));
    return bur__cl_launch_add(command, kernel->program, name, count, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]),
                                          bur__cl_f32(&outputs[0]), n, alpha));
}

bur_status bur__cl_build_bias_add(bur_kernel *kernel)
{
    return bur__cl_build_map(kernel);
}

bur_status bur__cl_launch_bias_act(bur_command *command, cl_program program, const bur_place *x,
                                   const bur_place *bias, const bur_place *y, const bur_desc *desc,
                                   int32_t activation, float alpha)
{
    const int64_t count = bur_desc_count(desc);
    return bur__cl_launch_add(command, program, "bias_act", count, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(x), bur__cl_f32(bias), bur__cl_f32(y),
                                          bur__cl_int(count), bur__cl_int(bur__cl_columns(desc)),
                                          bur__cl_int(activation), bur__cl_float(alpha)));
}

bur_status bur__cl_bind_bias_add(bur_command *command, const bur_kernel *kernel,
                                 const bur_place *inputs, const bur_place *outputs,
                                 const bur_place *scratch)
{
    (void)scratch;
    return bur__cl_launch_bias_act(command, kernel->program, &inputs[0], &inputs[1], &outputs[0],
                                   &kernel->call.outputs[0], BUR_LINEAR, 0.0f);
}

bur_status bur__cl_build_dropout(bur_kernel *kernel)
{
    return bur__cl_build_map(kernel);
}

/* The first dimension counts samples; the random numbers of a sample do not depend on the others.
 */
bur_status bur__cl_bind_dropout(bur_command *command, const bur_kernel *kernel,
                                const bur_place *inputs, const bur_place *outputs,
                                const bur_place *scratch)
{
    (void)scratch;
    const bur_desc *x = &kernel->call.inputs[0];
    const bur_dropout_attr *attr = &kernel->call.attr->dropout;
    const int64_t samples = x->shape.rank == 0 ? 1 : x->shape.dim[0];
    const int64_t elements = samples == 0 ? 0 : bur_desc_count(x) / samples;
    const int64_t quads = bur__cl_divide_up(elements, 4);
    return bur__cl_launch_add(command, kernel->program, "dropout", samples * quads, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]),
                                          bur__cl_f32(&outputs[0]), bur__cl_int(samples),
                                          bur__cl_int(elements), bur__cl_float(attr->rate),
                                          bur__cl_float(1.0f / (1.0f - attr->rate)),
                                          bur__cl_int(attr->node), bur__cl_int(attr->per_sample)));
}
