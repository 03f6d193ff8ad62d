/* Arithmetic with broadcasting, functions of one tensor, reductions. Every element's coordinates
 * are worked out from its number. */
#include "rows.h"

#include <math.h>

typedef struct place {
    int64_t at[BUR_MAX_RANK];
} place;

static place place_of(const bur_shape *shape, int64_t i)
{
    place p = {{0}};
    for (int32_t d = shape->rank - 1; d >= 0; d--) {
        p.at[d] = i % shape->dim[d];
        i /= shape->dim[d];
    }
    return p;
}

/* The element of `x` that is broadcast to place p of `y`. */
static int64_t element_for(const bur_shape *x, const bur_shape *y, const place *p)
{
    int64_t i = 0;
    for (int32_t d = 0; d < x->rank; d++)
        i = i * x->dim[d] + (x->dim[d] == 1 ? 0 : p->at[y->rank - x->rank + d]);
    return i;
}

static double value_for(const bur_call *call, double *const *x, int32_t input, int64_t i)
{
    const bur_shape *y = &call->outputs[0].shape;
    const place p = place_of(y, i);
    return x[input][element_for(&call->inputs[input].shape, y, &p)];
}

typedef double function2(double a, double b);

static void arithmetic(const bur_call *call, double *const *x, double *y, function2 *f)
{
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[i] = f(value_for(call, x, 0, i), value_for(call, x, 1, i));
}

#define ARITHMETIC(name, value)                                                                    \
    static double name##_of(double a, double b)                                                    \
    {                                                                                              \
        return value;                                                                              \
    }                                                                                              \
    void ref_##name(const bur_call *call, double *const *x, double *const *y)                      \
    {                                                                                              \
        arithmetic(call, x, y[0], name##_of);                                                      \
    }

ARITHMETIC(add, a + b)
ARITHMETIC(sub, a - b)
ARITHMETIC(mul, a *b)
ARITHMETIC(div, a / b)
ARITHMETIC(maximum, isnan(a) || isnan(b) ? NAN : fmax(a, b))
ARITHMETIC(minimum, isnan(a) || isnan(b) ? NAN : fmin(a, b))

/* dy where a - b has the sign, half of it where they are equal. */
static void chosen_grad(const bur_call *call, double *const *x, double *y, double sign)
{
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        const double ahead = sign * (value_for(call, x, 1, i) - value_for(call, x, 2, i));
        const double dy = value_for(call, x, 0, i);
        y[i] = ahead > 0 ? dy : ahead < 0 ? 0 : dy / 2;
    }
}

void ref_maximum_grad(const bur_call *call, double *const *x, double *const *y)
{
    chosen_grad(call, x, y[0], 1);
}

void ref_minimum_grad(const bur_call *call, double *const *x, double *const *y)
{
    chosen_grad(call, x, y[0], -1);
}

/* v is x[0], w the last input; attr the row's. */
#define UNARY(name, value)                                                                         \
    void ref_##name(const bur_call *call, double *const *x, double *const *y)                      \
    {                                                                                              \
        const bur_attr *attr = call->attr;                                                         \
        for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {                               \
            const double v = x[0][i], w = x[call->n_inputs - 1][i];                                \
            (void)attr, (void)w;                                                                   \
            y[0][i] = value;                                                                       \
        }                                                                                          \
    }

UNARY(neg, -v)
UNARY(exp, exp(v))
UNARY(log, log(v))
UNARY(sqrt, sqrt(v))
UNARY(square, v *v)
UNARY(abs, fabs(v))
UNARY(pow, pow(v, (double)attr->pow.exponent))
UNARY(affine, (double)attr->affine.scale *v + (double)attr->affine.shift)
UNARY(sqrt_grad, v / (2 * w))
UNARY(square_grad, 2 * w * v)
UNARY(abs_grad, w > 0 ? v : w < 0 ? -v : 0)
UNARY(pow_grad, attr->pow.exponent == 0
                    ? 0
                    : v * (double)attr->pow.exponent * pow(w, (double)attr->pow.exponent - 1))

/* ---- reductions ---- */

/* Whether dimension d of x is summed over. */
static bool is_reduced(const bur_reduce_attr *attr, const bur_shape *x, int32_t d)
{
    if (attr->axes != 0)
        return (attr->axes & (1 << d)) != 0;
    if (attr->rank == 0)
        return true;
    const int32_t own = d - (x->rank - attr->rank); /* the dimension of the shape reduced to */
    return own < 0 || attr->shape[own] != x->dim[d];
}

/* Where element i of x goes, and its number among those that go there. */
static int64_t result_for(const bur_reduce_attr *attr, const bur_shape *x, int64_t i,
                          int64_t *position)
{
    const place p = place_of(x, i);
    int64_t result = 0;
    *position = 0;
    for (int32_t d = 0; d < x->rank; d++)
        if (is_reduced(attr, x, d))
            *position = *position * x->dim[d] + p.at[d];
        else
            result = result * x->dim[d] + p.at[d];
    return result;
}

void ref_reduce_sum(const bur_call *call, double *const *x, double *const *y)
{
    int64_t position = 0;
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[0][i] = 0;
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        y[0][result_for(&call->attr->reduce, &call->inputs[0].shape, i, &position)] += x[0][i];
}

void ref_reduce_mean(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t results = ref_count(&call->outputs[0]);
    ref_reduce_sum(call, x, y);
    for (int64_t i = 0; i < results; i++)
        y[0][i] /= (double)(ref_count(&call->inputs[0]) / results);
}

void ref_reduce_max(const bur_call *call, double *const *x, double *const *y)
{
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++) {
        int64_t position = 0;
        const int64_t at = result_for(&call->attr->reduce, &call->inputs[0].shape, i, &position);
        if (position > 0 && !(x[0][i] > y[0][at]))
            continue;
        y[0][at] = x[0][i];
        if (call->n_outputs > 1)
            y[1][at] = (double)position;
    }
}

void ref_reduce_max_grad(const bur_call *call, double *const *x, double *const *y)
{
    bur_reduce_attr attr = call->attr->reduce;
    attr.rank = 0;
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        int64_t position = 0;
        const int64_t at = result_for(&attr, &call->outputs[0].shape, i, &position);
        y[0][i] = x[1][at] == (double)position ? x[0][at] : 0;
    }
}

void ref_broadcast_to(const bur_call *call, double *const *x, double *const *y)
{
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[0][i] = value_for(call, x, 0, i);
}

/* x is [dy, x, s] of y = x s. */
void ref_gate_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t n = ref_count(&call->inputs[1]), c = ref_columns(&call->inputs[1]);
    const int64_t samples = call->inputs[1].shape.dim[0];
    for (int64_t i = 0; i < samples * c; i++)
        y[1][i] = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i / (n / samples) * c + i % c;
        y[1][at] += x[0][i] * x[1][i];
        y[0][i] = x[0][i] * x[2][at];
    }
}
