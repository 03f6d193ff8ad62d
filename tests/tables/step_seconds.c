/* Predicted and measured seconds of a step: step_seconds MODEL:BATCH[,BATCH...] ...
 *
 * A row per model and batch. The CPU is measured anew before each model, in a cache of its own:
 * what its limits and one share of them per class of kernels predict (bur_device_probe) knows no
 * model. Then in turn, for three seconds or nine rounds: kernels calibrated, step predicted, steps
 * measured. The step is the median of all rounds, the error of what was calibrated the median of
 * each round's own: where a machine is shared, the same step may take half as long again a moment
 * later, and a median of each side alone may be of another moment. */
#define _GNU_SOURCE /* mkdtemp, setenv */
#include <burthen/burthen.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_ROUNDS = 9, MOST_ROUNDS = 31, STEPS = 3, MOST_ROWS = 64 };
static const int64_t row_ns = INT64_C(3000000000);

/* A model at a batch size, bound on the CPU. */
typedef struct subject {
    bur_recipe *recipe;
    bur_graph *graph;
    bur_plan *plan;
    bur_memory *memory;
    bur_session *session;
    int64_t batch, parts;
    bur_scalars scalars;
    float *x;
    int32_t *labels;
} subject;

typedef struct row {
    char model[64];
    long batch;
    double limits_s, calibrated_s, measured_s;
} row;

static bur_status make_samples(subject *s)
{
    const int64_t count = bur_desc_count(bur_recipe_input_desc(s->recipe)) * s->batch;
    s->x = malloc((size_t)count * sizeof *s->x);
    s->labels = malloc((size_t)s->batch * sizeof *s->labels);
    if (s->x == NULL || s->labels == NULL)
        return BUR_E_NOMEM;
    for (int64_t i = 0; i < count; i++)
        s->x[i] = (float)(i * 37 % 101) / 101;
    for (int64_t i = 0; i < s->batch; i++)
        s->labels[i] = (int32_t)(i % 10);
    return BUR_OK;
}

/* Split as training splits it. */
static bur_status plan(subject *s, bur_device *device, const char *model, int64_t batch)
{
    const bur_target target = bur_device_target(device);
    bur_graph_options options = {.batch = batch,
                                 .loss = BUR_LOSS_CROSS_ENTROPY,
                                 .optimizer = bur_optimizer_default(BUR_ADAM),
                                 .early_update = true};
    *s = (subject){.batch = batch, .parts = 1};
    BUR_TRY(bur_zoo_create(&s->recipe, bur_device_context(device), model, &(bur_zoo_options){0}));
    BUR_TRY(bur_plan_choose_parts(&s->parts, s->recipe, &options, &target, NULL));
    options.batch /= s->parts;
    options.accumulate = s->parts > 1;
    BUR_TRY(bur_graph_create(&s->graph, s->recipe, &options));
    return bur_plan_create(&s->plan, s->graph, &target, NULL);
}

static bur_status bind(subject *s, bur_device *device)
{
    const bur_plan *plans[] = {s->plan};
    s->scalars = (bur_scalars){.learning_rate = 1e-6F,
                               .inverse_weight_sum = 1 / (float)s->batch,
                               .correction1 = 10,
                               .correction2 = 1000};
    BUR_TRY(bur_memory_create(&s->memory, device, plans, 1));
    BUR_TRY(bur_session_create(&s->session, s->memory, s->plan));
    BUR_TRY(bur_session_initialize(s->session, s->recipe, 0));
    return make_samples(s);
}

static void release(subject *s)
{
    free(s->x);
    free(s->labels);
    bur_session_destroy(s->session);
    bur_memory_destroy(s->memory);
    bur_plan_destroy(s->plan);
    bur_graph_destroy(s->graph);
    bur_recipe_destroy(s->recipe);
}

static double predict(const subject *s, const bur_calibration *calibration)
{
    const bur_step_time time = bur_plan_step_time(s->plan, calibration);
    return (double)s->parts * time.accumulate_s + time.update_s;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

static bur_status measure(double *seconds, subject *s)
{
    double times[STEPS];
    for (int i = 0; i < STEPS; i++) {
        float result[BUR_RESULT_WORDS];
        const int64_t start_ns = bur_time_ns();
        BUR_TRY(bur_session_step_parts(s->session, s->x, s->labels, &s->scalars, s->parts));
        BUR_TRY(bur_session_read_result(s->session, result));
        times[i] = 1e-9 * (double)(bur_time_ns() - start_ns);
    }
    *seconds = median(times, STEPS);
    return BUR_OK;
}

static bur_status alternate(row *r, subject *s, const bur_calibration *calibration)
{
    double ratio[MOST_ROUNDS], measured[MOST_ROUNDS];
    int count = 0;
    BUR_TRY(measure(&measured[0], s)); /* the first steps touch, compile and raise clocks */
    const int64_t end_ns = bur_time_ns() + row_ns;
    while (count < MOST_ROUNDS && (count < LEAST_ROUNDS || bur_time_ns() < end_ns)) {
        BUR_TRY(bur_session_calibrate(s->session, s->x, s->labels, &s->scalars, s->parts, STEPS));
        const double predicted = predict(s, calibration);
        BUR_TRY(measure(&measured[count], s));
        ratio[count] = predicted / measured[count];
        count++;
    }
    r->measured_s = median(measured, count);
    r->calibrated_s = r->measured_s * median(ratio, count);
    return BUR_OK;
}

/* "resnet18:1,2,4" as rows. */
static int read_rows(row *rows, int count, const char *word)
{
    const char *colon = strchr(word, ':');
    for (const char *at = colon; at != NULL && *at != '\0' && count < MOST_ROWS; count++) {
        char *end = NULL;
        rows[count] = (row){.batch = strtol(at + 1, &end, 10)};
        snprintf(rows[count].model, sizeof rows[count].model, "%.*s", (int)(colon - word), word);
        at = end;
    }
    return count;
}

static double error_percent(double predicted, double measured)
{
    return 100 * (predicted / measured - 1);
}

static void print_row(const row *r)
{
    printf("%-18s %5ld %10.1f %10.1f %8.1f%% %10.1f %8.1f%%\n", r->model, r->batch,
           1e3 * r->measured_s, 1e3 * r->calibrated_s,
           error_percent(r->calibrated_s, r->measured_s), 1e3 * r->limits_s,
           error_percent(r->limits_s, r->measured_s));
    fflush(stdout);
}

/* Of the rows of at least 5 ms: median and worst of the sizes. */
static void print_summary(const row *rows, int count, bool calibrated)
{
    double sizes[MOST_ROWS];
    int n = 0;
    for (int i = 0; i < count; i++)
        if (rows[i].measured_s >= 5e-3)
            sizes[n++] = fabs(error_percent(calibrated ? rows[i].calibrated_s : rows[i].limits_s,
                                            rows[i].measured_s));
    if (n == 0)
        return;
    const double middle = median(sizes, n); /* sorts */
    printf("%-22s %d rows of at least 5 ms: median error %.1f%%, worst %.1f%%\n",
           calibrated ? "calibrated" : "limits and shares", n, middle, sizes[n - 1]);
}

static bur_status predict_by_limits(row *rows, int count, bur_device *device)
{
    const bur_calibration *calibration = NULL;
    BUR_TRY(bur_device_probe(device));
    BUR_TRY(bur_device_calibration(&calibration, device));
    for (int i = 0; i < count; i++) {
        subject s;
        BUR_TRY(plan(&s, device, rows[i].model, rows[i].batch));
        rows[i].limits_s = predict(&s, calibration);
        release(&s);
    }
    return BUR_OK;
}

static bur_status measure_rows(row *rows, int count, bur_device *device)
{
    const bur_calibration *calibration = NULL;
    BUR_TRY(bur_device_calibration(&calibration, device));
    for (int i = 0; i < count; i++) {
        subject s;
        BUR_TRY(plan(&s, device, rows[i].model, rows[i].batch));
        BUR_TRY(bind(&s, device));
        BUR_TRY(alternate(&rows[i], &s, calibration));
        release(&s);
        print_row(&rows[i]);
    }
    return BUR_OK;
}

/* With an empty folder as cache, which has no module for other devices either. */
static bur_status run(row *rows, int count, const char *folder, double *longest_probe_s)
{
    bur_context *context = NULL;
    bur_device *device = NULL;
    const bur_device_speed *speeds = NULL;
    int32_t n_devices = 0;
    if (setenv("XDG_CACHE_HOME", folder, 1) != 0 || setenv("BURTHEN_MODULE_PATH", folder, 1) != 0)
        return BUR_E_NOMEM;
    bur_status status = bur_context_create(&context, NULL);
    if (status == BUR_OK) /* the limits go into the cache */
        status = bur_device_speeds(context, true, &speeds, &n_devices);
    if (status == BUR_OK)
        status = bur_device_open(&device, context, "cpu");
    const int64_t start_ns = bur_time_ns();
    if (status == BUR_OK)
        status = predict_by_limits(rows, count, device);
    *longest_probe_s = fmax(*longest_probe_s, 1e-9 * (double)(bur_time_ns() - start_ns));
    if (status == BUR_OK)
        status = measure_rows(rows, count, device);
    if (status != BUR_OK)
        fprintf(stderr, "error: %s\n", bur_last_error());
    bur_context_destroy(context);
    return status;
}

static bur_status run_in_new_folder(row *rows, int count, double *longest_probe_s)
{
    char folder[] = "/tmp/burthen-step-seconds-XXXXXX", command[64];
    if (mkdtemp(folder) == NULL)
        return BUR_E_FILE;
    const bur_status status = run(rows, count, folder, longest_probe_s);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? status : BUR_E_FILE;
}

int main(int argc, char **argv)
{
    static row rows[MOST_ROWS];
    double longest_probe_s = 0;
    bur_status status = BUR_OK;
    int count = 0;
    if (argc > 1)
        printf("%-18s %5s %10s %10s %9s %10s %9s\n", "model", "batch", "step ms", "calibrated",
               "error", "limits", "error");
    for (int i = 1; i < argc && status == BUR_OK; i++) {
        const int first = count;
        count = read_rows(rows, count, argv[i]);
        status = run_in_new_folder(rows + first, count - first, &longest_probe_s);
    }
    if (count == 0) {
        fprintf(stderr, "usage: %s MODEL:BATCH[,BATCH...] ...\n", argv[0]);
        return 2;
    }
    print_summary(rows, count, true);
    print_summary(rows, count, false);
    printf("probed in %.2f s at most\n", longest_probe_s);
    return status == BUR_OK ? 0 : 1;
}
