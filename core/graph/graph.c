/* Graphs: a recipe at a batch size and mode. */
#include "graph.h"
#include "recipe.h"
#include "../base/vector.h"

#include <inttypes.h>
#include <string.h>

#define RESERVE(graph, items, room, count)                                                         \
    bur__vector_reserve((graph)->context, (void **)&(graph)->items, &(graph)->room, count,         \
                        sizeof *(graph)->items)

bur_status bur__graph_add_value(bur_graph *graph, bur_graph_value_kind kind, const bur_desc *desc,
                                int32_t *out)
{
    BUR_TRY(RESERVE(graph, values, value_room, graph->n_values + 1));
    graph->values[graph->n_values] = (bur_graph_value){
        .kind = kind, .desc = *desc, .parameter = -1, .producer = -1, .memory = graph->n_values};
    *out = graph->n_values++;
    return BUR_OK;
}

bur_status bur__graph_add_inputs(bur_graph *graph, const int32_t *inputs, int32_t count,
                                 int32_t *first)
{
    BUR_TRY(RESERVE(graph, inputs, input_room, graph->n_inputs + count));
    memcpy(graph->inputs + graph->n_inputs, inputs, (size_t)count * sizeof *inputs);
    *first = graph->n_inputs;
    graph->n_inputs += count;
    return BUR_OK;
}

bur_status bur__graph_add_node(bur_graph *graph, bur_op op, const bur_attr *attr,
                               const int32_t *inputs, int32_t n_inputs, int32_t n_outputs,
                               int32_t *first_output)
{
    bur_graph_node node = {.op = op,
                           .attr = *attr,
                           .n_inputs = n_inputs,
                           .first_output = graph->n_values,
                           .n_outputs = n_outputs,
                           .recipe_node = graph->recipe_node,
                           .update = bur_op_get(op)->flags & BUR_OP_UPDATE};
    BUR_TRY(bur__graph_add_inputs(graph, inputs, n_inputs, &node.first_input));

    bur_desc *descs = bur_alloc_array(graph->context, (size_t)n_inputs, sizeof *descs);
    if (descs == NULL)
        return BUR_E_NOMEM;
    for (int32_t i = 0; i < n_inputs; i++)
        descs[i] = graph->values[inputs[i]].desc;
    bur_desc outputs[BUR_MAX_OUTPUTS];
    const bur_call call = {op, &node.attr, n_inputs, n_outputs, descs, outputs};
    const bur_status status = bur_op_infer(&call, outputs);
    bur_free(graph->context, descs);
    BUR_TRY(status);

    BUR_TRY(RESERVE(graph, nodes, node_room, graph->n_nodes + 1));
    for (int32_t i = 0; i < n_outputs; i++) {
        int32_t value = -1;
        BUR_TRY(bur__graph_add_value(graph, GRAPH_TEMPORARY, &outputs[i], &value));
        graph->values[value].producer = graph->n_nodes;
    }
    graph->nodes[graph->n_nodes++] = node;
    if (first_output != NULL)
        *first_output = node.first_output;
    return BUR_OK;
}

bur_call bur__graph_call(const bur_graph *graph, int32_t node, bur_desc *inputs, bur_desc *outputs)
{
    const bur_graph_node *n = &graph->nodes[node];
    for (int32_t i = 0; i < n->n_inputs; i++)
        inputs[i] = graph->values[graph->inputs[n->first_input + i]].desc;
    for (int32_t i = 0; i < n->n_outputs; i++)
        outputs[i] = graph->values[n->first_output + i].desc;
    return (bur_call){n->op, &n->attr, n->n_inputs, n->n_outputs, inputs, outputs};
}

int32_t bur__graph_most_inputs(const bur_graph *graph)
{
    int32_t most = 1;
    for (int32_t i = 0; i < graph->n_nodes; i++)
        most = graph->nodes[i].n_inputs > most ? graph->nodes[i].n_inputs : most;
    return most;
}

const char *bur__graph_layer(const bur_graph *graph, int32_t node)
{
    const int32_t recipe_node = graph->nodes[node].recipe_node;
    if (recipe_node < 0)
        return "";
    const int32_t layer = graph->recipe->nodes[recipe_node].layer;
    return layer < 0 ? "" : graph->recipe->layers[layer].name;
}

/* Averages lie behind the parameters whatever the mode, so that all sessions of a run find them in
 * the same places; what is not training reads them. */
static bur_status add_averages(bur_graph *graph)
{
    for (int32_t i = 0; i < graph->recipe_parameters; i++) {
        graph->averages[i] = -1;
        if (!(graph->options.optimizer.attr.ema > 0) || !graph->recipe->parameters[i].trainable)
            continue;
        BUR_TRY(bur__graph_add_value(graph, GRAPH_AVERAGE, &graph->recipe->parameters[i].desc,
                                     &graph->averages[i]));
        graph->values[graph->averages[i]].parameter = i;
        if (graph->options.mode != BUR_TRAIN)
            graph->parameters[i] = graph->averages[i];
    }
    return BUR_OK;
}

/* Values that every graph has: scalars, totals, input and parameters, the latter in the recipe's
 * order. */
static bur_status add_leaves(bur_graph *graph)
{
    const bur_recipe *recipe = graph->recipe;
    const bur_desc scalars = {.dtype = BUR_I32, .shape = {.rank = 1, .dim = {BUR_SCALAR_WORDS}}};
    const bur_desc totals = {.dtype = BUR_F32, .shape = {.rank = 1, .dim = {BUR_RESULT_WORDS}}};
    BUR_TRY(bur__graph_add_value(graph, GRAPH_SCALARS, &scalars, &graph->scalars));
    BUR_TRY(bur__graph_add_value(graph, GRAPH_TOTALS, &totals, &graph->totals));
    for (int32_t i = 0; i < recipe->n_parameters; i++) {
        BUR_TRY(bur__graph_add_value(graph, GRAPH_PARAMETER, &recipe->parameters[i].desc,
                                     &graph->parameters[i]));
        graph->values[graph->parameters[i]].parameter = i;
        graph->gradients[i] = -1;
    }
    BUR_TRY(add_averages(graph));
    bur_desc x = recipe->values[recipe->inputs[0].ref].desc;
    x.shape.dim[0] = graph->options.batch;
    return bur__graph_add_value(graph, GRAPH_INPUT, &x, &graph->x);
}

static bur_status build(bur_graph *graph)
{
    const bool trains = graph->options.mode == BUR_TRAIN;
    BUR_TRY(add_leaves(graph));
    BUR_TRY(bur__graph_forward(graph));
    if (!graph->options.no_fuse)
        BUR_TRY(bur__graph_fuse(graph));
    if (graph->options.mode != BUR_PREDICT)
        BUR_TRY(bur__graph_loss(graph));
    if (trains) {
        BUR_TRY(bur__graph_differentiate(graph));
        BUR_TRY(bur__graph_update(graph));
        BUR_TRY(bur__graph_recompute(graph));
    }
    return bur__graph_share(graph);
}

bur_status bur_graph_create(bur_graph **out, const bur_recipe *recipe,
                            const bur_graph_options *options)
{
    if (out == NULL || recipe == NULL || options == NULL)
        return bur_fail(BUR_E_ARG, "bur_graph_create: NULL argument");
    if (options->batch < 1)
        return bur_fail(BUR_E_ARG, "batch is %" PRId64 "; it must be at least 1", options->batch);
    if (recipe->output < 0 || recipe->n_inputs != 1)
        return bur_fail(BUR_E_ARG,
                        "recipe '%s' has %" PRId32 " inputs and %s output; one of each is needed",
                        recipe->name, recipe->n_inputs, recipe->output < 0 ? "no" : "an");
    bur_context *context = recipe->context;
    bur_graph *graph = bur_alloc(context, sizeof *graph);
    if (graph == NULL)
        return BUR_E_NOMEM;
    graph->context = context;
    graph->recipe = recipe;
    graph->options = *options;
    graph->recipe_node = -1;
    graph->recipe_parameters = recipe->n_parameters;
    graph->target = graph->weights = graph->output = graph->result = -1;
    const size_t n = (size_t)recipe->n_parameters;
    graph->parameters = bur_alloc_array(context, n, sizeof *graph->parameters);
    graph->averages = bur_alloc_array(context, n, sizeof *graph->averages);
    graph->gradients = bur_alloc_array(context, n, sizeof *graph->gradients);
    const bool has_memory =
        graph->parameters != NULL && graph->averages != NULL && graph->gradients != NULL;
    const bur_status status = has_memory ? build(graph) : BUR_E_NOMEM;
    if (status != BUR_OK) {
        bur_graph_destroy(graph);
        return status;
    }
    *out = graph;
    return BUR_OK;
}

void bur_graph_destroy(bur_graph *graph)
{
    if (graph == NULL)
        return;
    bur_context *context = graph->context;
    bur_free(context, graph->values);
    bur_free(context, graph->nodes);
    bur_free(context, graph->inputs);
    bur_free(context, graph->parameters);
    bur_free(context, graph->averages);
    bur_free(context, graph->gradients);
    bur_free(context, graph);
}

const bur_graph_options *bur_graph_get_options(const bur_graph *graph)
{
    return &graph->options;
}

int32_t bur_graph_node_count(const bur_graph *graph)
{
    return graph->n_nodes;
}

bur_op bur_graph_node_op(const bur_graph *graph, int32_t node)
{
    return graph->nodes[node].op;
}

int32_t bur_graph_recomputed_count(const bur_graph *graph)
{
    return graph->n_recomputed;
}

double bur_graph_recomputed_share(const bur_graph *graph)
{
    return graph->recomputed_share;
}

bool bur_graph_needs_whole_batch(const bur_graph *graph)
{
    for (int32_t i = 0; i < graph->n_nodes; i++)
        if (bur_op_get(graph->nodes[i].op)->flags & BUR_OP_BATCH)
            return true;
    return false;
}
