/* The trainer's insides, for core/train. */
#ifndef BUR_TRAIN_TRAINER_H
#define BUR_TRAIN_TRAINER_H

#include "run_plan.h"

#include <stdatomic.h>

/* What schedule=plateau has seen of a fit. */
typedef struct bur_plateau {
    double best_loss, share; /* share: of the learning rate, by now */
    int64_t epochs;          /* since the best loss or the last decay */
} bur_plateau;

struct bur_trainer {
    bur_context *context;
    const bur_recipe *recipe;
    bur_fit_options options; /* complete */
    bur_run_plan plan;       /* of the start */
    bur_run_plan present;    /* the same, or what the run was stepped down to */
    size_t grown_bytes[2];   /* with memory_growth: on the device before the first update, and after
                                its gradients */
    bool was_helpless;       /* memory is short, nothing can be done, and it was said */
    bool has_no_arena;       /* it was given back and no other was to be had */

    bur_device *device;
    bur_run_sessions sessions;
    bur_memory *memory;

    bur_dataset *train, *validation; /* views of the data; validation may be NULL */
    const bur_dataset *source;       /* the caller's, of which these are views */
    const bur_dataset *test;         /* the caller's; may be NULL */
    bur_loader *loader, *validation_loader, *test_loader;

    /* Host copy of parameters and optimizer state, for a device without mapped memory, and where
     * the run was then. */
    char *snapshot;
    int64_t snapshot_ns, snapshot_updates, snapshot_step;
    float snapshot_totals[BUR_RESULT_WORDS];
    bool snapshot_is_mixed; /* a copy was begun and not finished */

    bur_epoch *history;
    int64_t n_history, history_room;
    int64_t updates;                   /* optimizer steps so far */
    int64_t first_update, last_update; /* of the present fit: updates before it and at its end */
    int64_t step;                      /* of these, in the present epoch */
    bur_plateau plateau;
    atomic_bool stop;
};

void bur__plateau_start(bur_plateau *plateau);
/* After an epoch: another loss. */
void bur__plateau_look(bur_plateau *plateau, const bur_schedule *schedule, double loss);

/* Plans, allocates and binds all sessions on trainer->device. */
bur_status bur__trainer_bind(bur_trainer *trainer);
void bur__trainer_unbind(bur_trainer *trainer);

/* Gives the arena back and what is bound to it, so that there is memory to plan in; until the run
 * is bound anew or has its arena again there is only its state to be saved. */
void bur__trainer_give_arena(bur_trainer *trainer);
/* Takes the arena again, for the sessions there are. */
bur_status bur__trainer_take_arena(bur_trainer *trainer, const bur_target *target,
                                   const bur_target *fallback);

/* Plans and binds the run anew with other levers; state, data and position stay. A failure other
 * than BUR_E_UNSUPPORTED leaves the state to be saved, and nothing to run. */
bur_status bur__trainer_rebind(bur_trainer *trainer, const bur_fit_options *options);
/* Reads the budget again, before `epoch` begins, and steps the run down where it has become too
 * small or everything waits for memory; tells what it does, or once that it can do nothing. */
bur_status bur__trainer_watch(bur_trainer *trainer, int64_t epoch);

/* The bound session of a mode and batch size, made if the run had no use for it yet. */
bur_status bur__trainer_session(bur_trainer *trainer, bur_mode mode, int64_t batch,
                                bur_session **out);

/* Updates of a whole epoch. */
int64_t bur__trainer_epoch_updates(const bur_trainer *trainer);
/* The learning rate of update number `update`, from 0, of the present fit. */
double bur__trainer_learning_rate(const bur_trainer *trainer, int64_t update);
/* Scalars of the step after `updates` steps. */
bur_scalars bur__trainer_scalars(const bur_trainer *trainer, double weight_sum);

/* Copies the state to the host if its time has come (or at once). */
bur_status bur__trainer_snapshot(bur_trainer *trainer, bool at_once);
/* After a device was lost: brings parameters, totals and position of the last snapshot back, on the
 * CPU. Gives `lost` back if that cannot be. */
bur_status bur__trainer_recover(bur_trainer *trainer, bur_status lost);

/* State tensors that a file holds, the first of the session: parameters, with `state` the
 * optimizer's too. */
int32_t bur__saved_count(const bur_session *session, bool state);
/* The state tensor that is the average of a parameter; -1 if there is none. */
int32_t bur__average_of(const bur_session *session, int32_t parameter);

/* Tells the caller; BUR_OK without a callback. */
bur_status bur__trainer_tell(const bur_trainer *trainer, bur_event event, const void *data);

#endif
