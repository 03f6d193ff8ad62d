/* Mean pooling, and mean and max over whole images, NHWC, channels along the vector. Part of
 * kernels.c. */
#ifndef BUR_CPU_AVGPOOL_H
#define BUR_CPU_AVGPOOL_H

#include "pool.h"

/* A global pool is one whose window is the image; `image` is [n, h, w, c], `pooled` [n, oh, ow, c]
 * or [n, c]. */
static pool any_pool_of(const bur_call *call, const bur_desc *image, const bur_desc *pooled)
{
    const int64_t *x = image->shape.dim;
    if (pooled->shape.rank == 4)
        return pool_of(call, x, pooled->shape.dim);
    return (pool){x[0], x[1], x[2], 1, 1, x[3], {x[1], x[2]}, {x[1], x[2]}, {0, 0}};
}

/* 1 / (what a window is divided by), of the part of it that lies in the image. */
INLINE float window_weight(const pool *v, bool all, range ky, range kx)
{
    const int64_t count =
        all ? v->window[0] * v->window[1] : (ky.end - ky.begin) * (kx.end - kx.begin);
    return 1.0f / (float)count;
}

/* Sums line by line, then the lines: less rounding in a large window. */
INLINE vec window_sum(const pool *v, const float *first, range ky, range kx, int64_t n)
{
    vec sum = {0};
    for (int64_t y = ky.begin; y < ky.end; y++) {
        vec line = {0};
        for (int64_t k = kx.begin; k < kx.end; k++)
            line += load_first(first + (y * v->iw + k) * v->c, n);
        sum += line;
    }
    return sum;
}

static void avg_pool2d(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const pool v = any_pool_of(call, &call->inputs[0], &call->outputs[0]);
    const bool all = call->attr->pool2d.count_include_pad != 0;
    const float *x = command->inputs[0];
    float *y = command->outputs[0];
    const range rows = share(v.n * v.oh, 1, thread, threads);
    for (int64_t row = rows.begin; row < rows.end; row++) {
        const int64_t y0 = row % v.oh * v.stride[0] - v.pad[0];
        const range ky = inside(y0, v.window[0], v.ih);
        for (int64_t ox = 0; ox < v.ow; ox++) {
            const int64_t x0 = ox * v.stride[1] - v.pad[1];
            const range kx = inside(x0, v.window[1], v.iw);
            const float weight = window_weight(&v, all, ky, kx);
            const int64_t first = (row / v.oh * v.ih + y0) * v.iw + x0, to = row * v.ow + ox;
            for (int64_t c = 0; c < v.c; c += LANES) {
                const int64_t n = least(LANES, v.c - c);
                const vec sum = window_sum(&v, x + first * v.c + c, ky, kx, n);
                store_first(y + to * v.c + c, sum * weight, n);
            }
        }
    }
}

/* One row of dx gathers its part of one row of windows, of which ky lies in the image. */
static void add_means(const pool *v, float *dx, const float *dy, bool all, range ky)
{
    for (int64_t ox = 0; ox < v->ow; ox++) {
        const int64_t x0 = ox * v->stride[1] - v->pad[1];
        const range kx = inside(x0, v->window[1], v->iw);
        const float weight = window_weight(v, all, ky, kx);
        for (int64_t c = 0; c < v->c; c += LANES) {
            const int64_t n = least(LANES, v->c - c);
            const vec d = load_first(dy + ox * v->c + c, n) * weight;
            for (int64_t k = kx.begin; k < kx.end; k++) {
                float *to = dx + (x0 + k) * v->c + c;
                store_first(to, load_first(to, n) + d, n);
            }
        }
    }
}

/* Rows of dx are shared out, so that no two threads write to one place. */
static void avg_pool2d_grad(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const pool v = any_pool_of(call, &call->outputs[0], &call->inputs[0]);
    const bool all = call->attr->pool2d.count_include_pad != 0;
    const range rows = share(v.n * v.ih, 1, thread, threads);
    for (int64_t row = rows.begin; row < rows.end; row++) {
        float *dx = (float *)command->outputs[0] + row * v.iw * v.c;
        const float *dy = (const float *)command->inputs[0] + row / v.ih * v.oh * v.ow * v.c;
        const range oys = windows_over(row % v.ih, v.window[0], v.stride[0], v.pad[0], v.oh);
        memset(dx, 0, 4 * (size_t)(v.iw * v.c));
        for (int64_t oy = oys.begin; oy < oys.end; oy++)
            add_means(&v, dx, dy + oy * v.ow * v.c, all,
                      inside(oy * v.stride[0] - v.pad[0], v.window[0], v.ih));
    }
}

/* y[n,c] and the place of the first greatest, y * w + x. */
static void global_max_pool2d(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const pool v = any_pool_of(call, &call->inputs[0], &call->outputs[0]);
    float *y = command->outputs[0];
    int32_t *index = call->n_outputs > 1 ? command->outputs[1] : NULL;
    const range images = share(v.n, 1, thread, threads);
    for (int64_t i = images.begin; i < images.end; i++)
        for (int64_t c = 0; c < v.c; c += LANES) {
            const int64_t n = least(LANES, v.c - c), at = i * v.c + c;
            const float *x = (const float *)command->inputs[0] + i * v.ih * v.iw * v.c + c;
            const maximum most = pool_window(&v, x, 0, 0, n);
            store_first(y + at, most.value, n);
            if (index != NULL)
                memcpy(index + at, &most.place, 4 * (size_t)n);
        }
}

/* dx from (dy, index): each dy goes to its place, all others are 0. */
static void global_max_pool2d_grad(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const pool v = any_pool_of(call, &call->outputs[0], &call->inputs[0]);
    const float *dy = command->inputs[0];
    const int32_t *index = command->inputs[1];
    const int64_t image = v.ih * v.iw * v.c;
    const range images = share(v.n, 1, thread, threads);
    for (int64_t i = images.begin; i < images.end; i++) {
        float *dx = (float *)command->outputs[0] + i * image;
        memset(dx, 0, 4 * (size_t)image);
        for (int64_t c = 0; c < v.c; c++)
            dx[index[i * v.c + c] * v.c + c] = dy[i * v.c + c];
    }
}

#endif
