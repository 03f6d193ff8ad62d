/* burthen bench --profile: where the time of a step goes, and what that is of the device's limits.
 */
#include "bench.h"

#include <stdio.h>

enum { PROFILE_RUNS = 51 };
static const double shown_percent = 1; /* of the step: kernels below are in JSON alone */

/* What one operator, one kernel or the host took in a step. */
typedef struct share {
    double ns;
    double least_s; /* within the device's limits */
    bur_cost cost;
} share;

typedef struct profile {
    bur_profile_row *rows;
    int32_t count;
    double step_ns;
    bur_limits limits;
} profile;

static void add_row(share *s, const bur_profile_row *row, const bur_limits *limits)
{
    const double runs = (double)row->runs;
    s->ns += (double)row->ns;
    s->cost.flop += runs * row->cost.flop;
    s->cost.bytes += runs * row->cost.bytes;
    s->least_s += runs * bur_limits_least_s(limits, row->cost);
}

static const char *op_name(bur_op op)
{
    return op == BUR_OP_COUNT ? "(host)" : bur_op_get(op)->name;
}

static json_t *share_json(const share *s, bur_op op, double step_ns)
{
    const bool is_host = op == BUR_OP_COUNT;
    return json_pack("{ss so so so so so}", "op", op_name(op), "ms", cli_real(s->ns * 1e-6),
                     "percent", cli_real(100 * s->ns / step_ns), "gflops",
                     is_host ? json_null() : cli_real(s->cost.flop / s->ns), "gbs",
                     is_host ? json_null() : cli_real(s->cost.bytes / s->ns), "percent_of_limit",
                     s->least_s > 0 ? cli_real(100 * s->least_s / s->ns * 1e9) : json_null());
}

/* By operator, longest first; *sum_ns of all. */
static json_t *breakdown_json(const profile *p, double *sum_ns)
{
    share shares[BUR_OP_COUNT + 1] = {{0}};
    for (int32_t i = 0; i < p->count; i++)
        add_row(&shares[p->rows[i].op], &p->rows[i], &p->limits);
    json_t *breakdown = json_array();
    for (*sum_ns = 0;;) {
        int32_t op = 0;
        for (int32_t i = 1; i <= BUR_OP_COUNT; i++)
            op = shares[i].ns > shares[op].ns ? i : op;
        if (shares[op].ns <= 0)
            return breakdown;
        json_array_append_new(breakdown, share_json(&shares[op], (bur_op)op, p->step_ns));
        *sum_ns += shares[op].ns;
        shares[op].ns = 0;
    }
}

/* Kernel by kernel, in the order of the step. */
static json_t *kernels_json(const profile *p)
{
    json_t *kernels = json_array();
    for (int32_t i = 0; i < p->count; i++) {
        const bur_profile_row *row = &p->rows[i];
        share one = {0};
        add_row(&one, row, &p->limits);
        if (row->ns <= 0)
            continue;
        json_t *kernel = share_json(&one, row->op, p->step_ns);
        json_object_set_new(kernel, "layer", json_string(row->layer));
        json_object_set_new(kernel, "kernel", json_string(row->kernel));
        json_array_append_new(kernels, kernel);
    }
    return kernels;
}

static bur_status take(profile *p, const cli_profiled *what)
{
    int64_t step_ns = 0;
    const bur_status status = bur_device_measure_limits(what->device, &p->limits);
    if (status != BUR_OK && status != BUR_E_UNSUPPORTED)
        return status;
    BUR_TRY(bur_session_profile(what->session, what->x, what->target, what->scalars, what->parts,
                                PROFILE_RUNS, p->rows, bur_session_profile_rows(what->session),
                                &p->count, &step_ns));
    p->step_ns = (double)step_ns;
    return BUR_OK;
}

bur_status cli_bench_profile(json_t *row, const cli_profiled *what)
{
    bur_context *context = bur_device_context(what->device);
    profile p = {.count = 0};
    double sum_ns = 0;
    p.rows =
        bur_alloc_array(context, (size_t)bur_session_profile_rows(what->session), sizeof *p.rows);
    const bur_status status = p.rows == NULL ? BUR_E_NOMEM : take(&p, what);
    if (status == BUR_OK) {
        json_object_set_new(row, "breakdown", breakdown_json(&p, &sum_ns));
        json_object_set_new(row, "kernels", kernels_json(&p));
        json_object_set_new(row, "profiled_step_ms", cli_real(p.step_ns * 1e-6));
        json_object_set_new(row, "accounted_percent", cli_real(100 * sum_ns / p.step_ns));
    }
    bur_free(context, p.rows);
    return status;
}

/* ---- on a terminal ---- */

#define TIMES                                                                                      \
    {"ms", "ms", CLI_CELL_MS}, {"percent", "%", CLI_CELL_NUMBER},                                  \
        {"gflops", "GFLOP/s", CLI_CELL_NUMBER}, {"gbs", "GB/s", CLI_CELL_NUMBER},                  \
    {                                                                                              \
        "percent_of_limit", "% OF LIMIT", CLI_CELL_NUMBER                                          \
    }

static const cli_column operator_columns[] = {{"op", "OPERATOR", CLI_CELL_TEXT}, TIMES, {0}};
static const cli_column kernel_columns[] = {{"layer", "LAYER", CLI_CELL_TEXT},
                                            {"op", "OPERATOR", CLI_CELL_TEXT},
                                            TIMES,
                                            {"kernel", "BY", CLI_CELL_TEXT},
                                            {0}};

static void print_kernels(const json_t *row)
{
    size_t i = 0;
    json_t *kernel = NULL, *shown = json_array();
    json_array_foreach(json_object_get(row, "kernels"), i, kernel)
    {
        if (json_number_value(json_object_get(kernel, "percent")) >= shown_percent)
            json_array_append(shown, kernel);
    }
    printf("\nthose of 1%% and more:\n");
    cli_output(CLI_TABLE, json_pack("{so}", "kernels", shown), "kernels", kernel_columns);
}

void cli_bench_print_profiles(const json_t *result)
{
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(json_object_get(result, "results"), i, row)
    {
        if (!json_is_array(json_object_get(row, "breakdown")))
            continue;
        printf("\n%s on %s, batch %" JSON_INTEGER_FORMAT ", by operator:\n",
               json_string_value(json_object_get(row, "model")),
               json_string_value(json_object_get(row, "device")),
               json_integer_value(json_object_get(row, "batch")));
        cli_output(CLI_TABLE, json_incref(row), "breakdown", operator_columns);
        print_kernels(row);
        printf("\nthe parts account for %.1f%% of a step of %.3f ms\n",
               json_number_value(json_object_get(row, "accounted_percent")),
               json_number_value(json_object_get(row, "profiled_step_ms")));
    }
}
