/* Rows that treat every element alone. Part of kernels.c. */
#ifndef BUR_CPU_MAP_H
#define BUR_CPU_MAP_H

#include "functions.h"
#include "team.h"

typedef vec map_function(vec a, vec b, float alpha);

/* y[i] = f(a[i], b[i]); b may be a. f is inlined. */
INLINE void map(const bur_command *command, int thread, int threads, map_function *f)
{
    const bur_call *call = &command->kernel->call;
    const float *a = command->inputs[0], *b = command->inputs[call->n_inputs - 1];
    float *y = command->outputs[0];
    const float alpha = call->attr->activation.alpha;
    const range own = share(bur_desc_count(&call->outputs[0]), CACHE_LINE_FLOATS, thread, threads);
    int64_t i = own.begin;
    for (; i + LANES <= own.end; i += LANES)
        store(y + i, f(load(a + i), load(b + i), alpha));
    const int64_t n = own.end - i;
    if (n > 0)
        store_first(y + i, f(load_first(a + i, n), load_first(b + i, n), alpha), n);
}

/* In a gradient a is dy and b is y. */
#define MAP_ROW(name, expression)                                                                  \
    INLINE vec name##_value(vec a, vec b, float alpha)                                             \
    {                                                                                              \
        (void)a, (void)b, (void)alpha;                                                             \
        return expression;                                                                         \
    }                                                                                              \
    static void name(const bur_command *command, int thread, int threads)                          \
    {                                                                                              \
        map(command, thread, threads, name##_value);                                               \
    }

MAP_ROW(relu, activate(a, BUR_RELU, alpha))
MAP_ROW(leaky_relu, activate(a, BUR_LEAKY_RELU, alpha))
MAP_ROW(tanh_map, activate(a, BUR_TANH, alpha))
MAP_ROW(sigmoid, activate(a, BUR_SIGMOID, alpha))
MAP_ROW(relu_grad, activate_gradient(a, b, BUR_RELU, alpha))
MAP_ROW(leaky_relu_grad, activate_gradient(a, b, BUR_LEAKY_RELU, alpha))
MAP_ROW(tanh_grad, activate_gradient(a, b, BUR_TANH, alpha))
MAP_ROW(sigmoid_grad, activate_gradient(a, b, BUR_SIGMOID, alpha))
#undef MAP_ROW

#endif
