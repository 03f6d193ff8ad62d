/* Writing safetensors files: u64 length of the header, JSON header padded to 8 bytes with spaces,
 * data. Tensors are laid out as the reference implementation does: by dtype, then by name. */
#include "replace.h"
#include "safetensors.h"
#include "../base/size.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are written as they lie in memory");

static int compare(const void *a, const void *b)
{
    const bur_named_tensor *x = *(const bur_named_tensor *const *)a;
    const bur_named_tensor *y = *(const bur_named_tensor *const *)b;
    const int32_t rank_x = bur__safetensors_dtype_rank((bur_dtype)x->desc.dtype);
    const int32_t rank_y = bur__safetensors_dtype_rank((bur_dtype)y->desc.dtype);
    return rank_x != rank_y ? (rank_x > rank_y) - (rank_x < rank_y) : strcmp(x->name, y->name);
}

static bur_status check_tensor(const bur_named_tensor *tensor)
{
    if (tensor->name == NULL || strcmp(tensor->name, BUR__SAFETENSORS_METADATA) == 0)
        return bur_fail(BUR_E_ARG, "a tensor cannot be named %s",
                        tensor->name == NULL ? "NULL" : tensor->name);
    if ((uint32_t)tensor->desc.dtype >= BUR_DTYPE_COUNT || tensor->desc.layout != BUR_LAYOUT_PLAIN)
        return bur_fail(BUR_E_ARG,
                        "tensor '%s' has dtype %" PRId32 " and layout %" PRIu32
                        "; a known dtype and the plain layout are needed",
                        tensor->name, tensor->desc.dtype, tensor->desc.layout);
    size_t bytes = 0;
    const bur_status status =
        bur_shape_bytes(&bytes, &tensor->desc.shape, (bur_dtype)tensor->desc.dtype);
    if (status != BUR_OK)
        return bur_fail_in(status, "tensor '%s'", tensor->name);
    if (tensor->data == NULL && bytes > 0)
        return bur_fail(BUR_E_ARG, "tensor '%s' has no data", tensor->name);
    return BUR_OK;
}

/* Adds `value`, which is consumed, as a new key. jansson refuses what is not UTF-8. */
static bur_status add(json_t *object, const char *key, json_t *value)
{
    if (json_object_get(object, key) != NULL) {
        json_decref(value);
        return bur_fail(BUR_E_ARG, "the name '%s' is given twice", key);
    }
    if (json_object_set_new(object, key, value) != 0)
        return bur_fail(BUR_E_ARG, "the name '%s' or its value is not UTF-8, or there is no memory",
                        key);
    return BUR_OK;
}

static json_t *describe(const bur_named_tensor *tensor, size_t first, size_t last)
{
    json_t *shape = json_array();
    for (int32_t i = 0; i < tensor->desc.shape.rank; i++)
        json_array_append_new(shape, json_integer(tensor->desc.shape.dim[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                     bur__safetensors_dtype_name((bur_dtype)tensor->desc.dtype), "shape", shape,
                     "data_offsets", (json_int_t)first, (json_int_t)last);
}

static bur_status fill_header(json_t *root, const bur_named_tensor *const *order, int32_t count,
                              const char *const *metadata, int32_t n_metadata)
{
    if (n_metadata > 0) {
        json_t *pairs = json_object();
        BUR_TRY(add(root, BUR__SAFETENSORS_METADATA, pairs));
        for (int32_t i = 0; i < n_metadata; i++)
            BUR_TRY(add(pairs, metadata[2 * i], json_string(metadata[2 * i + 1])));
    }
    size_t first = 0;
    for (int32_t i = 0; i < count; i++) {
        size_t last = 0;
        if (!bur_size_add(&last, first, bur_desc_bytes(&order[i]->desc)) || last > INT64_MAX)
            return bur_fail(BUR_E_RANGE, "the tensors are more than 2^63 bytes");
        BUR_TRY(add(root, order[i]->name, describe(order[i], first, last)));
        first = last;
    }
    return BUR_OK;
}

static bur_status write_header(bur__replace *file, const char *text, size_t bytes)
{
    const size_t padded = bur_size_align(bytes, 8);
    if (padded > BUR__SAFETENSORS_MAX_HEADER_BYTES)
        return bur_fail(BUR_E_RANGE, "a header of %zu bytes; at most %d are possible", padded,
                        BUR__SAFETENSORS_MAX_HEADER_BYTES);
    const uint64_t length = padded;
    BUR_TRY(bur__replace_write(file, &length, sizeof length));
    BUR_TRY(bur__replace_write(file, text, bytes));
    return bur__replace_write(file, "        ", padded - bytes);
}

static bur_status write_file(bur_context *context, const char *path, const char *text,
                             const bur_named_tensor *const *order, int32_t count)
{
    bur__replace file = {0};
    BUR_TRY(bur__replace_begin(&file, context, path));
    bur_status status = write_header(&file, text, strlen(text));
    for (int32_t i = 0; i < count && status == BUR_OK; i++)
        status = bur__replace_write(&file, order[i]->data, bur_desc_bytes(&order[i]->desc));
    return bur__replace_end(&file, status);
}

static bur_status save(bur_context *context, const char *path, const bur_named_tensor *const *order,
                       int32_t count, const char *const *metadata, int32_t n_metadata)
{
    json_t *root = json_object();
    char *text = NULL;
    bur_status status = root == NULL ? bur_fail(BUR_E_NOMEM, "no memory for a header")
                                     : fill_header(root, order, count, metadata, n_metadata);
    if (status == BUR_OK) {
        text = json_dumps(root, JSON_COMPACT);
        status = text == NULL ? bur_fail(BUR_E_NOMEM, "no memory for a header")
                              : write_file(context, path, text, order, count);
    }
    free(text); /* jansson's */
    json_decref(root);
    return status;
}

bur_status bur_safetensors_save(bur_context *context, const char *path,
                                const bur_named_tensor *tensors, int32_t count,
                                const char *const *metadata, int32_t n_metadata)
{
    if (context == NULL || path == NULL || count < 0 || (tensors == NULL && count > 0) ||
        n_metadata < 0 || (metadata == NULL && n_metadata > 0))
        return bur_fail(BUR_E_ARG, "bur_safetensors_save: NULL argument or negative count");
    for (int32_t i = 0; i < count; i++)
        BUR_TRY(check_tensor(&tensors[i]));
    for (int32_t i = 0; i < 2 * n_metadata; i++)
        if (metadata[i] == NULL)
            return bur_fail(BUR_E_ARG, "metadata %" PRId32 " has no %s", i / 2,
                            i % 2 == 0 ? "key" : "value");
    const bur_named_tensor **order = bur_alloc_array(context, (size_t)count, sizeof *order);
    if (order == NULL)
        return BUR_E_NOMEM;
    for (int32_t i = 0; i < count; i++)
        order[i] = &tensors[i];
    qsort(order, (size_t)count, sizeof *order, compare);
    const bur_status status = save(context, path, order, count, metadata, n_metadata);
    bur_free(context, order);
    return status;
}
