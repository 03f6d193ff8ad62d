/* Reading the command line by the table in option_table.c. */
#include "options.h"
#include "cli.h"

#include <inttypes.h>
#include <math.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static void *field(cli_options *options, const cli_option *option)
{
    return (char *)options + option->offset;
}

/* A number that is all of `text` but for a rest, which *end tells; false if there is none or it is
 * not finite. */
static bool read_number(double *out, const char *text, const char **end)
{
    char *stop = NULL;
    const double value = strtod(text, &stop);
    if (stop == text || !isfinite(value))
        return false;
    *out = value;
    *end = stop;
    return true;
}

static const struct {
    const char *unit;
    double bytes;
} size_units[] = {
    {"B", 1},        {"", 1},       {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30},
    {"TiB", 0x1p40}, {"K", 0x1p10}, {"M", 0x1p20},   {"G", 0x1p30},   {"T", 0x1p40},
    {"KB", 1e3},     {"MB", 1e6},   {"GB", 1e9},     {"TB", 1e12},
};

static bool read_size(double *out, const char *text)
{
    const char *unit = NULL;
    double value = 0;
    if (!read_number(&value, text, &unit))
        return false;
    unit += *unit == ' ';
    for (size_t i = 0; i < sizeof size_units / sizeof *size_units; i++)
        if (strcmp(unit, size_units[i].unit) == 0) {
            *out = value * size_units[i].bytes;
            return true;
        }
    return false;
}

static bool read_shape(bur_shape *out, const char *text)
{
    int64_t dim[BUR_MAX_RANK] = {0};
    int32_t rank = 0;
    for (const char *at = text;; at++) {
        char *end = NULL;
        const long long value = *at >= '0' && *at <= '9' ? strtoll(at, &end, 10) : 0;
        if (rank == BUR_MAX_RANK || value < 1 || value > INT32_MAX)
            return false;
        dim[rank++] = value;
        at = end;
        if (*at == '\0')
            break;
        if (*at != 'x')
            return false;
    }
    return bur_shape_make(out, rank, dim) == BUR_OK;
}

static const char *word_name(const void *words, int32_t i)
{
    return ((const char *const *)words)[i];
}

static int32_t word_count(const char *const *words)
{
    int32_t count = 0;
    while (words != NULL && words[count] != NULL)
        count++;
    return count;
}

static bool read_integer(int64_t *out, const cli_option *option, const char *value)
{
    const int32_t word = bur_word_find(value, word_count(option->words), word_name, option->words);
    if (word >= 0) {
        *out = -word;
        return true;
    }
    const char *end = NULL;
    double number = 0;
    if (!read_number(&number, value, &end) || *end != '\0' || number != floor(number))
        return false;
    if (number < option->least || number > option->most)
        return false;
    *out = (int64_t)number;
    return true;
}

static bool read_real(double *out, const cli_option *option, const char *value)
{
    const char *end = NULL;
    double number = 0;
    if (!read_number(&number, value, &end) || *end != '\0')
        return false;
    if (number < option->least || number > option->most)
        return false;
    *out = number;
    return true;
}

/* Numbers between commas. */
static bool read_numbers(cli_numbers *out, const cli_option *option, const char *value)
{
    const char *at = value, *end = NULL;
    for (out->count = 0; out->count < CLI_MAX_NUMBERS; at = end + 1) {
        double number = 0;
        if (!read_number(&number, at, &end) || number < option->least || number > option->most)
            return false;
        out->value[out->count++] = (float)number;
        if (*end != ',')
            return *end == '\0';
    }
    return false;
}

/* "60%" is 0.6; the option's words are 0, 1, ... */
static bool read_share(double *out, const cli_option *option, const char *value)
{
    const int32_t word = bur_word_find(value, word_count(option->words), word_name, option->words);
    const char *end = NULL;
    double percent = 0;
    if (word >= 0) {
        *out = word;
        return true;
    }
    if (!read_number(&percent, value, &end) || strcmp(end, "%") != 0)
        return false;
    if (percent < option->least || percent > option->most)
        return false;
    *out = percent / 100;
    return true;
}

static bool read_bytes(uint64_t *out, const cli_option *option, const char *value)
{
    double bytes = 0;
    if (!read_size(&bytes, value) || bytes < option->least || bytes > option->most)
        return false;
    *out = (uint64_t)bytes;
    return true;
}

static bool read_choice(int32_t *out, const cli_option *option, const char *value)
{
    const int32_t index = bur_word_find(value, word_count(option->words), word_name, option->words);
    if (index < 0)
        return false;
    *out = index;
    return true;
}

static void list_words(char *text, size_t size, const char *const *words)
{
    size_t used = 0;
    text[0] = '\0';
    for (int32_t i = 0; words[i] != NULL && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ", words[i]);
}

static const char *expected(const cli_option *option, char *text, size_t size)
{
    char words[160] = "";
    if (option->words != NULL)
        list_words(words, sizeof words, option->words);
    switch (option->type) {
    case CLI_TYPE_INTEGER:
        snprintf(text, size, "a whole number from %.0f to %.0f%s%s", option->least, option->most,
                 words[0] == '\0' ? "" : " or ", words);
        break;
    case CLI_TYPE_NUMBER:
        snprintf(text, size, "a number from %g to %g", option->least, option->most);
        break;
    case CLI_TYPE_NUMBERS:
        snprintf(text, size, "up to %d numbers from %g to %g, with commas between them",
                 CLI_MAX_NUMBERS, option->least, option->most);
        break;
    case CLI_TYPE_SHARE:
        snprintf(text, size, "%s, or a share from %g%% to %g%%", words, option->least,
                 option->most);
        break;
    case CLI_TYPE_SIZE:
        snprintf(text, size, "a size such as 800MiB, 12GiB or 16GB, at least 1MiB");
        break;
    case CLI_TYPE_SHAPE:
        snprintf(text, size, "sizes joined by 'x', such as 28x28x1 or 784");
        break;
    case CLI_TYPE_CHOICE:
        snprintf(text, size, "one of %s", words);
        break;
    default:
        snprintf(text, size, "a text that is not empty");
        break;
    }
    return text;
}

const char *cli_option_read(cli_options *options, const cli_option *option, const char *value,
                            char *text, size_t size)
{
    void *out = field(options, option);
    bool good = false;
    switch (option->type) {
    case CLI_TYPE_SWITCH:
        *(bool *)out = good = true;
        break;
    case CLI_TYPE_INTEGER:
        good = read_integer(out, option, value);
        break;
    case CLI_TYPE_NUMBER:
        good = read_real(out, option, value);
        break;
    case CLI_TYPE_SHARE:
        good = read_share(out, option, value);
        break;
    case CLI_TYPE_SIZE:
        good = read_bytes(out, option, value);
        break;
    case CLI_TYPE_SHAPE:
        good = read_shape(out, value);
        break;
    case CLI_TYPE_NUMBERS:
        good = read_numbers(out, option, value);
        break;
    case CLI_TYPE_CHOICE:
        good = read_choice(out, option, value);
        break;
    case CLI_TYPE_TEXT:
        good = value[0] != '\0';
        if (good)
            *(const char **)out = value;
        break;
    }
    return good ? NULL : expected(option, text, size);
}

/* ---- names ---- */

typedef struct name_filter {
    uint32_t bit;
    bool is_key;
} name_filter;

/* The i-th option of a verb and kind, NULL past the end. */
static const cli_option *option_at(const name_filter *filter, int32_t i)
{
    for (const cli_option *option = cli_option_table; option->name != NULL; option++)
        if ((option->verbs & filter->bit) != 0 && option->is_key == filter->is_key && i-- == 0)
            return option;
    return NULL;
}

static const char *option_name(const void *filter, int32_t i)
{
    return option_at(filter, i)->name;
}

static int32_t option_count(const name_filter *filter)
{
    int32_t count = 0;
    while (option_at(filter, count) != NULL)
        count++;
    return count;
}

static int unknown(const char *verb, const name_filter *filter, const char *name)
{
    const char *const kind = filter->is_key ? "key" : "flag";
    const char *near = bur_word_nearest(name, option_count(filter), option_name, filter);
    char why[160] = "", fix[160];
    const name_filter anywhere = {0xffffffffu, filter->is_key};
    if (near != NULL)
        snprintf(why, sizeof why, "did you mean '%s%s%s'?", filter->is_key ? "" : "--", near,
                 filter->is_key ? "=" : "");
    else if (bur_word_find(name, option_count(&anywhere), option_name, &anywhere) >= 0)
        snprintf(why, sizeof why, "it belongs to other verbs");
    snprintf(fix, sizeof fix, "'burthen help %s' lists them", verb);
    return cli_error(CLI_USAGE, why[0] == '\0' ? NULL : why, fix, "%s has no %s '%s'", verb, kind,
                     name);
}

static int read_value(cli_options *out, const char *verb, const cli_option *option,
                      const char *value)
{
    char text[256], why[320], fix[160];
    const char *wanted = cli_option_read(out, option, value, text, sizeof text);
    if (wanted == NULL)
        return CLI_DONE;
    const char *near = NULL;
    if (option->type == CLI_TYPE_CHOICE)
        near = bur_word_nearest(value, word_count(option->words), word_name, option->words);
    snprintf(why, sizeof why, "%s takes %s", option->name, wanted);
    if (near != NULL)
        snprintf(fix, sizeof fix, "did you mean '%s'?", near);
    else
        snprintf(fix, sizeof fix, "'burthen help %s' tells what %s does", verb, option->name);
    return cli_error(CLI_USAGE, why, fix,
                     option->is_key ? "bad value: %s=%s" : "bad value: --%s %s", option->name,
                     value);
}

static int read_key(cli_options *out, const char *verb, uint32_t bit, const char *argument)
{
    const name_filter keys = {bit, true};
    const char *equals = strchr(argument, '=');
    char name[64];
    const int length = (int)(equals - argument);
    snprintf(name, sizeof name, "%.*s", length < 60 ? length : 60, argument);
    const int32_t index = bur_word_find(name, option_count(&keys), option_name, &keys);
    if (index < 0)
        return unknown(verb, &keys, name);
    return read_value(out, verb, option_at(&keys, index), equals + 1);
}

/* ---- the command line ---- */

static int read_flags(cli_options *out, const char *verb, uint32_t bit)
{
    const name_filter flags = {bit, false};
    for (;;) {
        const int found = poptGetNextOpt(out->parser);
        if (found == -1)
            return CLI_DONE;
        if (found < -1) {
            const char *flag = poptBadOption(out->parser, POPT_BADOPTION_NOALIAS);
            if (found != POPT_ERROR_BADOPT)
                return cli_error(CLI_USAGE, poptStrerror(found), NULL, "bad flag: %s", flag);
            return unknown(verb, &flags, flag + strspn(flag, "-"));
        }
        const cli_option *option = option_at(&flags, found - 1);
        char *value = option->type == CLI_TYPE_SWITCH ? NULL : poptGetOptArg(out->parser);
        if (value != NULL && out->owned_count == CLI_MAX_WORDS) {
            free(value);
            return cli_error(CLI_USAGE, NULL, NULL, "too many flags");
        }
        if (value != NULL)
            out->owned[out->owned_count++] = value;
        const int code = read_value(out, verb, option, value != NULL ? value : "");
        if (code != CLI_DONE)
            return code;
    }
}

static int read_rest(cli_options *out, const char *verb, uint32_t bit)
{
    const char **arguments = poptGetArgs(out->parser);
    for (; arguments != NULL && *arguments != NULL; arguments++) {
        if (strchr(*arguments, '=') != NULL) {
            const int code = read_key(out, verb, bit, *arguments);
            if (code != CLI_DONE)
                return code;
        } else if (out->word_count == CLI_MAX_WORDS) {
            return cli_error(CLI_USAGE, NULL, NULL, "more than %d words", (int)CLI_MAX_WORDS);
        } else {
            out->words[out->word_count++] = *arguments;
        }
    }
    return CLI_DONE;
}

/* Sets of values under a name, from the documents' samples; what is given beside them wins. */
static const struct {
    const char *name, *keys[4];
} presets[] = {
    {"laptop-16", {"batch=8", "validation_split=0.2", "epochs=50"}},
    {"laptop-32", {"batch=16", "validation_split=0.2", "epochs=100"}},
};

static const char preset_key[] = "preset=";

static int apply_preset(cli_options *out, const char *verb, uint32_t bit, const char *name)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        for (int k = 0; strcmp(name, presets[i].name) == 0 && presets[i].keys[k] != NULL; k++) {
            const int code = read_key(out, verb, bit, presets[i].keys[k]);
            if (code != CLI_DONE)
                return code;
        }
    return CLI_DONE; /* a name that is none is told when the key itself is read */
}

/* Before the keys that stand beside it, wherever it stands. */
static int read_preset(cli_options *out, const char *verb, uint32_t bit)
{
    const char **arguments = poptGetArgs(out->parser);
    for (; arguments != NULL && *arguments != NULL; arguments++)
        if (strncmp(*arguments, preset_key, sizeof preset_key - 1) == 0)
            return apply_preset(out, verb, bit, *arguments + sizeof preset_key - 1);
    return CLI_DONE;
}

static void set_defaults(cli_options *out, uint32_t bit)
{
    char text[256];
    for (const cli_option *option = cli_option_table; option->name != NULL; option++)
        if ((option->verbs & bit) != 0 && option->standard != NULL)
            cli_option_read(out, option, option->standard, text, sizeof text);
}

int cli_options_parse(cli_options *out, const char *verb, uint32_t bit, int argc, const char **argv)
{
    enum { MAX_FLAGS = 32 };
    const name_filter flags = {bit, false};
    struct poptOption table[MAX_FLAGS + 1] = {0};
    const cli_option *option = NULL;
    for (int32_t i = 0; i < MAX_FLAGS && (option = option_at(&flags, i)) != NULL; i++)
        table[i] = (struct poptOption){
            .longName = option->name,
            .shortName = option->letter,
            .argInfo = option->type == CLI_TYPE_SWITCH ? POPT_ARG_NONE : POPT_ARG_STRING,
            .val = i + 1,
        };
    *out = (cli_options){0};
    set_defaults(out, bit);
    out->parser = poptGetContext(NULL, argc, argv, table, 0);
    if (out->parser == NULL)
        return cli_error(CLI_FAILED, NULL, NULL, "out of memory");
    int code = read_flags(out, verb, bit);
    if (code == CLI_DONE)
        code = read_preset(out, verb, bit);
    if (code == CLI_DONE)
        code = read_rest(out, verb, bit);
    if (out->json)
        out->format = CLI_JSON;
    return code;
}

void cli_options_clear(cli_options *options)
{
    if (options->parser != NULL)
        poptFreeContext(options->parser);
    for (int32_t i = 0; i < options->owned_count; i++)
        free(options->owned[i]);
    *options = (cli_options){0};
}
