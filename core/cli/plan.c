/* burthen plan: what training takes, for each batch size, before anything is allocated. */
#include "find.h"
#include "model.h"
#include "output.h"
#include "report.h"
#include "target.h"
#include "verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const cli_column columns[] = {
    {"batch", "BATCH", CLI_CELL_INTEGER},
    {"peak_bytes", "PEAK", CLI_CELL_BYTES},
    {"device_bytes", "ON DEVICE", CLI_CELL_BYTES},
    {"bytes.parameters", NULL, CLI_CELL_BYTES},
    {"bytes.gradients", NULL, CLI_CELL_BYTES},
    {"bytes.optimizer", NULL, CLI_CELL_BYTES},
    {"state_bytes", "WEIGHTS+GRADS+OPT", CLI_CELL_BYTES},
    {"bytes.activations", "ACTIVATIONS", CLI_CELL_BYTES},
    {"bytes.workspace", "WORKSPACE", CLI_CELL_BYTES},
    {"bytes.loader", "LOADER", CLI_CELL_BYTES},
    {"bytes.dataset", "DATA SET", CLI_CELL_BYTES},
    {"bytes.checkpoint", "SNAPSHOT", CLI_CELL_BYTES},
    {"bytes.runtime", "RUNTIME", CLI_CELL_BYTES},
    {"fits", NULL, CLI_CELL_YES},
    {"step_s", "STEP", CLI_CELL_SECONDS},
    {"samples_per_s", "SAMPLES/s", CLI_CELL_NUMBER},
    {"measured_peak_bytes", "PEAK MEASURED", CLI_CELL_BYTES},
    {"measured_step_s", "STEP MEASURED", CLI_CELL_SECONDS},
    {"note", "", CLI_CELL_TEXT},
    {0},
};

/* Left out where a terminal is too narrow, the first of them first. */
static const char *const details[] = {
    "bytes.checkpoint", "bytes.runtime", "bytes.loader",      "bytes.dataset",
    "bytes.workspace",  "state_bytes",   "bytes.activations", NULL};

enum { MOST_ROWS = 72 }; /* powers of two of 64 bits, and marks between them */

typedef struct planner {
    const cli_app *app;
    cli_model model;
    cli_target target;
    bur_fit_options options;
    int64_t search; /* CLI_BATCH_FIND ...: rows are those that were measured; 0: none */
    cli_batch_choice choice;
    int64_t recommended_accumulate;
    float recommended_recompute;
    struct { /* of every batch that was looked at and fits */
        int64_t batch;
        double samples_per_s;
    } speeds[MOST_ROWS];
    int32_t n_speeds;
    uint64_t budget_bytes;
    char binds[64], model_name[64];
} planner;

static bur_status plan_batch(bur_run_plan *out, planner *p, int64_t batch)
{
    bur_fit_options options = p->options;
    options.batch = batch;
    /* The largest is the largest in one piece. */
    if (batch == p->choice.largest && batch != p->choice.batch && batch != p->options.batch &&
        options.accumulate == 0)
        options.accumulate = 1;
    return bur_run_plan_make(out, p->model.recipe, &p->target.target, p->target.fallback,
                             &p->model.train, p->model.has_test ? &p->model.test : NULL, &options);
}

/* What stands beside a row: whether it is the recommended batch, the largest, or does not fit, and
 * in how many parts it goes. */
static void row_note(char *text, size_t size, const planner *p, const bur_run_plan *plan)
{
    text[0] = '\0';
    char levers[CLI_LEVERS_TEXT];
    cli_levers_text(levers, sizeof levers, plan);
    const char *what = plan->batch == p->choice.batch     ? "recommended"
                       : plan->batch == p->choice.largest ? "largest"
                       : !plan->fits                      ? "does not fit"
                                                          : "";
    snprintf(text, size, "%s%s%s", what, what[0] != '\0' && levers[0] != '\0' ? ", " : "", levers);
}

static void note_speed(planner *p, int64_t batch, double samples_per_s)
{
    if (p->n_speeds == MOST_ROWS)
        return;
    p->speeds[p->n_speeds].batch = batch;
    p->speeds[p->n_speeds++].samples_per_s = samples_per_s;
}

static double speed_of(const planner *p, int64_t batch)
{
    for (int32_t i = 0; i < p->n_speeds; i++)
        if (p->speeds[i].batch == batch)
            return p->speeds[i].samples_per_s;
    return 0;
}

static bool is_power_of_two(int64_t batch)
{
    return (batch & (batch - 1)) == 0;
}

/* Of the powers of two the smallest within 3% of the best samples per second; 0 if no time is
 * known. */
static int64_t fastest_batch(const planner *p)
{
    double best = 0;
    int64_t fastest = 0;
    for (int32_t i = 0; i < p->n_speeds; i++)
        if (is_power_of_two(p->speeds[i].batch))
            best = fmax(best, p->speeds[i].samples_per_s);
    for (int32_t i = 0; i < p->n_speeds && best > 0; i++) {
        const int64_t batch = p->speeds[i].batch;
        if (is_power_of_two(batch) && p->speeds[i].samples_per_s >= 0.97 * best &&
            (fastest == 0 || batch < fastest))
            fastest = batch;
    }
    return fastest;
}

/* Plans a batch and notes what the advice says of it. */
static bur_status look_at(bur_run_plan *out, planner *p, int64_t batch)
{
    BUR_TRY(plan_batch(out, p, batch));
    if (batch == p->choice.batch) {
        p->recommended_accumulate = out->accumulate;
        p->recommended_recompute = out->recompute;
    }
    note_speed(p, batch, out->fits && out->step_s > 0 ? (double)batch / out->step_s : 0);
    return BUR_OK;
}

static bur_status add_row(json_t *rows, planner *p, int64_t batch)
{
    bur_run_plan plan = {0};
    char note[CLI_LEVERS_TEXT + 32];
    BUR_TRY(look_at(&plan, p, batch));
    row_note(note, sizeof note, p, &plan);
    p->budget_bytes = plan.budget_bytes;
    snprintf(p->binds, sizeof p->binds, "%s", plan.binds);
    const double speed = speed_of(p, batch);
    const uint64_t state_bytes = plan.bytes[BUR_BYTES_PARAMETERS] +
                                 plan.bytes[BUR_BYTES_GRADIENTS] + plan.bytes[BUR_BYTES_OPTIMIZER];
    json_t *on_device =
        p->target.is_host ? json_null() : json_integer((json_int_t)plan.device_bytes);
    json_array_append_new(
        rows, json_pack("{sI sI so sb sI so sI so so so ss}", "batch", (json_int_t)batch,
                        "accumulate", (json_int_t)plan.accumulate, "recompute",
                        cli_recompute_json(plan.recompute), "fits", (int)plan.fits, "peak_bytes",
                        (json_int_t)plan.peak_bytes, "device_bytes", on_device, "state_bytes",
                        (json_int_t)state_bytes, "bytes", cli_bytes_json(plan.bytes), "step_s",
                        speed > 0 ? cli_real(plan.step_s) : json_null(), "samples_per_s",
                        speed > 0 ? cli_real(speed) : json_null(), "note", note));
    return BUR_OK;
}

/* Adds what a row's run takes to the row. */
static bur_status verify_row(json_t *row, planner *p, int64_t batch)
{
    bur_run_plan plan = {0};
    cli_verified measured;
    BUR_TRY(plan_batch(&plan, p, batch));
    if (!plan.fits)
        return BUR_OK;
    cli_verify_batch(&measured, p->app, &plan);
    json_object_set_new(row, "measured_peak_bytes",
                        measured.ran ? json_integer((json_int_t)measured.peak_bytes) : json_null());
    json_object_set_new(row, "measured_step_s",
                        measured.ran ? cli_real(measured.step_s) : json_null());
    if (!measured.ran)
        cli_warn("batch=%" PRId64 " was not measured: %s", batch, measured.why);
    return BUR_OK;
}

/* --verify: the batch that was given, or those that are advised; the fastest not where a step takes
 * longer than anybody waits for a table. */
static bur_status verify_rows(json_t *rows, planner *p)
{
    enum { LONGEST_STEP_S = 5 };
    int64_t fastest = fastest_batch(p);
    if ((double)fastest > LONGEST_STEP_S * speed_of(p, fastest))
        fastest = 0;
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(rows, i, row)
    {
        const int64_t batch = json_integer_value(json_object_get(row, "batch"));
        if (p->options.batch > 0 || batch == p->choice.batch || batch == fastest)
            BUR_TRY(verify_row(row, p, batch));
    }
    return BUR_OK;
}

/* The sizes that were measured; the fastest is recommended. */
static bur_status find_rows(json_t *rows, planner *p)
{
    cli_found found;
    BUR_TRY(cli_batch_find(&found, p->app, &p->target, &p->model, &p->options, p->search));
    p->choice.batch = found.batch;
    snprintf(p->choice.reason, sizeof p->choice.reason, "%s", found.reason);
    for (int32_t i = 0; i < found.count; i++) {
        const cli_found_row *measured = &found.rows[i];
        BUR_TRY(add_row(rows, p, measured->plan.batch));
        p->speeds[p->n_speeds - 1].samples_per_s = measured->samples_per_s;
        json_t *row = json_array_get(rows, (size_t)i);
        json_object_set_new(row, "measured_peak_bytes",
                            json_integer((json_int_t)measured->measured_peak_bytes));
        json_object_set_new(row, "measured_step_s", cli_real(measured->measured_step_s));
        json_object_set_new(row, "samples_per_s", cli_real(measured->samples_per_s));
    }
    return BUR_OK;
}

/* The one batch that was asked for; the recommended one is advised beside it. */
static bur_status add_given_row(json_t *rows, planner *p)
{
    bur_run_plan recommended = {0};
    BUR_TRY(add_row(rows, p, p->options.batch));
    return p->choice.batch < 1 || p->choice.batch == p->options.batch
               ? BUR_OK
               : look_at(&recommended, p, p->choice.batch);
}

/* Powers of two up to the first that does not fit, with the recommended and the largest batch in
 * their places; or the one batch that was asked for. */
static bur_status add_rows(json_t *rows, planner *p)
{
    if (p->options.batch > 0)
        return add_given_row(rows, p);
    const int64_t marks[] = {p->choice.batch, p->choice.largest};
    int64_t last = 0;
    for (int64_t batch = 1; batch <= cli_train_samples(&p->model, &p->options); batch *= 2) {
        for (size_t m = 0; m < sizeof marks / sizeof *marks; m++)
            if (marks[m] > last && marks[m] < batch) {
                BUR_TRY(add_row(rows, p, marks[m]));
                last = marks[m];
            }
        BUR_TRY(add_row(rows, p, batch));
        last = batch;
        if (batch > p->choice.largest)
            break;
    }
    return p->choice.largest > last ? add_row(rows, p, p->choice.largest) : BUR_OK;
}

static json_t *batch_or_null(int64_t batch)
{
    return json_pack("{so}", "batch", batch > 0 ? json_integer(batch) : json_null());
}

static json_t *result_json(const planner *p, json_t *rows)
{
    json_t *recommended = batch_or_null(p->choice.batch);
    json_object_set_new(recommended, "accumulate", json_integer(p->recommended_accumulate));
    json_object_set_new(recommended, "recompute", cli_recompute_json(p->recommended_recompute));
    json_object_set_new(recommended, "binds", json_string(p->choice.reason));
    json_t *largest = batch_or_null(p->choice.largest);
    json_object_set_new(largest, "binds",
                        json_string(p->choice.samples_bind ? "samples" : p->binds));
    return json_pack("{si ss ss sI sb so so so so}", "schema", 1, "model", p->model_name, "device",
                     p->target.info.name, "budget_bytes", (json_int_t)p->budget_bytes, "assumed",
                     p->target.info.assumed, "recommended", recommended, "fastest",
                     batch_or_null(fastest_batch(p)), "largest", largest, "rows", rows);
}

static void print_head(const planner *p)
{
    char memory[CLI_NUMBER_TEXT], budget[CLI_NUMBER_TEXT], shape[BUR_SHAPE_TEXT];
    cli_bytes_text(memory, sizeof memory, (double)p->target.info.memory_bytes);
    cli_bytes_text(budget, sizeof budget, (double)p->budget_bytes);
    printf("%s for %s, %s\n", p->model_name,
           bur_shape_format(shape, sizeof shape, &p->model.train.sample),
           bur_optimizer_name(p->options.optimizer.kind));
    if (p->target.info.assumed == 0)
        printf("device %s with %s, of which a run may use %s (%s)\n\n", p->target.info.name, memory,
               budget, p->binds);
    else
        printf("a device with %s as described, of which a run may use %s (%s), with the kernels of "
               "%s\n\n",
               memory, budget, p->binds, p->target.info.name);
}

/* "recommended  batch=16   12m03s an epoch   suits ...". */
static void print_choice(const planner *p, const char *what, int64_t batch, const char *why)
{
    char key[48], epoch[CLI_NUMBER_TEXT + 16] = "", seconds[CLI_NUMBER_TEXT];
    const double speed = speed_of(p, batch);
    if (batch < 1)
        return;
    snprintf(key, sizeof key, "batch=%" PRId64, batch);
    if (speed > 0 && p->model.has_data) {
        cli_seconds_text(seconds, sizeof seconds,
                         (double)cli_train_samples(&p->model, &p->options) / speed);
        snprintf(epoch, sizeof epoch, "%s an epoch; ", seconds);
    }
    printf("%-12s %-12s %s%s\n", what, key, epoch, why);
}

static void print_tail(const planner *p)
{
    if (p->choice.batch < 1) {
        printf(
            "\nNot even one sample fits: take a smaller input=, a lighter model or more memory.\n");
        return;
    }
    char largest[CLI_NUMBER_TEXT];
    printf("\n");
    print_choice(p, "recommended", p->choice.batch, p->choice.reason);
    print_choice(p, "fastest", fastest_batch(p),
                 "the least that comes within 3% of the best speed");
    snprintf(largest, sizeof largest, "%s",
             p->choice.samples_bind ? "all training samples" : p->binds);
    print_choice(p, "largest", p->choice.largest, largest);
    if (fastest_batch(p) == 0)
        printf("no times are known yet: 'burthen devices --measure' measures this computer, which "
               "takes seconds\n");
    if (p->target.info.assumed == 0)
        printf("try: burthen train %s%s%s batch=%" PRId64 "\n", p->model_name,
               p->model.has_data ? " data=" : " data=NAME",
               p->model.has_data ? p->model.train.name : "", p->choice.batch);
}

/* S-084: more than the class of computer is advised for, with numbers. */
static void warn_of_heavy_model(const planner *p)
{
    const cli_batch_class *of = cli_batch_class_of(&p->target);
    char millions[CLI_NUMBER_TEXT], epoch[96] = "", seconds[CLI_NUMBER_TEXT];
    const double speed = speed_of(p, p->choice.batch);
    bool heavy = false;
    int64_t macs = 0;
    if (cli_model_is_heavy(&heavy, &macs, &p->target, &p->model) != BUR_OK || !heavy)
        return;
    if (speed > 0) {
        cli_seconds_text(seconds, sizeof seconds, 1e4 / speed);
        snprintf(epoch, sizeof epoch, "; 10,000 samples take %s here", seconds);
    }
    cli_warn("%s takes %s million multiply-adds a sample; %s suits %s%s", p->model_name,
             cli_integer_text(millions, sizeof millions, macs / 1000000), of->text, of->models,
             epoch);
}

static bur_status plan_rows(json_t *rows, planner *p)
{
    BUR_TRY(cli_batch_choose(&p->choice, &p->target, &p->model, &p->options));
    if (p->search != 0)
        return find_rows(rows, p);
    BUR_TRY(add_rows(rows, p));
    return p->app->options.verify ? verify_rows(rows, p) : BUR_OK;
}

static int run_plan(planner *p, cli_app *app)
{
    const char *name = app->options.words[0];
    int code = cli_fit_options(&p->options, app);
    if (code == CLI_DONE)
        code = cli_model_open(&p->model, app, name, app->options.data);
    if (code == CLI_DONE)
        code = cli_target_open(&p->target, app);
    if (code != CLI_DONE)
        return code;
    p->search = p->options.batch < 0 ? p->options.batch : 0;
    if (p->search != 0)
        p->options.batch = 0;
    if (bur_device_calibration(&p->options.calibration, p->target.device) != BUR_OK)
        p->options.calibration = NULL;
    snprintf(p->model_name, sizeof p->model_name, "%s", name);
    json_t *rows = json_array();
    const bur_status status = plan_rows(rows, p);
    if (status != BUR_OK) {
        json_decref(rows);
        return cli_error_status(status, NULL, "cannot plan %s", name);
    }
    const bool is_table = app->options.format == CLI_TABLE;
    if (is_table)
        print_head(p);
    code = cli_output_fitted(app->options.format, result_json(p, rows), "rows", columns, details);
    if (is_table && code == CLI_DONE)
        print_tail(p);
    if (code == CLI_DONE)
        warn_of_heavy_model(p);
    return code;
}

int cli_plan(cli_app *app)
{
    planner p = {.app = app};
    const int code = run_plan(&p, app);
    cli_model_close(&p.model);
    return code;
}
