#include "test.h"

/* Counts a row's examples that read, and checks that the row's own shape rule takes each. */
static int32_t check_examples(bur_op op)
{
    int32_t count = 0;
    for (;; count++) {
        const bur_op_info *info = bur_op_get(op);
        bur_attr attr;
        bur_desc inputs[BUR_EXAMPLE_INPUTS], outputs[4];
        int32_t n_inputs = 0;
        const bur_status status = bur_op_example(op, count, &attr, inputs, &n_inputs);
        if (status == BUR_E_RANGE)
            return count;
        const bur_call call = {op, &attr, n_inputs, info->outputs_max, inputs, outputs};
        if (status != BUR_OK || bur_op_infer(&call, outputs) != BUR_OK)
            fail_msg("%s, example %d: %s", info->name, count, bur_last_error());
    }
}

static void test_op_example__every_row_has_examples_that_fit_its_shape_rule(void **state)
{
    (void)state;
    for (int op = 0; op < BUR_OP_COUNT; op++)
        assert_true(check_examples((bur_op)op) >= 1);
}

static void test_op_example__an_example_gives_shapes_types_and_attributes(void **state)
{
    (void)state;
    bur_attr attr;
    bur_desc inputs[BUR_EXAMPLE_INPUTS];
    int32_t n_inputs = 0;
    /* "1x2x3x1, 1x2x3x1:u8 window=2,2 input_size=5,7" */
    assert_ok(bur_op_example(BUR_OP_max_pool2d_grad, 1, &attr, inputs, &n_inputs));
    assert_int_equal(n_inputs, 2);
    assert_int_equal(inputs[1].dtype, BUR_U8);
    assert_int_equal(inputs[1].shape.rank, 4);
    assert_int_equal(inputs[1].shape.dim[2], 3);
    assert_int_equal(attr.pool2d.input_size[1], 7);
    assert_status(BUR_E_RANGE,
                  bur_op_example(BUR_OP_max_pool2d_grad, 1000, &attr, inputs, &n_inputs));
    assert_int_equal(n_inputs, 2);
}
