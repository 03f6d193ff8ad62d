/* What brings a batch that does not fit to fit: the faster lever where times are known, both where
 * one is not enough, and the smallest budget that a refusal may name. */
#include "test.h"

#include <string.h>

typedef struct scene {
    bur_context *context;
    bur_target target;
    bur_recipe *recipe;
    bur_dataset_info info;
} scene;

static void scene_open(scene *s, const char *model, const bur_zoo_options *zoo)
{
    bur_device *cpu = NULL;
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_device_open(&cpu, s->context, "cpu"));
    assert_ok(bur_zoo_create(&s->recipe, s->context, model, zoo));
    s->target = bur_device_target(cpu);
    s->info = (bur_dataset_info){
        .name = "", .count = 1 << 10, .sample = zoo->sample, .classes = zoo->classes};
}

static void scene_close(scene *s)
{
    bur_recipe_destroy(s->recipe);
    bur_context_destroy(s->context);
}

static bur_run_plan plan_of(const scene *s, const bur_fit_options *options)
{
    bur_run_plan plan;
    assert_ok(bur_run_plan_make(&plan, s->recipe, &s->target, NULL, &s->info, NULL, options));
    return plan;
}

/* Of a run that goes as it is, whatever it takes. */
static bur_run_plan plan_whole(const scene *s, int64_t batch)
{
    const bur_fit_options options = {
        .batch = batch, .accumulate = 1, .recompute = 1, .budget_bytes = UINT64_C(1) << 40};
    return plan_of(s, &options);
}

#define IMAGE .sample = {.rank = 3, .dim = {28, 28, 1}}, .classes = 10

static void test_train_levers__the_smallest_budget_works_and_a_twentieth_less_does_not(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        bur_zoo_options zoo;
    } models[] = {{"mlp", {IMAGE}},
                  {"cnn", {IMAGE}},
                  {"resnet18", {IMAGE, .small_stem = true, .width = 0.25F}},
                  {"vit-tiny", {IMAGE, .depth = 3}}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        scene s;
        bur_run_plan least;
        scene_open(&s, models[i].model, &models[i].zoo);
        const bur_run_plan whole = plan_whole(&s, 64);
        bur_fit_options options = {.batch = 64, .budget_bytes = UINT64_C(1) << 40};
        assert_ok(
            bur_run_plan_smallest(&least, s.recipe, &s.target, NULL, &s.info, NULL, &options));
        assert_true(least.peak_bytes <= whole.peak_bytes && least.batch == 64);
        options.budget_bytes = least.budget_bytes;
        const bur_run_plan fits = plan_of(&s, &options);
        if (!fits.fits || fits.peak_bytes > least.budget_bytes)
            fail_msg("%s does not fit the smallest budget of %.0f bytes: %.0f", models[i].model,
                     (double)least.budget_bytes, (double)fits.peak_bytes);
        options.budget_bytes = least.peak_bytes / 20 * 19;
        const bur_run_plan less = plan_of(&s, &options);
        if (less.fits)
            fail_msg(
                "%s fits %.0f bytes in %d parts, %g kept; said to be the least: %.0f in %d, %g",
                models[i].model, (double)less.peak_bytes, (int)less.accumulate,
                (double)less.recompute, (double)least.peak_bytes, (int)least.accumulate,
                (double)least.recompute);
        /* Levers that are given are left alone. */
        options.accumulate = 1;
        options.recompute = 1;
        assert_ok(
            bur_run_plan_smallest(&least, s.recipe, &s.target, NULL, &s.info, NULL, &options));
        assert_true(least.peak_bytes == whole.peak_bytes);
        scene_close(&s);
    }
}

/* Devices that are not: where arithmetic is all that takes time, parts cost nothing and values
 * computed again do; where it is the start of a call, parts start all of them again. */
static void test_train_levers__the_faster_way_to_fit_is_taken(void **state)
{
    (void)state;
    static const bur_limits busy = {.flop_per_s = 1e9},
                            idle = {.flop_per_s = 1e15, .launch_s = 1e-3};
    static const bur_zoo_options zoo = {IMAGE, .depth = 3};
    scene s;
    bur_calibration *calibration[2] = {NULL};
    scene_open(&s, "vit-tiny", &zoo);
    assert_ok(bur_calibration_create(&calibration[0], s.context, &busy));
    assert_ok(bur_calibration_create(&calibration[1], s.context, &idle));
    const bur_run_plan whole = plan_whole(&s, 64);
    bur_fit_options options = {.batch = 64,
                               .budget_bytes = whole.peak_bytes - whole.arena_bytes / 4,
                               .calibration = calibration[0]};
    const bur_run_plan split = plan_of(&s, &options);
    options.calibration = calibration[1];
    const bur_run_plan again = plan_of(&s, &options);
    assert_true(split.fits && split.accumulate > 1 && split.recompute == 1);
    assert_true(again.fits && again.accumulate == 1 && again.recompute < 1);
    for (int i = 0; i < 2; i++)
        bur_calibration_destroy(calibration[i]);
    scene_close(&s);
}

/* The whole batch would just fit and is the faster one; between plan and start the process grows.
 */
static void test_train_levers__levers_leave_slack_where_the_batch_would_just_fit(void **state)
{
    (void)state;
    enum { MIB = 1 << 20 };
    static const bur_limits limits = {.flop_per_s = 1e9};
    static const bur_zoo_options zoo = {IMAGE, .depth = 3};
    scene s;
    bur_calibration *calibration = NULL;
    scene_open(&s, "vit-tiny", &zoo);
    assert_ok(bur_calibration_create(&calibration, s.context, &limits));
    const uint64_t whole_bytes = plan_whole(&s, 64).peak_bytes;
    bur_fit_options options = {.batch = 64, .accumulate = 1, .calibration = calibration};
    for (options.budget_bytes = whole_bytes + 3 * MIB; options.budget_bytes >= whole_bytes - MIB;
         options.budget_bytes -= MIB / 4) {
        const bur_run_plan plan = plan_of(&s, &options);
        assert_true(plan.fits && plan.peak_bytes + 2 * MIB <= options.budget_bytes);
        assert_true(plan.recompute == 1 || plan.recomputed_share < 0.1);
    }
    bur_calibration_destroy(calibration);
    scene_close(&s);
}
