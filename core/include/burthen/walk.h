/**
 * burthen/walk.h: index spaces of the operators that broadcast, reduce or move elements. For
 * authors of backends.
 *
 * A walk is a box of elements with each operand's strides in it: broadcasting is a stride of 0, a
 * transpose exchanges strides, a slice starts inside its operand. One loop nest per backend carries
 * out all of them.
 */
#ifndef BURTHEN_WALK_H
#define BURTHEN_WALK_H

#include <burthen/op.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BUR_WALK_OPERANDS 4

/** Dimensions of size 1 are left out and neighbours that every operand passes as one are merged, so
 * a walk over equal shapes has rank 1. Strides and starts in elements. */
typedef struct bur_walk {
    int32_t rank;     /* at least 1 */
    int32_t operands; /* output first, then inputs */
    int64_t size[BUR_MAX_RANK];
    int64_t start[BUR_WALK_OPERANDS];
    int64_t stride[BUR_WALK_OPERANDS][BUR_MAX_RANK];
} bur_walk;

/** The walk of a call whose shapes were inferred:
 * - broadcasting rows: over the output; the output, then every input;
 * - transpose, slice: over the output; output, input. pad: over the input; output, input;
 *   concat: over input `input`; output, that input;
 * - batch_matmul: over the output's matrices; output, inputs; strides and starts in matrices;
 * - reductions: over input 0; the output (stride 0 along reduced dimensions), input 0;
 *   reduce_max_grad: over the output; output, dy, index, and the position among the reduced
 * elements (an operand that is computed, not read). */
BUR_API bur_walk bur_walk_of(const bur_call *call, int32_t input);

/** Elements of the box. */
BUR_API int64_t bur_walk_count(const bur_walk *walk);

/** Splits a reduction's walk into the dimensions that its output has and those it sums over, each
 * in their order. */
BUR_API void bur_walk_split(bur_walk *kept, bur_walk *reduced, const bur_walk *walk);

#ifdef __cplusplus
}
#endif
#endif
