#include "test.h"

#include "plan/place.h"

#include <stdlib.h>

enum { MOST = 64, MOST_PIECES = 200, ALIGNMENT = 64 };

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

/* The lowest and highest of a piece of the rectangle that was cut. */
typedef struct piece {
    int32_t first, last;
    size_t from, to;
} piece;

/* Buffers that fill a rectangle exactly: one of three random pieces, the largest, is cut in time or
 * in bytes at a random place until there are `count`; then they are shuffled. */
static void cut_rectangle(bur_interval *buffers, int32_t count, int32_t steps, uint32_t seed)
{
    generator g = {seed, 0};
    piece pieces[MOST_PIECES] = {{0, steps - 1, 0, 20000}};
    for (int32_t n = 1; n < count;) {
        int32_t which = 0;
        double largest = -1;
        for (int32_t k = 0; k < 3; k++) {
            const int32_t i = draw(&g, n);
            const double area = (double)(pieces[i].last - pieces[i].first + 1) *
                                (double)(pieces[i].to - pieces[i].from);
            if (area > largest) {
                largest = area;
                which = i;
            }
        }
        piece *p = &pieces[which], rest = *p;
        if (draw(&g, 2) == 0 && p->last > p->first) {
            rest.first = p->first + 1 + draw(&g, p->last - p->first);
            p->last = rest.first - 1;
        } else if (p->to - p->from > 1) {
            rest.from = p->from + 1 + (size_t)draw(&g, (int32_t)(p->to - p->from - 1));
            p->to = rest.from;
        } else {
            continue;
        }
        pieces[n++] = rest;
    }
    for (int32_t i = count - 1; i > 0; i--) {
        const int32_t k = draw(&g, i + 1);
        const piece swapped = pieces[i];
        pieces[i] = pieces[k];
        pieces[k] = swapped;
    }
    for (int32_t i = 0; i < count; i++)
        buffers[i] = (bur_interval){(pieces[i].to - pieces[i].from) * ALIGNMENT, pieces[i].first,
                                    pieces[i].last};
}

/* Arena over its bound, which is the optimum. */
static double place_cut(bur_context *context, int32_t count, int32_t steps, uint32_t seed,
                        bur_placement_effort effort)
{
    bur_interval buffers[MOST_PIECES];
    size_t offsets[MOST_PIECES], again[MOST_PIECES];
    bur_placement placement, repeated;
    cut_rectangle(buffers, count, steps, seed);
    assert_ok(bur__place(&placement, context, buffers, count, ALIGNMENT, 0, effort, offsets));
    assert_no_overlap(buffers, offsets, count, &placement, 0);
    assert_int_equal(placement.lower_bound_bytes, 20000 * ALIGNMENT);
    if (seed % 8 == 0) {
        assert_ok(bur__place(&repeated, context, buffers, count, ALIGNMENT, 0, effort, again));
        assert_memory_equal(offsets, again, (size_t)count * sizeof *offsets);
    }
    return (double)placement.total_bytes / (double)placement.lower_bound_bytes;
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
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
        assert_ok(bur__place(&placement, context, buffers, count, ALIGNMENT, chunk_bytes,
                             BUR_PLACEMENT_QUICK, offsets));
        assert_ok(bur__place(&repeated, context, buffers, count, ALIGNMENT, chunk_bytes,
                             BUR_PLACEMENT_QUICK, again));
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
    assert_ok(
        bur__place(&placement, context, buffers, 3, ALIGNMENT, 0, BUR_PLACEMENT_QUICK, offsets));
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
    assert_status(BUR_E_RANGE, bur__place(&placement, context, buffers, 3, ALIGNMENT, 0,
                                          BUR_PLACEMENT_QUICK, offsets));
    bur_context_destroy(context);
}

static void test_plan_place__cut_rectangles_come_within_0_15_by_default(void **state)
{
    enum { CASES = 41 };
    double ratios[CASES];
    (void)state;
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    for (uint32_t seed = 0; seed < CASES; seed++)
        ratios[seed] = place_cut(context, 20 + (int32_t)seed * 4, seed % 2 == 0 ? 40 : 400, seed,
                                 BUR_PLACEMENT_QUICK);
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
        assert_true(
            place_cut(context, 20 + (int32_t)seed * 2, 400, seed, BUR_PLACEMENT_EXHAUSTIVE) == 1);
    bur_context_destroy(context);
}
