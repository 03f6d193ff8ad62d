/* Probing measures every class of kernels that the models of the zoo take time with. */
#define _GNU_SOURCE /* mkdtemp, setenv */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

static int count_of(const bur_calibration *calibration, bur_op op, int32_t variant)
{
    int count = 0;
    for (int32_t i = 0; i < bur_calibration_count(calibration); i++) {
        const bur_call_time *time = bur_calibration_at(calibration, i);
        count += time->op == (int32_t)op && time->variant == variant;
    }
    return count;
}

static void test_train_probe__a_probe_knows_every_class_and_measures_no_model(void **state)
{
    (void)state;
    static const bur_op ops[] = {BUR_OP_matmul,
                                 BUR_OP_self_attention,
                                 BUR_OP_lstm,
                                 BUR_OP_self_attention_grad,
                                 BUR_OP_gru,
                                 BUR_OP_lstm_grad,
                                 BUR_OP_adam,
                                 BUR_OP_max_pool2d,
                                 BUR_OP_max_pool2d_grad};
    static const bur_op convolutions[] = {BUR_OP_conv2d, BUR_OP_conv2d_grad_x,
                                          BUR_OP_conv2d_grad_w};
    enum { VARIANTS = 4 }; /* of any size, of single pixels, of groups, of few channels */
    char cache[] = "/tmp/burthen-probe-XXXXXX", file[64];
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    const bur_calibration *calibration = NULL;
    bur_recipe *recipe = NULL;
    bur_graph *graph = NULL;
    bur_plan *plan = NULL;
    assert_non_null(mkdtemp(cache));
    assert_int_equal(setenv("XDG_CACHE_HOME", cache, 1), 0);
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    assert_ok(bur_device_probe(cpu));
    assert_ok(bur_device_calibration(&calibration, cpu));
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (count_of(calibration, ops[i], 0) == 0)
            fail_msg("no probe has %s", bur_op_get(ops[i])->name);
    for (size_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++)
        for (int32_t v = 0; v < VARIANTS; v++)
            if (count_of(calibration, convolutions[i], v) == 0 &&
                !(convolutions[i] == BUR_OP_conv2d_grad_x && v == VARIANTS - 1)) /* of an input */
                fail_msg("no probe has %s in variant %d", bur_op_get(convolutions[i])->name,
                         (int)v);

    const bur_graph_options options = {
        .batch = 2, .loss = BUR_LOSS_CROSS_ENTROPY, .optimizer = bur_optimizer_default(BUR_ADAM)};
    const bur_target target = bur_device_target(cpu);
    assert_ok(bur_zoo_create(&recipe, context, "resnet18", NULL));
    assert_ok(bur_graph_create(&graph, recipe, &options));
    assert_ok(bur_plan_create(&plan, graph, &target, NULL));
    const bur_step_time time = bur_plan_step_time(plan, calibration);
    assert_true(time.known && time.measured_share == 0 && time.accumulate_s > 0);
    bur_plan_destroy(plan);
    bur_graph_destroy(graph);
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
    snprintf(file, sizeof file, "rm -r %s", cache);
    assert_int_equal(system(file), 0);
    assert_status(BUR_E_ARG, bur_device_probe(NULL));
}
