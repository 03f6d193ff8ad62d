/* Offsets: greedy first fit in two orders, the lower result is kept. */
#include "place.h"
#include "../base/size.h"

#include <stdlib.h>
#include <string.h>

/* One buffer while it is being placed. */
typedef struct item {
    size_t bytes; /* aligned */
    size_t offset;
    int32_t first, last, index;
} item;

typedef struct placer {
    item *order;            /* buffers in the order of placement */
    const item **by_offset; /* placed buffers by rising offset */
    int32_t count;
    size_t chunk_bytes;
} placer;

static int by_index(const item *a, const item *b)
{
    return a->index < b->index ? -1 : a->index > b->index;
}

static int by_size(const void *left, const void *right)
{
    const item *a = left, *b = right;
    return a->bytes != b->bytes ? (a->bytes < b->bytes ? 1 : -1) : by_index(a, b);
}

static int by_lifetime(const void *left, const void *right)
{
    const item *a = left, *b = right;
    const int32_t la = a->last - a->first, lb = b->last - b->first;
    return la != lb ? (la < lb ? 1 : -1) : by_size(left, right);
}

static bool live_together(const item *a, const item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest offset from `offset` on where `bytes` do not cross a chunk's border. */
static size_t fit_chunk(size_t offset, size_t bytes, size_t chunk_bytes)
{
    if (chunk_bytes == 0 || offset % chunk_bytes + bytes <= chunk_bytes)
        return offset;
    return (offset / chunk_bytes + 1) * chunk_bytes;
}

/* The lowest gap between the placed buffers that live together with `it`. */
static size_t first_fit(const placer *p, int32_t placed, const item *it)
{
    size_t offset = 0;
    for (int32_t i = 0; i < placed; i++) {
        const item *other = p->by_offset[i];
        if (!live_together(it, other))
            continue;
        offset = fit_chunk(offset, it->bytes, p->chunk_bytes);
        if (offset + it->bytes <= other->offset)
            break;
        if (other->offset + other->bytes > offset)
            offset = other->offset + other->bytes;
    }
    return fit_chunk(offset, it->bytes, p->chunk_bytes);
}

static void insert(placer *p, int32_t placed, const item *it)
{
    int32_t at = placed;
    while (at > 0 && p->by_offset[at - 1]->offset > it->offset)
        at--;
    memmove(p->by_offset + at + 1, p->by_offset + at, (size_t)(placed - at) * sizeof *p->by_offset);
    p->by_offset[at] = it;
}

/* Places all buffers in the given order; returns the end of the highest. */
static size_t place_in_order(placer *p, int (*compare)(const void *, const void *))
{
    size_t total = 0;
    qsort(p->order, (size_t)p->count, sizeof *p->order, compare);
    for (int32_t i = 0; i < p->count; i++) {
        item *it = &p->order[i];
        it->offset = first_fit(p, i, it);
        insert(p, i, it);
        if (it->offset + it->bytes > total)
            total = it->offset + it->bytes;
    }
    return total;
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
    static int (*const orders[])(const void *, const void *) = {by_size, by_lifetime};
    bur_placement result = {0};
    if (count == 0) {
        *out = result;
        return BUR_OK;
    }
    placer p = {.count = count, .chunk_bytes = chunk_bytes};
    p.order = bur_alloc_array(context, (size_t)count, sizeof *p.order);
    p.by_offset = bur_alloc_array(context, (size_t)count, sizeof *p.by_offset);
    bur_status status = p.order == NULL || p.by_offset == NULL ? BUR_E_NOMEM : BUR_OK;
    if (status == BUR_OK)
        status = fill_items(p.order, buffers, count, alignment);
    if (status == BUR_OK)
        status = find_lower_bound(&result, context, p.order, count);
    result.total_bytes = SIZE_MAX;
    for (size_t k = 0; status == BUR_OK && k < sizeof orders / sizeof *orders; k++) {
        const size_t total = place_in_order(&p, orders[k]);
        if (total < result.total_bytes) {
            result.total_bytes = total;
            for (int32_t i = 0; i < count; i++)
                offsets[p.order[i].index] = p.order[i].offset;
        }
        if (result.total_bytes <= result.lower_bound_bytes)
            break;
    }
    bur_free(context, p.order);
    bur_free(context, p.by_offset);
    if (status == BUR_OK)
        *out = result;
    return status;
}
