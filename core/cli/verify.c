/* burthen verify: a few real steps of a run, measured; and starting it in a process of its own, so
 * that nothing of the caller counts and nothing that happens there hurts the caller. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE, mkstemp */
#include "verify.h"
#include "model.h"
#include "output.h"
#include "report.h"
#include "target.h"
#include "train.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct zeros {
    void *pages; /* NULL: none */
    size_t bytes;
} zeros;

typedef struct verifying {
    cli_app *app;
    cli_model model;
    cli_target target;
    bur_fit_options options;
    bur_data data;
    bur_dataset *one; /* the sample that data.train repeats, if no data are named */
    zeros sample, batch;
    bur_trainer *trainer;
    bur_scalars scalars;
} verifying;

/* ---- data ---- */

/* Pages that are only read have no memory behind them. */
static bur_status zeros_map(zeros *out, size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        return bur_fail(BUR_E_NOMEM, "no address space for %zu bytes of zeros", bytes);
    *out = (zeros){pages, bytes};
    return BUR_OK;
}

static void zeros_unmap(zeros *z)
{
    if (z->pages != NULL)
        munmap(z->pages, z->bytes);
}

/* Zeros for a run whose data are not named. They are one sample: the page tables of a million, read
 * in any order, would be memory that no plan knows. */
static bur_status open_zeros(verifying *v)
{
    bur_dataset_info info = v->model.train;
    int64_t x_count = 0;
    info.count = 1;
    BUR_TRY(bur_shape_count(&x_count, &info.sample));
    const size_t x_bytes = (size_t)x_count, y_bytes = bur_dataset_target_bytes(&info);
    BUR_TRY(zeros_map(&v->sample, x_bytes > y_bytes ? x_bytes : y_bytes));
    BUR_TRY(bur_dataset_from_arrays(&v->one, v->app->context, &info, BUR_U8, v->sample.pages,
                                    v->sample.pages));
    return bur_dataset_repeat(&v->data.train, v->one, v->model.train.count);
}

static bur_status open_data(verifying *v)
{
    if (!v->model.has_data)
        return open_zeros(v);
    return bur_data_open(&v->data, v->app->context, v->app->options.data, &v->model.data);
}

static void close_all(verifying *v)
{
    bur_trainer_destroy(v->trainer);
    if (v->model.has_data) {
        bur_data_close(&v->data);
    } else {
        bur_dataset_destroy(v->data.train);
        bur_dataset_destroy(v->one);
    }
    zeros_unmap(&v->sample);
    zeros_unmap(&v->batch);
    cli_model_close(&v->model);
}

/* ---- the run ---- */

static bur_status save(verifying *v)
{
    char path[] = "/tmp/burthen-verify-XXXXXX";
    const int file = mkstemp(path);
    if (file < 0)
        return bur_fail(BUR_E_FILE, "cannot create %s: %s", path, strerror(errno));
    close(file);
    const bur_status status = bur_trainer_save(v->trainer, path, false);
    unlink(path);
    return status;
}

/* What a run does at most: two updates, validation, test, a file of its parameters. */
static bur_status run_steps(verifying *v)
{
    double loss = 0, metric = 0;
    BUR_TRY(
        bur_trainer_create(&v->trainer, v->target.device, v->model.recipe, &v->data, &v->options));
    const bur_status status = bur_trainer_fit(v->trainer);
    if (status != BUR_OK && status != BUR_E_DIVERGED) /* zeros teach nothing */
        return status;
    if (v->data.test != NULL)
        BUR_TRY(bur_trainer_evaluate(v->trainer, v->data.test, &loss, &metric));
    return save(v);
}

/* ---- seconds ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bur_status step_once(verifying *v)
{
    float result[BUR_RESULT_WORDS];
    bur_session *session = bur_trainer_session(v->trainer);
    BUR_TRY(bur_session_step_parts(session, v->batch.pages, v->batch.pages, &v->scalars,
                                   bur_trainer_plan(v->trainer)->accumulate));
    return bur_session_read_result(session, result);
}

/* One batch of zeros, behind which there is no memory, for steps that move little. */
static bur_status make_batch(verifying *v)
{
    const size_t batch = (size_t)v->options.batch;
    int64_t x_count = 0;
    BUR_TRY(bur_shape_count(&x_count, &v->model.train.sample));
    const size_t x_bytes = batch * (size_t)x_count * sizeof(float);
    const size_t y_bytes = batch * bur_dataset_target_bytes(&v->model.train);
    BUR_TRY(zeros_map(&v->batch, x_bytes > y_bytes ? x_bytes : y_bytes));
    const bur_optimizer_attr *attr = &v->options.optimizer.attr;
    v->scalars = (bur_scalars){.learning_rate = 1e-6f,
                               .inverse_weight_sum = 1.0f / (float)batch,
                               .correction1 = 1 / (1 - attr->beta1),
                               .correction2 = 1 / (1 - attr->beta2)};
    return BUR_OK;
}

/* The run was the warm-up: half a second of steps, 1 to 15, and as many for the kernels' times,
 * which are kept for plans. */
static bur_status time_steps(verifying *v, double *step_s)
{
    enum { MOST_RUNS = 15 };
    double seconds[MOST_RUNS], sum = 0;
    int32_t runs = 0;
    BUR_TRY(make_batch(v));
    while (runs < MOST_RUNS && sum < 0.5) {
        const int64_t start_ns = bur_time_ns();
        BUR_TRY(step_once(v));
        seconds[runs] = (double)(bur_time_ns() - start_ns) * 1e-9;
        sum += seconds[runs++];
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, by_value);
    *step_s = (seconds[(runs - 1) / 2] + seconds[runs / 2]) / 2;
    return bur_session_calibrate(bur_trainer_session(v->trainer), v->batch.pages, v->batch.pages,
                                 &v->scalars, bur_trainer_plan(v->trainer)->accumulate, runs);
}

/* ---- the verb ---- */

static const cli_column columns[] = {
    {"batch", "BATCH", CLI_CELL_INTEGER},
    {"accumulate", "PARTS", CLI_CELL_INTEGER},
    {"recompute", "RECOMPUTE", CLI_CELL_TEXT},
    {"peak_bytes", "PEAK PLANNED", CLI_CELL_BYTES},
    {"measured_peak_bytes", "MEASURED", CLI_CELL_BYTES},
    {"step_s", "STEP PLANNED", CLI_CELL_SECONDS},
    {"measured_step_s", "MEASURED", CLI_CELL_SECONDS},
    {0},
};

static int measure(verifying *v)
{
    double step_s = 0;
    bur_host_memory_reset_peak();
    bur_status status = open_data(v);
    if (status == BUR_OK)
        status = run_steps(v);
    const uint64_t peak_bytes = cli_measured_peak_bytes(v->target.device);
    if (status == BUR_OK && v->model.train.count >= v->options.batch)
        status = time_steps(v, &step_s);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot verify %s", v->app->options.words[0]);
    const bur_run_plan *plan = bur_trainer_plan(v->trainer);
    json_t *row = cli_run_plan_json(plan);
    json_object_set_new(row, "step_s", plan->step_s > 0 ? cli_real(plan->step_s) : json_null());
    json_object_set_new(row, "measured_peak_bytes", json_integer((json_int_t)peak_bytes));
    json_object_set_new(row, "measured_step_s", step_s > 0 ? cli_real(step_s) : json_null());
    return cli_output(v->app->options.format, json_pack("{si s[o]}", "schema", 1, "rows", row),
                      "rows", columns);
}

int cli_verify(cli_app *app)
{
    verifying v = {.app = app};
    const char *name = app->options.words[0];
    int code = cli_fit_options(&v.options, app);
    if (code == CLI_DONE && v.options.batch < 1)
        code = cli_error(CLI_USAGE, NULL, "batch=32, or plan --verify", "verify needs batch=");
    if (code == CLI_DONE)
        code = cli_model_open(&v.model, app, name, app->options.data);
    if (code == CLI_DONE)
        code = cli_target_open(&v.target, app);
    v.options.epochs = 1;
    v.options.max_steps = 2;
    if (code == CLI_DONE &&
        bur_device_calibration(&v.options.calibration, v.target.device) != BUR_OK)
        v.options.calibration = NULL;
    if (code == CLI_DONE)
        code = measure(&v);
    close_all(&v);
    return code;
}

/* ---- in a process of its own ---- */

enum { MOST_ARGUMENTS = 64, OWN_ARGUMENTS = 5 };

/* In the child: the same command line, but for the verb and what is verified. */
_Noreturn static void become_verify(const cli_app *app, const bur_run_plan *plan, int out, int err)
{
    char batch[48], accumulate[48], recompute[48] = "recompute=off", json[] = "--json";
    char verb[] = "verify";
    const char *argv[MOST_ARGUMENTS + OWN_ARGUMENTS] = {app->argv[0], verb};
    int n = 2;
    while (n < MOST_ARGUMENTS && app->argv[n] != NULL) {
        argv[n] = app->argv[n];
        n++;
    }
    snprintf(batch, sizeof batch, "batch=%" PRId64, plan->batch);
    snprintf(accumulate, sizeof accumulate, "accumulate=%" PRId64, plan->accumulate);
    if (plan->recompute > 0 && plan->recompute < 1)
        snprintf(recompute, sizeof recompute, "recompute=%.17g%%", (double)plan->recompute * 100);
    argv[n++] = batch;
    argv[n++] = accumulate;
    argv[n++] = recompute;
    argv[n++] = json;
    argv[n] = NULL;
    if (dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0)
        execv("/proc/self/exe", (char *const *)argv);
    _exit(CLI_FAILED);
}

/* All that a temporary file holds, from its start; yours to free. */
static char *contents(FILE *file)
{
    enum { MOST = 1 << 20 };
    char *text = calloc(1, MOST + 1);
    rewind(file);
    if (text != NULL)
        text[fread(text, 1, MOST, file)] = '\0';
    return text;
}

/* "why: ..." of an error message, else all of it in one line. */
static void find_reason(char *why, size_t size, const char *text)
{
    static const char mark[] = "why:   ";
    const char *at = strstr(text, mark);
    at = at == NULL ? text : at + strlen(mark);
    snprintf(why, size, "%.*s", (int)strcspn(at, "\n"), at);
}

static void read_result(cli_verified *out, FILE *from)
{
    char *text = contents(from);
    json_t *result = text == NULL ? NULL : json_loads(text, 0, NULL);
    const json_t *row = json_array_get(json_object_get(result, "rows"), 0);
    const json_int_t peak = json_integer_value(json_object_get(row, "measured_peak_bytes"));
    out->ran = peak > 0;
    out->peak_bytes = peak > 0 ? (uint64_t)peak : 0;
    out->step_s = json_number_value(json_object_get(row, "measured_step_s"));
    json_decref(result);
    free(text);
}

static void wait_for(cli_verified *out, pid_t child, FILE *results, FILE *messages)
{
    int state = 0;
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0)
        read_result(out, results);
    else if (WIFSIGNALED(state))
        snprintf(out->why, sizeof out->why, "ended by signal %d", WTERMSIG(state));
    char *text = out->ran || WIFSIGNALED(state) ? NULL : contents(messages);
    if (text != NULL)
        find_reason(out->why, sizeof out->why, text);
    free(text);
}

void cli_verify_batch(cli_verified *out, const cli_app *app, const bur_run_plan *plan)
{
    *out = (cli_verified){.why = "no temporary file"};
    FILE *results = tmpfile(), *messages = tmpfile();
    if (results != NULL && messages != NULL) {
        fflush(NULL);
        const pid_t child = fork();
        if (child == 0)
            become_verify(app, plan, fileno(results), fileno(messages));
        if (child > 0)
            wait_for(out, child, results, messages);
        else
            snprintf(out->why, sizeof out->why, "no process: %s", strerror(errno));
    }
    if (results != NULL)
        fclose(results);
    if (messages != NULL)
        fclose(messages);
}
