/* Matrix products y = act(a b + bias), one work-item a tile of ROWS rows by TILE columns, VECTORS
 * vectors of V, in registers: small ones on every device, all of them on a CPU.
 *
 * -D constants: V, ROWS, VECTORS, TRANSPOSE_A, TRANSPOSE_B (0 or 1), ACT; BIAS if there is one;
 * PACKED if b comes from pack_b; WHOLE if TILE divides n; PANELS if neighbours shall share columns
 * of b, not rows of a. Rows past the end repeat the last row, and are not written. */

#define TILE (V * VECTORS)

#ifdef WHOLE
#define LOAD(p, left)     load_all(p)
#define STORE(v, p, left) store_all(v, p)
#else
#define LOAD(p, left)     load_upto(p, left)
#define STORE(v, p, left) store_upto(v, p, left)
#endif

#if TRANSPOSE_A
#define A(row, i) a[a_at + (ulong)(i)*m + (row)]
#else
#define A(row, i) a[a_at + (ulong)(row)*k + (i)]
#endif

/* Row i of b, V columns from `column` on. */
inline vec load_b(global const float *b, int i, int column, int n, int k)
{
#ifdef PACKED
    return load_all(b + (ulong)(column / TILE) * k * TILE + i * TILE + column % TILE);
#elif TRANSPOSE_B
    float t[V];
    UNROLL for (int j = 0; j < V; j++)
        t[j] = column + j < n ? b[(ulong)(column + j) * k + i] : 0.0f;
    return load_all(t);
#else
    return LOAD(b + (ulong)i * n + column, n - column);
#endif
}

kernel void matmul(global const float *restrict a, ulong a_at, global const float *restrict b,
                   ulong b_at,
#ifdef BIAS
                   global const float *restrict bias, ulong bias_at,
#endif
                   global float *restrict y, ulong y_at, int m, int n, int k, float alpha)
{
    const int id = get_global_id(0);
#ifdef PANELS
    const int tiles_m = (m + ROWS - 1) / ROWS;
    const int row = id % tiles_m * ROWS, column = id / tiles_m * TILE;
    if (column >= n)
        return;
#else
    const int tiles_n = (n + TILE - 1) / TILE;
    const int row = id / tiles_n * ROWS, column = id % tiles_n * TILE;
    if (row >= m)
        return;
#endif
    vec sum[ROWS][VECTORS];
    int rows[ROWS];
    UNROLL for (int r = 0; r < ROWS; r++) {
        rows[r] = min(row + r, m - 1);
        UNROLL for (int v = 0; v < VECTORS; v++)
            sum[r][v] = (vec)(0.0f);
    }
    for (int i = 0; i < k; i++) {
        vec bv[VECTORS];
        UNROLL for (int v = 0; v < VECTORS; v++)
            bv[v] = load_b(b + b_at, i, column + v * V, n, k);
        UNROLL for (int r = 0; r < ROWS; r++) {
            const vec av = (vec)(A(rows[r], i));
            UNROLL for (int v = 0; v < VECTORS; v++)
                sum[r][v] = fma(av, bv[v], sum[r][v]);
        }
    }
    UNROLL for (int v = 0; v < VECTORS; v++) {
        const int at = column + v * V, left = n - at;
        if (left <= 0)
            break;
#ifdef BIAS
        const vec add = LOAD(bias + bias_at + at, left);
#else
        const vec add = (vec)(0.0f);
#endif
        UNROLL for (int r = 0; r < ROWS; r++)
            if (row + r < m)
                STORE(activate(sum[r][v] + add, ACT, alpha),
                      y + y_at + (ulong)(row + r) * n + at, left);
    }
}

/* t[tile, i, j] = b[i, TILE tile + j], 0 past the last column: what a tile reads is contiguous.
 * A work-item packs PACK_ROWS rows of one tile. */
#ifdef PACKED
#define PACK_ROWS 16
kernel void pack_b(global const float *restrict b, ulong b_at, global float *restrict t, ulong t_at,
                   int n, int k)
{
    const int parts = (k + PACK_ROWS - 1) / PACK_ROWS;
    const int id = get_global_id(0), tile = id / parts, first = id % parts * PACK_ROWS;
    const int last = min(first + PACK_ROWS, k);
    global float *out = t + t_at + (ulong)tile * k * TILE;
#if TRANSPOSE_B
    for (int j = 0; j < TILE; j++) {
        const int column = tile * TILE + j;
        for (int i = first; i < last; i++)
            out[i * TILE + j] = column < n ? b[b_at + (ulong)column * k + i] : 0.0f;
    }
#else
    for (int i = first; i < last; i++)
        UNROLL for (int v = 0; v < VECTORS; v++) {
            const int column = tile * TILE + v * V;
            store_all(LOAD(b + b_at + (ulong)i * n + column, n - column),
                      out + i * TILE + v * V);
        }
#endif
}
#endif
