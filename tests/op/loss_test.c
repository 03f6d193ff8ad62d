/* What losses do at the edges of their domains, on the CPU and every expected device. */
#include "test.h"

#include "support/device.h"
#include "support/example.h"
#include "support/execute.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Result and gradient of a loss of x with targets of the given type, inverse_weight_sum 1. */
typedef struct loss_case {
    bur_op op;
    bur_attr attr;
    int64_t samples, columns;
    const float *x;
    bur_dtype target_type;
    const void *target;
} loss_case;

static void run_loss(const test_device *device, const loss_case *c, float *result, float *gradient)
{
    const bur_shape shape = {.rank = 2, .dim = {c->samples, c->columns}},
                    labels = {.rank = 1, .dim = {c->samples}},
                    words = {.rank = 1, .dim = {BUR_SCALAR_WORDS}};
    const bur_desc inputs[] = {
        bur_desc_make(BUR_F32, &shape),
        bur_desc_make(c->target_type, c->target_type == BUR_I32 ? &labels : &shape),
        bur_desc_make(BUR_I32, &words)};
    bur_desc outputs[2];
    const bur_call call = {c->op, &c->attr, 3, 2, inputs, outputs};
    assert_ok(bur_op_infer(&call, outputs));
    const bur_scalars scalars = {.inverse_weight_sum = 1};
    void *x[] = {(void *)(uintptr_t)c->x, (void *)(uintptr_t)c->target,
                 (void *)(uintptr_t)&scalars}; /* losses only read */
    test_execute(device, &call, x, (void *[]){result, gradient}, false);
}

static void on_every_device(void (*check)(const test_device *))
{
    test_device devices[TEST_MAX_DEVICES];
    int32_t count = 0;
    assert_true(test_devices_open(devices, &count));
    for (int32_t i = 0; i < count; i++) {
        check(&devices[i]);
        test_device_close(&devices[i]);
    }
}

/* ---- classes ---- */

static void check_unknown_labels(const test_device *device)
{
    static const float x[] = {0.25F, 0.5F, 0.25F, 0.1F, 0.2F, 0.7F, 0.3F, 0.3F, 0.4F};
    static const int32_t too_low[] = {1, -1, 2}, too_high[] = {1, 3, 2}, known[] = {1, 2, 2};
    static const bur_op ops[] = {BUR_OP_cross_entropy, BUR_OP_softmax_cross_entropy};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        const int32_t *const labels[] = {too_low, too_high, known};
        for (int k = 0; k < 3; k++) {
            float result[BUR_RESULT_WORDS], gradient[9];
            const loss_case c = {ops[i], {{0}}, 3, 3, x, BUR_I32, labels[k]};
            run_loss(device, &c, result, gradient);
            const bool bad = labels[k] != known;
            assert_int_equal(isnan(result[BUR_RESULT_LOSS]) != 0, bad);
            assert_int_equal(isnan(result[BUR_RESULT_LOSS_SUM]) != 0, bad);
            assert_true(result[BUR_RESULT_METRIC] == (bad ? 2 : 3));
            for (int j = 0; j < 9; j++)
                assert_int_equal(isnan(gradient[j]) != 0, bad && j / 3 == 1);
        }
    }
}

static void test_op_loss__a_label_outside_of_the_classes_gives_nan_for_its_sample(void **state)
{
    (void)state;
    on_every_device(check_unknown_labels);
}

static const float logits[] = {0.5F, -1, 2, 0.25F, 0.125F, -0.5F, 3, 1, 0, -2, 0.75F, 1.5F};

/* S-142: a one-hot row and a label are the same target, and the gradient of logits is p - y. */
static void check_one_hot(const test_device *device)
{
    static const int32_t labels[] = {2, 0, 1, 2};
    float one_hot[12] = {0}, probabilities[12];
    for (int s = 0; s < 4; s++) {
        double sum = 0;
        one_hot[3 * s + labels[s]] = 1;
        for (int j = 0; j < 3; j++)
            sum += exp((double)logits[3 * s + j]);
        for (int j = 0; j < 3; j++)
            probabilities[3 * s + j] = (float)(exp((double)logits[3 * s + j]) / sum);
    }
    static const bur_op ops[] = {BUR_OP_cross_entropy, BUR_OP_softmax_cross_entropy};
    for (size_t i = 0; i < 2; i++) {
        const float *x = i == 0 ? probabilities : logits;
        float results[2][BUR_RESULT_WORDS], gradients[2][12];
        const loss_case by_label = {ops[i], {{0}}, 4, 3, x, BUR_I32, labels},
                        by_row = {ops[i], {{0}}, 4, 3, x, BUR_F32, one_hot};
        run_loss(device, &by_label, results[0], gradients[0]);
        run_loss(device, &by_row, results[1], gradients[1]);
        for (int j = 0; j < BUR_RESULT_WORDS; j++)
            assert_true(fabsf(results[0][j] - results[1][j]) <= 1e-6F * results[0][j]);
        for (int j = 0; j < 12; j++) {
            assert_true(fabsf(gradients[0][j] - gradients[1][j]) <= 1e-6F);
            assert_true(i == 0 ||
                        fabsf(gradients[0][j] - (probabilities[j] - one_hot[j])) <= 1e-6F);
        }
    }
}

static void test_op_loss__one_hot_rows_and_labels_agree(void **state)
{
    (void)state;
    on_every_device(check_one_hot);
}

/* An ignored label leaves its sample out, though it is no class. */
static void check_ignored(const test_device *device)
{
    static const int32_t all[] = {2, -100, 1, 2}, kept[] = {2, 1, 2};
    float fewer[9], results[2][BUR_RESULT_WORDS], whole[12], part[9];
    memcpy(fewer, logits, 3 * sizeof *fewer);
    memcpy(fewer + 3, logits + 6, 6 * sizeof *fewer);
    const loss_case with = {BUR_OP_softmax_cross_entropy,
                            {.loss = {.ignores = 1, .ignored = -100}},
                            4,
                            3,
                            logits,
                            BUR_I32,
                            all},
                    without = {BUR_OP_softmax_cross_entropy, {{0}}, 3, 3, fewer, BUR_I32, kept};
    run_loss(device, &with, results[0], whole);
    run_loss(device, &without, results[1], part);
    for (int j = 0; j < BUR_RESULT_WORDS; j++)
        assert_true(fabsf(results[0][j] - results[1][j]) <= 1e-6F * results[1][j]);
    for (int j = 0; j < 9; j++)
        assert_true(fabsf(whole[j < 3 ? j : j + 3] - part[j]) <= 1e-6F);
    for (int j = 3; j < 6; j++)
        assert_true(whole[j] == 0);
}

static void test_op_loss__an_ignored_label_leaves_its_sample_out(void **state)
{
    (void)state;
    on_every_device(check_ignored);
}

/* ---- two classes ---- */

/* Probabilities that f32 rounds to 0 and 1 have finite losses: |x| where wrong, about 0 where right
 * (S-141). */
static void check_extreme_logits(const test_device *device)
{
    static const float x[] = {-200, 200, -200, 200, 1e30F, -1e30F, 0, -30},
                       target[] = {0, 1, 1, 0, 1, 1, 0.5F, 0},
                       wanted[] = {0, 0, 200, 200, 0, 1e30F, 0.693147181F, 9.3576229688e-14F};
    for (int i = 0; i < 8; i++) {
        float result[BUR_RESULT_WORDS], gradient[1];
        const loss_case c = {BUR_OP_binary_cross_entropy, {{0}}, 1, 1, x + i, BUR_F32, target + i};
        run_loss(device, &c, result, gradient);
        if (!(fabsf(result[BUR_RESULT_LOSS] - wanted[i]) <= 1e-6F * wanted[i] + FLT_MIN))
            fail_msg("%s: logit %g, target %g: loss %.9g, not %.9g", device->label, (double)x[i],
                     (double)target[i], (double)result[BUR_RESULT_LOSS], (double)wanted[i]);
        const double p = 1 / (1 + exp(-(double)x[i]));
        assert_true(fabs((double)gradient[0] - (p - (double)target[i])) <= 1e-6);
        assert_true(result[BUR_RESULT_METRIC] == ((x[i] > 0) == (target[i] > 0.5F)));
    }
}

static void test_op_loss__binary_cross_entropy_is_finite_at_probabilities_0_and_1(void **state)
{
    (void)state;
    on_every_device(check_extreme_logits);
}

/* ---- values ---- */

static void check_slopes(const test_device *device)
{
    static const float x[] = {3, -3, 0.5F, 0, NAN, 1e30F}, target[6] = {0};
    static const struct {
        bur_op op;
        float delta, slope[6];
    } rows[] = {
        {BUR_OP_mae, 0, {1, -1, 1, 0, NAN, 1}},
        {BUR_OP_huber, 0, {1, -1, 0.5F, 0, NAN, 1}},
        {BUR_OP_huber, 0.25F, {0.25F, -0.25F, 0.25F, 0, NAN, 0.25F}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float result[BUR_RESULT_WORDS], gradient[6];
        const loss_case c = {rows[i].op, {.loss = {.delta = rows[i].delta}}, 6, 1, x, BUR_F32,
                             target};
        run_loss(device, &c, result, gradient);
        assert_true(isnan(result[BUR_RESULT_LOSS]));
        for (int j = 0; j < 6; j++)
            assert_true(gradient[j] == rows[i].slope[j] ||
                        (isnan(gradient[j]) && isnan(rows[i].slope[j])));
    }
}

static void test_op_loss__mae_and_huber_push_no_harder_than_delta_and_nan_stays(void **state)
{
    (void)state;
    on_every_device(check_slopes);
}
