#include "test.h"

#include "support/placement.h"

#include <stdlib.h>

enum { MOST = 64, MOST_PIECES = 200, ALIGNMENT = TEST_PLACE_ALIGNMENT };

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
    size_t ends[MOST + MOST_PIECES] = {0}, total = 0; /* of chunks */
    for (int32_t i = 0; i < count; i++) {
        const size_t chunk = chunk_bytes == 0 ? 0 : offsets[i] / chunk_bytes;
        const size_t end = offsets[i] - chunk * chunk_bytes + buffers[i].bytes;
        assert_int_equal(offsets[i] % ALIGNMENT, 0);
        assert_true(chunk < sizeof ends / sizeof *ends);
        total += end > ends[chunk] ? end - ends[chunk] : 0;
        ends[chunk] = end > ends[chunk] ? end : ends[chunk];
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
    assert_true(total <= placement->total_bytes);
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

double test_place_cut(bur_context *context, int32_t count, int32_t steps, uint32_t seed,
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

static void place_set(bur_context *context, uint32_t seed, size_t chunk_bytes)
{
    generator g = {seed, 0};
    bur_interval buffers[MOST];
    size_t offsets[MOST], again[MOST], sum = 0;
    const int32_t count = 1 + draw(&g, MOST), steps = 1 + draw(&g, 40);
    for (int32_t i = 0; i < count; i++) {
        const int32_t first = draw(&g, steps);
        buffers[i] = (bur_interval){(size_t)draw(&g, 5000), first, first + draw(&g, steps - first)};
        sum += (buffers[i].bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    bur_placement placement, repeated;
    assert_ok(bur__place(&placement, context, buffers, count, ALIGNMENT, chunk_bytes,
                         BUR_PLACEMENT_QUICK, offsets));
    assert_ok(bur__place(&repeated, context, buffers, count, ALIGNMENT, chunk_bytes,
                         BUR_PLACEMENT_QUICK, again));
    assert_no_overlap(buffers, offsets, count, &placement, chunk_bytes);
    assert_true(placement.total_bytes >= placement.lower_bound_bytes);
    assert_true(placement.total_bytes <= sum);
    assert_memory_equal(offsets, again, (size_t)count * sizeof *offsets);
}

void test_place_random(uint32_t sets, uint32_t every, size_t chunk_bytes)
{
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    for (uint32_t seed = 0; seed < sets; seed += every)
        place_set(context, seed, chunk_bytes);
    bur_context_destroy(context);
}
