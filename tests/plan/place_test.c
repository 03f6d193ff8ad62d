#include "test.h"

#include "support/placement.h"

#include <stdlib.h>

enum { ALIGNMENT = TEST_PLACE_ALIGNMENT };

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void test_plan_place__live_values_never_overlap(void **state)
{
    (void)state;
    test_place_random(500, 1, 0);
}

static void test_plan_place__no_buffer_crosses_a_chunk(void **state)
{
    (void)state;
    test_place_random(500, 1, 8192);
}

/* Three buffers, in chunks of so many bytes (0: in one piece). */
static bur_status place_three(bur_placement *out, const bur_interval buffers[3], size_t chunk_bytes)
{
    bur_context *context = NULL;
    size_t offsets[3];
    assert_ok(bur_context_create(&context, NULL));
    const bur_status status =
        bur__place(out, context, buffers, 3, ALIGNMENT, chunk_bytes, BUR_PLACEMENT_QUICK, offsets);
    bur_context_destroy(context);
    return status;
}

/* C must go below B, where A has died: a first fit that only looks behind live buffers needs 256.
 */
static void test_plan_place__the_gap_before_the_first_live_buffer_is_used(void **state)
{
    (void)state;
    const bur_interval buffers[] = {{128, 0, 1}, {64, 1, 2}, {64, 2, 3}};
    bur_placement placement;
    assert_ok(place_three(&placement, buffers, 0));
    assert_int_equal(placement.total_bytes, 192);
    assert_int_equal(placement.lower_bound_bytes, 192);
}

/* The first two cannot share a chunk of 128; the third finds room above the first. */
static void test_plan_place__a_chunk_is_taken_as_far_as_it_is_filled(void **state)
{
    (void)state;
    const bur_interval buffers[] = {{64, 0, 1}, {128, 0, 0}, {64, 1, 1}};
    const bur_interval wide[] = {{128, 0, 0}, {192, 0, 0}, {128, 0, 0}};
    bur_placement placement;
    assert_ok(place_three(&placement, buffers, 128));
    assert_int_equal(placement.total_bytes, 192);
    assert_ok(place_three(&placement, wide, 192));
    assert_int_equal(placement.total_bytes, 448);
}

static void test_plan_place__sums_beyond_the_address_space_are_refused(void **state)
{
    (void)state;
    const bur_interval buffers[] = {
        {SIZE_MAX / 2, 0, 1}, {SIZE_MAX / 2, 0, 1}, {SIZE_MAX / 2, 0, 1}};
    bur_placement placement;
    assert_status(BUR_E_RANGE, place_three(&placement, buffers, 0));
}

static void test_plan_place__cut_rectangles_come_within_0_15_by_default(void **state)
{
    enum { CASES = 41 };
    double ratios[CASES];
    (void)state;
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    for (uint32_t seed = 0; seed < CASES; seed++)
        ratios[seed] = test_place_cut(context, 20 + (int32_t)seed * 4, seed % 2 == 0 ? 40 : 400,
                                      seed, BUR_PLACEMENT_QUICK);
    qsort(ratios, CASES, sizeof *ratios, by_value);
    assert_true(ratios[CASES / 2] <= 1.15);
    bur_context_destroy(context);
}

static void test_plan_place__an_exhaustive_search_reaches_the_optimum(void **state)
{
    (void)state;
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    for (uint32_t seed = 0; seed < 24; seed++)
        assert_true(test_place_cut(context, 20 + (int32_t)seed * 2, 400, seed,
                                   BUR_PLACEMENT_EXHAUSTIVE) == 1);
    bur_context_destroy(context);
}
