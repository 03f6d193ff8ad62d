/* Arithmetic with broadcasting. */
#include "cl.h"

#include <stdio.h>

bur_status bur__cl_build_arith(bur_kernel *kernel)
{
    return bur__cl_program(&kernel->program, kernel->device, "arith", "");
}

/* Kernel arith_<operator>(inputs..., y, count, walk), or arith_<operator>_equal without the walk.
 */
bur_status bur__cl_bind_arith(bur_command *command, const bur_kernel *kernel,
                              const bur_place *inputs, const bur_place *outputs,
                              const bur_place *scratch)
{
    (void)scratch;
    const bur_call *call = &kernel->call;
    const bur_walk walk = bur_walk_of(call, 0);
    const bur__cl_walk argument = bur__cl_walk_of(&walk);
    const int64_t count = bur_desc_count(&call->outputs[0]);
    const bool equal = call->n_inputs == 2 && count == bur_desc_count(&call->inputs[0]) &&
                       count == bur_desc_count(&call->inputs[1]);
    char name[BUR_NAME_BYTES];
    snprintf(name, sizeof name, "arith_%s%s", kernel->row->name, equal ? "_equal" : "");
    bur__cl_arg args[6];
    int32_t n = 0;
    for (int32_t i = 0; i < call->n_inputs; i++)
        args[n++] = bur__cl_f32(&inputs[i]);
    args[n++] = bur__cl_f32(&outputs[0]);
    args[n++] = bur__cl_int(count);
    if (!equal)
        args[n++] = bur__cl_by_walk(&argument);
    return bur__cl_launch_add(command, kernel->program, name, count, BUR_CL_LOCAL, args, n);
}
