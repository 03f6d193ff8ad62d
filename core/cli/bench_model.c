/* Whole steps of a model on random samples. */
#include "bench.h"
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct stepping {
    const cli_model_bench *what;
    bur_context *context;
    bur_device *device;
    cli_model model;
    bur_graph *graph;
    bur_plan *plan;
    bur_memory *memory;
    bur_session *session;
    bur_scalars scalars;
    float *x, *y;
    int32_t *labels;
    size_t y_bytes;
    int64_t parts; /* of a training batch */
} stepping;

/* The batch is written anew for each step, as in training; a read waits for the device. */
static bur_status step_once(void *user)
{
    stepping *s = user;
    float result[BUR_RESULT_WORDS];
    BUR_TRY(bur_session_step_parts(s->session, s->x, s->what->infer ? NULL : s->labels, &s->scalars,
                                   s->parts));
    if (s->what->infer)
        return bur_session_read_output(s->session, s->y, s->y_bytes);
    return bur_session_read_result(s->session, result);
}

static bur_status make_samples(stepping *s)
{
    const int64_t batch = s->what->batch;
    const bur_desc *x = bur_recipe_input_desc(s->model.recipe);
    const bur_desc *y = bur_recipe_output_desc(s->model.recipe);
    const int64_t x_count = bur_desc_count(x) * batch, y_count = bur_desc_count(y) * batch;
    s->y_bytes = (size_t)y_count * sizeof *s->y;
    s->x = bur_alloc_array(s->context, (size_t)x_count, sizeof *s->x);
    s->y = bur_alloc_array(s->context, (size_t)y_count, sizeof *s->y);
    s->labels = bur_alloc_array(s->context, (size_t)batch, sizeof *s->labels);
    if (s->x == NULL || s->y == NULL || s->labels == NULL)
        return BUR_E_NOMEM;
    cli_fill_random(s->x, x_count, 0);
    for (int64_t i = 0; i < batch; i++)
        s->labels[i] = (int32_t)(i * 7 % s->model.options.classes);
    return BUR_OK;
}

/* A step size that moves little, so that hundreds of steps stay finite; the first step's
 * corrections of adam. */
static bur_scalars make_scalars(const bur_optimizer *optimizer, int64_t batch)
{
    return (bur_scalars){
        .learning_rate = 1e-6f,
        .inverse_weight_sum = 1.0f / (float)batch,
        .correction1 = 1 / (1 - optimizer->attr.beta1),
        .correction2 = 1 / (1 - optimizer->attr.beta2),
    };
}

/* Splits the batch as training does; a batch that cannot be split so is an error. */
static bur_status split(stepping *s, bur_graph_options *options, const bur_target *target,
                        const bur_target *fallback)
{
    s->parts = s->what->infer ? 1 : s->what->accumulate;
    if (s->parts == 0)
        BUR_TRY(bur_plan_choose_parts(&s->parts, s->model.recipe, options, target, fallback));
    if (options->batch % s->parts != 0)
        return bur_fail(BUR_E_ARG, "accumulate=%" PRId64 " does not divide batch %" PRId64,
                        s->parts, options->batch);
    options->batch /= s->parts;
    options->accumulate = s->parts > 1;
    return BUR_OK;
}

static bur_status prepare(stepping *s)
{
    bur_device *host = NULL;
    bur_graph_options options = {
        .batch = s->what->batch,
        .mode = s->what->infer ? BUR_PREDICT : BUR_TRAIN,
        .loss = BUR_LOSS_CROSS_ENTROPY,
        .optimizer = bur_optimizer_default(BUR_ADAM),
        .early_update = true,
        .recompute = s->what->infer ? 0 : (float)s->what->recompute,
    };
    const bur_target target = bur_device_target(s->device);
    BUR_TRY(bur_device_open(&host, s->context, "cpu"));
    const bur_target cpu = bur_device_target(host);
    const bur_target *fallback = target.backend == cpu.backend ? NULL : &cpu;
    s->scalars = make_scalars(&options.optimizer, options.batch);
    BUR_TRY(split(s, &options, &target, fallback));
    BUR_TRY(bur_graph_create(&s->graph, s->model.recipe, &options));
    BUR_TRY(bur_plan_create(&s->plan, s->graph, &target, fallback));
    const bur_plan *plans[] = {s->plan};
    BUR_TRY(bur_memory_create(&s->memory, s->device, plans, 1));
    BUR_TRY(bur_session_create(&s->session, s->memory, s->plan));
    BUR_TRY(bur_session_initialize(s->session, s->model.recipe, 0));
    return make_samples(s);
}

/* Keeps the kernels' times for plans: half a second of steps, 3 to 15. */
static bur_status calibrate(stepping *s, double step_ms)
{
    const double runs = 500 / step_ms;
    return bur_session_calibrate(s->session, s->x, s->what->infer ? NULL : s->labels, &s->scalars,
                                 s->parts,
                                 runs < 3    ? 3
                                 : runs > 15 ? 15
                                             : (int32_t)runs);
}

static bur_status add_row(json_t *rows, stepping *s)
{
    const cli_model_bench *what = s->what;
    cli_timing timing = {0};
    BUR_TRY(cli_time(&timing, step_once, s));
    json_t *row = json_pack(
        "{ss ss ss sI sI ss so so so sI sI so si}", "device", bur_device_describe(s->device)->name,
        "model", what->model, "mode", what->infer ? "infer" : "train", "batch",
        (json_int_t)what->batch, "accumulate", (json_int_t)s->parts, "precision", "f32",
        "median_ms", cli_real(timing.median_ms), "min_ms", cli_real(timing.least_ms),
        "samples_per_s", cli_real((double)what->batch / timing.median_ms * 1e3),
        "planned_peak_bytes", (json_int_t)bur_plan_get_summary(s->plan)->total_bytes,
        "measured_peak_bytes", (json_int_t)bur_device_peak_bytes(s->device), "breakdown",
        json_null(), "runs", timing.runs);
    json_array_append_new(rows, row);
    BUR_TRY(calibrate(s, timing.median_ms));
    if (!what->profile)
        return BUR_OK;
    const cli_profiled profiled = {s->device,   s->session, s->x, what->infer ? NULL : s->labels,
                                   &s->scalars, s->parts};
    return cli_bench_profile(row, &profiled);
}

bur_status cli_bench_model(json_t *rows, cli_app *app, bur_device *device,
                           const cli_model_bench *what)
{
    stepping s = {.what = what, .context = bur_device_context(device), .device = device};
    bur_status status = cli_model_build(&s.model, app, s.context, what->model);
    if (status == BUR_OK)
        status = prepare(&s);
    if (status == BUR_OK)
        status = add_row(rows, &s);
    bur_free(s.context, s.x);
    bur_free(s.context, s.y);
    bur_free(s.context, s.labels);
    bur_session_destroy(s.session);
    bur_memory_destroy(s.memory);
    bur_plan_destroy(s.plan);
    bur_graph_destroy(s.graph);
    cli_model_close(&s.model);
    return status;
}
