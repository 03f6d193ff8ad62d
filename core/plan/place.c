/* Offsets: first fit in a few orders, then a search for the large buffers and first fit around them
 * for the small ones. */
#include "place_search.h"
#include "../base/size.h"

#include <stdlib.h>
#include <string.h>

/* How low is low enough, as a share of the bound above it; the comparisons of one search, at most
 * so many for each buffer; those in chunks, where the bound is rarely reached. */
typedef struct patience {
    size_t near, near_in_chunks;
    int64_t work, work_per_buffer, work_in_chunks;
} patience;

static const patience patiences[] = {
    [BUR_PLACEMENT_QUICK] = {1024, 256, 3000000, 16384, 8000000},
    [BUR_PLACEMENT_EXHAUSTIVE] = {SIZE_MAX, SIZE_MAX, 500000000, INT32_MAX, 500000000},
};

/* Two placements that differ by less are as good. */
enum { SAME = 1024 };

/* Keeps the placement if it is the lowest so far. */
static void keep_lowest(const placer *p, size_t total, bur_placement *result, size_t *offsets)
{
    if (total >= result->total_bytes)
        return;
    result->total_bytes = total;
    for (int32_t i = 0; i < p->count; i++)
        offsets[p->items[i].index] = p->items[i].offset;
}

/* The one at `from` comes to stand at `to`. */
static void move(item **order, int32_t from, int32_t to)
{
    item *moved = order[from];
    if (from < to)
        memmove(order + from, order + from + 1, (size_t)(to - from) * sizeof *order);
    else
        memmove(order + to + 1, order + to, (size_t)(from - to) * sizeof *order);
    order[to] = moved;
}

/* Lets the first buffer that ends too high go before all that are not live at the peak; false if
 * there is none or it is live there itself. */
static bool let_go_first(placer *p, size_t most)
{
    int32_t high = 0, to = 0;
    while (high < p->n_placed && p->order[high]->offset + p->order[high]->bytes <= most)
        high++;
    while (to < high && p->order[to]->first <= p->peak && p->peak <= p->order[to]->last)
        to++;
    if (high == p->n_placed || to == high)
        return false;
    move(p->order, high, to);
    return true;
}

/* In the orders that suit most graphs of training, which have one peak. */
static void try_first_fit(placer *p, size_t most, bur_placement *result, size_t *offsets)
{
    static const bur_place_rule rules[] = {BUR_PLACE_PEAK_GOES, BUR_PLACE_PEAK_CAME, BUR_PLACE_SIZE,
                                           BUR_PLACE_PEAK_LIFETIME};
    for (size_t k = 0; k < sizeof rules / sizeof *rules && result->total_bytes > most; k++) {
        bur__place_order(p, p->count, rules[k], 0);
        keep_lowest(p, bur__place_first_fit(p, 0, result->total_bytes), result, offsets);
    }
}

/* First fit up to where a buffer ends too high; again and again with that one let go first. */
static void try_conflicts(placer *p, size_t most, bur_placement *result, size_t *offsets)
{
    enum { TRIES = 16 };
    bur__place_order(p, p->count, BUR_PLACE_PEAK_GOES, 0);
    for (int32_t i = 0; i < TRIES && result->total_bytes > most; i++) {
        keep_lowest(p, bur__place_first_fit(p, 0, most + 1), result, offsets);
        if (!let_go_first(p, most))
            break;
    }
}

/* The buffers of more than a share of the bound. */
static int32_t count_large(const placer *p, size_t bytes)
{
    enum { MOST = 1000 };
    int32_t n = 0;
    while (n < p->count && n < MOST && p->items[n].bytes > bytes)
        n++;
    return n;
}

/* A search for the large buffers, the others around them. The fewer are searched, the more is
 * tried; the more, the better the others fit. */
static bur_status try_search(placer *p, size_t most, int64_t work, bur_placement *result,
                             size_t *offsets)
{
    static const size_t shares[] = {4096, 1024, 65536};
    int32_t first = -1;
    for (size_t k = 0; k < sizeof shares / sizeof *shares && result->total_bytes > most; k++) {
        bool found = false;
        p->searched = count_large(p, result->lower_bound_bytes / shares[k]);
        if (p->searched == first)
            continue;
        first = k == 0 ? p->searched : first;
        BUR_TRY(bur__place_exhaust(p, most, work, &found));
        if (!found)
            continue;
        for (int32_t i = 0; i < p->count; i++)
            p->order[i] = &p->items[i];
        keep_lowest(p, bur__place_first_fit(p, p->searched, result->total_bytes), result, offsets);
    }
    return BUR_OK;
}

/* What is low enough, then halfway between what is too low and what was found. */
static bur_status search(placer *p, const patience *has, bur_placement *result, size_t *offsets)
{
    const size_t bound = result->lower_bound_bytes;
    size_t low = bound, most = bound + bound / has->near;
    try_first_fit(p, most, result, offsets);
    if (result->total_bytes > most)
        try_conflicts(p, most, result, offsets);
    const int64_t most_work = has->work_per_buffer * p->count;
    for (int64_t work = has->work < most_work ? has->work : most_work; most < result->total_bytes;
         work /= 2) {
        BUR_TRY(try_search(p, most, work, result, offsets));
        if (result->total_bytes > most)
            low = most;
        if (result->total_bytes - low <= bound / SAME)
            break;
        most = low + (result->total_bytes - low) / 2;
    }
    return BUR_OK;
}

/* First fit in p->order with one buffer after the other moved to another place in it, at random;
 * what is worse is taken back. */
static void climb(placer *p, size_t most, int64_t work, bur_placement *result, size_t *offsets)
{
    size_t present = result->total_bytes;
    for (uint32_t i = 0; work > 0 && result->total_bytes > most; i++) {
        uint32_t drawn[4];
        bur_philox(drawn, (uint32_t[]){i, 0, 0, 0}, (uint32_t[]){0, 0});
        const int32_t from = (int32_t)(drawn[0] % (uint32_t)p->count),
                      to = (int32_t)(drawn[1] % (uint32_t)p->count);
        move(p->order, from, to);
        const size_t total = bur__place_first_fit(p, 0, present + 1);
        work -= (int64_t)p->n_placed * p->n_placed;
        if (total > present)
            move(p->order, to, from);
        else
            present = total;
        keep_lowest(p, total, result, offsets);
    }
}

/* The orders, the same mixed up, then the best of them with changes: with buffers nearly as large
 * as chunks, what counts is which of them share one. */
static void search_chunks(placer *p, const patience *has, bur_placement *result, size_t *offsets)
{
    const size_t most = result->lower_bound_bytes + result->lower_bound_bytes / has->near_in_chunks;
    int64_t work = has->work_in_chunks;
    uint32_t best = 0;
    for (uint32_t k = 0;
         result->total_bytes > most && (k < BUR_PLACE_RULES || work > has->work_in_chunks / 2);
         k++) {
        bur__place_order(p, p->count, k % BUR_PLACE_RULES, k / BUR_PLACE_RULES);
        const size_t total = bur__place_first_fit(p, 0, result->total_bytes);
        work -= (int64_t)p->n_placed * p->n_placed;
        best = total < result->total_bytes ? k : best;
        keep_lowest(p, total, result, offsets);
    }
    bur__place_order(p, p->count, best % BUR_PLACE_RULES, best / BUR_PLACE_RULES);
    climb(p, most, work, result, offsets);
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

static int larger_first(const void *left, const void *right)
{
    const item *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* In one piece if that is no larger than a chunk. */
static bur_status place(placer *p, bur_placement *result, const bur_interval *buffers,
                        size_t alignment, size_t chunk_bytes, bur_placement_effort effort,
                        size_t *offsets)
{
    BUR_TRY(fill_items(p->items, buffers, p->count, alignment));
    qsort(p->items, (size_t)p->count, sizeof *p->items, larger_first);
    BUR_TRY(find_lower_bound(result, p->context, p->items, p->count));
    result->total_bytes = SIZE_MAX;
    p->peak = result->peak_step;
    if (chunk_bytes == 0 || chunk_bytes >= result->lower_bound_bytes)
        BUR_TRY(search(p, &patiences[effort], result, offsets));
    if (chunk_bytes == 0 || result->total_bytes <= chunk_bytes)
        return BUR_OK;
    result->total_bytes = SIZE_MAX;
    p->chunk_bytes = chunk_bytes;
    search_chunks(p, &patiences[effort], result, offsets);
    return BUR_OK;
}

bur_status bur__place(bur_placement *out, bur_context *context, const bur_interval *buffers,
                      int32_t count, size_t alignment, size_t chunk_bytes,
                      bur_placement_effort effort, size_t *offsets)
{
    bur_placement result = {0};
    if (count == 0) {
        *out = result;
        return BUR_OK;
    }
    const size_t n = (size_t)count;
    placer p = {.context = context, .count = count};
    for (int32_t i = 0; i < count; i++)
        p.steps = buffers[i].last + 1 > p.steps ? buffers[i].last + 1 : p.steps;
    p.items = bur_alloc_array(context, n, sizeof *p.items);
    p.order = bur_alloc_array(context, n, sizeof *p.order);
    p.by_offset = bur_alloc_array(context, n, sizeof *p.by_offset);
    p.heights = bur_alloc_array(context, n, sizeof *p.heights);
    p.sections = bur_alloc_array(context, (size_t)p.steps, sizeof *p.sections);
    p.section_of = bur_alloc_array(context, (size_t)p.steps, sizeof *p.section_of);
    bur_status status = BUR_E_NOMEM;
    if (p.items != NULL && p.order != NULL && p.by_offset != NULL && p.heights != NULL &&
        p.sections != NULL && p.section_of != NULL)
        status = place(&p, &result, buffers, alignment, chunk_bytes, effort, offsets);
    bur_free(context, p.items);
    bur_free(context, p.order);
    bur_free(context, p.by_offset);
    bur_free(context, p.heights);
    bur_free(context, p.sections);
    bur_free(context, p.section_of);
    if (status == BUR_OK)
        *out = result;
    return status;
}
