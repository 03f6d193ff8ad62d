/* The model zoo: one row and one function per model. */
#include "zoo.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

int32_t bur__zoo_scaled(const bur_zoo_options *options, int32_t units)
{
    const double wide = (options->width > 0 ? (double)options->width : 1.0) * units;
    const int32_t rounded = (int32_t)(wide + 0.5);
    return rounded < 1 ? 1 : rounded;
}

static bur_status add(bur_sequential *s, bur_layer layer)
{
    return bur_sequential_add(s, &layer);
}

bur_status bur__zoo_add_head(bur_sequential *s, const bur_zoo_options *options)
{
    if (options->dropout > 0 && !options->no_dropout)
        BUR_TRY(add(s, bur_dropout(options->dropout)));
    return add(s, bur_dense(options->classes, options->values ? BUR_LINEAR : BUR_SOFTMAX));
}

/* A dense layer takes vectors: images are flattened first. */
static bur_status add_flatten(bur_sequential *s, const bur_zoo_options *options)
{
    return options->sample.rank > 1 ? add(s, bur_flatten()) : BUR_OK;
}

bur_status bur__zoo_next_units(const char **hidden, int32_t *units)
{
    char *end = NULL;
    const long value = strtol(*hidden, &end, 10);
    if (end == *hidden || value < 1 || value > 1000000 ||
        (*end != '\0' && (*end != '-' || end[1] == '\0')))
        return bur_fail(BUR_E_ARG, "hidden has '%s', which is not like 128-64-32", *hidden);
    *units = (int32_t)value;
    *hidden = *end == '-' ? end + 1 : end;
    return BUR_OK;
}

/* Multi-layer perceptron; hidden "128-64-32" (S-017). */
static bur_status build_mlp(bur_sequential *s, const bur_zoo_options *options)
{
    const char *at = options->hidden == NULL ? "128-64-32" : options->hidden;
    BUR_TRY(add_flatten(s, options));
    while (*at != '\0') {
        int32_t units = 0;
        BUR_TRY(bur__zoo_next_units(&at, &units));
        BUR_TRY(add(s, bur_dense(bur__zoo_scaled(options, units), BUR_RELU)));
    }
    return bur__zoo_add_head(s, options);
}

static bur_status build_linear(bur_sequential *s, const bur_zoo_options *options)
{
    BUR_TRY(add_flatten(s, options));
    return bur__zoo_add_head(s, options);
}

static bur_status add_convolutions(bur_sequential *s, const bur_zoo_options *options,
                                   bur_padding padding, const int32_t *filters, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        BUR_TRY(add(s, bur_conv2d(bur__zoo_scaled(options, filters[i]), 3, padding, BUR_RELU)));
        BUR_TRY(add(s, bur_max_pooling2d(2)));
    }
    BUR_TRY(add(s, bur_flatten()));
    BUR_TRY(add(s, bur_dense(bur__zoo_scaled(options, 128), BUR_RELU)));
    return bur__zoo_add_head(s, options);
}

static bur_status build_cnn(bur_sequential *s, const bur_zoo_options *options)
{
    return add_convolutions(s, options, BUR_SAME, (const int32_t[]){32, 64, 128}, 3);
}

/* The lighter model of the documents' third remedy (S-102): Keras' valid padding. */
static bur_status build_cnn_light(bur_sequential *s, const bur_zoo_options *options)
{
    return add_convolutions(s, options, BUR_VALID, (const int32_t[]){32, 64}, 2);
}

static bur_status build_cnn_mid(bur_sequential *s, const bur_zoo_options *options)
{
    return add_convolutions(s, options, BUR_SAME, (const int32_t[]){64, 128, 256, 256}, 4);
}

#define IMAGE                                                                                      \
    {                                                                                              \
        .rank = 3, .dim = { 28, 28, 1 }                                                            \
    }

#define TOKENS                                                                                     \
    {                                                                                              \
        .rank = 1, .dim = { 128 }                                                                  \
    }

#define PHOTOGRAPH                                                                                 \
    {                                                                                              \
        .rank = 3, .dim = { 224, 224, 3 }                                                          \
    }

#define SEQUENCE                                                                                   \
    {                                                                                              \
        .rank = 2, .dim = { 100, 64 }                                                              \
    }

/* A model is a list of layers, or composed. */
static const struct {
    bur_zoo_info info;
    bur__zoo_list *build;
    bur__zoo_compose *compose;
} zoo[] = {
    {{"linear", "one dense layer: softmax or linear regression", IMAGE, 10}, build_linear, NULL},
    {{"mlp", "dense 128-64-32, relu (hidden=)", IMAGE, 10}, build_mlp, NULL},
    {{"cnn", "conv 32-64-128 3x3 same, 2x2 max pool after each, dense 128", IMAGE, 10},
     build_cnn,
     NULL},
    {{"cnn-light", "conv 32-64 3x3 valid, 2x2 max pool after each, dense 128", IMAGE, 10},
     build_cnn_light,
     NULL},
    {{"cnn-mid", "conv 64-128-256-256 3x3 same, 2x2 max pool after each, dense 128", IMAGE, 10},
     build_cnn_mid,
     NULL},
    {{"resnet18", "residual network of 18 layers (stem=small for small images)", PHOTOGRAPH, 1000},
     NULL,
     bur__zoo_resnet18},
    {{"resnet50", "residual network of 50 layers with bottlenecks", PHOTOGRAPH, 1000},
     NULL,
     bur__zoo_resnet50},
    {{"resnet101", "residual network of 101 layers with bottlenecks", PHOTOGRAPH, 1000},
     NULL,
     bur__zoo_resnet101},
    {{"mobilenet-v2", "depthwise convolutions between narrow layers, for phones", PHOTOGRAPH, 1000},
     NULL,
     bur__zoo_mobilenet_v2},
    {{"efficientnet-b0", "depthwise convolutions, squeeze and excite, stochastic depth", PHOTOGRAPH,
      1000},
     NULL,
     bur__zoo_efficientnet_b0},
    {{"rnn", "simple recurrent network of 128 units over sequences (hidden=)", SEQUENCE, 10},
     bur__zoo_rnn,
     NULL},
    {{"lstm", "long short-term memory of 128 units over sequences (hidden=)", SEQUENCE, 10},
     bur__zoo_lstm,
     NULL},
    {{"gru", "gated recurrent units, 128, over sequences (hidden=)", SEQUENCE, 10},
     bur__zoo_gru,
     NULL},
    {{"vit-tiny", "vision transformer, 12 layers of 192 channels, 3 heads (depth=)", PHOTOGRAPH,
      1000},
     NULL,
     bur__zoo_vit_tiny},
    {{"vit-small", "vision transformer, 12 layers of 384 channels, 6 heads (depth=)", PHOTOGRAPH,
      1000},
     NULL,
     bur__zoo_vit_small},
    {{"vit-b16", "vision transformer, 12 layers of 768 channels, 12 heads (depth=)", PHOTOGRAPH,
      1000},
     NULL,
     bur__zoo_vit_b16},
    {{"transformer-small", "ids of 8192 tokens, 4 encoder layers of 256 channels (depth=)", TOKENS,
      2},
     NULL,
     bur__zoo_transformer_small},
};

enum { ZOO_COUNT = sizeof zoo / sizeof *zoo };

int32_t bur_zoo_count(void)
{
    return ZOO_COUNT;
}

const bur_zoo_info *bur_zoo_at(int32_t index)
{
    return index >= 0 && index < ZOO_COUNT ? &zoo[index].info : NULL;
}

static const char *zoo_name(const void *user, int32_t i)
{
    (void)user;
    return zoo[i].info.name;
}

static bur_status find(int32_t *out, const char *name)
{
    const int32_t index = bur_word_find(name, ZOO_COUNT, zoo_name, NULL);
    if (index >= 0) {
        *out = index;
        return BUR_OK;
    }
    const char *nearest = bur_word_nearest(name, ZOO_COUNT, zoo_name, NULL);
    return nearest == NULL
               ? bur_fail(BUR_E_NAME, "no model '%s'", name)
               : bur_fail(BUR_E_NAME, "no model '%s'; did you mean '%s'?", name, nearest);
}

static bur_status check_options(const bur_zoo_options *options)
{
    if (options->classes < 1)
        return bur_fail(BUR_E_ARG, "%" PRId32 " classes; at least 1 is needed", options->classes);
    if (!(options->width >= 0) || options->width > 64)
        return bur_fail(BUR_E_ARG, "width %g is not in (0, 64]", (double)options->width);
    if (options->depth < 0 || options->depth > 1000)
        return bur_fail(BUR_E_ARG, "depth %" PRId32 " is not in 1..1000", options->depth);
    if (!(options->dropout >= 0 && options->dropout < 1))
        return bur_fail(BUR_E_ARG, "dropout %g is not in [0, 1)", (double)options->dropout);
    return BUR_OK;
}

static bur_status list_layers(bur_recipe **out, bur_context *context, bur__zoo_list *build,
                              const char *name, const bur_zoo_options *options)
{
    bur_sequential *s = NULL;
    BUR_TRY(bur_sequential_create(&s, context, name));
    bur_status status = build(s, options);
    if (status == BUR_OK)
        status = bur_sequential_build(s, &options->sample, out);
    bur_sequential_destroy(s);
    return status;
}

static bur_status compose(bur_recipe **out, bur_context *context, bur__zoo_compose *compose_model,
                          const char *name, const bur_zoo_options *options)
{
    bur_recipe *recipe = NULL;
    bur_ref input = -1;
    const bur_shape *sample = &options->sample;
    bur_shape x = {.rank = sample->rank + 1, .dim = {BUR_DIM_BATCH}};
    if (sample->rank >= BUR_MAX_RANK)
        return bur_fail(BUR_E_SHAPE, "a sample of %" PRId32 " dimensions", sample->rank);
    memcpy(x.dim + 1, sample->dim, (size_t)sample->rank * sizeof *sample->dim);
    BUR_TRY(bur_recipe_create(&recipe, context, name));
    bur_status status = bur_recipe_input(recipe, "x", BUR_F32, &x, &input);
    if (status == BUR_OK)
        status = compose_model(recipe, input, options);
    if (status != BUR_OK) {
        bur_recipe_destroy(recipe);
        return status;
    }
    *out = recipe;
    return BUR_OK;
}

bur_status bur_zoo_create(bur_recipe **out, bur_context *context, const char *name,
                          const bur_zoo_options *options)
{
    static const bur_zoo_options defaults;
    if (out == NULL || context == NULL || name == NULL)
        return bur_fail(BUR_E_ARG, "bur_zoo_create: NULL argument");
    int32_t index = 0;
    BUR_TRY(find(&index, name));
    bur_zoo_options set = options == NULL ? defaults : *options;
    if (set.sample.rank == 0)
        set.sample = zoo[index].info.sample;
    if (set.classes == 0)
        set.classes = zoo[index].info.classes;
    BUR_TRY(check_options(&set));
    const bur_status status = zoo[index].build != NULL
                                  ? list_layers(out, context, zoo[index].build, name, &set)
                                  : compose(out, context, zoo[index].compose, name, &set);
    return status == BUR_OK ? BUR_OK : bur_fail_in(status, "model '%s'", name);
}
