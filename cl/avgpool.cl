/* Mean pooling of NHWC images, and mean and max over whole images, which are pools whose window is
 * the image; one work-item V channels. All sizes are -D constants: N, IH, IW, C, OH, OW, KH, KW,
 * SY, SX, TOP, LEFT, ALL (divide by the whole window's size), and V, which divides C. */

#define IMAGE_ITEM(H, W)                                                                           \
    const int id = get_global_id(0) * V;                                                           \
    if (id >= N * H * W * C)                                                                       \
        return;                                                                                    \
    const int c = id % C, px = id / C % W, py = id / C / W % H, n = id / C / W / H;

/* 1 / (what the window at oy, ox is divided by). */
inline float window_weight(int oy, int ox)
{
    const int y0 = oy * SY - TOP, x0 = ox * SX - LEFT;
    const int h = min(y0 + KH, IH) - max(y0, 0), w = min(x0 + KW, IW) - max(x0, 0);
    return 1.0f / (ALL ? KH * KW : h * w);
}

/* Sums line by line, then the lines: less rounding in a large window. */
kernel void avg_pool2d(global const float *x, ulong x_at, global float *y, ulong y_at)
{
    IMAGE_ITEM(OH, OW)
    const int y0 = py * SY - TOP, x0 = px * SX - LEFT;
    global const float *image = x + x_at + (ulong)n * (IH * IW * C) + c;
    vec sum = (vec)(0.0f);
    for (int iy = max(y0, 0); iy < min(y0 + KH, IH); iy++) {
        vec line = (vec)(0.0f);
        for (int ix = max(x0, 0); ix < min(x0 + KW, IW); ix++)
            line += load_all(image + (iy * IW + ix) * C);
        sum += line;
    }
    store_all(sum * window_weight(py, px), y + y_at + id);
}

/* dx[n,iy,ix,c]: the sum of dy over the windows that hold the pixel (gather: no atomics). */
kernel void avg_pool2d_grad(global const float *dy, ulong dy_at, global float *dx, ulong dx_at)
{
    IMAGE_ITEM(IH, IW)
    const int from_y = max(py + TOP - KH + SY, 0) / SY, from_x = max(px + LEFT - KW + SX, 0) / SX;
    const int to_y = min((py + TOP) / SY, OH - 1), to_x = min((px + LEFT) / SX, OW - 1);
    global const float *image = dy + dy_at + (ulong)n * (OH * OW * C) + c;
    vec sum = (vec)(0.0f);
    for (int oy = from_y; oy <= to_y; oy++)
        for (int ox = from_x; ox <= to_x; ox++)
            sum += load_all(image + (oy * OW + ox) * C) * window_weight(oy, ox);
    store_all(sum, dx + dx_at + id);
}

/* y[n,c] and the place of the first maximum; a NaN is one. */
kernel void global_max_pool2d(global const float *x, ulong x_at, global float *y, ulong y_at
#ifdef INDEX
                              ,
                              global int *index, ulong index_at
#endif
)
{
    IMAGE_ITEM(1, 1)
    global const float *image = x + x_at + (ulong)n * (IH * IW * C) + c;
    vec best = (vec)(-INFINITY);
    ivec at = (ivec)(0);
    for (int i = 0; i < IH * IW; i++) {
        const vec v = load_all(image + i * C);
        const ivec better = (v > best) | (v != v);
        best = better ? v : best;
        at = better ? (ivec)(i) : at;
    }
    store_all(best, y + y_at + id);
#ifdef INDEX
    store_all(at, index + index_at + id);
#endif
}

kernel void global_max_pool2d_grad(global const float *dy, ulong dy_at, global const int *index,
                                   ulong index_at, global float *dx, ulong dx_at)
{
    IMAGE_ITEM(IH, IW)
    const ivec here = load_all(index + index_at + n * C + c) == (ivec)(py * IW + px);
    store_all(here ? load_all(dy + dy_at + n * C + c) : (vec)(0.0f), dx + dx_at + id);
}
