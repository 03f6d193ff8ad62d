/* Convolution and its two gradients as matrix products whose operand a is read from the image while
 * it is packed (implicit GEMM): no matrix of patches is ever stored. Part of kernels.c.
 *
 *     forward  y[(n,oy,ox), o]   = sum over (tap, c)    x[pixel at tap, c]  w[(tap, c), o]
 *     grad_x   dx[(n,iy,ix), c]  = sum over (tap, o)    dy[pixel at tap, o] w[tap, c, o]
 *     grad_w   dw[(tap, c), o]   = sum over (n, oy, ox) x[pixel at tap, c]  dy[(n,oy,ox), o]
 */
#ifndef BUR_CPU_CONV_H
#define BUR_CPU_CONV_H

#include "depthwise.h"
#include "gemm.h"

/* Patches of an image [n, h, w, channels]: position (oy, ox) looks at
 *     (o * step + offset + tap * tap_step) / divisor     in y and in x,
 * which is zero padding where it is no whole number or outside. */
typedef struct patches {
    int64_t positions[2], size[2], channels, kw;
    int64_t inner; /* channels of a patch */
    int64_t step[2], offset[2], tap_step[2], divisor[2];
} patches;

/* From a convolution's output to its input: conv2d_grad_x, and the same as a layer. */
INLINE bool is_to_x(bur_op op)
{
    return op == BUR_OP_conv2d_grad_x || op == BUR_OP_conv2d_transpose;
}

static conv conv_of(const bur_call *call)
{
    const bur_conv2d_attr *attr = &call->attr->conv2d;
    const bool to_x = is_to_x(call->op), to_w = is_to_w(call->op);
    const int64_t *x = to_x ? call->outputs[0].shape.dim : call->inputs[0].shape.dim;
    const int64_t *w = to_w ? call->outputs[0].shape.dim : call->inputs[1].shape.dim;
    const int64_t *y = to_x   ? call->inputs[0].shape.dim
                       : to_w ? call->inputs[1].shape.dim
                              : call->outputs[0].shape.dim;
    const int64_t groups = attr->groups == 0 ? 1 : attr->groups;
    conv v = {x[0], x[1], x[2], w[2], y[1], y[2], w[3] / groups, w[0], w[1], groups, {0}, {0}, {0}};
    for (int i = 0; i < 2; i++) {
        v.stride[i] = attr->stride[i] == 0 ? 1 : attr->stride[i];
        v.dilation[i] = attr->dilation[i] == 0 ? 1 : attr->dilation[i];
        v.pad[i] = attr->pad[2 * i];
    }
    return v;
}

/* Every output pixel sees exactly its input pixel. */
static bool is_pointwise(const conv *v)
{
    return v->kh * v->kw == 1 && v->stride[0] * v->stride[1] == 1 && v->ih == v->oh &&
           v->iw == v->ow && v->pad[0] + v->pad[1] == 0;
}

/* m, n, k of one group. */
static gemm conv_sizes(bur_op op, const conv *v)
{
    const int64_t pixels = v->n * v->oh * v->ow, taps = v->kh * v->kw;
    if (is_to_x(op))
        return (gemm){.m = v->n * v->ih * v->iw, .n = v->ic, .k = taps * v->oc};
    if (is_to_w(op))
        return (gemm){.m = taps * v->ic, .n = v->oc, .k = pixels};
    return (gemm){.m = pixels, .n = v->oc, .k = taps * v->ic};
}

/* Positions of y that look at x. */
static patches patches_of_x(const conv *v)
{
    return (patches){{v->oh, v->ow},
                     {v->ih, v->iw},
                     v->ic * v->groups,
                     v->kw,
                     v->ic,
                     {v->stride[0], v->stride[1]},
                     {-v->pad[0], -v->pad[1]},
                     {v->dilation[0], v->dilation[1]},
                     {1, 1}};
}

/* Positions of x that look at y. */
static patches patches_of_y(const conv *v)
{
    return (patches){{v->ih, v->iw},
                     {v->oh, v->ow},
                     v->oc * v->groups,
                     v->kw,
                     v->oc,
                     {1, 1},
                     {v->pad[0], v->pad[1]},
                     {-v->dilation[0], -v->dilation[1]},
                     {v->stride[0], v->stride[1]}};
}

/* ---- packing ---- */

/* One position: its image and its y and x before a tap is added. */
typedef struct position {
    const float *image;
    int64_t y, x;
} position;

static const float zeros[KC];

enum { THIN = 8 }; /* fewer channels than this are not worth a pointer */

INLINE position position_of(const pack_source *source, int64_t index)
{
    const patches *s = source->image;
    const int64_t plane = s->positions[0] * s->positions[1];
    const int64_t y = index % plane / s->positions[1], x = index % s->positions[1];
    return (position){source->data + index / plane * s->size[0] * s->size[1] * s->channels,
                      y * s->step[0] + s->offset[0], x * s->step[1] + s->offset[1]};
}

INLINE bool divides(int64_t divisor, int64_t *value)
{
    if (divisor == 1)
        return true;
    const int64_t quotient = *value / divisor;
    const bool exact = quotient * divisor == *value;
    *value = quotient;
    return exact;
}

/* The pixel that a position sees at a tap; NULL for padding. */
INLINE const float *at_tap(const patches *s, const position *at, int64_t ky, int64_t kx)
{
    int64_t y = at->y + ky * s->tap_step[0], x = at->x + kx * s->tap_step[1];
    if (!divides(s->divisor[0], &y) || !divides(s->divisor[1], &x))
        return NULL;
    const bool inside = (uint64_t)y < (uint64_t)s->size[0] && (uint64_t)x < (uint64_t)s->size[1];
    return inside ? at->image + (y * s->size[1] + x) * s->channels : NULL;
}

/* Neighbours in one row of positions, which see neighbours in one row of the image. */
typedef struct stretch {
    position first;
    int64_t count;
} stretch;

/* Splits positions first .. first + count into stretches; gives how many. */
INLINE int64_t list_stretches(stretch *out, const pack_source *source, int64_t first, int64_t count)
{
    const int64_t width = source->image->positions[1];
    int64_t n = 0;
    for (int64_t end = first + count; first < end; n++) {
        out[n].first = position_of(source, first);
        out[n].count = least(width - first % width, end - first);
        first += out[n].count;
    }
    return n;
}

/* Which of a stretch's positions see pixels at a tap, and the pixel of the first of them. Divisors
 * are 1. */
INLINE range seen(const patches *s, const stretch *at, int64_t ky, int64_t kx, const float **pixel)
{
    const int64_t y = at->first.y + ky * s->tap_step[0], x = at->first.x + kx * s->tap_step[1];
    const int64_t step = s->step[1], room = s->size[1] - x;
    const int64_t begin = x >= 0 ? 0 : (step - 1 - x) / step;
    const int64_t end = room <= 0 ? 0 : least(at->count, (room + step - 1) / step);
    *pixel = NULL;
    if ((uint64_t)y >= (uint64_t)s->size[0] || begin >= end)
        return (range){at->count, at->count};
    *pixel = at->first.image + (y * s->size[1] + x + begin * step) * s->channels;
    return (range){begin, end};
}

/* to[i * to_step + j] = from[i * from_step + j] for i < count, j < run; run is at most MR. */
INLINE void copy_runs(float *to, int64_t to_step, const float *from, int64_t from_step,
                      int64_t count, int64_t run)
{
    for (int64_t i = 0; i < count; i++, to += to_step, from += from_step) {
        int64_t j = 0;
#if LANES == 16
        store_first(to, load_first(from, run), run);
        j = run;
#endif
        for (; j + 4 <= run; j += 4)
            *(vec4_memory *)(to + j) = *(const vec4_memory *)(from + j);
        for (; j < run; j++)
            to[j] = from[j];
    }
}

INLINE void clear_runs(float *to, int64_t to_step, int64_t count, int64_t run)
{
    copy_runs(to, to_step, zeros, 0, count, run);
}

/* Few channels: one step at a time, along the positions. */
static void pack_thin_patches(float *panel, int64_t pitch, const pack_source *source, int64_t line,
                              int64_t lines, int64_t step, int64_t depth)
{
    const patches *s = source->image;
    stretch list[MR];
    const int64_t n = list_stretches(list, source, line, lines), next = s->step[1] * s->channels;
    for (int64_t p = step; p < step + depth; p++, panel += pitch) {
        const int64_t tap = p / s->inner, c = p % s->inner;
        float *to = panel;
        for (int64_t i = 0; i < n; to += list[i].count, i++) {
            const float *pixel;
            const range in = seen(s, &list[i], tap / s->kw, tap % s->kw, &pixel);
            for (int64_t j = 0; j < in.begin; j++)
                to[j] = 0;
            if (next == 1 && pixel != NULL)
                copy_runs(to + in.begin, 0, pixel, 0, 1, in.end - in.begin);
            for (int64_t j = in.begin; next != 1 && j < in.end; j++)
                to[j] = pixel[(j - in.begin) * next + c];
            for (int64_t j = in.end; j < list[i].count; j++)
                to[j] = 0;
        }
    }
}

/* The positions of a panel one by one. */
INLINE void list_positions(position at[MR], const pack_source *source, int64_t line, int64_t lines)
{
    stretch list[MR];
    const int64_t n = list_stretches(list, source, line, lines);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < list[i].count; j++, at++) {
            *at = list[i].first;
            at->x += j * source->image->step[1];
        }
}

/* What positions see from step p on, to the end of its tap. */
INLINE void point_at_tap(const float **pointer, const patches *s, const position *at, int64_t lines,
                         int64_t p)
{
    const int64_t tap = p / s->inner, c = p % s->inner, ky = tap / s->kw, kx = tap % s->kw;
    for (int64_t i = 0; i < lines; i++) {
        const float *pixel = at_tap(s, &at[i], ky, kx);
        pointer[i] = pixel == NULL ? zeros : pixel + c;
    }
}

/* A run is a tap's channels. */
static void point_at_patches(const float **pointer, const pack_source *source, int64_t line,
                             int64_t lines, int64_t step, int64_t depth)
{
    const patches *s = source->image;
    position at[MR];
    list_positions(at, source, line, lines);
    for (int64_t p = step; p < step + depth; p += s->inner - p % s->inner, pointer += MR)
        point_at_tap(pointer, s, at, lines, p);
}

/* Lines are positions, steps are (tap, channel). */
static void pack_patches(float *panel, int64_t pitch, const pack_source *source, int64_t line,
                         int64_t lines, int64_t width, int64_t step, int64_t depth)
{
    const patches *s = source->image;
    position at[MR];
    const float *pointer[MR];
    pad_panel(panel, pitch, lines, width, depth);
    if (s->inner < THIN && s->divisor[0] * s->divisor[1] == 1) {
        pack_thin_patches(panel, pitch, source, line, lines, step, depth);
        return;
    }
    list_positions(at, source, line, lines);
    for (int64_t p = step, run; p < step + depth; p += run) {
        run = least(s->inner - p % s->inner, step + depth - p);
        point_at_tap(pointer, s, at, lines, p);
        pack_pointers(panel + (p - step) * pitch, pitch, pointer, lines, run);
    }
}

/* Lines are (tap, channel), steps are positions. Divisors are 1. */
static void pack_patch_columns(float *panel, int64_t pitch, const pack_source *source, int64_t line,
                               int64_t lines, int64_t width, int64_t step, int64_t depth)
{
    const patches *s = source->image;
    const int64_t next = s->step[1] * s->channels;
    stretch list[KC];
    const int64_t n = list_stretches(list, source, step, depth);
    pad_panel(panel, pitch, lines, width, depth);
    for (int64_t l = line, run; l < line + lines; l += run) {
        const int64_t tap = l / s->inner, c = l % s->inner;
        run = least(s->inner - c, line + lines - l);
        float *to = panel + (l - line);
        for (int64_t i = 0; i < n; to += list[i].count * pitch, i++) {
            const float *pixel;
            const range in = seen(s, &list[i], tap / s->kw, tap % s->kw, &pixel);
            clear_runs(to, pitch, in.begin, run);
            copy_runs(to + in.begin * pitch, pitch, pixel == NULL ? NULL : pixel + c, next,
                      in.end - in.begin, run);
            clear_runs(to + in.end * pitch, pitch, list[i].count - in.end, run);
        }
    }
}

/* b of grad_x: lines are channels c, steps are (tap, o); w[tap, c, o]. */
static void pack_taps(float *panel, int64_t pitch, const pack_source *source, int64_t line,
                      int64_t lines, int64_t width, int64_t step, int64_t depth)
{
    const patches *s = source->image;
    const int64_t end = step + depth, channels = source->inner;
    for (int64_t p = step; p < end;) {
        const int64_t tap = p / s->inner, o = p % s->inner, run = least(s->inner - o, end - p);
        const pack_source one = {.data = source->data + tap * channels * source->stride,
                                 .stride = source->stride};
        pack_rows(panel + (p - step) * pitch, pitch, &one, line, lines, width, o, run);
        p += run;
    }
}

/* ---- the three rows ---- */

static size_t conv2d_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    const conv v = conv_of(call);
    if (is_depthwise(&v))
        return depthwise_scratch(&v, call->op, threads);
    const gemm g = conv_sizes(call->op, &v);
    return gemm_scratch(g.m, g.n, g.k, bur_desc_count(&call->outputs[0]), threads);
}

static bur_status conv2d_build(bur_kernel *kernel)
{
    const conv v = conv_of(&kernel->call);
    const gemm g = conv_sizes(kernel->call.op, &v);
    const grid parts = choose_grid(g.m, g.n, g.k, kernel->threads);
    kernel->split[0] = parts.m;
    kernel->split[1] = parts.n;
    kernel->split[2] = parts.k;
    return BUR_OK;
}

/* The product of group 0; group i is `a_offset` etc. further. */
typedef struct grouped {
    gemm first;
    int64_t groups, a_offset, b_offset, c_offset;
} grouped;

static void multiply_groups(const grouped *all, const bur_command *command, int thread, int threads)
{
    const bur_kernel *kernel = command->kernel;
    const grid parts = {kernel->split[0], kernel->split[1], kernel->split[2]};
    const int64_t c_floats = bur_desc_count(&kernel->call.outputs[0]);
    for (int32_t worker = thread; worker < parts.m * parts.n * parts.k; worker += threads)
        for (int64_t i = 0; i < all->groups; i++) {
            gemm g = all->first;
            g.a.data += i * all->a_offset;
            g.b.data += i * all->b_offset;
            g.c += i * all->c_offset;
            if (g.bias != NULL)
                g.bias += i * all->c_offset;
            gemm_work(&g, parts, worker, command->scratch, i * all->c_offset, c_floats);
        }
    if (parts.k > 1) {
        team_wait(command, threads);
        gemm_add_up(&all->first, parts, command->scratch, c_floats, thread, threads);
    }
}

/* How lines of a are read that are positions. */
static void read_positions(gemm *g, const conv *v, const patches *image)
{
    g->pack_a = is_pointwise(v) ? pack_rows : pack_patches;
    if (image->inner >= THIN) {
        g->point_a = is_pointwise(v) ? point_at_rows : point_at_patches;
        g->run = image->inner;
    }
}

static void conv2d(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const conv v = conv_of(call);
    if (is_depthwise(&v)) {
        depthwise_forward(&v, command, thread, threads);
        return;
    }
    const patches image = patches_of_x(&v);
    grouped all = {conv_sizes(call->op, &v), v.groups, v.ic, v.oc, v.oc};
    gemm *g = &all.first;
    read_positions(g, &v, &image);
    g->pack_b = pack_columns;
    g->a = (pack_source){.data = command->inputs[0], .stride = v.ic * v.groups, .image = &image};
    g->b = (pack_source){.data = command->inputs[1], .stride = v.oc * v.groups};
    g->c = command->outputs[0];
    g->c_stride = v.oc * v.groups;
    if (call->n_inputs == 3) {
        g->bias = command->inputs[2];
        g->activation = call->attr->conv2d.activation;
        g->alpha = call->attr->conv2d.alpha;
    }
    multiply_groups(&all, command, thread, threads);
}

static void conv2d_grad_x(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const conv v = conv_of(call);
    if (is_depthwise(&v)) {
        depthwise_grad_x(&v, command, thread, threads);
        return;
    }
    const patches image = patches_of_y(&v);
    grouped all = {conv_sizes(call->op, &v), v.groups, v.oc, v.oc, v.ic};
    gemm *g = &all.first;
    read_positions(g, &v, &image);
    g->pack_b = pack_taps;
    g->a = (pack_source){.data = command->inputs[0], .stride = v.oc * v.groups, .image = &image};
    g->b = (pack_source){
        .data = command->inputs[1], .stride = v.oc * v.groups, .image = &image, .inner = v.ic};
    g->c = command->outputs[0];
    g->c_stride = v.ic * v.groups;
    multiply_groups(&all, command, thread, threads);
}

static void conv2d_grad_w(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const conv v = conv_of(call);
    if (is_depthwise(&v)) {
        depthwise_grad_w(&v, command, thread, threads);
        return;
    }
    const patches image = patches_of_x(&v);
    grouped all = {conv_sizes(call->op, &v), v.groups, v.ic, v.oc, v.oc};
    gemm *g = &all.first;
    g->pack_a = is_pointwise(&v) ? pack_columns : pack_patch_columns;
    g->pack_b = pack_columns;
    g->a = (pack_source){.data = command->inputs[0], .stride = v.ic * v.groups, .image = &image};
    g->b = (pack_source){.data = command->inputs[1], .stride = v.oc * v.groups};
    g->c = command->outputs[0];
    g->c_stride = v.oc * v.groups;
    if (call->op == BUR_OP_conv2d_grad_w_add)
        g->add = start_from_sum(command, thread, threads);
    multiply_groups(&all, command, thread, threads);
}

#endif
