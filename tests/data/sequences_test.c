#include "test.h"

#include <math.h>
#include <string.h>

enum { ADDING_LENGTH = 100, TOKENS_LENGTH = 128 };

static bur_context *context_make(void)
{
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    return context;
}

static bur_data open_data(bur_context *context, const char *name, bur_data_options options)
{
    bur_data data;
    options.noise = -1;
    assert_ok(bur_data_open(&data, context, name, &options));
    return data;
}

static void take(const bur_dataset *set, int64_t row, float *x, void *target)
{
    bur_dataset_gather(set, &row, 1, x, target);
}

static void test_data_sequences__adding_sums_one_marked_value_of_each_half(void **state)
{
    (void)state;
    bur_context *context = context_make();
    bur_data data = open_data(context, "adding", (bur_data_options){.seed = 3});
    const bur_dataset_info *info = bur_dataset_describe(data.train);
    const int64_t count = info->count;
    assert_int_equal(info->classes, 0);
    assert_true(bur_shape_equal(&info->sample, &(bur_shape){.rank = 2, .dim = {ADDING_LENGTH, 2}}));
    assert_true(bur_shape_equal(&info->target, &(bur_shape){.rank = 1, .dim = {1}}));
    double mean = 0, square = 0, values = 0;
    for (int64_t i = 0; i < count; i++) {
        float x[ADDING_LENGTH][2], y = -1;
        take(data.train, i, x[0], &y);
        int marks[2] = {0, 0};
        double sum = 0;
        for (int t = 0; t < ADDING_LENGTH; t++) {
            assert_true(x[t][0] >= 0.0f && x[t][0] < 1.0f);
            assert_true(x[t][1] == 0.0f || x[t][1] == 1.0f);
            marks[t >= ADDING_LENGTH / 2] += x[t][1] != 0.0f;
            sum += (double)(x[t][0] * x[t][1]);
            values += (double)x[t][0];
        }
        assert_int_equal(marks[0], 1);
        assert_int_equal(marks[1], 1);
        assert_true(fabs(sum - (double)y) < 1e-6);
        mean += (double)y / (double)count;
        square += (double)y * (double)y / (double)count;
    }
    /* four deviations: 4 sqrt(1/6 / 10000), and the sixth within 3% */
    assert_true(fabs(mean - 1) < 0.017);
    assert_true(fabs(square - mean * mean - 1.0 / 6) < 0.005);
    assert_true(fabs(values / (double)(count * ADDING_LENGTH) - 0.5) < 0.002);
    bur_data_close(&data);
    bur_context_destroy(context);
}

/* Places and ids of the ranked tokens of a sample; returns how many there are. */
static int ranked(const float *x, int64_t length, int64_t *id, int most)
{
    int found = 0;
    for (int64_t t = 0; t < length; t++) {
        assert_true(x[t] == floorf(x[t]) && x[t] >= 0.0f && x[t] < BUR_TOKENS_VOCABULARY);
        assert_true(x[t] <= 8.0f);
        if (x[t] < 8.0f && found < most)
            id[found++] = (int64_t)x[t];
    }
    return found;
}

static void test_data_sequences__tokens_are_of_class_1_exactly_where_ranked_ids_ascend(void **state)
{
    (void)state;
    bur_context *context = context_make();
    bur_data data = open_data(context, "tokens", (bur_data_options){.seed = 4, .count = 2000});
    const bur_dataset_info *info = bur_dataset_describe(data.train);
    assert_int_equal(info->classes, 2);
    assert_true(bur_shape_equal(&info->sample, &(bur_shape){.rank = 1, .dim = {TOKENS_LENGTH}}));
    assert_int_equal(info->bytes, 2000 * (TOKENS_LENGTH * 4 + 1));
    int64_t of_class[2] = {0, 0};
    double sum[2] = {0, 0};
    for (int64_t i = 0; i < 2000; i++) {
        float x[TOKENS_LENGTH];
        int64_t id[16];
        int32_t label = -1;
        take(data.train, i, x, &label);
        const int found = ranked(x, TOKENS_LENGTH, id, 16);
        assert_int_equal(found, 4);
        bool ascending = true;
        for (int k = 1; k < found; k++)
            ascending = ascending && id[k - 1] < id[k];
        assert_int_equal(label, ascending);
        of_class[label]++;
        for (int k = 0; k < found; k++)
            sum[label] += (double)id[k];
    }
    assert_int_equal(of_class[0], 1000);
    assert_int_equal(of_class[1], 1000);
    /* The ids themselves tell nothing: both means are 3.5 within four deviations. */
    for (int c = 0; c < 2; c++)
        assert_true(fabs(sum[c] / 4000 - 3.5) < 4 * 2.3 / sqrt(4000));
    bur_data_close(&data);
    bur_context_destroy(context);
}

static void test_data_sequences__samples_depend_on_seed_and_index_only(void **state)
{
    static const char *const names[] = {"adding", "tokens"};
    (void)state;
    bur_context *context = context_make();
    for (int n = 0; n < 2; n++) {
        bur_data a = open_data(context, names[n], (bur_data_options){.seed = 1, .count = 80}),
                 b = open_data(context, names[n], (bur_data_options){.seed = 1, .count = 40}),
                 c = open_data(context, names[n], (bur_data_options){.seed = 2, .count = 80});
        int same_seed = 0, other_seed = 0, other_part = 0;
        for (int64_t i = 0; i < 40; i++) {
            float x[256], y[256], z[256], t[256];
            int32_t target[4]; /* labels or values */
            const size_t bytes = 4 * (size_t)(n == 0 ? ADDING_LENGTH * 2 : TOKENS_LENGTH);
            take(a.train, i, x, &target[0]);
            take(b.train, i, y, &target[1]);
            take(c.train, i, z, &target[2]);
            take(a.test, i % 20, t, &target[3]);
            same_seed += memcmp(x, y, bytes) == 0 && target[0] == target[1];
            other_seed += memcmp(x, z, bytes) == 0;
            other_part += memcmp(x, t, bytes) == 0;
        }
        assert_int_equal(same_seed, 40);
        assert_int_equal(other_seed, 0);
        assert_int_equal(other_part, 0);
        bur_data_close(&a);
        bur_data_close(&b);
        bur_data_close(&c);
    }
    bur_context_destroy(context);
}

static void test_data_sequences__length_is_that_asked_for_or_refused_by_name(void **state)
{
    static const struct {
        const char *name;
        int64_t length;
        bur_status status;
    } cases[] = {
        {"adding", 2, BUR_OK},    {"adding", 7, BUR_OK},
        {"adding", 1, BUR_E_ARG}, {"tokens", 4, BUR_OK},
        {"tokens", 3, BUR_E_ARG}, {"adding", -1, BUR_E_ARG},
        {"digits", 9, BUR_E_ARG}, {"adding", INT64_MAX, BUR_E_RANGE},
    };
    (void)state;
    bur_context *context = context_make();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bur_data_options options = {.noise = -1, .count = 20, .length = cases[i].length};
        bur_dataset_info train, test;
        assert_status(cases[i].status,
                      bur_data_describe(&train, &test, context, cases[i].name, &options));
        if (cases[i].status != BUR_OK)
            continue;
        assert_int_equal(train.sample.dim[0], cases[i].length);
        bur_data data = open_data(context, cases[i].name, options);
        assert_int_equal(bur_dataset_describe(data.train)->bytes, train.bytes);
        assert_int_equal(bur_dataset_describe(data.test)->bytes, test.bytes);
        assert_int_equal(test.count, 5);
        bur_data_close(&data);
    }
    bur_context_destroy(context);
}
