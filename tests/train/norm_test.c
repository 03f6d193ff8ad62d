/* Batch normalisation in training and evaluation: its running statistics are learned, saved, loaded
 * and read, on every device alike. */
#include "test.h"

#include "support/run.h"

#include <burthen/burthen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct scene {
    bur_context *context;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    int32_t n_devices;
    bur_data data;
    bur_recipe *recipe;
    char path[64];
} scene;

/* A few dozen steps are too few for Keras' momentum of 0.99. A convolution, batch normalisation,
 * pooling, a dense layer, batch and layer normalisation. */
static bur_recipe *small_net(bur_context *context, const bur_shape *sample)
{
    const bur_layer layers[] = {bur_conv2d(8, 3, BUR_SAME, BUR_LINEAR),
                                {.kind = BUR_LAYER_BATCH_NORMALIZATION, .momentum = 0.9F},
                                bur_activate(BUR_RELU),
                                bur_max_pooling2d(4),
                                bur_flatten(),
                                bur_dense(32, BUR_LINEAR),
                                {.kind = BUR_LAYER_BATCH_NORMALIZATION, .momentum = 0.9F},
                                bur_activate(BUR_RELU),
                                bur_layer_normalization(),
                                bur_dense(10, BUR_SOFTMAX)};
    bur_sequential *model = NULL;
    bur_recipe *recipe = NULL;
    assert_ok(bur_sequential_create(&model, context, "normal"));
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        assert_ok(bur_sequential_add(model, &layers[i]));
    assert_ok(bur_sequential_build(model, sample, &recipe));
    bur_sequential_destroy(model);
    return recipe;
}

static void scene_open(scene *s, int64_t count)
{
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    s->n_devices = test_run_devices(s->devices, s->context);
    assert_ok(bur_data_open(&s->data, s->context, "digits",
                            &(bur_data_options){.seed = 1, .count = count}));
    s->recipe = small_net(s->context, &bur_dataset_describe(s->data.train)->sample);
    snprintf(s->path, sizeof s->path, "norm_test_%ld.safetensors", (long)getpid());
}

static void scene_close(scene *s)
{
    remove(s->path);
    bur_recipe_destroy(s->recipe);
    bur_data_close(&s->data);
    bur_context_destroy(s->context);
}

static bur_trainer *create(const scene *s, bur_device *device, uint64_t seed)
{
    bur_trainer *trainer = NULL;
    const bur_fit_options options = {.epochs = 3, .batch = 32, .seed = seed};
    assert_ok(bur_trainer_create(&trainer, device, s->recipe, &s->data, &options));
    return trainer;
}

static int32_t parameter_named(const bur_recipe *recipe, const char *name)
{
    for (int32_t i = 0; i < bur_recipe_parameter_count(recipe); i++)
        if (strcmp(bur_recipe_parameter_at(recipe, i)->name, name) == 0)
            return i;
    fail_msg("no parameter '%s'", name);
    return -1;
}

/* Makes each running variance of the first layer 100 times as large. */
static void spoil_variance(const scene *s, bur_trainer *trainer)
{
    float values[8];
    const int32_t index = parameter_named(s->recipe, "batch_norm1.running_var");
    bur_session *session = bur_trainer_session(trainer);
    assert_ok(bur_session_read_state(session, index, values));
    for (int i = 0; i < 8; i++) {
        assert_true(values[i] > 0 && fabsf(values[i] - 1) > 1e-4F); /* moved from its start */
        values[i] *= 100;
    }
    assert_ok(bur_session_write_state(session, index, values));
}

static void test_train_norm__learns_and_evaluates_by_running_statistics(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, 1000);
    bur_trainer *trainer = create(&s, s.devices[0], 1);
    double loss[2], metric[2];
    assert_ok(bur_trainer_fit(trainer));
    assert_ok(bur_trainer_evaluate(trainer, s.data.test, &loss[0], &metric[0]));
    print_message("test loss %.4f, accuracy %.4f\n", loss[0], metric[0]);
    assert_true(metric[0] > 0.85);
    spoil_variance(&s, trainer);
    assert_ok(bur_trainer_evaluate(trainer, s.data.test, &loss[1], &metric[1]));
    assert_true(loss[1] > loss[0] + 0.1);
    bur_trainer_destroy(trainer);
    scene_close(&s);
}

static void test_train_norm__saved_statistics_give_the_same_evaluation(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, 200);
    for (int32_t d = 0; d < s.n_devices; d++) {
        double loss[2], metric[2];
        bur_trainer *trained = create(&s, s.devices[d], 1), *fresh = create(&s, s.devices[d], 2);
        assert_ok(bur_trainer_fit(trained));
        assert_ok(bur_trainer_evaluate(trained, s.data.test, &loss[0], &metric[0]));
        assert_ok(bur_trainer_save(trained, s.path, false));
        assert_ok(bur_trainer_load(fresh, s.path, false));
        assert_ok(bur_trainer_evaluate(fresh, s.data.test, &loss[1], &metric[1]));
        assert_true(loss[0] == loss[1] && metric[0] == metric[1]);
        bur_trainer_destroy(trained);
        bur_trainer_destroy(fresh);
    }
    scene_close(&s);
}

/* Loss and every state tensor after a few steps, against those of the first device. */
static void test_train_norm__devices_learn_the_same_statistics(void **state)
{
    (void)state;
    enum { STEPS = 3 };
    scene s;
    scene_open(&s, 200);
    const bur_optimizer sgd = bur_optimizer_default(BUR_SGD);
    float *first = NULL;
    double first_loss = 0;
    for (int32_t d = 0; d < s.n_devices; d++) {
        test_run run;
        int64_t count = 0;
        double loss = 0;
        test_run_create(&run, s.devices[d], NULL, s.recipe, s.data.train, 32, &sgd, 1);
        for (int64_t step = 0; step < STEPS; step++)
            loss = test_run_step(&run, s.data.train, step);
        float *values = test_run_read_state(run.session, &count);
        if (first == NULL) {
            first = values;
            first_loss = loss;
        } else {
            assert_true(fabs(loss - first_loss) <= 1e-5 * first_loss);
            assert_true(test_run_difference(values, first, count) <= 1e-5);
            free(values);
        }
        test_run_destroy(&run);
    }
    free(first);
    scene_close(&s);
}

/* Statistics count as no trained parameters, and no optimizer keeps state for them. */
static void test_train_norm__statistics_have_no_gradient_and_no_optimizer_state(void **state)
{
    (void)state;
    scene s;
    test_run run;
    scene_open(&s, 64);
    const bur_optimizer adam = bur_optimizer_default(BUR_ADAM);
    test_run_create(&run, s.devices[0], NULL, s.recipe, s.data.train, 32, &adam, 1);
    int32_t statistics = 0, trained = 0;
    for (int32_t i = 0; i < bur_recipe_parameter_count(s.recipe); i++) {
        const bool trainable = bur_recipe_parameter_at(s.recipe, i)->trainable;
        statistics += !trainable;
        trained += trainable;
        if (!trainable) {
            float gradient[64];
            assert_status(BUR_E_ARG, bur_session_read_gradient(run.session, i, gradient));
        }
    }
    assert_int_equal(statistics, 4);
    assert_int_equal(bur_session_state_count(run.session), statistics + 3 * trained);
    bur_layer_summary layer;
    assert_ok(bur_recipe_layer_summary(s.recipe, 1, &layer));
    assert_string_equal(layer.type, "BatchNormalization");
    assert_int_equal(layer.parameters, 16);
    test_run_destroy(&run);
    scene_close(&s);
}
