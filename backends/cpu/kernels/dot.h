/* Products c = a b^T of few rows, a [m, k], b [n, k], c [m, n] row-major: each element is a sum
 * along a row of a and one of b, so both are read where they lie. Packing b, as gemm.h does, takes
 * longer than multiplying it by a few rows. Part of kernels.c.
 *
 * Time is what b takes to arrive from memory: its rows are fetched ahead, in the order in which
 * they lie. */
#ifndef BUR_CPU_DOT_H
#define BUR_CPU_DOT_H

#include "pack.h"
#include "team.h"

/* The tile of c whose sums are registers: rows of a by rows of b. */
#if LANES == 16 || defined(__aarch64__)
enum { DOT_ROWS = 4 };
#define DOT_SIZES(X) X(1) X(2) X(3) X(4)
#else
enum { DOT_ROWS = 2 };
#define DOT_SIZES(X) X(1) X(2)
#endif
enum { DOT_COLUMNS = 4, DOT_STEPS = 512, DOT_AHEAD_BYTES = 8192 };

typedef struct dots {
    int64_t m, n, k;
    const float *a, *b;
    float *c;
} dots;

typedef struct dot_tile {
    const float *a, *b[DOT_COLUMNS], *next_b[DOT_COLUMNS];
    float *c;
    int64_t a_stride, c_stride, steps, columns;
    bool add; /* to what c holds */
} dot_tile;

/* The sum of all lanes of each of four vectors. */
INLINE vec4 sum_four(const vec *v)
{
    vec step[4];
    interleave_four(step, v);
    const vec sum = (step[0] + step[1]) + (step[2] + step[3]);
    vec4 part[LANES / 4];
    memcpy(part, &sum, sizeof part);
    vec4 total = part[0];
    UNROLL for (int g = 1; g < LANES / 4; g++) total += part[g];
    return total;
}

INLINE void store_dots(float *c, vec4 sum, int64_t columns, bool add)
{
    if (columns == DOT_COLUMNS) {
        if (add)
            sum += *(const vec4_memory *)c;
        *(vec4_memory *)c = sum;
        return;
    }
    for (int64_t j = 0; j < columns; j++)
        c[j] = add ? c[j] + sum[j] : sum[j];
}

/* sum += a b over one vector of steps from p on. */
#define DOT_STEP(load_steps)                                                                       \
    do {                                                                                           \
        vec x[DOT_COLUMNS];                                                                        \
        UNROLL for (int j = 0; j < DOT_COLUMNS; j++) x[j] = load_steps(b[j] + p);                  \
        UNROLL for (int i = 0; i < rows; i++)                                                      \
        {                                                                                          \
            const vec value = load_steps(a + i * a_stride + p);                                    \
            UNROLL for (int j = 0; j < DOT_COLUMNS; j++) sum[i][j] += value * x[j];                \
        }                                                                                          \
    } while (0)
#define LOAD_REST(p) load_first(p, steps - whole)

INLINE void multiply_dots(const dot_tile *t, const int rows)
{
    const float *a = t->a, *const *b = t->b, *const *next_b = t->next_b;
    const int64_t a_stride = t->a_stride, steps = t->steps, whole = steps / LANES * LANES;
    vec sum[DOT_ROWS][DOT_COLUMNS];
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int j = 0; j < DOT_COLUMNS; j++) sum[i][j] = (vec){0};
    }
    int64_t p = 0;
    for (; p < whole; p += LANES) {
        UNROLL for (int j = 0; j < DOT_COLUMNS; j++) __builtin_prefetch(next_b[j] + p);
        DOT_STEP(load);
    }
    if (p < steps)
        DOT_STEP(LOAD_REST);
    UNROLL for (int i = 0; i < rows; i++)
        store_dots(t->c + i * t->c_stride, sum_four(sum[i]), t->columns, t->add);
}
#undef DOT_STEP
#undef LOAD_REST

typedef void dot_function(const dot_tile *t);

#define DOT_FUNCTION(rows)                                                                         \
    static void dots_##rows(const dot_tile *t)                                                     \
    {                                                                                              \
        multiply_dots(t, rows);                                                                    \
    }
#define DOT_NAME(rows) dots_##rows,
DOT_SIZES(DOT_FUNCTION)
static dot_function *const dot_functions[DOT_ROWS + 1] = {NULL, DOT_SIZES(DOT_NAME)};
#undef DOT_FUNCTION
#undef DOT_NAME
#undef DOT_SIZES

/* A tile's rows of b, from `step` on: j and those after it; where b ends, its last again. */
static void point_at_b(const dots *d, const float **pointer, int64_t j, int64_t step)
{
    for (int64_t i = 0; i < DOT_COLUMNS; i++)
        pointer[i] = d->b + least(j + i, d->n - 1) * d->k + step;
}

/* Columns n at steps k. */
static void dot_block(const dots *d, range n, range k)
{
    dot_tile t = {.a_stride = d->k, .c_stride = d->n, .steps = k.end - k.begin, .add = k.begin > 0};
    const int64_t ahead = round_up(DOT_AHEAD_BYTES / 4 / t.steps + 1, DOT_COLUMNS);
    for (int64_t j = n.begin; j < n.end; j += DOT_COLUMNS) {
        t.columns = least(DOT_COLUMNS, n.end - j);
        point_at_b(d, t.b, j, k.begin);
        point_at_b(d, t.next_b, j + ahead, k.begin);
        for (int64_t i = 0; i < d->m; i += DOT_ROWS) {
            t.a = d->a + i * d->k + k.begin;
            t.c = d->c + i * d->n + j;
            dot_functions[least(DOT_ROWS, d->m - i)](&t);
        }
    }
}

/* A thread's share of the columns. */
static void dot_work(const dots *d, int thread, int threads)
{
    const range n = share(d->n, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t step = 0; step < d->k; step += DOT_STEPS)
        dot_block(d, n, (range){step, least(step + DOT_STEPS, d->k)});
}

#endif
