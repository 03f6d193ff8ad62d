#define _POSIX_C_SOURCE 200809L /* setenv */
#include "test.h"

#include "backends/backends.h"
#include "support/device.h"
#include "support/example.h"
#include "support/execute.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Calls that are large enough for oneDNN; the rows of ops.def add small and odd ones. */
static const struct large_call {
    const char *name; /* of the operator */
    int32_t n_inputs;
    bur_shape inputs[3];
    const char *attr;
} large_calls[] = {
    {"matmul", 2, {{2, 0, {256, 256}}, {2, 0, {256, 256}}}, ""},
    {"matmul", 2, {{2, 0, {784, 96}}, {2, 0, {784, 160}}}, "transpose_a=1"},
    {"matmul", 2, {{2, 0, {160, 160}}, {2, 0, {784, 160}}}, "transpose_b=1"},
    {"matmul_bias_act",
     3,
     {{2, 0, {96, 784}}, {2, 0, {784, 160}}, {1, 0, {160}}},
     "activation=2 alpha=0.3"},
    {"conv2d", 2, {{4, 0, {8, 14, 14, 32}}, {4, 0, {3, 3, 32, 64}}}, "pad=1,1,1,1"},
    {"conv2d_bias_act",
     3,
     {{4, 0, {8, 14, 14, 32}}, {4, 0, {3, 3, 32, 64}}, {1, 0, {64}}},
     "pad=1,1,1,1 activation=1"},
    {"conv2d_bias_act",
     3,
     {{4, 0, {8, 14, 14, 32}}, {4, 0, {3, 3, 32, 64}}, {1, 0, {64}}},
     "pad=1,1,1,1 activation=5"},
    {"conv2d_bias_act",
     3,
     {{4, 0, {8, 14, 14, 32}}, {4, 0, {3, 3, 32, 64}}, {1, 0, {64}}},
     "pad=1,1,1,1 activation=6 alpha=0.5"},
    {"conv2d_bias_act",
     3,
     {{4, 0, {8, 14, 14, 32}}, {4, 0, {3, 3, 32, 64}}, {1, 0, {64}}},
     "pad=1,1,1,1 activation=7"},
    {"matmul_bias_act", 3, {{2, 0, {96, 784}}, {2, 0, {784, 160}}, {1, 0, {160}}}, "activation=8"},
    {"conv2d_grad_x",
     2,
     {{4, 0, {8, 14, 14, 64}}, {4, 0, {3, 3, 32, 64}}},
     "pad=1,1,1,1 input_size=14,14"},
    {"conv2d_grad_w",
     2,
     {{4, 0, {8, 14, 14, 32}}, {4, 0, {8, 14, 14, 64}}},
     "pad=1,1,1,1 kernel_size=3,3"},
};
enum { LARGE_CALLS = sizeof large_calls / sizeof *large_calls };

/* A call with values and a result; `call` points into it, so it is not copied. */
typedef struct instance {
    bur_attr attr;
    bur_desc inputs[3], output;
    bur_call call;
    void *x[3];
} instance;

static void instance_create(instance *out, const struct large_call *row)
{
    memset(out, 0, sizeof *out);
    bur_op op = BUR_OP_COUNT;
    assert_ok(bur_op_find(&op, row->name));
    assert_ok(bur_attr_parse(&out->attr, op, row->attr));
    out->call = (bur_call){op, &out->attr, row->n_inputs, 1, out->inputs, &out->output};
    for (int32_t i = 0; i < row->n_inputs; i++) {
        out->inputs[i] = bur_desc_make(BUR_F32, &row->inputs[i]);
        const int64_t count = bur_desc_count(&out->inputs[i]);
        float *values = malloc((size_t)count * sizeof *values);
        assert_non_null(values);
        for (int64_t j = 0; j < count; j++)
            values[j] = (float)test_uniform((uint32_t)i, j);
        out->x[i] = values;
    }
    assert_ok(bur_op_infer(&out->call, &out->output));
}

static void instance_destroy(instance *it)
{
    for (int i = 0; i < 3; i++)
        free(it->x[i]);
}

/* The CPU as it is found, or (portable) with the part of its driver text that names our kernels. */
static void open_cpu(test_device *device, int threads, bool portable)
{
    bur_context *context = NULL;
    bur_device_info info;
    int32_t count = 0;
    char note[BUR_TEXT_BYTES] = "";
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = threads}));
    assert_ok(bur_backend_cpu()->enumerate(context, &info, 1, &count, note));
    assert_int_equal(count, 1);
    assert_int_equal(strncmp(info.driver, "oneDNN", 6), 0);
    if (portable) {
        const char *name = strstr(info.driver, "portable");
        assert_non_null(name);
        memmove(info.driver, name, strlen(name) + 1);
    }
    assert_ok(test_device_open_as(device, bur_backend_cpu(), context, &info));
}

/* Whether oneDNN carries the call out on the device. */
static bool is_onednn(const test_device *device, const bur_call *call)
{
    const bur_backend *cpu = device->backend;
    bur_buffer *buffer = NULL;
    bur_kernel *kernel = NULL;
    bur_command *command = NULL;
    const size_t scratch_bytes =
        cpu->scratch(&device->info, call, bur_context_threads(device->context));
    size_t end = 0;
    bur_place place[6];
    for (int32_t i = 0; i < call->n_inputs + call->n_outputs + 1; i++) {
        place[i].offset_bytes = end;
        const int32_t o = i - call->n_inputs;
        const size_t bytes = o < 0                 ? bur_desc_bytes(&call->inputs[i])
                             : o < call->n_outputs ? bur_desc_bytes(&call->outputs[o])
                                                   : scratch_bytes;
        end += (bytes + device->info.align_bytes - 1) / device->info.align_bytes *
               device->info.align_bytes;
    }
    assert_ok(cpu->buffer_create(&buffer, device->handle, end));
    for (int i = 0; i < 6; i++)
        place[i].buffer = buffer;
    assert_ok(cpu->build(&kernel, device->handle, call));
    assert_ok(cpu->bind(&command, kernel, place, place + call->n_inputs,
                        place + call->n_inputs + call->n_outputs));
    const bool result = strncmp(cpu->command_text(command), "oneDNN ", 7) == 0;
    cpu->command_destroy(command);
    cpu->buffer_destroy(buffer);
    return result;
}

static float *execute(const test_device *device, const bur_call *call, void *const *inputs)
{
    float *y = malloc(bur_desc_bytes(call->outputs) + 1);
    assert_non_null(y);
    test_execute(device, call, inputs, (void *[]){y}, false);
    return y;
}

static void assert_close(const bur_call *call, const char *text, const float *y,
                         const float *wanted)
{
    double largest = 0, error = 0;
    for (int64_t i = 0; i < bur_desc_count(call->outputs); i++) {
        largest = fmax(largest, fabs((double)wanted[i]));
        error = fmax(error, fabs((double)y[i] - (double)wanted[i]));
    }
    if (!(error <= 1e-4 * largest))
        fail_msg("%s: oneDNN differs by %g where the largest is %g", text, error, largest);
}

/* The system's oneDNN has GNU's OpenMP: the threads of a build with LLVM's are not its threads. */
#ifdef __clang__
enum { MOST_SHARED_THREADS = 1 };
#else
enum { MOST_SHARED_THREADS = 3 };
#endif

/* What is left of a late gradient: a hundred times as slow to multiply, for nothing. */
static void test_cpu_onednn__denormals_are_zero_on_every_thread(void **state)
{
    (void)state;
    for (int threads = 1; threads <= MOST_SHARED_THREADS; threads++) {
        test_device device;
        open_cpu(&device, threads, false);
        for (int i = 0; i < LARGE_CALLS; i++) {
            instance it;
            if (large_calls[i].n_inputs > 2)
                continue;
            instance_create(&it, &large_calls[i]);
            for (int64_t j = 0; j < bur_desc_count(&it.inputs[0]); j++)
                ((float *)it.x[0])[j] = 0x1p-130F;
            float *y = execute(&device, &it.call, it.x);
            for (int64_t j = 0; j < bur_desc_count(&it.output); j++)
                if (y[j] != 0)
                    fail_msg("%s on %d threads: element %d is %g", large_calls[i].name, threads,
                             (int)j, (double)y[j]);
            free(y);
            instance_destroy(&it);
        }
        test_device_close(&device);
    }
    volatile float smallest = 0x1p-126F; /* and the caller's own arithmetic is as before */
    assert_true(smallest / 2 > 0);
}

/* Without AVX-512 its products go by the general one, which takes memory that is not planned. */
static void expect_large_calls(bool products)
{
    test_device device, portable;
    open_cpu(&device, 2, false);
    open_cpu(&portable, 2, true);
    for (int i = 0; i < LARGE_CALLS; i++) {
        instance it;
        instance_create(&it, &large_calls[i]);
        const bool is_product = strncmp(large_calls[i].name, "matmul", 6) == 0;
        if (is_onednn(&device, &it.call) != (!is_product || products))
            fail_msg("large call %d, %s, is%s oneDNN's", i, large_calls[i].name,
                     is_product && !products ? "" : " not");
        if (is_onednn(&portable, &it.call))
            fail_msg("large call %d, %s, is oneDNN's on a portable device", i, large_calls[i].name);
        instance_destroy(&it);
    }
    test_device_close(&portable);
    test_device_close(&device);
}

static void test_cpu_onednn__carries_out_large_products_and_convolutions(void **state)
{
    (void)state;
    expect_large_calls(__builtin_cpu_supports("avx512bw"));
}

/* As on a processor that knows no more: oneDNN reads this when it is opened. */
static void test_cpu_onednn__without_avx512_it_carries_out_convolutions_alone(void **state)
{
    (void)state;
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    expect_large_calls(false);
}

/* Small products, those that wait for a large matrix, and what it would do by its general product:
 * the gradient of patches. */
static void test_cpu_onednn__leaves_to_the_portable_kernels_what_they_do_as_fast(void **state)
{
    (void)state;
    static const struct large_call others[] = {
        {"matmul", 2, {{2, 0, {32, 128}}, {2, 0, {128, 64}}}, ""},
        {"matmul", 2, {{2, 0, {32, 128}}, {2, 0, {784, 128}}}, "transpose_b=1"},
        {"matmul", 2, {{2, 0, {8, 784}}, {2, 0, {784, 1024}}}, ""},
        {"matmul", 2, {{2, 0, {8, 1024}}, {2, 0, {8, 1024}}}, "transpose_a=1"},
        {"conv2d_grad_w",
         2,
         {{4, 0, {8, 64, 64, 3}}, {4, 0, {8, 4, 4, 192}}},
         "stride=16,16 kernel_size=16,16"},
    };
    test_device device;
    open_cpu(&device, 2, false);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        instance it;
        instance_create(&it, &others[i]);
        assert_false(is_onednn(&device, &it.call));
        instance_destroy(&it);
    }
    test_device_close(&device);
}

/* test_execute keeps guards round the scratch too, and compares a second run bit by bit. */
static void test_cpu_onednn__stays_inside_its_scratch_at_every_thread_count(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++) {
        test_device device;
        open_cpu(&device, threads, false);
        for (int i = 0; i < LARGE_CALLS; i++) {
            instance it;
            instance_create(&it, &large_calls[i]);
            free(execute(&device, &it.call, it.x));
            instance_destroy(&it);
        }
        test_device_close(&device);
    }
}

static void test_cpu_onednn__agrees_with_the_portable_kernels(void **state)
{
    (void)state;
    test_device device, portable;
    open_cpu(&device, 3, false);
    open_cpu(&portable, 3, true);
    for (int i = 0; i < LARGE_CALLS; i++) {
        instance it;
        instance_create(&it, &large_calls[i]);
        float *y = execute(&device, &it.call, it.x);
        float *wanted = execute(&portable, &it.call, it.x);
        assert_close(&it.call, large_calls[i].name, y, wanted);
        free(wanted);
        free(y);
        instance_destroy(&it);
    }
    test_device_close(&portable);
    test_device_close(&device);
}

/* Groups, strides, dilations, uneven pads: what the rows of ops.def have of convolutions. */
static void test_cpu_onednn__agrees_on_every_convolution_of_the_table(void **state)
{
    (void)state;
    static const bur_op ops[] = {BUR_OP_conv2d, BUR_OP_conv2d_bias_act, BUR_OP_conv2d_grad_x,
                                 BUR_OP_conv2d_grad_w, BUR_OP_conv2d_grad_w_add};
    test_device device, portable;
    open_cpu(&device, 3, false);
    open_cpu(&portable, 3, true);
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++) {
        int32_t by_onednn = 0;
        for (int32_t i = 0; i < test_example_count(ops[o]); i++) {
            test_example example;
            test_example_create(&example, ops[o], i, 1, BUR_F32, TEST_ROUGH);
            if (is_onednn(&device, &example.call)) {
                float *y = execute(&device, &example.call, example.x);
                float *wanted = execute(&portable, &example.call, example.x);
                assert_close(&example.call, example.text, y, wanted);
                free(wanted);
                free(y);
                by_onednn++;
            }
            test_example_destroy(&example);
        }
        assert_true(by_onednn > 0);
    }
    test_device_close(&portable);
    test_device_close(&device);
}

static void test_cpu_onednn__a_second_device_gives_the_same_bits(void **state)
{
    (void)state;
    for (int i = 0; i < LARGE_CALLS; i++) {
        float *y[2];
        instance it;
        instance_create(&it, &large_calls[i]);
        for (int j = 0; j < 2; j++) {
            test_device device;
            open_cpu(&device, 2, false);
            y[j] = execute(&device, &it.call, it.x);
            test_device_close(&device);
        }
        assert_memory_equal(y[0], y[1], bur_desc_bytes(it.call.outputs));
        free(y[0]);
        free(y[1]);
        instance_destroy(&it);
    }
}

/* Descriptions are kept in a table of fixed size: what fell out of it is described anew. */
static void test_cpu_onednn__scratch_is_the_same_after_many_other_shapes(void **state)
{
    (void)state;
    test_device device;
    open_cpu(&device, 2, false);
    instance it;
    instance_create(&it, &large_calls[1]);
    const size_t first = device.backend->scratch(&device.info, &it.call, 2);
    assert_true(first > 0);
    for (int64_t n = 256; n < 256 + 600; n++) {
        struct large_call other = large_calls[0];
        other.inputs[1].dim[1] = n;
        bur_desc inputs[2] = {bur_desc_make(BUR_F32, &other.inputs[0]),
                              bur_desc_make(BUR_F32, &other.inputs[1])};
        bur_desc output;
        const bur_attr attr = {.word = {0}};
        const bur_call call = {BUR_OP_matmul, &attr, 2, 1, inputs, &output};
        assert_ok(bur_op_infer(&call, &output));
        device.backend->scratch(&device.info, &call, 2);
    }
    assert_int_equal(device.backend->scratch(&device.info, &it.call, 2), first);
    float *y = execute(&device, &it.call, it.x);
    free(y);
    instance_destroy(&it);
    test_device_close(&device);
}
