/* progress.h: progress on stderr. A terminal gets one redrawn line and a line per epoch; anything
 * else gets plain lines, without carriage returns and escapes: one per epoch, and within long
 * epochs at most one a minute. */
#ifndef BUR_CLI_PROGRESS_H
#define BUR_CLI_PROGRESS_H

#include "cli.h"

struct cli_progress {
    cli_progress_mode mode; /* never auto */
    bool utf8, drawn;       /* the terminal takes UTF-8; a line is on it now */
    bool quiet;
    int64_t drawn_ns; /* when the last line was written */
    int64_t epochs;
    const char *metric; /* "accuracy", "mae" */
};

void cli_progress_open(cli_progress *out, const cli_options *options, const char *metric);
void cli_progress_update(cli_progress *progress, const bur_progress *now);
void cli_progress_epoch(cli_progress *progress, const bur_epoch *epoch);
/* Lines between: clears the drawn line, prints text and a newline. Silent if quiet. */
void cli_progress_note(cli_progress *progress, const char *format, ...) BUR_PRINTF(2, 3);
/* The plan of the run, before it starts; `reason` tells why this batch. */
void cli_progress_plan(cli_progress *progress, const bur_run_plan *plan, bool is_host,
                       const char *reason);
/* A line that lives until the next one, on a terminal only. */
void cli_progress_status(cli_progress *progress, const char *format, ...) BUR_PRINTF(2, 3);
/* Clears the drawn line. NULL is allowed. */
void cli_progress_clear(cli_progress *progress);

#endif
