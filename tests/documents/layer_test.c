/* What the documents say of layers: dropout, convolution, the lighter model. */
#include "support/opened.h"
#include "support/model.h"
#include "support/run.h"
#include "test.h"

#include <burthen/nn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 28, SAMPLES = 64, UNITS = 257 };

/* S-023: half of the neurons off, the others twice as large, the same ones on every device. */
static void test_documents_layer__dropout_keeps_the_mean_and_its_mask_on_every_device(void **state)
{
    (void)state;
    test_opened opened;
    const bur_shape shape = {.rank = 2, .dim = {SAMPLES, UNITS}};
    const bur_shape words = {.rank = 1, .dim = {BUR_SCALAR_WORDS}};
    const bur_scalars scalars = {.seed = {7, 0}, .step = {3, 0}};
    const bur_attr attr = {.dropout = {.rate = 0.5F, .node = 4}};
    static float ones[SAMPLES * UNITS], first[SAMPLES * UNITS], y[SAMPLES * UNITS];
    for (int32_t i = 0; i < SAMPLES * UNITS; i++)
        ones[i] = 1;
    test_opened_create(&opened);
    for (int32_t d = 0; d < opened.count; d++) {
        bur_array *inputs[2] = {NULL, NULL}, *output = NULL;
        double sum = 0;
        assert_ok(bur_array_create(&inputs[0], opened.devices[d], BUR_F32, &shape, ones));
        assert_ok(bur_array_create(&inputs[1], opened.devices[d], BUR_I32, &words, &scalars));
        assert_ok(bur_run(opened.devices[d], BUR_OP_dropout, &attr, inputs, 2, &output, 1));
        assert_ok(bur_array_read(output, y, sizeof y));
        for (int32_t i = 0; i < SAMPLES * UNITS; i++) {
            assert_true(y[i] == 0 || y[i] == 2);
            sum += (double)y[i];
        }
        /* 16,448 coins: five standard deviations */
        assert_true(fabs(sum / (SAMPLES * UNITS) - 1) < 5.0 / sqrt(SAMPLES * UNITS));
        if (d == 0)
            memcpy(first, y, sizeof y);
        assert_memory_equal(y, first, sizeof y);
        bur_array_destroy(output);
        bur_array_destroy(inputs[0]);
        bur_array_destroy(inputs[1]);
    }
    test_opened_destroy(&opened);
}

/* Stochastic depth takes whole samples, the same ones on every device and in micro-batches. */
static void test_documents_layer__stochastic_depth_drops_whole_samples(void **state)
{
    (void)state;
    enum { WIDTH = 37, HALF = SAMPLES / 2 };
    test_opened opened;
    const bur_attr attr = {.dropout = {.rate = 0.5F, .node = 4, .per_sample = 1}};
    static float ones[SAMPLES * WIDTH], first[SAMPLES * WIDTH], y[SAMPLES * WIDTH];
    for (int32_t i = 0; i < SAMPLES * WIDTH; i++)
        ones[i] = 1;
    test_opened_create(&opened);
    for (int32_t run = 0; run < 2 * opened.count; run++) {
        const bool part = run % 2 == 1; /* the second half alone, in another micro-batch */
        const int32_t samples = part ? HALF : SAMPLES, before = part ? HALF : 0;
        const bur_shape shape = {.rank = 2, .dim = {samples, WIDTH}};
        const bur_shape words = {.rank = 1, .dim = {BUR_SCALAR_WORDS}};
        const bur_scalars scalars = {
            .seed = {7, 0}, .step = {3, 0}, .first_sample = (uint32_t)before};
        bur_device *device = opened.devices[run / 2];
        bur_array *inputs[2] = {NULL, NULL}, *output = NULL;
        int32_t kept = 0;
        assert_ok(bur_array_create(&inputs[0], device, BUR_F32, &shape, ones));
        assert_ok(bur_array_create(&inputs[1], device, BUR_I32, &words, &scalars));
        assert_ok(bur_run(device, BUR_OP_dropout, &attr, inputs, 2, &output, 1));
        assert_ok(bur_array_read(output, y, (size_t)samples * WIDTH * sizeof *y));
        for (int32_t i = 0; i < samples * WIDTH; i++) {
            assert_true(y[i] == y[i / WIDTH * WIDTH] && (y[i] == 0 || y[i] == 2));
            kept += i % WIDTH == 0 && y[i] == 2;
        }
        assert_in_range(kept, samples / 4, 3 * samples / 4); /* half of them, four deviations */
        if (run == 0)
            memcpy(first, y, sizeof y);
        assert_memory_equal(y, first + before * WIDTH, (size_t)samples * WIDTH * sizeof *y);
        bur_array_destroy(output);
        bur_array_destroy(inputs[0]);
        bur_array_destroy(inputs[1]);
    }
    test_opened_destroy(&opened);
}

static int32_t count_nodes(const bur_recipe *recipe, bur_mode mode, bur_op op)
{
    const bur_graph_options options = {.batch = 2,
                                       .mode = mode,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM)};
    bur_graph *graph = NULL;
    int32_t count = 0;
    assert_ok(bur_graph_create(&graph, recipe, &options));
    for (int32_t i = 0; i < bur_graph_node_count(graph); i++)
        count += bur_graph_node_op(graph, i) == op;
    bur_graph_destroy(graph);
    return count;
}

/* S-023: only in training. */
static void test_documents_layer__dropout_is_in_training_alone(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_recipe *recipe = NULL;
    const bur_zoo_options options = {.dropout = 0.5F};
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_zoo_create(&recipe, context, "mlp", &options));
    assert_true(count_nodes(recipe, BUR_TRAIN, BUR_OP_dropout) >= 2); /* forward and backward */
    assert_int_equal(count_nodes(recipe, BUR_EVALUATE, BUR_OP_dropout), 0);
    assert_int_equal(count_nodes(recipe, BUR_PREDICT, BUR_OP_dropout), 0);
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

/* Convolutions and the greatest answer of each filter, wherever it is. */
static bur_recipe *searching_network(bur_context *context, int64_t side)
{
    bur_recipe *recipe = NULL;
    bur_ref value = -1;
    const bur_shape shape = {.rank = 4, .dim = {BUR_DIM_BATCH, side, side, 1}};
    assert_ok(bur_recipe_create(&recipe, context, "search"));
    assert_ok(bur_recipe_input(recipe, "x", BUR_F32, &shape, &value));
    assert_ok(test_put(recipe, bur_conv2d(16, 5, BUR_SAME, BUR_RELU), &value));
    assert_ok(test_put(recipe, bur_max_pooling2d(2), &value));
    assert_ok(test_put(recipe, bur_conv2d(32, 5, BUR_SAME, BUR_RELU), &value));
    assert_ok(test_put(recipe, bur_conv2d(32, 5, BUR_SAME, BUR_RELU), &value));
    assert_ok(test_put(recipe, bur_global_max_pooling2d(), &value));
    assert_ok(test_put(recipe, bur_dense(10, BUR_SOFTMAX), &value));
    assert_ok(bur_recipe_output(recipe, value));
    return recipe;
}

static int64_t count_parameters(const bur_recipe *recipe)
{
    int64_t count = 0;
    for (int32_t i = 0; i < bur_recipe_parameter_count(recipe); i++)
        count += bur_desc_count(&bur_recipe_parameter_at(recipe, i)->desc);
    return count;
}

/* The pictures moved `by` pixels to the right and down, as a set of its own. */
static bur_dataset *moved(bur_context *context, const bur_dataset *set, int64_t by, float *x,
                          int32_t *labels)
{
    const bur_dataset_info *info = bur_dataset_describe(set);
    float image[SIDE * SIDE];
    bur_dataset *out = NULL;
    for (int64_t i = 0; i < info->count; i++) {
        bur_dataset_gather(set, &i, 1, image, &labels[i]);
        for (int64_t row = 0; row < SIDE; row++)
            for (int64_t column = 0; column < SIDE; column++)
                x[(i * SIDE + row) * SIDE + column] =
                    row < by || column < by ? 0 : image[(row - by) * SIDE + column - by];
    }
    assert_ok(bur_dataset_from_arrays(&out, context, info, BUR_F32, x, labels));
    return out;
}

/* S-078: few parameters, whatever the picture's size, and what is moved is still found. */
static void test_documents_layer__a_moved_picture_is_still_classified(void **state)
{
    (void)state;
    test_digits digits;
    test_digits_open(&digits);
    const bur_dataset *still = digits.data.test;
    bur_recipe *recipe = searching_network(digits.context, SIDE),
               *large = searching_network(digits.context, 96);
    assert_int_equal(count_parameters(recipe), count_parameters(large));
    const bur_fit_options fit = {.epochs = 3, .batch = 32};
    bur_trainer *trainer = test_fit(digits.cpu, recipe, &digits.data, &fit);
    const int64_t count = bur_dataset_describe(still)->count;
    float *x = test_run_memory((size_t)count * SIDE * SIDE * sizeof *x);
    int32_t *labels = test_run_memory((size_t)count * sizeof *labels);
    bur_dataset *set = moved(digits.context, still, 3, x, labels);
    const double in_place = test_metric(trainer, still);
    assert_true(in_place > 0.9 && test_metric(trainer, set) > in_place - 0.1);
    bur_dataset_destroy(set);
    free(labels);
    free(x);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(large);
    bur_recipe_destroy(recipe);
    test_digits_close(&digits);
}

/* S-102: the lighter model of the third remedy trains; its parameters are in nn.zoo. */
static void test_documents_layer__the_lighter_model_trains(void **state)
{
    (void)state;
    test_digits digits;
    bur_recipe *recipe = NULL;
    test_digits_open(&digits);
    assert_ok(bur_zoo_create(&recipe, digits.context, "cnn-light", NULL));
    const bur_fit_options fit = {.epochs = 1, .batch = 32};
    bur_trainer *trainer = test_fit(digits.cpu, recipe, &digits.data, &fit);
    assert_true(test_metric(trainer, digits.data.test) > 0.9);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    test_digits_close(&digits);
}

/* S-033: "adam" is Adam at a thousandth. */
static void test_documents_layer__adam_by_name_is_adam_at_a_thousandth(void **state)
{
    (void)state;
    bur_optimizer_kind kind = BUR_SGD;
    assert_ok(bur_optimizer_find(&kind, "adam"));
    const bur_optimizer by_name = bur_optimizer_default(kind);
    assert_int_equal(by_name.kind, BUR_ADAM);
    assert_true(by_name.learning_rate == 0.001F);
    assert_true(by_name.attr.beta1 == 0.9F && by_name.attr.beta2 == 0.999F &&
                by_name.attr.epsilon == 1e-7F);
}
