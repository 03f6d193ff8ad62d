/* What the OpenCL kernels refuse, and how they say so. */
#include "opencl/call.h"

#include <backends/backends.h>
#include <string.h>

static const bur_backend *opencl(void)
{
    const char *name = NULL;
    char reason[BUR_TEXT_BYTES] = "";
    const bur_backend *backend = bur_backend_load(0, &name, reason);
    if (backend == NULL)
        fail_msg("%s: %s", name, reason);
    return backend;
}

static bool relu_supported(bur_dtype dtype, int64_t count, char *reason)
{
    bound_call c = {.call = {.op = BUR_OP_relu, .n_outputs = 1}};
    call_add_input(&c, dtype, 1, &count);
    c.outputs[0] = c.inputs[0];
    c.call.attr = &c.attr;
    c.call.inputs = c.inputs;
    c.call.outputs = c.outputs;
    const bur_device_info info = {.kind = BUR_DEVICE_GPU};
    return opencl()->supports(&info, &c.call, reason);
}

static void test_opencl_supports__every_row_but_the_views(void **state)
{
    (void)state;
    char reason[BUR_TEXT_BYTES];
    const bur_device_info info = {.kind = BUR_DEVICE_GPU};
    for (int32_t op = 0; op < BUR_OP_COUNT; op++) {
        const bur_call call = {.op = (bur_op)op};
        const bool view = (bur_op_get((bur_op)op)->flags & BUR_OP_VIEW) != 0;
        assert_int_equal(!view, opencl()->supports(&info, &call, reason));
        assert_int_equal(view, reason[0] != '\0');
    }
}

static void test_opencl_supports__doubles_and_huge_tensors_are_refused_by_name(void **state)
{
    (void)state;
    char reason[BUR_TEXT_BYTES];
    assert_true(relu_supported(BUR_F32, 1000, reason));
    assert_false(relu_supported(BUR_F64, 1000, reason));
    assert_non_null(strstr(reason, "f64"));
    assert_true(relu_supported(BUR_F32, INT64_C(2147483647), reason));
    assert_false(relu_supported(BUR_F32, INT64_C(2147483648), reason));
    assert_non_null(strstr(reason, "2147483648"));
}
