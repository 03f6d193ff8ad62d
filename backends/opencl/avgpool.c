/* Mean pooling, and mean and max over whole images: every size is a constant of the program. A
 * global pool is one whose window is the image. */
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

/* x is [n, ih, iw, c], y [n, oh, ow, c] or [n, c]. */
static bur_status build_pool(bur_kernel *kernel, const bur_shape *x, const bur_shape *y)
{
    const bur_pool2d_attr *attr = &kernel->call.attr->pool2d;
    const bool global = y->rank == 2;
    int64_t window[2], stride[2];
    for (int i = 0; i < 2; i++) {
        window[i] = global ? x->dim[1 + i] : attr->window[i];
        stride[i] = global || attr->stride[i] == 0 ? window[i] : attr->stride[i];
    }
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DV=%" PRId64 " -DN=%" PRId64 " -DIH=%" PRId64 " -DIW=%" PRId64 " -DC=%" PRId64
             " -DOH=%" PRId64 " -DOW=%" PRId64 " -DKH=%" PRId64 " -DKW=%" PRId64 " -DSY=%" PRId64
             " -DSX=%" PRId64 " -DTOP=%" PRId32 " -DLEFT=%" PRId32 " -DALL=%d%s",
             vector_of(kernel), x->dim[0], x->dim[1], x->dim[2], x->dim[3], global ? 1 : y->dim[1],
             global ? 1 : y->dim[2], window[0], window[1], stride[0], stride[1],
             global ? 0 : attr->pad[0], global ? 0 : attr->pad[2], attr->count_include_pad != 0,
             kernel->call.n_outputs > 1 ? " -DINDEX" : "");
    return bur__cl_program(&kernel->program, kernel->device, "avgpool", options);
}

bur_status bur__cl_build_avg_pool2d(bur_kernel *kernel)
{
    return build_pool(kernel, &kernel->call.inputs[0].shape, &kernel->call.outputs[0].shape);
}

bur_status bur__cl_build_avg_pool2d_grad(bur_kernel *kernel)
{
    return build_pool(kernel, &kernel->call.outputs[0].shape, &kernel->call.inputs[0].shape);
}

/* A kernel of the images that an operator reads and writes; `index` may be NULL. */
static bur_status launch(bur_command *command, const bur_kernel *kernel, const char *name,
                         const bur_place *from, const bur_place *index, const bur_place *to,
                         bool index_first)
{
    const int64_t count = bur_desc_count(&kernel->call.outputs[0]) / vector_of(kernel);
    bur__cl_arg args[3];
    int32_t n = 0;
    args[n++] = bur__cl_f32(from);
    if (index != NULL && index_first)
        args[n++] = bur__cl_f32(index);
    args[n++] = bur__cl_f32(to);
    if (index != NULL && !index_first)
        args[n++] = bur__cl_f32(index);
    return bur__cl_launch_add(command, kernel->program, name, count, BUR_CL_LOCAL, args, n);
}

bur_status bur__cl_bind_avg_pool2d(bur_command *command, const bur_kernel *kernel,
                                   const bur_place *inputs, const bur_place *outputs,
                                   const bur_place *scratch)
{
    (void)scratch;
    const bool max = kernel->call.op == BUR_OP_global_max_pool2d;
    return launch(command, kernel, max ? "global_max_pool2d" : "avg_pool2d", &inputs[0],
                  kernel->call.n_outputs > 1 ? &outputs[1] : NULL, &outputs[0], false);
}

bur_status bur__cl_bind_avg_pool2d_grad(bur_command *command, const bur_kernel *kernel,
                                        const bur_place *inputs, const bur_place *outputs,
                                        const bur_place *scratch)
{
    (void)scratch;
    const bool max = kernel->call.op == BUR_OP_global_max_pool2d_grad;
    return launch(command, kernel, max ? "global_max_pool2d_grad" : "avg_pool2d_grad", &inputs[0],
                  max ? &inputs[1] : NULL, &outputs[0], true);
}
