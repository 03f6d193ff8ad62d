/* IDX files: big-endian u32 magic (0, 0, element type, rank), the dimensions, the elements. */
#ifndef BUR_DATA_IDX_H
#define BUR_DATA_IDX_H

#include <burthen/base.h>

enum { BUR__IDX_MAX_RANK = 4 };

/* A header; the elements are bytes. */
typedef struct bur__idx {
    int32_t rank;
    int64_t dim[BUR__IDX_MAX_RANK];
    size_t data_bytes; /* the product of dim */
} bur__idx;

/* Reads and checks the header of a plain or gzip file of `min_rank` to `max_rank` dimensions. The
 * bytes it promises are held against the length of the file, so that no header alone can make a
 * caller take memory: a plain file must have exactly that length, and gzip cannot make more than
 * 1032 bytes of one. Errors: BUR_E_FILE, BUR_E_FORMAT with the path and both numbers. */
bur_status bur__idx_describe(bur__idx *out, const char *path, int32_t min_rank, int32_t max_rank);

/* Reads the elements of a file whose header is still `expected` into data[expected->data_bytes].
 * The file must end there, gzip checksum included. */
bur_status bur__idx_read(void *data, const char *path, const bur__idx *expected);

#endif
