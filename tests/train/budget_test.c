/* What does not fit is refused before anything is allocated, and what is offered instead fits. */
#include "test.h"

#include "train/run_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20 };

typedef struct scene {
    bur_context *context;
    bur_device *cpu;
    bur_data data;
    bur_recipe *recipe;
    int planned, refused;
    size_t live_at_plan;
} scene;

static void scene_open(scene *s)
{
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_device_open(&s->cpu, s->context, "cpu"));
    assert_ok(bur_data_open(&s->data, s->context, "digits", &(bur_data_options){.count = 4096}));
    assert_ok(bur_zoo_create(&s->recipe, s->context, "cnn", NULL));
}

static void scene_close(scene *s)
{
    bur_recipe_destroy(s->recipe);
    bur_data_close(&s->data);
    bur_context_destroy(s->context);
}

static bur_status hear(void *user, bur_event event, const void *data)
{
    scene *s = user;
    if (event == BUR_EVENT_PLANNED) {
        const bur_run_plan *plan = data;
        s->planned++;
        s->refused += !plan->fits;
        s->live_at_plan = bur_device_live_bytes(s->cpu);
    }
    return BUR_OK;
}

static uint64_t peak_of(const scene *s, int64_t batch)
{
    const bur_target target = bur_device_target(s->cpu);
    const bur_dataset_info *train = bur_dataset_describe(s->data.train),
                           *test = bur_dataset_describe(s->data.test);
    bur_run_plan plan;
    const bur_fit_options options = {.batch = batch, .accumulate = 1};
    assert_ok(bur_run_plan_make(&plan, s->recipe, &target, NULL, train, test, &options));
    uint64_t sum = 0;
    for (int c = 0; c < BUR_BYTE_CLASS_COUNT; c++)
        sum += plan.bytes[c];
    assert_true(sum == plan.peak_bytes);
    assert_true(plan.arena_bytes >= plan.lower_bound_bytes && plan.lower_bound_bytes > 0);
    return plan.peak_bytes;
}

/* The number at the end of "the largest batch that fits is 123". */
static int64_t named_batch(void)
{
    const char *at = strstr(bur_last_error(), "the largest batch that fits is ");
    if (at == NULL)
        fail_msg("no batch is named in '%s'", bur_last_error());
    return strtoll(at + strlen("the largest batch that fits is "), NULL, 10);
}

static void test_train_budget__too_small_a_budget_is_refused_and_the_batch_named_fits(void **state)
{
    (void)state;
    scene s;
    bur_trainer *trainer = NULL;
    scene_open(&s);
    const uint64_t small = peak_of(&s, 32), large = peak_of(&s, 1024);
    assert_true(large > small + 32ULL * MIB);
    bur_fit_options options = {.batch = 1024,
                               .accumulate = 1,
                               .recompute = 1,
                               .budget_bytes = (small + large) / 2,
                               .max_steps = 2,
                               .callback = hear,
                               .callback_user = &s};
    const size_t peak = bur_device_peak_bytes(s.cpu);
    assert_status(BUR_E_BUDGET, bur_trainer_create(&trainer, s.cpu, s.recipe, &s.data, &options));
    assert_null(trainer);
    assert_int_equal(s.planned, 1);
    assert_int_equal(s.refused, 1);
    assert_int_equal(s.live_at_plan, 0);
    assert_int_equal(bur_device_peak_bytes(s.cpu), peak); /* nothing was allocated, ever */
    assert_non_null(strstr(bur_last_error(), "given budget"));
    const int64_t largest = named_batch();
    assert_in_range(largest, 33, 1023);

    options.batch = largest + 1;
    assert_status(BUR_E_BUDGET, bur_trainer_create(&trainer, s.cpu, s.recipe, &s.data, &options));
    options.batch = largest;
    assert_ok(bur_trainer_create(&trainer, s.cpu, s.recipe, &s.data, &options));
    assert_true(bur_trainer_plan(trainer)->peak_bytes <= options.budget_bytes);
    assert_int_equal(s.live_at_plan, 0);
    assert_ok(bur_trainer_fit(trainer));
    /* Planned is allocated: buffers of the device. */
    assert_int_equal(bur_device_live_bytes(s.cpu), bur_trainer_plan(trainer)->device_bytes);
    bur_trainer_destroy(trainer);
    assert_int_equal(bur_device_live_bytes(s.cpu), 0);
    scene_close(&s);
}

static void test_train_budget__a_budget_for_no_sample_at_all_says_so(void **state)
{
    (void)state;
    scene s;
    bur_trainer *trainer = NULL;
    scene_open(&s);
    const bur_fit_options options = {.budget_bytes = MIB};
    assert_status(BUR_E_BUDGET, bur_trainer_create(&trainer, s.cpu, s.recipe, &s.data, &options));
    assert_int_equal(named_batch(), 0);
    scene_close(&s);
}

/* However the process grows meanwhile by what is not of the run: planning itself leaves pages. */
static void test_train_budget__a_second_plan_of_a_run_has_the_same_bytes(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    const uint64_t peak = peak_of(&s, 64);
    void *pages = malloc(16 * MIB);
    assert_non_null(pages);
    memset(pages, 1, 16 * MIB);
    assert_true(peak_of(&s, 64) == peak);
    free(pages);
    scene_close(&s);
}

static void test_train_budget__a_larger_batch_never_takes_less(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    uint64_t last = 0;
    for (int64_t batch = 16; batch <= 1024; batch *= 2) {
        const uint64_t peak = peak_of(&s, batch);
        assert_true(peak > last);
        last = peak;
    }
    scene_close(&s);
}

/* S-098, S-106: what does not fit in one piece goes in parts, and is not refused. */
static void test_train_budget__a_batch_that_does_not_fit_goes_in_parts(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    bur_trainer *trainer = NULL;
    const uint64_t small = peak_of(&s, 256), large = peak_of(&s, 1024);
    const bur_fit_options options = {
        .batch = 1024, .budget_bytes = (small + large) / 2, .max_steps = 2};
    assert_ok(bur_trainer_create(&trainer, s.cpu, s.recipe, &s.data, &options));
    const bur_run_plan *plan = bur_trainer_plan(trainer);
    assert_true(plan->fits && plan->peak_bytes <= options.budget_bytes);
    assert_int_equal(plan->batch, 1024);
    assert_true(plan->accumulate > 1 || plan->recompute < 1);
    assert_ok(bur_trainer_fit(trainer));
    bur_trainer_destroy(trainer);
    scene_close(&s);
}

/* A batch that is normalised is another one in parts: only values are computed again. */
static void test_train_budget__a_normalised_batch_is_recomputed_and_never_split(void **state)
{
    (void)state;
    static const bur_shape sample = {.rank = 3, .dim = {32, 32, 3}};
    const bur_zoo_options zoo = {.sample = sample, .classes = 10, .small_stem = true};
    const bur_dataset_info info = {.name = "", .count = 1 << 16, .sample = sample, .classes = 10};
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    bur_recipe *recipe = NULL;
    bur_run_plan whole, plan;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    assert_ok(bur_zoo_create(&recipe, context, "resnet18", &zoo));
    const bur_target target = bur_device_target(cpu);
    bur_fit_options options = {.batch = 64, .budget_bytes = UINT64_C(1) << 40};
    assert_ok(bur_run_plan_make(&whole, recipe, &target, NULL, &info, NULL, &options));
    assert_true(whole.fits && whole.recompute == 1 && whole.accumulate == 1);
    options.budget_bytes = whole.peak_bytes - whole.arena_bytes / 4;
    assert_ok(bur_run_plan_make(&plan, recipe, &target, NULL, &info, NULL, &options));
    assert_true(plan.fits && plan.recompute < 1 && plan.accumulate == 1);
    assert_true(plan.needs_whole_batch && plan.recomputed_share > 0);
    options.budget_bytes = whole.peak_bytes - whole.arena_bytes;
    assert_ok(bur_run_plan_make(&plan, recipe, &target, NULL, &info, NULL, &options));
    assert_true(!plan.fits && plan.accumulate == 1);
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

/* 12 MiB of files' pages are planned, 9 are resident; the group is charged for none, a third and
 * all of them. */
static void test_train_budget__pages_that_nobody_charges_for_are_free_of_a_limit(void **state)
{
    (void)state;
    bur_host_memory host = {.resident_file_bytes = 9 * MIB};
    assert_int_equal(bur__run_budget_unseen_bytes(&host, 12 * MIB), 3 * MIB);
    assert_int_equal(bur__run_budget_unseen_bytes(&host, 8 * MIB), 0);
    host.mapped_bytes = 3 * MIB;
    assert_int_equal(bur__run_budget_unseen_bytes(&host, 12 * MIB), 2 * MIB);
    host.mapped_bytes = 9 * MIB;
    assert_int_equal(bur__run_budget_unseen_bytes(&host, 12 * MIB), 0);
    assert_int_equal(bur__run_budget_unseen_bytes(&(bur_host_memory){.left_bytes = 0}, 0), 0);
}
