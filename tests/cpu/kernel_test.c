/* The portable kernels of every instruction set that this processor has, at several thread counts,
 * against the double reference: the rows' examples, odd sizes, and splits of every kind. */
#include "test.h"

#include "backends/backends.h"
#include "backends/cpu/cpu.h"
#include "reference/reference.h"
#include "reference/rows.h"
#include "support/example.h"
#include "support/execute.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEVICES = 16 };

/* Portable devices only, even where oneDNN was built: the driver text decides. */
static int32_t open_devices(test_device *devices, const int *threads, int32_t n_threads)
{
    int32_t n_isas = 0, count = 0;
    const bur_cpu_isa *isas = bur__cpu_isas(&n_isas);
    const bur_backend *backend = bur_backend_cpu();
    for (int32_t i = 0; i < n_isas; i++)
        for (int32_t t = 0; isas[i].runs_here() && t < n_threads; t++, count++) {
            assert_in_range(count, 0, MAX_DEVICES - 1);
            bur_context *context = NULL;
            assert_ok(bur_context_create(&context, &(bur_context_options){.threads = threads[t]}));
            bur_device_info info;
            int32_t found = 0;
            char note[BUR_TEXT_BYTES];
            assert_ok(backend->enumerate(context, &info, 1, &found, note));
            snprintf(info.driver, sizeof info.driver, "%s", isas[i].text);
            assert_ok(test_device_open_as(&devices[count], backend, context, &info));
        }
    assert_true(count > 0);
    return count;
}

static void close_devices(test_device *devices, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        test_device_close(&devices[i]);
}

static void *allocate(const bur_desc *desc)
{
    void *data = calloc(1, bur_desc_bytes(desc) + 1);
    assert_non_null(data);
    return data;
}

static void check_close(const test_device *device, const char *text, const bur_desc *desc,
                        const void *y, const void *wanted)
{
    if (desc->dtype != BUR_F32) {
        assert_memory_equal(y, wanted, bur_desc_bytes(desc));
        return;
    }
    double error = 0, norm = 0;
    for (int64_t i = 0; i < bur_desc_count(desc); i++) {
        const double a = (double)((const float *)y)[i], b = (double)((const float *)wanted)[i];
        error += (a - b) * (a - b);
        norm += b * b;
    }
    if (!(sqrt(error) <= 1e-5 * sqrt(norm)))
        fail_msg("%s, %s: %s: off by %.3g of %.3g", device->info.driver, device->label, text,
                 sqrt(error), sqrt(norm));
}

/* Runs a call on every device and in double; x are the inputs' values. */
static void check_call(test_device *devices, int32_t count, const bur_call *call, void *const *x,
                       const char *text)
{
    void *inputs[TEST_MAX_INPUTS], *wanted_inputs[TEST_MAX_INPUTS];
    void *outputs[TEST_MAX_OUTPUTS], *wanted[TEST_MAX_OUTPUTS];
    for (int32_t i = 0; i < call->n_inputs; i++) {
        inputs[i] = allocate(&call->inputs[i]);
        wanted_inputs[i] = allocate(&call->inputs[i]);
        memcpy(wanted_inputs[i], x[i], bur_desc_bytes(&call->inputs[i]));
    }
    for (int32_t i = 0; i < call->n_outputs; i++) {
        outputs[i] = allocate(&call->outputs[i]);
        wanted[i] = allocate(&call->outputs[i]);
    }
    bur_test_reference_evaluate(call, wanted_inputs, wanted);
    for (int32_t d = 0; d < count; d++) {
        for (int32_t i = 0; i < call->n_inputs; i++)
            memcpy(inputs[i], x[i], bur_desc_bytes(&call->inputs[i]));
        test_execute(&devices[d], call, inputs, outputs, false);
        for (int32_t i = 0; i < call->n_outputs; i++)
            check_close(&devices[d], text, &call->outputs[i], outputs[i], wanted[i]);
        for (int32_t i = 0; i < call->n_inputs; i++)
            if (bur_op_changes(call, i))
                check_close(&devices[d], text, &call->inputs[i], inputs[i], wanted_inputs[i]);
    }
    for (int32_t i = 0; i < call->n_inputs; i++) {
        free(inputs[i]);
        free(wanted_inputs[i]);
    }
    for (int32_t i = 0; i < call->n_outputs; i++) {
        free(outputs[i]);
        free(wanted[i]);
    }
}

static bur_desc make_desc(int32_t rank, const int64_t *dim)
{
    bur_shape shape;
    assert_ok(bur_shape_make(&shape, rank, dim));
    return bur_desc_make(BUR_F32, &shape);
}

/* Infers the single output, draws values, checks. */
static void check_drawn(test_device *devices, int32_t count, bur_op op, const bur_attr *attr,
                        const bur_desc *descs, int32_t n_inputs, const char *text)
{
    bur_desc output;
    memset(&output, 0, sizeof output);
    bur_call call = {op, attr, n_inputs, 1, descs, &output};
    assert_ok(bur_op_infer(&call, &output));
    void *x[3];
    for (int32_t i = 0; i < n_inputs; i++) {
        x[i] = allocate(&descs[i]);
        for (int64_t e = 0; e < bur_desc_count(&descs[i]); e++)
            ((float *)x[i])[e] = (float)test_uniform((uint32_t)i, e);
    }
    check_call(devices, count, &call, x, text);
    for (int32_t i = 0; i < n_inputs; i++)
        free(x[i]);
}

static void test_cpu_kernel__every_isa_runs_every_row(void **state)
{
    (void)state;
    test_device devices[MAX_DEVICES];
    const int32_t count = open_devices(devices, (int[]){1, 3}, 2);
    for (int op = 0; op < BUR_OP_COUNT; op++) {
        const bur_op_info *info = bur_op_get((bur_op)op);
        if ((info->flags & BUR_OP_VIEW) != 0)
            continue;
        for (int32_t i = 0; i < test_example_count((bur_op)op); i++) {
            test_example example;
            test_example_create(&example, (bur_op)op, i, info->outputs_max, BUR_F32, TEST_ROUGH);
            check_call(devices, count, &example.call, example.x, example.text);
            test_example_destroy(&example);
        }
    }
    close_devices(devices, count);
}

/* Around the sizes of tiles, panels and blocks of every instruction set. */
static void test_cpu_kernel__products_of_odd_sizes_agree(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {
        {1, 1, 1},     {2, 3, 2},      {13, 33, 7},   {29, 65, 300}, {5, 17, 1025}, {205, 7, 70},
        {33, 1100, 9}, {3, 2100, 5},   {97, 31, 513}, {12, 32, 256}, {64, 48, 257}, {1, 129, 40},
        {401, 1, 33},  {70, 100, 600}, {24, 16, 4},   {7, 9, 15},    {193, 66, 1},
    };
    test_device devices[MAX_DEVICES];
    const int32_t count = open_devices(devices, (int[]){1, 2, 3, 5}, 4);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int flip = 0; flip < 4; flip++) {
            const int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
            const int ta = flip & 1, tb = flip >> 1;
            const bur_attr attr = {.matmul = {.transpose_a = ta,
                                              .transpose_b = tb,
                                              .activation = (int32_t)(s % BUR_SOFTMAX),
                                              .alpha = 0.3f}};
            const bur_desc descs[] = {
                make_desc(2, ta ? (int64_t[]){k, m} : (int64_t[]){m, k}),
                make_desc(2, tb ? (int64_t[]){n, k} : (int64_t[]){k, n}),
                make_desc(1, &n),
            };
            char text[96];
            snprintf(text, sizeof text, "m=%d n=%d k=%d transpose_a=%d transpose_b=%d", (int)m,
                     (int)n, (int)k, ta, tb);
            check_drawn(devices, count, BUR_OP_matmul_bias_act, &attr, descs, 3, text);
        }
    close_devices(devices, count);
}

/* A product of no steps is the bias alone; one of no rows is nothing. */
static void test_cpu_kernel__products_of_nothing_are_zero(void **state)
{
    (void)state;
    test_device devices[MAX_DEVICES];
    const int32_t count = open_devices(devices, (int[]){1, 3}, 2);
    static const int64_t sizes[][3] = {{3, 5, 0}, {0, 5, 3}, {3, 0, 5}};
    const bur_attr attr = {.word = {0}};
    for (int s = 0; s < 3; s++) {
        const bur_desc descs[] = {make_desc(2, (int64_t[]){sizes[s][0], sizes[s][2]}),
                                  make_desc(2, (int64_t[]){sizes[s][2], sizes[s][1]}),
                                  make_desc(1, &sizes[s][1])};
        check_drawn(devices, count, BUR_OP_matmul_bias_act, &attr, descs, 3, "empty");
    }
    close_devices(devices, count);
}

static void check_splits(test_device *devices, int32_t count, const int64_t *a, const int64_t *b,
                         int transpose_a, int axis)
{
    const bur_attr attr = {.matmul = {.transpose_a = transpose_a}};
    const bur_desc descs[] = {make_desc(2, a), make_desc(2, b)};
    bur_desc output;
    memset(&output, 0, sizeof output);
    const bur_call call = {BUR_OP_matmul, &attr, 2, 1, descs, &output};
    assert_ok(bur_op_infer(&call, &output));
    for (int32_t i = 0; i < count; i++) {
        bur_kernel *kernel = NULL;
        assert_ok(devices[i].backend->build(&kernel, devices[i].handle, &call));
        assert_in_range(kernel->split[axis], 2, 4);
    }
    check_drawn(devices, count, BUR_OP_matmul, &attr, descs, 2, "split");
}

static void test_cpu_kernel__threads_split_rows_columns_or_sums(void **state)
{
    (void)state;
    test_device devices[MAX_DEVICES];
    const int32_t count = open_devices(devices, (int[]){4}, 1);
    check_splits(devices, count, (int64_t[]){4000, 30}, (int64_t[]){30, 16}, 0, 0);
    check_splits(devices, count, (int64_t[]){8, 100}, (int64_t[]){100, 2000}, 0, 1);
    check_splits(devices, count, (int64_t[]){9000, 9}, (int64_t[]){9000, 16}, 1, 2);
    close_devices(devices, count);
}

/* A whole number in [0, n) from the stream. */
static int32_t draw(int64_t *at, int32_t n)
{
    return (int32_t)((test_uniform(77, (*at)++) + 1) / 2 * n);
}

static void draw_convolution(int64_t *at, bur_attr *attr, bur_desc *x, bur_desc *w)
{
    bur_conv2d_attr *conv = &attr->conv2d;
    memset(attr, 0, sizeof *attr);
    const int64_t groups = draw(at, 3) == 0 ? 2 : 1;
    int64_t kernel[2], size[2];
    for (int i = 0; i < 2; i++) {
        kernel[i] = 1 + draw(at, 4);
        conv->stride[i] = 1 + draw(at, 3);
        conv->dilation[i] = 1 + draw(at, 2);
        conv->pad[2 * i] = draw(at, 3);
        conv->pad[2 * i + 1] = draw(at, 3);
        size[i] = (kernel[i] - 1) * conv->dilation[i] + 1 + draw(at, 12);
    }
    conv->groups = (int32_t)groups;
    conv->activation = draw(at, BUR_SOFTMAX);
    conv->alpha = 0.3f;
    const int64_t ic = 1 + draw(at, 40), oc = 1 + draw(at, 40);
    *x = make_desc(4, (int64_t[]){1 + draw(at, 3), size[0], size[1], groups * ic});
    *w = make_desc(4, (int64_t[]){kernel[0], kernel[1], ic, groups * oc});
}

static void test_cpu_kernel__convolutions_of_odd_shapes_agree(void **state)
{
    (void)state;
    enum { DRAWS = 60 };
    test_device devices[MAX_DEVICES];
    const int32_t count = open_devices(devices, (int[]){1, 5}, 2);
    int64_t at = 0;
    for (int i = 0; i < DRAWS; i++) {
        bur_attr attr;
        bur_desc x, w, y;
        memset(&y, 0, sizeof y);
        draw_convolution(&at, &attr, &x, &w);
        const bur_desc bias = make_desc(1, &w.shape.dim[3]);
        const bur_call call = {BUR_OP_conv2d, &attr, 2, 1, (const bur_desc[]){x, w}, &y};
        assert_ok(bur_op_infer(&call, &y));
        char text[32];
        snprintf(text, sizeof text, "drawn convolution %d", i);
        check_drawn(devices, count, BUR_OP_conv2d_bias_act, &attr, (const bur_desc[]){x, w, bias},
                    3, text);
        attr.conv2d.activation = BUR_LINEAR;
        for (int axis = 0; axis < 2; axis++) {
            attr.conv2d.input_size[axis] = (int32_t)x.shape.dim[1 + axis];
            attr.conv2d.kernel_size[axis] = (int32_t)w.shape.dim[axis];
        }
        check_drawn(devices, count, BUR_OP_conv2d_grad_x, &attr, (const bur_desc[]){y, w}, 2, text);
        check_drawn(devices, count, BUR_OP_conv2d_grad_w, &attr, (const bur_desc[]){x, y}, 2, text);
    }
    close_devices(devices, count);
}

/* y of a pointwise row at x, by the device. */
static void evaluate(const test_device *device, bur_op op, const float *x, float *y, int64_t n)
{
    const bur_attr attr = {.word = {0}};
    const bur_desc desc = make_desc(1, &n);
    const bur_call call = {op, &attr, 1, 1, &desc, &desc};
    float *copy = allocate(&desc);
    memcpy(copy, x, bur_desc_bytes(&desc));
    test_execute(device, &call, (void *[]){copy}, (void *[]){y}, false);
    free(copy);
}

static void test_cpu_kernel__activations_are_within_a_few_ulp(void **state)
{
    (void)state;
    static const struct {
        bur_op op;
        bur_activation activation;
        float from; /* to 80; products with a tail of exp(-x^2) lose digits below */
        double ulps;
    } rows[] = {
        {BUR_OP_tanh, BUR_TANH, -80, 4},
        {BUR_OP_sigmoid, BUR_SIGMOID, -80, 4},
        {BUR_OP_selu, BUR_SELU, -80, 4},
        {BUR_OP_softplus, BUR_SOFTPLUS, -80, 4},
        {BUR_OP_silu, BUR_SILU, -80, 4},
        {BUR_OP_mish, BUR_MISH, -80, 8},
        {BUR_OP_gelu, BUR_GELU, -3, 8},
        {BUR_OP_gelu_tanh, BUR_GELU_TANH, -3, 16},
        {BUR_OP_hard_swish, BUR_HARD_SWISH, -2, 4},
    };
    enum { N = 200001 };
    test_device devices[MAX_DEVICES];
    const int32_t count = open_devices(devices, (int[]){1}, 1);
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    assert_true(x != NULL && y != NULL);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (int i = 0; i < N; i++) /* on both sides of 0, and 0 */
            x[i] = i <= N / 2 ? rows[r].from * (float)i / (N / 2) : 80 * (float)(N - i) / (N / 2);
        for (int32_t d = 0; d < count; d++) {
            evaluate(&devices[d], rows[r].op, x, y, N);
            for (int i = 0; i < N; i++) {
                const double wanted = ref_activate(rows[r].activation, 0, (double)x[i]);
                const float nearest = fabsf((float)wanted);
                const double ulp = (double)(nextafterf(nearest, INFINITY) - nearest);
                if (!(fabs((double)y[i] - wanted) <= rows[r].ulps * ulp))
                    fail_msg("%s: %s at %a: %a, not %a", devices[d].info.driver,
                             bur_op_get(rows[r].op)->name, (double)x[i], (double)y[i], wanted);
            }
        }
    }
    free(x);
    free(y);
    close_devices(devices, count);
}

/* A run that diverges must show it in its loss. */
static void test_cpu_kernel__no_activation_hides_a_nan(void **state)
{
    (void)state;
    static const bur_op ops[] = {
        BUR_OP_relu, BUR_OP_leaky_relu,   BUR_OP_tanh,      BUR_OP_sigmoid,   BUR_OP_relu6,
        BUR_OP_elu,  BUR_OP_selu,         BUR_OP_softplus,  BUR_OP_silu,      BUR_OP_gelu,
        BUR_OP_mish, BUR_OP_hard_sigmoid, BUR_OP_gelu_tanh, BUR_OP_hard_swish};
    test_device devices[MAX_DEVICES];
    const int32_t count = open_devices(devices, (int[]){1}, 1);
    for (int32_t d = 0; d < count; d++)
        for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
            const float x[5] = {1, 2, NAN, 3, INFINITY};
            float y[5];
            evaluate(&devices[d], ops[i], x, y, 5);
            assert_true(isnan(y[2]));
            assert_false(isnan(y[4]));
        }
    close_devices(devices, count);
}
