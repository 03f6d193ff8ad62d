/* burthen: the program. */
#include "cli.h"
#include "help.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static int cli_version(cli_app *app);
static int cli_help(cli_app *app);

static const cli_verb verbs[] = {
    {"version", CLI_VERB_VERSION, false, 0, 0, "", "tell version and build", NULL, cli_version},
    {"help", CLI_VERB_HELP, false, 0, 1, "[VERB]", "tell what a verb does and takes", NULL,
     cli_help},
    {0},
};

static const char *verb_name(const void *user, int32_t i)
{
    (void)user;
    return verbs[i].name;
}

static const int32_t verb_count = sizeof verbs / sizeof *verbs - 1;

/* The verb of that name; NULL after an error message. */
static const cli_verb *find_verb(const char *name)
{
    const int32_t index = bur_word_find(name, verb_count, verb_name, NULL);
    if (index >= 0)
        return &verbs[index];
    const char *near = bur_word_nearest(name, verb_count, verb_name, NULL);
    char why[80] = "";
    if (near != NULL)
        snprintf(why, sizeof why, "did you mean '%s'?", near);
    cli_error(CLI_USAGE, near != NULL ? why : NULL, "'burthen help' lists the verbs",
              name[0] == '-' ? "the verb comes first: '%s'" : "unknown verb '%s'", name);
    return NULL;
}

static int cli_version(cli_app *app)
{
    (void)app;
    printf("burthen %s (%s)\n", bur_version(), bur_build_info());
    return CLI_DONE;
}

static int cli_help(cli_app *app)
{
    if (app->options.word_count == 0) {
        cli_help_program(stdout, verbs);
        return CLI_DONE;
    }
    const cli_verb *verb = find_verb(app->options.words[0]);
    if (verb == NULL)
        return CLI_USAGE;
    cli_help_verb(stdout, verb);
    return CLI_DONE;
}

static int check_words(const cli_app *app)
{
    const cli_verb *verb = app->verb;
    const int32_t count = app->options.word_count;
    char fix[80];
    snprintf(fix, sizeof fix, "'burthen help %s' tells what it takes", verb->name);
    if (count < verb->words_min)
        return cli_error(CLI_USAGE, NULL, fix, "%s needs a %s", verb->name, verb->words);
    if (count > verb->words_max)
        return cli_error(CLI_USAGE, NULL, fix, "too many words: '%s'",
                         app->options.words[verb->words_max]);
    return CLI_DONE;
}

int main(int argc, const char **argv)
{
    setlocale(LC_CTYPE, ""); /* only to know whether the terminal takes UTF-8 */
    const char *name = argc > 1 ? argv[1] : "";
    if (argc < 2) {
        cli_help_program(stderr, verbs);
        return CLI_USAGE;
    }
    if (strcmp(name, "--version") == 0)
        name = "version";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    cli_app app = {.verb = find_verb(name)};
    if (app.verb == NULL)
        return CLI_USAGE;
    int code = cli_options_parse(&app.options, name, app.verb->bit, argc - 1, argv + 1);
    if (code == CLI_DONE && app.options.help)
        cli_help_verb(stdout, app.verb);
    else if (code == CLI_DONE && (code = check_words(&app)) == CLI_DONE)
        code = app.verb->run(&app);
    cli_options_clear(&app.options);
    return code;
}
