/* Fusion of forward nodes: matmul or convolution, then bias, then activation become one node. */
#include "graph.h"

#include <string.h>

static const int32_t NONE = -1;

/* The fused row of a product, and the pointwise activation a row computes. */
static const struct {
    bur_op row, fused;
} products[] = {
    {BUR_OP_matmul, BUR_OP_matmul_bias_act},
    {BUR_OP_conv2d, BUR_OP_conv2d_bias_act},
};

static const struct {
    bur_op row;
    bur_activation activation;
} activations[] = {
    {BUR_OP_relu, BUR_RELU},   {BUR_OP_leaky_relu, BUR_LEAKY_RELU},
    {BUR_OP_tanh, BUR_TANH},   {BUR_OP_sigmoid, BUR_SIGMOID},
    {BUR_OP_relu6, BUR_RELU6}, {BUR_OP_elu, BUR_ELU},
    {BUR_OP_selu, BUR_SELU},   {BUR_OP_hard_sigmoid, BUR_HARD_SIGMOID},
};

static int32_t input_of(const bur_graph *graph, int32_t node, int32_t i)
{
    return graph->inputs[graph->nodes[node].first_input + i];
}

/* The node that makes input 0 of `node`, if nothing else reads it; else -1. */
static int32_t sole_producer(const bur_graph *graph, int32_t node, const int32_t *readers)
{
    const int32_t value = input_of(graph, node, 0);
    return value != graph->output && readers[value] == 1 ? graph->values[value].producer : NONE;
}

static int32_t *activation_of(bur_graph_node *node)
{
    return node->op == BUR_OP_matmul_bias_act ? &node->attr.matmul.activation
                                              : &node->attr.conv2d.activation;
}

static float *alpha_of(bur_graph_node *node)
{
    return node->op == BUR_OP_matmul_bias_act ? &node->attr.matmul.alpha : &node->attr.conv2d.alpha;
}

/* bias_add behind a product: the product's inputs and the bias, in a new run of inputs. */
static bur_status fuse_bias(bur_graph *graph, int32_t node, int32_t product, bool *dead)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        if (graph->nodes[product].op != products[i].row)
            continue;
        const int32_t inputs[] = {input_of(graph, product, 0), input_of(graph, product, 1),
                                  input_of(graph, node, 1)};
        const bur_graph_node *from = &graph->nodes[product];
        bur_graph_node fused = graph->nodes[node];
        fused.op = products[i].fused;
        fused.attr = from->attr;
        fused.recipe_node = from->recipe_node;
        fused.n_inputs = 3;
        BUR_TRY(bur__graph_add_inputs(graph, inputs, 3, &fused.first_input));
        graph->nodes[node] = fused;
        dead[product] = true;
        return BUR_OK;
    }
    return BUR_OK;
}

/* An activation behind a fused product that has none yet. */
static void fuse_activation(bur_graph *graph, int32_t node, int32_t product, bool *dead)
{
    bur_graph_node *from = &graph->nodes[product];
    if (from->op != BUR_OP_matmul_bias_act && from->op != BUR_OP_conv2d_bias_act)
        return;
    if (*activation_of(from) != BUR_LINEAR)
        return;
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        bur_graph_node *to = &graph->nodes[node];
        if (to->op != activations[i].row)
            continue;
        bur_graph_node fused = *from;
        fused.first_output = to->first_output;
        *activation_of(&fused) = activations[i].activation;
        *alpha_of(&fused) = to->attr.activation.alpha;
        *to = fused;
        dead[product] = true;
        return;
    }
}

static void drop_dead(bur_graph *graph, const bool *dead)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        if (dead[i]) {
            graph->values[graph->nodes[i].first_output].producer = -1;
            continue;
        }
        graph->nodes[kept] = graph->nodes[i];
        for (int32_t j = 0; j < graph->nodes[kept].n_outputs; j++)
            graph->values[graph->nodes[kept].first_output + j].producer = kept;
        kept++;
    }
    graph->n_nodes = kept;
}

bur_status bur__graph_fuse(bur_graph *graph)
{
    int32_t *readers = bur_alloc_array(graph->context, (size_t)graph->n_values, sizeof *readers);
    bool *dead = bur_alloc_array(graph->context, (size_t)graph->n_nodes, sizeof *dead);
    bur_status status = readers == NULL || dead == NULL ? BUR_E_NOMEM : BUR_OK;
    for (int32_t i = 0; status == BUR_OK && i < graph->n_inputs; i++)
        readers[graph->inputs[i]]++;
    for (int32_t i = 0; status == BUR_OK && i < graph->n_nodes; i++) {
        const int32_t producer = sole_producer(graph, i, readers);
        if (producer == NONE)
            continue;
        if (graph->nodes[i].op == BUR_OP_bias_add)
            status = fuse_bias(graph, i, producer, dead);
        else
            fuse_activation(graph, i, producer, dead);
    }
    if (status == BUR_OK)
        drop_dead(graph, dead);
    bur_free(graph->context, readers);
    bur_free(graph->context, dead);
    return status;
}
