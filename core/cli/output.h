/* output.h: results. A verb makes one JSON object that holds its rows; table, CSV, Markdown and
 * JSON lines are views of these rows. */
#ifndef BUR_CLI_OUTPUT_H
#define BUR_CLI_OUTPUT_H

#include <burthen/burthen.h>
#include <jansson.h>

#include "options.h"

/* How a cell is written in a table (for people). CSV and JSON carry plain numbers and words. */
typedef enum cli_cell {
    CLI_CELL_TEXT,
    CLI_CELL_INTEGER, /* 1,234,567 */
    CLI_CELL_NUMBER,  /* 3 or 4 significant digits */
    CLI_CELL_LOSS,    /* 4 decimals */
    CLI_CELL_BYTES,   /* 1.6 GiB */
    CLI_CELL_SECONDS, /* 3m14s */
    CLI_CELL_MS,
    CLI_CELL_YES,   /* yes, no */
    CLI_CELL_MARK,  /* "*" if true */
    CLI_CELL_SHAPE, /* 28x28x1 of an array */
} cli_cell;

typedef struct cli_column {
    const char *key;   /* of the row; "bytes.activations" for a nested one */
    const char *title; /* of the table; NULL: in CSV only */
    cli_cell cell;
} cli_column;

/* Prints `result` to stdout; its rows are the array result[rows]. Takes the reference to `result`.
 * Columns end with a NULL key. Gives the exit code: CLI_FAILED with a message if `result` is NULL
 * (out of memory) or stdout cannot be written. */
int cli_output(int32_t format, json_t *result, const char *rows, const cli_column *columns);
/* The same; of a table that is wider than the terminal the columns with the keys `details`, which
 * end with NULL, are left out, the first of them first, as far as need be. */
int cli_output_fitted(int32_t format, json_t *result, const char *rows, const cli_column *columns,
                      const char *const *details);
/* Characters in a line of the terminal that a file descriptor is; 0: it is none, or does not say.
 */
int cli_terminal_width(int fd);

/* A number, or null for what is no number. */
json_t *cli_real(double value);
/* The shortest decimal that names the float nearest to `value`: 0.001, not 0.001000000047. */
json_t *cli_real_f32(double value);
/* A positive count, or null for 0. */
json_t *cli_count(uint64_t value);
json_t *cli_shape_json(const bur_shape *shape);

/* Numbers for people, written into text[size]; they give text. */
enum { CLI_NUMBER_TEXT = 32 };
char *cli_bytes_text(char *text, size_t size, double bytes);     /* "1.6 GiB" */
char *cli_integer_text(char *text, size_t size, int64_t value);  /* "1,234,567" */
char *cli_seconds_text(char *text, size_t size, double seconds); /* "3m14s", "576 ms" */
char *cli_number_text(char *text, size_t size, double value);    /* "489", "13.9", "0.031" */

#endif
