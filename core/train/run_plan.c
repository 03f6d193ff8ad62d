/* Plans of runs: the sessions they need, their bytes, their budget. */
#include "run_plan.h"
#include "../base/size.h"
#include "../base/context.h"
#include "../plan/plan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MIB = 1 << 20 };

int64_t bur__validation_count(int64_t samples, double split)
{
    return samples - (int64_t)floor((double)samples * (1 - split));
}

/* Zero is a default: without kind and rate it is Adam's, else that of the kind. What stands around
 * the step of any optimizer is kept. */
static bur_optimizer complete_optimizer(const bur_optimizer *optimizer)
{
    static const bur_optimizer_attr none;
    bur_optimizer set = *optimizer;
    if (set.kind == BUR_SGD && set.learning_rate == 0)
        set.kind = BUR_ADAM;
    const bur_optimizer standard = bur_optimizer_default(set.kind);
    bur_optimizer_attr own = set.attr; /* of the step itself */
    own.l1 = own.l2 = own.weight_decay = own.clip_value = own.clip_norm = own.ema = 0;
    own.proximal = 0;
    if (set.learning_rate == 0)
        set.learning_rate = standard.learning_rate;
    if (memcmp(&own, &none, sizeof none) != 0)
        return set;
    const bur_optimizer_attr around = set.attr;
    set.attr = standard.attr;
    set.attr.l1 = around.l1;
    set.attr.l2 = around.l2;
    set.attr.proximal = around.proximal;
    set.attr.clip_value = around.clip_value;
    set.attr.clip_norm = around.clip_norm;
    set.attr.ema = around.ema;
    if (around.weight_decay != 0)
        set.attr.weight_decay = around.weight_decay;
    return set;
}

/* Fields that must be finite and at least 0. */
static bur_status check_not_negative(const bur_optimizer_attr *attr)
{
    const struct {
        const char *name;
        float value;
    } fields[] = {
        {"epsilon", attr->epsilon},
        {"initial", attr->initial},
        {"l1", attr->l1},
        {"l2", attr->l2},
        {"weight_decay", attr->weight_decay},
        {"clip_value", attr->clip_value},
        {"clip_norm", attr->clip_norm},
        {"ema", attr->ema},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!(fields[i].value >= 0 && isfinite(fields[i].value)))
            return bur_fail(BUR_E_ARG, "%s %g is not at least 0", fields[i].name,
                            (double)fields[i].value);
    return BUR_OK;
}

static bur_status check_optimizer(const bur_optimizer *optimizer)
{
    const bur_optimizer_attr *attr = &optimizer->attr;
    if ((unsigned)optimizer->kind >= BUR_OPTIMIZER_COUNT)
        return bur_fail(BUR_E_ARG, "optimizer %d is unknown", (int)optimizer->kind);
    if (!isfinite(optimizer->learning_rate) || optimizer->learning_rate < 0)
        return bur_fail(BUR_E_ARG, "learning rate %g", (double)optimizer->learning_rate);
    if (!(attr->momentum >= 0 && attr->momentum < 1))
        return bur_fail(BUR_E_ARG, "momentum %g is not in [0, 1)", (double)attr->momentum);
    if (!(attr->beta1 >= 0 && attr->beta1 < 1 && attr->beta2 >= 0 && attr->beta2 < 1))
        return bur_fail(BUR_E_ARG, "beta1 %g and beta2 %g are not both in [0, 1)",
                        (double)attr->beta1, (double)attr->beta2);
    if (attr->ema >= 1)
        return bur_fail(BUR_E_ARG, "ema %g is not below 1", (double)attr->ema);
    return check_not_negative(attr);
}

static bur_status check_loss(const bur_fit_options *options, const bur_dataset_info *train)
{
    const bur_loss_attr *attr = &options->loss_attr;
    const float *weights = options->class_weights;
    if ((unsigned)options->loss >= BUR_LOSS_COUNT)
        return bur_fail(BUR_E_ARG, "loss %d is unknown", (int)options->loss);
    if ((options->loss == BUR_LOSS_CROSS_ENTROPY) != (train->classes > 0))
        return bur_fail(BUR_E_ARG, "loss %s with %s", bur_loss_name(options->loss),
                        train->classes > 0 ? "class labels" : "values as targets");
    if (train->classes == 0 && (weights != NULL || attr->smoothing != 0 || attr->ignores != 0))
        return bur_fail(BUR_E_ARG,
                        "class weights, smoothing and an ignored label are for class labels");
    if (!(attr->smoothing >= 0 && attr->smoothing < 1))
        return bur_fail(BUR_E_ARG, "smoothing %g is not in [0, 1)", (double)attr->smoothing);
    if (!(attr->delta >= 0 && isfinite(attr->delta)))
        return bur_fail(BUR_E_ARG, "delta %g is not at least 0", (double)attr->delta);
    for (int32_t i = 0; weights != NULL && i < train->classes; i++)
        if (!(weights[i] >= 0 && isfinite(weights[i])))
            return bur_fail(BUR_E_ARG,
                            "the weight of class %" PRId32 " is %g; at least 0 is needed", i,
                            (double)weights[i]);
    return BUR_OK;
}

bur_status bur__fit_options(bur_fit_options *out, const bur_fit_options *options,
                            const bur_dataset_info *train)
{
    bur_fit_options set = *options;
    set.batch = set.batch == 0 ? 32 : set.batch;
    set.epochs = set.epochs == 0 ? 1 : set.epochs;
    set.snapshot_s = set.snapshot_s > 0 ? set.snapshot_s : 10;
    set.optimizer = complete_optimizer(&set.optimizer);
    if (set.loss == BUR_LOSS_NONE)
        set.loss = train->classes > 0 ? BUR_LOSS_CROSS_ENTROPY : BUR_LOSS_MSE;
    if (set.batch < 1 || set.epochs < 1 || set.accumulate < 0)
        return bur_fail(BUR_E_ARG,
                        "batch %" PRId64 ", epochs %" PRId64 ", accumulate %" PRId64
                        "; none may be below 1",
                        set.batch, set.epochs, set.accumulate);
    if (set.accumulate > 0 && set.batch % set.accumulate != 0)
        return bur_fail(BUR_E_ARG, "batch %" PRId64 " is not a multiple of accumulate %" PRId64,
                        set.batch, set.accumulate);
    if (!(set.recompute >= 0 && set.recompute <= 1))
        return bur_fail(BUR_E_ARG, "recompute %g is not in [0, 1]", (double)set.recompute);
    if (!(set.validation_split >= 0 && set.validation_split < 1))
        return bur_fail(BUR_E_ARG, "validation_split %g is not in [0, 1)", set.validation_split);
    BUR_TRY(check_optimizer(&set.optimizer));
    BUR_TRY(bur__schedule_complete(&set.schedule, set.epochs));
    BUR_TRY(check_loss(&set, train));
    if (train->count - bur__validation_count(train->count, set.validation_split) < 1)
        return bur_fail(BUR_E_ARG,
                        "validation_split %g leaves none of %" PRId64 " samples to train on",
                        set.validation_split, train->count);
    *out = set;
    return BUR_OK;
}

bur_loader_options bur__loader_options(const bur_fit_options *options, bool shuffle)
{
    /* Evaluation goes in micro-batches: it has nothing to add up. */
    return (bur_loader_options){.batch =
                                    shuffle ? options->batch : options->batch / options->accumulate,
                                .shuffle = shuffle,
                                .seed = options->seed};
}

bur_status bur__run_sessions_add(bur_run_sessions *sessions, const bur_recipe *recipe,
                                 const bur_target *target, const bur_target *fallback,
                                 const bur_fit_options *options, bur_mode mode, int64_t batch,
                                 bur_run_session **out)
{
    for (int32_t i = 0; i < sessions->count; i++)
        if (sessions->list[i].mode == mode && sessions->list[i].batch == batch) {
            *out = &sessions->list[i];
            return BUR_OK;
        }
    if (sessions->count == RUN_MAX_SESSIONS)
        return bur_fail(BUR_E_RANGE, "a run has at most %d sessions", RUN_MAX_SESSIONS);
    const bur_graph_options graph_options = {.batch = batch,
                                             .mode = mode,
                                             .loss = options->loss,
                                             .loss_attr = options->loss_attr,
                                             .class_weights = options->class_weights,
                                             .optimizer = options->optimizer,
                                             .accumulate = options->accumulate > 1,
                                             .early_update = true,
                                             .recompute =
                                                 mode == BUR_TRAIN ? options->recompute : 0};
    bur_target pieces = *target;
    if (sessions->arena_chunk_bytes > 0) {
        pieces.persistent_chunk_bytes = sessions->persistent_chunk_bytes;
        pieces.arena_chunk_bytes = sessions->arena_chunk_bytes;
    }
    bur_run_session *added = &sessions->list[sessions->count];
    *added = (bur_run_session){.mode = mode, .batch = batch};
    BUR_TRY(bur_graph_create(&added->graph, recipe, &graph_options));
    pieces.placement = options->placement;
    const bur_status status = bur_plan_create(&added->plan, added->graph, &pieces,
                                              options->fallback_off ? NULL : fallback);
    if (status != BUR_OK) {
        bur_graph_destroy(added->graph);
        return status;
    }
    sessions->count++;
    *out = added;
    return BUR_OK;
}

void bur__run_sessions_keep(bur_run_sessions *sessions, int32_t count)
{
    while (sessions->count > count) {
        const bur_run_session *last = &sessions->list[--sessions->count];
        bur_session_destroy(last->session);
        bur_plan_destroy(last->plan);
        bur_graph_destroy(last->graph);
    }
}

void bur__run_sessions_destroy(bur_run_sessions *sessions)
{
    bur__run_sessions_keep(sessions, 0);
}

bur_status bur__run_check_data(const bur_recipe *recipe, const bur_dataset_info *data)
{
    const bur_desc *x = bur_recipe_input_desc(recipe), *y = bur_recipe_output_desc(recipe);
    if (x == NULL || y == NULL)
        return bur_fail(BUR_E_ARG, "model '%s' has no input or no output", bur_recipe_name(recipe));
    bur_shape sample = {.rank = x->shape.rank - 1};
    memcpy(sample.dim, x->shape.dim + 1, (size_t)sample.rank * sizeof *sample.dim);
    char a[BUR_SHAPE_TEXT], b[BUR_SHAPE_TEXT];
    if (!bur_shape_equal(&sample, &data->sample))
        return bur_fail(BUR_E_SHAPE, "model '%s' takes samples of %s, data '%s' has %s",
                        bur_recipe_name(recipe), bur_shape_format(a, sizeof a, &sample), data->name,
                        bur_shape_format(b, sizeof b, &data->sample));
    int64_t outputs = 0, wanted = data->classes;
    bur_shape output = y->shape;
    BUR_TRY(bur_shape_count(&outputs, &output));
    if (data->classes == 0)
        BUR_TRY(bur_shape_count(&wanted, &data->target));
    if (outputs != wanted)
        return bur_fail(BUR_E_SHAPE,
                        "model '%s' has %" PRId64 " outputs, data '%s' has %" PRId64 " %s",
                        bur_recipe_name(recipe), outputs, data->name, wanted,
                        data->classes > 0 ? "classes" : "values");
    return BUR_OK;
}

static bur_status plan_sessions(bur_run_sessions *sessions, const bur_recipe *recipe,
                                const bur_target *target, const bur_target *fallback,
                                const bur_dataset_info *train, const bur_dataset_info *test,
                                const bur_fit_options *options)
{
    const int64_t n_val = bur__validation_count(train->count, options->validation_split);
    const int64_t n_train = train->count - n_val, micro = options->batch / options->accumulate;
    const struct {
        bur_mode mode;
        int64_t samples, batch;
    } parts[] = {
        {BUR_TRAIN, n_train, options->batch},
        {BUR_EVALUATE, n_val, micro},
        {BUR_EVALUATE, test == NULL ? 0 : test->count, micro},
    };
    bur_run_session *ignored = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].samples >= micro)
            BUR_TRY(bur__run_sessions_add(sessions, recipe, target, fallback, options,
                                          parts[i].mode, micro, &ignored));
        const int64_t rest = parts[i].samples % parts[i].batch % micro;
        if (rest > 0)
            BUR_TRY(bur__run_sessions_add(sessions, recipe, target, fallback, options,
                                          parts[i].mode, rest, &ignored));
    }
    return BUR_OK;
}

/* The largest buffer of a region in any session. */
static size_t largest_buffer(const bur_run_sessions *sessions, bur_region region)
{
    size_t most = 0;
    for (int32_t i = 0; i < sessions->count; i++) {
        const size_t bytes = bur__plan_largest_buffer(sessions->list[i].plan, region);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* What a region takes in which every session has room. */
static size_t shared_bytes(const bur_run_sessions *sessions, bur_region region)
{
    const bur_plan *plans[RUN_MAX_SESSIONS];
    for (int32_t i = 0; i < sessions->count; i++)
        plans[i] = sessions->list[i].plan;
    return bur__plan_shared_bytes(plans, sessions->count, region);
}

/* Pieces of memory that grows: an eighth of what the run takes on the device, or the largest tensor
 * of the region. */
static void choose_pieces(bur_run_sessions *out, const bur_run_sessions *whole)
{
    enum { PIECES = 8 };
    const size_t eighth = (shared_bytes(whole, BUR_REGION_PERSISTENT) +
                           shared_bytes(whole, BUR_REGION_ARENA)) /
                          PIECES,
                 tensor = largest_buffer(whole, BUR_REGION_PERSISTENT),
                 temporary = largest_buffer(whole, BUR_REGION_ARENA);
    out->persistent_chunk_bytes = eighth > tensor ? eighth : tensor;
    out->arena_chunk_bytes = eighth > temporary ? eighth : temporary;
}

bur_status bur__run_sessions_plan(bur_run_sessions *out, const bur_recipe *recipe,
                                  const bur_target *target, const bur_target *fallback,
                                  const bur_dataset_info *train, const bur_dataset_info *test,
                                  const bur_fit_options *options)
{
    BUR_TRY(bur__run_check_data(recipe, train));
    if (test != NULL)
        BUR_TRY(bur__run_check_data(recipe, test));
    bur__run_budget_start(bur_recipe_context(recipe));
    bur_run_sessions sessions = {.count = 0};
    bur_status status = plan_sessions(&sessions, recipe, target, fallback, train, test, options);
    if (status == BUR_OK && options->memory_growth) {
        bur_run_sessions pieces = {.count = 0};
        choose_pieces(&pieces, &sessions);
        bur__run_sessions_destroy(&sessions);
        sessions = pieces;
        status = plan_sessions(&sessions, recipe, target, fallback, train, test, options);
    }
    if (status != BUR_OK) {
        bur__run_sessions_destroy(&sessions);
        return status;
    }
    *out = sessions;
    return BUR_OK;
}

/* Bytes of the regions that every session fits into, by class as in the largest session. */
static void sum_regions(bur_run_plan *out, const bur_run_sessions *sessions)
{
    const size_t arena = shared_bytes(sessions, BUR_REGION_ARENA),
                 persistent = shared_bytes(sessions, BUR_REGION_PERSISTENT),
                 host = shared_bytes(sessions, BUR_REGION_HOST);
    size_t most = 0, known = 0, code = 0;
    const bur_plan_summary *largest = NULL;
    for (int32_t i = 0; i < sessions->count; i++) {
        const bur_plan_summary *s = bur_plan_get_summary(sessions->list[i].plan);
        if (s->arena_bytes > most) {
            most = s->arena_bytes;
            out->lower_bound_bytes = s->lower_bound_bytes;
        }
        code += s->code_bytes;
        if (largest == NULL || s->total_bytes > largest->total_bytes)
            largest = s;
        const double again = bur_graph_recomputed_share(sessions->list[i].graph);
        out->recomputed_share = again > out->recomputed_share ? again : out->recomputed_share;
        out->needs_whole_batch |= bur_graph_needs_whole_batch(sessions->list[i].graph);
    }
    for (int32_t c = 0; c < BUR_BYTE_CLASS_COUNT && largest != NULL; c++) {
        out->bytes[c] = largest->bytes[c];
        known += largest->bytes[c];
    }
    out->bytes[BUR_BYTES_WORKSPACE] += arena + persistent + host - known;
    out->bytes[BUR_BYTES_RUNTIME] = code;
    out->arena_bytes = arena;
    out->device_bytes = arena + persistent;
    out->fallback_nodes = largest == NULL ? 0 : largest->fallback_nodes;
}

/* What is drawn, loaded or saved goes through a host copy of one tensor. */
static uint64_t largest_tensor_bytes(const bur_recipe *recipe)
{
    uint64_t most = 0;
    for (int32_t i = 0; i < bur_recipe_parameter_count(recipe); i++) {
        const uint64_t bytes = bur_desc_bytes(&bur_recipe_parameter_at(recipe, i)->desc);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static uint64_t state_bytes(const bur_run_plan *plan)
{
    return plan->bytes[BUR_BYTES_PARAMETERS] + plan->bytes[BUR_BYTES_OPTIMIZER];
}

/* Of an update: its micro-batches one after the other, then the optimizer. */
static double step_seconds(const bur_run_sessions *sessions, const bur_fit_options *options)
{
    const int64_t micro = options->batch / options->accumulate;
    for (int32_t i = 0; i < sessions->count && options->calibration != NULL; i++) {
        const bur_run_session *session = &sessions->list[i];
        if (session->mode != BUR_TRAIN || session->batch != micro)
            continue;
        const bur_step_time time = bur_plan_step_time(session->plan, options->calibration);
        if (time.known)
            return (double)options->accumulate * time.accumulate_s + time.update_s;
    }
    return 0;
}

bur_status bur__run_plan_sum(bur_run_plan *out, const bur_run_sessions *sessions,
                             const bur_recipe *recipe, const bur_target *target,
                             const bur_dataset_info *train, const bur_dataset_info *test,
                             const bur_fit_options *options)
{
    bur_run_plan plan = {.model = bur_recipe_name(recipe),
                         .batch = options->batch,
                         .accumulate = options->accumulate,
                         .recompute = options->recompute};
    snprintf(plan.device, sizeof plan.device, "%s", target->info->name);
    sum_regions(&plan, sessions);
    const bur_loader_options training = bur__loader_options(options, true);
    const bur_loader_options evaluating = bur__loader_options(options, false);
    plan.bytes[BUR_BYTES_LOADER] += bur_loader_bytes(train, &training);
    if (options->validation_split > 0)
        plan.bytes[BUR_BYTES_LOADER] += bur_loader_bytes(train, &evaluating);
    if (test != NULL)
        plan.bytes[BUR_BYTES_LOADER] += bur_loader_bytes(test, &evaluating);
    plan.bytes[BUR_BYTES_DATASET] = train->bytes + (test == NULL ? 0 : test->bytes);
    /* A device without mapped memory has a copy of its state on the host against its loss. */
    const uint64_t tensor_bytes = largest_tensor_bytes(recipe);
    plan.bytes[BUR_BYTES_CHECKPOINT] =
        tensor_bytes + (target->backend->map != NULL ? 0 : state_bytes(&plan));
    const size_t loaded_bytes =
        (train->loaded ? train->bytes : 0) + (test != NULL && test->loaded ? test->bytes : 0);
    plan.step_s = step_seconds(sessions, options);
    bur__run_budget_judge(&plan, recipe, target, options, loaded_bytes);
    *out = plan;
    return BUR_OK;
}

bur_status bur_run_plan_make(bur_run_plan *out, const bur_recipe *recipe, const bur_target *target,
                             const bur_target *fallback, const bur_dataset_info *train,
                             const bur_dataset_info *test, const bur_fit_options *options)
{
    if (out == NULL || recipe == NULL || target == NULL || train == NULL || options == NULL)
        return bur_fail(BUR_E_ARG, "bur_run_plan_make: NULL argument");
    bur_fit_options set;
    BUR_TRY(bur__fit_options(&set, options, train));
    bur_run_plan plan;
    BUR_TRY(bur__fit_levers(&plan, &set, recipe, target, fallback, train, test));
    if (plan.peak_bytes > 0) {
        *out = plan;
        return BUR_OK;
    }
    bur_run_sessions sessions; /* says why it could not be planned */
    BUR_TRY(bur__run_sessions_plan(&sessions, recipe, target, fallback, train, test, &set));
    const bur_status status = bur__run_plan_sum(out, &sessions, recipe, target, train, test, &set);
    bur__run_sessions_destroy(&sessions);
    return status;
}
