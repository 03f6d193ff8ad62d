/* Rows move from the end of the step to the earliest place that they may have, so that gradients do
 * not pile up: those that add gradients up to where these are complete, the optimizer's to where,
 * besides, their parameters have been read for the last time. The rows compute what they did: every
 * value is read and changed in the order as before. */
#include "graph.h"

typedef struct hoist {
    bur_graph *graph;
    int32_t n_values, first_row;   /* rows to move begin there */
    int32_t *place;                /* of each node: after which of those before first_row it runs */
    int32_t *root;                 /* of each value: through views */
    int32_t *read_at, *changed_at; /* of each root so far: the last place; -1 */
} hoist;

static int32_t later(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static void find_roots(hoist *h)
{
    const bur_graph *graph = h->graph;
    for (int32_t v = 0; v < h->n_values; v++) {
        h->root[v] = v;
        h->read_at[v] = h->changed_at[v] = -1;
    }
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const bur_graph_node *node = &graph->nodes[i];
        if (bur_op_get(node->op)->flags & BUR_OP_VIEW)
            h->root[node->first_output] = h->root[graph->inputs[node->first_input]];
    }
}

/* The earliest place of a row: behind what makes its inputs, changes them, or reads what it
 * changes. */
static int32_t earliest_place(const hoist *h, const bur_graph_node *node, const bur_call *call)
{
    const bur_graph *graph = h->graph;
    int32_t place = graph->n_forward - 1;
    for (int32_t j = 0; j < node->n_inputs; j++) {
        const int32_t value = graph->inputs[node->first_input + j], root = h->root[value];
        const int32_t producer = graph->values[value].producer;
        if (producer >= 0)
            place = later(place, h->place[producer]);
        place = later(place, h->changed_at[root]);
        if (bur_op_changes(call, j))
            place = later(place, h->read_at[root]);
    }
    return place;
}

static void find_places(hoist *h)
{
    const bur_graph *graph = h->graph;
    for (int32_t i = 0; i < graph->n_nodes; i++) {
        const bur_graph_node *node = &graph->nodes[i];
        const bur_call call = {.op = node->op, .attr = &node->attr};
        h->place[i] = i < h->first_row ? i : earliest_place(h, node, &call);
        for (int32_t j = 0; j < node->n_inputs; j++) {
            const int32_t root = h->root[graph->inputs[node->first_input + j]];
            h->read_at[root] = later(h->read_at[root], h->place[i]);
            if (bur_op_changes(&call, j))
                h->changed_at[root] = later(h->changed_at[root], h->place[i]);
        }
    }
}

static void move(const hoist *h, bur_graph_node *ordered)
{
    bur_graph *graph = h->graph;
    int32_t n = 0;
    for (int32_t i = 0; i < h->first_row; i++) {
        ordered[n++] = graph->nodes[i];
        for (int32_t row = h->first_row; row < graph->n_nodes; row++) {
            if (h->place[row] != i)
                continue;
            ordered[n] = graph->nodes[row];
            ordered[n++].update = false; /* there is one list */
        }
    }
    for (int32_t i = 0; i < n; i++) {
        graph->nodes[i] = ordered[i];
        for (int32_t k = 0; k < ordered[i].n_outputs; k++)
            graph->values[ordered[i].first_output + k].producer = i;
    }
}

bur_status bur__graph_hoist(bur_graph *graph, int32_t first_row)
{
    const size_t n_nodes = (size_t)graph->n_nodes, n_values = (size_t)graph->n_values;
    int32_t *places = bur_alloc_array(graph->context, n_nodes + 3 * n_values, sizeof *places);
    bur_graph_node *ordered = bur_alloc_array(graph->context, n_nodes, sizeof *ordered);
    const bool has_memory = places != NULL && ordered != NULL;
    if (has_memory) {
        int32_t *values = places + n_nodes;
        hoist h = {.graph = graph,
                   .n_values = graph->n_values,
                   .first_row = first_row,
                   .place = places,
                   .root = values,
                   .read_at = values + n_values,
                   .changed_at = values + 2 * n_values};
        find_roots(&h);
        find_places(&h);
        move(&h, ordered);
    }
    bur_free(graph->context, places);
    bur_free(graph->context, ordered);
    return has_memory ? BUR_OK : BUR_E_NOMEM;
}
