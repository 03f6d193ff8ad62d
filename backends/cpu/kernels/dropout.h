/* Dropout; the mask is a function of key and counter alone (burthen/op.h). Part of kernels.c. */
#ifndef BUR_CPU_DROPOUT_H
#define BUR_CPU_DROPOUT_H

#include "team.h"
#include "vector.h"

typedef uint64_t wide_uvec __attribute__((vector_size(LANES * 4)));

/* The 64-bit products of the even lanes (the low halves of 64-bit lanes). */
INLINE wide_uvec multiply_even(wide_uvec a, uint32_t b)
{
#if defined(__AVX512F__)
    return (wide_uvec)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined(__AVX2__)
    return (wide_uvec)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif defined(__SSE2__)
    return (wide_uvec)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#else
    return (a & 0xffffffffu) * (uint64_t)b;
#endif
}

INLINE void multiply_wide(uvec *high, uvec *low, uvec a, uint32_t b)
{
    const wide_uvec even = multiply_even((wide_uvec)a, b);
    const wide_uvec odd = multiply_even((wide_uvec)a >> 32, b);
    *high = (uvec)(even >> 32 | (odd & 0xffffffff00000000u));
    *low = (uvec)((even & 0xffffffffu) | odd << 32);
}

/* bur_philox of LANES counters at once. */
INLINE void philox(uvec counter[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        uvec high0, low0, high1, low1;
        multiply_wide(&high0, &low0, counter[0], 0xd2511f53u);
        multiply_wide(&high1, &low1, counter[2], 0xcd9e8d57u);
        const uvec old1 = counter[1], old3 = counter[3];
        counter[0] = high1 ^ old1 ^ key0;
        counter[1] = low1;
        counter[2] = high0 ^ old3 ^ key1;
        counter[3] = low0;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
}

/* Elements of a sample that are drawn together. */
enum { DRAWN = 4 * LANES };

/* Uniform numbers of elements first .. first + DRAWN of a sample; first is a multiple of 4. */
INLINE void draw(float uniform[DRAWN], int64_t first, uint32_t sample, const bur_scalars *scalars,
                 int32_t node)
{
    uint32_t index[LANES];
    for (int i = 0; i < LANES; i++)
        index[i] = (uint32_t)(first / 4 + i);
    const uvec zero = {0};
    uvec counter[4] = {zero, zero + (scalars->first_sample + sample), zero + scalars->step[0],
                       zero + scalars->step[1]};
    memcpy(&counter[0], index, sizeof index);
    philox(counter, scalars->seed[0], scalars->seed[1] + (uint32_t)node);
    float number[4][LANES];
    for (int w = 0; w < 4; w++) {
        const vec value = __builtin_convertvector((ivec)(counter[w] >> 8), vec) * 0x1p-24f;
        memcpy(number[w], &value, sizeof value);
    }
    for (int i = 0; i < LANES; i++)
        for (int w = 0; w < 4; w++)
            uniform[4 * i + w] = number[w][i];
}

/* Whole samples, by the number of their first element. */
static void drop_samples(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const bur_dropout_attr *attr = &call->attr->dropout;
    const int64_t samples = call->inputs[0].shape.dim[0];
    const int64_t count = samples == 0 ? 0 : bur_desc_count(&call->inputs[0]) / samples;
    const float scale = 1.0f / (1.0f - attr->rate);
    const range own = share(count, CACHE_LINE_FLOATS, thread, threads);
    for (int64_t sample = 0; sample < samples; sample++) {
        const float *x = (const float *)command->inputs[0] + sample * count;
        float *y = (float *)command->outputs[0] + sample * count;
        float uniform[DRAWN];
        draw(uniform, 0, (uint32_t)sample, command->inputs[1], attr->node);
        if (uniform[0] < attr->rate) {
            memset(y + own.begin, 0, (size_t)(own.end - own.begin) * sizeof *y);
            continue;
        }
        for (int64_t i = own.begin; i < own.end; i += LANES) {
            const int64_t n = least(LANES, own.end - i);
            store_first(y + i, load_first(x + i, n) * scale, n);
        }
    }
}

static void drop_elements(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const bur_dropout_attr *attr = &call->attr->dropout;
    const bur_scalars *scalars = command->inputs[1];
    const int64_t samples = call->inputs[0].shape.dim[0];
    const int64_t count = samples == 0 ? 0 : bur_desc_count(&call->inputs[0]) / samples;
    const int64_t draws = (count + DRAWN - 1) / DRAWN;
    const float scale = 1.0f / (1.0f - attr->rate);
    const range own = share(samples * draws, 1, thread, threads);
    for (int64_t unit = own.begin; unit < own.end; unit++) {
        const int64_t sample = unit / draws, first = unit % draws * DRAWN;
        const float *x = (const float *)command->inputs[0] + sample * count;
        float *y = (float *)command->outputs[0] + sample * count;
        float uniform[DRAWN];
        draw(uniform, first, (uint32_t)sample, scalars, attr->node);
        for (int64_t i = first; i < least(count, first + DRAWN); i += LANES) {
            const int64_t n = least(LANES, count - i);
            const vec value = load_first(x + i, n) * scale;
            const vec drawn = load(uniform + (i - first));
            store_first(y + i, where_greater(splat(attr->rate), drawn, splat(0), value), n);
        }
    }
}

static void dropout(const bur_command *command, int thread, int threads)
{
    if (command->kernel->call.attr->dropout.per_sample)
        drop_samples(command, thread, threads);
    else
        drop_elements(command, thread, threads);
}

#endif
