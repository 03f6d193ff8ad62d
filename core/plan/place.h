/* Offsets for buffers with lifetimes in one address space. Knows bytes and times, nothing of
 * graphs. */
#ifndef BUR_PLAN_PLACE_H
#define BUR_PLAN_PLACE_H

#include <burthen/plan.h>

/* A buffer that is live in the steps first..last, both included. */
typedef struct bur_interval {
    size_t bytes;
    int32_t first, last;
} bur_interval;

typedef struct bur_placement {
    size_t total_bytes;       /* end of the highest buffer; with chunks, of each chunk's, in sum */
    size_t lower_bound_bytes; /* largest sum of live aligned bytes: no placement can be lower */
    int32_t peak_step;        /* where that sum is reached first */
} bur_placement;

/* Gives each of `count` buffers an offset (a multiple of `alignment`, a power of two) such that no
 * two that are live at once overlap, and none crosses a multiple of chunk_bytes (0: no chunks; else
 * a multiple of the alignment and at least the largest buffer). Chunks begin so far apart and end
 * where they are not filled any further. Ties go to the lower index, so the
 * result repeats: searches end by a count of comparisons, never by a clock. BUR_E_NOMEM,
 * BUR_E_RANGE if the sum of bytes overflows. */
bur_status bur__place(bur_placement *out, bur_context *context, const bur_interval *buffers,
                      int32_t count, size_t alignment, size_t chunk_bytes,
                      bur_placement_effort effort, size_t *offsets);

#endif
