/* Shape rules of rows that move elements: transpose, slice, pad, concat, where, cast, embedding,
 * resize. */
#include "rules.h"

#include <inttypes.h>

#define SHAPE_OF(shape) bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, shape)

int32_t bur__axis_of(int32_t axis, int32_t rank)
{
    return axis < 0 ? axis + rank : axis;
}

int32_t bur__transposed_dim(const bur_transpose_attr *attr, const bur_shape *x, int32_t i)
{
    return attr->rank == 0 ? x->rank - 1 - i : attr->perm[i];
}

void bur__slice_range(const bur_slice_attr *attr, const bur_shape *x, int32_t d, int64_t *begin,
                      int64_t *end)
{
    *begin = attr->begin[d] < 0 ? attr->begin[d] + x->dim[d] : attr->begin[d];
    *end = attr->end[d] <= 0 ? attr->end[d] + x->dim[d] : attr->end[d];
}

/* Kernels move 4 bytes and 1. */
static bur_status check_movable(const bur_desc *x)
{
    if (x->dtype != BUR_F32 && x->dtype != BUR_F64 && x->dtype != BUR_I32 && x->dtype != BUR_U8)
        return bur_fail(BUR_E_DTYPE, "input is %s; f32, f64, i32 or u8 is needed",
                        bur_dtype_name((bur_dtype)x->dtype));
    return BUR_OK;
}

static bur_status check_float(const bur_desc *x)
{
    if (x->dtype != BUR_F32 && x->dtype != BUR_F64)
        return bur_fail(BUR_E_DTYPE, "input is %s; f32 or f64 is needed",
                        bur_dtype_name((bur_dtype)x->dtype));
    return BUR_OK;
}

bur_status bur_infer_transpose(const bur_call *call, bur_desc *outputs)
{
    const bur_transpose_attr *attr = &call->attr->transpose;
    const bur_shape *x = &call->inputs[0].shape;
    uint32_t seen = 0;
    BUR_TRY(check_movable(&call->inputs[0]));
    if (attr->rank != 0 && attr->rank != x->rank)
        return bur_fail(BUR_E_SHAPE, "a list of %" PRId32 " dimensions for %s", attr->rank,
                        SHAPE_OF(x));
    outputs[0] = call->inputs[0];
    for (int32_t i = 0; i < x->rank; i++) {
        const int32_t d = bur__transposed_dim(attr, x, i);
        if (d < 0 || d >= x->rank || (seen >> d & 1) != 0)
            return bur_fail(BUR_E_ARG, "dimension %" PRId32 " at %" PRId32 " of a list for %s", d,
                            i, SHAPE_OF(x));
        seen |= 1u << d;
        outputs[0].shape.dim[i] = x->dim[d];
    }
    return BUR_OK;
}

bur_status bur_infer_slice(const bur_call *call, bur_desc *outputs)
{
    const bur_shape *x = &call->inputs[0].shape;
    BUR_TRY(check_movable(&call->inputs[0]));
    outputs[0] = call->inputs[0];
    for (int32_t i = 0; i < x->rank; i++) {
        int64_t begin = 0, end = 0;
        bur__slice_range(&call->attr->slice, x, i, &begin, &end);
        if (begin < 0 || begin > end || end > x->dim[i])
            return bur_fail(BUR_E_SHAPE,
                            "elements %" PRId64 " to %" PRId64 " of dimension %" PRId32 " of %s",
                            begin, end, i, SHAPE_OF(x));
        outputs[0].shape.dim[i] = end - begin;
    }
    return BUR_OK;
}

bur_status bur_infer_pad(const bur_call *call, bur_desc *outputs)
{
    const bur_pad_attr *attr = &call->attr->pad;
    const bur_shape *x = &call->inputs[0].shape;
    BUR_TRY(check_movable(&call->inputs[0]));
    if (x->rank > BUR_PAD_RANK)
        return bur_fail(BUR_E_SHAPE, "%s has more than %d dimensions", SHAPE_OF(x), BUR_PAD_RANK);
    outputs[0] = call->inputs[0];
    for (int32_t i = 0; i < x->rank; i++) {
        if (attr->before[i] < 0 || attr->after[i] < 0)
            return bur_fail(BUR_E_ARG, "%" PRId32 " elements before and %" PRId32 " after %s",
                            attr->before[i], attr->after[i], SHAPE_OF(x));
        outputs[0].shape.dim[i] = attr->before[i] + x->dim[i] + attr->after[i];
    }
    return BUR_OK;
}

bur_status bur_infer_concat(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *first = &call->inputs[0];
    const int32_t axis = bur__axis_of(call->attr->concat.axis, first->shape.rank);
    BUR_TRY(check_movable(first));
    if (axis < 0 || axis >= first->shape.rank)
        return bur_fail(BUR_E_ARG, "axis %" PRId32 " of %s", call->attr->concat.axis,
                        SHAPE_OF(&first->shape));
    outputs[0] = *first;
    for (int32_t i = 1; i < call->n_inputs; i++) {
        bur_shape like = call->inputs[i].shape;
        if (call->inputs[i].dtype != first->dtype)
            return bur_fail(BUR_E_DTYPE, "inputs 0 and %" PRId32 " are %s and %s", i,
                            bur_dtype_name((bur_dtype)first->dtype),
                            bur_dtype_name((bur_dtype)call->inputs[i].dtype));
        if (like.rank == first->shape.rank)
            like.dim[axis] = first->shape.dim[axis];
        if (!bur_shape_equal(&like, &first->shape))
            return bur_fail(BUR_E_SHAPE, "%s and %s differ beside axis %" PRId32,
                            SHAPE_OF(&first->shape), SHAPE_OF(&call->inputs[i].shape), axis);
        outputs[0].shape.dim[axis] += call->inputs[i].shape.dim[axis];
    }
    return BUR_OK;
}

bur_status bur_infer_where(const bur_call *call, bur_desc *outputs)
{
    if (call->inputs[0].dtype != BUR_U8)
        return bur_fail(BUR_E_DTYPE, "a mask is u8, not %s",
                        bur_dtype_name((bur_dtype)call->inputs[0].dtype));
    BUR_TRY(bur__infer_broadcast_from(call, 1, outputs));
    return bur__broadcast_shape(&outputs[0].shape, &outputs[0].shape, &call->inputs[0].shape);
}

bur_status bur_infer_cast(const bur_call *call, bur_desc *outputs)
{
    const int32_t to = call->attr->cast.dtype;
    BUR_TRY(check_movable(&call->inputs[0]));
    if (to != BUR_F32 && to != BUR_F64 && to != BUR_I32 && to != BUR_U8)
        return bur_fail(BUR_E_DTYPE, "a cast to type %" PRId32 "; f32, i32 and u8 are possible",
                        to);
    outputs[0] = call->inputs[0];
    outputs[0].dtype = to;
    return BUR_OK;
}

static bur_status check_ids(const bur_desc *ids)
{
    if (ids->dtype != BUR_I32)
        return bur_fail(BUR_E_DTYPE, "ids are i32, not %s", bur_dtype_name((bur_dtype)ids->dtype));
    return BUR_OK;
}

bur_status bur_infer_embedding(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *table = &call->inputs[0], *ids = &call->inputs[1];
    BUR_TRY(check_float(table));
    BUR_TRY(check_ids(ids));
    if (table->shape.rank < 1 || ids->shape.rank < 1 ||
        table->shape.rank - 1 + ids->shape.rank > BUR_MAX_RANK)
        return bur_fail(BUR_E_SHAPE,
                        "a table %s and ids %s give more than %d dimensions or have none",
                        SHAPE_OF(&table->shape), SHAPE_OF(&ids->shape), BUR_MAX_RANK);
    bur_shape shape = ids->shape;
    for (int32_t i = 1; i < table->shape.rank; i++)
        shape.dim[shape.rank++] = table->shape.dim[i];
    outputs[0] = bur_desc_make((bur_dtype)table->dtype, &shape);
    return BUR_OK;
}

bur_status bur_infer_embedding_grad(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *dy = &call->inputs[0], *ids = &call->inputs[1];
    const int32_t rows = call->attr->embedding.rows;
    BUR_TRY(check_float(dy));
    BUR_TRY(check_ids(ids));
    if (rows < 0 || ids->shape.rank < 1)
        return bur_fail(BUR_E_ARG, "a table of %" PRId32 " rows for ids %s", rows,
                        SHAPE_OF(&ids->shape));
    bur_shape leading = dy->shape, table = {.rank = 1, .dim = {rows}};
    for (int32_t i = ids->shape.rank; i < dy->shape.rank; i++) {
        table.dim[table.rank++] = dy->shape.dim[i];
        leading.dim[i] = 0;
    }
    leading.rank = ids->shape.rank;
    if (dy->shape.rank < ids->shape.rank || !bur_shape_equal(&leading, &ids->shape))
        return bur_fail(BUR_E_SHAPE, "%s are not rows for ids %s", SHAPE_OF(&dy->shape),
                        SHAPE_OF(&ids->shape));
    outputs[0] = bur_desc_make((bur_dtype)dy->dtype, &table);
    return BUR_OK;
}

static bur_status resized(const bur_call *call, const char *what, const int32_t *size,
                          bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[0];
    const int32_t mode = call->attr->resize.mode;
    BUR_TRY(check_float(x));
    if (x->shape.rank != 4 || x->shape.dim[1] < 1 || x->shape.dim[2] < 1)
        return bur_fail(BUR_E_SHAPE, "images [n, y, x, c] are needed, not %s", SHAPE_OF(&x->shape));
    if (mode != BUR_NEAREST && mode != BUR_BILINEAR)
        return bur_fail(BUR_E_ARG, "mode %" PRId32 " is not %d or %d", mode, BUR_NEAREST,
                        BUR_BILINEAR);
    if (size[0] < 1 || size[1] < 1)
        return bur_fail(BUR_E_ARG, "%s %" PRId32 ",%" PRId32 " for images %s", what, size[0],
                        size[1], SHAPE_OF(&x->shape));
    outputs[0] = *x;
    for (int i = 0; i < 2; i++) {
        if (x->shape.dim[1 + i] > 1 << 14 || size[i] > 1 << 14) /* places are exact in int */
            return bur_fail(BUR_E_RANGE, "%s to %" PRId32 ",%" PRId32 ": %d is the largest size",
                            SHAPE_OF(&x->shape), size[0], size[1], 1 << 14);
        outputs[0].shape.dim[1 + i] = size[i];
    }
    return BUR_OK;
}

bur_status bur_infer_resize(const bur_call *call, bur_desc *outputs)
{
    return resized(call, "size", call->attr->resize.size, outputs);
}

bur_status bur_infer_resize_grad(const bur_call *call, bur_desc *outputs)
{
    return resized(call, "input_size", call->attr->resize.input_size, outputs);
}
