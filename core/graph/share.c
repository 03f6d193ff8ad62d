/* Shared memory: views, and results that take over an input that dies. */
#include "graph.h"

/* The last node that reads each value's memory; n_nodes for what is read after the step. */
static void find_last_uses(const bur_graph *graph, int32_t *last_use)
{
    for (int32_t i = 0; i < graph->n_values; i++)
        last_use[i] = graph->values[i].producer;
    for (int32_t i = 0; i < graph->n_nodes; i++)
        for (int32_t j = 0; j < graph->nodes[i].n_inputs; j++)
            last_use[graph->inputs[graph->nodes[i].first_input + j]] = i;
    for (int32_t i = 0; i < graph->n_values; i++)
        if (i == graph->output || i == graph->result ||
            (graph->values[i].is_parameter_gradient && !graph->early_update))
            last_use[i] = graph->n_nodes;
}

static int32_t root_of(const bur_graph *graph, int32_t value)
{
    while (graph->values[value].memory != value)
        value = graph->values[value].memory;
    return value;
}

static bool takes_over(const bur_graph *graph, int32_t index, int32_t alias,
                       const int32_t *last_use)
{
    const bur_graph_node *node = &graph->nodes[index];
    const int32_t *inputs = graph->inputs + node->first_input;
    const int32_t memory = root_of(graph, inputs[alias]);
    const bur_graph_value *from = &graph->values[memory], *to = &graph->values[node->first_output];
    if (from->kind != GRAPH_TEMPORARY || last_use[memory] != index ||
        bur_desc_bytes(&from->desc) != bur_desc_bytes(&to->desc))
        return false;
    for (int32_t j = 0; j < node->n_inputs; j++)
        if (j != alias && root_of(graph, inputs[j]) == memory)
            return false;
    return true;
}

static void share_output(bur_graph *graph, int32_t output, int32_t memory, int32_t *last_use)
{
    graph->values[output].memory = memory;
    if (last_use[output] > last_use[memory])
        last_use[memory] = last_use[output];
}

bur_status bur__graph_share(bur_graph *graph)
{
    int32_t *last_use = bur_alloc_array(graph->context, (size_t)graph->n_values, sizeof *last_use);
    if (last_use == NULL)
        return BUR_E_NOMEM;
    find_last_uses(graph, last_use);
    /* Views first: what reads a view reads its source. */
    for (int32_t i = 0; i < graph->n_nodes; i++)
        if (bur_op_get(graph->nodes[i].op)->flags & BUR_OP_VIEW) {
            const int32_t source = root_of(graph, graph->inputs[graph->nodes[i].first_input]);
            share_output(graph, graph->nodes[i].first_output, source, last_use);
        }
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const bur_graph_node *node = &graph->nodes[i];
        const int32_t alias = bur_op_get(node->op)->alias;
        const bool own =
            node->n_outputs > 0 && graph->values[node->first_output].memory == node->first_output;
        if (alias >= 0 && own && takes_over(graph, i, alias, last_use))
            share_output(graph, node->first_output,
                         root_of(graph, graph->inputs[node->first_input + alias]), last_use);
    }
    for (int32_t i = 0; i < graph->n_values; i++)
        graph->values[i].memory = root_of(graph, i);
    bur_free(graph->context, last_use);
    return BUR_OK;
}

void bur__graph_lifetimes(const bur_graph *graph, int32_t *first, int32_t *last)
{
    find_last_uses(graph, last);
    for (int32_t i = 0; i < graph->n_values; i++)
        first[i] = graph->values[i].producer < 0 ? 0 : graph->values[i].producer;
    for (int32_t i = 0; i < graph->n_values; i++) {
        const int32_t memory = graph->values[i].memory;
        if (last[i] > last[memory])
            last[memory] = last[i];
        if (last[memory] < first[memory])
            last[memory] = first[memory];
    }
}
