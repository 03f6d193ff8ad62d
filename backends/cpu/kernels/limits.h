/* What the processor can do at most: multiply-adds in registers, and x += s y. Part of kernels.c.
 */
#ifndef BUR_CPU_LIMITS_H
#define BUR_CPU_LIMITS_H

#include "gemm.h"

/* `steps` multiply-adds in each of as many registers as the micro-kernel holds sums in; gives their
 * sum. One factor is shared, as there. */
static float multiply_adds(int64_t steps, float factor)
{
    enum { SUMS = MR * NV };
    vec sum[SUMS];
    const vec x = splat(factor), y = splat(1 - factor);
    UNROLL for (int i = 0; i < SUMS; i++) sum[i] = splat((float)i);
    for (int64_t s = 0; s < steps; s++)
        UNROLL for (int i = 0; i < SUMS; i++) sum[i] = sum[i] * x + y;
    vec all = {0};
    UNROLL for (int i = 0; i < SUMS; i++) all += sum[i];
    return sum_lanes(all);
}

/* x[i] += s y[i] for whole vectors of count floats. */
static void scale_and_add(float *x, const float *y, int64_t count, float s)
{
    for (int64_t i = 0; i + 4 * LANES <= count; i += 4 * LANES)
        UNROLL for (int64_t j = 0; j < 4 * LANES; j += LANES)
            store(x + i + j, load(x + i + j) + s * load(y + i + j));
}

#endif
