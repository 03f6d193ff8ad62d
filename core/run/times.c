/* Kernel times of a device: measured by a session's profile, kept in the user's cache in a file for
 * each device, driver, number of threads and version of this library. */
#include "session.h"
#include "speed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MOST_TIMES = 1 << 15 };

/* A line: key, family, operator, flop, bytes, seconds. */
static bool read_line(bur_call_time *out, const char *line)
{
    char name[BUR_NAME_BYTES];
    bur_op op = BUR_OP_COUNT;
    if (sscanf(line, "%16" SCNx64 " %16" SCNx64 " %63s %lg %lg %lg", &out->key, &out->family, name,
               &out->cost.flop, &out->cost.bytes, &out->seconds) != 6 ||
        bur_op_find(&op, name) != BUR_OK)
        return false;
    out->op = (int32_t)op;
    return out->cost.flop >= 0 && out->cost.bytes >= 0 && out->seconds > 0 && out->seconds < 1e6;
}

static bur_status read_file(bur_calibration *into, const char *path)
{
    char line[BUR_TEXT_BYTES];
    FILE *file = fopen(path, "r");
    bur_status status = BUR_OK;
    if (file == NULL)
        return BUR_OK;
    while (status == BUR_OK && bur_calibration_count(into) < MOST_TIMES &&
           fgets(line, sizeof line, file) != NULL) {
        bur_call_time time = {0};
        if (read_line(&time, line)) /* what is damaged or of another version is not there */
            status = bur_calibration_add(into, &time);
    }
    fclose(file);
    return status;
}

static void write_times(FILE *file, const void *calibration)
{
    for (int32_t i = 0; i < bur_calibration_count(calibration); i++) {
        const bur_call_time *time = bur_calibration_at(calibration, i);
        fprintf(file, "%016" PRIx64 " %016" PRIx64 " %s %.9g %.9g %.9g\n", time->key, time->family,
                bur_op_get((bur_op)time->op)->name, time->cost.flop, time->cost.bytes,
                time->seconds);
    }
}

static void file_name(char *name, size_t size, const bur_device *device)
{
    snprintf(name, size, "times-%016" PRIx64 ".txt",
             bur__speed_key(device->context, &device->info));
}

/* The limits that `burthen devices --measure` kept; zeros if it never ran. */
static bur_limits kept_limits(const bur_device *device)
{
    bur_device_speed speed = {0};
    return bur__speed_read(&speed, bur__speed_key(device->context, &device->info))
               ? speed.limits
               : (bur_limits){0};
}

static bur_status load(bur_device *device)
{
    char name[BUR_NAME_BYTES], path[BUR__PATH_BYTES];
    const bur_limits limits = kept_limits(device);
    BUR_TRY(bur_calibration_create(&device->calibration, device->context, &limits));
    file_name(name, sizeof name, device);
    return bur__cache_path(path, name, false) ? read_file(device->calibration, path) : BUR_OK;
}

bur_status bur_device_calibration(const bur_calibration **out, bur_device *device)
{
    if (out == NULL || device == NULL)
        return bur_fail(BUR_E_ARG, "bur_device_calibration: NULL argument");
    if (device->calibration == NULL)
        BUR_TRY(load(device));
    *out = device->calibration;
    return BUR_OK;
}

static bur_status add_command(bur_session *session, int32_t command, double seconds)
{
    const bur_graph *graph = session->plan->graph;
    const int32_t node = session->command_nodes[command];
    bur_desc *inputs =
        bur_alloc_array(session->context, (size_t)graph->nodes[node].n_inputs, sizeof *inputs);
    if (inputs == NULL)
        return BUR_E_NOMEM;
    bur_desc outputs[BUR_MAX_OUTPUTS];
    const bur_call call = bur__graph_call(graph, node, inputs, outputs);
    const bur_call_time time = bur_call_time_of(&call, seconds);
    bur_free(session->context, inputs);
    return bur_calibration_add(session->memory->device->calibration, &time);
}

bur_status bur_session_calibrate(bur_session *session, const void *x, const void *target,
                                 const bur_scalars *scalars, int64_t parts, int32_t runs)
{
    const bur_calibration *known = NULL;
    char name[BUR_NAME_BYTES];
    bur_device *device = session->memory->device;
    const int32_t capacity = bur_session_profile_rows(session);
    int32_t count = 0;
    int64_t step_ns = 0;
    BUR_TRY(bur_device_calibration(&known, device));
    bur_profile_row *rows = bur_alloc_array(session->context, (size_t)capacity, sizeof *rows);
    if (rows == NULL)
        return BUR_E_NOMEM;
    bur_status status = bur_session_profile(session, x, target, scalars, parts, runs, rows,
                                            capacity, &count, &step_ns);
    for (int32_t i = 0; i < session->n_commands && status == BUR_OK; i++) {
        const bur_profile_row *row = &rows[BUR__PROFILE_HOST_ROWS + i];
        if (row->ns > 0 && row->runs > 0)
            status = add_command(session, i, 1e-9 * (double)row->ns / (double)row->runs);
    }
    bur_free(session->context, rows);
    BUR_TRY(status);
    file_name(name, sizeof name, device);
    bur__cache_replace(name, write_times, known);
    return BUR_OK;
}
