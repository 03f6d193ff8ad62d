/* Reductions over a set of axes, in a fixed order. Part of kernels.c.
 *
 * A reduction's walk is split into the dimensions that stay and those that go. REDUCE_LANES results
 * are worked out side by side: where the innermost dimension stays they are neighbours in y; where
 * it goes they are one element of y, every so many elements of x apart, and are folded at the end.
 */
#ifndef BUR_CPU_REDUCE_H
#define BUR_CPU_REDUCE_H

#include "walk.h"

#include <math.h>

enum { REDUCE_LANES = 64, LEAST_CHUNK = 4096 };

typedef struct reduce_lanes {
    float value[REDUCE_LANES];
    int32_t ordinal[REDUCE_LANES]; /* of maxima */
} reduce_lanes;

/* Takes in n elements of x; lane j's is element ordinal + j step of those reduced. */
typedef void reduce_function(reduce_lanes *lanes, const float *x, int64_t n, int64_t ordinal,
                             int32_t step);

INLINE void take_sum(reduce_lanes *lanes, const float *x, int64_t n, int64_t ordinal, int32_t step)
{
    (void)ordinal, (void)step;
    for (int64_t j = 0; j < n; j += LANES) {
        const int64_t here = least(LANES, n - j);
        store(lanes->value + j, load(lanes->value + j) + load_first(x + j, here));
    }
}

/* A NaN is greater than every number and not than another NaN. */
INLINE bool is_greater(float a, float b)
{
    return a > b || (a != a && b == b);
}

INLINE void take_maximum(reduce_lanes *lanes, const float *x, int64_t n, int64_t ordinal,
                         int32_t step)
{
    for (int64_t j = 0; j < n; j++)
        if (is_greater(x[j], lanes->value[j]) || lanes->ordinal[j] < 0) {
            lanes->value[j] = x[j];
            lanes->ordinal[j] = (int32_t)(ordinal + j * step);
        }
}

/* One value: all lanes added in halves, or the greatest, of equal ones the first. */
INLINE void fold_sum(reduce_lanes *lanes)
{
    for (int half = REDUCE_LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            lanes->value[j] += lanes->value[j + half];
}

INLINE void fold_maximum(reduce_lanes *lanes)
{
    for (int j = 1; j < REDUCE_LANES; j++) {
        const float value = lanes->value[j];
        const int32_t ordinal = lanes->ordinal[j];
        const bool ties = !is_greater(lanes->value[0], value) && ordinal < lanes->ordinal[0];
        if (ordinal >= 0 && (is_greater(value, lanes->value[0]) || ties)) {
            lanes->value[0] = value;
            lanes->ordinal[0] = ordinal;
        }
    }
}

/* How a call is cut: so many chunks of the reduced elements, each with partial results. */
typedef struct reduction {
    bur_walk kept, reduced;
    int64_t outputs, terms;
    bool inner_stays; /* the innermost dimension of x is one of y */
    bool is_maximum;
} reduction;

static reduction reduction_of(const bur_call *call)
{
    const bur_walk walk = bur_walk_of(call, 0);
    reduction r = {.inner_stays =
                       walk.stride[0][walk.rank - 1] != 0 || walk.size[walk.rank - 1] == 1,
                   .is_maximum = call->op == BUR_OP_reduce_max};
    bur_walk_split(&r.kept, &r.reduced, &walk);
    r.outputs = bur_walk_count(&r.kept);
    r.terms = bur_walk_count(&r.reduced);
    return r;
}

/* Where the results do not occupy all threads, the reduced elements are shared out. */
static int32_t reduce_chunks(const reduction *r, int32_t threads)
{
    const int64_t units = r->inner_stays ? r->outputs / CACHE_LINE_FLOATS : r->outputs;
    const int64_t most = least(r->terms, r->terms * r->outputs / LEAST_CHUNK);
    return units >= 4 * (int64_t)threads || most < 2 ? 1 : (int32_t)least(threads, most);
}

static size_t reduce_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    const reduction r = reduction_of(call);
    const int32_t chunks = reduce_chunks(&r, threads);
    return chunks == 1 ? 0 : (size_t)(chunks * r.outputs) * sizeof(float) * (r.is_maximum ? 2 : 1);
}

static bur_status reduce_build(bur_kernel *kernel)
{
    const reduction r = reduction_of(&kernel->call);
    kernel->split[0] = reduce_chunks(&r, kernel->threads);
    return BUR_OK;
}

/* n neighbouring results (n = 1 unless the inner dimension stays) over reduced elements `own`. */
INLINE void reduce_block(const reduction *r, const float *x, int64_t n, range own,
                         reduce_lanes *lanes, reduce_function *take)
{
    for (int j = 0; j < REDUCE_LANES; j++) {
        lanes->value[j] = r->is_maximum ? -INFINITY : 0.0f;
        lanes->ordinal[j] = -1;
    }
    if (own.begin >= own.end)
        return;
    const int32_t inner = r->reduced.rank - 1;
    cursor c = walk_seek(&r->reduced, own.begin);
    int64_t here = 1;
    for (int64_t i = own.begin; i < own.end; i += here) {
        if (r->inner_stays) {
            take(lanes, x + c.at[1], n, i, 0);
        } else {
            here = least(r->reduced.size[inner] - c.index[inner], own.end - i);
            for (int64_t j = 0; j < here; j += REDUCE_LANES)
                take(lanes, x + c.at[1] + j, least(REDUCE_LANES, here - j), i + j, 1);
        }
        walk_skip(&r->reduced, &c, here);
    }
    if (!r->inner_stays && r->is_maximum)
        fold_maximum(lanes);
    else if (!r->inner_stays)
        fold_sum(lanes);
}

/* Results own.begin to own.end over reduced elements `terms`, to y and index. */
INLINE void reduce_part(const reduction *r, const float *x, range own, range terms, float *y,
                        int32_t *index, reduce_function *take)
{
    if (own.begin >= own.end)
        return;
    const int32_t inner = r->kept.rank - 1;
    cursor c = walk_seek(&r->kept, own.begin);
    int64_t n = 1;
    for (int64_t i = own.begin; i < own.end; i += n) {
        if (r->inner_stays)
            n = least(REDUCE_LANES, least(r->kept.size[inner] - c.index[inner], own.end - i));
        reduce_lanes lanes;
        reduce_block(r, x + c.at[1], n, terms, &lanes, take);
        memcpy(y + i, lanes.value, (size_t)n * sizeof *y);
        if (index != NULL)
            memcpy(index + i, lanes.ordinal, (size_t)n * sizeof *index);
        walk_skip(&r->kept, &c, n);
    }
}

/* Adds up the chunks' results in order, or takes the first greatest. */
static void reduce_chunks_together(const reduction *r, int32_t chunks, const float *partial,
                                   range own, float *y, int32_t *index)
{
    const int32_t *positions = (const int32_t *)(const void *)(partial + chunks * r->outputs);
    for (int64_t i = own.begin; i < own.end; i++) {
        float value = partial[i];
        int32_t ordinal = r->is_maximum ? positions[i] : 0;
        for (int64_t at = r->outputs + i; at < chunks * r->outputs; at += r->outputs) {
            if (!r->is_maximum) {
                value += partial[at];
            } else if (is_greater(partial[at], value)) {
                value = partial[at];
                ordinal = positions[at];
            }
        }
        y[i] = value;
        if (index != NULL)
            index[i] = ordinal;
    }
}

INLINE void reduce(const bur_command *command, int thread, int threads, reduce_function *take)
{
    const bur_call *call = &command->kernel->call;
    const int32_t chunks = command->kernel->split[0];
    const reduction r = reduction_of(call);
    const float *x = command->inputs[0];
    float *y = command->outputs[0], *partial = command->scratch;
    int32_t *index = call->n_outputs > 1 ? command->outputs[1] : NULL;
    const range own = share(r.outputs, CACHE_LINE_FLOATS, thread, threads);
    if (chunks == 1) {
        reduce_part(&r, x, own, (range){0, r.terms}, y, index, take);
    } else {
        int32_t *positions = (int32_t *)(void *)(partial + chunks * r.outputs);
        for (int64_t q = thread; q < chunks; q += threads)
            reduce_part(&r, x, (range){0, r.outputs}, share(r.terms, 1, q, chunks),
                        partial + q * r.outputs, r.is_maximum ? positions + q * r.outputs : NULL,
                        take);
        team_wait(command, threads);
        reduce_chunks_together(&r, chunks, partial, own, y, index);
    }
    const float scale = call->op == BUR_OP_reduce_mean ? 1.0f / (float)r.terms : 1.0f;
    for (int64_t i = own.begin; scale != 1.0f && i < own.end; i++)
        y[i] *= scale;
}

static void reduce_sum(const bur_command *command, int thread, int threads)
{
    reduce(command, thread, threads, take_sum);
}

static void reduce_mean(const bur_command *command, int thread, int threads)
{
    reduce(command, thread, threads, take_sum);
}

static void reduce_max(const bur_command *command, int thread, int threads)
{
    reduce(command, thread, threads, take_maximum);
}

/* ---- the way back ---- */

/* dx is dy where the index names the place, else 0. */
INLINE void reduce_max_grad_row(const walk_row *row, const void *user)
{
    const bur_command *command = user;
    float *dx = (float *)command->outputs[0] + row->at[0];
    const float *dy = (const float *)command->inputs[0] + row->at[1];
    const int32_t *index = (const int32_t *)command->inputs[1] + row->at[2];
    for (int64_t j = 0; j < row->n; j++)
        dx[j] =
            index[j * row->step[2]] == row->at[3] + j * row->step[3] ? dy[j * row->step[1]] : 0.0f;
}

static void reduce_max_grad(const bur_command *command, int thread, int threads)
{
    const bur_walk *walk = &command->kernel->walk;
    walk_rows(walk, walk_share(walk, thread, threads), reduce_max_grad_row, command);
}

#endif
