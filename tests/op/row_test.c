/* Every row of ops.def, each of its examples, on every device against the double reference.
 * The argument is an operator's name; tests/CMakeLists.txt makes a ctest op.row.NAME of each. */
#include "test.h"

#include "reference/reference.h"
#include "support/example.h"
#include "support/execute.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static test_device devices[TEST_MAX_DEVICES];
static int32_t device_count;

/* Largest relative error of a tensor, |y - reference| / |reference| in the Euclidean norm.
 * Rounding errors of a sum of k terms grow as sqrt(k); `ulps` is for what is not a sum (exp, tanh
 * and division may each be off by several on OpenCL). */
static const struct tolerance {
    double epsilon, ulps;
} tolerances[BUR_DTYPE_COUNT] = {
    [BUR_F32] = {0x1p-23, 8},
};

static double tolerance_of(const bur_call *call, bur_dtype dtype)
{
    int64_t elements = 0;
    for (int32_t i = 0; i < call->n_outputs; i++)
        elements += bur_desc_count(&call->outputs[i]);
    const double terms = elements > 0 ? bur_op_cost(call).flop / (double)elements : 1;
    return tolerances[dtype].epsilon * (tolerances[dtype].ulps + sqrt(terms));
}

/* What is compared: a device, an example and one of its tensors. */
typedef struct subject {
    const test_device *device;
    const test_example *example;
    const char *what;
    int32_t index;
} subject;

/* A NaN is never less than the tolerance. */
static void check_close(const subject *s, double error, double norm, double tolerance)
{
    if (!(error <= tolerance * norm))
        fail_msg("%s: %s: %s %d is off by %.3g of %.3g, relative %.3g; %.3g is allowed",
                 s->device->label, s->example->text, s->what, (int)s->index, error, norm,
                 error / norm, tolerance);
}

/* The words of a loss result are four figures of their own. */
static void check_result(const subject *s, const float *y, const double *reference,
                         double tolerance)
{
    for (int64_t i = 0; i < BUR_RESULT_WORDS; i++)
        check_close(s, fabs((double)y[i] - reference[i]), fmax(fabs(reference[i]), 1), tolerance);
}

static void check_tensor(const subject *s, const void *y, const void *reference,
                         const bur_desc *desc, double tolerance)
{
    const int64_t n = bur_desc_count(desc);
    const bool random = (bur_op_get(s->example->call.op)->flags & BUR_OP_RANDOM) != 0;
    if (desc->dtype != BUR_F32) {
        if (memcmp(y, reference, bur_desc_bytes(desc)) != 0)
            fail_msg("%s: %s: %s %d differs", s->device->label, s->example->text, s->what,
                     (int)s->index);
        return;
    }
    double error = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        const double value = (double)((const float *)y)[i], wanted = ((const double *)reference)[i];
        error += (value - wanted) * (value - wanted);
        norm += wanted * wanted;
        if (random && (value == 0) != (wanted == 0))
            fail_msg("%s: %s: the mask differs at element %lld", s->device->label, s->example->text,
                     (long long)i);
    }
    check_close(s, sqrt(error), sqrt(norm), tolerance);
}

static void check_example(const test_device *device, const test_example *example,
                          void *const *inputs, void *const *outputs, const test_example *reference,
                          void *const *wanted)
{
    const bur_call *call = &example->call;
    const double tolerance = tolerance_of(call, BUR_F32);
    const bool loss = (bur_op_get(call->op)->flags & BUR_OP_LOSS) != 0;
    for (int32_t i = 0; i < call->n_outputs; i++) {
        const subject s = {device, example, "output", i};
        if (loss && i == 0)
            check_result(&s, outputs[i], wanted[i], tolerance);
        else
            check_tensor(&s, outputs[i], wanted[i], &call->outputs[i], tolerance);
    }
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (bur_op_changes(call, i)) {
            const subject s = {device, example, "updated input", i};
            check_tensor(&s, inputs[i], reference->x[i], &call->inputs[i], tolerance);
        }
}

static void *copy_of(const void *data, size_t bytes)
{
    void *copy = malloc(bytes + 1);
    assert_non_null(copy);
    if (data != NULL)
        memcpy(copy, data, bytes);
    return copy;
}

/* One example on one device, outputs apart and, where the row allows it, in place. */
static void run_on(const test_device *device, const test_example *example,
                   const test_example *reference, void *const *wanted)
{
    const bur_call *call = &example->call;
    const int32_t alias = bur_op_get(call->op)->alias;
    const bool may_alias =
        alias >= 0 && bur_desc_bytes(&call->inputs[alias]) == bur_desc_bytes(&call->outputs[0]);
    for (int in_place = 0; in_place <= may_alias; in_place++) {
        void *inputs[TEST_MAX_INPUTS], *outputs[TEST_MAX_OUTPUTS];
        for (int32_t i = 0; i < call->n_inputs; i++)
            inputs[i] = copy_of(example->x[i], bur_desc_bytes(&call->inputs[i]));
        for (int32_t i = 0; i < call->n_outputs; i++)
            outputs[i] = copy_of(NULL, bur_desc_bytes(&call->outputs[i]));
        test_execute(device, call, inputs, outputs, in_place != 0);
        check_example(device, example, inputs, outputs, reference, wanted);
        for (int32_t i = 0; i < call->n_inputs; i++)
            free(inputs[i]);
        for (int32_t i = 0; i < call->n_outputs; i++)
            free(outputs[i]);
    }
}

static void run_example(bur_op op, int32_t index, int32_t n_outputs)
{
    test_example example, reference;
    test_example_create(&example, op, index, n_outputs, BUR_F32, TEST_ROUGH);
    test_example_create(&reference, op, index, n_outputs, BUR_F64, TEST_ROUGH);
    void *wanted[TEST_MAX_OUTPUTS];
    for (int32_t i = 0; i < n_outputs; i++)
        wanted[i] = copy_of(NULL, bur_desc_bytes(&reference.outputs[i]));
    bur_test_reference_evaluate(&reference.call, reference.x, wanted);
    for (int32_t i = 0; i < device_count; i++)
        run_on(&devices[i], &example, &reference, wanted);
    for (int32_t i = 0; i < n_outputs; i++)
        free(wanted[i]);
    test_example_destroy(&example);
    test_example_destroy(&reference);
}

/* A view has no kernel: it must keep every element. */
static void check_view(bur_op op, int32_t index)
{
    test_example example;
    test_example_create(&example, op, index, 1, BUR_F32, TEST_ROUGH);
    assert_int_equal(bur_desc_bytes(&example.inputs[0]), bur_desc_bytes(&example.outputs[0]));
    test_example_destroy(&example);
}

static void test_row(void **state)
{
    const bur_op op = (bur_op)(intptr_t)*state;
    const bur_op_info *info = bur_op_get(op);
    const int32_t count = test_example_count(op);
    assert_true(count > 0);
    for (int32_t i = 0; i < count; i++)
        if ((info->flags & BUR_OP_VIEW) != 0)
            check_view(op, i);
        else
            for (int32_t n = info->outputs_min; n <= info->outputs_max; n++)
                run_example(op, i, n);
}

int main(int argc, char **argv)
{
    bur_op op = BUR_OP_COUNT;
    if (argc != 2 || bur_op_find(&op, argv[1]) != BUR_OK) {
        fprintf(stderr, "usage: %s OPERATOR\n%s\n", argv[0], bur_last_error());
        return 2;
    }
    if (!test_devices_open(devices, &device_count))
        return 1;
    for (int32_t i = 0; i < device_count; i++)
        fprintf(stderr, "device: %s\n", devices[i].label);
    const struct CMUnitTest tests[] = {
        {.name = argv[1], .test_func = test_row, .initial_state = (void *)(intptr_t)op}};
    const int failed = cmocka_run_group_tests_name("op.row", tests, NULL, NULL);
    for (int32_t i = 0; i < device_count; i++)
        test_device_close(&devices[i]);
    return failed;
}
