/* Rows that treat every element alone. Part of kernels.c. */
#ifndef BUR_CPU_MAP_H
#define BUR_CPU_MAP_H

#include "functions.h"
#include "team.h"

#include <math.h>

typedef vec map_function(vec a, vec b, const bur_attr *attr);

/* y[i] = f(a[i], b[i]); b may be a. f is inlined. */
INLINE void map(const bur_command *command, int thread, int threads, map_function *f)
{
    const bur_call *call = &command->kernel->call;
    const float *a = command->inputs[0], *b = command->inputs[call->n_inputs - 1];
    float *y = command->outputs[0];
    const bur_attr attr = *call->attr; /* y may not change it: it stays in registers */
    const range own = share(bur_desc_count(&call->outputs[0]), CACHE_LINE_FLOATS, thread, threads);
    int64_t i = own.begin;
    for (; i + LANES <= own.end; i += LANES)
        store(y + i, f(load(a + i), load(b + i), &attr));
    const int64_t n = own.end - i;
    if (n > 0)
        store_first(y + i, f(load_first(a + i, n), load_first(b + i, n), &attr), n);
}

INLINE vec absolute(vec x)
{
    return (vec)((ivec)x & INT32_MAX);
}

/* ---- activations whose slope takes x ---- */

/* log(1 + exp x); PyTorch's threshold of 20 makes no difference in f32. */
INLINE vec soft_plus(vec x)
{
    return greater(splat(0), x) + logarithm_of_1_plus(exponential(-absolute(x)));
}

/* Products with x bound it below, where the other factor vanishes but is not 0. */
enum { LEAST_X = -88 };

INLINE vec times_logistic(vec x, vec z)
{
    return greater(splat(LEAST_X), x) * logistic(z);
}

/* (x s(z))' = s (1 + x z' (1 - s)) with s = 1 / (1 + e), e = exp(-z), 1 - s = e s. */
INLINE vec times_logistic_slope(vec x, vec z, vec dz)
{
    const vec e = exponential(-z), s = 1.0f / (1.0f + e);
    return s * (1.0f + bounded(x, LEAST_X, -LEAST_X) * dz * (e * s));
}

/* (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = s(z) and z's slope; beyond 14, s is 0 or 1. */
INLINE vec gelu_argument(vec x, vec *dz)
{
    const float a = 1.59576912160573071f, b = 0.0713548162726f; /* 2 sqrt(2 / pi) (1, 0.044715) */
    const vec near = bounded(x, -14, 14);
    const vec square = near * near;
    *dz = square * (3 * b) + a;
    return near * (square * b + a);
}

INLINE vec gelu_by_tanh(vec x)
{
    vec dz;
    const vec z = gelu_argument(x, &dz);
    return times_logistic(x, z);
}

INLINE vec gelu_tanh_slope(vec x)
{
    vec dz;
    const vec z = gelu_argument(x, &dz);
    return times_logistic_slope(x, z, dz);
}

INLINE vec gelu_by_erf(vec x)
{
    vec e;
    return greater(splat(-14), x) * normal_distribution(x, &e);
}

INLINE vec gelu_slope(vec x)
{
    vec e;
    const vec near = bounded(x, -14, 14), p = normal_distribution(near, &e);
    return p + near * e * 0.39894228040143268f; /* 1 / sqrt(2 pi) */
}

INLINE vec hard_swish_slope(vec x)
{
    const vec middle = where_greater(splat(3), x, x * (1.0f / 3) + 0.5f, splat(1));
    return where_greater(x, splat(-3), middle, splat(0));
}

/* tanh(log(1 + e)) = n / (n + 2) with e = exp x, n = e (e + 2); 1 beyond x = 20. Its slope is
 * 4 e (e + 1) / (n + 2)^2. */
INLINE vec self_gated_tanh(vec x)
{
    const vec e = exponential(lesser(splat(20), x)), n = e * (e + 2.0f);
    return greater(splat(LEAST_X), x) * (n / (n + 2.0f));
}

INLINE vec mish_slope(vec x)
{
    const vec near = bounded(x, LEAST_X, 20);
    const vec e = exponential(near), n = e * (e + 2.0f), inverse = 1.0f / (n + 2.0f);
    return inverse * (n + near * (4.0f * e * (e + 1.0f)) * inverse);
}

/* ---- functions of one tensor ---- */

/* exp of all numbers: where exponential() stops, the square of exp(x / 2), which overflows and
 * underflows as exp does. */
INLINE vec full_exponential(vec x)
{
    const vec root = exponential(x * 0.5f);
    return choose((x > splat(-87)) & (x < splat(88)), exponential(x), root * root);
}

/* Lane by lane by the C library. */
INLINE vec logarithm_of(vec x)
{
    for (int i = 0; i < LANES; i++)
        x[i] = logf(x[i]);
    return x;
}

INLINE vec power(vec x, float exponent)
{
    if (exponent == 2)
        return x * x;
    for (int i = 0; i < LANES; i++)
        x[i] = powf(x[i], exponent);
    return x;
}

INLINE vec power_slope(vec x, float exponent)
{
    return exponent == 0 ? splat(0) : power(x, exponent - 1) * exponent;
}

/* ---- rows ---- */

/* In a gradient a is dy and b is y, or x. */
#define MAP_ROW(name, expression)                                                                  \
    INLINE vec name##_value(vec a, vec b, const bur_attr *attr)                                    \
    {                                                                                              \
        const float alpha = attr->activation.alpha;                                                \
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
MAP_ROW(relu6, activate(a, BUR_RELU6, alpha))
MAP_ROW(elu, activate(a, BUR_ELU, alpha))
MAP_ROW(selu, activate(a, BUR_SELU, alpha))
MAP_ROW(hard_sigmoid, activate(a, BUR_HARD_SIGMOID, alpha))
MAP_ROW(softplus, soft_plus(a))
MAP_ROW(silu, times_logistic(a, a))
MAP_ROW(gelu, gelu_by_erf(a))
MAP_ROW(gelu_tanh, gelu_by_tanh(a))
MAP_ROW(hard_swish, a *activate(a, BUR_HARD_SIGMOID, 0))
MAP_ROW(mish, self_gated_tanh(a))
MAP_ROW(neg_map, -a)
MAP_ROW(exp_map, full_exponential(a))
MAP_ROW(log_map, logarithm_of(a))
MAP_ROW(sqrt_map, square_root(a))
MAP_ROW(square_map, a *a)
MAP_ROW(abs_map, absolute(a))
MAP_ROW(pow_map, power(a, attr->pow.exponent))
MAP_ROW(affine_map, a * attr->affine.scale + attr->affine.shift)
MAP_ROW(relu_grad, activate_gradient(a, b, BUR_RELU, alpha))
MAP_ROW(leaky_relu_grad, activate_gradient(a, b, BUR_LEAKY_RELU, alpha))
MAP_ROW(tanh_grad, activate_gradient(a, b, BUR_TANH, alpha))
MAP_ROW(sigmoid_grad, activate_gradient(a, b, BUR_SIGMOID, alpha))
MAP_ROW(relu6_grad, activate_gradient(a, b, BUR_RELU6, alpha))
MAP_ROW(elu_grad, activate_gradient(a, b, BUR_ELU, alpha))
MAP_ROW(selu_grad, activate_gradient(a, b, BUR_SELU, alpha))
MAP_ROW(hard_sigmoid_grad, activate_gradient(a, b, BUR_HARD_SIGMOID, alpha))
MAP_ROW(softplus_grad, a *logistic(b))
MAP_ROW(silu_grad, a *times_logistic_slope(b, b, splat(1)))
MAP_ROW(gelu_grad, a *gelu_slope(b))
MAP_ROW(gelu_tanh_grad, a *gelu_tanh_slope(b))
MAP_ROW(hard_swish_grad, a *hard_swish_slope(b))
MAP_ROW(mish_grad, a *mish_slope(b))
MAP_ROW(sqrt_grad, a * 0.5f / b)
MAP_ROW(square_grad, a * 2.0f * b)
MAP_ROW(abs_grad, choose(b == splat(0), splat(0), choose(b < splat(0), -a, a)))
MAP_ROW(pow_grad, a *power_slope(b, attr->pow.exponent))
#undef MAP_ROW

#endif
