/* What the ways of placing buffers share, for core/plan/place*.c. */
#ifndef BUR_PLAN_PLACE_SEARCH_H
#define BUR_PLAN_PLACE_SEARCH_H

#include "place.h"

/* One buffer while it is being placed. */
typedef struct item {
    size_t bytes; /* aligned */
    size_t offset;
    int32_t first, last; /* steps */
    int32_t from, to;    /* the same in sections, of what is searched for */
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
    int32_t step;       /* with all of these */
    size_t other_bytes; /* live at that step and not searched for */
    size_t rest_bytes;  /* searched for, not placed yet */
    size_t height;      /* of the skyline */
    size_t most;        /* that it may reach in the end */
} section;

typedef struct placer {
    bur_context *context;
    item *items;       /* large ones first */
    item **order;      /* in the order of placement */
    placed *by_offset; /* placed buffers by rising offset */
    int32_t count;     /* buffers */
    int32_t n_placed;  /* by first fit, in that order */
    int32_t searched;  /* the first so many of them are placed by search, the rest around them */
    int32_t steps;
    section *sections;   /* of what is searched for */
    int32_t *section_of; /* of each step where a buffer comes or goes */
    int32_t n_sections;
    int32_t peak;       /* the step with the most live bytes */
    size_t chunk_bytes; /* how far apart chunks begin; 0: there are none */
    size_t *heights;    /* of each chunk: how far it is filled */
    int32_t n_chunks;   /* that hold anything */
} placer;

/* Puts order[from..count) one by one into the lowest gap, order[0..from) being placed; with chunks,
 * where a chunk grows least. Returns what all take, the end of the highest or the sum of the
 * chunks' heights, or SIZE_MAX as soon as that is not below `below`: p->n_placed counts those up to
 * the one that is too much. Source: Pisarchyk and Lee, "Efficient memory management for deep neural
 * net inference", 2020. */
size_t bur__place_first_fit(placer *p, int32_t from, size_t below);

/* Finds the sections of what is searched for. */
void bur__place_sections(placer *p);

/* Whether the searched buffers fit into `most` bytes such that the others, too, have room above
 * them at every step, as far as so many comparisons tell; if *found, the searched ones are left at
 * their offsets. Knows no chunks. BUR_E_NOMEM.
 * After Moffitt, "MiniMalloc: a lightweight memory allocator for hardware-accelerated machine
 * learning", 2023. */
bur_status bur__place_exhaust(placer *p, size_t most, int64_t work, bool *found);

/* Rules for the order: large, long-lived, both first; what is live at the peak first, by when it
 * came, when it goes, how long it lives. */
typedef enum bur_place_rule {
    BUR_PLACE_SIZE,
    BUR_PLACE_LIFETIME,
    BUR_PLACE_AREA,
    BUR_PLACE_PEAK_CAME,
    BUR_PLACE_PEAK_GOES,
    BUR_PLACE_PEAK_LIFETIME,
    BUR_PLACE_RULES
} bur_place_rule;

/* The first `count` items into p->order by a rule; mixed up a little, by a number other than 0.
 * Ties go to the lower index. */
void bur__place_order(placer *p, int32_t count, bur_place_rule rule, uint32_t mixed);

#endif
