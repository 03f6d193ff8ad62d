/* Which code carries out a Dense layer's product. */
#define _GNU_SOURCE /* setenv */
#include "opencl/call.h"

#include <backends/backends.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_first(test_device *device)
{
    const char *name = NULL;
    char reason[BUR_TEXT_BYTES] = "";
    const bur_backend *backend = bur_backend_load(0, &name, reason);
    if (backend == NULL)
        fail_msg("%s: %s", name, reason);
    assert_ok(test_device_open(device, backend, 1));
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
static int run_without_clblast_kernels(int64_t m, int64_t k, int64_t n)
{
    setenv("CLBLAST_BUILD_OPTIONS", "-there-is-no-such-option", 1);
    test_device device;
    open_first(&device);
    bound_call c;
    make_dense(&c, m, k, n);
    assert_ok(call_bind(&c, &device));
    const bur_status status = device.backend->run(device.handle, &c.command, 1);
    call_free(&c, &device);
    test_device_close(&device);
    return status == BUR_OK ? 0 : status == BUR_E_LOST ? 1 : 2;
}

static int in_a_child(int64_t m, int64_t k, int64_t n)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(run_without_clblast_kernels(m, k, n));
    int status = 0;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* First in this file: a driver's threads do not survive fork, so the parent must not have opened
 * it.
 */
static void test_opencl_gemm__without_clblast_kernels_only_a_large_dense_fails(void **state)
{
    (void)state;
    assert_int_equal(1, in_a_child(128, 784, 256));
    assert_int_equal(0, in_a_child(8, 16, 10));
}

static void test_opencl_gemm__a_large_dense_runs_clblast(void **state)
{
    (void)state;
    test_device device;
    open_first(&device);
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
    open_first(&device);
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
