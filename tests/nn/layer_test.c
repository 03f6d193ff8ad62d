#include "test.h"

#include "support/model.h"

#include <burthen/burthen.h>
#include <string.h>

static bur_recipe *start(bur_context *context, bur_ref *x)
{
    bur_recipe *recipe = NULL;
    const bur_shape shape = {.rank = 4, .dim = {BUR_DIM_BATCH, 28, 28, 1}};
    assert_ok(bur_recipe_create(&recipe, context, "residual"));
    assert_ok(bur_recipe_input(recipe, "x", BUR_F32, &shape, x));
    return recipe;
}

/* conv, then depthwise and pointwise beside a shortcut */
static bur_recipe *residual(bur_context *context)
{
    bur_ref value = -1;
    bur_recipe *recipe = start(context, &value);
    bur_layer first = bur_conv2d(8, 3, BUR_PADDED, BUR_RELU);
    for (int i = 0; i < 4; i++)
        first.pad[i] = 1;
    first.stride[0] = first.stride[1] = 2;
    assert_ok(test_put(recipe, first, &value));
    bur_ref ends[2] = {value, value};
    assert_ok(test_put(recipe, bur_depthwise_conv2d(3, BUR_SAME, BUR_RELU), &ends[1]));
    assert_ok(test_put(recipe, bur_conv2d(8, 1, BUR_VALID, BUR_LINEAR), &ends[1]));
    const bur_layer add = bur_add(BUR_RELU);
    assert_ok(bur_layer_apply(recipe, &add, ends, 2, &value));
    assert_ok(test_put(recipe, bur_flatten(), &value));
    assert_ok(test_put(recipe, bur_dense(10, BUR_SOFTMAX), &value));
    assert_ok(bur_recipe_output(recipe, value));
    return recipe;
}

static void test_nn_layer__branches_have_the_shapes_and_parameters_of_their_layers(void **state)
{
    (void)state;
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    bur_recipe *recipe = residual(context);
    static const struct {
        const char *name, *type;
        int64_t parameters, pixels;
    } wanted[] = {
        {"conv1", "Conv2D", 3 * 3 * 1 * 8 + 8, 14 * 14},
        {"depthwise1", "DepthwiseConv2D", 3 * 3 * 8 + 8, 14 * 14},
        {"conv2", "Conv2D", 8 * 8 + 8, 14 * 14},
        {"add1", "Add", 0, 14 * 14},
    };
    for (int32_t i = 0; i < 4; i++) {
        bur_layer_summary layer;
        assert_ok(bur_recipe_layer_summary(recipe, i, &layer));
        assert_string_equal(layer.name, wanted[i].name);
        assert_string_equal(layer.type, wanted[i].type);
        assert_int_equal(layer.parameters, wanted[i].parameters);
        assert_int_equal(layer.output.dim[1] * layer.output.dim[2], wanted[i].pixels);
        assert_int_equal(layer.output.dim[3], 8);
    }
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

static void test_nn_layer__a_model_with_a_shortcut_learns(void **state)
{
    (void)state;
    test_digits digits;
    test_digits_open(&digits);
    bur_recipe *recipe = residual(digits.context);
    const bur_fit_options options = {.epochs = 1};
    bur_trainer *trainer = test_fit(digits.cpu, recipe, &digits.data, &options);
    assert_true(test_metric(trainer, digits.data.test) > 0.8);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    test_digits_close(&digits);
}

static void test_nn_layer__a_transposed_convolution_has_the_size_of_keras(void **state)
{
    (void)state;
    static const struct {
        int32_t kernel, stride;
        bur_padding padding;
        int64_t size; /* of 28 */
    } wanted[] = {{3, 2, BUR_SAME, 56},  {4, 2, BUR_SAME, 56},  {2, 3, BUR_SAME, 84},
                  {3, 1, BUR_VALID, 30}, {3, 2, BUR_VALID, 57}, {2, 3, BUR_VALID, 84}};
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        bur_ref value = -1;
        bur_recipe *recipe = start(context, &value);
        assert_ok(test_put(recipe,
                           bur_conv2d_transpose(5, wanted[i].kernel, wanted[i].stride,
                                                wanted[i].padding, BUR_RELU),
                           &value));
        const int64_t *y = bur_recipe_desc(recipe, value)->shape.dim;
        assert_int_equal(y[1], wanted[i].size);
        assert_int_equal(y[2], wanted[i].size);
        assert_int_equal(y[3], 5);
        bur_recipe_destroy(recipe);
    }
    bur_context_destroy(context);
}

static void test_nn_layer__what_does_not_fit_names_the_layer(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_ref x = -1, value = -1, half = -1;
    assert_ok(bur_context_create(&context, NULL));
    bur_recipe *recipe = start(context, &x);
    bur_layer named = bur_conv2d(4, 3, BUR_SAME, BUR_RELU);
    named.name = "stem";
    assert_ok(bur_layer_apply(recipe, &named, &x, 1, &value));
    assert_status(BUR_E_NAME, bur_layer_apply(recipe, &named, &value, 1, &value));
    assert_non_null(strstr(bur_last_error(), "'stem'"));

    bur_layer groups = bur_conv2d(4, 3, BUR_SAME, BUR_RELU);
    groups.groups = 3;
    assert_status(BUR_E_SHAPE, bur_layer_apply(recipe, &groups, &value, 1, &half));
    assert_non_null(strstr(bur_last_error(), "3 groups do not divide 4 channels"));

    const bur_layer pool = bur_max_pooling2d(2), add = bur_add(BUR_LINEAR);
    assert_ok(bur_layer_apply(recipe, &pool, &value, 1, &half));
    const bur_ref ends[2] = {value, half};
    assert_status(BUR_E_SHAPE, bur_layer_apply(recipe, &add, ends, 2, &value));
    assert_non_null(strstr(bur_last_error(), "add1"));
    assert_status(BUR_E_ARG, bur_layer_apply(recipe, &add, ends, 1, &value));
    assert_status(BUR_E_ARG, bur_layer_apply(recipe, &pool, ends, 2, &value));
    assert_status(BUR_E_ARG, bur_layer_apply(recipe, &pool, (bur_ref[]){99}, 1, &value));
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

/* Squeeze and excite: a gate per channel from the whole image; and two kinds of pooling side by
 * side. */
static void test_nn_layer__gates_and_pools_have_the_shapes_of_keras(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_ref x = -1, gate = -1, gated = -1, out = -1;
    assert_ok(bur_context_create(&context, NULL));
    bur_recipe *recipe = start(context, &x);
    assert_ok(test_put(recipe, bur_conv2d(6, 3, BUR_SAME, BUR_SILU), &x));
    gate = x;
    assert_ok(test_put(recipe, bur_global_average_pooling2d(), &gate));
    assert_int_equal(bur_recipe_desc(recipe, gate)->shape.rank, 2);
    gate = x;
    assert_ok(test_put(recipe, bur_conv2d(6, 1, BUR_VALID, BUR_SIGMOID), &gate));
    const bur_layer multiply = bur_multiply(BUR_LINEAR), beside = bur_concatenate();
    assert_ok(bur_layer_apply(recipe, &multiply, (bur_ref[]){x, gate}, 2, &gated));
    bur_ref mean = gated, most = gated;
    assert_ok(test_put(recipe, bur_average_pooling2d(4), &mean));
    assert_ok(test_put(recipe, bur_max_pooling2d(4), &most));
    assert_ok(bur_layer_apply(recipe, &beside, (bur_ref[]){mean, most, mean}, 3, &out));
    const int64_t *y = bur_recipe_desc(recipe, out)->shape.dim;
    assert_int_equal(y[1], 7);
    assert_int_equal(y[3], 18);
    assert_ok(test_put(recipe, bur_global_max_pooling2d(), &out));
    assert_int_equal(bur_recipe_desc(recipe, out)->shape.dim[1], 18);
    assert_status(BUR_E_SHAPE, test_put(recipe, bur_global_max_pooling2d(), &out));
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}
