/**
 * burthen/train.h: planning a run, fitting, evaluating, saving and loading.
 */
#ifndef BURTHEN_TRAIN_H
#define BURTHEN_TRAIN_H

#include <burthen/data.h>
#include <burthen/format.h>
#include <burthen/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One finished epoch. Metric: accuracy for classes (in training by their weights, if any), mean
 * absolute error for values. NaN where there is no validation set. */
typedef struct bur_epoch {
    int64_t epoch;   /* from 1 */
    int64_t updates; /* optimizer steps so far */
    double loss, metric, val_loss, val_metric;
    double penalty; /* l1 sum |p| + l2 sum p^2 of the weights at its end; what is minimised is the
                       loss, which is without it, and this */
    double seconds, samples_per_s;
    double learning_rate; /* of its last update */
    double wait_s;        /* of the training loop for the loader */
    double ram_percent;   /* of the host in use at its end, bur_host_memory.used_percent */
} bur_epoch;

/** Progress within an epoch; loss and metric are means over the epoch so far. */
typedef struct bur_progress {
    int64_t epoch, epochs, step, steps;
    double loss, metric, samples_per_s, eta_s, ram_percent;
} bur_progress;

typedef enum bur_event {
    BUR_EVENT_PLANNED,
    BUR_EVENT_PROGRESS,
    BUR_EVENT_EPOCH,
    BUR_EVENT_NOTE
} bur_event;

/** Called from the training thread. `data` is const bur_run_plan* (planned, before anything is
 * allocated), bur_progress* (at most 10 times a second), bur_epoch* or char* (a note for the user).
 * Anything but BUR_OK ends training after this step with that status. */
typedef bur_status (*bur_callback)(void *user, bur_event event, const void *data);

/* name, word, decay and decay_epochs if none are given; 0 epochs: a third of the fit's */
#define BUR_SCHEDULE_MAP(X)                                                                        \
    X(CONSTANT, constant, 1, 1)                                                                    \
    X(COSINE, cosine, 1, 1)                                                                        \
    X(EXPONENTIAL, exponential, 0.9F, 1)                                                           \
    X(STEP, step, 0.1F, 0)                                                                         \
    X(PLATEAU, plateau, 0.1F, 10) /* as Keras' ReduceLROnPlateau */

typedef enum bur_schedule_kind {
#define BUR_SCHEDULE_ENUM(name, text, decay, epochs) BUR_SCHEDULE_##name,
    BUR_SCHEDULE_MAP(BUR_SCHEDULE_ENUM)
#undef BUR_SCHEDULE_ENUM
        BUR_SCHEDULE_COUNT
} bur_schedule_kind;

/** How the learning rate changes during a fit. All zero: it does not. */
typedef struct bur_schedule {
    bur_schedule_kind kind;
    int64_t warmup;       /* updates over which the rate first rises linearly */
    float decay;          /* what the rate is multiplied by; 0: that of the map above */
    int64_t decay_epochs; /* after so many epochs; plateau: after so many without a better loss;
                             0: that of the map above */
} bur_schedule;

/** The share of the learning rate that update `update` (from 0) of `updates` takes, with
 * `epoch_updates` to an epoch, which depends on nothing else. Of u updates, n in all, w of them
 * warm-up, e = u / epoch_updates: (u + 1) / (w + 1) while u < w (Goyal et al. 2017), then
 * constant, plateau: 1
 * cosine: (1 + cos(pi (u - w) / (n - w))) / 2 (Loshchilov and Hutter 2017, without restarts)
 * exponential: decay^(e / decay_epochs); step: decay^floor(e / decay_epochs), as Keras'
 * ExponentialDecay without and with its staircase.
 * A plateau multiplies this by decay whenever the loss, of the validation if there is any, was not
 * 1e-4 better than the best for decay_epochs epochs, as Keras' ReduceLROnPlateau.
 * The fields must be complete: no defaults are filled in. */
BUR_API double bur_schedule_share(const bur_schedule *schedule, int64_t update, int64_t updates,
                                  int64_t epoch_updates);
BUR_API const char *bur_schedule_name(bur_schedule_kind kind);

/** Zero in a field means its default. */
typedef struct bur_fit_options {
    int64_t batch;           /* effective batch; 32 */
    int64_t epochs;          /* 1 */
    int64_t accumulate;      /* micro-batches per update, divides batch; 0: what is fastest, or fits
                                where the batch does not in one piece */
    float recompute;         /* to what share live bytes come by computing forward values again, see
                                bur_graph_options; 1: none are; 0: what makes the batch fit */
    bur_optimizer optimizer; /* all zero: adam; no learning_rate or no attr: the kind's defaults */
    bur_schedule schedule;   /* of the learning rate */
    bur_loss loss;           /* cross_entropy for classes, mse for values */
    bur_loss_attr loss_attr; /* delta, smoothing (in training alone), ignored label */
    const float *class_weights; /* of each class, in training: its samples' share in the mean, as
                                   PyTorch has it; borrowed while the trainer lives; NULL: 1 */
    double validation_split;    /* the last share of the training samples, taken before shuffling */
    uint64_t seed;
    uint64_t budget_bytes;              /* what the run may use; 0: what the device has */
    const bur_calibration *calibration; /* of the target's kernel times, for plans; may be NULL */
    double snapshot_s; /* seconds between host copies of the parameters on a device; 10 */
    int64_t max_steps; /* stop after so many updates; 0: no limit */
    bur_placement_effort placement; /* of every plan of the run */
    bool memory_growth; /* take the device's memory piece by piece, as the first step needs it, not
                           all at the start; tells once how it grew */
    bool fallback_off;  /* neither unsupported operators nor a lost device go to the CPU */
    bur_callback callback;
    void *callback_user;
} bur_fit_options;

/** What a run will take, known before its first allocation. */
typedef struct bur_run_plan {
    const char *model;
    char device[BUR_NAME_BYTES];
    int64_t batch, accumulate;
    float recompute;         /* 1: nothing is computed again */
    double recomputed_share; /* of the work of a step, estimated */
    uint64_t budget_bytes;
    uint64_t needed_bytes; /* what must fit the budget: of the plan, what lies in that memory */
    uint64_t peak_bytes;   /* the sum of bytes[] */
    uint64_t device_bytes; /* of peak_bytes: in the device's own memory */
    uint64_t file_bytes;   /* of peak_bytes: pages of the program's and libraries' files */
    uint64_t bytes[BUR_BYTE_CLASS_COUNT];
    size_t arena_bytes, lower_bound_bytes; /* largest over the run's sessions */
    double step_s;     /* predicted, of an update; 0: nothing is known of the device's times */
    const char *binds; /* "RAM", "cgroup limit", "device memory", "given budget" */
    bool fits;
    bool needs_whole_batch; /* bur_graph_needs_whole_batch: it is not split by itself */
    int32_t fallback_nodes;
} bur_run_plan;

/** Plans a run of `recipe` on `target`: training session, partial last batch, evaluation, loader,
 * data set, snapshot, runtime. Nothing is allocated on the device. `test` may be NULL. Host bytes
 * of a device with its own memory count against the host's budget, its own against the device's.
 * BUR_OK even if it does not fit (see `fits`). */
BUR_API bur_status bur_run_plan_make(bur_run_plan *out, const bur_recipe *recipe,
                                     const bur_target *target, const bur_target *fallback,
                                     const bur_dataset_info *train, const bur_dataset_info *test,
                                     const bur_fit_options *options);

/** The largest batch whose plan fits the budget, 0 if not even one sample does. Of a budget that is
 * read from the host half a MiB is left: the run that takes this batch reads it again. */
BUR_API bur_status bur_run_plan_largest(int64_t *out, const bur_recipe *recipe,
                                        const bur_target *target, const bur_target *fallback,
                                        const bur_dataset_info *train, const bur_dataset_info *test,
                                        const bur_fit_options *options);

/** The least that the levers left to the planner (accumulate, recompute of 0) can bring a batch to;
 * budget_bytes is what that takes as a budget or a limit: a little more, for page tables and what
 * the process grows by until the run starts. No bytes if not even that can be planned. */
BUR_API bur_status bur_run_plan_smallest(bur_run_plan *out, const bur_recipe *recipe,
                                         const bur_target *target, const bur_target *fallback,
                                         const bur_dataset_info *train,
                                         const bur_dataset_info *test,
                                         const bur_fit_options *options);

/** Measures what each class of kernels reaches of the device's limits, on steps of small networks
 * that have them all, and keeps it in the user's cache for plans of models that were never measured
 * (bur_device_calibration). Takes below three seconds on a processor. */
BUR_API bur_status bur_device_probe(bur_device *device);

/** A run: planned, allocated, trained, evaluated. */
typedef struct bur_trainer bur_trainer;

/** Plans the run, tells it by BUR_EVENT_PLANNED, refuses with BUR_E_BUDGET (both numbers and what
 * would fit), then allocates and initialises. Recipe and data must outlive the trainer. */
BUR_API bur_status bur_trainer_create(bur_trainer **out, bur_device *device,
                                      const bur_recipe *recipe, const bur_data *data,
                                      const bur_fit_options *options);
BUR_API void bur_trainer_destroy(bur_trainer *trainer);
BUR_API const bur_run_plan *bur_trainer_plan(const bur_trainer *trainer);
/** The device in use: the CPU after a device was lost. */
BUR_API bur_device *bur_trainer_device(const bur_trainer *trainer);
/** The training session, for reading parameters and profiles. */
BUR_API bur_session *bur_trainer_session(bur_trainer *trainer);

/** Trains options.epochs epochs. BUR_E_DIVERGED when the loss is no number; BUR_E_STOPPED after
 * bur_trainer_stop; the callback's status. What was trained until then is kept. */
BUR_API bur_status bur_trainer_fit(bur_trainer *trainer);
/** Asks a fit to end after the present step; may be called from a signal handler or other thread.
 */
BUR_API void bur_trainer_stop(bur_trainer *trainer);
/** The epochs so far. Borrowed until the next fit. */
BUR_API const bur_epoch *bur_trainer_history(const bur_trainer *trainer, int64_t *count);

/** Mean loss and metric over a data set. */
BUR_API bur_status bur_trainer_evaluate(bur_trainer *trainer, const bur_dataset *dataset,
                                        double *loss, double *metric);

/** Saves or loads parameters (and, with `state`, optimizer state) as safetensors. With an
 * optimizer's ema what is saved without `state` are the averages, as evaluation reads them, and
 * what is loaded so is the average too. Loading checks every name, dtype and shape before the first
 * is written: BUR_E_FORMAT names the first difference. Files with metadata "format": "pt", as
 * safetensors.torch writes them, are PyTorch's: convolutions [out, in, y, x] and dense layers
 * [out, in] are turned round; the zoo's names for torchvision's models are torchvision's. What else
 * is in a file is left alone.
 */
BUR_API bur_status bur_trainer_save(bur_trainer *trainer, const char *path, bool state);
BUR_API bur_status bur_trainer_load(bur_trainer *trainer, const char *path, bool state);

#ifdef __cplusplus
}
#endif
#endif
