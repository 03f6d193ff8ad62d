/* The memory of a run, watched at the borders of its epochs: where the machine comes to have too
 * little, a run gives some back before the kernel takes it all. The update stays what it was. */
#include "trainer.h"

#include <inttypes.h>
#include <stdio.h>

/* Percent of the last 10 s in which everything waited for memory: from here on a machine works for
 * its memory more than for its programs. */
static const double most_stalled_percent = 10;

/* Why and how far the bytes of a run must come down. */
typedef struct shortage {
    bool is_short;
    uint64_t goal_bytes;
    char why[160];
} shortage;

static double mib(uint64_t bytes)
{
    return (double)bytes / 1048576.0;
}

/* What the process may be large with so much of the RAM left to others: less than it is now where
 * they have less. */
static uint64_t budget_bytes(const bur_host_memory *host, const bur_run_plan *present,
                             uint64_t reserve_bytes, bool *by_limit)
{
    const uint64_t free_bytes = bur_host_free_bytes(host, reserve_bytes, by_limit);
    const uint64_t unseen = *by_limit ? bur__run_budget_unseen_bytes(host, present->file_bytes) : 0;
    const uint64_t most = host->resident_bytes + free_bytes + unseen;
    const uint64_t missing = !*by_limit && host->ram_available_bytes < reserve_bytes
                                 ? reserve_bytes - host->ram_available_bytes
                                 : 0;
    return most > missing ? most - missing : 0;
}

/* A plan leaves a reserve to others; half of it is for what comes and goes. */
static void check_budget(shortage *out, const bur_trainer *trainer, bool is_host,
                         const bur_host_memory *host)
{
    const bur_run_plan *present = &trainer->present;
    const uint64_t given = is_host ? trainer->options.budget_bytes : 0,
                   reserve = bur_host_reserve_bytes(host->ram_bytes),
                   needed = present->peak_bytes - (is_host ? 0 : present->device_bytes);
    bool by_limit = false;
    if (needed <= (given > 0 ? given : budget_bytes(host, present, reserve / 2, &by_limit)))
        return;
    out->is_short = true;
    out->goal_bytes = given > 0 ? given : budget_bytes(host, present, reserve, &by_limit);
    snprintf(out->why, sizeof out->why, "%s now leaves %.1f MiB to a run of %.1f MiB",
             given > 0  ? "the given budget"
             : by_limit ? "the memory limit (cgroup)"
                        : "RAM",
             mib(out->goal_bytes), mib(needed));
}

/* Everything waits although the budget is kept: a quarter of the arena is a step. */
static void check_stalls(shortage *out, const bur_trainer *trainer, const bur_host_memory *host)
{
    const bur_run_plan *present = &trainer->present;
    const uint64_t goal = present->peak_bytes - present->arena_bytes / 4;
    if (host->stalled_percent < most_stalled_percent || goal >= out->goal_bytes)
        return;
    out->is_short = true;
    out->goal_bytes = goal;
    snprintf(out->why, sizeof out->why,
             "everything waited for memory in %.0f%% of the last 10 seconds",
             host->stalled_percent);
}

static shortage find_shortage(const bur_trainer *trainer, bool is_host, const bur_host_memory *host)
{
    shortage found = {.goal_bytes = UINT64_MAX};
    check_budget(&found, trainer, is_host, host);
    check_stalls(&found, trainer, host);
    return found;
}

/* Of the kernels there are: a device keeps them beside those of parts. A batch that is not split
 * has the same kernels with other levers. */
static uint64_t kept_kernel_bytes(const bur_run_sessions *sessions, bool is_whole)
{
    uint64_t bytes = 0;
    if (is_whole)
        return 0;
    for (int32_t i = 0; i < sessions->count; i++)
        bytes += bur_plan_get_summary(sessions->list[i].plan)->code_bytes;
    return bytes;
}

/* The levers that bring the run down to goal_bytes; *lower does not fit if none do. */
static bur_status find_lower(bur_run_plan *lower, bur_fit_options *options, bur_trainer *trainer,
                             const bur_target *target, const bur_target *fallback,
                             uint64_t goal_bytes)
{
    const bur_dataset_info *train = bur_dataset_describe(trainer->source);
    const bur_dataset_info *test =
        trainer->test == NULL ? NULL : bur_dataset_describe(trainer->test);
    bur_run_plan again;
    BUR_TRY(bur_run_plan_make(&again, trainer->recipe, target, fallback, train, test, options));
    /* What plans that are made now count too much (below 0: too little): what the run holds counts
     * as the context's own, what the device keeps does not count. */
    const int64_t surplus_bytes =
        (int64_t)again.bytes[BUR_BYTES_RUNTIME] -
        (int64_t)trainer->present.bytes[BUR_BYTES_RUNTIME] -
        (int64_t)kept_kernel_bytes(&trainer->sessions, again.needs_whole_batch);
    const int64_t budget_bytes = (int64_t)goal_bytes + surplus_bytes;
    if (budget_bytes <= 0)
        return BUR_OK;
    options->budget_bytes = (uint64_t)budget_bytes;
    BUR_TRY(bur__fit_lower(lower, options, trainer->recipe, target, fallback, train, test));
    options->budget_bytes = trainer->options.budget_bytes;
    lower->peak_bytes -= (uint64_t)surplus_bytes; /* modulo 2^64: below 0 it is added */
    lower->needed_bytes -= (uint64_t)surplus_bytes;
    lower->bytes[BUR_BYTES_RUNTIME] -= (uint64_t)surplus_bytes;
    lower->budget_bytes = goal_bytes;
    /* While the persistent region moves it is there twice, in place of the arena. */
    const uint64_t persistent_bytes = lower->device_bytes - lower->arena_bytes;
    lower->fits = lower->fits && persistent_bytes <= trainer->present.arena_bytes;
    return BUR_OK;
}

static bur_status tell_lower(const bur_trainer *trainer, const shortage *found, int64_t epoch,
                             const bur_run_plan *lower)
{
    char how[128], note[512];
    if (lower->accumulate > trainer->present.accumulate)
        snprintf(how, sizeof how, "the batch of %" PRId64 " goes in %" PRId64 " parts of %" PRId64,
                 lower->batch, lower->accumulate, lower->batch / lower->accumulate);
    else
        snprintf(how, sizeof how, "%.0f%% of a step's work is done twice, to keep fewer values",
                 100 * lower->recomputed_share);
    snprintf(note, sizeof note,
             "%s; from epoch %" PRId64 " on %s: the same updates in %.1f MiB less", found->why,
             epoch, how, mib(trainer->present.peak_bytes - lower->peak_bytes));
    return bur__trainer_tell(trainer, BUR_EVENT_NOTE, note);
}

/* Once until there is enough again. */
static bur_status tell_helpless(bur_trainer *trainer, const shortage *found,
                                const bur_target *target, const bur_run_plan *lower)
{
    char note[512];
    if (trainer->was_helpless)
        return BUR_OK;
    trainer->was_helpless = true;
    const char *reason = target->info->unified == 0       ? "what it takes lies on the device"
                         : trainer->options.memory_growth ? "it took its memory piece by piece"
                         : lower->needs_whole_batch
                             ? "it normalises the whole batch, which is not split, and computing "
                               "more values again is not enough"
                             : "smaller parts of the batch and computing values again are not "
                               "enough";
    snprintf(note, sizeof note, "%s; the run cannot give any back: %s", found->why, reason);
    return bur__trainer_tell(trainer, BUR_EVENT_NOTE, note);
}

static bool can_step_down(const bur_trainer *trainer, const bur_target *target)
{
    return target->info->unified != 0 && target->backend->map != NULL &&
           !trainer->options.memory_growth;
}

/* Plans take some MiB themselves, which a limit may not leave: they are made in the arena's place.
 */
static bur_status step_down(bur_run_plan *lower, bur_trainer *trainer, const bur_target *target,
                            const bur_target *fallback, const shortage *found, int64_t epoch)
{
    bur_fit_options options = trainer->options;
    bur__trainer_give_arena(trainer);
    BUR_TRY(find_lower(lower, &options, trainer, target, fallback, found->goal_bytes));
    if (!lower->fits)
        return bur__trainer_take_arena(trainer, target, fallback);
    BUR_TRY(tell_lower(trainer, found, epoch, lower));
    BUR_TRY(bur__trainer_rebind(trainer, &options));
    trainer->present = *lower;
    return BUR_OK;
}

bur_status bur__trainer_watch(bur_trainer *trainer, int64_t epoch)
{
    bur_host_memory host = {0};
    bur_device *cpu = NULL;
    BUR_TRY(bur_device_open(&cpu, trainer->context, "cpu"));
    const bur_target target = bur_device_target(trainer->device), fallback = bur_device_target(cpu);
    if (bur_host_memory_read(&host) != BUR_OK)
        return BUR_OK;
    const shortage found = find_shortage(trainer, target.info->unified != 0, &host);
    trainer->was_helpless = trainer->was_helpless && found.is_short;
    if (!found.is_short)
        return BUR_OK;
    bur_run_plan lower = {.fits = false};
    if (can_step_down(trainer, &target) && !trainer->was_helpless)
        BUR_TRY(step_down(&lower, trainer, &target, &fallback, &found, epoch));
    return lower.fits ? BUR_OK : tell_helpless(trainer, &found, &target, &lower);
}
