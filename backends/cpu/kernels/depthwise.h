/* Depthwise convolution, a filter for each channel, and its gradients: no product of matrices, each
 * pixel is a sum over its taps with channels along the vector. Part of kernels.c. */
#ifndef BUR_CPU_DEPTHWISE_H
#define BUR_CPU_DEPTHWISE_H

#include "functions.h"
#include "team.h"

enum { MOST_TAPS = 64 };

/* A call's sizes with defaults filled in; ic and oc are of one group. */
typedef struct conv {
    int64_t n, ih, iw, ic, oh, ow, oc, kh, kw, groups;
    int64_t stride[2], dilation[2], pad[2]; /* y, x; padding before */
} conv;

INLINE bool is_depthwise(const conv *v)
{
    return v->groups > 1 && v->ic == 1 && v->oc == 1 && v->kh * v->kw <= MOST_TAPS;
}

/* What one pixel sees: a pixel of the other image, and the weights between. */
typedef struct seen_pixel {
    const float *pixel, *weight;
} seen_pixel;

/* y = act(bias + sum over taps of pixel * weight), for all channels; bias may be NULL. */
INLINE void sum_taps(float *y, const seen_pixel *taps, int64_t n_taps, int64_t channels,
                     const float *bias, int32_t activation, float alpha)
{
    for (int64_t c = 0; c < channels; c += LANES) {
        const int64_t n = least(LANES, channels - c);
        vec sum = bias == NULL ? splat(0) : load_first(bias + c, n);
        for (int64_t t = 0; t < n_taps; t++)
            sum += load_first(taps[t].pixel + c, n) * load_first(taps[t].weight + c, n);
        store_first(y + c, activate(sum, activation, alpha), n);
    }
}

/* Where output position o and tap k meet the input: o * stride + k * dilation - pad; -1 outside. */
INLINE int64_t input_at(const conv *v, int axis, int64_t o, int64_t k)
{
    const int64_t i = o * v->stride[axis] + k * v->dilation[axis] - v->pad[axis];
    return i >= 0 && i < (axis == 0 ? v->ih : v->iw) ? i : -1;
}

/* The output position that sees input i at tap k; -1 if none does. */
INLINE int64_t output_at(const conv *v, int axis, int64_t i, int64_t k)
{
    const int64_t at = i + v->pad[axis] - k * v->dilation[axis], o = at / v->stride[axis];
    const bool exact = at >= 0 && o * v->stride[axis] == at;
    return exact && o < (axis == 0 ? v->oh : v->ow) ? o : -1;
}

typedef int64_t at_function(const conv *v, int axis, int64_t position, int64_t k);

/* Taps of pixel (y, x) in `image` [height, width, channels], which `at` finds. */
INLINE int64_t list_taps(seen_pixel *taps, const conv *v, const float *image, int64_t width,
                         const float *weights, int64_t y, int64_t x, at_function *at)
{
    int64_t count = 0;
    for (int64_t ky = 0; ky < v->kh; ky++) {
        const int64_t iy = at(v, 0, y, ky);
        for (int64_t kx = 0; iy >= 0 && kx < v->kw; kx++) {
            const int64_t ix = at(v, 1, x, kx);
            if (ix >= 0)
                taps[count++] = (seen_pixel){image + (iy * width + ix) * v->groups,
                                             weights + (ky * v->kw + kx) * v->groups};
        }
    }
    return count;
}

static void depthwise_forward(const conv *v, const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const bool fused = call->n_inputs == 3;
    const bur_conv2d_attr *attr = &call->attr->conv2d;
    const int64_t channels = v->groups;
    const range rows = share(v->n * v->oh, 1, thread, threads);
    seen_pixel taps[MOST_TAPS];
    for (int64_t row = rows.begin; row < rows.end; row++) {
        const float *image =
            (const float *)command->inputs[0] + row / v->oh * v->ih * v->iw * channels;
        float *y = (float *)command->outputs[0] + row * v->ow * channels;
        for (int64_t ox = 0; ox < v->ow; ox++, y += channels) {
            const int64_t n =
                list_taps(taps, v, image, v->iw, command->inputs[1], row % v->oh, ox, input_at);
            sum_taps(y, taps, n, channels, fused ? command->inputs[2] : NULL,
                     fused ? attr->activation : BUR_LINEAR, attr->alpha);
        }
    }
}

static void depthwise_grad_x(const conv *v, const bur_command *command, int thread, int threads)
{
    const int64_t channels = v->groups;
    const range rows = share(v->n * v->ih, 1, thread, threads);
    seen_pixel taps[MOST_TAPS];
    for (int64_t row = rows.begin; row < rows.end; row++) {
        const float *dy =
            (const float *)command->inputs[0] + row / v->ih * v->oh * v->ow * channels;
        float *dx = (float *)command->outputs[0] + row * v->iw * channels;
        for (int64_t ix = 0; ix < v->iw; ix++, dx += channels) {
            const int64_t n =
                list_taps(taps, v, dy, v->ow, command->inputs[1], row % v->ih, ix, output_at);
            sum_taps(dx, taps, n, channels, NULL, BUR_LINEAR, 0);
        }
    }
}

/* sums[tap, c] += sum over ox of x dy in one row of outputs: a row is summed up in registers first,
 * which also keeps sums of many pixels exact. */
INLINE void add_row(const conv *v, float *sums, const float *x_image, const float *dy, int64_t oy,
                    int64_t c, int64_t n)
{
    const int64_t channels = v->groups;
    for (int64_t ky = 0; ky < v->kh; ky++) {
        const int64_t iy = input_at(v, 0, oy, ky);
        for (int64_t kx = 0; iy >= 0 && kx < v->kw; kx++) {
            const float *x = x_image + iy * v->iw * channels + c;
            float *to = sums + (ky * v->kw + kx) * channels + c;
            vec sum = splat(0);
            for (int64_t ox = 0; ox < v->ow; ox++) {
                const int64_t ix = input_at(v, 1, ox, kx);
                if (ix >= 0)
                    sum += load_first(x + ix * channels, n) * load_first(dy + ox * channels + c, n);
            }
            store_first(to, load_first(to, n) + sum, n);
        }
    }
}

/* Each thread sums up its own rows, then the threads' sums are added in order. */
static void depthwise_grad_w(const conv *v, const bur_command *command, int thread, int threads)
{
    const int64_t channels = v->groups, count = v->kh * v->kw * channels;
    const int64_t pitch = round_up(count, CACHE_LINE_FLOATS);
    float *partial = (float *)command->scratch, *own = partial + thread * pitch;
    const range rows = share(v->n * v->oh, 1, thread, threads);
    memset(own, 0, 4 * (size_t)count);
    for (int64_t row = rows.begin; row < rows.end; row++) {
        const float *x = (const float *)command->inputs[0] + row / v->oh * v->ih * v->iw * channels;
        const float *dy = (const float *)command->inputs[1] + row * v->ow * channels;
        for (int64_t c = 0; c < channels; c += LANES)
            add_row(v, own, x, dy, row % v->oh, c, least(LANES, channels - c));
    }
    team_wait(command, threads);
    float *dw = command->outputs[0];
    const range part = share(count, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t i = part.begin; i < part.end; i += LANES) {
        const int64_t n = least(LANES, part.end - i);
        vec sum = load_first(partial + i, n);
        for (int t = 1; t < threads; t++)
            sum += load_first(partial + t * pitch + i, n);
        store_first(dw + i, sum, n);
    }
}

static size_t depthwise_scratch(const conv *v, bur_op op, int32_t threads)
{
    const int64_t pitch = round_up(v->kh * v->kw * v->groups, CACHE_LINE_FLOATS);
    return op == BUR_OP_conv2d_grad_w ? 4 * (size_t)(pitch * threads) : 0;
}

#endif
