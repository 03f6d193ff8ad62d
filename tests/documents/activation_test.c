/* What the documents say of activations at the edges, by eager calls on every device. */
#include "support/opened.h"
#include "support/model.h"
#include "support/run.h"
#include "test.h"

#include <burthen/nn.h>
#include <math.h>
#include <stdlib.h>

enum { N = 4 };

static void apply(bur_device *device, bur_op op, int32_t rows, const float *x, float *y)
{
    const bur_shape shape = {.rank = 2, .dim = {rows, N / rows}};
    bur_array *input = NULL, *output = NULL;
    assert_ok(bur_array_create(&input, device, BUR_F32, &shape, x));
    assert_ok(bur_run(device, op, NULL, &input, 1, &output, 1));
    assert_ok(bur_array_read(output, y, N * sizeof *y));
    bur_array_destroy(output);
    bur_array_destroy(input);
}

/* S-027, S-131 */
static void test_documents_activation__sigmoid_stays_within_0_and_1_at_500(void **state)
{
    (void)state;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t i = 0; i < opened.count; i++) {
        float y[N];
        apply(opened.devices[i], BUR_OP_sigmoid, 1, (const float[N]){-500, 0, 500, 1}, y);
        assert_true(y[0] >= 0 && y[0] < 1e-30F);
        assert_true(y[1] == 0.5F && y[2] == 1);
        assert_true(fabsf(y[3] - 0.73105858F) <= 1e-6F);
    }
    test_opened_destroy(&opened);
}

/* S-026 */
static void test_documents_activation__tanh_stays_within_minus_1_and_1(void **state)
{
    (void)state;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t i = 0; i < opened.count; i++) {
        float y[N];
        apply(opened.devices[i], BUR_OP_tanh, 1, (const float[N]){-500, 0, 500, 1}, y);
        assert_true(y[0] >= -1 && y[0] < -0.999999F && y[1] == 0);
        assert_true(y[2] <= 1 && y[2] > 0.999999F);
        assert_true(fabsf(y[3] - 0.76159416F) <= 1e-6F);
    }
    test_opened_destroy(&opened);
}

/* S-029 */
static void test_documents_activation__softmax_rows_sum_to_1_at_logits_of_10000(void **state)
{
    (void)state;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t i = 0; i < opened.count; i++) {
        float y[N];
        apply(opened.devices[i], BUR_OP_softmax, 2, (const float[N]){1e4F, 1e4F - 1, -1e4F, 1e4F},
              y);
        for (int row = 0; row < 2; row++)
            assert_true(fabsf(y[2 * row] + y[2 * row + 1] - 1) <= 1e-6F);
        assert_true(fabsf(y[0] - 0.73105858F) <= 1e-5F);
        assert_true(y[2] >= 0 && y[2] < 1e-30F && y[3] == 1);
    }
    test_opened_destroy(&opened);
}

/* The loss of the training set after each of two epochs of a network of three layers, by SGD. */
static void train_three_layers(const test_digits *digits, bur_activation activation, double loss[2])
{
    const bur_layer layers[] = {bur_flatten(), bur_dense(64, activation), bur_dense(64, activation),
                                bur_dense(10, BUR_SOFTMAX)};
    const bur_fit_options options = {
        .epochs = 2, .seed = 5, .optimizer = bur_optimizer_default(BUR_SGD)};
    bur_recipe *recipe =
        test_sequential(digits->context, &bur_dataset_describe(digits->data.train)->sample, layers,
                        sizeof layers / sizeof *layers);
    bur_trainer *trainer = test_fit(digits->cpu, recipe, &digits->data, &options);
    int64_t count = 0;
    const bur_epoch *history = bur_trainer_history(trainer, &count);
    assert_int_equal(count, 2);
    for (int i = 0; i < 2; i++)
        loss[i] = history[i].loss;
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
}

/* S-132 */
static void test_documents_activation__tanh_learns_faster_than_sigmoid_at_first(void **state)
{
    (void)state;
    test_digits digits;
    double with_tanh[2], with_sigmoid[2];
    test_digits_open(&digits);
    train_three_layers(&digits, BUR_TANH, with_tanh);
    train_three_layers(&digits, BUR_SIGMOID, with_sigmoid);
    for (int i = 0; i < 2; i++)
        assert_true(with_tanh[i] < 0.9 * with_sigmoid[i]);
    test_digits_close(&digits);
}

/* One unit y = act(w x + b) that a large step has sent below 0 for every x: loss (y - 1)^2 and the
 * gradient of b, then the loss after 200 further steps. */
static void train_dead_unit(bur_device *device, bur_context *context, const bur_dataset *data,
                            bur_activation activation, float alpha, double *gradient, double *loss)
{
    static const float dead[] = {-1, -1};
    const bur_shape shape = {.rank = 1, .dim = {1}};
    bur_optimizer sgd = bur_optimizer_default(BUR_SGD);
    sgd.learning_rate = 0.0625F;
    bur_layer unit = bur_dense(1, activation);
    unit.alpha = alpha;
    bur_recipe *recipe = test_sequential(context, &shape, &unit, 1);
    int64_t count = 0;
    test_run run;
    test_run_create(&run, device, NULL, recipe, data, 2, &sgd, 1);
    test_run_write_state(run.session, dead);
    test_run_accumulate(&run, data, 0);
    float *bias = test_run_read_gradient(&run, 1, &count);
    *gradient = (double)bias[0];
    free(bias);
    for (int64_t i = 0; i < 200; i++)
        *loss = test_run_step(&run, data, i);
    test_run_destroy(&run);
    bur_recipe_destroy(recipe);
}

/* S-134: x = 1 and 3 give z = -2 and -4; of leaky_relu y = alpha z, and the mean of 2 (y - 1) alpha
 * is the bias's gradient: -2 alpha (1 + 3 alpha). A ReLU's is 0 and stays so. */
static void test_documents_activation__leaky_relu_revives_a_dead_unit(void **state)
{
    (void)state;
    static const float x[] = {1, 3}, target[] = {1, 1};
    const bur_dataset_info info = {.name = "two",
                                   .count = 2,
                                   .sample = {.rank = 1, .dim = {1}},
                                   .target = {.rank = 1, .dim = {1}}};
    bur_context *context = NULL;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    bur_dataset *data = NULL;
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = 1}));
    assert_ok(bur_dataset_from_arrays(&data, context, &info, BUR_F32, x, target));
    const int32_t count = test_run_devices(devices, context);
    for (int32_t d = 0; d < count; d++) {
        double gradient = 1, loss = 0;
        train_dead_unit(devices[d], context, data, BUR_RELU, 0, &gradient, &loss);
        assert_true(gradient == 0 && loss == 1);
        train_dead_unit(devices[d], context, data, BUR_LEAKY_RELU, 0, &gradient, &loss);
        assert_true(fabs(gradient - -2 * 0.3 * (1 + 3 * 0.3)) <= 1e-6);
        assert_true(loss < 0.1);
        train_dead_unit(devices[d], context, data, BUR_LEAKY_RELU, 0.125F, &gradient, &loss);
        assert_true(fabs(gradient - -2 * 0.125 * (1 + 3 * 0.125)) <= 1e-6);
        assert_true(loss < 0.1);
    }
    bur_dataset_destroy(data);
    bur_context_destroy(context);
}
