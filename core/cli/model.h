/* model.h: the model and data that a command line speaks of, and the options of a fit. */
#ifndef BUR_CLI_MODEL_H
#define BUR_CLI_MODEL_H

#include "cli.h"

/* A recipe with what is known of its data. Without data= the samples are assumed: the model's own
 * input, no bytes of data set. */
typedef struct cli_model {
    bur_recipe *recipe;
    bur_zoo_options options; /* as built */
    bur_dataset_info train, test;
    bool has_data, has_test;
    bur_data_options data; /* for bur_data_open */
} cli_model;

/* Whether a model is named by its YAML file and not by the zoo's name. */
bool cli_model_is_file(const char *name);
/* What its runs are called: "cnn" of "nets/cnn.yaml", the name itself for the zoo's. */
void cli_model_title(char *title, size_t size, const char *name);
/* The name under which a run folder's config.json has it: the copy of a file. */
#define CLI_MODEL_COPY "model.yaml"

/* Builds the model `name` for `data` (NULL: none) as the options say; reads no samples. Prints the
 * error and gives its exit code. cli_model_close is due in any case. */
int cli_model_open(cli_model *out, cli_app *app, const char *name, const char *data);
/* The same without data and without a message, in a context of the caller's. */
bur_status cli_model_build(cli_model *out, const cli_app *app, bur_context *context,
                           const char *name);
void cli_model_close(cli_model *model);

/* The options of a fit; batch stays 0 for auto. */
int cli_fit_options(bur_fit_options *out, const cli_app *app);

/* Samples that are trained on: all but the validation split. */
int64_t cli_train_samples(const cli_model *model, const bur_fit_options *options);

/* "accuracy" for classes and binary_cross_entropy, "mae" (mean absolute error) for other values;
 * `loss` is a bur_loss. */
const char *cli_metric_name(const bur_dataset_info *info, int32_t loss);

#endif
