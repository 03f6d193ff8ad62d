/* Times a step command by command. */
#include "session.h"

static bur_status run_one(bur_device *device, bur_command *command, int64_t *ns)
{
    if (device->backend->run_timed != NULL)
        return device->backend->run_timed(device->handle, &command, 1, ns);
    const int64_t start_ns = bur_time_ns();
    BUR_TRY(device->backend->run(device->handle, &command, 1));
    BUR_TRY(device->backend->sync(device->handle));
    *ns = bur_time_ns() - start_ns;
    return BUR_OK;
}

static bur_status fill_row(const bur_session *session, int32_t command, bur_profile_row *row)
{
    const bur_graph *graph = session->plan->graph;
    const int32_t node = session->command_nodes[command];
    bur_desc *inputs =
        bur_alloc_array(session->context, (size_t)graph->nodes[node].n_inputs, sizeof *inputs);
    if (inputs == NULL)
        return BUR_E_NOMEM;
    bur_desc outputs[2];
    const bur_call call = bur__graph_call(graph, node, inputs, outputs);
    *row = (bur_profile_row){
        .op = call.op,
        .layer = bur__graph_layer(graph, node),
        .kernel = session->command_backends[command]->command_text(session->commands[command]),
        .ns = INT64_MAX,
        .cost = bur_op_cost(&call)};
    bur_free(session->context, inputs);
    return BUR_OK;
}

bur_status bur_session_profile(bur_session *session, const bur_scalars *scalars, int32_t runs,
                               bur_profile_row *rows, int32_t capacity, int32_t *count)
{
    if (runs < 1 || capacity < session->n_commands)
        return bur_fail(BUR_E_ARG, "%d runs; room for %d rows of %d", runs, capacity,
                        session->n_commands);
    for (int32_t i = 0; i < session->n_commands; i++)
        BUR_TRY(fill_row(session, i, &rows[i]));
    for (int32_t run = 0; run < runs; run++) {
        /* A whole step first: it writes the scalars and warms what each command reads. */
        BUR_TRY(bur_session_step(session, scalars));
        for (int32_t s = 0; s < session->n_segments; s++) {
            const bur_segment *segment = &session->segments[s];
            for (int32_t i = segment->first;
                 segment->kind == BUR_STEP_RUN && i < segment->first + segment->count; i++) {
                int64_t ns = 0;
                BUR_TRY(run_one(segment->device, session->commands[i], &ns));
                rows[i].ns = ns < rows[i].ns ? ns : rows[i].ns;
            }
        }
    }
    *count = session->n_commands;
    return BUR_OK;
}
