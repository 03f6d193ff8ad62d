/* Plans: where each node runs, what lives when, and at which offset. */
#include "plan.h"
#include "place.h"
#include "../base/size.h"
#include "../base/vector.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RESERVE(plan, items, room, count)                                                          \
    bur__vector_reserve((plan)->context, (void **)&(plan)->items, &(plan)->room, count,            \
                        sizeof *(plan)->items)

static const char *const byte_class_names[BUR_BYTE_CLASS_COUNT] = {
#define ROW(name, text) [BUR_BYTES_##name] = text,
    BUR_BYTE_CLASS_MAP(ROW)
#undef ROW
};

const char *bur_byte_class_name(bur_byte_class byte_class)
{
    return (unsigned)byte_class < BUR_BYTE_CLASS_COUNT ? byte_class_names[byte_class] : "unknown";
}

/* Region and class of a value by its kind. */
static const struct {
    bur_region region;
    bur_byte_class byte_class;
} homes[] = {
    [GRAPH_TEMPORARY] = {BUR_REGION_ARENA, BUR_BYTES_ACTIVATIONS},
    [GRAPH_SCALARS] = {BUR_REGION_PERSISTENT, BUR_BYTES_WORKSPACE},
    [GRAPH_TOTALS] = {BUR_REGION_PERSISTENT, BUR_BYTES_WORKSPACE},
    [GRAPH_INPUT] = {BUR_REGION_ARENA, BUR_BYTES_ACTIVATIONS},
    [GRAPH_TARGET] = {BUR_REGION_ARENA, BUR_BYTES_ACTIVATIONS},
    [GRAPH_PARAMETER] = {BUR_REGION_PERSISTENT, BUR_BYTES_PARAMETERS},
    [GRAPH_AVERAGE] = {BUR_REGION_PERSISTENT, BUR_BYTES_OPTIMIZER},
    [GRAPH_STATE] = {BUR_REGION_PERSISTENT, BUR_BYTES_OPTIMIZER},
    [GRAPH_GRADIENT] = {BUR_REGION_PERSISTENT, BUR_BYTES_GRADIENTS},
    [GRAPH_WEIGHTS] = {BUR_REGION_PERSISTENT, BUR_BYTES_WORKSPACE},
};

static bur_status add_buffer(bur_plan *plan, bur_region region, bur_byte_class byte_class,
                             size_t bytes, int32_t first, int32_t last, int32_t *out)
{
    BUR_TRY(RESERVE(plan, buffers, buffer_room, plan->n_buffers + 1));
    plan->buffers[plan->n_buffers] = (bur_plan_buffer){region, byte_class, bytes, 0, first, last};
    *out = plan->n_buffers++;
    return BUR_OK;
}

static bur_status add_step(bur_plan *plan, bur_plan_step step)
{
    BUR_TRY(RESERVE(plan, steps, step_room, plan->n_steps + 1));
    plan->steps[plan->n_steps++] = step;
    return BUR_OK;
}

/* One buffer for every piece of memory that values share. */
static bur_status add_value_buffers(bur_plan *plan, const int32_t *first, const int32_t *last)
{
    const bur_graph *graph = plan->graph;
    for (int32_t i = 0; i < graph->n_values; i++) {
        const bur_graph_value *value = &graph->values[i];
        const bool used = value->kind != GRAPH_TEMPORARY || value->producer >= 0;
        if (value->memory != i || !used)
            continue;
        const bur_byte_class byte_class =
            value->is_parameter_gradient ? BUR_BYTES_GRADIENTS : homes[value->kind].byte_class;
        BUR_TRY(add_buffer(plan, homes[value->kind].region, byte_class,
                           bur_desc_bytes(&value->desc), first[i], last[i],
                           &plan->device_buffer[i]));
    }
    for (int32_t i = 0; i < graph->n_values; i++)
        plan->device_buffer[i] = plan->device_buffer[graph->values[i].memory];
    return BUR_OK;
}

/* The host's copy of a value, live at node `index` and at every earlier one that used it. */
static bur_status add_host_copy(bur_plan *plan, int32_t value, size_t bytes, int32_t index)
{
    int32_t *buffer = &plan->host_buffer[value];
    if (*buffer < 0)
        return add_buffer(plan, BUR_REGION_HOST, BUR_BYTES_WORKSPACE, bytes, index, index, buffer);
    plan->buffers[*buffer].last = index;
    return BUR_OK;
}

/* A node on the host: its inputs come over, its results go back. Host copies live for this node
 * only. */
static bur_status add_host_node(bur_plan *plan, int32_t index, const bur_call *call,
                                const char *reason)
{
    const bur_graph *graph = plan->graph;
    const bur_graph_node *node = &graph->nodes[index];
    BUR_TRY(RESERVE(plan, fallbacks, fallback_room, plan->n_fallbacks + 1));
    bur_plan_fallback_node *fallback = &plan->fallbacks[plan->n_fallbacks++];
    fallback->node = index;
    memcpy(fallback->reason, reason, sizeof fallback->reason);

    bur_plan_step step = {
        .kind = BUR_STEP_TO_HOST, .node = index, .scratch = -1, .update = node->update};
    for (int32_t i = 0; i < node->n_inputs; i++) {
        step.value = graph->inputs[node->first_input + i];
        BUR_TRY(add_host_copy(plan, step.value, bur_desc_bytes(&call->inputs[i]), index));
        BUR_TRY(add_step(plan, step));
    }
    for (int32_t i = 0; i < node->n_outputs; i++)
        BUR_TRY(
            add_host_copy(plan, node->first_output + i, bur_desc_bytes(&call->outputs[i]), index));
    const size_t scratch =
        plan->fallback.backend->scratch(plan->fallback.info, call, plan->fallback.threads);
    bur_plan_step run = {.kind = BUR_STEP_RUN,
                         .node = index,
                         .scratch = -1,
                         .on_host = true,
                         .update = node->update};
    if (scratch > 0)
        BUR_TRY(add_buffer(plan, BUR_REGION_HOST, BUR_BYTES_WORKSPACE, scratch, index, index,
                           &run.scratch));
    BUR_TRY(add_step(plan, run));

    step.kind = BUR_STEP_TO_DEVICE;
    for (int32_t i = 0; i < node->n_inputs; i++) {
        if (!bur_op_changes(call, i))
            continue;
        step.value = graph->inputs[node->first_input + i];
        BUR_TRY(add_step(plan, step));
    }
    for (int32_t i = 0; i < node->n_outputs; i++) {
        step.value = node->first_output + i;
        BUR_TRY(add_step(plan, step));
    }
    return BUR_OK;
}

/* Calls whose kernels a library generates. */
typedef struct generated_call {
    uint64_t key;
    bur_generated bytes;
} generated_call;

typedef struct generated {
    generated_call *calls;
    int32_t count;
} generated;

static void note_generated(generated *all, const bur_plan *plan, const bur_call *call)
{
    const bur_target *target = &plan->target;
    if (target->backend->generates == NULL)
        return;
    const bur_generated bytes = target->backend->generates(target->info, call, target->threads);
    if (bytes.kernel_bytes > 0)
        all->calls[all->count++] = (generated_call){bur_call_time_of(call, 0).key, bytes};
}

static bur_status add_node(bur_plan *plan, int32_t index, const bur_call *call, generated *all)
{
    char reason[BUR_TEXT_BYTES] = "";
    if (bur_op_get(call->op)->flags & BUR_OP_VIEW)
        return BUR_OK;
    if (!plan->target.backend->supports(plan->target.info, call, reason)) {
        const bur_target *fallback = &plan->fallback;
        char ignored[BUR_TEXT_BYTES] = "";
        if (fallback->backend == NULL ||
            !fallback->backend->supports(fallback->info, call, ignored))
            return bur_fail(BUR_E_UNSUPPORTED, "%s has no %s: %s", plan->target.info->name,
                            bur_op_get(call->op)->name, reason);
        return add_host_node(plan, index, call, reason);
    }
    bur_plan_step run = {.kind = BUR_STEP_RUN,
                         .node = index,
                         .scratch = -1,
                         .update = plan->graph->nodes[index].update};
    const size_t scratch =
        plan->target.backend->scratch(plan->target.info, call, plan->target.threads);
    note_generated(all, plan, call);
    if (scratch > 0) {
        BUR_TRY(add_buffer(plan, BUR_REGION_ARENA, BUR_BYTES_WORKSPACE, scratch, index, index,
                           &run.scratch));
    }
    return add_step(plan, run);
}

static int by_key(const void *a, const void *b)
{
    const uint64_t x = ((const generated_call *)a)->key, y = ((const generated_call *)b)->key;
    return (x > y) - (x < y);
}

/* What kernels and commands of these calls keep: equal calls share a kernel. */
static size_t code_bytes(const generated *all)
{
    size_t bytes = 0;
    qsort(all->calls, (size_t)all->count, sizeof *all->calls, by_key);
    for (int32_t i = 0; i < all->count; i++) {
        const generated_call *call = &all->calls[i];
        bytes += call->bytes.command_bytes;
        if (i == 0 || call->key != all->calls[i - 1].key)
            bytes += call->bytes.kernel_bytes;
    }
    return bytes;
}

static bur_status add_nodes(bur_plan *plan)
{
    const bur_graph *graph = plan->graph;
    bur_desc *inputs =
        bur_alloc_array(plan->context, (size_t)bur__graph_most_inputs(graph), sizeof *inputs);
    generated all = {.count = 0};
    all.calls = bur_alloc_array(plan->context, (size_t)graph->n_nodes + 1, sizeof *all.calls);
    bur_status status = inputs == NULL || all.calls == NULL ? BUR_E_NOMEM : BUR_OK;
    for (int32_t i = 0; i < graph->n_nodes && status == BUR_OK; i++) {
        bur_desc outputs[BUR_MAX_OUTPUTS];
        const bur_call call = bur__graph_call(graph, i, inputs, outputs);
        status = add_node(plan, i, &call, &all);
    }
    if (status == BUR_OK)
        plan->summary.code_bytes = code_bytes(&all);
    bur_free(plan->context, all.calls);
    bur_free(plan->context, inputs);
    return status;
}

/* Chunks end where the last buffer in them does: what is beyond is not taken from the device. */
static bur_status measure_chunks(bur_plan *plan, bur_region region, size_t alignment)
{
    const size_t chunk = plan->chunk_bytes[region];
    for (int pass = 0; pass < 2; pass++) {
        for (int32_t i = 0; i < plan->n_buffers; i++) {
            const bur_plan_buffer *b = &plan->buffers[i];
            const size_t bytes = bur_size_align(b->bytes + 2 * plan->guard_bytes, alignment);
            if (b->region != region || bytes == 0)
                continue;
            const size_t begin = b->offset - plan->guard_bytes;
            const int32_t at = chunk == 0 ? 0 : (int32_t)(begin / chunk);
            const size_t end = (chunk == 0 ? begin : begin % chunk) + bytes;
            if (pass == 0 && at >= plan->n_chunks[region])
                plan->n_chunks[region] = at + 1;
            if (pass == 1 && end > plan->chunk_sizes[region][at])
                plan->chunk_sizes[region][at] = end;
        }
        if (pass == 1 || plan->n_chunks[region] == 0)
            continue;
        plan->chunk_sizes[region] = bur_alloc_array(plan->context, (size_t)plan->n_chunks[region],
                                                    sizeof *plan->chunk_sizes[region]);
        if (plan->chunk_sizes[region] == NULL)
            return BUR_E_NOMEM;
    }
    plan->region_bytes[region] = bur__plan_shared_bytes(&(const bur_plan *){plan}, 1, region);
    return BUR_OK;
}

/* Offsets of one region's buffers. */
static bur_status place_region(bur_plan *plan, bur_region region, size_t alignment,
                               bur_placement *placement)
{
    const size_t n = (size_t)plan->n_buffers, guards = 2 * plan->guard_bytes;
    bur_interval *intervals = bur_alloc_array(plan->context, n, sizeof *intervals);
    int32_t *which = bur_alloc_array(plan->context, n, sizeof *which);
    size_t *offsets = bur_alloc_array(plan->context, n, sizeof *offsets);
    bur_status status =
        intervals == NULL || which == NULL || offsets == NULL ? BUR_E_NOMEM : BUR_OK;
    int32_t count = 0;
    for (int32_t i = 0; status == BUR_OK && i < plan->n_buffers; i++) {
        const bur_plan_buffer *buffer = &plan->buffers[i];
        if (buffer->region != region)
            continue;
        which[count] = i;
        intervals[count++] = (bur_interval){buffer->bytes + guards, buffer->first, buffer->last};
        if (plan->chunk_bytes[region] > 0 && buffer->bytes + guards > plan->chunk_bytes[region])
            status = bur_fail(
                BUR_E_BUDGET,
                "a tensor of %zu bytes is larger than the largest allocation of %s, %zu bytes",
                buffer->bytes, plan->target.info->name, plan->chunk_bytes[region]);
    }
    if (status == BUR_OK)
        status = bur__place(placement, plan->context, intervals, count, alignment,
                            plan->chunk_bytes[region], plan->target.placement, offsets);
    for (int32_t i = 0; status == BUR_OK && i < count; i++)
        plan->buffers[which[i]].offset = offsets[i] + plan->guard_bytes;
    if (status == BUR_OK)
        status = measure_chunks(plan, region, alignment);
    bur_free(plan->context, intervals);
    bur_free(plan->context, which);
    bur_free(plan->context, offsets);
    return status;
}

/* Persistent buffers one after the other by kind, so that plans of one recipe agree on the offsets
 * of what they share: scalars, totals, parameters, averages, state, kept gradients, class weights.
 */
static bur_status place_persistent(bur_plan *plan, size_t alignment)
{
    static const bur_graph_value_kind order[] = {GRAPH_SCALARS, GRAPH_TOTALS, GRAPH_PARAMETER,
                                                 GRAPH_AVERAGE, GRAPH_STATE,  GRAPH_GRADIENT,
                                                 GRAPH_WEIGHTS};
    const bur_graph *graph = plan->graph;
    const size_t chunk = plan->chunk_bytes[BUR_REGION_PERSISTENT];
    size_t end = 0;
    for (size_t k = 0; k < sizeof order / sizeof *order; k++)
        for (int32_t i = 0; i < graph->n_values; i++) {
            if (graph->values[i].kind != order[k] || graph->values[i].memory != i)
                continue;
            bur_plan_buffer *buffer = &plan->buffers[plan->device_buffer[i]];
            const size_t bytes = bur_size_align(buffer->bytes + 2 * plan->guard_bytes, alignment);
            if (chunk > 0 && bytes > chunk)
                return bur_fail(
                    BUR_E_BUDGET,
                    "a tensor of %zu bytes is larger than the largest allocation of %s, %zu bytes",
                    buffer->bytes, plan->target.info->name, chunk);
            if (chunk > 0 && end % chunk + bytes > chunk)
                end = (end / chunk + 1) * chunk;
            buffer->offset = end + plan->guard_bytes;
            end += bytes;
        }
    return measure_chunks(plan, BUR_REGION_PERSISTENT, alignment);
}

static void sum_up(bur_plan *plan, const bur_placement *arena, size_t alignment)
{
    bur_plan_summary *s = &plan->summary;
    s->arena_bytes = plan->region_bytes[BUR_REGION_ARENA];
    s->lower_bound_bytes = arena->lower_bound_bytes;
    s->persistent_bytes = plan->region_bytes[BUR_REGION_PERSISTENT];
    s->host_bytes = plan->region_bytes[BUR_REGION_HOST];
    s->total_bytes = s->arena_bytes + s->persistent_bytes + s->host_bytes;
    s->steps = plan->n_steps;
    s->fallback_nodes = plan->n_fallbacks;
    size_t known = 0;
    for (int32_t i = 0; i < plan->n_buffers; i++) {
        const bur_plan_buffer *buffer = &plan->buffers[i];
        const bool live = buffer->region == BUR_REGION_PERSISTENT ||
                          (buffer->region == BUR_REGION_ARENA &&
                           buffer->first <= arena->peak_step && arena->peak_step <= buffer->last);
        if (!live)
            continue;
        s->bytes[buffer->byte_class] += bur_size_align(buffer->bytes, alignment);
        known += bur_size_align(buffer->bytes, alignment);
    }
    s->bytes[BUR_BYTES_WORKSPACE] += s->total_bytes - known;
}

/* The chunks of a region where the target wants them no larger than `wanted`; 0: it has no wish. */
static size_t chunk_limit(const bur_device_info *info, size_t wanted)
{
    size_t most = (size_t)info->max_alloc_bytes;
    if (wanted > 0 && (wanted < most || most == 0))
        most = wanted;
    return most & ~((size_t)info->align_bytes - 1);
}

size_t bur__plan_largest_buffer(const bur_plan *plan, bur_region region)
{
    size_t most = 0;
    for (int32_t i = 0; i < plan->n_buffers; i++)
        if (plan->buffers[i].region == region && plan->buffers[i].bytes > most)
            most = plan->buffers[i].bytes;
    return bur_size_align(most + 2 * plan->guard_bytes, plan->target.info->align_bytes);
}

int32_t bur__plan_count_chunks(const bur_plan *const *plans, int32_t count, bur_region region)
{
    int32_t most = 0;
    for (int32_t i = 0; i < count; i++)
        most = plans[i]->n_chunks[region] > most ? plans[i]->n_chunks[region] : most;
    return most;
}

size_t bur__plan_chunk_size(const bur_plan *const *plans, int32_t count, bur_region region,
                            int32_t chunk)
{
    size_t most = 0;
    for (int32_t i = 0; i < count; i++)
        if (chunk < plans[i]->n_chunks[region] && plans[i]->chunk_sizes[region][chunk] > most)
            most = plans[i]->chunk_sizes[region][chunk];
    return most;
}

size_t bur__plan_shared_bytes(const bur_plan *const *plans, int32_t count, bur_region region)
{
    const int32_t n = bur__plan_count_chunks(plans, count, region);
    size_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += bur__plan_chunk_size(plans, count, region, i);
    return sum;
}

static bur_status make(bur_plan *plan)
{
    const bur_graph *graph = plan->graph;
    const size_t n = (size_t)graph->n_values, alignment = plan->target.info->align_bytes;
    plan->device_buffer = bur_alloc_array(plan->context, n, sizeof *plan->device_buffer);
    plan->host_buffer = bur_alloc_array(plan->context, n, sizeof *plan->host_buffer);
    int32_t *first = bur_alloc_array(plan->context, n, 2 * sizeof *first);
    if (plan->device_buffer == NULL || plan->host_buffer == NULL || first == NULL) {
        bur_free(plan->context, first);
        return BUR_E_NOMEM;
    }
    memset(plan->device_buffer, 0xff, n * sizeof *plan->device_buffer); /* -1 */
    memset(plan->host_buffer, 0xff, n * sizeof *plan->host_buffer);
    bur__graph_lifetimes(graph, first, first + n);
    bur_status status = add_value_buffers(plan, first, first + n);
    bur_free(plan->context, first);
    BUR_TRY(status);
    BUR_TRY(add_nodes(plan));

    plan->chunk_bytes[BUR_REGION_PERSISTENT] =
        chunk_limit(plan->target.info, plan->target.persistent_chunk_bytes);
    plan->chunk_bytes[BUR_REGION_ARENA] =
        chunk_limit(plan->target.info, plan->target.arena_chunk_bytes);
    bur_placement arena = {0}, host = {0};
    BUR_TRY(place_persistent(plan, alignment));
    BUR_TRY(place_region(plan, BUR_REGION_ARENA, alignment, &arena));
    const size_t host_alignment =
        plan->fallback.info == NULL ? alignment : plan->fallback.info->align_bytes;
    BUR_TRY(place_region(plan, BUR_REGION_HOST, host_alignment, &host));
    sum_up(plan, &arena, alignment);
    return BUR_OK;
}

bur_status bur__plan_create(bur_plan **out, const bur_graph *graph, const bur_target *target,
                            const bur_target *fallback, size_t guard_bytes)
{
    if (out == NULL || graph == NULL || target == NULL || target->backend == NULL ||
        target->info == NULL)
        return bur_fail(BUR_E_ARG, "bur_plan_create: NULL argument");
    bur_plan *plan = bur_alloc(graph->context, sizeof *plan);
    if (plan == NULL)
        return BUR_E_NOMEM;
    plan->context = graph->context;
    plan->graph = graph;
    plan->target = *target;
    if (fallback != NULL)
        plan->fallback = *fallback;
    plan->guard_bytes = guard_bytes;
    const bur_status status = make(plan);
    if (status != BUR_OK) {
        bur_plan_destroy(plan);
        return status;
    }
    *out = plan;
    return BUR_OK;
}

bur_status bur_plan_create(bur_plan **out, const bur_graph *graph, const bur_target *target,
                           const bur_target *fallback)
{
    return bur__plan_create(out, graph, target, fallback, 0);
}

void bur_plan_destroy(bur_plan *plan)
{
    if (plan == NULL)
        return;
    bur_free(plan->context, plan->buffers);
    bur_free(plan->context, plan->steps);
    bur_free(plan->context, plan->fallbacks);
    bur_free(plan->context, plan->device_buffer);
    bur_free(plan->context, plan->host_buffer);
    for (int32_t r = 0; r < BUR_REGION_COUNT; r++)
        bur_free(plan->context, plan->chunk_sizes[r]);
    bur_free(plan->context, plan);
}

const bur_plan_summary *bur_plan_get_summary(const bur_plan *plan)
{
    return &plan->summary;
}

const char *bur_plan_fallback(const bur_plan *plan, int32_t index, const char **reason)
{
    if (index < 0 || index >= plan->n_fallbacks)
        return NULL;
    if (reason != NULL)
        *reason = plan->fallbacks[index].reason;
    return bur_op_get(plan->graph->nodes[plan->fallbacks[index].node].op)->name;
}
