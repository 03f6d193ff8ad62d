/* Plans, devices and epochs as JSON and as text. */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

json_t *cli_bytes_json(const uint64_t *bytes)
{
    json_t *out = json_object();
    for (int i = 0; i < BUR_BYTE_CLASS_COUNT; i++)
        json_object_set_new(out, bur_byte_class_name((bur_byte_class)i),
                            json_integer((json_int_t)bytes[i]));
    return out;
}

json_t *cli_recompute_json(float share)
{
    char text[16] = "off";
    if (share > 0 && share < 1)
        snprintf(text, sizeof text, "%.0f%%", (double)share * 100);
    return json_string(text);
}

void cli_levers_text(char *text, size_t size, const bur_run_plan *plan)
{
    size_t used = 0;
    text[0] = '\0';
    if (plan->accumulate > 1)
        used = (size_t)snprintf(text, size, "in %" PRId64 " parts", plan->accumulate);
    if (plan->accumulate > 1 && plan->needs_whole_batch && used < size)
        used += (size_t)snprintf(text + used, size - used,
                                 " (batch normalisation sees %" PRId64 " samples, not %" PRId64 ")",
                                 plan->batch / plan->accumulate, plan->batch);
    if (plan->recompute > 0 && plan->recompute < 1 && used < size)
        snprintf(text + used, size - used, "%s%.0f%% of the work done twice", used > 0 ? ", " : "",
                 plan->recomputed_share * 100);
}

json_t *cli_run_plan_json(const bur_run_plan *plan)
{
    return json_pack(
        "{si ss ss sI sI so sI sI sI sI sI so ss sb si so}", "schema", 1, "model", plan->model,
        "device", plan->device, "batch", (json_int_t)plan->batch, "accumulate",
        (json_int_t)plan->accumulate, "recompute", cli_recompute_json(plan->recompute),
        "budget_bytes", (json_int_t)plan->budget_bytes, "peak_bytes", (json_int_t)plan->peak_bytes,
        "device_bytes", (json_int_t)plan->device_bytes, "arena_bytes",
        (json_int_t)plan->arena_bytes, "lower_bound_bytes", (json_int_t)plan->lower_bound_bytes,
        "step_s", plan->step_s > 0 ? cli_real(plan->step_s) : json_null(), "binds", plan->binds,
        "fits", (int)plan->fits, "fallback_nodes", plan->fallback_nodes, "bytes",
        cli_bytes_json(plan->bytes));
}

void cli_bytes_text_by_class(char *text, size_t size, const uint64_t *bytes)
{
    enum { MOST_CLASSES = 4 };
    uint64_t left[BUR_BYTE_CLASS_COUNT], rest = 0;
    size_t used = 0;
    char number[CLI_NUMBER_TEXT];
    for (int i = 0; i < BUR_BYTE_CLASS_COUNT; i++)
        rest += left[i] = bytes[i];
    text[0] = '\0';
    for (int n = 0; n < MOST_CLASSES && rest > 0 && used < size; n++) {
        int most = 0;
        for (int i = 1; i < BUR_BYTE_CLASS_COUNT; i++)
            most = left[i] > left[most] ? i : most;
        used += (size_t)snprintf(text + used, size - used, "%s%s %s", n == 0 ? "" : ", ",
                                 bur_byte_class_name((bur_byte_class)most),
                                 cli_bytes_text(number, sizeof number, (double)left[most]));
        rest -= left[most];
        left[most] = 0;
    }
    if (rest > 0 && used < size)
        snprintf(text + used, size - used, ", others %s",
                 cli_bytes_text(number, sizeof number, (double)rest));
}

/* "1.6 GiB", or "0.9 GiB on the device and 0.7 GiB of RAM". */
static void need_text(char *text, size_t size, const bur_run_plan *plan, bool is_host)
{
    char first[CLI_NUMBER_TEXT], second[CLI_NUMBER_TEXT];
    if (is_host)
        cli_bytes_text(text, size, (double)plan->peak_bytes);
    else
        snprintf(
            text, size, "%s on the device and %s of RAM",
            cli_bytes_text(first, sizeof first, (double)plan->device_bytes),
            cli_bytes_text(second, sizeof second, (double)(plan->peak_bytes - plan->device_bytes)));
}

void cli_run_plan_text(char *text, size_t size, const bur_run_plan *plan, bool is_host)
{
    char need[96], budget[CLI_NUMBER_TEXT], classes[256], levers[CLI_LEVERS_TEXT];
    need_text(need, sizeof need, plan, is_host);
    cli_bytes_text(budget, sizeof budget, (double)plan->budget_bytes);
    cli_bytes_text_by_class(classes, sizeof classes, plan->bytes);
    cli_levers_text(levers, sizeof levers, plan);
    snprintf(text, size, "%s on %s, batch %" PRId64 "%s%s: needs %s; may use %s (%s)\n  %s",
             plan->model, plan->device, plan->batch, levers[0] == '\0' ? "" : ", ", levers, need,
             budget, plan->binds, classes);
}

json_t *cli_device_json(const bur_device_info *info)
{
    static const char *const kinds[] = {
        [BUR_DEVICE_CPU] = "cpu", [BUR_DEVICE_GPU] = "gpu", [BUR_DEVICE_OTHER] = "other"};
    return json_pack("{ss ss ss ss ss so so so sb so so so sb}", "name", info->name, "kind",
                     kinds[info->kind], "description", info->description, "vendor", info->vendor,
                     "driver", info->driver, "memory_bytes", cli_count(info->memory_bytes),
                     "free_bytes", cli_count(info->free_bytes), "max_alloc_bytes",
                     cli_count(info->max_alloc_bytes), "unified", info->unified, "gflops_f32",
                     json_null(), "bandwidth_gbs", json_null(), "launch_us", json_null(), "trains",
                     info->trains);
}

json_t *cli_epoch_json(const bur_epoch *epoch, const char *metric)
{
    char val_metric[32];
    snprintf(val_metric, sizeof val_metric, "val_%s", metric);
    json_t *row =
        json_pack("{sI so so so so so so so sI so so}", "epoch", (json_int_t)epoch->epoch, "loss",
                  cli_real(epoch->loss), "val_loss", cli_real(epoch->val_loss), metric,
                  cli_real(epoch->metric), val_metric, cli_real(epoch->val_metric), "seconds",
                  cli_real(epoch->seconds), "samples_per_s", cli_real(epoch->samples_per_s), "lr",
                  cli_real_f32(epoch->learning_rate), "updates", (json_int_t)epoch->updates,
                  "wait_s", cli_real(epoch->wait_s), "ram_percent", cli_real(epoch->ram_percent));
    if (epoch->penalty > 0 && row != NULL) /* what is minimised is the loss and this */
        json_object_set_new(row, "penalty", cli_real(epoch->penalty));
    return row;
}

int cli_refuse_plan(const bur_run_plan *plan, bool is_host)
{
    char need[96], budget[CLI_NUMBER_TEXT], why[256];
    need_text(need, sizeof need, plan, is_host);
    cli_bytes_text(budget, sizeof budget, (double)plan->budget_bytes);
    cli_bytes_text_by_class(why, sizeof why, plan->bytes);
    return cli_error(CLI_MEMORY, why, NULL,
                     "%s with batch %" PRId64 " needs %s; %s may use %s (%s)", plan->model,
                     plan->batch, need, plan->device, budget, plan->binds);
}
