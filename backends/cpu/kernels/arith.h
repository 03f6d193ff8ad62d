/* Arithmetic with broadcasting, and functions of one tensor. Part of kernels.c. */
#ifndef BUR_CPU_ARITH_H
#define BUR_CPU_ARITH_H

#include "functions.h"
#include "walk.h"

#include <math.h>

/* ---- values ---- */

INLINE vec choose(ivec mask, vec x, vec y)
{
    return (vec)(((ivec)x & mask) | ((ivec)y & ~mask));
}

/* A NaN of either side stays. */
INLINE vec maximum_of(vec a, vec b)
{
    return choose(a != a, a, greater(a, b));
}

INLINE vec minimum_of(vec a, vec b)
{
    return choose(a != a, a, lesser(a, b));
}

/* The part of dy that the greater of a and b gets: half where they are equal. */
INLINE vec greater_share(vec dy, vec a, vec b)
{
    return choose(a == b, dy * 0.5f, choose(a < b, splat(0), dy));
}

/* exp of all numbers: where exponential() stops, the square of exp(x / 2), which overflows and
 * underflows as exp does. */
INLINE vec full_exponential(vec x)
{
    const vec root = exponential(x * 0.5f);
    return choose((x > splat(-87)) & (x < splat(88)), exponential(x), root * root);
}

INLINE vec absolute(vec x)
{
    return (vec)((ivec)x & INT32_MAX);
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

/* ---- rows of broadcasting operators ---- */

/* n elements of an operand whose step is 1, or its one element if it is 0. */
INLINE vec load_operand(const float *p, int64_t step, int64_t j, int64_t n)
{
    return step == 0 ? splat(*p) : load_first(p + j, n);
}

typedef vec arith_function(vec a, vec b, vec c);

/* Inputs in the places of a, b and c; the third may be the first again. */
INLINE void arith_row(const walk_row *row, const bur_command *command, arith_function *f)
{
    const int32_t third = command->kernel->call.n_inputs > 2 ? 2 : 0;
    float *y = (float *)command->outputs[0] + row->at[0];
    const float *a = (const float *)command->inputs[0] + row->at[1];
    const float *b = (const float *)command->inputs[1] + row->at[2];
    const float *c = (const float *)command->inputs[third] + row->at[third + 1];
    const int64_t da = row->step[1], db = row->step[2], dc = row->step[third + 1];
    int64_t j = 0;
    if (da == 1 && db == 1 && dc == 1)
        for (; j + LANES <= row->n; j += LANES)
            store(y + j, f(load(a + j), load(b + j), load(c + j)));
    for (; j < row->n; j += LANES) {
        const int64_t n = least(LANES, row->n - j);
        store_first(
            y + j,
            f(load_operand(a, da, j, n), load_operand(b, db, j, n), load_operand(c, dc, j, n)), n);
    }
}

#define ARITH_ROW(name, expression)                                                                \
    INLINE vec name##_value(vec a, vec b, vec c)                                                   \
    {                                                                                              \
        (void)c;                                                                                   \
        return expression;                                                                         \
    }                                                                                              \
    INLINE void name##_row(const walk_row *row, const void *user)                                  \
    {                                                                                              \
        arith_row(row, user, name##_value);                                                        \
    }                                                                                              \
    static void name(const bur_command *command, int thread, int threads)                          \
    {                                                                                              \
        const bur_walk *walk = &command->kernel->walk;                                             \
        walk_rows(walk, walk_share(walk, thread, threads), name##_row, command);                   \
    }

ARITH_ROW(arith_add, a + b)
ARITH_ROW(arith_sub, a - b)
ARITH_ROW(arith_mul, a *b)
ARITH_ROW(arith_div, a / b)
ARITH_ROW(arith_maximum, maximum_of(a, b))
ARITH_ROW(arith_minimum, minimum_of(a, b))
/* a is dy, b and c are the operands */
ARITH_ROW(arith_maximum_grad, greater_share(a, b, c))
ARITH_ROW(arith_minimum_grad, greater_share(a, c, b))
#undef ARITH_ROW

/* ---- functions of one tensor ---- */

typedef vec unary_function(vec a, vec b, const bur_attr *attr);

/* y[i] = f(a[i], b[i]); b may be a. f is inlined. */
INLINE void unary(const bur_command *command, int thread, int threads, unary_function *f)
{
    const bur_call *call = &command->kernel->call;
    const float *a = command->inputs[0], *b = command->inputs[call->n_inputs - 1];
    float *y = command->outputs[0];
    const range own = share(bur_desc_count(&call->outputs[0]), CACHE_LINE_FLOATS, thread, threads);
    int64_t i = own.begin;
    for (; i + LANES <= own.end; i += LANES)
        store(y + i, f(load(a + i), load(b + i), call->attr));
    const int64_t n = own.end - i;
    if (n > 0)
        store_first(y + i, f(load_first(a + i, n), load_first(b + i, n), call->attr), n);
}

#define UNARY_ROW(name, expression)                                                                \
    INLINE vec name##_value(vec a, vec b, const bur_attr *attr)                                    \
    {                                                                                              \
        (void)a, (void)b, (void)attr;                                                              \
        return expression;                                                                         \
    }                                                                                              \
    static void name(const bur_command *command, int thread, int threads)                          \
    {                                                                                              \
        unary(command, thread, threads, name##_value);                                             \
    }

UNARY_ROW(neg_map, -a)
UNARY_ROW(exp_map, full_exponential(a))
UNARY_ROW(log_map, logarithm_of(a))
UNARY_ROW(sqrt_map, square_root(a))
UNARY_ROW(square_map, a *a)
UNARY_ROW(abs_map, absolute(a))
UNARY_ROW(pow_map, power(a, attr->pow.exponent))
UNARY_ROW(affine_map, a * attr->affine.scale + attr->affine.shift)
/* a is dy, b is y of sqrt and x of the others */
UNARY_ROW(sqrt_grad, a * 0.5f / b)
UNARY_ROW(square_grad, a * 2.0f * b)
UNARY_ROW(abs_grad, choose(b == splat(0), splat(0), choose(b < splat(0), -a, a)))
UNARY_ROW(pow_grad, a *power_slope(b, attr->pow.exponent))
#undef UNARY_ROW

#endif
