/* Max pooling and its gradient, NHWC, channels along the vector. Part of kernels.c. */
#ifndef BUR_CPU_POOL_H
#define BUR_CPU_POOL_H

#include "team.h"
#include "vector.h"

#include <math.h>

typedef uint8_t bytes_of_lanes __attribute__((vector_size(LANES)));

/* A call's sizes with defaults filled in: x [n, ih, iw, c], y [n, oh, ow, c]. */
typedef struct pool {
    int64_t n, ih, iw, oh, ow, c;
    int64_t window[2], stride[2], pad[2]; /* y, x; padding before */
} pool;

static pool pool_of(const bur_call *call, const int64_t *x, const int64_t *y)
{
    const bur_pool2d_attr *attr = &call->attr->pool2d;
    pool v = {y[0], x[1], x[2], y[1], y[2], y[3], {0}, {0}, {0}};
    for (int i = 0; i < 2; i++) {
        v.window[i] = attr->window[i];
        v.stride[i] = attr->stride[i] == 0 ? attr->window[i] : attr->stride[i];
        v.pad[i] = attr->pad[2 * i];
    }
    return v;
}

/* The part of a window from `first` on that lies in 0..length, as indices within the window. */
INLINE range inside(int64_t first, int64_t window, int64_t length)
{
    return (range){first < 0 ? -first : 0, least(window, length - first)};
}

INLINE void store_bytes(uint8_t *p, ivec v, int64_t n)
{
    const bytes_of_lanes byte = __builtin_convertvector(v, bytes_of_lanes);
    if (n == LANES)
        memcpy(p, &byte, sizeof byte);
    else
        for (int64_t i = 0; i < n; i++)
            p[i] = byte[i];
}

INLINE ivec load_bytes(const uint8_t *p, int64_t n)
{
    bytes_of_lanes byte = {0};
    if (n == LANES)
        memcpy(&byte, p, sizeof byte);
    else
        for (int64_t i = 0; i < n; i++)
            byte[i] = p[i];
    return __builtin_convertvector(byte, ivec);
}

/* The greatest values of a window so far and where they were first found. A NaN is kept. */
typedef struct maximum {
    vec value;
    ivec place;
} maximum;

INLINE void consider(maximum *most, vec value, int32_t place)
{
    const ivec better = (value > most->value) | (value != value);
    most->value = (vec)(((ivec)value & better) | ((ivec)most->value & ~better));
    most->place = (place & better) | (most->place & ~better);
}

/* One window of n channels. */
INLINE maximum pool_window(const pool *v, const float *x, int64_t y0, int64_t x0, int64_t n)
{
    const range ky = inside(y0, v->window[0], v->ih), kx = inside(x0, v->window[1], v->iw);
    maximum most = {splat(-INFINITY), (ivec){0} + (int32_t)(ky.begin * v->window[1] + kx.begin)};
    for (int64_t y = ky.begin; y < ky.end; y++)
        for (int64_t k = kx.begin; k < kx.end; k++)
            consider(&most, load_first(x + ((y0 + y) * v->iw + x0 + k) * v->c, n),
                     (int32_t)(y * v->window[1] + k));
    return most;
}

/* Pooling of 2 x 2 that leaves nothing out and pads nothing, whole vectors: the usual case. */
INLINE bool is_halving(const pool *v)
{
    const bool two =
        v->window[0] == 2 && v->window[1] == 2 && v->stride[0] == 2 && v->stride[1] == 2;
    return two && v->pad[0] + v->pad[1] == 0 && v->ih == 2 * v->oh && v->iw == 2 * v->ow &&
           v->c % LANES == 0;
}

/* One row of windows: two rows of x. index may be NULL. */
static void halve_row(const pool *v, const float *x, float *y, uint8_t *index)
{
    const int64_t row = v->iw * v->c, next = 2 * v->c;
    for (int64_t ox = 0; ox < v->ow; ox++, x += next - v->c)
        for (int64_t c = 0; c < v->c; c += LANES, x += LANES, y += LANES) {
            const float *below = x + row;
            maximum most = {load(x), {0}};
            consider(&most, load(x + v->c), 1);
            consider(&most, load(below), 2);
            consider(&most, load(below + v->c), 3);
            store(y, most.value);
            if (index == NULL)
                continue;
            store_bytes(index, most.place, LANES);
            index += LANES;
        }
}

static void halve(const pool *v, const bur_command *command, int thread, int threads)
{
    uint8_t *index = command->kernel->call.n_outputs > 1 ? command->outputs[1] : NULL;
    const range rows = share(v->n * v->oh, 1, thread, threads);
    for (int64_t row = rows.begin; row < rows.end; row++) {
        const int64_t at = row * v->ow * v->c;
        halve_row(v, (const float *)command->inputs[0] + 4 * at, (float *)command->outputs[0] + at,
                  index == NULL ? NULL : index + at);
    }
}

static void max_pool2d(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const pool v = pool_of(call, call->inputs[0].shape.dim, call->outputs[0].shape.dim);
    const float *x = command->inputs[0];
    float *y = command->outputs[0];
    uint8_t *index = call->n_outputs > 1 ? command->outputs[1] : NULL;
    const range rows = share(v.n * v.oh, 1, thread, threads);
    if (is_halving(&v)) {
        halve(&v, command, thread, threads);
        return;
    }
    for (int64_t row = rows.begin; row < rows.end; row++) {
        const float *image = x + row / v.oh * v.ih * v.iw * v.c;
        const int64_t y0 = row % v.oh * v.stride[0] - v.pad[0];
        for (int64_t ox = 0; ox < v.ow; ox++)
            for (int64_t c = 0; c < v.c; c += LANES) {
                const int64_t n = least(LANES, v.c - c), at = (row * v.ow + ox) * v.c + c;
                const maximum most = pool_window(&v, image + c, y0, ox * v.stride[1] - v.pad[1], n);
                store_first(y + at, most.value, n);
                if (index != NULL)
                    store_bytes(index + at, most.place, n);
            }
    }
}

/* The windows that see coordinate i: o * stride - pad <= i < o * stride - pad + window. */
INLINE range windows_over(int64_t i, int64_t window, int64_t stride, int64_t pad, int64_t count)
{
    const int64_t from = i + pad - window + 1;
    return (range){from <= 0 ? 0 : (from + stride - 1) / stride,
                   least(count, (i + pad) / stride + 1)};
}

/* One row of dx [iw, c] gathers from one row of windows, whose positions ky lie on it. */
static void add_windows(const pool *v, float *dx, const float *dy, const uint8_t *index, int64_t ky)
{
    for (int64_t ox = 0; ox < v->ow; ox++) {
        const int64_t x0 = ox * v->stride[1] - v->pad[1];
        const range kx = inside(x0, v->window[1], v->iw);
        for (int64_t c = 0; c < v->c; c += LANES) {
            const int64_t n = least(LANES, v->c - c);
            const vec d = load_first(dy + ox * v->c + c, n);
            const ivec where = load_bytes(index + ox * v->c + c, n);
            for (int64_t k = kx.begin; k < kx.end; k++) {
                float *to = dx + (x0 + k) * v->c + c;
                const ivec hit = where == (int32_t)(ky * v->window[1] + k);
                store_first(to, load_first(to, n) + (vec)((ivec)d & hit), n);
            }
        }
    }
}

/* Every place of two rows of dx is written once: no clearing, no reading. */
static void spread_row(const pool *v, float *dx, const float *dy, const uint8_t *index)
{
    const int64_t row = v->iw * v->c, next = 2 * v->c;
    for (int64_t ox = 0; ox < v->ow; ox++, dx += next - v->c)
        for (int64_t c = 0; c < v->c; c += LANES, dx += LANES, dy += LANES, index += LANES) {
            const ivec d = (ivec)load(dy), where = load_bytes(index, LANES);
            float *below = dx + row;
            store(dx, (vec)(d & (where == 0)));
            store(dx + v->c, (vec)(d & (where == 1)));
            store(below, (vec)(d & (where == 2)));
            store(below + v->c, (vec)(d & (where == 3)));
        }
}

static void spread(const pool *v, const bur_command *command, int thread, int threads)
{
    const range rows = share(v->n * v->oh, 1, thread, threads);
    for (int64_t row = rows.begin; row < rows.end; row++) {
        const int64_t at = row * v->ow * v->c;
        spread_row(v, (float *)command->outputs[0] + 4 * at, (const float *)command->inputs[0] + at,
                   (const uint8_t *)command->inputs[1] + at);
    }
}

/* Rows of dx are shared out, so that no two threads write to one place. */
static void max_pool2d_grad(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const pool v = pool_of(call, call->outputs[0].shape.dim, call->inputs[0].shape.dim);
    const int64_t dy_row = v.ow * v.c, dx_row = v.iw * v.c;
    const range rows = share(v.n * v.ih, 1, thread, threads);
    if (is_halving(&v)) {
        spread(&v, command, thread, threads);
        return;
    }
    for (int64_t row = rows.begin; row < rows.end; row++) {
        float *dx = (float *)command->outputs[0] + row * dx_row;
        const int64_t iy = row % v.ih, first = row / v.ih * v.oh;
        const range oys = windows_over(iy, v.window[0], v.stride[0], v.pad[0], v.oh);
        memset(dx, 0, 4 * (size_t)dx_row);
        for (int64_t oy = oys.begin; oy < oys.end; oy++)
            add_windows(&v, dx, (const float *)command->inputs[0] + (first + oy) * dy_row,
                        (const uint8_t *)command->inputs[1] + (first + oy) * dy_row,
                        iy + v.pad[0] - oy * v.stride[0]);
    }
}

#endif
