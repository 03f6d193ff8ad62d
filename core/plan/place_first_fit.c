/* Placement one by one, each buffer into the lowest gap. */
#include "place_search.h"

#include <string.h>

size_t bur__place_fit_chunk(size_t offset, size_t bytes, size_t chunk_bytes)
{
    if (chunk_bytes == 0 || offset % chunk_bytes + bytes <= chunk_bytes)
        return offset;
    return (offset / chunk_bytes + 1) * chunk_bytes;
}

/* The lowest gap between the placed buffers that live together with `it`. Which ones do can not be
 * foreseen: no branch depends on it but that which ends the search. */
static size_t lowest_gap(const placer *p, int32_t n_placed, const item *it)
{
    size_t offset = 0;
    for (int32_t i = 0; i < n_placed; i++) {
        const placed *other = &p->by_offset[i];
        const bool together = (it->first <= other->last) & (other->first <= it->last);
        if (p->chunk_bytes > 0 && together)
            offset = bur__place_fit_chunk(offset, it->bytes, p->chunk_bytes);
        if (together & (offset + it->bytes <= other->offset))
            break;
        const size_t end = together ? other->end : 0;
        offset = end > offset ? end : offset;
    }
    return bur__place_fit_chunk(offset, it->bytes, p->chunk_bytes);
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

size_t bur__place_first_fit(placer *p, int32_t from, size_t below)
{
    size_t total = 0;
    for (int32_t i = 0; i < p->count; i++) {
        item *it = p->order[i];
        if (i >= from)
            it->offset = lowest_gap(p, i, it);
        insert(p, i, it);
        p->n_placed = i + 1;
        if (it->offset + it->bytes > total)
            total = it->offset + it->bytes;
        if (total >= below)
            return SIZE_MAX;
    }
    return total;
}
