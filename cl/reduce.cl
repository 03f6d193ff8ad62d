/* Sums over rows in two steps without barriers or atomics: every work-item sums one column of a
 * chunk of rows, then one work-item a column sums the chunks, always in the same order. */

/* partial[chunk,c] = sum of dz[r,c] over the chunk's rows, where dz = dy act'(y) is also written if
 * ACT is defined. dz may be dy's memory: each element is read once, before it is written. */
kernel void bias_grad_chunks(global const float *dy, ulong dy_at,
#ifdef ACT
                             global const float *y, ulong y_at, global float *dz, ulong dz_at,
#endif
                             global float *partial, ulong partial_at, int rows, int columns,
                             int chunk_rows, int chunks, float alpha)
{
    const int id = get_global_id(0), chunk = id / columns, c = id % columns;
    if (chunk >= chunks)
        return;
    const int first = chunk * chunk_rows, last = min(first + chunk_rows, rows);
    float sum = 0.0f;
    for (int r = first; r < last; r++) {
        const ulong i = (ulong)r * columns + c;
        float g = dy[dy_at + i];
#ifdef ACT
        g = activate_grad(g, y[y_at + i], ACT, alpha);
        dz[dz_at + i] = g;
#endif
        sum += g;
    }
    partial[partial_at + id] = sum;
}

/* y[c] = sum over chunks of partial[chunk,c]. */
kernel void sum_chunks(global const float *partial, ulong partial_at, global float *y, ulong y_at,
                       int columns, int chunks)
{
    const int c = get_global_id(0);
    if (c >= columns)
        return;
    float sum = 0.0f;
    for (int chunk = 0; chunk < chunks; chunk++)
        sum += partial[partial_at + (ulong)chunk * columns + c];
    y[y_at + c] = sum;
}
