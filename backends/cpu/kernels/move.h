/* Rows that move elements: one strided copy (burthen/walk.h) carries broadcast_to, transpose,
 * slice, pad and concat; where, cast and embedding beside it. Part of kernels.c. */
#ifndef BUR_CPU_MOVE_H
#define BUR_CPU_MOVE_H

#include "walk.h"

/* ---- the copy ---- */

/* Where a copy goes to and comes from. */
typedef struct copy {
    char *to;
    const char *from;
} copy;

/* A block of rows x columns, each side at its two strides; columns are inside. */
#define COPY_BLOCK(name, type)                                                                     \
    INLINE void name(void *to_first, const void *from_first, int64_t rows, int64_t columns,        \
                     const int64_t *to_step, const int64_t *from_step)                             \
    {                                                                                              \
        for (int64_t r = 0; r < rows; r++) {                                                       \
            type *to = (type *)to_first + r * to_step[0];                                          \
            const type *from = (const type *)from_first + r * from_step[0];                        \
            for (int64_t c = 0; c < columns; c++)                                                  \
                to[c * to_step[1]] = from[c * from_step[1]];                                       \
        }                                                                                          \
    }
COPY_BLOCK(copy_words, uint32_t)
COPY_BLOCK(copy_bytes, uint8_t)
#undef COPY_BLOCK

INLINE void copy_block(char *to, const char *from, size_t bytes, int64_t rows, int64_t columns,
                       const int64_t *to_step, const int64_t *from_step)
{
    if (bytes == 4)
        copy_words(to, from, rows, columns, to_step, from_step);
    else
        copy_bytes(to, from, rows, columns, to_step, from_step);
}

INLINE void copy_word_row(const walk_row *row, const void *user)
{
    const copy *c = user;
    char *to = c->to + 4 * row->at[0];
    const char *from = c->from + 4 * row->at[1];
    if (row->step[0] == 1 && row->step[1] == 1)
        memcpy(to, from, 4 * (size_t)row->n);
    else
        copy_words(to, from, 1, row->n, (const int64_t[]){0, row->step[0]},
                   (const int64_t[]){0, row->step[1]});
}

INLINE void copy_byte_row(const walk_row *row, const void *user)
{
    const copy *c = user;
    copy_bytes(c->to + row->at[0], c->from + row->at[1], 1, row->n,
               (const int64_t[]){0, row->step[0]}, (const int64_t[]){0, row->step[1]});
}

/* The dimension along which the source is contiguous. */
static int32_t source_inner(const bur_walk *walk)
{
    int32_t d = walk->rank - 1;
    while (d > 0 && walk->stride[1][d] != 1)
        d--;
    return d;
}

enum { COPY_TILE = 16 }; /* floats of a cache line */

/* Squares of rows along the source's inner dimension and columns along the target's, so that every
 * line of cache is read and written once. */
static void copy_tiles(const bur_walk *walk, int32_t across, const copy *c, size_t bytes,
                       int thread, int threads)
{
    const int32_t along = walk->rank - 1;
    const int64_t to_step[] = {walk->stride[0][across], walk->stride[0][along]};
    const int64_t from_step[] = {walk->stride[1][across], walk->stride[1][along]};
    bur_walk squares = *walk;
    for (int i = 0; i < 2; i++) {
        const int32_t d = i == 0 ? across : along;
        squares.size[d] = (walk->size[d] + COPY_TILE - 1) / COPY_TILE;
        squares.stride[0][d] *= COPY_TILE;
        squares.stride[1][d] *= COPY_TILE;
    }
    const range own = share(bur_walk_count(&squares), 1, thread, threads);
    if (own.begin >= own.end)
        return;
    cursor at = walk_seek(&squares, own.begin);
    for (int64_t i = own.begin; i < own.end; i++, walk_skip(&squares, &at, 1))
        copy_block(c->to + (int64_t)bytes * at.at[0], c->from + (int64_t)bytes * at.at[1], bytes,
                   least(COPY_TILE, walk->size[across] - COPY_TILE * at.index[across]),
                   least(COPY_TILE, walk->size[along] - COPY_TILE * at.index[along]), to_step,
                   from_step);
}

/* One thread's share of a copy of elements of 4 bytes or 1. */
static void copy_walk(const bur_walk *walk, const copy *c, size_t bytes, int thread, int threads)
{
    const int32_t across = source_inner(walk);
    if (across != walk->rank - 1 && walk->stride[1][walk->rank - 1] != 0)
        copy_tiles(walk, across, c, bytes, thread, threads);
    else if (bytes == 4)
        walk_rows(walk, walk_share(walk, thread, threads), copy_word_row, c);
    else
        walk_rows(walk, walk_share(walk, thread, threads), copy_byte_row, c);
}

static size_t element_bytes(const bur_command *command)
{
    return bur_dtype_bytes((bur_dtype)command->kernel->call.inputs[0].dtype);
}

/* broadcast_to, transpose and slice are one copy. */
static void copy_one(const bur_command *command, int thread, int threads)
{
    const copy c = {command->outputs[0], command->inputs[0]};
    copy_walk(&command->kernel->walk, &c, element_bytes(command), thread, threads);
}

static void concat(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    for (int32_t i = 0; i < call->n_inputs; i++) {
        const bur_walk walk = bur_walk_of(call, i);
        const copy c = {command->outputs[0], command->inputs[i]};
        copy_walk(&walk, &c, element_bytes(command), thread, threads);
    }
}

/* All of y is filled, then x is copied into its place. */
static void pad(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const float value = call->attr->pad.value;
    const range own = share(bur_desc_count(&call->outputs[0]), 64, thread, threads);
    float *words = command->outputs[0];
    uint8_t *bytes = command->outputs[0];
    for (int64_t i = own.begin; i < own.end; i++)
        if (call->outputs[0].dtype == BUR_F32)
            words[i] = value;
        else if (call->outputs[0].dtype == BUR_I32)
            ((int32_t *)command->outputs[0])[i] = (int32_t)value;
        else
            bytes[i] = (uint8_t)value;
    team_wait(command, threads);
    copy_one(command, thread, threads);
}

/* ---- where, cast, embedding ---- */

INLINE void where_row(const walk_row *row, const void *user)
{
    const bur_command *command = user;
    const bur_call *call = &command->kernel->call;
    const bool invert = call->attr->where.invert != 0, both = call->n_inputs > 2;
    float *y = (float *)command->outputs[0] + row->at[0];
    const uint8_t *mask = (const uint8_t *)command->inputs[0] + row->at[1];
    const float *a = (const float *)command->inputs[1] + row->at[2];
    const float *b = both ? (const float *)command->inputs[2] + row->at[3] : NULL;
    for (int64_t j = 0; j < row->n; j++) {
        const float other = both ? b[j * row->step[3]] : 0.0f;
        y[j] = (mask[j * row->step[1]] != 0) != invert ? a[j * row->step[2]] : other;
    }
}

static void where(const bur_command *command, int thread, int threads)
{
    const bur_walk *walk = &command->kernel->walk;
    walk_rows(walk, walk_share(walk, thread, threads), where_row, command);
}

/* Every value of x as a double, then the nearest that y's type has, cut off towards 0. */
static void cast(const bur_command *command, int thread, int threads)
{
    static const double least_of[BUR_DTYPE_COUNT] = {[BUR_I32] = INT32_MIN, [BUR_U8] = 0};
    static const double most_of[BUR_DTYPE_COUNT] = {[BUR_I32] = INT32_MAX, [BUR_U8] = UINT8_MAX};
    const bur_call *call = &command->kernel->call;
    const int32_t from = call->inputs[0].dtype, to = call->outputs[0].dtype;
    const void *x = command->inputs[0];
    void *y = command->outputs[0];
    const range own = share(bur_desc_count(&call->outputs[0]), 64, thread, threads);
    for (int64_t i = own.begin; i < own.end; i++) {
        const double value = from == BUR_F32   ? (double)((const float *)x)[i]
                             : from == BUR_I32 ? (double)((const int32_t *)x)[i]
                                               : (double)((const uint8_t *)x)[i];
        if (to == BUR_F32) {
            ((float *)y)[i] = (float)value;
            continue;
        }
        double whole = value != value ? 0 : value;
        whole = whole < least_of[to] ? least_of[to] : whole > most_of[to] ? most_of[to] : whole;
        if (to == BUR_I32)
            ((int32_t *)y)[i] = (int32_t)whole;
        else
            ((uint8_t *)y)[i] = (uint8_t)whole;
    }
}

/* Elements of a row of the table. */
static int64_t row_elements(const bur_desc *table)
{
    int64_t n = 1;
    for (int32_t i = 1; i < table->shape.rank; i++)
        n *= table->shape.dim[i];
    return n;
}

static void embedding(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const int64_t rows = call->inputs[0].shape.dim[0], n = row_elements(&call->inputs[0]);
    const float *table = command->inputs[0];
    const int32_t *ids = command->inputs[1];
    float *y = command->outputs[0];
    const range own = share(bur_desc_count(&call->inputs[1]), 1, thread, threads);
    for (int64_t i = own.begin; i < own.end; i++)
        if (ids[i] >= 0 && ids[i] < rows)
            memcpy(y + i * n, table + ids[i] * n, (size_t)n * sizeof *y);
        else
            memset(y + i * n, 0, (size_t)n * sizeof *y);
}

/* Each thread adds up the gradients of its rows of the table, in the order of the ids. */
static void embedding_grad(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const int64_t rows = call->outputs[0].shape.dim[0], n = row_elements(&call->outputs[0]);
    const int64_t count = bur_desc_count(&call->inputs[1]);
    const float *dy = command->inputs[0];
    const int32_t *ids = command->inputs[1];
    float *table = command->outputs[0];
    const range own = share(rows, 1, thread, threads);
    memset(table + own.begin * n, 0, (size_t)((own.end - own.begin) * n) * sizeof *table);
    for (int64_t i = 0; i < count; i++) {
        if (ids[i] < own.begin || ids[i] >= own.end)
            continue;
        float *sum = table + ids[i] * n;
        for (int64_t j = 0; j < n; j += LANES) {
            const int64_t here = least(LANES, n - j);
            store_first(sum + j, load_first(sum + j, here) + load_first(dy + i * n + j, here),
                        here);
        }
    }
}

#endif
