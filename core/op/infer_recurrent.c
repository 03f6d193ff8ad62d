/* Shape rules of recurrent networks. */
#include "rules.h"

#include <inttypes.h>

#define SHAPE(a) bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, &(a)->shape)

/* Numbers of a unit at each step: parts of a product with u, and what is kept of the gates. */
typedef struct cell {
    int32_t gates, kept;
} cell;

static cell cell_of(bur_op op)
{
    static const cell cells[BUR_OP_COUNT] = {
        [BUR_OP_simple_rnn] = {1, 1}, [BUR_OP_simple_rnn_grad] = {1, 1},
        [BUR_OP_lstm] = {4, 5},       [BUR_OP_lstm_grad] = {4, 5},
        [BUR_OP_gru] = {3, 4},        [BUR_OP_gru_grad] = {3, 4},
    };
    return cells[op];
}

static bur_desc desc_of(const bur_desc *like, int32_t rank, int64_t a, int64_t b, int64_t c)
{
    const bur_desc desc = {.dtype = like->dtype, .shape = {.rank = rank, .dim = {a, b, c}}};
    return desc;
}

static bur_status check_attributes(const bur_call *call)
{
    const int32_t activation = call->attr->recurrent.activation;
    const bool simple = call->op == BUR_OP_simple_rnn || call->op == BUR_OP_simple_rnn_grad;
    if (activation == 0 || (simple && (activation == BUR_TANH || activation == BUR_RELU)))
        return BUR_OK;
    return bur_fail(BUR_E_ARG, "activation %" PRId32 "; %s", activation,
                    simple ? "tanh or relu is needed" : "its activations are fixed");
}

/* u and every input but the lengths: one type of float. */
static bur_status check_types(const bur_call *call)
{
    const bur_dtype dtype = (bur_dtype)call->inputs[0].dtype;
    if (dtype != BUR_F32 && dtype != BUR_F64)
        return bur_fail(BUR_E_DTYPE, "input is %s; f32 or f64 is needed", bur_dtype_name(dtype));
    for (int32_t i = 1; i < call->n_inputs; i++) {
        const bur_dtype other = (bur_dtype)call->inputs[i].dtype;
        const bool may_be_lengths = i > 1 && i + 1 == call->n_inputs && other == BUR_I32;
        if (other != dtype && !may_be_lengths)
            return bur_fail(BUR_E_DTYPE, "inputs are %s and %s", bur_dtype_name(dtype),
                            bur_dtype_name(other));
    }
    return BUR_OK;
}

/* sequences [N, T, parts H], T and H not 0, that u [H, G H] belongs to. */
static bur_status check_sequences(const bur_call *call, const bur_desc *sequences, int32_t parts)
{
    const bur_desc *u = &call->inputs[1];
    const int64_t *dim = sequences->shape.dim, *w = u->shape.dim;
    const int32_t gates = cell_of(call->op).gates;
    if (u->shape.rank != 2 || w[0] < 1 || w[1] % gates != 0 || w[1] / gates != w[0])
        return bur_fail(BUR_E_SHAPE, "recurrent weights %s; [units, %" PRId32 " units] are needed",
                        SHAPE(u), gates);
    if (sequences->shape.rank != 3 || dim[2] != w[0] * parts)
        return bur_fail(BUR_E_SHAPE, "sequences %s; [N, steps, %" PRId64 "] is needed for %s",
                        SHAPE(sequences), w[0] * parts, SHAPE(u));
    return dim[1] >= 1 ? BUR_OK
                       : bur_fail(BUR_E_SHAPE, "sequences %s have no step", SHAPE(sequences));
}

static bur_status check_like(const char *what, const bur_desc *desc, const bur_desc *wanted)
{
    return bur_shape_equal(&desc->shape, &wanted->shape)
               ? BUR_OK
               : bur_fail(BUR_E_SHAPE, "%s %s where %s is needed", what, SHAPE(desc),
                          SHAPE(wanted));
}

/* Behind the first `fixed` inputs: lengths, and in a forward row a bias before them. */
static bur_status check_others(const bur_call *call, int32_t fixed, int64_t samples)
{
    const bur_desc *u = &call->inputs[1];
    const bur_desc bias = desc_of(u, 1, u->shape.dim[1], 0, 0);
    const bur_desc lengths = desc_of(u, 1, samples, 0, 0);
    for (int32_t i = fixed; i < call->n_inputs; i++)
        if (call->inputs[i].dtype == BUR_I32)
            BUR_TRY(check_like("lengths", &call->inputs[i], &lengths));
        else if (i == 2)
            BUR_TRY(check_like("bias", &call->inputs[i], &bias));
        else
            return bur_fail(BUR_E_DTYPE, "lengths are %s; i32 is needed",
                            bur_dtype_name((bur_dtype)call->inputs[i].dtype));
    return BUR_OK;
}

bur_status bur_infer_recurrent(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *x = &call->inputs[0];
    BUR_TRY(check_attributes(call));
    BUR_TRY(check_types(call));
    BUR_TRY(check_sequences(call, x, cell_of(call->op).gates));
    const int64_t n = x->shape.dim[0], t = x->shape.dim[1], h = call->inputs[1].shape.dim[0];
    BUR_TRY(check_others(call, 2, n));
    outputs[0] = call->attr->recurrent.last ? desc_of(x, 2, n, h, 0) : desc_of(x, 3, n, t, h);
    outputs[1] = desc_of(x, 3, n, t, h * cell_of(call->op).kept);
    outputs[2] = desc_of(x, 3, n, t, h);
    return BUR_OK;
}

bur_status bur_infer_recurrent_grad(const bur_call *call, bur_desc *outputs)
{
    const bur_desc *dy = &call->inputs[0], *gates = &call->inputs[2];
    const bool gru = call->op == BUR_OP_gru_grad;
    BUR_TRY(check_attributes(call));
    BUR_TRY(check_types(call));
    BUR_TRY(check_sequences(call, gates, cell_of(call->op).kept));
    const int64_t n = gates->shape.dim[0], t = gates->shape.dim[1],
                  h = call->inputs[1].shape.dim[0];
    const bur_desc states = desc_of(dy, 3, n, t, h), last = desc_of(dy, 2, n, h, 0);
    BUR_TRY(check_like("gradient", dy, call->attr->recurrent.last ? &last : &states));
    if (gru)
        BUR_TRY(check_like("states", &call->inputs[3], &states));
    BUR_TRY(check_others(call, gru ? 4 : 3, n));
    outputs[0] = outputs[1] = desc_of(dy, 3, n, t, h * cell_of(call->op).gates);
    return BUR_OK;
}
