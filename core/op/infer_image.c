/* Shape rules of convolution and pooling; images are NHWC. */
#include "rules.h"

#include <inttypes.h>

#define SHAPE(a) bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &(a)->shape)

static int64_t or_one(int32_t value)
{
    return value == 0 ? 1 : value;
}

/* Positions of a window of `size` (spread by `dilation`) in `length` padded by before + after. */
static bur_status positions(int64_t *out, const char *axis, int64_t length, int64_t size,
                            int64_t stride, int64_t dilation, int64_t before, int64_t after)
{
    if (size < 1 || stride < 1 || dilation < 1 || before < 0 || after < 0)
        return bur_fail(BUR_E_ARG,
                        "%s: window %" PRId64 ", stride %" PRId64 ", dilation %" PRId64
                        ", pad %" PRId64 ",%" PRId64,
                        axis, size, stride, dilation, before, after);
    const int64_t padded = length + before + after;
    int64_t reach = 0; /* from the window's first element to its last */
    if (__builtin_mul_overflow(size - 1, dilation, &reach) || reach >= padded)
        return bur_fail(BUR_E_SHAPE,
                        "%s: window of %" PRId64 ", dilation %" PRId64
                        ", in a padded input of %" PRId64,
                        axis, size, dilation, padded);
    *out = (padded - 1 - reach) / stride + 1;
    return BUR_OK;
}

static bur_status check_image(const bur_desc *desc, const char *what)
{
    if (desc->dtype != BUR_F32 && desc->dtype != BUR_F64)
        return bur_fail(BUR_E_DTYPE, "%s is %s; f32 or f64 is needed", what,
                        bur_dtype_name((bur_dtype)desc->dtype));
    if (desc->shape.rank != 4)
        return bur_fail(BUR_E_SHAPE, "%s must have 4 dimensions, not %s", what, SHAPE(desc));
    for (int i = 0; i < 4; i++)
        if (desc->shape.dim[i] < 1)
            return bur_fail(BUR_E_SHAPE, "%s is empty: %s", what, SHAPE(desc));
    return BUR_OK;
}

/* Whether what takes part with an image has its type. */
static bur_status check_same_type(const bur_desc *image, const bur_desc *other)
{
    return image->dtype == other->dtype ? BUR_OK
                                        : bur_fail(BUR_E_DTYPE, "inputs are %s and %s",
                                                   bur_dtype_name((bur_dtype)image->dtype),
                                                   bur_dtype_name((bur_dtype)other->dtype));
}

/* [n, oh, ow, oc] of x [n, ih, iw, ic] and kernel kh x kw, given as sizes. */
static bur_status conv_output(bur_shape *out, const bur_conv2d_attr *attr, int64_t n, int64_t ih,
                              int64_t iw, int64_t kh, int64_t kw, int64_t oc)
{
    int64_t oh = 0, ow = 0;
    BUR_TRY(positions(&oh, "height", ih, kh, or_one(attr->stride[0]), or_one(attr->dilation[0]),
                      attr->pad[0], attr->pad[1]));
    BUR_TRY(positions(&ow, "width", iw, kw, or_one(attr->stride[1]), or_one(attr->dilation[1]),
                      attr->pad[2], attr->pad[3]));
    return bur_shape_make(out, 4, (int64_t[]){n, oh, ow, oc});
}

static bur_status check_groups(int64_t groups, int64_t ic, int64_t w_ic, int64_t oc)
{
    if (groups < 1 || ic % groups != 0 || oc % groups != 0)
        return bur_fail(BUR_E_SHAPE,
                        "%" PRId64 " groups do not divide %" PRId64 " input and %" PRId64
                        " output channels",
                        groups, ic, oc);
    if (w_ic != ic / groups)
        return bur_fail(BUR_E_SHAPE,
                        "weights for %" PRId64 " channels, input has %" PRId64 " in %" PRId64
                        " groups",
                        w_ic, ic, groups);
    return BUR_OK;
}

bur_status bur_infer_conv2d(const bur_call *call, bur_desc *outputs)
{
    const bur_conv2d_attr *attr = &call->attr->conv2d;
    const bur_desc *x = &call->inputs[0], *w = &call->inputs[1];
    BUR_TRY(check_image(x, "input"));
    BUR_TRY(check_image(w, "weights"));
    for (int32_t i = 1; i < call->n_inputs; i++)
        BUR_TRY(check_same_type(x, &call->inputs[i]));
    const int64_t *xd = x->shape.dim, *wd = w->shape.dim;
    BUR_TRY(check_groups(or_one(attr->groups), xd[3], wd[2], wd[3]));
    BUR_TRY(bur__op_check_activation(attr->activation, attr->alpha));
    if (call->n_inputs == 3 &&
        (call->inputs[2].shape.rank != 1 || call->inputs[2].shape.dim[0] != wd[3]))
        return bur_fail(BUR_E_SHAPE, "bias %s for %" PRId64 " channels", SHAPE(&call->inputs[2]),
                        wd[3]);
    outputs[0].dtype = x->dtype;
    return conv_output(&outputs[0].shape, attr, xd[0], xd[1], xd[2], wd[0], wd[1], wd[3]);
}

bur_status bur_infer_conv2d_grad_x(const bur_call *call, bur_desc *outputs)
{
    const bur_conv2d_attr *attr = &call->attr->conv2d;
    const bur_desc *dy = &call->inputs[0], *w = &call->inputs[1];
    BUR_TRY(check_image(dy, "gradient"));
    BUR_TRY(check_image(w, "weights"));
    BUR_TRY(check_same_type(dy, w));
    const int64_t *wd = w->shape.dim, ic = wd[2] * or_one(attr->groups);
    BUR_TRY(check_groups(or_one(attr->groups), ic, wd[2], wd[3]));
    bur_shape expected = {0};
    BUR_TRY(conv_output(&expected, attr, dy->shape.dim[0], attr->input_size[0], attr->input_size[1],
                        wd[0], wd[1], wd[3]));
    if (!bur_shape_equal(&expected, &dy->shape))
        return bur_fail(BUR_E_SHAPE, "gradient %s where the output is %s", SHAPE(dy),
                        bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &expected));
    outputs[0].dtype = dy->dtype;
    return bur_shape_make(
        &outputs[0].shape, 4,
        (int64_t[]){dy->shape.dim[0], attr->input_size[0], attr->input_size[1], ic});
}

/* The size whose convolution has this input as its output: the least one, or input_size, which may
 * be up to a stride more. */
bur_status bur_infer_conv2d_transpose(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[0], *w = &call->inputs[1];
    BUR_TRY(check_image(x, "input"));
    BUR_TRY(check_image(w, "weights"));
    bur_attr attr = *call->attr;
    for (int i = 0; i < 2; i++) {
        const int64_t reach = (w->shape.dim[i] - 1) * or_one(attr.conv2d.dilation[i]) + 1;
        const int64_t least = (x->shape.dim[1 + i] - 1) * or_one(attr.conv2d.stride[i]) + reach -
                              attr.conv2d.pad[2 * i] - attr.conv2d.pad[2 * i + 1];
        if (least < 1 || least > INT32_MAX)
            return bur_fail(BUR_E_SHAPE,
                            "input %s, weights %s and padding leave %" PRId64 " pixels", SHAPE(x),
                            SHAPE(w), least);
        if (attr.conv2d.input_size[i] == 0)
            attr.conv2d.input_size[i] = (int32_t)least;
    }
    bur_call gradient = *call;
    gradient.attr = &attr;
    return bur_infer_conv2d_grad_x(&gradient, outputs);
}

bur_status bur_infer_conv2d_grad_w(const bur_call *call, bur_desc *outputs)
{
    const bur_conv2d_attr *attr = &call->attr->conv2d;
    const bur_desc *x = &call->inputs[0], *dy = &call->inputs[1];
    BUR_TRY(check_image(x, "input"));
    BUR_TRY(check_image(dy, "gradient"));
    BUR_TRY(check_same_type(x, dy));
    const int64_t *xd = x->shape.dim, groups = or_one(attr->groups), oc = dy->shape.dim[3];
    BUR_TRY(check_groups(groups, xd[3], xd[3] / (groups > 0 ? groups : 1), oc));
    bur_shape expected = {0};
    BUR_TRY(conv_output(&expected, attr, xd[0], xd[1], xd[2], attr->kernel_size[0],
                        attr->kernel_size[1], oc));
    if (!bur_shape_equal(&expected, &dy->shape))
        return bur_fail(BUR_E_SHAPE, "gradient %s where the output is %s", SHAPE(dy),
                        bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &expected));
    outputs[0].dtype = x->dtype;
    return bur_shape_make(
        &outputs[0].shape, 4,
        (int64_t[]){attr->kernel_size[0], attr->kernel_size[1], xd[3] / groups, oc});
}

/* [n, oh, ow, c] of pooling n x ih x iw x c. */
static bur_status pool_output(bur_shape *out, const bur_pool2d_attr *attr, int64_t n, int64_t ih,
                              int64_t iw, int64_t c)
{
    int64_t size[2] = {0, 0};
    const int64_t length[2] = {ih, iw};
    for (int i = 0; i < 2; i++) {
        const int64_t window = attr->window[i],
                      stride = attr->stride[i] == 0 ? window : attr->stride[i];
        if (window > 0 && (attr->pad[2 * i] >= window || attr->pad[2 * i + 1] >= window))
            return bur_fail(BUR_E_SHAPE,
                            "pad %" PRId32 ",%" PRId32 " is not less than the window %" PRId64,
                            attr->pad[2 * i], attr->pad[2 * i + 1], window);
        BUR_TRY(positions(&size[i], i == 0 ? "height" : "width", length[i], window, stride, 1,
                          attr->pad[2 * i], attr->pad[2 * i + 1]));
    }
    return bur_shape_make(out, 4, (int64_t[]){n, size[0], size[1], c});
}

/* The gradient of a pool's output has the output's shape; *out is the input's. */
static bur_status pool_input(bur_desc *out, const bur_pool2d_attr *attr, const bur_desc *dy)
{
    const int64_t *yd = dy->shape.dim;
    bur_shape expected = {0};
    BUR_TRY(pool_output(&expected, attr, yd[0], attr->input_size[0], attr->input_size[1], yd[3]));
    if (!bur_shape_equal(&expected, &dy->shape))
        return bur_fail(BUR_E_SHAPE, "gradient %s where the output is %s", SHAPE(dy),
                        bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &expected));
    out->dtype = dy->dtype;
    return bur_shape_make(&out->shape, 4,
                          (int64_t[]){yd[0], attr->input_size[0], attr->input_size[1], yd[3]});
}

/* Positions in a window are kept in a byte. */
static bur_status check_window(const bur_pool2d_attr *attr)
{
    if (attr->window[0] * (int64_t)attr->window[1] > 256)
        return bur_fail(BUR_E_RANGE,
                        "a window of %" PRId32 "x%" PRId32 " has more than 256 positions",
                        attr->window[0], attr->window[1]);
    return BUR_OK;
}

/* Where the maxima were: one index for each element of dy. */
static bur_status check_index(const bur_desc *dy, const bur_desc *index, bur_dtype dtype)
{
    if (index->dtype != (int32_t)dtype)
        return bur_fail(BUR_E_DTYPE, "positions are %s, not %s", bur_dtype_name(dtype),
                        bur_dtype_name((bur_dtype)index->dtype));
    if (!bur_shape_equal(&dy->shape, &index->shape))
        return bur_fail(BUR_E_SHAPE, "gradient %s, positions %s", SHAPE(dy), SHAPE(index));
    return BUR_OK;
}

bur_status bur_infer_avg_pool2d(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[0];
    BUR_TRY(check_image(x, "input"));
    const int64_t *xd = x->shape.dim;
    outputs[0].dtype = x->dtype;
    return pool_output(&outputs[0].shape, &call->attr->pool2d, xd[0], xd[1], xd[2], xd[3]);
}

bur_status bur_infer_avg_pool2d_grad(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(check_image(&call->inputs[0], "gradient"));
    return pool_input(&outputs[0], &call->attr->pool2d, &call->inputs[0]);
}

bur_status bur_infer_max_pool2d(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(bur_infer_avg_pool2d(call, outputs));
    outputs[1] = bur_desc_make(BUR_U8, &outputs[0].shape);
    return check_window(&call->attr->pool2d);
}

bur_status bur_infer_max_pool2d_grad(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(check_image(&call->inputs[0], "gradient"));
    BUR_TRY(check_index(&call->inputs[0], &call->inputs[1], BUR_U8));
    BUR_TRY(check_window(&call->attr->pool2d));
    return pool_input(&outputs[0], &call->attr->pool2d, &call->inputs[0]);
}

bur_status bur_infer_global_pool2d(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[0];
    BUR_TRY(check_image(x, "input"));
    const int64_t *xd = x->shape.dim;
    if (xd[1] * xd[2] > INT32_MAX)
        return bur_fail(BUR_E_RANGE, "%s has more than 2^31 - 1 positions", SHAPE(x));
    outputs[0].dtype = x->dtype;
    BUR_TRY(bur_shape_make(&outputs[0].shape, 2, (int64_t[]){xd[0], xd[3]}));
    outputs[1] = bur_desc_make(BUR_I32, &outputs[0].shape);
    return BUR_OK;
}

bur_status bur_infer_global_pool2d_grad(const bur_call *call, bur_desc *outputs)
{
    const int32_t *size = call->attr->pool2d.input_size;
    const bur_desc *dy = &call->inputs[0];
    if (dy->dtype != BUR_F32 && dy->dtype != BUR_F64)
        return bur_fail(BUR_E_DTYPE, "gradient is %s; f32 or f64 is needed",
                        bur_dtype_name((bur_dtype)dy->dtype));
    if (dy->shape.rank != 2)
        return bur_fail(BUR_E_SHAPE, "gradient must have 2 dimensions, not %s", SHAPE(dy));
    if (size[0] < 1 || size[1] < 1 || size[0] > INT32_MAX / size[1])
        return bur_fail(BUR_E_ARG, "an image of %" PRId32 "x%" PRId32, size[0], size[1]);
    if (call->n_inputs == 2)
        BUR_TRY(check_index(dy, &call->inputs[1], BUR_I32));
    outputs[0].dtype = dy->dtype;
    return bur_shape_make(&outputs[0].shape, 4,
                          (int64_t[]){dy->shape.dim[0], size[0], size[1], dy->shape.dim[1]});
}
