/* Transformer encoders (Vaswani et al. 2017), normalised before each part (Xiong et al. 2020): the
 * vision transformer (Dosovitskiy et al. 2021) layer by layer and name by name as torchvision has
 * it, and one over tokens with the names of PyTorch's TransformerEncoderLayer. */
#include "zoo.h"

#include <stdio.h>

enum { NAME_BYTES = 64, PATCH = 16, SMALL_PATCH = 4, LEAST_LARGE_IMAGE = 64, VOCABULARY = 8192 };

/* What the layers of an encoder are called, behind their prefix. */
typedef struct layer_names {
    const char *prefix; /* with the layer's number */
    const char *norm1, *attention, *norm2, *wide, *narrow;
} layer_names;

typedef struct encoder {
    bur_recipe *recipe;
    bur_ref value;
    const layer_names *names;
    int32_t channels, heads;
    float epsilon;
} encoder;

static bur_status put(encoder *e, bur_layer layer, const char *prefix, const char *name)
{
    char full[NAME_BYTES];
    const bur_ref input = e->value;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    layer.name = full;
    return bur_layer_apply(e->recipe, &layer, &input, 1, &e->value);
}

/* Adds the values that the last layers began with. */
static bur_status add_shortcut(encoder *e, bur_ref before, const char *prefix, const char *name)
{
    char full[NAME_BYTES];
    bur_layer layer = bur_add(BUR_LINEAR);
    snprintf(full, sizeof full, "%s%s", prefix, name);
    layer.name = full;
    return bur_layer_apply(e->recipe, &layer, (const bur_ref[]){before, e->value}, 2, &e->value);
}

static bur_layer normalization(const encoder *e)
{
    bur_layer layer = bur_layer_normalization();
    layer.epsilon = e->epsilon;
    return layer;
}

static bur_status add_layer(encoder *e, int32_t number)
{
    const layer_names *names = e->names;
    char prefix[NAME_BYTES];
    bur_ref before = e->value;
    snprintf(prefix, sizeof prefix, "%s%d.", names->prefix, (int)number);
    BUR_TRY(put(e, normalization(e), prefix, names->norm1));
    BUR_TRY(put(e, bur_multi_head_attention(e->heads, false), prefix, names->attention));
    BUR_TRY(add_shortcut(e, before, prefix, "add_1"));
    before = e->value;
    BUR_TRY(put(e, normalization(e), prefix, names->norm2));
    BUR_TRY(put(e, bur_dense(4 * e->channels, BUR_GELU), prefix, names->wide));
    BUR_TRY(put(e, bur_dense(e->channels, BUR_LINEAR), prefix, names->narrow));
    return add_shortcut(e, before, prefix, "add_2");
}

static bur_status add_layers(encoder *e, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        BUR_TRY(add_layer(e, i));
    return BUR_OK;
}

static bur_status add_head(encoder *e, const bur_zoo_options *options, const char *name)
{
    if (options->dropout > 0)
        BUR_TRY(put(e, bur_dropout(options->dropout), "", "dropout"));
    BUR_TRY(
        put(e, bur_dense(options->classes, options->values ? BUR_LINEAR : BUR_SOFTMAX), "", name));
    return bur_recipe_output(e->recipe, e->value);
}

/* Heads stay as many; each has at least one channel. */
static int32_t channels_of(const bur_zoo_options *options, int32_t channels, int32_t heads)
{
    return heads * bur__zoo_scaled(options, channels / heads);
}

/* ---- vision transformer ---- */

/* Patches become tokens: [N, rows, columns, channels] to [N, rows columns, channels]. */
static bur_status add_patches(encoder *e, const bur_zoo_options *options)
{
    const int64_t *image = options->sample.dim;
    const int64_t side = image[0] < image[1] ? image[0] : image[1];
    const int32_t patch = side >= LEAST_LARGE_IMAGE ? PATCH : SMALL_PATCH;
    const bur_attr tokens = {.reshape = {.rank = 3, .shape = {0, -1, e->channels}}};
    bur_layer layer = bur_conv2d(e->channels, patch, BUR_VALID, BUR_LINEAR);
    layer.stride[0] = layer.stride[1] = patch;
    layer.weight_initializer = BUR_INIT_LECUN_NORMAL;
    BUR_TRY(put(e, layer, "", "conv_proj"));
    const bur_ref patches = e->value;
    return bur_recipe_apply(e->recipe, BUR_OP_reshape, &tokens, &patches, 1, &e->value);
}

static bur_status build_vit(bur_recipe *recipe, bur_ref input, const bur_zoo_options *options,
                            int32_t channels, int32_t heads)
{
    static const layer_names names = {
        "encoder.layers.encoder_layer_", "ln_1", "self_attention", "ln_2", "mlp.0", "mlp.3"};
    encoder e = {recipe, input, &names, channels_of(options, channels, heads), heads, 1e-6F};
    if (options->sample.rank != 3)
        return bur_fail(BUR_E_SHAPE, "it takes images, height x width x channels");
    BUR_TRY(add_patches(&e, options));
    BUR_TRY(put(&e, bur_class_token(), "", "class_token"));
    BUR_TRY(put(&e, bur_position_embedding(), "", "encoder"));
    BUR_TRY(add_layers(&e, options->depth > 0 ? options->depth : 12));
    /* torchvision normalises all tokens, then takes the first: the same, for more work */
    BUR_TRY(put(&e, bur_first_token(), "", "first_token"));
    BUR_TRY(put(&e, normalization(&e), "encoder.", "ln"));
    return add_head(&e, options, "heads.head");
}

bur_status bur__zoo_vit_tiny(bur_recipe *recipe, bur_ref input, const bur_zoo_options *options)
{
    return build_vit(recipe, input, options, 192, 3);
}

bur_status bur__zoo_vit_small(bur_recipe *recipe, bur_ref input, const bur_zoo_options *options)
{
    return build_vit(recipe, input, options, 384, 6);
}

bur_status bur__zoo_vit_b16(bur_recipe *recipe, bur_ref input, const bur_zoo_options *options)
{
    return build_vit(recipe, input, options, 768, 12);
}

/* ---- over tokens ---- */

/* Every token sees all; their mean is told apart. */
bur_status bur__zoo_transformer_small(bur_recipe *recipe, bur_ref input,
                                      const bur_zoo_options *options)
{
    static const layer_names names = {"encoder.layers.", "norm1",   "self_attn",
                                      "norm2",           "linear1", "linear2"};
    encoder e = {recipe, input, &names, channels_of(options, 256, 4), 4, 1e-5F};
    if (options->sample.rank != 1)
        return bur_fail(BUR_E_SHAPE, "it takes sequences of ids, input=LENGTH");
    BUR_TRY(put(&e, bur_embedding(VOCABULARY, e.channels), "", "embedding"));
    BUR_TRY(put(&e, bur_position_embedding(), "", "encoder"));
    BUR_TRY(add_layers(&e, options->depth > 0 ? options->depth : 4));
    BUR_TRY(put(&e, normalization(&e), "encoder.", "norm"));
    BUR_TRY(put(&e, bur_global_average_pooling1d(), "", "mean"));
    return add_head(&e, options, "fc");
}
