/* Devices and batch classes. */
#include "target.h"
#include "output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The CPU's target, for nodes that fall back. */
static int open_host(cli_target *out, cli_app *app)
{
    bur_device *host = NULL;
    const bur_status status = bur_device_open(&host, app->context, "cpu");
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot open the cpu");
    out->host = bur_device_target(host);
    return CLI_DONE;
}

/* Replaces the memory by a described one. */
static void describe(cli_target *out, uint64_t bytes)
{
    out->info.memory_bytes = bytes;
    out->info.free_bytes = bytes;
    out->info.assumed = 1;
    out->memory_bytes = bytes;
}

static int describe_memory(cli_target *out, const cli_options *options)
{
    if (options->ram_bytes > 0 && options->device_memory_bytes > 0)
        return cli_error(CLI_USAGE, NULL, NULL, "--ram and --device-memory exclude each other");
    if (options->ram_bytes > 0) {
        if (!out->is_host)
            return cli_error(CLI_USAGE, "its memory is not the computer's",
                             "--device-memory, or --device cpu", "--ram says nothing of device %s",
                             out->info.name);
        describe(out, options->ram_bytes);
        out->info.max_alloc_bytes = options->ram_bytes;
    }
    if (options->device_memory_bytes > 0) {
        describe(out, options->device_memory_bytes);
        out->info.max_alloc_bytes = options->device_memory_bytes;
        out->info.kind = BUR_DEVICE_GPU;
        out->info.unified = 0;
        out->is_host = false;
    }
    return CLI_DONE;
}

/* What is described goes by the kernels of this computer: its CPU for RAM, for a card its OpenCL
 * device if there is one. */
static bur_status open_device(bur_device **out, cli_app *app)
{
    const cli_options *options = &app->options;
    const bool is_auto = strcmp(options->device, "auto") == 0;
    if (is_auto && options->device_memory_bytes > 0 &&
        bur_device_open(out, app->context, "cl:0") == BUR_OK)
        return BUR_OK;
    const bool is_described = options->ram_bytes > 0 || options->device_memory_bytes > 0;
    return bur_device_open(out, app->context, is_auto && is_described ? "cpu" : options->device);
}

int cli_target_open(cli_target *out, cli_app *app)
{
    const cli_options *options = &app->options;
    bur_host_memory memory = {0};
    *out = (cli_target){0};
    bur_status status = open_device(&out->device, app);
    if (status != BUR_OK)
        return cli_error_status(status, "'burthen devices' lists them", "cannot open device '%s'",
                                options->device);
    const int code = open_host(out, app);
    if (code != CLI_DONE)
        return code;
    out->target = bur_device_target(out->device);
    out->info = *bur_device_describe(out->device);
    out->target.info = &out->info;
    out->is_host = out->info.unified != 0;
    out->memory_bytes = out->info.memory_bytes;
    if (out->target.backend != out->host.backend && options->fallback == 0)
        out->fallback = &out->host;
    if (options->ram_bytes > 0 || options->device_memory_bytes > 0)
        return describe_memory(out, options);
    status = bur_host_memory_read(&memory);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot tell how much memory there is");
    if (out->is_host)
        out->memory_bytes = memory.total_bytes;
    return CLI_DONE;
}

/* ---- batch classes ---- */

/* Batch sizes and models as the documents have them (S-084 to S-093). */
static const cli_batch_class ram_classes[] = {
    {32, 16, 32, "32 GB of RAM", 5e8, "a mid-size CNN or a small Transformer"},
    {16, 8, 16, "16 GB of RAM", 1e8, "a simple MLP or a small CNN"},
    {0, 4, 8, "less than 16 GB of RAM", 1e8, "a simple MLP or a small CNN"},
};

static const cli_batch_class device_classes[] = {
    {12, 64, 128, "12 GB of device memory", 2e10, "ResNet101 or ViT"},
    {8, 32, 64, "8 GB of device memory", 5e9, "ResNet50 or EfficientNet"},
    {4, 16, 32, "4 GB of device memory", 2e9, "ResNet18 or MobileNet"},
    {0, 4, 8, "less than 4 GB of device memory", 2e9, "ResNet18 or MobileNet"},
};

const cli_batch_class *cli_batch_class_of(const cli_target *target)
{
    const cli_batch_class *classes = target->is_host ? ram_classes : device_classes;
    while ((double)target->memory_bytes < 0.9 * classes->nominal_gib * 0x1p30)
        classes++;
    return classes;
}

bur_status cli_model_is_heavy(bool *heavy, int64_t *macs, const cli_target *target,
                              const cli_model *model)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < bur_recipe_layer_count(model->recipe); i++) {
        bur_layer_summary layer;
        BUR_TRY(bur_recipe_layer_summary(model->recipe, i, &layer));
        sum += layer.macs;
    }
    *macs = sum;
    *heavy = (double)sum > cli_batch_class_of(target)->most_macs;
    return BUR_OK;
}

static int64_t power_of_two_within(int64_t limit)
{
    int64_t power = 1;
    while (power <= limit / 2)
        power *= 2;
    return power;
}

bur_status cli_batch_choose(cli_batch_choice *out, const cli_target *target, const cli_model *model,
                            const bur_fit_options *options)
{
    const cli_batch_class *of = cli_batch_class_of(target);
    bur_fit_options trial = *options;
    char largest[CLI_NUMBER_TEXT];
    cli_batch_choice choice = {.batch = of->high, .batch_class = of};
    trial.batch = of->high;
    trial.accumulate = 1;
    BUR_TRY(bur_run_plan_largest(&choice.largest, model->recipe, &target->target, target->fallback,
                                 &model->train, model->has_test ? &model->test : NULL, &trial));
    const int64_t samples = cli_train_samples(model, options);
    choice.samples_bind = choice.largest == samples;
    cli_integer_text(largest, sizeof largest, choice.largest);
    if (choice.largest < 1) {
        choice.batch = 0;
        snprintf(choice.reason, sizeof choice.reason, "not even one sample fits");
    } else if (choice.largest >= of->high) {
        snprintf(choice.reason, sizeof choice.reason, "suits %s, %" PRId64 "-%" PRId64 "; %s%s",
                 of->text, of->low, of->high,
                 choice.samples_bind ? "memory would take all samples at once, "
                                     : "the largest that fits is ",
                 largest);
    } else {
        choice.batch = power_of_two_within(choice.largest);
        snprintf(choice.reason, sizeof choice.reason, "%s%s; %s would suit %" PRId64 "-%" PRId64,
                 choice.samples_bind ? "all the samples there are would be "
                                     : "memory binds: the largest that fits is ",
                 largest, of->text, of->low, of->high);
    }
    if (options->accumulate > 0 && choice.batch % options->accumulate != 0 && choice.batch > 0)
        choice.batch = (choice.batch / options->accumulate + 1) * options->accumulate;
    *out = choice;
    return BUR_OK;
}
