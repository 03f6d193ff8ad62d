#include "test.h"

#include <math.h>
#include <string.h>

enum { DIGITS = 10, PIXELS = 784 };

static bur_context *context_make(void)
{
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    return context;
}

static bur_data open_data(bur_context *context, const char *name, uint64_t seed, int64_t count)
{
    bur_data data;
    const bur_data_options options = {.seed = seed, .count = count, .noise = -1};
    assert_ok(bur_data_open(&data, context, name, &options));
    return data;
}

static void take(const bur_dataset *set, int64_t row, float *x, void *target)
{
    bur_dataset_gather(set, &row, 1, x, target);
}

static void test_data_drawn__digits_depend_on_seed_and_index_only(void **state)
{
    (void)state;
    bur_context *context = context_make();
    bur_data a = open_data(context, "digits", 1, 100), b = open_data(context, "digits", 1, 60),
             c = open_data(context, "digits", 2, 100);
    int same_seed = 0, other_seed = 0, other_part = 0;
    for (int64_t i = 0; i < 60; i++) {
        float x[PIXELS], y[PIXELS], z[PIXELS], t[PIXELS];
        int32_t lx, ly, lz, lt;
        take(a.train, i, x, &lx);
        take(b.train, i, y, &ly);
        take(c.train, i, z, &lz);
        take(a.test, i % 25, t, &lt);
        assert_int_equal(lx, ly);
        same_seed += memcmp(x, y, sizeof x) == 0;
        other_seed += memcmp(x, z, sizeof x) == 0;
        other_part += memcmp(x, t, sizeof x) == 0;
    }
    assert_int_equal(same_seed, 60);
    assert_int_equal(other_seed, 0);
    assert_int_equal(other_part, 0);
    bur_data_close(&a);
    bur_data_close(&b);
    bur_data_close(&c);
    bur_context_destroy(context);
}

static void test_data_drawn__digits_are_balanced_and_of_the_default_size(void **state)
{
    (void)state;
    bur_context *context = context_make();
    bur_data data = open_data(context, "digits", 0, 0);
    assert_int_equal(bur_dataset_describe(data.train)->count, 4000);
    assert_int_equal(bur_dataset_describe(data.test)->count, 1000);
    int64_t count[DIGITS] = {0};
    double ink = 0;
    for (int64_t i = 0; i < 4000; i++) {
        float x[PIXELS];
        int32_t label;
        take(data.train, i, x, &label);
        count[label]++;
        for (int j = 0; j < PIXELS; j++)
            ink += (double)x[j];
    }
    for (int i = 0; i < DIGITS; i++)
        assert_int_equal(count[i], 400);
    assert_true(ink / 4000 / PIXELS > 0.08 && ink / 4000 / PIXELS < 0.25);
    bur_data_close(&data);
    bur_context_destroy(context);
}

/* A softmax regression, plain gradient descent in batches of one: two passes over 2000 digits. */
static double linear_accuracy(const bur_data *data)
{
    static float w[PIXELS][DIGITS];
    float b[DIGITS] = {0};
    memset(w, 0, sizeof w);
    for (int64_t step = 0; step < 2 * bur_dataset_describe(data->train)->count; step++) {
        float x[PIXELS], p[DIGITS], sum = 0;
        int32_t label;
        take(data->train, step % bur_dataset_describe(data->train)->count, x, &label);
        memcpy(p, b, sizeof p);
        for (int k = 0; k < PIXELS; k++)
            for (int j = 0; j < DIGITS; j++)
                p[j] += x[k] * w[k][j];
        for (int j = 0; j < DIGITS; j++)
            sum += p[j] = expf(p[j]);
        for (int j = 0; j < DIGITS; j++) {
            const float d = 0.02f * (p[j] / sum - (float)(j == label));
            b[j] -= d;
            for (int k = 0; k < PIXELS; k++)
                w[k][j] -= d * x[k];
        }
    }
    const int64_t count = bur_dataset_describe(data->test)->count;
    int64_t right = 0;
    for (int64_t i = 0; i < count; i++) {
        float x[PIXELS], p[DIGITS];
        int32_t label;
        int best = 0;
        take(data->test, i, x, &label);
        memcpy(p, b, sizeof p);
        for (int k = 0; k < PIXELS; k++)
            for (int j = 0; j < DIGITS; j++)
                p[j] += x[k] * w[k][j];
        for (int j = 1; j < DIGITS; j++)
            best = p[j] > p[best] ? j : best;
        right += best == label;
    }
    return (double)right / (double)count;
}

static void test_data_drawn__digits_can_be_learned_but_not_by_a_line_alone(void **state)
{
    (void)state;
    bur_context *context = context_make();
    bur_data data = open_data(context, "digits", 3, 2000);
    const double accuracy = linear_accuracy(&data);
    if (accuracy < 0.75 || accuracy > 0.97)
        fail_msg("a linear model reaches %.3f", accuracy);
    bur_data_close(&data);
    bur_context_destroy(context);
}

/* 50 rows round each of (0,0), (1,1), (0,1), (1,0), in that order; deviation 0.3. */
static void test_data_drawn__xor_has_four_blobs_in_order(void **state)
{
    (void)state;
    static const float centre[4][2] = {{0, 0}, {1, 1}, {0, 1}, {1, 0}};
    bur_context *context = context_make();
    bur_data data = open_data(context, "xor", 42, 0);
    assert_int_equal(bur_dataset_describe(data.train)->count, 200);
    assert_int_equal(bur_dataset_describe(data.train)->classes, 2);
    double square = 0;
    for (int blob = 0; blob < 4; blob++) {
        double mean[2] = {0, 0};
        for (int64_t i = 0; i < 50; i++) {
            float x[2];
            int32_t label;
            take(data.train, blob * 50 + i, x, &label);
            assert_int_equal(label, blob / 2);
            for (int j = 0; j < 2; j++) {
                mean[j] += (double)x[j] / 50;
                square += pow((double)(x[j] - centre[blob][j]), 2) / 400;
            }
        }
        for (int j = 0; j < 2; j++) /* four deviations of the mean: 4 * 0.3 / sqrt(50) */
            assert_true(fabs(mean[j] - (double)centre[blob][j]) < 0.17);
    }
    assert_true(sqrt(square) > 0.26 && sqrt(square) < 0.34);
    bur_data_close(&data);

    const bur_data_options exact = {.noise = 0};
    assert_ok(bur_data_open(&data, context, "xor", &exact));
    float x[2];
    int32_t label;
    take(data.train, 149, x, &label);
    assert_true(x[0] == 0.0f && x[1] == 1.0f && label == 1);
    bur_data_close(&data);
    bur_context_destroy(context);
}

static void test_data_drawn__linear_is_3x_plus_2(void **state)
{
    (void)state;
    bur_context *context = context_make();
    bur_data data = open_data(context, "linear", 7, 2000);
    const bur_dataset_info *info = bur_dataset_describe(data.train);
    assert_int_equal(info->classes, 0);
    assert_true(bur_shape_equal(&info->target, &(bur_shape){.rank = 1, .dim = {1}}));
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0, error = 0;
    for (int64_t i = 0; i < 2000; i++) {
        float x, y;
        take(data.train, i, &x, &y);
        n += 1;
        sx += (double)x;
        sy += (double)y;
        sxx += (double)x * (double)x;
        sxy += (double)x * (double)y;
        error += pow((double)y - 3 * (double)x - 2, 2) / 2000;
    }
    const double w = (n * sxy - sx * sy) / (n * sxx - sx * sx), b = (sy - w * sx) / n;
    assert_true(fabs(w - 3) < 0.05 && fabs(b - 2) < 0.05);
    assert_true(fabs(sqrt(error) - 0.5) < 0.04);
    bur_data_close(&data);
    bur_context_destroy(context);
}

static void test_data_drawn__spiral_arms_take_turns(void **state)
{
    (void)state;
    bur_context *context = context_make();
    bur_data data = open_data(context, "spiral", 5, 0);
    for (int64_t i = 0; i < 300; i++) {
        float x[2];
        int32_t label;
        take(data.train, i, x, &label);
        assert_int_equal(label, i % 3);
        const double r = hypot((double)x[0], (double)x[1]);
        assert_true(r < 1.0001);
        /* angle = 4 (arm + r) within 5 deviations of the noise, modulo a turn */
        const double angle = atan2((double)x[0], (double)x[1]) - 4 * (label + r);
        if (r > 0.01)
            assert_true(fabs(remainder(angle, 6.283185307179586)) < 1.01);
    }
    bur_data_close(&data);
    bur_context_destroy(context);
}

static void test_data_drawn__random_has_the_shape_and_classes_asked_for(void **state)
{
    (void)state;
    bur_context *context = context_make();
    bur_data data;
    bur_data_options options = {
        .count = 3000, .classes = 1000, .sample = {.rank = 2, .dim = {2, 3}}};
    assert_ok(bur_data_open(&data, context, "random", &options));
    const bur_dataset_info *info = bur_dataset_describe(data.train);
    assert_int_equal(info->classes, 1000);
    assert_int_equal(info->bytes, 3000 * (6 * 4 + 4));
    double sum = 0;
    int32_t most = 0;
    for (int64_t i = 0; i < 3000; i++) {
        float x[6];
        int32_t label = -1;
        take(data.train, i, x, &label);
        assert_in_range(label, 0, 999);
        most = label > most ? label : most;
        for (int j = 0; j < 6; j++) {
            assert_true(x[j] >= 0.0f && x[j] < 1.0f);
            sum += (double)x[j];
        }
    }
    assert_true(fabs(sum / 18000 - 0.5) < 0.01);
    assert_true(most > 255);
    bur_data_close(&data);

    options.classes = 0;
    assert_ok(bur_data_open(&data, context, "random", &options));
    assert_int_equal(bur_dataset_target_bytes(bur_dataset_describe(data.train)), 4);
    bur_data_close(&data);
    bur_context_destroy(context);
}
