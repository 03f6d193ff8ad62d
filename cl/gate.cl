/* The gradient of a gate, a factor s for each channel of each sample of x [samples, area, columns]; a
 * work-item has V channels of a chunk of a sample's rows. */

/* dx = dy s, which may be dy; partial[sample, chunk, c] = sum dy x. */
kernel void gate_chunks(global const float *dy, ulong dy_at, global const float *x, ulong x_at,
                        global const float *s, ulong s_at, global float *dx, ulong dx_at,
                        global float *partial, ulong partial_at, int samples, int area, int columns,
                        int chunk_rows, int chunks)
{
    const int items = columns / V, unit = get_global_id(0) / items;
    const int c = get_global_id(0) % items * V, sample = unit / chunks, chunk = unit % chunks;
    if (sample >= samples)
        return;
    const int begin = chunk * chunk_rows, end = min(begin + chunk_rows, area);
    const vec factor = load_all(s + s_at + (ulong)sample * columns + c);
    vec sum = (vec)(0.0f);
    for (int r = begin; r < end; r++) {
        const ulong i = ((ulong)sample * area + r) * columns + c;
        const vec d = load_all(dy + dy_at + i);
        sum += d * load_all(x + x_at + i);
        store_all(d * factor, dx + dx_at + i);
    }
    store_all(sum, partial + partial_at + (ulong)unit * columns + c);
}

/* ds: the chunks' sums added up in order. */
kernel void gate_sum(global const float *partial, ulong partial_at, global float *ds, ulong ds_at,
                     int samples, int columns, int chunks)
{
    const int id = get_global_id(0), sample = id / columns, c = id % columns;
    if (sample >= samples)
        return;
    float sum = 0.0f;
    for (int chunk = 0; chunk < chunks; chunk++)
        sum += partial[partial_at + ((ulong)sample * chunks + chunk) * columns + c];
    ds[ds_at + id] = sum;
}
