/* Placement by exhaustive search: is there one of at most `most` bytes? Depth first over placements
 * in which each buffer lies on another or on the ground. In a valley of the skyline some buffer is
 * the leftmost that rests on its floor, or none rests there: these are the branches. */
#include "place_search.h"
#include "../base/vector.h"

#include <string.h>

enum { MEMO_BITS = 18 };

typedef enum verdict { NONE, FOUND, OUT_OF_WORK } verdict;

/* A stretch of the skyline lower than what is beside it. */
typedef struct valley {
    int32_t from, to;
    int32_t tight; /* the leftmost section in which nothing may be wasted; to + 1 if none */
    int32_t candidates;
    size_t floor, wall;    /* heights of it and of its lower neighbour */
    size_t at_from, at_to; /* bytes that may still fill its first and last section */
} valley;

typedef struct change {
    int32_t section;
    size_t height;
} change;

typedef struct exhaust {
    placer *p;
    size_t most;
    int64_t work_left;
    int32_t *crossing;  /* of each section: waiting buffers that live on into the next */
    int32_t *valley_of; /* of each section: the valley it belongs to, -1 */
    valley *valleys;
    uint64_t *names;   /* of each buffer: a random number */
    uint64_t *waiting; /* of each section: those of the waiting buffers that begin there, XORed */
    bool *is_placed;
    int32_t *twins; /* of each buffer: another with the same bytes and life that goes first, -1 */
    int32_t *trail; /* buffers in the order in which they were placed */
    int32_t n_trail;
    change *changes; /* heights before they were changed */
    int32_t n_changes, change_room;
    uint64_t *memo; /* states that were searched in vain */
    bur_status status;
} exhaust;

/* A 64-bit mixture: splitmix64, S. Vigna, 2015. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* What waits between two sections that nothing waiting crosses, and on which heights. */
static uint64_t state_name(const exhaust *e, int32_t from, int32_t to)
{
    uint64_t name = mix(((uint64_t)(uint32_t)from << 32) | (uint32_t)to);
    for (int32_t s = from; s <= to; s++)
        name ^= e->waiting[s] ^ mix(e->p->sections[s].height * 0x10001 + (uint64_t)s);
    return name;
}

/* Sets a height; false if what waits above will end too high. */
static bool set_height(exhaust *e, int32_t s, size_t height)
{
    section *at = &e->p->sections[s];
    e->changes[e->n_changes++] = (change){s, at->height};
    at->height = height;
    return height <= e->most && at->rest_bytes <= e->most - height;
}

static void put(exhaust *e, int32_t index, bool done)
{
    const item *it = &e->p->items[index];
    e->is_placed[index] = done;
    e->waiting[it->from] ^= e->names[index];
    for (int32_t s = it->from; s <= it->to; s++)
        e->p->sections[s].rest_bytes += done ? 0 - it->bytes : it->bytes;
    for (int32_t s = it->from; s < it->to; s++)
        e->crossing[s] += done ? -1 : 1;
}

/* Takes back all that was placed and raised since. */
static void take_back(exhaust *e, int32_t n_trail, int32_t n_changes)
{
    while (e->n_trail > n_trail)
        put(e, e->trail[--e->n_trail], false);
    while (e->n_changes > n_changes) {
        const change *last = &e->changes[--e->n_changes];
        e->p->sections[last->section].height = last->height;
    }
}

/* All valleys between two sections. */
static int32_t find_valleys(exhaust *e, int32_t from, int32_t to)
{
    const section *sections = e->p->sections;
    int32_t n = 0;
    for (int32_t s = from, end; s <= to; s = end + 1) {
        const size_t floor = sections[s].height;
        for (end = s; end < to && sections[end + 1].height == floor; end++)
            ;
        const size_t left = s > from ? sections[s - 1].height : SIZE_MAX;
        const size_t right = end < to ? sections[end + 1].height : SIZE_MAX;
        const bool is_valley = floor < left && floor < right;
        for (int32_t t = s; t <= end; t++)
            e->valley_of[t] = is_valley ? n : -1;
        if (!is_valley)
            continue;
        valley *v = &e->valleys[n++];
        *v = (valley){.from = s, .to = end, .floor = floor, .wall = left < right ? left : right};
        for (v->tight = s; v->tight <= end; v->tight++)
            if (sections[v->tight].rest_bytes + floor == e->most)
                break;
    }
    return n;
}

/* What can rest in each. */
static void count_candidates(exhaust *e, int32_t from, int32_t to)
{
    const placer *p = e->p;
    for (int32_t i = 0; i < p->searched; i++) {
        const item *it = &p->items[i];
        if (e->is_placed[i] || it->from < from || it->to > to)
            continue;
        const int32_t k = e->valley_of[it->from];
        if (k < 0 || e->valley_of[it->to] != k)
            continue;
        valley *v = &e->valleys[k];
        v->candidates += it->from <= v->tight;
        v->at_from += it->from == v->from ? it->bytes : 0;
        v->at_to += it->to == v->to ? it->bytes : 0;
    }
}

/* Whether the section can be filled up to the wall but for what may be wasted there. */
static bool can_fill(const exhaust *e, const valley *v, int32_t s, size_t bytes)
{
    if (v->wall == SIZE_MAX)
        return true;
    const size_t slack = e->most - v->floor - e->p->sections[s].rest_bytes;
    return bytes + slack >= v->wall - v->floor;
}

/* The valley with the fewest branches into *out; false if one of them can not be filled. */
static bool choose_valley(exhaust *e, int32_t from, int32_t to, valley *out)
{
    const int32_t n = find_valleys(e, from, to);
    const valley *best = NULL;
    count_candidates(e, from, to);
    for (int32_t k = 0; k < n; k++) {
        const valley *v = &e->valleys[k];
        if (!can_fill(e, v, v->from, v->at_from) || !can_fill(e, v, v->to, v->at_to))
            return false;
        if (best == NULL || v->candidates < best->candidates)
            best = v;
    }
    *out = *best;
    return true;
}

/* Whether a waiting buffer other than `except` would fit into what is wasted: then a placement with
 * it there is as good, and is looked at elsewhere. */
static bool is_wasteful(const exhaust *e, int32_t from, int32_t to, size_t bytes,
                        const item *except)
{
    const placer *p = e->p;
    for (int32_t i = 0; i < p->searched; i++) {
        const item *it = &p->items[i];
        if (!e->is_placed[i] && it != except && it->from >= from && it->to <= to &&
            it->bytes <= bytes)
            return true;
    }
    return false;
}

static verdict solve(exhaust *e, int32_t from, int32_t to);

/* `it` as the leftmost buffer on the valley's floor. */
static verdict try_item(exhaust *e, int32_t from, int32_t to, const valley *v, item *it)
{
    const size_t top = v->floor + it->bytes;
    const size_t left = v->from > from ? e->p->sections[v->from - 1].height : SIZE_MAX;
    const size_t wasted_to = top < left ? top : left;
    if (it->from > v->from && is_wasteful(e, v->from, it->from - 1, wasted_to - v->floor, it))
        return NONE;
    for (int32_t s = v->from; s < it->from; s++)
        if (!set_height(e, s, wasted_to))
            return NONE;
    it->offset = v->floor;
    e->trail[e->n_trail++] = (int32_t)(it - e->p->items);
    put(e, (int32_t)(it - e->p->items), true);
    for (int32_t s = it->from; s <= it->to; s++)
        set_height(e, s, top);
    return solve(e, from, to);
}

/* Nothing rests on the valley's floor. */
static verdict try_raise(exhaust *e, int32_t from, int32_t to, const valley *v)
{
    if (v->wall == SIZE_MAX || is_wasteful(e, v->from, v->to, v->wall - v->floor, NULL))
        return NONE;
    for (int32_t s = v->from; s <= v->to; s++)
        if (!set_height(e, s, v->wall))
            return NONE;
    return solve(e, from, to);
}

static verdict branch(exhaust *e, int32_t from, int32_t to)
{
    const placer *p = e->p;
    valley v;
    if (!choose_valley(e, from, to, &v))
        return NONE;
    const int32_t n_trail = e->n_trail, n_changes = e->n_changes;
    for (int32_t k = 0; k < p->searched; k++) {
        item *it = p->order[k];
        const int32_t index = (int32_t)(it - p->items), twin = e->twins[index];
        if (e->is_placed[index] || it->from < v.from || it->to > v.to || it->from > v.tight ||
            (twin >= 0 && !e->is_placed[twin]))
            continue;
        const verdict found = try_item(e, from, to, &v, it);
        if (found != NONE)
            return found;
        take_back(e, n_trail, n_changes);
    }
    return try_raise(e, from, to, &v);
}

/* Whether all that waits between the two sections can be placed. Where nothing waiting crosses from
 * one section into the next, both sides are searched on their own. */
static verdict solve(exhaust *e, int32_t from, int32_t to)
{
    placer *p = e->p;
    for (int32_t s = from; s < to; s++)
        if (e->crossing[s] == 0) {
            const verdict left = solve(e, from, s);
            return left == FOUND ? solve(e, s + 1, to) : left;
        }
    if (p->sections[from].rest_bytes == 0)
        return FOUND;
    e->status = bur__vector_reserve(p->context, (void **)&e->changes, &e->change_room,
                                    e->n_changes + 2 * p->n_sections, sizeof *e->changes);
    e->work_left -= p->searched + to - from;
    if (e->status != BUR_OK || e->work_left < 0)
        return OUT_OF_WORK;
    const uint64_t name = state_name(e, from, to);
    uint64_t *memo = &e->memo[name >> (64 - MEMO_BITS)];
    if (*memo == name)
        return NONE;
    const verdict found = branch(e, from, to);
    if (found == NONE)
        *memo = name;
    return found;
}

/* Of buffers with the same bytes and sections, one is placed after the other. */
static void find_twins(exhaust *e)
{
    const placer *p = e->p;
    for (int32_t i = 0; i < p->searched; i++) {
        const item *it = &p->items[i];
        e->twins[i] = -1;
        for (int32_t k = i - 1; k >= 0 && p->items[k].bytes == it->bytes; k--)
            if (p->items[k].from == it->from && p->items[k].to == it->to) {
                e->twins[i] = k;
                break;
            }
    }
}

/* Everything waits on the ground. */
static void reset(exhaust *e)
{
    placer *p = e->p;
    e->n_trail = e->n_changes = 0;
    memset(e->crossing, 0, (size_t)p->n_sections * sizeof *e->crossing);
    memset(e->waiting, 0, (size_t)p->n_sections * sizeof *e->waiting);
    for (int32_t s = 0; s < p->n_sections; s++) {
        p->sections[s].height = 0;
        p->sections[s].rest_bytes = 0;
    }
    for (int32_t i = 0; i < p->searched; i++)
        put(e, i, false);
}

/* By size, lifetime or area; from the fourth round on, mixed up a little. */
static void sort(const exhaust *e, int32_t round)
{
    enum { RULES = 3 };
    placer *p = e->p;
    for (int32_t i = 0; i < p->searched; i++) {
        item *it = &p->items[i];
        const double chance = (double)(mix(e->names[i] + (uint64_t)round) >> 11) * 0x1p-53;
        it->rank = bur__place_ranks[round % RULES](p, it) * (round < RULES ? 1 : 0.3 + chance);
        p->order[i] = it;
    }
    bur__place_sort(p->order, p->searched);
}

/* Rounds of growing length, each in another order, until one ends. */
static verdict search(exhaust *e, int64_t work)
{
    enum { FIRST_SHARE = 500000 };
    verdict found = OUT_OF_WORK;
    int64_t share = FIRST_SHARE;
    find_twins(e);
    for (int32_t round = 0; work > 0 && found == OUT_OF_WORK && e->status == BUR_OK; round++) {
        sort(e, round);
        reset(e);
        e->work_left = share < work ? share : work;
        work -= e->work_left;
        found = e->p->n_sections == 0 ? FOUND : solve(e, 0, e->p->n_sections - 1);
        share += share / 8;
    }
    return found;
}

bur_status bur__place_exhaust(placer *p, size_t most, int64_t work, bool *found)
{
    const size_t n = (size_t)p->searched, m = (size_t)p->n_sections + 1;
    exhaust e = {.p = p, .most = most};
    bur_context *context = p->context;
    e.crossing = bur_alloc_array(context, m, 2 * sizeof *e.crossing);
    e.valleys = bur_alloc_array(context, m, sizeof *e.valleys);
    e.waiting = bur_alloc_array(context, m, sizeof *e.waiting);
    e.names = bur_alloc_array(context, n + 1, sizeof *e.names);
    e.trail = bur_alloc_array(context, n + 1, 2 * sizeof *e.trail);
    e.is_placed = bur_alloc_array(context, n + 1, sizeof *e.is_placed);
    e.memo = bur_alloc_array(context, (size_t)1 << MEMO_BITS, sizeof *e.memo);
    if (e.crossing == NULL || e.valleys == NULL || e.waiting == NULL || e.names == NULL ||
        e.trail == NULL || e.is_placed == NULL || e.memo == NULL) {
        e.status = BUR_E_NOMEM;
    } else {
        e.valley_of = e.crossing + m;
        e.twins = e.trail + n + 1;
        for (size_t i = 0; i < n; i++)
            e.names[i] = mix(i + 1);
        *found = search(&e, work) == FOUND;
    }
    bur_free(context, e.crossing);
    bur_free(context, e.valleys);
    bur_free(context, e.waiting);
    bur_free(context, e.names);
    bur_free(context, e.trail);
    bur_free(context, e.is_placed);
    bur_free(context, e.memo);
    bur_free(context, e.changes);
    return e.status;
}
