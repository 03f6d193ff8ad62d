/* Layer, RMS and group normalisation: a cell is what one mean and deviation is of, `area` rows by
 * `width` channels; for layers it is one row. Part of kernels.c. */
#ifndef BUR_CPU_NORM_H
#define BUR_CPU_NORM_H

#include "rows.h"

/* x is [samples, area, groups, width]; cell = sample * groups + group. */
typedef struct norm_sizes {
    int64_t cells, area, groups, width, c;
    float epsilon;
    bool centred; /* not RMS */
} norm_sizes;

static norm_sizes norm_of(const bur_call *call, const bur_desc *x)
{
    const bur_norm_attr *attr = &call->attr->norm;
    const bool by_group = call->op == BUR_OP_group_norm || call->op == BUR_OP_group_norm_grad;
    norm_sizes v = {.cells = count_rows(x), .area = 1, .groups = 1, .c = last_dim(x)};
    v.epsilon = attr->epsilon > 0 ? attr->epsilon : 1e-5f;
    v.centred = call->op != BUR_OP_rms_norm && call->op != BUR_OP_rms_norm_grad;
    if (by_group) {
        const int64_t samples = x->shape.dim[0];
        v.groups = attr->groups == 0 ? 1 : attr->groups;
        v.area = samples == 0 ? 0 : v.cells / samples;
        v.cells = samples * v.groups;
    }
    v.width = v.c / v.groups;
    return v;
}

/* Where a cell begins. */
INLINE int64_t cell_offset(const norm_sizes *v, int64_t cell)
{
    return cell / v->groups * v->area * v->c + cell % v->groups * v->width;
}

/* So many rows are summed in f32 before they are added to a sum in f64. */
enum { NORM_BLOCK = 32 };

/* Sum over a cell of (x - mean)^power, power 1 or 2. */
INLINE double cell_moment(const norm_sizes *v, const float *x, float mean, const int power)
{
    double total = 0;
    for (int64_t first = 0; first < v->area; first += NORM_BLOCK) {
        vec sum = {0};
        for (int64_t r = first; r < least(v->area, first + NORM_BLOCK); r++)
            for (int64_t j = 0; j < v->width; j += LANES) {
                const int64_t n = least(LANES, v->width - j);
                const vec d = fill_rest(load_first(x + r * v->c + j, n) - mean, n, 0);
                sum += power == 1 ? d : d * d;
            }
        total += (double)sum_lanes(sum);
    }
    return total;
}

/* Mean and 1 / sqrt(variance + epsilon) of a cell, in two passes over what lies in the cache. */
static void cell_stats(const norm_sizes *v, const float *x, float *mean, float *inverse)
{
    const double count = (double)(v->area * v->width);
    *mean = v->centred ? (float)(cell_moment(v, x, 0, 1) / count) : 0;
    const double variance = cell_moment(v, x, *mean, 2) / count;
    *inverse = (float)(1 / __builtin_sqrt(variance + (double)v->epsilon));
}

/* Inputs x, scale and, where there is a mean, shift; outputs y and the statistics. */
static void norm(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const norm_sizes v = norm_of(call, &call->inputs[0]);
    const float *scale = command->inputs[1], *shift = v.centred ? command->inputs[2] : NULL;
    float *stats = call->n_outputs > 1 ? command->outputs[1] : NULL;
    const range own = share(v.cells, 1, thread, threads);
    for (int64_t cell = own.begin; cell < own.end; cell++) {
        const int64_t at = cell_offset(&v, cell), channel = cell % v.groups * v.width;
        const float *x = (const float *)command->inputs[0] + at;
        float *y = (float *)command->outputs[0] + at, mean, inverse;
        cell_stats(&v, x, &mean, &inverse);
        for (int64_t r = 0; r < v.area; r++)
            for (int64_t j = 0; j < v.width; j += LANES) {
                const int64_t n = least(LANES, v.width - j);
                const vec d = load_first(x + r * v.c + j, n) - mean;
                const vec s = load_first(scale + channel + j, n);
                const vec b = shift == NULL ? splat(0) : load_first(shift + channel + j, n);
                store_first(y + r * v.c + j, d * inverse * s + b, n);
            }
        if (stats != NULL && v.centred)
            stats[cell] = mean;
        if (stats != NULL)
            stats[v.centred ? v.cells + cell : cell] = inverse;
    }
}

/* ---- gradient ---- */

/* Sums of dy x^ and of dy for every channel, f64, one pair of vectors a thread. */
static size_t norm_grad_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    const int64_t c = last_dim(&call->inputs[1]);
    return 2 * sizeof(double) * (size_t)(threads * round_up(c, CACHE_LINE_FLOATS));
}

INLINE void add_lanes(double *sums, vec v, int64_t n)
{
    float lane[LANES];
    memcpy(lane, &v, sizeof v);
    for (int64_t i = 0; i < n; i++)
        sums[i] += (double)lane[i];
}

/* The operands of a gradient. */
typedef struct norm_gradient {
    const float *dy, *x, *scale, *mean, *inverse; /* mean is NULL for RMS */
    float *dx;
} norm_gradient;

INLINE float cell_mean(const norm_gradient *g, int64_t cell)
{
    return g->mean == NULL ? 0 : g->mean[cell];
}

/* sums[0][j] += dy x^ and sums[1][j] += dy over `rows` rows that begin at cell `cell`; `step` cells
 * from row to row. */
static void add_columns(const norm_sizes *v, const norm_gradient *g, double *const sums[2],
                        int64_t cell, int64_t rows, int64_t step)
{
    const int64_t at = cell_offset(v, cell), channel = cell % v->groups * v->width;
    for (int64_t first = 0; first < rows; first += NORM_BLOCK)
        for (int64_t j = 0; j < v->width; j += LANES) {
            const int64_t n = least(LANES, v->width - j);
            vec scaled = {0}, plain = {0};
            for (int64_t r = first; r < least(rows, first + NORM_BLOCK); r++) {
                const int64_t i = at + r * v->c + j, k = cell + r * step;
                const vec d = load_first(g->dy + i, n), x = load_first(g->x + i, n);
                scaled += d * ((x - cell_mean(g, k)) * g->inverse[k]);
                plain += d;
            }
            add_lanes(sums[0] + channel + j, scaled, n);
            add_lanes(sums[1] + channel + j, plain, n);
        }
}

/* With h = dy scale and x^ = (x - mean) inverse, of m elements:
 * dx = inverse (h - sum h / m - x^ sum (h x^) / m); without a mean the middle term is missing. dx
 * may be dy. */
static void cell_gradient(const norm_sizes *v, const norm_gradient *g, int64_t cell)
{
    const int64_t at = cell_offset(v, cell), channel = cell % v->groups * v->width;
    const float mean = cell_mean(g, cell), inverse = g->inverse[cell];
    double sum = 0, product = 0;
    for (int64_t first = 0; first < v->area; first += NORM_BLOCK) {
        vec h = {0}, hx = {0};
        for (int64_t r = first; r < least(v->area, first + NORM_BLOCK); r++)
            for (int64_t j = 0; j < v->width; j += LANES) {
                const int64_t n = least(LANES, v->width - j), i = at + r * v->c + j;
                const vec d = load_first(g->dy + i, n) * load_first(g->scale + channel + j, n);
                h += d;
                hx += d * ((load_first(g->x + i, n) - mean) * inverse);
            }
        sum += (double)sum_lanes(h);
        product += (double)sum_lanes(hx);
    }
    const double count = (double)(v->area * v->width);
    const float middle = v->centred ? (float)(sum / count) : 0, slope = (float)(product / count);
    for (int64_t r = 0; r < v->area; r++)
        for (int64_t j = 0; j < v->width; j += LANES) {
            const int64_t n = least(LANES, v->width - j), i = at + r * v->c + j;
            const vec d = load_first(g->dy + i, n) * load_first(g->scale + channel + j, n);
            const vec normal = (load_first(g->x + i, n) - mean) * inverse;
            store_first(g->dx + i, (d - middle - normal * slope) * inverse, n);
        }
}

/* dscale and dshift: every thread adds up its columns of all threads' sums. */
static void add_up_columns(const bur_command *command, int64_t c, int64_t pitch, int thread,
                           int threads)
{
    const double *sums = command->scratch;
    const range own = share(c, CACHE_LINE_FLOATS, thread, threads);
    for (int32_t k = 0; k + 1 < command->kernel->call.n_outputs; k++)
        for (int64_t j = own.begin; j < own.end; j++) {
            double sum = 0;
            for (int64_t t = 0; t < threads; t++)
                sum += sums[(2 * t + k) * pitch + j];
            ((float *)command->outputs[1 + k])[j] = (float)sum;
        }
}

/* Inputs dy, x, scale, statistics; outputs dx, dscale and, where there is a mean, dshift. The sums
 * over rows come before dx, which may take dy's place. */
static void norm_grad(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const norm_sizes v = norm_of(call, &call->inputs[1]);
    const float *stats = command->inputs[3];
    const norm_gradient g = {.dy = command->inputs[0],
                             .x = command->inputs[1],
                             .scale = command->inputs[2],
                             .mean = v.centred ? stats : NULL,
                             .inverse = v.centred ? stats + v.cells : stats,
                             .dx = command->outputs[0]};
    const int64_t pitch = round_up(v.c, CACHE_LINE_FLOATS);
    double *first = (double *)command->scratch + 2 * thread * pitch;
    double *const sums[2] = {first, first + pitch};
    memset(first, 0, 2 * (size_t)pitch * sizeof *first);
    const bool layer = call->op != BUR_OP_group_norm_grad;
    const int64_t at_once = layer ? NORM_BLOCK : 1;
    const range own = share(v.cells, 1, thread, threads);
    for (int64_t cell = own.begin; cell < own.end; cell += at_once) {
        const int64_t end = least(own.end, cell + at_once);
        add_columns(&v, &g, sums, cell, layer ? end - cell : v.area, layer);
        for (int64_t k = cell; k < end; k++)
            cell_gradient(&v, &g, k);
    }
    team_wait(command, threads);
    add_up_columns(command, v.c, pitch, thread, threads);
}

#endif
