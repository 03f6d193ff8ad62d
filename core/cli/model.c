/* From keys to a recipe, its data and the options of a fit. */
#include "model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *zoo_name(const void *user, int32_t i)
{
    (void)user;
    return bur_zoo_at(i)->name;
}

static const char *data_name(const void *user, int32_t i)
{
    (void)user;
    return bur_data_name(i, NULL);
}

static int32_t data_count(void)
{
    int32_t count = 0;
    while (bur_data_name(count, NULL) != NULL)
        count++;
    return count;
}

bool cli_model_is_file(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

void cli_model_title(char *title, size_t size, const char *name)
{
    const char *slash = strrchr(name, '/'), *base = slash == NULL ? name : slash + 1;
    const char *dot = strrchr(base, '.');
    const int length = cli_model_is_file(name) ? (int)(dot - base) : (int)strlen(base);
    snprintf(title, size, "%.*s", length, base);
}

/* A file says its input itself; its classes are those of the data, or ten. */
static bur_status describe_model(bur_zoo_info *out, bur_context *context, const char *name)
{
    const int32_t index = bur_word_find(name, bur_zoo_count(), zoo_name, NULL);
    if (index >= 0) {
        *out = *bur_zoo_at(index);
        return BUR_OK;
    }
    if (!cli_model_is_file(name))
        return bur_fail(BUR_E_NAME, "unknown model '%s'", name);
    *out = (bur_zoo_info){.name = name, .text = "a model file", .classes = 10};
    return bur_model_sample(&out->sample, context, name);
}

static int find_model(bur_zoo_info *out, const cli_app *app, const char *name)
{
    const bur_status status = describe_model(out, app->context, name);
    if (status == BUR_OK)
        return CLI_DONE;
    if (cli_model_is_file(name))
        return cli_error_status(status, NULL, "cannot use model %s", name);
    const char *near = bur_word_nearest(name, bur_zoo_count(), zoo_name, NULL);
    char why[80] = "";
    if (near != NULL)
        snprintf(why, sizeof why, "did you mean '%s'?", near);
    return cli_error(CLI_USAGE, near != NULL ? why : NULL,
                     "'burthen models' lists them; a model file ends with .yaml",
                     "unknown model '%s'", name);
}

/* Gives the data's description; data drawn at random take the model's shape. */
static int describe_data(cli_model *model, cli_app *app, const bur_zoo_info *zoo, const char *data)
{
    char names[200] = "data sets: ";
    const bool is_random = strcmp(data, "random") == 0;
    const cli_options *options = &app->options;
    model->data = (bur_data_options){
        .noise = -1,
        .sample = options->input.rank > 0 ? options->input : zoo->sample,
        .classes = options->classes > 0 ? (int32_t)options->classes
                   : is_random          ? zoo->classes
                                        : 0,
        .length = options->length,
        .count = options->samples,
    };
    const bur_status status =
        bur_data_describe(&model->train, &model->test, app->context, data, &model->data);
    if (status == BUR_OK) {
        model->has_data = true;
        model->has_test = model->test.count > 0;
        return CLI_DONE;
    }
    for (int32_t i = 0; i < data_count(); i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i == 0 ? "" : ", ",
                 data_name(NULL, i));
    snprintf(names + strlen(names), sizeof names - strlen(names), ", or a folder");
    return cli_error_status(status, status == BUR_E_NAME ? names : NULL, "cannot use data '%s'",
                            data);
}

static int check_shape(const cli_model *model, const cli_app *app, const char *data)
{
    const cli_options *options = &app->options;
    const bool is_run =
        app->verb->bit == CLI_VERB_EVAL; /* the shapes are those of its config.json */
    char wanted[BUR_SHAPE_TEXT], there[BUR_SHAPE_TEXT];
    if (options->input.rank > 0 && !bur_shape_equal(&options->input, &model->train.sample))
        return cli_error(CLI_USAGE, NULL,
                         is_run ? "data of the run's shape"
                                : "leave out input=: it comes from the data",
                         "input=%s does not fit data '%s' with samples of %s",
                         bur_shape_format(wanted, sizeof wanted, &options->input), data,
                         bur_shape_format(there, sizeof there, &model->train.sample));
    if (options->classes > 0 && options->classes != model->train.classes)
        return cli_error(CLI_USAGE, NULL,
                         is_run ? "data of the run's classes"
                                : "leave out classes=: they come from the data",
                         "classes=%" PRId64 " does not fit data '%s' with %d classes",
                         options->classes, data, model->train.classes);
    return CLI_DONE;
}

/* So many samples stand for data that were not named: more than a batch ever has, and their order
 * takes the loader 8 MiB. */
enum { ASSUMED_SAMPLES = 1 << 20 };

static void assume_data(cli_model *model, const cli_options *options, const bur_zoo_info *zoo)
{
    model->train = (bur_dataset_info){
        .name = "",
        .count = ASSUMED_SAMPLES,
        .sample = options->input.rank > 0 ? options->input : zoo->sample,
        .classes = options->classes > 0 ? (int32_t)options->classes : zoo->classes,
    };
}

/* Builds the recipe for out->train. */
static bur_status build(cli_model *out, const cli_options *options, bur_context *context,
                        const char *name)
{
    int64_t values = 0;
    if (out->train.classes == 0)
        BUR_TRY(bur_shape_count(&values, &out->train.target));
    out->options = (bur_zoo_options){
        .sample = out->train.sample,
        .classes = out->train.classes > 0 ? out->train.classes : (int32_t)values,
        .values = out->train.classes == 0,
        .hidden = options->hidden,
        .width = (float)options->width,
        .depth = (int32_t)options->depth,
        .dropout = (float)options->dropout,
        .small_stem = options->stem == 1,
    };
    return cli_model_is_file(name) ? bur_model_load(&out->recipe, context, name, &out->options)
                                   : bur_zoo_create(&out->recipe, context, name, &out->options);
}

int cli_model_open(cli_model *out, cli_app *app, const char *name, const char *data)
{
    const cli_options *options = &app->options;
    bur_zoo_info zoo;
    *out = (cli_model){0};
    int code = find_model(&zoo, app, name);
    if (code == CLI_DONE && data != NULL) {
        code = describe_data(out, app, &zoo, data);
        if (code == CLI_DONE)
            code = check_shape(out, app, data);
    }
    if (code != CLI_DONE)
        return code;
    if (data == NULL)
        assume_data(out, options, &zoo);
    if (options->class_weights.count > 0 && options->class_weights.count != out->train.classes)
        return cli_error(CLI_USAGE, NULL, "one weight for each class",
                         "class_weights= has %" PRId32 " numbers, the data has %" PRId32 " classes",
                         options->class_weights.count, out->train.classes);
    const bur_status status = build(out, options, app->context, name);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot build %s", name);
    return CLI_DONE;
}

bur_status cli_model_build(cli_model *out, const cli_app *app, bur_context *context,
                           const char *name)
{
    bur_zoo_info zoo;
    *out = (cli_model){0};
    BUR_TRY(describe_model(&zoo, context, name));
    assume_data(out, &app->options, &zoo);
    return build(out, &app->options, context, name);
}

void cli_model_close(cli_model *model)
{
    bur_recipe_destroy(model->recipe);
    model->recipe = NULL;
}

int cli_fit_options(bur_fit_options *out, const cli_app *app)
{
    const cli_options *options = &app->options;
    const int64_t accumulate = options->accumulate; /* 0: auto */
    bur_optimizer optimizer = bur_optimizer_default((bur_optimizer_kind)options->optimizer);
    if (options->momentum > 0 && optimizer.kind != BUR_MOMENTUM && optimizer.kind != BUR_NESTEROV)
        return cli_error(CLI_USAGE, NULL, "optimizer=momentum or nesterov, or leave out momentum=",
                         "optimizer %s has no momentum", bur_optimizer_name(optimizer.kind));
    if (options->learning_rate > 0)
        optimizer.learning_rate = (float)options->learning_rate;
    if (options->momentum > 0)
        optimizer.attr.momentum = (float)options->momentum;
    if (options->weight_decay > 0)
        optimizer.attr.weight_decay = (float)options->weight_decay;
    optimizer.attr.l1 = (float)options->l1;
    optimizer.attr.l2 = (float)options->l2;
    optimizer.attr.proximal = options->proximal;
    optimizer.attr.clip_norm = (float)options->clip_norm;
    optimizer.attr.clip_value = (float)options->clip_value;
    optimizer.attr.ema = (float)options->ema;
    if (options->batch > 0 && accumulate > 0 && options->batch % accumulate != 0)
        return cli_error(CLI_USAGE, "each part has as many samples", NULL,
                         "accumulate=%" PRId64 " does not divide batch=%" PRId64, accumulate,
                         options->batch);
    *out = (bur_fit_options){
        .batch = options->batch,
        .epochs = options->epochs,
        .accumulate = accumulate,
        .recompute = (float)options->recompute,
        .optimizer = optimizer,
        .schedule = {.kind = (bur_schedule_kind)options->schedule,
                     .warmup = options->warmup,
                     .decay = (float)options->decay,
                     .decay_epochs = options->decay_epochs},
        .loss = (bur_loss)options->loss,
        .loss_attr = {.smoothing = (float)options->smoothing,
                      .ignores = options->ignore >= 0,
                      .ignored = options->ignore >= 0 ? (int32_t)options->ignore : 0},
        .class_weights = options->class_weights.count > 0 ? options->class_weights.value : NULL,
        .validation_split = options->validation_split,
        .seed = (uint64_t)options->seed,
        .budget_bytes = options->budget_bytes,
        .placement = (bur_placement_effort)options->placement,
        .fallback_off = options->fallback != 0,
        .memory_growth = options->memory_growth != 0,
    };
    return CLI_DONE;
}

int64_t cli_train_samples(const cli_model *model, const bur_fit_options *options)
{
    return (int64_t)floor((double)model->train.count * (1 - options->validation_split));
}

const char *cli_metric_name(const bur_dataset_info *info, int32_t loss)
{
    return info->classes > 0 || loss == BUR_LOSS_BINARY_CROSS_ENTROPY ? "accuracy" : "mae";
}
