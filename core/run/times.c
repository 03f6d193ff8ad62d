/* Kernel times of a device: measured by a session's profile, kept in the user's cache in a file for
 * each device, driver, number of threads and version of this library. */
#include "session.h"
#include "speed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TIMES = 1 << 15 };

/* A line: key, family, variant, operator, flop, bytes, far bytes, seconds. */
static bool read_line(bur_call_time *out, const char *line)
{
    char name[BUR_NAME_BYTES];
    bur_op op = BUR_OP_COUNT;
    if (sscanf(line, "%16" SCNx64 " %16" SCNx64 " %" SCNd32 " %63s %lg %lg %lg %lg", &out->key,
               &out->family, &out->variant, name, &out->cost.flop, &out->cost.bytes,
               &out->far_bytes, &out->seconds) != 8 ||
        bur_op_find(&op, name) != BUR_OK)
        return false;
    out->op = (int32_t)op;
    return out->cost.flop >= 0 && out->far_bytes >= 0 && out->cost.bytes >= out->far_bytes &&
           out->seconds > 0 && out->seconds < 1e6;
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
        if (!read_line(&time, line)) /* what is damaged or of another version is not there */
            continue;
        status = bur_calibration_add(into, &time);
        if (status == BUR_E_ARG)
            status = BUR_OK;
    }
    fclose(file);
    return status;
}

static void write_times(FILE *file, const void *calibration)
{
    for (int32_t i = 0; i < bur_calibration_count(calibration); i++) {
        const bur_call_time *time = bur_calibration_at(calibration, i);
        fprintf(file, "%016" PRIx64 " %016" PRIx64 " %" PRId32 " %s %.9g %.9g %.9g %.9g\n",
                time->key, time->family, time->variant, bur_op_get((bur_op)time->op)->name,
                time->cost.flop, time->cost.bytes, time->far_bytes, time->seconds);
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

/* Of each command its call and what a run of it took; of those that ran. */
static bur_status call_times(bur_call_time *out, int32_t *count, const bur_session *session,
                             const bur_profile_row *rows, double factor)
{
    const bur_graph *graph = session->plan->graph;
    double *far_bytes = NULL;
    bur_desc *inputs =
        bur_alloc_array(session->context, (size_t)bur__graph_most_inputs(graph), sizeof *inputs);
    bur_status status = bur__plan_far_bytes(&far_bytes, session->plan);
    if (inputs == NULL)
        status = BUR_E_NOMEM;
    for (int32_t i = 0; i < session->n_commands && status == BUR_OK; i++) {
        if (rows[i].ns <= 0 || rows[i].runs <= 0)
            continue;
        const int32_t node = session->command_nodes[i];
        bur_desc outputs[BUR_MAX_OUTPUTS];
        const bur_call call = bur__graph_call(graph, node, inputs, outputs);
        bur_call_time *time = &out[(*count)++];
        *time = bur_call_time_of(&call, factor * 1e-9 * (double)rows[i].ns / (double)rows[i].runs);
        time->far_bytes = far_bytes[node];
    }
    bur_free(session->context, inputs);
    bur_free(session->context, far_bytes);
    return status;
}

static int compare_keys(const void *a, const void *b)
{
    const uint64_t x = ((const bur_call_time *)a)->key, y = ((const bur_call_time *)b)->key;
    return (x > y) - (x < y);
}

/* Adds sorted times; of calls that a step makes several times, their mean: what stands in the
 * caches before each differs. */
static bur_status add_times(bur_calibration *to, const bur_call_time *times, int32_t count,
                            bool of_classes)
{
    for (int32_t i = 0, next = 0; i < count; i = next) {
        bur_call_time mean = times[i];
        for (next = i + 1; next < count && times[next].key == times[i].key; next++) {
            mean.far_bytes += times[next].far_bytes;
            mean.seconds += times[next].seconds;
        }
        mean.far_bytes /= next - i;
        mean.seconds /= next - i;
        if (of_classes)
            mean = bur__call_time_of_class(&mean);
        BUR_TRY(bur_calibration_add(to, &mean));
    }
    return BUR_OK;
}

/* What kernels take in a step over the sum of their times: medians leave out what now and then
 * takes longer, the host's part around the kernels grows with the batch as they do. Copies between
 * devices are a plan's, not a kernel's. */
static double whole_over_parts(const bur_profile_row *rows, int32_t n_commands, int32_t count,
                               int64_t step_ns)
{
    double host = 0, kernels = 0, copies = 0;
    for (int32_t i = 0; i < count; i++)
        *(i < BUR__PROFILE_HOST_ROWS                ? &host
          : i < BUR__PROFILE_HOST_ROWS + n_commands ? &kernels
                                                    : &copies) += (double)rows[i].ns;
    if (!(kernels > 0) || step_ns <= 0)
        return 1;
    return (double)step_ns / (host + kernels + copies) * (host + kernels) / kernels;
}

static bur_status add_profile(bur_session *session, const bur_profile_row *rows, double factor,
                              bool of_classes)
{
    bur_calibration *to = session->memory->device->calibration;
    bur_call_time *times =
        bur_alloc_array(session->context, (size_t)session->n_commands, sizeof *times);
    int32_t count = 0;
    bur_status status = times == NULL ? BUR_E_NOMEM : BUR_OK;
    if (status == BUR_OK)
        status = call_times(times, &count, session, rows, factor);
    if (status == BUR_OK) {
        qsort(times, (size_t)count, sizeof *times, compare_keys);
        status = add_times(to, times, count, of_classes);
    }
    bur_free(session->context, times);
    return status;
}

bur_status bur__session_calibrate(bur_session *session, const void *x, const void *target,
                                  const bur_scalars *scalars, int64_t parts, int32_t runs,
                                  bool of_classes)
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
    if (status == BUR_OK)
        status =
            add_profile(session, rows + BUR__PROFILE_HOST_ROWS,
                        whole_over_parts(rows, session->n_commands, count, step_ns), of_classes);
    bur_free(session->context, rows);
    BUR_TRY(status);
    file_name(name, sizeof name, device);
    bur__cache_replace(name, write_times, known);
    return BUR_OK;
}

bur_status bur_session_calibrate(bur_session *session, const void *x, const void *target,
                                 const bur_scalars *scalars, int64_t parts, int32_t runs)
{
    return bur__session_calibrate(session, x, target, scalars, parts, runs, false);
}
