/* Drawn points in the plane and on the line, and uniform numbers. Sample i of a part depends on the
 * seed and i only (xor: also on the count, which sets the borders of its blobs). */
#include "source.h"
#include "stream.h"

enum { POINT_COUNT = 200, SPIRAL_COUNT = 300, RANDOM_COUNT = 256, SPIRAL_ARMS = 3 };

static void describe_points(bur__part parts[BUR__PARTS], const bur_data_options *options,
                            int64_t count, int64_t features, int32_t classes)
{
    for (int i = 0; i < BUR__PARTS; i++) {
        parts[i].x_dtype = BUR_F32;
        parts[i].info.classes = classes;
        parts[i].info.sample = (bur_shape){.rank = 1, .dim = {features}};
        parts[i].info.target = (bur_shape){.rank = classes == 0, .dim = {classes == 0}};
    }
    bur__drawn_counts(parts, options, count);
}

static float *x_of(bur_dataset *dataset)
{
    return (float *)(void *)dataset->own_x;
}

static float noise_of(const bur_data_options *options, float default_noise)
{
    return options->noise < 0 ? default_noise : options->noise;
}

bur_status bur__xor_describe(bur__part parts[BUR__PARTS], const char *name,
                             const bur_data_options *options)
{
    (void)name;
    describe_points(parts, options, POINT_COUNT, 2, 2);
    return BUR_OK;
}

/* Four blobs in the order (0,0), (1,1), (0,1), (1,0), the first two of class 0: x = centre + noise
 * n. */
bur_status bur__xor_fill(bur_dataset *dataset, int part, const bur_data_options *options)
{
    static const float centre[4][2] = {{0, 0}, {1, 1}, {0, 1}, {1, 0}};
    const float noise = noise_of(options, 0.3f);
    const int64_t count = dataset->info.count;
    float *x = x_of(dataset);
    for (int64_t i = 0; i < count; i++) {
        bur__stream stream =
            bur__stream_make(options->seed, BUR__STREAM_XOR + (uint32_t)part, (uint64_t)i);
        const int blob = (int)((double)i * 4 / (double)count);
        for (int j = 0; j < 2; j++)
            x[2 * i + j] = centre[blob][j] + noise * bur__stream_normal(&stream);
        dataset->own_target[i] = (unsigned char)(blob / 2);
    }
    return BUR_OK;
}

bur_status bur__spiral_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options)
{
    (void)name;
    describe_points(parts, options, SPIRAL_COUNT, 2, SPIRAL_ARMS);
    return BUR_OK;
}

/* r uniform in [0, 1), angle = 4 (arm + r) + noise n radians, x = r (sin angle, cos angle); the
 * arms take turns, so that every stretch of the set holds all classes. Source: the spiral of
 * Stanford's CS231n notes. */
bur_status bur__spiral_fill(bur_dataset *dataset, int part, const bur_data_options *options)
{
    const float noise = noise_of(options, 0.2f);
    float *x = x_of(dataset);
    for (int64_t i = 0; i < dataset->info.count; i++) {
        bur__stream stream =
            bur__stream_make(options->seed, BUR__STREAM_SPIRAL + (uint32_t)part, (uint64_t)i);
        const int arm = (int)(i % SPIRAL_ARMS);
        const float r = bur__stream_uniform(&stream);
        const float angle = 4.0f * ((float)arm + r) + noise * bur__stream_normal(&stream);
        x[2 * i] = r * sinf(angle);
        x[2 * i + 1] = r * cosf(angle);
        dataset->own_target[i] = (unsigned char)arm;
    }
    return BUR_OK;
}

bur_status bur__linear_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options)
{
    (void)name;
    describe_points(parts, options, POINT_COUNT, 1, 0);
    return BUR_OK;
}

/* x normal, y = 3x + 2 + noise n. */
bur_status bur__linear_fill(bur_dataset *dataset, int part, const bur_data_options *options)
{
    const float noise = noise_of(options, 0.5f);
    float *x = x_of(dataset), *y = (float *)(void *)dataset->own_target;
    for (int64_t i = 0; i < dataset->info.count; i++) {
        bur__stream stream =
            bur__stream_make(options->seed, BUR__STREAM_LINEAR + (uint32_t)part, (uint64_t)i);
        x[i] = bur__stream_normal(&stream);
        y[i] = 3.0f * x[i] + 2.0f + noise * bur__stream_normal(&stream);
    }
    return BUR_OK;
}

bur_status bur__random_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options)
{
    (void)name;
    describe_points(parts, options, RANDOM_COUNT, 1, options->classes);
    for (int i = 0; i < BUR__PARTS; i++)
        parts[i].info.sample =
            options->sample.rank > 0 ? options->sample : (bur_shape){.rank = 3, .dim = {28, 28, 1}};
    return BUR_OK;
}

/* x uniform in [0, 1), labels uniform over the classes, or one value uniform in [0, 1). */
bur_status bur__random_fill(bur_dataset *dataset, int part, const bur_data_options *options)
{
    float *x = x_of(dataset);
    const bur_dtype target_dtype = dataset->target_dtype;
    for (int64_t i = 0; i < dataset->info.count; i++) {
        bur__stream stream =
            bur__stream_make(options->seed, BUR__STREAM_RANDOM + (uint32_t)part, (uint64_t)i);
        for (int64_t j = 0; j < dataset->x_count; j++)
            x[i * dataset->x_count + j] = bur__stream_uniform(&stream);
        void *target = dataset->own_target + (size_t)i * bur_dtype_bytes(target_dtype);
        if (target_dtype == BUR_F32) {
            *(float *)target = bur__stream_uniform(&stream);
            continue;
        }
        const uint32_t label = bur__stream_below(&stream, (uint32_t)dataset->info.classes);
        if (target_dtype == BUR_U8)
            *(unsigned char *)target = (unsigned char)label;
        else
            *(int32_t *)target = (int32_t)label;
    }
    return BUR_OK;
}
