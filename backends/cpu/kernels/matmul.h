/* The rows matmul, matmul_bias_act and matmul_add. Part of kernels.c. */
#ifndef BUR_CPU_MATMUL_H
#define BUR_CPU_MATMUL_H

#include "dot.h"
#include "gemm.h"

/* Rows this far apart, or a multiple, meet in the same few places of the L1 cache. */
enum { PAGE_BYTES = 4096 };

/* m, n, k of a call. */
static gemm matmul_sizes(const bur_call *call)
{
    const int64_t *c = call->outputs[0].shape.dim, *a = call->inputs[0].shape.dim;
    return (gemm){.m = c[0], .n = c[1], .k = a[call->attr->matmul.transpose_a ? 0 : 1]};
}

/* Whether the product is one of dot.h. With fewer steps, or rows beyond those, packing b pays. */
static bool is_dots(const bur_call *call, const gemm *g)
{
    enum { MOST_ROWS = 32, LEAST_STEPS = 64 };
    const bur_matmul_attr *attr = &call->attr->matmul;
    return call->op == BUR_OP_matmul && attr->transpose_b && !attr->transpose_a &&
           g->m <= MOST_ROWS && g->k >= LEAST_STEPS;
}

static size_t matmul_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    const gemm g = matmul_sizes(call);
    return is_dots(call, &g) ? 0 : gemm_scratch(g.m, g.n, g.k, g.m * g.n, threads);
}

/* The parts that `threads` cut one product into. */
static void keep_grid(bur_kernel *kernel, const gemm *g)
{
    const grid parts = choose_grid(g->m, g->n, g->k, kernel->threads);
    kernel->split[0] = parts.m;
    kernel->split[1] = parts.n;
    kernel->split[2] = parts.k;
}

static bur_status matmul_build(bur_kernel *kernel)
{
    const gemm g = matmul_sizes(&kernel->call);
    keep_grid(kernel, &g);
    return BUR_OK;
}

/* c = a b, with g's sizes; a and b are turned as attr says. */
static void set_operands(gemm *g, const bur_matmul_attr *attr, const float *a, const float *b,
                         float *c)
{
    g->pack_a = attr->transpose_a ? pack_columns : pack_rows;
    g->pack_b = attr->transpose_b ? pack_rows : pack_columns;
    g->a = (pack_source){.data = a, .stride = attr->transpose_a ? g->m : g->k};
    g->b = (pack_source){.data = b, .stride = attr->transpose_b ? g->k : g->n};
    if (!attr->transpose_a && g->a.stride * 4 % PAGE_BYTES != 0) {
        g->point_a = point_at_rows;
        g->run = g->k;
    }
    g->c = c;
    g->c_stride = g->n;
}

/* One product by all threads, in the kernel's parts. */
static void multiply_together(const gemm *g, const bur_command *command, int thread, int threads)
{
    const int32_t *split = command->kernel->split;
    const grid parts = {split[0], split[1], split[2]};
    for (int32_t w = thread; w < parts.m * parts.n * parts.k; w += threads)
        gemm_work(g, parts, w, command->scratch, 0, g->m * g->n);
    if (parts.k > 1) {
        team_wait(command, threads);
        gemm_add_up(g, parts, command->scratch, g->m * g->n, thread, threads);
    }
}

static void matmul(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const bur_matmul_attr *attr = &call->attr->matmul;
    gemm g = matmul_sizes(call);
    if (is_dots(call, &g)) {
        const dots d = {g.m, g.n, g.k, command->inputs[0], command->inputs[1], command->outputs[0]};
        dot_work(&d, thread, threads);
        return;
    }
    set_operands(&g, attr, command->inputs[0], command->inputs[1], command->outputs[0]);
    if (call->op == BUR_OP_matmul_add)
        g.add = start_from_sum(command, thread, threads);
    if (call->op == BUR_OP_matmul_bias_act) {
        g.bias = command->inputs[2];
        g.activation = attr->activation;
        g.alpha = attr->alpha;
    }
    multiply_together(&g, command, thread, threads);
}

#endif
