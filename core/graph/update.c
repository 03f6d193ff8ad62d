/* The update list: multi-tensor optimizer rows, one at the end of the step or several within the
 * backward pass (hoist.c), where the rows that add gradients up over micro-batches always are. */
#include "graph.h"
#include "recipe.h"

#include <inttypes.h>
#include <stdlib.h>

/* Rows that take gradients early wait until they have this much to do: each costs a launch, and
 * what waits takes memory. */
enum { MOST_GROUPS = 16, LEAST_GROUP_BYTES = 1 << 20 };

/* The same of rows that add gradients up. */
enum { LEAST_SUM_BYTES = 1 << 22 };

/* Products of so few steps take no longer with a sum. */
enum { MOST_SUM_STEPS = 32 };

/* The optimizer's row and how many state tensors it keeps per parameter. */
static const struct {
    bur_op op;
    int32_t slots;
} optimizers[BUR_OPTIMIZER_COUNT] = {
#define ROW(name, text, op, slots) [BUR_##name] = {BUR_OP_##op, slots},
    BUR_OPTIMIZER_MAP(ROW)
#undef ROW
};

/* A parameter with a gradient. */
typedef struct taken {
    int32_t parameter;
    int32_t first_state; /* its slots follow each other */
    int32_t complete_at; /* the node that gives its gradient */
} taken;

typedef struct update {
    bur_graph *graph;
    taken *order; /* in which rows take them */
    int32_t count;
    int32_t scale;   /* value of the factor that clips, -1 */
    int32_t *inputs; /* room for those of a row of all */
} update;

static bool is_penalized(const bur_graph *graph, int32_t parameter)
{
    return !graph->recipe->parameters[parameter].unpenalized;
}

/* The factor that clips the gradients; -1 where they are not clipped by their norm. */
static bur_status add_norm(update *u)
{
    const bur_graph *graph = u->graph;
    const bur_attr attr = {.optimizer = {.clip_norm = graph->options.optimizer.attr.clip_norm}};
    u->scale = -1;
    if (u->count == 0 || attr.optimizer.clip_norm == 0)
        return BUR_OK;
    for (int32_t k = 0; k < u->count; k++)
        u->inputs[k] = graph->gradients[u->order[k].parameter];
    return bur__graph_add_node(u->graph, BUR_OP_global_norm, &attr, u->inputs, u->count, 1,
                               &u->scale);
}

/* Inputs of one row over parameters order[first..last), those that are penalized or not, or all:
 * scalars, the norm's factor if any, then parameter, gradient and state of each. 0 if there is
 * none.
 */
static int32_t optimizer_inputs(const update *u, int32_t first, int32_t last, bool penalized,
                                bool both)
{
    const bur_graph *graph = u->graph;
    const int32_t slots = optimizers[graph->options.optimizer.kind].slots;
    int32_t n = 0;
    u->inputs[n++] = graph->scalars;
    if (u->scale >= 0)
        u->inputs[n++] = u->scale;
    const int32_t none = n;
    for (int32_t k = first; k < last; k++) {
        const int32_t i = u->order[k].parameter;
        if (!both && is_penalized(graph, i) != penalized)
            continue;
        u->inputs[n++] = graph->parameters[i];
        u->inputs[n++] = graph->gradients[i];
        for (int32_t slot = 0; slot < slots; slot++)
            u->inputs[n++] = u->order[k].first_state + slot;
    }
    return n > none ? n : 0;
}

/* Averages follow the parameters that were just changed. */
static bur_status add_average(const update *u, int32_t first, int32_t last)
{
    bur_graph *graph = u->graph;
    const bur_attr attr = {.optimizer = {.ema = graph->options.optimizer.attr.ema}};
    int32_t count = 0;
    u->inputs[count++] = graph->scalars;
    for (int32_t k = first; k < last; k++) {
        const int32_t i = u->order[k].parameter;
        if (graph->averages[i] < 0)
            continue;
        u->inputs[count++] = graph->averages[i];
        u->inputs[count++] = graph->parameters[i];
    }
    return count == 1 ? BUR_OK
                      : bur__graph_add_node(graph, BUR_OP_moving_average, &attr, u->inputs, count,
                                            0, NULL);
}

/* One row for all these parameters; with a penalty or decay two, one of them without. */
static bur_status add_rows(const update *u, int32_t first, int32_t last)
{
    const bur_optimizer *optimizer = &u->graph->options.optimizer;
    const bur_op row = optimizers[optimizer->kind].op;
    bur_attr attr = {.optimizer = optimizer->attr};
    attr.optimizer.ema = 0; /* a row of its own */
    const bool both =
        attr.optimizer.l1 == 0 && attr.optimizer.l2 == 0 && attr.optimizer.weight_decay == 0;
    for (int penalized = 1; penalized >= (both ? 1 : 0); penalized--) {
        if (!penalized)
            attr.optimizer.l1 = attr.optimizer.l2 = attr.optimizer.weight_decay = 0;
        const int32_t count = optimizer_inputs(u, first, last, penalized != 0, both);
        if (count > 0)
            BUR_TRY(bur__graph_add_node(u->graph, row, &attr, u->inputs, count, 0, NULL));
    }
    return add_average(u, first, last);
}

static size_t gradient_bytes(const update *u, int32_t k)
{
    const bur_graph *graph = u->graph;
    return bur_desc_bytes(&graph->values[graph->parameters[u->order[k].parameter]].desc);
}

/* Rows for all parameters at once, or for groups of them as their gradients are complete. */
static bur_status add_groups(const update *u)
{
    size_t all = 0, bytes = 0;
    for (int32_t k = 0; k < u->count; k++)
        all += gradient_bytes(u, k);
    size_t least = u->graph->early_update ? all / MOST_GROUPS : all;
    if (least < LEAST_GROUP_BYTES)
        least = LEAST_GROUP_BYTES;
    for (int32_t first = 0, last = 1; last <= u->count; last++) {
        bytes += gradient_bytes(u, last - 1);
        if (bytes < least && last < u->count)
            continue;
        BUR_TRY(add_rows(u, first, last));
        first = last;
        bytes = 0;
    }
    return BUR_OK;
}

static int by_time(const void *a, const void *b)
{
    const taken *x = a, *y = b;
    return x->complete_at != y->complete_at ? (x->complete_at < y->complete_at ? -1 : 1)
                                            : x->parameter - y->parameter;
}

/* Lists the parameters that are trained and gives them their state, in the recipe's order: plans of
 * one recipe agree on the places of their state. */
static bur_status list_parameters(update *u)
{
    bur_graph *graph = u->graph;
    for (int32_t i = 0; i < graph->recipe_parameters; i++) {
        if (graph->gradients[i] < 0)
            continue;
        taken *t = &u->order[u->count++];
        *t = (taken){i, graph->n_values, graph->values[graph->gradients[i]].producer};
        for (int32_t slot = 0; slot < optimizers[graph->options.optimizer.kind].slots; slot++) {
            const bur_desc desc = graph->values[graph->parameters[i]].desc;
            int32_t state = -1;
            BUR_TRY(bur__graph_add_value(graph, GRAPH_STATE, &desc, &state));
            graph->values[state].parameter = i;
            graph->values[state].slot = slot;
        }
    }
    if (graph->early_update)
        qsort(u->order, (size_t)u->count, sizeof *u->order, by_time);
    return BUR_OK;
}

/* Counts who reads each value; being a parameter's gradient is one more. */
static void count_readers(const update *u, int32_t *readers)
{
    const bur_graph *graph = u->graph;
    for (int32_t i = 0; i < graph->n_inputs; i++)
        readers[graph->inputs[i]]++;
    for (int32_t k = 0; k < u->count; k++)
        readers[graph->gradients[u->order[k].parameter]]++;
}

/* The row that adds what `node` makes to a sum, where that is quicker than a row of sums;
 * BUR_OP_COUNT if there is none. oneDNN's gradients of convolutions have to be moved once more in
 * any case. Products of few steps take as long as it takes to write them; those of more are slower
 * with a sum by more than the row of sums takes. */
static bur_op row_with_sum(const bur_graph *graph, const bur_graph_node *node)
{
    if (node->op == BUR_OP_conv2d_grad_w)
        return BUR_OP_conv2d_grad_w_add;
    if (node->op != BUR_OP_matmul)
        return BUR_OP_COUNT;
    const int64_t *a = graph->values[graph->inputs[node->first_input]].desc.shape.dim;
    return a[node->attr.matmul.transpose_a ? 0 : 1] <= MOST_SUM_STEPS ? BUR_OP_matmul_add
                                                                      : BUR_OP_COUNT;
}

/* A gradient that nothing else reads is added to `kept` by the kernel that makes it. */
static bur_status add_in_kernel(bur_graph *graph, int32_t kept, int32_t gradient, bool *added)
{
    bur_graph_node *node = &graph->nodes[graph->values[gradient].producer];
    const bur_op with_sum = row_with_sum(graph, node);
    *added = with_sum != BUR_OP_COUNT;
    if (!*added)
        return BUR_OK;
    const int32_t *from = graph->inputs + node->first_input;
    const int32_t inputs[] = {from[0], from[1], kept, graph->scalars};
    node->op = with_sum;
    node->n_inputs = 4;
    graph->values[gradient].memory = kept;
    return bur__graph_add_inputs(graph, inputs, 4, &node->first_input);
}

/* Persistent gradients, to which those of each micro-batch are added as soon as they are complete.
 * The last parameters come first, as their gradients do. */
static bur_status add_sums(update *u, const int32_t *readers)
{
    bur_graph *graph = u->graph;
    const bur_attr attr = {.optimizer = {0}};
    const int32_t first_row = graph->n_nodes;
    size_t bytes = 0;
    int32_t n = 0;
    for (int32_t k = u->count - 1; k >= 0; k--) {
        const int32_t parameter = u->order[k].parameter;
        const bur_desc desc = graph->values[graph->parameters[parameter]].desc;
        int32_t kept = -1;
        BUR_TRY(bur__graph_add_value(graph, GRAPH_GRADIENT, &desc, &kept));
        const int32_t gradient = graph->gradients[parameter];
        bool added = false;
        graph->values[kept].parameter = parameter;
        graph->gradients[parameter] = kept;
        if (readers[gradient] == 1)
            BUR_TRY(add_in_kernel(graph, kept, gradient, &added));
        if (!added) {
            u->inputs[0] = graph->scalars;
            n = n == 0 ? 1 : n;
            u->inputs[n++] = kept;
            u->inputs[n++] = gradient;
            bytes += bur_desc_bytes(&desc);
        }
        if (n == 0 || (bytes < LEAST_SUM_BYTES && k > 0))
            continue;
        BUR_TRY(bur__graph_add_node(graph, BUR_OP_accumulate, &attr, u->inputs, n, 0, NULL));
        bytes = 0;
        n = 0;
    }
    return bur__graph_hoist(graph, first_row);
}

static bur_status keep_gradients(update *u)
{
    bur_context *context = u->graph->context;
    int32_t *readers = bur_alloc_array(context, (size_t)u->graph->n_values, sizeof *readers);
    if (readers == NULL)
        return BUR_E_NOMEM;
    count_readers(u, readers);
    const bur_status status = add_sums(u, readers);
    bur_free(context, readers);
    return status;
}

static void mark_gradients(update *u)
{
    for (int32_t k = 0; k < u->count; k++)
        u->graph->values[u->graph->gradients[u->order[k].parameter]].is_parameter_gradient = true;
}

static bur_status add_update(update *u)
{
    bur_graph *graph = u->graph;
    BUR_TRY(list_parameters(u));
    if (graph->options.accumulate)
        BUR_TRY(keep_gradients(u));
    else
        mark_gradients(u);
    const int32_t first_row = graph->n_nodes;
    BUR_TRY(add_norm(u));
    BUR_TRY(add_groups(u));
    return graph->early_update ? bur__graph_hoist(graph, first_row) : BUR_OK;
}

bur_status bur__graph_update(bur_graph *graph)
{
    const bur_optimizer *optimizer = &graph->options.optimizer;
    if ((unsigned)optimizer->kind >= BUR_OPTIMIZER_COUNT)
        return bur_fail(BUR_E_ARG, "optimizer %d is unknown", (int)optimizer->kind);
    graph->early_update =
        graph->options.early_update && !graph->options.accumulate && optimizer->attr.clip_norm == 0;
    const size_t n = (size_t)graph->recipe_parameters,
                 most = 2 + n * (2 + (size_t)optimizers[optimizer->kind].slots);
    update u = {.graph = graph,
                .order = bur_alloc_array(graph->context, n, sizeof *u.order),
                .inputs = bur_alloc_array(graph->context, most, sizeof *u.inputs)};
    bur_status status = u.order == NULL || u.inputs == NULL ? BUR_E_NOMEM : add_update(&u);
    bur_free(graph->context, u.order);
    bur_free(graph->context, u.inputs);
    return status;
}
