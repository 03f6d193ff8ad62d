/* Sums over rows in two steps without barriers or atomics: every work-item sums V columns of a chunk
 * of rows, then a work-item for each V columns sums the chunks, always in the same order. V divides
 * the columns. */

/* partial[chunk,c] = sum of dz[r,c] over the chunk's rows, where dz = dy act'(y) is also written if
 * ACT is defined. dz may be dy's memory: each element is read once, before it is written. */
kernel void bias_grad_chunks(global const float *dy, ulong dy_at,
#ifdef ACT
                             global const float *y, ulong y_at, global float *dz, ulong dz_at,
#endif
                             global float *partial, ulong partial_at, int rows, int columns,
                             int chunk_rows, int chunks, float alpha)
{
    const int id = get_global_id(0) * V, chunk = id / columns, c = id % columns;
    if (chunk >= chunks)
        return;
    const int first = chunk * chunk_rows, last = min(first + chunk_rows, rows);
    vec sum = (vec)(0.0f);
    for (int r = first; r < last; r++) {
        const ulong i = (ulong)r * columns + c;
        vec g = load_all(dy + dy_at + i);
#ifdef ACT
        g = activate_grad(g, load_all(y + y_at + i), ACT, alpha);
        store_all(g, dz + dz_at + i);
#endif
        sum += g;
    }
    store_all(sum, partial + partial_at + id);
}

/* The sum over chunks of partial[chunk,c]. */
inline vec sum_of_chunks(global const float *partial, int columns, int chunks, int c)
{
    vec sum = (vec)(0.0f);
    for (int chunk = 0; chunk < chunks; chunk++)
        sum += load_all(partial + (ulong)chunk * columns + c);
    return sum;
}

/* y[c] = sum over chunks of partial[chunk,c]. */
kernel void sum_chunks(global const float *partial, ulong partial_at, global float *y, ulong y_at,
                       int columns, int chunks)
{
    const int c = get_global_id(0) * V;
    if (c < columns)
        store_all(sum_of_chunks(partial + partial_at, columns, chunks, c), y + y_at + c);
}

/* The same and x[c], which may be y's memory; without it in the first micro-batch. */
kernel void add_chunks(global const float *partial, ulong partial_at, global const float *x,
                       ulong x_at, global const scalars *step, ulong step_at, global float *y,
                       ulong y_at, int columns, int chunks)
{
    const int c = get_global_id(0) * V;
    global const scalars *s = (global const scalars *)((global const uint *)step + step_at);
    if (c >= columns)
        return;
    vec sum = sum_of_chunks(partial + partial_at, columns, chunks, c);
    if (s->first_sample != 0)
        sum += load_all(x + x_at + c);
    store_all(sum, y + y_at + c);
}
