#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FAN_IN = 400, FAN_OUT = 500, COUNT = FAN_IN * FAN_OUT };

static const bur_desc matrix = {.dtype = BUR_F32, .shape = {.rank = 2, .dim = {FAN_IN, FAN_OUT}}};

static float *draw(const bur_desc *desc, bur_initializer initializer, uint64_t seed,
                   int32_t parameter)
{
    float *values = malloc((size_t)bur_desc_count(desc) * sizeof *values);
    assert_non_null(values);
    bur_initialize(values, desc, initializer, seed, parameter);
    return values;
}

/* Mean within four deviations of 0, variance within 2%, and the largest size that can come. */
static void test_nn_initialize__random_starts_have_their_variance_and_bounds(void **state)
{
    (void)state;
    const double of_2_sigma = 0.87962566103423978; /* deviation of a normal within [-2, 2] */
    const double both = 2.0 / (FAN_IN + FAN_OUT), in = 1.0 / FAN_IN;
    const struct {
        bur_initializer initializer;
        double variance, most;
    } cases[] = {
        {BUR_INIT_DEFAULT, both, sqrt(3 * both)},
        {BUR_INIT_GLOROT_UNIFORM, both, sqrt(3 * both)},
        {BUR_INIT_GLOROT_NORMAL, both, 2 * sqrt(both) / of_2_sigma},
        {BUR_INIT_HE_UNIFORM, 2 * in, sqrt(6 * in)},
        {BUR_INIT_HE_NORMAL, 2 * in, 2 * sqrt(2 * in) / of_2_sigma},
        {BUR_INIT_LECUN_UNIFORM, in, sqrt(3 * in)},
        {BUR_INIT_LECUN_NORMAL, in, 2 * sqrt(in) / of_2_sigma},
        {BUR_INIT_RANDOM_UNIFORM, 0.05 * 0.05 / 3, 0.05},
        {BUR_INIT_RANDOM_NORMAL, 0.05 * 0.05, 0.35},
        {BUR_INIT_TRUNCATED_NORMAL, pow(0.05 * of_2_sigma, 2), 0.1},
        {BUR_INIT_ORTHOGONAL, 1.0 / FAN_OUT, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        float *values = draw(&matrix, cases[c].initializer, 42, 3);
        double sum = 0, squares = 0, most = 0;
        for (int64_t i = 0; i < COUNT; i++) {
            sum += (double)values[i];
            squares += (double)values[i] * (double)values[i];
            most = fmax(most, fabs((double)values[i]));
        }
        const double mean = sum / COUNT, variance = squares / COUNT - mean * mean;
        if (fabs(mean) > 4 * sqrt(cases[c].variance / COUNT) ||
            fabs(variance / cases[c].variance - 1) > 0.02 || most > cases[c].most * (1 + 1e-6))
            fail_msg("%s: mean %g, variance %g, largest %g",
                     bur_initializer_name(cases[c].initializer), mean, variance, most);
        free(values);
    }
    assert_int_equal(sizeof cases / sizeof *cases + 3, BUR_INITIALIZER_COUNT);
}

/* Largest distance of the products of the rows (or columns) of a matrix from the unit matrix. */
static double distance_from_unit(const float *values, int64_t rows, int64_t columns, bool of_rows)
{
    const int64_t n = of_rows ? rows : columns, length = of_rows ? columns : rows;
    double most = 0;
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = 0; b <= a; b++) {
            double sum = 0;
            for (int64_t i = 0; i < length; i++)
                sum += of_rows ? (double)values[a * columns + i] * (double)values[b * columns + i]
                               : (double)values[i * columns + a] * (double)values[i * columns + b];
            most = fmax(most, fabs(sum - (a == b)));
        }
    return most;
}

static void test_nn_initialize__orthogonal_is_orthonormal_in_its_shorter_direction(void **state)
{
    (void)state;
    static const bur_shape shapes[] = {
        {.rank = 2, .dim = {64, 64}},      {.rank = 2, .dim = {37, 101}},
        {.rank = 2, .dim = {101, 37}},     {.rank = 4, .dim = {3, 3, 5, 16}},
        {.rank = 4, .dim = {1, 1, 7, 31}}, {.rank = 1, .dim = {9}},
        {.rank = 2, .dim = {1, 1}},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const bur_desc desc = {.dtype = BUR_F32, .shape = shapes[s]};
        const int64_t columns = shapes[s].dim[shapes[s].rank - 1],
                      rows = bur_desc_count(&desc) / columns;
        float *values = draw(&desc, BUR_INIT_ORTHOGONAL, 7, 1);
        const double distance = distance_from_unit(values, rows, columns, rows < columns);
        if (!(distance < 1e-6))
            fail_msg("%dx%d is %g from orthonormal", (int)rows, (int)columns, distance);
        free(values);
    }
}

/* The unique Q of A = QR with R's diagonal positive: Q^T A is upper triangular and its diagonal
 * positive, A being what random_normal draws with the same seed but for its deviation. */
static void test_nn_initialize__orthogonal_is_the_sign_corrected_q_of_a_normal(void **state)
{
    enum { N = 23 };
    (void)state;
    const bur_desc desc = {.dtype = BUR_F32, .shape = {.rank = 2, .dim = {N, N}}};
    float *q = draw(&desc, BUR_INIT_ORTHOGONAL, 5, 2),
          *a = draw(&desc, BUR_INIT_RANDOM_NORMAL, 5, 2);
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++) {
            double r = 0;
            for (int k = 0; k < N; k++)
                r += (double)q[k * N + i] * (double)a[k * N + j] / 0.05;
            if (i == j)
                assert_true(r > 0);
            else
                assert_true(fabs(r) < 1e-5);
        }
    free(q);
    free(a);
}

static void test_nn_initialize__a_start_depends_on_seed_and_parameter_only(void **state)
{
    (void)state;
    for (int32_t i = 0; i < BUR_INITIALIZER_COUNT; i++) {
        const bur_initializer initializer = (bur_initializer)i;
        if (initializer == BUR_INIT_ZEROS || initializer == BUR_INIT_ONES ||
            initializer == BUR_INIT_UNIT_FORGET)
            continue;
        const bur_desc desc = {.dtype = BUR_F32, .shape = {.rank = 2, .dim = {13, 17}}};
        const size_t bytes = bur_desc_bytes(&desc);
        float *first = draw(&desc, initializer, 1, 4), *again = draw(&desc, initializer, 1, 4),
              *seed = draw(&desc, initializer, 2, 4), *parameter = draw(&desc, initializer, 1, 5);
        assert_memory_equal(first, again, bytes);
        assert_memory_not_equal(first, seed, bytes);
        assert_memory_not_equal(first, parameter, bytes);
        free(first);
        free(again);
        free(seed);
        free(parameter);
    }
}
