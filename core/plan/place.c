/* Offsets: first fit in several orders, then search for the large buffers and first fit around them
 * for the small ones. */
#include "place_search.h"
#include "../base/size.h"

#include <stdlib.h>

/* A placement this share of the bound above it is low enough. */
enum { NEAR_ENOUGH = 4096 };

/* Comparisons a search may take: some 10 ms, less for few buffers. */
enum { MAX_WORK = 3000000, MAX_WORK_PER_BUFFER = 8192 };

/* The exhaustive search: so many times the work before it, so many comparisons (some seconds), and
 * no more buffers than this, the largest. */
enum { MORE = 8, MOST_EXHAUSTED = 1000 };

/* Few buffers that are this share of the bound above it are looked at by the way. */
enum { FEW = 400, MUCH = 50 };
#define EXHAUSTIVE_WORK INT64_C(4000000000)

/* Large is what is more than this share of the bound. The fewer are searched, the more is tried;
 * the more, the better what is left fits around them. */
static const size_t large_shares[] = {1024, 4096};

/* Keeps the placement if it is the lowest so far; true once it is low enough. */
static bool keep_lowest(const placer *p, size_t total, bur_placement *result, size_t *offsets)
{
    if (total < result->total_bytes) {
        result->total_bytes = total;
        for (int32_t i = 0; i < p->count; i++)
            offsets[p->items[i].index] = p->items[i].offset;
    }
    return result->total_bytes <= p->goal_bytes;
}

static bool try_first_fit(placer *p, bur_placement *result, size_t *offsets)
{
    for (int32_t k = 0; k < BUR_PLACE_RANKS; k++) {
        for (int32_t i = 0; i < p->count; i++) {
            p->order[i] = &p->items[i];
            p->items[i].rank = bur__place_ranks[k](p, &p->items[i]);
        }
        bur__place_sort(p->order, p->count);
        if (keep_lowest(p, bur__place_first_fit(p, 0), result, offsets))
            return true;
    }
    return false;
}

static int64_t climb_work(const placer *p, bur_placement_effort effort)
{
    const int64_t work = (int64_t)p->searched * MAX_WORK_PER_BUFFER;
    return (work < MAX_WORK ? work : MAX_WORK) * (effort == BUR_PLACEMENT_QUICK ? 1 : MORE);
}

/* What is searched for is placed; the others go around it. */
static bool add_others(placer *p, bur_placement *result, size_t *offsets)
{
    for (int32_t i = 0; i < p->count; i++)
        p->order[i] = &p->items[i];
    return keep_lowest(p, bur__place_first_fit(p, p->searched), result, offsets);
}

static bur_status climb(placer *p, bur_placement_effort effort, bur_placement *result,
                        size_t *offsets)
{
    for (size_t k = 0; k < sizeof large_shares / sizeof *large_shares; k++) {
        size_t total = 0;
        const int32_t before = p->searched;
        while (p->searched < p->count &&
               p->items[p->searched].bytes > result->lower_bound_bytes / large_shares[k])
            p->searched++;
        if (p->searched == before)
            continue;
        BUR_TRY(bur__place_climb(p, climb_work(p, effort), &total));
        if (total < result->total_bytes && add_others(p, result, offsets))
            break;
    }
    return BUR_OK;
}

/* Whether there is a placement of at most `most` bytes, then halfway between what is too low and
 * what was found. */
static bur_status exhaust(placer *p, size_t most, int64_t work, bur_placement *result,
                          size_t *offsets)
{
    size_t low = result->lower_bound_bytes;
    p->searched = 0;
    while (p->searched < p->count && p->searched < MOST_EXHAUSTED &&
           p->items[p->searched].bytes > 0)
        p->searched++;
    bur__place_sections(p);
    while (result->total_bytes > p->goal_bytes && most < result->total_bytes) {
        bool found = false;
        work /= 2;
        BUR_TRY(bur__place_exhaust(p, most, work, &found));
        const size_t before = result->total_bytes;
        if (found && add_others(p, result, offsets))
            break;
        if (!found || result->total_bytes == before)
            low = most;
        if (result->total_bytes - low <= result->lower_bound_bytes / NEAR_ENOUGH)
            break;
        most = low + (result->total_bytes - low) / 2;
    }
    return BUR_OK;
}

/* The bound itself, with patience; else half of what a few buffers are above it, if that is much.
 */
static bur_status search_all(placer *p, bur_placement_effort effort, bur_placement *result,
                             size_t *offsets)
{
    const size_t bound = result->lower_bound_bytes, over = result->total_bytes - bound;
    if (result->total_bytes <= p->goal_bytes ||
        (p->chunk_bytes > 0 && result->total_bytes > p->chunk_bytes))
        return BUR_OK;
    if (effort == BUR_PLACEMENT_EXHAUSTIVE)
        return exhaust(p, bound, EXHAUSTIVE_WORK, result, offsets);
    return p->count <= FEW && over > bound / MUCH
               ? exhaust(p, bound + over / 2, MAX_WORK, result, offsets)
               : BUR_OK;
}

static bur_status search(placer *p, bur_placement_effort effort, bur_placement *result,
                         size_t *offsets)
{
    if (try_first_fit(p, result, offsets))
        return BUR_OK;
    BUR_TRY(climb(p, effort, result, offsets));
    return search_all(p, effort, result, offsets);
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

static bur_status place(placer *p, bur_placement *result, const bur_interval *buffers,
                        size_t alignment, bur_placement_effort effort, size_t *offsets)
{
    BUR_TRY(fill_items(p->items, buffers, p->count, alignment));
    qsort(p->items, (size_t)p->count, sizeof *p->items, larger_first);
    BUR_TRY(find_lower_bound(result, p->context, p->items, p->count));
    result->total_bytes = SIZE_MAX;
    p->peak = result->peak_step;
    p->goal_bytes = result->lower_bound_bytes;
    if (effort == BUR_PLACEMENT_QUICK)
        p->goal_bytes += p->goal_bytes / NEAR_ENOUGH;
    return search(p, effort, result, offsets);
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
    placer p = {.context = context, .count = count, .chunk_bytes = chunk_bytes};
    for (int32_t i = 0; i < count; i++)
        p.steps = buffers[i].last + 1 > p.steps ? buffers[i].last + 1 : p.steps;
    p.items = bur_alloc_array(context, n, sizeof *p.items);
    p.order = bur_alloc_array(context, n, 2 * sizeof *p.order);
    p.by_offset = bur_alloc_array(context, n, sizeof *p.by_offset);
    p.sections = bur_alloc_array(context, (size_t)p.steps, sizeof *p.sections);
    p.section_of = bur_alloc_array(context, (size_t)p.steps, sizeof *p.section_of);
    bur_status status = BUR_E_NOMEM;
    if (p.items != NULL && p.order != NULL && p.by_offset != NULL && p.sections != NULL &&
        p.section_of != NULL) {
        p.waiting = p.order + n;
        status = place(&p, &result, buffers, alignment, effort, offsets);
    }
    bur_free(context, p.items);
    bur_free(context, p.order);
    bur_free(context, p.by_offset);
    bur_free(context, p.sections);
    bur_free(context, p.section_of);
    if (status == BUR_OK)
        *out = result;
    return status;
}
