/* What makes a batch fit that would not: values computed again, then parts. Neither changes the
 * update but for the rounding of sums over parts. */
#include "run_plan.h"

#include <string.h>

/* Where no times are known: beyond this share of a step's work spent on computing again, a batch in
 * parts is taken to be faster. */
#define MOST_RECOMPUTED 0.33

/* Shares of the live bytes to ask for when none in particular is wanted. What comes of them need
 * not fall with them: values are dropped in larger groups, the more is asked. */
static const float deep_shares[] = {0.5F, 0.4F, 0.3F, 0.2F, 0.1F};
#define LEAST_KEPT 0.1

/* Between a plan and the start of its run the process grows a little, and a limit leaves as much
 * less: levers that are taken to make a batch fit leave so much. */
enum { SLACK_BYTES = 1 << 19 };

/* Of a limit go to page tables: 8 bytes for a page of 4 KiB, twice for what is not full. */
enum { PAGE_TABLE_SHARE = 256 };

/* A run being fitted: what bur_run_plan_make takes. */
typedef struct fitting {
    const bur_recipe *recipe;
    const bur_target *target, *fallback;
    const bur_dataset_info *train, *test;
} fitting;

/* Beyond the device's largest allocation, or beyond numbers: a no, not an error. */
static bool is_too_large(bur_status status)
{
    return status == BUR_E_BUDGET || status == BUR_E_RANGE;
}

/* The plan with these levers; without bytes where it is too large for one. */
static bur_status try_plan(bur_run_plan *out, const fitting *f, const bur_fit_options *options)
{
    bur_run_sessions sessions;
    *out = (bur_run_plan){.fits = false};
    const bur_status status = bur__run_sessions_plan(&sessions, f->recipe, f->target, f->fallback,
                                                     f->train, f->test, options);
    if (is_too_large(status))
        return BUR_OK;
    BUR_TRY(status);
    const bur_status summed =
        bur__run_plan_sum(out, &sessions, f->recipe, f->target, f->train, f->test, options);
    bur__run_sessions_destroy(&sessions);
    return summed;
}

/* A plan that could not be made has no bytes. */
static bool is_smaller(const bur_run_plan *plan, const bur_run_plan *than)
{
    return plan->peak_bytes > 0 && (than->peak_bytes == 0 || plan->peak_bytes < than->peak_bytes);
}

/* The same, of which a lever is to make a run that starts. */
static bur_status try_lever(bur_run_plan *out, const fitting *f, const bur_fit_options *options)
{
    BUR_TRY(try_plan(out, f, options));
    out->fits = out->fits && out->budget_bytes - out->peak_bytes >= SLACK_BYTES;
    return BUR_OK;
}

/* The share that takes least. */
static bur_status find_deepest(bur_run_plan *out, const fitting *f, bur_fit_options *options)
{
    bur_fit_options set = *options;
    bur_run_plan plan;
    for (size_t i = 0; i < sizeof deep_shares / sizeof *deep_shares; i++) {
        set.recompute = deep_shares[i];
        BUR_TRY(try_lever(&plan, f, &set));
        if (!is_smaller(&plan, out))
            continue;
        *out = plan;
        *options = set;
    }
    return BUR_OK;
}

/* The largest share of live values that fits, found from what is too much: an arena brought down by
 * so many bytes; what takes least if none does. */
static bur_status find_recompute(bur_run_plan *out, const fitting *f, const bur_run_plan *whole,
                                 bur_fit_options *options)
{
    enum { ROUNDS = 6 };
    const double from = (double)options->recompute;
    double share = from;
    bur_run_plan plan = *whole;
    for (int round = 0; round < ROUNDS && !plan.fits; round++) {
        if (plan.arena_bytes == 0)
            break;
        const double over = (double)plan.peak_bytes + SLACK_BYTES - (double)plan.budget_bytes;
        const double next = share - 1.02 * from * over / (double)whole->arena_bytes;
        if (over <= 0 || next < LEAST_KEPT)
            break;
        share = next;
        options->recompute = (float)share;
        BUR_TRY(try_lever(&plan, f, options));
    }
    if (!plan.fits)
        BUR_TRY(find_deepest(&plan, f, options));
    *out = plan;
    return BUR_OK;
}

/* The fewest equal parts of the batch that fit, more than there are; those that take least if none
 * do. */
static bur_status find_parts(bur_run_plan *out, const fitting *f, bur_fit_options *options)
{
    bur_fit_options set = *options;
    bur_run_plan plan;
    for (int64_t parts = options->accumulate + 1; parts <= set.batch; parts++) {
        if (set.batch % parts != 0)
            continue;
        set.accumulate = parts;
        BUR_TRY(try_lever(&plan, f, &set));
        if (plan.fits || is_smaller(&plan, out)) {
            *out = plan;
            *options = set;
        }
        if (plan.fits)
            return BUR_OK;
    }
    return BUR_OK;
}

/* The faster of two ways that fit, as far as times are known. */
static bool is_recompute_faster(const bur_run_plan *recomputed, const bur_run_plan *split)
{
    if (!split->fits)
        return true;
    return recomputed->step_s > 0 && split->step_s > 0
               ? recomputed->step_s <= split->step_s
               : recomputed->recomputed_share <= MOST_RECOMPUTED;
}

/* `options` are those of the whole batch, which does not fit. Where neither lever is enough alone,
 * values of the parts that take least are computed again. */
static bur_status make_fit(bur_fit_options *options, bool may_recompute, bool may_split,
                           const fitting *f, const bur_run_plan *whole)
{
    bur_fit_options again = *options, parts = *options;
    bur_run_plan recomputed = {.fits = false}, split = {.fits = false};
    may_split = may_split && !whole->needs_whole_batch;
    if (may_recompute)
        BUR_TRY(find_recompute(&recomputed, f, whole, &again));
    if (may_split)
        BUR_TRY(find_parts(&split, f, &parts));
    if (recomputed.fits && is_recompute_faster(&recomputed, &split)) {
        *options = again;
        return BUR_OK;
    }
    if (may_split && may_recompute && !split.fits)
        BUR_TRY(find_recompute(&split, f, &split, &parts));
    if (split.fits)
        *options = parts;
    return BUR_OK;
}

/* Parts that stay in the device's cache are the fastest of all: *out fits if there are such that
 * fit. */
static bur_status find_cached_parts(bur_run_plan *out, const fitting *f, bur_fit_options *options)
{
    const bur_graph_options graph = {.batch = options->batch,
                                     .mode = BUR_TRAIN,
                                     .loss = options->loss,
                                     .loss_attr = options->loss_attr,
                                     .class_weights = options->class_weights,
                                     .optimizer = options->optimizer,
                                     .early_update = true,
                                     .recompute = options->recompute};
    bur_fit_options parts = *options;
    const bur_status status =
        bur_plan_choose_parts(&parts.accumulate, f->recipe, &graph, f->target, f->fallback);
    if (is_too_large(status) || (status == BUR_OK && parts.accumulate == 1))
        return BUR_OK;
    BUR_TRY(status);
    BUR_TRY(try_lever(out, f, &parts));
    if (out->fits)
        *options = parts;
    return BUR_OK;
}

bur_status bur__fit_levers(bur_run_plan *out, bur_fit_options *options, const bur_recipe *recipe,
                           const bur_target *target, const bur_target *fallback,
                           const bur_dataset_info *train, const bur_dataset_info *test)
{
    const fitting f = {recipe, target, options->fallback_off ? NULL : fallback, train, test};
    const bool may_split = options->accumulate == 0, may_recompute = options->recompute == 0;
    *out = (bur_run_plan){.fits = false};
    if (may_split)
        options->accumulate = 1;
    if (may_recompute)
        options->recompute = 1;
    if (may_split)
        BUR_TRY(find_cached_parts(out, &f, options));
    if (out->fits || (!may_split && !may_recompute))
        return BUR_OK;
    BUR_TRY(try_plan(out, &f, options));
    if (out->fits)
        return BUR_OK;
    const bur_run_plan whole = *out;
    *out = (bur_run_plan){.fits = false};
    return make_fit(options, may_recompute, may_split, &f, &whole);
}

bur_status bur__fit_lower(bur_run_plan *out, bur_fit_options *options, const bur_recipe *recipe,
                          const bur_target *target, const bur_target *fallback,
                          const bur_dataset_info *train, const bur_dataset_info *test)
{
    const fitting f = {recipe, target, options->fallback_off ? NULL : fallback, train, test};
    bur_fit_options parts = *options, again = *options;
    bur_run_plan present;
    BUR_TRY(try_plan(&present, &f, options));
    *out = present;
    if (!present.needs_whole_batch)
        BUR_TRY(find_parts(out, &f, &parts));
    if (out->fits) {
        *options = parts;
        return BUR_OK;
    }
    BUR_TRY(find_recompute(out, &f, &present, &again));
    if (out->fits)
        *options = again;
    return BUR_OK;
}

/* The plan of a batch as it is, in one piece and with every value kept. */
static bur_status plan_whole(bur_run_plan *out, const fitting *f, const bur_fit_options *options,
                             int64_t batch)
{
    bur_fit_options set;
    BUR_TRY(bur__fit_options(&set, options, f->train));
    set.batch = batch;
    set.accumulate = 1;
    set.recompute = set.recompute == 0 ? 1 : set.recompute;
    return try_plan(out, f, &set);
}

bur_status bur_run_plan_smallest(bur_run_plan *out, const bur_recipe *recipe,
                                 const bur_target *target, const bur_target *fallback,
                                 const bur_dataset_info *train, const bur_dataset_info *test,
                                 const bur_fit_options *options)
{
    if (out == NULL || recipe == NULL || target == NULL || train == NULL || options == NULL)
        return bur_fail(BUR_E_ARG, "bur_run_plan_smallest: NULL argument");
    const fitting f = {recipe, target, options->fallback_off ? NULL : fallback, train, test};
    bur_fit_options set;
    BUR_TRY(bur__fit_options(&set, options, train));
    const bool may_split = set.accumulate == 0, may_recompute = set.recompute == 0;
    bur_run_plan best, other = {.fits = false};
    set.budget_bytes = 1; /* nothing fits: the levers go as far as they can */
    set.accumulate = may_split ? 1 : set.accumulate;
    set.recompute = may_recompute ? 1 : set.recompute;
    BUR_TRY(try_plan(&best, &f, &set));
    bur_fit_options parts = set;
    if (may_recompute)
        BUR_TRY(find_recompute(&other, &f, &best, &set));
    if (is_smaller(&other, &best))
        best = other;
    other = (bur_run_plan){.fits = false};
    if (may_split && !best.needs_whole_batch)
        BUR_TRY(find_parts(&other, &f, &parts));
    if (is_smaller(&other, &best))
        best = other;
    if (may_split && may_recompute && other.peak_bytes > 0)
        BUR_TRY(find_recompute(&other, &f, &other, &parts));
    if (is_smaller(&other, &best))
        best = other;
    best.budget_bytes = best.peak_bytes + best.peak_bytes / PAGE_TABLE_SHARE + 2 * SLACK_BYTES;
    *out = best;
    return BUR_OK;
}

/* Between a batch that fits and one that does not, whose plan may have no bytes: where bytes, which
 * grow almost in proportion to the batch, would meet the budget; now and then the middle, should
 * they not. */
static int64_t next_batch(int64_t fit, const bur_run_plan *fitting_plan, int64_t over,
                          const bur_run_plan *larger_plan, int round)
{
    const int64_t middle = fit + (over - fit) / 2;
    const double left = (double)fitting_plan->budget_bytes - (double)fitting_plan->peak_bytes;
    const double slope =
        larger_plan->peak_bytes > fitting_plan->peak_bytes
            ? (double)(larger_plan->peak_bytes - fitting_plan->peak_bytes) / (double)(over - fit)
            : (double)fitting_plan->arena_bytes / (double)fit;
    if (round % 4 == 3 || !(slope > 0) || !(left >= 0))
        return middle;
    const double more = left / slope;
    if (more >= (double)(over - fit))
        return round == 0 ? middle : over - 1;
    return fit + (more < 1 ? 1 : (int64_t)more);
}

bur_status bur_run_plan_largest(int64_t *out, const bur_recipe *recipe, const bur_target *target,
                                const bur_target *fallback, const bur_dataset_info *train,
                                const bur_dataset_info *test, const bur_fit_options *options)
{
    const fitting f = {recipe, target, options->fallback_off ? NULL : fallback, train, test};
    /* A batch larger than the training set is the training set. */
    const int64_t most =
        train->count - bur__validation_count(train->count, options->validation_split);
    int64_t fit = 0, over = most + 1, batch = 1;
    bur_run_plan plan, best = {.fits = false}, larger = best;
    for (int round = 0; over - fit > 1; round++) {
        BUR_TRY(plan_whole(&plan, &f, options, batch));
        if (plan.fits) {
            fit = batch;
            best = plan;
        } else {
            over = batch;
            larger = plan;
        }
        batch = fit == 0 ? fit + (over - fit) / 2 : next_batch(fit, &best, over, &larger, round);
    }
    *out = fit;
    return BUR_OK;
}
