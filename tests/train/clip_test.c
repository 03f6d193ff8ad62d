/* Clipping of gradients and moving averages of weights, against their formulas in double. On the
 * CPU and every expected device. */
#include "test.h"

#include "support/model.h"
#include "support/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FEATURES = 3, ROWS = 8, WEIGHTS = FEATURES + 1, STEPS = 10 };

static const float rows_x[ROWS * FEATURES] = {
    1.0F, -0.5F, 20.0F,  0.3F,  0.8F, -11.0F, -0.7F, 0.1F, 5.0F,  0.9F,  0.4F,  8.0F,
    0.2F, -0.9F, -17.0F, -1.0F, 0.6F, 2.0F,   0.5F,  0.7F, 13.0F, -0.4F, -0.3F, -6.0F};
static const float rows_y[ROWS] = {3.0F, -1.0F, 0.5F, 2.0F, -2.5F, 1.5F, 4.0F, -0.5F};

/* y = x w + b over the rows above. */
typedef struct scene {
    bur_context *context;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    int32_t n_devices;
    bur_recipe *recipe;
    bur_data data;
} scene;

static void scene_open(scene *s)
{
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    s->n_devices = test_run_devices(s->devices, s->context);
    s->recipe = test_linear(s->context, FEATURES);
    s->data.train = test_rows(s->context, ROWS, FEATURES, rows_x, rows_y);
}

static void scene_close(scene *s)
{
    bur_data_close(&s->data);
    bur_recipe_destroy(s->recipe);
    bur_context_destroy(s->context);
}

/* Mean squared error over the rows, and its gradient. */
static double mse(const double *p, double *gradient)
{
    double loss = 0;
    memset(gradient, 0, WEIGHTS * sizeof *gradient);
    for (int i = 0; i < ROWS; i++) {
        double e = p[FEATURES] - (double)rows_y[i];
        for (int j = 0; j < FEATURES; j++)
            e += p[j] * (double)rows_x[i * FEATURES + j];
        for (int j = 0; j < FEATURES; j++)
            gradient[j] += 2 * e * (double)rows_x[i * FEATURES + j] / ROWS;
        gradient[FEATURES] += 2 * e / ROWS;
        loss += e * e / ROWS;
    }
    return loss;
}

/* PyTorch's clip_grad_norm_, then clip_grad_value_. */
static void clip(double *g, const bur_optimizer_attr *attr)
{
    double sum = 0;
    for (int i = 0; i < WEIGHTS; i++)
        sum += g[i] * g[i];
    const double scale =
        attr->clip_norm > 0 ? fmin(1, (double)attr->clip_norm / (sqrt(sum) + 1e-6)) : 1;
    for (int i = 0; i < WEIGHTS; i++) {
        g[i] *= scale;
        if (attr->clip_value > 0)
            g[i] = fmax(fmin(g[i], (double)attr->clip_value), -(double)attr->clip_value);
    }
}

static void fail_if_off(const char *label, const char *what, const float *got, const double *wanted)
{
    for (int i = 0; i < WEIGHTS; i++)
        if (!(fabs((double)got[i] - wanted[i]) <= 2e-6 * fmax(fabs(wanted[i]), 1)))
            fail_msg("%s: %s %d is %.9g, in double %.9g", label, what, i, (double)got[i],
                     wanted[i]);
}

/* Ten steps of SGD; averages are compared where there are any. */
static void check_steps(const scene *s, bur_device *device, const bur_optimizer *sgd)
{
    test_run run;
    double p[WEIGHTS], average[WEIGHTS] = {0}, g[WEIGHTS];
    int64_t count = 0;
    test_run_create(&run, device, NULL, s->recipe, s->data.train, ROWS, sgd, 4);
    float *start = test_run_read_state(run.session, NULL);
    for (int i = 0; i < WEIGHTS; i++)
        p[i] = (double)start[i];
    for (int t = 0; t < STEPS; t++) {
        const double ema = t == 0 ? 0 : (double)sgd->attr.ema;
        mse(p, g);
        clip(g, &sgd->attr);
        for (int i = 0; i < WEIGHTS; i++) {
            p[i] -= (double)sgd->learning_rate * g[i];
            average[i] = ema * average[i] + (1 - ema) * p[i];
        }
        test_run_step(&run, s->data.train, t);
    }
    float *end = test_run_read_state(run.session, &count);
    fail_if_off(test_run_label(device), "weight", end, p);
    assert_int_equal(count, sgd->attr.ema > 0 ? 2 * WEIGHTS : WEIGHTS);
    if (sgd->attr.ema > 0)
        fail_if_off(test_run_label(device), "average", end + WEIGHTS, average);
    free(start);
    free(end);
    test_run_destroy(&run);
}

/* The rows' gradients are about 300 long: some are clipped, some are not. */
static void test_train_clip__ten_clipped_steps_are_those_in_double(void **state)
{
    (void)state;
    static const bur_optimizer_attr rows[] = {
        {.clip_norm = 1},    {.clip_norm = 1e-3F}, {.clip_norm = 100},
        {.clip_norm = 1e6F}, {.clip_value = 0.5F}, {.clip_norm = 50, .clip_value = 2},
    };
    scene s;
    scene_open(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int32_t d = 0; d < s.n_devices; d++) {
            const bur_optimizer sgd = {BUR_SGD, 0.001F, rows[i]};
            check_steps(&s, s.devices[d], &sgd);
        }
    scene_close(&s);
}

static void test_train_clip__ten_averages_are_those_in_double(void **state)
{
    (void)state;
    static const bur_optimizer_attr rows[] = {{.ema = 0.9F}, {.ema = 0.5F, .clip_norm = 1}};
    scene s;
    scene_open(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int32_t d = 0; d < s.n_devices; d++) {
            const bur_optimizer sgd = {BUR_SGD, 0.001F, rows[i]};
            check_steps(&s, s.devices[d], &sgd);
        }
    scene_close(&s);
}

/* Weights and averages after three epochs of two batches. */
static float *fit(const scene *s, bur_device *device, const bur_optimizer *optimizer,
                  int64_t accumulate, bur_trainer **trainer)
{
    const bur_fit_options options = {
        .batch = 4, .epochs = 3, .accumulate = accumulate, .optimizer = *optimizer, .seed = 3};
    assert_ok(bur_trainer_create(trainer, device, s->recipe, &s->data, &options));
    assert_ok(bur_trainer_fit(*trainer));
    return test_run_read_state(bur_trainer_session(*trainer), NULL);
}

/* The norm is that of the effective batch, not of its parts. */
static void test_train_clip__micro_batches_are_clipped_by_the_norm_of_their_sum(void **state)
{
    (void)state;
    const bur_optimizer sgd = {BUR_SGD, 0.01F, {.clip_norm = 0.5F, .ema = 0.75F}};
    scene s;
    scene_open(&s);
    for (int32_t d = 0; d < s.n_devices; d++) {
        bur_trainer *whole = NULL, *parts = NULL;
        float *a = fit(&s, s.devices[d], &sgd, 1, &whole),
              *b = fit(&s, s.devices[d], &sgd, 4, &parts);
        assert_true(test_run_difference(a, b, 2 * WEIGHTS) < 1e-6);
        free(a);
        free(b);
        bur_trainer_destroy(whole);
        bur_trainer_destroy(parts);
    }
    scene_close(&s);
}

/* What is evaluated and what is saved without state are the averages; with state both come back. */
static void test_train_clip__averages_are_what_is_evaluated_and_saved(void **state)
{
    (void)state;
    const bur_optimizer sgd = {BUR_SGD, 0.001F, {.ema = 0.9F}},
                        plain = {.kind = BUR_SGD, .learning_rate = 0.001F};
    char path[64];
    snprintf(path, sizeof path, "clip_%ld.safetensors", (long)getpid());
    scene s;
    scene_open(&s);
    for (int32_t d = 0; d < s.n_devices; d++) {
        bur_trainer *trained = NULL, *fresh = NULL, *without = NULL;
        double loss[4], metric = 0, average[WEIGHTS], gradient[WEIGHTS];
        float *state_a = fit(&s, s.devices[d], &sgd, 1, &trained);
        for (int i = 0; i < WEIGHTS; i++)
            average[i] = (double)state_a[WEIGHTS + i];
        assert_ok(bur_trainer_evaluate(trained, s.data.train, &loss[0], &metric));
        assert_true(fabs(loss[0] - mse(average, gradient)) < 1e-5 * loss[0]);

        free(fit(&s, s.devices[d], &plain, 1, &without));
        assert_ok(bur_trainer_save(trained, path, false));
        assert_ok(bur_trainer_load(without, path, false));
        assert_ok(bur_trainer_evaluate(without, s.data.train, &loss[1], &metric));
        assert_true(fabs(loss[1] - loss[0]) <= 1e-6 * loss[0]);

        free(fit(&s, s.devices[d], &sgd, 1, &fresh));
        assert_ok(bur_trainer_load(fresh, path, false));
        assert_ok(bur_trainer_evaluate(fresh, s.data.train, &loss[2], &metric));
        assert_true(loss[2] == loss[0]);
        assert_ok(bur_trainer_save(trained, path, true));
        assert_ok(bur_trainer_load(fresh, path, true));
        float *state_b = test_run_read_state(bur_trainer_session(fresh), NULL);
        assert_memory_equal(state_a, state_b, 2 * WEIGHTS * sizeof *state_a);
        free(state_a);
        free(state_b);
        bur_trainer_destroy(trained);
        bur_trainer_destroy(fresh);
        bur_trainer_destroy(without);
    }
    remove(path);
    scene_close(&s);
}

/* An average is as large as what it is of, and counts as the optimizer's. */
static void test_train_clip__averages_are_in_the_plan(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    const bur_optimizer sgd[] = {{.kind = BUR_SGD, .learning_rate = 0.001F},
                                 {BUR_SGD, 0.001F, {.ema = 0.9F}}};
    bur_run_plan plan[2];
    for (int k = 0; k < 2; k++) {
        const bur_target target = bur_device_target(s.devices[0]);
        const bur_fit_options options = {.batch = 4, .optimizer = sgd[k]};
        assert_ok(bur_run_plan_make(&plan[k], s.recipe, &target, NULL,
                                    bur_dataset_describe(s.data.train), NULL, &options));
    }
    assert_int_equal(plan[0].bytes[BUR_BYTES_OPTIMIZER], 0);
    assert_int_equal(plan[1].bytes[BUR_BYTES_OPTIMIZER], plan[1].bytes[BUR_BYTES_PARAMETERS]);
    scene_close(&s);
}

static void test_train_clip__figures_out_of_range_are_refused(void **state)
{
    (void)state;
    static const bur_optimizer_attr rows[] = {{.clip_norm = -1},  {.clip_norm = NAN},
                                              {.clip_value = -1}, {.ema = -0.5F},
                                              {.ema = 1},         {.ema = NAN}};
    scene s;
    scene_open(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bur_trainer *trainer = NULL;
        const bur_fit_options options = {.optimizer = {BUR_SGD, 0.01F, rows[i]}};
        assert_status(BUR_E_ARG,
                      bur_trainer_create(&trainer, s.devices[0], s.recipe, &s.data, &options));
        assert_null(trainer);
    }
    scene_close(&s);
}
