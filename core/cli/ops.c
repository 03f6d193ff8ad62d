/* burthen ops: the operators, and which backends have a kernel for each. */
#include "output.h"
#include "cli.h"

static const cli_column columns[] = {
    {"name", "OPERATOR", CLI_CELL_TEXT},
    {"cpu", "CPU", CLI_CELL_YES},
    {"opencl", "OPENCL", CLI_CELL_YES},
    {"gradient", "GRADIENT", CLI_CELL_YES},
    {0},
};

enum { MAX_INPUTS = 16, MAX_OUTPUTS = 4 };

/* Whether the target has a kernel for the row's first example; a view needs none. */
static bur_status supports(bool *out, const bur_target *target, bur_op op)
{
    const bur_op_info *info = bur_op_get(op);
    bur_attr attr = {0};
    bur_desc inputs[MAX_INPUTS], outputs[MAX_OUTPUTS];
    bur_call call = {.op = op,
                     .attr = &attr,
                     .n_outputs = info->outputs_max,
                     .inputs = inputs,
                     .outputs = outputs};
    char reason[BUR_TEXT_BYTES];
    BUR_TRY(bur_op_example(op, 0, &attr, inputs, &call.n_inputs));
    BUR_TRY(bur_op_infer(&call, outputs));
    *out =
        (info->flags & BUR_OP_VIEW) != 0 || target->backend->supports(target->info, &call, reason);
    return BUR_OK;
}

static bur_status add_op(json_t *rows, const bur_target *targets, int32_t n_targets, bur_op op)
{
    static const char *const keys[] = {"cpu", "opencl"};
    const bur_op_info *info = bur_op_get(op);
    json_t *row = json_pack("{ss}", "name", info->name);
    bur_status status = BUR_OK;
    for (int32_t i = 0; i < 2 && status == BUR_OK; i++) {
        bool supported = false;
        if (i < n_targets)
            status = supports(&supported, &targets[i], op);
        json_object_set_new(row, keys[i], i < n_targets ? json_boolean(supported) : json_null());
    }
    json_object_set_new(row, "gradient", json_boolean(info->has_gradient));
    json_array_append_new(rows, row);
    return status;
}

int cli_ops(cli_app *app)
{
    bur_device *device = NULL;
    bur_target targets[2];
    int32_t count = 1;
    bur_status status = bur_device_open(&device, app->context, "cpu");
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot open the cpu");
    targets[0] = bur_device_target(device);
    if (bur_device_open(&device, app->context, "cl:0") == BUR_OK)
        targets[count++] = bur_device_target(device);
    json_t *rows = json_array();
    for (int32_t op = 0; op < BUR_OP_COUNT && status == BUR_OK; op++)
        status = add_op(rows, targets, count, (bur_op)op);
    if (status != BUR_OK) {
        json_decref(rows);
        return cli_error_status(status, NULL, "cannot list the operators");
    }
    return cli_output(app->options.format, json_pack("{si so}", "schema", 1, "ops", rows), "ops",
                      columns);
}
