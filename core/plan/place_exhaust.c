/* Placement by exhaustive search: is there one of at most `most` bytes? Depth first over placements
 * in which each buffer lies on another or on the ground. In a valley of the skyline some buffer is
 * the leftmost that rests on its floor, or none rests there: these are the branches. */
#include "place_search.h"
#include "../base/vector.h"

#include <string.h>

/* The memo has a place for so many comparisons each, up to so many places. */
enum { WORK_OF_PLACE = 128, MOST_MEMO_BITS = 18 };

typedef enum verdict { NONE, FOUND, OUT_OF_WORK } verdict;

/* A stretch of the skyline lower than what is beside it. */
typedef struct valley {
    int32_t from, to;
    int32_t tight; /* the leftmost section in which nothing may be wasted; to + 1 if none */
    int32_t branches;
    bool may_rise;            /* nothing has to rest in it */
    size_t floor, left, wall; /* heights of it, its left and its lower neighbour */
    size_t at_from, at_to;    /* bytes that may still fill its first and last section */
} valley;

typedef struct change {
    int32_t section;
    size_t height;
} change;

typedef struct exhaust {
    placer *p;
    size_t most;
    int64_t work_left;
    int32_t *crossing; /* of each section: waiting buffers that live on into the next */
    size_t *least;     /* of each section of a valley: bytes of the smallest that ends before */
    valley *valleys;
    uint64_t *names;   /* of each buffer: a random number */
    uint64_t *waiting; /* of each section: those of the waiting buffers that begin there, XORed */
    bool *is_placed;
    int32_t *positions; /* of each buffer in the order of this round */
    int32_t *queue;     /* buffers by the section in which they begin, then by position */
    int32_t *queue_at;  /* of each section: its part of the queue */
    int32_t *twins; /* of each buffer: another with the same bytes and life that goes first, -1 */
    int32_t *trail; /* buffers in the order in which they were placed */
    int32_t n_trail;
    int32_t *branches; /* buffers to be tried */
    int32_t n_branches, branch_room;
    change *changes; /* heights before they were changed */
    int32_t n_changes, change_room;
    uint64_t *memo; /* states that were searched in vain */
    int32_t memo_bits;
    uint64_t direction; /* 0; all ones while time runs backward */
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
    uint64_t name = mix(((uint64_t)(uint32_t)from << 32) | (uint32_t)to) ^ e->direction;
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
    return height <= at->most && at->rest_bytes <= at->most - height;
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
        if (!is_valley)
            continue;
        valley *v = &e->valleys[n++];
        *v = (valley){.from = s,
                      .to = end,
                      .floor = floor,
                      .left = left,
                      .wall = left < right ? left : right};
        for (v->tight = s; v->tight <= end; v->tight++)
            if (sections[v->tight].rest_bytes + floor == sections[v->tight].most)
                break;
    }
    return n;
}

/* Whether the buffer may be the leftmost on the valley's floor. It may not if another one fits into
 * what is wasted then: a placement with that one there is as good. */
static bool is_branch(const exhaust *e, const valley *v, int32_t index)
{
    const item *it = &e->p->items[index];
    const int32_t twin = e->twins[index];
    const size_t wall = v->left - v->floor, wasted = it->bytes < wall ? it->bytes : wall;
    return !e->is_placed[index] && it->to <= v->to && it->from <= v->tight &&
           (twin < 0 || e->is_placed[twin]) && (it->from == v->from || e->least[it->from] > wasted);
}

/* What can rest in the valley. */
static void look_into(exhaust *e, valley *v)
{
    const placer *p = e->p;
    const int32_t begin = e->queue_at[v->from], end = e->queue_at[v->to + 1];
    for (int32_t s = v->from; s <= v->to + 1; s++)
        e->least[s] = SIZE_MAX;
    for (int32_t k = begin; k < end; k++) {
        const item *it = &p->items[e->queue[k]];
        if (e->is_placed[e->queue[k]] || it->to > v->to)
            continue;
        if (it->bytes < e->least[it->to + 1])
            e->least[it->to + 1] = it->bytes;
        v->at_from += it->from == v->from ? it->bytes : 0;
        v->at_to += it->to == v->to ? it->bytes : 0;
    }
    for (int32_t s = v->from; s <= v->to; s++)
        if (e->least[s] < e->least[s + 1])
            e->least[s + 1] = e->least[s];
    v->may_rise = v->wall < SIZE_MAX && e->least[v->to + 1] > v->wall - v->floor;
    v->branches = v->may_rise;
    for (int32_t k = begin; k < end; k++)
        v->branches += is_branch(e, v, e->queue[k]);
    e->work_left -= 2 * (end - begin);
}

/* Whether the section can be filled up to the wall but for what may be wasted there. */
static bool can_fill(const exhaust *e, const valley *v, int32_t s, size_t bytes)
{
    if (v->wall == SIZE_MAX)
        return true;
    const section *at = &e->p->sections[s];
    const size_t slack = at->most - v->floor - at->rest_bytes;
    return bytes + slack >= v->wall - v->floor;
}

/* The valley with the fewest branches into *out; false if one of them can not be filled. */
static bool choose_valley(exhaust *e, int32_t from, int32_t to, valley *out)
{
    const int32_t n = find_valleys(e, from, to);
    const valley *best = NULL;
    for (int32_t k = 0; k < n && (best == NULL || best->branches > 1); k++) {
        valley *v = &e->valleys[k];
        look_into(e, v);
        if (!can_fill(e, v, v->from, v->at_from) || !can_fill(e, v, v->to, v->at_to))
            return false;
        if (best == NULL || v->branches < best->branches)
            best = v;
    }
    *out = *best;
    return true;
}

static verdict solve(exhaust *e, int32_t from, int32_t to);

/* `it` as the leftmost buffer on the valley's floor. */
static verdict try_item(exhaust *e, int32_t from, int32_t to, const valley *v, item *it)
{
    const size_t top = v->floor + it->bytes, wasted_to = top < v->left ? top : v->left;
    for (int32_t s = v->from; s < it->from; s++)
        if (!set_height(e, s, wasted_to))
            return NONE;
    it->offset = v->floor;
    e->trail[e->n_trail++] = (int32_t)(it - e->p->items);
    put(e, (int32_t)(it - e->p->items), true);
    for (int32_t s = it->from; s <= it->to; s++)
        if (!set_height(e, s, top))
            return NONE;
    return solve(e, from, to);
}

/* Nothing rests on the valley's floor. */
static verdict try_raise(exhaust *e, int32_t from, int32_t to, const valley *v)
{
    if (!v->may_rise)
        return NONE;
    for (int32_t s = v->from; s <= v->to; s++)
        if (!set_height(e, s, v->wall))
            return NONE;
    return solve(e, from, to);
}

/* The buffers that may be the leftmost on the valley's floor, by their positions in the order. */
static void list_branches(exhaust *e, const valley *v)
{
    const int32_t first = e->n_branches;
    for (int32_t k = e->queue_at[v->from]; k < e->queue_at[v->to + 1]; k++) {
        const int32_t index = e->queue[k];
        if (!is_branch(e, v, index))
            continue;
        int32_t at = e->n_branches++;
        for (; at > first && e->positions[e->branches[at - 1]] > e->positions[index]; at--)
            e->branches[at] = e->branches[at - 1];
        e->branches[at] = index;
    }
}

static verdict branch(exhaust *e, int32_t from, int32_t to)
{
    valley v;
    if (!choose_valley(e, from, to, &v))
        return NONE;
    const int32_t n_trail = e->n_trail, n_changes = e->n_changes, first = e->n_branches;
    list_branches(e, &v);
    const int32_t end = e->n_branches;
    verdict found = NONE;
    for (int32_t k = first; k < end && found == NONE; k++) {
        found = try_item(e, from, to, &v, &e->p->items[e->branches[k]]);
        if (found == NONE)
            take_back(e, n_trail, n_changes);
    }
    e->n_branches = first;
    return found == NONE ? try_raise(e, from, to, &v) : found;
}

/* For the changes and branches of one node. */
static bur_status make_room(exhaust *e)
{
    const placer *p = e->p;
    e->status = bur__vector_reserve(p->context, (void **)&e->changes, &e->change_room,
                                    e->n_changes + 2 * p->n_sections, sizeof *e->changes);
    if (e->status == BUR_OK)
        e->status = bur__vector_reserve(p->context, (void **)&e->branches, &e->branch_room,
                                        e->n_branches + p->searched, sizeof *e->branches);
    return e->status;
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
    e->work_left -= 1 + to - from;
    if (e->work_left < 0 || make_room(e) != BUR_OK)
        return OUT_OF_WORK;
    const uint64_t name = state_name(e, from, to);
    uint64_t *memo = &e->memo[name >> (64 - e->memo_bits)];
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

/* Lets time run the other way: what is leftmost then was rightmost. */
static void turn_round(exhaust *e)
{
    placer *p = e->p;
    const int32_t last = p->n_sections - 1;
    e->direction = ~e->direction;
    for (int32_t s = 0; s < last - s; s++) {
        const section swapped = p->sections[s];
        p->sections[s] = p->sections[last - s];
        p->sections[last - s] = swapped;
    }
    for (int32_t i = 0; i < p->searched; i++) {
        item *it = &p->items[i];
        const int32_t from = it->from;
        it->from = last - it->to;
        it->to = last - from;
    }
}

/* The queue of each section by p->order. */
static void line_up(exhaust *e)
{
    const placer *p = e->p;
    int32_t *at = e->queue_at;
    memset(at, 0, ((size_t)p->n_sections + 1) * sizeof *at);
    for (int32_t i = 0; i < p->searched; i++)
        at[p->items[i].from]++;
    for (int32_t s = 1; s <= p->n_sections; s++)
        at[s] += at[s - 1];
    for (int32_t k = p->searched - 1; k >= 0; k--) {
        const int32_t i = (int32_t)(p->order[k] - p->items);
        e->positions[i] = k;
        e->queue[--at[p->items[i].from]] = i;
    }
}

/* Everything waits on the ground. */
static void reset(exhaust *e)
{
    placer *p = e->p;
    e->n_trail = e->n_changes = e->n_branches = 0;
    memset(e->crossing, 0, (size_t)p->n_sections * sizeof *e->crossing);
    memset(e->waiting, 0, (size_t)p->n_sections * sizeof *e->waiting);
    for (int32_t s = 0; s < p->n_sections; s++) {
        p->sections[s].height = 0;
        p->sections[s].rest_bytes = 0;
        p->sections[s].most = e->most - p->sections[s].other_bytes;
    }
    line_up(e);
    for (int32_t i = 0; i < p->searched; i++)
        put(e, i, false);
}

/* Rounds until one ends: forward and backward in turn, by each rule, then by a rule mixed up. A
 * round is long enough to place everything twice; every 32nd is twice as long, every 64th four
 * times and so on. */
static verdict search(exhaust *e, int64_t work)
{
    enum { USUAL = 16 };
    const placer *p = e->p;
    const int64_t twice = 2 * (int64_t)p->searched * (p->searched + p->n_sections);
    verdict found = OUT_OF_WORK;
    find_twins(e);
    for (int32_t round = 0; work > 0 && found == OUT_OF_WORK && e->status == BUR_OK; round++) {
        const int32_t power = (round + 1) & -(round + 1);
        const int64_t share = power > USUAL ? twice * (power / USUAL) : twice;
        bur__place_order(e->p, p->searched, round / 2 % BUR_PLACE_RULES,
                         (uint32_t)(round / 2 / BUR_PLACE_RULES));
        reset(e);
        e->work_left = share < work ? share : work;
        work -= e->work_left;
        found = p->n_sections == 0 ? FOUND : solve(e, 0, p->n_sections - 1);
        turn_round(e);
    }
    return found;
}

bur_status bur__place_exhaust(placer *p, size_t most, int64_t work, bool *found)
{
    bur__place_sections(p);
    const size_t n = (size_t)p->searched, m = (size_t)p->n_sections + 1;
    exhaust e = {.p = p, .most = most, .memo_bits = 1};
    while (e.memo_bits < MOST_MEMO_BITS && (work >> e.memo_bits) > WORK_OF_PLACE)
        e.memo_bits++;
    bur_context *context = p->context;
    e.crossing = bur_alloc_array(context, m, 2 * sizeof *e.crossing);
    e.valleys = bur_alloc_array(context, m, sizeof *e.valleys);
    e.least = bur_alloc_array(context, m, sizeof *e.least);
    e.waiting = bur_alloc_array(context, m, sizeof *e.waiting);
    e.names = bur_alloc_array(context, n + 1, sizeof *e.names);
    e.trail = bur_alloc_array(context, n + 1, 4 * sizeof *e.trail);
    e.is_placed = bur_alloc_array(context, n + 1, sizeof *e.is_placed);
    e.memo = bur_alloc_array(context, (size_t)1 << e.memo_bits, sizeof *e.memo);
    if (e.crossing == NULL || e.valleys == NULL || e.least == NULL || e.waiting == NULL ||
        e.names == NULL || e.trail == NULL || e.is_placed == NULL || e.memo == NULL) {
        e.status = BUR_E_NOMEM;
    } else {
        e.queue_at = e.crossing + m;
        e.twins = e.trail + n + 1;
        e.positions = e.twins + n + 1;
        e.queue = e.positions + n + 1;
        for (size_t i = 0; i < n; i++)
            e.names[i] = mix(i + 1);
        *found = search(&e, work) == FOUND;
    }
    bur_free(context, e.crossing);
    bur_free(context, e.valleys);
    bur_free(context, e.least);
    bur_free(context, e.waiting);
    bur_free(context, e.names);
    bur_free(context, e.trail);
    bur_free(context, e.is_placed);
    bur_free(context, e.memo);
    bur_free(context, e.changes);
    bur_free(context, e.branches);
    return e.status;
}
