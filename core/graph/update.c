/* The update list: gradients added up over micro-batches, then one multi-tensor optimizer step. */
#include "graph.h"
#include "recipe.h"

#include <inttypes.h>

/* The optimizer's row and how many state tensors it keeps per parameter. */
static const struct {
    bur_op op;
    int32_t slots;
} optimizers[BUR_OPTIMIZER_COUNT] = {
#define ROW(name, text, op, slots) [BUR_##name] = {BUR_OP_##op, slots},
    BUR_OPTIMIZER_MAP(ROW)
#undef ROW
};

/* A persistent gradient; the micro-batch's own is added into it. */
static bur_status keep_gradient(bur_graph *graph, int32_t parameter)
{
    const bur_desc desc = graph->values[graph->parameters[parameter]].desc;
    int32_t kept = -1, sum = -1;
    BUR_TRY(bur__graph_add_value(graph, GRAPH_GRADIENT, &desc, &kept));
    graph->values[kept].parameter = parameter;
    const bur_attr attr = {.none = {0}};
    const int32_t inputs[] = {kept, graph->gradients[parameter]};
    BUR_TRY(bur__graph_add_node(graph, BUR_OP_add, &attr, inputs, 2, 1, &sum));
    graph->values[sum].memory = kept;
    graph->gradients[parameter] = kept;
    return BUR_OK;
}

static bool is_penalized(const bur_graph *graph, int32_t parameter)
{
    return !graph->recipe->parameters[parameter].unpenalized;
}

/* The factor that clips the gradients; -1 where they are not clipped by their norm. */
static bur_status add_norm(bur_graph *graph, int32_t *inputs, int32_t *scale)
{
    int32_t count = 0;
    *scale = -1;
    for (int32_t i = 0; i < graph->recipe_parameters; i++)
        if (graph->gradients[i] >= 0)
            inputs[count++] = graph->gradients[i];
    const bur_attr attr = {.optimizer = {.clip_norm = graph->options.optimizer.attr.clip_norm}};
    if (count == 0 || attr.optimizer.clip_norm == 0)
        return BUR_OK;
    return bur__graph_add_node(graph, BUR_OP_global_norm, &attr, inputs, count, 1, scale);
}

/* Averages follow the parameters that were just changed. */
static bur_status add_average(bur_graph *graph, int32_t *inputs)
{
    const bur_attr attr = {.optimizer = {.ema = graph->options.optimizer.attr.ema}};
    int32_t count = 0;
    inputs[count++] = graph->scalars;
    for (int32_t i = 0; i < graph->recipe_parameters; i++)
        if (graph->gradients[i] >= 0 && graph->averages[i] >= 0) {
            inputs[count++] = graph->averages[i];
            inputs[count++] = graph->parameters[i];
        }
    return count == 1
               ? BUR_OK
               : bur__graph_add_node(graph, BUR_OP_moving_average, &attr, inputs, count, 0, NULL);
}

/* Optimizer inputs: scalars, the norm's factor if any, then parameter, gradient and state of each
 * parameter that has a gradient and is penalized or not, or of both kinds. */
static bur_status optimizer_inputs(bur_graph *graph, bool penalized, bool both, int32_t scale,
                                   int32_t *inputs, int32_t *count)
{
    const int32_t slots = optimizers[graph->options.optimizer.kind].slots;
    int32_t n = 0;
    inputs[n++] = graph->scalars;
    if (scale >= 0)
        inputs[n++] = scale;
    const int32_t first = n;
    for (int32_t i = 0; i < graph->recipe_parameters; i++) {
        if (graph->gradients[i] < 0 || (!both && is_penalized(graph, i) != penalized))
            continue;
        const bur_desc desc = graph->values[graph->parameters[i]].desc;
        inputs[n++] = graph->parameters[i];
        inputs[n++] = graph->gradients[i];
        for (int32_t slot = 0; slot < slots; slot++) {
            int32_t state = -1;
            BUR_TRY(bur__graph_add_value(graph, GRAPH_STATE, &desc, &state));
            graph->values[state].parameter = i;
            graph->values[state].slot = slot;
            inputs[n++] = state;
        }
    }
    *count = n > first ? n : 0;
    return BUR_OK;
}

/* One row for all parameters; with a penalty or decay two, one of them without. */
static bur_status add_optimizer(bur_graph *graph, int32_t *inputs)
{
    const bur_optimizer *optimizer = &graph->options.optimizer;
    const bur_op row = optimizers[optimizer->kind].op;
    bur_attr attr = {.optimizer = optimizer->attr};
    attr.optimizer.ema = 0; /* a row of its own */
    int32_t scale = -1;
    BUR_TRY(add_norm(graph, inputs, &scale));
    const bool both =
        attr.optimizer.l1 == 0 && attr.optimizer.l2 == 0 && attr.optimizer.weight_decay == 0;
    for (int penalized = 1; penalized >= (both ? 1 : 0); penalized--) {
        int32_t count = 0;
        if (!penalized)
            attr.optimizer.l1 = attr.optimizer.l2 = attr.optimizer.weight_decay = 0;
        BUR_TRY(optimizer_inputs(graph, penalized != 0, both, scale, inputs, &count));
        if (count > 0)
            BUR_TRY(bur__graph_add_node(graph, row, &attr, inputs, count, 0, NULL));
    }
    return add_average(graph, inputs);
}

bur_status bur__graph_update(bur_graph *graph)
{
    const bur_optimizer *optimizer = &graph->options.optimizer;
    if ((unsigned)optimizer->kind >= BUR_OPTIMIZER_COUNT)
        return bur_fail(BUR_E_ARG, "optimizer %d is unknown", (int)optimizer->kind);
    for (int32_t i = 0; i < graph->recipe_parameters; i++) {
        if (graph->gradients[i] < 0)
            continue;
        if (graph->options.accumulate)
            BUR_TRY(keep_gradient(graph, i));
        else
            graph->values[graph->gradients[i]].is_parameter_gradient = true;
    }
    const size_t most =
        2 + (size_t)graph->recipe_parameters * (2 + (size_t)optimizers[optimizer->kind].slots);
    int32_t *inputs = bur_alloc_array(graph->context, most, sizeof *inputs);
    if (inputs == NULL)
        return BUR_E_NOMEM;
    const bur_status status = add_optimizer(graph, inputs);
    bur_free(graph->context, inputs);
    return status;
}
