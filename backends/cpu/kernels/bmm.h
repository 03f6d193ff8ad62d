/* The row batch_matmul: a packed product (gemm.h) for each matrix. Part of kernels.c.
 *
 * Each thread multiplies as many whole matrices as every other; the few that are left are shared
 * out like a product of its own. */
#ifndef BUR_CPU_BMM_H
#define BUR_CPU_BMM_H

#include "matmul.h"
#include "walk.h"

static gemm batch_sizes(const bur_call *call)
{
    const bur_shape *c = &call->outputs[0].shape, *a = &call->inputs[0].shape;
    return (gemm){.m = c->dim[c->rank - 2],
                  .n = c->dim[c->rank - 1],
                  .k = a->dim[a->rank - (call->attr->matmul.transpose_a ? 2 : 1)]};
}

/* Of one thread's own matrices; a multiple of a line of cache. */
static size_t own_scratch(const gemm *g)
{
    return gemm_scratch(g->m, g->n, g->k, g->m * g->n, 1);
}

static size_t batch_matmul_scratch(const bur_device_info *info, const bur_call *call,
                                   int32_t threads)
{
    (void)info;
    const gemm g = batch_sizes(call);
    const size_t own = (size_t)threads * own_scratch(&g);
    const size_t shared = gemm_scratch(g.m, g.n, g.k, g.m * g.n, threads);
    return own > shared ? own : shared;
}

static bur_status batch_matmul_build(bur_kernel *kernel)
{
    const gemm g = batch_sizes(&kernel->call);
    keep_grid(kernel, &g);
    return walk_build(kernel);
}

/* The product of matrix i. */
static gemm batch_product(const bur_command *command, int64_t i)
{
    const bur_kernel *kernel = command->kernel;
    const cursor at = walk_seek(&kernel->walk, i);
    gemm g = batch_sizes(&kernel->call);
    set_operands(&g, &kernel->call.attr->matmul,
                 (const float *)command->inputs[0] + at.at[1] * g.m * g.k,
                 (const float *)command->inputs[1] + at.at[2] * g.k * g.n,
                 (float *)command->outputs[0] + at.at[0] * g.m * g.n);
    return g;
}

static void batch_matmul(const bur_command *command, int thread, int threads)
{
    const bur_kernel *kernel = command->kernel;
    const int64_t batches = bur_walk_count(&kernel->walk), whole = batches / threads * threads;
    const gemm sizes = batch_sizes(&kernel->call);
    float *own = (float *)(void *)((char *)command->scratch + (size_t)thread * own_scratch(&sizes));
    for (int64_t i = thread * (whole / threads); i < (thread + 1) * (whole / threads); i++) {
        const gemm g = batch_product(command, i);
        gemm_work(&g, (grid){1, 1, 1}, 0, own, 0, g.m * g.n);
    }
    for (int64_t i = whole; i < batches; i++) {
        const gemm g = batch_product(command, i);
        team_wait(command, threads); /* for the scratch */
        multiply_together(&g, command, thread, threads);
    }
}

#endif
