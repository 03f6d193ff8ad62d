/* Fusion of forward nodes: matmul or convolution, then bias, then activation become one node; so do
 * batch normalisation, then a residual, then an activation. */
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

/* What a normalisation is with an activation, or a residual and perhaps an activation, behind it.
 */
static const struct {
    bur_op row, act, add_act;
} norms[] = {
    {BUR_OP_batch_norm, BUR_OP_batch_norm_act, BUR_OP_batch_norm_add_act},
    {BUR_OP_batch_norm_infer, BUR_OP_batch_norm_infer_act, BUR_OP_batch_norm_infer_act},
};

static const struct {
    bur_op row;
    bur_activation activation;
} norm_activations[] = {
    {BUR_OP_relu, BUR_RELU}, {BUR_OP_relu6, BUR_RELU6}, {BUR_OP_silu, BUR_SILU}};

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

/* ---- normalisation: the fused node takes the normalisation's place, its second output is read
 * ---- */

/* The row that `fused` is of: of a graph that trains by the batch's statistics, or one that does
 * not train, since rows on given statistics have no gradient. */
static int32_t norm_of(const bur_graph *graph, int32_t node)
{
    for (int32_t i = 0; node >= 0 && i < (int32_t)(sizeof norms / sizeof *norms); i++)
        if (graph->nodes[node].op == norms[i].row)
            return norms[i].row == BUR_OP_batch_norm_infer && graph->options.mode == BUR_TRAIN
                       ? NONE
                       : i;
    return NONE;
}

/* Readers of the node's result read that of `into` from now on. */
static void give_readers(bur_graph *graph, int32_t node, int32_t into, int32_t *readers, bool *dead)
{
    const int32_t from = graph->nodes[node].first_output, to = graph->nodes[into].first_output;
    for (int32_t i = graph->nodes[node].first_input; i < graph->n_inputs; i++)
        if (graph->inputs[i] == from)
            graph->inputs[i] = to;
    if (graph->output == from)
        graph->output = to;
    readers[to] = readers[from];
    dead[node] = true;
}

/* An activation behind a normalisation, or behind one with a residual that has none yet. */
static bool fuse_norm_activation(bur_graph *graph, int32_t node, int32_t producer, int32_t *readers,
                                 bool *dead)
{
    const int32_t norm = norm_of(graph, producer);
    bur_graph_node *into = &graph->nodes[producer];
    const bool added = into->op == BUR_OP_batch_norm_add_act ||
                       (into->op == BUR_OP_batch_norm_infer_act && into->n_inputs > 5);
    if (norm == NONE && (!added || into->attr.norm.activation != BUR_LINEAR))
        return false;
    for (size_t i = 0; i < sizeof norm_activations / sizeof *norm_activations; i++) {
        if (graph->nodes[node].op != norm_activations[i].row)
            continue;
        if (added && norm_activations[i].activation == BUR_SILU)
            return false; /* its gradient is not told by y */
        if (norm != NONE)
            into->op = norms[norm].act;
        into->attr.norm.activation = norm_activations[i].activation;
        give_readers(graph, node, producer, readers, dead);
        return true;
    }
    return false;
}

/* The sum of a normalisation that nothing else reads and a value that stands before it. */
static bur_status fuse_residual(bur_graph *graph, int32_t node, int32_t *readers, bool *dead)
{
    for (int32_t k = 0; k < 2; k++) {
        const int32_t value = input_of(graph, node, k), residual = input_of(graph, node, 1 - k);
        const int32_t at = graph->values[value].producer, norm = norm_of(graph, at);
        if (norm == NONE || value != graph->nodes[at].first_output || readers[value] != 1 ||
            value == graph->output || graph->values[residual].producer >= at ||
            !bur_shape_equal(&graph->values[value].desc.shape, &graph->values[residual].desc.shape))
            continue;
        int32_t inputs[6], first = -1;
        const int32_t n = graph->nodes[at].n_inputs;
        for (int32_t i = 0; i < n; i++)
            inputs[i] = input_of(graph, at, i);
        inputs[n] = residual;
        BUR_TRY(bur__graph_add_inputs(graph, inputs, n + 1, &first));
        graph->nodes[at].op = norms[norm].add_act;
        graph->nodes[at].first_input = first;
        graph->nodes[at].n_inputs = n + 1;
        give_readers(graph, node, at, readers, dead);
        return BUR_OK;
    }
    return BUR_OK;
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
        if (graph->nodes[i].op == BUR_OP_add) {
            status = fuse_residual(graph, i, readers, dead);
            continue;
        }
        const int32_t producer = sole_producer(graph, i, readers);
        if (producer == NONE)
            continue;
        if (graph->nodes[i].op == BUR_OP_bias_add)
            status = fuse_bias(graph, i, producer, dead);
        else if (!fuse_norm_activation(graph, i, producer, readers, dead))
            fuse_activation(graph, i, producer, dead);
    }
    if (status == BUR_OK)
        drop_dead(graph, dead);
    bur_free(graph->context, readers);
    bur_free(graph->context, dead);
    return status;
}
