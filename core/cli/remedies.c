/* What would make a run fit. */
#include "remedies.h"
#include "output.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct remedies {
    cli_app *app;
    const cli_model *model;
    const cli_target *target;
    const bur_fit_options *options;
    const bur_run_plan *plan; /* of what was asked for */
} remedies;

static bur_status plan_of(bur_run_plan *out, const remedies *r, const cli_model *model,
                          const bur_fit_options *options)
{
    return bur_run_plan_make(out, model->recipe, &r->target->target, r->target->fallback,
                             &model->train, model->has_test ? &model->test : NULL, options);
}

static void print_remedy(const remedies *r, int number, const char *what, const char *key,
                         const bur_run_plan *plan)
{
    char saved[CLI_NUMBER_TEXT], need[CLI_NUMBER_TEXT];
    const uint64_t before = r->plan->peak_bytes;
    cli_bytes_text(saved, sizeof saved,
                   before > plan->peak_bytes ? (double)(before - plan->peak_bytes) : 0);
    cli_bytes_text(need, sizeof need, (double)plan->peak_bytes);
    fprintf(stderr, "  %d. %-21s %-26s saves %s, needs %s%s\n", number, what, key, saved, need,
            plan->fits ? "" : ", which is not enough");
}

static void print_none(int number, const char *what, const char *why)
{
    fprintf(stderr, "  %d. %-21s %s\n", number, what, why);
}

static void smaller_batch(const remedies *r, int64_t largest)
{
    static const char what[] = "a smaller batch";
    bur_fit_options options = *r->options;
    bur_run_plan plan;
    char key[48];
    options.batch = 1;
    while (options.batch * 2 <= largest)
        options.batch *= 2;
    options.accumulate = options.recompute == 0 ? 0 : 1;
    snprintf(key, sizeof key, "batch=%" PRId64, options.batch);
    if (options.batch < r->options->batch && plan_of(&plan, r, r->model, &options) == BUR_OK)
        print_remedy(r, 1, what, key, &plan);
    else
        print_none(1, what, "one sample is all there is");
}

/* The same model for samples of another shape, or of another width. */
static bur_status rebuild(cli_model *out, const remedies *r, const bur_zoo_options *options)
{
    const char *name = r->app->options.words[0];
    *out = *r->model;
    out->recipe = NULL;
    out->train.sample = out->test.sample = options->sample;
    return cli_model_is_file(name) ? bur_model_load(&out->recipe, r->app->context, name, options)
                                   : bur_zoo_create(&out->recipe, r->app->context, name, options);
}

/* Bytes of the data set change with the images as their pixels do. */
static void scale_data(bur_dataset_info *info, const bur_shape *before)
{
    int64_t now = 0, then = 1;
    if (bur_shape_count(&now, &info->sample) == BUR_OK && bur_shape_count(&then, before) == BUR_OK)
        info->bytes = (size_t)((double)info->bytes * (double)now / (double)then);
}

static void smaller_images(const remedies *r)
{
    static const char what[] = "smaller images";
    enum { SMALL = 128 };
    bur_zoo_options options = r->model->options;
    bur_shape *sample = &options.sample;
    bur_run_plan plan;
    cli_model model;
    char key[48], shape[BUR_SHAPE_TEXT];
    if (sample->rank != 3 || sample->dim[0] < 16 || sample->dim[1] < 16) {
        print_none(2, what, "the samples are no images that could be smaller");
        return;
    }
    for (int d = 0; d < 2; d++)
        sample->dim[d] = sample->dim[d] > SMALL ? SMALL : sample->dim[d] / 2;
    snprintf(key, sizeof key, "input=%s", bur_shape_format(shape, sizeof shape, sample));
    bur_status status = rebuild(&model, r, &options);
    scale_data(&model.train, &r->model->options.sample);
    scale_data(&model.test, &r->model->options.sample);
    if (status == BUR_OK)
        status = plan_of(&plan, r, &model, r->options);
    if (status == BUR_OK)
        print_remedy(r, 2, what, key, &plan);
    else
        print_none(2, what, "the model takes none");
    bur_recipe_destroy(model.recipe);
}

static void lighter_model(const remedies *r)
{
    static const char what[] = "a lighter model";
    bur_zoo_options options = r->model->options;
    bur_run_plan plan;
    cli_model model = {0};
    char key[48];
    options.width = (options.width > 0 ? options.width : 1) / 2;
    snprintf(key, sizeof key, "width=%g", (double)options.width);
    if (rebuild(&model, r, &options) == BUR_OK && plan_of(&plan, r, &model, r->options) == BUR_OK &&
        plan.peak_bytes < r->plan->peak_bytes)
        print_remedy(r, 3, what, key, &plan);
    else
        print_none(3, what, "'burthen models' lists them");
    bur_recipe_destroy(model.recipe);
}

/* The fewest parts that fit; the caveat where the batch is normalised. */
static void accumulation(const remedies *r)
{
    static const char what[] = "gradient accumulation";
    bur_fit_options options = *r->options;
    bur_run_plan plan = {.fits = false};
    char key[48];
    for (options.accumulate = 2; options.accumulate <= options.batch && !plan.fits;
         options.accumulate++)
        if (options.batch % options.accumulate == 0 &&
            plan_of(&plan, r, r->model, &options) != BUR_OK)
            break;
    if (plan.batch == 0) {
        print_none(4, what, "a batch of one sample has no parts");
        return;
    }
    snprintf(key, sizeof key, "batch=%" PRId64 " accumulate=%" PRId64, plan.batch, plan.accumulate);
    print_remedy(r, 4, what, key, &plan);
    if (plan.needs_whole_batch)
        fprintf(stderr,
                "     (batch normalisation then sees parts of %" PRId64 " samples, not %" PRId64
                ": another result)\n",
                plan.batch / plan.accumulate, plan.batch);
}

/* The smallest budget in which the batch runs, with what that takes. */
static void print_budget(const remedies *r)
{
    char budget[CLI_NUMBER_TEXT], bytes[CLI_NUMBER_TEXT], parts[64] = "", again[64] = "";
    bur_run_plan plan;
    const bur_status status = bur_run_plan_smallest(
        &plan, r->model->recipe, &r->target->target, r->target->fallback, &r->model->train,
        r->model->has_test ? &r->model->test : NULL, r->options);
    if (status != BUR_OK || plan.peak_bytes == 0) {
        plan = *r->plan;
        plan.budget_bytes = plan.peak_bytes;
    }
    if (plan.accumulate > r->plan->accumulate)
        snprintf(parts, sizeof parts, ", in %" PRId64 " parts", plan.accumulate);
    if (plan.recompute < r->plan->recompute)
        snprintf(again, sizeof again, ", with %.0f%% of the work done twice",
                 100 * plan.recomputed_share);
    fprintf(stderr, "       batch=%" PRId64 " needs a budget of %s (%s bytes)%s%s\n", plan.batch,
            cli_bytes_text(budget, sizeof budget, (double)plan.budget_bytes),
            cli_integer_text(bytes, sizeof bytes, (int64_t)plan.budget_bytes), parts, again);
}

int cli_remedies(cli_app *app, const cli_model *model, const cli_target *target,
                 const bur_fit_options *options, const bur_run_plan *plan, int64_t largest)
{
    const remedies r = {app, model, target, options, plan};
    char most[CLI_NUMBER_TEXT];
    fprintf(stderr, "fix:   in this order\n");
    smaller_batch(&r, largest);
    smaller_images(&r);
    lighter_model(&r);
    accumulation(&r);
    if (largest > 0)
        fprintf(stderr, "       the largest that fits as it is: batch=%s\n",
                cli_integer_text(most, sizeof most, largest));
    else
        fprintf(stderr, "       not one sample fits as it is\n");
    print_budget(&r);
    return CLI_MEMORY;
}
