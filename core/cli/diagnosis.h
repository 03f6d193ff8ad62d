/* diagnosis.h: what a plan tells of a run that trains worse than it could. */
#ifndef BUR_CLI_DIAGNOSIS_H
#define BUR_CLI_DIAGNOSIS_H

#include "model.h"
#include "target.h"

/* Training is slow: the run is planned to take a minute or more, and a batch of up to eight times
 * `plan`'s fits and trains at least a quarter more samples per second. Then `text` advises it and a
 * larger learning rate; else, or where no times are known, it is "". */
bur_status cli_diagnose_slow(char *text, size_t size, const cli_target *target,
                             const cli_model *model, const bur_fit_options *options,
                             const bur_run_plan *plan);

#endif
