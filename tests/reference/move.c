/* Movement of elements: the coordinates of every element of the result say where it comes from. */
#include "rows.h"

#include <math.h>

/* Coordinates of element i, first dimension first. */
static void coordinates(int64_t *at, const bur_shape *shape, int64_t i)
{
    for (int32_t d = shape->rank - 1; d >= 0; d--) {
        at[d] = i % shape->dim[d];
        i /= shape->dim[d];
    }
}

static int64_t element(const bur_shape *shape, const int64_t *at)
{
    int64_t i = 0;
    for (int32_t d = 0; d < shape->rank; d++)
        i = i * shape->dim[d] + at[d];
    return i;
}

void ref_transpose(const bur_call *call, double *const *x, double *const *y)
{
    const bur_transpose_attr *attr = &call->attr->transpose;
    const bur_shape *from = &call->inputs[0].shape, *to = &call->outputs[0].shape;
    int64_t at[BUR_MAX_RANK], source[BUR_MAX_RANK];
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        coordinates(at, to, i);
        for (int32_t d = 0; d < to->rank; d++)
            source[attr->rank > 0 ? attr->perm[d] : to->rank - d - 1] = at[d];
        y[0][i] = x[0][element(from, source)];
    }
}

void ref_slice(const bur_call *call, double *const *x, double *const *y)
{
    const bur_shape *from = &call->inputs[0].shape, *to = &call->outputs[0].shape;
    int64_t at[BUR_MAX_RANK];
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        coordinates(at, to, i);
        for (int32_t d = 0; d < to->rank; d++) {
            const int64_t begin = call->attr->slice.begin[d];
            at[d] += begin + (begin < 0 ? from->dim[d] : 0);
        }
        y[0][i] = x[0][element(from, at)];
    }
}

void ref_pad(const bur_call *call, double *const *x, double *const *y)
{
    const bur_shape *from = &call->inputs[0].shape, *to = &call->outputs[0].shape;
    int64_t at[BUR_MAX_RANK];
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        int inside = 1;
        coordinates(at, to, i);
        for (int32_t d = 0; d < to->rank; d++) {
            at[d] -= call->attr->pad.before[d];
            inside = inside && at[d] >= 0 && at[d] < from->dim[d];
        }
        y[0][i] = inside ? x[0][element(from, at)] : (double)call->attr->pad.value;
    }
}

void ref_concat(const bur_call *call, double *const *x, double *const *y)
{
    const bur_shape *to = &call->outputs[0].shape;
    const int32_t axis = (call->attr->concat.axis + to->rank) % to->rank;
    int64_t at[BUR_MAX_RANK];
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        int32_t input = 0;
        coordinates(at, to, i);
        while (at[axis] >= call->inputs[input].shape.dim[axis])
            at[axis] -= call->inputs[input++].shape.dim[axis];
        y[0][i] = x[input][element(&call->inputs[input].shape, at)];
    }
}

/* The value of an input at the coordinates of the result that it is broadcast to. */
static double broadcast_value(const bur_shape *from, const double *x, const bur_shape *to,
                              const int64_t *at)
{
    int64_t own[BUR_MAX_RANK];
    for (int32_t d = 0; d < from->rank; d++)
        own[d] = at[to->rank - from->rank + d] % from->dim[d];
    return x[element(from, own)];
}

void ref_where(const bur_call *call, double *const *x, double *const *y)
{
    const bur_shape *to = &call->outputs[0].shape;
    int64_t at[BUR_MAX_RANK];
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        double value[3] = {0, 0, 0};
        coordinates(at, to, i);
        for (int32_t k = 0; k < call->n_inputs; k++)
            value[k] = broadcast_value(&call->inputs[k].shape, x[k], to, at);
        const int first = call->attr->where.invert == 0 ? value[0] != 0 : value[0] == 0;
        y[0][i] = first ? value[1] : value[2];
    }
}

void ref_cast(const bur_call *call, double *const *x, double *const *y)
{
    const int32_t to = call->attr->cast.dtype;
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        y[0][i] = x[0][i];
        if (to == BUR_I32)
            y[0][i] = fmin(fmax(trunc(x[0][i]), INT32_MIN), INT32_MAX);
        else if (to == BUR_U8)
            y[0][i] = fmin(fmax(trunc(x[0][i]), 0), UINT8_MAX);
    }
}

void ref_embedding(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t rows = call->inputs[0].shape.dim[0], n = ref_count(&call->inputs[0]) / rows;
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        const int64_t id = (int64_t)x[1][i / n];
        y[0][i] = id >= 0 && id < rows ? x[0][id * n + i % n] : 0;
    }
}

void ref_embedding_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t rows = call->attr->embedding.rows;
    const int64_t n = ref_count(&call->inputs[0]) / ref_count(&call->inputs[1]);
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[0][i] = 0;
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++) {
        const int64_t id = (int64_t)x[1][i / n];
        if (id >= 0 && id < rows)
            y[0][id * n + i % n] += x[0][i];
    }
}
