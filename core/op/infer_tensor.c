/* Shape rules of broadcasting and reductions. */
#include "rules.h"

#include <inttypes.h>
#include <string.h>

#define SHAPE_OF(shape) bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, shape)

static bur_status check_floats(const bur_desc *descs, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (descs[i].dtype != BUR_F32 && descs[i].dtype != BUR_F64)
            return bur_fail(BUR_E_DTYPE, "input %" PRId32 " is %s; f32 or f64 is needed", i,
                            bur_dtype_name((bur_dtype)descs[i].dtype));
        if (descs[i].dtype != descs[0].dtype)
            return bur_fail(BUR_E_DTYPE, "inputs 0 and %" PRId32 " are %s and %s", i,
                            bur_dtype_name((bur_dtype)descs[0].dtype),
                            bur_dtype_name((bur_dtype)descs[i].dtype));
    }
    return BUR_OK;
}

/* The shape that a and b broadcast to: aligned at the end, sizes are equal or one of them is 1.
 * Source: NumPy, "Broadcasting". */
bur_status bur__broadcast_shape(bur_shape *out, const bur_shape *a, const bur_shape *b)
{
    const bur_shape *longer = a->rank >= b->rank ? a : b, *shorter = longer == a ? b : a;
    bur_shape shape = *longer;
    const int32_t ahead = longer->rank - shorter->rank;
    for (int32_t i = 0; i < shorter->rank; i++) {
        int64_t *dim = &shape.dim[ahead + i];
        if (*dim != shorter->dim[i] && *dim != 1 && shorter->dim[i] != 1)
            return bur_fail(BUR_E_SHAPE, "%s and %s do not broadcast: %" PRId64 " and %" PRId64,
                            SHAPE_OF(a), SHAPE_OF(b), *dim, shorter->dim[i]);
        if (*dim == 1)
            *dim = shorter->dim[i];
    }
    *out = shape;
    return BUR_OK;
}

bur_status bur__infer_broadcast_from(const bur_call *call, int32_t from, bur_desc *outputs)
{
    BUR_TRY(check_floats(call->inputs + from, call->n_inputs - from));
    outputs[0] = call->inputs[from];
    for (int32_t i = from + 1; i < call->n_inputs; i++)
        BUR_TRY(bur__broadcast_shape(&outputs[0].shape, &outputs[0].shape, &call->inputs[i].shape));
    return BUR_OK;
}

bur_status bur_infer_broadcast(const bur_call *call, bur_desc *outputs)
{
    return bur__infer_broadcast_from(call, 0, outputs);
}

/* Products of the matrices of the leading dimensions, which are broadcast. */
bur_status bur_infer_batch_matmul(const bur_call *call, bur_desc *outputs)
{
    const bur_matmul_attr *attr = &call->attr->matmul;
    const bur_shape *a = &call->inputs[0].shape, *b = &call->inputs[1].shape;
    BUR_TRY(check_floats(call->inputs, 2));
    if (attr->activation != BUR_LINEAR)
        return bur_fail(BUR_E_ARG, "activation %" PRId32 "; the row has none", attr->activation);
    if (a->rank < 2 || b->rank < 2)
        return bur_fail(BUR_E_SHAPE, "matrices are needed, not %s and %s", SHAPE_OF(a),
                        SHAPE_OF(b));
    const int ta = attr->transpose_a != 0, tb = attr->transpose_b != 0;
    const int64_t *rows = &a->dim[a->rank - 2], *columns = &b->dim[b->rank - 2];
    if (rows[1 - ta] != columns[tb])
        return bur_fail(BUR_E_SHAPE,
                        "inner sizes differ: %" PRId64 " and %" PRId64 " (%s%s times %s%s)",
                        rows[1 - ta], columns[tb], SHAPE_OF(a), ta ? " transposed" : "",
                        SHAPE_OF(b), tb ? " transposed" : "");
    bur_shape a_batch = *a, b_batch = *b;
    for (int i = 1; i <= 2; i++)
        a_batch.dim[a->rank - i] = b_batch.dim[b->rank - i] = 1;
    outputs[0] = call->inputs[0];
    bur_shape *y = &outputs[0].shape;
    if (bur__broadcast_shape(y, &a_batch, &b_batch) != BUR_OK)
        return bur_fail(BUR_E_SHAPE, "the matrices of %s and %s do not broadcast", SHAPE_OF(a),
                        SHAPE_OF(b));
    y->dim[y->rank - 2] = rows[ta];
    y->dim[y->rank - 1] = columns[1 - tb];
    return BUR_OK;
}

static bur_status shape_of_list(bur_shape *out, int32_t rank, const int32_t *list)
{
    int64_t dim[BUR_MAX_RANK];
    if (rank < 1 || rank > BUR_MAX_RANK)
        return bur_fail(BUR_E_ARG, "rank %" PRId32 " is not in 1..%d", rank, BUR_MAX_RANK);
    for (int32_t i = 0; i < rank; i++)
        dim[i] = list[i];
    return bur_shape_make(out, rank, dim);
}

/* Whether `from` broadcasts to just `to`. */
static bur_status check_broadcasts_to(const bur_shape *from, const bur_shape *to)
{
    bur_shape both;
    const bur_status status = bur__broadcast_shape(&both, from, to);
    if (status == BUR_OK && !bur_shape_equal(&both, to))
        return bur_fail(BUR_E_SHAPE, "%s does not broadcast to %s", SHAPE_OF(from), SHAPE_OF(to));
    return status;
}

bool bur__is_gate(const bur_shape *x, const bur_shape *s)
{
    return x->rank == 4 && s->rank == 4 && s->dim[0] == x->dim[0] && s->dim[1] == 1 &&
           s->dim[2] == 1 && s->dim[3] == x->dim[3];
}

bur_status bur_infer_gate_grad(const bur_call *call, bur_desc *outputs)
{
    const bur_shape *dy = &call->inputs[0].shape, *x = &call->inputs[1].shape;
    BUR_TRY(check_floats(call->inputs, call->n_inputs));
    if (!bur_shape_equal(dy, x))
        return bur_fail(BUR_E_SHAPE, "gradient %s, input %s", SHAPE_OF(dy), SHAPE_OF(x));
    if (!bur__is_gate(x, &call->inputs[2].shape))
        return bur_fail(BUR_E_SHAPE, "%s is no factor for each channel of %s",
                        SHAPE_OF(&call->inputs[2].shape), SHAPE_OF(x));
    outputs[0] = call->inputs[1];
    outputs[1] = call->inputs[2];
    return BUR_OK;
}

bur_status bur_infer_broadcast_to(const bur_call *call, bur_desc *outputs)
{
    const bur_reshape_attr *attr = &call->attr->reshape;
    bur_shape shape;
    BUR_TRY(check_floats(call->inputs, 1));
    BUR_TRY(shape_of_list(&shape, attr->rank, attr->shape));
    BUR_TRY(check_broadcasts_to(&call->inputs[0].shape, &shape));
    outputs[0] = bur_desc_make((bur_dtype)call->inputs[0].dtype, &shape);
    return BUR_OK;
}

/* ---- reductions ---- */

uint32_t bur__reduced_axes(const bur_attr *attr, const bur_shape *x)
{
    const bur_reduce_attr *reduce = &attr->reduce;
    const uint32_t all = (1u << x->rank) - 1;
    if (reduce->axes != 0)
        return (uint32_t)reduce->axes & all;
    if (reduce->rank == 0 || reduce->rank > x->rank)
        return all;
    uint32_t axes = 0; /* to a shape */
    const int32_t ahead = x->rank - reduce->rank;
    for (int32_t i = 0; i < x->rank; i++)
        if (i < ahead || (reduce->shape[i - ahead] == 1 && x->dim[i] != 1))
            axes |= 1u << i;
    return axes;
}

static bur_status check_axes(const bur_reduce_attr *attr, const bur_shape *x)
{
    if (attr->axes < 0 || attr->axes >= 1 << x->rank)
        return bur_fail(BUR_E_ARG, "axes %" PRId32 " of %s: the mask ends at %d", attr->axes,
                        SHAPE_OF(x), (1 << x->rank) - 1);
    return BUR_OK;
}

/* The shape without its axes, or with ones for them. */
static bur_shape without_axes(const bur_shape *x, uint32_t axes, bool keep)
{
    bur_shape shape = {.rank = 0};
    for (int32_t i = 0; i < x->rank; i++)
        if ((axes >> i & 1) == 0)
            shape.dim[shape.rank++] = x->dim[i];
        else if (keep)
            shape.dim[shape.rank++] = 1;
    return shape;
}

static bur_status check_positions(const bur_shape *x, uint32_t axes)
{
    int64_t count = 1;
    for (int32_t i = 0; i < x->rank; i++)
        if ((axes >> i & 1) != 0)
            count *= x->dim[i];
    if (count < 1 || count > INT32_MAX)
        return bur_fail(BUR_E_SHAPE,
                        "a maximum of %" PRId64 " elements of %s; 1 to %d are possible", count,
                        SHAPE_OF(x), INT32_MAX);
    return BUR_OK;
}

bur_status bur_infer_reduce(const bur_call *call, bur_desc *outputs)
{
    const bur_reduce_attr *attr = &call->attr->reduce;
    const bur_desc *x = &call->inputs[0];
    BUR_TRY(check_floats(x, 1));
    BUR_TRY(check_axes(attr, &x->shape));
    const uint32_t axes = bur__reduced_axes(call->attr, &x->shape);
    outputs[0] = *x;
    if (attr->rank != 0) {
        if (call->op != BUR_OP_reduce_sum || attr->axes != 0)
            return bur_fail(BUR_E_ARG, "a shape to reduce to is for sums, and without axes");
        BUR_TRY(shape_of_list(&outputs[0].shape, attr->rank, attr->shape));
        return check_broadcasts_to(&outputs[0].shape, &x->shape);
    }
    outputs[0].shape = without_axes(&x->shape, axes, attr->keep_dims != 0);
    if (call->op == BUR_OP_reduce_max)
        BUR_TRY(check_positions(&x->shape, axes));
    outputs[1] = bur_desc_make(BUR_I32, &outputs[0].shape);
    return BUR_OK;
}

bur_status bur_infer_reduce_max_grad(const bur_call *call, bur_desc *outputs)
{
    const bur_reduce_attr *attr = &call->attr->reduce;
    const bur_desc *dy = &call->inputs[0], *index = &call->inputs[1];
    bur_shape x;
    BUR_TRY(check_floats(dy, 1));
    BUR_TRY(shape_of_list(&x, attr->rank, attr->shape));
    BUR_TRY(check_axes(attr, &x));
    const uint32_t axes = attr->axes != 0 ? (uint32_t)attr->axes : (1u << x.rank) - 1;
    const bur_shape wanted = without_axes(&x, axes, attr->keep_dims != 0);
    if (index->dtype != BUR_I32)
        return bur_fail(BUR_E_DTYPE, "positions are i32, not %s",
                        bur_dtype_name((bur_dtype)index->dtype));
    if (!bur_shape_equal(&dy->shape, &wanted) || !bur_shape_equal(&index->shape, &wanted))
        return bur_fail(BUR_E_SHAPE, "%s and %s; both must be %s", SHAPE_OF(&dy->shape),
                        SHAPE_OF(&index->shape), SHAPE_OF(&wanted));
    BUR_TRY(check_positions(&x, axes));
    outputs[0] = bur_desc_make((bur_dtype)dy->dtype, &x);
    return BUR_OK;
}
