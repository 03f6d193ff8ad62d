/* Optimizer rows within the backward pass: the step's bits are those of rows at its end. */
#include "test.h"

#include "graph/graph.h"
#include "support/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 3 };

typedef struct subject {
    const char *model;
    bur_zoo_options zoo;
    int64_t batch;
    bur_optimizer optimizer;
    float recompute;
} subject;

static bur_graph_options options_of(const subject *s, bool early)
{
    return (bur_graph_options){.batch = s->batch,
                               .loss = BUR_LOSS_CROSS_ENTROPY,
                               .optimizer = s->optimizer,
                               .early_update = early,
                               .recompute = s->recompute};
}

/* State after a few steps; the loss of the last. */
static float *train(bur_device *device, const bur_recipe *recipe, const subject *s, bool early,
                    bur_plan_summary *summary, float *result, int64_t *count)
{
    const bur_graph_options options = options_of(s, early);
    const int64_t n = bur_desc_count(bur_recipe_input_desc(recipe)) * s->batch,
                  classes = bur_desc_count(bur_recipe_output_desc(recipe));
    float *x = test_run_memory((size_t)n * sizeof *x);
    int32_t *labels = test_run_memory((size_t)s->batch * sizeof *labels);
    test_run run;
    test_run_open(&run, device, NULL, recipe, &options);
    assert_ok(bur_session_initialize(run.session, recipe, 1));
    for (int64_t step = 0; step < STEPS; step++) {
        const bur_scalars scalars = test_run_scalars(&s->optimizer, 1, step, s->batch);
        for (int64_t i = 0; i < n; i++)
            x[i] = (float)((i + step) * 37 % 101) / 101;
        for (int64_t i = 0; i < s->batch; i++)
            labels[i] = (int32_t)((i + step) % classes);
        assert_ok(bur_session_write_batch(run.session, x, labels));
        assert_ok(bur_session_step(run.session, &scalars));
    }
    assert_ok(bur_session_read_result(run.session, result));
    float *state = test_run_read_state(run.session, count);
    *summary = *bur_plan_get_summary(run.plan);
    test_run_destroy(&run);
    free(x);
    free(labels);
    return state;
}

/* Trains with the rows at the end and within: state and loss are the same to the bit, and what
 * outlives a step lies in as many bytes. */
static void compare(bur_device *device, const bur_recipe *recipe, const subject *s)
{
    bur_plan_summary late, early;
    float late_result[BUR_RESULT_WORDS], early_result[BUR_RESULT_WORDS];
    int64_t late_count = 0, early_count = 0;
    float *wanted = train(device, recipe, s, false, &late, late_result, &late_count);
    float *found = train(device, recipe, s, true, &early, early_result, &early_count);
    assert_true(isfinite(late_result[BUR_RESULT_LOSS]));
    assert_true(early.steps > late.steps);
    assert_true(early.arena_bytes < late.arena_bytes);
    assert_int_equal(early.persistent_bytes, late.persistent_bytes);
    assert_memory_equal(early_result, late_result, sizeof late_result);
    assert_int_equal(early_count, late_count);
    if (memcmp(found, wanted, (size_t)late_count * sizeof *found) != 0)
        fail_msg("%s, %s: %s gives other bits", test_run_label(device), s->model,
                 bur_optimizer_name(s->optimizer.kind));
    free(wanted);
    free(found);
}

static bur_optimizer optimizer_of(bur_optimizer_kind kind, bool all)
{
    bur_optimizer optimizer = bur_optimizer_default(kind);
    if (!all)
        return optimizer;
    optimizer.attr.l1 = 1e-4F;
    optimizer.attr.l2 = 1e-3F;
    optimizer.attr.weight_decay = 1e-2F;
    optimizer.attr.clip_value = 1e-2F;
    optimizer.attr.ema = 0.9F;
    return optimizer;
}

static void test_run_early__every_optimizer_keeps_its_bits_on_every_device(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    bur_recipe *recipe = NULL;
    const bur_zoo_options zoo = {.hidden = "640-512-256"};
    assert_ok(bur_context_create(&context, NULL));
    const int32_t n_devices = test_run_devices(devices, context);
    assert_ok(bur_zoo_create(&recipe, context, "mlp", &zoo));
    for (int32_t d = 0; d < n_devices; d++)
        for (int kind = 0; kind < BUR_OPTIMIZER_COUNT; kind++)
            for (int all = 0; all < 2; all++) {
                const subject s = {.model = "mlp",
                                   .batch = 16,
                                   .optimizer = optimizer_of((bur_optimizer_kind)kind, all != 0)};
                compare(devices[d], recipe, &s);
            }
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

static void test_run_early__models_keep_their_bits(void **state)
{
    static const bur_shape image = {.rank = 3, .dim = {32, 32, 3}};
    const subject subjects[] = {
        {"cnn-mid", {.classes = 10}, 4, optimizer_of(BUR_MOMENTUM, true), 0},
        {"resnet18",
         {.sample = image, .classes = 10, .width = 0.5F, .small_stem = true},
         4,
         optimizer_of(BUR_ADAM, false),
         0},
        {"mobilenet-v2", {.sample = image, .classes = 10}, 3, optimizer_of(BUR_ADAMW, true), 0.7F},
        {"efficientnet-b0", {.sample = image, .classes = 10}, 4, optimizer_of(BUR_ADAM, true), 0},
        {"vit-tiny",
         {.sample = image, .classes = 10, .depth = 3, .dropout = 0.1F},
         4,
         optimizer_of(BUR_ADAM, false),
         0.7F},
        {"transformer-small", {.depth = 2}, 2, optimizer_of(BUR_ADAM, true), 0},
        {"lstm", {.hidden = "384-256"}, 3, optimizer_of(BUR_RMSPROP, true), 0},
        {"gru", {.hidden = "384-256"}, 3, optimizer_of(BUR_NESTEROV, false), 0.8F},
    };
    (void)state;
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        bur_recipe *recipe = NULL;
        assert_ok(bur_zoo_create(&recipe, context, subjects[i].model, &subjects[i].zoo));
        compare(cpu, recipe, &subjects[i]);
        bur_recipe_destroy(recipe);
    }
    bur_context_destroy(context);
}

/* ---- the order of nodes ---- */

/* Fails if a node reads a parameter behind the row that changes it, or anything before it is made;
 * gives how many rows of the optimizer there are. */
static int32_t check_order(const bur_graph *graph, const char *name)
{
    bool *changed = calloc((size_t)graph->n_values, sizeof *changed);
    int32_t rows = 0;
    assert_non_null(changed);
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const bur_graph_node *node = &graph->nodes[i];
        const bur_call call = {.op = node->op, .attr = &node->attr};
        const bool optimizer = bur_op_get(node->op)->flags & BUR_OP_UPDATE;
        rows += optimizer;
        for (int32_t j = 0; j < node->n_inputs; j++) {
            const int32_t value = graph->inputs[node->first_input + j],
                          memory = graph->values[value].memory;
            if (!optimizer && changed[memory])
                fail_msg("%s: node %d, %s, reads parameter %d after its update", name, (int)i,
                         bur_op_get(node->op)->name, (int)graph->values[memory].parameter);
            if (graph->values[value].producer >= i)
                fail_msg("%s: node %d, %s, stands before what it reads", name, (int)i,
                         bur_op_get(node->op)->name);
            changed[memory] |= bur_op_changes(&call, j);
        }
    }
    free(changed);
    return rows;
}

static void test_run_early__no_parameter_is_read_after_its_update(void **state)
{
    static const float shares[] = {0, 0.8F, 0.5F};
    (void)state;
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    for (int32_t m = 0; m < bur_zoo_count(); m++) {
        const char *name = bur_zoo_at(m)->name;
        const bur_zoo_options zoo = {.width = 0};
        bur_recipe *recipe = NULL;
        assert_ok(bur_zoo_create(&recipe, context, name, &zoo));
        for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
            const subject s = {
                .batch = 2, .optimizer = optimizer_of(BUR_ADAM, true), .recompute = shares[k]};
            const bur_graph_options options = options_of(&s, true);
            bur_graph *graph = NULL;
            assert_ok(bur_graph_create(&graph, recipe, &options));
            /* Penalized, not penalized, averages: three rows a group, of which there are few. */
            assert_in_range(check_order(graph, name), 2, 3 * 16);
            bur_graph_destroy(graph);
        }
        bur_recipe_destroy(recipe);
    }
    bur_context_destroy(context);
}

/* x W1 W2 W1 W3: the first kernel has its gradient from two places and is read in both. */
static void test_run_early__a_kernel_used_twice_waits_for_both(void **state)
{
    enum { N = 640, CLASSES = 10 };
    const bur_shape sample = {.rank = 2, .dim = {BUR_DIM_BATCH, N}},
                    square = {.rank = 2, .dim = {N, N}}, last = {.rank = 2, .dim = {N, CLASSES}};
    (void)state;
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    bur_recipe *recipe = NULL;
    bur_ref x = -1, w[3];
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    assert_ok(bur_recipe_create(&recipe, context, "twice"));
    assert_ok(bur_recipe_input(recipe, "x", BUR_F32, &sample, &x));
    assert_ok(bur_recipe_parameter(recipe, "first", &square, BUR_INIT_GLOROT_UNIFORM, &w[0]));
    assert_ok(bur_recipe_parameter(recipe, "second", &square, BUR_INIT_GLOROT_UNIFORM, &w[1]));
    assert_ok(bur_recipe_parameter(recipe, "third", &last, BUR_INIT_GLOROT_UNIFORM, &w[2]));
    const bur_ref order[] = {w[0], w[1], w[0], w[2]};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const bur_ref inputs[] = {x, order[i]};
        assert_ok(bur_recipe_apply(recipe, BUR_OP_matmul, NULL, inputs, 2, &x));
    }
    assert_ok(bur_recipe_output(recipe, x));
    const subject s = {.model = "twice", .batch = 8, .optimizer = optimizer_of(BUR_ADAM, false)};
    const bur_graph_options options = options_of(&s, true);
    bur_graph *graph = NULL;
    assert_ok(bur_graph_create(&graph, recipe, &options));
    assert_int_equal(check_order(graph, s.model), 2);
    bur_graph_destroy(graph);
    compare(cpu, recipe, &s);
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

/* ---- where it is not done ---- */

static void test_run_early__what_needs_all_gradients_keeps_them(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    bur_recipe *recipe = NULL;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    assert_ok(bur_zoo_create(&recipe, context, "cnn-mid", &(bur_zoo_options){.width = 0}));
    const subject s = {.batch = 1, .optimizer = optimizer_of(BUR_ADAM, false)};
    bur_graph_options all[3] = {options_of(&s, true), options_of(&s, true), options_of(&s, true)};
    all[1].accumulate = true;
    all[2].optimizer.attr.clip_norm = 1;
    for (int i = 0; i < 3; i++) {
        test_run run;
        float gradient[3 * 3 * 64];
        test_run_open(&run, cpu, NULL, recipe, &all[i]);
        assert_int_equal(run.graph->early_update, i == 0);
        assert_status(i == 0 ? BUR_E_STATE : BUR_OK,
                      bur_session_read_gradient(run.session, 0, gradient));
        int32_t last_backward = -1, first_update = run.graph->n_nodes;
        for (int32_t n = run.graph->n_nodes - 1; n >= 0; n--) {
            if (bur_op_get(run.graph->nodes[n].op)->flags & BUR_OP_UPDATE)
                first_update = n;
            else if (last_backward < 0)
                last_backward = n;
        }
        assert_int_equal(first_update > last_backward, i > 0);
        test_run_destroy(&run);
    }
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}
