/* Rows over the last axis: bias, its gradient, softmax. A tensor is [rows, c]. Part of kernels.c.
 */
#ifndef BUR_CPU_ROWS_H
#define BUR_CPU_ROWS_H

#include "functions.h"
#include "team.h"

INLINE int64_t last_dim(const bur_desc *desc)
{
    return desc->shape.rank == 0 ? 1 : desc->shape.dim[desc->shape.rank - 1];
}

INLINE int64_t count_rows(const bur_desc *desc)
{
    const int64_t c = last_dim(desc);
    return c == 0 ? 0 : bur_desc_count(desc) / c;
}

static void bias_add(const bur_command *command, int thread, int threads)
{
    const bur_desc *desc = &command->kernel->call.inputs[0];
    const float *x = command->inputs[0], *bias = command->inputs[1];
    float *y = command->outputs[0];
    const int64_t c = last_dim(desc);
    const range own = share(count_rows(desc), 1, thread, threads);
    for (int64_t row = own.begin; row < own.end; row++)
        for (int64_t j = 0; j < c; j += LANES) {
            const int64_t n = least(LANES, c - j), at = row * c + j;
            store_first(y + at, load_first(x + at, n) + load_first(bias + j, n), n);
        }
}

/* ---- sums over rows ---- */

/* Narrow rows are summed several at a time, as one wide row, and folded at the end. */
enum { WIDE = 64 };

INLINE int64_t rows_at_once(int64_t c)
{
    return c >= WIDE || c == 0 ? 1 : WIDE / c;
}

static size_t bias_grad_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    const int64_t c = last_dim(&call->inputs[0]);
    return 4 * (size_t)(threads * round_up(c * rows_at_once(c), CACHE_LINE_FLOATS));
}

/* sums[j] = sum over own rows of f(dy, y), and f(dy, y) is stored to dx; where y is NULL, f is dy
 * and nothing is stored. Blocks of rows are summed before they are added to the total: less
 * rounding. */
INLINE void sum_rows(float *sums, const float *dy, const float *y, float *dx, int64_t wide,
                     int64_t count, const int32_t activation, float alpha)
{
    const int64_t block_floats = 64 * wide;
    memset(sums, 0, 4 * (size_t)wide);
    for (int64_t first = 0; first < count; first += block_floats) {
        const int64_t end = least(count, first + block_floats);
        for (int64_t j = 0; j < wide; j += LANES) {
            const int64_t n = least(LANES, wide - j);
            vec sum = {0};
            for (int64_t i = first + j; i < end; i += wide) {
                const int64_t here = least(n, count - i); /* the last wide row may be short */
                vec d = load_first(dy + i, here);
                if (y != NULL) {
                    d = activate_gradient(d, load_first(y + i, here), activation, alpha);
                    store_first(dx + i, d, here);
                }
                sum += d; /* 0 in the lanes beyond */
            }
            store_first(sums + j, load_first(sums + j, n) + sum, n);
        }
    }
}

/* db[j] = sum over rows; each thread sums its rows, then its columns of all threads' sums. */
static void finish_sums(float *db, const float *sums, int64_t c, int64_t pitch, int thread,
                        int threads)
{
    const int64_t at_once = rows_at_once(c);
    const range own = share(c, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t j = own.begin; j < own.end; j++) {
        float sum = 0;
        for (int64_t t = 0; t < threads; t++)
            for (int64_t r = 0; r < at_once; r++)
                sum += sums[t * pitch + r * c + j];
        db[j] = sum;
    }
}

INLINE void sum_columns(const bur_command *command, int thread, int threads, const float *y,
                        float *dx, float *db, int32_t activation, float alpha)
{
    const bur_desc *desc = &command->kernel->call.inputs[0];
    const int64_t c = last_dim(desc), wide = c * rows_at_once(c);
    const int64_t pitch = round_up(wide, CACHE_LINE_FLOATS);
    const range own = share(count_rows(desc), rows_at_once(c), thread, threads);
    const int64_t first = own.begin * c, count = (own.end - own.begin) * c;
    float *sums = (float *)command->scratch + thread * pitch;
    const float *dy = (const float *)command->inputs[0] + first;
#define SUM(kind)                                                                                  \
    sum_rows(sums, dy, y == NULL ? NULL : y + first, dx == NULL ? NULL : dx + first, wide, count,  \
             kind, alpha)
    if (y == NULL)
        SUM(BUR_LINEAR);
    else
        WITH_ACTIVATION(activation, SUM);
#undef SUM
    team_wait(command, threads);
    finish_sums(db, command->scratch, c, pitch, thread, threads);
}

static void bias_grad(const bur_command *command, int thread, int threads)
{
    sum_columns(command, thread, threads, NULL, NULL, command->outputs[0], BUR_LINEAR, 0);
}

/* Inputs dy, y; outputs dx = dy activation'(x) and its sum over rows. */
static void bias_act_grad(const bur_command *command, int thread, int threads)
{
    const bur_activation_attr *attr = &command->kernel->call.attr->activation;
    sum_columns(command, thread, threads, command->inputs[1], command->outputs[0],
                command->outputs[1], attr->activation, attr->alpha);
}

/* ---- softmax ---- */

INLINE float row_max(const float *x, int64_t c)
{
    vec most = splat(-INFINITY);
    for (int64_t j = 0; j < c; j += LANES) {
        const int64_t n = least(LANES, c - j);
        most = greater(most, fill_rest(load_first(x + j, n), n, -INFINITY));
    }
    return greatest_lane(most);
}

/* y = exp(x - most), where y is not NULL, and the sum. */
INLINE float row_exponentials(float *y, const float *x, float most, int64_t c)
{
    vec sum = {0};
    for (int64_t j = 0; j < c; j += LANES) {
        const int64_t n = least(LANES, c - j);
        const vec e = exponential(load_first(x + j, n) - most);
        if (y != NULL)
            store_first(y + j, e, n);
        sum += fill_rest(e, n, 0);
    }
    return sum_lanes(sum);
}

INLINE void row_scale(float *y, float factor, int64_t c)
{
    for (int64_t j = 0; j < c; j += LANES) {
        const int64_t n = least(LANES, c - j);
        store_first(y + j, load_first(y + j, n) * factor, n);
    }
}

/* y [c] of one row of the first input and the last. */
typedef void row_function(float *y, const float *first, const float *last, int64_t c);

INLINE void each_row(const bur_command *command, int thread, int threads, row_function *f)
{
    const bur_call *call = &command->kernel->call;
    const float *first = command->inputs[0], *last = command->inputs[call->n_inputs - 1];
    const int64_t c = last_dim(&call->inputs[0]);
    const range own = share(count_rows(&call->inputs[0]), 1, thread, threads);
    for (int64_t row = own.begin; row < own.end; row++)
        f((float *)command->outputs[0] + row * c, first + row * c, last + row * c, c);
}

INLINE void softmax_row(float *y, const float *x, const float *last, int64_t c)
{
    (void)last;
    row_scale(y, 1.0f / row_exponentials(y, x, row_max(x, c), c), c);
}

/* y = x - most - log(sum exp(x - most)) */
INLINE void log_softmax_row(float *y, const float *x, const float *last, int64_t c)
{
    (void)last;
    const float most = row_max(x, c), log_sum = logf(row_exponentials(NULL, x, most, c));
    for (int64_t j = 0; j < c; j += LANES) {
        const int64_t n = least(LANES, c - j);
        store_first(y + j, (load_first(x + j, n) - most) - log_sum, n);
    }
}

/* dx = y (dy - sum_j dy_j y_j) */
INLINE void softmax_grad_row(float *dx, const float *dy, const float *y, int64_t c)
{
    vec sum = {0};
    for (int64_t j = 0; j < c; j += LANES) {
        const int64_t n = least(LANES, c - j);
        sum += load_first(dy + j, n) * load_first(y + j, n);
    }
    const float dot = sum_lanes(sum);
    for (int64_t j = 0; j < c; j += LANES) {
        const int64_t n = least(LANES, c - j);
        store_first(dx + j, load_first(y + j, n) * (load_first(dy + j, n) - dot), n);
    }
}

/* dx = dy - exp(y) sum_j dy_j */
INLINE void log_softmax_grad_row(float *dx, const float *dy, const float *y, int64_t c)
{
    vec sums = {0};
    for (int64_t j = 0; j < c; j += LANES)
        sums += load_first(dy + j, least(LANES, c - j));
    const float sum = sum_lanes(sums);
    for (int64_t j = 0; j < c; j += LANES) {
        const int64_t n = least(LANES, c - j);
        store_first(dx + j, load_first(dy + j, n) - exponential(load_first(y + j, n)) * sum, n);
    }
}

#define SOFTMAX_ROW(name)                                                                          \
    static void name(const bur_command *command, int thread, int threads)                          \
    {                                                                                              \
        each_row(command, thread, threads, name##_row);                                            \
    }
SOFTMAX_ROW(softmax)
SOFTMAX_ROW(log_softmax)
SOFTMAX_ROW(softmax_grad)
SOFTMAX_ROW(log_softmax_grad)
#undef SOFTMAX_ROW

#endif
