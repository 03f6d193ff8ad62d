/* What of a call's operands no cache holds any more: reuse distances, as in Mattson, Gecsei, Slutz
 * and Traiger, "Evaluation techniques for storage hierarchies", 1970, by slices of memory. */
#include "plan.h"

#include <string.h>

enum { SLICES = 1024, REGIONS = BUR_REGION_ARENA + 1 };

/* A walk along a plan's steps. */
typedef struct walk {
    const bur_plan *plan;
    double moved_bytes;              /* so far */
    double touched[REGIONS][SLICES]; /* moved_bytes before the last step that touched a slice */
} walk;

typedef struct slices {
    double *first;
    int32_t count;
} slices;

/* Where a value lies on the device; nothing where it lies on the host. */
static slices slices_of(walk *w, int32_t value)
{
    const bur_plan *plan = w->plan;
    const int32_t index = plan->device_buffer[value];
    if (index < 0 || plan->buffers[index].region > BUR_REGION_ARENA)
        return (slices){NULL, 0};
    const bur_plan_buffer *buffer = &plan->buffers[index];
    const bur_region region = buffer->region;
    const double end = plan->n_chunks[region] > 1
                           ? (double)plan->n_chunks[region] * (double)plan->chunk_bytes[region]
                           : (double)plan->region_bytes[region];
    int32_t first = (int32_t)((double)buffer->offset / end * SLICES),
            last = (int32_t)((double)(buffer->offset + buffer->bytes) / end * SLICES);
    first = first < SLICES ? first : SLICES - 1;
    last = last < SLICES ? last : SLICES - 1;
    return (slices){&w->touched[region][first], last - first + 1};
}

static double far_share(const walk *w, slices at)
{
    int32_t far = 0;
    for (int32_t i = 0; i < at.count; i++)
        far += w->moved_bytes - at.first[i] > (double)w->plan->target.info->cache_bytes;
    return at.count == 0 ? 0 : (double)far / at.count;
}

static void touch(const walk *w, slices at)
{
    for (int32_t i = 0; i < at.count; i++)
        at.first[i] = w->moved_bytes;
}

/* The bytes of a node's operands that come from afar; then all its operands are touched. */
static double visit(walk *w, int32_t node, bur_desc *inputs)
{
    const bur_graph *graph = w->plan->graph;
    const bur_graph_node *n = &graph->nodes[node];
    bur_desc outputs[BUR_MAX_OUTPUTS];
    const bur_call call = bur__graph_call(graph, node, inputs, outputs);
    const double bytes = bur_op_cost(&call).bytes;
    double far = 0;
    if (bytes == 0) /* a view */
        return 0;
    for (int32_t i = 0; i < n->n_inputs; i++)
        far += far_share(w, slices_of(w, graph->inputs[n->first_input + i])) *
               (double)bur_desc_bytes(&inputs[i]) * (bur_op_changes(&call, i) ? 2 : 1);
    for (int32_t i = 0; i < n->n_outputs; i++)
        far +=
            far_share(w, slices_of(w, n->first_output + i)) * (double)bur_desc_bytes(&outputs[i]);
    for (int32_t i = 0; i < n->n_inputs; i++)
        touch(w, slices_of(w, graph->inputs[n->first_input + i]));
    for (int32_t i = 0; i < n->n_outputs; i++)
        touch(w, slices_of(w, n->first_output + i));
    w->moved_bytes += bytes;
    return far;
}

static void visit_all(double *far_bytes, const bur_plan *plan, bur_desc *inputs)
{
    walk w = {.plan = plan};
    for (int step = 0; step < 2; step++) /* the first leaves what the second finds */
        for (int32_t i = 0; i < plan->n_steps; i++)
            if (plan->steps[i].kind == BUR_STEP_RUN && !plan->steps[i].on_host)
                far_bytes[plan->steps[i].node] = visit(&w, plan->steps[i].node, inputs);
}

bur_status bur__plan_far_bytes(double **out, const bur_plan *plan)
{
    const bur_graph *graph = plan->graph;
    const double cache_bytes = (double)plan->target.info->cache_bytes,
                 device_bytes = (double)plan->region_bytes[BUR_REGION_PERSISTENT] +
                                (double)plan->region_bytes[BUR_REGION_ARENA];
    double *far_bytes = bur_alloc_array(plan->context, (size_t)graph->n_nodes, sizeof *far_bytes);
    bur_desc *inputs =
        bur_alloc_array(plan->context, (size_t)bur__graph_most_inputs(graph), sizeof *inputs);
    *out = far_bytes;
    if (far_bytes != NULL)
        memset(far_bytes, 0, (size_t)graph->n_nodes * sizeof *far_bytes);
    if (far_bytes != NULL && inputs != NULL && cache_bytes > 0 && device_bytes > cache_bytes)
        visit_all(far_bytes, plan, inputs);
    bur_free(plan->context, inputs);
    return far_bytes == NULL || inputs == NULL ? BUR_E_NOMEM : BUR_OK;
}
