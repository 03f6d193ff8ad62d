/* Trainers: from data and recipe to bound sessions. */
#include "trainer.h"
#include "../base/context.h"
#include "../run/session.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

bur_status bur__trainer_tell(const bur_trainer *trainer, bur_event event, const void *data)
{
    const bur_callback callback = trainer->options.callback;
    return callback == NULL ? BUR_OK : callback(trainer->options.callback_user, event, data);
}

static const bur_dataset_info *test_info(const bur_trainer *trainer)
{
    return trainer->test == NULL ? NULL : bur_dataset_describe(trainer->test);
}

/* What this plan holds is given back first: it would count against the batches that are looked at.
 */
static bur_status refuse(bur_trainer *trainer, const bur_target *target, const bur_target *fallback,
                         const bur_dataset_info *train)
{
    int64_t largest = 0;
    bur__run_sessions_destroy(&trainer->sessions);
    BUR_TRY(bur_run_plan_largest(&largest, trainer->recipe, target, fallback, train,
                                 test_info(trainer), &trainer->options));
    const double mib = 1048576.0;
    return bur_fail(
        BUR_E_BUDGET,
        "%s with batch %" PRId64
        " needs %.1f MiB, %s leaves %.1f MiB (%s); the largest batch that fits is %" PRId64,
        trainer->plan.model, trainer->plan.batch, (double)trainer->plan.needed_bytes / mib,
        trainer->plan.device, (double)trainer->plan.budget_bytes / mib, trainer->plan.binds,
        largest);
}

static void forget_plans(const bur_target *target, const bur_target *fallback)
{
    const bur_backend *const backends[] = {target->backend, fallback->backend};
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (backends[i]->forget != NULL)
            backends[i]->forget();
    bur__heap_trim();
}

/* Plans the sessions on the trainer's device and refuses what does not fit. What planning took,
 * this and the caller's, is given back before the budget is read and before the run takes its
 * memory. */
static bur_status make_plan(bur_trainer *trainer, const bur_dataset_info *train)
{
    bur_device *cpu = NULL;
    BUR_TRY(bur_device_open(&cpu, trainer->context, "cpu"));
    const bur_target target = bur_device_target(trainer->device), fallback = bur_device_target(cpu);
    forget_plans(&target, &fallback);
    BUR_TRY(bur__fit_levers(&trainer->plan, &trainer->options, trainer->recipe, &target, &fallback,
                            train, test_info(trainer)));
    forget_plans(&target, &fallback);
    BUR_TRY(bur__run_sessions_plan(&trainer->sessions, trainer->recipe, &target, &fallback, train,
                                   test_info(trainer), &trainer->options));
    BUR_TRY(bur__run_plan_sum(&trainer->plan, &trainer->sessions, trainer->recipe, &target, train,
                              test_info(trainer), &trainer->options));
    trainer->present = trainer->plan;
    BUR_TRY(bur__trainer_tell(trainer, BUR_EVENT_PLANNED, &trainer->plan));
    return trainer->plan.fits ? BUR_OK : refuse(trainer, &target, &fallback, train);
}

static bur_status bind_session(const bur_trainer *trainer, bur_run_session *entry)
{
    return entry->session != NULL
               ? BUR_OK
               : bur_session_create(&entry->session, trainer->memory, entry->plan);
}

static bur_status bind_sessions(const bur_trainer *trainer, bur_run_sessions *sessions)
{
    for (int32_t i = 0; i < sessions->count; i++)
        BUR_TRY(bind_session(trainer, &sessions->list[i]));
    return BUR_OK;
}

static void list_plans(const bur_plan *plans[RUN_MAX_SESSIONS], const bur_run_sessions *sessions)
{
    for (int32_t i = 0; i < sessions->count; i++)
        plans[i] = sessions->list[i].plan;
}

bur_status bur__trainer_bind(bur_trainer *trainer)
{
    const bur_plan *plans[RUN_MAX_SESSIONS];
    list_plans(plans, &trainer->sessions);
    BUR_TRY((trainer->options.memory_growth ? bur_memory_create_growing : bur_memory_create)(
        &trainer->memory, trainer->device, plans, trainer->sessions.count));
    return bind_sessions(trainer, &trainer->sessions);
}

void bur__trainer_unbind(bur_trainer *trainer)
{
    bur__run_sessions_destroy(&trainer->sessions);
    bur_memory_destroy(trainer->memory);
    trainer->memory = NULL;
}

bur_status bur__trainer_session(bur_trainer *trainer, bur_mode mode, int64_t batch,
                                bur_session **out)
{
    for (int32_t i = 0; i < trainer->sessions.count; i++) {
        const bur_run_session *known = &trainer->sessions.list[i];
        if (known->mode == mode && known->batch == batch) {
            *out = known->session;
            return BUR_OK;
        }
    }
    bur_device *cpu = NULL;
    BUR_TRY(bur_device_open(&cpu, trainer->context, "cpu"));
    const bur_target target = bur_device_target(trainer->device), fallback = bur_device_target(cpu);
    bur_run_session *entry = NULL;
    BUR_TRY(bur__run_sessions_add(&trainer->sessions, trainer->recipe, &target, &fallback,
                                  &trainer->options, mode, batch, &entry));
    BUR_TRY(bind_session(trainer, entry));
    *out = entry->session;
    return BUR_OK;
}

/* Loaders of what is evaluated, in place of those there are: they go by the size of the parts. */
static bur_status open_evaluation(bur_trainer *trainer)
{
    const bur_loader_options evaluating = bur__loader_options(&trainer->options, false);
    bur_loader_destroy(trainer->validation_loader);
    bur_loader_destroy(trainer->test_loader);
    trainer->validation_loader = trainer->test_loader = NULL;
    if (trainer->validation != NULL)
        BUR_TRY(bur_loader_create(&trainer->validation_loader, trainer->context,
                                  trainer->validation, &evaluating));
    if (trainer->test != NULL)
        BUR_TRY(
            bur_loader_create(&trainer->test_loader, trainer->context, trainer->test, &evaluating));
    return BUR_OK;
}

static bur_status open_data(bur_trainer *trainer, const bur_data *data)
{
    const int64_t count = bur_dataset_describe(data->train)->count;
    const int64_t n_val = bur__validation_count(count, trainer->options.validation_split);
    BUR_TRY(bur_dataset_view(&trainer->train, data->train, 0, count - n_val));
    if (n_val > 0)
        BUR_TRY(bur_dataset_view(&trainer->validation, data->train, count - n_val, n_val));
    if (n_val > 0 && bur_dataset_is_sorted(data->train))
        BUR_TRY(bur__trainer_tell(trainer, BUR_EVENT_NOTE,
                                  "the labels are sorted: the validation part misses classes"));
    const bur_loader_options training = bur__loader_options(&trainer->options, true);
    BUR_TRY(bur_loader_create(&trainer->loader, trainer->context, trainer->train, &training));
    return open_evaluation(trainer);
}

/* Memory and sessions of `sessions`, which take the place of the trainer's. */
static bur_status replace_sessions(bur_trainer *trainer, bur_run_sessions *sessions)
{
    const bur_plan *plans[RUN_MAX_SESSIONS];
    list_plans(plans, sessions);
    const bur_status status = bur__memory_replan(trainer->memory, plans, sessions->count);
    trainer->has_no_arena = status != BUR_OK && status != BUR_E_UNSUPPORTED;
    BUR_TRY(status);
    trainer->has_no_arena = true; /* until something is bound to it */
    BUR_TRY(bind_sessions(trainer, sessions));
    bur__run_sessions_destroy(&trainer->sessions);
    trainer->sessions = *sessions;
    trainer->has_no_arena = false;
    return BUR_OK;
}

void bur__trainer_give_arena(bur_trainer *trainer)
{
    trainer->has_no_arena = true;
    for (int32_t i = 0; i < trainer->sessions.count; i++)
        if (trainer->sessions.list[i].session != NULL)
            bur__session_unbind(trainer->sessions.list[i].session);
    bur__memory_give_back(trainer->memory);
}

bur_status bur__trainer_take_arena(bur_trainer *trainer, const bur_target *target,
                                   const bur_target *fallback)
{
    const bur_plan *plans[RUN_MAX_SESSIONS];
    forget_plans(target, fallback);
    list_plans(plans, &trainer->sessions);
    BUR_TRY(bur__memory_replan(trainer->memory, plans, trainer->sessions.count));
    for (int32_t i = 0; i < trainer->sessions.count; i++)
        if (trainer->sessions.list[i].session != NULL)
            BUR_TRY(bur__session_bind(trainer->sessions.list[i].session));
    trainer->has_no_arena = false;
    return BUR_OK;
}

bur_status bur__trainer_rebind(bur_trainer *trainer, const bur_fit_options *options)
{
    bur_device *cpu = NULL;
    bur_run_sessions sessions;
    BUR_TRY(bur_device_open(&cpu, trainer->context, "cpu"));
    const bur_target target = bur_device_target(trainer->device), fallback = bur_device_target(cpu);
    BUR_TRY(bur__run_sessions_plan(&sessions, trainer->recipe, &target, &fallback,
                                   bur_dataset_describe(trainer->source), test_info(trainer),
                                   options));
    forget_plans(&target, &fallback);
    const bur_status status = replace_sessions(trainer, &sessions);
    if (status != BUR_OK) {
        bur__run_sessions_destroy(&sessions);
        return status;
    }
    trainer->options = *options;
    return open_evaluation(trainer);
}

/* The session whose tensors stand for the run's: any training session. */
bur_session *bur_trainer_session(bur_trainer *trainer)
{
    for (int32_t i = 0; i < trainer->sessions.count; i++)
        if (trainer->sessions.list[i].mode == BUR_TRAIN)
            return trainer->sessions.list[i].session;
    return NULL;
}

static bur_status create(bur_trainer *trainer, const bur_data *data)
{
    BUR_TRY(make_plan(trainer, bur_dataset_describe(data->train)));
    BUR_TRY(bur__trainer_bind(trainer));
    BUR_TRY(open_data(trainer, data));
    trainer->history_room = trainer->options.epochs;
    trainer->history =
        bur_alloc_array(trainer->context, (size_t)trainer->history_room, sizeof *trainer->history);
    if (trainer->history == NULL)
        return BUR_E_NOMEM;
    BUR_TRY(bur_session_initialize(bur_trainer_session(trainer), trainer->recipe,
                                   trainer->options.seed));
    return bur__trainer_snapshot(trainer, true);
}

bur_status bur_trainer_create(bur_trainer **out, bur_device *device, const bur_recipe *recipe,
                              const bur_data *data, const bur_fit_options *options)
{
    static const bur_fit_options defaults;
    if (out == NULL || device == NULL || recipe == NULL || data == NULL || data->train == NULL)
        return bur_fail(BUR_E_ARG, "bur_trainer_create: NULL argument");
    bur_context *context = bur_device_context(device);
    bur_fit_options set;
    BUR_TRY(bur__fit_options(&set, options == NULL ? &defaults : options,
                             bur_dataset_describe(data->train)));
    bur_trainer *trainer = bur_alloc(context, sizeof *trainer);
    if (trainer == NULL)
        return BUR_E_NOMEM;
    trainer->context = context;
    trainer->recipe = recipe;
    trainer->options = set;
    trainer->device = device;
    trainer->source = data->train;
    trainer->test = data->test;
    bur__plateau_start(&trainer->plateau);
    const bur_status status = create(trainer, data);
    if (status != BUR_OK) {
        bur_trainer_destroy(trainer);
        return status;
    }
    *out = trainer;
    return BUR_OK;
}

void bur_trainer_destroy(bur_trainer *trainer)
{
    if (trainer == NULL)
        return;
    bur_loader_destroy(trainer->loader);
    bur_loader_destroy(trainer->validation_loader);
    bur_loader_destroy(trainer->test_loader);
    bur_dataset_destroy(trainer->train);
    bur_dataset_destroy(trainer->validation);
    bur__trainer_unbind(trainer);
    bur_free(trainer->context, trainer->snapshot);
    bur_free(trainer->context, trainer->history);
    bur_free(trainer->context, trainer);
}

const bur_run_plan *bur_trainer_plan(const bur_trainer *trainer)
{
    return &trainer->plan;
}

bur_device *bur_trainer_device(const bur_trainer *trainer)
{
    return trainer->device;
}

void bur_trainer_stop(bur_trainer *trainer)
{
    atomic_store(&trainer->stop, true);
}

const bur_epoch *bur_trainer_history(const bur_trainer *trainer, int64_t *count)
{
    *count = trainer->n_history;
    return trainer->history;
}

int64_t bur__trainer_epoch_updates(const bur_trainer *trainer)
{
    const int64_t batch = trainer->options.batch;
    return (bur_dataset_describe(trainer->train)->count + batch - 1) / batch;
}

double bur__trainer_learning_rate(const bur_trainer *trainer, int64_t update)
{
    const bur_fit_options *options = &trainer->options;
    const int64_t first = trainer->first_update;
    return (double)options->optimizer.learning_rate * trainer->plateau.share *
           bur_schedule_share(&options->schedule, update - first, trainer->last_update - first,
                              bur__trainer_epoch_updates(trainer));
}

bur_scalars bur__trainer_scalars(const bur_trainer *trainer, double weight_sum)
{
    const bur_optimizer *optimizer = &trainer->options.optimizer;
    const double t = (double)trainer->updates + 1;
    return (bur_scalars){
        .learning_rate = (float)bur__trainer_learning_rate(trainer, trainer->updates),
        .inverse_weight_sum = weight_sum > 0 ? (float)(1 / weight_sum) : 0,
        .correction1 = (float)(1 / (1 - pow((double)optimizer->attr.beta1, t))),
        .correction2 = (float)(1 / (1 - pow((double)optimizer->attr.beta2, t))),
        .seed = {(uint32_t)trainer->options.seed, (uint32_t)(trainer->options.seed >> 32)},
        .step = {(uint32_t)trainer->updates, (uint32_t)((uint64_t)trainer->updates >> 32)},
    };
}
