/* Digits drawn by the program: handwriting of many hands without a file. A glyph is a few strokes
 * through control points; every sample bends, slants, scales and thickens one of its digit's
 * glyphs, inks it and adds noise. What is drawn depends on the seed and the sample's index only. */
#include "source.h"
#include "stream.h"

#include <string.h>

enum {
    DIGITS = 10,
    SIDE = 28,
    PIXELS = SIDE * SIDE,
    TRAIN_COUNT = 4000,
    MAX_POINTS = 12,
    MAX_STROKES = 3,
    SPAN_STEPS = 3, /* straight pieces between two control points */
};

/* In hundredths of the glyph's box: x to the right, y down. */
typedef struct stroke {
    int count;
    signed char point[MAX_POINTS][2];
} stroke;

typedef struct glyph {
    int strokes;
    stroke stroke[MAX_STROKES];
} glyph;

/* Two ways to write each digit. */
/* clang-format off */
static const glyph glyphs[DIGITS][2] = {
    [0] = {
        {1, {{10, {{58, 4}, {34, 10}, {18, 36}, {18, 66}, {36, 95}, {60, 95}, {80, 68},
              {82, 36}, {68, 10}, {50, 4}}}}},
        {1, {{9, {{44, 8}, {26, 26}, {20, 60}, {34, 92}, {58, 94}, {78, 70}, {78, 34},
              {62, 10}, {36, 14}}}}},
    },
    [1] = {
        {1, {{3, {{54, 4}, {50, 50}, {48, 96}}}}},
        {2, {{3, {{32, 24}, {44, 16}, {54, 4}}},
             {3, {{54, 4}, {54, 50}, {52, 96}}}}},
    },
    [2] = {
        {2, {{8, {{20, 26}, {30, 8}, {54, 3}, {76, 16}, {74, 40}, {54, 64}, {34, 82},
              {18, 95}}},
             {3, {{18, 95}, {50, 92}, {84, 94}}}}},
        {1, {{11, {{22, 22}, {42, 4}, {70, 10}, {74, 36}, {54, 66}, {32, 90}, {18, 90},
              {22, 76}, {42, 82}, {62, 94}, {86, 88}}}}},
    },
    [3] = {
        {2, {{6, {{20, 14}, {44, 3}, {72, 12}, {72, 34}, {56, 46}, {40, 48}}},
             {6, {{40, 48}, {68, 52}, {82, 70}, {70, 92}, {44, 97}, {18, 86}}}}},
        {2, {{3, {{22, 6}, {50, 6}, {76, 6}}},
             {8, {{76, 6}, {60, 26}, {46, 42}, {68, 46}, {80, 66}, {70, 90}, {44, 97},
              {18, 86}}}}},
    },
    [4] = {
        {2, {{5, {{32, 6}, {24, 30}, {18, 56}, {50, 58}, {82, 56}}},
             {3, {{70, 26}, {66, 60}, {62, 97}}}}},
        {3, {{3, {{62, 4}, {40, 34}, {14, 64}}},
             {3, {{14, 64}, {50, 66}, {88, 64}}},
             {3, {{62, 4}, {62, 50}, {62, 97}}}}},
    },
    [5] = {
        {3, {{3, {{74, 6}, {50, 6}, {32, 7}}},
             {3, {{32, 7}, {29, 26}, {26, 44}}},
             {7, {{26, 44}, {50, 37}, {74, 46}, {80, 68}, {66, 90}, {42, 97}, {18, 88}}}}},
        {1, {{10, {{78, 4}, {50, 6}, {32, 12}, {28, 40}, {36, 42}, {60, 40}, {76, 58},
              {70, 86}, {46, 97}, {20, 88}}}}},
    },
    [6] = {
        {1, {{10, {{66, 4}, {44, 18}, {26, 44}, {20, 70}, {34, 94}, {58, 95}, {76, 78},
              {68, 58}, {46, 56}, {26, 72}}}}},
        {1, {{10, {{52, 3}, {36, 28}, {26, 56}, {26, 82}, {44, 97}, {68, 90}, {74, 70},
              {60, 56}, {40, 62}, {28, 78}}}}},
    },
    [7] = {
        {2, {{3, {{18, 8}, {50, 7}, {82, 6}}},
             {4, {{82, 6}, {66, 36}, {52, 66}, {42, 97}}}}},
        {3, {{4, {{18, 16}, {22, 7}, {50, 9}, {80, 6}}},
             {4, {{80, 6}, {66, 34}, {54, 64}, {46, 97}}},
             {3, {{36, 52}, {56, 50}, {76, 48}}}}},
    },
    [8] = {
        {1, {{12, {{72, 16}, {50, 3}, {28, 16}, {32, 36}, {54, 48}, {76, 68}, {68, 92},
              {46, 97}, {24, 86}, {28, 64}, {58, 44}, {74, 22}}}}},
        {2, {{8, {{50, 46}, {28, 34}, {30, 10}, {52, 3}, {72, 14}, {70, 36}, {50, 46},
              {44, 48}}},
             {8, {{48, 46}, {24, 62}, {24, 88}, {50, 97}, {76, 86}, {76, 62}, {54, 46},
              {48, 46}}}}},
    },
    [9] = {
        {2, {{7, {{74, 18}, {54, 4}, {30, 14}, {26, 38}, {44, 52}, {64, 42}, {74, 18}}},
             {4, {{74, 18}, {73, 44}, {68, 72}, {60, 97}}}}},
        {1, {{11, {{72, 24}, {60, 6}, {38, 6}, {24, 26}, {34, 48}, {58, 46}, {72, 24},
              {76, 50}, {70, 80}, {50, 97}, {28, 90}}}}},
    },
};
/* clang-format on */

/* How one sample is written: p -> centre + matrix (p + bend(p)), in pixels. */
typedef struct hand {
    float matrix[2][2], centre[2];
    float bend[2][2], wave[2][2], phase[2][2]; /* per axis: amplitudes, waves per box, phases */
    float radius, ink, grain;                  /* of the pen in pixels; 0..1; noise, 0..1 */
} hand;

static hand make_hand(bur__stream *stream, float noise)
{
    hand h = {.grain = noise};
    const float height = bur__stream_between(stream, 18.0f, 22.0f);
    const float width = height * bur__stream_between(stream, 0.62f, 0.95f);
    const float turn = 0.1f * bur__stream_normal(stream);
    const float slant = bur__stream_between(stream, -0.1f, 0.34f);
    const float c = cosf(turn), s = sinf(turn);
    h.matrix[0][0] = c * width;
    h.matrix[0][1] = -s * height - c * slant * height;
    h.matrix[1][0] = s * width;
    h.matrix[1][1] = c * height - s * slant * height;
    for (int axis = 0; axis < 2; axis++) {
        h.centre[axis] = 14.0f + bur__stream_between(stream, -1.0f, 1.0f);
        for (int k = 0; k < 2; k++) {
            h.bend[axis][k] = 0.04f * bur__stream_normal(stream);
            h.wave[axis][k] = bur__stream_between(stream, 2.0f, 6.5f);
            h.phase[axis][k] = bur__stream_between(stream, 0.0f, 6.2831853f);
        }
    }
    h.radius = bur__stream_between(stream, 0.85f, 1.65f);
    h.ink = bur__stream_between(stream, 0.82f, 1.0f);
    return h;
}

/* A control point on the paper. The bend is a smooth field, so strokes that meet stay joined. */
static void place_point(float out[2], const signed char point[2], const hand *h)
{
    const float p[2] = {(float)point[0] * 0.01f - 0.5f, (float)point[1] * 0.01f - 0.5f};
    float q[2];
    for (int axis = 0; axis < 2; axis++)
        q[axis] = p[axis] + h->bend[axis][0] * sinf(h->wave[axis][0] * p[1] + h->phase[axis][0]) +
                  h->bend[axis][1] * sinf(h->wave[axis][1] * p[0] + h->phase[axis][1]);
    for (int axis = 0; axis < 2; axis++)
        out[axis] = h->centre[axis] + h->matrix[axis][0] * q[0] + h->matrix[axis][1] * q[1];
}

static int clamp_pixel(float v)
{
    return v < 0 ? 0 : v > SIDE - 1 ? SIDE - 1 : (int)v;
}

/* Lowers square[], the squared distances of pixel centres to the pen's path, near the piece a-b. */
static void draw_piece(float square[PIXELS], const float a[2], const float b[2], float reach)
{
    const float dx = b[0] - a[0], dy = b[1] - a[1];
    const float inverse = 1.0f / (dx * dx + dy * dy + 1e-6f);
    const int x0 = clamp_pixel(fminf(a[0], b[0]) - reach),
              x1 = clamp_pixel(fmaxf(a[0], b[0]) + reach);
    const int y0 = clamp_pixel(fminf(a[1], b[1]) - reach),
              y1 = clamp_pixel(fmaxf(a[1], b[1]) + reach);
    for (int y = y0; y <= y1; y++) {
        for (int x = x0; x <= x1; x++) {
            const float px = (float)x + 0.5f - a[0], py = (float)y + 0.5f - a[1];
            float t = (px * dx + py * dy) * inverse;
            t = t < 0 ? 0 : t > 1 ? 1 : t;
            const float ex = px - t * dx, ey = py - t * dy;
            const float d = ex * ex + ey * ey;
            float *pixel = &square[y * SIDE + x];
            *pixel = d < *pixel ? d : *pixel;
        }
    }
}

/* A Catmull-Rom spline through the control points. */
static void draw_stroke(float square[PIXELS], const stroke *line, const hand *h)
{
    float point[MAX_POINTS][2];
    for (int i = 0; i < line->count; i++)
        place_point(point[i], line->point[i], h);
    float from[2] = {point[0][0], point[0][1]};
    for (int i = 0; i + 1 < line->count; i++) {
        const float *p1 = point[i], *p2 = point[i + 1];
        const float *p0 = i > 0 ? point[i - 1] : p1;
        const float *p3 = i + 2 < line->count ? point[i + 2] : p2;
        for (int step = 1; step <= SPAN_STEPS; step++) {
            const float t = (float)step / SPAN_STEPS;
            float to[2];
            for (int axis = 0; axis < 2; axis++)
                to[axis] = 0.5f * (2 * p1[axis] + t * (p2[axis] - p0[axis]) +
                                   t * t * (2 * p0[axis] - 5 * p1[axis] + 4 * p2[axis] - p3[axis]) +
                                   t * t * t * (3 * (p1[axis] - p2[axis]) + p3[axis] - p0[axis]));
            draw_piece(square, from, to, h->radius + 1.0f);
            memcpy(from, to, sizeof from);
        }
    }
}

/* Roughly normal of deviation 1: the sum of a word's four bytes, centred. */
static float grain_of(uint32_t word)
{
    const uint32_t sum = (word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24);
    return ((float)sum - 510.0f) * (1.0f / 147.8f);
}

/* Ink where the pen passed, its edge one pixel soft; then the grain of paper and camera. */
static void develop(unsigned char *image, const float square[PIXELS], const hand *h,
                    bur__stream *stream)
{
    float level[PIXELS];
    for (int i = 0; i < PIXELS; i++) {
        const float cover = h->radius + 0.5f - sqrtf(square[i]);
        level[i] = 255.0f * h->ink * (cover < 0 ? 0 : cover > 1 ? 1 : cover);
    }
    if (h->grain > 0)
        for (int i = 0; i < PIXELS; i++)
            level[i] += 255.0f * h->grain * grain_of(bur__stream_word(stream));
    for (int i = 0; i < PIXELS; i++)
        image[i] = (unsigned char)(level[i] < 0 ? 0 : level[i] > 254.5f ? 255 : level[i] + 0.5f);
}

static void draw_digit(unsigned char *image, int digit, bur__stream *stream, float noise)
{
    const glyph *g = &glyphs[digit][bur__stream_below(stream, 2)];
    const hand h = make_hand(stream, noise);
    float square[PIXELS];
    for (int i = 0; i < PIXELS; i++)
        square[i] = (float)PIXELS;
    for (int i = 0; i < g->strokes; i++)
        draw_stroke(square, &g->stroke[i], &h);
    develop(image, square, &h, stream);
}

bur_status bur__digits_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options)
{
    (void)name;
    for (int i = 0; i < BUR__PARTS; i++) {
        parts[i].x_dtype = BUR_U8;
        parts[i].info.classes = DIGITS;
        parts[i].info.sample = (bur_shape){.rank = 3, .dim = {SIDE, SIDE, 1}};
    }
    bur__drawn_counts(parts, options, TRAIN_COUNT);
    return BUR_OK;
}

bur_status bur__digits_fill(bur_dataset *dataset, int part, const bur_data_options *options)
{
    const float noise = options->noise < 0 ? 0.05f : options->noise;
    for (int64_t i = 0; i < dataset->info.count; i++) {
        bur__stream stream =
            bur__stream_make(options->seed, BUR__STREAM_DIGITS + (uint32_t)part, (uint64_t)i);
        /* Every ten samples hold each digit once, and no stretch is in label order. */
        const int digit = (int)((i * 7 + 3) % DIGITS);
        dataset->own_target[i] = (unsigned char)digit;
        draw_digit(dataset->own_x + i * PIXELS, digit, &stream, noise);
    }
    return BUR_OK;
}
