/* Gradient rules of normalisation. Source: the chain rule. */
#include "rules.h"

/* The gradients of x, scale and, where there is one, shift. */
static bur_status emit_gradients(const bur_gradient_call *call, bur_op op, const bur_attr *attr,
                                 const int32_t *inputs, int32_t n_inputs)
{
    const int32_t n = bur_op_get(op)->outputs_max;
    int32_t first = -1;
    BUR_TRY(call->emitter->emit(call->emitter->graph, op, attr, inputs, n_inputs, n, &first));
    for (int32_t i = 0; i < n; i++)
        call->dx[i] = first + i;
    return BUR_OK;
}

/* From dy, x, scale and the statistics. */
bur_status bur_gradient_norm(const bur_gradient_call *call)
{
    static const int32_t gradient_row[BUR_OP_COUNT] = {
        [BUR_OP_layer_norm] = BUR_OP_layer_norm_grad,
        [BUR_OP_rms_norm] = BUR_OP_rms_norm_grad,
        [BUR_OP_batch_norm] = BUR_OP_batch_norm_grad,
        [BUR_OP_group_norm] = BUR_OP_group_norm_grad,
    };
    const int32_t inputs[] = {call->dy, call->x[0], call->x[1], call->y[1]};
    return emit_gradients(call, (bur_op)gradient_row[call->op], call->attr, inputs, 4);
}

/* With statistics that are given. */
bur_status bur_gradient_norm_infer(const bur_gradient_call *call)
{
    const int32_t inputs[] = {call->dy, call->x[0], call->x[1], call->x[3], call->x[4]};
    return emit_gradients(call, BUR_OP_batch_norm_infer_grad, call->attr, inputs, 5);
}

/* y = act(z): z is made again from x, so that y need not be kept. */
bur_status bur_gradient_norm_act(const bur_gradient_call *call)
{
    const int32_t inputs[] = {call->dy, call->x[0], call->x[1], call->y[1], call->x[2]};
    return emit_gradients(call, BUR_OP_batch_norm_act_grad, call->attr, inputs, 5);
}

/* y = act(z + residual): dz, from y, is the residual's gradient too. */
bur_status bur_gradient_norm_add_act(const bur_gradient_call *call)
{
    static const bur_attr no_attr;
    const int32_t activation = call->attr->norm.activation;
    const int32_t of_act[] = {call->dy, call->y[0]};
    int32_t dz = call->dy;
    if (activation != BUR_LINEAR)
        BUR_TRY(call->emitter->emit(call->emitter->graph,
                                    activation == BUR_RELU ? BUR_OP_relu_grad : BUR_OP_relu6_grad,
                                    &no_attr, of_act, 2, 1, &dz));
    bur_attr attr = *call->attr;
    attr.norm.activation = BUR_LINEAR;
    const int32_t inputs[] = {dz, call->x[0], call->x[1], call->y[1]};
    call->dx[3] = dz;
    return emit_gradients(call, BUR_OP_batch_norm_grad, &attr, inputs, 4);
}
