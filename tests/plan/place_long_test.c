/* Offsets of random buffers: 10,000 sets, and rectangles that were cut at random, whose optimum is
 * known.
 *
 * BURTHEN_LONG_FRACTION=N takes every Nth of these. */
#include "test.h"

#include "support/placement.h"
#include "support/run.h"

#include <stdio.h>
#include <stdlib.h>

enum { SETS = 10000 };

static void test_plan_place_long__no_two_buffers_of_10000_sets_overlap(void **state)
{
    (void)state;
    test_place_random(SETS, (uint32_t)test_long_fraction(), 0);
}

static void test_plan_place_long__no_buffer_of_10000_sets_crosses_a_chunk(void **state)
{
    (void)state;
    test_place_random(SETS, (uint32_t)test_long_fraction(), 8192);
}

enum { N_COUNTS = 5, N_SEEDS = 6, CUTS = N_COUNTS * 2 * N_SEEDS };
static const int32_t counts[N_COUNTS] = {25, 50, 100, 150, 200};

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Arena over optimum of each rectangle, and their median. */
static double place_cuts(bur_placement_effort effort)
{
    double ratios[CUTS];
    int32_t n = 0, optimal = 0;
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    printf("buffers steps  seed  arena/optimum  seconds\n");
    for (int32_t i = 0; i < CUTS; i += test_long_fraction()) {
        const int32_t count = counts[i / (2 * N_SEEDS)], steps = i % 2 == 0 ? 40 : 400;
        const uint32_t seed = (uint32_t)(i / 2 % N_SEEDS) * 8 + 1;
        const int64_t begin = bur_time_ns();
        ratios[n] = test_place_cut(context, count, steps, seed, effort);
        printf("%7d %5d %5d  %13.5f  %7.3f\n", (int)count, (int)steps, (int)seed, ratios[n],
               (double)(bur_time_ns() - begin) * 1e-9);
        optimal += ratios[n++] == 1;
    }
    bur_context_destroy(context);
    qsort(ratios, (size_t)n, sizeof *ratios, by_value);
    printf("%d of %d at the optimum, median %.5f, worst %.5f\n", (int)optimal, (int)n,
           ratios[n / 2], ratios[n - 1]);
    return ratios[n / 2];
}

static void test_plan_place_long__cut_rectangles_come_within_0_15_by_default(void **state)
{
    (void)state;
    assert_true(place_cuts(BUR_PLACEMENT_QUICK) <= 1.15);
}

static void test_plan_place_long__most_cut_rectangles_are_put_together_again(void **state)
{
    (void)state;
    assert_true(place_cuts(BUR_PLACEMENT_EXHAUSTIVE) == 1);
}
