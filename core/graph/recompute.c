/* Recomputation (activation checkpointing): forward values that lie idle at the step's peak of live
 * bytes are dropped after their last forward reader and computed once more before the first
 * backward node that reads them. Gradients keep their bits: the second time is the same row on the
 * same inputs, random numbers included, and running statistics are never touched. Sources: Chen et
 * al. 2016; the choice, by time lost per byte at the present peak, follows Kirisame et al. 2021
 * (DTR), on the static order. */
#include "graph.h"
#include "../base/vector.h"

#include <stdlib.h>
#include <string.h>

/* Floating-point operations in the time of one byte of traffic, roughly, on CPUs and GPUs alike:
 * only the order of candidates depends on it. */
#define FLOP_PER_BYTE 8.0

/* What is dropped at once, as a part of what is still too much: later choices see the new peak. */
enum { SHARE_PER_ROUND = 4, MOST_ROUNDS = 400 };

typedef struct candidate {
    int32_t value;
    double bytes_per_cost;
} candidate;

typedef struct recompute {
    bur_graph *graph;
    int32_t n_nodes, n_values, n_inputs;    /* before anything is computed again */
    bur_graph_node *nodes;                  /* as differentiated and with their update */
    int32_t *memory;                        /* of each value, before sharing */
    int32_t *root;                          /* of each value: through views */
    int32_t *last_forward, *first_backward; /* readers of each root; -1, n_nodes without */
    int32_t *updated_at;                    /* first node that updates a root; n_nodes without */
    bool *dropped;                          /* roots */
    bool *banned;                           /* roots whose drop brought nothing */
    int32_t *again;                         /* second computation of each value, -1 */
    bool *marked;                           /* forward nodes about to be computed again */
    int32_t *pending;                       /* the same as a list */
    int32_t n_pending, pending_room;
    int32_t *origin; /* of each node of the present graph: its place among `nodes` */
    int32_t origin_room;
    candidate *candidates;
} recompute;

static int32_t input_of(const recompute *r, const bur_graph_node *node, int32_t i)
{
    return r->graph->inputs[node->first_input + i];
}

/* ---- what is known of values ---- */

static bool is_forward_result(const recompute *r, int32_t value)
{
    const bur_graph_value *v = &r->graph->values[value];
    return v->kind == GRAPH_TEMPORARY && v->producer >= 0 && v->producer < r->graph->n_forward;
}

/* Losses and what is changed in place happen once. */
static bool is_repeatable(const recompute *r, const bur_graph_node *node)
{
    if (bur_op_get(node->op)->flags & (BUR_OP_LOSS | BUR_OP_UPDATE | BUR_OP_NO_GRADIENT))
        return false;
    for (int32_t i = 0; i < node->n_outputs; i++)
        if (r->memory[node->first_output + i] != node->first_output + i)
            return false;
    return true;
}

/* Whether a node finds its parameters as they were until before node `at`. */
static bool finds_parameters(const recompute *r, const bur_graph_node *node, int32_t at)
{
    for (int32_t i = 0; i < node->n_inputs; i++)
        if (r->updated_at[r->root[input_of(r, node, i)]] < at)
            return false;
    return true;
}

/* Whether a value must be computed again to be read in the backward pass: it was dropped, or no
 * backward node keeps it. */
static bool is_gone(const recompute *r, int32_t value)
{
    const int32_t root = r->root[value];
    return is_forward_result(r, root) &&
           (r->dropped[root] || r->first_backward[root] == r->n_nodes);
}

static void find_readers(recompute *r)
{
    const bur_graph *graph = r->graph;
    for (int32_t v = 0; v < r->n_values; v++) {
        const int32_t producer = graph->values[v].producer;
        const bool view = producer >= 0 && (bur_op_get(r->nodes[producer].op)->flags & BUR_OP_VIEW);
        r->root[v] = view ? r->root[input_of(r, &r->nodes[producer], 0)] : v;
        r->last_forward[v] = -1;
        r->first_backward[v] = r->updated_at[v] = r->n_nodes;
    }
    for (int32_t i = r->n_nodes - 1; i >= 0; i--) {
        const bur_call call = {.op = r->nodes[i].op, .attr = &r->nodes[i].attr};
        for (int32_t j = 0; j < r->nodes[i].n_inputs; j++) {
            const int32_t root = r->root[input_of(r, &r->nodes[i], j)];
            if (bur_op_changes(&call, j))
                r->updated_at[root] = i;
            if (i >= graph->n_forward)
                r->first_backward[root] = i;
            else if (r->last_forward[root] < i)
                r->last_forward[root] = i;
        }
    }
}

/* ---- computing again ---- */

static bur_status mark(recompute *r, int32_t node)
{
    if (r->marked[node])
        return BUR_OK;
    BUR_TRY(bur__vector_reserve(r->graph->context, (void **)&r->pending, &r->pending_room,
                                r->n_pending + 1, sizeof *r->pending));
    r->marked[node] = true;
    r->pending[r->n_pending++] = node;
    return BUR_OK;
}

static int by_index(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

/* Lists the forward nodes, in their order, that make `value` from what is there. */
static bur_status find_makers(recompute *r, int32_t value)
{
    r->n_pending = 0;
    BUR_TRY(mark(r, r->graph->values[value].producer));
    for (int32_t next = 0; next < r->n_pending; next++) {
        const bur_graph_node *node = &r->nodes[r->pending[next]];
        for (int32_t i = 0; i < node->n_inputs; i++) {
            const int32_t input = input_of(r, node, i);
            if (is_gone(r, input) && r->again[input] < 0)
                BUR_TRY(mark(r, r->graph->values[input].producer));
        }
    }
    for (int32_t i = 0; i < r->n_pending; i++)
        r->marked[r->pending[i]] = false;
    qsort(r->pending, (size_t)r->n_pending, sizeof *r->pending, by_index);
    return BUR_OK;
}

/* Appends a node as it was, but for inputs that were computed again. */
static bur_status append(recompute *r, const bur_graph_node *node, int32_t origin)
{
    bur_graph *graph = r->graph;
    BUR_TRY(bur__vector_reserve(graph->context, (void **)&graph->nodes, &graph->node_room,
                                graph->n_nodes + 1, sizeof *graph->nodes));
    BUR_TRY(bur__vector_reserve(graph->context, (void **)&r->origin, &r->origin_room,
                                graph->n_nodes + 1, sizeof *r->origin));
    bur_graph_node copy = *node;
    bool changed = false;
    for (int32_t i = 0; i < node->n_inputs && !changed; i++)
        changed = r->again[input_of(r, node, i)] >= 0;
    if (changed) {
        BUR_TRY(bur__vector_reserve(graph->context, (void **)&graph->inputs, &graph->input_room,
                                    graph->n_inputs + node->n_inputs, sizeof *graph->inputs));
        copy.first_input = graph->n_inputs;
        for (int32_t i = 0; i < node->n_inputs; i++) {
            const int32_t input = input_of(r, node, i), second = r->again[input];
            graph->inputs[graph->n_inputs++] = second >= 0 ? second : input;
        }
    }
    r->origin[graph->n_nodes] = origin;
    for (int32_t i = 0; i < copy.n_outputs; i++)
        graph->values[copy.first_output + i].producer = graph->n_nodes;
    graph->nodes[graph->n_nodes++] = copy;
    return BUR_OK;
}

/* Work of a forward node or of one behind it, in bytes of traffic. Multi-tensor rows count nothing:
 * none is computed again. */
static double cost_of_node(const bur_graph *graph, int32_t index)
{
    enum { MOST = 16 };
    bur_desc inputs[MOST], outputs[BUR_MAX_OUTPUTS];
    if (graph->nodes[index].n_inputs > MOST)
        return 0;
    const bur_call call = bur__graph_call(graph, index, inputs, outputs);
    const bur_cost cost = bur_op_cost(&call);
    return cost.bytes > cost.flop / FLOP_PER_BYTE ? cost.bytes : cost.flop / FLOP_PER_BYTE;
}

/* A forward node once more; its outputs are values of their own. */
static bur_status append_again(recompute *r, int32_t index, int32_t origin)
{
    bur_graph *graph = r->graph;
    bur_graph_node node = r->nodes[index];
    const int32_t first = graph->n_values;
    for (int32_t i = 0; i < node.n_outputs; i++) {
        const bur_desc desc = graph->values[node.first_output + i].desc;
        int32_t value = -1;
        BUR_TRY(bur__graph_add_value(graph, GRAPH_TEMPORARY, &desc, &value));
    }
    const int32_t before = node.first_output;
    node.first_output = first;
    BUR_TRY(append(r, &node, origin));
    for (int32_t i = 0; i < node.n_outputs; i++)
        r->again[before + i] = first + i;
    graph->n_recomputed++;
    graph->recomputed_share += cost_of_node(graph, index);
    return BUR_OK;
}

/* Only gone values are read from their second computation; what was kept is read where it lies. */
static bur_status make_again(recompute *r, int32_t value, int32_t origin)
{
    BUR_TRY(find_makers(r, value));
    for (int32_t i = 0; i < r->n_pending; i++) {
        const bur_graph_node *node = &r->nodes[r->pending[i]];
        BUR_TRY(append_again(r, r->pending[i], origin));
        for (int32_t k = 0; k < node->n_outputs; k++)
            if (!is_gone(r, node->first_output + k))
                r->again[node->first_output + k] = -1;
    }
    return BUR_OK;
}

/* Takes back all that was appended. */
static void reset(recompute *r)
{
    bur_graph *graph = r->graph;
    graph->n_nodes = r->n_nodes;
    graph->n_values = r->n_values;
    graph->n_inputs = r->n_inputs;
    graph->n_recomputed = 0;
    graph->recomputed_share = 0;
    memcpy(graph->nodes, r->nodes, (size_t)r->n_nodes * sizeof *r->nodes);
    for (int32_t v = 0; v < r->n_values; v++)
        graph->values[v].memory = r->memory[v];
    for (int32_t i = 0; i < r->n_nodes; i++)
        for (int32_t k = 0; k < r->nodes[i].n_outputs; k++)
            graph->values[r->nodes[i].first_output + k].producer = i;
}

/* The graph in which `dropped` values are computed again. */
static bur_status rewrite(recompute *r)
{
    bur_graph *graph = r->graph;
    reset(r);
    graph->n_nodes = 0;
    memset(r->again, 0xff, (size_t)r->n_values * sizeof *r->again); /* -1 */
    for (int32_t i = 0; i < r->n_nodes; i++) {
        const bur_graph_node *node = &r->nodes[i];
        for (int32_t j = 0; i >= graph->n_forward && j < node->n_inputs; j++) {
            const int32_t input = input_of(r, node, j);
            if (r->dropped[r->root[input]] && r->again[input] < 0)
                BUR_TRY(make_again(r, input, i));
        }
        BUR_TRY(append(r, node, i));
    }
    return BUR_OK;
}

/* ---- the peak ---- */

/* Live bytes of the step's temporaries at their peak; *at is the node there, as it was before. */
static bur_status find_peak(recompute *r, size_t *peak_bytes, int32_t *at)
{
    bur_graph *graph = r->graph;
    const size_t n = (size_t)graph->n_values, steps = (size_t)graph->n_nodes + 2;
    BUR_TRY(bur__graph_share(graph));
    int32_t *first = bur_alloc_array(graph->context, n, 2 * sizeof *first);
    int64_t *change = bur_alloc_array(graph->context, steps, sizeof *change);
    if (first != NULL && change != NULL) {
        int32_t *last = first + n;
        int64_t live = 0;
        bur__graph_lifetimes(graph, first, last);
        for (size_t i = 0; i < n; i++) {
            const bur_graph_value *v = &graph->values[i];
            /* What was fused away has no producer. */
            const bool in_arena =
                v->kind == GRAPH_INPUT || (v->kind == GRAPH_TEMPORARY && v->producer >= 0);
            if (v->memory != (int32_t)i || !in_arena)
                continue;
            change[first[i]] += (int64_t)bur_desc_bytes(&v->desc);
            change[last[i] + 1] -= (int64_t)bur_desc_bytes(&v->desc);
        }
        *peak_bytes = 0;
        for (int32_t i = 0; i < graph->n_nodes; i++) {
            live += change[i];
            if ((size_t)live > *peak_bytes) {
                *peak_bytes = (size_t)live;
                *at = r->origin[i];
            }
        }
    }
    const bool ok = first != NULL && change != NULL;
    bur_free(graph->context, first);
    bur_free(graph->context, change);
    return ok ? BUR_OK : BUR_E_NOMEM;
}

/* ---- what to drop ---- */

/* What computing a value again would cost, in bytes of traffic; negative if it cannot be. */
static bur_status cost_of_value(recompute *r, int32_t value, double *cost)
{
    *cost = 0;
    BUR_TRY(find_makers(r, value));
    for (int32_t i = 0; i < r->n_pending; i++) {
        const bur_graph_node *node = &r->nodes[r->pending[i]];
        if (!is_repeatable(r, node) || !finds_parameters(r, node, r->first_backward[value])) {
            *cost = -1;
            return BUR_OK;
        }
        *cost += cost_of_node(r->graph, r->pending[i]);
    }
    return BUR_OK;
}

static int by_bytes_per_cost(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->bytes_per_cost != y->bytes_per_cost)
        return x->bytes_per_cost < y->bytes_per_cost ? 1 : -1;
    return x->value - y->value;
}

/* Values that are idle at node `at`, those that save most for their cost first. */
static bur_status find_candidates(recompute *r, int32_t at, int32_t *count)
{
    *count = 0;
    memset(r->again, 0xff, (size_t)r->n_values * sizeof *r->again);
    for (int32_t v = 0; v < r->n_values; v++) {
        const bool idle = r->last_forward[v] < at && at < r->first_backward[v];
        double cost = 0;
        if (r->root[v] != v || !is_forward_result(r, v) || r->dropped[v] || r->banned[v] || !idle ||
            r->first_backward[v] == r->n_nodes)
            continue;
        BUR_TRY(cost_of_value(r, v, &cost));
        if (cost < 0)
            continue;
        const double bytes = (double)bur_desc_bytes(&r->graph->values[v].desc);
        r->candidates[(*count)++] = (candidate){v, bytes / (cost + 1)};
    }
    qsort(r->candidates, (size_t)*count, sizeof *r->candidates, by_bytes_per_cost);
    return BUR_OK;
}

/* Drops candidates of `wanted_bytes` together, at most `most` of them; gives how many. */
static int32_t drop(recompute *r, int32_t n_candidates, int32_t most, size_t wanted_bytes)
{
    size_t bytes = 0;
    int32_t n = 0;
    while (n < n_candidates && n < most && bytes < wanted_bytes) {
        const int32_t value = r->candidates[n++].value;
        r->dropped[value] = true;
        bytes += bur_desc_bytes(&r->graph->values[value].desc);
    }
    return n;
}

/* The last `n` candidates brought nothing: one alone is not tried again, several are halved. */
static int32_t take_back(recompute *r, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        r->dropped[r->candidates[i].value] = false;
    if (n == 1)
        r->banned[r->candidates[0].value] = true;
    return n > 1 ? n / 2 : 1;
}

/* Drops until the peak is at most `share` of what it was, or no drop lowers it. */
static bur_status lower_peak(recompute *r, double share)
{
    size_t peak = 0, now = 0;
    int32_t at = 0, n_candidates = 0, n = 0, most = INT32_MAX;
    BUR_TRY(rewrite(r));
    BUR_TRY(find_peak(r, &peak, &at));
    const size_t target = (size_t)((double)peak * share);
    int32_t peak_at = at;
    for (int round = 0; peak > target && round < MOST_ROUNDS; round++) {
        BUR_TRY(find_candidates(r, peak_at, &n_candidates));
        n = drop(r, n_candidates, most, (peak - target) / SHARE_PER_ROUND + 1);
        if (n == 0)
            break;
        BUR_TRY(rewrite(r));
        BUR_TRY(find_peak(r, &now, &at));
        if (now < peak || (now == peak && at != peak_at)) { /* blocks alike have peaks alike */
            peak = now;
            peak_at = at;
            most = INT32_MAX;
        } else {
            most = take_back(r, n);
        }
    }
    return rewrite(r);
}

static bur_status allocate(recompute *r)
{
    bur_context *context = r->graph->context;
    const size_t n = (size_t)r->n_values, nodes = (size_t)r->n_nodes;
    struct {
        void **array;
        size_t count, bytes;
    } arrays[] = {
        {(void **)&r->nodes, nodes, sizeof *r->nodes},
        {(void **)&r->memory, n, sizeof *r->memory},
        {(void **)&r->root, n, sizeof *r->root},
        {(void **)&r->last_forward, n, sizeof *r->last_forward},
        {(void **)&r->first_backward, n, sizeof *r->first_backward},
        {(void **)&r->updated_at, n, sizeof *r->updated_at},
        {(void **)&r->dropped, n, sizeof *r->dropped},
        {(void **)&r->banned, n, sizeof *r->banned},
        {(void **)&r->again, n, sizeof *r->again},
        {(void **)&r->marked, nodes, sizeof *r->marked},
        {(void **)&r->candidates, n, sizeof *r->candidates},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i].array = bur_alloc_array(context, arrays[i].count, arrays[i].bytes);
        if (*arrays[i].array == NULL)
            return BUR_E_NOMEM;
    }
    return BUR_OK;
}

static void release(recompute *r)
{
    void *const arrays[] = {r->nodes,          r->memory,     r->root,       r->last_forward,
                            r->first_backward, r->updated_at, r->dropped,    r->banned,
                            r->again,          r->marked,     r->candidates, r->pending,
                            r->origin};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        bur_free(r->graph->context, arrays[i]);
}

bur_status bur__graph_recompute(bur_graph *graph)
{
    const double share = (double)graph->options.recompute;
    if (share == 0 || share == 1)
        return BUR_OK;
    if (!(share > 0 && share < 1))
        return bur_fail(BUR_E_ARG, "recompute %g is not a share between 0 and 1", share);
    recompute r = {.graph = graph,
                   .n_nodes = graph->n_nodes,
                   .n_values = graph->n_values,
                   .n_inputs = graph->n_inputs};
    bur_status status = allocate(&r);
    if (status == BUR_OK) {
        memcpy(r.nodes, graph->nodes, (size_t)r.n_nodes * sizeof *r.nodes);
        for (int32_t v = 0; v < r.n_values; v++)
            r.memory[v] = graph->values[v].memory;
        find_readers(&r);
        status = lower_peak(&r, share);
        double work = 0;
        for (int32_t i = 0; i < graph->n_nodes; i++)
            work += cost_of_node(graph, i);
        if (work > 0)
            graph->recomputed_share /= work;
    }
    release(&r);
    return status;
}
