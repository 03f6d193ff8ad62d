/* The gradient of gates, a factor for each channel of each sample (squeeze and excite). Part of
 * kernels.c. */
#ifndef BUR_CPU_GATE_H
#define BUR_CPU_GATE_H

#include "batchnorm.h"

/* For each thread the sums of every sample, and those of a block. */
static size_t gate_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    const bur_desc *x = &call->inputs[0];
    const int64_t pitch = round_up(last_dim(x), CACHE_LINE_FLOATS);
    return sizeof(float) * (size_t)(threads * pitch * (x->shape.dim[0] + 1));
}

INLINE void gate_rows(const batch_view *b, int64_t at, int64_t j, int64_t n, int count)
{
    const vec factor = load_part(b->scale + j, n);
    vec sum = {0};
    UNROLL for (int k = 0; k < count; k++)
    {
        const int64_t i = at + k * b->c;
        const vec d = load_part(b->dy + i, n);
        sum += d * load_part(b->x + i, n);
        store_part(b->y + i, d * factor, n);
    }
    store(b->first + j, load(b->first + j) + sum);
}

/* Inputs dy, x, s; outputs dx = dy s, which may be dy, and ds = sum of dy x over a sample's rows.
 */
static void gate_grad(const bur_command *command, int thread, int threads)
{
    const bur_desc *x = &command->kernel->call.inputs[1];
    const int64_t samples = x->shape.dim[0];
    batch_view b = {.rows = count_rows(x), .c = last_dim(x)};
    b.pitch = round_up(b.c, CACHE_LINE_FLOATS);
    b.own = share(b.rows, 1, thread, threads);
    b.dy = command->inputs[0];
    b.x = command->inputs[1];
    b.y = command->outputs[0];
    float *all = command->scratch, *sums = all + thread * (samples + 1) * b.pitch;
    b.first = sums + samples * b.pitch;
    memset(sums, 0, (size_t)(samples * b.pitch) * sizeof *sums);
    const int64_t area = samples == 0 ? 0 : b.rows / samples;
    for (int64_t r = b.own.begin; r < b.own.end;) {
        const int64_t sample = r / area;
        const int64_t end = least(b.own.end, least(r + BATCH_BLOCK, (sample + 1) * area));
        b.scale = (const float *)command->inputs[2] + sample * b.c;
        memset(b.first, 0, (size_t)b.pitch * sizeof *b.first);
        each_tile(&b, r, end, gate_rows);
        for (int64_t j = 0; j < b.pitch; j += LANES)
            store(sums + sample * b.pitch + j,
                  load(sums + sample * b.pitch + j) + load(b.first + j));
        r = end;
    }
    team_wait(command, threads);
    float *ds = command->outputs[1];
    const range own = share(samples * b.c, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t i = own.begin; i < own.end; i++) {
        const int64_t at = i / b.c * b.pitch + i % b.c;
        float sum = 0;
        for (int t = 0; t < threads; t++)
            sum += all[t * (samples + 1) * b.pitch + at];
        ds[i] = sum;
    }
}

#endif
