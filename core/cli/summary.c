/* burthen summary: a model's layers, per sample. */
#include "model.h"
#include "output.h"

#include <stdio.h>

static const cli_column columns[] = {
    {"name", "LAYER", CLI_CELL_TEXT},
    {"type", "TYPE", CLI_CELL_TEXT},
    {"output", "OUTPUT", CLI_CELL_SHAPE},
    {"parameters", "PARAMETERS", CLI_CELL_INTEGER},
    {"macs", "MACS", CLI_CELL_INTEGER},
    {"activation_bytes", "ACTIVATIONS", CLI_CELL_BYTES},
    {0},
};

typedef struct totals {
    int64_t parameters, macs, activation_bytes;
} totals;

/* The layer's output without the batch dimension. */
static json_t *sample_json(const bur_shape *output)
{
    json_t *shape = cli_shape_json(output);
    json_array_remove(shape, 0);
    return shape;
}

static bur_status list_layers(json_t *rows, totals *sum, const bur_recipe *recipe)
{
    for (int32_t i = 0; i < bur_recipe_layer_count(recipe); i++) {
        bur_layer_summary layer = {0};
        BUR_TRY(bur_recipe_layer_summary(recipe, i, &layer));
        json_array_append_new(rows, json_pack("{ss ss so sI sI sI}", "name", layer.name, "type",
                                              layer.type, "output", sample_json(&layer.output),
                                              "parameters", (json_int_t)layer.parameters, "macs",
                                              (json_int_t)layer.macs, "activation_bytes",
                                              (json_int_t)layer.activation_bytes));
        sum->parameters += layer.parameters;
        sum->macs += layer.macs;
        sum->activation_bytes += layer.activation_bytes;
    }
    return BUR_OK;
}

static void print_totals(const totals *sum)
{
    char parameters[CLI_NUMBER_TEXT], bytes[CLI_NUMBER_TEXT], macs[CLI_NUMBER_TEXT],
        activations[CLI_NUMBER_TEXT];
    printf("\n%s parameters to learn (%s), %s multiply-adds and %s of activations per sample\n",
           cli_integer_text(parameters, sizeof parameters, sum->parameters),
           cli_bytes_text(bytes, sizeof bytes, 4.0 * (double)sum->parameters),
           cli_integer_text(macs, sizeof macs, sum->macs),
           cli_bytes_text(activations, sizeof activations, (double)sum->activation_bytes));
}

int cli_summary(cli_app *app)
{
    const char *name = app->options.words[0];
    cli_model model;
    totals sum = {0};
    int code = cli_model_open(&model, app, name, app->options.data);
    if (code != CLI_DONE) {
        cli_model_close(&model);
        return code;
    }
    json_t *rows = json_array();
    const bur_status status = list_layers(rows, &sum, model.recipe);
    if (status != BUR_OK) {
        json_decref(rows);
        code = cli_error_status(status, NULL, "cannot summarise %s", name);
    } else {
        json_t *result =
            json_pack("{si ss so sI sI sI so}", "schema", 1, "model", name, "input",
                      cli_shape_json(&model.options.sample), "parameters",
                      (json_int_t)sum.parameters, "macs", (json_int_t)sum.macs, "activation_bytes",
                      (json_int_t)sum.activation_bytes, "layers", rows);
        code = cli_output(app->options.format, result, "layers", columns);
        if (code == CLI_DONE && app->options.format == CLI_TABLE)
            print_totals(&sum);
    }
    cli_model_close(&model);
    return code;
}
