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

INLINE bool is_to_w(bur_op op)
{
    return op == BUR_OP_conv2d_grad_w || op == BUR_OP_conv2d_grad_w_add;
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

/* Output positions begin <= ox < end of a row where tap kx meets the image. */
INLINE range meeting(const conv *v, int64_t kx)
{
    const int64_t offset = kx * v->dilation[1] - v->pad[1], s = v->stride[1];
    const int64_t begin = offset >= 0 ? 0 : (-offset + s - 1) / s;
    const int64_t last = v->iw - 1 - offset;
    return (range){begin, last < 0 ? 0 : least(v->ow, last / s + 1)};
}

/* Of one tap: x and dy are those of output position 0. */
INLINE vec sum_tap(const float *x, int64_t step, const float *dy, int64_t channels, int64_t begin,
                   int64_t end, int64_t n)
{
    vec sum = splat(0);
    for (int64_t ox = begin; ox < end; ox++)
        sum += load_part(x + ox * step, n) * load_part(dy + ox * channels, n);
    return sum;
}

/* sums[kx, c] += sum over ox of x dy for the kw taps of one line: where all of them meet the image
 * dy is read once for them, and their sums are in registers. A row is summed up before it joins the
 * others, which keeps sums of many pixels exact. */
INLINE void add_line(const conv *v, float *sums, const float *x, const float *dy, int64_t n,
                     const int kw)
{
    const int64_t channels = v->groups, step = v->stride[1] * channels;
    const int64_t tap = v->dilation[1] * channels;
    const float *first = x - v->pad[1] * channels;
    vec sum[kw];
    range all = {0, v->ow};
    for (int kx = 0; kx < kw; kx++) {
        const range own = meeting(v, kx);
        all.begin = own.begin > all.begin ? own.begin : all.begin;
        all.end = least(all.end, own.end);
        sum[kx] = splat(0);
    }
    all.end = all.end < all.begin ? all.begin : all.end;
    for (int64_t ox = all.begin; ox < all.end; ox++) {
        const vec d = load_part(dy + ox * channels, n);
        UNROLL for (int kx = 0; kx < kw; kx++) sum[kx] +=
            load_part(first + ox * step + kx * tap, n) * d;
    }
    for (int kx = 0; kx < kw; kx++) {
        const range own = meeting(v, kx);
        const int64_t behind = own.begin > all.end ? own.begin : all.end;
        const float *from = first + kx * tap;
        float *to = sums + kx * channels;
        sum[kx] += sum_tap(from, step, dy, channels, own.begin, least(own.end, all.begin), n);
        sum[kx] += sum_tap(from, step, dy, channels, behind, own.end, n);
        store_part(to, load_part(to, n) + sum[kx], n);
    }
}

INLINE void add_row(const conv *v, float *sums, const float *x_image, const float *dy, int64_t oy,
                    int64_t c, int64_t n)
{
    for (int64_t ky = 0; ky < v->kh; ky++) {
        const int64_t iy = input_at(v, 0, oy, ky);
        if (iy < 0)
            continue;
        const float *x = x_image + iy * v->iw * v->groups + c;
        float *to = sums + ky * v->kw * v->groups + c;
        if (v->kw == 3)
            add_line(v, to, x, dy + c, n, 3);
        else if (v->kw == 5)
            add_line(v, to, x, dy + c, n, 5);
        else
            for (int64_t kx = 0; kx < v->kw; kx++) {
                conv one = *v;
                one.pad[1] -= kx * v->dilation[1];
                add_line(&one, to + kx * v->groups, x, dy + c, n, 1);
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
        int64_t c = 0;
        for (; c + LANES <= channels; c += LANES)
            add_row(v, own, x, dy, row % v->oh, c, LANES);
        if (c < channels)
            add_row(v, own, x, dy, row % v->oh, c, channels - c);
    }
    team_wait(command, threads);
    const bur_call *call = &command->kernel->call;
    const float *before = call->op == BUR_OP_conv2d_grad_w_add ? sum_so_far(command) : NULL;
    float *dw = command->outputs[0];
    const range part = share(count, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t i = part.begin; i < part.end; i += LANES) {
        const int64_t n = least(LANES, part.end - i);
        vec sum = load_first(partial + i, n);
        for (int t = 1; t < threads; t++)
            sum += load_first(partial + t * pitch + i, n);
        if (before != NULL)
            sum += load_first(before + i, n);
        store_first(dw + i, sum, n);
    }
}

static size_t depthwise_scratch(const conv *v, bur_op op, int32_t threads)
{
    const int64_t pitch = round_up(v->kh * v->kw * v->groups, CACHE_LINE_FLOATS);
    return is_to_w(op) ? 4 * (size_t)(pitch * threads) : 0;
}

#endif
