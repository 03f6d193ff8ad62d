/* The insides of a data set, for core/data. */
#ifndef BUR_DATA_DATASET_H
#define BUR_DATA_DATASET_H

#include <burthen/data.h>

struct bur_dataset {
    bur_context *context;
    bur_dataset_info info;
    bur_dtype x_dtype;                          /* f32 or u8 */
    bur_dtype target_dtype;                     /* labels: u8 or i32; values: f32 */
    int64_t x_count;                            /* elements of one x */
    int64_t target_count;                       /* elements of one target; 1 for a label */
    size_t x_stride_bytes, target_stride_bytes; /* from sample to sample; 0: they are all one */
    const unsigned char *x, *target;
    unsigned char *own_x, *own_target; /* the same, if this set allocated them; else NULL */
    char *own_name;
};

/* How labels of so many classes are held by a set that owns them; f32 for values. */
bur_dtype bur__dataset_target_dtype(int32_t classes);

/* Sets info->bytes to what such a set holds. Errors: BUR_E_ARG for no samples or an empty sample,
 * BUR_E_RANGE if the size overflows or a sample has no room for a batch dimension. */
bur_status bur__dataset_measure(bur_dataset_info *info, bur_dtype x_dtype, bur_dtype target_dtype);

/* A set with its own memory, not yet filled: write own_x and own_target. Copies info->name. */
bur_status bur__dataset_create(bur_dataset **out, bur_context *context,
                               const bur_dataset_info *info, bur_dtype x_dtype);

#endif
