/* Gradient rules of recurrent networks: the row walks the steps backward and gives what every
 * step's gates get; weights and bias get theirs from all steps at once. Source: Werbos 1990. */
#include "rules.h"

static const bur_attr no_attr;

static const bur_shape *shape_of(const bur_gradient_call *call, int32_t value)
{
    return &call->emitter->desc(call->emitter->graph, value)->shape;
}

static bur_status emit(const bur_gradient_call *call, bur_op op, const bur_attr *attr,
                       const int32_t *inputs, int32_t n_inputs, int32_t n_outputs, int32_t *out)
{
    return call->emitter->emit(call->emitter->graph, op, attr, inputs, n_inputs, n_outputs, out);
}

/* [N, T, C] as [N T, C]. */
static bur_status emit_rows(const bur_gradient_call *call, int32_t value, int64_t columns,
                            int32_t *out)
{
    const bur_attr attr = {.reshape = {.rank = 2, .shape = {-1, (int32_t)columns}}};
    return emit(call, BUR_OP_reshape, &attr, &value, 1, 1, out);
}

/* du = (states before)^T ds over all steps of all samples. */
static bur_status weight_gradient(const bur_gradient_call *call, int32_t ds)
{
    const int64_t *u = shape_of(call, call->x[1])->dim;
    const bur_attr attr = {.matmul = {.transpose_a = true}};
    int32_t factors[2] = {-1, -1};
    BUR_TRY(emit_rows(call, call->y[2], u[0], &factors[0]));
    BUR_TRY(emit_rows(call, ds, u[1], &factors[1]));
    return emit(call, BUR_OP_matmul, &attr, factors, 2, 1, &call->dx[1]);
}

bur_status bur_gradient_recurrent(const bur_gradient_call *call)
{
    static const int32_t gradient_row[BUR_OP_COUNT] = {
        [BUR_OP_simple_rnn] = BUR_OP_simple_rnn_grad,
        [BUR_OP_lstm] = BUR_OP_lstm_grad,
        [BUR_OP_gru] = BUR_OP_gru_grad,
    };
    const bur_op op = (bur_op)gradient_row[call->op];
    const int32_t last_input = call->n_x - 1;
    const bur_dtype last_type =
        (bur_dtype)call->emitter->desc(call->emitter->graph, call->x[last_input])->dtype;
    const bool has_lengths = last_type == BUR_I32;
    const bool has_bias = call->n_x - has_lengths > 2;
    int32_t inputs[5] = {call->dy, call->x[1], call->y[1]}, n = 3, dx = -1;
    if (call->op == BUR_OP_gru)
        inputs[n++] = call->y[2];
    if (has_lengths)
        inputs[n++] = call->x[last_input];
    const int32_t n_outputs = bur_op_get(op)->outputs_max;
    BUR_TRY(emit(call, op, call->attr, inputs, n, n_outputs, &dx));
    const int32_t ds = dx + n_outputs - 1; /* of gru an output of its own */
    if (call->needs[1])
        BUR_TRY(weight_gradient(call, ds));
    if (has_bias && call->needs[2])
        BUR_TRY(emit(call, BUR_OP_bias_grad, &no_attr, &ds, 1, 1, &call->dx[2]));
    call->dx[0] = dx;
    return BUR_OK;
}
