/* burthen devices: what there is to train on. */
#include "output.h"
#include "report.h"
#include "target.h"

#include <stdio.h>

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
    {"train_samples_per_s", "SAMPLES/s", CLI_CELL_NUMBER},
    {"batch_class", "BATCH CLASS", CLI_CELL_TEXT},
    {"trains", "TRAINS", CLI_CELL_YES},
    {"reason", "WHY NOT", CLI_CELL_TEXT},
    {0},
};

/* Left out where a terminal is too narrow, the first of them first. */
static const char *const details[] = {"free_bytes", "kind",   "bandwidth_gbs",
                                      "gflops_f32", "trains", NULL};

/* What was measured of a device; what was not is null. */
static void add_speed(json_t *row, const bur_device_info *info, const bur_device_speed *speed)
{
    const bur_limits *limits = &speed->limits;
    const struct {
        const char *key;
        double value;
    } figures[] = {
        {"gflops_f32", limits->flop_per_s * 1e-9},
        {"bandwidth_gbs", limits->bandwidth[BUR_BANDWIDTH_COUNT - 1].bytes_per_s * 1e-9},
        {"launch_us", limits->launch_s * 1e6},
        {"train_samples_per_s", speed->train_samples_per_s},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        json_object_set_new(row, figures[i].key,
                            figures[i].value > 0 ? cli_real(figures[i].value) : json_null());
    json_object_set_new(row, "auto", json_boolean(speed->is_auto));
    json_object_set_new(row, "reason", json_string(info->trains ? speed->note : info->reason));
}

/* S-097: the batch sizes that suit the memory, by the same rule for every maker. */
static void add_class(json_t *row, const bur_device_info *info)
{
    const cli_target target = {.is_host = info->unified != 0, .memory_bytes = info->memory_bytes};
    const cli_batch_class *of = cli_batch_class_of(&target);
    char text[64];
    snprintf(text, sizeof text, "%d-%d, %s", (int)of->low, (int)of->high, of->text);
    json_object_set_new(row, "batch_class", json_string(text));
}

static void print_footer(const bur_device_speed *speeds, int32_t count)
{
    bool is_chosen = false;
    for (int32_t i = 0; i < count; i++)
        is_chosen |= speeds[i].is_auto;
    printf("\n%s; 'burthen devices --measure' measures now\n",
           is_chosen ? "* is what --device auto picks"
                     : "--device auto measures when it is first used");
}

/* The kernels of the processor, and of what "auto" opens if that is another. */
static bur_status probe(cli_app *app)
{
    bur_device *cpu = NULL, *chosen = NULL;
    BUR_TRY(bur_device_open(&cpu, app->context, "cpu"));
    BUR_TRY(bur_device_probe(cpu));
    BUR_TRY(bur_device_open(&chosen, app->context, "auto"));
    return chosen == cpu ? BUR_OK : bur_device_probe(chosen);
}

static bur_status read_speeds(cli_app *app, const bur_device_speed **out, int32_t *count)
{
    if (!app->options.measure)
        return bur_device_speeds_kept(app->context, out, count);
    BUR_TRY(bur_device_speeds(app->context, true, out, count));
    if (probe(app) != BUR_OK)
        cli_warn("not every class of kernels was measured: %s", bur_last_error());
    return BUR_OK;
}

int cli_devices(cli_app *app)
{
    const bur_device_info *infos = NULL;
    const bur_device_speed *speeds = NULL;
    const char *note = "";
    int32_t count = 0;
    bur_status status = read_speeds(app, &speeds, &count);
    if (status == BUR_OK)
        status = bur_device_list(app->context, &infos, &count, &note);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot list the devices");
    json_t *rows = json_array();
    for (int32_t i = 0; i < count; i++) {
        json_t *row = cli_device_json(&infos[i]);
        json_object_set_new(row, "alias", json_string(infos[i].alias));
        add_speed(row, &infos[i], &speeds[i]);
        add_class(row, &infos[i]);
        json_array_append_new(rows, row);
    }
    const int code = cli_output_fitted(
        app->options.format, json_pack("{si so ss}", "schema", 1, "devices", rows, "note", note),
        "devices", columns, details);
    if (code == CLI_DONE && app->options.format == CLI_TABLE)
        print_footer(speeds, count);
    if (code == CLI_DONE && note[0] != '\0')
        fprintf(stderr, "note: %s\n", note);
    return code;
}
