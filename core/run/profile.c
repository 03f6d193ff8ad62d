/* Times a step whole and command by command. */
#include "session.h"

#include <stdlib.h>

/* What the host does around the commands, the first rows of a profile. */
enum { WRITE_BATCH, WRITE_SCALARS, READ_RESULT, HOST_ROWS = BUR__PROFILE_HOST_ROWS };
static const char *const host_texts[HOST_ROWS] = {"write the batch", "write the scalars",
                                                  "wait, read the result"};

/* One run's times: host rows, commands, copies between devices, and the step as a whole. */
typedef struct profile {
    bur_session *session;
    const void *x, *target;
    const bur_scalars *scalars;
    int64_t parts;
    int32_t rows; /* host rows, then commands, then segments (0 for those that are no copies) */
    int64_t *ns;  /* [rows] of the run at hand, added up over the parts */
    int64_t *command_ns; /* of the segment at hand */
} profile;

int32_t bur_session_profile_rows(const bur_session *session)
{
    return HOST_ROWS + session->n_commands + session->n_segments;
}

static bur_status fill_command(const bur_session *session, int32_t command, bur_profile_row *row)
{
    const bur_graph *graph = session->plan->graph;
    const int32_t node = session->command_nodes[command];
    bur_desc *inputs =
        bur_alloc_array(session->context, (size_t)graph->nodes[node].n_inputs, sizeof *inputs);
    if (inputs == NULL)
        return BUR_E_NOMEM;
    bur_desc outputs[BUR_MAX_OUTPUTS];
    const bur_call call = bur__graph_call(graph, node, inputs, outputs);
    *row = (bur_profile_row){
        .op = call.op,
        .layer = bur__graph_layer(graph, node),
        .kernel = session->command_backends[command]->command_text(session->commands[command]),
        .cost = bur_op_cost(&call)};
    bur_free(session->context, inputs);
    return BUR_OK;
}

static bur_status fill_rows(const profile *p, bur_profile_row *rows)
{
    const bur_session *session = p->session;
    for (int32_t i = 0; i < HOST_ROWS; i++)
        rows[i] = (bur_profile_row){.op = BUR_OP_COUNT, .layer = "", .kernel = host_texts[i]};
    for (int32_t i = 0; i < session->n_commands; i++)
        BUR_TRY(fill_command(session, i, &rows[HOST_ROWS + i]));
    for (int32_t i = 0; i < session->n_segments; i++) {
        const bur_segment *segment = &session->segments[i];
        bur_profile_row *copy = &rows[HOST_ROWS + session->n_commands + i];
        *copy =
            (bur_profile_row){.op = BUR_OP_COUNT, .layer = "", .kernel = "copy between devices"};
        copy->cost.bytes = 2 * (double)segment->bytes;
        copy->runs = segment->update ? 1 : p->parts;
        for (int32_t k = 0; k < segment->count; k++)
            rows[HOST_ROWS + segment->first + k].runs = copy->runs;
    }
    return BUR_OK;
}

/* The time since *from, which moves on to now. */
static int64_t lap(int64_t *from)
{
    const int64_t now_ns = bur_time_ns(), spent_ns = now_ns - *from;
    *from = now_ns;
    return spent_ns;
}

static bur_status time_one_by_one(const bur_segment *segment, bur_command **commands, int64_t *ns)
{
    int64_t from_ns = bur_time_ns();
    for (int32_t i = 0; i < segment->count; i++) {
        BUR_TRY(segment->device->backend->run(segment->device->handle, &commands[i], 1));
        BUR_TRY(segment->device->backend->sync(segment->device->handle));
        ns[i] = lap(&from_ns);
    }
    return BUR_OK;
}

static void add(profile *p, int32_t row, int64_t ns)
{
    p->ns[row] += ns;
}

static bur_status time_segment(profile *p, int32_t index)
{
    bur_session *session = p->session;
    const bur_segment *segment = &session->segments[index];
    if (segment->kind != BUR_STEP_RUN) {
        int64_t from_ns = bur_time_ns();
        BUR_TRY(bur__session_copy(session, segment));
        add(p, HOST_ROWS + session->n_commands + index, lap(&from_ns));
        return BUR_OK;
    }
    bur_command **commands = session->commands + segment->first;
    const bur_backend *backend = segment->device->backend;
    if (backend->run_timed == NULL)
        BUR_TRY(time_one_by_one(segment, commands, p->command_ns));
    else
        BUR_TRY(
            backend->run_timed(segment->device->handle, commands, segment->count, p->command_ns));
    for (int32_t i = 0; i < segment->count; i++)
        add(p, HOST_ROWS + segment->first + i, p->command_ns[i]);
    return BUR_OK;
}

static bur_status time_list(profile *p, bool update)
{
    for (int32_t i = 0; i < p->session->n_segments; i++)
        if (p->session->segments[i].update == update)
            BUR_TRY(time_segment(p, i));
    return BUR_OK;
}

/* Waits for the device, by what a caller reads after a step. */
static bur_status finish(bur_session *session)
{
    float result[BUR_RESULT_WORDS];
    if (session->plan->graph->result >= 0)
        return bur_session_read_result(session, result);
    const bur_device *device = session->memory->device;
    return device->backend->sync(device->handle);
}

static size_t bytes_of(const bur_graph *graph, int32_t value)
{
    return value < 0 ? 0 : bur_desc_bytes(&graph->values[value].desc);
}

static bur_status time_parts(profile *p)
{
    bur_session *session = p->session;
    const bur_graph *graph = session->plan->graph;
    const char *x = p->x, *target = p->target;
    bur_scalars scalars = *p->scalars;
    int64_t from_ns = 0;
    for (int64_t i = 0; i < p->parts; i++) {
        from_ns = bur_time_ns();
        BUR_TRY(bur_session_write_batch(session, x, target));
        add(p, WRITE_BATCH, lap(&from_ns));
        BUR_TRY(bur__session_begin(session, &scalars));
        add(p, WRITE_SCALARS, lap(&from_ns));
        BUR_TRY(time_list(p, false));
        x += bytes_of(graph, graph->x);
        target += target == NULL ? 0 : bytes_of(graph, graph->target);
        scalars.first_sample += (uint32_t)graph->options.batch;
    }
    BUR_TRY(time_list(p, true));
    from_ns = bur_time_ns();
    BUR_TRY(finish(session));
    add(p, READ_RESULT, lap(&from_ns));
    return BUR_OK;
}

static bur_status time_whole(const profile *p, int64_t *ns)
{
    int64_t from_ns = bur_time_ns();
    BUR_TRY(bur_session_step_parts(p->session, p->x, p->target, p->scalars, p->parts));
    BUR_TRY(finish(p->session));
    *ns = lap(&from_ns);
    return BUR_OK;
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The middle one of values[0], values[stride], ...; sorts them in `sorted`. */
static int64_t median(int64_t *sorted, const int64_t *values, int32_t count, int32_t stride)
{
    for (int32_t i = 0; i < count; i++)
        sorted[i] = values[(size_t)i * (size_t)stride];
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return sorted[count / 2];
}

/* times: a line of p->rows + 1 for each run, the last of it the whole step's. */
static bur_status time_runs(profile *p, int32_t runs, int64_t *times)
{
    for (int32_t run = 0; run < runs; run++) {
        p->ns = times + (size_t)run * (size_t)(p->rows + 1);
        BUR_TRY(time_whole(p, &p->ns[p->rows]));
        BUR_TRY(time_parts(p));
    }
    return BUR_OK;
}

bur_status bur_session_profile(bur_session *session, const void *x, const void *target,
                               const bur_scalars *scalars, int64_t parts, int32_t runs,
                               bur_profile_row *rows, int32_t capacity, int32_t *count,
                               int64_t *step_ns)
{
    profile p = {.session = session,
                 .x = x,
                 .target = target,
                 .scalars = scalars,
                 .parts = parts,
                 .rows = bur_session_profile_rows(session)};
    if (session->n_bound < session->plan->n_steps)
        return bur_fail(BUR_E_STATE, "over memory that grows a session is profiled after its first "
                                     "step, which binds it");
    if (runs < 1 || capacity < p.rows)
        return bur_fail(BUR_E_ARG, "%d runs; room for %d rows of %d", runs, capacity, p.rows);
    const int32_t line = p.rows + 1;
    int64_t *times = bur_alloc_array(session->context, (size_t)runs * (size_t)line, sizeof *times);
    int64_t *sorted = bur_alloc_array(session->context, (size_t)runs, sizeof *sorted);
    p.command_ns = bur_alloc_array(session->context, (size_t)p.rows, sizeof *p.command_ns);
    bur_status status =
        times == NULL || sorted == NULL || p.command_ns == NULL ? BUR_E_NOMEM : fill_rows(&p, rows);
    if (status == BUR_OK)
        status = time_runs(&p, runs, times);
    if (status == BUR_OK) {
        for (int32_t i = 0; i < p.rows; i++)
            rows[i].ns = median(sorted, times + i, runs, line);
        *step_ns = median(sorted, times + p.rows, runs, line);
        *count = p.rows;
    }
    bur_free(session->context, p.command_ns);
    bur_free(session->context, sorted);
    bur_free(session->context, times);
    return status;
}
