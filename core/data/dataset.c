/* Data sets in memory: wrapping arrays, views, repeats, gathering a batch. */
#include "dataset.h"
#include "../base/size.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { MAX_BYTE_CLASSES = 256 };

bur_dtype bur__dataset_target_dtype(int32_t classes)
{
    if (classes == 0)
        return BUR_F32;
    return classes <= MAX_BYTE_CLASSES ? BUR_U8 : BUR_I32;
}

static bur_status check_sample(const bur_shape *shape, const char *what)
{
    if (shape->rank < 0 || shape->rank >= BUR_MAX_RANK)
        return bur_fail(BUR_E_RANGE, "a %s of rank %" PRId32 "; 0 to %d leave room for the batch",
                        what, shape->rank, BUR_MAX_RANK - 1);
    for (int32_t i = 0; i < shape->rank; i++)
        if (shape->dim[i] < 1)
            return bur_fail(BUR_E_ARG, "dimension %" PRId32 " of a %s is %" PRId64, i, what,
                            shape->dim[i]);
    return BUR_OK;
}

bur_status bur__dataset_measure(bur_dataset_info *info, bur_dtype x_dtype, bur_dtype target_dtype)
{
    if (info->count < 1)
        return bur_fail(BUR_E_ARG, "a data set of %" PRId64 " samples", info->count);
    if (info->classes < 0)
        return bur_fail(BUR_E_ARG, "a data set of %" PRId32 " classes", info->classes);
    BUR_TRY(check_sample(&info->sample, "sample"));
    static const bur_shape label;
    const bur_shape *target = info->classes > 0 ? &label : &info->target;
    BUR_TRY(check_sample(target, "target"));

    size_t x_bytes = 0, target_bytes = 0, bytes = 0;
    BUR_TRY(bur_shape_bytes(&x_bytes, &info->sample, x_dtype));
    BUR_TRY(bur_shape_bytes(&target_bytes, target, target_dtype));
    if (!bur_size_add(&bytes, x_bytes, target_bytes) ||
        !bur_size_multiply(&bytes, bytes, (size_t)info->count) || bytes > PTRDIFF_MAX)
        return bur_fail(BUR_E_RANGE, "%" PRId64 " samples of %zu bytes are more than 2^63 bytes",
                        info->count, x_bytes);
    info->bytes = bytes;
    return BUR_OK;
}

/* Everything but the samples. The info was measured. */
static bur_status create(bur_dataset **out, bur_context *context, const bur_dataset_info *info,
                         bur_dtype x_dtype, bur_dtype target_dtype)
{
    bur_dataset *dataset = bur_alloc(context, sizeof *dataset);
    if (dataset == NULL)
        return BUR_E_NOMEM;
    *dataset = (bur_dataset){.context = context,
                             .info = *info,
                             .x_dtype = x_dtype,
                             .target_dtype = target_dtype,
                             .target_count = 1};
    if (info->classes > 0)
        memset(&dataset->info.target, 0, sizeof dataset->info.target);
    dataset->own_name = bur_strdup(context, info->name == NULL ? "arrays" : info->name);
    if (dataset->own_name == NULL) {
        bur_free(context, dataset);
        return BUR_E_NOMEM;
    }
    dataset->info.name = dataset->own_name;
    bur_shape_count(&dataset->x_count, &info->sample);
    if (info->classes == 0)
        bur_shape_count(&dataset->target_count, &info->target);
    dataset->x_stride_bytes = (size_t)dataset->x_count * bur_dtype_bytes(x_dtype);
    dataset->target_stride_bytes = (size_t)dataset->target_count * bur_dtype_bytes(target_dtype);
    *out = dataset;
    return BUR_OK;
}

bur_status bur__dataset_create(bur_dataset **out, bur_context *context,
                               const bur_dataset_info *info, bur_dtype x_dtype)
{
    const bur_dtype target_dtype = bur__dataset_target_dtype(info->classes);
    bur_dataset_info measured = *info;
    BUR_TRY(bur__dataset_measure(&measured, x_dtype, target_dtype));
    bur_dataset *dataset = NULL;
    BUR_TRY(create(&dataset, context, &measured, x_dtype, target_dtype));

    const size_t n = (size_t)measured.count;
    const size_t target_bytes = n * (size_t)dataset->target_count * bur_dtype_bytes(target_dtype);
    /* Not zeroed: every byte is written by whoever fills the set. */
    dataset->own_x = bur_alloc_aligned(context, measured.bytes - target_bytes, 1);
    dataset->own_target = bur_alloc_aligned(context, target_bytes, 1);
    if (dataset->own_x == NULL || dataset->own_target == NULL) {
        bur_dataset_destroy(dataset);
        return BUR_E_NOMEM;
    }
    dataset->x = dataset->own_x;
    dataset->target = dataset->own_target;
    dataset->info.loaded = true;
    *out = dataset;
    return BUR_OK;
}

static bur_status check_labels(const int32_t *label, int64_t count, int32_t classes)
{
    for (int64_t i = 0; i < count; i++)
        if (label[i] < 0 || label[i] >= classes)
            return bur_fail(BUR_E_RANGE,
                            "label %" PRId32 " of sample %" PRId64 " is not in 0..%" PRId32,
                            label[i], i, classes - 1);
    return BUR_OK;
}

bur_status bur_dataset_from_arrays(bur_dataset **out, bur_context *context,
                                   const bur_dataset_info *info, bur_dtype x_dtype, const void *x,
                                   const void *target)
{
    if (out == NULL || context == NULL || info == NULL || x == NULL || target == NULL)
        return bur_fail(BUR_E_ARG, "bur_dataset_from_arrays: NULL argument");
    if (x_dtype != BUR_F32 && x_dtype != BUR_U8)
        return bur_fail(BUR_E_DTYPE, "samples of dtype %s; f32 and u8 are possible",
                        bur_dtype_name(x_dtype));
    const bur_dtype target_dtype = info->classes > 0 ? BUR_I32 : BUR_F32;
    bur_dataset_info measured = *info;
    BUR_TRY(bur__dataset_measure(&measured, x_dtype, target_dtype));
    if (info->classes > 0)
        BUR_TRY(check_labels(target, info->count, info->classes));
    bur_dataset *dataset = NULL;
    BUR_TRY(create(&dataset, context, &measured, x_dtype, target_dtype));
    dataset->x = x;
    dataset->target = target;
    *out = dataset;
    return BUR_OK;
}

/* A set of count samples in the memory of another, from its first. */
static bur_status share(bur_dataset **out, const bur_dataset *owner, int64_t count)
{
    bur_dataset *view = bur_alloc(owner->context, sizeof *view);
    if (view == NULL)
        return BUR_E_NOMEM;
    *view = *owner;
    view->own_x = view->own_target = NULL;
    view->own_name = NULL;
    view->info.count = count;
    view->info.bytes = 0;
    view->info.loaded = false;
    *out = view;
    return BUR_OK;
}

bur_status bur_dataset_view(bur_dataset **out, const bur_dataset *parent, int64_t first,
                            int64_t count)
{
    if (out == NULL || parent == NULL)
        return bur_fail(BUR_E_ARG, "bur_dataset_view: NULL argument");
    if (first < 0 || count < 1 || first > parent->info.count || count > parent->info.count - first)
        return bur_fail(BUR_E_RANGE,
                        "%" PRId64 " samples from sample %" PRId64 " on, of a set of %" PRId64,
                        count, first, parent->info.count);
    bur_dataset *view = NULL;
    BUR_TRY(share(&view, parent, count));
    view->x += (size_t)first * parent->x_stride_bytes;
    view->target += (size_t)first * parent->target_stride_bytes;
    *out = view;
    return BUR_OK;
}

bur_status bur_dataset_repeat(bur_dataset **out, const bur_dataset *sample, int64_t count)
{
    if (out == NULL || sample == NULL)
        return bur_fail(BUR_E_ARG, "bur_dataset_repeat: NULL argument");
    if (sample->info.count != 1 || count < 1)
        return bur_fail(BUR_E_ARG, "%" PRId64 " repeats of %" PRId64 " samples; of one, 1 or more",
                        count, sample->info.count);
    bur_dataset *repeat = NULL;
    BUR_TRY(share(&repeat, sample, count));
    repeat->x_stride_bytes = repeat->target_stride_bytes = 0;
    *out = repeat;
    return BUR_OK;
}

void bur_dataset_destroy(bur_dataset *dataset)
{
    if (dataset == NULL)
        return;
    bur_free(dataset->context, dataset->own_x);
    bur_free(dataset->context, dataset->own_target);
    bur_free(dataset->context, dataset->own_name);
    bur_free(dataset->context, dataset);
}

const bur_dataset_info *bur_dataset_describe(const bur_dataset *dataset)
{
    return &dataset->info;
}

size_t bur_dataset_target_bytes(const bur_dataset_info *info)
{
    size_t bytes = sizeof(int32_t);
    if (info->classes == 0)
        bur_shape_bytes(&bytes, &info->target, BUR_F32);
    return bytes;
}

static int32_t label_at(const bur_dataset *dataset, int64_t row)
{
    const unsigned char *label = dataset->target + (size_t)row * dataset->target_stride_bytes;
    return dataset->target_dtype == BUR_U8 ? *label : *(const int32_t *)(const void *)label;
}

bool bur_dataset_is_sorted(const bur_dataset *dataset)
{
    if (dataset->info.classes == 0)
        return false;
    bool rises = false, falls = false;
    for (int64_t i = 1; i < dataset->info.count && !(rises && falls); i++) {
        const int32_t before = label_at(dataset, i - 1), here = label_at(dataset, i);
        rises = rises || here > before;
        falls = falls || here < before;
    }
    return rises != falls; /* neither: one class only, which any split keeps */
}

/* Copies and widens the elements of one sample or target; chosen by the dtype they are held in. */
typedef void (*copy_function)(void *to, const unsigned char *from, int64_t count);

static void copy_words(void *to, const unsigned char *from, int64_t count)
{
    memcpy(to, from, (size_t)count * 4);
}

static void copy_pixels(void *to, const unsigned char *from, int64_t count)
{
    float *x = to;
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)from[i] / 255.0f;
}

static void copy_labels(void *to, const unsigned char *from, int64_t count)
{
    int32_t *label = to;
    for (int64_t i = 0; i < count; i++)
        label[i] = from[i];
}

static const copy_function copy_x[BUR_DTYPE_COUNT] = {
    [BUR_F32] = copy_words, [BUR_U8] = copy_pixels};
static const copy_function copy_target[BUR_DTYPE_COUNT] = {
    [BUR_F32] = copy_words, [BUR_I32] = copy_words, [BUR_U8] = copy_labels};

enum { AHEAD = 2, LINE_BYTES = 64, MOST_AHEAD_BYTES = 4096 };

/* Rows of a shuffled epoch lie anywhere: asked for two rows early they are there in time (32
 * pictures of Fashion-MNIST: 3.8 us instead of 10.8). Of a long row the processor fetches the rest
 * by itself. */
static void fetch_ahead(const unsigned char *row, size_t bytes)
{
    const size_t most = bytes < MOST_AHEAD_BYTES ? bytes : MOST_AHEAD_BYTES;
    for (size_t i = 0; i < most; i += LINE_BYTES)
        __builtin_prefetch(row + i);
}

void bur_dataset_gather(const bur_dataset *dataset, const int64_t *rows, int64_t n, float *x,
                        void *target)
{
    const int64_t x_count = dataset->x_count, target_count = dataset->target_count;
    const size_t x_bytes = dataset->x_stride_bytes, target_bytes = dataset->target_stride_bytes;
    unsigned char *to = target;
    for (int64_t i = 0; i < n; i++) {
        assert(rows[i] >= 0 && rows[i] < dataset->info.count);
        const size_t row = (size_t)rows[i];
        if (i + AHEAD < n)
            fetch_ahead(dataset->x + (size_t)rows[i + AHEAD] * x_bytes, x_bytes);
        copy_x[dataset->x_dtype](x + i * x_count, dataset->x + row * x_bytes, x_count);
        copy_target[dataset->target_dtype](to + i * target_count * 4,
                                           dataset->target + row * target_bytes, target_count);
    }
}
