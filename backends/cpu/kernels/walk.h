/* Visiting the elements of a walk (burthen/walk.h) row by row. Part of kernels.c. */
#ifndef BUR_CPU_WALK_H
#define BUR_CPU_WALK_H

#include "team.h"

#include <burthen/walk.h>

static bur_status walk_build(bur_kernel *kernel)
{
    kernel->walk = bur_walk_of(&kernel->call, 0);
    return BUR_OK;
}

/* Where a visit stands: indices in the box and each operand's element. */
typedef struct cursor {
    int64_t index[BUR_MAX_RANK];
    int64_t at[BUR_WALK_OPERANDS];
} cursor;

/* The cursor of element i of the box, row-major. */
static cursor walk_seek(const bur_walk *walk, int64_t i)
{
    cursor c = {.at = {0}};
    for (int32_t k = 0; k < walk->operands; k++)
        c.at[k] = walk->start[k];
    for (int32_t d = walk->rank - 1; d >= 0; d--) {
        c.index[d] = i % walk->size[d];
        i /= walk->size[d];
        for (int32_t k = 0; k < walk->operands; k++)
            c.at[k] += c.index[d] * walk->stride[k][d];
    }
    return c;
}

INLINE void walk_advance(const bur_walk *walk, cursor *c, int32_t d, int64_t n)
{
    c->index[d] += n;
    for (int32_t k = 0; k < walk->operands; k++)
        c->at[k] += n * walk->stride[k][d];
}

/* n elements on along the innermost dimension, of which so many are left. */
INLINE void walk_skip(const bur_walk *walk, cursor *c, int64_t n)
{
    int32_t d = walk->rank - 1;
    walk_advance(walk, c, d, n);
    for (; d > 0 && c->index[d] == walk->size[d]; d--) {
        walk_advance(walk, c, d, -walk->size[d]);
        walk_advance(walk, c, d - 1, 1);
    }
}

/* n elements of a row, which begins at at[k] in operand k and goes on in steps of step[k]. */
typedef struct walk_row {
    int64_t at[BUR_WALK_OPERANDS], step[BUR_WALK_OPERANDS];
    int64_t n;
} walk_row;

typedef void walk_function(const walk_row *row, const void *user);

/* Calls work for every row of elements own.begin to own.end; work is inlined. */
INLINE void walk_rows(const bur_walk *walk, range own, walk_function *work, const void *user)
{
    if (own.begin >= own.end)
        return;
    const int32_t inner = walk->rank - 1;
    cursor c = walk_seek(walk, own.begin);
    walk_row row;
    for (int32_t k = 0; k < BUR_WALK_OPERANDS; k++)
        row.step[k] = walk->stride[k][inner];
    for (int64_t i = own.begin; i < own.end; i += row.n) {
        memcpy(row.at, c.at, sizeof row.at);
        row.n = least(walk->size[inner] - c.index[inner], own.end - i);
        work(&row, user);
        walk_skip(walk, &c, row.n);
    }
}

INLINE range walk_share(const bur_walk *walk, int thread, int threads)
{
    return share(bur_walk_count(walk), CACHE_LINE_FLOATS, thread, threads);
}

#endif
