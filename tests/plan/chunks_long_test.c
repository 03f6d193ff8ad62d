/* The arena of every model in four chunks over what it takes at least: each chunk a quarter of the
 * largest sum of live bytes, or the largest buffer where that is more.
 *
 * No arena is smaller than that sum. Where buffers are nearly as large as chunks none comes near to
 * it; then it is proved that no arena in these chunks is smaller by three hundredths.
 *
 * BURTHEN_LONG_FRACTION=N takes every Nth of these plans. */
#include "test.h"

#include "support/chunk_bound.h"
#include "support/model.h"
#include "support/run.h"

#include "core/base/size.h"
#include "core/plan/plan.h"

#include <stdio.h>

enum { CHUNKS = 4, N_BATCHES = 7, N_SHARES = 2 };
static const int64_t batches[N_BATCHES] = {1, 2, 3, 4, 8, 16, 32};
static const float shares[N_SHARES] = {0, 0.55F};

static const double most_over = 1.03;

/* Whether no arena in such chunks is smaller than that of `plan` by so much. */
static bool is_proved(bur_context *context, const bur_plan *plan)
{
    const size_t alignment = plan->target.info->align_bytes;
    bur_interval *buffers = bur_alloc_array(context, (size_t)plan->n_buffers, sizeof *buffers);
    int32_t count = 0;
    assert_non_null(buffers);
    for (int32_t i = 0; i < plan->n_buffers; i++) {
        const bur_plan_buffer *b = &plan->buffers[i];
        if (b->region == BUR_REGION_ARENA)
            buffers[count++] =
                (bur_interval){bur_size_align(b->bytes, alignment), b->first, b->last};
    }
    const double least = (double)plan->region_bytes[BUR_REGION_ARENA] / most_over;
    const bool proved = test_chunks_take_more(context, buffers, count,
                                              plan->chunk_bytes[BUR_REGION_ARENA], (size_t)least);
    bur_free(context, buffers);
    return proved;
}

/* False if the arena is neither near to the bound nor shown to be near to the least. */
static bool check_one(bur_device *device, const char *model, int64_t batch, float share)
{
    bur_target target = bur_device_target(device);
    const bur_graph_options options = {.batch = batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM),
                                       .early_update = true,
                                       .recompute = share};
    bur_context *context = bur_device_context(device);
    test_zoo zoo;
    bur_plan *whole = NULL, *plan = NULL;
    test_zoo_open(&zoo, context, model, &options);
    assert_ok(bur_plan_create(&whole, zoo.graph, &target, NULL));
    const size_t bound = bur_plan_get_summary(whole)->lower_bound_bytes,
                 quarter = bur_size_align((bound + CHUNKS - 1) / CHUNKS, target.info->align_bytes),
                 largest = bur__plan_largest_buffer(whole, BUR_REGION_ARENA);
    target.arena_chunk_bytes = quarter > largest ? quarter : largest;
    assert_ok(bur_plan_create(&plan, zoo.graph, &target, NULL));
    const size_t arena = bur_plan_get_summary(plan)->arena_bytes;
    const double ratio = (double)arena / (double)bound;
    const bool near = ratio <= most_over, proved = !near && is_proved(context, plan);
    printf("%-18s %5d %9.0f%% %11zu %11zu %11zu %8.5f%s\n", model, (int)batch, 100 * (double)share,
           target.arena_chunk_bytes, arena, bound, ratio,
           near     ? ""
           : proved ? "  none is smaller by three hundredths"
                    : "  too much");
    bur_plan_destroy(plan);
    bur_plan_destroy(whole);
    test_zoo_close(&zoo);
    return near || proved;
}

static void test_plan_chunks_long__four_come_within_three_hundredths_of_the_least(void **state)
{
    (void)state;
    const int32_t n = bur_zoo_count() * N_BATCHES * N_SHARES, every = test_long_fraction();
    bur_context *context = NULL;
    int32_t misses = 0, n_devices = 1;
    bur_device *devices[1 + TEST_MAX_RUN_DEVICES];
    assert_ok(bur_context_create(&context, NULL));
    n_devices += test_run_portable(devices + 1, context);
    assert_ok(bur_device_open(&devices[0], context, "cpu"));
    printf("%-18s %5s %10s %11s %11s %11s %8s\n", "model", "batch", "recompute", "chunk", "arena",
           "bound", "ratio");
    for (int32_t d = 0; d < n_devices; d++)
        for (int32_t i = 0; i < n; i += every)
            misses += !check_one(devices[d], bur_zoo_at(i / N_SHARES / N_BATCHES)->name,
                                 batches[i / N_SHARES % N_BATCHES], shares[i % N_SHARES]);
    bur_context_destroy(context);
    assert_int_equal(misses, 0);
}
