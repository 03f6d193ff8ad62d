/**
 * burthen/tensor.h: data types, shapes, tensor descriptions and tensors in host memory.
 *
 * Shapes are logical and row-major, images are NHWC, convolution weights [kh, kw, ic, oc].
 */
#ifndef BURTHEN_TENSOR_H
#define BURTHEN_TENSOR_H

#include <burthen/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Data types: name, text, bytes. The names in safetensors files are in core/format. */
#define BUR_DTYPE_MAP(X)                                                                           \
    X(F32, "f32", 4)                                                                               \
    X(F64, "f64", 8)                                                                               \
    X(F16, "f16", 2)                                                                               \
    X(BF16, "bf16", 2)                                                                             \
    X(I64, "i64", 8)                                                                               \
    X(I32, "i32", 4)                                                                               \
    X(U8, "u8", 1)                                                                                 \
    X(BOOL, "bool", 1)

typedef enum bur_dtype {
#define BUR_DTYPE_ENUM(name, text, bytes) BUR_##name,
    BUR_DTYPE_MAP(BUR_DTYPE_ENUM)
#undef BUR_DTYPE_ENUM
        BUR_DTYPE_COUNT
} bur_dtype;

BUR_API const char *bur_dtype_name(bur_dtype dtype);
BUR_API size_t bur_dtype_bytes(bur_dtype dtype);

#define BUR_MAX_RANK 8

/** A logical shape; dim[rank..] are 0. A scalar has rank 0. */
typedef struct bur_shape {
    int32_t rank;
    int32_t reserved;
    int64_t dim[BUR_MAX_RANK];
} bur_shape;

/** Makes a shape: bur_shape_make(2, (int64_t[]){3, 4}). BUR_E_RANGE if rank is not in 0..8 or a dim
 * is negative. */
BUR_API bur_status bur_shape_make(bur_shape *out, int32_t rank, const int64_t *dim);

/** Elements, and bytes as `dtype`; BUR_E_RANGE on overflow of int64_t or size_t. */
BUR_API bur_status bur_shape_count(int64_t *out, const bur_shape *shape);
BUR_API bur_status bur_shape_bytes(size_t *out, const bur_shape *shape, bur_dtype dtype);

BUR_API bool bur_shape_equal(const bur_shape *a, const bur_shape *b);

/** Writes "32x28x28x1" (or "scalar") into text[size] and returns text. 160 bytes always suffice. */
#define BUR_SHAPE_TEXT 160
BUR_API char *bur_shape_format(char *text, size_t size, const bur_shape *shape);

/** How a tensor's bytes are arranged: BUR_LAYOUT_PLAIN is row-major, others belong to a backend. */
#define BUR_LAYOUT_PLAIN 0u

/** What a kernel must know of a tensor. No padding bytes: it is hashed and compared as memory. */
typedef struct bur_desc {
    int32_t dtype; /* bur_dtype */
    uint32_t layout;
    bur_shape shape;
} bur_desc;

BUR_API bur_desc bur_desc_make(bur_dtype dtype, const bur_shape *shape);
/** Elements and bytes of a plain tensor whose shape was checked before (asserted). */
BUR_API int64_t bur_desc_count(const bur_desc *desc);
BUR_API size_t bur_desc_bytes(const bur_desc *desc);

/** A tensor in host memory, plain layout. */
typedef struct bur_tensor bur_tensor;

/** Creates a zeroed host tensor; yours to destroy. BUR_E_RANGE, BUR_E_NOMEM. */
BUR_API bur_status bur_tensor_create(bur_tensor **out, bur_context *context, bur_dtype dtype,
                                     const bur_shape *shape);
BUR_API void bur_tensor_destroy(bur_tensor *tensor);
BUR_API void *bur_tensor_data(bur_tensor *tensor);
BUR_API const void *bur_tensor_data_const(const bur_tensor *tensor);
BUR_API const bur_desc *bur_tensor_desc(const bur_tensor *tensor);
BUR_API size_t bur_tensor_bytes(const bur_tensor *tensor);

#ifdef __cplusplus
}
#endif
#endif
