#include "test.h"

#include "plan/place.h"

#include <stdlib.h>

enum { MOST = 64, ALIGNMENT = 64 };

typedef struct generator {
    uint32_t seed, block;
} generator;

/* A number in [0, n). */
static int32_t draw(generator *g, int32_t n)
{
    uint32_t out[4];
    bur_philox(out, (uint32_t[]){g->block++, 0, 0, 0}, (uint32_t[]){g->seed, 7});
    return (int32_t)(out[0] % (uint32_t)n);
}

static void assert_no_overlap(const bur_interval *buffers, const size_t *offsets, int32_t count,
                              const bur_placement *placement, size_t chunk_bytes)
{
    for (int32_t i = 0; i < count; i++) {
        assert_int_equal(offsets[i] % ALIGNMENT, 0);
        assert_true(offsets[i] + buffers[i].bytes <= placement->total_bytes);
        if (chunk_bytes > 0 && buffers[i].bytes > 0)
            assert_int_equal(offsets[i] / chunk_bytes,
                             (offsets[i] + buffers[i].bytes - 1) / chunk_bytes);
        for (int32_t j = 0; j < i; j++) {
            const bool together =
                buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
            const bool apart = offsets[i] + buffers[i].bytes <= offsets[j] ||
                               offsets[j] + buffers[j].bytes <= offsets[i];
            assert_true(!together || apart);
        }
    }
}

static void place_random(size_t chunk_bytes)
{
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    for (uint32_t seed = 0; seed < 500; seed++) {
        generator g = {seed, 0};
        bur_interval buffers[MOST];
        size_t offsets[MOST], again[MOST], sum = 0;
        const int32_t count = 1 + draw(&g, MOST), steps = 1 + draw(&g, 40);
        for (int32_t i = 0; i < count; i++) {
            const int32_t first = draw(&g, steps);
            buffers[i] =
                (bur_interval){(size_t)draw(&g, 5000), first, first + draw(&g, steps - first)};
            sum += (buffers[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
        bur_placement placement, repeated;
        assert_ok(bur__place(&placement, context, buffers, count, ALIGNMENT, chunk_bytes, offsets));
        assert_ok(bur__place(&repeated, context, buffers, count, ALIGNMENT, chunk_bytes, again));
        assert_no_overlap(buffers, offsets, count, &placement, chunk_bytes);
        assert_true(placement.total_bytes >= placement.lower_bound_bytes);
        assert_true(chunk_bytes > 0 || placement.total_bytes <= sum);
        assert_memory_equal(offsets, again, (size_t)count * sizeof *offsets);
    }
    bur_context_destroy(context);
}

static void test_plan_place__live_values_never_overlap(void **state)
{
    (void)state;
    place_random(0);
}

static void test_plan_place__no_buffer_crosses_a_chunk(void **state)
{
    (void)state;
    place_random(8192);
}

/* C must go below B, where A has died: a first fit that only looks behind live buffers needs 256.
 */
static void test_plan_place__the_gap_before_the_first_live_buffer_is_used(void **state)
{
    (void)state;
    const bur_interval buffers[] = {{128, 0, 1}, {64, 1, 2}, {64, 2, 3}};
    bur_context *context = NULL;
    size_t offsets[3];
    bur_placement placement;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur__place(&placement, context, buffers, 3, ALIGNMENT, 0, offsets));
    assert_int_equal(placement.total_bytes, 192);
    assert_int_equal(placement.lower_bound_bytes, 192);
    bur_context_destroy(context);
}

static void test_plan_place__sums_beyond_the_address_space_are_refused(void **state)
{
    (void)state;
    const bur_interval buffers[] = {
        {SIZE_MAX / 2, 0, 1}, {SIZE_MAX / 2, 0, 1}, {SIZE_MAX / 2, 0, 1}};
    bur_context *context = NULL;
    size_t offsets[3];
    bur_placement placement;
    assert_ok(bur_context_create(&context, NULL));
    assert_status(BUR_E_RANGE, bur__place(&placement, context, buffers, 3, ALIGNMENT, 0, offsets));
    bur_context_destroy(context);
}
