/* Reductions over a set of axes, and what their gradients are made of. */
#include "cl.h"

#include <stdio.h>

enum { LEAST_CHUNK_TERMS = 64, CHUNK_ITEMS = 32768, CHUNK_ITEMS_ON_HOST = 1024 };

typedef struct reduction {
    bur_walk kept, reduced;
    int64_t outputs, terms, chunks;
} reduction;

/* Chunks: enough work-items to fill the device, each with enough to pay for its partial result. */
static reduction reduction_of(const bur_device_info *info, const bur_call *call)
{
    const bur_walk walk = bur_walk_of(call, 0);
    const int64_t items = bur__cl_on_host(info) ? CHUNK_ITEMS_ON_HOST : CHUNK_ITEMS;
    reduction r;
    bur_walk_split(&r.kept, &r.reduced, &walk);
    r.outputs = bur_walk_count(&r.kept);
    r.terms = bur_walk_count(&r.reduced);
    const int64_t most = bur__cl_divide_up(items, bur__cl_max(r.outputs, 1));
    const int64_t chunks = bur__cl_min(most, bur__cl_divide_up(r.terms, LEAST_CHUNK_TERMS));
    const int64_t chunk_terms = bur__cl_divide_up(r.terms, bur__cl_max(chunks, 1));
    r.chunks = bur__cl_max(1, chunk_terms == 0 ? 1 : bur__cl_divide_up(r.terms, chunk_terms));
    return r;
}

/* A value and, for maxima, a position per chunk and result. */
size_t bur__cl_scratch_reduce_axes(const bur_device_info *info, const bur_call *call)
{
    const reduction r = reduction_of(info, call);
    const size_t values = call->op == BUR_OP_reduce_max ? 2 : 1;
    return (size_t)bur__cl_max(r.chunks * r.outputs, 1) * values * sizeof(cl_float);
}

bur_status bur__cl_build_reduce_axes(bur_kernel *kernel)
{
    const bur_call *call = &kernel->call;
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options, "%s%s", call->op == BUR_OP_reduce_max ? "-DMAXIMUM" : "",
             call->n_outputs > 1 ? " -DINDEX" : "");
    return bur__cl_program(&kernel->program, kernel->device, "axes", options);
}

bur_status bur__cl_bind_reduce_axes(bur_command *command, const bur_kernel *kernel,
                                    const bur_place *inputs, const bur_place *outputs,
                                    const bur_place *scratch)
{
    const bur_call *call = &kernel->call;
    const reduction r = reduction_of(&kernel->device->info, call);
    const bur__cl_walk kept = bur__cl_walk_of(&r.kept), reduced = bur__cl_walk_of(&r.reduced);
    const bool maximum = call->op == BUR_OP_reduce_max;
    bur_place positions = *scratch;
    positions.offset_bytes += (size_t)(r.chunks * r.outputs) * sizeof(cl_float);
    bur__cl_arg args[10];
    int32_t n = 0;
    args[n++] = bur__cl_f32(&inputs[0]);
    args[n++] = bur__cl_f32(scratch);
    if (maximum)
        args[n++] = bur__cl_f32(&positions);
    args[n++] = bur__cl_int(r.outputs);
    args[n++] = bur__cl_int(r.terms);
    args[n++] = bur__cl_int(bur__cl_divide_up(r.terms, r.chunks));
    args[n++] = bur__cl_int(r.chunks);
    args[n++] = bur__cl_by_walk(&kept);
    args[n++] = bur__cl_by_walk(&reduced);
    BUR_TRY(bur__cl_launch_add(command, kernel->program, "reduce_chunks", r.chunks * r.outputs,
                               BUR_CL_LOCAL, args, n));
    n = 0;
    args[n++] = bur__cl_f32(scratch);
    if (maximum)
        args[n++] = bur__cl_f32(&positions);
    args[n++] = bur__cl_f32(&outputs[0]);
    if (call->n_outputs > 1)
        args[n++] = bur__cl_f32(&outputs[1]);
    args[n++] = bur__cl_int(r.outputs);
    args[n++] = bur__cl_int(r.chunks);
    args[n++] = bur__cl_float(call->op == BUR_OP_reduce_mean ? 1.0f / (float)r.terms : 1.0f);
    return bur__cl_launch_add(command, kernel->program, "reduce_together", r.outputs, BUR_CL_LOCAL,
                              args, n);
}

bur_status bur__cl_build_reduce_max_grad(bur_kernel *kernel)
{
    return bur__cl_program(&kernel->program, kernel->device, "axes", "");
}

bur_status bur__cl_bind_reduce_max_grad(bur_command *command, const bur_kernel *kernel,
                                        const bur_place *inputs, const bur_place *outputs,
                                        const bur_place *scratch)
{
    (void)scratch;
    const bur_walk walk = bur_walk_of(&kernel->call, 0);
    const bur__cl_walk argument = bur__cl_walk_of(&walk);
    const int64_t count = bur_walk_count(&walk);
    return bur__cl_launch_add(command, kernel->program, "reduce_max_grad", count, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]),
                                          bur__cl_f32(&outputs[0]), bur__cl_int(count),
                                          bur__cl_by_walk(&argument)));
}
