/* From recipe to nodes, and the loss behind them. */
#include "graph.h"
#include "recipe.h"

#include <inttypes.h>
#include <string.h>

/* In training the batch's own statistics take the place of the running ones (x, scale, shift, mean,
 * variance), which they are mixed into where those lie, once for each micro-batch. */
static bur_status emit_batch_norm(bur_graph *graph, const bur_attr *attr, const int32_t *inputs,
                                  int32_t *output)
{
    const bur_attr forward = {.norm = {.epsilon = attr->norm.epsilon}};
    bur_attr mix = *attr;
    int32_t running = -1;
    BUR_TRY(bur__graph_add_node(graph, BUR_OP_batch_norm, &forward, inputs, 3, 2, output));
    const bur_shape *x = &graph->values[inputs[0]].desc.shape;
    int64_t rows = 1;
    for (int32_t i = 0; i + 1 < x->rank; i++)
        rows *= x->dim[i];
    if (rows > INT32_MAX)
        return bur_fail(BUR_E_RANGE, "batch_norm: %" PRId64 " rows; at most 2^31 - 1", rows);
    mix.norm.epsilon = 0;
    mix.norm.rows = (int32_t)rows;
    const int32_t statistics[] = {inputs[3], inputs[4], *output + 1};
    BUR_TRY(bur__graph_add_node(graph, BUR_OP_running_stats, &mix, statistics, 3, 2, &running));
    graph->values[running].memory = inputs[3];
    graph->values[running + 1].memory = inputs[4];
    return BUR_OK;
}

/* The graph's value of each recipe value, while the forward nodes are made. */
static bur_status emit_node(bur_graph *graph, int32_t index, int32_t *map)
{
    const bur_recipe_node *node = &graph->recipe->nodes[index];
    int32_t inputs[RECIPE_MAX_INPUTS];
    for (int32_t i = 0; i < node->n_inputs; i++)
        inputs[i] = map[node->inputs[i]];
    const bool trains = graph->options.mode == BUR_TRAIN;
    if (node->op == BUR_OP_dropout && (!trains || node->attr.dropout.rate == 0)) {
        map[node->output] = inputs[0];
        return BUR_OK;
    }
    /* Second outputs are for the gradient. */
    const int32_t n_outputs = trains ? bur_op_get(node->op)->outputs_max : 1;
    graph->recipe_node = index;
    if (trains && node->op == BUR_OP_batch_norm_infer && !node->attr.norm.frozen)
        return emit_batch_norm(graph, &node->attr, inputs, &map[node->output]);
    return bur__graph_add_node(graph, node->op, &node->attr, inputs, node->n_inputs, n_outputs,
                               &map[node->output]);
}

bur_status bur__graph_forward(bur_graph *graph)
{
    const bur_recipe *recipe = graph->recipe;
    int32_t *map = bur_alloc_array(graph->context, (size_t)recipe->n_values, sizeof *map);
    if (map == NULL)
        return BUR_E_NOMEM;
    map[0] = graph->scalars;
    map[recipe->inputs[0].ref] = graph->x;
    for (int32_t i = 0; i < recipe->n_parameters; i++)
        map[recipe->parameters[i].ref] = graph->parameters[i];
    bur_status status = BUR_OK;
    for (int32_t i = 0; i < recipe->n_nodes && status == BUR_OK; i++)
        status = emit_node(graph, i, map);
    graph->output = map[recipe->output];
    graph->recipe_node = -1;
    bur_free(graph->context, map);
    return status;
}

/* Takes the last node away, so that the loss reads its input instead. */
static int32_t drop_last_node(bur_graph *graph)
{
    const bur_graph_node *last = &graph->nodes[--graph->n_nodes];
    graph->values[graph->output].producer = -1;
    graph->output = -1;
    return graph->inputs[last->first_input];
}

/* cross_entropy reads probabilities; behind a softmax, or on an output that is none, the fused row
 * on logits is exact and stable. */
static bur_op class_loss_row(bur_graph *graph, int32_t producer, int32_t *input)
{
    if (producer < 0 || graph->nodes[producer].op != BUR_OP_softmax)
        return BUR_OP_softmax_cross_entropy;
    if (graph->options.no_fuse || producer != graph->n_nodes - 1)
        return BUR_OP_cross_entropy; /* something may read the softmax */
    *input = drop_last_node(graph);
    return BUR_OP_softmax_cross_entropy;
}

/* The activation that a node applies last. */
static int32_t *activation_of(bur_graph_node *node)
{
    return node->op == BUR_OP_matmul_bias_act   ? &node->attr.matmul.activation
           : node->op == BUR_OP_conv2d_bias_act ? &node->attr.conv2d.activation
                                                : NULL;
}

/* There is a row on logits only: a sigmoid behind them, fused or not, is taken away. */
static bur_status take_sigmoid_away(bur_graph *graph, int32_t producer, int32_t *input)
{
    bur_graph_node *node = producer < 0 ? NULL : &graph->nodes[producer];
    int32_t *activation = node == NULL ? NULL : activation_of(node);
    const bool plain = node != NULL && node->op == BUR_OP_sigmoid;
    const bool fused = activation != NULL && *activation == BUR_SIGMOID;
    if (!plain && !fused)
        return BUR_OK; /* the output are logits */
    if (producer != graph->n_nodes - 1)
        return bur_fail(BUR_E_UNSUPPORTED,
                        "binary_cross_entropy behind a sigmoid that something else reads");
    if (plain)
        *input = drop_last_node(graph);
    else
        *activation = BUR_LINEAR;
    return BUR_OK;
}

/* The row of the loss; *input is what it reads. */
static bur_status loss_row(bur_graph *graph, bur_op *op, int32_t *input)
{
    static const int32_t value_rows[BUR_LOSS_COUNT] = {
        [BUR_LOSS_MSE] = BUR_OP_mse,
        [BUR_LOSS_MAE] = BUR_OP_mae,
        [BUR_LOSS_HUBER] = BUR_OP_huber,
        [BUR_LOSS_BINARY_CROSS_ENTROPY] = BUR_OP_binary_cross_entropy,
    };
    const bur_loss loss = graph->options.loss;
    const int32_t producer = graph->values[graph->output].producer;
    *op = (bur_op)value_rows[loss];
    if (loss == BUR_LOSS_CROSS_ENTROPY)
        *op = class_loss_row(graph, producer, input);
    if (loss == BUR_LOSS_BINARY_CROSS_ENTROPY)
        return take_sigmoid_away(graph, producer, input);
    return BUR_OK;
}

/* Weights of the output's classes, in training. */
static bur_status add_class_weights(bur_graph *graph, const bur_desc *output)
{
    if (graph->options.mode != BUR_TRAIN || graph->options.class_weights == NULL)
        return BUR_OK;
    if (graph->options.loss != BUR_LOSS_CROSS_ENTROPY)
        return bur_fail(BUR_E_ARG, "class weights are for cross_entropy, not %s",
                        bur_loss_name(graph->options.loss));
    const bur_desc weights = {.dtype = BUR_F32,
                              .shape = {.rank = 1, .dim = {output->shape.dim[1]}}};
    return bur__graph_add_value(graph, GRAPH_WEIGHTS, &weights, &graph->weights);
}

bur_status bur__graph_loss(bur_graph *graph)
{
    const bool classes = graph->options.loss == BUR_LOSS_CROSS_ENTROPY;
    if (graph->options.loss <= BUR_LOSS_NONE || graph->options.loss >= BUR_LOSS_COUNT)
        return bur_fail(BUR_E_ARG, "loss %d; training and evaluation need one",
                        (int)graph->options.loss);
    const bur_desc output = graph->values[graph->output].desc; /* the array moves as values come */
    bur_desc target = output;
    if (classes) {
        if (output.shape.rank != 2)
            return bur_fail(BUR_E_SHAPE, "cross entropy needs an output [N, classes], not rank %d",
                            output.shape.rank);
        const bur_desc labels = {.dtype = BUR_I32,
                                 .shape = {.rank = 1, .dim = {graph->options.batch}}};
        target = labels;
    }
    BUR_TRY(bur__graph_add_value(graph, GRAPH_TARGET, &target, &graph->target));

    int32_t x = graph->output;
    bur_op op = BUR_OP_COUNT;
    BUR_TRY(loss_row(graph, &op, &x));
    const bool trains = graph->options.mode == BUR_TRAIN;
    bur_attr attr = {.loss = graph->options.loss_attr};
    attr.loss.smoothing = trains ? attr.loss.smoothing : 0;
    BUR_TRY(add_class_weights(graph, &output));
    const int32_t loss_inputs[] = {x, graph->target, graph->scalars, graph->weights};
    BUR_TRY(bur__graph_add_node(graph, op, &attr, loss_inputs, graph->weights < 0 ? 3 : 4,
                                trains ? 2 : 1, &graph->result));

    const bur_attr none = {.none = {0}};
    const int32_t sum_inputs[] = {graph->totals, graph->result};
    int32_t sum = -1;
    BUR_TRY(bur__graph_add_node(graph, BUR_OP_add, &none, sum_inputs, 2, 1, &sum));
    graph->values[sum].memory = graph->totals;
    return BUR_OK;
}
