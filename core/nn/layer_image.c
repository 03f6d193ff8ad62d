/* Layers over images [N, height, width, channels]: convolutions and pooling, with Keras' defaults.
 */
#include "layer.h"

#include <inttypes.h>
#include <string.h>

bur_layer bur_conv2d(int32_t filters, int32_t kernel, bur_padding padding,
                     bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_CONV2D,
                       .units = filters,
                       .kernel = {kernel, kernel},
                       .padding = padding,
                       .activation = activation};
}

bur_layer bur_depthwise_conv2d(int32_t kernel, bur_padding padding, bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_DEPTHWISE_CONV2D,
                       .kernel = {kernel, kernel},
                       .padding = padding,
                       .activation = activation};
}

bur_layer bur_conv2d_transpose(int32_t filters, int32_t kernel, int32_t stride, bur_padding padding,
                               bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_CONV2D_TRANSPOSE,
                       .units = filters,
                       .kernel = {kernel, kernel},
                       .stride = {stride, stride},
                       .padding = padding,
                       .activation = activation};
}

bur_layer bur_max_pooling2d(int32_t window)
{
    return (bur_layer){.kind = BUR_LAYER_MAX_POOLING2D, .kernel = {window, window}};
}

bur_layer bur_average_pooling2d(int32_t window)
{
    return (bur_layer){.kind = BUR_LAYER_AVERAGE_POOLING2D, .kernel = {window, window}};
}

bur_layer bur_global_average_pooling2d(void)
{
    return (bur_layer){.kind = BUR_LAYER_GLOBAL_AVERAGE_POOLING2D};
}

bur_layer bur_global_max_pooling2d(void)
{
    return (bur_layer){.kind = BUR_LAYER_GLOBAL_MAX_POOLING2D};
}

bur_status bur__check_window(const bur_layer *layer)
{
    for (int i = 0; i < 2; i++) {
        BUR_TRY(bur__check_positive("window or kernel", layer->kernel[i]));
        if (layer->stride[i] < 0)
            return bur_fail(BUR_E_ARG, "stride is %" PRId32, layer->stride[i]);
    }
    for (int i = 0; i < 4; i++)
        if (layer->pad[i] < 0)
            return bur_fail(BUR_E_ARG, "pad is %" PRId32, layer->pad[i]);
    return BUR_OK;
}

bur_status bur__check_depthwise_conv2d(const bur_layer *layer)
{
    BUR_TRY(bur__check_window(layer));
    for (int i = 0; i < 2; i++)
        if (layer->dilation[i] < 0)
            return bur_fail(BUR_E_ARG, "dilation is %" PRId32, layer->dilation[i]);
    return bur__check_activation(layer);
}

bur_status bur__check_conv2d(const bur_layer *layer)
{
    BUR_TRY(bur__check_positive("filters", layer->units));
    if (layer->groups < 0)
        return bur_fail(BUR_E_ARG, "groups is %" PRId32, layer->groups);
    return bur__check_depthwise_conv2d(layer);
}

/* Padding before and behind one axis: none, as given, or so much that out = ceil(in / stride), the
 * odd one behind (Keras). pad comes as zeros. */
static void pad_axis(const bur_layer *layer, int axis, int64_t length, int32_t stride, int32_t *pad)
{
    if (layer->padding == BUR_PADDED)
        memcpy(pad, layer->pad + 2 * axis, 2 * sizeof *pad);
    if (layer->padding != BUR_SAME)
        return;
    const int64_t out = (length + stride - 1) / stride;
    const int64_t dilation = layer->dilation[axis] == 0 ? 1 : layer->dilation[axis];
    const int64_t reach = (layer->kernel[axis] - 1) * dilation + 1;
    const int64_t total = (out - 1) * stride + reach - length;
    if (total <= 0)
        return;
    pad[0] = (int32_t)(total / 2);
    pad[1] = (int32_t)(total - total / 2);
}

static bur_status check_image(const char *what, const bur_shape *x)
{
    if (x->rank == 4)
        return BUR_OK;
    return bur_fail(BUR_E_SHAPE, "%s takes [N, height, width, channels], not %s", what,
                    bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, x));
}

static bur_status check_groups(int64_t groups, int64_t channels, int64_t filters)
{
    return channels % groups == 0 && filters % groups == 0
               ? BUR_OK
               : bur_fail(BUR_E_SHAPE,
                          "%" PRId64 " groups do not divide %" PRId64 " channels and %" PRId64
                          " filters",
                          groups, channels, filters);
}

/* Filters in groups; each sees the channels of its own. */
static bur_status build_groups(const bur_layer *layer, const char *name, bur_recipe *recipe,
                               int64_t filters, int64_t groups, bur_ref *value)
{
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    BUR_TRY(check_groups(groups, x.dim[3], filters));
    bur_attr attr = {.conv2d = {.groups = (int32_t)groups,
                                .dilation = {layer->dilation[0], layer->dilation[1]}}};
    for (int i = 0; i < 2; i++) {
        attr.conv2d.stride[i] = layer->stride[i] == 0 ? 1 : layer->stride[i];
        pad_axis(layer, i, x.dim[1 + i], attr.conv2d.stride[i], &attr.conv2d.pad[2 * i]);
    }
    const int64_t dim[] = {layer->kernel[0], layer->kernel[1], x.dim[3] / groups, filters};
    return bur__add_product(layer, name, recipe, BUR_OP_conv2d, &attr, 4, dim, value);
}

bur_status bur__build_conv2d(const bur_layer *layer, const char *name, bur_recipe *recipe,
                             bur_ref *value)
{
    BUR_TRY(check_image("a convolution", &bur_recipe_desc(recipe, *value)->shape));
    return build_groups(layer, name, recipe, layer->units, layer->groups == 0 ? 1 : layer->groups,
                        value);
}

bur_status bur__build_depthwise_conv2d(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                       bur_ref *value)
{
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    BUR_TRY(check_image("a convolution", &x));
    return build_groups(layer, name, recipe, x.dim[3], x.dim[3], value);
}

/* One axis: same gives input * stride, cut off as Keras does; valid all that the windows reach, at
 * least that; else what the padding leaves. */
static void turn_axis(const bur_layer *layer, int axis, int64_t length, bur_conv2d_attr *attr)
{
    const int32_t stride = layer->stride[axis] == 0 ? 1 : layer->stride[axis];
    const int32_t dilation = layer->dilation[axis] == 0 ? 1 : layer->dilation[axis];
    const int64_t reach = (layer->kernel[axis] - 1) * (int64_t)dilation + 1;
    const int64_t more = reach > stride ? reach - stride : 0;
    const int64_t size = length * stride + (layer->padding == BUR_VALID ? more : 0);
    int32_t *pad = attr->pad + 2 * axis;
    attr->stride[axis] = stride;
    attr->dilation[axis] = dilation;
    if (layer->padding == BUR_SAME) {
        pad[0] = (int32_t)(more / 2);
        pad[1] = (int32_t)(more - more / 2);
    }
    if (layer->padding == BUR_PADDED)
        memcpy(pad, layer->pad + 2 * axis, 2 * sizeof *pad);
    else
        attr->input_size[axis] = size <= INT32_MAX ? (int32_t)size : 0;
}

bur_status bur__build_conv2d_transpose(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                       bur_ref *value)
{
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    const int64_t groups = layer->groups == 0 ? 1 : layer->groups;
    BUR_TRY(check_image("a transposed convolution", &x));
    BUR_TRY(check_groups(groups, x.dim[3], layer->units));
    bur_attr attr = {.conv2d = {.groups = (int32_t)groups}};
    for (int i = 0; i < 2; i++)
        turn_axis(layer, i, x.dim[1 + i], &attr.conv2d);
    const int64_t dim[] = {layer->kernel[0], layer->kernel[1], layer->units / groups, x.dim[3]};
    return bur__add_product(layer, name, recipe, BUR_OP_conv2d_transpose, &attr, 4, dim, value);
}

bur_status bur__build_pooling2d(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                bur_ref *value)
{
    (void)name;
    const bur_op op =
        layer->kind == BUR_LAYER_MAX_POOLING2D ? BUR_OP_max_pool2d : BUR_OP_avg_pool2d;
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    BUR_TRY(check_image("pooling", &x));
    bur_attr attr = {.none = {0}};
    for (int i = 0; i < 2; i++) {
        attr.pool2d.window[i] = layer->kernel[i];
        attr.pool2d.stride[i] = layer->stride[i] == 0 ? layer->kernel[i] : layer->stride[i];
        pad_axis(layer, i, x.dim[1 + i], attr.pool2d.stride[i], &attr.pool2d.pad[2 * i]);
    }
    const bur_ref input = *value;
    return bur_recipe_apply(recipe, op, &attr, &input, 1, value);
}

bur_status bur__build_global_pooling2d(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                       bur_ref *value)
{
    (void)name;
    const bur_ref input = *value;
    BUR_TRY(check_image("pooling", &bur_recipe_desc(recipe, input)->shape));
    const bur_op op = layer->kind == BUR_LAYER_GLOBAL_MAX_POOLING2D ? BUR_OP_global_max_pool2d
                                                                    : BUR_OP_global_avg_pool2d;
    BUR_TRY(bur_recipe_apply(recipe, op, NULL, &input, 1, value));
    if (!layer->keep_dims)
        return BUR_OK;
    const bur_attr attr = {.reshape = {.rank = 4, .shape = {0, 1, 1, -1}}};
    const bur_ref pooled = *value;
    return bur_recipe_apply(recipe, BUR_OP_reshape, &attr, &pooled, 1, value);
}
