/* Images to another size, and the way back; x is [n, y, x, c]. Part of kernels.c.
 *
 * Places are worked out in whole numbers, so that every device chooses the same pixels. */
#ifndef BUR_CPU_RESIZE_H
#define BUR_CPU_RESIZE_H

#include "team.h"

/* The one or two pixels of the input that a place of the result is made of, along one axis. */
typedef struct resize_taps {
    int64_t first, second;
    float second_weight; /* the first's is 1 less it */
} resize_taps;

/* (o + 1/2) in / out - 1/2 = ((2 o + 1) in - out) / (2 out) */
INLINE resize_taps taps_of(int64_t o, int64_t in, int64_t out, int32_t mode)
{
    if (mode == BUR_NEAREST) {
        const int64_t nearest = (2 * o + 1) * in / (2 * out);
        return (resize_taps){nearest, nearest, 0};
    }
    const int64_t exact = (2 * o + 1) * in - out, place = exact > 0 ? exact : 0;
    const int64_t first = place / (2 * out);
    return (resize_taps){first, least(first + 1, in - 1),
                         (float)(place % (2 * out)) / (float)(2 * out)};
}

/* Between a and b; just a without weight, so that nearest copies infinities. */
INLINE vec between(vec a, vec b, float weight)
{
    return weight == 0 ? a : a + (b - a) * weight;
}

static void resize(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const int64_t *xs = call->inputs[0].shape.dim, *ys = call->outputs[0].shape.dim;
    const int64_t c = xs[3], line = xs[2] * c;
    const int32_t mode = call->attr->resize.mode;
    const range own = share(ys[0] * ys[1], 1, thread, threads);
    for (int64_t row = own.begin; row < own.end; row++) {
        const float *x = (const float *)command->inputs[0] + row / ys[1] * xs[1] * line;
        float *y = (float *)command->outputs[0] + row * ys[2] * c;
        const resize_taps v = taps_of(row % ys[1], xs[1], ys[1], mode);
        for (int64_t ox = 0; ox < ys[2]; ox++, y += c) {
            const resize_taps h = taps_of(ox, xs[2], ys[2], mode);
            const float *corner[] = {
                x + v.first * line + h.first * c, x + v.first * line + h.second * c,
                x + v.second * line + h.first * c, x + v.second * line + h.second * c};
            for (int64_t j = 0; j < c; j += LANES) {
                const int64_t n = least(LANES, c - j);
                const vec a = load_first(corner[0] + j, n), b = load_first(corner[1] + j, n);
                const vec d = load_first(corner[2] + j, n), e = load_first(corner[3] + j, n);
                const vec top = between(a, b, h.second_weight);
                const vec bottom = between(d, e, h.second_weight);
                store_first(y + j, between(top, bottom, v.second_weight), n);
            }
        }
    }
}

/* What place o of the result takes of pixel i. */
INLINE float weight_of(resize_taps t, int64_t i)
{
    return (t.first == i ? 1 - t.second_weight : 0) + (t.second == i ? t.second_weight : 0);
}

/* The places of the result that may be made of pixel i: those from pixel i - 1 to pixel i + 1. */
INLINE range places_of(int64_t i, int64_t in, int64_t out)
{
    const int64_t begin = (i - 1) * out / in - 1, end = (i + 2) * out / in + 2;
    return (range){begin > 0 ? begin : 0, least(end, out)};
}

/* Every pixel gathers what the places made of it hand back. */
static void resize_grad(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const int64_t *ys = call->inputs[0].shape.dim, *xs = call->outputs[0].shape.dim;
    const int64_t c = xs[3];
    const int32_t mode = call->attr->resize.mode;
    const range own = share(xs[0] * xs[1] * xs[2], 1, thread, threads);
    for (int64_t i = own.begin; i < own.end; i++) {
        const int64_t iy = i / xs[2] % xs[1], ix = i % xs[2];
        const range v = places_of(iy, xs[1], ys[1]), h = places_of(ix, xs[2], ys[2]);
        const float *dy =
            (const float *)command->inputs[0] + i / (xs[1] * xs[2]) * ys[1] * ys[2] * c;
        float *dx = (float *)command->outputs[0] + i * c;
        memset(dx, 0, (size_t)c * sizeof *dx);
        for (int64_t oy = v.begin; oy < v.end; oy++) {
            const float along = weight_of(taps_of(oy, xs[1], ys[1], mode), iy);
            for (int64_t ox = h.begin; along != 0 && ox < h.end; ox++) {
                const float weight = along * weight_of(taps_of(ox, xs[2], ys[2], mode), ix);
                const float *from = dy + (oy * ys[2] + ox) * c;
                for (int64_t j = 0; weight != 0 && j < c; j += LANES) {
                    const int64_t n = least(LANES, c - j);
                    store_first(dx + j, load_first(dx + j, n) + load_first(from + j, n) * weight,
                                n);
                }
            }
        }
    }
}

#endif
