/* Drawn sequences: sums over long lags, and an order that only attention over all positions sees.
 * Sample i of a part depends on the seed, i and the length only. */
#include "source.h"
#include "stream.h"

enum {
    ADDING_COUNT = 10000,
    ADDING_LENGTH = 100,
    ADDING_FEATURES = 2, /* the value and its mark */
    TOKENS_COUNT = 20000,
    TOKENS_LENGTH = 128,
    TOKENS_MARKED = BUR__TOKENS_LEAST_LENGTH,
    TOKENS_RANKED = 8, /* ids below this one have a rank */
    TOKENS_FILLER = 8, /* the id of all other places */
};

static int64_t length_of(const bur_data_options *options, int64_t default_length)
{
    return options->length > 0 ? options->length : default_length;
}

bur_status bur__adding_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options)
{
    (void)name;
    for (int i = 0; i < BUR__PARTS; i++) {
        parts[i].x_dtype = BUR_F32;
        parts[i].info.sample =
            (bur_shape){.rank = 2, .dim = {length_of(options, ADDING_LENGTH), ADDING_FEATURES}};
        parts[i].info.target = (bur_shape){.rank = 1, .dim = {1}};
    }
    bur__drawn_counts(parts, options, ADDING_COUNT);
    return BUR_OK;
}

/* One mark in each half, so that the nearer one lies up to `length` / 2 steps back. Source:
 * Hochreiter, Schmidhuber, "Long Short-Term Memory", Neural Computation 1997, section 5.4, with
 * values in [0, 1) and without its margins. */
bur_status bur__adding_fill(bur_dataset *dataset, int part, const bur_data_options *options)
{
    const int64_t length = dataset->info.sample.dim[0];
    const uint32_t first_half = (uint32_t)(length / 2);
    float *x = (float *)(void *)dataset->own_x, *y = (float *)(void *)dataset->own_target;
    for (int64_t i = 0; i < dataset->info.count; i++) {
        bur__stream stream =
            bur__stream_make(options->seed, BUR__STREAM_ADDING + (uint32_t)part, (uint64_t)i);
        const uint32_t first = bur__stream_below(&stream, first_half);
        const uint32_t second =
            first_half + bur__stream_below(&stream, (uint32_t)length - first_half);
        float *sample = x + i * length * ADDING_FEATURES;
        for (int64_t t = 0; t < length; t++) {
            sample[ADDING_FEATURES * t] = bur__stream_uniform(&stream);
            sample[ADDING_FEATURES * t + 1] = t == first || t == second ? 1.0f : 0.0f;
        }
        y[i] = sample[ADDING_FEATURES * first] + sample[ADDING_FEATURES * second];
    }
    return BUR_OK;
}

bur_status bur__tokens_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options)
{
    (void)name;
    for (int i = 0; i < BUR__PARTS; i++) {
        parts[i].x_dtype = BUR_F32;
        parts[i].info.classes = 2;
        parts[i].info.sample = (bur_shape){.rank = 1, .dim = {length_of(options, TOKENS_LENGTH)}};
    }
    bur__drawn_counts(parts, options, TOKENS_COUNT);
    return BUR_OK;
}

/* `picked` of the numbers 0..n-1 in ascending order, every choice as likely. Source: Knuth, The Art
 * of Computer Programming 2, algorithm S (selection sampling). */
static void pick_ascending(uint32_t *out, uint32_t picked, uint32_t n, bur__stream *stream)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; taken < picked; i++)
        if (bur__stream_below(stream, n - i) < picked - taken)
            out[taken++] = i;
}

/* Exchanges two of n numbers, every two as likely. */
static void exchange_two(uint32_t *number, uint32_t n, bur__stream *stream)
{
    const uint32_t i = bur__stream_below(stream, n), other = bur__stream_below(stream, n - 1),
                   j = other < i ? other : other + 1, kept = number[i];
    number[i] = number[j];
    number[j] = kept;
}

/* Among the filler stand TOKENS_MARKED distinct ranked ids. Class 1: they ascend from left to
 * right; class 0: they did before two of them changed places. Both classes hold the same ids and
 * the same places with the same probability: what tells them apart is which id stands where. */
bur_status bur__tokens_fill(bur_dataset *dataset, int part, const bur_data_options *options)
{
    const int64_t length = dataset->info.sample.dim[0];
    float *x = (float *)(void *)dataset->own_x;
    for (int64_t i = 0; i < dataset->info.count; i++) {
        bur__stream stream =
            bur__stream_make(options->seed, BUR__STREAM_TOKENS + (uint32_t)part, (uint64_t)i);
        const bool sorted = i % 2 != 0;
        uint32_t place[TOKENS_MARKED], id[TOKENS_MARKED];
        pick_ascending(place, TOKENS_MARKED, (uint32_t)length, &stream);
        pick_ascending(id, TOKENS_MARKED, TOKENS_RANKED, &stream);
        if (!sorted)
            exchange_two(id, TOKENS_MARKED, &stream);
        float *sample = x + i * length;
        for (int64_t t = 0; t < length; t++)
            sample[t] = (float)TOKENS_FILLER;
        for (int k = 0; k < TOKENS_MARKED; k++)
            sample[place[k]] = (float)id[k];
        dataset->own_target[i] = sorted;
    }
    return BUR_OK;
}
