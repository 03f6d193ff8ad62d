/* Products of many matrices: one work-item a tile of ROWS rows by V columns of one of them, in
 * registers. -D constants: V, ROWS, TRANSPOSE_A, TRANSPOSE_B (0 or 1). Rows past the end repeat the
 * last row, and are not written. */

#if TRANSPOSE_A
#define A(row, i) a[(ulong)(i)*m + (row)]
#else
#define A(row, i) a[(ulong)(row)*k + (i)]
#endif

/* Row i of b, V columns from `column` on. */
inline vec load_b(global const float *b, int i, int column, int n, int k)
{
#if TRANSPOSE_B
    float t[V];
    UNROLL for (int j = 0; j < V; j++) t[j] =
        column + j < n ? b[(ulong)(column + j) * k + i] : 0.0f;
    return load_all(t);
#else
    return load_upto(b + (ulong)i * n + column, n - column);
#endif
}

kernel void batch_matmul(global const float *restrict all_a, ulong a_at,
                         global const float *restrict all_b, ulong b_at,
                         global float *restrict all_y, ulong y_at, int batches, int m, int n, int k,
                         constant walk *w)
{
    const int tiles_n = (n + V - 1) / V, tiles = (m + ROWS - 1) / ROWS * tiles_n;
    const int batch = get_global_id(0) / tiles, tile = get_global_id(0) % tiles;
    if (batch >= batches)
        return;
    const int row = tile / tiles_n * ROWS, column = tile % tiles_n * V;
    global const float *a = all_a + a_at + (ulong)walk_at(w, 1, batch) * m * k;
    global const float *b = all_b + b_at + (ulong)walk_at(w, 2, batch) * k * n;
    global float *y = all_y + y_at + (ulong)batch * m * n;
    vec sum[ROWS];
    int rows[ROWS];
    UNROLL for (int r = 0; r < ROWS; r++)
    {
        rows[r] = min(row + r, m - 1);
        sum[r] = (vec)(0.0f);
    }
    for (int i = 0; i < k; i++) {
        const vec bv = load_b(b, i, column, n, k);
        UNROLL for (int r = 0; r < ROWS; r++) sum[r] = fma((vec)(A(rows[r], i)), bv, sum[r]);
    }
    UNROLL for (int r = 0; r < ROWS; r++) if (row + r < m)
        store_upto(sum[r], y + (ulong)(row + r) * n + column, n - column);
}
