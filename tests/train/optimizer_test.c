/* Optimizer steps against their formulas: one by hand, ten in double, and micro-batches against
 * whole ones. On the CPU and every expected device. */
#include "test.h"

#include "support/model.h"
#include "support/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = TEST_MAX_RUN_DEVICES };

/* A model of one dense layer without activation, y = x w + b, and rows of numbers for it. */
typedef struct scene {
    bur_context *context;
    bur_device *devices[MAX_DEVICES];
    int32_t n_devices;
    bur_recipe *recipe;
    bur_dataset *data;
} scene;

static void scene_open(scene *s, int64_t count, int64_t features, const float *x, const float *y)
{
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    s->n_devices = test_run_devices(s->devices, s->context);
    s->recipe = test_linear(s->context, features);
    s->data = test_rows(s->context, count, features, x, y);
}

static void scene_close(scene *s)
{
    bur_dataset_destroy(s->data);
    bur_recipe_destroy(s->recipe);
    bur_context_destroy(s->context);
}

/* ---- by hand ---- */

/* x = (1, 2), w = (0.5, -0.25), b = 0.125, target 1: y = 0.125, e = -0.875, loss e^2 = 0.765625,
 * dw = 2 e x = (-1.75, -3.5), db = -1.75; with rate 0.25: w = (0.9375, 0.625), b = 0.5625. Every
 * number is a short binary fraction, so nothing is rounded (S-032, S-118, S-140). */
static void test_train_optimizer__one_sgd_step_is_the_one_by_hand(void **state)
{
    (void)state;
    static const float x[] = {1, 2}, y[] = {1}, start[] = {0.5F, -0.25F, 0.125F},
                       gradient[] = {-1.75F, -3.5F, -1.75F}, wanted[] = {0.9375F, 0.625F, 0.5625F};
    scene s;
    scene_open(&s, 1, 2, x, y);
    bur_optimizer sgd = bur_optimizer_default(BUR_SGD);
    sgd.learning_rate = 0.25F;
    for (int32_t d = 0; d < s.n_devices; d++) {
        test_run run;
        int64_t count = 0;
        test_run_create(&run, s.devices[d], NULL, s.recipe, s.data, 1, &sgd, 1);
        test_run_write_state(run.session, start);
        assert_true(test_run_accumulate(&run, s.data, 0) == 0.765625);
        float *dw = test_run_read_gradient(&run, 0, &count);
        assert_int_equal(count, 2);
        assert_memory_equal(dw, gradient, 2 * sizeof *dw);
        float *db = test_run_read_gradient(&run, 1, &count);
        assert_memory_equal(db, gradient + 2, sizeof *db);
        assert_ok(bur_session_update(run.session));
        float *end = test_run_read_state(run.session, &count);
        assert_int_equal(count, 3);
        assert_memory_equal(end, wanted, sizeof wanted);
        free(dw);
        free(db);
        free(end);
        test_run_destroy(&run);
    }
    scene_close(&s);
}

/* w - rate g with one rounding or two (a fused multiply-add has one), for every weight of an mlp.
 */
static void test_train_optimizer__sgd_is_the_weight_less_rate_times_gradient(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_device *devices[MAX_DEVICES];
    bur_data digits = {0};
    bur_recipe *recipe = NULL;
    assert_ok(bur_context_create(&context, NULL));
    const int32_t n_devices = test_run_devices(devices, context);
    assert_ok(bur_data_open(&digits, context, "digits", &(bur_data_options){.count = 64}));
    assert_ok(bur_zoo_create(&recipe, context, "mlp", &(bur_zoo_options){.hidden = "32-16"}));
    const bur_optimizer sgd = bur_optimizer_default(BUR_SGD);
    for (int32_t d = 0; d < n_devices; d++) {
        test_run run;
        test_run_create(&run, devices[d], NULL, recipe, digits.train, 32, &sgd, 1);
        float *before = test_run_read_state(run.session, NULL), *w = before;
        test_run_accumulate(&run, digits.train, 0);
        float *gradients[6];
        int64_t counts[6], total = 0;
        assert_int_equal(bur_recipe_parameter_count(recipe), 6);
        for (int32_t p = 0; p < 6; p++)
            gradients[p] = test_run_read_gradient(&run, p, &counts[p]);
        assert_ok(bur_session_update(run.session));
        float *after = test_run_read_state(run.session, &total), *end = after;
        for (int32_t p = 0; p < 6; p++) {
            for (int64_t i = 0; i < counts[p]; i++) {
                const float product = sgd.learning_rate * gradients[p][i];
                if (end[i] != w[i] - product &&
                    end[i] != fmaf(-sgd.learning_rate, gradients[p][i], w[i]))
                    fail_msg("%s: parameter %d: %.9g - %g * %.9g gave %.9g",
                             test_run_label(run.device), (int)p, (double)w[i],
                             (double)sgd.learning_rate, (double)gradients[p][i], (double)end[i]);
            }
            w += counts[p];
            end += counts[p];
            free(gradients[p]);
        }
        assert_int_equal(end - after, total);
        free(before);
        free(after);
        test_run_destroy(&run);
    }
    bur_recipe_destroy(recipe);
    bur_data_close(&digits);
    bur_context_destroy(context);
}

/* ---- ten steps in double ---- */

enum { FEATURES = 3, ROWS = 8, WEIGHTS = FEATURES + 1, STEPS = 10 };

/* Rows whose scales differ, so that steps of Adam and SGD do too. */
static const float rows_x[ROWS * FEATURES] = {
    1.0F, -0.5F, 20.0F,  0.3F,  0.8F, -11.0F, -0.7F, 0.1F, 5.0F,  0.9F,  0.4F,  8.0F,
    0.2F, -0.9F, -17.0F, -1.0F, 0.6F, 2.0F,   0.5F,  0.7F, 13.0F, -0.4F, -0.3F, -6.0F};
static const float rows_y[ROWS] = {3.0F, -1.0F, 0.5F, 2.0F, -2.5F, 1.5F, 4.0F, -0.5F};

typedef struct reference {
    double p[WEIGHTS], m[WEIGHTS], v[WEIGHTS];
} reference;

/* Mean squared error of y = x w + b over the rows, and its gradient 2 e x / n. */
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

/* Formulas as burthen/op.h states them; t counts from 1. */
static void update_sgd(reference *r, const double *g, int i, int t, const bur_optimizer *o)
{
    (void)t;
    r->p[i] -= (double)o->learning_rate * g[i];
}

static void update_momentum(reference *r, const double *g, int i, int t, const bur_optimizer *o)
{
    (void)t;
    const double momentum = (double)o->attr.momentum;
    r->v[i] = momentum * r->v[i] + g[i];
    r->p[i] -= (double)o->learning_rate * (o->attr.nesterov ? g[i] + momentum * r->v[i] : r->v[i]);
}

static void update_adam(reference *r, const double *g, int i, int t, const bur_optimizer *o)
{
    const double b1 = (double)o->attr.beta1, b2 = (double)o->attr.beta2;
    r->m[i] = b1 * r->m[i] + (1 - b1) * g[i];
    r->v[i] = b2 * r->v[i] + (1 - b2) * g[i] * g[i];
    r->p[i] -= (double)o->learning_rate * (r->m[i] / (1 - pow(b1, t))) /
               (sqrt(r->v[i] / (1 - pow(b2, t))) + (double)o->attr.epsilon);
}

static void update_rmsprop(reference *r, const double *g, int i, int t, const bur_optimizer *o)
{
    (void)t;
    const double rho = (double)o->attr.beta2;
    r->v[i] = rho * r->v[i] + (1 - rho) * g[i] * g[i];
    r->p[i] -= (double)o->learning_rate * g[i] / (sqrt(r->v[i]) + (double)o->attr.epsilon);
}

static void update_adagrad(reference *r, const double *g, int i, int t, const bur_optimizer *o)
{
    if (t == 1)
        r->v[i] = (double)o->attr.initial;
    r->v[i] += g[i] * g[i];
    r->p[i] -= (double)o->learning_rate * g[i] / (sqrt(r->v[i]) + (double)o->attr.epsilon);
}

/* The bias is the last of the weights; penalties and decay leave it alone. */
static bool is_weight(int i)
{
    return i < FEATURES;
}

static double sign_of(double x)
{
    return (x > 0) - (x < 0);
}

/* The step of `kind` with what stands around it. */
static void update_around(reference *r, const double *g, int i, int t, const bur_optimizer *o)
{
    void (*const step)(reference *, const double *, int, int, const bur_optimizer *) =
        o->kind == BUR_SGD ? update_sgd : update_adam;
    double penalized[WEIGHTS] = {0};
    const double rate = (double)o->learning_rate, l1 = (double)o->attr.l1, p = r->p[i];
    penalized[i] = g[i];
    if (is_weight(i)) {
        penalized[i] += 2 * (double)o->attr.l2 * p + (o->attr.proximal ? 0 : l1 * sign_of(p));
        r->p[i] -= rate * (double)o->attr.weight_decay * p;
    }
    step(r, penalized, i, t, o);
    if (is_weight(i) && o->attr.proximal)
        r->p[i] = sign_of(r->p[i]) * fmax(fabs(r->p[i]) - rate * l1, 0);
}

static void check_against_double(const bur_optimizer *optimizer,
                                 void (*update)(reference *, const double *, int, int,
                                                const bur_optimizer *))
{
    scene s;
    scene_open(&s, ROWS, FEATURES, rows_x, rows_y);
    for (int32_t d = 0; d < s.n_devices; d++) {
        test_run run;
        reference r = {.p = {0}};
        test_run_create(&run, s.devices[d], NULL, s.recipe, s.data, ROWS, optimizer, 4);
        float *start = test_run_read_state(run.session, NULL);
        for (int i = 0; i < WEIGHTS; i++)
            r.p[i] = (double)start[i];
        free(start);
        for (int t = 1; t <= STEPS; t++) {
            double gradient[WEIGHTS];
            const double wanted = mse(r.p, gradient);
            const double loss = test_run_step(&run, s.data, t - 1);
            assert_true(fabs(loss - wanted) <= 1e-5 * wanted);
            for (int i = 0; i < WEIGHTS; i++)
                update(&r, gradient, i, t, optimizer);
        }
        float *end = test_run_read_state(run.session, NULL);
        for (int i = 0; i < WEIGHTS; i++)
            if (!(fabs((double)end[i] - r.p[i]) <= 1e-6 * fmax(fabs(r.p[i]), 1)))
                fail_msg("%s: weight %d is %.9g after %d steps of %s, in double %.9g",
                         test_run_label(run.device), i, (double)end[i], STEPS,
                         bur_optimizer_name(optimizer->kind), r.p[i]);
        free(end);
        test_run_destroy(&run);
    }
    scene_close(&s);
}

static void test_train_optimizer__ten_steps_of_sgd_are_those_in_double(void **state)
{
    (void)state;
    bur_optimizer sgd = bur_optimizer_default(BUR_SGD);
    assert_true(sgd.learning_rate == 0.01F); /* Keras' */
    sgd.learning_rate = 0.001F;
    check_against_double(&sgd, update_sgd);
}

static void test_train_optimizer__ten_steps_of_momentum_are_those_in_double(void **state)
{
    (void)state;
    bur_optimizer momentum = bur_optimizer_default(BUR_MOMENTUM);
    assert_true(momentum.learning_rate == 0.01F && momentum.attr.momentum == 0.9F);
    momentum.learning_rate = 0.0002F;
    check_against_double(&momentum, update_momentum);
    momentum.attr.nesterov = 1;
    check_against_double(&momentum, update_momentum);
}

static void test_train_optimizer__ten_steps_of_adam_are_those_in_double(void **state)
{
    (void)state;
    bur_optimizer adam = bur_optimizer_default(BUR_ADAM);
    assert_true(adam.learning_rate == 0.001F && adam.attr.beta1 == 0.9F &&
                adam.attr.beta2 == 0.999F && adam.attr.epsilon == 1e-7F);
    check_against_double(&adam, update_adam);
    adam.learning_rate = 0.1F; /* far enough for moments to turn round */
    check_against_double(&adam, update_adam);
}

static void test_train_optimizer__ten_steps_of_nesterov_are_those_in_double(void **state)
{
    (void)state;
    bur_optimizer nesterov = bur_optimizer_default(BUR_NESTEROV);
    assert_true(nesterov.learning_rate == 0.01F && nesterov.attr.momentum == 0.9F &&
                nesterov.attr.nesterov == 1);
    nesterov.learning_rate = 0.0002F;
    check_against_double(&nesterov, update_momentum);
}

static void test_train_optimizer__ten_steps_of_rmsprop_are_those_in_double(void **state)
{
    (void)state;
    bur_optimizer rmsprop = bur_optimizer_default(BUR_RMSPROP);
    assert_true(rmsprop.learning_rate == 0.001F && rmsprop.attr.beta2 == 0.9F &&
                rmsprop.attr.epsilon == 1e-7F);
    check_against_double(&rmsprop, update_rmsprop);
    rmsprop.learning_rate = 0.1F;
    check_against_double(&rmsprop, update_rmsprop);
}

static void test_train_optimizer__ten_steps_of_adagrad_are_those_in_double(void **state)
{
    (void)state;
    bur_optimizer adagrad = bur_optimizer_default(BUR_ADAGRAD);
    assert_true(adagrad.learning_rate == 0.001F && adagrad.attr.initial == 0.1F &&
                adagrad.attr.epsilon == 1e-7F);
    check_against_double(&adagrad, update_adagrad);
    adagrad.learning_rate = 0.5F;
    check_against_double(&adagrad, update_adagrad);
}

static void test_train_optimizer__ten_steps_of_adamw_are_those_in_double(void **state)
{
    (void)state;
    bur_optimizer adamw = bur_optimizer_default(BUR_ADAMW);
    assert_true(adamw.learning_rate == 0.001F && adamw.attr.beta1 == 0.9F &&
                adamw.attr.beta2 == 0.999F && adamw.attr.epsilon == 1e-7F &&
                adamw.attr.weight_decay == 0.004F);
    check_against_double(&adamw, update_around);
    adamw.learning_rate = 0.1F;
    adamw.attr.weight_decay = 0.25F;
    check_against_double(&adamw, update_around);
}

/* ---- penalties ---- */

/* S-039, S-042: the gradient of l1 |w| is l1 sign(w), that of l2 w^2 is 2 l2 w; decay has no 2. */
static void test_train_optimizer__penalties_and_decay_are_those_in_double(void **state)
{
    (void)state;
    static const bur_optimizer_attr rows[] = {
        {.l1 = 0.5F},
        {.l2 = 0.5F},
        {.weight_decay = 0.5F},
        {.l1 = 0.25F, .l2 = 0.5F}, /* the elastic net */
        {.l1 = 2, .proximal = 1},
        {.l1 = 2, .l2 = 0.5F, .proximal = 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bur_optimizer sgd = {BUR_SGD, 0.001F, rows[i]}, adam = bur_optimizer_default(BUR_ADAM);
        check_against_double(&sgd, update_around);
        adam.learning_rate = 0.01F;
        adam.attr.l1 = rows[i].l1;
        adam.attr.l2 = rows[i].l2;
        adam.attr.proximal = rows[i].proximal;
        check_against_double(&adam, update_around);
    }
}

/* A parameter that is not penalized goes on as if there were no penalty. */
static void test_train_optimizer__a_kernel_may_be_left_out_of_the_penalty(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, ROWS, FEATURES, rows_x, rows_y);
    const bur_optimizer plain = {.kind = BUR_SGD, .learning_rate = 0.001F},
                        ridge = {.kind = BUR_SGD, .learning_rate = 0.001F, .attr = {.l2 = 0.5F}};
    const bur_ref weight = bur_recipe_parameter_at(s.recipe, 0)->ref;
    assert_status(BUR_E_ARG, bur_recipe_penalize(s.recipe, -1, false));
    float *ends[3];
    for (int k = 0; k < 3; k++) {
        test_run run;
        assert_ok(bur_recipe_penalize(s.recipe, weight, k != 2));
        test_run_create(&run, s.devices[0], NULL, s.recipe, s.data, ROWS, k == 0 ? &plain : &ridge,
                        4);
        test_run_step(&run, s.data, 0);
        ends[k] = test_run_read_state(run.session, NULL);
        test_run_destroy(&run);
    }
    assert_memory_not_equal(ends[0], ends[1], WEIGHTS * sizeof *ends[0]);
    assert_memory_equal(ends[0], ends[2], WEIGHTS * sizeof *ends[0]);
    for (int k = 0; k < 3; k++)
        free(ends[k]);
    scene_close(&s);
}

/* ---- momentum ---- */

/* Steps until the mean squared error is less than `enough`. */
static int64_t steps_until(const scene *s, const bur_optimizer *optimizer, double enough)
{
    enum { MANY = 3000 };
    test_run run;
    int64_t step = 0;
    test_run_create(&run, s->devices[0], NULL, s->recipe, s->data, 4, optimizer, 2);
    while (step < MANY && test_run_step(&run, s->data, step) >= enough)
        step++;
    test_run_destroy(&run);
    return step;
}

/* S-121: y = 2 a + 3 b with b a tenth of a's size: a quadratic whose curvatures differ by 100. */
static void test_train_optimizer__momentum_needs_fewer_steps_in_a_long_valley(void **state)
{
    (void)state;
    static const float x[] = {1, 0.1F, -1, 0.1F, 1, -0.1F, -1, -0.1F};
    static const float y[] = {2.3F, -1.7F, 1.7F, -2.3F};
    scene s;
    scene_open(&s, 4, 2, x, y);
    bur_optimizer sgd = bur_optimizer_default(BUR_SGD),
                  momentum = bur_optimizer_default(BUR_MOMENTUM);
    sgd.learning_rate = momentum.learning_rate = 0.1F;
    const int64_t slow = steps_until(&s, &sgd, 1e-4), fast = steps_until(&s, &momentum, 1e-4);
    assert_true(fast > 0 && fast * 3 < slow);
    scene_close(&s);
}

/* ---- micro-batches ---- */

enum { EFFECTIVE_BATCH = 32, RAGGED_ROWS = 92 }; /* 32 + 32 + 28: the last one is 8 + 8 + 8 + 4 */

/* State after ten updates of `accumulate` micro-batches; the parameters come first. */
static float *train(bur_device *device, const bur_recipe *recipe, const bur_data *data,
                    const bur_optimizer *optimizer, int64_t accumulate, size_t *arena_bytes)
{
    bur_trainer *trainer = NULL;
    const bur_fit_options options = {.batch = EFFECTIVE_BATCH,
                                     .epochs = 4,
                                     .accumulate = accumulate,
                                     .optimizer = *optimizer,
                                     .seed = 11,
                                     .max_steps = 10};
    assert_ok(bur_trainer_create(&trainer, device, recipe, data, &options));
    assert_ok(bur_trainer_fit(trainer));
    int64_t epochs = 0;
    const bur_epoch *history = bur_trainer_history(trainer, &epochs);
    assert_int_equal(epochs, 4);
    assert_int_equal(history[3].updates, 10);
    *arena_bytes = bur_trainer_plan(trainer)->arena_bytes;
    float *state = test_run_read_state(bur_trainer_session(trainer), NULL);
    bur_trainer_destroy(trainer);
    return state;
}

/* Attention does not depend on the bias of its keys: softmax takes the same from all scores. Its
 * gradient is rounding, which Adam brings to the size of any other; it is left out. */
static void clear_key_bias(float *bias, int64_t count)
{
    memset(bias + count / 3, 0, (size_t)(count / 3) * sizeof *bias);
}

/* Every parameter by itself: what is small is not hidden by what is large. The biases of queries
 * and values begin at 0, are ten steps of Adam, which divides by the gradient's own size, and so
 * have several times the rounding of what begins at random. */
static void compare_parameters(float *micro, float *whole, const bur_recipe *recipe,
                               const char *what)
{
    for (int32_t i = 0; i < bur_recipe_parameter_count(recipe); i++) {
        const bur_parameter *parameter = bur_recipe_parameter_at(recipe, i);
        const int64_t count = bur_desc_count(&parameter->desc);
        const bool is_bias = strstr(parameter->name, "bias") != NULL;
        if (strstr(parameter->name, "in_proj_bias") != NULL) { /* of queries, keys and values */
            clear_key_bias(micro, count);
            clear_key_bias(whole, count);
        }
        const double difference = test_run_difference(micro, whole, count);
        if (!(difference <= (is_bias ? 5e-6 : 1e-6)))
            fail_msg("%s: %s differs by %.2g from 1 x 32", what, parameter->name, difference);
        micro += count;
        whole += count;
    }
}

/* 4 x 8 against 1 x 32 (S-106), dropout's masks among them. */
static void check_accumulation(const char *model, const bur_zoo_options *options, const char *name,
                               const bur_data_options *data_options, int32_t most_devices)
{
    static const bur_optimizer_kind kinds[] = {BUR_MOMENTUM, BUR_ADAM};
    bur_context *context = NULL;
    bur_device *devices[MAX_DEVICES];
    bur_data opened = {0};
    bur_recipe *recipe = NULL;
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = 2}));
    const int32_t n_devices = test_run_devices(devices, context);
    assert_ok(bur_data_open(&opened, context, name, data_options));
    const bur_data data = {.train = opened.train};
    assert_ok(bur_zoo_create(&recipe, context, model, options));
    for (int32_t d = 0; d < n_devices && d < most_devices; d++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            const bur_optimizer optimizer = bur_optimizer_default(kinds[k]);
            size_t whole_bytes = 0, micro_bytes = 0;
            char what[256];
            float *whole = train(devices[d], recipe, &data, &optimizer, 1, &whole_bytes);
            float *micro = train(devices[d], recipe, &data, &optimizer, 4, &micro_bytes);
            snprintf(what, sizeof what, "%s: 4 x 8 of %s with %s", test_run_label(devices[d]),
                     model, bur_optimizer_name(kinds[k]));
            compare_parameters(micro, whole, recipe, what);
            assert_true(micro_bytes < whole_bytes);
            free(whole);
            free(micro);
        }
    bur_recipe_destroy(recipe);
    bur_data_close(&opened);
    bur_context_destroy(context);
}

static void test_train_optimizer__four_micro_batches_make_one_step_of_the_mlp(void **state)
{
    (void)state;
    check_accumulation("mlp", &(bur_zoo_options){.width = 0.5F, .dropout = 0.25F}, "digits",
                       &(bur_data_options){.count = RAGGED_ROWS}, MAX_DEVICES);
}

static void test_train_optimizer__four_micro_batches_make_one_step_of_the_cnn(void **state)
{
    (void)state;
    check_accumulation("cnn", &(bur_zoo_options){.width = 0.5F, .dropout = 0.25F}, "digits",
                       &(bur_data_options){.count = RAGGED_ROWS}, MAX_DEVICES);
}

static void test_train_optimizer__four_micro_batches_make_one_step_of_an_lstm(void **state)
{
    (void)state;
    const bur_shape sample = {.rank = 2, .dim = {9, 12}};
    check_accumulation(
        "lstm", &(bur_zoo_options){.sample = sample, .classes = 5, .hidden = "24"}, "random",
        &(bur_data_options){.count = RAGGED_ROWS, .sample = sample, .classes = 5}, MAX_DEVICES);
}

static void test_train_optimizer__four_micro_batches_make_one_step_of_a_transformer(void **state)
{
    (void)state;
    const bur_shape sample = {.rank = 3, .dim = {16, 16, 3}};
    check_accumulation(
        "vit-tiny",
        &(bur_zoo_options){
            .sample = sample, .classes = 5, .width = 0.25F, .depth = 2, .dropout = 0.25F},
        "random", &(bur_data_options){.count = RAGGED_ROWS, .sample = sample, .classes = 5}, 1);
}
