#include "test.h"

#include <string.h>

static void test_op_attr__arrays_and_floats_are_read(void **state)
{
    (void)state;
    bur_attr attr;
    assert_ok(bur_attr_parse(&attr, BUR_OP_conv2d,
                             " stride=2,1  pad=0,1,1,-3 activation=2 alpha=0.25 groups=4"));
    const bur_conv2d_attr expected = {
        .stride = {2, 1}, .pad = {0, 1, 1, -3}, .groups = 4, .activation = 2, .alpha = 0.25f};
    assert_memory_equal(&attr.conv2d, &expected, sizeof expected);
}

static void test_op_attr__what_is_not_named_is_zero(void **state)
{
    (void)state;
    static const bur_attr zero;
    bur_attr attr;
    memset(&attr, 0xff, sizeof attr);
    assert_ok(bur_attr_parse(&attr, BUR_OP_conv2d, ""));
    assert_memory_equal(&attr, &zero, sizeof zero);
    memset(&attr, 0xff, sizeof attr);
    assert_ok(bur_attr_parse(&attr, BUR_OP_matmul, "transpose_b=1"));
    assert_int_equal(attr.matmul.transpose_b, 1);
    attr.matmul.transpose_b = 0;
    assert_memory_equal(&attr, &zero, sizeof zero);
}

static void test_op_attr__reshape_counts_its_dimensions(void **state)
{
    (void)state;
    bur_attr attr;
    assert_ok(bur_attr_parse(&attr, BUR_OP_reshape, "shape=2,-1,7"));
    assert_int_equal(attr.reshape.rank, 3);
    assert_int_equal(attr.reshape.shape[1], -1);
    assert_ok(bur_attr_parse(&attr, BUR_OP_reshape, "shape=1,2,3,4,5,6,7,8"));
    assert_int_equal(attr.reshape.rank, 8);
}

/* Text and what it must give; the output is untouched then. */
static const struct {
    bur_op op;
    const char *text;
    bur_status status;
    const char *in_message;
} bad[] = {
    {BUR_OP_relu, "stride=1,1", BUR_E_NAME, "stride"},
    {BUR_OP_conv2d, "strides=1,1", BUR_E_NAME, "strides"},
    {BUR_OP_conv2d, "strid=1,1", BUR_E_NAME, "strid"},
    {BUR_OP_add, "x", BUR_E_NAME, "x"},
    {BUR_OP_conv2d, "stride", BUR_E_FORMAT, "stride"},
    {BUR_OP_conv2d, "stride=", BUR_E_FORMAT, "stride"},
    {BUR_OP_conv2d, "stride=two", BUR_E_FORMAT, "two"},
    {BUR_OP_conv2d, "stride=1,2,3", BUR_E_FORMAT, "stride"},
    {BUR_OP_conv2d, "stride=1,2,", BUR_E_FORMAT, ","},
    {BUR_OP_conv2d, "stride=1,", BUR_E_FORMAT, "stride"},
    {BUR_OP_conv2d, "stride=1;2", BUR_E_FORMAT, ";2"},
    {BUR_OP_conv2d, "stride=2.5,1", BUR_E_FORMAT, ".5"},
    {BUR_OP_conv2d, "groups=2147483648", BUR_E_FORMAT, "2147483648"},
    {BUR_OP_conv2d, "groups=99999999999999999999", BUR_E_FORMAT, "99999999999999"},
    {BUR_OP_dropout, "rate=half", BUR_E_FORMAT, "half"},
    {BUR_OP_dropout, "rate=nan", BUR_E_FORMAT, "nan"},
    {BUR_OP_dropout, "rate=inf", BUR_E_FORMAT, "inf"},
    {BUR_OP_dropout, "rate=1e99", BUR_E_FORMAT, "1e99"},
};

static void test_op_attr__bad_text_is_refused_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bur_attr attr, before;
        memset(&attr, 0x5a, sizeof attr);
        memset(&before, 0x5a, sizeof before);
        const bur_status status = bur_attr_parse(&attr, bad[i].op, bad[i].text);
        if (status != bad[i].status)
            fail_msg("'%s' gave %s: %s", bad[i].text, bur_status_name(status), bur_last_error());
        if (strstr(bur_last_error(), bad[i].in_message) == NULL)
            fail_msg("'%s': the message does not name '%s': %s", bad[i].text, bad[i].in_message,
                     bur_last_error());
        assert_memory_equal(&attr, &before, sizeof attr);
    }
}

static void test_op_attr__operators_are_found_by_name(void **state)
{
    (void)state;
    for (int32_t i = 0; i < BUR_OP_COUNT; i++) {
        bur_op op = BUR_OP_COUNT;
        assert_ok(bur_op_find(&op, bur_op_get((bur_op)i)->name));
        assert_int_equal(op, i);
    }
    bur_op op = BUR_OP_COUNT;
    assert_status(BUR_E_NAME, bur_op_find(&op, "matmull"));
    assert_non_null(strstr(bur_last_error(), "did you mean 'matmul'"));
    assert_status(BUR_E_NAME, bur_op_find(&op, ""));
    assert_int_equal(op, BUR_OP_COUNT);
}
