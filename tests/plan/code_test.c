/* Host memory of kernels that a library generates: a backend says of which, the plan counts. */
#include "test.h"

#include "support/model.h"

#include "support/opened.h"

#include <burthen/burthen.h>

enum { KERNEL_BYTES = 1000, COMMAND_BYTES = 10, SHARED_BYTES = 100000 };

static int n_asked;

static bur_generated a_matmul(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    assert_true(threads > 0);
    n_asked++;
    return call->op == BUR_OP_matmul ? BUR_GENERATED_KERNEL : BUR_GENERATED_NOTHING;
}

static bur_generated and_what_they_share(const bur_device_info *info, const bur_call *call,
                                         int32_t threads)
{
    return a_matmul(info, call, threads) == BUR_GENERATED_KERNEL ? BUR_GENERATED_SHARED
                                                                 : BUR_GENERATED_NOTHING;
}

static bur_plan_summary plan_mlp(bur_generated (*generates)(const bur_device_info *,
                                                            const bur_call *, int32_t))
{
    bur_context *context = NULL;
    bur_device *device = NULL;
    bur_recipe *recipe = NULL;
    bur_graph *graph = NULL;
    bur_plan *plan = NULL;
    const bur_zoo_options zoo = {.hidden = "64-64-64"};
    const bur_graph_options options = {
        .batch = 8, .loss = BUR_LOSS_CROSS_ENTROPY, .optimizer = bur_optimizer_default(BUR_SGD)};
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&device, context, "cpu"));
    assert_ok(bur_zoo_create(&recipe, context, "mlp", &zoo));
    bur_target target = bur_device_target(device);
    bur_backend backend = *target.backend;
    backend.generates = generates;
    backend.kernel_bytes = KERNEL_BYTES;
    backend.command_bytes = COMMAND_BYTES;
    backend.shared_bytes = SHARED_BYTES;
    target.backend = &backend;
    assert_ok(bur_graph_create(&graph, recipe, &options));
    assert_ok(bur_plan_create(&plan, graph, &target, NULL));
    const bur_plan_summary summary = *bur_plan_get_summary(plan);
    bur_plan_destroy(plan);
    bur_graph_destroy(graph);
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
    return summary;
}

static void test_plan_code__nothing_is_counted_where_nothing_is_generated(void **state)
{
    (void)state;
    const bur_plan_summary summary = plan_mlp(NULL);
    assert_int_equal(summary.code_bytes, 0);
    assert_int_equal(summary.shared_code_bytes, 0);
}

/* Of 784-64-64-64-10 the gradients of weights are four products, two of them alike, those of x
 * three, two of them alike. */
static void test_plan_code__equal_calls_share_a_kernel_and_have_commands_of_their_own(void **state)
{
    (void)state;
    n_asked = 0;
    const bur_plan_summary summary = plan_mlp(a_matmul);
    assert_true(n_asked > 7);
    assert_int_equal(summary.code_bytes, (3 + 2) * KERNEL_BYTES + (4 + 3) * COMMAND_BYTES);
    assert_int_equal(summary.shared_code_bytes, 0);
}

static void test_plan_code__what_kernels_share_is_counted_once(void **state)
{
    (void)state;
    const bur_plan_summary summary = plan_mlp(and_what_they_share);
    assert_int_equal(summary.code_bytes, (3 + 2) * KERNEL_BYTES + (4 + 3) * COMMAND_BYTES);
    assert_int_equal(summary.shared_code_bytes, SHARED_BYTES);
}
