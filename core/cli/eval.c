/* burthen eval: builds a saved run's model again and judges it on a data set. */
#include "progress.h"
#include "run_folder.h"
#include "target.h"
#include "train.h"

#include <stdio.h>
#include <string.h>

/* What config.json holds; texts are borrowed from `root`. */
typedef struct config {
    json_t *root;
    const char *model, *data;
} config;

static int bad_config(const char *path, const char *why)
{
    return cli_error(CLI_INPUT, why, "a folder that 'burthen train' saved", "cannot use %s", path);
}

/* A number of config.json within a range; false if it is absent or out of it. */
static bool get_number(double *out, const json_t *root, const char *key, double least, double most)
{
    const json_t *value = json_object_get(root, key);
    if (!json_is_number(value))
        return false;
    const double number = json_number_value(value);
    if (!(number >= least && number <= most))
        return false;
    *out = number;
    return true;
}

static bool get_shape(bur_shape *out, const json_t *array)
{
    int64_t dim[BUR_MAX_RANK] = {0};
    const size_t rank = json_array_size(array);
    if (rank < 1 || rank > BUR_MAX_RANK)
        return false;
    for (size_t i = 0; i < rank; i++)
        dim[i] = json_integer_value(json_array_get(array, i));
    return bur_shape_make(out, (int32_t)rank, dim) == BUR_OK;
}

/* Writes the run's settings over the options of the command line, where eval has no key for them.
 */
static int read_config(config *out, cli_options *options, const char *run)
{
    char path[CLI_PATH_BYTES];
    json_error_t error = {0};
    double number = 0;
    snprintf(path, sizeof path, "%s/config.json", run);
    out->root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (out->root == NULL)
        return bad_config(path, error.text);
    out->model = json_string_value(json_object_get(out->root, "model"));
    out->data = json_string_value(json_object_get(out->root, "data"));
    if (out->model == NULL || out->data == NULL)
        return bad_config(path, "it names no model or no data");
    options->hidden = json_string_value(json_object_get(out->root, "hidden"));
    if (!get_shape(&options->input, json_object_get(out->root, "input")))
        return bad_config(path, "'input' is no shape");
    if (!get_number(&options->width, out->root, "width", 0, 100) ||
        !get_number(&options->dropout, out->root, "dropout", 0, 0.99))
        return bad_config(path, "'width' or 'dropout' is missing or out of range");
    if (!get_number(&number, out->root, "classes", 1, 1e9))
        return bad_config(path, "'classes' is missing or out of range");
    options->classes = json_is_true(json_object_get(out->root, "values")) ? 0 : (int64_t)number;
    if (!get_number(&number, out->root, "batch", 1, 2147483647.0))
        return bad_config(path, "'batch' is missing or out of range");
    if (options->batch == 0)
        options->batch = (int64_t)number;
    bur_loss loss = BUR_LOSS_NONE;
    const char *name = json_string_value(json_object_get(out->root, "loss"));
    if (name != NULL && bur_loss_find(&loss, name) == BUR_OK)
        options->loss = (int32_t)loss;
    options->depth = (int64_t)json_integer_value(json_object_get(out->root, "depth"));
    if (options->length == 0)
        options->length = (int64_t)json_integer_value(json_object_get(out->root, "length"));
    options->stem = json_is_true(json_object_get(out->root, "small_stem"));
    options->accumulate = 1;
    options->epochs = 1;
    return CLI_DONE;
}

typedef struct evaluation {
    cli_app *app;
    config config;
    char model_path[CLI_PATH_BYTES]; /* of a model file: the run's copy */
    cli_model model;
    cli_target target;
    bur_data data;
    bur_trainer *trainer;
} evaluation;

static int prepare(evaluation *e, const char *run, const char **data_name)
{
    cli_app *app = e->app;
    int code = read_config(&e->config, &app->options, run);
    if (code != CLI_DONE)
        return code;
    *data_name = app->options.data != NULL ? app->options.data : e->config.data;
    if (cli_model_is_file(e->config.model)) {
        snprintf(e->model_path, sizeof e->model_path, "%s/%s", run, CLI_MODEL_COPY);
        e->config.model = e->model_path;
    }
    code = cli_model_open(&e->model, app, e->config.model, *data_name);
    if (code == CLI_DONE)
        code = cli_target_open(&e->target, app);
    return code;
}

static int load(evaluation *e, const char *run, const char *data_name)
{
    char path[CLI_PATH_BYTES];
    bur_fit_options options;
    const int code = cli_fit_options(&options, e->app);
    if (code != CLI_DONE)
        return code;
    bur_status status = bur_data_open(&e->data, e->app->context, data_name, &e->model.data);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot read data '%s'", data_name);
    status = bur_trainer_create(&e->trainer, e->target.device, e->model.recipe, &e->data, &options);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot set up %s on %s", e->config.model,
                                e->target.info.name);
    snprintf(path, sizeof path, "%s/model.safetensors", run);
    status = bur_trainer_load(e->trainer, path, false);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot load the run's parameters");
    return CLI_DONE;
}

static int judge(evaluation *e, const char *run, const char *data_name)
{
    static const cli_column columns[] = {
        {"part", "PART", CLI_CELL_TEXT}, {"samples", "SAMPLES", CLI_CELL_INTEGER},
        {"loss", "LOSS", CLI_CELL_LOSS}, {"accuracy", "ACCURACY", CLI_CELL_LOSS},
        {"mae", "MAE", CLI_CELL_LOSS},   {0},
    };
    double loss = 0, metric = 0;
    const bool has_test = e->data.test != NULL;
    const bur_dataset *dataset = has_test ? e->data.test : e->data.train;
    const bur_status status = bur_trainer_evaluate(e->trainer, dataset, &loss, &metric);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot judge %s", run);
    json_t *score =
        cli_score_json(loss, metric, cli_metric_name(&e->model.train, e->app->options.loss));
    json_object_set_new(score, "part", json_string(has_test ? "test" : "train"));
    json_object_set_new(score, "samples", json_integer(bur_dataset_describe(dataset)->count));
    bur_device *device = bur_trainer_device(e->trainer);
    json_t *result =
        json_pack("{si ss ss ss ss s[o]}", "schema", 1, "run", run, "model", e->config.model,
                  "data", data_name, "device", bur_device_describe(device)->name, "results", score);
    return cli_output(e->app->options.format, result, "results", columns);
}

int cli_eval(cli_app *app)
{
    evaluation e = {.app = app};
    const char *run = app->options.words[0], *data_name = NULL;
    int code = prepare(&e, run, &data_name);
    if (code == CLI_DONE)
        code = load(&e, run, data_name);
    if (code == CLI_DONE)
        code = judge(&e, run, data_name);
    bur_trainer_destroy(e.trainer);
    bur_data_close(&e.data);
    cli_model_close(&e.model);
    json_decref(e.config.root);
    return code;
}
