/* The sessions of a run and what they take, for core/train. */
#ifndef BUR_TRAIN_RUN_PLAN_H
#define BUR_TRAIN_RUN_PLAN_H

#include <burthen/train.h>

enum { RUN_MAX_SESSIONS = 8 };

/* One session that a run needs: a mode at a batch size. */
typedef struct bur_run_session {
    bur_mode mode;
    int64_t batch;
    bur_graph *graph;
    bur_plan *plan;
    bur_session *session; /* NULL until the trainer binds it */
} bur_run_session;

/* All sessions of a run, over one persistent region and one arena. */
typedef struct bur_run_sessions {
    bur_run_session list[RUN_MAX_SESSIONS];
    int32_t count;
    size_t persistent_chunk_bytes, arena_chunk_bytes; /* of memory that grows: its pieces; else 0 */
} bur_run_sessions;

/* Samples set apart for validation: the last floor(n * split) or so, as Keras splits. */
int64_t bur__validation_count(int64_t samples, double split);

/* Fills in the schedule's defaults, for so many epochs; BUR_E_ARG names what is no schedule. */
bur_status bur__schedule_complete(bur_schedule *schedule, int64_t epochs);

/* Fills in what is zero in the options, but for accumulate; checks ranges (BUR_E_ARG). */
bur_status bur__fit_options(bur_fit_options *out, const bur_fit_options *options,
                            const bur_dataset_info *train);

/* Settles options->accumulate and options->recompute where they are 0: a batch that fits is split
 * only where that is faster; one that does not computes values again, or goes in parts where no
 * operator looks at the whole batch. Where nothing helps they are 1. *out is the plan with them,
 * without bytes if none could be made. */
bur_status bur__fit_levers(bur_run_plan *out, bur_fit_options *options, const bur_recipe *recipe,
                           const bur_target *target, const bur_target *fallback,
                           const bur_dataset_info *train, const bur_dataset_info *test);

/* Lowers the bytes of a run that is under way to options->budget_bytes: the fewest more parts of
 * the same batch that fit, where no operator looks at the whole batch; else values are computed
 * again. *out is the plan with the new levers; where nothing fits it does not, and options are as
 * they were. */
bur_status bur__fit_lower(bur_run_plan *out, bur_fit_options *options, const bur_recipe *recipe,
                          const bur_target *target, const bur_target *fallback,
                          const bur_dataset_info *train, const bur_dataset_info *test);

/* Graphs and plans of a run. `options` are complete (bur__fit_options). */
bur_status bur__run_sessions_plan(bur_run_sessions *out, const bur_recipe *recipe,
                                  const bur_target *target, const bur_target *fallback,
                                  const bur_dataset_info *train, const bur_dataset_info *test,
                                  const bur_fit_options *options);
/* Adds one more if it is not there; *out is the session's place in the list. */
bur_status bur__run_sessions_add(bur_run_sessions *sessions, const bur_recipe *recipe,
                                 const bur_target *target, const bur_target *fallback,
                                 const bur_fit_options *options, bur_mode mode, int64_t batch,
                                 bur_run_session **out);
/* Destroys all but the first `count`. */
void bur__run_sessions_keep(bur_run_sessions *sessions, int32_t count);
void bur__run_sessions_destroy(bur_run_sessions *sessions);

/* The model's input and output must be the data's (BUR_E_SHAPE). */
bur_status bur__run_check_data(const bur_recipe *recipe, const bur_dataset_info *data);

/* Reads what the process holds of no file, once for a context and before planning adds to it:
 * backends keep descriptions of kernels, and those of a run count as its kernels'. */
void bur__run_budget_start(bur_context *context);

/* Of a plan's pages of files those that are not resident yet: of a group's limit they count as
 * free in the share in which it is not charged for those that are. */
uint64_t bur__run_budget_unseen_bytes(const bur_host_memory *host, uint64_t file_bytes);

/* Adds to a plan, whose runtime are its kernels so far, what program and libraries take; sets its
 * peak, what of it must fit where and whether it does. `loaded_bytes` of its data are there. */
void bur__run_budget_judge(bur_run_plan *plan, const bur_recipe *recipe, const bur_target *target,
                           const bur_fit_options *options, size_t loaded_bytes);

/* Sums up bytes and budget of planned sessions. */
bur_status bur__run_plan_sum(bur_run_plan *out, const bur_run_sessions *sessions,
                             const bur_recipe *recipe, const bur_target *target,
                             const bur_dataset_info *train, const bur_dataset_info *test,
                             const bur_fit_options *options);

/* The loader of a part of the data; `shuffle` for training. */
bur_loader_options bur__loader_options(const bur_fit_options *options, bool shuffle);

#endif
