/* Pointwise operators: activations, functions of one tensor, their gradients, bias_add, dropout. */
#include "cl.h"

#include <stdio.h>

bur_status bur__cl_build_map(bur_kernel *kernel)
{
    return bur__cl_program(&kernel->program, kernel->device, "map", "");
}

/* Kernel map_<operator>(inputs..., y, count, alpha, beta). */
bur_status bur__cl_bind_map(bur_command *command, const bur_kernel *kernel, const bur_place *inputs,
                            const bur_place *outputs, const bur_place *scratch)
{
    (void)scratch;
    const bur_call *call = &kernel->call;
    const bool affine = call->op == BUR_OP_affine;
    const bool power = call->op == BUR_OP_pow || call->op == BUR_OP_pow_grad;
    const int64_t count = bur_desc_count(&call->outputs[0]);
    char name[BUR_NAME_BYTES];
    snprintf(name, sizeof name, "map_%s", kernel->row->name);
    bur__cl_arg args[6];
    int32_t n = 0;
    for (int32_t i = 0; i < call->n_inputs; i++)
        args[n++] = bur__cl_f32(&inputs[i]);
    args[n++] = bur__cl_f32(&outputs[0]);
    args[n++] = bur__cl_int(count);
    args[n++] = bur__cl_float(affine  ? call->attr->affine.scale
                              : power ? call->attr->pow.exponent
                                      : call->attr->activation.alpha);
    args[n++] = bur__cl_float(affine ? call->attr->affine.shift : 0.0f);
    return bur__cl_launch_add(command, kernel->program, name, count, BUR_CL_LOCAL, args, n);
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
