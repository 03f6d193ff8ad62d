/* burthen devices: what there is to train on. */
#include "output.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

static const cli_column columns[] = {
    {"auto", "", CLI_CELL_MARK},
    {"name", "NAME", CLI_CELL_TEXT},
    {"kind", "KIND", CLI_CELL_TEXT},
    {"description", "DEVICE", CLI_CELL_TEXT},
    {"memory_bytes", "MEMORY", CLI_CELL_BYTES},
    {"free_bytes", "FREE", CLI_CELL_BYTES},
    {"max_alloc_bytes", NULL, CLI_CELL_BYTES},
    {"vendor", NULL, CLI_CELL_TEXT},
    {"driver", NULL, CLI_CELL_TEXT},
    {"unified", NULL, CLI_CELL_YES},
    {"gflops_f32", "GFLOP/s", CLI_CELL_NUMBER},
    {"bandwidth_gbs", "GB/s", CLI_CELL_NUMBER},
    {"launch_us", NULL, CLI_CELL_NUMBER},
    {"trains", "TRAINS", CLI_CELL_YES},
    {"reason", "WHY NOT", CLI_CELL_TEXT},
    {0},
};

/* The device that --device auto opens. A driver that fails then is told by `devices` in its row, so
 * here it only means that there is no mark. */
static const char *auto_name(cli_app *app)
{
    bur_device *device = NULL;
    if (bur_device_open(&device, app->context, "auto") != BUR_OK)
        return "";
    return bur_device_describe(device)->name;
}

int cli_devices(cli_app *app)
{
    const bur_device_info *infos = NULL;
    const char *note = "";
    int32_t count = 0;
    char chosen[BUR_NAME_BYTES];
    snprintf(chosen, sizeof chosen, "%s", auto_name(app));
    const bur_status status = bur_device_list(app->context, &infos, &count, &note);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot list the devices");
    json_t *rows = json_array();
    for (int32_t i = 0; i < count; i++) {
        json_t *row = cli_device_json(&infos[i]);
        json_object_set_new(row, "auto", json_boolean(strcmp(infos[i].name, chosen) == 0));
        json_object_set_new(row, "alias", json_string(infos[i].alias));
        json_object_set_new(row, "reason", json_string(infos[i].trains ? "" : infos[i].reason));
        json_array_append_new(rows, row);
    }
    const int code = cli_output(app->options.format,
                                json_pack("{si so ss}", "schema", 1, "devices", rows, "note", note),
                                "devices", columns);
    if (code == CLI_DONE && app->options.format == CLI_TABLE)
        printf("\n* is what --device auto picks\n");
    if (code == CLI_DONE && note[0] != '\0')
        fprintf(stderr, "note: %s\n", note);
    return code;
}
