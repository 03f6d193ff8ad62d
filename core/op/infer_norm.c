/* Shape rules of normalisation. */
#include "rules.h"

#include <inttypes.h>

#define SHAPE(a) bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &(a)->shape)

static int64_t channels_of(const bur_desc *x)
{
    return x->shape.dim[x->shape.rank - 1];
}

/* Fused rows have one; behind a residual its slope must follow from y, which silu's does not. */
static bur_status check_activation(const bur_call *call)
{
    const int32_t activation = call->attr->norm.activation;
    const bool fused = (bur_op_get(call->op)->flags & BUR_OP_FUSED) != 0;
    if (activation == BUR_LINEAR)
        return BUR_OK;
    if (fused && (activation == BUR_RELU || activation == BUR_RELU6))
        return BUR_OK;
    if (fused && activation == BUR_SILU && call->op != BUR_OP_batch_norm_add_act)
        return BUR_OK;
    return bur_fail(BUR_E_ARG, "activation %d (%s) is none of this row's", (int)activation,
                    bur_activation_name((bur_activation)activation));
}

/* x and all that takes part with it: one type of float; x has dimensions, the last not empty. */
static bur_status check_input(const bur_call *call, const bur_desc *x, int32_t least_rank)
{
    if (x->dtype != BUR_F32 && x->dtype != BUR_F64)
        return bur_fail(BUR_E_DTYPE, "input is %s; f32 or f64 is needed",
                        bur_dtype_name((bur_dtype)x->dtype));
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (call->inputs[i].dtype != x->dtype)
            return bur_fail(BUR_E_DTYPE, "inputs are %s and %s",
                            bur_dtype_name((bur_dtype)x->dtype),
                            bur_dtype_name((bur_dtype)call->inputs[i].dtype));
    if (x->shape.rank < least_rank || channels_of(x) < 1)
        return bur_fail(BUR_E_SHAPE,
                        "input %s; %" PRId32 " dimensions or more and channels in the "
                        "last are needed",
                        SHAPE(x), least_rank);
    if (!(call->attr->norm.epsilon >= 0))
        return bur_fail(BUR_E_ARG, "epsilon is %g", (double)call->attr->norm.epsilon);
    return check_activation(call);
}

/* Vectors of one element a channel. */
static bur_status check_vectors(const bur_call *call, int32_t from, int32_t to, const bur_desc *x)
{
    for (int32_t i = from; i < to; i++) {
        const bur_shape *shape = &call->inputs[i].shape;
        if (shape->rank != 1 || shape->dim[0] != channels_of(x))
            return bur_fail(BUR_E_SHAPE, "input %" PRId32 " is %s, the channels are those of %s", i,
                            SHAPE(&call->inputs[i]), SHAPE(x));
    }
    return BUR_OK;
}

static bur_desc matrix_of(const bur_desc *like, int64_t rows, int64_t columns)
{
    const bur_desc desc = {.dtype = like->dtype, .shape = {.rank = 2, .dim = {rows, columns}}};
    return desc;
}

/* What one mean and deviation is of: a row, or a group of a sample. RMS has no mean. */
static bur_status stats_of(const bur_call *call, const bur_desc *x, bur_desc *out)
{
    const bool grouped = call->op == BUR_OP_group_norm || call->op == BUR_OP_group_norm_grad;
    const bool rms = call->op == BUR_OP_rms_norm || call->op == BUR_OP_rms_norm_grad;
    const int64_t groups = call->attr->norm.groups == 0 ? 1 : call->attr->norm.groups;
    BUR_TRY(check_input(call, x, grouped ? 2 : 1));
    if (groups < 1 || channels_of(x) % groups != 0)
        return bur_fail(BUR_E_SHAPE, "%" PRId64 " groups do not divide the channels of %s", groups,
                        SHAPE(x));
    const int64_t count = bur_desc_count(x);
    *out = matrix_of(x, rms ? 1 : 2, grouped ? x->shape.dim[0] * groups : count / channels_of(x));
    return BUR_OK;
}

bur_status bur_infer_norm(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[0];
    BUR_TRY(stats_of(call, x, &outputs[1]));
    outputs[0] = *x;
    return check_vectors(call, 1, call->n_inputs, x);
}

/* A gradient's first inputs are dy, x, scale; its outputs like x, scale and shift. */
static bur_status first_outputs(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *dy = &call->inputs[0], *x = &call->inputs[1];
    if (!bur_shape_equal(&dy->shape, &x->shape))
        return bur_fail(BUR_E_SHAPE, "gradient %s, input %s", SHAPE(dy), SHAPE(x));
    outputs[0] = *x;
    outputs[1] = outputs[2] = call->inputs[2];
    return check_vectors(call, 2, 3, x);
}

/* The statistics are one tensor, behind them. */
static bur_status gradient_outputs(const bur_call *call, const bur_desc *stats, bur_desc *outputs)
{
    BUR_TRY(first_outputs(call, outputs));
    if (!bur_shape_equal(&call->inputs[3].shape, &stats->shape))
        return bur_fail(BUR_E_SHAPE, "statistics %s where %s are needed", SHAPE(&call->inputs[3]),
                        SHAPE(stats));
    return BUR_OK;
}

bur_status bur_infer_norm_grad(const bur_call *call, bur_desc *outputs)
{
    bur_desc stats;
    BUR_TRY(stats_of(call, &call->inputs[1], &stats));
    return gradient_outputs(call, &stats, outputs);
}

/* ---- batch normalisation ---- */

/* x, vectors of channels up to input `residual`, and perhaps that, which is added to y. */
static bur_status normalised(const bur_call *call, int32_t residual, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[0];
    BUR_TRY(check_input(call, x, 2));
    outputs[0] = *x;
    if (call->n_inputs > residual && !bur_shape_equal(&x->shape, &call->inputs[residual].shape))
        return bur_fail(BUR_E_SHAPE, "input %s, residual %s", SHAPE(x),
                        SHAPE(&call->inputs[residual]));
    return check_vectors(call, 1, residual, x);
}

bur_status bur_infer_batch_norm_infer(const bur_call *call, bur_desc *outputs)
{
    return normalised(call, 5, outputs);
}

bur_status bur_infer_batch_norm(const bur_call *call, bur_desc *outputs)
{
    BUR_TRY(normalised(call, 3, outputs));
    if (bur_desc_count(&call->inputs[0]) == 0)
        return bur_fail(BUR_E_SHAPE, "input %s has no samples", SHAPE(&call->inputs[0]));
    outputs[1] = matrix_of(&call->inputs[0], 2, channels_of(&call->inputs[0]));
    return BUR_OK;
}

bur_status bur_infer_batch_norm_grad(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[1];
    BUR_TRY(check_input(call, x, 2));
    BUR_TRY(check_vectors(call, 4, call->n_inputs, x)); /* shift */
    const bur_desc stats = matrix_of(x, 2, channels_of(x));
    return gradient_outputs(call, &stats, outputs);
}

bur_status bur_infer_batch_norm_infer_grad(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[1];
    BUR_TRY(check_input(call, x, 2));
    BUR_TRY(first_outputs(call, outputs));
    return check_vectors(call, 3, call->n_inputs, x);
}

bur_status bur_infer_running_stats(const bur_call *call, bur_desc *outputs)
{
    const bur_norm_attr *attr = &call->attr->norm;
    const bur_desc *mean = &call->inputs[0], *stats = &call->inputs[2];
    BUR_TRY(check_input(call, mean, 1));
    BUR_TRY(check_vectors(call, 0, 2, mean));
    const bur_desc wanted = matrix_of(mean, 2, channels_of(mean));
    if (!bur_shape_equal(&stats->shape, &wanted.shape))
        return bur_fail(BUR_E_SHAPE, "statistics %s for running ones of %s", SHAPE(stats),
                        SHAPE(mean));
    if (!(attr->momentum >= 0 && attr->momentum <= 1) || attr->rows < 1)
        return bur_fail(BUR_E_ARG,
                        "momentum %g, %" PRId32 " rows; 0 to 1 and at least 1 are needed",
                        (double)attr->momentum, attr->rows);
    outputs[0] = outputs[1] = *mean;
    return BUR_OK;
}
