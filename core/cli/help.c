/* Help texts. */
#include "help.h"

#include <stdio.h>
#include <string.h>

enum { HELP_WIDTH = 96, HELP_INDENT = 26 };

/* Writes `text` from column `column` on, broken between words, following lines indented. */
static void wrap(FILE *out, int column, int indent, const char *text)
{
    while (*text != '\0') {
        const int word = (int)strcspn(text, " ");
        if (column > indent && column + 1 + word > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", word, text);
        column += word;
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_option(FILE *out, const cli_option *option)
{
    char left[64], text[1024];
    if (option->is_key)
        snprintf(left, sizeof left, "  %s=%s", option->name, option->value);
    else if (option->letter != '\0')
        snprintf(left, sizeof left, "  -%c, --%s %s", option->letter, option->name,
                 option->value != NULL ? option->value : "");
    else
        snprintf(left, sizeof left, "      --%s %s", option->name,
                 option->value != NULL ? option->value : "");
    const int used = (int)strlen(left);
    fputs(left, out);
    if (used + 1 >= HELP_INDENT)
        fprintf(out, "\n%*s", HELP_INDENT, "");
    else
        fprintf(out, "%*s", HELP_INDENT - used, "");
    if (option->standard != NULL)
        snprintf(text, sizeof text, "%s [default: %s]", option->text, option->standard);
    else
        snprintf(text, sizeof text, "%s", option->text);
    wrap(out, HELP_INDENT, HELP_INDENT, text);
}

static void print_options(FILE *out, const cli_verb *verb, bool keys, const char *title)
{
    bool any = false;
    for (const cli_option *option = cli_option_table; option->name != NULL; option++) {
        if ((option->verbs & verb->bit) == 0 || option->is_key != keys)
            continue;
        if (!any)
            fprintf(out, "\n%s\n", title);
        any = true;
        print_option(out, option);
    }
}

static bool has_options(const cli_verb *verb, bool keys)
{
    for (const cli_option *option = cli_option_table; option->name != NULL; option++)
        if ((option->verbs & verb->bit) != 0 && option->is_key == keys)
            return true;
    return false;
}

void cli_help_verb(FILE *out, const cli_verb *verb)
{
    fprintf(out, "usage: burthen %s%s%s%s [flags]\n\n", verb->name,
            verb->words[0] == '\0' ? "" : " ", verb->words,
            has_options(verb, true) ? " [key=value ...]" : "");
    wrap(out, 0, 0, verb->text);
    if (verb->more != NULL)
        fprintf(out, "\n%s", verb->more);
    print_options(out, verb, true, "Keys say what is trained and how:");
    print_options(out, verb, false, "Flags:");
}

void cli_help_program(FILE *out, const cli_verb *verbs)
{
    fprintf(out, "burthen trains, plans and measures neural networks on any OpenCL device or on a\n"
                 "computer without one.\n\n"
                 "usage: burthen VERB [words] [key=value ...] [flags]\n\n");
    for (const cli_verb *verb = verbs; verb->name != NULL; verb++)
        fprintf(out, "  %-9s %s\n", verb->name, verb->text);
    fprintf(out,
            "\nStart with:\n"
            "  burthen devices                              what this computer has\n"
            "  burthen plan cnn data=fashion-mnist          what fits its memory\n"
            "  burthen train cnn data=fashion-mnist epochs=5\n\n"
            "'burthen help VERB' tells what a verb takes.\n"
            "Exit codes: 0 done, 1 run failed, 2 usage, 3 bad input file, 4 device, 5 memory,\n"
            "6 diverged, 75 stopped by request and saved, 130 second Ctrl-C.\n");
}
