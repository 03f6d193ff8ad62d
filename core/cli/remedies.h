/* remedies.h: what would make a run fit that does not. */
#ifndef BUR_CLI_REMEDIES_H
#define BUR_CLI_REMEDIES_H

#include "model.h"
#include "target.h"

/* Prints the four remedies in their order (a smaller batch, smaller images, a lighter model,
 * gradient accumulation), each with the bytes it saves and whether that is enough, and the smallest
 * budget with which the run that was asked for works. `plan` is that run's, which does not fit;
 * `largest` the largest batch that does. Gives CLI_MEMORY. */
int cli_remedies(cli_app *app, const cli_model *model, const cli_target *target,
                 const bur_fit_options *options, const bur_run_plan *plan, int64_t largest);

#endif
