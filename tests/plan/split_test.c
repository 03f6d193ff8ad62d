#include "test.h"

#include "support/model.h"

#include "support/opened.h"

#include <burthen/burthen.h>

/* Parts of a batch of `model` on the CPU if its cache had so many bytes. */
static int64_t parts_of(const char *model, int64_t batch, uint64_t cache_bytes, size_t *arena_bytes)
{
    bur_context *context = NULL;
    bur_device *device = NULL;
    bur_recipe *recipe = NULL;
    bur_graph *graph = NULL;
    bur_plan *plan = NULL;
    int64_t parts = -1;
    const bur_zoo_options zoo = {0};
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&device, context, "cpu"));
    assert_ok(bur_zoo_create(&recipe, context, model, &zoo));
    bur_device_info info = *bur_device_describe(device);
    bur_target target = bur_device_target(device);
    info.cache_bytes = cache_bytes;
    target.info = &info;
    bur_graph_options options = {.batch = batch,
                                 .loss = BUR_LOSS_CROSS_ENTROPY,
                                 .optimizer = bur_optimizer_default(BUR_ADAM)};
    assert_ok(bur_plan_choose_parts(&parts, recipe, &options, &target, NULL));
    assert_int_equal(batch % parts, 0);
    options.batch = batch / parts;
    options.accumulate = parts > 1;
    assert_ok(bur_graph_create(&graph, recipe, &options));
    assert_ok(bur_plan_create(&plan, graph, &target, NULL));
    *arena_bytes = bur_plan_get_summary(plan)->arena_bytes;
    bur_plan_destroy(plan);
    bur_graph_destroy(graph);
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
    return parts;
}

static void test_plan_split__a_part_stays_in_a_third_of_the_cache(void **state)
{
    (void)state;
    size_t arena = 0, of_half = 0;
    const uint64_t cache_bytes = 32 << 20;
    const int64_t parts = parts_of("cnn", 256, cache_bytes, &arena);
    assert_true(parts > 1);
    assert_in_range(arena, 1, cache_bytes / 3);
    /* and is the largest that does: one of twice the size is split */
    assert_int_equal(parts_of("cnn", 512 / parts, cache_bytes, &of_half), 2);
    assert_int_equal(of_half, arena);
}

static void test_plan_split__what_fits_in_the_cache_goes_in_one(void **state)
{
    (void)state;
    size_t arena = 0;
    assert_int_equal(parts_of("mlp", 256, 32 << 20, &arena), 1);
    assert_int_equal(parts_of("cnn", 16, 32 << 20, &arena), 1);
}

static void test_plan_split__nothing_is_split_where_no_part_would_fit(void **state)
{
    (void)state;
    size_t arena = 0;
    assert_int_equal(parts_of("cnn", 256, 0, &arena), 1);            /* the device does not tell */
    assert_int_equal(parts_of("cnn", 256, 1 << 20, &arena), 1);      /* parts of 16 are too large */
    assert_int_equal(parts_of("cnn-mid", 256, 64 << 20, &arena), 1); /* too many weights */
    assert_int_equal(parts_of("cnn", 251, 32 << 20, &arena), 1);     /* no equal halves */
}

/* Batch normalisation sees the whole batch: half of it has other means. */
static void test_plan_split__a_batch_that_is_normalised_stays_whole(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_device *device = NULL;
    const bur_shape image = {.rank = 3, .dim = {28, 28, 1}};
    const bur_graph_options options = {
        .batch = 256, .loss = BUR_LOSS_CROSS_ENTROPY, .optimizer = bur_optimizer_default(BUR_ADAM)};
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&device, context, "cpu"));
    bur_device_info info = *bur_device_describe(device);
    info.cache_bytes = 32 << 20;
    bur_target target = bur_device_target(device);
    target.info = &info;
    for (int normalised = 0; normalised < 2; normalised++) {
        const bur_layer layers[] = {bur_conv2d(32, 3, BUR_SAME, BUR_LINEAR),
                                    normalised ? bur_batch_normalization() : bur_activate(BUR_RELU),
                                    bur_flatten(), bur_dense(10, BUR_SOFTMAX)};
        bur_recipe *recipe =
            test_sequential(context, &image, layers, sizeof layers / sizeof *layers);
        int64_t parts = 0;
        assert_ok(bur_plan_choose_parts(&parts, recipe, &options, &target, NULL));
        assert_true(normalised ? parts == 1 : parts > 1);
        bur_recipe_destroy(recipe);
    }
    bur_context_destroy(context);
}
