/* What the writer and the reader of safetensors files share. */
#ifndef BUR_FORMAT_SAFETENSORS_H
#define BUR_FORMAT_SAFETENSORS_H

#include <burthen/format.h>

#include <jansson.h> /* for both; foreign headers have one place */

#define BUR__SAFETENSORS_METADATA "__metadata__"

enum {
    BUR__SAFETENSORS_LENGTH_BYTES = 8,
    BUR__SAFETENSORS_MAX_HEADER_BYTES = 100000000, /* the format's own limit */
};

/* The dtype's name in a file, and its place in the order in which the reference implementation lays
 * tensors out: the strictest alignment first, so that every tensor is aligned. */
const char *bur__safetensors_dtype_name(bur_dtype dtype);
int32_t bur__safetensors_dtype_rank(bur_dtype dtype);
/* BUR_DTYPE_COUNT if the name is not known. */
bur_dtype bur__safetensors_dtype_find(const char *name);

#endif
