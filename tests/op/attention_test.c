/* What attention makes of numbers that the row tests do not draw, and of memory. */
#include "test.h"

#include "support/device.h"
#include "support/execute.h"

#include <math.h>
#include <stdlib.h>

enum { T = 3, D = 2 };

/* One head of q, k, v [1, T, D]; y receives the output. */
static void attend(const test_device *device, const float *q, const float *k, const float *v,
                   float *y)
{
    const bur_desc desc = {.dtype = BUR_F32, .shape = {.rank = 3, .dim = {1, T, D}}};
    const bur_desc inputs[] = {desc, desc, desc};
    const bur_attr attr = {.attention = {.scale = 1}};
    bur_desc outputs[1];
    bur_call call = {BUR_OP_attention, &attr, 3, 1, inputs, outputs};
    assert_ok(bur_op_infer(&call, outputs));
    float x[3][T * D];
    for (int i = 0; i < T * D; i++) {
        x[0][i] = q[i];
        x[1][i] = k[i];
        x[2][i] = v[i];
    }
    test_execute(device, &call, (void *[]){x[0], x[1], x[2]}, (void *[]){y}, false);
}

/* The greatest score takes all: nothing overflows, not even where all scores are low. */
static void test_op_attention__scores_of_ten_thousand_do_not_overflow(void **state)
{
    (void)state;
    const float q[T * D] = {100, 0, 0, 100, -100, -100}, k[T * D] = {100, 0, 0, 100, 0, 1};
    const float v[T * D] = {1, 2, 3, 4, 5, 6}, wanted[T * D] = {1, 2, 3, 4, 5, 6};
    test_device devices[TEST_MAX_DEVICES];
    int32_t count = 0;
    assert_true(test_devices_open(devices, &count));
    for (int32_t i = 0; i < count; i++) {
        float y[T * D];
        attend(&devices[i], q, k, v, y);
        for (int j = 0; j < T * D; j++)
            assert_true(fabsf(y[j] - wanted[j]) <= 1e-6f * wanted[j]);
        test_device_close(&devices[i]);
    }
}

/* As PyTorch has it: one in a key is in all queries, one in a query in that alone. */
static void test_op_attention__a_nan_goes_where_it_should(void **state)
{
    (void)state;
    const float q[T * D] = {1, 0, NAN, 1, 1, 1}, one[T * D] = {1, 1, 1, 1, 1, 1};
    const float k[T * D] = {1, 0, 1, NAN, 1, 1};
    test_device devices[TEST_MAX_DEVICES];
    int32_t count = 0;
    assert_true(test_devices_open(devices, &count));
    for (int32_t i = 0; i < count; i++) {
        float y[T * D];
        attend(&devices[i], q, one, one, y);
        for (int j = 0; j < T * D; j++)
            assert_int_equal(isnan(y[j]) != 0, j / D == 1);
        attend(&devices[i], one, k, one, y);
        for (int j = 0; j < T * D; j++)
            assert_true(isnan(y[j]));
        test_device_close(&devices[i]);
    }
}

/* The backend's scratch, without the matrix of scores: eight times the length, at most eight times
 * the memory. */
static void test_op_attention__memory_is_linear_in_the_length(void **state)
{
    (void)state;
    test_device devices[TEST_MAX_DEVICES];
    int32_t count = 0;
    assert_true(test_devices_open(devices, &count));
    for (int32_t i = 0; i < count; i++) {
        size_t bytes[2];
        for (int long_one = 0; long_one < 2; long_one++) {
            const int64_t length = long_one ? 16384 : 2048;
            const bur_desc x = {.dtype = BUR_F32, .shape = {.rank = 3, .dim = {1, length, 192}}};
            const bur_desc y = {.dtype = BUR_F32, .shape = {.rank = 3, .dim = {1, length, 64}}};
            const bur_desc sums = {.dtype = BUR_F32, .shape = {.rank = 3, .dim = {1, 1, length}}};
            const bur_desc inputs[] = {y, y, sums, x};
            const bur_attr attr = {.attention = {.heads = 1}};
            bur_desc outputs[1];
            bur_call call = {BUR_OP_self_attention_grad, &attr, 4, 1, inputs, outputs};
            assert_ok(bur_op_infer(&call, outputs));
            bytes[long_one] = devices[i].backend->scratch(&devices[i].info, &call, 2);
        }
        assert_true(bytes[1] <= 8 * bytes[0]);
        test_device_close(&devices[i]);
    }
}
