/* The table of operators, made from ops.def. */
#include "rules.h"

#include <inttypes.h>
#include <string.h>

#define FIELD(struct_, member, is_float_)                                                          \
    {                                                                                              \
#member, (int32_t)(offsetof(struct_, member) / 4),                                         \
            (int32_t)(sizeof(((struct_ *)0)->member) / 4), is_float_                               \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, 0, 0, false                                                                          \
    }

/* Attribute fields, one list per attribute struct of burthen/op.h. */
static const bur_attr_field none_fields[] = {END};
static const bur_attr_field activation_fields[] = {FIELD(bur_activation_attr, activation, false),
                                                   FIELD(bur_activation_attr, alpha, true), END};
static const bur_attr_field matmul_fields[] = {
    FIELD(bur_matmul_attr, transpose_a, false), FIELD(bur_matmul_attr, transpose_b, false),
    FIELD(bur_matmul_attr, activation, false), FIELD(bur_matmul_attr, alpha, true), END};
static const bur_attr_field conv2d_fields[] = {FIELD(bur_conv2d_attr, stride, false),
                                               FIELD(bur_conv2d_attr, pad, false),
                                               FIELD(bur_conv2d_attr, dilation, false),
                                               FIELD(bur_conv2d_attr, groups, false),
                                               FIELD(bur_conv2d_attr, activation, false),
                                               FIELD(bur_conv2d_attr, alpha, true),
                                               FIELD(bur_conv2d_attr, input_size, false),
                                               FIELD(bur_conv2d_attr, kernel_size, false),
                                               END};
static const bur_attr_field pool2d_fields[] = {FIELD(bur_pool2d_attr, window, false),
                                               FIELD(bur_pool2d_attr, stride, false),
                                               FIELD(bur_pool2d_attr, pad, false),
                                               FIELD(bur_pool2d_attr, input_size, false),
                                               FIELD(bur_pool2d_attr, count_include_pad, false),
                                               END};
static const bur_attr_field norm_fields[] = {
    FIELD(bur_norm_attr, epsilon, true),     FIELD(bur_norm_attr, groups, false),
    FIELD(bur_norm_attr, momentum, true),    FIELD(bur_norm_attr, unbiased, false),
    FIELD(bur_norm_attr, rows, false),       FIELD(bur_norm_attr, frozen, false),
    FIELD(bur_norm_attr, activation, false), END};
static const bur_attr_field dropout_fields[] = {FIELD(bur_dropout_attr, rate, true),
                                                FIELD(bur_dropout_attr, node, false),
                                                FIELD(bur_dropout_attr, per_sample, false), END};
static const bur_attr_field reshape_fields[] = {FIELD(bur_reshape_attr, rank, false),
                                                FIELD(bur_reshape_attr, shape, false), END};
static const bur_attr_field transpose_fields[] = {FIELD(bur_transpose_attr, rank, false),
                                                  FIELD(bur_transpose_attr, perm, false), END};
static const bur_attr_field slice_fields[] = {FIELD(bur_slice_attr, begin, false),
                                              FIELD(bur_slice_attr, end, false), END};
static const bur_attr_field pad_fields[] = {FIELD(bur_pad_attr, before, false),
                                            FIELD(bur_pad_attr, after, false),
                                            FIELD(bur_pad_attr, value, true), END};
static const bur_attr_field concat_fields[] = {FIELD(bur_concat_attr, axis, false), END};
static const bur_attr_field resize_fields[] = {FIELD(bur_resize_attr, size, false),
                                               FIELD(bur_resize_attr, mode, false),
                                               FIELD(bur_resize_attr, input_size, false), END};
static const bur_attr_field where_fields[] = {FIELD(bur_where_attr, invert, false), END};
static const bur_attr_field cast_fields[] = {FIELD(bur_cast_attr, dtype, false), END};
static const bur_attr_field embedding_fields[] = {FIELD(bur_embedding_attr, rows, false), END};
static const bur_attr_field recurrent_fields[] = {
    FIELD(bur_recurrent_attr, reverse, false), FIELD(bur_recurrent_attr, last, false),
    FIELD(bur_recurrent_attr, activation, false), END};
static const bur_attr_field loss_fields[] = {
    FIELD(bur_loss_attr, delta, true), FIELD(bur_loss_attr, smoothing, true),
    FIELD(bur_loss_attr, ignores, false), FIELD(bur_loss_attr, ignored, false), END};
static const bur_attr_field affine_fields[] = {FIELD(bur_affine_attr, scale, true),
                                               FIELD(bur_affine_attr, shift, true), END};
static const bur_attr_field pow_fields[] = {FIELD(bur_pow_attr, exponent, true), END};
static const bur_attr_field reduce_fields[] = {
    FIELD(bur_reduce_attr, axes, false), FIELD(bur_reduce_attr, keep_dims, false),
    FIELD(bur_reduce_attr, rank, false), FIELD(bur_reduce_attr, shape, false), END};
static const bur_attr_field attention_fields[] = {FIELD(bur_attention_attr, heads, false),
                                                  FIELD(bur_attention_attr, causal, false),
                                                  FIELD(bur_attention_attr, scale, true), END};
static const bur_attr_field optimizer_fields[] = {
    FIELD(bur_optimizer_attr, momentum, true),     FIELD(bur_optimizer_attr, nesterov, false),
    FIELD(bur_optimizer_attr, beta1, true),        FIELD(bur_optimizer_attr, beta2, true),
    FIELD(bur_optimizer_attr, epsilon, true),      FIELD(bur_optimizer_attr, initial, true),
    FIELD(bur_optimizer_attr, l1, true),           FIELD(bur_optimizer_attr, l2, true),
    FIELD(bur_optimizer_attr, weight_decay, true), FIELD(bur_optimizer_attr, proximal, false),
    FIELD(bur_optimizer_attr, clip_value, true),   FIELD(bur_optimizer_attr, clip_norm, true),
    FIELD(bur_optimizer_attr, ema, true),          END};

/* has_gradient by flags: the address of a rule is no constant to gcc with -fsanitize=null. */
static const bur_op_info infos[BUR_OP_COUNT] = {
#define BUR_OP_ROW(name_, in_min, in_max, out_min, out_max, infer_, gradient_, cost_, keeps_,      \
                   alias_, group_, flags_, attr_, examples_)                                       \
    [BUR_OP_##name_] = {.name = #name_,                                                            \
                        .inputs_min = in_min,                                                      \
                        .inputs_max = in_max,                                                      \
                        .outputs_min = out_min,                                                    \
                        .outputs_max = out_max,                                                    \
                        .keeps = keeps_,                                                           \
                        .alias = alias_,                                                           \
                        .group = group_,                                                           \
                        .flags = flags_,                                                           \
                        .fields = attr_##_fields,                                                  \
                        .examples = examples_,                                                     \
                        .has_gradient =                                                            \
                            !((flags_) & (BUR_OP_BACKWARD | BUR_OP_UPDATE | BUR_OP_NO_GRADIENT))},
#include "ops.def"
#undef BUR_OP_ROW
};

static const bur_op_rules rules[BUR_OP_COUNT] = {
#define BUR_OP_ROW(name_, in_min, in_max, out_min, out_max, infer_, gradient_, cost_, ...)         \
    [BUR_OP_##name_] = {bur_infer_##infer_, bur_cost_##cost_, bur_gradient_##gradient_},
#include "ops.def"
#undef BUR_OP_ROW
};

static const char *const activation_names[BUR_ACTIVATION_COUNT] = {
#define ROW(name, text) [BUR_##name] = text,
    BUR_ACTIVATION_MAP(ROW)
#undef ROW
};

const char *bur_activation_name(bur_activation activation)
{
    return (unsigned)activation < BUR_ACTIVATION_COUNT ? activation_names[activation] : "unknown";
}

static const struct {
    const char *name;
    bur_activation activation;
} other_names[] = {{"swish", BUR_SILU}, {"hard_silu", BUR_HARD_SWISH}};

enum { OTHER_NAMES = sizeof other_names / sizeof *other_names };

static const char *activation_name_of(const void *user, int32_t i)
{
    (void)user;
    return i < BUR_ACTIVATION_COUNT ? activation_names[i]
                                    : other_names[i - BUR_ACTIVATION_COUNT].name;
}

bur_status bur_activation_find(bur_activation *out, const char *name)
{
    static const int32_t count = BUR_ACTIVATION_COUNT + OTHER_NAMES;
    const int32_t index = bur_word_find(name, count, activation_name_of, NULL);
    if (index >= 0) {
        *out = index < BUR_ACTIVATION_COUNT ? (bur_activation)index
                                            : other_names[index - BUR_ACTIVATION_COUNT].activation;
        return BUR_OK;
    }
    const char *nearest = bur_word_nearest(name, count, activation_name_of, NULL);
    return nearest == NULL
               ? bur_fail(BUR_E_NAME, "no activation '%s'", name)
               : bur_fail(BUR_E_NAME, "no activation '%s'; did you mean '%s'?", name, nearest);
}

const bur_op_info *bur_op_get(bur_op op)
{
    return &infos[op];
}

const bur_op_rules *bur__op_rules(bur_op op)
{
    return &rules[op];
}

static const char *name_of(const void *user, int32_t i)
{
    (void)user;
    return infos[i].name;
}

bur_status bur_op_find(bur_op *out, const char *name)
{
    const int32_t index = bur_word_find(name, BUR_OP_COUNT, name_of, NULL);
    if (index >= 0) {
        *out = (bur_op)index;
        return BUR_OK;
    }
    const char *nearest = bur_word_nearest(name, BUR_OP_COUNT, name_of, NULL);
    return nearest == NULL
               ? bur_fail(BUR_E_NAME, "no operator '%s'", name)
               : bur_fail(BUR_E_NAME, "no operator '%s'; did you mean '%s'?", name, nearest);
}

/* Every tensor has a size in bytes: rules may multiply and add dimensions of their inputs. */
static bur_status check_sizes(const bur_call *call, const bur_desc *descs, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        size_t bytes = 0;
        const bur_status status =
            bur_shape_bytes(&bytes, &descs[i].shape, (bur_dtype)descs[i].dtype);
        if (status != BUR_OK)
            return bur_fail_in(status, "%s", infos[call->op].name);
    }
    return BUR_OK;
}

static bur_status check_counts(const bur_call *call)
{
    const bur_op_info *info = &infos[call->op];
    if (call->n_inputs < info->inputs_min || call->n_inputs > info->inputs_max)
        return bur_fail(BUR_E_ARG, "%s: %" PRId32 " inputs; it takes %" PRId32 " to %" PRId32,
                        info->name, call->n_inputs, info->inputs_min, info->inputs_max);
    if (call->n_outputs < info->outputs_min || call->n_outputs > info->outputs_max)
        return bur_fail(BUR_E_ARG, "%s: %" PRId32 " outputs; it has %" PRId32 " to %" PRId32,
                        info->name, call->n_outputs, info->outputs_min, info->outputs_max);
    return BUR_OK;
}

bur_status bur_op_infer(const bur_call *call, bur_desc *outputs)
{
    if (call == NULL || (unsigned)call->op >= BUR_OP_COUNT || call->attr == NULL)
        return bur_fail(BUR_E_ARG, "bur_op_infer: no call, no attributes or unknown operator");
    BUR_TRY(check_counts(call));
    BUR_TRY(check_sizes(call, call->inputs, call->n_inputs));
    bur_desc inferred[BUR_MAX_OUTPUTS];
    memset(inferred, 0, sizeof inferred);
    const bur_status status = rules[call->op].infer(call, inferred);
    if (status != BUR_OK)
        return bur_fail_in(status, "%s", infos[call->op].name);
    BUR_TRY(check_sizes(call, inferred, call->n_outputs));
    for (int32_t i = 0; i < call->n_outputs; i++)
        outputs[i] = inferred[i];
    return BUR_OK;
}

int32_t bur_op_first_group(const bur_call *call)
{
    return call->attr->optimizer.clip_norm > 0 ? 2 : 1;
}

bool bur_op_changes(const bur_call *call, int32_t input)
{
    const int32_t group = infos[call->op].group, first = bur_op_first_group(call);
    return group > 0 && input >= first && (input - first) % group != 1;
}

bur_cost bur_op_cost(const bur_call *call)
{
    return rules[call->op].cost(call);
}
