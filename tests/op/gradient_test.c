/* Every gradient rule against central differences of its forward row, both in double.
 * The rule emits into an emitter that evaluates each node at once with the reference backend; the
 * row tests compare the same nodes on the other backends. The argument is an operator's name;
 * tests/CMakeLists.txt makes a ctest op.gradient.NAME of each row with a gradient rule. */
#include "test.h"

#include "op/rules.h"
#include "reference/reference.h"
#include "support/example.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUES = 32, ELEMENTS = 24, DIRECTIONS = 3 };

/* Step of the differences and what they may be off by, relative to the largest gradient. The step
 * is short because relu and pooling have kinks: rounding, not cutting, decides the error. */
static const double step = 0x1p-22, tolerance = 1e-6;

/* ---- an emitter that evaluates ---- */

/* Values by index, as a graph has them. */
typedef struct tape {
    int32_t count;
    bur_desc desc[MAX_VALUES];
    void *data[MAX_VALUES];
} tape;

static int32_t push(tape *t, const bur_desc *desc, const void *data)
{
    assert_true(t->count < MAX_VALUES);
    const int32_t value = t->count++;
    t->desc[value] = *desc;
    t->data[value] = malloc(bur_desc_bytes(desc) + 1);
    assert_non_null(t->data[value]);
    if (data != NULL)
        memcpy(t->data[value], data, bur_desc_bytes(desc));
    return value;
}

static bur_status evaluate(void *graph, bur_op op, const bur_attr *attr, const int32_t *inputs,
                           int32_t n_inputs, int32_t n_outputs, int32_t *first_output)
{
    tape *t = graph;
    bur_desc in[TEST_MAX_INPUTS], out[TEST_MAX_OUTPUTS];
    void *x[TEST_MAX_INPUTS], *y[TEST_MAX_OUTPUTS];
    for (int32_t i = 0; i < n_inputs; i++) {
        in[i] = t->desc[inputs[i]];
        x[i] = t->data[inputs[i]];
    }
    const bur_call call = {op, attr, n_inputs, n_outputs, in, out};
    BUR_TRY(bur_op_infer(&call, out));
    *first_output = t->count;
    for (int32_t i = 0; i < n_outputs; i++)
        y[i] = t->data[push(t, &out[i], NULL)];
    bur_test_reference_evaluate(&call, x, y);
    return BUR_OK;
}

static const bur_desc *desc_of(const void *graph, int32_t value)
{
    return &((const tape *)graph)->desc[value];
}

/* ---- the gradient by the rule ---- */

static bool is_differentiable(const bur_desc *desc)
{
    return desc->dtype == BUR_F64;
}

static bool has_differentiable_input(const bur_call *call)
{
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (is_differentiable(&call->inputs[i]))
            return true;
    return false;
}

/* Fills dx[i] with a copy of the gradient by input i, NULL where there is none. dy is the gradient
 * of output 0; a loss has none. */
static void gradients_by_rule(const bur_call *call, void *const *x, const double *dy, double **dx)
{
    tape t = {.count = 0};
    int32_t inputs[TEST_MAX_INPUTS], outputs[TEST_MAX_OUTPUTS], gradients[TEST_MAX_INPUTS];
    bool needs[TEST_MAX_INPUTS];
    for (int32_t i = 0; i < call->n_inputs; i++) {
        inputs[i] = push(&t, &call->inputs[i], x[i]);
        needs[i] = is_differentiable(&call->inputs[i]);
        gradients[i] = -1;
    }
    int32_t first = -1;
    assert_ok(evaluate(&t, call->op, call->attr, inputs, call->n_inputs, call->n_outputs, &first));
    for (int32_t i = 0; i < call->n_outputs; i++)
        outputs[i] = first + i;
    for (int32_t i = 1; i < call->n_inputs && (bur_op_get(call->op)->flags & BUR_OP_LOSS); i++)
        needs[i] = false; /* targets and weights are data */
    for (int32_t i = 3; call->op == BUR_OP_batch_norm_infer && i < call->n_inputs; i++)
        needs[i] = false; /* running statistics */

    const bur_emitter emitter = {&t, evaluate, desc_of};
    const bur_gradient_call rule_call = {
        .emitter = &emitter,
        .op = call->op,
        .attr = call->attr,
        .x = inputs,
        .y = outputs,
        .dy = dy == NULL ? -1 : push(&t, &call->outputs[0], dy),
        .needs = needs,
        .dx = gradients,
        .n_x = call->n_inputs,
    };
    assert_ok(bur__op_rules(call->op)->gradient(&rule_call));
    for (int32_t i = 0; i < call->n_inputs; i++) {
        dx[i] = NULL;
        if (!needs[i])
            continue;
        assert_in_range(gradients[i], 0, t.count - 1);
        assert_true(bur_shape_equal(&t.desc[gradients[i]].shape, &call->inputs[i].shape));
        dx[i] = malloc(bur_desc_bytes(&call->inputs[i]) + 1);
        assert_non_null(dx[i]);
        memcpy(dx[i], t.data[gradients[i]], bur_desc_bytes(&call->inputs[i]));
    }
    for (int32_t i = 0; i < t.count; i++)
        free(t.data[i]);
}

/* ---- the gradient by differences ---- */

/* What is differentiated: sum_i dy[i] y[i], or a loss itself. */
static double objective(const bur_call *call, void *const *x, const double *dy)
{
    void *y[TEST_MAX_OUTPUTS];
    for (int32_t i = 0; i < call->n_outputs; i++) {
        y[i] = malloc(bur_desc_bytes(&call->outputs[i]) + 1);
        assert_non_null(y[i]);
    }
    bur_test_reference_evaluate(call, x, y);
    double sum = 0;
    if (dy == NULL)
        sum = ((const double *)y[0])[BUR_RESULT_LOSS];
    for (int64_t i = 0; dy != NULL && i < bur_desc_count(&call->outputs[0]); i++)
        sum += dy[i] * ((const double *)y[0])[i];
    for (int32_t i = 0; i < call->n_outputs; i++)
        free(y[i]);
    return sum;
}

/* d objective / dt at x[input] + t v, v with elements direction[i]. */
static double slope(const bur_call *call, void *const *x, const double *dy, int32_t input,
                    const double *direction)
{
    double *values = x[input], side[2];
    const int64_t n = bur_desc_count(&call->inputs[input]);
    for (int i = 0; i < 2; i++) {
        const double t = i == 0 ? step : -step;
        for (int64_t j = 0; j < n; j++)
            values[j] += t * direction[j];
        side[i] = objective(call, x, dy);
        for (int64_t j = 0; j < n; j++)
            values[j] -= t * direction[j];
    }
    return (side[0] - side[1]) / (2 * step);
}

/* Compares dx with differences along single elements, and along directions in which every element
 * takes part. */
static void check_input(const test_example *example, const double *dy, int32_t input,
                        const double *dx)
{
    const int64_t n = bur_desc_count(&example->inputs[input]);
    double most = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs(dx[i]));
        norm += dx[i] * dx[i];
    }
    const size_t bytes = bur_desc_bytes(&example->inputs[input]);
    double *direction = calloc(1, bytes);
    assert_non_null(direction);
    /* a large product takes a while in naive loops, and its small examples test the same rule */
    const int64_t most_elements = bur_op_cost(&example->call).flop > 2e7 ? 2 : ELEMENTS;
    const int64_t elements = n < most_elements ? n : most_elements;
    for (int64_t k = 0; k < elements + DIRECTIONS; k++) {
        double wanted = 0, scale = fmax(most, 1);
        if (k < elements) {
            const int64_t i = k * n / elements;
            direction[i] = 1;
            wanted = dx[i];
        } else {
            for (int64_t i = 0; i < n; i++) {
                direction[i] = test_uniform((uint32_t)(50 + k), i);
                wanted += dx[i] * direction[i];
            }
            scale = fmax(sqrt(norm), 1);
        }
        const double found = slope(&example->call, example->x, dy, input, direction);
        if (!(fabs(found - wanted) <= tolerance * scale))
            fail_msg("%s: gradient by input %d, %s %lld: rule %.12g, differences %.12g",
                     example->text, (int)input, k < elements ? "sampled element" : "direction",
                     (long long)k, wanted, found);
        memset(direction, 0, bytes);
    }
    free(direction);
}

/* Integers have no gradient: false if the example has nothing else. */
static bool check_example(bur_op op, int32_t index)
{
    test_example example;
    test_example_create(&example, op, index, bur_op_get(op)->outputs_max, BUR_F64, TEST_SMOOTH);
    if (!is_differentiable(&example.outputs[0]) || !has_differentiable_input(&example.call)) {
        test_example_destroy(&example);
        return false;
    }
    double *dy = NULL, *dx[TEST_MAX_INPUTS];
    if ((bur_op_get(op)->flags & BUR_OP_LOSS) == 0) {
        const int64_t n = bur_desc_count(&example.outputs[0]);
        dy = malloc(bur_desc_bytes(&example.outputs[0]));
        assert_non_null(dy);
        for (int64_t i = 0; i < n; i++)
            dy[i] = test_uniform(77, i);
    }
    gradients_by_rule(&example.call, example.x, dy, dx);
    int32_t compared = 0;
    for (int32_t i = 0; i < example.call.n_inputs; i++) {
        if (dx[i] == NULL)
            continue;
        check_input(&example, dy, i, dx[i]);
        free(dx[i]);
        compared++;
    }
    assert_true(compared > 0);
    free(dy);
    test_example_destroy(&example);
    return true;
}

static void test_gradient(void **state)
{
    const bur_op op = (bur_op)(intptr_t)*state;
    int32_t checked = 0;
    for (int32_t i = 0; i < test_example_count(op); i++)
        checked += check_example(op, i);
    assert_true(checked > 0);
}

int main(int argc, char **argv)
{
    bur_op op = BUR_OP_COUNT;
    if (argc != 2 || bur_op_find(&op, argv[1]) != BUR_OK || !bur_op_get(op)->has_gradient) {
        fprintf(stderr, "usage: %s OPERATOR, one with a gradient\n", argv[0]);
        return 2;
    }
    const struct CMUnitTest tests[] = {
        {.name = argv[1], .test_func = test_gradient, .initial_state = (void *)(intptr_t)op}};
    return cmocka_run_group_tests_name("op.gradient", tests, NULL, NULL);
}
