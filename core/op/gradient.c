/* Gradient rules: each emits the nodes that give dx from dy. Source: the chain rule.
 * Weights come before inputs: x is free after dw, and dx may take its place. */
#include "rules.h"

#include <string.h>

static const bur_attr no_attr;

static bur_status emit(const bur_gradient_call *call, bur_op op, const bur_attr *attr, int32_t a,
                       int32_t b, int32_t *out)
{
    const int32_t inputs[] = {a, b};
    return call->emitter->emit(call->emitter->graph, op, attr, inputs, b < 0 ? 1 : 2, 1, out);
}

static const bur_desc *desc_of(const bur_gradient_call *call, int32_t value)
{
    return call->emitter->desc(call->emitter->graph, value);
}

/* dx0 and dx1 of z = A B with A = a or its transpose (ta), B = b or its transpose (tb), given dz:
 * dA = dz B^T and dB = A^T dz, turned where a or b was. */
static bur_status matmul_gradients(const bur_gradient_call *call, int32_t dz)
{
    const bool ta = call->attr->matmul.transpose_a != 0, tb = call->attr->matmul.transpose_b != 0;
    if (call->needs[1]) {
        const bur_attr plain = {.matmul = {.transpose_a = !ta}};
        const bur_attr turned = {.matmul = {.transpose_a = true, .transpose_b = ta}};
        BUR_TRY(tb ? emit(call, BUR_OP_matmul, &turned, dz, call->x[0], &call->dx[1])
                   : emit(call, BUR_OP_matmul, &plain, call->x[0], dz, &call->dx[1]));
    }
    if (call->needs[0]) {
        const bur_attr plain = {.matmul = {.transpose_b = !tb}};
        const bur_attr turned = {.matmul = {.transpose_a = tb, .transpose_b = true}};
        BUR_TRY(ta ? emit(call, BUR_OP_matmul, &turned, call->x[1], dz, &call->dx[0])
                   : emit(call, BUR_OP_matmul, &plain, dz, call->x[1], &call->dx[0]));
    }
    return BUR_OK;
}

bur_status bur_gradient_matmul(const bur_gradient_call *call)
{
    return matmul_gradients(call, call->dy);
}

/* dz and, if wanted, db of y = act(z), z = ... + b. */
static bur_status bias_act_gradients(const bur_gradient_call *call, int32_t activation, float alpha,
                                     int32_t *dz)
{
    if (activation == BUR_LINEAR) {
        *dz = call->dy;
        return call->needs[2] ? emit(call, BUR_OP_bias_grad, &no_attr, call->dy, -1, &call->dx[2])
                              : BUR_OK;
    }
    const bur_attr attr = {.activation = {.activation = activation, .alpha = alpha}};
    const int32_t inputs[] = {call->dy, call->y[0]};
    int32_t first = -1;
    BUR_TRY(call->emitter->emit(call->emitter->graph, BUR_OP_bias_act_grad, &attr, inputs, 2, 2,
                                &first));
    *dz = first;
    if (call->needs[2])
        call->dx[2] = first + 1;
    return BUR_OK;
}

bur_status bur_gradient_matmul_bias_act(const bur_gradient_call *call)
{
    int32_t dz = -1;
    BUR_TRY(bias_act_gradients(call, call->attr->matmul.activation, call->attr->matmul.alpha, &dz));
    return matmul_gradients(call, dz);
}

bur_status bur_gradient_bias_add(const bur_gradient_call *call)
{
    call->dx[0] = call->dy;
    return call->needs[1] ? emit(call, BUR_OP_bias_grad, &no_attr, call->dy, -1, &call->dx[1])
                          : BUR_OK;
}

static bur_status conv2d_gradients(const bur_gradient_call *call, int32_t dz)
{
    bur_attr attr = *call->attr;
    attr.conv2d.activation = 0;
    attr.conv2d.alpha = 0;
    if (call->needs[1]) {
        const int64_t *w = desc_of(call, call->x[1])->shape.dim;
        attr.conv2d.kernel_size[0] = (int32_t)w[0];
        attr.conv2d.kernel_size[1] = (int32_t)w[1];
        BUR_TRY(emit(call, BUR_OP_conv2d_grad_w, &attr, call->x[0], dz, &call->dx[1]));
        memset(attr.conv2d.kernel_size, 0, sizeof attr.conv2d.kernel_size);
    }
    if (call->needs[0]) {
        const int64_t *x = desc_of(call, call->x[0])->shape.dim;
        attr.conv2d.input_size[0] = (int32_t)x[1];
        attr.conv2d.input_size[1] = (int32_t)x[2];
        BUR_TRY(emit(call, BUR_OP_conv2d_grad_x, &attr, dz, call->x[1], &call->dx[0]));
    }
    return BUR_OK;
}

bur_status bur_gradient_conv2d(const bur_gradient_call *call)
{
    return conv2d_gradients(call, call->dy);
}

bur_status bur_gradient_conv2d_bias_act(const bur_gradient_call *call)
{
    int32_t dz = -1;
    BUR_TRY(bias_act_gradients(call, call->attr->conv2d.activation, call->attr->conv2d.alpha, &dz));
    return conv2d_gradients(call, dz);
}

/* Its gradient of x is the convolution itself; that of w has x and dy change places. */
bur_status bur_gradient_conv2d_transpose(const bur_gradient_call *call)
{
    bur_attr attr = *call->attr;
    memset(attr.conv2d.input_size, 0, sizeof attr.conv2d.input_size);
    if (call->needs[1]) {
        bur_attr of_w = attr;
        const int64_t *w = desc_of(call, call->x[1])->shape.dim;
        of_w.conv2d.kernel_size[0] = (int32_t)w[0];
        of_w.conv2d.kernel_size[1] = (int32_t)w[1];
        BUR_TRY(emit(call, BUR_OP_conv2d_grad_w, &of_w, call->dy, call->x[0], &call->dx[1]));
    }
    return call->needs[0] ? emit(call, BUR_OP_conv2d, &attr, call->dy, call->x[1], &call->dx[0])
                          : BUR_OK;
}

bur_status bur_gradient_pool2d(const bur_gradient_call *call)
{
    static const int32_t gradient_row[BUR_OP_COUNT] = {
        [BUR_OP_max_pool2d] = BUR_OP_max_pool2d_grad,
        [BUR_OP_avg_pool2d] = BUR_OP_avg_pool2d_grad,
        [BUR_OP_global_avg_pool2d] = BUR_OP_global_avg_pool2d_grad,
        [BUR_OP_global_max_pool2d] = BUR_OP_global_max_pool2d_grad,
    };
    const bool has_index = (bur_op_get(call->op)->keeps & BUR_KEEP_Y1) != 0;
    bur_attr attr = *call->attr;
    const int64_t *x = desc_of(call, call->x[0])->shape.dim;
    attr.pool2d.input_size[0] = (int32_t)x[1];
    attr.pool2d.input_size[1] = (int32_t)x[2];
    return emit(call, (bur_op)gradient_row[call->op], &attr, call->dy, has_index ? call->y[1] : -1,
                &call->dx[0]);
}

/* From dy and y or, where y does not tell the slope, x. */
bur_status bur_gradient_activation(const bur_gradient_call *call)
{
    static const int32_t gradient_row[BUR_OP_COUNT] = {
        [BUR_OP_relu] = BUR_OP_relu_grad,
        [BUR_OP_leaky_relu] = BUR_OP_leaky_relu_grad,
        [BUR_OP_tanh] = BUR_OP_tanh_grad,
        [BUR_OP_sigmoid] = BUR_OP_sigmoid_grad,
        [BUR_OP_relu6] = BUR_OP_relu6_grad,
        [BUR_OP_elu] = BUR_OP_elu_grad,
        [BUR_OP_selu] = BUR_OP_selu_grad,
        [BUR_OP_hard_sigmoid] = BUR_OP_hard_sigmoid_grad,
        [BUR_OP_softmax] = BUR_OP_softmax_grad,
        [BUR_OP_log_softmax] = BUR_OP_log_softmax_grad,
        [BUR_OP_softplus] = BUR_OP_softplus_grad,
        [BUR_OP_silu] = BUR_OP_silu_grad,
        [BUR_OP_gelu] = BUR_OP_gelu_grad,
        [BUR_OP_gelu_tanh] = BUR_OP_gelu_tanh_grad,
        [BUR_OP_hard_swish] = BUR_OP_hard_swish_grad,
        [BUR_OP_mish] = BUR_OP_mish_grad,
    };
    const bool reads_x = (bur_op_get(call->op)->keeps & BUR_KEEP_X0) != 0;
    return emit(call, (bur_op)gradient_row[call->op], call->attr, call->dy,
                reads_x ? call->x[0] : call->y[0], &call->dx[0]);
}

/* The mask is drawn again from the same key and counter, so nothing is kept. */
bur_status bur_gradient_dropout(const bur_gradient_call *call)
{
    return emit(call, BUR_OP_dropout, call->attr, call->dy, call->x[1], &call->dx[0]);
}

bur_status bur_gradient_reshape(const bur_gradient_call *call)
{
    const bur_shape *shape = &desc_of(call, call->x[0])->shape;
    bur_attr attr = {.reshape = {.rank = shape->rank}};
    for (int32_t i = 0; i < shape->rank; i++)
        attr.reshape.shape[i] = (int32_t)shape->dim[i];
    return emit(call, BUR_OP_reshape, &attr, call->dy, -1, &call->dx[0]);
}

/* A loss gives the gradient of x as its second output; its own gradient is 1. */
bur_status bur_gradient_loss(const bur_gradient_call *call)
{
    call->dx[0] = call->y[1];
    return BUR_OK;
}
