/* burthen train: plan, train, test, save. */
#define _POSIX_C_SOURCE 200809L /* sigaction */
#include "train.h"
#include "diagnosis.h"
#include "find.h"
#include "progress.h"
#include "remedies.h"
#include "report.h"
#include "run_folder.h"
#include "target.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- signals: the first one stops after the present step, the second one at once ---- */

/* A handler takes no argument of ours, so these two are the program's only variables of static
 * life. */
static bur_trainer *volatile signalled_trainer;
static volatile sig_atomic_t signal_count;

static void on_signal(int number)
{
    (void)number;
    if (signal_count++ > 0)
        _exit(CLI_KILLED);
    if (signalled_trainer != NULL)
        bur_trainer_stop(signalled_trainer);
}

static void catch_signals(bur_trainer *trainer)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    signalled_trainer = trainer;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void release_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signalled_trainer = NULL;
}

/* ---- one run ---- */

typedef struct training {
    cli_app *app;
    const char *name, *data_name, *metric;
    cli_model model;
    cli_target target;
    bur_fit_options options;
    char batch_reason[BUR_TEXT_BYTES];
    int64_t largest;             /* the largest batch that fits as it is */
    char advice[BUR_TEXT_BYTES]; /* "" if there is none */
    bur_data data;
    bur_trainer *trainer;
    cli_progress progress;
    cli_run_folder folder;
    bur_run_plan plan;
    bur_status fit; /* how the fit ended */
    bool tested;
    double test_loss, test_metric;
} training;

uint64_t cli_measured_peak_bytes(bur_device *device)
{
    const bur_device_info *info = bur_device_describe(device);
    bur_host_memory memory = {0};
    if (info->kind != BUR_DEVICE_CPU && info->unified == 0)
        return bur_device_peak_bytes(device);
    return bur_host_memory_read(&memory) == BUR_OK ? memory.peak_bytes : 0;
}

json_t *cli_score_json(double loss, double metric, const char *metric_name)
{
    return json_pack("{so so}", "loss", cli_real(loss), metric_name, cli_real(metric));
}

/* What stands around the optimizer's step, under the names of the keys. */
static void add_optimizer_attr(json_t *config, const bur_optimizer_attr *attr)
{
    const struct {
        const char *key;
        float value;
    } fields[] = {{"l1", attr->l1},          {"l2", attr->l2},
                  {"clip", attr->clip_norm}, {"weight_decay", attr->weight_decay},
                  {"ema", attr->ema},        {"clip_value", attr->clip_value}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        json_object_set_new(config, fields[i].key, cli_real_f32((double)fields[i].value));
}

/* Under the names of the keys; what is not given is the schedule's own. */
static void add_schedule(json_t *config, const bur_schedule *schedule)
{
    json_object_set_new(config, "schedule", json_string(bur_schedule_name(schedule->kind)));
    json_object_set_new(config, "warmup", json_integer(schedule->warmup));
    if (schedule->decay > 0)
        json_object_set_new(config, "decay", cli_real_f32((double)schedule->decay));
    if (schedule->decay_epochs > 0)
        json_object_set_new(config, "decay_epochs", json_integer(schedule->decay_epochs));
}

json_t *cli_config_json(const char *name, const cli_model *model, const char *data,
                        const bur_fit_options *options)
{
    json_t *config = json_pack(
        "{si ss so si sb ss? so si so sb ss sI sI sI sI ss so sb ss sf sI}", "schema", 1, "model",
        name, "input", cli_shape_json(&model->options.sample), "classes", model->options.classes,
        "values", (int)model->options.values, "hidden", model->options.hidden, "width",
        cli_real_f32((double)model->options.width), "depth", model->options.depth, "dropout",
        cli_real_f32((double)model->options.dropout), "small_stem", (int)model->options.small_stem,
        "data", data, "length", (json_int_t)model->data.length, "batch", (json_int_t)options->batch,
        "accumulate", (json_int_t)options->accumulate, "epochs", (json_int_t)options->epochs,
        "optimizer", bur_optimizer_name(options->optimizer.kind), "lr",
        cli_real_f32((double)options->optimizer.learning_rate), "proximal",
        options->optimizer.attr.proximal, "loss", bur_loss_name(options->loss), "validation_split",
        options->validation_split, "seed", (json_int_t)options->seed);
    if (config == NULL)
        return NULL;
    add_optimizer_attr(config, &options->optimizer.attr);
    add_schedule(config, &options->schedule);
    json_object_set_new(config, "smoothing", cli_real_f32((double)options->loss_attr.smoothing));
    for (int32_t i = 0; options->class_weights != NULL && i < model->options.classes; i++) {
        if (i == 0)
            json_object_set_new(config, "class_weights", json_array());
        json_array_append_new(json_object_get(config, "class_weights"),
                              cli_real_f32((double)options->class_weights[i]));
    }
    return config;
}

static json_t *environment_json(const training *t)
{
    struct utsname system;
    if (uname(&system) != 0)
        memset(&system, 0, sizeof system);
    return json_pack("{si ss ss ss ss so si}", "schema", 1, "burthen", bur_version(), "build",
                     bur_build_info(), "system", system.release, "machine", system.machine,
                     "device", cli_device_json(&t->target.info), "threads",
                     bur_context_threads(t->app->context));
}

static bur_status on_event(void *user, bur_event event, const void *data)
{
    training *t = user;
    switch (event) {
    case BUR_EVENT_PLANNED:
        t->plan = *(const bur_run_plan *)data;
        cli_progress_plan(&t->progress, &t->plan, t->target.is_host, t->batch_reason);
        return BUR_OK;
    case BUR_EVENT_PROGRESS:
        cli_progress_update(&t->progress, data);
        return BUR_OK;
    case BUR_EVENT_EPOCH:
        cli_progress_epoch(&t->progress, data);
        return cli_run_folder_metrics(&t->folder, cli_epoch_json(data, t->metric));
    case BUR_EVENT_NOTE:
        cli_progress_note(&t->progress, "note: %s", (const char *)data);
        return BUR_OK;
    }
    return BUR_OK;
}

/* A search: shows what was measured and takes the fastest. */
static int find_batch(training *t)
{
    cli_found found;
    char plan[CLI_NUMBER_TEXT], peak[CLI_NUMBER_TEXT], step[CLI_NUMBER_TEXT],
        speed[CLI_NUMBER_TEXT];
    const int64_t which = t->options.batch;
    t->options.batch = 0;
    const bur_status status =
        cli_batch_find(&found, t->app, &t->target, &t->model, &t->options, which);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot find a batch for %s", t->name);
    if (found.batch == 0)
        return cli_error(CLI_MEMORY, found.reason, "batch=auto", "no batch of %s was measured",
                         t->name);
    for (int32_t i = 0; i < found.count; i++) {
        const cli_found_row *row = &found.rows[i];
        cli_progress_note(
            &t->progress, "  batch %6" PRId64 ": planned %s, took %s; %s a step, %s samples/s",
            row->plan.batch, cli_bytes_text(plan, sizeof plan, (double)row->plan.peak_bytes),
            cli_bytes_text(peak, sizeof peak, (double)row->measured_peak_bytes),
            cli_seconds_text(step, sizeof step, row->measured_step_s),
            cli_number_text(speed, sizeof speed, row->samples_per_s));
    }
    t->options.batch = found.batch;
    snprintf(t->batch_reason, sizeof t->batch_reason, "%s", found.reason);
    return CLI_DONE;
}

/* Fills the batch if it is auto and refuses a run that does not fit, before any sample is read. */
static int settle_batch(training *t)
{
    cli_batch_choice choice;
    bur_run_plan plan = {0};
    char fix[96];
    const bool finds = t->options.batch < 0;
    const int code = finds ? find_batch(t) : CLI_DONE;
    if (code != CLI_DONE)
        return code;
    bur_status status = cli_batch_choose(&choice, &t->target, &t->model, &t->options);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot plan %s", t->name);
    if (!finds)
        snprintf(t->batch_reason, sizeof t->batch_reason, "%s",
                 t->options.batch > 0 ? "as given" : choice.reason);
    if (t->options.batch == 0)
        t->options.batch = choice.batch > 0            ? choice.batch
                           : t->options.accumulate > 0 ? t->options.accumulate
                                                       : 1;
    status =
        bur_run_plan_make(&plan, t->model.recipe, &t->target.target, t->target.fallback,
                          &t->model.train, t->model.has_test ? &t->model.test : NULL, &t->options);
    if (status != BUR_OK) {
        snprintf(fix, sizeof fix, "batch=%" PRId64 " (the largest that fits)", choice.largest);
        return cli_error_status(status, choice.largest > 0 ? fix : NULL, "cannot plan %s", t->name);
    }
    t->plan = plan;
    t->largest = choice.largest;
    if (!plan.fits) {
        cli_refuse_plan(&plan, t->target.is_host);
        return cli_remedies(t->app, &t->model, &t->target, &t->options, &plan, choice.largest);
    }
    status =
        cli_diagnose_slow(t->advice, sizeof t->advice, &t->target, &t->model, &t->options, &plan);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot plan %s", t->name);
    t->options.accumulate = plan.accumulate;
    t->options.recompute = plan.recompute;
    return CLI_DONE;
}

static int prepare(training *t)
{
    cli_app *app = t->app;
    t->name = app->options.words[0];
    t->data_name = app->options.data;
    if (t->data_name == NULL)
        return cli_error(CLI_USAGE, NULL, "data=fashion-mnist, data=digits or data=FOLDER",
                         "train needs data=");
    int code = cli_fit_options(&t->options, app);
    if (code == CLI_DONE)
        code = cli_model_open(&t->model, app, t->name, t->data_name);
    if (code == CLI_DONE)
        code = cli_target_open(&t->target, app);
    if (code != CLI_DONE)
        return code;
    if (bur_device_calibration(&t->options.calibration, t->target.device) != BUR_OK)
        t->options.calibration = NULL;
    t->metric = cli_metric_name(&t->model.train, t->options.loss);
    if (t->options.loss == BUR_LOSS_NONE)
        t->options.loss = t->model.train.classes > 0 ? BUR_LOSS_CROSS_ENTROPY : BUR_LOSS_MSE;
    cli_progress_open(&t->progress, &app->options, t->metric);
    app->progress = &t->progress;
    t->options.callback = on_event;
    t->options.callback_user = t;
    return settle_batch(t);
}

static json_t *advice_json(const training *t)
{
    return t->advice[0] != '\0' ? json_string(t->advice) : json_null();
}

static int show_plan(training *t)
{
    static const cli_column columns[] = {
        {"model", "MODEL", CLI_CELL_TEXT},      {"device", "DEVICE", CLI_CELL_TEXT},
        {"batch", "BATCH", CLI_CELL_INTEGER},   {"accumulate", "ACCUMULATE", CLI_CELL_INTEGER},
        {"peak_bytes", "PEAK", CLI_CELL_BYTES}, {"budget_bytes", "BUDGET", CLI_CELL_BYTES},
        {"binds", "BINDS", CLI_CELL_TEXT},      {0},
    };
    char text[512];
    const int32_t format = t->app->options.format;
    if (format == CLI_TABLE) {
        cli_run_plan_text(text, sizeof text, &t->plan, t->target.is_host);
        printf("%s\n  batch %" PRId64 ": %s\n", text, t->plan.batch, t->batch_reason);
        if (t->advice[0] != '\0')
            printf("%s\n", t->advice);
        return CLI_DONE;
    }
    json_t *plan = cli_run_plan_json(&t->plan);
    json_object_set_new(plan, "advice", advice_json(t));
    if (format == CLI_JSON)
        return cli_output(format, plan, "", columns);
    return cli_output(format, json_pack("{s[o]}", "plans", plan), "plans", columns);
}

/* What the run will go over: samples of each part, steps, and how long they take where a plan knows
 * it. */
static void tell_samples(training *t)
{
    char train[CLI_NUMBER_TEXT], validation[CLI_NUMBER_TEXT], test[CLI_NUMBER_TEXT],
        steps[CLI_NUMBER_TEXT], seconds[CLI_NUMBER_TEXT], time[CLI_NUMBER_TEXT + 16] = "";
    const int64_t count = cli_train_samples(&t->model, &t->options);
    const int64_t updates = (count + t->options.batch - 1) / t->options.batch;
    const double epoch_s = (double)updates * bur_trainer_plan(t->trainer)->step_s;
    if (epoch_s > 0)
        snprintf(time, sizeof time, ", planned %s",
                 cli_seconds_text(seconds, sizeof seconds, epoch_s));
    cli_progress_note(
        &t->progress, "  %s: %s training, %s validation and %s test samples; %s steps an epoch%s",
        t->data_name, cli_integer_text(train, sizeof train, count),
        cli_integer_text(validation, sizeof validation, t->model.train.count - count),
        cli_integer_text(test, sizeof test, t->model.has_test ? t->model.test.count : 0),
        cli_integer_text(steps, sizeof steps, updates), time);
}

/* Memory may have become short since the plan was made. */
static int refuse_start(training *t, bur_status status)
{
    const int code =
        cli_error_status(status, NULL, "cannot start %s on %s", t->name, t->target.info.name);
    return status == BUR_E_BUDGET
               ? cli_remedies(t->app, &t->model, &t->target, &t->options, &t->plan, t->largest)
               : code;
}

/* Opens data, device and run folder. */
static int start(training *t)
{
    cli_app *app = t->app;
    char title[64];
    bur_host_memory_reset_peak();
    bur_status status = bur_data_open(&t->data, app->context, t->data_name, &t->model.data);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot read data '%s'", t->data_name);
    if (t->options.validation_split > 0 && bur_dataset_is_sorted(t->data.train))
        cli_progress_note(&t->progress, "warning: the samples are sorted by class: the validation "
                                        "split holds the last classes only");
    status =
        bur_trainer_create(&t->trainer, t->target.device, t->model.recipe, &t->data, &t->options);
    if (status != BUR_OK)
        return refuse_start(t, status);
    tell_samples(t);
    if (app->options.weights != NULL) {
        status = bur_trainer_load(t->trainer, app->options.weights, false);
        if (status != BUR_OK)
            return cli_error_status(status, NULL, "cannot start from '%s'", app->options.weights);
    }
    cli_model_title(title, sizeof title, t->name);
    status = cli_run_folder_create(&t->folder, title, app->options.out);
    if (status != BUR_OK) {
        cli_error_status(status, "out=DIR names a folder that does not exist yet, in one that does",
                         "cannot save the run");
        return CLI_USAGE;
    }
    if (cli_model_is_file(t->name))
        status = cli_run_folder_copy(&t->folder, CLI_MODEL_COPY, t->name);
    return status == BUR_OK ? CLI_DONE : cli_error_status(status, NULL, "cannot save the run");
}

static bur_status save_files(training *t)
{
    char path[CLI_PATH_BYTES];
    json_t *plan = cli_run_plan_json(bur_trainer_plan(t->trainer));
    json_object_set_new(plan, "batch_reason", json_string(t->batch_reason));
    bur_status status = cli_run_folder_json(&t->folder, "plan.json", plan);
    if (status == BUR_OK)
        status = cli_run_folder_json(
            &t->folder, "config.json",
            cli_config_json(cli_model_is_file(t->name) ? CLI_MODEL_COPY : t->name, &t->model,
                            t->data_name, &t->options));
    if (status == BUR_OK)
        status = cli_run_folder_json(&t->folder, "env.json", environment_json(t));
    BUR_TRY(status);
    cli_run_folder_file(&t->folder, "model.safetensors", path, sizeof path);
    BUR_TRY(bur_trainer_save(t->trainer, path, false));
    if (t->fit == BUR_E_STOPPED) {
        cli_run_folder_file(&t->folder, "state.safetensors", path, sizeof path);
        BUR_TRY(bur_trainer_save(t->trainer, path, true));
    }
    return cli_run_folder_finish(&t->folder);
}

static int save(training *t)
{
    if (save_files(t) == BUR_OK)
        return CLI_DONE;
    return cli_error(CLI_FAILED, bur_last_error(), "space on the disk and out=DIR",
                     "cannot save the run");
}

/* Trains, and judges on the test set what was trained to the end. */
static int fit(training *t)
{
    catch_signals(t->trainer);
    t->fit = bur_trainer_fit(t->trainer);
    cli_progress_clear(&t->progress);
    bur_status status = t->fit;
    if (status == BUR_E_STOPPED)
        cli_progress_note(&t->progress, "stopped by request, saving what was trained");
    if (status == BUR_E_DIVERGED) {
        char fix[64];
        snprintf(fix, sizeof fix, "lr=%.3g", (double)t->options.optimizer.learning_rate / 10);
        return cli_error_status(status, fix, "%s diverged, nothing was saved", t->name);
    }
    if (status != BUR_OK && status != BUR_E_STOPPED)
        return cli_error_status(status, NULL, "%s failed, nothing was saved", t->name);
    if (status == BUR_OK && t->data.test != NULL) {
        status = bur_trainer_evaluate(t->trainer, t->data.test, &t->test_loss, &t->test_metric);
        if (status != BUR_OK)
            return cli_error_status(status, NULL, "cannot judge %s on the test set", t->name);
        t->tested = true;
    }
    return save(t);
}

static json_t *result_json(training *t)
{
    int64_t count = 0;
    const bur_epoch *history = bur_trainer_history(t->trainer, &count);
    const bur_run_plan *plan = bur_trainer_plan(t->trainer);
    json_t *epochs = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(epochs, cli_epoch_json(&history[i], t->metric));
    bur_device *device = bur_trainer_device(t->trainer);
    return json_pack("{si ss ss sI sI sI ss so so so}", "schema", 1, "run", t->folder.path,
                     "device", bur_device_describe(device)->name, "batch", (json_int_t)plan->batch,
                     "planned_peak_bytes", (json_int_t)plan->peak_bytes, "measured_peak_bytes",
                     (json_int_t)cli_measured_peak_bytes(device), "stopped_by",
                     t->fit == BUR_E_STOPPED ? "signal" : "epochs", "epochs", epochs, "test",
                     t->tested ? cli_score_json(t->test_loss, t->test_metric, t->metric)
                               : json_null(),
                     "advice", advice_json(t));
}

#define EPOCH_COLUMNS(metric)                                                                      \
    {"epoch", "EPOCH", CLI_CELL_INTEGER}, {"loss", "LOSS", CLI_CELL_LOSS},                         \
        {metric, metric, CLI_CELL_LOSS}, {"val_loss", "VAL LOSS", CLI_CELL_LOSS},                  \
        {"val_" metric, "val " metric, CLI_CELL_LOSS}, {"seconds", "TIME", CLI_CELL_SECONDS},      \
        {"samples_per_s", "SAMPLES/s", CLI_CELL_NUMBER}, {"lr", "LR", CLI_CELL_NUMBER},            \
    {                                                                                              \
        0                                                                                          \
    }

static int show_result(training *t)
{
    static const cli_column accuracy[] = {EPOCH_COLUMNS("accuracy")};
    static const cli_column mae[] = {EPOCH_COLUMNS("mae")};
    if (t->app->options.format != CLI_TABLE)
        return cli_output(t->app->options.format, result_json(t), "epochs",
                          strcmp(t->metric, "mae") == 0 ? mae : accuracy);
    if (t->tested)
        printf("test loss %.4f  %s %.4f\n", t->test_loss, t->metric, t->test_metric);
    printf("saved in %s\n", t->folder.path);
    if (t->advice[0] != '\0')
        cli_progress_note(&t->progress, "%s", t->advice);
    return fflush(stdout) == 0 ? CLI_DONE : CLI_FAILED;
}

static int run_training(training *t)
{
    int code = prepare(t);
    if (code == CLI_DONE && t->app->options.dry_run)
        return show_plan(t);
    if (code == CLI_DONE)
        code = start(t);
    if (code == CLI_DONE)
        code = fit(t);
    if (code == CLI_DONE)
        code = show_result(t);
    return code == CLI_DONE && t->fit == BUR_E_STOPPED ? CLI_STOPPED : code;
}

int cli_train(cli_app *app)
{
    training t = {.app = app};
    const int code = run_training(&t);
    release_signals();
    cli_progress_clear(&t.progress);
    cli_run_folder_discard(&t.folder);
    bur_trainer_destroy(t.trainer);
    bur_data_close(&t.data);
    cli_model_close(&t.model);
    app->progress = NULL;
    return code;
}
