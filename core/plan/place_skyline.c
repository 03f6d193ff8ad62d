/* Placement from the ground up: the lowest stretch of the skyline takes the best buffer that fits
 * its time, or is raised to its lower neighbour if none does. */
#include "place_search.h"

#include <string.h>

size_t bur__place_fit_chunk(size_t offset, size_t bytes, size_t chunk_bytes)
{
    if (chunk_bytes == 0 || offset % chunk_bytes + bytes <= chunk_bytes)
        return offset;
    return (offset / chunk_bytes + 1) * chunk_bytes;
}

/* A number in [0, 1) that belongs to a buffer in a round. */
static double chance(int32_t index, int32_t round)
{
    uint32_t word[4];
    bur_philox(word, (const uint32_t[]){(uint32_t)index, (uint32_t)round, 0, 0},
               (const uint32_t[]){0x706c6163u /* "plac" */, 0});
    return (double)bur_uniform(word[0]);
}

/* The leftmost lowest stretch [*from, *to] of equal height. */
static void lowest_stretch(const placer *p, int32_t *from, int32_t *to)
{
    int32_t lowest = 0;
    for (int32_t t = 1; t < p->steps; t++)
        if (p->heights[t] < p->heights[lowest])
            lowest = t;
    *from = *to = lowest;
    while (*to + 1 < p->steps && p->heights[*to + 1] == p->heights[lowest])
        (*to)++;
}

/* The unplaced buffer of the highest rank that lives within the stretch, NULL if none does. */
static item *best_within(const placer *p, int32_t from, int32_t to)
{
    item *best = NULL;
    for (int32_t i = 0; i < p->count; i++) {
        item *it = &p->order[i];
        if (it->placed || it->first < from || it->last > to)
            continue;
        if (best == NULL || it->rank > best->rank ||
            (it->rank == best->rank && it->index < best->index))
            best = it;
    }
    return best;
}

static void raise(placer *p, int32_t from, int32_t to)
{
    const size_t left = from > 0 ? p->heights[from - 1] : SIZE_MAX;
    const size_t right = to + 1 < p->steps ? p->heights[to + 1] : SIZE_MAX;
    const size_t height = left < right ? left : right;
    for (int32_t t = from; t <= to; t++)
        p->heights[t] = height;
}

/* Long lives first, or many bytes first; with chance, a mixture that differs from round to round.
 */
static void rank(placer *p, int32_t round)
{
    for (int32_t i = 0; i < p->count; i++) {
        item *it = &p->order[i];
        const double life = (double)(it->last - it->first + 1), bytes = (double)it->bytes;
        const double base = round % 2 == 0 ? life + bytes * 0x1p-64 : bytes;
        it->rank = round < 2 ? base : base * (0.3 + chance(it->index, round));
        it->placed = false;
    }
}

size_t bur__place_skyline(placer *p, int32_t round)
{
    size_t total = 0;
    rank(p, round);
    memset(p->heights, 0, (size_t)p->steps * sizeof *p->heights);
    for (int32_t left = p->count; left > 0;) {
        int32_t from = 0, to = 0;
        lowest_stretch(p, &from, &to);
        item *it = best_within(p, from, to);
        if (it == NULL) {
            raise(p, from, to);
            continue;
        }
        it->offset = bur__place_fit_chunk(p->heights[from], it->bytes, p->chunk_bytes);
        it->placed = true;
        left--;
        for (int32_t t = it->first; t <= it->last; t++)
            p->heights[t] = it->offset + it->bytes;
        if (it->offset + it->bytes > total)
            total = it->offset + it->bytes;
    }
    return total;
}
