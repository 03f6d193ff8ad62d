/* The table of the kinds of layers, and the kinds that have no file of their own. Defaults follow
 * Keras. */
#include "layer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bur_layer bur_dense(int32_t units, bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_DENSE, .units = units, .activation = activation};
}

bur_layer bur_flatten(void)
{
    return (bur_layer){.kind = BUR_LAYER_FLATTEN};
}

bur_layer bur_dropout(float rate)
{
    return (bur_layer){.kind = BUR_LAYER_DROPOUT, .rate = rate};
}

bur_layer bur_stochastic_depth(float rate)
{
    return (bur_layer){.kind = BUR_LAYER_STOCHASTIC_DEPTH, .rate = rate};
}

bur_layer bur_activate(bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_ACTIVATION, .activation = activation};
}

bur_layer bur_add(bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_ADD, .activation = activation};
}

bur_layer bur_multiply(bur_activation activation)
{
    return (bur_layer){.kind = BUR_LAYER_MULTIPLY, .activation = activation};
}

bur_layer bur_concatenate(void)
{
    return (bur_layer){.kind = BUR_LAYER_CONCATENATE};
}

bur_status bur__check_positive(const char *what, int32_t value)
{
    return value >= 1
               ? BUR_OK
               : bur_fail(BUR_E_ARG, "%s is %" PRId32 "; it must be at least 1", what, value);
}

bur_status bur__check_activation(const bur_layer *layer)
{
    if ((unsigned)layer->activation >= BUR_ACTIVATION_COUNT)
        return bur_fail(BUR_E_ARG, "activation %d is unknown", (int)layer->activation);
    return layer->alpha >= 0 ? BUR_OK
                             : bur_fail(BUR_E_ARG, "alpha %g is negative", (double)layer->alpha);
}

static bur_status check_dense(const bur_layer *layer)
{
    BUR_TRY(bur__check_positive("units", layer->units));
    return bur__check_activation(layer);
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

bur_status bur__add_parameter(bur_recipe *recipe, const char *layer, const char *name, int32_t rank,
                              const int64_t *dim, bur_initializer initializer, bur_ref *out)
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
        const bur_shape *x = &bur_recipe_desc(recipe, *value)->shape;
        const int64_t units = x->dim[x->rank - 1];
        BUR_TRY(bur__add_parameter(recipe, name, "bias", 1, &units, BUR_INIT_ZEROS, &inputs[1]));
        BUR_TRY(bur_recipe_apply(recipe, BUR_OP_bias_add, NULL, inputs, 2, value));
    }
    if (layer->activation == BUR_LINEAR)
        return BUR_OK;
    static const struct {
        bur_op op;
        float alpha; /* Keras' default */
    } rows[BUR_ACTIVATION_COUNT] = {
        [BUR_RELU] = {BUR_OP_relu, 0},
        [BUR_LEAKY_RELU] = {BUR_OP_leaky_relu, 0.3F},
        [BUR_TANH] = {BUR_OP_tanh, 0},
        [BUR_SIGMOID] = {BUR_OP_sigmoid, 0},
        [BUR_RELU6] = {BUR_OP_relu6, 0},
        [BUR_ELU] = {BUR_OP_elu, 1},
        [BUR_SELU] = {BUR_OP_selu, 0},
        [BUR_HARD_SIGMOID] = {BUR_OP_hard_sigmoid, 0},
        [BUR_SOFTMAX] = {BUR_OP_softmax, 0},
        [BUR_LOG_SOFTMAX] = {BUR_OP_log_softmax, 0},
        [BUR_SOFTPLUS] = {BUR_OP_softplus, 0},
        [BUR_SILU] = {BUR_OP_silu, 0},
        [BUR_GELU] = {BUR_OP_gelu, 0},
        [BUR_GELU_TANH] = {BUR_OP_gelu_tanh, 0},
        [BUR_HARD_SWISH] = {BUR_OP_hard_swish, 0},
        [BUR_MISH] = {BUR_OP_mish, 0},
    };
    const float alpha = rows[layer->activation].alpha;
    bur_attr attr = {.none = {0}};
    if (alpha > 0)
        attr.activation.alpha = layer->alpha > 0 ? layer->alpha : alpha;
    const bur_ref input = *value;
    return bur_recipe_apply(recipe, rows[layer->activation].op, &attr, &input, 1, value);
}

bur_status bur__add_product(const bur_layer *layer, const char *name, bur_recipe *recipe, bur_op op,
                            const bur_attr *attr, int32_t rank, const int64_t *dim, bur_ref *value)
{
    bur_ref inputs[2] = {*value, -1};
    BUR_TRY(bur__add_parameter(recipe, name, "weight", rank, dim, layer->weight_initializer,
                               &inputs[1]));
    BUR_TRY(bur_recipe_apply(recipe, op, attr, inputs, 2, value));
    return add_bias_activation(layer, name, recipe, value);
}

bur_status bur__as_matrix(bur_recipe *recipe, bur_ref *value)
{
    const bur_shape *x = &bur_recipe_desc(recipe, *value)->shape;
    const bur_attr rows = {.reshape = {.rank = 2, .shape = {-1, (int32_t)x->dim[x->rank - 1]}}};
    const bur_ref input = *value;
    return x->rank == 2 ? BUR_OK
                        : bur_recipe_apply(recipe, BUR_OP_reshape, &rows, &input, 1, value);
}

bur_status bur__as_rows_of(bur_recipe *recipe, const bur_shape *x, bur_ref *value)
{
    bur_attr shape = {.reshape = {.rank = x->rank, .shape = {-1}}};
    const bur_ref input = *value;
    for (int32_t i = 1; i + 1 < x->rank; i++)
        shape.reshape.shape[i] = (int32_t)x->dim[i];
    shape.reshape.shape[x->rank - 1] = (int32_t)bur_recipe_desc(recipe, input)->shape.dim[1];
    return x->rank == 2 ? BUR_OK
                        : bur_recipe_apply(recipe, BUR_OP_reshape, &shape, &input, 1, value);
}

/* Of the last dimension, whatever stands before it. */
static bur_status build_dense(const bur_layer *layer, const char *name, bur_recipe *recipe,
                              bur_ref *value)
{
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    const int64_t dim[] = {x.dim[x.rank - 1], layer->units};
    if (x.rank < 2)
        return bur_fail(BUR_E_SHAPE, "a dense layer takes [N, ..., features], not %s",
                        bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &x));
    BUR_TRY(bur__as_matrix(recipe, value));
    BUR_TRY(bur__add_product(layer, name, recipe, BUR_OP_matmul, NULL, 2, dim, value));
    return bur__as_rows_of(recipe, &x, value);
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
    attr.dropout.per_sample = layer->kind == BUR_LAYER_STOCHASTIC_DEPTH;
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

/* Sums and products of more than two values go from left to right. */
static bur_status join_pairs(const bur_layer *layer, const char *name, bur_recipe *recipe,
                             const bur_ref *inputs, int32_t n_inputs, bur_ref *out)
{
    const bur_op op = layer->kind == BUR_LAYER_ADD ? BUR_OP_add : BUR_OP_mul;
    bur_ref sum = inputs[0];
    for (int32_t i = 1; i < n_inputs; i++) {
        const bur_ref both[2] = {sum, inputs[i]};
        BUR_TRY(bur_recipe_apply(recipe, op, NULL, both, 2, &sum));
    }
    BUR_TRY(build_activation(layer, name, recipe, &sum));
    *out = sum;
    return BUR_OK;
}

static bur_status join_concatenate(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                   const bur_ref *inputs, int32_t n_inputs, bur_ref *out)
{
    (void)layer;
    (void)name;
    const bur_attr attr = {.concat = {.axis = -1}};
    return bur_recipe_apply(recipe, BUR_OP_concat, &attr, inputs, n_inputs, out);
}

static const bur_layer_kind_info kinds[BUR_LAYER_COUNT] = {
    [BUR_LAYER_DENSE] = {"Dense", "dense", check_dense, build_dense, NULL},
    [BUR_LAYER_CONV2D] = {"Conv2D", "conv", bur__check_conv2d, bur__build_conv2d, NULL},
    [BUR_LAYER_DEPTHWISE_CONV2D] = {"DepthwiseConv2D", "depthwise", bur__check_depthwise_conv2d,
                                    bur__build_depthwise_conv2d, NULL},
    [BUR_LAYER_CONV2D_TRANSPOSE] = {"Conv2DTranspose", "conv_transpose", bur__check_conv2d,
                                    bur__build_conv2d_transpose, NULL},
    [BUR_LAYER_MAX_POOLING2D] = {"MaxPooling2D", "pool", bur__check_window, bur__build_pooling2d,
                                 NULL},
    [BUR_LAYER_AVERAGE_POOLING2D] = {"AveragePooling2D", "average_pool", bur__check_window,
                                     bur__build_pooling2d, NULL},
    [BUR_LAYER_GLOBAL_AVERAGE_POOLING2D] = {"GlobalAveragePooling2D", "global_average",
                                            check_nothing, bur__build_global_pooling2d, NULL},
    [BUR_LAYER_GLOBAL_MAX_POOLING2D] = {"GlobalMaxPooling2D", "global_max", check_nothing,
                                        bur__build_global_pooling2d, NULL},
    [BUR_LAYER_FLATTEN] = {"Flatten", "flatten", check_nothing, build_flatten, NULL},
    [BUR_LAYER_DROPOUT] = {"Dropout", "dropout", check_dropout, build_dropout, NULL},
    [BUR_LAYER_STOCHASTIC_DEPTH] = {"StochasticDepth", "stochastic_depth", check_dropout,
                                    build_dropout, NULL},
    [BUR_LAYER_ACTIVATION] = {"Activation", "activation", bur__check_activation, build_activation,
                              NULL},
    [BUR_LAYER_ADD] = {"Add", "add", bur__check_activation, NULL, join_pairs},
    [BUR_LAYER_MULTIPLY] = {"Multiply", "multiply", bur__check_activation, NULL, join_pairs},
    [BUR_LAYER_CONCATENATE] = {"Concatenate", "concatenate", check_nothing, NULL, join_concatenate},
    [BUR_LAYER_BATCH_NORMALIZATION] = {"BatchNormalization", "batch_norm", bur__check_normalization,
                                       bur__build_batch_normalization, NULL},
    [BUR_LAYER_MULTI_HEAD_ATTENTION] = {"MultiHeadAttention", "attention", bur__check_attention,
                                        bur__build_attention, NULL},
    [BUR_LAYER_EMBEDDING] = {"Embedding", "embedding", bur__check_embedding, bur__build_embedding,
                             NULL},
    [BUR_LAYER_POSITION_EMBEDDING] = {"PositionEmbedding", "position", check_nothing,
                                      bur__build_position_embedding, NULL},
    [BUR_LAYER_CLASS_TOKEN] = {"ClassToken", "class_token", check_nothing, bur__build_class_token,
                               NULL},
    [BUR_LAYER_FIRST_TOKEN] = {"FirstToken", "first_token", check_nothing, bur__build_first_token,
                               NULL},
    [BUR_LAYER_GLOBAL_AVERAGE_POOLING1D] = {"GlobalAveragePooling1D", "global_average",
                                            check_nothing, bur__build_global_pooling1d, NULL},
    [BUR_LAYER_LAYER_NORMALIZATION] = {"LayerNormalization", "layer_norm", bur__check_normalization,
                                       bur__build_layer_normalization, NULL},
    [BUR_LAYER_SIMPLE_RNN] = {"SimpleRNN", "simple_rnn", bur__check_recurrent, bur__build_recurrent,
                              NULL},
    [BUR_LAYER_LSTM] = {"LSTM", "lstm", bur__check_recurrent, bur__build_recurrent, NULL},
    [BUR_LAYER_GRU] = {"GRU", "gru", bur__check_recurrent, bur__build_recurrent, NULL},
};

/* ---- in a recipe ---- */

/* "dense2": the base name and the layer's number among its kind. */
static void running_name(char *name, size_t size, const bur_recipe *recipe,
                         const bur_layer_kind_info *kind)
{
    int32_t number = 1;
    const char *type = NULL;
    for (int32_t i = 0; bur_recipe_layer_name(recipe, i, &type) != NULL; i++)
        number += strcmp(type, kind->type) == 0;
    snprintf(name, size, "%s%" PRId32, kind->base_name, number);
}

static bur_status check_name(const bur_recipe *recipe, const char *name)
{
    const char *other = NULL;
    for (int32_t i = 0; (other = bur_recipe_layer_name(recipe, i, NULL)) != NULL; i++)
        if (strcmp(other, name) == 0)
            return bur_fail(BUR_E_NAME, "another layer has that name");
    return BUR_OK;
}

static bur_status build(const bur_layer_kind_info *kind, const bur_layer *layer, const char *name,
                        bur_recipe *recipe, const bur_ref *inputs, int32_t n_inputs, bur_ref *out)
{
    bur_ref value = n_inputs > 0 ? inputs[0] : -1;
    BUR_TRY(check_name(recipe, name));
    BUR_TRY(kind->check(layer));
    for (int32_t i = 0; i < n_inputs; i++)
        if (bur_recipe_desc(recipe, inputs[i]) == NULL)
            return bur_fail(BUR_E_ARG, "input %" PRId32 " is no value of this model", i);
    if (kind->join == NULL ? n_inputs != 1 : n_inputs < 2)
        return bur_fail(BUR_E_ARG, "%" PRId32 " inputs; it takes %s", n_inputs,
                        kind->join == NULL ? "one" : "two or more");
    BUR_TRY(bur_recipe_layer(recipe, kind->type, name));
    BUR_TRY(kind->join == NULL ? kind->build(layer, name, recipe, &value)
                               : kind->join(layer, name, recipe, inputs, n_inputs, &value));
    *out = value;
    return BUR_OK;
}

bur_status bur_layer_apply(bur_recipe *recipe, const bur_layer *layer, const bur_ref *inputs,
                           int32_t n_inputs, bur_ref *out)
{
    char name[96];
    if (recipe == NULL || layer == NULL || inputs == NULL || out == NULL ||
        (unsigned)layer->kind >= BUR_LAYER_COUNT)
        return bur_fail(BUR_E_ARG, "bur_layer_apply: NULL argument or unknown kind of layer");
    const bur_layer_kind_info *kind = &kinds[layer->kind];
    if (layer->name == NULL)
        running_name(name, sizeof name, recipe, kind);
    else
        snprintf(name, sizeof name, "%s", layer->name);
    const bur_status status = build(kind, layer, name, recipe, inputs, n_inputs, out);
    return status == BUR_OK ? BUR_OK : bur_fail_in(status, "layer '%s'", name);
}

const bur_layer_kind_info *bur__layer_kind(bur_layer_kind kind)
{
    return &kinds[kind];
}
