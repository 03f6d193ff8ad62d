/* Sessions: a plan's steps bound to memory, then run as flat lists. */
#include "session.h"
#include "../base/vector.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bur_place device_place(const bur_session *session, int32_t value)
{
    return bur__session_place(session, session->plan->device_buffer[value]);
}

static bur_place host_place(const bur_session *session, int32_t value)
{
    return bur__session_place(session, session->plan->host_buffer[value]);
}

/* The memory of a buffer of the plan; there is none for what a step does not use. */
static bur_status need_buffer(const bur_session *session, int32_t buffer)
{
    const bur_plan_buffer *b = &session->plan->buffers[buffer];
    return bur__memory_need(session->memory, b->region, b->offset);
}

/* That of all that a run reads, writes and works in. */
static bur_status need_run(const bur_session *session, const bur_plan_step *step)
{
    const bur_plan *plan = session->plan;
    const bur_graph_node *node = &plan->graph->nodes[step->node];
    const int32_t *buffers = step->on_host ? plan->host_buffer : plan->device_buffer;
    for (int32_t i = 0; i < node->n_inputs; i++)
        BUR_TRY(need_buffer(session, buffers[plan->graph->inputs[node->first_input + i]]));
    for (int32_t i = 0; i < node->n_outputs; i++)
        BUR_TRY(need_buffer(session, buffers[node->first_output + i]));
    return step->scratch < 0 ? BUR_OK : need_buffer(session, step->scratch);
}

/* Builds and binds the kernel of one run step. */
static bur_status bind_run(bur_session *session, const bur_plan_step *step, bur_desc *descs,
                           bur_place *inputs)
{
    const bur_plan *plan = session->plan;
    const bur_graph *graph = plan->graph;
    const bur_graph_node *node = &graph->nodes[step->node];
    BUR_TRY(need_run(session, step));
    bur_device *device =
        session->memory->regions[step->on_host ? BUR_REGION_HOST : BUR_REGION_ARENA].device;
    bur_desc output_descs[BUR_MAX_OUTPUTS];
    const bur_call call = bur__graph_call(graph, step->node, descs, output_descs);
    bur_kernel *kernel = NULL;
    BUR_TRY(device->backend->build(&kernel, device->handle, &call));

    bur_place (*const place_of)(const bur_session *, int32_t) =
        step->on_host ? host_place : device_place;
    bur_place outputs[BUR_MAX_OUTPUTS] = {{NULL, 0}}, scratch = {NULL, 0};
    for (int32_t i = 0; i < node->n_inputs; i++)
        inputs[i] = place_of(session, graph->inputs[node->first_input + i]);
    for (int32_t i = 0; i < node->n_outputs; i++)
        outputs[i] = place_of(session, node->first_output + i);
    if (step->scratch >= 0)
        scratch = bur__session_place(session, step->scratch);
    const int32_t index = session->n_commands;
    BUR_TRY(device->backend->bind(&session->commands[index], kernel, inputs, outputs, &scratch));
    session->command_backends[index] = device->backend;
    session->command_nodes[index] = step->node;
    session->n_commands++;

    bur_segment *last =
        session->n_segments > 0 ? &session->segments[session->n_segments - 1] : NULL;
    if (last != NULL && last->kind == BUR_STEP_RUN && last->device == device &&
        last->update == step->update) {
        last->count++;
        return BUR_OK;
    }
    session->segments[session->n_segments++] = (bur_segment){
        .kind = BUR_STEP_RUN, .update = step->update, .device = device, .first = index, .count = 1};
    return BUR_OK;
}

static bur_status bind_copy(bur_session *session, const bur_plan_step *step)
{
    BUR_TRY(need_buffer(session, session->plan->device_buffer[step->value]));
    BUR_TRY(need_buffer(session, session->plan->host_buffer[step->value]));
    const bool to_host = step->kind == BUR_STEP_TO_HOST;
    const bur_place device = device_place(session, step->value),
                    host = host_place(session, step->value);
    session->segments[session->n_segments++] =
        (bur_segment){.kind = step->kind,
                      .update = step->update,
                      .from = to_host ? device : host,
                      .to = to_host ? host : device,
                      .bytes = bur_desc_bytes(&session->plan->graph->values[step->value].desc)};
    return BUR_OK;
}

/* Binds the next `count` steps of the plan. */
static bur_status bind_steps(bur_session *session, int32_t count)
{
    const bur_plan *plan = session->plan;
    const size_t most = (size_t)bur__graph_most_inputs(plan->graph);
    bur_desc *descs = bur_alloc_array(session->context, most, sizeof *descs);
    bur_place *inputs = bur_alloc_array(session->context, most, sizeof *inputs);
    bur_status status = descs == NULL || inputs == NULL ? BUR_E_NOMEM : BUR_OK;
    for (const int32_t end = session->n_bound + count;
         session->n_bound < end && status == BUR_OK;) {
        const bur_plan_step *step = &plan->steps[session->n_bound];
        status = step->kind == BUR_STEP_RUN ? bind_run(session, step, descs, inputs)
                                            : bind_copy(session, step);
        session->n_bound += status == BUR_OK;
    }
    bur_free(session->context, descs);
    bur_free(session->context, inputs);
    return status;
}

static bur_status make_lists(bur_session *session)
{
    const size_t n = (size_t)session->plan->n_steps;
    session->commands = bur_alloc_array(session->context, n, sizeof *session->commands);
    session->command_backends =
        bur_alloc_array(session->context, n, sizeof *session->command_backends);
    session->command_nodes = bur_alloc_array(session->context, n, sizeof *session->command_nodes);
    session->segments = bur_alloc_array(session->context, n, sizeof *session->segments);
    return session->commands == NULL || session->command_backends == NULL ||
                   session->command_nodes == NULL || session->segments == NULL
               ? BUR_E_NOMEM
               : BUR_OK;
}

/* What stands before a parameter's name in that of its average or of an optimizer's state. */
static void state_prefix(char *text, size_t size, const bur_graph *graph, const bur_graph_value *v)
{
    const bur_optimizer_kind kind = graph->options.optimizer.kind;
    const bool is_mean = (kind == BUR_ADAM || kind == BUR_ADAMW) && v->slot == 0;
    text[0] = '\0';
    if (v->kind == GRAPH_AVERAGE)
        snprintf(text, size, "ema.");
    else if (v->kind == GRAPH_STATE)
        snprintf(text, size, "%s.%s.", bur_optimizer_name(kind), is_mean ? "m" : "v");
}

static bur_status add_state(bur_session *session, int32_t value)
{
    static const int32_t slots[] = {
        [GRAPH_PARAMETER] = BUR_SLOT_PARAMETER, [GRAPH_AVERAGE] = BUR_SLOT_AVERAGE};
    const bur_graph *graph = session->plan->graph;
    const bur_graph_value *v = &graph->values[value];
    const bool state = v->kind == GRAPH_STATE;
    char prefix[64], name[256];
    state_prefix(prefix, sizeof prefix, graph, v);
    snprintf(name, sizeof name, "%s%s", prefix,
             bur_recipe_parameter_at(graph->recipe, v->parameter)->name);
    char *copy = bur_strdup(session->context, name);
    if (copy == NULL)
        return BUR_E_NOMEM;
    session->state_values[session->n_states] = value;
    session->states[session->n_states++] =
        (bur_state_tensor){copy, v->desc, v->parameter, state ? v->slot : slots[v->kind],
                           state ? graph->options.optimizer.attr.initial : 0};
    return BUR_OK;
}

static bur_status list_states(bur_session *session)
{
    const bur_graph *graph = session->plan->graph;
    session->states =
        bur_alloc_array(session->context, (size_t)graph->n_values, sizeof *session->states);
    session->state_values =
        bur_alloc_array(session->context, (size_t)graph->n_values, sizeof *session->state_values);
    if (session->states == NULL || session->state_values == NULL)
        return BUR_E_NOMEM;
    static const bur_graph_value_kind order[] = {GRAPH_PARAMETER, GRAPH_AVERAGE, GRAPH_STATE};
    for (size_t k = 0; k < sizeof order / sizeof *order; k++)
        for (int32_t i = 0; i < graph->n_values; i++)
            if (graph->values[i].kind == order[k])
                BUR_TRY(add_state(session, i));
    return BUR_OK;
}

static bur_status write_class_weights(bur_session *session)
{
    const bur_graph *graph = session->plan->graph;
    if (graph->weights < 0)
        return BUR_OK;
    BUR_TRY(need_buffer(session, session->plan->device_buffer[graph->weights]));
    const bur_place place = device_place(session, graph->weights);
    return session->memory->regions[BUR_REGION_ARENA].device->backend->write(
        place.buffer, place.offset_bytes, graph->options.class_weights,
        bur_desc_bytes(&graph->values[graph->weights].desc));
}

bur_status bur__session_bind(bur_session *session)
{
    if (!session->memory->regions[BUR_REGION_ARENA].grows)
        BUR_TRY(bind_steps(session, session->plan->n_steps));
    return write_class_weights(session);
}

bur_status bur_session_create(bur_session **out, bur_memory *memory, const bur_plan *plan)
{
    if (out == NULL || memory == NULL || plan == NULL)
        return bur_fail(BUR_E_ARG, "bur_session_create: NULL argument");
    for (int32_t r = 0; r < BUR_REGION_COUNT; r++)
        for (int32_t i = 0; i < plan->n_chunks[r]; i++) {
            const bur_region_memory *region = &memory->regions[r];
            const size_t has = i < region->n_chunks ? region->sizes[i] : 0;
            if (plan->chunk_sizes[r][i] > has)
                return bur_fail(BUR_E_ARG, "the plan needs %zu bytes, the memory has %zu",
                                plan->chunk_sizes[r][i], has);
        }
    bur_session *session = bur_alloc(memory->context, sizeof *session);
    if (session == NULL)
        return BUR_E_NOMEM;
    session->context = memory->context;
    session->memory = memory;
    session->plan = plan;
    bur_status status = make_lists(session);
    if (status == BUR_OK)
        status = list_states(session);
    if (status == BUR_OK)
        status = bur__session_bind(session);
    if (status != BUR_OK) {
        bur_session_destroy(session);
        return status;
    }
    *out = session;
    return BUR_OK;
}

void bur__session_unbind(bur_session *session)
{
    for (int32_t i = 0; i < session->n_commands; i++)
        session->command_backends[i]->command_destroy(session->commands[i]);
    session->n_commands = session->n_segments = session->n_bound = 0;
}

void bur_session_destroy(bur_session *session)
{
    if (session == NULL)
        return;
    bur__session_unbind(session);
    for (int32_t i = 0; i < session->n_states; i++)
        bur_free(session->context, (char *)session->states[i].name);
    void *const arrays[] = {session->commands, session->command_backends, session->command_nodes,
                            session->segments, session->states,           session->state_values};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        bur_free(session->context, arrays[i]);
    bur_free(session->context, session);
}

static const bur_backend *backend_of(const bur_session *session)
{
    return session->memory->device->backend;
}

bur_status bur__session_copy(const bur_session *session, const bur_segment *segment)
{
    const bool to_host = segment->kind == BUR_STEP_TO_HOST;
    const bur_backend *host = session->memory->regions[BUR_REGION_HOST].device->backend;
    const bur_place *place = to_host ? &segment->to : &segment->from;
    char *address = (char *)host->map(place->buffer) + place->offset_bytes;
    return to_host ? backend_of(session)->read(segment->from.buffer, segment->from.offset_bytes,
                                               address, segment->bytes)
                   : backend_of(session)->write(segment->to.buffer, segment->to.offset_bytes,
                                                address, segment->bytes);
}

static bur_status run_segment(const bur_session *session, const bur_segment *segment)
{
    return segment->kind == BUR_STEP_RUN
               ? segment->device->backend->run(segment->device->handle,
                                               session->commands + segment->first, segment->count)
               : bur__session_copy(session, segment);
}

/* The steps of a list that are not bound yet: each is bound, which makes its memory, and run. */
static bur_status run_growing(bur_session *session, bool update)
{
    const bur_plan *plan = session->plan;
    while (session->n_bound < plan->n_steps && plan->steps[session->n_bound].update == update) {
        const int32_t command = session->n_commands;
        BUR_TRY(bind_steps(session, 1));
        bur_segment last = session->segments[session->n_segments - 1];
        if (last.kind == BUR_STEP_RUN) {
            last.first = command;
            last.count = 1;
        }
        BUR_TRY(run_segment(session, &last));
    }
    return BUR_OK;
}

static bur_status run_list(bur_session *session, bool update)
{
    for (int32_t i = 0; i < session->n_segments; i++) {
        const bur_segment *segment = &session->segments[i];
        if (segment->update != update)
            continue;
        BUR_TRY(run_segment(session, segment));
    }
    return run_growing(session, update);
}

static bur_status write_value(bur_session *session, int32_t value, const void *data, size_t bytes)
{
    BUR_TRY(need_buffer(session, session->plan->device_buffer[value]));
    const bur_place place = device_place(session, value);
    return backend_of(session)->write(place.buffer, place.offset_bytes, data, bytes);
}

static bur_status read_value(bur_session *session, int32_t value, void *data, size_t bytes)
{
    const bur_place place = device_place(session, value);
    if (place.buffer == NULL) { /* memory that has not grown so far is zero */
        memset(data, 0, bytes);
        return BUR_OK;
    }
    return backend_of(session)->read(place.buffer, place.offset_bytes, data, bytes);
}

static size_t value_bytes(const bur_session *session, int32_t value)
{
    return bur_desc_bytes(&session->plan->graph->values[value].desc);
}

bur_status bur_session_write_batch(bur_session *session, const void *x, const void *target)
{
    const bur_graph *graph = session->plan->graph;
    BUR_TRY(write_value(session, graph->x, x, value_bytes(session, graph->x)));
    if (graph->target < 0)
        return BUR_OK;
    if (target == NULL)
        return bur_fail(BUR_E_ARG, "this session needs targets");
    return write_value(session, graph->target, target, value_bytes(session, graph->target));
}

static bur_status clear_value(bur_session *session, int32_t value)
{
    const bur_place place = device_place(session, value);
    if (place.buffer == NULL) /* it will come zeroed */
        return BUR_OK;
    return backend_of(session)->fill(place.buffer, place.offset_bytes, 0,
                                     value_bytes(session, value));
}

bur_status bur__session_begin(bur_session *session, const bur_scalars *scalars)
{
    return write_value(session, session->plan->graph->scalars, scalars, sizeof *scalars);
}

bur_status bur_session_accumulate(bur_session *session, const bur_scalars *scalars)
{
    BUR_TRY(bur__session_begin(session, scalars));
    return run_list(session, false);
}

bur_status bur_session_update(bur_session *session)
{
    return run_list(session, true);
}

/* Both lists of a step that stays on one device go to it as one: no pause between them. */
static bool is_one_run(const bur_session *session)
{
    const bur_segment *segments = session->segments;
    return session->n_segments == 2 && segments[0].kind == BUR_STEP_RUN &&
           segments[1].kind == BUR_STEP_RUN && segments[0].device == segments[1].device &&
           !segments[0].update && segments[1].update;
}

bur_status bur_session_step(bur_session *session, const bur_scalars *scalars)
{
    BUR_TRY(bur__session_begin(session, scalars));
    if (session->n_bound == session->plan->n_steps && is_one_run(session)) {
        bur_device *device = session->segments[0].device;
        return device->backend->run(device->handle, session->commands, session->n_commands);
    }
    BUR_TRY(run_list(session, false));
    return run_list(session, true);
}

bur_status bur_session_step_parts(bur_session *session, const void *x, const void *target,
                                  const bur_scalars *scalars, int64_t parts)
{
    const bur_graph *graph = session->plan->graph;
    const size_t x_bytes = value_bytes(session, graph->x);
    const size_t target_bytes = target == NULL ? 0 : value_bytes(session, graph->target);
    bur_scalars part = *scalars;
    if (parts < 1 || (parts > 1 && !graph->options.accumulate))
        return bur_fail(BUR_E_ARG, "%" PRId64 " parts of a session that %s", parts,
                        graph->options.accumulate ? "accumulates" : "does not accumulate");
    for (int64_t i = 0; i < parts; i++) {
        BUR_TRY(bur_session_write_batch(
            session, (const char *)x + (size_t)i * x_bytes,
            target == NULL ? NULL : (const char *)target + (size_t)i * target_bytes));
        if (parts == 1)
            return bur_session_step(session, scalars);
        BUR_TRY(bur_session_accumulate(session, &part));
        part.first_sample += (uint32_t)graph->options.batch;
    }
    return bur_session_update(session);
}

bur_status bur_session_read_result(bur_session *session, float *result)
{
    const int32_t value = session->plan->graph->result;
    if (value < 0)
        return bur_fail(BUR_E_STATE, "a predicting session has no loss");
    return read_value(session, value, result, BUR_RESULT_WORDS * sizeof *result);
}

bur_status bur_session_read_totals(bur_session *session, float *totals)
{
    return read_value(session, session->plan->graph->totals, totals,
                      BUR_RESULT_WORDS * sizeof *totals);
}

bur_status bur__session_write_totals(bur_session *session, const float *totals)
{
    return write_value(session, session->plan->graph->totals, totals,
                       BUR_RESULT_WORDS * sizeof *totals);
}

bur_status bur_session_clear_totals(bur_session *session)
{
    const float zero[BUR_RESULT_WORDS] = {0};
    return bur__session_write_totals(session, zero);
}

bur_status bur_session_read_output(bur_session *session, void *y, size_t bytes)
{
    const int32_t value = session->plan->graph->output;
    if (value < 0)
        return bur_fail(BUR_E_STATE, "the output is fused into the loss of this session");
    if (bytes != value_bytes(session, value))
        return bur_fail(BUR_E_ARG, "the output has %zu bytes, not %zu", value_bytes(session, value),
                        bytes);
    return read_value(session, value, y, bytes);
}

int32_t bur_session_state_count(const bur_session *session)
{
    return session->n_states;
}

const bur_state_tensor *bur_session_state_at(const bur_session *session, int32_t index)
{
    return index >= 0 && index < session->n_states ? &session->states[index] : NULL;
}

bur_status bur_session_read_state(bur_session *session, int32_t index, void *data)
{
    if (index < 0 || index >= session->n_states)
        return bur_fail(BUR_E_ARG, "state tensor %" PRId32 " of %" PRId32, index,
                        session->n_states);
    return read_value(session, session->state_values[index], data,
                      bur_desc_bytes(&session->states[index].desc));
}

bur_status bur_session_write_state(bur_session *session, int32_t index, const void *data)
{
    if (index < 0 || index >= session->n_states)
        return bur_fail(BUR_E_ARG, "state tensor %" PRId32 " of %" PRId32, index,
                        session->n_states);
    return write_value(session, session->state_values[index], data,
                       bur_desc_bytes(&session->states[index].desc));
}

bur_status bur_session_clear_state(bur_session *session, int32_t index)
{
    if (index < 0 || index >= session->n_states)
        return bur_fail(BUR_E_ARG, "state tensor %" PRId32 " of %" PRId32, index,
                        session->n_states);
    return clear_value(session, session->state_values[index]);
}

bur_status bur_session_read_gradient(bur_session *session, int32_t parameter, void *data)
{
    const bur_graph *graph = session->plan->graph;
    if (parameter < 0 || parameter >= graph->recipe_parameters || graph->gradients[parameter] < 0)
        return bur_fail(BUR_E_ARG, "parameter %" PRId32 " has no gradient in this session",
                        parameter);
    if (graph->early_update)
        return bur_fail(BUR_E_STATE, "the optimizer took this session's gradients (early_update)");
    const int32_t value = graph->gradients[parameter];
    return read_value(session, value, data, value_bytes(session, value));
}

const char *bur__session_map_state(const bur_session *session, int32_t index)
{
    if (need_buffer(session, session->plan->device_buffer[session->state_values[index]]) != BUR_OK)
        return NULL;
    const bur_place place = device_place(session, session->state_values[index]);
    const char *base =
        backend_of(session)->map == NULL ? NULL : backend_of(session)->map(place.buffer);
    return base == NULL ? NULL : base + place.offset_bytes;
}
