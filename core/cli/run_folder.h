/* run_folder.h: where a run is saved. Everything is written into a hidden folder beside the final
 * one and renamed at the end: a run folder is whole or absent, and never overwritten. */
#ifndef BUR_CLI_RUN_FOLDER_H
#define BUR_CLI_RUN_FOLDER_H

#include <stdio.h>

#include "cli.h"
#include "output.h"

enum { CLI_PATH_BYTES = 1024 };

typedef struct cli_run_folder {
    char path[CLI_PATH_BYTES];  /* runs/cnn-1 */
    char aside[CLI_PATH_BYTES]; /* runs/.cnn-1.partial, "" if there is none */
    FILE *metrics;              /* metrics.jsonl */
} cli_run_folder;

/* Takes the first free number of runs/MODEL-N, or `out` (NULL: none given), which must not exist.
 * BUR_E_FILE. */
bur_status cli_run_folder_create(cli_run_folder *folder, const char *model, const char *out);
/* The path of a file in the folder, for writing. */
void cli_run_folder_file(const cli_run_folder *folder, const char *name, char *path, size_t size);
/* Writes a JSON file; takes the reference. */
bur_status cli_run_folder_json(cli_run_folder *folder, const char *name, json_t *value);
/* Copies a file into the folder. */
bur_status cli_run_folder_copy(cli_run_folder *folder, const char *name, const char *from);
/* Appends a line to metrics.jsonl; takes the reference. */
bur_status cli_run_folder_metrics(cli_run_folder *folder, json_t *line);
/* Gives the folder its name. */
bur_status cli_run_folder_finish(cli_run_folder *folder);
/* Removes what was written; nothing after finish. */
void cli_run_folder_discard(cli_run_folder *folder);

#endif
