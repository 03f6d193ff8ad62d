/* Streams of random numbers on Philox, for core/data.
 *
 * The key is the seed; the counter is (block, index, tag): what is drawn for one index (a sample,
 * an epoch) depends on nothing that was drawn for another. */
#ifndef BUR_DATA_STREAM_H
#define BUR_DATA_STREAM_H

#include <burthen/base.h>

#include <math.h>

/* One tag a use, so that no two uses share numbers. The test part of a drawn set takes tag + 1. */
enum {
    BUR__STREAM_SHUFFLE = 0,
    BUR__STREAM_DIGITS = 2,
    BUR__STREAM_XOR = 4,
    BUR__STREAM_SPIRAL = 6,
    BUR__STREAM_LINEAR = 8,
    BUR__STREAM_RANDOM = 10,
    BUR__STREAM_ADDING = 12,
    BUR__STREAM_TOKENS = 14,
};

typedef struct bur__stream {
    uint32_t key[2], counter[4], word[4];
    uint32_t used; /* words of word[] that were given out */
} bur__stream;

static inline bur__stream bur__stream_make(uint64_t seed, uint32_t tag, uint64_t index)
{
    return (bur__stream){.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                         .counter = {0, (uint32_t)index, (uint32_t)(index >> 32), tag},
                         .used = 4};
}

static inline uint32_t bur__stream_word(bur__stream *stream)
{
    if (stream->used == 4) {
        bur_philox(stream->word, stream->counter, stream->key);
        stream->counter[0]++;
        stream->used = 0;
    }
    return stream->word[stream->used++];
}

/* Uniform in [0, 1), and in [low, high). */
static inline float bur__stream_uniform(bur__stream *stream)
{
    return bur_uniform(bur__stream_word(stream));
}

static inline float bur__stream_between(bur__stream *stream, float low, float high)
{
    return low + (high - low) * bur__stream_uniform(stream);
}

/* Uniform in 0..n-1 without bias, n >= 1.
 * Source: Lemire, "Fast random integer generation in an interval", TOMACS 2019. */
static inline uint32_t bur__stream_below(bur__stream *stream, uint32_t n)
{
    uint64_t product = (uint64_t)bur__stream_word(stream) * n;
    if ((uint32_t)product < n) {
        const uint32_t threshold = (uint32_t)-n % n;
        while ((uint32_t)product < threshold)
            product = (uint64_t)bur__stream_word(stream) * n;
    }
    return (uint32_t)(product >> 32);
}

/* Standard normal, by Box and Muller. */
static inline float bur__stream_normal(bur__stream *stream)
{
    const float u = 1.0f - bur__stream_uniform(stream); /* in (0, 1]: its logarithm is finite */
    const float angle = 6.28318530718f * bur__stream_uniform(stream);
    return sqrtf(-2.0f * logf(u)) * cosf(angle);
}

#endif
