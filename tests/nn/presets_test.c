/* S-095: every model of the zoo, small, takes a step of training on every device, and the memory
 * that its plan told. */
#include "test.h"

#include "support/run.h"

#include <burthen/burthen.h>
#include <math.h>
#include <string.h>

enum { BATCH = 3, DEEP = 50 };

/* Small samples of the model's number of dimensions. */
static bur_zoo_options small_options(const bur_zoo_info *info)
{
    static const bur_shape samples[] = {[1] = {.rank = 1, .dim = {12}},
                                        [2] = {.rank = 2, .dim = {9, 5}},
                                        [3] = {.rank = 3, .dim = {32, 32, 3}}};
    assert_in_range(info->sample.rank, 1, 3);
    return (bur_zoo_options){.sample = samples[info->sample.rank],
                             .classes = 4,
                             .width = 0.125F,
                             .depth = 1,
                             .small_stem = true};
}

/* Loss of two steps over the same samples; the first is *first. */
static double train(bur_device *device, const bur_recipe *recipe, const bur_dataset *data,
                    double *first)
{
    const size_t before = bur_device_live_bytes(device);
    const bur_optimizer adam = bur_optimizer_default(BUR_ADAM);
    test_run run;
    test_run_create(&run, device, NULL, recipe, data, BATCH, &adam, 7);
    *first = test_run_step(&run, data, 0);
    const double second = test_run_accumulate(&run, data, 0);
    const size_t taken = bur_device_live_bytes(device) - before;
    if (taken != bur_plan_get_summary(run.plan)->total_bytes)
        fail_msg("%s on %s: %zu bytes, the plan told %zu", bur_recipe_name(recipe),
                 test_run_label(device), taken, bur_plan_get_summary(run.plan)->total_bytes);
    test_run_destroy(&run);
    return second;
}

/* Where the model is as deep as asked for, or as shallow. */
static void check_model(bur_device *const *devices, int32_t n_devices, bur_context *context,
                        const bur_zoo_info *info, bool deep)
{
    const bur_zoo_options options = small_options(info);
    const bur_data_options random = {
        .seed = 5, .count = BATCH, .sample = options.sample, .classes = options.classes};
    bur_recipe *recipe = NULL;
    bur_data data = {0};
    assert_ok(bur_data_open(&data, context, "random", &random));
    assert_ok(bur_zoo_create(&recipe, context, info->name, &options));
    double wanted = 0;
    const bool takes_part = (bur_recipe_layer_count(recipe) > DEEP) == deep;
    for (int32_t d = 0; takes_part && d < n_devices; d++) {
        double first = 0;
        const double second = train(devices[d], recipe, data.train, &first);
        if (!(second < first) || (d > 0 && !(fabs(first - wanted) <= 1e-4 * wanted)))
            fail_msg("%s on %s: losses %g and %g, the CPU's first is %g", info->name,
                     test_run_label(devices[d]), first, second, d == 0 ? first : wanted);
        if (d == 0)
            wanted = first;
    }
    bur_recipe_destroy(recipe);
    bur_data_close(&data);
}

static void check_models(bool deep)
{
    bur_context *context = NULL;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = 2}));
    const int32_t n_devices = test_run_devices(devices, context);
    for (int32_t m = 0; m < bur_zoo_count(); m++)
        check_model(devices, n_devices, context, bur_zoo_at(m), deep);
    bur_context_destroy(context);
}

static void test_nn_presets__each_steps_on_each_device_in_the_memory_of_its_plan(void **state)
{
    (void)state;
    check_models(false);
}

static void test_nn_presets__so_do_the_deep_ones(void **state)
{
    (void)state;
    check_models(true);
}
