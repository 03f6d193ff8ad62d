/* burthen bench --compare FILE: beside each row what an earlier `bench --json` measured. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What makes two rows the same measurement. */
static const char *const keys[] = {"device", "model", "case", "mode", "batch", "precision"};

int cli_bench_compare_open(json_t **out, const char *path)
{
    json_error_t error;
    json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (file == NULL)
        return cli_error(CLI_INPUT, error.text, "a file that 'burthen bench ... --json' wrote",
                         "cannot read --compare %s", path);
    json_t *rows = json_object_get(file, "results");
    if (!json_is_array(rows)) {
        json_decref(file);
        return cli_error(CLI_INPUT, "it has no \"results\"",
                         "a file that 'burthen bench ... --json' wrote", "cannot compare with %s",
                         path);
    }
    *out = json_incref(rows);
    json_decref(file);
    return CLI_DONE;
}

static bool is_same(const json_t *a, const json_t *b)
{
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *x = json_object_get(a, keys[i]), *y = json_object_get(b, keys[i]);
        if (x != y && !json_equal(x, y))
            return false;
    }
    return true;
}

/* Milliseconds of the same measurement among the earlier rows; 0 if there is none. */
static double earlier_ms(const json_t *before, const json_t *row)
{
    size_t i = 0;
    const json_t *other = NULL;
    json_array_foreach(before, i, other)
    {
        const double ms = json_number_value(json_object_get(other, "median_ms"));
        if (ms > 0 && is_same(other, row))
            return ms;
    }
    return 0;
}

int32_t cli_bench_compare(json_t *rows, const json_t *before, double *geometric_mean)
{
    size_t i = 0;
    json_t *row = NULL;
    int32_t count = 0;
    double logarithms = 0;
    json_array_foreach(rows, i, row)
    {
        const double ms = json_number_value(json_object_get(row, "median_ms"));
        const double was_ms = earlier_ms(before, row);
        if (ms <= 0 || was_ms <= 0)
            continue;
        json_object_set_new(row, "before_ms", cli_real(was_ms));
        json_object_set_new(row, "ratio", cli_real(ms / was_ms));
        logarithms += log(ms / was_ms);
        count++;
    }
    *geometric_mean = count > 0 ? exp(logarithms / count) : 0;
    return count;
}
