/* Which code carries out a Dense layer's product. */
#define _GNU_SOURCE /* setenv */
#include "opencl/call.h"
#include "support/execute.h"

#include <backends/backends.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first OpenCL device as it is, or told that it is a GPU: CLBlast's. */
static void open_first(test_device *device, bool as_gpu)
{
    const char *name = NULL;
    char reason[BUR_TEXT_BYTES] = "", note[BUR_TEXT_BYTES] = "";
    const bur_backend *backend = bur_backend_load(0, &name, reason);
    if (backend == NULL)
        fail_msg("%s: %s", name, reason);
    bur_context *context = NULL;
    bur_device_info info;
    int32_t count = 0;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(backend->enumerate(context, &info, 1, &count, note));
    assert_int_equal(1, count);
    info.kind = as_gpu ? BUR_DEVICE_GPU : BUR_DEVICE_CPU;
    assert_ok(test_device_open_as(device, backend, context, &info));
}

/* y[m,n] = relu(x[m,k] w[k,n] + bias[n]) */
static void make_dense(bound_call *c, int64_t m, int64_t k, int64_t n)
{
    *c = (bound_call){.call = {.op = BUR_OP_matmul_bias_act, .n_outputs = 1}};
    c->attr.matmul.activation = BUR_RELU;
    call_add_input(c, BUR_F32, 2, (int64_t[]){m, k});
    call_add_input(c, BUR_F32, 2, (int64_t[]){k, n});
    call_add_input(c, BUR_F32, 1, (int64_t[]){n});
}

static void make_product(bound_call *c, int64_t m, int64_t k, int64_t n, int transpose)
{
    *c = (bound_call){.call = {.op = BUR_OP_matmul, .n_outputs = 1}};
    c->attr.matmul.transpose_a = transpose & 1;
    c->attr.matmul.transpose_b = transpose >> 1;
    call_add_input(c, BUR_F32, 2, transpose & 1 ? (int64_t[]){k, m} : (int64_t[]){m, k});
    call_add_input(c, BUR_F32, 2, transpose >> 1 ? (int64_t[]){n, k} : (int64_t[]){k, n});
}

/* With options that no compiler takes CLBlast, and nothing else of ours, has no kernels. */
static int run_without_clblast_kernels(bool as_gpu, int64_t m, int64_t k, int64_t n)
{
    setenv("CLBLAST_BUILD_OPTIONS", "-there-is-no-such-option", 1);
    test_device device;
    open_first(&device, as_gpu);
    bound_call c;
    make_dense(&c, m, k, n);
    assert_ok(call_bind(&c, &device));
    const bur_status status = device.backend->run(device.handle, &c.command, 1);
    call_free(&c, &device);
    test_device_close(&device);
    return status == BUR_OK ? 0 : status == BUR_E_LOST ? 1 : 2;
}

static int in_a_child(bool as_gpu, int64_t m, int64_t k, int64_t n)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run_without_clblast_kernels(as_gpu, m, k, n));
    int status = 0;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* First in this file: a driver's threads do not survive fork, so the parent must not have opened
 * it.
 */
static void test_opencl_gemm__without_clblast_only_a_large_dense_on_a_gpu_fails(void **state)
{
    (void)state;
    assert_int_equal(1, in_a_child(true, 128, 784, 256));
    assert_int_equal(0, in_a_child(true, 8, 16, 10));
    assert_int_equal(0, in_a_child(false, 128, 784, 256));
}

static void test_opencl_gemm__a_large_dense_on_a_gpu_runs_clblast(void **state)
{
    (void)state;
    test_device device;
    open_first(&device, true);
    bound_call c;
    make_dense(&c, 128, 784, 256);
    assert_ok(call_bind(&c, &device));
    const char *text = device.backend->command_text(c.command);
    assert_null(strstr(text, "CLBlast")); /* only CLBlast's success puts its name there */
    assert_ok(device.backend->run(device.handle, &c.command, 1));
    assert_ok(device.backend->sync(device.handle));
    assert_string_equal("CLBlast Xgemm, 1 calls", device.backend->command_text(c.command));
    assert_ok(device.backend->run(device.handle, &c.command, 1));
    assert_ok(device.backend->sync(device.handle));
    assert_string_equal("CLBlast Xgemm, 2 calls", device.backend->command_text(c.command));
    call_free(&c, &device);
    test_device_close(&device);
}

/* bind asks CLBlast what it wants on this device and fails if the plan gave less. */
static void test_opencl_gemm__the_planned_scratch_is_enough_for_clblast(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{64, 64, 64},   {65, 65, 63},   {1, 1024, 1024},
                                       {1024, 1, 512}, {512, 512, 1},  {129, 257, 513},
                                       {32, 784, 128}, {1000, 33, 17}, {128, 128, 128}};
    test_device device;
    open_first(&device, true);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int transpose = 0; transpose < 4; transpose++) {
            bound_call c;
            make_product(&c, sizes[i][0], sizes[i][1], sizes[i][2], transpose);
            assert_ok(call_bind(&c, &device));
            assert_ok(device.backend->run(device.handle, &c.command, 1));
            assert_ok(device.backend->sync(device.handle));
            assert_string_equal("CLBlast Xgemm, 1 calls", device.backend->command_text(c.command));
            /* What is assumed of an absent device covers what this one wants. */
            bur_device_info absent = device.info;
            absent.assumed = 1;
            assert_true(device.backend->scratch(&absent, &c.call, 1) >=
                        device.backend->scratch(&device.info, &c.call, 1));
            call_free(&c, &device);
        }
    test_device_close(&device);
}

/* Small whole numbers: products and their sums are exact. */
static float *whole_numbers(int64_t count, int64_t seed)
{
    float *x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)((i * 7919 + seed) % 17 - 8);
    return x;
}

static void check_product(const test_device *device, const int64_t *size, int transpose)
{
    const int64_t m = size[0], k = size[1], n = size[2];
    bound_call c;
    make_product(&c, m, k, n, transpose);
    c.call.attr = &c.attr;
    c.call.inputs = c.inputs;
    c.call.outputs = c.outputs;
    assert_ok(bur_op_infer(&c.call, c.outputs));
    float *a = whole_numbers(m * k, 3), *b = whole_numbers(k * n, 5);
    float *y = whole_numbers(m * n, 0);
    test_execute(device, &c.call, (void *[]){a, b}, (void *[]){y}, false);
    for (int64_t row = 0; row < m; row++)
        for (int64_t column = 0; column < n; column++) {
            float sum = 0;
            for (int64_t i = 0; i < k; i++)
                sum += a[transpose & 1 ? i * m + row : row * k + i] *
                       b[transpose >> 1 ? column * k + i : i * n + column];
            if (sum != y[row * n + column])
                fail_msg("%s: %d x %d x %d, transposed %d: %g at %d, %d; %g is right",
                         device->label, (int)m, (int)k, (int)n, transpose,
                         (double)y[row * n + column], (int)row, (int)column, (double)sum);
        }
    free(a);
    free(b);
    free(y);
}

/* Direct and packed products, with whole tiles and with remainders in each direction. */
static void test_opencl_gemm__large_products_are_exact_on_a_cpu(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{64, 64, 64},   {65, 67, 70},   {33, 500, 32},
                                       {256, 33, 512}, {300, 70, 257}, {4, 2000, 48}};
    test_device device;
    open_first(&device, false);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int transpose = 0; transpose < 4; transpose++)
            check_product(&device, sizes[i], transpose);
    test_device_close(&device);
}
