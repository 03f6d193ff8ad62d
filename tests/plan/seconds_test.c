/* Predicted step times: what was measured, in proportion, by the limits, unknown. */
#include "test.h"

#include "plan/plan.h"

static const bur_limits limits = {
    .flop_per_s = 1e11,
    .bandwidth = {{1e6, 1e11}, {1e7, 5e10}, {1e8, 2e10}, {1e9, 1e10}, {1e10, 1e10}}};

typedef struct scene {
    bur_context *context;
    bur_recipe *recipe;
    bur_target target;
    bur_calibration *calibration;
} scene;

static void scene_open(scene *s, const bur_limits *known)
{
    bur_device *cpu = NULL;
    const bur_zoo_options zoo = {.hidden = "64-32"};
    assert_ok(bur_context_create(&s->context, NULL));
    assert_ok(bur_device_open(&cpu, s->context, "cpu"));
    assert_ok(bur_zoo_create(&s->recipe, s->context, "mlp", &zoo));
    s->target = bur_device_target(cpu);
    assert_ok(bur_calibration_create(&s->calibration, s->context, known));
}

static void scene_close(scene *s)
{
    bur_calibration_destroy(s->calibration);
    bur_recipe_destroy(s->recipe);
    bur_context_destroy(s->context);
}

static bur_step_time step_time(const scene *s, int64_t batch)
{
    bur_graph *graph = NULL;
    bur_plan *plan = NULL;
    const bur_graph_options options = {.batch = batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_SGD)};
    assert_ok(bur_graph_create(&graph, s->recipe, &options));
    assert_ok(bur_plan_create(&plan, graph, &s->target, NULL));
    const bur_step_time time = bur_plan_step_time(plan, s->calibration);
    bur_plan_destroy(plan);
    bur_graph_destroy(graph);
    return time;
}

/* y = x w: [rows, 784] x [784, 64], as the first layer's. */
static bur_call_time product(int64_t rows, double seconds)
{
    static const bur_attr attr;
    const bur_desc inputs[] = {{.dtype = BUR_F32, .shape = {.rank = 2, .dim = {rows, 784}}},
                               {.dtype = BUR_F32, .shape = {.rank = 2, .dim = {784, 64}}}};
    const bur_desc output = {.dtype = BUR_F32, .shape = {.rank = 2, .dim = {rows, 64}}};
    const bur_call call = {BUR_OP_matmul, &attr, 2, 1, inputs, &output};
    return bur_call_time_of(&call, seconds);
}

static void test_plan_seconds__nothing_is_known_of_a_device_that_was_never_measured(void **state)
{
    static const bur_limits none;
    (void)state;
    scene s;
    scene_open(&s, &none);
    assert_false(step_time(&s, 32).known);
    scene_close(&s);
}

static void test_plan_seconds__the_limits_alone_give_a_time_that_grows_with_the_batch(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, &limits);
    const bur_step_time small = step_time(&s, 32), large = step_time(&s, 320);
    assert_true(small.known && large.known);
    assert_true(small.measured_share == 0);
    assert_true(large.accumulate_s > 5 * small.accumulate_s);
    assert_true(small.update_s > 0 && small.update_s == large.update_s);
    scene_close(&s);
}

static void test_plan_seconds__what_no_cache_holds_takes_longer(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, &limits);
    bur_device_info info = *s.target.info;
    s.target.info = &info;
    info.cache_bytes = 1 << 30;
    const bur_step_time near = step_time(&s, 32);
    info.cache_bytes = 1 << 10;
    const bur_step_time far = step_time(&s, 32);
    assert_true(far.accumulate_s > 1.5 * near.accumulate_s);
    assert_true(far.update_s > 5 * near.update_s);
    scene_close(&s);
}

static void test_plan_seconds__keys_tell_calls_apart_and_families_leave_the_batch_out(void **state)
{
    (void)state;
    const bur_call_time a = product(32, 1e-3), b = product(64, 1e-3);
    assert_true(a.key != b.key);
    assert_true(a.family == b.family);
    assert_true(b.cost.flop == 2 * a.cost.flop);
}

static void test_plan_seconds__a_later_time_takes_the_place_of_the_first(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, &limits);
    for (int64_t rows = 100; rows > 0; rows--) {
        const bur_call_time time = product(rows, 1e-3);
        assert_ok(bur_calibration_add(s.calibration, &time));
    }
    const bur_call_time again = product(50, 2e-3);
    assert_ok(bur_calibration_add(s.calibration, &again));
    assert_int_equal(bur_calibration_count(s.calibration), 100);
    int32_t found = 0;
    for (int32_t i = 0; i < 100; i++) {
        const bur_call_time *time = bur_calibration_at(s.calibration, i);
        assert_true(i == 0 || time->key > bur_calibration_at(s.calibration, i - 1)->key);
        if (time->key == again.key)
            found += time->seconds == 2e-3;
    }
    assert_int_equal(found, 1);
    const bur_call_time wrong = {.op = BUR_OP_COUNT, .seconds = 1}, never = {.op = 0, .seconds = 0};
    assert_status(BUR_E_ARG, bur_calibration_add(s.calibration, &wrong));
    assert_status(BUR_E_ARG, bur_calibration_add(s.calibration, &never));
    scene_close(&s);
}

/* What a probe took of the limits is taken to be what its class takes, and is no measured call. */
static void test_plan_seconds__a_probe_tells_of_its_class_and_stands_for_no_call(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, &limits);
    const bur_step_time before = step_time(&s, 32);
    const bur_call_time call = product(32, 0);
    const double least = bur_limits_least_s(&limits, call.cost);
    const bur_call_time slow = product(32, 100 * least), probe = bur__call_time_of_class(&slow);
    assert_true(probe.key != slow.key && probe.family == probe.key && probe.op == slow.op);
    assert_ok(bur_calibration_add(s.calibration, &probe));
    const bur_step_time after = step_time(&s, 32);
    assert_true(after.measured_share == 0);
    assert_true(after.accumulate_s > 30 * before.accumulate_s); /* that took the usual share */
    scene_close(&s);
}
