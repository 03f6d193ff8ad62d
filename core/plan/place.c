/* Offsets: greedy first fit in several orders, then in seeded variations of them; the lowest is
 * kept. */
#include "place_search.h"
#include "../base/size.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_VARIATIONS = 1000, MAX_VARIATION_WORK = 3000000, FEW = 128, NEAR_ENOUGH = 2048 };

static int by_rank(const void *left, const void *right)
{
    const item *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? 1 : -1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static double rank_size(const placer *p, const item *it)
{
    (void)p;
    return (double)it->bytes;
}

/* Ties between lifetimes go to the larger buffer. */
static double rank_lifetime(const placer *p, const item *it)
{
    (void)p;
    return (double)(it->last - it->first) + (double)it->bytes * 0x1p-64;
}

static double rank_area(const placer *p, const item *it)
{
    (void)p;
    return (double)it->bytes * (double)(it->last - it->first + 1);
}

/* What is live at the peak first: among themselves these fit exactly. In the order in which they
 * came or in which they go, so that what is left of them at another step lies at the bottom; the
 * others fill what is above, large ones first. */
static double rank_peak(const placer *p, const item *it, double among_these)
{
    const bool at_peak = it->first <= p->peak && p->peak <= it->last;
    return at_peak ? 0x1p80 * (1 + among_these) : (double)it->bytes;
}

static double rank_peak_came(const placer *p, const item *it)
{
    return rank_peak(p, it, p->steps - it->first);
}

static double rank_peak_goes(const placer *p, const item *it)
{
    return rank_peak(p, it, it->last);
}

static double rank_peak_lifetime(const placer *p, const item *it)
{
    return rank_peak(p, it, it->last - it->first);
}

typedef double rank_function(const placer *p, const item *it);

enum { N_RANKS = 3 };
static rank_function *const ranks[N_RANKS] = {rank_size, rank_lifetime, rank_area};
static rank_function *const peak_ranks[N_RANKS] = {rank_peak_came, rank_peak_goes,
                                                   rank_peak_lifetime};

static bool live_together(const item *a, const item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest gap between the placed buffers that live together with `it`. */
static size_t first_fit(const placer *p, int32_t placed, const item *it)
{
    size_t offset = 0;
    for (int32_t i = 0; i < placed; i++) {
        const item *other = p->by_offset[i];
        if (!live_together(it, other))
            continue;
        offset = bur__place_fit_chunk(offset, it->bytes, p->chunk_bytes);
        if (offset + it->bytes <= other->offset)
            break;
        if (other->offset + other->bytes > offset)
            offset = other->offset + other->bytes;
    }
    return bur__place_fit_chunk(offset, it->bytes, p->chunk_bytes);
}

static void insert(placer *p, int32_t placed, const item *it)
{
    int32_t at = placed;
    while (at > 0 && p->by_offset[at - 1]->offset > it->offset)
        at--;
    memmove(p->by_offset + at + 1, p->by_offset + at, (size_t)(placed - at) * sizeof *p->by_offset);
    p->by_offset[at] = it;
}

/* Places all buffers in the order of their ranks; returns the end of the highest. */
static size_t place_by_rank(placer *p)
{
    size_t total = 0;
    qsort(p->order, (size_t)p->count, sizeof *p->order, by_rank);
    for (int32_t i = 0; i < p->count; i++) {
        item *it = &p->order[i];
        it->offset = first_fit(p, i, it);
        insert(p, i, it);
        if (it->offset + it->bytes > total)
            total = it->offset + it->bytes;
    }
    return total;
}

/* Keeps the placement if it is the lowest so far; true once lowering it further would not show: a
 * two-thousandth above the bound. */
static bool keep_lowest(const placer *p, size_t total, bur_placement *result, size_t *offsets)
{
    if (total < result->total_bytes) {
        result->total_bytes = total;
        for (int32_t i = 0; i < p->count; i++)
            offsets[p->order[i].index] = p->order[i].offset;
    }
    const size_t bound = result->lower_bound_bytes;
    return result->total_bytes - bound <= bound / NEAR_ENOUGH;
}

/* Rounds of variations: so many that the work stays near that of a few hundred small plans. */
static int32_t variation_rounds(int32_t count)
{
    const int64_t work = (int64_t)count * count;
    const int64_t rounds = MAX_VARIATION_WORK / work;
    return rounds > MAX_VARIATIONS ? MAX_VARIATIONS : (int32_t)rounds;
}

/* True once the placement cannot be lowered. */
static bool try_ranks(placer *p, rank_function *const *functions, bur_placement *result,
                      size_t *offsets)
{
    for (int32_t k = 0; k < N_RANKS; k++) {
        for (int32_t i = 0; i < p->count; i++)
            p->order[i].rank = functions[k](p, &p->order[i]);
        if (keep_lowest(p, place_by_rank(p), result, offsets))
            return true;
    }
    return false;
}

static bool try_skyline(placer *p, bur_placement *result, size_t *offsets)
{
    const int32_t rounds = variation_rounds(p->count);
    for (int32_t round = 0; round < rounds; round++)
        if (keep_lowest(p, bur__place_skyline(p, round), result, offsets))
            return true;
    return false;
}

/* The orders themselves, then the skyline with seeded choices: of few buffers it tries so many that
 * it goes before the orders by the peak, which need no tries. */
static void search(placer *p, bur_placement *result, size_t *offsets)
{
    if (try_ranks(p, ranks, result, offsets))
        return;
    if (p->count <= FEW) {
        if (!try_skyline(p, result, offsets))
            try_ranks(p, peak_ranks, result, offsets);
    } else if (!try_ranks(p, peak_ranks, result, offsets)) {
        try_skyline(p, result, offsets);
    }
}

/* Sums of live bytes by sweeping over the changes at each step. */
static bur_status find_lower_bound(bur_placement *out, bur_context *context, const item *items,
                                   int32_t count)
{
    int32_t steps = 0;
    for (int32_t i = 0; i < count; i++)
        steps = items[i].last + 2 > steps ? items[i].last + 2 : steps;
    size_t *begin = bur_alloc_array(context, (size_t)steps + 1, 2 * sizeof *begin);
    if (begin == NULL)
        return BUR_E_NOMEM;
    size_t *end = begin + steps + 1, live = 0;
    for (int32_t i = 0; i < count; i++) {
        begin[items[i].first] += items[i].bytes;
        end[items[i].last + 1] += items[i].bytes;
    }
    for (int32_t t = 0; t < steps; t++) {
        live += begin[t];
        live -= end[t];
        if (live > out->lower_bound_bytes) {
            out->lower_bound_bytes = live;
            out->peak_step = t;
        }
    }
    bur_free(context, begin);
    return BUR_OK;
}

static bur_status fill_items(item *items, const bur_interval *buffers, int32_t count,
                             size_t alignment)
{
    size_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        if (buffers[i].bytes > SIZE_MAX - alignment ||
            !bur_size_add(&sum, sum, bur_size_align(buffers[i].bytes, alignment)))
            return bur_fail(BUR_E_RANGE, "the sum of %d buffers is more than the address space",
                            count);
        items[i] = (item){.bytes = bur_size_align(buffers[i].bytes, alignment),
                          .first = buffers[i].first,
                          .last = buffers[i].last,
                          .index = i};
    }
    return BUR_OK;
}

bur_status bur__place(bur_placement *out, bur_context *context, const bur_interval *buffers,
                      int32_t count, size_t alignment, size_t chunk_bytes, size_t *offsets)
{
    bur_placement result = {0};
    if (count == 0) {
        *out = result;
        return BUR_OK;
    }
    placer p = {.count = count, .chunk_bytes = chunk_bytes};
    p.order = bur_alloc_array(context, (size_t)count, sizeof *p.order);
    p.by_offset = bur_alloc_array(context, (size_t)count, sizeof *p.by_offset);
    for (int32_t i = 0; i < count; i++)
        p.steps = buffers[i].last + 1 > p.steps ? buffers[i].last + 1 : p.steps;
    p.heights = bur_alloc_array(context, (size_t)p.steps, sizeof *p.heights);
    bur_status status =
        p.order == NULL || p.by_offset == NULL || p.heights == NULL ? BUR_E_NOMEM : BUR_OK;
    if (status == BUR_OK)
        status = fill_items(p.order, buffers, count, alignment);
    if (status == BUR_OK)
        status = find_lower_bound(&result, context, p.order, count);
    result.total_bytes = SIZE_MAX;
    p.peak = result.peak_step;
    if (status == BUR_OK)
        search(&p, &result, offsets);
    bur_free(context, p.order);
    bur_free(context, p.by_offset);
    bur_free(context, p.heights);
    if (status == BUR_OK)
        *out = result;
    return status;
}
