/* Max pooling of NHWC images, V channels at once, EACH of them by one work-item. All sizes are -D
 * constants: N, IH, IW, C, OH, OW, KH, KW, SY, SX, TOP, LEFT, EACH, and V, which divides C. */

/* Every window lies inside the image. */
#define WHOLE (TOP == 0 && LEFT == 0 && (OH - 1) * SY + KH <= IH && (OW - 1) * SX + KW <= IW)

/* The first maximum wins; padding never does. */
kernel void max_pool2d(global const float *x, ulong x_at, global float *y, ulong y_at
#ifdef INDEX
                       ,
                       global uchar *index, ulong index_at
#endif
)
{
    const int first = get_global_id(0) * (EACH * V), end = min(first + EACH * V, N * OH * OW * C);
    for (int id = first; id < end; id += V) {
        const uint pixel = (uint)id / C;
        const int c = (uint)id % C, ox = pixel % OW, oy = pixel / OW % OH,
                  n = pixel / (OW * OH);
        global const float *image = x + x_at + (ulong)n * (IH * IW * C) + c;
        vec best = (vec)(-INFINITY);
        ivec at = (ivec)(-1);
        for (int ky = 0; ky < KH; ky++) {
            const int iy = oy * SY + ky - TOP;
            for (int kx = 0; kx < KW; kx++) {
                const int ix = ox * SX + kx - LEFT;
                if (!WHOLE && (iy < 0 || iy >= IH || ix < 0 || ix >= IW))
                    continue;
                const vec v = load_all(image + (iy * IW + ix) * C);
                const ivec better = v > best | at < 0;
                best = better ? v : best;
                at = better ? (ivec)(ky * KW + kx) : at;
            }
        }
        store_all(best, y + y_at + id);
#ifdef INDEX
        store_bytes(at, index + index_at + id);
#endif
    }
}

/* dx[n,iy,ix,c]: the sum of dy over the windows whose maximum was here (gather: no atomics). */
kernel void max_pool2d_grad(global const float *dy, ulong dy_at, global const uchar *index,
                            ulong index_at, global float *dx, ulong dx_at)
{
    const int first = get_global_id(0) * (EACH * V), end = min(first + EACH * V, N * IH * IW * C);
    for (int id = first; id < end; id += V) {
        const uint pixel = (uint)id / C;
        const int c = (uint)id % C, ix = pixel % IW, iy = pixel / IW % IH,
                  n = pixel / (IW * IH);
        const int image = n * OH * OW * C + c;
        const vec none = (vec)(0.0f);
        vec sum = none;
#if SY >= KH && SX >= KW
        /* windows do not overlap: at most one holds this pixel */
        const int oy = (iy + TOP) / SY, ky = (iy + TOP) % SY, ox = (ix + LEFT) / SX,
                  kx = (ix + LEFT) % SX;
        if (oy < OH && ox < OW && ky < KH && kx < KW) {
            const int o = image + (oy * OW + ox) * C;
            const ivec here = load_bytes(index + index_at + o) == (ivec)(ky * KW + kx);
            sum = here ? load_all(dy + dy_at + o) : none;
        }
#else
        for (int ky = 0; ky < KH; ky++) {
            const int ty = iy + TOP - ky;
            if (ty < 0 || ty % SY != 0 || ty / SY >= OH)
                continue;
            for (int kx = 0; kx < KW; kx++) {
                const int tx = ix + LEFT - kx;
                if (tx < 0 || tx % SX != 0 || tx / SX >= OW)
                    continue;
                const int o = image + (ty / SY * OW + tx / SX) * C;
                const ivec here = load_bytes(index + index_at + o) == (ivec)(ky * KW + kx);
                sum += here ? load_all(dy + dy_at + o) : none;
            }
        }
#endif
        store_all(sum, dx + dx_at + id);
    }
}
