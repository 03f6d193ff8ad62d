#include "support/opened.h"
#include "test.h"

#include <burthen/op.h>
#include <math.h>
#include <string.h>

enum { N = 6 };

static const float far_away[N] = {-1e38F, -1000, -100, 100, 1000, 1e38F};

/* y = op(x), or op(1, x) of a gradient. */
static void apply(bur_device *device, bur_op op, const float *x, float *y)
{
    const bur_shape shape = {.rank = 1, .dim = {N}};
    const bool of_gradient = bur_op_get(op)->inputs_min == 2;
    bur_attr attr = {.activation = {.alpha = 1}};
    bur_array *inputs[2] = {NULL, NULL}, *output = NULL;
    assert_ok(
        bur_array_create(&inputs[0], device, BUR_F32, &shape, (const float[N]){1, 1, 1, 1, 1, 1}));
    assert_ok(bur_array_create(&inputs[1], device, BUR_F32, &shape, x));
    assert_ok(bur_run(device, op, &attr, of_gradient ? inputs : inputs + 1, of_gradient ? 2 : 1,
                      &output, 1));
    assert_ok(bur_array_read(output, y, N * sizeof *y));
    bur_array_destroy(output);
    bur_array_destroy(inputs[0]);
    bur_array_destroy(inputs[1]);
}

/* Neither overflow of an exponential nor 0 times something large shows. */
static void test_op_activation__far_from_zero_values_and_slopes_are_their_limits(void **state)
{
    (void)state;
    static const struct {
        bur_op op, gradient; /* the gradient of those that read x */
        float left, right;   /* INFINITY: as x */
    } rows[] = {
        {BUR_OP_relu6, BUR_OP_COUNT, 0, 6},
        {BUR_OP_elu, BUR_OP_COUNT, -1, INFINITY},
        {BUR_OP_selu, BUR_OP_COUNT, -BUR_SELU_SCALE * BUR_SELU_ALPHA, INFINITY},
        {BUR_OP_hard_sigmoid, BUR_OP_COUNT, 0, 1},
        {BUR_OP_softplus, BUR_OP_softplus_grad, 0, INFINITY},
        {BUR_OP_silu, BUR_OP_silu_grad, 0, INFINITY},
        {BUR_OP_gelu, BUR_OP_gelu_grad, 0, INFINITY},
        {BUR_OP_gelu_tanh, BUR_OP_gelu_tanh_grad, 0, INFINITY},
        {BUR_OP_hard_swish, BUR_OP_hard_swish_grad, 0, INFINITY},
        {BUR_OP_mish, BUR_OP_mish_grad, 0, INFINITY},
    };
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 0; d < opened.count; d++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            float y[N], slope[N] = {0, 0, 0, 1, 1, 1};
            apply(opened.devices[d], rows[r].op, far_away, y);
            if (rows[r].gradient != BUR_OP_COUNT)
                apply(opened.devices[d], rows[r].gradient, far_away, slope);
            for (int i = 0; i < N; i++) {
                const bool on_left = far_away[i] < 0;
                const float scale = rows[r].op == BUR_OP_selu ? BUR_SELU_SCALE : 1;
                const float wanted =
                    on_left ? rows[r].left : fminf(rows[r].right, scale * far_away[i]);
                if (!(fabsf(y[i] - wanted) <= 1e-6F * fabsf(wanted) + 1e-20F) ||
                    !(fabsf(slope[i] - (on_left ? 0.0F : 1.0F)) <= 1e-6F))
                    fail_msg("%s at %g: %g, slope %g", bur_op_get(rows[r].op)->name,
                             (double)far_away[i], (double)y[i], (double)slope[i]);
            }
        }
    test_opened_destroy(&opened);
}

/* A run that diverges must show it in its loss. Low bits of a NaN are free. */
static void test_op_activation__a_nan_stays(void **state)
{
    (void)state;
    static const bur_op ops[] = {
        BUR_OP_relu, BUR_OP_leaky_relu, BUR_OP_tanh,       BUR_OP_sigmoid,     BUR_OP_relu6,
        BUR_OP_elu,  BUR_OP_selu,       BUR_OP_softplus,   BUR_OP_silu,        BUR_OP_gelu,
        BUR_OP_mish, BUR_OP_gelu_tanh,  BUR_OP_hard_swish, BUR_OP_hard_sigmoid};
    float x[N] = {1, NAN, 3, 4, 5, 6};
    memcpy(&x[4], &(const uint32_t){0x7fc000f0}, sizeof *x);
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 0; d < opened.count; d++)
        for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
            float y[N];
            apply(opened.devices[d], ops[i], x, y);
            for (int j = 0; j < N; j++)
                if ((isnan(y[j]) != 0) != (isnan(x[j]) != 0))
                    fail_msg("%s of %g is %g", bur_op_get(ops[i])->name, (double)x[j],
                             (double)y[j]);
        }
    test_opened_destroy(&opened);
}

static void test_op_activation__log_softmax_of_large_logits_is_finite(void **state)
{
    (void)state;
    static const float x[N] = {1e4F, 1e4F - 1, 1e4F, -1e4F, 0, 9999.5F};
    float y[N];
    double exact = 0;
    for (int i = 0; i < N; i++)
        exact += exp((double)x[i] - 1e4);
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 0; d < opened.count; d++) {
        apply(opened.devices[d], BUR_OP_log_softmax, x, y);
        for (int i = 0; i < N; i++)
            assert_true(fabs((double)y[i] - ((double)x[i] - 1e4 - log(exact))) <= 2e-3);
    }
    test_opened_destroy(&opened);
}

static void test_op_activation__each_is_found_by_its_names(void **state)
{
    (void)state;
    bur_activation found;
    for (int i = 0; i < BUR_ACTIVATION_COUNT; i++) {
        assert_ok(bur_activation_find(&found, bur_activation_name((bur_activation)i)));
        assert_int_equal(found, i);
    }
    assert_ok(bur_activation_find(&found, "swish"));
    assert_int_equal(found, BUR_SILU);
    assert_ok(bur_activation_find(&found, "hard_silu"));
    assert_int_equal(found, BUR_HARD_SWISH);
    assert_int_equal(bur_activation_find(&found, "gleu"), BUR_E_NAME);
    assert_non_null(strstr(bur_last_error(), "'gelu'"));
    assert_int_equal(found, BUR_HARD_SWISH);
}
