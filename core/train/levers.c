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
 * less: where levers can, they leave so much, and so does a budget that is named. */
enum { SLACK_BYTES = 2 << 20 };

/* What the host leaves is read anew by each program that starts, some 0.3 MiB more or less: the
 * batch that is named as the largest must still start. */
enum { READING_BYTES = 1 << 19 };

/* What comes of a share is a stair: a step down to it that is too short meets no edge. */
#define LEAST_STEP 0.02

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

/* Levers and what comes of them; a plan without bytes could not be made. */
typedef struct attempt {
    bur_fit_options options;
    bur_run_plan plan;
} attempt;

/* Plans a->options; without bytes where that is too large for a plan. */
static bur_status try_plan(attempt *a, const fitting *f)
{
    bur_run_sessions sessions;
    a->plan = (bur_run_plan){.fits = false};
    const bur_status status = bur__run_sessions_plan(&sessions, f->recipe, f->target, f->fallback,
                                                     f->train, f->test, &a->options);
    if (is_too_large(status))
        return BUR_OK;
    BUR_TRY(status);
    const bur_status summed = bur__run_plan_sum(&a->plan, &sessions, f->recipe, f->target, f->train,
                                                f->test, &a->options);
    bur__run_sessions_destroy(&sessions);
    return summed;
}

/* Of the budget; below 0: bytes that are lacking. */
static double left_bytes(const bur_run_plan *plan)
{
    return (double)plan->budget_bytes - (double)plan->needed_bytes;
}

/* As try_plan; fits only if it leaves SLACK_BYTES. */
static bur_status try_lever(attempt *a, const fitting *f)
{
    BUR_TRY(try_plan(a, f));
    a->plan.fits = a->plan.fits && left_bytes(&a->plan) >= SLACK_BYTES;
    return BUR_OK;
}

/* As try_plan; a budget that was read from the host is taken to be READING_BYTES less. */
static bur_status try_largest(attempt *a, const fitting *f)
{
    const bool read = a->options.budget_bytes == 0 && !f->target->info->assumed;
    BUR_TRY(try_plan(a, f));
    if (read && a->plan.budget_bytes > READING_BYTES)
        a->plan.budget_bytes -= READING_BYTES;
    a->plan.fits = a->plan.fits && left_bytes(&a->plan) >= 0;
    return BUR_OK;
}

static void keep_smaller(attempt *best, const attempt *other)
{
    const uint64_t bytes = other->plan.needed_bytes, least = best->plan.needed_bytes;
    if (bytes > 0 && (least == 0 || bytes < least))
        *best = *other;
}

/* Of *best and each share, what takes least. */
static bur_status find_deepest(attempt *best, const fitting *f)
{
    attempt deep = *best;
    for (size_t i = 0; i < sizeof deep_shares / sizeof *deep_shares; i++) {
        deep.options.recompute = deep_shares[i];
        BUR_TRY(try_lever(&deep, f));
        keep_smaller(best, &deep);
    }
    return BUR_OK;
}

/* From *out, which does not fit, to the largest share of live values that does, found from what is
 * too much: an arena brought down by so many bytes; to what takes least if none does. */
static bur_status find_recompute(attempt *out, const fitting *f)
{
    enum { ROUNDS = 6 };
    const double from = (double)out->options.recompute, arena = (double)out->plan.arena_bytes;
    double share = from;
    attempt next = *out;
    for (int round = 0; round < ROUNDS && next.plan.arena_bytes > 0; round++) {
        const double over = SLACK_BYTES - left_bytes(&next.plan), step = 1.02 * from * over / arena;
        share -= step > LEAST_STEP ? step : LEAST_STEP;
        if (over <= 0 || share < LEAST_KEPT)
            break;
        next.options.recompute = (float)share;
        BUR_TRY(try_lever(&next, f));
        keep_smaller(out, &next);
        if (next.plan.fits) {
            *out = next;
            return BUR_OK;
        }
    }
    return find_deepest(out, f);
}

/* From *out, which does not fit, to the fewest equal parts of the batch that do, more than there
 * are; to those that take least if none do. A model that looks at the whole batch stays whole. */
static bur_status find_parts(attempt *out, const fitting *f)
{
    attempt next = *out;
    if (out->plan.needs_whole_batch)
        return BUR_OK;
    for (int64_t parts = out->options.accumulate + 1; parts <= out->options.batch; parts++) {
        if (out->options.batch % parts != 0)
            continue;
        next.options.accumulate = parts;
        BUR_TRY(try_lever(&next, f));
        if (next.plan.needs_whole_batch)
            return BUR_OK;
        keep_smaller(out, &next);
        if (next.plan.fits) {
            *out = next;
            return BUR_OK;
        }
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

/* From *out, the whole batch, which does not fit, to what does; where neither lever is enough
 * alone, values of the parts that take least are computed again. Else what takes least. */
static bur_status find_levers(attempt *out, bool may_recompute, bool may_split, const fitting *f)
{
    attempt recomputed = *out, split = *out;
    if (may_recompute)
        BUR_TRY(find_recompute(&recomputed, f));
    if (may_split)
        BUR_TRY(find_parts(&split, f));
    if (may_recompute && !recomputed.plan.fits && !split.plan.fits &&
        split.options.accumulate > out->options.accumulate)
        BUR_TRY(find_recompute(&split, f));
    if (recomputed.plan.fits && is_recompute_faster(&recomputed.plan, &split.plan)) {
        *out = recomputed;
        return BUR_OK;
    }
    *out = split;
    if (!split.plan.fits)
        keep_smaller(out, &recomputed);
    return BUR_OK;
}

/* Parts that stay in the device's cache are the fastest of all: *out goes in such parts if there
 * are any and they fit. */
static bur_status find_cached_parts(attempt *out, const fitting *f)
{
    attempt parts = *out;
    const bur_fit_options *options = &out->options;
    const bur_graph_options graph = {.batch = options->batch,
                                     .mode = BUR_TRAIN,
                                     .loss = options->loss,
                                     .loss_attr = options->loss_attr,
                                     .class_weights = options->class_weights,
                                     .optimizer = options->optimizer,
                                     .early_update = true,
                                     .recompute = options->recompute};
    const bur_status status =
        bur_plan_choose_parts(&parts.options.accumulate, f->recipe, &graph, f->target, f->fallback);
    if (is_too_large(status) || (status == BUR_OK && parts.options.accumulate == 1))
        return BUR_OK;
    BUR_TRY(status);
    BUR_TRY(try_lever(&parts, f));
    if (parts.plan.fits)
        *out = parts;
    return BUR_OK;
}

/* A lever that is left open is not used. */
static attempt start(const bur_fit_options *options)
{
    attempt a = {.options = *options, .plan = {.fits = false}};
    a.options.accumulate = options->accumulate == 0 ? 1 : options->accumulate;
    a.options.recompute = options->recompute == 0 ? 1 : options->recompute;
    return a;
}

bur_status bur__fit_levers(bur_run_plan *out, bur_fit_options *options, const bur_recipe *recipe,
                           const bur_target *target, const bur_target *fallback,
                           const bur_dataset_info *train, const bur_dataset_info *test)
{
    const fitting f = {recipe, target, options->fallback_off ? NULL : fallback, train, test};
    const bool may_split = options->accumulate == 0, may_recompute = options->recompute == 0;
    attempt best = start(options);
    if (may_split)
        BUR_TRY(find_cached_parts(&best, &f));
    if (!best.plan.fits)
        BUR_TRY(try_plan(&best, &f));
    if (!best.plan.fits || left_bytes(&best.plan) < SLACK_BYTES) {
        attempt levers = best;
        levers.plan.fits = false; /* not by SLACK_BYTES: it may not stand in for a lever */
        BUR_TRY(find_levers(&levers, may_recompute, may_split, &f));
        if (levers.plan.fits)
            best = levers;
    }
    *out = best.plan;
    *options = best.options;
    return BUR_OK;
}

bur_status bur__fit_lower(bur_run_plan *out, bur_fit_options *options, const bur_recipe *recipe,
                          const bur_target *target, const bur_target *fallback,
                          const bur_dataset_info *train, const bur_dataset_info *test)
{
    const fitting f = {recipe, target, options->fallback_off ? NULL : fallback, train, test};
    attempt present = {.options = *options, .plan = {.fits = false}};
    BUR_TRY(try_plan(&present, &f));
    attempt lower = present;
    BUR_TRY(find_parts(&lower, &f));
    if (!lower.plan.fits) {
        lower = present;
        BUR_TRY(find_recompute(&lower, &f));
    }
    *out = lower.plan;
    if (lower.plan.fits)
        *options = lower.options;
    return BUR_OK;
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
    set.budget_bytes = 1; /* nothing fits: the levers go as far as they can */
    attempt best = start(&set);
    BUR_TRY(try_plan(&best, &f));
    BUR_TRY(find_levers(&best, set.recompute == 0, set.accumulate == 0, &f));
    *out = best.plan;
    out->budget_bytes = out->needed_bytes + out->needed_bytes / PAGE_TABLE_SHARE + SLACK_BYTES;
    return BUR_OK;
}

/* A batch in one piece, with every value kept unless a share is given. */
static bur_status start_whole(attempt *out, const bur_fit_options *options,
                              const bur_dataset_info *train, int64_t batch)
{
    bur_fit_options set;
    BUR_TRY(bur__fit_options(&set, options, train));
    set.batch = batch;
    set.accumulate = 1;
    *out = start(&set);
    return BUR_OK;
}

/* Between a batch that fits and one that does not, whose plan may have no bytes: where bytes, which
 * grow almost in proportion to the batch, would meet the budget; now and then the middle, should
 * they not. */
static int64_t next_batch(int64_t fit, const bur_run_plan *fitting_plan, int64_t over,
                          const bur_run_plan *larger_plan, int round)
{
    const int64_t middle = fit + (over - fit) / 2;
    const uint64_t less = fitting_plan->needed_bytes, more = larger_plan->needed_bytes;
    const double slope = more > less ? (double)(more - less) / (double)(over - fit)
                                     : (double)fitting_plan->arena_bytes / (double)fit;
    if (round % 4 == 3 || !(slope > 0))
        return middle;
    const double step = left_bytes(fitting_plan) / slope;
    if (step >= (double)(over - fit))
        return round == 0 ? middle : over - 1;
    return fit + (step < 1 ? 1 : (int64_t)step);
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
    bur_run_plan best = {.fits = false}, larger = best;
    for (int round = 0; over - fit > 1; round++) {
        attempt whole;
        BUR_TRY(start_whole(&whole, options, train, batch));
        BUR_TRY(try_largest(&whole, &f));
        if (whole.plan.fits) {
            fit = batch;
            best = whole.plan;
        } else {
            over = batch;
            larger = whole.plan;
        }
        batch = fit == 0 ? fit + (over - fit) / 2 : next_batch(fit, &best, over, &larger, round);
    }
    *out = fit;
    return BUR_OK;
}
