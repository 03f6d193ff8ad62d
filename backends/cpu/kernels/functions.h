/* exp, tanh, sigmoid and the like of a register, and activations that are a function of one.
 * Part of kernels.c. */
#ifndef BUR_CPU_FUNCTIONS_H
#define BUR_CPU_FUNCTIONS_H

#include "vector.h"

#include <burthen/op.h>

/* exp x = 2^n (1 + q) for -87.3 < x < 88.3; beyond, as at the nearer end. q is NaN where x is;
 * the low bits of a NaN, which a row's rest may hold, would overflow but for unsigned numbers.
 * x = n ln 2 + r, |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to the integer n in the low bits.
 * Source: Cephes expf (S. L. Moshier), its polynomial and split of ln 2. */
INLINE vec exponential_parts(vec x, vec *power)
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
    *power = (vec)(((uvec)shifted << 23) + 0x3f800000u); /* 2^n */
    return p * (r * r) + r;
}

/* exp x, to about 1 ulp. */
INLINE vec exponential(vec x)
{
    vec power;
    const vec q = exponential_parts(x, &power);
    return (q + 1.0f) * power;
}

/* exp x - 1, to about 2 ulp: what is lost near 0 by subtracting is not added before. */
INLINE vec exponential_less_1(vec x)
{
    vec power;
    const vec q = exponential_parts(x, &power);
    return q * power + (power - 1.0f);
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

/* log(1 + u) for 0 <= u <= 1 as 2 artanh(u / (2 + u)), of which nine terms of the power series.
 * Source: Abramowitz and Stegun 4.1.27 and 4.6.33. */
INLINE vec logarithm_of_1_plus(vec u)
{
    const vec s = u / (u + 2.0f), z = s * s;
    vec p = z * (1.0f / 17) + 1.0f / 15;
    p = p * z + 1.0f / 13;
    p = p * z + 1.0f / 11;
    p = p * z + 1.0f / 9;
    p = p * z + 1.0f / 7;
    p = p * z + 1.0f / 5;
    p = p * z + 1.0f / 3;
    return 2.0f * (s + s * z * p);
}

/* The standard normal distribution P = (1 + erf(x / sqrt 2)) / 2, and e = exp(-x^2 / 2), to a few
 * ulp on both sides: P(-|x|) = e t p(t), t = 1 / (1 + 0.35 |x|), nothing cancels for small P.
 * Source: the form is Shepherd and Laframboise's (Math. Comp. 36, 1981) for exp(x^2) erfc x; p is
 * our minimax polynomial (Remez) over |x| <= 14 with a relative error of 2^-24.9. */
INLINE vec normal_distribution(vec x, vec *e)
{
    const vec size = (vec)((ivec)x & INT32_MAX);
    const vec t = 1.0f / (size * 0.35f + 1.0f);
    vec p = t * -2.914589532e-2f + 1.439715348e-1f;
    p = p * t - 2.557139338e-1f;
    p = p * t + 1.591738145e-1f;
    p = p * t - 2.310961241e-2f;
    p = p * t + 1.055079168e-1f;
    p = p * t + 1.198328879e-1f;
    p = p * t + 1.398618671e-1f;
    p = p * t + 1.396214044e-1f;
    *e = exponential(x * x * -0.5f);
    const vec tail = p * t * *e;
    return where_greater(x, splat(0), 1.0f - tail, tail);
}

INLINE vec bounded(vec x, float from, float to)
{
    return lesser(splat(to), greater(splat(from), x));
}

INLINE vec leaky(vec x, float alpha)
{
    return where_greater(x, splat(0), x, x * alpha);
}

INLINE vec exponential_linear(vec x, float alpha)
{
    return where_greater(x, splat(0), x, exponential_less_1(x) * alpha);
}

/* dy where from < y < to. */
INLINE vec where_between(vec y, float from, float to, vec dy)
{
    return where_greater(y, splat(from), where_greater(splat(to), y, dy, splat(0)), splat(0));
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
    case BUR_RELU6:
        return bounded(x, 0, 6);
    case BUR_ELU:
        return exponential_linear(x, alpha);
    case BUR_SELU:
        return BUR_SELU_SCALE * exponential_linear(x, BUR_SELU_ALPHA);
    case BUR_HARD_SIGMOID:
        return bounded(x * (1.0f / 6) + 0.5f, 0, 1);
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
    case BUR_RELU6:
        return where_between(y, 0, 6, dy);
    case BUR_ELU: /* alpha exp x = y + alpha */
        return where_greater(y, splat(0), dy, dy * (y + alpha));
    case BUR_SELU:
        return dy * where_greater(y, splat(0), splat(BUR_SELU_SCALE),
                                  y + BUR_SELU_SCALE * BUR_SELU_ALPHA);
    case BUR_HARD_SIGMOID:
        return where_between(y, 0, 1, dy * (1.0f / 6));
    default:
        return dy;
    }
}

/* Calls work(activation) with a constant, for loops that must not branch on it. */
#define ACTIVATION_CASE(kind, work)                                                                \
    case kind:                                                                                     \
        work(kind);                                                                                \
        break
#define WITH_ACTIVATION(activation, work)                                                          \
    do {                                                                                           \
        switch (activation) {                                                                      \
            ACTIVATION_CASE(BUR_RELU, work);                                                       \
            ACTIVATION_CASE(BUR_LEAKY_RELU, work);                                                 \
            ACTIVATION_CASE(BUR_TANH, work);                                                       \
            ACTIVATION_CASE(BUR_SIGMOID, work);                                                    \
            ACTIVATION_CASE(BUR_RELU6, work);                                                      \
            ACTIVATION_CASE(BUR_ELU, work);                                                        \
            ACTIVATION_CASE(BUR_SELU, work);                                                       \
            ACTIVATION_CASE(BUR_HARD_SIGMOID, work);                                               \
        default:                                                                                   \
            work(BUR_LINEAR);                                                                      \
        }                                                                                          \
    } while (0)

#endif
