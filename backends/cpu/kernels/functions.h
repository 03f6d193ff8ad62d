/* exp, tanh and sigmoid of a register, and the activations made of them. Part of kernels.c. */
#ifndef BUR_CPU_FUNCTIONS_H
#define BUR_CPU_FUNCTIONS_H

#include "vector.h"

#include <burthen/op.h>

/* exp x, to about 1 ulp for -87.3 < x < 88.3; beyond, the value at the nearer end. NaN stays.
 * x = n ln 2 + r, |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to the integer n in the low bits.
 * Source: Cephes expf (S. L. Moshier), its polynomial and split of ln 2. */
INLINE vec exponential(vec x)
{
    const float rounder = 0x1.8p23f;
    x = lesser(splat(88.3f), greater(splat(-87.3f), x));
    const vec shifted = x * 1.44269504088896341f + rounder;
    const vec n = shifted - rounder;
    const vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const ivec power = ((ivec)shifted << 23) + 0x3f800000; /* 2^n */
    return p * (vec)power;
}

/* Small arguments by an odd polynomial (Cephes tanhf), others by 1 - 2 / (exp 2|x| + 1). */
INLINE vec hyperbolic_tangent(vec x)
{
    const ivec sign = (ivec)x & INT32_MIN;
    const vec size = (vec)((ivec)x & INT32_MAX);
    const vec z = x * x;
    vec p = z * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    p = p * z * x + x;
    const vec large = 1.0f - 2.0f / (exponential(size * 2.0f) + 1.0f);
    return where_greater(size, splat(0.625f), (vec)((ivec)large | sign), p);
}

INLINE vec logistic(vec x)
{
    return 1.0f / (1.0f + exponential(-x));
}

INLINE vec leaky(vec x, float alpha)
{
    return where_greater(x, splat(0), x, x * alpha);
}

/* y = activation(x). The switch is outside of loops once it is inlined with a constant. */
INLINE vec activate(vec x, int32_t activation, float alpha)
{
    switch (activation) {
    case BUR_RELU:
        return greater(splat(0), x);
    case BUR_LEAKY_RELU:
        return leaky(x, alpha);
    case BUR_TANH:
        return hyperbolic_tangent(x);
    case BUR_SIGMOID:
        return logistic(x);
    default:
        return x;
    }
}

/* dx = dy * activation'(x), from y. */
INLINE vec activate_gradient(vec dy, vec y, int32_t activation, float alpha)
{
    switch (activation) {
    case BUR_RELU:
        return where_greater(y, splat(0), dy, splat(0));
    case BUR_LEAKY_RELU:
        return where_greater(y, splat(0), dy, dy * alpha);
    case BUR_TANH:
        return dy * (1.0f - y * y);
    case BUR_SIGMOID:
        return dy * (y * (1.0f - y));
    default:
        return dy;
    }
}

/* Calls work(activation) with a constant, for loops that must not branch on it. */
#define WITH_ACTIVATION(activation, work)                                                          \
    do {                                                                                           \
        switch (activation) {                                                                      \
        case BUR_RELU:                                                                             \
            work(BUR_RELU);                                                                        \
            break;                                                                                 \
        case BUR_LEAKY_RELU:                                                                       \
            work(BUR_LEAKY_RELU);                                                                  \
            break;                                                                                 \
        case BUR_TANH:                                                                             \
            work(BUR_TANH);                                                                        \
            break;                                                                                 \
        case BUR_SIGMOID:                                                                          \
            work(BUR_SIGMOID);                                                                     \
            break;                                                                                 \
        default:                                                                                   \
            work(BUR_LINEAR);                                                                      \
        }                                                                                          \
    } while (0)

#endif
