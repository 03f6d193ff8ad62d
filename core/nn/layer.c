/* The kinds of layers: one row and two functions each. Defaults follow Keras. */
#include "layer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bur_layer bur_dense(int32_t units, bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_DENSE, .units = units, .activation = activation};
}

bur_layer bur_conv2d(int32_t filters, int32_t kernel, bur_padding padding,
                     bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_CONV2D,
                       .units = filters,
                       .kernel = {kernel, kernel},
                       .padding = padding,
                       .activation = activation};
}

bur_layer bur_max_pooling2d(int32_t window)
{
    return (bur_layer){.kind = BUR_LAYER_MAX_POOLING2D, .kernel = {window, window}};
}

bur_layer bur_flatten(void)
{
    return (bur_layer){.kind = BUR_LAYER_FLATTEN};
}

bur_layer bur_dropout(float rate)
{
    return (bur_layer){.kind = BUR_LAYER_DROPOUT, .rate = rate};
}

bur_layer bur_activate(bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_ACTIVATION, .activation = activation};
}

static bur_status check_positive(const char *what, int32_t value)
{
    return value >= 1
               ? BUR_OK
               : bur_fail(BUR_E_ARG, "%s is %" PRId32 "; it must be at least 1", what, value);
}

static bur_status check_activation(const bur_layer *layer)
{
    if ((unsigned)layer->activation >= BUR_ACTIVATION_COUNT)
        return bur_fail(BUR_E_ARG, "activation %d is unknown", (int)layer->activation);
    return layer->alpha >= 0 ? BUR_OK
                             : bur_fail(BUR_E_ARG, "alpha %g is negative", (double)layer->alpha);
}

static bur_status check_dense(const bur_layer *layer)
{
    BUR_TRY(check_positive("units", layer->units));
    return check_activation(layer);
}

static bur_status check_window(const bur_layer *layer)
{
    for (int i = 0; i < 2; i++) {
        BUR_TRY(check_positive("window or kernel", layer->kernel[i]));
        if (layer->stride[i] < 0)
            return bur_fail(BUR_E_ARG, "stride is %" PRId32, layer->stride[i]);
    }
    return BUR_OK;
}

static bur_status check_conv2d(const bur_layer *layer)
{
    BUR_TRY(check_positive("filters", layer->units));
    BUR_TRY(check_window(layer));
    return check_activation(layer);
}

static bur_status check_nothing(const bur_layer *layer)
{
    (void)layer;
    return BUR_OK;
}

static bur_status check_dropout(const bur_layer *layer)
{
    return layer->rate >= 0 && layer->rate < 1
               ? BUR_OK
               : bur_fail(BUR_E_ARG, "dropout rate %g is not in [0, 1)", (double)layer->rate);
}

static bur_status add_parameter(bur_recipe *recipe, const char *layer, const char *name,
                                int32_t rank, const int64_t *dim, bur_initializer initializer,
                                bur_ref *out)
{
    char full[160];
    bur_shape shape = {0};
    snprintf(full, sizeof full, "%s.%s", layer, name);
    BUR_TRY(bur_shape_make(&shape, rank, dim));
    return bur_recipe_parameter(recipe, full, &shape, initializer, out);
}

/* Bias (unless no_bias) and activation behind a product. */
static bur_status add_bias_activation(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                      bur_ref *value)
{
    if (!layer->no_bias) {
        bur_ref inputs[2] = {*value, -1};
        const int64_t units = layer->units;
        BUR_TRY(add_parameter(recipe, name, "bias", 1, &units, BUR_INIT_ZEROS, &inputs[1]));
        BUR_TRY(bur_recipe_apply(recipe, BUR_OP_bias_add, NULL, inputs, 2, value));
    }
    static const struct {
        bool is_row;
        bur_op op;
    } rows[BUR_ACTIVATION_COUNT] = {
        [BUR_RELU] = {true, BUR_OP_relu},       [BUR_LEAKY_RELU] = {true, BUR_OP_leaky_relu},
        [BUR_TANH] = {true, BUR_OP_tanh},       [BUR_SIGMOID] = {true, BUR_OP_sigmoid},
        [BUR_SOFTMAX] = {true, BUR_OP_softmax},
    };
    if (!rows[layer->activation].is_row)
        return BUR_OK;
    bur_attr attr = {.none = {0}};
    if (layer->activation == BUR_LEAKY_RELU)
        attr.activation.alpha = layer->alpha > 0 ? layer->alpha : 0.3F; /* Keras' default */
    const bur_ref input = *value;
    return bur_recipe_apply(recipe, rows[layer->activation].op, &attr, &input, 1, value);
}

static bur_initializer weight_initializer(const bur_layer *layer)
{
    return layer->weight_initializer == BUR_INIT_ZEROS ? BUR_INIT_GLOROT_UNIFORM
                                                       : layer->weight_initializer;
}

static bur_status build_dense(const bur_layer *layer, const char *name, bur_recipe *recipe,
                              bur_ref *value)
{
    const bur_shape *x = &bur_recipe_desc(recipe, *value)->shape;
    if (x->rank != 2)
        return bur_fail(BUR_E_SHAPE,
                        "a dense layer takes [N, features], not %s; put a flatten before it",
                        bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, x));
    bur_ref inputs[2] = {*value, -1};
    const int64_t dim[] = {x->dim[1], layer->units};
    BUR_TRY(add_parameter(recipe, name, "weight", 2, dim, weight_initializer(layer), &inputs[1]));
    BUR_TRY(bur_recipe_apply(recipe, BUR_OP_matmul, NULL, inputs, 2, value));
    return add_bias_activation(layer, name, recipe, value);
}

/* Padding of one axis: none, or so much that out = ceil(in / stride), the odd one behind (Keras).
 */
static void pad_axis(const bur_layer *layer, int axis, int64_t length, int32_t stride,
                     int32_t *before, int32_t *after)
{
    *before = *after = 0;
    if (layer->padding != BUR_SAME)
        return;
    const int64_t out = (length + stride - 1) / stride;
    const int64_t total = (out - 1) * stride + layer->kernel[axis] - length;
    if (total <= 0)
        return;
    *before = (int32_t)(total / 2);
    *after = (int32_t)(total - total / 2);
}

static bur_status check_image(const char *what, const bur_shape *x)
{
    if (x->rank == 4)
        return BUR_OK;
    return bur_fail(BUR_E_SHAPE, "%s takes [N, height, width, channels], not %s", what,
                    bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, x));
}

static bur_status build_conv2d(const bur_layer *layer, const char *name, bur_recipe *recipe,
                               bur_ref *value)
{
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    BUR_TRY(check_image("a convolution", &x));
    bur_attr attr = {.none = {0}};
    for (int i = 0; i < 2; i++) {
        attr.conv2d.stride[i] = layer->stride[i] == 0 ? 1 : layer->stride[i];
        pad_axis(layer, i, x.dim[1 + i], attr.conv2d.stride[i], &attr.conv2d.pad[2 * i],
                 &attr.conv2d.pad[2 * i + 1]);
    }
    bur_ref inputs[2] = {*value, -1};
    const int64_t dim[] = {layer->kernel[0], layer->kernel[1], x.dim[3], layer->units};
    BUR_TRY(add_parameter(recipe, name, "weight", 4, dim, weight_initializer(layer), &inputs[1]));
    BUR_TRY(bur_recipe_apply(recipe, BUR_OP_conv2d, &attr, inputs, 2, value));
    return add_bias_activation(layer, name, recipe, value);
}

static bur_status build_max_pooling2d(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                      bur_ref *value)
{
    (void)name;
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    BUR_TRY(check_image("pooling", &x));
    bur_attr attr = {.none = {0}};
    for (int i = 0; i < 2; i++) {
        attr.pool2d.window[i] = layer->kernel[i];
        attr.pool2d.stride[i] = layer->stride[i] == 0 ? layer->kernel[i] : layer->stride[i];
        pad_axis(layer, i, x.dim[1 + i], attr.pool2d.stride[i], &attr.pool2d.pad[2 * i],
                 &attr.pool2d.pad[2 * i + 1]);
    }
    const bur_ref input = *value;
    return bur_recipe_apply(recipe, BUR_OP_max_pool2d, &attr, &input, 1, value);
}

static bur_status build_flatten(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                bur_ref *value)
{
    (void)layer;
    (void)name;
    bur_attr attr = {.none = {0}};
    attr.reshape = (bur_reshape_attr){.rank = 2, .shape = {0, -1}};
    const bur_ref input = *value;
    return bur_recipe_apply(recipe, BUR_OP_reshape, &attr, &input, 1, value);
}

static bur_status build_dropout(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                bur_ref *value)
{
    (void)name;
    bur_attr attr = {.none = {0}};
    attr.dropout.rate = layer->rate;
    const bur_ref input = *value;
    return bur_recipe_apply(recipe, BUR_OP_dropout, &attr, &input, 1, value);
}

static bur_status build_activation(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                   bur_ref *value)
{
    bur_layer bare = *layer;
    bare.no_bias = true;
    return add_bias_activation(&bare, name, recipe, value);
}

static const bur_layer_kind_info kinds[BUR_LAYER_COUNT] = {
    [BUR_LAYER_DENSE] = {"Dense", "dense", check_dense, build_dense},
    [BUR_LAYER_CONV2D] = {"Conv2D", "conv", check_conv2d, build_conv2d},
    [BUR_LAYER_MAX_POOLING2D] = {"MaxPooling2D", "pool", check_window, build_max_pooling2d},
    [BUR_LAYER_FLATTEN] = {"Flatten", "flatten", check_nothing, build_flatten},
    [BUR_LAYER_DROPOUT] = {"Dropout", "dropout", check_dropout, build_dropout},
    [BUR_LAYER_ACTIVATION] = {"Activation", "activation", check_activation, build_activation},
};

const bur_layer_kind_info *bur__layer_kind(bur_layer_kind kind)
{
    return &kinds[kind];
}
