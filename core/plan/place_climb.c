/* Orders for the skyline: by rule, and the best of these improved by moving one buffer at a time
 * to another place in the order, as long as the placement does not become higher. */
#include "place_search.h"

#include <string.h>

enum { STARTS = 3 };

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

bur_place_rank *const bur__place_ranks[BUR_PLACE_RANKS] = {
    rank_size, rank_lifetime, rank_area, rank_peak_came, rank_peak_goes, rank_peak_lifetime};

/* What is kept between tries. */
typedef struct climb {
    item **orders[BUR_PLACE_RANKS]; /* by each rule */
    size_t totals[BUR_PLACE_RANKS];
    item **current; /* order of the lowest placement of this start */
    size_t *now, *best;
    size_t current_total, best_total;
    uint32_t random;
} climb;

/* A number in [0, n): xorshift, G. Marsaglia, 2003. */
static int32_t draw(climb *c, int32_t n)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 17;
    c->random ^= c->random << 5;
    return (int32_t)(c->random % (uint32_t)n);
}

static void copy_order(item **to, item *const *from, int32_t n)
{
    memcpy(to, from, (size_t)n * sizeof(item *));
}

static void keep_if_best(climb *c, const placer *p, size_t total)
{
    if (total >= c->best_total)
        return;
    c->best_total = total;
    for (int32_t i = 0; i < p->searched; i++)
        c->best[i] = p->items[i].offset;
}

static void try_rules(climb *c, placer *p)
{
    for (int32_t k = 0; k < BUR_PLACE_RANKS && c->best_total > p->goal_bytes; k++) {
        for (int32_t i = 0; i < p->searched; i++) {
            p->order[i] = &p->items[i];
            p->items[i].rank = bur__place_ranks[k](p, &p->items[i]);
        }
        bur__place_sort(p->order, p->searched);
        copy_order(c->orders[k], p->order, p->searched);
        c->totals[k] = bur__place_skyline(p, SIZE_MAX);
        keep_if_best(c, p, c->totals[k]);
    }
}

/* A buffer that ends too high in the current placement, or just as often one that lives with it and
 * may be in its way; its position in the order. */
static int32_t choose(climb *c, const placer *p)
{
    const size_t most = p->goal_bytes < c->current_total ? p->goal_bytes : c->current_total - 1;
    int32_t high = 0, n = 0, other = 0;
    for (int32_t i = 0; i < p->searched; i++) {
        const int32_t at = (int32_t)(c->current[i] - p->items);
        if (c->now[at] + c->current[i]->bytes > most && draw(c, ++n) == 0)
            high = i;
    }
    if (draw(c, 2) == 0)
        return high;
    const item *it = c->current[high];
    n = 0;
    other = high;
    for (int32_t i = 0; i < p->searched; i++)
        if (i != high && c->current[i]->from <= it->to && it->from <= c->current[i]->to &&
            draw(c, ++n) == 0)
            other = i;
    return other;
}

static void move(item **order, int32_t from, int32_t to)
{
    item *it = order[from];
    if (to < from)
        memmove(order + to + 1, order + to, (size_t)(from - to) * sizeof(item *));
    else
        memmove(order + from, order + from + 1, (size_t)(to - from) * sizeof(item *));
    order[to] = it;
}

/* Takes the order in p->order and its placement for the current one. */
static void accept(climb *c, const placer *p, size_t total)
{
    c->current_total = total;
    copy_order(c->current, p->order, p->searched);
    for (int32_t i = 0; i < p->searched; i++)
        c->now[i] = p->items[i].offset;
    keep_if_best(c, p, total);
}

static void climb_from(climb *c, placer *p, item *const *start, int64_t work)
{
    copy_order(p->order, start, p->searched);
    accept(c, p, bur__place_skyline(p, SIZE_MAX));
    const int64_t end = p->work + work;
    while (p->work < end && c->best_total > p->goal_bytes) {
        copy_order(p->order, c->current, p->searched);
        move(p->order, choose(c, p), draw(c, p->searched));
        const size_t total = bur__place_skyline(p, c->current_total);
        if (total <= c->current_total)
            accept(c, p, total);
        p->work += p->searched;
    }
}

/* The rules' orders from the best on, each with a share of the work. */
static void climb_all(climb *c, placer *p, int64_t work)
{
    for (int32_t start = 0; start < STARTS && c->best_total > p->goal_bytes; start++) {
        int32_t best = 0;
        for (int32_t k = 1; k < BUR_PLACE_RANKS; k++)
            if (c->totals[k] < c->totals[best])
                best = k;
        c->totals[best] = SIZE_MAX;
        climb_from(c, p, c->orders[best], work / STARTS);
    }
}

bur_status bur__place_climb(placer *p, int64_t work, size_t *total)
{
    const size_t n = (size_t)p->searched;
    climb c = {.best_total = SIZE_MAX, .random = 1};
    item **orders = bur_alloc_array(p->context, n, (BUR_PLACE_RANKS + 1) * sizeof *orders);
    c.best = bur_alloc_array(p->context, n, 2 * sizeof *c.best);
    const bur_status status = orders == NULL || c.best == NULL ? BUR_E_NOMEM : BUR_OK;
    if (status == BUR_OK) {
        for (int32_t k = 0; k < BUR_PLACE_RANKS; k++)
            c.orders[k] = orders + n * (size_t)k;
        c.current = orders + n * BUR_PLACE_RANKS;
        c.now = c.best + n;
        bur__place_sections(p);
        try_rules(&c, p);
        climb_all(&c, p, work);
        for (size_t i = 0; i < n; i++) {
            p->items[i].offset = c.best[i];
            p->order[i] = &p->items[i];
        }
        *total = c.best_total;
    }
    bur_free(p->context, orders);
    bur_free(p->context, c.best);
    return status;
}
