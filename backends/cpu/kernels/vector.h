/* One register of f32 of the instruction set this file is compiled for, as a GNU vector, and what C
 * has no operator for. Part of kernels.c. */
#ifndef BUR_CPU_VECTOR_H
#define BUR_CPU_VECTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

#if defined(__SSE2__)
#include <immintrin.h>
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));
typedef uint32_t uvec __attribute__((vector_size(LANES * 4)));
typedef float vec_memory __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef float vec4 __attribute__((vector_size(16)));
typedef float vec4_memory __attribute__((vector_size(16), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

INLINE vec load(const float *p)
{
    return *(const vec_memory *)p;
}

INLINE void store(float *p, vec v)
{
    *(vec_memory *)p = v;
}

/* Past the caches, p a multiple of the vector's size: a line that several caches hold is dropped
 * from them without waiting until each has answered. finish_stores() stands before anyone else
 * reads it. */
INLINE void store_past_caches(float *p, vec v)
{
#if defined(__AVX512F__)
    _mm512_stream_ps(p, v);
#elif defined(__AVX2__)
    _mm256_stream_ps(p, v);
#elif defined(__SSE2__)
    _mm_stream_ps(p, v);
#else
    store(p, v);
#endif
}

INLINE void finish_stores(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

INLINE vec splat(float x)
{
    return x - (vec){0};
}

INLINE int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

INLINE int64_t round_up(int64_t count, int64_t unit)
{
    return (count + unit - 1) / unit * unit;
}

/* a > b ? x : y in every lane; y where a or b is no number. */
INLINE vec where_greater(vec a, vec b, vec x, vec y)
{
#if defined(__AVX512F__)
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), y, x);
#elif defined(__AVX2__)
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
#else
    const ivec mask = a > b;
    return (vec)(((ivec)x & mask) | ((ivec)y & ~mask));
#endif
}

/* The greater or lesser of both; b where one is no number, so that a NaN in b stays. */
INLINE vec greater(vec a, vec b)
{
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
    return _mm_max_ps(a, b);
#else
    return where_greater(a, b, a, b);
#endif
}

INLINE vec lesser(vec a, vec b)
{
#if defined(__AVX512F__)
    return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
    return _mm256_min_ps(a, b);
#elif defined(__SSE2__)
    return _mm_min_ps(a, b);
#else
    return where_greater(b, a, a, b);
#endif
}

/* x where the mask is set, else y. */
INLINE vec choose(ivec mask, vec x, vec y)
{
    return (vec)(((ivec)x & mask) | ((ivec)y & ~mask));
}

INLINE vec square_root(vec v)
{
#if defined(__AVX512F__)
    return _mm512_sqrt_ps(v);
#elif defined(__AVX2__)
    return _mm256_sqrt_ps(v);
#elif defined(__SSE2__)
    return _mm_sqrt_ps(v);
#else
    for (int i = 0; i < LANES; i++)
        v[i] = __builtin_sqrtf(v[i]);
    return v;
#endif
}

#if defined(__AVX2__) && !defined(__AVX512F__)
INLINE __m256i first_lanes(int64_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}
#endif

/* The first n lanes from memory, the others 0; 0 <= n <= LANES. */
INLINE vec load_first(const float *p, int64_t n)
{
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(__AVX2__)
    return _mm256_maskload_ps(p, first_lanes(n));
#else
    if (n == LANES)
        return load(p);
    const vec v = {n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
    return v;
#endif
}

INLINE void store_first(float *p, vec v, int64_t n)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#elif defined(__AVX2__)
    _mm256_maskstore_ps(p, first_lanes(n), v);
#else
    if (n == LANES) {
        store(p, v);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        p[i] = v[i];
#endif
}

/* Full vectors without a mask where n is known to be LANES. */
INLINE vec load_part(const float *p, int64_t n)
{
    return n == LANES ? load(p) : load_first(p, n);
}

INLINE void store_part(float *p, vec v, int64_t n)
{
    if (n == LANES)
        store(p, v);
    else
        store_first(p, v, n);
}

/* v in the first n lanes, x in the others. */
INLINE vec fill_rest(vec v, int64_t n, float x)
{
#if defined(__AVX512F__)
    return _mm512_mask_blend_ps((__mmask16)((1u << n) - 1), splat(x), v);
#elif defined(__AVX2__)
    return _mm256_blendv_ps(splat(x), v, (__m256)first_lanes(n));
#else
    if (n == LANES)
        return v;
    return (vec){n > 0 ? v[0] : x, n > 1 ? v[1] : x, n > 2 ? v[2] : x, x};
#endif
}

/* In a fixed order: halves are added to halves. */
INLINE float sum_lanes(vec v)
{
    float lane[LANES];
    memcpy(lane, &v, sizeof v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

INLINE float greatest_lane(vec v)
{
    float most = v[0];
    for (int i = 1; i < LANES; i++)
        most = most > v[i] ? most : v[i];
    return most;
}

#endif
