/**
 * burthen/data.h: data sets and the prefetching loader.
 *
 * A sample's x is f32 when it reaches the model; u8 data (images) stay u8 in memory and are scaled
 * by 1/255 when a batch is made.
 */
#ifndef BURTHEN_DATA_H
#define BURTHEN_DATA_H

#include <burthen/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bur_dataset bur_dataset;

typedef struct bur_dataset_info {
    const char *name;
    int64_t count;    /* samples */
    bur_shape sample; /* of one x, without batch dimension */
    int32_t classes;  /* labels are i32 in [0, classes); 0: the targets are values */
    bur_shape target; /* of one target if values (f32), else rank 0 */
    size_t bytes;     /* held in memory for these samples (a view holds none of its own) */
    bool loaded;      /* these bytes are allocated from the context now */
} bur_dataset_info;

/** Training and test part; test may be NULL. */
typedef struct bur_data {
    bur_dataset *train, *test;
} bur_data;

typedef struct bur_data_options {
    uint64_t seed;    /* of drawn data */
    int64_t count;    /* training samples of drawn data; 0: the set's default */
    float noise;      /* of drawn data; negative: the set's default */
    bur_shape sample; /* random */
    int32_t classes;  /* random; 0: values */
    int64_t length;   /* adding, tokens: steps of a sequence; 0: the set's default */
} bur_data_options;

/** Ids of data=tokens are in [0, BUR_TOKENS_VOCABULARY), as f32. */
enum { BUR_TOKENS_VOCABULARY = 8192 };

/** Opens data by name: fashion-mnist, digits, xor, spiral, linear, adding, tokens, random, or the
 * path of a folder that holds the four IDX files (.gz or plain). Every length is checked before
 * memory is taken. Errors: BUR_E_NAME with "did you mean"; BUR_E_FILE naming the file and how to
 * get it; BUR_E_FORMAT naming file and both numbers; BUR_E_NOMEM. `options` may be NULL. */
BUR_API bur_status bur_data_open(bur_data *out, bur_context *context, const char *name,
                                 const bur_data_options *options);
BUR_API void bur_data_close(bur_data *data);
/** What bur_data_open would give, from names and file headers alone: `train` and `test` (may be
 * NULL). Reads no samples; for plans. */
BUR_API bur_status bur_data_describe(bur_dataset_info *train, bur_dataset_info *test,
                                     bur_context *context, const char *name,
                                     const bur_data_options *options);

/** One line per built-in set for help: name and text; NULL past the end. */
BUR_API const char *bur_data_name(int32_t index, const char **text);

/** Wraps the caller's arrays, which must outlive the set: x is f32 or u8 [count, sample...]; target
 * is i32 labels if classes > 0 (each checked: BUR_E_RANGE), else f32 [count, target...]. */
BUR_API bur_status bur_dataset_from_arrays(bur_dataset **out, bur_context *context,
                                           const bur_dataset_info *info, bur_dtype x_dtype,
                                           const void *x, const void *target);
/** Samples [first, first + count) of a set, sharing its memory; the parent must outlive the view.
 */
BUR_API bur_status bur_dataset_view(bur_dataset **out, const bur_dataset *parent, int64_t first,
                                    int64_t count);
/** The one sample of a set, count times, sharing its memory; that set must outlive this. So a run
 * can be measured over data that are not there. Errors: BUR_E_ARG for a count below 1, or a set
 * that is not one sample. */
BUR_API bur_status bur_dataset_repeat(bur_dataset **out, const bur_dataset *sample, int64_t count);
BUR_API void bur_dataset_destroy(bur_dataset *dataset);
BUR_API const bur_dataset_info *bur_dataset_describe(const bur_dataset *dataset);
/** Bytes of one target (4 for a label). */
BUR_API size_t bur_dataset_target_bytes(const bur_dataset_info *info);
/** True if a label set is in label order (a validation split off its end would miss classes). */
BUR_API bool bur_dataset_is_sorted(const bur_dataset *dataset);
/** Copies samples `rows` into x [n, sample...] f32 and target [n, ...]. */
BUR_API void bur_dataset_gather(const bur_dataset *dataset, const int64_t *rows, int64_t n,
                                float *x, void *target);

/* ---- loader ---- */

typedef struct bur_loader_options {
    int64_t batch; /* at least 1; the last batch of an epoch may be smaller */
    bool shuffle;  /* a new permutation every epoch, from (seed, epoch) */
    uint64_t seed;
    int32_t depth;   /* batches that threads prepare ahead; 0: 2 */
    int32_t threads; /* 0: none, bur_loader_next gathers: for sets in memory that takes
                        microseconds, and a thread would take a processor from the step */
} bur_loader_options;

typedef struct bur_batch {
    const float *x;
    const void *target;
    int64_t count; /* samples; 0: the epoch is over */
} bur_batch;

typedef struct bur_loader bur_loader;
/** Starts the threads, if any; all memory is taken here. The data set must outlive the loader. */
BUR_API bur_status bur_loader_create(bur_loader **out, bur_context *context,
                                     const bur_dataset *dataset, const bur_loader_options *options);
BUR_API void bur_loader_destroy(bur_loader *loader);
/** Bytes that a loader over such a data set takes; 0 for options that bur_loader_create refuses,
 * SIZE_MAX if they overflow. */
BUR_API size_t bur_loader_bytes(const bur_dataset_info *info, const bur_loader_options *options);
/** Begins epoch number `epoch` (any; drops what was prepared). */
BUR_API bur_status bur_loader_start(bur_loader *loader, int64_t epoch);
/** The next batch in order, valid until the next call. Batches do not depend on the thread count.
 */
BUR_API bur_status bur_loader_next(bur_loader *loader, bur_batch *out);
/** Nanoseconds that bur_loader_next has waited or gathered since bur_loader_start. */
BUR_API int64_t bur_loader_wait_ns(const bur_loader *loader);

#ifdef __cplusplus
}
#endif
#endif
