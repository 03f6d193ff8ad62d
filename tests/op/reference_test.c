#include "test.h"

#include "reference/reference.h"
#include "support/device.h"
#include "support/example.h"
#include "support/execute.h"

#include <math.h>
#include <string.h>

/* What the reference itself is held to: figures worked out by hand or printed in the literature. */
static void evaluate(bur_op op, const char *attr_text, const double *x0, const int64_t *shape0,
                     const double *x1, const int64_t *shape1, double *y)
{
    bur_attr attr;
    assert_ok(bur_attr_parse(&attr, op, attr_text));
    const int64_t *shapes[] = {shape0, shape1};
    const void *values[] = {x0, x1};
    bur_desc inputs[2], outputs[2];
    void *x[2];
    for (int i = 0; i < 2 && shapes[i] != NULL; i++) {
        bur_shape shape = {.rank = 0};
        int32_t rank = 0;
        while (rank < 4 && shapes[i][rank] > 0)
            rank++;
        assert_ok(bur_shape_make(&shape, rank, shapes[i]));
        inputs[i] = bur_desc_make(BUR_F64, &shape);
        memcpy(&x[i], &values[i], sizeof x[i]); /* rows without update only read */
    }
    const bur_call call = {op, &attr, shape1 == NULL ? 1 : 2, 1, inputs, outputs};
    assert_ok(bur_op_infer(&call, outputs));
    bur_test_reference_evaluate(&call, x, (void *[]){y});
}

static void assert_values(const double *y, const double *wanted, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabs(y[i] - wanted[i]) < 1e-12))
            fail_msg("element %d is %.15g, not %.15g", i, y[i], wanted[i]);
}

static void test_op_reference__products_match_hand_calculation(void **state)
{
    (void)state;
    const double a[] = {1, 2, 3, 4, 5, 6}, b[] = {7, 8, 9, 10, 11, 12};
    double y[9];
    evaluate(BUR_OP_matmul, "", a, (int64_t[]){2, 3, 0}, b, (int64_t[]){3, 2, 0}, y);
    assert_values(y, (double[]){58, 64, 139, 154}, 4);
    evaluate(BUR_OP_matmul, "transpose_b=1", a, (int64_t[]){2, 3, 0}, b, (int64_t[]){2, 3, 0}, y);
    assert_values(y, (double[]){50, 68, 122, 167}, 4);
    evaluate(BUR_OP_matmul, "transpose_a=1", a, (int64_t[]){2, 3, 0}, b, (int64_t[]){2, 3, 0}, y);
    assert_values(y, (double[]){47, 52, 57, 64, 71, 78, 81, 90, 99}, 9);
}

static void test_op_reference__images_match_hand_calculation(void **state)
{
    (void)state;
    const double image[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, edge[] = {1, 0, 0, -1};
    double y[9];
    /* cross-correlation, not turned over: 1*1 - 5*1 */
    evaluate(BUR_OP_conv2d, "", image, (int64_t[]){1, 3, 3, 1}, edge, (int64_t[]){2, 2, 1, 1}, y);
    assert_values(y, (double[]){-4, -4, -4, -4}, 4);
    evaluate(BUR_OP_conv2d, "pad=1,0,1,0", image, (int64_t[]){1, 3, 3, 1}, edge,
             (int64_t[]){2, 2, 1, 1}, y);
    assert_values(y, (double[]){-1, -2, -3, -4, -4, -4, -7, -4, -4}, 9);
    evaluate(BUR_OP_max_pool2d, "window=2,2 stride=1,1", image, (int64_t[]){1, 3, 3, 1}, NULL, NULL,
             y);
    assert_values(y, (double[]){5, 6, 8, 9}, 4);
}

static void test_op_reference__softmax_matches_known_values(void **state)
{
    (void)state;
    const double x[] = {log(1), log(2), log(5), 700 + log(3), 700, 700};
    double y[6];
    evaluate(BUR_OP_softmax, "", x, (int64_t[]){2, 3, 0}, NULL, NULL, y);
    assert_values(y, (double[]){0.125, 0.25, 0.625, 0.6, 0.2, 0.2}, 6);
}

/* ---- the backend around it ---- */

static void open_reference(test_device *device)
{
    bur_test_reference_reset();
    assert_ok(test_device_open(device, bur_test_reference_backend(), 1));
}

static void test_op_reference__runs_f32_graphs_through_the_backend_interface(void **state)
{
    (void)state;
    test_device device;
    open_reference(&device);
    for (int op = 0; op < BUR_OP_COUNT; op++) {
        test_example example;
        test_example_create(&example, (bur_op)op, 0, bur_op_get((bur_op)op)->outputs_max, BUR_F32,
                            TEST_ROUGH);
        double result[TEST_MAX_OUTPUTS][1024];
        void *outputs[TEST_MAX_OUTPUTS];
        for (int i = 0; i < TEST_MAX_OUTPUTS; i++)
            outputs[i] = result[i];
        assert_true(example.call.n_outputs == 0 ||
                    bur_desc_bytes(&example.outputs[0]) <= sizeof result[0]);
        test_execute(&device, &example.call, example.x, outputs, false);
        test_example_destroy(&example);
    }
    test_device_close(&device);
}

static void test_op_reference__refuses_an_operator_by_name(void **state)
{
    (void)state;
    test_device device;
    open_reference(&device);
    test_example relu, tanh_example;
    test_example_create(&relu, BUR_OP_relu, 0, 1, BUR_F32, TEST_ROUGH);
    test_example_create(&tanh_example, BUR_OP_tanh, 0, 1, BUR_F32, TEST_ROUGH);
    char reason[BUR_TEXT_BYTES] = "";
    bur_test_reference_refuse("relu");
    assert_false(device.backend->supports(&device.info, &relu.call, reason));
    assert_non_null(strstr(reason, "relu"));
    assert_true(device.backend->supports(&device.info, &tanh_example.call, reason));
    bur_test_reference_refuse(NULL);
    assert_true(device.backend->supports(&device.info, &relu.call, reason));
    test_example_destroy(&relu);
    test_example_destroy(&tanh_example);
    test_device_close(&device);
}

static void test_op_reference__is_lost_after_the_calls_asked_for(void **state)
{
    (void)state;
    test_device device;
    open_reference(&device);
    bur_buffer *buffer = NULL;
    assert_ok(device.backend->buffer_create(&buffer, device.handle, 64));
    bur_test_reference_lose_after(4);
    unsigned char byte = 0;
    assert_ok(device.backend->run(device.handle, NULL, 0));
    assert_ok(device.backend->write(buffer, 0, &byte, 1));
    assert_ok(device.backend->read(buffer, 0, &byte, 1));
    assert_ok(device.backend->sync(device.handle));
    assert_status(BUR_E_LOST, device.backend->run(device.handle, NULL, 0));
    assert_status(BUR_E_LOST, device.backend->sync(device.handle));
    assert_status(BUR_E_LOST, device.backend->read(buffer, 0, &byte, 1));
    assert_status(BUR_E_LOST, device.backend->write(buffer, 0, &byte, 1));
    assert_int_equal(bur_test_reference_calls(), 9);
    bur_test_reference_reset();
    assert_ok(device.backend->read(buffer, 0, &byte, 1));
    device.backend->buffer_destroy(buffer);
    test_device_close(&device);
}

static void test_op_reference__buffers_beyond_its_memory_are_refused(void **state)
{
    (void)state;
    test_device device;
    bur_test_reference_reset();
    bur_test_reference_limit(1000, 600);
    assert_ok(test_device_open(&device, bur_test_reference_backend(), 1));
    assert_int_equal(device.info.memory_bytes, 1000);
    bur_buffer *first = NULL, *second = NULL;
    assert_status(BUR_E_NOMEM, device.backend->buffer_create(&first, device.handle, 601));
    assert_ok(device.backend->buffer_create(&first, device.handle, 600));
    assert_status(BUR_E_NOMEM, device.backend->buffer_create(&second, device.handle, 401));
    assert_ok(device.backend->buffer_create(&second, device.handle, 400));
    device.backend->buffer_destroy(first);
    device.backend->buffer_destroy(second);
    test_device_close(&device);
    bur_test_reference_reset();
}
