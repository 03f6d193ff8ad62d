/* One seed, several devices: CPU, the expected OpenCL devices and the double reference compute the
 * same losses and gradients, and where rounding has sent them apart they still learn alike. */
#include "test.h"

#include "support/device.h"
#include "support/run.h"

#include <math.h>
#include <stdlib.h>

enum { SEED = 1, ROWS = 3200, STEPS = 100, FIRST_LOSSES = 5 };

/* What is compared. Slow devices are the reference's loops in double and OpenCL on llvmpipe, for
 * which a step of the whole cnn with batch 32 takes minutes. */
typedef struct subject {
    const char *model;
    float width;
    int64_t batch;
    bool slow_devices;
} subject;

static const subject mlp = {"mlp", 1, 32, true}, cnn = {"cnn", 1, 32, false},
                     narrow_cnn = {"cnn", 0.125F, 4, true}, one_sample_cnn = {"cnn", 1, 1, true};

/* A model on the first rows of Fashion-MNIST; devices[0] is the CPU, and one more is the CPU with
 * one thread, so that there are always two. */
typedef struct scene {
    bur_context *context, *single;
    bur_data fashion;
    bur_dataset *rows;
    bur_recipe *recipe;
    int64_t batch;
    bur_device *devices[TEST_MAX_RUN_DEVICES + 2];
    int32_t n_devices;
} scene;

static void scene_open(scene *s, const subject *what)
{
    *s = (scene){.batch = what->batch};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_context_create(&s->single, &(bur_context_options){.threads = 1}));
    assert_ok(bur_data_open(&s->fashion, s->context, "fashion-mnist", NULL));
    assert_ok(bur_dataset_view(&s->rows, s->fashion.train, 0, ROWS));
    const bur_zoo_options options = {.width = what->width};
    assert_ok(bur_zoo_create(&s->recipe, s->context, what->model, &options));
    bur_device *reference = test_run_reference(s->context), *found[TEST_MAX_RUN_DEVICES];
    const int32_t count = test_run_devices(found, s->context);
    for (int32_t i = 0; i < count; i++)
        if (what->slow_devices || !test_device_is(bur_device_describe(found[i]), "rusticl"))
            s->devices[s->n_devices++] = found[i];
    assert_ok(bur_device_open(&s->devices[s->n_devices++], s->single, "cpu"));
    if (what->slow_devices)
        s->devices[s->n_devices++] = reference;
}

static void scene_close(scene *s)
{
    bur_recipe_destroy(s->recipe);
    bur_dataset_destroy(s->rows);
    bur_data_close(&s->fashion);
    bur_context_destroy(s->context);
    bur_context_destroy(s->single);
}

static void run_open(test_run *run, const scene *s, int32_t device)
{
    const bur_optimizer adam = bur_optimizer_default(BUR_ADAM);
    test_run_create(run, s->devices[device], NULL, s->recipe, s->rows, s->batch, &adam, SEED);
}

/* A NaN is never within a tolerance. */
static void check_loss(const bur_device *device, int64_t step, double loss, double wanted,
                       double tolerance)
{
    if (!(fabs(loss - wanted) <= tolerance * fabs(wanted)))
        fail_msg("%s: loss %.9g at step %d, the CPU has %.9g: relative %.2g, %.2g is allowed",
                 test_run_label(device), loss, (int)step, wanted, fabs(loss - wanted) / wanted,
                 tolerance);
}

/* Trains so many steps on a device; losses[steps]. */
static void train(const scene *s, int32_t device, int64_t steps, double *losses)
{
    test_run run;
    run_open(&run, s, device);
    for (int64_t i = 0; i < steps; i++)
        losses[i] = test_run_step(&run, s->rows, i);
    test_run_destroy(&run);
}

static void check_first_losses(const subject *what)
{
    scene s;
    scene_open(&s, what);
    double wanted[FIRST_LOSSES], losses[FIRST_LOSSES];
    train(&s, 0, FIRST_LOSSES, wanted);
    assert_true(wanted[0] > 1.5 && wanted[0] < 4); /* ln 10 and a little: nothing learned yet */
    for (int32_t d = 1; d < s.n_devices; d++) {
        train(&s, d, FIRST_LOSSES, losses);
        for (int64_t i = 0; i < FIRST_LOSSES; i++)
            check_loss(s.devices[d], i, losses[i], wanted[i], 1e-4);
    }
    scene_close(&s);
}

static void test_train_agreement__the_first_five_losses_of_the_mlp_agree(void **state)
{
    (void)state;
    check_first_losses(&mlp);
}

static void test_train_agreement__the_first_five_losses_of_the_cnn_agree(void **state)
{
    (void)state;
    check_first_losses(&cnn);
}

static void test_train_agreement__the_first_five_losses_of_a_narrow_cnn_agree(void **state)
{
    (void)state;
    check_first_losses(&narrow_cnn);
}

/* Losses and gradients of one step after equal state. */
static void check_step(const scene *s, test_run *cpu, test_run *run, int64_t step)
{
    float *start = test_run_read_state(cpu->session, NULL);
    test_run_write_state(run->session, start);
    free(start);
    const double wanted = test_run_accumulate(cpu, s->rows, step);
    const double loss = test_run_accumulate(run, s->rows, step);
    check_loss(run->device, step, loss, wanted, 1e-5);
    for (int32_t p = 0; p < bur_recipe_parameter_count(s->recipe); p++) {
        int64_t count = 0;
        float *a = test_run_read_gradient(run, p, &count);
        float *b = test_run_read_gradient(cpu, p, &count);
        const double difference = test_run_difference(a, b, count);
        if (!(difference <= 1e-3))
            fail_msg("%s: step %d: the gradient of %s is off by %.2g of its norm",
                     test_run_label(run->device), (int)step,
                     bur_recipe_parameter_at(s->recipe, p)->name, difference);
        free(a);
        free(b);
    }
}

static void check_steps_from_equal_state(const subject *what)
{
    static const int64_t at[] = {0, 10, 50, 100};
    scene s;
    scene_open(&s, what);
    test_run runs[TEST_MAX_RUN_DEVICES + 2];
    for (int32_t d = 0; d < s.n_devices; d++)
        run_open(&runs[d], &s, d);
    int64_t step = 0;
    for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
        for (; step < at[k]; step++)
            test_run_step(&runs[0], s.rows, step);
        for (int32_t d = 1; d < s.n_devices; d++)
            check_step(&s, &runs[0], &runs[d], step);
    }
    for (int32_t d = 0; d < s.n_devices; d++)
        test_run_destroy(&runs[d]);
    scene_close(&s);
}

static void test_train_agreement__the_mlp_steps_alike_from_the_cpus_state(void **state)
{
    (void)state;
    check_steps_from_equal_state(&mlp);
}

static void test_train_agreement__the_cnn_steps_alike_from_the_cpus_state(void **state)
{
    (void)state;
    check_steps_from_equal_state(&cnn);
}

static void test_train_agreement__a_narrow_cnn_steps_alike_from_the_cpus_state(void **state)
{
    (void)state;
    check_steps_from_equal_state(&narrow_cnn);
}

static void test_train_agreement__a_cnn_steps_alike_on_one_sample_on_slow_devices(void **state)
{
    (void)state;
    check_steps_from_equal_state(&one_sample_cnn);
}

static double mean(const double *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

static void check_mean_loss(const subject *what)
{
    scene s;
    scene_open(&s, what);
    double losses[STEPS];
    train(&s, 0, STEPS, losses);
    const double wanted = mean(losses, STEPS);
    assert_true(wanted < losses[0]); /* it learns */
    for (int32_t d = 1; d < s.n_devices; d++) {
        train(&s, d, STEPS, losses);
        check_loss(s.devices[d], STEPS, mean(losses, STEPS), wanted, 0.02);
    }
    scene_close(&s);
}

static void test_train_agreement__the_mean_of_a_hundred_losses_of_the_mlp_agrees(void **state)
{
    (void)state;
    check_mean_loss(&mlp);
}

static void test_train_agreement__the_mean_of_a_hundred_losses_of_the_cnn_agrees(void **state)
{
    (void)state;
    check_mean_loss(&cnn);
}

static void test_train_agreement__the_mean_of_a_hundred_losses_of_a_narrow_cnn_agrees(void **state)
{
    (void)state;
    check_mean_loss(&narrow_cnn);
}
