/* Shape rules of attention. */
#include "rules.h"

#include <inttypes.h>

#define SHAPE(a) bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &(a)->shape)

static bool is_packed(bur_op op)
{
    return op == BUR_OP_self_attention || op == BUR_OP_self_attention_grad;
}

static bur_status check_types(const bur_desc *descs, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if ((descs[i].dtype != BUR_F32 && descs[i].dtype != BUR_F64) ||
            descs[i].dtype != descs[0].dtype)
            return bur_fail(BUR_E_DTYPE, "inputs are %s and %s; all f32 or all f64 are needed",
                            bur_dtype_name((bur_dtype)descs[0].dtype),
                            bur_dtype_name((bur_dtype)descs[i].dtype));
    return BUR_OK;
}

/* q, k and v, or x: three dimensions each, none but the batch empty, that belong together. */
static bur_status check_sequences(const bur_desc *x, bool packed)
{
    for (int32_t i = 0; i < (packed ? 1 : 3); i++) {
        if (x[i].shape.rank != 3)
            return bur_fail(BUR_E_SHAPE, "%s; [N, length, channels] is needed", SHAPE(&x[i]));
        if (x[i].shape.dim[1] < 1 || x[i].shape.dim[2] < 1)
            return bur_fail(BUR_E_SHAPE, "the sequence %s is empty", SHAPE(&x[i]));
    }
    if (packed)
        return x->shape.dim[2] % 3 == 0
                   ? BUR_OK
                   : bur_fail(BUR_E_SHAPE, "%s is no q, k and v side by side", SHAPE(x));
    if (x[0].shape.dim[0] != x[1].shape.dim[0] || x[0].shape.dim[2] != x[1].shape.dim[2])
        return bur_fail(BUR_E_SHAPE, "queries %s, keys %s", SHAPE(&x[0]), SHAPE(&x[1]));
    return bur_shape_equal(&x[1].shape, &x[2].shape)
               ? BUR_OK
               : bur_fail(BUR_E_SHAPE, "keys %s, values %s", SHAPE(&x[1]), SHAPE(&x[2]));
}

static bur_status check_lengths(const bur_desc *lengths, const bur_desc *q)
{
    if (lengths->dtype != BUR_I32)
        return bur_fail(BUR_E_DTYPE, "lengths are i32, not %s",
                        bur_dtype_name((bur_dtype)lengths->dtype));
    return lengths->shape.rank == 1 && lengths->shape.dim[0] == q->shape.dim[0]
               ? BUR_OK
               : bur_fail(BUR_E_SHAPE, "lengths %s for %s", SHAPE(lengths), SHAPE(q));
}

/* What the forward inputs, from input `from` on, give: y and the logarithms of sums. */
static bur_status outputs_of(const bur_call *call, int32_t from, bur_desc *y, bur_desc *log_sums)
{
    const bur_attention_attr *attr = &call->attr->attention;
    const bur_desc *x = &call->inputs[from];
    const bool packed = is_packed(call->op);
    const int32_t n = packed ? 1 : 3;
    const int64_t heads = attr->heads == 0 ? 1 : attr->heads;
    BUR_TRY(check_types(x, n));
    BUR_TRY(check_sequences(x, packed));
    if (call->n_inputs > from + n)
        BUR_TRY(check_lengths(&x[n], x));
    *y = *x;
    y->shape.dim[2] /= packed ? 3 : 1;
    if (heads < 1 || y->shape.dim[2] % heads != 0)
        return bur_fail(BUR_E_SHAPE, "%" PRId64 " heads do not divide %" PRId64 " channels", heads,
                        y->shape.dim[2]);
    if (!(attr->scale >= 0))
        return bur_fail(BUR_E_ARG, "scale %g is negative", (double)attr->scale);
    *log_sums = *y;
    log_sums->shape.dim[1] = heads;
    log_sums->shape.dim[2] = x->shape.dim[1];
    return BUR_OK;
}

bur_status bur_infer_attention(const bur_call *call, bur_desc *outputs)
{
    return outputs_of(call, 0, &outputs[0], &outputs[1]);
}

/* dy, y, the logarithms, then the forward inputs; a gradient for each of those but the lengths. */
bur_status bur_infer_attention_grad(const bur_call *call, bur_desc *outputs)
{
    enum { FORWARD = 3 };
    bur_desc y = {0}, log_sums = {0};
    BUR_TRY(outputs_of(call, FORWARD, &y, &log_sums));
    BUR_TRY(check_types(call->inputs, FORWARD + 1));
    for (int32_t i = 0; i < FORWARD; i++) {
        const bur_desc *wanted = i == 2 ? &log_sums : &y;
        if (!bur_shape_equal(&call->inputs[i].shape, &wanted->shape))
            return bur_fail(BUR_E_SHAPE, "input %" PRId32 " is %s where %s is needed", i,
                            SHAPE(&call->inputs[i]), SHAPE(wanted));
    }
    for (int32_t i = 0; i < (is_packed(call->op) ? 1 : 3); i++)
        outputs[i] = call->inputs[FORWARD + i];
    return BUR_OK;
}
