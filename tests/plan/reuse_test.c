/* What a step finds in no cache any more. */
#include "test.h"

#include "plan/plan.h"

typedef struct scene {
    bur_context *context;
    bur_recipe *recipe;
    bur_graph *graph;
    bur_target target;
    bur_device_info info; /* the CPU's, but for its cache */
} scene;

static void scene_open(scene *s)
{
    bur_device *cpu = NULL;
    const bur_zoo_options zoo = {.hidden = "512-256"};
    const bur_graph_options options = {
        .batch = 8, .loss = BUR_LOSS_CROSS_ENTROPY, .optimizer = bur_optimizer_default(BUR_ADAM)};
    assert_ok(bur_context_create(&s->context, NULL));
    assert_ok(bur_device_open(&cpu, s->context, "cpu"));
    assert_ok(bur_zoo_create(&s->recipe, s->context, "mlp", &zoo));
    assert_ok(bur_graph_create(&s->graph, s->recipe, &options));
    s->target = bur_device_target(cpu);
    s->info = *s->target.info;
    s->target.info = &s->info;
}

static void scene_close(scene *s)
{
    bur_graph_destroy(s->graph);
    bur_recipe_destroy(s->recipe);
    bur_context_destroy(s->context);
}

static bur_plan *plan_of(scene *s, uint64_t cache_bytes)
{
    bur_plan *plan = NULL;
    s->info.cache_bytes = cache_bytes;
    assert_ok(bur_plan_create(&plan, s->graph, &s->target, NULL));
    return plan;
}

static double bytes_of(const bur_graph *graph, int32_t node)
{
    bur_desc inputs[64], outputs[BUR_MAX_OUTPUTS];
    assert_true(bur__graph_most_inputs(graph) <= 64);
    const bur_call call = bur__graph_call(graph, node, inputs, outputs);
    return bur_op_cost(&call).bytes;
}

/* The sum over all nodes, none of which has more than it moves. */
static double far_sum(scene *s, uint64_t cache_bytes)
{
    bur_plan *plan = plan_of(s, cache_bytes);
    double *far_bytes = NULL, sum = 0;
    assert_ok(bur__plan_far_bytes(&far_bytes, plan));
    for (int32_t i = 0; i < s->graph->n_nodes; i++) {
        assert_true(far_bytes[i] >= 0 && far_bytes[i] <= bytes_of(s->graph, i));
        sum += far_bytes[i];
    }
    bur_free(s->context, far_bytes);
    bur_plan_destroy(plan);
    return sum;
}

static void test_plan_reuse__the_smaller_the_cache_the_more_comes_from_afar(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    double all = 0, before = 0;
    for (int32_t i = 0; i < s.graph->n_nodes; i++)
        all += bytes_of(s.graph, i);
    assert_true(far_sum(&s, 0) == 0); /* it tells no cache size */
    assert_true(far_sum(&s, UINT64_C(1) << 30) == 0);
    for (uint64_t cache_bytes = UINT64_C(1) << 30; cache_bytes >= 1 << 12; cache_bytes /= 4) {
        const double far = far_sum(&s, cache_bytes);
        assert_true(far >= before);
        before = far;
    }
    assert_true(before > 0.8 * all);
    scene_close(&s);
}

/* The optimizer's state was last touched a step ago, what the loss reads just before. */
static void test_plan_reuse__an_update_finds_its_state_in_no_cache(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    bur_plan *plan = plan_of(&s, 4 << 20); /* of 8 MiB */
    double *far_bytes = NULL;
    int32_t updates = 0, losses = 0;
    assert_ok(bur__plan_far_bytes(&far_bytes, plan));
    for (int32_t i = 0; i < s.graph->n_nodes; i++) {
        const bur_op op = s.graph->nodes[i].op;
        const double share = far_bytes[i] / bytes_of(s.graph, i);
        if (op == BUR_OP_adam) {
            updates++;
            assert_true(share > 4.0 / 7 - 0.05); /* both moments, read and written */
        } else if (op == BUR_OP_softmax_cross_entropy) {
            losses++;
            assert_true(share < 0.5);
        }
    }
    assert_true(updates > 0 && losses == 1);
    bur_free(s.context, far_bytes);
    bur_plan_destroy(plan);
    scene_close(&s);
}
