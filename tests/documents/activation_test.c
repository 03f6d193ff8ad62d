/* What the documents say of activations at the edges, by eager calls on every device. */
#include "support/opened.h"
#include "test.h"

#include <math.h>

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
