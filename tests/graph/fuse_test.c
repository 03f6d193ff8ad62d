/* Rows that the fusion pass joins, where it must not, and that a step computes the same. */
#include "test.h"

#include "support/model.h"
#include "support/run.h"

#include <burthen/nn.h>
#include <math.h>
#include <stdlib.h>

enum { BATCH = 3, SIDE = 6, CHANNELS = 8, CLASSES = 5 };

static bur_layer convolution(int32_t kernel)
{
    bur_layer layer = bur_conv2d(CHANNELS, kernel, BUR_SAME, BUR_LINEAR);
    layer.no_bias = true;
    return layer;
}

static void put_unit(bur_recipe *recipe, int32_t kernel, bur_activation activation, bur_ref *value)
{
    assert_ok(test_put(recipe, convolution(kernel), value));
    assert_ok(test_put(recipe, bur_batch_normalization(), value));
    if (activation != BUR_LINEAR)
        assert_ok(test_put(recipe, bur_activate(activation), value));
}

static void put_sum(bur_recipe *recipe, bur_activation activation, bur_ref other, bur_ref *value)
{
    const bur_ref both[] = {*value, other};
    const bur_layer add = bur_add(activation);
    assert_ok(bur_layer_apply(recipe, &add, both, 2, value));
}

/* Normalisation with each activation; a residual block whose shortcut is normalised too, after the
 * branch; a residual block without activation; and a normalisation that two layers read. */
static bur_recipe *blocks(bur_context *context)
{
    bur_recipe *recipe = NULL;
    bur_ref value = -1;
    const bur_shape shape = {.rank = 4, .dim = {BUR_DIM_BATCH, SIDE, SIDE, 3}};
    assert_ok(bur_recipe_create(&recipe, context, "blocks"));
    assert_ok(bur_recipe_input(recipe, "x", BUR_F32, &shape, &value));
    put_unit(recipe, 3, BUR_RELU6, &value);
    bur_ref shortcut = value;
    put_unit(recipe, 3, BUR_SILU, &value);
    put_unit(recipe, 3, BUR_LINEAR, &value);
    put_unit(recipe, 1, BUR_LINEAR, &shortcut);
    put_sum(recipe, BUR_RELU, shortcut, &value);
    bur_ref branch = value;
    put_unit(recipe, 3, BUR_LINEAR, &branch);
    put_sum(recipe, BUR_LINEAR, branch, &value);
    put_unit(recipe, 1, BUR_LINEAR, &value);
    bur_ref read_twice = value;
    assert_ok(test_put(recipe, bur_activate(BUR_RELU), &value));
    put_sum(recipe, BUR_LINEAR, read_twice, &value);
    assert_ok(test_put(recipe, bur_flatten(), &value));
    assert_ok(test_put(recipe, bur_dense(CLASSES, BUR_SOFTMAX), &value));
    assert_ok(bur_recipe_output(recipe, value));
    return recipe;
}

static bur_graph_options options_of(bur_mode mode, bool no_fuse)
{
    return (bur_graph_options){.batch = BATCH,
                               .mode = mode,
                               .loss = BUR_LOSS_CROSS_ENTROPY,
                               .optimizer = bur_optimizer_default(BUR_SGD),
                               .no_fuse = no_fuse};
}

static void assert_rows(const bur_recipe *recipe, bur_mode mode, bur_op op, int32_t wanted)
{
    const bur_graph_options options = options_of(mode, false);
    bur_graph *graph = NULL;
    int32_t count = 0;
    assert_ok(bur_graph_create(&graph, recipe, &options));
    for (int32_t i = 0; i < bur_graph_node_count(graph); i++)
        count += bur_graph_node_op(graph, i) == op;
    if (count != wanted)
        fail_msg("%s: %d nodes, %d are wanted", bur_op_get(op)->name, (int)count, (int)wanted);
    bur_graph_destroy(graph);
}

static void test_graph_fuse__activations_and_residuals_join_their_normalisation(void **state)
{
    (void)state;
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    bur_recipe *recipe = blocks(context);
    assert_rows(recipe, BUR_TRAIN, BUR_OP_batch_norm_act, 2);
    assert_rows(recipe, BUR_TRAIN, BUR_OP_batch_norm_add_act, 2);
    assert_rows(recipe, BUR_TRAIN, BUR_OP_batch_norm,
                2); /* one of a sum's, and the one read twice */
    assert_rows(recipe, BUR_TRAIN, BUR_OP_running_stats, 6);
    assert_rows(recipe, BUR_TRAIN, BUR_OP_relu, 1);
    assert_rows(recipe, BUR_TRAIN, BUR_OP_silu, 0);
    assert_rows(recipe, BUR_PREDICT, BUR_OP_batch_norm_infer_act, 4);
    assert_rows(recipe, BUR_PREDICT, BUR_OP_batch_norm_infer, 2);
    assert_rows(recipe, BUR_PREDICT, BUR_OP_relu, 1);
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

/* The result's first two words and all state after a step of training, or an evaluation. */
static float *run_once(bur_device *device, const bur_recipe *recipe, bur_mode mode, bool no_fuse,
                       float *result, int64_t *count)
{
    const bur_graph_options options = options_of(mode, no_fuse);
    const bur_scalars scalars = test_run_scalars(&options.optimizer, 1, 0, BATCH);
    const int32_t labels[BATCH] = {4, 0, 2};
    float x[BATCH * SIDE * SIDE * 3];
    test_run run;
    for (int32_t i = 0; i < BATCH * SIDE * SIDE * 3; i++)
        x[i] = (float)sin(0.7 * i * i);
    test_run_open(&run, device, NULL, recipe, &options);
    assert_ok(bur_session_initialize(run.session, recipe, 1));
    assert_ok(bur_session_write_batch(run.session, x, labels));
    assert_ok(bur_session_accumulate(run.session, &scalars));
    assert_ok(bur_session_read_result(run.session, result));
    if (mode == BUR_TRAIN)
        assert_ok(bur_session_update(run.session));
    float *values = test_run_read_state(run.session, count);
    test_run_destroy(&run);
    return values;
}

static void test_graph_fuse__a_step_is_that_of_the_plain_rows(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    assert_ok(bur_context_create(&context, NULL));
    bur_recipe *recipe = blocks(context);
    const int32_t n_devices = test_run_devices(devices, context);
    for (int32_t d = 0; d < n_devices; d++)
        for (int m = 0; m < 2; m++) {
            const bur_mode mode = m == 0 ? BUR_TRAIN : BUR_EVALUATE;
            float plain[BUR_RESULT_WORDS], fused[BUR_RESULT_WORDS];
            int64_t count = 0;
            float *wanted = run_once(devices[d], recipe, mode, true, plain, &count);
            float *found = run_once(devices[d], recipe, mode, false, fused, &count);
            assert_true(fabsf(plain[0] - fused[0]) <= 1e-5F * fabsf(plain[0]));
            assert_true(test_run_difference(found, wanted, count) <= 1e-5);
            free(wanted);
            free(found);
        }
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}
