/* Layers over sequences [N, length, channels] as Transformers have them. Defaults follow Keras,
 * names of parameters PyTorch and torchvision. */
#include "layer.h"

#include <inttypes.h>
#include <stdio.h>

bur_layer bur_multi_head_attention(int32_t heads, bool causal)
{
    return (bur_layer){.kind = BUR_LAYER_MULTI_HEAD_ATTENTION, .heads = heads, .causal = causal};
}

bur_layer bur_embedding(int32_t vocabulary, int32_t units)
{
    return (bur_layer){.kind = BUR_LAYER_EMBEDDING, .vocabulary = vocabulary, .units = units};
}

bur_layer bur_position_embedding(void)
{
    return (bur_layer){.kind = BUR_LAYER_POSITION_EMBEDDING};
}

bur_layer bur_class_token(void)
{
    return (bur_layer){.kind = BUR_LAYER_CLASS_TOKEN};
}

bur_layer bur_first_token(void)
{
    return (bur_layer){.kind = BUR_LAYER_FIRST_TOKEN};
}

bur_layer bur_global_average_pooling1d(void)
{
    return (bur_layer){.kind = BUR_LAYER_GLOBAL_AVERAGE_POOLING1D};
}

bur_status bur__check_attention(const bur_layer *layer)
{
    if (layer->units < 0)
        return bur_fail(BUR_E_ARG, "%" PRId32 " channels of a head", layer->units);
    return bur__check_positive("heads", layer->heads);
}

bur_status bur__check_embedding(const bur_layer *layer)
{
    BUR_TRY(bur__check_positive("the vocabulary", layer->vocabulary));
    return bur__check_positive("units", layer->units);
}

static bur_status check_sequence(const char *what, const bur_shape *x)
{
    return x->rank == 3 ? BUR_OK
                        : bur_fail(BUR_E_SHAPE, "%s takes [N, length, channels], not %s", what,
                                   bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, x));
}

/* q, k and v by one product, x = [q | k | v]. */
static bur_status project(const bur_layer *layer, const char *name, bur_recipe *recipe,
                          int64_t channels, int64_t width, bur_ref *value)
{
    const int64_t dim[] = {channels, 3 * width};
    bur_ref inputs[2] = {*value, -1};
    BUR_TRY(bur__add_parameter(recipe, name, "in_proj_weight", 2, dim, layer->weight_initializer,
                               &inputs[1]));
    BUR_TRY(bur_recipe_apply(recipe, BUR_OP_matmul, NULL, inputs, 2, value));
    if (layer->no_bias)
        return BUR_OK;
    inputs[0] = *value;
    BUR_TRY(
        bur__add_parameter(recipe, name, "in_proj_bias", 1, &dim[1], BUR_INIT_ZEROS, &inputs[1]));
    return bur_recipe_apply(recipe, BUR_OP_bias_add, NULL, inputs, 2, value);
}

bur_status bur__build_attention(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                bur_ref *value)
{
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    const int64_t channels = x.dim[2];
    BUR_TRY(check_sequence("attention", &x));
    if (layer->units == 0 && channels % layer->heads != 0)
        return bur_fail(BUR_E_SHAPE, "%" PRId32 " heads do not divide %" PRId64 " channels",
                        layer->heads, channels);
    const int64_t width = layer->units == 0 ? channels : (int64_t)layer->heads * layer->units;
    const bur_attr attr = {.attention = {.heads = layer->heads, .causal = layer->causal}};
    BUR_TRY(bur__as_matrix(recipe, value));
    BUR_TRY(project(layer, name, recipe, channels, width, value));
    BUR_TRY(bur__as_rows_of(recipe, &x, value));
    const bur_ref input = *value;
    BUR_TRY(bur_recipe_apply(recipe, BUR_OP_self_attention, &attr, &input, 1, value));
    char out[96];
    const int64_t dim[] = {width, channels};
    snprintf(out, sizeof out, "%s.out_proj", name);
    BUR_TRY(bur__as_matrix(recipe, value));
    BUR_TRY(bur__add_product(layer, out, recipe, BUR_OP_matmul, NULL, 2, dim, value));
    return bur__as_rows_of(recipe, &x, value);
}

bur_status bur__build_embedding(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                bur_ref *value)
{
    const bur_attr attr = {.cast = {.dtype = BUR_I32}};
    const int64_t dim[] = {layer->vocabulary, layer->units};
    const bur_initializer initializer = layer->weight_initializer == BUR_INIT_DEFAULT
                                            ? BUR_INIT_RANDOM_UNIFORM
                                            : layer->weight_initializer;
    const bur_ref ids = *value;
    bur_ref inputs[2] = {-1, -1};
    BUR_TRY(bur__add_parameter(recipe, name, "weight", 2, dim, initializer, &inputs[0]));
    BUR_TRY(bur_recipe_apply(recipe, BUR_OP_cast, &attr, &ids, 1, &inputs[1]));
    return bur_recipe_apply(recipe, BUR_OP_embedding, NULL, inputs, 2, value);
}

/* N(0, 0.05^2), near torchvision's 0.02. */
static bur_initializer token_initializer(const bur_layer *layer)
{
    return layer->weight_initializer == BUR_INIT_DEFAULT ? BUR_INIT_RANDOM_NORMAL
                                                         : layer->weight_initializer;
}

bur_status bur__build_position_embedding(const bur_layer *layer, const char *name,
                                         bur_recipe *recipe, bur_ref *value)
{
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    const int64_t dim[] = {1, x.dim[1], x.dim[2]};
    bur_ref inputs[2] = {*value, -1};
    BUR_TRY(check_sequence("a position embedding", &x));
    BUR_TRY(bur__add_parameter(recipe, name, "pos_embedding", 3, dim, token_initializer(layer),
                               &inputs[1]));
    return bur_recipe_apply(recipe, BUR_OP_add, NULL, inputs, 2, value);
}

/* The token is the one parameter, named as the layer. Both get zeros where the other stands, and
 * are added: the sum is broadcast over the batch, which a recipe does not know. */
bur_status bur__build_class_token(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                  bur_ref *value)
{
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    const bur_shape shape = {.rank = 3, .dim = {1, 1, x.dim[2]}};
    const bur_attr before = {.pad = {.before = {0, 1, 0}}};
    const bur_attr after = {.pad = {.after = {0, (int32_t)x.dim[1], 0}}};
    const bur_initializer initializer =
        layer->weight_initializer == BUR_INIT_DEFAULT ? BUR_INIT_ZEROS : layer->weight_initializer;
    bur_ref token = -1, both[2] = {-1, -1};
    const bur_ref input = *value;
    BUR_TRY(check_sequence("a class token", &x));
    BUR_TRY(bur_recipe_parameter(recipe, name, &shape, initializer, &token));
    BUR_TRY(bur_recipe_apply(recipe, BUR_OP_pad, &before, &input, 1, &both[0]));
    BUR_TRY(bur_recipe_apply(recipe, BUR_OP_pad, &after, &token, 1, &both[1]));
    return bur_recipe_apply(recipe, BUR_OP_add, NULL, both, 2, value);
}

bur_status bur__build_first_token(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                  bur_ref *value)
{
    (void)layer;
    (void)name;
    const bur_attr first = {.slice = {.end = {0, 1, 0}}};
    const bur_attr flat = {.reshape = {.rank = 2, .shape = {0, -1}}};
    bur_ref input = *value;
    BUR_TRY(check_sequence("the first token", &bur_recipe_desc(recipe, input)->shape));
    BUR_TRY(bur_recipe_apply(recipe, BUR_OP_slice, &first, &input, 1, &input));
    return bur_recipe_apply(recipe, BUR_OP_reshape, &flat, &input, 1, value);
}

bur_status bur__build_global_pooling1d(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                       bur_ref *value)
{
    (void)name;
    const bur_attr attr = {.reduce = {.axes = 1 << 1, .keep_dims = layer->keep_dims}};
    const bur_ref input = *value;
    BUR_TRY(check_sequence("pooling", &bur_recipe_desc(recipe, input)->shape));
    return bur_recipe_apply(recipe, BUR_OP_reduce_mean, &attr, &input, 1, value);
}
