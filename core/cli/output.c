/* One row model, five formats. */
#define _DEFAULT_SOURCE /* struct winsize */
#include "output.h"
#include "cli.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MAX_COLUMNS = 24, CELL_BYTES = 192 };

json_t *cli_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *cli_real_f32(double value)
{
    char text[CLI_NUMBER_TEXT];
    for (int digits = 6; digits <= 9; digits++) { /* 9 tell every float apart */
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtof(text, NULL) == (float)value)
            break;
    }
    return cli_real(strtod(text, NULL));
}

json_t *cli_count(uint64_t value)
{
    return value > 0 ? json_integer((json_int_t)value) : json_null();
}

json_t *cli_shape_json(const bur_shape *shape)
{
    json_t *out = json_array();
    for (int32_t i = 0; i < shape->rank; i++)
        json_array_append_new(out, json_integer(shape->dim[i]));
    return out;
}

/* ---- numbers for people ---- */

char *cli_bytes_text(char *text, size_t size, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    while (bytes >= 1023.5 && unit + 1 < sizeof units / sizeof *units) {
        bytes /= 1024;
        unit++;
    }
    const int decimals = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
    snprintf(text, size, "%.*f %s", decimals, bytes, units[unit]);
    return text;
}

char *cli_integer_text(char *text, size_t size, int64_t value)
{
    char digits[CLI_NUMBER_TEXT];
    const int length = snprintf(digits, sizeof digits, "%" PRId64, value);
    size_t used = 0;
    for (int i = 0; i < length && used + 2 < size; i++) {
        if (i > (digits[0] == '-') && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

char *cli_seconds_text(char *text, size_t size, double seconds)
{
    const int64_t whole = (int64_t)(seconds + 0.5);
    if (!isfinite(seconds) || seconds < 0)
        snprintf(text, size, "-");
    else if (seconds < 0.9995)
        snprintf(text, size, "%.3g ms", seconds * 1e3);
    else if (seconds < 59.95)
        snprintf(text, size, "%.1fs", seconds);
    else if (whole < 3600)
        snprintf(text, size, "%" PRId64 "m%02" PRId64 "s", whole / 60, whole % 60);
    else
        snprintf(text, size, "%" PRId64 "h%02" PRId64 "m", whole / 3600, whole / 60 % 60);
    return text;
}

char *cli_number_text(char *text, size_t size, double value)
{
    if (fabs(value) >= 999.5 && fabs(value) < 1e15)
        return cli_integer_text(text, size, (int64_t)llround(value));
    snprintf(text, size, "%.3g", value);
    return text;
}

/* ---- cells ---- */

/* A row's value by a dotted key, NULL if absent or null. */
static const json_t *lookup(const json_t *row, const char *key)
{
    for (const char *dot; (dot = strchr(key, '.')) != NULL; key = dot + 1) {
        char part[64];
        snprintf(part, sizeof part, "%.*s", (int)(dot - key), key);
        row = json_object_get(row, part);
    }
    const json_t *value = json_object_get(row, key);
    return json_is_null(value) ? NULL : value;
}

static void shape_text(char *text, size_t size, const json_t *shape)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(shape) && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%" JSON_INTEGER_FORMAT,
                                 i == 0 ? "" : "x", json_integer_value(json_array_get(shape, i)));
}

static void cell_text(char *text, size_t size, const cli_column *column, const json_t *row)
{
    const json_t *value = lookup(row, column->key);
    if (value == NULL) {
        snprintf(text, size,
                 column->cell == CLI_CELL_TEXT || column->cell == CLI_CELL_MARK ? "" : "-");
        return;
    }
    const double number = json_number_value(value);
    switch (column->cell) {
    case CLI_CELL_TEXT:
        snprintf(text, size, "%s", json_string_value(value));
        break;
    case CLI_CELL_INTEGER:
        cli_integer_text(text, size, json_integer_value(value));
        break;
    case CLI_CELL_NUMBER:
        cli_number_text(text, size, number);
        break;
    case CLI_CELL_LOSS:
        snprintf(text, size, "%.4f", number);
        break;
    case CLI_CELL_BYTES:
        cli_bytes_text(text, size, number);
        break;
    case CLI_CELL_SECONDS:
        cli_seconds_text(text, size, number);
        break;
    case CLI_CELL_MS:
        snprintf(text, size,
                 number < 0.01   ? "%.2g"
                 : number < 10   ? "%.3f"
                 : number < 1000 ? "%.1f"
                                 : "%.0f",
                 number);
        break;
    case CLI_CELL_YES:
        snprintf(text, size, "%s", json_is_true(value) ? "yes" : "no");
        break;
    case CLI_CELL_MARK:
        snprintf(text, size, "%s", json_is_true(value) ? "*" : "");
        break;
    case CLI_CELL_SHAPE:
        shape_text(text, size, value);
        break;
    }
}

static bool is_left(cli_cell cell)
{
    return cell == CLI_CELL_TEXT || cell == CLI_CELL_YES || cell == CLI_CELL_MARK;
}

/* ---- formats ---- */

/* Whether a table has something to show for a value: no null, no empty text, no 0 bytes. */
static bool tells(const json_t *value, cli_cell cell)
{
    if (value == NULL || (json_is_string(value) && json_string_length(value) == 0))
        return false;
    return cell != CLI_CELL_BYTES || json_number_value(value) > 0;
}

/* The columns that a table shows: those with a title that tell something in at least one row. */
static int32_t shown_columns(const cli_column **out, const json_t *rows, const cli_column *columns)
{
    int32_t count = 0;
    for (; columns->key != NULL && count < MAX_COLUMNS; columns++) {
        bool any = json_array_size(rows) == 0;
        for (size_t r = 0; r < json_array_size(rows) && !any; r++)
            any = tells(lookup(json_array_get(rows, r), columns->key), columns->cell);
        if (columns->title != NULL && any)
            out[count++] = columns;
    }
    return count;
}

static int column_width(const cli_column *column, const json_t *rows)
{
    char text[CELL_BYTES];
    int width = (int)strlen(column->title);
    for (size_t r = 0; r < json_array_size(rows); r++) {
        cell_text(text, sizeof text, column, json_array_get(rows, r));
        if ((int)strlen(text) > width)
            width = (int)strlen(text);
    }
    return width;
}

int cli_terminal_width(int fd)
{
    struct winsize window = {0};
    return ioctl(fd, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0;
}

/* Leaves out columns by their keys in `details`, the first first, until the rest fits into a line.
 * Gives how many are left. */
static int32_t fit_columns(const cli_column **shown, int32_t count, const json_t *rows,
                           const char *const *details)
{
    const int terminal = cli_terminal_width(STDOUT_FILENO),
              most = terminal > 0 ? terminal : INT_MAX;
    int total = -2;
    for (int32_t c = 0; c < count; c++)
        total += column_width(shown[c], rows) + 2;
    for (; details != NULL && *details != NULL && total > most; details++)
        for (int32_t c = 0; c < count; c++)
            if (strcmp(shown[c]->key, *details) == 0) {
                total -= column_width(shown[c], rows) + 2;
                memmove(&shown[c], &shown[c + 1], (size_t)(--count - c) * sizeof *shown);
            }
    return count;
}

static void print_table(const json_t *rows, const cli_column *columns, const char *const *details)
{
    const cli_column *shown[MAX_COLUMNS];
    int width[MAX_COLUMNS];
    char text[CELL_BYTES];
    const int32_t all = shown_columns(shown, rows, columns);
    const int32_t count = fit_columns(shown, all, rows, details);
    for (int32_t c = 0; c < count; c++)
        width[c] = column_width(shown[c], rows);
    for (size_t line = 0; line <= json_array_size(rows); line++) {
        int gap = 0; /* blanks that are due before the next word: none are left at a line's end */
        for (int32_t c = 0; c < count; c++) {
            if (line == 0)
                snprintf(text, sizeof text, "%s", shown[c]->title);
            else
                cell_text(text, sizeof text, shown[c], json_array_get(rows, line - 1));
            const int rest = width[c] - (int)strlen(text);
            const int before = is_left(shown[c]->cell) ? 0 : rest;
            if (text[0] != '\0') {
                printf("%*s%s", gap + before, "", text);
                gap = 0;
            } else {
                gap += before;
            }
            gap += rest - before + 2 - (shown[c]->cell == CLI_CELL_MARK);
        }
        putchar('\n');
    }
    if (count < all)
        printf("\nA wider terminal, or -o md, shows more columns.\n");
}

static void print_markdown(const json_t *rows, const cli_column *columns)
{
    const cli_column *shown[MAX_COLUMNS];
    char text[CELL_BYTES];
    const int32_t count = shown_columns(shown, rows, columns);
    for (int32_t c = 0; c < count; c++)
        printf("| %s ", shown[c]->title);
    printf("|\n");
    for (int32_t c = 0; c < count; c++)
        printf(is_left(shown[c]->cell) ? "|---" : "|--:");
    printf("|\n");
    for (size_t r = 0; r < json_array_size(rows); r++) {
        for (int32_t c = 0; c < count; c++) {
            cell_text(text, sizeof text, shown[c], json_array_get(rows, r));
            for (char *bar = text; (bar = strchr(bar, '|')) != NULL;)
                *bar = '/';
            printf("| %s ", text);
        }
        printf("|\n");
    }
}

/* RFC 4180: quotes where a comma, a quote or a line end asks for them. */
static void print_csv_text(const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_csv_value(const json_t *value, cli_cell cell)
{
    char text[CELL_BYTES];
    if (value == NULL)
        return;
    if (cell == CLI_CELL_SHAPE)
        shape_text(text, sizeof text, value);
    else if (json_is_string(value))
        snprintf(text, sizeof text, "%s", json_string_value(value));
    else if (json_is_boolean(value))
        snprintf(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        snprintf(text, sizeof text, "%.10g", json_real_value(value));
    print_csv_text(text);
}

static void print_csv(const json_t *rows, const cli_column *columns)
{
    for (const cli_column *c = columns; c->key != NULL; c++)
        printf("%s%s", c == columns ? "" : ",", c->key);
    printf("\n");
    for (size_t r = 0; r < json_array_size(rows); r++) {
        for (const cli_column *c = columns; c->key != NULL; c++) {
            if (c != columns)
                putchar(',');
            print_csv_value(lookup(json_array_get(rows, r), c->key), c->cell);
        }
        printf("\n");
    }
}

static void print_json(const json_t *value, size_t flags)
{
    json_dumpf(value, stdout, flags | JSON_REAL_PRECISION(10));
    putchar('\n');
}

int cli_output(int32_t format, json_t *result, const char *rows_key, const cli_column *columns)
{
    return cli_output_fitted(format, result, rows_key, columns, NULL);
}

int cli_output_fitted(int32_t format, json_t *result, const char *rows_key,
                      const cli_column *columns, const char *const *details)
{
    if (result == NULL)
        return cli_error(CLI_FAILED, NULL, NULL, "no memory for the result");
    const json_t *rows = json_object_get(result, rows_key);
    switch ((cli_format)format) {
    case CLI_TABLE:
        print_table(rows, columns, details);
        break;
    case CLI_JSON:
        print_json(result, JSON_INDENT(2));
        break;
    case CLI_JSONL:
        for (size_t r = 0; r < json_array_size(rows); r++)
            print_json(json_array_get(rows, r), JSON_COMPACT);
        break;
    case CLI_CSV:
        print_csv(rows, columns);
        break;
    case CLI_MARKDOWN:
        print_markdown(rows, columns);
        break;
    }
    json_decref(result);
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_error(CLI_FAILED, NULL, NULL, "cannot write the result to standard output");
    return CLI_DONE;
}
