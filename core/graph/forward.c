/* From recipe to nodes, and the loss behind them. */
#include "graph.h"
#include "recipe.h"

#include <string.h>

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

/* cross_entropy reads probabilities; behind a softmax, or on an output that is none, the fused row
 * on logits is exact and stable. */
static bur_op loss_row(bur_graph *graph, int32_t *input)
{
    if (graph->options.loss == BUR_LOSS_MSE)
        return BUR_OP_mse;
    const int32_t producer = graph->values[graph->output].producer;
    if (producer < 0 || graph->nodes[producer].op != BUR_OP_softmax)
        return BUR_OP_softmax_cross_entropy;
    if (graph->options.no_fuse || producer != graph->n_nodes - 1)
        return BUR_OP_cross_entropy; /* something may read the softmax */
    *input = graph->inputs[graph->nodes[producer].first_input];
    graph->values[graph->output].producer = -1;
    graph->n_nodes--;
    graph->output = -1;
    return BUR_OP_softmax_cross_entropy;
}

bur_status bur__graph_loss(bur_graph *graph)
{
    const bool classes = graph->options.loss == BUR_LOSS_CROSS_ENTROPY;
    if (graph->options.loss <= BUR_LOSS_NONE || graph->options.loss >= BUR_LOSS_COUNT)
        return bur_fail(BUR_E_ARG, "loss %d; training and evaluation need one",
                        (int)graph->options.loss);
    const bur_desc *output = &graph->values[graph->output].desc;
    bur_desc target = *output;
    if (classes) {
        if (output->shape.rank != 2)
            return bur_fail(BUR_E_SHAPE, "cross entropy needs an output [N, classes], not rank %d",
                            output->shape.rank);
        const bur_desc labels = {.dtype = BUR_I32,
                                 .shape = {.rank = 1, .dim = {graph->options.batch}}};
        target = labels;
    }
    BUR_TRY(bur__graph_add_value(graph, GRAPH_TARGET, &target, &graph->target));

    int32_t x = graph->output;
    const bur_op op = loss_row(graph, &x);
    const bur_attr attr = {.none = {0}};
    const int32_t loss_inputs[] = {x, graph->target, graph->scalars};
    const int32_t n_outputs = graph->options.mode == BUR_TRAIN ? 2 : 1;
    BUR_TRY(bur__graph_add_node(graph, op, &attr, loss_inputs, 3, n_outputs, &graph->result));

    const int32_t sum_inputs[] = {graph->totals, graph->result};
    int32_t sum = -1;
    BUR_TRY(bur__graph_add_node(graph, BUR_OP_add, &attr, sum_inputs, 2, 1, &sum));
    graph->values[sum].memory = graph->totals;
    return BUR_OK;
}
