/* Orders in which buffers are placed. */
#include "place_search.h"

#include <stdlib.h>

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

static double (*const ranks[BUR_PLACE_RULES])(const placer *p, const item *it) = {
    [BUR_PLACE_SIZE] = rank_size,           [BUR_PLACE_LIFETIME] = rank_lifetime,
    [BUR_PLACE_AREA] = rank_area,           [BUR_PLACE_PEAK_CAME] = rank_peak_came,
    [BUR_PLACE_PEAK_GOES] = rank_peak_goes, [BUR_PLACE_PEAK_LIFETIME] = rank_peak_lifetime,
};

static int by_rank(const void *left, const void *right)
{
    const item *a = *(item *const *)left, *b = *(item *const *)right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? 1 : -1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* A number in [1, 2) of a buffer in an order. */
static double factor(uint32_t index, uint32_t mixed)
{
    uint32_t out[4];
    bur_philox(out, (uint32_t[]){index, 0, 0, 0}, (uint32_t[]){mixed, 0});
    return 1 + (double)out[0] * 0x1p-32;
}

void bur__place_order(placer *p, int32_t count, bur_place_rule rule, uint32_t mixed)
{
    for (int32_t i = 0; i < count; i++) {
        item *it = &p->items[i];
        it->rank = ranks[rule](p, it) * (mixed > 0 ? factor((uint32_t)i, mixed) : 1);
        p->order[i] = it;
    }
    qsort(p->order, (size_t)count, sizeof(item *), by_rank);
}
