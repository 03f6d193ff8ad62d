/* Placement one by one, each buffer into the lowest gap, or where chunks grow least. */
#include "place_search.h"

#include <string.h>

/* The lowest gap between the placed buffers that live together with `it`. Which ones do can not be
 * foreseen: no branch depends on it but that which ends the search. */
static size_t lowest_gap(const placer *p, int32_t n_placed, const item *it)
{
    size_t offset = 0;
    for (int32_t i = 0; i < n_placed; i++) {
        const placed *other = &p->by_offset[i];
        const bool together = (it->first <= other->last) & (other->first <= it->last);
        if (together & (offset + it->bytes <= other->offset))
            break;
        const size_t end = together ? other->end : 0;
        offset = end > offset ? end : offset;
    }
    return offset;
}

/* A place in chunks: by how much its chunk grows. */
typedef struct offer {
    size_t offset, growth;
} offer;

/* Takes the end of a chunk from `offset` on, unless a better one is known. */
static void offer_end(offer *best, const placer *p, size_t offset, size_t bytes)
{
    const size_t chunk = offset / p->chunk_bytes, end = offset % p->chunk_bytes + bytes;
    const size_t height = (int32_t)chunk < p->n_chunks ? p->heights[chunk] : 0;
    const size_t growth = end > height ? end - height : 0;
    if (end <= p->chunk_bytes && growth < best->growth)
        *best = (offer){offset, growth};
}

/* The lowest place where no chunk grows, or else the one where a chunk grows least; the last offer
 * is a chunk of its own. */
static size_t cheapest_gap(const placer *p, int32_t n_placed, const item *it)
{
    const size_t chunk_bytes = p->chunk_bytes;
    offer best = {0, SIZE_MAX};
    size_t offset = 0;
    for (int32_t i = 0; i < n_placed && best.growth > 0; i++) {
        const placed *other = &p->by_offset[i];
        if (it->first > other->last || other->first > it->last)
            continue;
        for (; offset / chunk_bytes < other->offset / chunk_bytes;
             offset = (offset / chunk_bytes + 1) * chunk_bytes)
            offer_end(&best, p, offset, it->bytes);
        if (best.growth > 0 && offset + it->bytes <= other->offset)
            return offset;
        offset = other->end > offset ? other->end : offset;
    }
    for (; best.growth > 0; offset = (offset / chunk_bytes + 1) * chunk_bytes) {
        offer_end(&best, p, offset, it->bytes);
        if (offset / chunk_bytes >= (size_t)p->n_chunks)
            break;
    }
    return best.offset;
}

static void insert(placer *p, int32_t n_placed, const item *it)
{
    int32_t at = n_placed;
    while (at > 0 && p->by_offset[at - 1].offset > it->offset)
        at--;
    memmove(p->by_offset + at + 1, p->by_offset + at,
            (size_t)(n_placed - at) * sizeof *p->by_offset);
    p->by_offset[at] = (placed){it->offset, it->offset + it->bytes, it->first, it->last};
}

/* By how much the buffer raises what all that is placed takes, `total` so far. */
static size_t raise_total(placer *p, const item *it, size_t total)
{
    const size_t end = it->offset + it->bytes;
    if (p->chunk_bytes == 0)
        return end > total ? end - total : 0;
    const size_t chunk = it->offset / p->chunk_bytes, height = end - chunk * p->chunk_bytes;
    while ((size_t)p->n_chunks <= chunk)
        p->heights[p->n_chunks++] = 0;
    const size_t before = p->heights[chunk];
    if (height <= before)
        return 0;
    p->heights[chunk] = height;
    return height - before;
}

size_t bur__place_first_fit(placer *p, int32_t from, size_t below)
{
    size_t total = 0;
    p->n_chunks = 0;
    for (int32_t i = 0; i < p->count; i++) {
        item *it = p->order[i];
        if (i >= from)
            it->offset = p->chunk_bytes == 0 ? lowest_gap(p, i, it) : cheapest_gap(p, i, it);
        insert(p, i, it);
        p->n_placed = i + 1;
        total += raise_total(p, it, total);
        if (total >= below)
            return SIZE_MAX;
    }
    return total;
}
