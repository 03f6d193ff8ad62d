/* Losses through a fit: every loss by name, class weights, smoothing and an ignored label against
 * double, and the penalty that is reported beside the loss. On the CPU and every expected device.
 */
#include "test.h"

#include "support/example.h"
#include "support/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 5, FEATURES = 2, CLASSES = 3, WEIGHTS = (FEATURES + 1) * CLASSES };

static const float rows_x[ROWS * FEATURES] = {1, 2, -1, 0.5F, 0, -2, 3, 1, -0.25F, 0.75F};
static const int32_t rows_label[ROWS] = {0, 1, 2, 2, 1};
static const float start[WEIGHTS] = {0.5F, -0.25F, 0.1F, 0.3F, 0.2F, -0.4F, 0.05F, 0.1F, -0.2F};

typedef struct scene {
    bur_context *context;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    int32_t n_devices;
    bur_data data;
    bur_recipe *recipe;
} scene;

static void scene_start(scene *s)
{
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    s->n_devices = test_run_devices(s->devices, s->context);
}

/* softmax(x w + b) over five rows. */
static void scene_of_classes(scene *s)
{
    scene_start(s);
    const bur_dataset_info info = {.name = "rows",
                                   .count = ROWS,
                                   .sample = {.rank = 1, .dim = {FEATURES}},
                                   .classes = CLASSES};
    const bur_zoo_options options = {.sample = info.sample, .classes = CLASSES};
    assert_ok(
        bur_dataset_from_arrays(&s->data.train, s->context, &info, BUR_F32, rows_x, rows_label));
    assert_ok(bur_zoo_create(&s->recipe, s->context, "linear", &options));
}

static void scene_close(scene *s)
{
    bur_recipe_destroy(s->recipe);
    bur_data_close(&s->data);
    bur_context_destroy(s->context);
}

/* ---- weights, smoothing, an ignored label ---- */

static double weight_of(int32_t label, const bur_fit_options *o)
{
    if (o->loss_attr.ignores && label == o->loss_attr.ignored)
        return 0;
    return o->class_weights == NULL ? 1 : (double)o->class_weights[label];
}

/* PyTorch's cross_entropy(weight, label_smoothing, ignore_index, reduction 'mean') of all rows and
 * a step of SGD down its gradient, in double. */
static void step_in_double(double *p, const bur_fit_options *o)
{
    double gradient[WEIGHTS] = {0}, sum = 0;
    const double smoothing = (double)o->loss_attr.smoothing;
    for (int i = 0; i < ROWS; i++)
        sum += weight_of(rows_label[i], o);
    for (int i = 0; i < ROWS; i++) {
        double z[CLASSES], u[CLASSES], exps = 0, total = 0;
        if (weight_of(rows_label[i], o) == 0)
            continue;
        for (int c = 0; c < CLASSES; c++) {
            z[c] = p[FEATURES * CLASSES + c];
            for (int j = 0; j < FEATURES; j++)
                z[c] += (double)rows_x[i * FEATURES + j] * p[j * CLASSES + c];
            exps += exp(z[c]);
            u[c] = (c == rows_label[i] ? 1 - smoothing : 0) + smoothing / CLASSES;
            u[c] *= o->class_weights == NULL ? 1 : (double)o->class_weights[c];
            total += u[c];
        }
        for (int c = 0; c < CLASSES; c++) {
            const double slope = (total * exp(z[c]) / exps - u[c]) / sum;
            gradient[FEATURES * CLASSES + c] += slope;
            for (int j = 0; j < FEATURES; j++)
                gradient[j * CLASSES + c] += slope * (double)rows_x[i * FEATURES + j];
        }
    }
    for (int i = 0; i < WEIGHTS; i++)
        p[i] -= (double)o->optimizer.learning_rate * gradient[i];
}

static void check_step(const scene *s, bur_device *device, const bur_fit_options *options)
{
    bur_trainer *trainer = NULL;
    double wanted[WEIGHTS];
    for (int i = 0; i < WEIGHTS; i++)
        wanted[i] = (double)start[i];
    step_in_double(wanted, options);
    assert_ok(bur_trainer_create(&trainer, device, s->recipe, &s->data, options));
    test_run_write_state(bur_trainer_session(trainer), start);
    assert_ok(bur_trainer_fit(trainer));
    float *end = test_run_read_state(bur_trainer_session(trainer), NULL);
    for (int i = 0; i < WEIGHTS; i++)
        if (!(fabs((double)end[i] - wanted[i]) <= 1e-6))
            fail_msg("%s: %s, smoothing %g, ignored %d: weight %d is %.9g, in double %.9g",
                     test_run_label(device), options->class_weights == NULL ? "alike" : "weighted",
                     (double)options->loss_attr.smoothing, (int)options->loss_attr.ignores, i,
                     (double)end[i], wanted[i]);
    free(end);
    bur_trainer_destroy(trainer);
}

static void test_train_loss__weights_smoothing_and_ignored_labels_are_those_in_double(void **state)
{
    (void)state;
    static const float weights[CLASSES] = {0.5F, 2, 3};
    static const struct {
        const float *weights;
        bur_loss_attr attr;
    } rows[] = {{NULL, {.delta = 0}},
                {weights, {.delta = 0}},
                {NULL, {.smoothing = 0.25F}},
                {weights, {.smoothing = 0.25F}},
                {NULL, {.ignores = 1, .ignored = 2}},
                {weights, {.smoothing = 0.125F, .ignores = 1, .ignored = 0}}};
    scene s;
    scene_of_classes(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int32_t d = 0; d < s.n_devices; d++)
            for (int64_t parts = 1; parts <= ROWS; parts += ROWS - 1) {
                const bur_fit_options options = {
                    .batch = ROWS,
                    .accumulate = parts,
                    .optimizer = {.kind = BUR_SGD, .learning_rate = 0.5F},
                    .loss_attr = rows[i].attr,
                    .class_weights = rows[i].weights};
                check_step(&s, s.devices[d], &options);
            }
    scene_close(&s);
}

/* Validation is of the data as they are: neither weights nor smoothing change it. */
static void test_train_loss__evaluation_is_without_weights_and_smoothing(void **state)
{
    (void)state;
    static const float weights[CLASSES] = {0.5F, 2, 3};
    scene s;
    scene_of_classes(&s);
    double loss[2], accuracy[2];
    for (int k = 0; k < 2; k++) {
        bur_trainer *trainer = NULL;
        const bur_fit_options options = {.batch = 2,
                                         .loss_attr = {.smoothing = k == 1 ? 0.25F : 0},
                                         .class_weights = k == 1 ? weights : NULL};
        assert_ok(bur_trainer_create(&trainer, s.devices[0], s.recipe, &s.data, &options));
        for (int32_t i = 0; i < 2; i++)
            assert_ok(bur_session_write_state(bur_trainer_session(trainer), i,
                                              start + i * FEATURES * CLASSES));
        assert_ok(bur_trainer_evaluate(trainer, s.data.train, &loss[k], &accuracy[k]));
        bur_trainer_destroy(trainer);
    }
    assert_true(loss[0] == loss[1] && accuracy[0] == accuracy[1]);
    scene_close(&s);
}

static void test_train_loss__figures_out_of_range_are_refused(void **state)
{
    (void)state;
    static const float negative[CLASSES] = {1, -1, 1}, none[CLASSES] = {1, NAN, 1};
    const bur_fit_options rows[] = {{.loss_attr = {.smoothing = 1}},
                                    {.loss_attr = {.smoothing = -0.5F}},
                                    {.loss_attr = {.delta = -1}},
                                    {.class_weights = negative},
                                    {.class_weights = none}};
    scene s;
    scene_of_classes(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bur_trainer *trainer = NULL;
        assert_status(BUR_E_ARG,
                      bur_trainer_create(&trainer, s.devices[0], s.recipe, &s.data, &rows[i]));
        assert_null(trainer);
    }
    scene_close(&s);
}

/* ---- every loss ---- */

/* y = 3x + 2 with little noise, by every loss of values; for binary_cross_entropy y > 2. */
static void test_train_loss__every_loss_of_values_fits_its_line(void **state)
{
    (void)state;
    static const bur_loss losses[] = {BUR_LOSS_MSE, BUR_LOSS_MAE, BUR_LOSS_HUBER,
                                      BUR_LOSS_BINARY_CROSS_ENTROPY};
    enum { COUNT = 256 };
    scene s;
    scene_start(&s);
    float x[COUNT], y[COUNT], side[COUNT];
    for (int i = 0; i < COUNT; i++) {
        x[i] = (float)test_uniform(7, i);
        y[i] = 3 * x[i] + 2;
        side[i] = y[i] > 2 ? 1.0F : 0.0F;
    }
    const bur_dataset_info info = {.name = "line",
                                   .count = COUNT,
                                   .sample = {.rank = 1, .dim = {1}},
                                   .target = {.rank = 1, .dim = {1}}};
    const bur_zoo_options zoo = {.sample = info.sample, .classes = 1, .values = true};
    assert_ok(bur_zoo_create(&s.recipe, s.context, "linear", &zoo));
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        const bool binary = losses[i] == BUR_LOSS_BINARY_CROSS_ENTROPY;
        bur_data data = {0};
        bur_trainer *trainer = NULL;
        double loss = 0, metric = 0;
        const bur_fit_options options = {
            .batch = 16, .epochs = 60, .optimizer = {BUR_ADAM, 0.02F, {0}}, .loss = losses[i]};
        assert_ok(
            bur_dataset_from_arrays(&data.train, s.context, &info, BUR_F32, x, binary ? side : y));
        assert_ok(bur_trainer_create(&trainer, s.devices[0], s.recipe, &data, &options));
        assert_ok(bur_trainer_fit(trainer));
        assert_ok(bur_trainer_evaluate(trainer, data.train, &loss, &metric));
        const bool learned = binary ? metric > 0.98 && loss < 0.2 : metric < 0.02 && loss < 0.02;
        if (!learned)
            fail_msg("%s: loss %g, metric %g", bur_loss_name(losses[i]), loss, metric);
        bur_trainer_destroy(trainer);
        bur_data_close(&data);
    }
    scene_close(&s);
}

/* ---- penalty ---- */

/* S-038: the penalty is lambda times that of the kernel, not of the bias, and is not in the loss.
 */
static void test_train_loss__the_penalty_is_reported_beside_the_loss(void **state)
{
    (void)state;
    static const bur_optimizer_attr rows[] = {
        {.l1 = 0.25F}, {.l2 = 0.5F}, {.l1 = 0.125F, .l2 = 0.25F}, {.clip_value = 1e6F}};
    scene s;
    scene_of_classes(&s);
    for (int32_t d = 0; d < s.n_devices; d++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            bur_trainer *trainer = NULL;
            int64_t epochs = 0;
            double loss = 0, metric = 0, size = 0, square = 0;
            const bur_fit_options options = {
                .batch = ROWS, .epochs = 2, .optimizer = {BUR_SGD, 0.125F, rows[i]}};
            assert_ok(bur_trainer_create(&trainer, s.devices[d], s.recipe, &s.data, &options));
            test_run_write_state(bur_trainer_session(trainer), start);
            assert_ok(bur_trainer_evaluate(trainer, s.data.train, &loss, &metric));
            assert_ok(bur_trainer_fit(trainer));
            const bur_epoch *history = bur_trainer_history(trainer, &epochs);
            assert_true(fabs(history[0].loss - loss) <= 1e-6 * loss);
            float *end = test_run_read_state(bur_trainer_session(trainer), NULL);
            for (int w = 0; w < FEATURES * CLASSES; w++) {
                size += fabs((double)end[w]);
                square += (double)end[w] * (double)end[w];
            }
            const double wanted = (double)rows[i].l1 * size + (double)rows[i].l2 * square;
            assert_true(fabs(history[1].penalty - wanted) <= 1e-6 * wanted);
            assert_true((wanted > 0) == (i < 3));
            free(end);
            bur_trainer_destroy(trainer);
        }
    scene_close(&s);
}
