/* verify.h: what a plan says beside what a run takes. */
#ifndef BUR_CLI_VERIFY_H
#define BUR_CLI_VERIFY_H

#include "cli.h"

/* A few steps of a run, in a process of its own. */
typedef struct cli_verified {
    bool ran;
    uint64_t peak_bytes;
    double step_s;
    char why[BUR_TEXT_BYTES]; /* it did not run */
} cli_verified;

/* Starts `burthen verify` with the command line of `app` and this batch, and waits for it. It plans
 * by what the computer has left then: what does not fit any more is refused, not tried. */
void cli_verify_batch(cli_verified *out, const cli_app *app, const bur_run_plan *plan);

#endif
