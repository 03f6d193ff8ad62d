/* Convolution, forward and both gradients: sizes, tiles and constants of the kernels in conv.cl. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

enum { MOST_ROWS = 8, MOST_ROWS_GPU = 4, LEAST_SPLIT_PIXELS = 64 };
static const int64_t MOST_PARTIAL_BYTES = INT64_C(64) << 20;

/* A convolution as the kernels see it: from a source image to a target image. */
typedef struct conv {
    const bur_conv2d_attr *attr;
    const bur_shape *source, *target;
    int64_t kh, kw, groups;
    int64_t source_group, target_group; /* channels of a group */
    int64_t pixels;                     /* of the target, in the batch */
} conv;

/* Work-item tile: rows of pixels or weights by vectors of channels. */
typedef struct tile {
    int64_t vector, vectors, rows;
} tile;

static bool is_grad_w(bur_op op)
{
    return op == BUR_OP_conv2d_grad_w || op == BUR_OP_conv2d_grad_w_add;
}

static conv conv_of(const bur_call *call)
{
    const bur_conv2d_attr *attr = &call->attr->conv2d;
    const bur_op op = call->op;
    conv c = {.attr = attr, .source = &call->inputs[0].shape, .target = &call->outputs[0].shape};
    if (is_grad_w(op))
        c.target = &call->inputs[1].shape;
    const bur_shape *w = &(is_grad_w(op) ? call->outputs : call->inputs + 1)->shape;
    c.kh = w->dim[0];
    c.kw = w->dim[1];
    c.groups = attr->groups > 0 ? attr->groups : 1;
    c.source_group = c.source->dim[3] / c.groups;
    c.target_group = c.target->dim[3] / c.groups;
    c.pixels = c.target->dim[0] * c.target->dim[1] * c.target->dim[2];
    return c;
}

/* On a CPU as many sums as its registers hold, 32 of 16 floats or 16 of 8, wide rather than high
 * where the channels allow it: a row costs a load of x. A GPU's work-item holds fewer sums and its
 * neighbours share the loads. */
static tile tile_of(const bur_device_handle *device, const conv *c)
{
    const bool host = bur__cl_on_host(&device->info);
    tile t = {.vector = 4, .vectors = 1, .rows = host ? MOST_ROWS : MOST_ROWS_GPU};
    while (t.vector < device->vector_width && t.vector < c->target_group)
        t.vector *= 2;
    if (c->target_group > t.vector)
        t.vectors = 2;
    if (host && t.vector < 16)
        t.rows = 6;
    return t;
}

/* The same for the kernels that hold all rows of pixels. */
static tile pixel_tile(const bur_device_handle *device, const conv *c)
{
    tile t = tile_of(device, c);
    if (t.vector == 16 && c->target_group % (4 * t.vector) == 0) {
        t.vectors = 4;
        t.rows = 4;
    }
    return t;
}

static int64_t tiles_of_channels(const conv *c, const tile *t)
{
    return c->groups * bur__cl_divide_up(c->target_group, t->vector * t->vectors);
}

static int64_t local_of(const bur_kernel *kernel)
{
    return bur__cl_on_host(&kernel->device->info) ? 1 : BUR_CL_LOCAL;
}

static int32_t or_one(int32_t value)
{
    return value == 0 ? 1 : value;
}

/* The constants that conv.cl names in its head, and `more`. */
static bur_status build(bur_kernel *kernel, const conv *c, const tile *t, const char *more)
{
    const bur_conv2d_attr *attr = c->attr;
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DV=%" PRId64 " -DVECTORS=%" PRId64 " -DROWS=%" PRId64 " -DSH=%" PRId64
             " -DSW=%" PRId64 " -DSC=%" PRId64 " -DSCG=%" PRId64 " -DTH=%" PRId64 " -DTW=%" PRId64
             " -DTC=%" PRId64 " -DTCG=%" PRId64 " -DPIXELS=%" PRId64 " -DKH=%" PRId64
             " -DKW=%" PRId64 " -DGROUPS=%" PRId64 " -DSY=%" PRId32 " -DSX=%" PRId32
             " -DDY=%" PRId32 " -DDX=%" PRId32 " -DTOP=%" PRId32 " -DLEFT=%" PRId32 " %s",
             t->vector, t->vectors, t->rows, c->source->dim[1], c->source->dim[2],
             c->source->dim[3], c->source_group, c->target->dim[1], c->target->dim[2],
             c->target->dim[3], c->target_group, c->pixels, c->kh, c->kw, c->groups,
             or_one(attr->stride[0]), or_one(attr->stride[1]), or_one(attr->dilation[0]),
             or_one(attr->dilation[1]), attr->pad[0], attr->pad[2], more);
    return bur__cl_program(&kernel->program, kernel->device, "conv", options);
}

/* ---- forward ---- */

bur_status bur__cl_build_conv2d(bur_kernel *kernel)
{
    const conv c = conv_of(&kernel->call);
    const tile t = pixel_tile(kernel->device, &c);
    char more[BUR_NAME_BYTES];
    snprintf(more, sizeof more, "-DCONV2D -DACT=%" PRId32 "%s", c.attr->activation,
             kernel->call.n_inputs > 2 ? " -DBIAS" : "");
    return build(kernel, &c, &t, more);
}

bur_status bur__cl_bind_conv2d(bur_command *command, const bur_kernel *kernel,
                               const bur_place *inputs, const bur_place *outputs,
                               const bur_place *scratch)
{
    (void)scratch;
    const conv c = conv_of(&kernel->call);
    const tile t = pixel_tile(kernel->device, &c);
    const int64_t items = bur__cl_divide_up(c.pixels, t.rows) * tiles_of_channels(&c, &t);
    bur__cl_arg args[5];
    int32_t n = 0;
    for (int32_t i = 0; i < kernel->call.n_inputs; i++)
        args[n++] = bur__cl_f32(&inputs[i]);
    args[n++] = bur__cl_f32(&outputs[0]);
    args[n++] = bur__cl_float(c.attr->alpha);
    return bur__cl_launch_add(command, kernel->program, "conv2d", items, local_of(kernel), args, n);
}

/* ---- gradient of x: the weights transposed into scratch, then the same kernel gathering ---- */

size_t bur__cl_scratch_conv2d_grad_x(const bur_device_info *info, const bur_call *call)
{
    (void)info;
    return bur_desc_bytes(&call->inputs[1]);
}

bur_status bur__cl_build_conv2d_grad_x(bur_kernel *kernel)
{
    const conv c = conv_of(&kernel->call);
    const tile t = pixel_tile(kernel->device, &c);
    return build(kernel, &c, &t, "-DCONV2D -DGATHER -DACT=ACT_LINEAR");
}

bur_status bur__cl_bind_conv2d_grad_x(bur_command *command, const bur_kernel *kernel,
                                      const bur_place *inputs, const bur_place *outputs,
                                      const bur_place *scratch)
{
    const conv c = conv_of(&kernel->call);
    const tile t = pixel_tile(kernel->device, &c);
    const int64_t items = bur__cl_divide_up(c.pixels, t.rows) * tiles_of_channels(&c, &t);
    BUR_TRY(bur__cl_launch_add(command, kernel->program, "transpose_weights",
                               bur_desc_count(&kernel->call.inputs[1]), BUR_CL_LOCAL,
                               BUR_CL_ARGS(bur__cl_f32(&inputs[1]), bur__cl_f32(scratch))));
    return bur__cl_launch_add(command, kernel->program, "conv2d", items, local_of(kernel),
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(scratch),
                                          bur__cl_f32(&outputs[0]), bur__cl_float(0.0f)));
}

/* ---- gradient of w: partial sums over parts of the pixels in scratch, added up ---- */

/* Rows of pixels in the batch. */
static int64_t lines_of(const conv *c)
{
    return c->target->dim[0] * c->target->dim[1];
}

/* Parts that the lines of pixels are cut into: enough work-items for the device, within the memory
 * that partial sums may take. It is part of the result's bits, so it depends on nothing else. */
static int64_t splits_of(const bur_device_info *info, const conv *c)
{
    const int64_t weights = c->kh * c->kw * c->source_group * c->target->dim[3];
    const int64_t tiles =
        bur__cl_divide_up(weights, 8 * 16); /* about; the real tile is the device's */
    const int64_t units = bur__cl_max(info->compute_units, 1);
    const int64_t wanted = bur__cl_on_host(info) ? 4 * units : 256 * units;
    int64_t splits = bur__cl_divide_up(wanted, tiles);
    splits = bur__cl_min(splits, bur__cl_divide_up(c->pixels, LEAST_SPLIT_PIXELS));
    splits = bur__cl_min(splits, lines_of(c));
    splits = bur__cl_min(splits, MOST_PARTIAL_BYTES / (weights * (int64_t)sizeof(cl_float)));
    return bur__cl_max(splits, 1);
}

static bool has_partial_sums(const bur_call *call, int64_t splits)
{
    return splits > 1 || call->op == BUR_OP_conv2d_grad_w_add;
}

size_t bur__cl_scratch_conv2d_grad_w(const bur_device_info *info, const bur_call *call)
{
    const conv c = conv_of(call);
    const int64_t splits = splits_of(info, &c);
    return !has_partial_sums(call, splits) ? 0 : (size_t)splits * bur_desc_bytes(&call->outputs[0]);
}

/* Rows of a tile are channels of one tap where the channels divide, else as even as they come. */
static tile weight_tile(const bur_device_handle *device, const conv *c, bool *uniform)
{
    tile t = tile_of(device, c);
    const int64_t most = t.rows, all_rows = c->kh * c->kw * c->source_group;
    while (c->source_group % t.rows != 0)
        t.rows--;
    *uniform = t.rows >= bur__cl_min(4, all_rows);
    if (!*uniform)
        t.rows = bur__cl_divide_up(all_rows, bur__cl_divide_up(all_rows, most));
    return t;
}

bur_status bur__cl_build_conv2d_grad_w(bur_kernel *kernel)
{
    const conv c = conv_of(&kernel->call);
    bool uniform;
    const tile t = weight_tile(kernel->device, &c, &uniform);
    const int64_t splits = splits_of(&kernel->device->info, &c);
    char more[BUR_TEXT_BYTES];
    snprintf(more, sizeof more,
             "-DGRAD_W -DLINES=%" PRId64 " -DSPLITS=%" PRId64 " -DSPLIT_LINES=%" PRId64 "%s",
             lines_of(&c), splits, bur__cl_divide_up(lines_of(&c), splits),
             uniform ? " -DUNIFORM" : "");
    BUR_TRY(build(kernel, &c, &t, more));
    return has_partial_sums(&kernel->call, splits)
               ? bur__cl_build_sum_chunks(&kernel->second, kernel->device,
                                          bur_desc_count(&kernel->call.outputs[0]))
               : BUR_OK;
}

bur_status bur__cl_bind_conv2d_grad_w(bur_command *command, const bur_kernel *kernel,
                                      const bur_place *inputs, const bur_place *outputs,
                                      const bur_place *scratch)
{
    const conv c = conv_of(&kernel->call);
    bool uniform;
    const tile t = weight_tile(kernel->device, &c, &uniform);
    const int64_t splits = splits_of(&kernel->device->info, &c);
    const int64_t items = bur__cl_divide_up(c.kh * c.kw * c.source_group, t.rows) *
                          tiles_of_channels(&c, &t) * splits;
    const int64_t count = bur_desc_count(&kernel->call.outputs[0]);
    const bool partial = has_partial_sums(&kernel->call, splits);
    const bur_place *sums = partial ? scratch : &outputs[0];
    BUR_TRY(bur__cl_launch_add(
        command, kernel->program, "conv2d_grad_w", items, local_of(kernel),
        BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]), bur__cl_f32(sums))));
    if (kernel->call.op == BUR_OP_conv2d_grad_w_add)
        return bur__cl_launch_add_chunks(command, kernel->second, scratch, &inputs[2], &inputs[3],
                                         &outputs[0], count, splits);
    return partial ? bur__cl_launch_sum_chunks(command, kernel->second, scratch, &outputs[0], count,
                                               splits)
                   : BUR_OK;
}
