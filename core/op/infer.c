/* Shape rules of products, pointwise rows, losses and optimizers. */
#include "rules.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Both shapes of a mismatch, as text. */
#define SHAPES(a, b)                                                                               \
    bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &(a)->shape),                      \
        bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &(b)->shape)
#define SHAPE(a) bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &(a)->shape)

static bool is_float(const bur_desc *desc)
{
    return desc->dtype == BUR_F32 || desc->dtype == BUR_F64;
}

static bur_status check_floats(const bur_call *call, int32_t from, int32_t to)
{
    for (int32_t i = from; i < to; i++) {
        if (!is_float(&call->inputs[i]))
            return bur_fail(BUR_E_DTYPE, "input %" PRId32 " is %s; f32 or f64 is needed", i,
                            bur_dtype_name((bur_dtype)call->inputs[i].dtype));
        if (call->inputs[i].dtype != call->inputs[from].dtype)
            return bur_fail(BUR_E_DTYPE, "inputs %" PRId32 " and %" PRId32 " are %s and %s", from,
                            i, bur_dtype_name((bur_dtype)call->inputs[from].dtype),
                            bur_dtype_name((bur_dtype)call->inputs[i].dtype));
    }
    return BUR_OK;
}

static bur_status check_scalars(const bur_desc *desc)
{
    if (desc->dtype != BUR_I32)
        return bur_fail(BUR_E_DTYPE, "step scalars are i32, not %s",
                        bur_dtype_name((bur_dtype)desc->dtype));
    if (desc->shape.rank != 1 || desc->shape.dim[0] != BUR_SCALAR_WORDS)
        return bur_fail(BUR_E_SHAPE, "step scalars are i32[%d], not %s", BUR_SCALAR_WORDS,
                        SHAPE(desc));
    return BUR_OK;
}

static int64_t last(const bur_desc *desc)
{
    return desc->shape.dim[desc->shape.rank - 1];
}

static bur_desc vector_of(const bur_desc *like, int64_t n)
{
    bur_desc desc = {.dtype = like->dtype, .shape = {.rank = 1, .dim = {n}}};
    return desc;
}

static bur_status check_bias(const bur_desc *bias, int64_t channels)
{
    if (bias->shape.rank != 1 || bias->shape.dim[0] != channels)
        return bur_fail(BUR_E_SHAPE, "bias %s for %" PRId64 " channels", SHAPE(bias), channels);
    return BUR_OK;
}

bur_status bur__op_check_activation(int32_t activation, float alpha)
{
    if (activation < BUR_LINEAR || activation >= BUR_SOFTMAX)
        return bur_fail(BUR_E_ARG, "activation %" PRId32 " is not a pointwise one", activation);
    if (!(alpha >= 0))
        return bur_fail(BUR_E_ARG, "alpha %g is negative", (double)alpha);
    return BUR_OK;
}

bur_status bur_infer_matmul(const bur_call *call, bur_desc *outputs)
{
    const bur_matmul_attr *attr = &call->attr->matmul;
    const bur_desc *a = &call->inputs[0], *b = &call->inputs[1];
    const bool has_bias = call->n_inputs == 3;
    BUR_TRY(check_floats(call, 0, has_bias ? 3 : 2));
    if (a->shape.rank != 2 || b->shape.rank != 2)
        return bur_fail(BUR_E_SHAPE, "matrices are needed, not %s and %s", SHAPES(a, b));
    const int ta = attr->transpose_a != 0, tb = attr->transpose_b != 0;
    if (a->shape.dim[1 - ta] != b->shape.dim[tb])
        return bur_fail(BUR_E_SHAPE,
                        "inner sizes differ: %" PRId64 " and %" PRId64 " (%s%s times %s%s)",
                        a->shape.dim[1 - ta], b->shape.dim[tb], SHAPE(a), ta ? " transposed" : "",
                        SHAPE(b), tb ? " transposed" : "");
    BUR_TRY(bur__op_check_activation(attr->activation, attr->alpha));
    outputs[0].dtype = a->dtype;
    BUR_TRY(
        bur_shape_make(&outputs[0].shape, 2, (int64_t[]){a->shape.dim[ta], b->shape.dim[1 - tb]}));
    return has_bias ? check_bias(&call->inputs[2], outputs[0].shape.dim[1]) : BUR_OK;
}

bur_status bur_infer_bias_add(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(check_floats(call, 0, 2));
    if (call->inputs[0].shape.rank < 1)
        return bur_fail(BUR_E_SHAPE, "a scalar has no channels");
    BUR_TRY(check_bias(&call->inputs[1], last(&call->inputs[0])));
    outputs[0] = call->inputs[0];
    return BUR_OK;
}

bur_status bur_infer_bias_grad(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(check_floats(call, 0, 1));
    if (call->inputs[0].shape.rank < 1)
        return bur_fail(BUR_E_SHAPE, "a scalar has no channels");
    outputs[0] = vector_of(&call->inputs[0], last(&call->inputs[0]));
    return BUR_OK;
}

bur_status bur_infer_bias_act_grad(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(bur_infer_activation(call, outputs));
    if (outputs[0].shape.rank < 1)
        return bur_fail(BUR_E_SHAPE, "a scalar has no channels");
    outputs[1] = vector_of(&outputs[0], last(&outputs[0]));
    return BUR_OK;
}

bur_status bur_infer_same(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(check_floats(call, 0, 1));
    outputs[0] = call->inputs[0];
    return BUR_OK;
}

bur_status bur_infer_same2(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(check_floats(call, 0, 2));
    if (!bur_shape_equal(&call->inputs[0].shape, &call->inputs[1].shape))
        return bur_fail(BUR_E_SHAPE, "shapes differ: %s and %s",
                        SHAPES(&call->inputs[0], &call->inputs[1]));
    return bur_infer_same(call, outputs);
}

/* A pointwise activation, or its gradient from dy and y. */
bur_status bur_infer_activation(const bur_call *call, bur_desc *outputs)
{
    const bur_activation_attr *attr = &call->attr->activation;
    BUR_TRY(bur__op_check_activation(attr->activation, attr->alpha));
    return call->n_inputs == 2 ? bur_infer_same2(call, outputs) : bur_infer_same(call, outputs);
}

/* Of the last axis: softmax, log_softmax and their gradients. */
bur_status bur_infer_softmax(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(call->n_inputs == 2 ? bur_infer_same2(call, outputs) : bur_infer_same(call, outputs));
    if (outputs[0].shape.rank < 1 || last(&outputs[0]) < 1)
        return bur_fail(BUR_E_SHAPE, "%s has no classes along its last axis", SHAPE(&outputs[0]));
    return BUR_OK;
}

bur_status bur_infer_same_scalars(const bur_call *call, bur_desc *outputs)
{
    const float rate = call->attr->dropout.rate;
    if (!(rate >= 0 && rate < 1))
        return bur_fail(BUR_E_ARG, "rate %g is not in [0, 1)", (double)rate);
    if (call->inputs[0].shape.rank < 1)
        return bur_fail(BUR_E_SHAPE, "a scalar has no samples");
    BUR_TRY(check_scalars(&call->inputs[1]));
    return bur_infer_same(call, outputs);
}

bur_status bur_infer_reshape(const bur_call *call, bur_desc *outputs)
{
    const bur_reshape_attr *attr = &call->attr->reshape;
    const bur_desc *x = &call->inputs[0];
    int64_t dim[BUR_MAX_RANK], count = 0, known = 1;
    int32_t open = -1;
    if (attr->rank < 1 || attr->rank > BUR_MAX_RANK)
        return bur_fail(BUR_E_ARG, "rank %" PRId32 " is not in 1..%d", attr->rank, BUR_MAX_RANK);
    BUR_TRY(bur_shape_count(&count, &x->shape));
    for (int32_t i = 0; i < attr->rank; i++) {
        dim[i] = attr->shape[i];
        if (dim[i] == 0 && i < x->shape.rank)
            dim[i] = x->shape.dim[i];
        if (dim[i] < -1 || (dim[i] == -1 && open >= 0))
            return bur_fail(BUR_E_ARG, "dimension %" PRId32 " is %" PRId64 "; one -1 is allowed", i,
                            dim[i]);
        if (dim[i] == -1)
            open = i;
        else if (__builtin_mul_overflow(known, dim[i], &known))
            return bur_fail(BUR_E_RANGE, "the new shape has more than 2^63 elements");
    }
    if (open >= 0)
        dim[open] = known > 0 ? count / known : 0;
    *outputs = *x;
    BUR_TRY(bur_shape_make(&outputs[0].shape, attr->rank, dim));
    int64_t result = 0;
    BUR_TRY(bur_shape_count(&result, &outputs[0].shape));
    if (result != count)
        return bur_fail(BUR_E_SHAPE, "%s has %" PRId64 " elements, %s has %" PRId64, SHAPE(x),
                        count, SHAPE(&outputs[0]), result);
    return BUR_OK;
}

static void loss_outputs(const bur_call *call, bur_desc *outputs)
{
    outputs[0] = vector_of(&call->inputs[0], BUR_RESULT_WORDS);
    outputs[1] = call->inputs[0];
}

/* Smoothing, and the weights of the classes where there are any. */
static bur_status check_class_options(const bur_call *call)
{
    const float smoothing = call->attr->loss.smoothing;
    if (!(smoothing >= 0 && smoothing < 1))
        return bur_fail(BUR_E_ARG, "smoothing %g is not in [0, 1)", (double)smoothing);
    if (call->n_inputs == 3)
        return BUR_OK;
    const bur_desc *x = &call->inputs[0], *weights = &call->inputs[3];
    if (weights->dtype != x->dtype)
        return bur_fail(BUR_E_DTYPE, "class weights are %s, not %s",
                        bur_dtype_name((bur_dtype)x->dtype),
                        bur_dtype_name((bur_dtype)weights->dtype));
    if (weights->shape.rank != 1 || weights->shape.dim[0] != last(x))
        return bur_fail(BUR_E_SHAPE, "class weights %s for outputs %s", SHAPES(weights, x));
    return BUR_OK;
}

bur_status bur_infer_loss_class(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[0], *label = &call->inputs[1];
    BUR_TRY(check_floats(call, 0, 1));
    BUR_TRY(check_scalars(&call->inputs[2]));
    if (label->dtype != BUR_I32 && label->dtype != x->dtype)
        return bur_fail(BUR_E_DTYPE, "labels are i32 and distributions %s, not %s",
                        bur_dtype_name((bur_dtype)x->dtype),
                        bur_dtype_name((bur_dtype)label->dtype));
    const bool fits = label->dtype == BUR_I32
                          ? label->shape.rank == 1 && label->shape.dim[0] == x->shape.dim[0]
                          : bur_shape_equal(&label->shape, &x->shape);
    if (x->shape.rank != 2 || !fits || x->shape.dim[1] < 1)
        return bur_fail(BUR_E_SHAPE,
                        "[N, classes] and labels [N] or distributions [N, classes] are needed, not "
                        "%s and %s",
                        SHAPES(x, label));
    BUR_TRY(check_class_options(call));
    loss_outputs(call, outputs);
    return BUR_OK;
}

bur_status bur_infer_loss_value(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[0], *target = &call->inputs[1];
    BUR_TRY(check_floats(call, 0, 2));
    BUR_TRY(check_scalars(&call->inputs[2]));
    if (!(call->attr->loss.delta >= 0))
        return bur_fail(BUR_E_ARG, "delta %g is negative", (double)call->attr->loss.delta);
    if (x->shape.rank < 1 || !bur_shape_equal(&x->shape, &target->shape))
        return bur_fail(BUR_E_SHAPE, "values and targets differ: %s and %s", SHAPES(x, target));
    loss_outputs(call, outputs);
    return BUR_OK;
}

/* Of rows (.., .., sum, scalars), the rest of which `infer` checks. */
static bur_status infer_added(const bur_call *call, bur_desc *outputs,
                              bur_status (*infer)(const bur_call *, bur_desc *))
{
    BUR_TRY(check_floats(call, 0, 3));
    BUR_TRY(check_scalars(&call->inputs[3]));
    BUR_TRY(infer(call, outputs));
    return bur_shape_equal(&call->inputs[2].shape, &outputs[0].shape)
               ? BUR_OK
               : bur_fail(BUR_E_SHAPE, "%s is added to %s", SHAPES(&outputs[0], &call->inputs[2]));
}

bur_status bur_infer_conv2d_grad_w_add(const bur_call *call, bur_desc *outputs)
{
    return infer_added(call, outputs, bur_infer_conv2d_grad_w);
}

bur_status bur_infer_matmul_add(const bur_call *call, bur_desc *outputs)
{
    return infer_added(call, outputs, bur_infer_matmul);
}

bur_status bur_infer_optimizer(const bur_call *call, bur_desc *outputs)
{
    (void)outputs;
    static const bur_shape norm = {.rank = 1, .dim = {BUR_NORM_WORDS}};
    const int32_t group = bur_op_get(call->op)->group, first = bur_op_first_group(call);
    BUR_TRY(check_scalars(&call->inputs[0]));
    if (call->n_inputs <= first || (call->n_inputs - first) % group != 0)
        return bur_fail(BUR_E_ARG, "%" PRId32 " tensors are not groups of %" PRId32,
                        call->n_inputs - first, group);
    BUR_TRY(check_floats(call, 1, call->n_inputs));
    if (first > 1 && !bur_shape_equal(&call->inputs[1].shape, &norm))
        return bur_fail(BUR_E_SHAPE, "with clip_norm input 1 is global_norm's [%d], not %s",
                        BUR_NORM_WORDS, SHAPE(&call->inputs[1]));
    for (int32_t i = first; i < call->n_inputs; i++) {
        const bur_desc *parameter = &call->inputs[first + (i - first) / group * group];
        if (!bur_shape_equal(&parameter->shape, &call->inputs[i].shape))
            return bur_fail(BUR_E_SHAPE, "parameter %s, its gradient or state %s",
                            SHAPES(parameter, &call->inputs[i]));
    }
    return BUR_OK;
}

bur_status bur_infer_global_norm(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(check_floats(call, 0, call->n_inputs));
    if (!(call->attr->optimizer.clip_norm > 0))
        return bur_fail(BUR_E_ARG, "clip_norm %g is not greater than 0",
                        (double)call->attr->optimizer.clip_norm);
    outputs[0] =
        (bur_desc){.dtype = call->inputs[0].dtype, .shape = {.rank = 1, .dim = {BUR_NORM_WORDS}}};
    return BUR_OK;
}
