/* Arithmetic with broadcasting: one work-item an element. The output may be the first input's
 * memory. A NaN of either side of a maximum or minimum stays. */

#define MAXIMUM(a, b) ((a) != (a) || (a) > (b) ? (a) : (b))
#define MINIMUM(a, b) ((a) != (a) || (a) < (b) ? (a) : (b))
/* The part of dy that the greater of a and b gets: half where they are equal. */
#define SHARE(dy, a, b) ((a) == (b) ? 0.5f * (dy) : (a) < (b) ? 0.0f : (dy))

/* NAME takes operands by a walk, NAME_equal three tensors of the same shape. */
#define ARITH(name, value)                                                                         \
    kernel void name(global const float *a, ulong a_at, global const float *b, ulong b_at,         \
                     global float *y, ulong y_at, int count, constant walk *w)                         \
    {                                                                                              \
        const int i = get_global_id(0);                                                            \
        if (i >= count)                                                                            \
            return;                                                                                \
        const float u = a[a_at + walk_at(w, 1, i)], v = b[b_at + walk_at(w, 2, i)];              \
        y[y_at + i] = value;                                                                       \
    }                                                                                              \
    kernel void name##_equal(global const float *a, ulong a_at, global const float *b, ulong b_at, \
                             global float *y, ulong y_at, int count)                               \
    {                                                                                              \
        const int i = get_global_id(0);                                                            \
        if (i >= count)                                                                            \
            return;                                                                                \
        const float u = a[a_at + i], v = b[b_at + i];                                              \
        y[y_at + i] = value;                                                                       \
    }

ARITH(arith_add, u + v)
ARITH(arith_sub, u - v)
ARITH(arith_mul, u *v)
ARITH(arith_div, u / v)
ARITH(arith_maximum, MAXIMUM(u, v))
ARITH(arith_minimum, MINIMUM(u, v))

#define ARITH_GRAD(name, value)                                                                    \
    kernel void name(global const float *dy, ulong dy_at, global const float *a, ulong a_at,       \
                     global const float *b, ulong b_at, global float *y, ulong y_at, int count,    \
                     constant walk *w)                                                                 \
    {                                                                                              \
        const int i = get_global_id(0);                                                            \
        if (i >= count)                                                                            \
            return;                                                                                \
        const float g = dy[dy_at + walk_at(w, 1, i)], u = a[a_at + walk_at(w, 2, i)],            \
                    v = b[b_at + walk_at(w, 3, i)];                                               \
        y[y_at + i] = value;                                                                       \
    }

ARITH_GRAD(arith_maximum_grad, SHARE(g, u, v))
ARITH_GRAD(arith_minimum_grad, SHARE(g, v, u))
