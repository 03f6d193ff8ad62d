/* cli.h: the program's verbs, exit codes and messages. stdout carries the result and nothing else;
 * progress, warnings and errors go to stderr. */
#ifndef BUR_CLI_CLI_H
#define BUR_CLI_CLI_H

#include <burthen/burthen.h>

#include "options.h"

/* Exit codes; scripts rely on them. */
typedef enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,   /* the run failed */
    CLI_USAGE = 2,    /* wrong word, key, flag or value */
    CLI_INPUT = 3,    /* a bad input file */
    CLI_DEVICE = 4,   /* no such or unusable device */
    CLI_MEMORY = 5,   /* does not fit memory */
    CLI_DIVERGED = 6, /* the loss is no number */
    CLI_STOPPED = 75, /* stopped by request, state saved */
    CLI_KILLED = 130, /* second Ctrl-C */
} cli_exit;

typedef struct cli_progress cli_progress;

/* One run of the program. */
typedef struct cli_app {
    const struct cli_verb *verb;
    const char *const *argv; /* the command line as it was given, NULL at its end */
    cli_options options;
    bur_context *context;   /* NULL for verbs that need none */
    cli_progress *progress; /* while a verb reports progress, else NULL */
} cli_app;

typedef struct cli_verb {
    const char *name;
    cli_verb_bit bit;
    bool context; /* needs a bur_context */
    int32_t words_min, words_max;
    const char *words;        /* how the words are written in help */
    const char *text;         /* one line */
    const char *more;         /* further lines of help, or NULL */
    int (*run)(cli_app *app); /* gives the exit code */
} cli_verb;

int cli_devices(cli_app *app);
int cli_models(cli_app *app);
int cli_ops(cli_app *app);
int cli_summary(cli_app *app);
int cli_plan(cli_app *app);
int cli_verify(cli_app *app);
int cli_train(cli_app *app);
int cli_eval(cli_app *app);
int cli_bench(cli_app *app);

/* ---- messages (message.c) ---- */

/* Prints "error: ...", and "why: ...", "fix: ..." where given, to stderr; returns `code`. */
int cli_error(int code, const char *why, const char *fix, const char *format, ...) BUR_PRINTF(4, 5);
/* The same for a failed call of the library: its error line is the reason, its status gives the
 * exit code. */
int cli_error_status(bur_status status, const char *fix, const char *format, ...) BUR_PRINTF(3, 4);
void cli_warn(const char *format, ...) BUR_PRINTF(1, 2);
int cli_exit_code(bur_status status);
/* The context's log, to stderr; `user` is the cli_app (progress.c). */
void cli_log(void *user, bur_log_level level, const char *module, const char *line);
const char *cli_log_level_name(bur_log_level level);
/* The finest level that BUR_LOG (error, warning, info, debug, trace) asks for; info if
 * unset. */
bur_log_level cli_log_level(void);

#endif
