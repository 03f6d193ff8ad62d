#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t count_parameters(const char *model, const bur_zoo_options *options)
{
    bur_context *context = NULL;
    bur_recipe *recipe = NULL;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_zoo_create(&recipe, context, model, options));
    int64_t by_parameter = 0, by_layer = 0;
    for (int32_t i = 0; i < bur_recipe_parameter_count(recipe); i++)
        if (bur_recipe_parameter_at(recipe, i)->trainable)
            by_parameter += bur_desc_count(&bur_recipe_parameter_at(recipe, i)->desc);
    for (int32_t i = 0; i < bur_recipe_layer_count(recipe); i++) {
        bur_layer_summary layer;
        assert_ok(bur_recipe_layer_summary(recipe, i, &layer));
        by_layer += layer.parameters;
    }
    assert_int_equal(by_parameter, by_layer);
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
    return by_parameter;
}

/* S-017 and S-102: 784-128-64-32-10 by hand, and Keras' counts of the light network. */
static void test_nn_zoo__parameters_are_those_of_the_documents(void **state)
{
    (void)state;
    const bur_zoo_options small = {.sample = {.rank = 3, .dim = {32, 32, 3}}};
    const bur_zoo_options large = {.sample = {.rank = 3, .dim = {128, 128, 3}}};
    assert_int_equal(count_parameters("mlp", NULL),
                     784 * 128 + 128 + 128 * 64 + 64 + 64 * 32 + 32 + 330);
    assert_int_equal(count_parameters("mlp", NULL), 111146);
    assert_int_equal(count_parameters("cnn-light", NULL), 225034);
    assert_int_equal(count_parameters("cnn-light", &small), 315722);
    assert_int_equal(count_parameters("cnn-light", &large), 7393610);
}

/* Keras' counts of layers of 128 units on 64 features (GRU: two biases), and of the head. */
static void test_nn_zoo__recurrent_models_are_the_size_of_keras(void **state)
{
    (void)state;
    const bur_zoo_options deep = {
        .sample = {.rank = 2, .dim = {20, 2}}, .classes = 1, .values = true, .hidden = "16-8"};
    assert_int_equal(count_parameters("rnn", NULL), 128 * (64 + 128) + 128 + 1290);
    assert_int_equal(count_parameters("lstm", NULL), 98816 + 1290);
    assert_int_equal(count_parameters("gru", NULL), 74496 + 1290);
    assert_int_equal(count_parameters("lstm", &deep),
                     64 * (2 + 16) + 64 + 32 * (16 + 8) + 32 + 8 + 1);
}

/* Multiply-adds of one sample. */
static int64_t count_macs(const char *model)
{
    bur_context *context = NULL;
    bur_recipe *recipe = NULL;
    int64_t macs = 0;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_zoo_create(&recipe, context, model, NULL));
    for (int32_t i = 0; i < bur_recipe_layer_count(recipe); i++) {
        bur_layer_summary layer;
        assert_ok(bur_recipe_layer_summary(recipe, i, &layer));
        macs += layer.macs;
    }
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
    return macs;
}

/* torchvision's documented parameters, and GFLOPS to the digits it gives (1.81, 4.09, 7.80, 0.30,
 * 0.39, 17.56 with the two products of attention); timm's parameters of the smaller vision
 * transformers. */
static void test_nn_zoo__image_models_are_the_size_of_torchvision_s(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t parameters, ten_mega_macs;
    } wanted[] = {
        {"resnet18", 11689512, 181},      {"resnet50", 25557032, 409},
        {"resnet101", 44549160, 780},     {"mobilenet-v2", 3504872, 30},
        {"efficientnet-b0", 5288548, 39}, {"vit-b16", 86567656, 1756},
        {"vit-small", 22050664, 460},     {"vit-tiny", 5717416, 125},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_int_equal(count_parameters(wanted[i].name, NULL), wanted[i].parameters);
        assert_int_equal((count_macs(wanted[i].name) + 5000000) / 10000000,
                         wanted[i].ten_mega_macs);
    }
}

/* Narrow ones for small images: torchvision's rounding to multiples of 8, at least 8. */
static void test_nn_zoo__image_models_shrink(void **state)
{
    (void)state;
    static const struct {
        const char *name, *layer;
        int64_t height, channels; /* of that layer's output */
    } wanted[] = {
        {"mobilenet-v2", "features.0.0", 32, 8},
        {"efficientnet-b0", "features.0.0", 32, 8},
        {"efficientnet-b0", "features.4.0.block.2.fc1", 1, 4},
        {"efficientnet-b0", "features.7.0.block.3.0", 2, 80},
        {"efficientnet-b0", "features.8.0", 2, 320},
    };
    const bur_zoo_options small = {
        .sample = {.rank = 3, .dim = {32, 32, 1}}, .width = 0.25F, .small_stem = true};
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        bur_recipe *recipe = NULL;
        bool found = false;
        assert_ok(bur_zoo_create(&recipe, context, wanted[i].name, &small));
        for (int32_t l = 0; l < bur_recipe_layer_count(recipe); l++) {
            bur_layer_summary layer;
            assert_ok(bur_recipe_layer_summary(recipe, l, &layer));
            if (strcmp(layer.name, wanted[i].layer) != 0)
                continue;
            found = true;
            assert_int_equal(layer.output.dim[1], wanted[i].height);
            assert_int_equal(layer.output.dim[3], wanted[i].channels);
        }
        assert_true(found);
        bur_recipe_destroy(recipe);
    }
    bur_context_destroy(context);
}

/* The names of torchvision's weights. */
static void test_nn_zoo__parameters_have_the_names_of_torchvision(void **state)
{
    (void)state;
    static const struct {
        const char *model, *parameter;
    } wanted[] = {
        {"resnet18", "layer2.0.downsample.1.running_var"},
        {"resnet18", "bn1.running_mean"},
        {"resnet50", "layer4.2.conv3.weight"},
        {"resnet50", "fc.bias"},
        {"mobilenet-v2", "features.1.conv.0.0.weight"},
        {"mobilenet-v2", "features.17.conv.3.bias"},
        {"mobilenet-v2", "classifier.1.weight"},
        {"vit-b16", "conv_proj.weight"},
        {"vit-b16", "class_token"},
        {"vit-b16", "encoder.pos_embedding"},
        {"vit-b16", "encoder.layers.encoder_layer_11.ln_1.weight"},
        {"vit-b16", "encoder.layers.encoder_layer_0.self_attention.in_proj_weight"},
        {"vit-b16", "encoder.layers.encoder_layer_0.self_attention.out_proj.bias"},
        {"vit-b16", "encoder.layers.encoder_layer_0.mlp.3.weight"},
        {"vit-b16", "encoder.ln.weight"},
        {"vit-b16", "heads.head.weight"},
        {"efficientnet-b0", "features.1.0.block.0.0.weight"},
        {"efficientnet-b0", "features.1.0.block.1.fc2.bias"},
        {"efficientnet-b0", "features.2.0.block.2.fc1.weight"},
        {"efficientnet-b0", "features.6.3.block.3.1.running_var"},
        {"efficientnet-b0", "features.8.1.weight"},
        {"efficientnet-b0", "classifier.1.bias"},
    };
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        bur_recipe *recipe = NULL;
        bool found = false;
        assert_ok(bur_zoo_create(&recipe, context, wanted[i].model, NULL));
        for (int32_t p = 0; p < bur_recipe_parameter_count(recipe); p++)
            found |= strcmp(bur_recipe_parameter_at(recipe, p)->name, wanted[i].parameter) == 0;
        if (!found)
            fail_msg("%s has no '%s'", wanted[i].model, wanted[i].parameter);
        bur_recipe_destroy(recipe);
    }
    bur_context_destroy(context);
}

static void test_nn_zoo__depths_of_1_and_10_and_widths_of_32_and_1024_build(void **state)
{
    (void)state;
    const bur_zoo_options shallow = {.hidden = "1024"};
    const bur_zoo_options deep = {.hidden = "32-32-32-32-32-32-32-32-32-32"};
    assert_int_equal(count_parameters("mlp", &shallow), 784 * 1024 + 1024 + 1024 * 10 + 10);
    assert_int_equal(count_parameters("mlp", &deep), 784 * 32 + 32 + 9 * (32 * 32 + 32) + 330);
}

/* By hand: an encoder layer of C channels has 12 C^2 + 13 C parameters. Small images have patches
 * of 4x4; the width keeps the number of heads. */
static void test_nn_zoo__transformers_have_their_width_and_depth(void **state)
{
    (void)state;
    const bur_zoo_options image = {
        .sample = {.rank = 3, .dim = {28, 28, 1}}, .classes = 10, .width = 0.25F, .depth = 2};
    const int64_t c = 48, layer = 12 * c * c + 13 * c;
    assert_int_equal(count_parameters("vit-tiny", &image),
                     16 * c + c + c + 50 * c + 2 * layer + 2 * c + 10 * c + 10);
    const bur_zoo_options text = {.sample = {.rank = 1, .dim = {20}}, .width = 0.125F, .depth = 1};
    const int64_t w = 32;
    assert_int_equal(count_parameters("transformer-small", &text),
                     8192 * w + 20 * w + 12 * w * w + 13 * w + 2 * w + 2 * w + 2);
}

static void test_nn_zoo__an_unknown_model_is_answered_with_the_nearest(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_recipe *recipe = NULL;
    assert_ok(bur_context_create(&context, NULL));
    assert_status(BUR_E_NAME, bur_zoo_create(&recipe, context, "cnm", NULL));
    assert_non_null(strstr(bur_last_error(), "'cnn'"));
    assert_status(BUR_E_ARG,
                  bur_zoo_create(&recipe, context, "mlp", &(bur_zoo_options){.hidden = "12-"}));
    assert_status(BUR_E_ARG,
                  bur_zoo_create(&recipe, context, "mlp", &(bur_zoo_options){.dropout = 1}));
    assert_null(recipe);
    bur_context_destroy(context);
}

/* An image too small for the convolutions: the error names the layer. */
static void test_nn_zoo__a_shape_that_does_not_fit_names_the_layer(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_recipe *recipe = NULL;
    const bur_zoo_options tiny = {.sample = {.rank = 3, .dim = {4, 4, 1}}};
    assert_ok(bur_context_create(&context, NULL));
    assert_status(BUR_E_SHAPE, bur_zoo_create(&recipe, context, "cnn-light", &tiny));
    assert_non_null(strstr(bur_last_error(), "conv2"));
    bur_context_destroy(context);
}
