/* burthen bench: one row per device and case; a device that fails is a row with its reason. */
#include "bench.h"
#include "model.h"
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 16, MAX_RUNS = 2000, WARM_UPS = 2 };
enum { GOOD_RUNS = 10, FEW_RUNS = 3 };
static const int64_t good_ns = 500000000, long_ns = 3000000000;

/* ---- timing ---- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool is_enough(int32_t runs, int64_t ns)
{
    return runs == MAX_RUNS || (runs >= GOOD_RUNS && ns >= good_ns) ||
           (runs >= FEW_RUNS && ns >= long_ns);
}

bur_status cli_time(cli_timing *out, cli_timed once, void *user)
{
    double ms[MAX_RUNS];
    int32_t runs = 0;
    for (int32_t i = 0; i < WARM_UPS; i++)
        BUR_TRY(once(user));
    const int64_t start_ns = bur_time_ns();
    while (!is_enough(runs, bur_time_ns() - start_ns)) {
        const int64_t begin_ns = bur_time_ns();
        BUR_TRY(once(user));
        ms[runs++] = (double)(bur_time_ns() - begin_ns) * 1e-6;
    }
    qsort(ms, (size_t)runs, sizeof *ms, compare);
    *out = (cli_timing){
        .median_ms = (ms[(runs - 1) / 2] + ms[runs / 2]) / 2, .least_ms = ms[0], .runs = runs};
    return BUR_OK;
}

void cli_fill_random(float *values, int64_t count, uint32_t stream)
{
    uint32_t words[4] = {0};
    for (int64_t i = 0; i < count; i++) {
        if (i % 4 == 0)
            bur_philox(words, (uint32_t[]){(uint32_t)(i / 4), (uint32_t)(i >> 34), 0, 0},
                       (uint32_t[]){stream, 0});
        values[i] = 2 * bur_uniform(words[i % 4]) - 1;
    }
}

/* ---- what to measure ---- */

typedef struct bench {
    cli_app *app;
    cli_progress progress;
    char devices[MAX_ITEMS][BUR_NAME_BYTES];
    int32_t device_count;
    int64_t batches[MAX_ITEMS];
    int32_t batch_count;
    json_t *rows, *before; /* before: of --compare, or NULL */
    int32_t good;
} bench;

static const char *const kinds[] = {"device", "gemm", "conv"};

static bool is_kind(const char *word)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(word, kinds[i]) == 0)
            return true;
    return false;
}

/* The next item of a comma list into item[size]; false at the end or if it is too long. */
static bool next_item(char *item, size_t size, const char **list)
{
    const size_t length = strcspn(*list, ",");
    if (length == 0 || length >= size)
        return false;
    memcpy(item, *list, length);
    item[length] = '\0';
    *list += length;
    *list += **list == ',' && (*list)[1] != '\0';
    return true;
}

static int read_batches(bench *b)
{
    char item[32];
    const char *list = b->app->options.batches;
    while (b->batch_count < MAX_ITEMS && next_item(item, sizeof item, &list)) {
        char *end = NULL;
        const long long batch = strtoll(item, &end, 10);
        if (*end != '\0' || batch < 1 || batch > INT32_MAX)
            break;
        b->batches[b->batch_count++] = batch;
        if (*list == '\0')
            return CLI_DONE;
    }
    return cli_error(CLI_USAGE, "it takes up to 16 whole numbers above 0, such as 32,256", NULL,
                     "bad value: --batch %s", b->app->options.batches);
}

static int list_all(bench *b)
{
    const bur_device_info *infos = NULL;
    const char *note = "";
    int32_t count = 0;
    const bur_status status = bur_device_list(b->app->context, &infos, &count, &note);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot list the devices");
    for (int32_t i = 0; i < count && i < MAX_ITEMS; i++)
        memcpy(b->devices[b->device_count++], infos[i].name, sizeof infos[i].name);
    return CLI_DONE;
}

static int read_devices(bench *b)
{
    const char *list = b->app->options.device;
    if (strcmp(list, "all") == 0)
        return list_all(b);
    while (b->device_count < MAX_ITEMS &&
           next_item(b->devices[b->device_count], BUR_NAME_BYTES, &list)) {
        b->device_count++;
        if (*list == '\0')
            return CLI_DONE;
    }
    return cli_error(CLI_USAGE, "it takes up to 16 device names, such as cpu,cl:0", NULL,
                     "bad value: --device %s", b->app->options.device);
}

static const char *subject_name(const void *user, int32_t i)
{
    (void)user;
    const int32_t n_kinds = sizeof kinds / sizeof *kinds;
    return i < n_kinds ? kinds[i] : bur_zoo_at(i - n_kinds)->name;
}

static int check_words(const cli_app *app)
{
    const int32_t count = (int32_t)(sizeof kinds / sizeof *kinds) + bur_zoo_count();
    for (int32_t i = 0; i < app->options.word_count; i++) {
        const char *word = app->options.words[i];
        if (cli_model_is_file(word) || bur_word_find(word, count, subject_name, NULL) >= 0)
            continue;
        const char *near = bur_word_nearest(word, count, subject_name, NULL);
        char why[80] = "";
        if (near != NULL)
            snprintf(why, sizeof why, "did you mean '%s'?", near);
        return cli_error(CLI_USAGE, near != NULL ? why : NULL,
                         "device, gemm, conv, or a model ('burthen models' lists them)",
                         "cannot measure '%s'", word);
    }
    return CLI_DONE;
}

/* ---- measuring ---- */

static bur_status measure_on(bench *b, bur_context *context, const char *device_name,
                             const char *word, int64_t batch)
{
    bur_device *device = NULL;
    BUR_TRY(bur_device_open(&device, context, device_name));
    if (is_kind(word))
        return cli_bench_kernels(b->rows, device, word);
    const cli_model_bench what = {.model = word,
                                  .batch = batch,
                                  .accumulate = b->app->options.accumulate,
                                  .recompute = b->app->options.recompute,
                                  .infer = b->app->options.mode == 1,
                                  .profile = b->app->options.profile};
    return cli_bench_model(b->rows, b->app, device, &what);
}

static void measure(bench *b, const char *device_name, const char *word, int64_t batch)
{
    const bur_context_options options = {.log = cli_log,
                                         .log_user = b->app,
                                         .log_level = cli_log_level(),
                                         .threads = (int)b->app->options.threads};
    bur_context *context = NULL;
    cli_progress_status(&b->progress, "measuring %s on %s ...", word, device_name);
    bur_status status = bur_context_create(&context, &options);
    if (status == BUR_OK)
        status = measure_on(b, context, device_name, word, batch);
    b->good += status == BUR_OK;
    if (status != BUR_OK) {
        json_t *row = json_pack("{ss ss}", "device", device_name, "error", bur_last_error());
        json_object_set_new(row, is_kind(word) ? "case" : "model", json_string(word));
        if (!is_kind(word))
            json_object_set_new(row, "batch", json_integer(batch));
        json_array_append_new(b->rows, row);
    }
    bur_context_destroy(context);
}

static void measure_all(bench *b)
{
    static const char *const standard[] = {"device"};
    const cli_options *options = &b->app->options;
    const char *const *words = options->word_count > 0 ? options->words : standard;
    const int32_t count = options->word_count > 0 ? options->word_count : 1;
    for (int32_t w = 0; w < count; w++)
        for (int32_t n = 0; n < (is_kind(words[w]) ? 1 : b->batch_count); n++)
            for (int32_t d = 0; d < b->device_count; d++)
                measure(b, b->devices[d], words[w], b->batches[n]);
    cli_progress_clear(&b->progress);
}

/* ---- the result ---- */

static const cli_column columns[] = {
    {"device", "DEVICE", CLI_CELL_TEXT},
    {"model", "MODEL", CLI_CELL_TEXT},
    {"mode", "MODE", CLI_CELL_TEXT},
    {"batch", "BATCH", CLI_CELL_INTEGER},
    {"precision", NULL, CLI_CELL_TEXT},
    {"case", "CASE", CLI_CELL_TEXT},
    {"median_ms", "MEDIAN ms", CLI_CELL_MS},
    {"before_ms", "BEFORE ms", CLI_CELL_MS},
    {"ratio", "RATIO", CLI_CELL_NUMBER},
    {"min_ms", "MIN ms", CLI_CELL_MS},
    {"gflops", "GFLOP/s", CLI_CELL_NUMBER},
    {"gbs", "GB/s", CLI_CELL_NUMBER},
    {"percent_of_limit", "% OF LIMIT", CLI_CELL_NUMBER},
    {"samples_per_s", "SAMPLES/s", CLI_CELL_NUMBER},
    {"planned_peak_bytes", "PLANNED", CLI_CELL_BYTES},
    {"measured_peak_bytes", "MEASURED", CLI_CELL_BYTES},
    {"runs", NULL, CLI_CELL_INTEGER},
    {"error", "FAILED", CLI_CELL_TEXT},
    {0},
};

/* Below 1: faster than before. */
static void compare_rows(const bench *b)
{
    const char *path = b->app->options.compare;
    double mean = 0;
    const int32_t count = cli_bench_compare(b->rows, b->before, &mean);
    if (count > 0)
        fprintf(stderr, "against %s: geometric mean of %" PRId32 " ratios %.3f\n", path, count,
                mean);
    else
        fprintf(stderr, "note: %s has none of these measurements\n", path);
}

static int run_bench(bench *b)
{
    cli_app *app = b->app;
    int code = check_words(app);
    if (code == CLI_DONE && app->options.compare != NULL)
        code = cli_bench_compare_open(&b->before, app->options.compare);
    if (code == CLI_DONE)
        code = read_batches(b);
    if (code == CLI_DONE)
        code = read_devices(b);
    if (code != CLI_DONE)
        return code;
    cli_progress_open(&b->progress, &app->options, "");
    app->progress = &b->progress;
    b->rows = json_array();
    measure_all(b);
    if (b->before != NULL)
        compare_rows(b);
    json_t *result = json_pack("{si so}", "schema", 1, "results", b->rows);
    json_incref(result);
    code = cli_output(app->options.format, result, "results", columns);
    if (code == CLI_DONE && app->options.format == CLI_TABLE)
        cli_bench_print_profiles(result);
    json_decref(result);
    app->progress = NULL;
    if (code == CLI_DONE && b->good == 0)
        return cli_error(CLI_DEVICE, NULL, "'burthen devices' lists what there is",
                         "no device gave a result");
    return code;
}

int cli_bench(cli_app *app)
{
    bench b = {.app = app};
    const int code = run_bench(&b);
    json_decref(b.before);
    return code;
}
