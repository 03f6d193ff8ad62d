/* Max pooling and its gradient: every size is a constant of the program. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

/* Channels of a work-item: the widest vector that divides them. */
static int64_t vector_of(const bur_kernel *kernel)
{
    const int64_t channels = bur__cl_columns(&kernel->call.inputs[0]);
    int64_t vector = kernel->device->vector_width;
    while (channels % vector != 0)
        vector /= 2;
    return vector == 2 ? 1 : vector;
}

static bur_status build_pool(bur_kernel *kernel, const bur_shape *x, const bur_shape *y, bool index)
{
    const bur_pool2d_attr *attr = &kernel->call.attr->pool2d;
    const int32_t sy = attr->stride[0] > 0 ? attr->stride[0] : attr->window[0];
    const int32_t sx = attr->stride[1] > 0 ? attr->stride[1] : attr->window[1];
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DV=%" PRId64 " -DN=%" PRId64 " -DIH=%" PRId64 " -DIW=%" PRId64 " -DC=%" PRId64
             " -DOH=%" PRId64 " -DOW=%" PRId64 " -DKH=%" PRId32 " -DKW=%" PRId32 " -DSY=%" PRId32
             " -DSX=%" PRId32 " -DTOP=%" PRId32 " -DLEFT=%" PRId32 "%s",
             vector_of(kernel), x->dim[0], x->dim[1], x->dim[2], x->dim[3], y->dim[1], y->dim[2],
             attr->window[0], attr->window[1], sy, sx, attr->pad[0], attr->pad[2],
             index ? " -DINDEX" : "");
    return bur__cl_program(&kernel->program, kernel->device, "pool", options);
}

bur_status bur__cl_build_max_pool2d(bur_kernel *kernel)
{
    const bur_call *call = &kernel->call;
    return build_pool(kernel, &call->inputs[0].shape, &call->outputs[0].shape, call->n_outputs > 1);
}

bur_status bur__cl_bind_max_pool2d(bur_command *command, const bur_kernel *kernel,
                                   const bur_place *inputs, const bur_place *outputs,
                                   const bur_place *scratch)
{
    (void)scratch;
    const int64_t count = bur_desc_count(&kernel->call.outputs[0]) / vector_of(kernel);
    if (kernel->call.n_outputs > 1)
        return bur__cl_launch_add(command, kernel->program, "max_pool2d", count, BUR_CL_LOCAL,
                                  BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&outputs[0]),
                                              bur__cl_u8(&outputs[1])));
    return bur__cl_launch_add(command, kernel->program, "max_pool2d", count, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&outputs[0])));
}

bur_status bur__cl_build_max_pool2d_grad(bur_kernel *kernel)
{
    const bur_call *call = &kernel->call;
    return build_pool(kernel, &call->outputs[0].shape, &call->inputs[0].shape, true);
}

bur_status bur__cl_bind_max_pool2d_grad(bur_command *command, const bur_kernel *kernel,
                                        const bur_place *inputs, const bur_place *outputs,
                                        const bur_place *scratch)
{
    (void)scratch;
    return bur__cl_launch_add(
        command, kernel->program, "max_pool2d_grad", bur_desc_count(&kernel->call.outputs[0]),
        BUR_CL_LOCAL,
        BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_u8(&inputs[1]), bur__cl_f32(&outputs[0])));
}
