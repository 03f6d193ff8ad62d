/* Matrix products too small for CLBlast: y = act(a b + bias), one work-item a tile of ROWS rows by
 * VECTORS vectors of V columns, in registers.
 *
 * -D constants: V, ROWS, VECTORS, TRANSPOSE_A, TRANSPOSE_B (0 or 1), ACT; BIAS if there is one.
 * Rows past the end repeat the last row, and are not written. */

#if TRANSPOSE_A
#define A(row, i) a[a_at + (ulong)(i)*m + (row)]
#else
#define A(row, i) a[a_at + (ulong)(row)*k + (i)]
#endif

/* A row of b from column `from`; a transposed b is gathered. */
inline vec load_b(global const float *b, int i, int from, int left, int n, int k)
{
#if TRANSPOSE_B
    float t[V];
    for (int j = 0; j < V; j++)
        t[j] = j < left ? b[(ulong)(from + j) * k + i] : 0.0f;
    return load_all(t);
#else
    global const float *p = b + (ulong)i * n + from;
    return left >= V ? load_all(p) : load_some(p, left);
#endif
}

kernel void matmul(global const float *restrict a, ulong a_at, global const float *restrict b,
                   ulong b_at,
#ifdef BIAS
                   global const float *restrict bias, ulong bias_at,
#endif
                   global float *restrict y, ulong y_at, int m, int n, int k, float alpha)
{
    const int tiles_n = (n + V * VECTORS - 1) / (V * VECTORS);
    const int id = get_global_id(0), row = id / tiles_n * ROWS, column = id % tiles_n * V * VECTORS;
    if (row >= m)
        return;
    vec sum[ROWS][VECTORS];
    int rows[ROWS];
    for (int r = 0; r < ROWS; r++) {
        rows[r] = min(row + r, m - 1);
        for (int v = 0; v < VECTORS; v++)
            sum[r][v] = (vec)(0.0f);
    }
    for (int i = 0; i < k; i++) {
        vec bv[VECTORS];
        for (int v = 0; v < VECTORS; v++)
            bv[v] = load_b(b + b_at, i, column + v * V, n - column - v * V, n, k);
        for (int r = 0; r < ROWS; r++) {
            const vec av = (vec)(A(rows[r], i));
            for (int v = 0; v < VECTORS; v++)
                sum[r][v] = fma(av, bv[v], sum[r][v]);
        }
    }
    for (int v = 0; v < VECTORS; v++) {
        const int at = column + v * V, left = n - at;
        if (left <= 0)
            break;
#ifdef BIAS
        const vec add =
            left >= V ? load_all(bias + bias_at + at) : load_some(bias + bias_at + at, left);
#else
        const vec add = (vec)(0.0f);
#endif
        for (int r = 0; r < ROWS && row + r < m; r++) {
            const vec value = activate_vec(sum[r][v] + add, ACT, alpha);
            global float *p = y + y_at + (ulong)(row + r) * n + at;
            if (left >= V)
                store_all(value, p);
            else
                store_some(value, p, left);
        }
    }
}
