/* Packing: copies a part of an operand of a matrix product into a panel, where the micro-kernel
 * reads it in order. Part of kernels.c.
 *
 * A panel holds `width` lines (rows of a or columns of b) and `depth` steps along k; line i at step
 * p lies in panel[p * pitch + i]. Lines beyond `lines` are zero. */
#ifndef BUR_CPU_PACK_H
#define BUR_CPU_PACK_H

#include "vector.h"

enum { MAX_LINES = 32 }; /* of a panel of any instruction set */

/* Where a panel's values come from; which fields count depends on the packing function. */
typedef struct pack_source {
    const float *data;
    int64_t stride;              /* elements from one row of the matrix in memory to the next */
    const struct patches *image; /* of convolutions */
    int64_t inner;               /* pack_taps: steps of k per tap */
} pack_source;

typedef void pack_function(float *panel, int64_t pitch, const pack_source *source, int64_t line,
                           int64_t lines, int64_t width, int64_t step, int64_t depth);

INLINE void pad_panel(float *panel, int64_t pitch, int64_t lines, int64_t width, int64_t depth)
{
    for (int64_t p = 0; lines < width && p < depth; p++)
        for (int64_t i = lines; i < width; i++)
            panel[p * pitch + i] = 0;
}

/* Four vectors a, b, c, d become four of groups of 4 lanes: group g of out[s] is lane 4 g + s of
 * each. Two rounds of interleaving within each 128-bit part, so one form serves every width of
 * register. */
INLINE void interleave_four(vec *out, const vec *in)
{
    const vec a = in[0], b = in[1], c = in[2], d = in[3];
#if LANES == 16
#define LOW(...)                                                                                   \
    __builtin_shufflevector(__VA_ARGS__, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH(...)                                                                                  \
    __builtin_shufflevector(__VA_ARGS__, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define FIRST(...)                                                                                 \
    __builtin_shufflevector(__VA_ARGS__, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define SECOND(...)                                                                                \
    __builtin_shufflevector(__VA_ARGS__, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#elif LANES == 8
#define LOW(...)    __builtin_shufflevector(__VA_ARGS__, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(...)   __builtin_shufflevector(__VA_ARGS__, 2, 10, 3, 11, 6, 14, 7, 15)
#define FIRST(...)  __builtin_shufflevector(__VA_ARGS__, 0, 1, 8, 9, 4, 5, 12, 13)
#define SECOND(...) __builtin_shufflevector(__VA_ARGS__, 2, 3, 10, 11, 6, 7, 14, 15)
#else
#define LOW(...)    __builtin_shufflevector(__VA_ARGS__, 0, 4, 1, 5)
#define HIGH(...)   __builtin_shufflevector(__VA_ARGS__, 2, 6, 3, 7)
#define FIRST(...)  __builtin_shufflevector(__VA_ARGS__, 0, 1, 4, 5)
#define SECOND(...) __builtin_shufflevector(__VA_ARGS__, 2, 3, 6, 7)
#endif
    const vec ab_low = LOW(a, b), cd_low = LOW(c, d), ab_high = HIGH(a, b), cd_high = HIGH(c, d);
    out[0] = FIRST(ab_low, cd_low);
    out[1] = SECOND(ab_low, cd_low);
    out[2] = FIRST(ab_high, cd_high);
    out[3] = SECOND(ab_high, cd_high);
#undef LOW
#undef HIGH
#undef FIRST
#undef SECOND
}

/* 4 lines of LANES steps each become LANES groups of 4. */
INLINE void transpose_four(float *panel, int64_t pitch, const float *const *line)
{
    vec step[4];
    interleave_four(step,
                    (const vec[]){load(line[0]), load(line[1]), load(line[2]), load(line[3])});
    for (int s = 0; s < 4; s++) {
        vec4 part[LANES / 4];
        memcpy(part, &step[s], sizeof part);
        for (int g = 0; g < LANES / 4; g++)
            *(vec4_memory *)(panel + (4 * g + s) * pitch) = part[g];
    }
}

/* Lines given by pointers to their `depth` consecutive values. */
static void pack_pointers(float *panel, int64_t pitch, const float *const *line, int64_t lines,
                          int64_t depth)
{
    int64_t i = 0;
    for (; i + 4 <= lines; i += 4) {
        int64_t p = 0;
        for (; p + LANES <= depth; p += LANES)
            transpose_four(panel + p * pitch + i, pitch,
                           (const float *const[]){line[i] + p, line[i + 1] + p, line[i + 2] + p,
                                                  line[i + 3] + p});
        for (; p < depth; p++)
            for (int64_t r = i; r < i + 4; r++)
                panel[p * pitch + r] = line[r][p];
    }
    for (; i < lines; i++)
        for (int64_t p = 0; p < depth; p++)
            panel[p * pitch + i] = line[i][p];
}

/* Instead of packing lines, points at them where they lie, MR pointers for each run of consecutive
 * steps of step .. step + depth. */
typedef void point_function(const float **pointer, const pack_source *source, int64_t line,
                            int64_t lines, int64_t step, int64_t depth);

/* Rows of the matrix in memory are one run. */
static void point_at_rows(const float **pointer, const pack_source *source, int64_t line,
                          int64_t lines, int64_t step, int64_t depth)
{
    (void)depth;
    for (int64_t i = 0; i < lines; i++)
        pointer[i] = source->data + (line + i) * source->stride + step;
}

/* Lines are rows of the matrix in memory. */
static void pack_rows(float *panel, int64_t pitch, const pack_source *source, int64_t line,
                      int64_t lines, int64_t width, int64_t step, int64_t depth)
{
    const float *pointer[MAX_LINES];
    point_at_rows(pointer, source, line, lines, step, depth);
    pack_pointers(panel, pitch, pointer, lines, depth);
    pad_panel(panel, pitch, lines, width, depth);
}

/* Lines are columns of the matrix in memory. */
static void pack_columns(float *panel, int64_t pitch, const pack_source *source, int64_t line,
                         int64_t lines, int64_t width, int64_t step, int64_t depth)
{
    const float *from = source->data + step * source->stride + line;
    for (int64_t p = 0; p < depth; p++, panel += pitch, from += source->stride) {
        int64_t i = 0;
        for (; i + LANES <= lines; i += LANES)
            store(panel + i, load(from + i));
        const vec rest = load_first(from + i, lines - i);
        if (i < width)
            store_first(panel + i, rest, least(LANES, width - i));
    }
}

#endif
