/* Layer, RMS and group normalisation. A cell is what one mean and deviation is of: AREA rows of
 * WIDTH channels, one row for layers; GROUP work-items share it. x is [samples, AREA, GROUPS,
 * WIDTH]. Constants: V, which divides WIDTH, GROUP, AREA, GROUPS, WIDTH, CENTRED (0 for RMS). */

#define C       (GROUPS * WIDTH)
#define VECTORS (AREA * (WIDTH / V)) /* of a cell */
#define PART    32                   /* terms that are added up before they join a sum */

inline ulong cell_offset(int cell)
{
    return (ulong)(cell / GROUPS) * (AREA * C) + cell % GROUPS * WIDTH;
}

/* Vector k of a cell: its row and its channel within the cell. */
#define ROW_OF(k)     ((k) / (WIDTH / V))
#define CHANNEL_OF(k) ((k) % (WIDTH / V) * V)
#define PLACE_OF(k)   (ROW_OF(k) * C + CHANNEL_OF(k))

/* Runs `add` for this work-item's vectors k and, after every PART of them, `join`. */
#define FOR_CELL(add, join)                                                                        \
    for (int first = lane; first < VECTORS; first += GROUP * PART) {                               \
        const int end = min(first + GROUP * PART, VECTORS);                                        \
        for (int k = first; k < end; k += GROUP) {                                                 \
            add;                                                                                   \
        }                                                                                          \
        join;                                                                                      \
    }

/* y and, if STATS is defined, the means and the inverse deviations. */
kernel void norm(global const float *x, ulong x_at, global const float *scale, ulong scale_at,
#if CENTRED
                 global const float *shift, ulong shift_at,
#endif
                 global float *y, ulong y_at,
#ifdef STATS
                 global float *stats, ulong stats_at,
#endif
                 int cells, float epsilon)
{
    LOCAL_MEMORY(memory)
    const int cell = get_global_id(0) / GROUP, lane = get_global_id(0) % GROUP;
    if (cell >= cells)
        return;
    global const float *in = x + x_at + cell_offset(cell);
    global float *out = y + y_at + cell_offset(cell);
    const int channel = cell % GROUPS * WIDTH;
    const vec none = (vec)(0.0f);
    vec part = none;
    float mean = 0.0f, variance = 0.0f;
#if CENTRED
    FOR_CELL(part += load_all(in + PLACE_OF(k)), mean += sum_vec(part); part = none)
    mean = group_sum(mean, memory) / (AREA * WIDTH);
#endif
    FOR_CELL(const vec d = load_all(in + PLACE_OF(k)) - mean; part += d * d,
             variance += sum_vec(part);
             part = none)
    variance = group_sum(variance, memory) / (AREA * WIDTH);
    const float inverse = 1.0f / sqrt(variance + epsilon);
    for (int k = lane; k < VECTORS; k += GROUP) {
        const int c = channel + CHANNEL_OF(k);
        vec v = (load_all(in + PLACE_OF(k)) - mean) * inverse * load_all(scale + scale_at + c);
#if CENTRED
        v += load_all(shift + shift_at + c);
#endif
        store_all(v, out + PLACE_OF(k));
    }
#ifdef STATS
    if (lane == 0) {
        if (CENTRED)
            stats[stats_at + cell] = mean;
        stats[stats_at + cell + CENTRED * cells] = inverse;
    }
#endif
}

/* With h = dy scale and x^ = (x - mean) inverse, of m elements: dx = inverse (h - sum h / m - x^ sum
 * (h x^) / m); without a mean the middle term is missing. dx may be dy. */
kernel void norm_grad(global const float *dy, ulong dy_at, global const float *x, ulong x_at,
                      global const float *scale, ulong scale_at, global const float *stats,
                      ulong stats_at, global float *dx, ulong dx_at, int cells)
{
    LOCAL_MEMORY(memory)
    const int cell = get_global_id(0) / GROUP, lane = get_global_id(0) % GROUP;
    if (cell >= cells)
        return;
    global const float *d = dy + dy_at + cell_offset(cell), *in = x + x_at + cell_offset(cell);
    global const float *factor = scale + scale_at + cell % GROUPS * WIDTH;
    global float *out = dx + dx_at + cell_offset(cell);
    const float mean = CENTRED ? stats[stats_at + cell] : 0.0f;
    const float inverse = stats[stats_at + cell + CENTRED * cells];
    const vec none = (vec)(0.0f);
    vec plain = none, product = none;
    float middle = 0.0f, slope = 0.0f;
    FOR_CELL(const vec h = load_all(d + PLACE_OF(k)) * load_all(factor + CHANNEL_OF(k));
             plain += h;
             product += h * ((load_all(in + PLACE_OF(k)) - mean) * inverse),
             middle += sum_vec(plain);
             slope += sum_vec(product); plain = none; product = none)
    middle = CENTRED * group_sum(middle, memory) / (AREA * WIDTH);
    slope = group_sum(slope, memory) / (AREA * WIDTH);
    for (int k = lane; k < VECTORS; k += GROUP) {
        const vec h = load_all(d + PLACE_OF(k)) * load_all(factor + CHANNEL_OF(k));
        const vec normal = (load_all(in + PLACE_OF(k)) - mean) * inverse;
        store_all((h - middle - normal * slope) * inverse, out + PLACE_OF(k));
    }
}

/* Of each chunk of rows: partial[chunk, 0, c] = sum dy x^, partial[chunk, 1, c] = sum dy. */
kernel void norm_grad_chunks(global const float *dy, ulong dy_at, global const float *x, ulong x_at,
                             global const float *stats, ulong stats_at, global float *partial,
                             ulong partial_at, int cells, int rows, int chunk_rows, int chunks)
{
    const int chunk = get_global_id(0) / (C / V), c = get_global_id(0) % (C / V) * V;
    if (chunk >= chunks)
        return;
    const int end = min((chunk + 1) * chunk_rows, rows);
    const vec none = (vec)(0.0f);
    vec product = none, plain = none;
    for (int first = chunk * chunk_rows; first < end; first += PART) {
        vec a = none, b = none;
        for (int r = first; r < min(first + PART, end); r++) {
            const int cell = r / AREA * GROUPS + c / WIDTH;
            const float mean = CENTRED ? stats[stats_at + cell] : 0.0f;
            const float inverse = stats[stats_at + cell + CENTRED * cells];
            const ulong i = (ulong)r * C + c;
            const vec g = load_all(dy + dy_at + i);
            a += g * ((load_all(x + x_at + i) - mean) * inverse);
            b += g;
        }
        product += a;
        plain += b;
    }
    global float *to = partial + partial_at + (ulong)chunk * (2 * C) + c;
    store_all(product, to);
    store_all(plain, to + C);
}

/* dscale and, if there is a mean, dshift: the chunks' sums added up in order. */
kernel void norm_grad_sum(global const float *partial, ulong partial_at, global float *dscale,
                          ulong dscale_at,
#if CENTRED
                          global float *dshift, ulong dshift_at,
#endif
                          int chunks)
{
    const int c = get_global_id(0);
    if (c >= C)
        return;
    float product = 0.0f, plain = 0.0f;
    for (int chunk = 0; chunk < chunks; chunk++) {
        global const float *from = partial + partial_at + (ulong)chunk * (2 * C) + c;
        product += from[0];
        plain += from[C];
    }
    dscale[dscale_at + c] = product;
#if CENTRED
    dshift[dshift_at + c] = plain;
#endif
}
