/* Images to another size, and the way back. */
#include "cl.h"

bur_status bur__cl_build_resize(bur_kernel *kernel)
{
    return bur__cl_program(&kernel->program, kernel->device, "resize",
                           kernel->call.attr->resize.mode == BUR_BILINEAR ? "-DBILINEAR=1"
                                                                          : "-DBILINEAR=0");
}

/* Sizes are the forward row's: of its input, then of its result. */
bur_status bur__cl_bind_resize(bur_command *command, const bur_kernel *kernel,
                               const bur_place *inputs, const bur_place *outputs,
                               const bur_place *scratch)
{
    (void)scratch;
    const bur_call *call = &kernel->call;
    const bool forward = call->op == BUR_OP_resize;
    const int64_t *from = call->inputs[0].shape.dim, *to = call->outputs[0].shape.dim;
    const int64_t *in = forward ? from : to, *out = forward ? to : from;
    const int64_t count = bur_desc_count(&call->outputs[0]);
    return bur__cl_launch_add(command, kernel->program, kernel->row->name, count, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&outputs[0]),
                                          bur__cl_int(count), bur__cl_int(in[1]),
                                          bur__cl_int(in[2]), bur__cl_int(out[1]),
                                          bur__cl_int(out[2]), bur__cl_int(in[3])));
}
