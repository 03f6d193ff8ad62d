#include "test.h"

#include "support/chunk_bound.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SHARED = 40, SHARE = 1000, MOST_NODES = 100000000 };

typedef struct proof {
    bur_interval buffers[MOST_SHARED]; /* the largest, large ones first */
    int32_t count, steps;
    size_t chunk_bytes, total;
    size_t heights[MOST_SHARED];
    size_t *loads;   /* [chunk][step]: bytes there that are live then */
    size_t *waiting; /* [buffer][step]: live bytes of this buffer and those behind it */
    int64_t nodes;
} proof;

typedef enum verdict { NO_WAY, A_WAY, TOO_LONG } verdict;

static void add_load(proof *p, int32_t chunk, const bur_interval *b, size_t bytes)
{
    for (int32_t t = b->first; t <= b->last; t++)
        p->loads[chunk * p->steps + t] += bytes;
}

static size_t height_with(const proof *p, int32_t chunk, const bur_interval *b)
{
    size_t height = p->heights[chunk];
    for (int32_t t = b->first; t <= b->last; t++) {
        const size_t load = p->loads[chunk * p->steps + t] + b->bytes;
        height = load > height ? load : height;
    }
    return height;
}

/* Whether at every step what waits has room below the heights, of `sum` bytes so far, and within
 * what they may grow by. */
static bool has_room(const proof *p, int32_t next, int32_t used, size_t sum)
{
    for (int32_t t = 0; t < p->steps; t++) {
        size_t room = p->total - sum;
        for (int32_t c = 0; c < used; c++)
            room += p->heights[c] - p->loads[c * p->steps + t];
        if (room < p->waiting[next * p->steps + t])
            return false;
    }
    return true;
}

/* Shares out the buffers from `next` on, the first `used` chunks holding the others. */
static verdict share_out(proof *p, int32_t next, int32_t used, size_t sum)
{
    if (next == p->count)
        return A_WAY;
    if (++p->nodes > MOST_NODES)
        return TOO_LONG;
    const bur_interval *b = &p->buffers[next];
    for (int32_t c = 0; c <= used; c++) {
        const size_t before = p->heights[c], height = height_with(p, c, b);
        const size_t now = sum - before + height;
        const int32_t now_used = c == used ? used + 1 : used;
        if (height > p->chunk_bytes || now > p->total)
            continue;
        p->heights[c] = height;
        add_load(p, c, b, b->bytes);
        const verdict found =
            has_room(p, next + 1, now_used, now) ? share_out(p, next + 1, now_used, now) : NO_WAY;
        add_load(p, c, b, 0 - b->bytes);
        p->heights[c] = before;
        if (found != NO_WAY)
            return found;
    }
    return NO_WAY;
}

static int larger_first(const void *left, const void *right)
{
    const bur_interval *a = left, *b = right;
    return (a->bytes < b->bytes) - (a->bytes > b->bytes);
}

bool test_chunks_take_more(bur_context *context, const bur_interval *buffers, int32_t count,
                           size_t chunk_bytes, size_t total)
{
    proof p = {.chunk_bytes = chunk_bytes, .total = total};
    bur_interval *sorted = bur_alloc_array(context, (size_t)count, sizeof *sorted);
    assert_non_null(sorted);
    memcpy(sorted, buffers, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, larger_first);
    while (p.count < count && p.count < MOST_SHARED && sorted[p.count].bytes > total / SHARE) {
        const bur_interval *b = &sorted[p.count];
        p.buffers[p.count++] = *b;
        p.steps = b->last + 1 > p.steps ? b->last + 1 : p.steps;
    }
    const size_t cells = (size_t)(p.count + 1) * (size_t)p.steps;
    p.loads = bur_alloc_array(context, cells, sizeof *p.loads);
    p.waiting = bur_alloc_array(context, cells, sizeof *p.waiting);
    assert_non_null(p.loads);
    assert_non_null(p.waiting);
    for (int32_t i = p.count - 1; i >= 0; i--)
        for (int32_t t = 0; t < p.steps; t++) {
            const bool live = p.buffers[i].first <= t && t <= p.buffers[i].last;
            p.waiting[i * p.steps + t] =
                p.waiting[(i + 1) * p.steps + t] + (live ? p.buffers[i].bytes : 0);
        }
    const bool proved = has_room(&p, 0, 0, 0) ? share_out(&p, 0, 0, 0) == NO_WAY : true;
    bur_free(context, p.loads);
    bur_free(context, p.waiting);
    bur_free(context, sorted);
    return proved;
}
