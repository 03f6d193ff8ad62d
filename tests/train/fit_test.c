/* Fitting: what a run does with its options, what it tells, when it ends, what it gives. */
#include "test.h"

#include "support/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Drawn digits and an mlp on the CPU, and what the callback heard. */
typedef struct scene {
    bur_context *context;
    bur_device *cpu;
    bur_data data;
    bur_recipe *recipe;
    bur_trainer *trainer;
    int planned, progress, epochs, notes;
    bur_event end_at; /* event at which the callback gives end_with */
    bur_status end_with;
    bur_event stop_at; /* event at which it stops the trainer */
    bool stops;
} scene;

static void scene_open(scene *s, const char *data, int64_t count, const char *model)
{
    *s = (scene){.end_with = BUR_OK};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_device_open(&s->cpu, s->context, "cpu"));
    assert_ok(bur_data_open(&s->data, s->context, data,
                            &(bur_data_options){.seed = 1, .count = count, .noise = -1}));
    const bur_dataset_info *info = bur_dataset_describe(s->data.train);
    const bur_zoo_options options = {.sample = info->sample,
                                     .classes = info->classes > 0 ? info->classes : 1,
                                     .values = info->classes == 0};
    assert_ok(bur_zoo_create(&s->recipe, s->context, model, &options));
}

static void scene_close(scene *s)
{
    bur_trainer_destroy(s->trainer);
    bur_recipe_destroy(s->recipe);
    bur_data_close(&s->data);
    bur_context_destroy(s->context);
}

static bur_status hear(void *user, bur_event event, const void *data)
{
    scene *s = user;
    assert_non_null(data);
    s->planned += event == BUR_EVENT_PLANNED;
    s->progress += event == BUR_EVENT_PROGRESS;
    s->epochs += event == BUR_EVENT_EPOCH;
    s->notes += event == BUR_EVENT_NOTE;
    if (s->stops && event == s->stop_at)
        bur_trainer_stop(s->trainer);
    return s->end_with != BUR_OK && event == s->end_at
               ? bur_fail(s->end_with, "the callback has had enough")
               : BUR_OK;
}

static void scene_train(scene *s, bur_fit_options options, bur_status wanted)
{
    options.callback = hear;
    options.callback_user = s;
    assert_ok(bur_trainer_create(&s->trainer, s->cpu, s->recipe, &s->data, &options));
    assert_status(wanted, bur_trainer_fit(s->trainer));
}

/* S-011 and S-057: batch 32, Adam 0.001, one epoch, and so many updates. */
static void test_train_fit__no_options_are_batch_32_and_adam_at_a_thousandth(void **state)
{
    (void)state;
    scene s;
    int64_t epochs = 0;
    scene_open(&s, "digits", 500, "mlp");
    assert_ok(bur_trainer_create(&s.trainer, s.cpu, s.recipe, &s.data, NULL));
    assert_int_equal(bur_trainer_plan(s.trainer)->batch, 32);
    assert_int_equal(bur_trainer_plan(s.trainer)->accumulate, 1);
    assert_ok(bur_trainer_fit(s.trainer));
    const bur_epoch *history = bur_trainer_history(s.trainer, &epochs);
    assert_int_equal(epochs, 1);
    assert_int_equal(history[0].updates, 16); /* ceil(500 / 32) */
    assert_true(history[0].learning_rate == (double)0.001F);
    int64_t count = 0;
    float *fitted = test_run_read_state(bur_trainer_session(s.trainer), &count);
    bur_trainer_destroy(s.trainer);

    const bur_optimizer adam = {
        BUR_ADAM, 0.001F, {.beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-7F}};
    scene_train(&s, (bur_fit_options){.batch = 32, .epochs = 1, .optimizer = adam}, BUR_OK);
    float *spelt_out = test_run_read_state(bur_trainer_session(s.trainer), &count);
    assert_memory_equal(fitted, spelt_out, (size_t)count * sizeof *fitted);
    free(fitted);
    free(spelt_out);
    scene_close(&s);
}

/* A part of an optimizer is completed by its own kind's defaults. */
static void test_train_fit__an_optimizer_is_completed_by_its_own_defaults(void **state)
{
    (void)state;
    static const struct {
        bur_optimizer given, wanted;
    } rows[] = {
        {{.kind = BUR_MOMENTUM}, {BUR_MOMENTUM, 0.01F, {.momentum = 0.9F}}},
        {{.kind = BUR_MOMENTUM, .learning_rate = 0.02F}, {BUR_MOMENTUM, 0.02F, {.momentum = 0.9F}}},
        {{.kind = BUR_ADAM, .learning_rate = 0.01F},
         {BUR_ADAM, 0.01F, {.beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-7F}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        scene s;
        float *states[2];
        int64_t count = 0;
        scene_open(&s, "digits", 64, "mlp");
        for (int k = 0; k < 2; k++) {
            const bur_optimizer optimizer = k == 0 ? rows[i].given : rows[i].wanted;
            scene_train(&s, (bur_fit_options){.optimizer = optimizer}, BUR_OK);
            states[k] = test_run_read_state(bur_trainer_session(s.trainer), &count);
            bur_trainer_destroy(s.trainer);
            s.trainer = NULL;
        }
        assert_memory_equal(states[0], states[1], (size_t)count * sizeof *states[0]);
        free(states[0]);
        free(states[1]);
        scene_close(&s);
    }
}

static void test_train_fit__history_has_a_row_for_each_epoch_and_the_loss_falls(void **state)
{
    (void)state;
    scene s;
    int64_t epochs = 0;
    scene_open(&s, "digits", 1000, "mlp");
    scene_train(&s, (bur_fit_options){.epochs = 6, .batch = 48, .validation_split = 0.2}, BUR_OK);
    const bur_epoch *history = bur_trainer_history(s.trainer, &epochs);
    assert_int_equal(epochs, 6);
    assert_int_equal(s.epochs, 6);
    assert_int_equal(s.planned, 1);
    for (int64_t e = 0; e < epochs; e++) {
        assert_int_equal(history[e].epoch, e + 1);
        assert_int_equal(history[e].updates, (e + 1) * 17); /* ceil(800 / 48) */
        assert_true(history[e].metric >= 0 && history[e].metric <= 1);
        assert_true(history[e].val_metric >= 0 && history[e].val_metric <= 1);
        assert_true(history[e].seconds > 0 && history[e].samples_per_s > 0);
    }
    assert_true(history[5].loss < 0.5 * history[0].loss);
    assert_true(history[5].val_loss < 0.5 * history[0].val_loss);
    assert_true(history[5].val_metric > 0.8);
    /* A second fit goes on where the first ended. */
    assert_ok(bur_trainer_fit(s.trainer));
    history = bur_trainer_history(s.trainer, &epochs);
    assert_int_equal(epochs, 12);
    assert_int_equal(history[11].epoch, 12);
    assert_int_equal(history[11].updates, 12 * 17);
    assert_true(history[6].loss < history[0].loss);
    scene_close(&s);
}

/* What a run on the first 80 of 100 rows gives is what a split of 0.2 gives, and its validation
 * is over the last 20. */
static void test_train_fit__a_validation_split_takes_the_last_rows(void **state)
{
    (void)state;
    scene s;
    bur_dataset *last = NULL;
    bur_data first = {0};
    bur_trainer *other = NULL;
    int64_t count = 0, epochs = 0;
    double loss = 0, metric = 0;
    scene_open(&s, "digits", 100, "mlp");
    assert_ok(bur_dataset_view(&first.train, s.data.train, 0, 80));
    assert_ok(bur_dataset_view(&last, s.data.train, 80, 20));
    scene_train(&s, (bur_fit_options){.epochs = 2, .validation_split = 0.2}, BUR_OK);
    const bur_fit_options options = {.epochs = 2};
    assert_ok(bur_trainer_create(&other, s.cpu, s.recipe, &first, &options));
    assert_ok(bur_trainer_fit(other));
    float *a = test_run_read_state(bur_trainer_session(s.trainer), &count);
    float *b = test_run_read_state(bur_trainer_session(other), &count);
    assert_memory_equal(a, b, (size_t)count * sizeof *a);
    assert_ok(bur_trainer_evaluate(other, last, &loss, &metric));
    const bur_epoch *history = bur_trainer_history(s.trainer, &epochs);
    assert_true(fabs(history[1].val_loss - loss) <= 1e-6 * loss);
    assert_true(history[1].val_metric == metric);
    history = bur_trainer_history(other, &epochs);
    assert_true(isnan(history[1].val_loss) && isnan(history[1].val_metric));
    free(a);
    free(b);
    bur_trainer_destroy(other);
    bur_dataset_destroy(last);
    bur_data_close(&first);
    scene_close(&s);
}

static void test_train_fit__sorted_labels_under_a_split_are_told(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, "xor", 40, "mlp"); /* drawn blob by blob */
    assert_true(bur_dataset_is_sorted(s.data.train));
    scene_train(&s, (bur_fit_options){.validation_split = 0.25}, BUR_OK);
    assert_int_equal(s.notes, 1);
    scene_close(&s);
}

/* ---- ends ---- */

static void test_train_fit__a_rate_too_large_is_divergence(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, "linear", 200, "mlp");
    const bur_optimizer wild = {.kind = BUR_SGD, .learning_rate = 1e6F};
    scene_train(&s, (bur_fit_options){.epochs = 20, .optimizer = wild}, BUR_E_DIVERGED);
    assert_non_null(strstr(bur_last_error(), "lower learning rate than 1e+06"));
    scene_close(&s);
}

static void test_train_fit__stop_ends_a_fit_once_and_keeps_what_was_trained(void **state)
{
    (void)state;
    scene s;
    int64_t epochs = 0;
    scene_open(&s, "digits", 96, "mlp");
    s.stops = true;
    s.stop_at = BUR_EVENT_EPOCH;
    scene_train(&s, (bur_fit_options){.epochs = 5}, BUR_E_STOPPED);
    const bur_epoch *history = bur_trainer_history(s.trainer, &epochs);
    assert_int_equal(epochs, 1);
    assert_int_equal(history[0].updates, 3);
    assert_non_null(strstr(bur_last_error(), "3 updates"));
    /* It was asked once: a later fit goes on. */
    s.stops = false;
    assert_ok(bur_trainer_fit(s.trainer));
    history = bur_trainer_history(s.trainer, &epochs);
    assert_int_equal(epochs, 6);
    assert_int_equal(history[5].updates, 18);
    scene_close(&s);
}

static void test_train_fit__max_steps_ends_a_fit_in_the_middle_of_an_epoch(void **state)
{
    (void)state;
    scene s;
    int64_t epochs = 0;
    scene_open(&s, "digits", 96, "mlp");
    scene_train(&s, (bur_fit_options){.epochs = 5, .max_steps = 4}, BUR_OK);
    const bur_epoch *history = bur_trainer_history(s.trainer, &epochs);
    assert_int_equal(epochs, 2);
    assert_int_equal(history[1].updates, 4);
    scene_close(&s);
}

static void test_train_fit__the_callbacks_status_ends_training(void **state)
{
    (void)state;
    scene s;
    int64_t epochs = 0;
    scene_open(&s, "digits", 96, "mlp");
    s.end_at = BUR_EVENT_EPOCH;
    s.end_with = BUR_E_FILE;
    scene_train(&s, (bur_fit_options){.epochs = 5}, BUR_E_FILE);
    assert_string_equal(bur_last_error(), "the callback has had enough");
    bur_trainer_history(s.trainer, &epochs);
    assert_int_equal(epochs, 1);
    bur_trainer_destroy(s.trainer);

    /* When it is told the plan nothing is allocated yet. */
    s.trainer = NULL;
    s.end_at = BUR_EVENT_PLANNED;
    const size_t before = bur_device_live_bytes(s.cpu);
    const bur_fit_options options = {.callback = hear, .callback_user = &s};
    assert_status(BUR_E_FILE, bur_trainer_create(&s.trainer, s.cpu, s.recipe, &s.data, &options));
    assert_null(s.trainer);
    assert_int_equal(bur_device_live_bytes(s.cpu), before);
    scene_close(&s);
}

/* ---- what is refused ---- */

static void test_train_fit__options_out_of_range_are_refused(void **state)
{
    (void)state;
    static const bur_fit_options rows[] = {
        {.batch = -1},
        {.epochs = -1},
        {.accumulate = -2},
        {.batch = 32, .accumulate = 5},
        {.batch = 8, .accumulate = 16},
        {.validation_split = -0.1},
        {.validation_split = 1},
        {.validation_split = NAN},
        {.validation_split = 0.9999},
        {.loss = BUR_LOSS_MSE},
        {.loss = (bur_loss)7},
        {.optimizer = {.kind = (bur_optimizer_kind)9, .learning_rate = 0.1F}},
        {.optimizer = {.learning_rate = -0.1F}},
        {.optimizer = {.learning_rate = NAN}},
        {.optimizer = {.learning_rate = INFINITY}},
        {.optimizer = {.kind = BUR_MOMENTUM, .attr = {.momentum = 1}}},
        {.optimizer = {.kind = BUR_ADAM, .attr = {.beta1 = 0.9F, .beta2 = 1}}},
        {.optimizer = {.kind = BUR_ADAM, .attr = {.beta1 = -1, .beta2 = 0.9F}}},
        {.optimizer = {.kind = BUR_ADAM, .attr = {.epsilon = NAN}}},
    };
    scene s;
    scene_open(&s, "digits", 100, "mlp");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const bur_status status =
            bur_trainer_create(&s.trainer, s.cpu, s.recipe, &s.data, &rows[i]);
        if (status != BUR_E_ARG)
            fail_msg("row %zu gave %s: %s", i, bur_status_name(status), bur_last_error());
        assert_null(s.trainer);
    }
    scene_close(&s);
}

static void test_train_fit__data_of_another_shape_or_other_classes_are_refused(void **state)
{
    (void)state;
    scene s;
    bur_data points = {0};
    double loss = 0, metric = 0;
    scene_open(&s, "digits", 100, "mlp");
    assert_ok(bur_data_open(&points, s.context, "spiral", NULL));
    assert_status(BUR_E_SHAPE, bur_trainer_create(&s.trainer, s.cpu, s.recipe, &points, NULL));
    assert_non_null(strstr(bur_last_error(), "28x28x1"));
    scene_train(&s, (bur_fit_options){.epochs = 1}, BUR_OK);
    assert_status(BUR_E_SHAPE, bur_trainer_evaluate(s.trainer, points.train, &loss, &metric));
    bur_data_close(&points);
    scene_close(&s);
}

/* ---- evaluation ---- */

enum { TINY_ROWS = 5, TINY_FEATURES = 2, TINY_CLASSES = 3 };

/* Mean cross-entropy and accuracy of softmax(x w + b), in double; sizes that leave a ragged last
 * batch. */
static void test_train_fit__evaluation_is_the_mean_by_hand(void **state)
{
    (void)state;
    static const float x[TINY_ROWS * TINY_FEATURES] = {1, 2, -1, 0.5F, 0, -2, 3, 1, -0.25F, 0.75F};
    static const int32_t labels[TINY_ROWS] = {0, 1, 2, 2, 1};
    static const float w[TINY_FEATURES * TINY_CLASSES + TINY_CLASSES] = {
        0.5F, -0.25F, 0.1F, 0.3F, 0.2F, -0.4F, 0.05F, 0.1F, -0.2F};
    double wanted = 0, right = 0;
    for (int i = 0; i < TINY_ROWS; i++) {
        double z[TINY_CLASSES], sum = 0;
        int best = 0;
        for (int c = 0; c < TINY_CLASSES; c++) {
            z[c] = (double)w[TINY_FEATURES * TINY_CLASSES + c];
            for (int j = 0; j < TINY_FEATURES; j++)
                z[c] += (double)x[i * TINY_FEATURES + j] * (double)w[j * TINY_CLASSES + c];
            sum += exp(z[c]);
            best = z[c] > z[best] ? c : best;
        }
        wanted -= log(exp(z[labels[i]]) / sum) / TINY_ROWS;
        right += best == labels[i];
    }
    scene s = {.end_with = BUR_OK};
    const bur_dataset_info info = {.name = "rows",
                                   .count = TINY_ROWS,
                                   .sample = {.rank = 1, .dim = {TINY_FEATURES}},
                                   .classes = TINY_CLASSES};
    const bur_zoo_options options = {.sample = info.sample, .classes = TINY_CLASSES};
    double loss = 0, accuracy = 0;
    assert_ok(bur_context_create(&s.context, NULL));
    assert_ok(bur_device_open(&s.cpu, s.context, "cpu"));
    assert_ok(bur_dataset_from_arrays(&s.data.train, s.context, &info, BUR_F32, x, labels));
    assert_ok(bur_zoo_create(&s.recipe, s.context, "linear", &options));
    const bur_fit_options fit = {.batch = 2};
    assert_ok(bur_trainer_create(&s.trainer, s.cpu, s.recipe, &s.data, &fit));
    for (int32_t i = 0; i < 2; i++)
        assert_ok(bur_session_write_state(bur_trainer_session(s.trainer), i,
                                          w + i * TINY_FEATURES * TINY_CLASSES));
    assert_ok(bur_trainer_evaluate(s.trainer, s.data.train, &loss, &accuracy));
    assert_true(fabs(loss - wanted) <= 1e-6 * wanted);
    assert_true(accuracy == right / TINY_ROWS);
    scene_close(&s);
}

/* Any number of sets of any size, also larger ones than the run has sessions for. */
static void test_train_fit__sets_of_every_size_can_be_evaluated(void **state)
{
    (void)state;
    scene s;
    bur_data few = {0};
    scene_open(&s, "digits", 100, "mlp");
    assert_ok(bur_dataset_view(&few.train, s.data.train, 0, 10)); /* less than a batch */
    const bur_fit_options options = {.batch = 32};
    assert_ok(bur_trainer_create(&s.trainer, s.cpu, s.recipe, &few, &options));
    double sum = 0, loss = 0, accuracy = 0, right = 0;
    for (int64_t n = 1; n <= 100; n++) {
        bur_dataset *view = NULL;
        assert_ok(bur_dataset_view(&view, s.data.train, 0, n));
        assert_ok(bur_trainer_evaluate(s.trainer, view, &loss, &accuracy));
        /* One more sample adds a non-negative loss, and at most one right answer. */
        assert_true(loss * (double)n > sum - 1e-4);
        assert_true(fabs(accuracy * (double)n - right) < 1.001);
        sum = loss * (double)n;
        right = accuracy * (double)n;
        bur_dataset_destroy(view);
    }
    bur_data_close(&few);
    scene_close(&s);
}
