/* What a device can do at most: multiply-adds in registers, x += s y from memory, empty launches.
 *
 * -D constants: V floats in a vector, CHAINS independent chains of multiply-adds. */

kernel void limit_arithmetic(global float *x, float factor, float addend, int repeats)
{
    vec chain[CHAINS];
#pragma unroll
    for (int c = 0; c < CHAINS; c++)
        chain[c] = (vec)((float)c);
    for (int r = 0; r < repeats; r++) {
#pragma unroll
        for (int c = 0; c < CHAINS; c++)
            chain[c] = fma(chain[c], (vec)(factor), (vec)(addend));
    }
    vec sum = chain[0];
#pragma unroll
    for (int c = 1; c < CHAINS; c++)
        sum += chain[c];
    store_all(sum, x + get_global_id(0) * V);
}

/* x += s y over `blocks` blocks of eight vectors: with `stride` 1 a work-item has the `share` that
 * follow on those of the ones before it, else every stride-th block from its own. */
kernel void limit_bandwidth(global float *restrict x, global const float *restrict y, float s,
                            int blocks, int share, int stride, int repeats)
{
    const int first = get_global_id(0) * share;
    const int last = stride == 1 ? min(first + share, blocks) : blocks;
    for (int r = 0; r < repeats; r++) {
        for (int i = first; i < last; i += stride) {
            global float *p = x + i * (8 * V);
            global const float *q = y + i * (8 * V);
#define ADD(v) store_all(fma((vec)(s), load_all(q + v * V), load_all(p + v * V)), p + v * V)
            ADD(0), ADD(1), ADD(2), ADD(3), ADD(4), ADD(5), ADD(6), ADD(7);
        }
    }
}

kernel void limit_launch(global float *x, int repeats)
{
}
