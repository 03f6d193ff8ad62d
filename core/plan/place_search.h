/* What the ways of placing buffers share, for core/plan/place*.c. */
#ifndef BUR_PLAN_PLACE_SEARCH_H
#define BUR_PLAN_PLACE_SEARCH_H

#include "place.h"

/* One buffer while it is being placed. */
typedef struct item {
    size_t bytes; /* aligned */
    size_t offset;
    int32_t first, last, index;
    bool placed;
    double rank; /* larger goes first */
} item;

typedef struct placer {
    item *order;            /* buffers in the order of placement */
    const item **by_offset; /* placed buffers by rising offset */
    size_t *heights;        /* of the skyline at each step */
    int32_t count, steps;
    int32_t peak; /* the step with the most live bytes */
    size_t chunk_bytes;
} placer;

/* The lowest offset from `offset` on where `bytes` do not cross a chunk's border. */
size_t bur__place_fit_chunk(size_t offset, size_t bytes, size_t chunk_bytes);

/* Places all buffers from the ground up; returns the end of the highest. Round 0 and 1 choose by
 * rule, later ones with seeded chance. Source: Burke, Kendall, Whitwell, "A new placement heuristic
 * for the orthogonal stock-cutting problem", 2004; Sekiyama et al., "Profile-guided memory
 * optimization for deep neural networks", 2018. */
size_t bur__place_skyline(placer *p, int32_t round);

#endif
