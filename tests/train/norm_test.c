/* Batch normalisation in training and evaluation: its running statistics are learned, saved, loaded
 * and read, on every device alike. */
#include "scene.h"
#include "support/model.h"

#include <math.h>
#include <string.h>

/* A few dozen steps are too few for Keras' momentum of 0.99. A convolution, batch normalisation,
 * pooling, a dense layer, batch and layer normalisation; `frozen`: by statistics that stay. */
static bur_recipe *small_net(bur_context *context, const bur_shape *sample, bool frozen)
{
    const bur_layer normalization = {
        .kind = BUR_LAYER_BATCH_NORMALIZATION, .momentum = 0.9F, .frozen = frozen};
    const bur_layer layers[] = {bur_conv2d(8, 3, BUR_SAME, BUR_LINEAR),
                                normalization,
                                bur_activate(BUR_RELU),
                                bur_max_pooling2d(4),
                                bur_flatten(),
                                bur_dense(32, BUR_LINEAR),
                                normalization,
                                bur_activate(BUR_RELU),
                                bur_layer_normalization(),
                                bur_dense(10, BUR_SOFTMAX)};
    return test_sequential(context, sample, layers, sizeof layers / sizeof *layers);
}

static void normal_scene(scene *s, int64_t count)
{
    scene_open(s, count);
    s->recipe = small_net(s->context, &bur_dataset_describe(s->data.train)->sample, false);
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
    normal_scene(&s, 1000);
    bur_trainer *trainer = scene_trainer(&s, s.devices[0], 1);
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
    normal_scene(&s, 200);
    scene_check_saved(&s, false);
    scene_close(&s);
}

/* Loss and every state tensor after a few steps, against those of the first device. */
static void test_train_norm__devices_learn_the_same_statistics(void **state)
{
    (void)state;
    enum { STEPS = 3 };
    scene s;
    normal_scene(&s, 200);
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

/* Fine-tuning with frozen statistics: they stay as they are, everything else learns, on every
 * device the same. */
static void test_train_norm__frozen_statistics_stay_while_all_else_learns(void **state)
{
    (void)state;
    enum { STEPS = 3, MOST = 32 * 8 * 49 };
    scene s;
    scene_open(&s, 200);
    s.recipe = small_net(s.context, &bur_dataset_describe(s.data.train)->sample, true);
    const bur_optimizer sgd = bur_optimizer_default(BUR_SGD);
    const int32_t n_parameters = bur_recipe_parameter_count(s.recipe);
    float *first = NULL;
    static float before[16][MOST], after[MOST];
    assert_in_range(n_parameters, 1, 16);
    for (int32_t d = 0; d < s.n_devices; d++) {
        test_run run;
        int64_t count = 0;
        double loss[STEPS];
        test_run_create(&run, s.devices[d], NULL, s.recipe, s.data.train, 32, &sgd, 1);
        for (int32_t i = 0; i < n_parameters; i++)
            assert_ok(bur_session_read_state(run.session, i, before[i]));
        for (int64_t step = 0; step < STEPS; step++)
            loss[step] = test_run_step(&run, s.data.train, 0); /* the same batch */
        assert_true(loss[STEPS - 1] < loss[0]);
        for (int32_t i = 0; i < n_parameters; i++) {
            const bur_parameter *p = bur_recipe_parameter_at(s.recipe, i);
            const size_t bytes = bur_desc_bytes(&p->desc);
            assert_true(bytes <= sizeof after);
            assert_ok(bur_session_read_state(run.session, i, after));
            assert_int_equal(memcmp(before[i], after, bytes) == 0, !p->trainable);
        }
        float *values = test_run_read_state(run.session, &count);
        if (first == NULL) {
            first = values;
        } else {
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
    normal_scene(&s, 64);
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
