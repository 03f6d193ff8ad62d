/* Images to another size, and the way back; x is [n, y, x, c]. One work-item an element. Places are
 * worked out in whole numbers, so that every device chooses the same pixels. -D constant: BILINEAR
 * (0 or 1). */

/* The one or two pixels of the input that place o of the result is made of, along one axis, and the
 * weight of the second. */
inline float taps_of(int o, int in, int out, int *first, int *second)
{
#if BILINEAR
    const int place = max((2 * o + 1) * in - out, 0);
    *first = place / (2 * out);
    *second = min(*first + 1, in - 1);
    return (float)(place % (2 * out)) / (float)(2 * out);
#else
    *first = *second = (2 * o + 1) * in / (2 * out);
    return 0.0f;
#endif
}

/* Between a and b; just a without weight, so that nearest copies infinities. */
inline float between(float a, float b, float weight)
{
    return weight == 0.0f ? a : a + (b - a) * weight;
}

kernel void resize(global const float *x, ulong x_at, global float *y, ulong y_at, int count,
                   int ih, int iw, int oh, int ow, int c)
{
    const int i = get_global_id(0);
    if (i >= count)
        return;
    const int channel = i % c, ox = i / c % ow, oy = i / c / ow % oh;
    int top, bottom, left, right;
    const float v = taps_of(oy, ih, oh, &top, &bottom), h = taps_of(ox, iw, ow, &left, &right);
    global const float *image = x + x_at + (ulong)(i / c / ow / oh) * ih * iw * c + channel;
    const float a = image[(top * iw + left) * c], b = image[(top * iw + right) * c];
    const float d = image[(bottom * iw + left) * c], e = image[(bottom * iw + right) * c];
    y[y_at + i] = between(between(a, b, h), between(d, e, h), v);
}

/* What place o of the result takes of pixel i. */
inline float weight_of(int o, int i, int in, int out)
{
    int first, second;
    const float weight = taps_of(o, in, out, &first, &second);
    return (first == i ? 1.0f - weight : 0.0f) + (second == i ? weight : 0.0f);
}

/* The places of the result that may be made of pixel i: those from pixel i - 1 to pixel i + 1. */
#define FIRST_PLACE(i, IN, OUT) max(((i)-1) * (OUT) / (IN)-1, 0)
#define LAST_PLACE(i, IN, OUT)  min(((i) + 2) * (OUT) / (IN) + 2, OUT)

/* Every pixel gathers what the places made of it hand back. */
kernel void resize_grad(global const float *dy, ulong dy_at, global float *dx, ulong dx_at,
                        int count, int ih, int iw, int oh, int ow, int c)
{
    const int i = get_global_id(0);
    if (i >= count)
        return;
    const int channel = i % c, ix = i / c % iw, iy = i / c / iw % ih;
    global const float *image = dy + dy_at + (ulong)(i / c / iw / ih) * oh * ow * c + channel;
    float sum = 0.0f;
    for (int oy = FIRST_PLACE(iy, ih, oh); oy < LAST_PLACE(iy, ih, oh); oy++) {
        const float along = weight_of(oy, iy, ih, oh);
        for (int ox = FIRST_PLACE(ix, iw, ow); ox < LAST_PLACE(ix, iw, ow); ox++) {
            const float weight = along * weight_of(ox, ix, iw, ow);
            if (weight != 0.0f)
                sum += weight * image[(oy * ow + ox) * c];
        }
    }
    dx[dx_at + i] = sum;
}
