/* Convolution of NHWC images as an implicit matrix product, and its gradients.
 *
 * conv2d: one work-item makes ROWS pixels by VECTORS vectors of V channels of the target image, in
 * registers; the matrix of patches is never stored. All sizes are -D constants: source image SH x
 * SW x SC with SCG channels a group, target TH x TW x TC with TCG, PIXELS target pixels in the
 * batch, kernel KH x KW, stride SY SX, dilation DY DX, pad TOP LEFT, GROUPS. Weights [KH, KW, SCG,
 * TC]. With GATHER the target is the gradient of x and the source that of y: each target pixel
 * gathers what it contributed to, without atomics. */

#define TILE    (V * VECTORS)
#define TILES_G ((TCG + TILE - 1) / TILE) /* tiles of a group's channels */

/* Channels of a tile are complete unless TCG has a remainder. */
#if TCG % (V * VECTORS) == 0
#define LOAD(p, left)     load_all(p)
#define STORE(v, p, left) store_all(v, p)
#else
#define LOAD(p, left)     load_upto(p, left)
#define STORE(v, p, left) store_upto(v, p, left)
#endif

#ifdef CONV2D

/* Where tap `k` of target coordinate t lies in the source; -1 if outside. */
inline int source_of(int t, int k, int stride, int dilation, int before, int size)
{
#ifdef GATHER
    const int s = t + before - k * dilation;
    return s >= 0 && s % stride == 0 && s / stride < size ? s / stride : -1;
#else
    const int s = t * stride + k * dilation - before;
    return s >= 0 && s < size ? s : -1;
#endif
}

/* Column of the i-th pixel of a row. In a gather with stride only every SX-th column sees a tap, so
 * columns of one residue stand together: a tile then has all of its pixels or none in a tap. */
inline int column_of(int i)
{
#if defined(GATHER) && SX > 1
    const int each = TW / SX, longer = TW % SX; /* the first `longer` residues have one more */
    if (i < longer * (each + 1))
        return i % (each + 1) * SX + i / (each + 1);
    const int j = i - longer * (each + 1);
    return each == 0 ? i : j % each * SX + longer + j / each;
#else
    return i;
#endif
}

#define INNER(value)                                                                               \
    for (int c = 0; c < SCG; c++) {                                                                \
        vec wv[VECTORS];                                                                           \
        UNROLL for (int v = 0; v < VECTORS; v++)                                                          \
            wv[v] = LOAD(wp + c * TC + v * V, TCG - channel - v * V);                              \
        UNROLL for (int r = 0; r < ROWS; r++) {                                                           \
            const vec xv = (vec)(value);                                                           \
            UNROLL for (int v = 0; v < VECTORS; v++)                                                      \
                sum[r][v] = fma(xv, wv[v], sum[r][v]);                                             \
        }                                                                                          \
    }

kernel void conv2d(global const float *restrict x, ulong x_at, global const float *restrict w,
                   ulong w_at,
#ifdef BIAS
                   global const float *restrict bias, ulong bias_at,
#endif
                   global float *restrict y, ulong y_at, float alpha)
{
    const int id = get_global_id(0), tile = id % (GROUPS * TILES_G);
    const int first = id / (GROUPS * TILES_G) * ROWS;
    const int group = tile / TILES_G, channel = tile % TILES_G * TILE;
    if (first >= PIXELS)
        return;
    vec sum[ROWS][VECTORS];
    int target[ROWS], image[ROWS], ty[ROWS], tx[ROWS];
    UNROLL for (int r = 0; r < ROWS; r++) {
        const int pixel = min(first + r, PIXELS - 1); /* past the end: repeated, not written */
        const int n = pixel / (TH * TW);
        image[r] = n * (SH * SW * SC) + group * SCG;
        ty[r] = pixel / TW % TH;
        tx[r] = column_of(pixel % TW);
        target[r] = ((n * TH + ty[r]) * TW + tx[r]) * TC + group * TCG + channel;
        UNROLL for (int v = 0; v < VECTORS; v++)
            sum[r][v] = (vec)(0.0f);
    }
    for (int ky = 0; ky < KH; ky++) {
        for (int kx = 0; kx < KW; kx++) {
            int at[ROWS], inside[ROWS], count = 0;
            UNROLL for (int r = 0; r < ROWS; r++) {
                const int sy = source_of(ty[r], ky, SY, DY, TOP, SH);
                const int sx = source_of(tx[r], kx, SX, DX, LEFT, SW);
                inside[r] = sy >= 0 && sx >= 0;
                at[r] = inside[r] ? image[r] + (sy * SW + sx) * SC : image[r];
                count += inside[r];
            }
            if (count == 0)
                continue;
            global const float *wp = w + w_at + (ky * KW + kx) * SCG * TC + group * TCG + channel;
            global const float *xp = x + x_at;
            if (count == ROWS) {
                INNER(xp[at[r] + c])
            } else {
                INNER(inside[r] ? xp[at[r] + c] : 0.0f)
            }
        }
    }
    UNROLL for (int v = 0; v < VECTORS; v++) {
        const int left = TCG - channel - v * V;
        if (left <= 0)
            break;
#ifdef BIAS
        const vec add = LOAD(bias + bias_at + group * TCG + channel + v * V, left);
#else
        const vec add = (vec)(0.0f);
#endif
        UNROLL for (int r = 0; r < ROWS; r++)
            if (first + r < PIXELS)
                STORE(activate(sum[r][v] + add, ACT, alpha), y + y_at + target[r] + v * V, left);
    }
}

/* t[ky,kx,o,c] = w[ky,kx,c,o] within each group: the weights as the gather reads them. Here S is
 * y's side: SCG output channels and TCG input channels a group. */
kernel void transpose_weights(global const float *w, ulong w_at, global float *t, ulong t_at)
{
    const int id = get_global_id(0);
    if (id >= KH * KW * SCG * TC)
        return;
    const int c = id % TC, o = id / TC % SCG, tap = id / TC / SCG, group = c / TCG;
    t[t_at + id] = w[w_at + (tap * TCG + c % TCG) * SC + group * SCG + o];
}
#endif

#ifdef GRAD_W
/* dw[row,o] = sum over pixels of x[pixel of row's tap, row's channel] dy[pixel, o], a row being
 * (ky, kx, c): a matrix product over the pixels, whose LINES lines are cut into SPLITS
 * parts of SPLIT_LINES; each part writes its own sum, to be added in order. Source is x, target is dy.
 * UNIFORM: all rows of a tile are channels of one tap, so that they see the same pixels. */
#define ALL_ROWS (KH * KW * SCG)
#define TILES_R  ((ALL_ROWS + ROWS - 1) / ROWS)

/* One more pixel: row r of the tile has `value` of x. */
#define ADD_PIXEL(value)                                                                           \
    vec gv[VECTORS];                                                                               \
    UNROLL for (int v = 0; v < VECTORS; v++)                                                       \
        gv[v] = LOAD(gp + tx * TC + v * V, TCG - channel - v * V);                                 \
    UNROLL for (int r = 0; r < ROWS; r++) {                                                        \
        const vec xs = (vec)(value);                                                               \
        UNROLL for (int v = 0; v < VECTORS; v++)                                                   \
            sum[r][v] = fma(xs, gv[v], sum[r][v]);                                                 \
    }

kernel void conv2d_grad_w(global const float *restrict x, ulong x_at,
                          global const float *restrict dy, ulong dy_at, global float *restrict dw,
                          ulong dw_at)
{
    const int id = get_global_id(0), tile = id % (GROUPS * TILES_G);
    const int first = id / (GROUPS * TILES_G) % TILES_R * ROWS;
    const int split = id / (GROUPS * TILES_G) / TILES_R;
    const int group = tile / TILES_G, channel = tile % TILES_G * TILE;
    if (split >= SPLITS)
        return;
    vec sum[ROWS][VECTORS];
    int row_y[ROWS], row_x[ROWS], row_c[ROWS];
    UNROLL for (int r = 0; r < ROWS; r++) {
        const int row = min(first + r, ALL_ROWS - 1); /* past the end: repeated, not written */
        row_y[r] = row / SCG / KW * DY - TOP;
        row_x[r] = row / SCG % KW * DX - LEFT;
        row_c[r] = row % SCG + group * SCG;
        UNROLL for (int v = 0; v < VECTORS; v++)
            sum[r][v] = (vec)(0.0f);
    }
    const int from = split * SPLIT_LINES, to = min(from + SPLIT_LINES, LINES);
    for (int line = from; line < to; line++) {
        const int ty = line % TH, n = line / TH;
        global const float *gp = dy + dy_at + (ulong)line * (TW * TC) + group * TCG + channel;
#ifdef UNIFORM
        const int sy = ty * SY + row_y[0];
        if (sy < 0 || sy >= SH)
            continue;
        global const float *xp = x + x_at + (n * SH + sy) * (SW * SC) + row_c[0];
        const int begin = max((SX - 1 - row_x[0]) / SX, 0);
        const int end = min((SX - 1 + SW - row_x[0]) / SX, TW);
        for (int tx = begin; tx < end; tx++) {
            const int at = (tx * SX + row_x[0]) * SC;
            ADD_PIXEL(xp[at + r])
        }
#else
        global const float *xp = x + x_at + n * (SH * SW * SC);
        int line_at[ROWS], within[ROWS];
        UNROLL for (int r = 0; r < ROWS; r++) {
            const int sy = ty * SY + row_y[r];
            within[r] = sy >= 0 && sy < SH;
            line_at[r] = sy * (SW * SC) + row_c[r];
        }
        for (int tx = 0; tx < TW; tx++) {
            float xv[ROWS];
            UNROLL for (int r = 0; r < ROWS; r++) {
                const int sx = tx * SX + row_x[r];
                const int inside = within[r] && sx >= 0 && sx < SW;
                const float value = xp[inside ? line_at[r] + sx * SC : 0];
                xv[r] = inside ? value : 0.0f;
            }
            ADD_PIXEL(xv[r])
        }
#endif
    }
    UNROLL for (int v = 0; v < VECTORS; v++) {
        const int left = TCG - channel - v * V;
        if (left <= 0)
            break;
        UNROLL for (int r = 0; r < ROWS; r++)
            if (first + r < ALL_ROWS)
                STORE(sum[r][v],
                      dw + dw_at + (ulong)split * (ALL_ROWS * TC) + (first + r) * TC +
                          group * TCG + channel + v * V,
                      left);
    }
}
#endif
