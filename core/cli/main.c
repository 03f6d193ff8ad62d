/* burthen: the program. */
#define _POSIX_C_SOURCE 200809L /* setenv, execv */
#include "cli.h"
#include "help.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int cli_version(cli_app *app);
static int cli_help(cli_app *app);

static const char train_help[] =
    "The run is saved in a folder of its own: model.safetensors, config.json, plan.json,\n"
    "metrics.jsonl and env.json. Ctrl-C ends after the present step and saves too.\n\n"
    "  burthen train mlp data=fashion-mnist epochs=10 batch=32\n"
    "  burthen train cnn data=digits lr=0.003 --device cl:0\n"
    "  burthen train cnn data=fashion-mnist validation_split=0.2 --json > run.json\n";
static const char plan_help[] =
    "Shows for each batch size what a training run takes, before anything is allocated; the\n"
    "same figures that 'train' allocates by.\n\n"
    "  burthen plan cnn data=fashion-mnist\n"
    "  burthen plan cnn input=128x128x3 --ram 16GiB\n"
    "  burthen plan cnn --device-memory 4GiB\n"
    "  burthen plan cnn batch=64 --verify\n\n"
    "With --verify the recommended, the fastest and any batch that is given run a few real steps, "
    "each\n"
    "in a process of its own: the peak and the seconds that were planned stand beside those "
    "measured.\n"
    "batch=find doubles the batch as long as the plan fits and the speed grows, measures each and\n"
    "takes the fastest; it never finds out by running out of memory. batch=usual does so with 16,\n"
    "32, 64, 128 and 256.\n";
static const char verify_help[] =
    "Trains two steps of one batch size, evaluates and saves, as 'train' does, and shows the peak "
    "and\n"
    "the seconds that were planned beside those measured; nothing is kept but the kernels' times, "
    "by\n"
    "which later plans tell seconds. What does not fit is refused before it starts.\n\n"
    "  burthen verify cnn data=fashion-mnist batch=64\n"
    "  burthen verify resnet50 batch=16 recompute=60%\n";
static const char bench_help[] =
    "device measures arithmetic, memory and launch times; gemm and conv are typical products\n"
    "and convolutions; a model's name measures its whole steps. A device that fails is a row\n"
    "with its reason.\n\n"
    "  burthen bench gemm --device cpu,cl:0\n"
    "  burthen bench cnn --batch 32,256 --mode train -o md\n";

static const cli_verb verbs[] = {
    {"devices", CLI_VERB_DEVICES, true, 0, 0, "", "list the devices and what they have", NULL,
     cli_devices},
    {"models", CLI_VERB_MODELS, true, 0, 1, "[PATTERN]", "list the built-in models", NULL,
     cli_models},
    {"ops", CLI_VERB_OPS, true, 0, 0, "", "list the operators and who has a kernel for them", NULL,
     cli_ops},
    {"summary", CLI_VERB_SUMMARY, true, 1, 1, "MODEL", "list a model's layers, parameters and work",
     NULL, cli_summary},
    {"plan", CLI_VERB_PLAN, true, 1, 1, "MODEL", "tell what training takes and which batch fits",
     plan_help, cli_plan},
    {"verify", CLI_VERB_PLAN | CLI_VERB_TRAIN, true, 1, 1, "MODEL",
     "run a few real steps and compare with the plan", verify_help, cli_verify},
    {"train", CLI_VERB_TRAIN, true, 1, 1, "MODEL", "train a model and save the run", train_help,
     cli_train},
    {"eval", CLI_VERB_EVAL, true, 1, 1, "RUN", "judge a saved run on a data set", NULL, cli_eval},
    {"bench", CLI_VERB_BENCH, true, 0, CLI_MAX_WORDS, "[device|gemm|conv|MODEL ...]",
     "measure devices, operators and models", bench_help, cli_bench},
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

/* A quiet run and one whose stderr is JSON carry no news, unless BUR_LOG asks for them. */
static bur_log_level log_level(const cli_options *options)
{
    const bool is_silent = options->quiet || options->progress == CLI_PROGRESS_JSON;
    return is_silent && getenv("BUR_LOG") == NULL ? BUR_LOG_WARN : cli_log_level();
}

static int run_verb(cli_app *app)
{
    const bur_context_options options = {
        .log = cli_log,
        .log_user = app,
        .log_level = log_level(&app->options),
        .threads = (int)app->options.threads,
    };
    if (!app->verb->context)
        return app->verb->run(app);
    const bur_status status = bur_context_create(&app->context, &options);
    if (status != BUR_OK)
        return cli_error_status(status, NULL, "cannot start");
    const int code = app->verb->run(app);
    bur_context_destroy(app->context);
    return code;
}

/* GNU OpenMP's threads spin for milliseconds before they sleep. Where anything else runs on the
 * machine, they take its turn from the very thread they wait for: a step of the cnn beside one busy
 * program took 666 instead of 3 ms, with a short spin 36. The runtime reads the figure when it is
 * loaded, so the program starts itself again with it, unless the user has chosen; it goes on as it
 * is if that fails. */
static void limit_spinning(const char **argv)
{
    if (getenv("GOMP_SPINCOUNT") != NULL || getenv("OMP_WAIT_POLICY") != NULL)
        return;
    if (setenv("GOMP_SPINCOUNT", "1000", 1) == 0)
        execv("/proc/self/exe", (char *const *)argv);
}

int main(int argc, const char **argv)
{
    limit_spinning(argv);
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
    cli_app app = {.verb = find_verb(name), .argv = argv};
    if (app.verb == NULL)
        return CLI_USAGE;
    int code = cli_options_parse(&app.options, name, app.verb->bit, argc - 1, argv + 1);
    if (code == CLI_DONE && app.options.help)
        cli_help_verb(stdout, app.verb);
    else if (code == CLI_DONE && (code = check_words(&app)) == CLI_DONE)
        code = run_verb(&app);
    cli_options_clear(&app.options);
    return code;
}
