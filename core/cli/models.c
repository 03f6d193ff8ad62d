/* burthen models: the zoo. */
#define _POSIX_C_SOURCE 200809L /* fnmatch */
#include "output.h"
#include "cli.h"

#include <fnmatch.h>

static const cli_column columns[] = {
    {"name", "MODEL", CLI_CELL_TEXT},
    {"input", "INPUT", CLI_CELL_SHAPE},
    {"classes", "CLASSES", CLI_CELL_INTEGER},
    {"parameters", "PARAMETERS", CLI_CELL_INTEGER},
    {"macs", "MACS", CLI_CELL_INTEGER},
    {"text", "", CLI_CELL_TEXT},
    {0},
};

/* Parameters and multiply-adds of a recipe, per sample. */
static bur_status add_up(int64_t *parameters, int64_t *macs, const bur_recipe *recipe)
{
    for (int32_t i = 0; i < bur_recipe_layer_count(recipe); i++) {
        bur_layer_summary layer = {0};
        BUR_TRY(bur_recipe_layer_summary(recipe, i, &layer));
        *parameters += layer.parameters;
        *macs += layer.macs;
    }
    return BUR_OK;
}

static bur_status add_model(json_t *rows, bur_context *context, const bur_zoo_info *info)
{
    bur_recipe *recipe = NULL;
    int64_t parameters = 0, macs = 0;
    BUR_TRY(bur_zoo_create(&recipe, context, info->name, &(bur_zoo_options){0}));
    const bur_status status = add_up(&parameters, &macs, recipe);
    bur_recipe_destroy(recipe);
    BUR_TRY(status);
    json_array_append_new(rows, json_pack("{ss so si sI sI ss}", "name", info->name, "input",
                                          cli_shape_json(&info->sample), "classes", info->classes,
                                          "parameters", (json_int_t)parameters, "macs",
                                          (json_int_t)macs, "text", info->text));
    return BUR_OK;
}

int cli_models(cli_app *app)
{
    const char *pattern = app->options.word_count > 0 ? app->options.words[0] : "*";
    json_t *rows = json_array();
    for (int32_t i = 0; i < bur_zoo_count(); i++) {
        const bur_zoo_info *info = bur_zoo_at(i);
        if (fnmatch(pattern, info->name, 0) != 0)
            continue;
        const bur_status status = add_model(rows, app->context, info);
        if (status != BUR_OK) {
            json_decref(rows);
            return cli_error_status(status, NULL, "cannot build %s", info->name);
        }
    }
    if (json_array_size(rows) == 0) {
        json_decref(rows);
        return cli_error(CLI_USAGE, NULL, "'burthen models' lists them all",
                         "no model matches '%s'", pattern);
    }
    return cli_output(app->options.format, json_pack("{si so}", "schema", 1, "models", rows),
                      "models", columns);
}
