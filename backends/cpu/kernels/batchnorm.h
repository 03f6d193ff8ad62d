/* Batch normalisation: x is [rows, c], one mean and variance a channel. Part of kernels.c.
 *
 * Rows are read from first to last, a few at a time, beside vectors of one element a channel that
 * stay in the cache; each thread has its own. */
#ifndef BUR_CPU_BATCHNORM_H
#define BUR_CPU_BATCHNORM_H

#include "map.h"
#include "norm.h"

enum {
    TILE_ROWS = 4,    /* rows that are read together */
    BATCH_BLOCK = 64, /* rows that are summed in f32 before they join a sum in f64 */
};

/* One thread's view of a call; vectors of channels have `pitch` elements in scratch. */
typedef struct batch_view {
    int64_t rows, c, pitch;
    range own; /* rows of this thread */
    const float *x, *dy, *residual;
    float *y; /* or dx */
    const float *scale, *shift, *mean, *variance;
    float epsilon;
    double *sums;          /* two figures a channel, of all rows so far */
    float *first, *second; /* of the present block; then what dx loses: level and slope */
    float *factor;         /* scale / deviation; before that is known, a block's first row */
} batch_view;

static size_t batch_scratch_of(const bur_desc *x, int32_t threads)
{
    const size_t a_channel = 2 * sizeof(double) + 3 * sizeof(float);
    return a_channel * (size_t)(threads * round_up(last_dim(x), CACHE_LINE_FLOATS));
}

static size_t batch_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    return batch_scratch_of(&call->inputs[0], threads); /* x, or dy of its shape */
}

/* The sums of all threads lie before everything else. */
static batch_view batch_of(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const bur_desc *x = &call->inputs[0];
    batch_view b = {.rows = count_rows(x), .c = last_dim(x)};
    b.pitch = round_up(b.c, CACHE_LINE_FLOATS);
    b.own = share(b.rows, 1, thread, threads);
    b.epsilon = call->attr->norm.epsilon > 0 ? call->attr->norm.epsilon : 1e-5f;
    double *all = command->scratch;
    b.sums = all + 2 * thread * b.pitch;
    b.first = (float *)(all + 2 * threads * b.pitch) + 3 * thread * b.pitch;
    b.second = b.first + b.pitch;
    b.factor = b.second + b.pitch;
    b.y = command->outputs[0];
    return b;
}

/* What is done with n channels from j on of `count` rows; x[at] is the first of them. */
typedef void rows_function(const batch_view *b, int64_t at, int64_t j, int64_t n, int count);

INLINE void tile_rows(const batch_view *b, int64_t row, int count, rows_function *f)
{
    int64_t j = 0;
    for (; j + LANES <= b->c; j += LANES)
        f(b, row * b->c + j, j, LANES, count);
    if (j < b->c)
        f(b, row * b->c + j, j, b->c - j, count);
}

INLINE void each_tile(const batch_view *b, int64_t begin, int64_t end, rows_function *f)
{
    for (; begin + TILE_ROWS <= end; begin += TILE_ROWS)
        tile_rows(b, begin, TILE_ROWS, f);
    for (; begin < end; begin++)
        tile_rows(b, begin, 1, f);
}

/* ---- sums over rows ---- */

typedef float half_vec __attribute__((vector_size(LANES * 2)));
typedef float half_memory __attribute__((vector_size(LANES * 2), aligned(4), may_alias));
typedef double wide_vec __attribute__((vector_size(LANES * 4)));
typedef double wide_memory __attribute__((vector_size(LANES * 4), aligned(8), may_alias));

enum { HALF = LANES / 2 };

INLINE wide_vec load_wide(const float *p)
{
    const half_vec half = *(const half_memory *)p;
    return __builtin_convertvector(half, wide_vec);
}

/* The moments of a block join those of the `count` rows before: means in sums[0..c), sums of
 * squared deviations behind them. Source: Chan, Golub and LeVeque 1983. */
static void join_block(const batch_view *b, int64_t count, int64_t rows)
{
    const double part = (double)rows / (double)(count + rows), weight = (double)count * part;
    const double inverse = 1.0 / (double)rows;
    for (int64_t j = 0; j < b->pitch; j += HALF) {
        wide_memory *mean = (wide_memory *)(b->sums + j);
        wide_memory *squares = (wide_memory *)(b->sums + b->pitch + j);
        const wide_vec sum = load_wide(b->first + j), shift = sum * inverse;
        const wide_vec delta = load_wide(b->factor + j) + shift - *mean;
        *mean += delta * part;
        *squares += load_wide(b->second + j) - sum * shift + delta * delta * weight;
    }
}

static void add_block(const batch_view *b, int64_t count, int64_t rows)
{
    (void)count, (void)rows;
    for (int64_t j = 0; j < b->pitch; j += HALF) {
        *(wide_memory *)(b->sums + j) += load_wide(b->first + j);
        *(wide_memory *)(b->sums + b->pitch + j) += load_wide(b->second + j);
    }
}

/* Calls f on the thread's rows in blocks; between them both sums of a block go where `flush` says.
 */
INLINE void sum_blocks(const batch_view *b, rows_function *f,
                       void (*flush)(const batch_view *b, int64_t count, int64_t rows),
                       bool has_origin)
{
    memset(b->sums, 0, 2 * (size_t)b->pitch * sizeof *b->sums);
    for (int64_t r = b->own.begin; r < b->own.end; r += BATCH_BLOCK) {
        const int64_t end = least(b->own.end, r + BATCH_BLOCK);
        memset(b->first, 0, 2 * (size_t)b->pitch * sizeof *b->first);
        if (has_origin)
            memcpy(b->factor, b->x + r * b->c, (size_t)b->c * sizeof *b->factor);
        each_tile(b, r, end, f);
        flush(b, r - b->own.begin, end - r);
    }
}

INLINE void add_to_block(const batch_view *b, int64_t j, vec first, vec second)
{
    store(b->first + j, load(b->first + j) + first);
    store(b->second + j, load(b->second + j) + second);
}

/* Deviations from the block's first row, which bounds cancellation by the block's length. */
INLINE void moments_tile(const batch_view *b, int64_t at, int64_t j, int64_t n, int count)
{
    const vec origin = load(b->factor + j);
    vec sum = {0}, square = {0};
    UNROLL for (int k = 0; k < count; k++)
    {
        const vec d = load_part(b->x + at + k * b->c, n) - origin;
        sum += d;
        square += d * d;
    }
    add_to_block(b, j, sum, square);
}

/* stats[0][c] means, stats[1][c] biased variances: each thread its rows, then its channels of all
 * threads' moments. */
static void batch_stats(const bur_command *command, const batch_view *b, float *stats, int thread,
                        int threads)
{
    memset(b->factor, 0, (size_t)b->pitch * sizeof *b->factor);
    sum_blocks(b, moments_tile, join_block, true);
    team_wait(command, threads);
    const range channels = share(b->c, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t j = channels.begin; j < channels.end; j++) {
        double mean = 0, squares = 0;
        for (int64_t t = 0; t < threads; t++) {
            const range part = share(b->rows, 1, t, threads);
            const double *from = (double *)command->scratch + 2 * t * b->pitch + j;
            const double more = (double)(part.end - part.begin), delta = from[0] - mean;
            if (more == 0)
                continue;
            mean += delta * more / (double)part.end;
            squares +=
                from[b->pitch] + delta * delta * (double)part.begin * more / (double)part.end;
        }
        stats[j] = (float)mean;
        stats[b->c + j] = (float)(squares / (double)b->rows);
    }
    team_wait(command, threads);
}

/* ---- forward ---- */

/* 1 / sqrt(variance + epsilon) */
INLINE vec inverse_deviation(const batch_view *b, int64_t j, int64_t n)
{
    return 1.0f / square_root(fill_rest(load_first(b->variance + j, n), n, 1) + b->epsilon);
}

static void make_factors(const batch_view *b)
{
    for (int64_t j = 0; j < b->c; j += LANES) {
        const int64_t n = least(LANES, b->c - j);
        store(b->factor + j, load_first(b->scale + j, n) * inverse_deviation(b, j, n));
    }
}

/* The activations of fused rows; silu's slope takes z, that of the others z or y. */
INLINE vec norm_activate(vec z, int32_t activation)
{
    return activation == BUR_SILU ? times_logistic(z, z) : activate(z, activation, 0);
}

INLINE vec norm_activate_gradient(vec dy, vec z, int32_t activation)
{
    return activation == BUR_SILU ? dy * times_logistic_slope(z, z, splat(1))
                                  : activate_gradient(dy, z, activation, 0);
}

#define WITH_NORM_ACTIVATION(activation, work)                                                     \
    do {                                                                                           \
        switch (activation) {                                                                      \
            ACTIVATION_CASE(BUR_RELU, work);                                                       \
            ACTIVATION_CASE(BUR_RELU6, work);                                                      \
            ACTIVATION_CASE(BUR_SILU, work);                                                       \
        default:                                                                                   \
            work(BUR_LINEAR);                                                                      \
        }                                                                                          \
    } while (0)

INLINE vec normalised(const batch_view *b, int64_t i, int64_t j, int64_t n)
{
    return (load_part(b->x + i, n) - load_part(b->mean + j, n)) * load(b->factor + j) +
           load_part(b->shift + j, n);
}

/* y = act((x - mean) / sqrt(variance + epsilon) scale + shift [+ residual]) */
INLINE void apply_tile(const batch_view *b, int64_t at, int64_t j, int64_t n, int count,
                       int32_t activation, bool has_residual)
{
    UNROLL for (int k = 0; k < count; k++)
    {
        const int64_t i = at + k * b->c;
        vec z = normalised(b, i, j, n);
        if (has_residual)
            z += load_part(b->residual + i, n);
        store_part(b->y + i, norm_activate(z, activation), n);
    }
}

#define APPLY_TILES(kind)                                                                          \
    INLINE void apply_tile_##kind(const batch_view *b, int64_t at, int64_t j, int64_t n,           \
                                  int count)                                                       \
    {                                                                                              \
        apply_tile(b, at, j, n, count, kind, false);                                               \
    }                                                                                              \
    INLINE void apply_tile_residual_##kind(const batch_view *b, int64_t at, int64_t j, int64_t n,  \
                                           int count)                                              \
    {                                                                                              \
        apply_tile(b, at, j, n, count, kind, true);                                                \
    }
APPLY_TILES(BUR_LINEAR)
APPLY_TILES(BUR_RELU)
APPLY_TILES(BUR_RELU6)
APPLY_TILES(BUR_SILU)
#undef APPLY_TILES

static void batch_apply(const batch_view *b, int32_t activation)
{
    make_factors(b);
#define APPLY(kind)                                                                                \
    if (b->residual == NULL)                                                                       \
        each_tile(b, b->own.begin, b->own.end, apply_tile_##kind);                                 \
    else                                                                                           \
        each_tile(b, b->own.begin, b->own.end, apply_tile_residual_##kind)
    WITH_NORM_ACTIVATION(activation, APPLY);
#undef APPLY
}

/* Inputs x, scale, shift and perhaps the residual; outputs y and statistics. */
static void batch_norm(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    batch_view b = batch_of(command, thread, threads);
    float *stats = command->outputs[1];
    b.x = command->inputs[0];
    b.scale = command->inputs[1];
    b.shift = command->inputs[2];
    b.residual = call->n_inputs > 3 ? command->inputs[3] : NULL;
    b.mean = stats;
    b.variance = stats + b.c;
    batch_stats(command, &b, stats, thread, threads);
    batch_apply(&b, call->attr->norm.activation);
}

/* Inputs x, scale, shift, mean, variance and perhaps the residual. */
static void batch_norm_infer(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    batch_view b = batch_of(command, thread, threads);
    b.x = command->inputs[0];
    b.scale = command->inputs[1];
    b.shift = command->inputs[2];
    b.mean = command->inputs[3];
    b.variance = command->inputs[4];
    b.residual = call->n_inputs > 5 ? command->inputs[5] : NULL;
    batch_apply(&b, call->attr->norm.activation);
}

/* ---- gradient ---- */

/* Adds dz (x - mean) and dz. Where the slope is dear dz takes dx's place until dx is known. */
INLINE void grad_sums_tile(const batch_view *b, int64_t at, int64_t j, int64_t n, int count,
                           int32_t activation)
{
    vec product = {0}, plain = {0};
    UNROLL for (int k = 0; k < count; k++)
    {
        const int64_t i = at + k * b->c;
        vec d = load_part(b->dy + i, n);
        if (activation != BUR_LINEAR)
            d = norm_activate_gradient(d, normalised(b, i, j, n), activation);
        if (activation == BUR_SILU)
            store_part(b->y + i, d, n);
        product += d * (load_part(b->x + i, n) - load_part(b->mean + j, n));
        plain += d;
    }
    add_to_block(b, j, product, plain);
}

/* dx = factor (dz - level - (x - mean) slope). */
INLINE void grad_tile(const batch_view *b, int64_t at, int64_t j, int64_t n, int count,
                      int32_t activation)
{
    const vec factor = load(b->factor + j), level = load(b->first + j), slope = load(b->second + j);
    UNROLL for (int k = 0; k < count; k++)
    {
        const int64_t i = at + k * b->c;
        vec d = load_part((activation == BUR_SILU ? b->y : b->dy) + i, n);
        if (activation == BUR_RELU || activation == BUR_RELU6)
            d = norm_activate_gradient(d, normalised(b, i, j, n), activation);
        const vec e = load_part(b->x + i, n) - load_part(b->mean + j, n);
        store_part(b->y + i, factor * (d - level - e * slope), n);
    }
}

/* With given statistics dx = factor dy. */
INLINE void frozen_tile(const batch_view *b, int64_t at, int64_t j, int64_t n, int count)
{
    const vec factor = load(b->factor + j);
    grad_sums_tile(b, at, j, n, count, BUR_LINEAR);
    UNROLL for (int k = 0; k < count; k++)
        store_part(b->y + at + k * b->c, load_part(b->dy + at + k * b->c, n) * factor, n);
}

#define GRAD_TILES(kind)                                                                           \
    INLINE void grad_sums_tile_##kind(const batch_view *b, int64_t at, int64_t j, int64_t n,       \
                                      int count)                                                   \
    {                                                                                              \
        grad_sums_tile(b, at, j, n, count, kind);                                                  \
    }                                                                                              \
    INLINE void grad_tile_##kind(const batch_view *b, int64_t at, int64_t j, int64_t n, int count) \
    {                                                                                              \
        grad_tile(b, at, j, n, count, kind);                                                       \
    }
GRAD_TILES(BUR_LINEAR)
GRAD_TILES(BUR_RELU)
GRAD_TILES(BUR_RELU6)
GRAD_TILES(BUR_SILU)
#undef GRAD_TILES

/* Of all threads' sums: dscale = sum dz (x - mean) / deviation, dshift = sum dz. */
static void finish_gradients(const bur_command *command, const batch_view *b, int thread,
                             int threads)
{
    float *dscale = command->outputs[1];
    team_wait(command, threads);
    add_up_columns(command, b->c, b->pitch, thread, threads);
    const range channels = share(b->c, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t j = channels.begin; j < channels.end; j++)
        dscale[j] /= __builtin_sqrtf(b->variance[j] + b->epsilon);
    team_wait(command, threads);
}

/* With x^ = (x - mean) / deviation, of m rows: dx = scale / deviation (dz - dshift / m - x^ dscale
 * / m), where y = act(z). Inputs dy, x, scale, statistics and, with an activation, shift. dx may be
 * dy. */
static void batch_norm_grad(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const float *stats = command->inputs[3], *dscale = command->outputs[1];
    const float *dshift = command->outputs[2];
    batch_view b = batch_of(command, thread, threads);
    b.dy = command->inputs[0];
    b.x = command->inputs[1];
    b.scale = command->inputs[2];
    b.shift = call->n_inputs > 4 ? command->inputs[4] : NULL;
    b.mean = stats;
    b.variance = stats + b.c;
    make_factors(&b);
#define SUM(kind) sum_blocks(&b, grad_sums_tile_##kind, add_block, false)
    WITH_NORM_ACTIVATION(call->attr->norm.activation, SUM);
#undef SUM
    finish_gradients(command, &b, thread, threads);
    const float share_of_row = 1.0f / (float)b.rows;
    for (int64_t j = 0; j < b.c; j += LANES) {
        const int64_t n = least(LANES, b.c - j);
        store(b.first + j, load_first(dshift + j, n) * share_of_row);
        store(b.second + j, load_first(dscale + j, n) * inverse_deviation(&b, j, n) * share_of_row);
    }
#define GRADIENT(kind) each_tile(&b, b.own.begin, b.own.end, grad_tile_##kind)
    WITH_NORM_ACTIVATION(call->attr->norm.activation, GRADIENT);
#undef GRADIENT
}

/* Inputs dy, x, scale, mean, variance. */
static void batch_norm_infer_grad(const bur_command *command, int thread, int threads)
{
    batch_view b = batch_of(command, thread, threads);
    b.dy = command->inputs[0];
    b.x = command->inputs[1];
    b.scale = command->inputs[2];
    b.mean = command->inputs[3];
    b.variance = command->inputs[4];
    make_factors(&b);
    sum_blocks(&b, frozen_tile, add_block, false);
    finish_gradients(command, &b, thread, threads);
}

/* ---- running statistics ---- */

/* What a batch's biased variance is multiplied by before it joins the running one. */
INLINE float running_correction(const bur_norm_attr *attr)
{
    return attr->unbiased && attr->rows > 1 ? (float)attr->rows / (float)(attr->rows - 1) : 1.0f;
}

/* Inputs running mean and variance, statistics; outputs the new ones, in their place. */
static void running_stats(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const bur_norm_attr *attr = &call->attr->norm;
    const int64_t c = last_dim(&call->inputs[0]);
    const float momentum = attr->momentum > 0 ? attr->momentum : 0.1f;
    const range own = share(c, CACHE_LINE_FLOATS, thread, threads);
    for (int k = 0; k < 2; k++) {
        const float *old = command->inputs[k], *batch = (const float *)command->inputs[2] + k * c;
        const float factor = k == 0 ? 1.0f : running_correction(attr);
        float *new = command->outputs[k];
        for (int64_t j = own.begin; j < own.end; j++)
            new[j] = old[j] + momentum *(batch[j] * factor - old[j]);
    }
}

#endif
