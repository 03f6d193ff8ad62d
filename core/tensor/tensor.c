/* Data types, shapes, descriptions, host tensors. */
#include "../base/size.h"
#include <burthen/tensor.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[BUR_DTYPE_COUNT] = {
#define ROW(name, text, bytes) [BUR_##name] = {text, bytes},
    BUR_DTYPE_MAP(ROW)
#undef ROW
};

const char *bur_dtype_name(bur_dtype dtype)
{
    return (unsigned)dtype < BUR_DTYPE_COUNT ? dtypes[dtype].name : "unknown";
}

size_t bur_dtype_bytes(bur_dtype dtype)
{
    return (unsigned)dtype < BUR_DTYPE_COUNT ? dtypes[dtype].bytes : 0;
}

bur_status bur_shape_make(bur_shape *out, int32_t rank, const int64_t *dim)
{
    if (rank < 0 || rank > BUR_MAX_RANK)
        return bur_fail(BUR_E_RANGE, "rank %" PRId32 "; 0 to %d are possible", rank, BUR_MAX_RANK);
    for (int32_t i = 0; i < rank; i++)
        if (dim[i] < 0)
            return bur_fail(BUR_E_RANGE, "dimension %" PRId32 " is %" PRId64, i, dim[i]);
    memset(out, 0, sizeof *out);
    out->rank = rank;
    for (int32_t i = 0; i < rank; i++)
        out->dim[i] = dim[i];
    return BUR_OK;
}

bur_status bur_shape_count(int64_t *out, const bur_shape *shape)
{
    int64_t count = 1;
    for (int32_t i = 0; i < shape->rank; i++)
        if (shape->dim[i] == 0)
            count = 0;
    for (int32_t i = 0; i < shape->rank && count != 0; i++) {
        if (__builtin_mul_overflow(count, shape->dim[i], &count)) {
            char text[BUR_SHAPE_TEXT];
            return bur_fail(BUR_E_RANGE, "shape %s has more than 2^63 elements",
                            bur_shape_format(text, sizeof text, shape));
        }
    }
    *out = count;
    return BUR_OK;
}

bur_status bur_shape_bytes(size_t *out, const bur_shape *shape, bur_dtype dtype)
{
    int64_t count = 0;
    BUR_TRY(bur_shape_count(&count, shape));
    size_t bytes = 0;
    if (!bur_size_multiply(&bytes, (size_t)count, bur_dtype_bytes(dtype)) || bytes > PTRDIFF_MAX) {
        char text[BUR_SHAPE_TEXT];
        return bur_fail(BUR_E_RANGE, "shape %s as %s is more than 2^63 bytes",
                        bur_shape_format(text, sizeof text, shape), bur_dtype_name(dtype));
    }
    *out = bytes;
    return BUR_OK;
}

bool bur_shape_equal(const bur_shape *a, const bur_shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

char *bur_shape_format(char *text, size_t size, const bur_shape *shape)
{
    if (shape->rank == 0) {
        snprintf(text, size, "scalar");
        return text;
    }
    size_t used = 0;
    for (int32_t i = 0; i < shape->rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRId64, i == 0 ? "" : "x",
                                 shape->dim[i]);
    return text;
}

bur_desc bur_desc_make(bur_dtype dtype, const bur_shape *shape)
{
    return (bur_desc){.dtype = (int32_t)dtype, .layout = BUR_LAYOUT_PLAIN, .shape = *shape};
}

int64_t bur_desc_count(const bur_desc *desc)
{
    int64_t count = 0;
    const bur_status status = bur_shape_count(&count, &desc->shape);
    assert(status == BUR_OK);
    (void)status;
    return count;
}

size_t bur_desc_bytes(const bur_desc *desc)
{
    return (size_t)bur_desc_count(desc) * bur_dtype_bytes((bur_dtype)desc->dtype);
}

struct bur_tensor {
    bur_context *context;
    bur_desc desc;
    size_t bytes;
    void *data;
};

bur_status bur_tensor_create(bur_tensor **out, bur_context *context, bur_dtype dtype,
                             const bur_shape *shape)
{
    if (out == NULL || context == NULL || shape == NULL || (unsigned)dtype >= BUR_DTYPE_COUNT)
        return bur_fail(BUR_E_ARG, "bur_tensor_create: NULL argument or unknown dtype %d",
                        (int)dtype);
    size_t bytes = 0;
    BUR_TRY(bur_shape_bytes(&bytes, shape, dtype));
    bur_tensor *tensor = bur_alloc(context, sizeof *tensor);
    if (tensor == NULL)
        return BUR_E_NOMEM;
    tensor->data = bur_alloc(context, bytes);
    if (tensor->data == NULL) {
        bur_free(context, tensor);
        return BUR_E_NOMEM;
    }
    tensor->context = context;
    tensor->desc = bur_desc_make(dtype, shape);
    tensor->bytes = bytes;
    *out = tensor;
    return BUR_OK;
}

void bur_tensor_destroy(bur_tensor *tensor)
{
    if (tensor == NULL)
        return;
    bur_free(tensor->context, tensor->data);
    bur_free(tensor->context, tensor);
}

void *bur_tensor_data(bur_tensor *tensor)
{
    return tensor->data;
}

const void *bur_tensor_data_const(const bur_tensor *tensor)
{
    return tensor->data;
}

const bur_desc *bur_tensor_desc(const bur_tensor *tensor)
{
    return &tensor->desc;
}

size_t bur_tensor_bytes(const bur_tensor *tensor)
{
    return tensor->bytes;
}
