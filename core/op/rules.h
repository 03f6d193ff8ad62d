/* The rules that ops.def names. A rule is shared by all rows of its family. */
#ifndef BUR_OP_RULES_H
#define BUR_OP_RULES_H

#include <burthen/op.h>

/* Shape rule: checks call->inputs, fills outputs[0..call->n_outputs). The number of inputs and
 * outputs was checked against the row before. */
typedef bur_status (*bur_infer_rule)(const bur_call *call, bur_desc *outputs);

/* Work of a call with inferred outputs. */
typedef bur_cost (*bur_cost_rule)(const bur_call *call);

/* What a gradient rule may use of the graph it emits into. Values are the graph's indices. */
typedef struct bur_emitter {
    void *graph;
    /* Appends a node; *first_output is its first output, the others follow it. */
    bur_status (*emit)(void *graph, bur_op op, const bur_attr *attr, const int32_t *inputs,
                       int32_t n_inputs, int32_t n_outputs, int32_t *first_output);
    const bur_desc *(*desc)(const void *graph, int32_t value);
} bur_emitter;

/* One forward node to be differentiated. dx[i] is filled for every i with needs[i]; it was -1. */
typedef struct bur_gradient_call {
    const bur_emitter *emitter;
    bur_op op;
    const bur_attr *attr;
    const int32_t *x; /* inputs */
    const int32_t *y; /* outputs */
    int32_t dy;       /* gradient of output 0; -1 for a loss, whose own gradient is 1 */
    const bool *needs;
    int32_t *dx;
    int32_t n_x; /* number of inputs */
} bur_gradient_call;

typedef bur_status (*bur_gradient_rule)(const bur_gradient_call *call);

/* The rules of a row; gradient is NULL where there is none. */
typedef struct bur_op_rules {
    bur_infer_rule infer;
    bur_cost_rule cost;
    bur_gradient_rule gradient;
} bur_op_rules;

const bur_op_rules *bur__op_rules(bur_op op);

/* Dimension i of a transposed x is this one of x. */
int32_t bur__transposed_dim(const bur_transpose_attr *attr, const bur_shape *x, int32_t i);
/* The elements begin <= i < end that a slice takes of dimension d; not checked. */
void bur__slice_range(const bur_slice_attr *attr, const bur_shape *x, int32_t d, int64_t *begin,
                      int64_t *end);
/* The shape that a and b broadcast to; BUR_E_SHAPE. */
bur_status bur__broadcast_shape(bur_shape *out, const bur_shape *a, const bur_shape *b);
/* Whether s has one factor for each channel of each sample of x: [n, 1, 1, c] and [n, h, w, c]. */
bool bur__is_gate(const bur_shape *x, const bur_shape *s);
/* The float tensor that inputs[from..] broadcast to. */
bur_status bur__infer_broadcast_from(const bur_call *call, int32_t from, bur_desc *outputs);
/* An axis counted from the start. */
int32_t bur__axis_of(int32_t axis, int32_t rank);

/* The dimensions of x that a reduction (bur_reduce_attr) leaves out, as a bit mask. */
uint32_t bur__reduced_axes(const bur_attr *attr, const bur_shape *x);

/* Whether a fused row can have it: pointwise, and alpha leaves y the sign of x, from which
 * gradients tell it. BUR_E_ARG. */
bur_status bur__op_check_activation(int32_t activation, float alpha);

bur_status bur_infer_matmul(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_batch_matmul(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_bias_add(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_bias_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_bias_act_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_conv2d(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_conv2d_transpose(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_conv2d_grad_x(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_conv2d_grad_w(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_conv2d_grad_w_add(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_matmul_add(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_max_pool2d(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_max_pool2d_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_avg_pool2d(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_avg_pool2d_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_global_pool2d(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_global_pool2d_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_same(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_same2(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_activation(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_softmax(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_same_scalars(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_reshape(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_broadcast(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_gate_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_broadcast_to(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_resize(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_resize_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_where(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_cast(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_transpose(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_slice(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_pad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_concat(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_embedding(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_embedding_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_reduce(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_reduce_max_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_loss_class(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_loss_value(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_optimizer(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_global_norm(const bur_call *call, bur_desc *outputs);

/* infer_norm.c */
bur_status bur_infer_norm(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_norm_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_batch_norm(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_batch_norm_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_batch_norm_infer(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_batch_norm_infer_grad(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_running_stats(const bur_call *call, bur_desc *outputs);

/* infer_attention.c */
bur_status bur_infer_attention(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_attention_grad(const bur_call *call, bur_desc *outputs);

/* infer_recurrent.c */
bur_status bur_infer_recurrent(const bur_call *call, bur_desc *outputs);
bur_status bur_infer_recurrent_grad(const bur_call *call, bur_desc *outputs);

bur_cost bur_cost_matmul(const bur_call *call);
bur_cost bur_cost_map(const bur_call *call);
bur_cost bur_cost_conv2d(const bur_call *call);
bur_cost bur_cost_conv2d_grad(const bur_call *call);
bur_cost bur_cost_attention(const bur_call *call);
bur_cost bur_cost_recurrent(const bur_call *call);
bur_cost bur_cost_global_norm(const bur_call *call);
bur_cost bur_cost_none(const bur_call *call);

bur_status bur_gradient_matmul(const bur_gradient_call *call);
bur_status bur_gradient_matmul_bias_act(const bur_gradient_call *call);
bur_status bur_gradient_batch_matmul(const bur_gradient_call *call);
bur_status bur_gradient_bias_add(const bur_gradient_call *call);
bur_status bur_gradient_conv2d(const bur_gradient_call *call);
bur_status bur_gradient_conv2d_transpose(const bur_gradient_call *call);
bur_status bur_gradient_conv2d_bias_act(const bur_gradient_call *call);
bur_status bur_gradient_pool2d(const bur_gradient_call *call);
bur_status bur_gradient_norm(const bur_gradient_call *call);
bur_status bur_gradient_attention(const bur_gradient_call *call);
bur_status bur_gradient_recurrent(const bur_gradient_call *call);
bur_status bur_gradient_norm_infer(const bur_gradient_call *call);
bur_status bur_gradient_norm_act(const bur_gradient_call *call);
bur_status bur_gradient_norm_add_act(const bur_gradient_call *call);
bur_status bur_gradient_activation(const bur_gradient_call *call);
bur_status bur_gradient_dropout(const bur_gradient_call *call);
bur_status bur_gradient_arithmetic(const bur_gradient_call *call);
bur_status bur_gradient_unary(const bur_gradient_call *call);
bur_status bur_gradient_broadcast_to(const bur_gradient_call *call);
bur_status bur_gradient_resize(const bur_gradient_call *call);
bur_status bur_gradient_where(const bur_gradient_call *call);
bur_status bur_gradient_cast(const bur_gradient_call *call);
bur_status bur_gradient_transpose(const bur_gradient_call *call);
bur_status bur_gradient_slice(const bur_gradient_call *call);
bur_status bur_gradient_pad(const bur_gradient_call *call);
bur_status bur_gradient_concat(const bur_gradient_call *call);
bur_status bur_gradient_embedding(const bur_gradient_call *call);
bur_status bur_gradient_reduce(const bur_gradient_call *call);
bur_status bur_gradient_reduce_max(const bur_gradient_call *call);
bur_status bur_gradient_reshape(const bur_gradient_call *call);
bur_status bur_gradient_loss(const bur_gradient_call *call);

#define bur_gradient_none NULL

#endif
