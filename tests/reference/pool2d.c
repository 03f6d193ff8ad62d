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

/* One window of a mean: its first line and column, and how many places it is divided by. */
static double places(const bur_pool2d_attr *attr, const int64_t *xs, int64_t y0, int64_t x0)
{
    int64_t count = 0;
    for (int64_t ky = 0; ky < attr->window[0]; ky++)
        for (int64_t kx = 0; kx < attr->window[1]; kx++) {
            const int64_t iy = y0 + ky, ix = x0 + kx;
            count += attr->count_include_pad || (iy >= 0 && iy < xs[1] && ix >= 0 && ix < xs[2]);
        }
    return (double)count;
}

/* Calls for every pair of an output and a pixel in its window: y += x / count, or dx += dy / count.
 */
static void for_means(const bur_pool2d_attr *attr, const int64_t *xs, const int64_t *ys,
                      const double *from, double *to, bool gradient)
{
    for (int64_t i = 0; i < ys[0] * ys[1] * ys[2] * ys[3]; i++) {
        const int64_t c = i % ys[3], n = i / ys[3] / ys[2] / ys[1];
        const int64_t y0 = i / ys[3] / ys[2] % ys[1] * stride_of(attr, 0) - attr->pad[0];
        const int64_t x0 = i / ys[3] % ys[2] * stride_of(attr, 1) - attr->pad[2];
        const double count = places(attr, xs, y0, x0);
        for (int64_t k = 0; k < attr->window[0] * attr->window[1]; k++) {
            const int64_t iy = y0 + k / attr->window[1], ix = x0 + k % attr->window[1];
            if (iy < 0 || iy >= xs[1] || ix < 0 || ix >= xs[2])
                continue;
            const int64_t j = ((n * xs[1] + iy) * xs[2] + ix) * xs[3] + c;
            if (gradient)
                to[j] += from[i] / count;
            else
                to[i] += from[j] / count;
        }
    }
}

static void clear(double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = 0;
}

void ref_avg_pool2d(const bur_call *call, double *const *x, double *const *y)
{
    clear(y[0], ref_count(&call->outputs[0]));
    for_means(&call->attr->pool2d, call->inputs[0].shape.dim, call->outputs[0].shape.dim, x[0],
              y[0], false);
}

void ref_avg_pool2d_grad(const bur_call *call, double *const *x, double *const *y)
{
    clear(y[0], ref_count(&call->outputs[0]));
    for_means(&call->attr->pool2d, call->outputs[0].shape.dim, call->inputs[0].shape.dim, x[0],
              y[0], true);
}

/* y[n,c] = mean over h and w. */
void ref_global_avg_pool2d(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t *xs = call->inputs[0].shape.dim, area = xs[1] * xs[2];
    clear(y[0], ref_count(&call->outputs[0]));
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        y[0][i / (area * xs[3]) * xs[3] + i % xs[3]] += x[0][i] / (double)area;
}

void ref_global_avg_pool2d_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t *xs = call->outputs[0].shape.dim, area = xs[1] * xs[2];
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[0][i] = x[0][i / (area * xs[3]) * xs[3] + i % xs[3]] / (double)area;
}

/* y[n,c] = max over h and w, the first of equals; index = its line * w + its column. */
void ref_global_max_pool2d(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t *xs = call->inputs[0].shape.dim, area = xs[1] * xs[2];
    for (int64_t i = 0; i < xs[0] * xs[3]; i++) {
        const double *image = x[0] + i / xs[3] * area * xs[3] + i % xs[3];
        int64_t best = 0;
        for (int64_t k = 1; k < area; k++)
            if (image[k * xs[3]] > image[best * xs[3]])
                best = k;
        y[0][i] = image[best * xs[3]];
        if (call->n_outputs > 1)
            y[1][i] = (double)best;
    }
}

void ref_global_max_pool2d_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t *xs = call->outputs[0].shape.dim, area = xs[1] * xs[2];
    clear(y[0], ref_count(&call->outputs[0]));
    for (int64_t i = 0; i < xs[0] * xs[3]; i++)
        y[0][(i / xs[3] * area + (int64_t)x[1][i]) * xs[3] + i % xs[3]] = x[0][i];
}
