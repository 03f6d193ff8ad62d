/* Arithmetic with broadcasting. Part of kernels.c. */
#ifndef BUR_CPU_ARITH_H
#define BUR_CPU_ARITH_H

#include "functions.h"
#include "walk.h"

/* ---- values ---- */

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

#endif
