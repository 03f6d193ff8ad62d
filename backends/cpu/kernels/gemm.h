/* Matrix products c = act(a b + bias), a [m, k], b [k, n], c [m, n] row-major, both operands read
 * through packing functions: transposed matrices and convolutions differ in those alone. Part of
 * kernels.c.
 *
 * Loops as in BLIS (Van Zee and van de Geijn, 2015): k in blocks of KC, n of NC, m of MC; panels of
 * b stay in the L1 cache while panels of a stream from L2. Threads share nothing while they
 * multiply: a grid of (m, n, k) blocks, each with its own packed panels; blocks of k write partial
 * sums that are added up in order.
 *
 * Products of few rows or few steps take as long as b takes to arrive from memory, or c: both are
 * fetched ahead there, in the order in which they lie. */
#ifndef BUR_CPU_GEMM_H
#define BUR_CPU_GEMM_H

#include "functions.h"
#include "pack.h"
#include "team.h"

#include <math.h>

/* The tile of c that the micro-kernel holds in registers: MR rows of NV vectors. */
#if LANES == 16
enum { MR = 12, NV = 2 };
#elif LANES == 8
enum { MR = 6, NV = 2 };
#elif defined(__aarch64__)
enum { MR = 8, NV = 2 };
#else
enum { MR = 4, NV = 2 };
#endif
enum { NR = NV * LANES, KC = 320, MC = 16 * MR, NC = 1024 };
/* Blocks of a b that is fetched ahead: two of them fit in every L2 cache. A smaller b stays there.
 */
enum { FETCH_COLUMNS = 256, FETCH_STEPS = 128, LEAST_FETCHED = 1 << 16 };
/* So few steps are done before the next tile of c has arrived. */
enum { FEW_STEPS = 32 };
_Static_assert((int)NR <= (int)MAX_LINES && (int)MR <= (int)MAX_LINES, "a panel is too wide");

typedef struct gemm {
    int64_t m, n, k;
    pack_function *pack_a, *pack_b;
    point_function *point_a; /* NULL: a is packed */
    int64_t run; /* of point_a: steps from a multiple of this to the next are consecutive */
    pack_source a, b;
    float *c;
    int64_t c_stride;
    const float *bias; /* n values or NULL */
    int32_t activation;
    float alpha;
    bool add; /* to what c holds */
} gemm;

/* ---- the micro-kernel ---- */

typedef struct tile {
    int64_t k;
    const float *a;              /* the packed panel, or NULL: */
    const float *const *pointer; /* MR pointers to lines of a for each run of steps */
    int64_t first_run, run;
    const float *b;
    int64_t b_stride;
    /* What is fetched meanwhile if a is packed: NR floats at each step, runs of `first_fetch` and
     * then `fetch_run` of them and a jump after each. */
    const float *fetch;
    int64_t first_fetch, fetch_run, fetch_jump;
    float *c;
    const float *next_c; /* the tile below, fetched too */
    int64_t c_stride;
    int64_t last;      /* columns in the last vector */
    bool add;          /* to what c holds */
    bool finish;       /* add bias, activate */
    const float *bias; /* of the tile's first column */
    int32_t activation;
    float alpha;
} tile;

typedef void tile_function(const tile *t);

/* tanh and sigmoid are too long to be repeated in every size of tile. */
static void __attribute__((noinline)) activate_tile(const tile *t, int rows, int64_t columns)
{
    for (int i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j += LANES) {
            float *c = t->c + i * t->c_stride + j;
            const int64_t n = least(LANES, columns - j);
            store_first(c, activate(load_first(c, n), t->activation, t->alpha), n);
        }
}

/* Linear and relu are finished in registers, by a floor of -infinity or 0. */
INLINE void store_tile(const tile *t, vec sum[MR][NV], const int mr, const int nv)
{
    /* Read before the first store: c could be the tile itself as far as the compiler knows. */
    const int64_t c_stride = t->c_stride, last = t->last;
    const bool add = t->add, finish = t->finish;
    const float *bias = finish ? t->bias : NULL;
    const vec floor = splat(finish && t->activation == BUR_RELU ? 0.0f : -INFINITY);
    float *c = t->c;
    UNROLL for (int v = 0; v < nv; v++, c += LANES)
    {
        const bool whole = v + 1 < nv || last == LANES;
        vec shift = {0};
        if (bias != NULL)
            shift = whole ? load(bias + v * LANES) : load_first(bias + v * LANES, last);
        UNROLL for (int i = 0; i < mr; i++)
        {
            float *y = c + i * c_stride;
            vec value = sum[i][v] + shift;
            if (add)
                value += whole ? load(y) : load_first(y, last);
            value = greater(floor, value);
            if (whole)
                store(y, value);
            else
                store_first(y, value, last);
        }
    }
    if (finish && t->activation > BUR_RELU)
        activate_tile(t, mr, (nv - 1) * LANES + last);
}

INLINE void fetch_next_c(const tile *t, const int mr, const int nv)
{
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int v = 0; v < nv; v++)
        __builtin_prefetch(t->next_c + i * t->c_stride + v * LANES, 1);
}

/* sum += a b at one step, x[i] being line i's value. */
#define MULTIPLY_STEP(b, x)                                                                        \
    do {                                                                                           \
        vec row[NV];                                                                               \
        UNROLL for (int v = 0; v < nv; v++) row[v] = load((b) + v * LANES);                        \
        UNROLL for (int i = 0; i < mr; i++)                                                        \
        {                                                                                          \
            const vec value = splat(x);                                                            \
            UNROLL for (int v = 0; v < nv; v++) sum[i][v] += value * row[v];                       \
        }                                                                                          \
    } while (0)

INLINE void multiply_tile(const tile *t, const int mr, const int nv)
{
    vec sum[MR][NV];
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int v = 0; v < nv; v++) sum[i][v] = (vec){0};

    fetch_next_c(t, mr, nv);
    const float *a = t->a, *b = t->b, *fetch = t->fetch;
    const int64_t b_stride = t->b_stride;
    for (int64_t left = t->k, run = least(t->first_fetch, left); left > 0;
         left -= run, run = least(t->fetch_run, left), fetch += t->fetch_jump)
        for (int64_t p = run; p > 0; p--, a += MR, b += b_stride, fetch += NR) {
            UNROLL for (int v = 0; v < NV; v++) __builtin_prefetch(fetch + v * LANES);
            MULTIPLY_STEP(b, a[i]);
        }
    store_tile(t, sum, mr, nv);
}

/* The same with lines of a where they lie. */
INLINE void multiply_lines(const tile *t, const int mr, const int nv)
{
    vec sum[MR][NV];
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int v = 0; v < nv; v++) sum[i][v] = (vec){0};

    fetch_next_c(t, mr, nv);
    const float *const *pointer = t->pointer;
    const float *b = t->b;
    const int64_t b_stride = t->b_stride;
    for (int64_t left = t->k, run = t->first_run; left > 0;
         left -= run, run = least(t->run, left)) {
        const float *line[MR];
        UNROLL for (int i = 0; i < mr; i++) line[i] = pointer[i];
        for (int64_t p = 0; p < run; p++, b += b_stride)
            MULTIPLY_STEP(b, line[i][p]);
        pointer += MR;
    }
    store_tile(t, sum, mr, nv);
}
#undef MULTIPLY_STEP

#define TILE_ROWS_4(X)  X(1) X(2) X(3) X(4)
#define TILE_ROWS_6(X)  TILE_ROWS_4(X) X(5) X(6)
#define TILE_ROWS_8(X)  TILE_ROWS_6(X) X(7) X(8)
#define TILE_ROWS_12(X) TILE_ROWS_8(X) X(9) X(10) X(11) X(12)
#if LANES == 16
#define TILE_ROWS TILE_ROWS_12
#elif LANES == 8
#define TILE_ROWS TILE_ROWS_6
#elif defined(__aarch64__)
#define TILE_ROWS TILE_ROWS_8
#else
#define TILE_ROWS TILE_ROWS_4
#endif

#define TILE_FUNCTION(how, mr, nv)                                                                 \
    static void how##_##mr##x##nv(const tile *t)                                                   \
    {                                                                                              \
        multiply_##how(t, mr, nv);                                                                 \
    }
#define TILE_FUNCTIONS(mr)                                                                         \
    TILE_FUNCTION(tile, mr, 1)                                                                     \
    TILE_FUNCTION(tile, mr, 2)                                                                     \
    TILE_FUNCTION(lines, mr, 1)                                                                    \
    TILE_FUNCTION(lines, mr, 2)
#define TILE_ROW(mr)  [mr] = {NULL, tile_##mr##x1, tile_##mr##x2},
#define LINES_ROW(mr) [mr] = {NULL, lines_##mr##x1, lines_##mr##x2},
TILE_ROWS(TILE_FUNCTIONS)
/* [rows][vectors] */
static tile_function *const tiles[MR + 1][NV + 1] = {TILE_ROWS(TILE_ROW)};
static tile_function *const lines_tiles[MR + 1][NV + 1] = {TILE_ROWS(LINES_ROW)};
#undef TILE_FUNCTION
#undef TILE_FUNCTIONS
#undef TILE_ROW
#undef LINES_ROW

/* ---- one thread's block ---- */

typedef struct block {
    range m, n, k;
    float *c;    /* of the whole matrix, or of this block's partial sums */
    bool add;    /* to what c holds */
    bool finish; /* there are no partial sums to add */
    bool b_in_place;
    bool fetches_b; /* from where it lies */
    float *a_panels, *b_panels;
} block;

/* The largest height of equal panels, so that 32 rows are 11 + 11 + 10 and not 12 + 12 + 8. */
INLINE int64_t panel_height(int64_t rows)
{
    const int64_t panels = (rows + MR - 1) / MR;
    return panels == 0 ? 1 : (rows + panels - 1) / panels;
}

/* Panels of b for the columns n at steps k, one after the other. A row-major b that is read only a
 * few times is left where it is, but for a last panel that is not whole. */
static void pack_b_panels(const gemm *g, float *panels, range n, range k, bool in_place)
{
    const int64_t depth = k.end - k.begin;
    for (int64_t j = n.begin; j < n.end; j += NR, panels += depth * NR) {
        const int64_t lines = least(NR, n.end - j);
        if (!in_place || lines < NR)
            g->pack_b(panels, NR, &g->b, j, lines, round_up(lines, LANES), k.begin, depth);
    }
}

/* Runs of consecutive steps from `step` on. */
INLINE int64_t count_runs(const gemm *g, int64_t step, int64_t depth)
{
    return (step % g->run + depth + g->run - 1) / g->run;
}

/* Whether lines of a are read where they lie: little is gained by packing them if few panels of b
 * meet them, and their pointers must fit where the panels would be. No b is fetched beside them. */
static bool points_at_lines(const gemm *g, const block *own, range k)
{
    const int64_t depth = k.end - k.begin;
    return g->point_a != NULL && !own->fetches_b && own->n.end - own->n.begin <= 4 * NR &&
           count_runs(g, k.begin, depth) * (int64_t)sizeof(float *) <= depth * 4;
}

/* Panels of a for the rows m at steps k, or pointers to its lines in their place. */
static void prepare_a_panels(const gemm *g, float *panel, range m, range k, int64_t height,
                             bool in_place)
{
    const int64_t depth = k.end - k.begin;
    for (int64_t i = m.begin; i < m.end; i += height, panel += depth * MR) {
        const int64_t lines = least(height, m.end - i);
        const float **pointer = (const float **)(void *)panel;
        if (in_place)
            g->point_a(pointer, &g->a, i, lines, k.begin, depth);
        else
            g->pack_a(panel, MR, &g->a, i, lines, lines, k.begin, depth);
    }
}

/* What panel `panel` of the columns n fetches while it is multiplied at steps k: its share of the
 * same columns at the steps after them. The last steps fetch themselves. */
static void fetch_share(tile *t, const gemm *g, const block *own, range n, range k, int64_t panel)
{
    const int64_t width = (n.end - n.begin) / NR, at = panel * t->k;
    const int64_t first = k.end < own->k.end ? k.end : k.begin;
    t->fetch = g->b.data + (first + at / width) * g->b.stride + n.begin + at % width * NR;
    t->first_fetch = width - at % width;
    t->fetch_run = width;
    t->fetch_jump = g->b.stride - width * NR;
}

static void multiply_panels(const gemm *g, const block *own, tile *t, range m, range n, range k,
                            int64_t height)
{
    const int64_t depth = k.end - k.begin;
    const bool lines = points_at_lines(g, own, k);
    const float *b_panel = own->b_panels;
    for (int64_t j = n.begin; j < n.end; j += NR, b_panel += depth * NR) {
        const int64_t columns = least(NR, n.end - j), vectors = (columns + LANES - 1) / LANES;
        const bool direct = own->b_in_place && columns == NR;
        t->b = direct ? g->b.data + k.begin * g->b.stride + j : b_panel;
        t->b_stride = direct ? g->b.stride : NR;
        t->fetch = t->b;
        t->first_fetch = depth;
        if (direct && own->fetches_b)
            fetch_share(t, g, own, n, k, (j - n.begin) / NR);
        t->last = columns - (vectors - 1) * LANES;
        t->bias = g->bias == NULL ? NULL : g->bias + j;
        const float *a_panel = own->a_panels;
        for (int64_t i = m.begin; i < m.end; i += height, a_panel += depth * MR) {
            const int64_t rows = least(height, m.end - i);
            t->a = a_panel;
            t->pointer = (const float *const *)(const void *)a_panel;
            t->c = own->c + i * g->c_stride + j;
            t->next_c = t->c + (i + height + rows <= own->m.end ? height * g->c_stride : 0);
            (lines ? lines_tiles : tiles)[rows][vectors](t);
        }
    }
}

static void multiply_steps(const gemm *g, const block *own, tile *t, range n, range k)
{
    t->k = k.end - k.begin;
    if (g->point_a != NULL) {
        t->run = g->run;
        t->first_run = least(g->run - k.begin % g->run, t->k);
    }
    pack_b_panels(g, own->b_panels, n, k, own->b_in_place);
    /* With few steps a panel at a time, so that c is written in the order in which it lies. */
    const int64_t rows = t->k <= FEW_STEPS ? panel_height(own->m.end - own->m.begin) : MC;
    for (int64_t i = own->m.begin; i < own->m.end; i += rows) {
        const range m = {i, least(i + rows, own->m.end)};
        const int64_t height = panel_height(m.end - m.begin);
        prepare_a_panels(g, own->a_panels, m, k, height, points_at_lines(g, own, k));
        multiply_panels(g, own, t, m, n, k, height);
    }
}

static void multiply_block(const gemm *g, const block *own)
{
    tile t = {.c_stride = g->c_stride, .activation = g->activation, .alpha = g->alpha};
    const int64_t columns = own->fetches_b ? FETCH_COLUMNS : NC,
                  most = own->fetches_b ? FETCH_STEPS : KC;
    const int64_t steps = own->k.end - own->k.begin,
                  blocks = steps > most ? (steps + most - 1) / most : 1;
    for (int64_t j = own->n.begin; j < own->n.end; j += columns) {
        const range n = {j, least(j + columns, own->n.end)};
        for (int64_t q = 0; q < blocks; q++) {
            const range k = share(steps, 1, q, blocks);
            t.add = own->add || q > 0;
            t.finish = own->finish && q + 1 == blocks;
            multiply_steps(g, own, &t, n, (range){own->k.begin + k.begin, own->k.begin + k.end});
        }
    }
}

/* ---- the grid of threads ---- */

/* Threads along m, n and k. */
typedef struct grid {
    int32_t m, n, k;
} grid;

/* Cycles of the longest block, roughly: multiplying, packing, adding up partial sums. */
static double grid_cycles(grid g, int64_t m, int64_t n, int64_t k)
{
    const double rows = (double)((m + g.m - 1) / g.m), steps = (double)((k + g.k - 1) / g.k);
    const double columns = (double)round_up((round_up(n, LANES) + g.n - 1) / g.n, LANES);
    const double sums = (double)m * (double)n / (g.m * g.n), barrier = 2000;
    const double add = g.k == 1 ? 0 : barrier + 2 * sums / LANES;
    return rows * columns * steps / (2 * LANES) + 0.4 * rows * steps + 0.15 * steps * columns + add;
}

/* The quickest grid of at most `threads` blocks; a pure function. */
static grid choose_grid(int64_t m, int64_t n, int64_t k, int32_t threads)
{
    grid best = {1, 1, 1};
    double best_cycles = grid_cycles(best, m, n, k);
    for (int32_t gk = 1; gk <= threads; gk++)
        for (int32_t gn = 1; gk * gn <= threads; gn++) {
            const grid g = {threads / (gk * gn), gn, gk};
            const double cycles = grid_cycles(g, m, n, k);
            if (cycles < best_cycles * 0.999) {
                best = g;
                best_cycles = cycles;
            }
        }
    return best;
}

/* Blocks of n begin at multiples of this. */
INLINE int64_t column_unit(grid g, int64_t n)
{
    return n >= (int64_t)g.n * NR ? NR : LANES;
}

/* Floats of one block's panels of a and of b. */
static int64_t a_floats(grid g, int64_t m, int64_t k)
{
    const int64_t rows = least(MC, (m + g.m - 1) / g.m), depth = least(KC, (k + g.k - 1) / g.k);
    return round_up((rows + MR - 1) / MR * MR * depth, CACHE_LINE_FLOATS);
}

static int64_t b_floats(grid g, int64_t n, int64_t k)
{
    const int64_t unit = column_unit(g, n), units = (n + unit - 1) / unit;
    const int64_t columns = least(NC, round_up((units + g.n - 1) / g.n * unit, NR));
    return round_up(columns * least(KC, (k + g.k - 1) / g.k), CACHE_LINE_FLOATS);
}

/* c_floats: of all of c, which may be more than m n where c is several matrices side by side. Never
 * 0, so that there is an address even where there is nothing to pack. */
static size_t gemm_scratch(int64_t m, int64_t n, int64_t k, int64_t c_floats, int32_t threads)
{
    const grid g = choose_grid(m, n, k, threads);
    const int64_t panels = (int64_t)g.m * g.n * g.k * (a_floats(g, m, k) + b_floats(g, n, k));
    const int64_t sums = (g.k - 1) * round_up(c_floats, CACHE_LINE_FLOATS);
    return 4 * (size_t)(panels + sums + CACHE_LINE_FLOATS);
}

/* Part `worker` of the grid; partial sums of k lie behind the panels, c_floats each. */
static void gemm_work(const gemm *g, grid parts, int32_t worker, float *scratch, int64_t offset,
                      int64_t c_floats)
{
    const int64_t own_a = a_floats(parts, g->m, g->k), own_b = b_floats(parts, g->n, g->k);
    const int64_t workers = (int64_t)parts.m * parts.n * parts.k;
    const int32_t q = worker / (parts.m * parts.n), in_plane = worker % (parts.m * parts.n);
    float *panels = scratch + worker * (own_a + own_b);
    float *partial = scratch + workers * (own_a + own_b) +
                     (q - 1) * round_up(c_floats, CACHE_LINE_FLOATS) + offset;
    const bool few_rows = g->m / parts.m <= 4 * MR;
    const bool in_place = g->pack_b == pack_columns && (few_rows || g->b.stride <= 2 * NR);
    block own = {
        .m = share(g->m, 1, in_plane / parts.n, parts.m),
        .n = share(g->n, column_unit(parts, g->n), in_plane % parts.n, parts.n),
        .k = share(g->k, 1, q, parts.k),
        .c = q == 0 ? g->c : partial,
        .add = g->add && q == 0,
        .finish = parts.k == 1,
        .b_in_place = in_place,
        .a_panels = panels,
        .b_panels = panels + own_a,
    };
    own.fetches_b = in_place && few_rows &&
                    (own.k.end - own.k.begin) * (own.n.end - own.n.begin) >= LEAST_FETCHED;
    if (own.m.begin < own.m.end && own.n.begin < own.n.end)
        multiply_block(g, &own);
}

/* c += the partial sums, in order; then bias and activation. c_floats: all of c. */
static void gemm_add_up(const gemm *g, grid parts, const float *scratch, int64_t c_floats,
                        int thread, int threads)
{
    const int64_t panels = a_floats(parts, g->m, g->k) + b_floats(parts, g->n, g->k);
    const float *partial = scratch + (int64_t)parts.m * parts.n * parts.k * panels;
    const int64_t pitch = round_up(c_floats, CACHE_LINE_FLOATS);
    const range own = share(c_floats, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t i = own.begin; i < own.end; i += LANES) {
        const int64_t n = least(LANES, own.end - i);
        vec sum = load_first(g->c + i, n);
        for (int32_t q = 0; q + 1 < parts.k; q++)
            sum += load_first(partial + q * pitch + i, n);
        if (g->bias != NULL)
            for (int64_t l = 0; l < n; l++)
                sum[l] += g->bias[(i + l) % g->c_stride];
        store_first(g->c + i, activate(sum, g->activation, g->alpha), n);
    }
}

#endif
