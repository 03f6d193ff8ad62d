/* Pooling. */
#include "rows.h"

static int64_t stride_of(const bur_pool2d_attr *attr, int axis)
{
    return attr->stride[axis] == 0 ? attr->window[axis] : attr->stride[axis];
}

/* y = max over the window's part inside the input, the first of equals; index = ky * kw + kx. */
void ref_max_pool2d(const bur_call *call, double *const *x, double *const *y)
{
    const bur_pool2d_attr *attr = &call->attr->pool2d;
    const int64_t *xs = call->inputs[0].shape.dim, *ys = call->outputs[0].shape.dim;
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++) {
        const int64_t c = i % ys[3], ox = i / ys[3] % ys[2], oy = i / ys[3] / ys[2] % ys[1],
                      n = i / ys[3] / ys[2] / ys[1];
        int64_t best = -1;
        for (int64_t k = 0; k < attr->window[0] * attr->window[1]; k++) {
            const int64_t iy = oy * stride_of(attr, 0) + k / attr->window[1] - attr->pad[0];
            const int64_t ix = ox * stride_of(attr, 1) + k % attr->window[1] - attr->pad[2];
            if (iy < 0 || iy >= xs[1] || ix < 0 || ix >= xs[2])
                continue;
            const double value = x[0][((n * xs[1] + iy) * xs[2] + ix) * xs[3] + c];
            if (best < 0 || value > y[0][i]) {
                best = k;
                y[0][i] = value;
            }
        }
        if (call->n_outputs > 1)
            y[1][i] = (double)best;
    }
}

/* dx from (dy, index): each dy goes to where its window's maximum was. */
void ref_max_pool2d_grad(const bur_call *call, double *const *x, double *const *y)
{
    const bur_pool2d_attr *attr = &call->attr->pool2d;
    const int64_t *xs = call->outputs[0].shape.dim, *ys = call->inputs[0].shape.dim;
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[0][i] = 0;
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++) {
        const int64_t c = i % ys[3], ox = i / ys[3] % ys[2], oy = i / ys[3] / ys[2] % ys[1],
                      n = i / ys[3] / ys[2] / ys[1], k = (int64_t)x[1][i];
        const int64_t iy = oy * stride_of(attr, 0) + k / attr->window[1] - attr->pad[0];
        const int64_t ix = ox * stride_of(attr, 1) + k % attr->window[1] - attr->pad[2];
        y[0][((n * xs[1] + iy) * xs[2] + ix) * xs[3] + c] += x[0][i];
    }
}
