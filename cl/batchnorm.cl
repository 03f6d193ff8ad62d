/* Batch normalisation: x is [rows, columns], one mean and variance a column; a work-item has V
 * columns, which divide them. stats: means, then biased variances. */

#define PART 32 /* rows that are added up before they join a sum */

/* The chunk and the columns of this work-item, of which there are `items` chunks of rows. */
#define CHUNK_AND_COLUMN(items)                                                                    \
    const int chunk = get_global_id(0) / (columns / V), c = get_global_id(0) % (columns / V) * V;  \
    if (chunk >= items)                                                                            \
        return;                                                                                    \
    const int begin = chunk * chunk_rows, end = min(begin + chunk_rows, rows);

/* partial[chunk, 0, c] the mean, partial[chunk, 1, c] the sum of squared deviations. Deviations from
 * the chunk's first row are summed: cancellation is bounded by the chunk's length. */
kernel void batch_moments(global const float *x, ulong x_at, global float *partial,
                          ulong partial_at, int rows, int columns, int chunk_rows, int chunks)
{
    CHUNK_AND_COLUMN(chunks)
    global const float *in = x + x_at + c;
    const vec none = (vec)(0.0f);
    vec origin = none, sum = none, square = none;
    if (begin < end)
        origin = load_all(in + (ulong)begin * columns);
    for (int first = begin; first < end; first += PART) {
        vec a = none, b = none;
        for (int r = first; r < min(first + PART, end); r++) {
            const vec d = load_all(in + (ulong)r * columns) - origin;
            a += d;
            b += d * d;
        }
        sum += a;
        square += b;
    }
    const vec shift = sum / (float)max(end - begin, 1);
    global float *to = partial + partial_at + (ulong)chunk * (2 * columns) + c;
    store_all(origin + shift, to);
    store_all(square - sum * shift, to + columns);
}

/* The chunks' moments joined in order. Source: Chan, Golub and LeVeque 1983. */
kernel void batch_stats(global const float *partial, ulong partial_at, global float *stats,
                        ulong stats_at, int rows, int columns, int chunk_rows, int chunks)
{
    const int c = get_global_id(0);
    if (c >= columns)
        return;
    float mean = 0.0f, squares = 0.0f;
    for (int chunk = 0; chunk < chunks; chunk++) {
        const int count = chunk * chunk_rows, more = min(chunk_rows, rows - count);
        if (more <= 0)
            break;
        global const float *from = partial + partial_at + (ulong)chunk * (2 * columns) + c;
        const float delta = from[0] - mean, part = (float)more / (float)(count + more);
        mean += delta * part;
        squares += from[columns] + delta * delta * count * part;
    }
    stats[stats_at + c] = mean;
    stats[stats_at + columns + c] = squares / rows;
}

/* ---- activations of fused rows; silu's slope takes z, that of the others z or y ---- */

inline vec norm_activate(vec z, int activation)
{
    if (activation != ACT_SILU)
        return activate(z, activation, 0.0f);
    return fmax(z, -88.0f) / (1.0f + exp(-z)) + (z - z); /* NaN stays NaN */
}

inline vec norm_activate_grad(vec dy, vec z, int activation)
{
    if (activation != ACT_SILU)
        return activate_grad(dy, z, activation, 0.0f);
    const vec e = exp(-fabs(z)), s = (z > 0.0f ? (vec)(1.0f) : e) / (1.0f + e);
    return dy * (s + bounded(z, -88.0f, 88.0f) * e / ((1.0f + e) * (1.0f + e)));
}

/* y = act((x - mean) / sqrt(variance + epsilon) scale + shift [+ residual]) */
kernel void batch_apply(global const float *x, ulong x_at, global const float *scale,
                        ulong scale_at, global const float *shift, ulong shift_at,
                        global const float *mean, ulong mean_at, global const float *variance,
                        ulong variance_at, global const float *residual, ulong residual_at,
                        global float *y, ulong y_at, int rows, int columns, int chunk_rows,
                        int chunks, float epsilon, int activation, int has_residual)
{
    CHUNK_AND_COLUMN(chunks)
    const vec factor =
        load_all(scale + scale_at + c) / sqrt(load_all(variance + variance_at + c) + epsilon);
    const vec middle = load_all(mean + mean_at + c), base = load_all(shift + shift_at + c);
    for (int r = begin; r < end; r++) {
        const ulong i = (ulong)r * columns + c;
        vec z = (load_all(x + x_at + i) - middle) * factor + base;
        if (has_residual)
            z += load_all(residual + residual_at + i);
        store_all(norm_activate(z, activation), y + y_at + i);
    }
}

/* What a column's gradient is made of. */
typedef struct column {
    vec middle, inverse, factor, base;
} column;

#define COLUMN                                                                                     \
    column v;                                                                                      \
    v.middle = load_all(mean + mean_at + c);                                                       \
    v.inverse = 1.0f / sqrt(load_all(variance + variance_at + c) + epsilon);                       \
    v.factor = load_all(scale + scale_at + c) * v.inverse;                                         \
    v.base = load_all(shift + shift_at + c);

/* dz where y = act(z). */
inline vec slope_of(vec dy, vec x, const column *v, int activation)
{
    if (activation == ACT_LINEAR)
        return dy;
    return norm_activate_grad(dy, (x - v->middle) * v->factor + v->base, activation);
}

/* partial[chunk, 0, c] = sum dz (x - mean), partial[chunk, 1, c] = sum dz. */
kernel void batch_grad_chunks(global const float *dy, ulong dy_at, global const float *x,
                              ulong x_at, global const float *scale, ulong scale_at,
                              global const float *shift, ulong shift_at, global const float *mean,
                              ulong mean_at, global const float *variance, ulong variance_at,
                              global float *partial, ulong partial_at, int rows, int columns,
                              int chunk_rows, int chunks, float epsilon, int activation)
{
    CHUNK_AND_COLUMN(chunks)
    COLUMN
    const vec none = (vec)(0.0f);
    vec product = none, plain = none;
    for (int first = begin; first < end; first += PART) {
        vec a = none, b = none;
        for (int r = first; r < min(first + PART, end); r++) {
            const ulong i = (ulong)r * columns + c;
            const vec value = load_all(x + x_at + i);
            const vec d = slope_of(load_all(dy + dy_at + i), value, &v, activation);
            a += d * (value - v.middle);
            b += d;
        }
        product += a;
        plain += b;
    }
    global float *to = partial + partial_at + (ulong)chunk * (2 * columns) + c;
    store_all(product, to);
    store_all(plain, to + columns);
}

/* dscale and dshift: the chunks' sums added up in order. */
kernel void batch_grad_sum(global const float *partial, ulong partial_at,
                           global const float *variance, ulong variance_at, global float *dscale,
                           ulong dscale_at, global float *dshift, ulong dshift_at, int columns,
                           int chunks, float epsilon)
{
    const int c = get_global_id(0);
    if (c >= columns)
        return;
    float product = 0.0f, plain = 0.0f;
    for (int chunk = 0; chunk < chunks; chunk++) {
        global const float *from = partial + partial_at + (ulong)chunk * (2 * columns) + c;
        product += from[0];
        plain += from[columns];
    }
    dscale[dscale_at + c] = product / sqrt(variance[variance_at + c] + epsilon);
    dshift[dshift_at + c] = plain;
}

/* With x^ = (x - mean) / deviation, of m rows: dx = scale / deviation (dz - dshift / m - x^ dscale /
 * m). `share` is 1 / m, or 0 where the statistics are given. dx may be dy. */
kernel void batch_grad(global const float *dy, ulong dy_at, global const float *x, ulong x_at,
                       global const float *scale, ulong scale_at, global const float *shift,
                       ulong shift_at, global const float *mean, ulong mean_at,
                       global const float *variance, ulong variance_at,
                       global const float *dscale, ulong dscale_at, global const float *dshift,
                       ulong dshift_at, global float *dx, ulong dx_at, int rows, int columns,
                       int chunk_rows, int chunks, float epsilon, int activation, float share)
{
    CHUNK_AND_COLUMN(chunks)
    COLUMN
    const vec level = load_all(dshift + dshift_at + c) * share;
    const vec slope = load_all(dscale + dscale_at + c) * v.inverse * share;
    for (int r = begin; r < end; r++) {
        const ulong i = (ulong)r * columns + c;
        const vec value = load_all(x + x_at + i);
        const vec d = slope_of(load_all(dy + dy_at + i), value, &v, activation);
        store_all(v.factor * (d - level - (value - v.middle) * slope), dx + dx_at + i);
    }
}

/* running += momentum (batch's - running), in place; `correction` for the variance's bias. */
kernel void running_stats(global const float *mean, ulong mean_at, global const float *variance,
                          ulong variance_at, global const float *stats, ulong stats_at,
                          global float *new_mean, ulong new_mean_at, global float *new_variance,
                          ulong new_variance_at, int columns, float momentum, float correction)
{
    const int c = get_global_id(0);
    if (c >= columns)
        return;
    const float m = mean[mean_at + c], v = variance[variance_at + c];
    new_mean[new_mean_at + c] = m + momentum * (stats[stats_at + c] - m);
    new_variance[new_variance_at + c] =
        v + momentum * (stats[stats_at + columns + c] * correction - v);
}
