/* Gradient rule of attention. Source: the chain rule; Dao et al. 2022, algorithm 4. */
#include "rules.h"

bur_status bur_gradient_attention(const bur_gradient_call *call)
{
    const bool packed = call->op == BUR_OP_self_attention;
    const int32_t n = packed ? 1 : 3; /* those that are differentiated; lengths may follow */
    int32_t inputs[7] = {call->dy, call->y[0], call->y[1]}, first = -1;
    for (int32_t i = 0; i < call->n_x; i++)
        inputs[3 + i] = call->x[i];
    BUR_TRY(call->emitter->emit(call->emitter->graph,
                                packed ? BUR_OP_self_attention_grad : BUR_OP_attention_grad,
                                call->attr, inputs, 3 + call->n_x, n, &first));
    for (int32_t i = 0; i < n; i++)
        call->dx[i] = first + i;
    return BUR_OK;
}
