/* Reverse-mode differentiation: walks the forward nodes backward and lets each row's rule emit its
 * gradient. Source: Linnainmaa 1970; Rumelhart, Hinton, Williams 1986. */
#include "graph.h"
#include "../op/rules.h"

#include <string.h>

typedef struct tape {
    bur_graph *graph;
    bool *needs;    /* per forward value: does a parameter stand behind it? */
    int32_t *grads; /* per forward value: its gradient so far, -1 */
} tape;

static bur_status emit(void *graph, bur_op op, const bur_attr *attr, const int32_t *inputs,
                       int32_t n_inputs, int32_t n_outputs, int32_t *first_output)
{
    return bur__graph_add_node(graph, op, attr, inputs, n_inputs, n_outputs, first_output);
}

static const bur_desc *desc(const void *graph, int32_t value)
{
    return &((const bur_graph *)graph)->values[value].desc;
}

static void mark_needs(tape *t, int32_t n_forward)
{
    bur_graph *graph = t->graph;
    for (int32_t i = 0; i < graph->n_values; i++)
        t->needs[i] = graph->values[i].kind == GRAPH_PARAMETER &&
                      bur_recipe_parameter_at(graph->recipe, graph->values[i].parameter)->trainable;
    for (int32_t i = 0; i < n_forward; i++) {
        const bur_graph_node *node = &graph->nodes[i];
        bool any = false;
        for (int32_t j = 0; j < node->n_inputs; j++)
            any = any || t->needs[graph->inputs[node->first_input + j]];
        for (int32_t j = 0; j < node->n_outputs; j++)
            t->needs[node->first_output + j] = any && j == 0;
    }
}

/* Adds `gradient` to what is known of a value that several nodes read. */
static bur_status add_gradient(tape *t, int32_t value, int32_t gradient)
{
    if (t->grads[value] < 0) {
        t->grads[value] = gradient;
        return BUR_OK;
    }
    const bur_attr attr = {.none = {0}};
    const int32_t inputs[] = {t->grads[value], gradient};
    return bur__graph_add_node(t->graph, BUR_OP_add, &attr, inputs, 2, 1, &t->grads[value]);
}

static bur_status differentiate_node(tape *t, int32_t index)
{
    static const bur_emitter emitter_functions = {NULL, emit, desc};
    bur_graph *graph = t->graph;
    const bur_graph_node node = graph->nodes[index]; /* the array moves as nodes are added */
    const bool loss = bur_op_get(node.op)->flags & BUR_OP_LOSS;
    const int32_t dy = loss ? -1 : t->grads[node.first_output];
    if (!t->needs[node.first_output] || (!loss && dy < 0))
        return BUR_OK;
    enum { MOST = 8 };
    int32_t x[MOST], y[BUR_MAX_OUTPUTS], dx[MOST];
    bool needs[MOST];
    for (int32_t j = 0; j < node.n_inputs; j++) {
        x[j] = graph->inputs[node.first_input + j];
        needs[j] = t->needs[x[j]];
        dx[j] = -1;
    }
    for (int32_t j = 0; j < node.n_outputs; j++)
        y[j] = node.first_output + j;
    bur_emitter emitter = emitter_functions;
    emitter.graph = graph;
    const bur_gradient_call call = {&emitter, node.op, &node.attr,   x, y, dy,
                                    needs,    dx,      node.n_inputs};
    const bur_gradient_rule rule = bur__op_rules(node.op)->gradient;
    if (rule == NULL)
        return bur_fail(BUR_E_UNSUPPORTED, "%s has no gradient", bur_op_get(node.op)->name);
    graph->recipe_node = node.recipe_node;
    BUR_TRY(rule(&call));
    for (int32_t j = 0; j < node.n_inputs; j++)
        if (needs[j] && dx[j] >= 0)
            BUR_TRY(add_gradient(t, x[j], dx[j]));
    return BUR_OK;
}

bur_status bur__graph_differentiate(bur_graph *graph)
{
    const int32_t n_forward = graph->n_forward = graph->n_nodes;
    const size_t n = (size_t)graph->n_values;
    tape t = {.graph = graph,
              .needs = bur_alloc_array(graph->context, n, sizeof *t.needs),
              .grads = bur_alloc_array(graph->context, n, sizeof *t.grads)};
    bur_status status = t.needs == NULL || t.grads == NULL ? BUR_E_NOMEM : BUR_OK;
    if (status == BUR_OK) {
        memset(t.grads, 0xff, n * sizeof *t.grads); /* all -1 */
        mark_needs(&t, n_forward);
    }
    for (int32_t i = n_forward - 1; i >= 0 && status == BUR_OK; i--)
        if (graph->values[graph->nodes[i].first_output].memory == graph->nodes[i].first_output)
            status = differentiate_node(&t, i); /* the sum into the totals has no gradient */
    graph->recipe_node = -1;
    for (int32_t i = 0; i < graph->recipe_parameters && status == BUR_OK; i++)
        graph->gradients[i] = t.grads[graph->parameters[i]];
    bur_free(graph->context, t.needs);
    bur_free(graph->context, t.grads);
    return status;
}
