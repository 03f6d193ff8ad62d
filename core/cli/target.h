/* target.h: the device of a run, present or described, and the batch size that suits its memory. */
#ifndef BUR_CLI_TARGET_H
#define BUR_CLI_TARGET_H

#include "cli.h"
#include "model.h"

typedef struct cli_target {
    bur_device *device;         /* the context's */
    bur_device_info info;       /* the device's, or with the memory that --ram describes */
    bur_target target;          /* points to info: do not copy */
    bur_target host;            /* the CPU, for operators that the device lacks */
    const bur_target *fallback; /* &host, or NULL */
    uint64_t memory_bytes;      /* what the batch class goes by: RAM if shared with the host */
    bool is_host;               /* trains in host memory */
} cli_target;

/* Opens --device, or describes a device by --ram or --device-memory: then the memory of this
 * computer is never read. Prints the error and gives its exit code. */
int cli_target_open(cli_target *out, cli_app *app);

/* The batch sizes that suit a class of computers. */
typedef struct cli_batch_class {
    double nominal_gib; /* the class begins at 90% of it: a 16 GB laptop reports 15.x GiB */
    int64_t low, high;
    const char *text;
    double most_macs; /* of a sample, of the models that the documents name for the class */
    const char *models;
} cli_batch_class;

const cli_batch_class *cli_batch_class_of(const cli_target *target);

/* What batch=auto takes and why: the upper end of the class, or the largest power of two that fits
 * or that there are samples for. `batch` is 0 if nothing fits. */
typedef struct cli_batch_choice {
    int64_t batch, largest; /* the largest that fits, at most all training samples */
    bool samples_bind;      /* `largest` is all training samples, not what memory takes */
    const cli_batch_class *batch_class;
    char reason[BUR_TEXT_BYTES];
} cli_batch_choice;

/* Whether a model takes more work than those that the documents name for this class of computer;
 * *macs is what it takes a sample. */
bur_status cli_model_is_heavy(bool *heavy, int64_t *macs, const cli_target *target,
                              const cli_model *model);

bur_status cli_batch_choose(cli_batch_choice *out, const cli_target *target, const cli_model *model,
                            const bur_fit_options *options);

#endif
