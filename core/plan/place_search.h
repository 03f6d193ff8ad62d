/* What the ways of placing buffers share, for core/plan/place*.c. */
#ifndef BUR_PLAN_PLACE_SEARCH_H
#define BUR_PLAN_PLACE_SEARCH_H

#include "place.h"

/* One buffer while it is being placed. */
typedef struct item {
    size_t bytes; /* aligned */
    size_t offset;
    int32_t first, last; /* steps */
    int32_t from, to;    /* the same in sections */
    int32_t index;
    double rank; /* larger goes first */
} item;

/* A placed buffer, as first fit looks at it. */
typedef struct placed {
    size_t offset, end;
    int32_t first, last;
} placed;

/* A section stands for a run of steps in which one set of live buffers holds all others: steps
 * where nothing that came has gone yet are one. */
typedef struct section {
    size_t live_bytes; /* of all buffers that are searched for */
    size_t rest_bytes; /* of those among them that are not placed yet */
    size_t height;     /* of the skyline */
} section;

typedef struct placer {
    bur_context *context;
    item *items;       /* large ones first */
    item **order;      /* in the order of placement */
    placed *by_offset; /* placed buffers by rising offset */
    item **waiting;    /* of the skyline: what is not placed yet, by rank */
    section *sections;
    int32_t *section_of; /* of each step where a buffer comes or goes */
    int32_t count;       /* buffers */
    int32_t searched;    /* the first so many of them are placed by search, the rest around them */
    int32_t steps, n_sections;
    int32_t peak; /* the step with the most live bytes */
    size_t chunk_bytes;
    size_t goal_bytes; /* a placement as low as this is not searched further */
    int64_t work;      /* comparisons so far: searches end by it, never by a clock */
} placer;

/* The lowest offset from `offset` on where `bytes` do not cross a chunk's border. */
size_t bur__place_fit_chunk(size_t offset, size_t bytes, size_t chunk_bytes);

/* Puts order[from..count) one by one into the lowest gap, order[0..from) being placed; returns the
 * end of the highest of all. Source: Pisarchyk and Lee, "Efficient memory management for deep
 * neural net inference", 2020. */
size_t bur__place_first_fit(placer *p, int32_t from);

/* Sections of the buffers that are searched for. */
void bur__place_sections(placer *p);

/* Places order[0..searched) from the ground up; returns the end of the highest, or SIZE_MAX as soon
 * as it is clear that it will be above `most` bytes. Source: Burke, Kendall, Whitwell, "A new
 * placement heuristic for the orthogonal stock-cutting problem", 2004; Sekiyama et al.,
 * "Profile-guided memory optimization for deep neural networks", 2018. */
size_t bur__place_skyline(placer *p, size_t most);

/* Orders of the searched buffers for the skyline, the best of them improved by small changes until
 * a placement reaches the goal or `work` more comparisons are done. The searched buffers are left
 * at the lowest offsets found and in `order`; returns the end of the highest. BUR_E_NOMEM. */
bur_status bur__place_climb(placer *p, int64_t work, size_t *total);

/* Whether the searched buffers fit into `most` bytes, as far as so many comparisons tell; if
 * *found, they are left at their offsets. bur__place_sections comes first. Knows no chunks.
 * BUR_E_NOMEM. After Moffitt, "MiniMalloc: a lightweight memory allocator for hardware-accelerated
 * machine learning", 2023. */
bur_status bur__place_exhaust(placer *p, size_t most, int64_t work, bool *found);

/* Rules for the order: by size, lifetime, area; what is live at the peak first, by when it came,
 * when it goes, how long it lives. */
enum { BUR_PLACE_RANKS = 6 };
typedef double bur_place_rank(const placer *p, const item *it);
extern bur_place_rank *const bur__place_ranks[BUR_PLACE_RANKS];

/* Sorts order[0..count) by rank; ties go to the lower index. */
void bur__place_sort(item **order, int32_t count);

#endif
