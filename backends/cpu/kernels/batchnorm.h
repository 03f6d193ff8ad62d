/* Batch normalisation: x is [rows, c], one mean and variance a channel. Part of kernels.c. */
#ifndef BUR_CPU_BATCHNORM_H
#define BUR_CPU_BATCHNORM_H

#include "norm.h"

INLINE float norm_epsilon(const bur_call *call)
{
    return call->attr->norm.epsilon > 0 ? call->attr->norm.epsilon : 1e-5f;
}

/* For each thread, mean and sum of squared deviations of every channel, f64. */
static size_t batch_norm_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    const int64_t c = last_dim(&call->inputs[0]);
    return 2 * sizeof(double) * (size_t)(threads * round_up(c, CACHE_LINE_FLOATS));
}

/* Mean and sum of squared deviations of a set of `count` values, of which `more` are joined by
 * another set. Source: Chan, Golub and LeVeque 1983. */
INLINE void join_moments(double *mean, double *squares, int64_t count, double more_mean,
                         double more_squares, int64_t more)
{
    const double delta = more_mean - *mean, part = (double)more / (double)(count + more);
    *mean += delta * part;
    *squares += more_squares + delta * delta * (double)count * part;
}

/* The moments of `rows` rows of n channels join those of the `count` rows before. Their deviations
 * from the first row are summed, which bounds cancellation by the block's length. */
INLINE void join_block(double *mean, double *squares, int64_t count, const float *x, int64_t c,
                       int64_t rows, int64_t n)
{
    const vec origin = load_first(x, n);
    vec sum = {0}, square = {0};
    float s[LANES], q[LANES], o[LANES];
    for (int64_t r = 1; r < rows; r++) {
        const vec d = load_first(x + r * c, n) - origin;
        sum += d;
        square += d * d;
    }
    memcpy(s, &sum, sizeof s);
    memcpy(q, &square, sizeof q);
    memcpy(o, &origin, sizeof o);
    for (int64_t i = 0; i < n; i++) {
        const double shift = (double)s[i] / (double)rows;
        join_moments(&mean[i], &squares[i], count, (double)o[i] + shift,
                     (double)q[i] - (double)s[i] * shift, rows);
    }
}

/* stats[0][c] means, stats[1][c] biased variances: each thread its rows, then its channels of all
 * threads' moments. */
static void batch_stats(const bur_command *command, const float *x, float *stats, int64_t rows,
                        int64_t c, int thread, int threads)
{
    const int64_t pitch = round_up(c, CACHE_LINE_FLOATS);
    double *all = command->scratch, *mean = all + 2 * thread * pitch, *squares = mean + pitch;
    const range own = share(rows, 1, thread, threads);
    memset(mean, 0, 2 * (size_t)pitch * sizeof *mean);
    for (int64_t r = own.begin; r < own.end; r += NORM_BLOCK)
        for (int64_t j = 0; j < c; j += LANES)
            join_block(mean + j, squares + j, r - own.begin, x + r * c + j, c,
                       least(NORM_BLOCK, own.end - r), least(LANES, c - j));
    team_wait(command, threads);
    const range channels = share(c, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t j = channels.begin; j < channels.end; j++) {
        double m = 0, q = 0;
        for (int64_t t = 0; t < threads; t++) {
            const range part = share(rows, 1, t, threads);
            const double *from = all + 2 * t * pitch + j;
            if (part.end > part.begin)
                join_moments(&m, &q, part.begin, from[0], from[pitch], part.end - part.begin);
        }
        stats[j] = (float)m;
        stats[c + j] = (float)(q / (double)rows);
    }
    team_wait(command, threads);
}

INLINE vec inverse_deviation(const float *variance, float epsilon, int64_t n)
{
    return 1.0f / square_root(fill_rest(load_first(variance, n), n, 1) + epsilon);
}

/* y = (x - mean) / sqrt(variance + epsilon) scale + shift; operands are x, scale, shift. */
static void batch_apply(const bur_command *command, const float *mean, const float *variance,
                        int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const float *x = command->inputs[0], *scale = command->inputs[1], *shift = command->inputs[2];
    float *y = command->outputs[0];
    const float epsilon = norm_epsilon(call);
    const int64_t c = last_dim(&call->inputs[0]);
    const range own = share(count_rows(&call->inputs[0]), 1, thread, threads);
    for (int64_t first = own.begin; first < own.end; first += NORM_BLOCK)
        for (int64_t j = 0; j < c; j += LANES) {
            const int64_t n = least(LANES, c - j), end = least(own.end, first + NORM_BLOCK);
            const vec factor =
                load_first(scale + j, n) * inverse_deviation(variance + j, epsilon, n);
            const vec middle = load_first(mean + j, n), base = load_first(shift + j, n);
            for (int64_t i = first * c + j; i < end * c; i += c)
                store_first(y + i, (load_first(x + i, n) - middle) * factor + base, n);
        }
}

static void batch_norm(const bur_command *command, int thread, int threads)
{
    const bur_desc *desc = &command->kernel->call.inputs[0];
    const int64_t c = last_dim(desc);
    float *stats = command->outputs[1];
    batch_stats(command, command->inputs[0], stats, count_rows(desc), c, thread, threads);
    batch_apply(command, stats, stats + c, thread, threads);
}

static void batch_norm_infer(const bur_command *command, int thread, int threads)
{
    batch_apply(command, command->inputs[3], command->inputs[4], thread, threads);
}

/* dshift = sum dy, dscale = sum dy (x - mean) / deviation, over the rows of all threads. */
static void batch_sums(const bur_command *command, int64_t rows, int64_t c, int thread, int threads)
{
    const float *dy = command->inputs[0], *x = command->inputs[1], *mean = command->inputs[3];
    float *const dscale = command->outputs[1];
    const int64_t pitch = round_up(c, CACHE_LINE_FLOATS);
    double *sums = (double *)command->scratch + 2 * thread * pitch;
    const range own = share(rows, 1, thread, threads);
    memset(sums, 0, 2 * (size_t)pitch * sizeof *sums);
    for (int64_t first = own.begin; first < own.end; first += NORM_BLOCK)
        for (int64_t j = 0; j < c; j += LANES) {
            const int64_t n = least(LANES, c - j), end = least(own.end, first + NORM_BLOCK);
            const vec middle = load_first(mean + j, n);
            vec product = {0}, plain = {0};
            for (int64_t i = first * c + j; i < end * c; i += c) {
                const vec d = load_first(dy + i, n);
                product += d * (load_first(x + i, n) - middle);
                plain += d;
            }
            add_lanes(sums + j, product, n);
            add_lanes(sums + pitch + j, plain, n);
        }
    team_wait(command, threads);
    add_up_columns(command, c, pitch, thread, threads);
    const float epsilon = norm_epsilon(&command->kernel->call);
    const range channels = share(c, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t j = channels.begin; j < channels.end; j++)
        dscale[j] /= __builtin_sqrtf(mean[c + j] + epsilon);
    team_wait(command, threads);
}

/* With x^ = (x - mean) / deviation, of m rows: dx = scale / deviation (dy - dshift / m - x^ dscale
 * / m). dx may be dy. */
static void batch_norm_grad(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const int64_t rows = count_rows(&call->inputs[1]), c = last_dim(&call->inputs[1]);
    batch_sums(command, rows, c, thread, threads);
    const float *dy = command->inputs[0], *x = command->inputs[1], *scale = command->inputs[2];
    const float *mean = command->inputs[3], *dscale = command->outputs[1];
    const float *dshift = command->outputs[2];
    float *dx = command->outputs[0];
    const float epsilon = norm_epsilon(call), share_of_row = 1.0f / (float)rows;
    const range own = share(rows, 1, thread, threads);
    for (int64_t first = own.begin; first < own.end; first += NORM_BLOCK)
        for (int64_t j = 0; j < c; j += LANES) {
            const int64_t n = least(LANES, c - j), end = least(own.end, first + NORM_BLOCK);
            const vec inverse = inverse_deviation(mean + c + j, epsilon, n);
            const vec factor = load_first(scale + j, n) * inverse;
            const vec middle = load_first(mean + j, n);
            const vec level = load_first(dshift + j, n) * share_of_row;
            const vec slope = load_first(dscale + j, n) * inverse * share_of_row;
            for (int64_t i = first * c + j; i < end * c; i += c) {
                const vec d = load_first(dy + i, n), e = load_first(x + i, n) - middle;
                store_first(dx + i, factor * (d - level - e * slope), n);
            }
        }
}

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
