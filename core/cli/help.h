/* help.h: what the program tells about itself, from the verb table and the option table. */
#ifndef BUR_CLI_HELP_H
#define BUR_CLI_HELP_H

#include <stdio.h>

#include "cli.h"

/* Verbs in `verbs`, which ends with a NULL name. */
void cli_help_program(FILE *out, const cli_verb *verbs);
void cli_help_verb(FILE *out, const cli_verb *verb);

#endif
