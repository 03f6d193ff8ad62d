/* Matrix products and bias. */
#include "rows.h"

/* y[i,j] = sum_p A[i,p] B[p,j] */
void ref_matmul(const bur_call *call, double *const *x, double *const *y)
{
    const bur_matmul_attr *attr = &call->attr->matmul;
    const int64_t *a = call->inputs[0].shape.dim, *b = call->inputs[1].shape.dim;
    const int64_t m = call->outputs[0].shape.dim[0], n = call->outputs[0].shape.dim[1];
    const int64_t k = a[attr->transpose_a ? 0 : 1];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += x[0][attr->transpose_a ? p * a[1] + i : i * a[1] + p] *
                       x[1][attr->transpose_b ? j * b[1] + p : p * b[1] + j];
            y[0][i * n + j] = sum;
        }
}

/* y = A B and the sum */
void ref_matmul_add(const bur_call *call, double *const *x, double *const *y)
{
    ref_matmul(call, x, y);
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[0][i] += ref_scalars(x[3]).first_sample == 0 ? 0 : x[2][i];
}

/* y = act(A B + bias) */
void ref_matmul_bias_act(const bur_call *call, double *const *x, double *const *y)
{
    const bur_matmul_attr *attr = &call->attr->matmul;
    const int64_t n = call->outputs[0].shape.dim[1];
    ref_matmul(call, x, y);
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[0][i] = ref_activate(attr->activation, (double)attr->alpha, y[0][i] + x[2][i % n]);
}

/* y[i,c] = x[i,c] + bias[c] */
void ref_bias_add(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t columns = ref_columns(&call->inputs[0]);
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        y[0][i] = x[0][i] + x[1][i % columns];
}

/* db[c] = sum_i dy[i,c] */
void ref_bias_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t columns = ref_columns(&call->inputs[0]);
    for (int64_t c = 0; c < columns; c++)
        y[0][c] = 0;
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        y[0][i % columns] += x[0][i];
}

/* dz = dy act'(z) in terms of y = act(z); db[c] = sum_i dz[i,c] */
void ref_bias_act_grad(const bur_call *call, double *const *x, double *const *y)
{
    const bur_activation_attr *attr = &call->attr->activation;
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        y[0][i] = x[0][i] * ref_activate_slope(attr->activation, (double)attr->alpha, x[1][i]);
    ref_bias_grad(call, y, y + 1);
}

/* The matrix of an input that batch `i` of y reads: leading dimensions are broadcast. */
static const double *matrix_for(const bur_desc *desc, const double *x, const bur_shape *y,
                                int64_t i)
{
    const bur_shape *shape = &desc->shape;
    int64_t at = 0, step = shape->dim[shape->rank - 1] * shape->dim[shape->rank - 2];
    for (int32_t d = 3; d <= y->rank; d++) {
        const int64_t place = i % y->dim[y->rank - d];
        i /= y->dim[y->rank - d];
        if (d > shape->rank)
            continue;
        at += place % shape->dim[shape->rank - d] * step;
        step *= shape->dim[shape->rank - d];
    }
    return x + at;
}

/* y[..., i, j] = sum_p A[..., i, p] B[..., p, j] */
void ref_batch_matmul(const bur_call *call, double *const *x, double *const *y)
{
    const bur_matmul_attr *attr = &call->attr->matmul;
    const bur_shape *as = &call->inputs[0].shape, *bs = &call->inputs[1].shape;
    const bur_shape *ys = &call->outputs[0].shape;
    const int64_t m = ys->dim[ys->rank - 2], n = ys->dim[ys->rank - 1];
    const int64_t a_width = as->dim[as->rank - 1], b_width = bs->dim[bs->rank - 1];
    const int64_t k = attr->transpose_a ? as->dim[as->rank - 2] : a_width;
    for (int64_t e = 0; e < ref_count(&call->outputs[0]); e++) {
        const double *a = matrix_for(&call->inputs[0], x[0], ys, e / (m * n));
        const double *b = matrix_for(&call->inputs[1], x[1], ys, e / (m * n));
        const int64_t i = e / n % m, j = e % n;
        y[0][e] = 0;
        for (int64_t p = 0; p < k; p++)
            y[0][e] += a[attr->transpose_a ? p * a_width + i : i * a_width + p] *
                       b[attr->transpose_b ? j * b_width + p : p * b_width + j];
    }
}
