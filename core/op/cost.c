/* Work and least traffic: every tensor moved once. */
#include "rules.h"

static double bytes_of(const bur_desc *desc, int32_t n)
{
    double bytes = 0;
    for (int32_t i = 0; i < n; i++)
        bytes += (double)bur_desc_bytes(&desc[i]);
    return bytes;
}

static double traffic(const bur_call *call)
{
    double bytes =
        bytes_of(call->inputs, call->n_inputs) + bytes_of(call->outputs, call->n_outputs);
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (bur_op_changes(call, i))
            bytes += (double)bur_desc_bytes(&call->inputs[i]);
    return bytes;
}

/* A view costs nothing. */
bur_cost bur_cost_none(const bur_call *call)
{
    (void)call;
    return (bur_cost){0, 0};
}

/* One operation per element of the largest tensor. */
bur_cost bur_cost_map(const bur_call *call)
{
    int64_t most = 0;
    for (int32_t i = 0; i < call->n_inputs + call->n_outputs; i++) {
        const bur_desc *desc =
            i < call->n_inputs ? &call->inputs[i] : &call->outputs[i - call->n_inputs];
        const int64_t count = bur_desc_count(desc);
        most = count > most ? count : most;
    }
    return (bur_cost){(double)most, traffic(call)};
}

bur_cost bur_cost_matmul(const bur_call *call)
{
    const bur_desc *a = &call->inputs[0];
    const double k = (double)a->shape.dim[a->shape.rank - (call->attr->matmul.transpose_a ? 2 : 1)];
    return (bur_cost){2.0 * k * (double)bur_desc_count(&call->outputs[0]), traffic(call)};
}

/* The products of states with u: the gates' parts of all steps are as many as x has elements, in a
 * gradient as dx has. */
bur_cost bur_cost_recurrent(const bur_call *call)
{
    const bool backward = bur_op_get(call->op)->flags & BUR_OP_BACKWARD;
    const bur_desc *gates = backward ? &call->outputs[0] : &call->inputs[0];
    return (bur_cost){2.0 * (double)bur_desc_count(gates) * (double)call->inputs[1].shape.dim[0],
                      traffic(call)};
}

/* 2 * outputs * kh * kw * ic / groups, where w is [kh, kw, ic / groups, oc]. */
bur_cost bur_cost_conv2d(const bur_call *call)
{
    const int64_t *w = call->inputs[1].shape.dim;
    return (bur_cost){2.0 * (double)(w[0] * w[1] * w[2]) *
                          (double)bur_desc_count(&call->outputs[0]),
                      traffic(call)};
}

/* The same products as forward: dy * (kh * kw * ic / groups). */
bur_cost bur_cost_conv2d_grad(const bur_call *call)
{
    const bool of_weights =
        call->op == BUR_OP_conv2d_grad_w || call->op == BUR_OP_conv2d_grad_w_add;
    const bur_desc *dy = &call->inputs[of_weights ? 1 : 0];
    const int64_t *w = of_weights ? call->outputs[0].shape.dim : call->inputs[1].shape.dim;
    return (bur_cost){2.0 * (double)(w[0] * w[1] * w[2]) * (double)bur_desc_count(dy),
                      traffic(call)};
}

/* Two products forward, q k^T and p v; five backward: q k^T again, dy v^T, and those for dq, dk and
 * dv. Masks are not deducted. */
bur_cost bur_cost_attention(const bur_call *call)
{
    const bool backward = (bur_op_get(call->op)->flags & BUR_OP_BACKWARD) != 0;
    const bool packed = call->op == BUR_OP_self_attention || call->op == BUR_OP_self_attention_grad;
    const bur_desc *first = &call->inputs[backward ? 3 : 0];
    const bur_shape *q = &call->inputs[0].shape, *k = &first[packed ? 0 : 1].shape;
    const double width = (double)q->dim[2] / (packed && !backward ? 3 : 1);
    const double pairs = (double)q->dim[0] * (double)q->dim[1] * (double)k->dim[1];
    return (bur_cost){(backward ? 10 : 4) * pairs * width, traffic(call)};
}

/* A square and a sum of every element. */
bur_cost bur_cost_global_norm(const bur_call *call)
{
    double elements = 0;
    for (int32_t i = 0; i < call->n_inputs; i++)
        elements += (double)bur_desc_count(&call->inputs[i]);
    return (bur_cost){2 * elements, traffic(call)};
}
