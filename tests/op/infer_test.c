#include "test.h"

#include <string.h>

enum { MAX_INPUTS = 5 };

/* "5x7" or "4:i32"; test-local and strict. */
static bur_desc desc_of(const char *text)
{
    bur_desc desc = {.dtype = BUR_F32};
    while (*text >= '0' && *text <= '9') {
        int64_t dim = 0;
        for (; *text >= '0' && *text <= '9'; text++)
            dim = dim * 10 + (*text - '0');
        desc.shape.dim[desc.shape.rank++] = dim;
        text += *text == 'x';
    }
    for (int32_t i = 0; *text == ':' && i < BUR_DTYPE_COUNT; i++)
        if (strcmp(text + 1, bur_dtype_name((bur_dtype)i)) == 0)
            desc.dtype = i;
    return desc;
}

/* One call: its inputs up to NULL and what it must give. For a success `output` is the first
 * output's shape; for a failure two texts that the message must contain. */
typedef struct infer_case {
    bur_op op;
    const char *attr;
    const char *inputs[MAX_INPUTS];
    bur_status status;
    const char *output_or_first, *second;
} infer_case;

static bur_status infer(const infer_case *c, bur_desc *outputs)
{
    bur_desc inputs[MAX_INPUTS];
    bur_attr attr;
    memset(&attr, 0, sizeof attr);
    assert_ok(bur_attr_parse(&attr, c->op, c->attr));
    int32_t n = 0;
    for (; n < MAX_INPUTS && c->inputs[n] != NULL; n++)
        inputs[n] = desc_of(c->inputs[n]);
    const bur_call call = {.op = c->op,
                           .attr = &attr,
                           .n_inputs = n,
                           .n_outputs = bur_op_get(c->op)->outputs_max,
                           .inputs = inputs};
    return bur_op_infer(&call, outputs);
}

static void check(const infer_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const infer_case *c = &cases[i];
        bur_desc outputs[BUR_MAX_OUTPUTS], before[BUR_MAX_OUTPUTS];
        memset(outputs, 0x5a, sizeof outputs);
        memset(before, 0x5a, sizeof before);
        const bur_status status = infer(c, outputs);
        const char *name = bur_op_get(c->op)->name;
        if (status != c->status)
            fail_msg("case %zu, %s '%s': %s, not %s: %s", i, name, c->attr, bur_status_name(status),
                     bur_status_name(c->status), status == BUR_OK ? "" : bur_last_error());
        if (status == BUR_OK) {
            char text[BUR_SHAPE_TEXT];
            assert_string_equal(bur_shape_format(text, sizeof text, &outputs[0].shape),
                                c->output_or_first);
            continue;
        }
        if (strstr(bur_last_error(), c->output_or_first) == NULL ||
            strstr(bur_last_error(), c->second) == NULL || strstr(bur_last_error(), name) == NULL)
            fail_msg("case %zu: the message must name %s, '%s' and '%s': %s", i, name,
                     c->output_or_first, c->second, bur_last_error());
        assert_memory_equal(outputs, before, sizeof outputs);
    }
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_op_infer__shapes_follow_the_formulas(void **state)
{
    (void)state;
    static const infer_case cases[] = {
        {BUR_OP_matmul, "", {"5x7", "7x3"}, BUR_OK, "5x3", ""},
        {BUR_OP_matmul, "transpose_a=1 transpose_b=1", {"7x5", "3x7"}, BUR_OK, "5x3", ""},
        {BUR_OP_matmul, "", {"0x7", "7x3"}, BUR_OK, "0x3", ""},
        {BUR_OP_conv2d, "pad=1,1,1,1", {"2x8x8x3", "3x3x3x4"}, BUR_OK, "2x8x8x4", ""},
        {BUR_OP_conv2d,
         "stride=2,2 pad=3,3,3,3",
         {"1x224x224x3", "7x7x3x64"},
         BUR_OK,
         "1x112x112x64",
         ""},
        {BUR_OP_conv2d, "dilation=2,3", {"1x9x9x1", "3x3x1x1"}, BUR_OK, "1x5x3x1", ""},
        {BUR_OP_conv2d, "groups=3", {"1x4x4x6", "2x2x2x9"}, BUR_OK, "1x3x3x9", ""},
        {BUR_OP_conv2d_grad_x,
         "stride=2,2 input_size=8,9",
         {"1x4x5x2", "1x1x3x2"},
         BUR_OK,
         "1x8x9x3",
         ""},
        {BUR_OP_conv2d_grad_w,
         "groups=2 kernel_size=3,3",
         {"1x8x8x4", "1x6x6x2"},
         BUR_OK,
         "3x3x2x2",
         ""},
        {BUR_OP_max_pool2d, "window=2,2", {"1x5x7x3"}, BUR_OK, "1x2x3x3", ""},
        {BUR_OP_max_pool2d,
         "window=3,3 stride=2,2 pad=1,1,1,1",
         {"1x9x9x3"},
         BUR_OK,
         "1x5x5x3",
         ""},
        {BUR_OP_avg_pool2d, "window=17,19", {"1x17x19x3"}, BUR_OK, "1x1x1x3", ""},
        {BUR_OP_avg_pool2d_grad, "window=2,2 input_size=5,7", {"1x2x3x4"}, BUR_OK, "1x5x7x4", ""},
        {BUR_OP_global_avg_pool2d, "", {"2x5x7x3"}, BUR_OK, "2x3", ""},
        {BUR_OP_global_max_pool2d_grad,
         "input_size=5,7",
         {"2x3", "2x3:i32"},
         BUR_OK,
         "2x5x7x3",
         ""},
        {BUR_OP_layer_norm, "", {"2x5x3", "3", "3"}, BUR_OK, "2x5x3", ""},
        {BUR_OP_group_norm, "groups=3", {"2x5x7x6", "6", "6"}, BUR_OK, "2x5x7x6", ""},
        {BUR_OP_bias_grad, "", {"2x5x3x17"}, BUR_OK, "17", ""},
        {BUR_OP_reshape, "shape=0,-1", {"4x3x2"}, BUR_OK, "4x6", ""},
        {BUR_OP_add, "", {"2x1x3", "7x1"}, BUR_OK, "2x7x3", ""},
        {BUR_OP_resize, "size=3,11 mode=1", {"2x5x7x3"}, BUR_OK, "2x3x11x3", ""},
        {BUR_OP_resize_grad, "input_size=5,7", {"2x3x11x3"}, BUR_OK, "2x5x7x3", ""},
        {BUR_OP_batch_matmul, "transpose_b=1", {"2x1x5x7", "3x4x7"}, BUR_OK, "2x3x5x4", ""},
        {BUR_OP_transpose, "perm=2,0,1", {"2x7x3"}, BUR_OK, "3x2x7", ""},
        {BUR_OP_transpose, "", {"2x7x3:u8"}, BUR_OK, "3x7x2", ""},
        {BUR_OP_slice, "begin=1,-3 end=0,-1", {"2x7x3"}, BUR_OK, "1x2x3", ""},
        {BUR_OP_slice, "begin=1 end=-1", {"2x7"}, BUR_OK, "0x7", ""},
        {BUR_OP_pad, "before=1,2 after=0,3", {"2x7x3"}, BUR_OK, "3x12x3", ""},
        {BUR_OP_concat, "axis=-2", {"2x7x3", "2x0x3", "2x5x3"}, BUR_OK, "2x12x3", ""},
        {BUR_OP_where, "", {"7x1:u8", "2x7x3", "3"}, BUR_OK, "2x7x3", ""},
        {BUR_OP_cast, "dtype=5", {"2x7:u8"}, BUR_OK, "2x7", ""},
        {BUR_OP_embedding, "", {"11x3", "2x7:i32"}, BUR_OK, "2x7x3", ""},
        {BUR_OP_embedding_grad, "rows=11", {"2x7x3", "2x7:i32"}, BUR_OK, "11x3", ""},
        {BUR_OP_attention, "heads=2", {"2x5x6", "2x7x6", "2x7x6", "2:i32"}, BUR_OK, "2x5x6", ""},
        {BUR_OP_self_attention, "heads=2", {"2x5x18"}, BUR_OK, "2x5x6", ""},
        {BUR_OP_self_attention_grad,
         "heads=2",
         {"2x5x6", "2x5x6", "2x2x5", "2x5x18"},
         BUR_OK,
         "2x5x18",
         ""},
        {BUR_OP_mul, "", {"5", "0x1"}, BUR_OK, "0x5", ""},
        {BUR_OP_reduce_sum, "axes=5", {"2x7x3"}, BUR_OK, "7", ""},
        {BUR_OP_reduce_sum, "axes=5 keep_dims=1", {"2x7x3"}, BUR_OK, "1x7x1", ""},
        {BUR_OP_reduce_mean, "", {"2x7x3"}, BUR_OK, "scalar", ""},
        {BUR_OP_reduce_sum, "shape=7,1", {"2x7x3"}, BUR_OK, "7x1", ""},
        {BUR_OP_broadcast_to, "shape=2,7,3", {"7x1"}, BUR_OK, "2x7x3", ""},
        {BUR_OP_softmax_cross_entropy, "", {"4x10", "4:i32", "16:i32"}, BUR_OK, "4", ""},
        {BUR_OP_lstm, "", {"2x5x28", "7x28", "28"}, BUR_OK, "2x5x7", ""},
        {BUR_OP_gru, "last=1", {"2x5x21", "7x21", "2:i32"}, BUR_OK, "2x7", ""},
        {BUR_OP_gru_grad, "", {"2x5x7", "7x21", "2x5x28", "2x5x7"}, BUR_OK, "2x5x21", ""},
    };
    check(cases, COUNT(cases));
}

static void test_op_infer__shapes_that_do_not_fit_are_both_named(void **state)
{
    (void)state;
    static const infer_case cases[] = {
        {BUR_OP_matmul, "", {"5x7", "8x3"}, BUR_E_SHAPE, "5x7", "8x3"},
        {BUR_OP_matmul, "transpose_a=1", {"5x7", "7x3"}, BUR_E_SHAPE, "5x7", "7x3"},
        {BUR_OP_matmul, "", {"5x7x1", "7x3"}, BUR_E_SHAPE, "5x7x1", "7x3"},
        {BUR_OP_matmul_bias_act, "", {"5x7", "7x3", "4"}, BUR_E_SHAPE, "4", "3"},
        {BUR_OP_bias_add, "", {"5x7", "5"}, BUR_E_SHAPE, "5", "7"},
        {BUR_OP_add, "", {"3x4", "4x3"}, BUR_E_SHAPE, "3x4", "4x3"},
        {BUR_OP_batch_norm_grad, "", {"5x7", "5x7", "7", "2x5"}, BUR_E_SHAPE, "2x5", "2x7"},
        {BUR_OP_running_stats, "rows=3", {"7", "7", "2x5"}, BUR_E_SHAPE, "2x5", "7"},
        {BUR_OP_batch_norm_add_act, "", {"5x7", "7", "7", "5x8"}, BUR_E_SHAPE, "5x7", "5x8"},
        {BUR_OP_gate_grad, "", {"2x3x5x7", "2x3x5x7", "2x7"}, BUR_E_SHAPE, "2x7", "2x3x5x7"},
        {BUR_OP_batch_norm_infer_grad,
         "",
         {"5x7", "4x7", "7", "7", "7"},
         BUR_E_SHAPE,
         "5x7",
         "4x7"},
        {BUR_OP_layer_norm, "", {"2x5x3", "3", "5"}, BUR_E_SHAPE, "5", "2x5x3"},
        {BUR_OP_group_norm, "groups=4", {"2x5x7x6", "6", "6"}, BUR_E_SHAPE, "4", "2x5x7x6"},
        {BUR_OP_rms_norm_grad, "", {"5x7", "5x7", "7", "2x5"}, BUR_E_SHAPE, "2x5", "1x5"},
        {BUR_OP_avg_pool2d_grad,
         "window=2,2 input_size=5,8",
         {"1x2x3x4"},
         BUR_E_SHAPE,
         "1x2x3x4",
         "1x2x4x4"},
        {BUR_OP_global_max_pool2d_grad,
         "input_size=5,7",
         {"2x3", "2x4:i32"},
         BUR_E_SHAPE,
         "2x3",
         "2x4"},
        {BUR_OP_add, "", {"3x4", "3x4x1"}, BUR_E_SHAPE, "3x4", "3x4x1"},
        {BUR_OP_relu_grad, "", {"12", "3x4"}, BUR_E_SHAPE, "12", "3x4"},
        {BUR_OP_conv2d, "", {"1x4x4x3", "3x3x4x8"}, BUR_E_SHAPE, "4", "3"},
        {BUR_OP_conv2d, "", {"1x4x4x3", "5x5x3x8"}, BUR_E_SHAPE, "5", "4"},
        {BUR_OP_conv2d, "groups=2", {"1x4x4x3", "1x1x1x8"}, BUR_E_SHAPE, "2", "3"},
        {BUR_OP_conv2d, "", {"4x4x3", "1x1x3x8"}, BUR_E_SHAPE, "4x4x3", "4"},
        {BUR_OP_conv2d_bias_act, "", {"1x4x4x3", "1x1x3x8", "3"}, BUR_E_SHAPE, "3", "8"},
        {BUR_OP_conv2d_grad_x,
         "input_size=9,9",
         {"1x8x8x4", "3x3x3x4"},
         BUR_E_SHAPE,
         "1x8x8x4",
         "1x7x7x4"},
        {BUR_OP_conv2d_grad_w,
         "kernel_size=3,3",
         {"1x8x8x3", "1x8x8x4"},
         BUR_E_SHAPE,
         "1x8x8x4",
         "1x6x6x4"},
        {BUR_OP_matmul_add,
         "transpose_a=1",
         {"8x5", "8x7", "7x5", "16:i32"},
         BUR_E_SHAPE,
         "5x7",
         "7x5"},
        {BUR_OP_matmul_add,
         "transpose_a=1",
         {"8x5", "8x7", "5x7", "7:i32"},
         BUR_E_SHAPE,
         "16",
         "7"},
        {BUR_OP_conv2d_grad_w_add,
         "kernel_size=3,3",
         {"1x8x8x3", "1x6x6x4", "3x3x4x3", "16:i32"},
         BUR_E_SHAPE,
         "3x3x3x4",
         "3x3x4x3"},
        {BUR_OP_conv2d_grad_w_add,
         "kernel_size=3,3",
         {"1x8x8x3", "1x6x6x4", "3x3x3x4", "7:i32"},
         BUR_E_SHAPE,
         "16",
         "7"},
        {BUR_OP_max_pool2d, "window=5,5", {"1x4x4x3"}, BUR_E_SHAPE, "5", "4"},
        {BUR_OP_max_pool2d, "window=2,2 pad=2,0,0,0", {"1x4x4x3"}, BUR_E_SHAPE, "2", "window"},
        {BUR_OP_max_pool2d_grad,
         "window=2,2 input_size=4,4",
         {"1x2x2x3", "1x2x2x4:u8"},
         BUR_E_SHAPE,
         "1x2x2x3",
         "1x2x2x4"},
        {BUR_OP_max_pool2d_grad,
         "window=2,2 input_size=8,8",
         {"1x2x2x3", "1x2x2x3:u8"},
         BUR_E_SHAPE,
         "1x2x2x3",
         "1x4x4x3"},
        {BUR_OP_reshape, "shape=5,5", {"4x6"}, BUR_E_SHAPE, "4x6", "5x5"},
        {BUR_OP_mul, "", {"2x3x4", "2x4"}, BUR_E_SHAPE, "2x3x4", "2x4"},
        {BUR_OP_resize, "size=3,11", {"5x7x3"}, BUR_E_SHAPE, "5x7x3", "n, y, x, c"},
        {BUR_OP_batch_matmul, "", {"2x5x7", "2x8x3"}, BUR_E_SHAPE, "2x5x7", "2x8x3"},
        {BUR_OP_batch_matmul, "", {"2x5x7", "3x7x3"}, BUR_E_SHAPE, "2x5x7", "3x7x3"},
        {BUR_OP_batch_matmul, "", {"2x5x7", "7"}, BUR_E_SHAPE, "2x5x7", "7"},
        {BUR_OP_transpose, "perm=1,0", {"2x7x3"}, BUR_E_SHAPE, "2 dimensions", "2x7x3"},
        {BUR_OP_slice, "begin=0,5 end=0,3", {"2x7x3"}, BUR_E_SHAPE, "5 to 3", "2x7x3"},
        {BUR_OP_slice, "end=3", {"2x7x3"}, BUR_E_SHAPE, "0 to 3", "2x7x3"},
        {BUR_OP_pad, "", {"1x2x3x4x5x6x7x8"}, BUR_E_SHAPE, "1x2x3x4x5x6x7x8", "7"},
        {BUR_OP_concat, "", {"2x7x3", "2x7x4"}, BUR_E_SHAPE, "2x7x3", "2x7x4"},
        {BUR_OP_concat, "", {"2x7x3", "2x7"}, BUR_E_SHAPE, "2x7x3", "2x7"},
        {BUR_OP_where, "", {"7x2:u8", "7x3", "3"}, BUR_E_SHAPE, "7x2", "7x3"},
        {BUR_OP_embedding,
         "",
         {"1x1x1x1x1x1x1x1", "3x4:i32"},
         BUR_E_SHAPE,
         "1x1x1x1x1x1x1x1",
         "3x4"},
        {BUR_OP_embedding_grad, "rows=11", {"2x7x3", "7x2:i32"}, BUR_E_SHAPE, "2x7x3", "7x2"},
        {BUR_OP_attention, "", {"2x5x6", "2x7x4", "2x7x4"}, BUR_E_SHAPE, "2x5x6", "2x7x4"},
        {BUR_OP_attention, "", {"2x5x6", "2x7x6", "2x5x6"}, BUR_E_SHAPE, "2x7x6", "2x5x6"},
        {BUR_OP_attention, "", {"2x5x6", "2x0x6", "2x0x6"}, BUR_E_SHAPE, "2x0x6", "empty"},
        {BUR_OP_attention,
         "",
         {"2x5x6", "2x7x6", "2x7x6", "3:i32"},
         BUR_E_SHAPE,
         "lengths 3",
         "2x5x6"},
        {BUR_OP_self_attention, "heads=4", {"2x5x18"}, BUR_E_SHAPE, "4 heads", "6 channels"},
        {BUR_OP_self_attention, "", {"2x5x17"}, BUR_E_SHAPE, "2x5x17", "side by side"},
        {BUR_OP_self_attention_grad,
         "heads=2",
         {"2x5x6", "2x5x6", "2x5x2", "2x5x18"},
         BUR_E_SHAPE,
         "2x5x2",
         "2x2x5"},
        {BUR_OP_maximum_grad, "", {"3x4", "3x4", "2x4"}, BUR_E_SHAPE, "3x4", "2x4"},
        {BUR_OP_reduce_sum, "shape=3,1", {"2x7x3"}, BUR_E_SHAPE, "3x1", "2x7x3"},
        {BUR_OP_reduce_sum, "shape=1,2,7,3", {"2x7x3"}, BUR_E_SHAPE, "1x2x7x3", "2x7x3"},
        {BUR_OP_broadcast_to, "shape=3,4", {"2x4"}, BUR_E_SHAPE, "2x4", "3x4"},
        {BUR_OP_reduce_max_grad,
         "axes=2 shape=7,31",
         {"31", "31:i32"},
         BUR_E_SHAPE,
         "31 and 31",
         "must be 7"},
        {BUR_OP_reduce_max, "axes=2", {"7x0"}, BUR_E_SHAPE, "0 elements", "7x0"},
        {BUR_OP_reshape, "shape=5,-1", {"4x6"}, BUR_E_SHAPE, "4x6", "24"},
        {BUR_OP_cross_entropy, "", {"4x10", "5:i32", "16:i32"}, BUR_E_SHAPE, "4x10", "5"},
        {BUR_OP_cross_entropy, "", {"4x10", "4:i32", "15:i32"}, BUR_E_SHAPE, "16", "15"},
        {BUR_OP_cross_entropy, "", {"4x10", "4x9", "16:i32"}, BUR_E_SHAPE, "4x10", "4x9"},
        {BUR_OP_cross_entropy, "", {"4x10", "4:i32", "16:i32", "9"}, BUR_E_SHAPE, "9", "4x10"},
        {BUR_OP_mse, "", {"4x10", "4x9", "16:i32"}, BUR_E_SHAPE, "4x10", "4x9"},
        {BUR_OP_sgd, "", {"16:i32", "3x4", "4x3"}, BUR_E_SHAPE, "3x4", "4x3"},
        {BUR_OP_sgd, "clip_norm=1", {"16:i32", "3", "3x4", "3x4"}, BUR_E_SHAPE, "[2]", "not 3"},
        {BUR_OP_sgd, "clip_norm=1", {"16:i32", "2", "3x4"}, BUR_E_ARG, "1 tensors", "2"},
        {BUR_OP_global_norm, "", {"3x4"}, BUR_E_ARG, "clip_norm", "0"},
        {BUR_OP_global_norm, "clip_norm=1", {"3x4", "5:i32"}, BUR_E_DTYPE, "input 1", "i32"},
        {BUR_OP_lstm, "", {"2x5x24", "7x28"}, BUR_E_SHAPE, "2x5x24", "7x28"},
        {BUR_OP_lstm, "", {"2x0x28", "7x28"}, BUR_E_SHAPE, "2x0x28", "no step"},
        {BUR_OP_gru, "", {"2x5x28", "7x28"}, BUR_E_SHAPE, "7x28", "3 units"},
        {BUR_OP_simple_rnn, "", {"2x5x7", "7x7", "8"}, BUR_E_SHAPE, "8", "7"},
        {BUR_OP_simple_rnn, "", {"2x5x7", "7x7", "3:i32"}, BUR_E_SHAPE, "3", "2"},
        {BUR_OP_lstm_grad, "last=1", {"2x5x7", "7x28", "2x5x35"}, BUR_E_SHAPE, "2x5x7", "2x7"},
        {BUR_OP_adam, "", {"16:i32", "3x4", "3x4", "3x4", "3x5"}, BUR_E_SHAPE, "3x4", "3x5"},
    };
    check(cases, COUNT(cases));
}

static void test_op_infer__sizes_beyond_63_bits_are_out_of_range(void **state)
{
    (void)state;
    static const infer_case cases[] = {
        /* 2^32 x 2^32 elements */
        {BUR_OP_matmul,
         "",
         {"4294967296x1", "1x4294967296"},
         BUR_E_RANGE,
         "4294967296x4294967296",
         ""},
        /* 2^61 elements fit, their bytes do not */
        {BUR_OP_matmul,
         "",
         {"2147483648x1", "1x1073741824"},
         BUR_E_RANGE,
         "2147483648x1073741824",
         "f32"},
        {BUR_OP_relu, "", {"4294967296x4294967296"}, BUR_E_RANGE, "4294967296x4294967296", ""},
        {BUR_OP_sgd,
         "",
         {"16:i32", "4294967296x4294967296", "4294967296x4294967296"},
         BUR_E_RANGE,
         "4294967296",
         ""},
        {BUR_OP_conv2d,
         "pad=1,1,1,1",
         {"1x9223372036854775807x1x1", "1x1x1x1"},
         BUR_E_RANGE,
         "9223372036854775807",
         ""},
        {BUR_OP_conv2d,
         "dilation=2147483647,1",
         {"1x4x4x1", "4611686018427387x1x1x1"},
         BUR_E_SHAPE,
         "height",
         "4611686018427387"},
        {BUR_OP_reshape,
         "shape=2147483647,2147483647,2147483647",
         {"4x6"},
         BUR_E_RANGE,
         "2^63",
         ""},
        {BUR_OP_max_pool2d, "window=17,16", {"1x32x32x3"}, BUR_E_RANGE, "17x16", "256"},
    };
    check(cases, COUNT(cases));
}

static void test_op_infer__types_are_checked(void **state)
{
    (void)state;
    static const infer_case cases[] = {
        {BUR_OP_relu, "", {"3x4:i32"}, BUR_E_DTYPE, "i32", "f32"},
        {BUR_OP_matmul, "", {"5x7", "7x3:f64"}, BUR_E_DTYPE, "f32", "f64"},
        {BUR_OP_conv2d, "", {"1x4x4x3", "1x1x3x8:f64"}, BUR_E_DTYPE, "f32", "f64"},
        {BUR_OP_conv2d, "", {"1x4x4x3:u8", "1x1x3x8"}, BUR_E_DTYPE, "u8", "f32"},
        {BUR_OP_conv2d_bias_act, "", {"1x4x4x3", "1x1x3x8", "8:i32"}, BUR_E_DTYPE, "f32", "i32"},
        {BUR_OP_conv2d_grad_x,
         "input_size=4,4",
         {"1x4x4x8:f64", "1x1x3x8"},
         BUR_E_DTYPE,
         "f64",
         "f32"},
        {BUR_OP_conv2d_grad_w,
         "kernel_size=1,1",
         {"1x4x4x3:f64", "1x4x4x8"},
         BUR_E_DTYPE,
         "f64",
         "f32"},
        {BUR_OP_cross_entropy, "", {"4x10", "4:i64", "16:i32"}, BUR_E_DTYPE, "i32", "i64"},
        {BUR_OP_max_pool2d_grad,
         "window=2,2 input_size=4,4",
         {"1x2x2x3", "1x2x2x3:i32"},
         BUR_E_DTYPE,
         "u8",
         "i32"},
        {BUR_OP_dropout, "rate=0.5", {"4x10", "16"}, BUR_E_DTYPE, "i32", "f32"},
        {BUR_OP_sub, "", {"4x10", "10:f64"}, BUR_E_DTYPE, "f32", "f64"},
        {BUR_OP_concat, "", {"4x10", "4x10:i32"}, BUR_E_DTYPE, "f32", "i32"},
        {BUR_OP_where, "", {"4x10", "4x10", "4x10"}, BUR_E_DTYPE, "u8", "f32"},
        {BUR_OP_cast, "dtype=4", {"4x10"}, BUR_E_DTYPE, "type 4", "i32"},
        {BUR_OP_embedding, "", {"4x10", "3:i64"}, BUR_E_DTYPE, "i32", "i64"},
        {BUR_OP_self_attention, "", {"2x5x18", "2"}, BUR_E_DTYPE, "i32", "f32"},
        {BUR_OP_attention, "", {"2x5x6", "2x5x6:f64", "2x5x6"}, BUR_E_DTYPE, "f32", "f64"},
        {BUR_OP_transpose, "", {"4x10:f16"}, BUR_E_DTYPE, "f16", "f32"},
        {BUR_OP_reduce_sum, "", {"4x10:u8"}, BUR_E_DTYPE, "f32", "u8"},
        {BUR_OP_reduce_max_grad, "shape=7", {"1", "1"}, BUR_E_DTYPE, "i32", "f32"},
        {BUR_OP_lstm, "", {"2x5x28", "7x28", "28", "2"}, BUR_E_DTYPE, "lengths are f32", "i32"},
        {BUR_OP_lstm, "", {"2x5x28", "7x28:f64"}, BUR_E_DTYPE, "f32", "f64"},
    };
    check(cases, COUNT(cases));
}

static void test_op_infer__bad_attributes_and_counts_are_arguments(void **state)
{
    (void)state;
    static const infer_case cases[] = {
        {BUR_OP_matmul, "", {"5x7"}, BUR_E_ARG, "1 inputs", "2"},
        {BUR_OP_relu, "", {"5x7", "5x7"}, BUR_E_ARG, "2 inputs", "1"},
        {BUR_OP_cross_entropy,
         "smoothing=1",
         {"4x10", "4:i32", "16:i32"},
         BUR_E_ARG,
         "1",
         "[0, 1)"},
        {BUR_OP_huber, "delta=-1", {"4x10", "4x10", "16:i32"}, BUR_E_ARG, "-1", "negative"},
        {BUR_OP_adam, "", {"16:i32", "3", "3", "3"}, BUR_E_ARG, "4 inputs", "5"},
        {BUR_OP_momentum, "", {"16:i32", "3", "3", "3", "3"}, BUR_E_ARG, "4 tensors", "3"},
        {BUR_OP_dropout, "rate=1", {"3x4", "16:i32"}, BUR_E_ARG, "1", "[0, 1)"},
        {BUR_OP_batch_norm_act, "activation=3", {"5x7", "7", "7"}, BUR_E_ARG, "3", "tanh"},
        {BUR_OP_batch_norm_add_act,
         "activation=12",
         {"5x7", "7", "7", "5x7"},
         BUR_E_ARG,
         "12",
         "silu"},
        {BUR_OP_batch_norm, "activation=1", {"5x7", "7", "7"}, BUR_E_ARG, "1", "relu"},
        {BUR_OP_dropout, "rate=-0.5", {"3x4", "16:i32"}, BUR_E_ARG, "-0.5", "[0, 1)"},
        {BUR_OP_matmul_bias_act, "activation=9", {"5x7", "7x3", "3"}, BUR_E_ARG, "9", "pointwise"},
        {BUR_OP_matmul_bias_act,
         "activation=2 alpha=-0.3",
         {"5x7", "7x3", "3"},
         BUR_E_ARG,
         "alpha",
         "-0.3"},
        {BUR_OP_elu, "alpha=-1", {"5x7"}, BUR_E_ARG, "alpha", "-1"},
        {BUR_OP_leaky_relu_grad, "alpha=-0.3", {"5x7", "5x7"}, BUR_E_ARG, "alpha", "-0.3"},
        {BUR_OP_bias_act_grad, "activation=-1", {"5x7", "5x7"}, BUR_E_ARG, "-1", "pointwise"},
        {BUR_OP_conv2d, "stride=-1,1", {"1x4x4x3", "1x1x3x8"}, BUR_E_ARG, "stride", "-1"},
        {BUR_OP_conv2d, "pad=-1,0,0,0", {"1x4x4x3", "1x1x3x8"}, BUR_E_ARG, "pad", "-1"},
        {BUR_OP_max_pool2d, "", {"1x4x4x3"}, BUR_E_ARG, "window", "0"},
        {BUR_OP_max_pool2d, "window=-2,-2", {"1x4x4x3"}, BUR_E_ARG, "window", "-2"},
        {BUR_OP_reshape, "shape=-1,-1", {"4x6"}, BUR_E_ARG, "1", "-1"},
        {BUR_OP_reshape, "", {"4x6"}, BUR_E_ARG, "rank 0", "8"},
        {BUR_OP_reduce_sum, "axes=4", {"4x6"}, BUR_E_ARG, "4x6", "3"},
        {BUR_OP_transpose, "perm=1,1", {"4x6"}, BUR_E_ARG, "dimension 1", "4x6"},
        {BUR_OP_pad, "before=-1", {"4x6"}, BUR_E_ARG, "-1", "4x6"},
        {BUR_OP_concat, "axis=2", {"4x6", "4x6"}, BUR_E_ARG, "axis 2", "4x6"},
        {BUR_OP_resize, "size=3", {"2x5x7x3"}, BUR_E_ARG, "3,0", "2x5x7x3"},
        {BUR_OP_resize, "size=3,3 mode=2", {"2x5x7x3"}, BUR_E_ARG, "mode 2", "1"},
        {BUR_OP_embedding_grad, "rows=-1", {"4x6", "4:i32"}, BUR_E_ARG, "-1", "4"},
        {BUR_OP_self_attention, "scale=-1", {"2x5x18"}, BUR_E_ARG, "scale -1", "negative"},
        {BUR_OP_reduce_mean, "shape=4,1", {"4x6"}, BUR_E_ARG, "sums", "axes"},
        {BUR_OP_simple_rnn, "activation=4", {"2x5x7", "7x7"}, BUR_E_ARG, "activation 4", "relu"},
        {BUR_OP_gru, "activation=3", {"2x5x21", "7x21"}, BUR_E_ARG, "activation 3", "fixed"},
    };
    check(cases, COUNT(cases));
}

static void test_op_infer__products_cost_what_they_multiply(void **state)
{
    (void)state;
    const bur_desc matrices[] = {desc_of("32x784"), desc_of("784x128")};
    static const bur_attr none;
    bur_desc output;
    memset(&output, 0, sizeof output);
    bur_call call = {BUR_OP_matmul, &none, 2, 1, matrices, &output};
    assert_ok(bur_op_infer(&call, &output));
    const bur_cost cost = bur_op_cost(&call);
    assert_true(cost.flop == 2.0 * 32 * 784 * 128);
    assert_true(cost.bytes == 4.0 * (32 * 784 + 784 * 128 + 32 * 128));
}
