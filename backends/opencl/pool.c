/* Max pooling and its gradient: every size is a constant of the program. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

static int64_t vector_of(const bur_kernel *kernel)
{
    return bur__cl_vector_of(kernel->device, bur__cl_columns(&kernel->call.inputs[0]));
}

/* Vectors that a work-item makes: on a CPU a row of the image. */
static int64_t each_of(const bur_kernel *kernel)
{
    const bur_shape *image = &kernel->call.outputs[0].shape;
    return bur__cl_on_host(&kernel->device->info)
               ? image->dim[2] * image->dim[3] / vector_of(kernel)
               : 1;
}

static bur_status build_pool(bur_kernel *kernel, const bur_shape *x, const bur_shape *y, bool index)
{
    const bur_pool2d_attr *attr = &kernel->call.attr->pool2d;
    const int32_t sy = attr->stride[0] > 0 ? attr->stride[0] : attr->window[0];
    const int32_t sx = attr->stride[1] > 0 ? attr->stride[1] : attr->window[1];
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DV=%" PRId64 " -DEACH=%" PRId64 " -DN=%" PRId64 " -DIH=%" PRId64 " -DIW=%" PRId64
             " -DC=%" PRId64 " -DOH=%" PRId64 " -DOW=%" PRId64 " -DKH=%" PRId32 " -DKW=%" PRId32
             " -DSY=%" PRId32 " -DSX=%" PRId32 " -DTOP=%" PRId32 " -DLEFT=%" PRId32 "%s",
             vector_of(kernel), each_of(kernel), x->dim[0], x->dim[1], x->dim[2], x->dim[3],
             y->dim[1], y->dim[2], attr->window[0], attr->window[1], sy, sx, attr->pad[0],
             attr->pad[2], index ? " -DINDEX" : "");
    return bur__cl_program(&kernel->program, kernel->device, "pool", options);
}

static bur_status launch(bur_command *command, const bur_kernel *kernel, const char *name,
                         const bur__cl_arg *args, int32_t n_args)
{
    const int64_t vectors = bur_desc_count(&kernel->call.outputs[0]) / vector_of(kernel);
    const int64_t each = each_of(kernel);
    return bur__cl_launch_add(command, kernel->program, name, each > 0 ? vectors / each : 0,
                              bur__cl_on_host(&kernel->device->info) ? 1 : BUR_CL_LOCAL, args,
                              n_args);
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
    if (kernel->call.n_outputs > 1)
        return launch(command, kernel, "max_pool2d",
                      BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&outputs[0]),
                                  bur__cl_u8(&outputs[1])));
    return launch(command, kernel, "max_pool2d",
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
    return launch(
        command, kernel, "max_pool2d_grad",
        BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_u8(&inputs[1]), bur__cl_f32(&outputs[0])));
}
