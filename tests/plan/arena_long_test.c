/* The arena of every model of the zoo over its bound, the largest sum of live bytes: at batch 1, 3,
 * 8 and 32, by oneDNN and by the portable kernels of every instruction set, without and with
 * recompute.
 *
 * BURTHEN_LONG_FRACTION=N takes every Nth of these plans. */
#include "test.h"

#include "support/model.h"
#include "support/run.h"

#include <stdio.h>

enum { N_BATCHES = 4, N_SHARES = 3 };
static const int64_t batches[N_BATCHES] = {1, 3, 8, 32};
static const float shares[N_SHARES] = {0, 0.55F, 0.8F};

/* Arena over bound of one plan. */
static double plan_one(bur_device *device, const char *model, int64_t batch, float share)
{
    const bur_target target = bur_device_target(device);
    const bur_graph_options options = {.batch = batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM),
                                       .recompute = share};
    bur_context *context = bur_device_context(device);
    test_zoo zoo;
    bur_plan *plan = NULL;
    test_zoo_open(&zoo, context, model, &options);
    assert_ok(bur_plan_create(&plan, zoo.graph, &target, NULL));
    const bur_plan_summary *s = bur_plan_get_summary(plan);
    const double ratio = (double)s->arena_bytes / (double)s->lower_bound_bytes;
    printf("%-18s %-16s %5d %9.0f%% %11zu %11zu %8.5f\n", model, bur_device_describe(device)->name,
           (int)batch, 100 * (double)share, s->arena_bytes, s->lower_bound_bytes, ratio);
    bur_plan_destroy(plan);
    test_zoo_close(&zoo);
    return ratio;
}

static void test_plan_arena_long__of_every_model_is_within_a_thousandth_of_its_bound(void **state)
{
    (void)state;
    const int32_t n = bur_zoo_count() * N_BATCHES * N_SHARES, every = test_long_fraction();
    int32_t n_devices = 1, misses = 0;
    double worst[N_SHARES] = {0};
    bur_device *devices[1 + TEST_MAX_RUN_DEVICES];
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    n_devices += test_run_portable(devices + 1, context);
    assert_ok(bur_device_open(&devices[0], context, "cpu"));
    printf("%-18s %-16s %5s %10s %11s %11s %8s\n", "model", "device", "batch", "recompute", "arena",
           "bound", "ratio");
    for (int32_t d = 0; d < n_devices; d++)
        for (int32_t i = 0; i < n; i += every) {
            const int32_t share = i % N_SHARES;
            const double ratio = plan_one(devices[d], bur_zoo_at(i / N_SHARES / N_BATCHES)->name,
                                          batches[i / N_SHARES % N_BATCHES], shares[share]);
            worst[share] = ratio > worst[share] ? ratio : worst[share];
            misses += ratio > (share == 0 ? 1.001 : 1.005);
        }
    for (int32_t k = 0; k < N_SHARES; k++)
        printf("worst with recompute=%.0f%%: %.5f\n", 100 * (double)shares[k], worst[k]);
    bur_context_destroy(context);
    assert_int_equal(misses, 0);
}
