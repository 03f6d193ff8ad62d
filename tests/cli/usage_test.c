#define _DEFAULT_SOURCE /* mkdtemp */
#include "program.h"

static program_run run;

static void test_cli_usage__errors_have_up_to_three_lines_that_name_cause_and_remedy(void **state)
{
    (void)state;
    enter_folder();
    assert_refuses(&run, 2, "trian cnn", "");
    assert_string_equal(run.err, "error: unknown verb 'trian'\n"
                                 "why:   did you mean 'train'?\n"
                                 "fix:   'burthen help' lists the verbs\n");
    assert_refuses(&run, 2, "train cmn data=digits", "");
    assert_string_equal(run.err,
                        "error: unknown model 'cmn'\n"
                        "why:   did you mean 'cnn'?\n"
                        "fix:   'burthen models' lists them; a model file ends with .yaml\n");
    assert_refuses(&run, 2, "train cnn data=digits epoch=3", "");
    assert_string_equal(run.err, "error: train has no key 'epoch'\n"
                                 "why:   did you mean 'epochs='?\n"
                                 "fix:   'burthen help train' lists them\n");
    leave_folder();
}

static void test_cli_usage__wrong_words_keys_flags_and_values_are_refused(void **state)
{
    static const char *const lines[][2] = {
        {"-x", "the verb comes first"},
        {"train", "needs a MODEL"},
        {"train cnn mlp", "too many words"},
        {"train cnn", "needs data="},
        {"train cnn data=digits nosuchkey=1", "has no key 'nosuchkey'"},
        {"train cnn data=digits --nosuchflag", "has no flag 'nosuchflag'"},
        {"train cnn data=digits --ram 16GiB", "has no flag 'ram'"},
        {"plan cnn out=x", "belongs to other verbs"},
        {"train cnn data=digts", "digits"},
        {"train cnn data=digits optimizer=adm", "did you mean 'adam'?"},
        {"train cnn data=digits batch=0", "batch=0"},
        {"train cnn data=digits batch=-8", "batch=-8"},
        {"train cnn data=digits batch=many", "batch=many"},
        {"train cnn data=digits batch=1.5", "batch=1.5"},
        {"train cnn data=digits batch=1e99", "batch=1e99"},
        {"train cnn data=digits batch=10 accumulate=3", "does not divide"},
        {"train cnn data=digits lr=nan", "lr=nan"},
        {"train cnn data=digits lr=", "lr="},
        {"train cnn data=digits momentum=0.9", "has no momentum"},
        {"train cnn data=digits input=28x28x", "input=28x28x"},
        {"train cnn data=digits input=14x14x1", "does not fit data"},
        {"train cnn data=digits classes=7", "does not fit data"},
        {"train cnn data=digits epochs=0", "epochs=0"},
        {"train cnn data=digits length=9", "no sequence"},
        {"train cnn data=fashion-mnist samples=9", "are not drawn: there are 60000"},
        {"train cnn data=digits class_weights=1,2", "10 classes"},
        {"train cnn data=digits class_weights=1,,2", "class_weights=1,,2"},
        {"train cnn data=digits smoothing=1", "smoothing=1"},
        {"train cnn data=digits ema=1", "ema=1"},
        {"train cnn data=digits clip=-1", "clip=-1"},
        {"train cnn data=digits schedule=cosin", "did you mean 'cosine'?"},
        {"train cnn data=digits decay=2", "decay=2"},
        {"train linear data=adding length=1", "length=1"},
        {"plan cnn --ram 12Gib", "--ram 12Gib"},
        {"plan cnn --ram 16GiB --device-memory 4GiB", "exclude each other"},
        {"plan cnn -o xml", "bad value"},
        {"plan cnn -o", "bad flag"},
        {"bench gemn", "did you mean 'gemm'?"},
        {"bench cnn --batch 3,x", "--batch 3,x"},
        {"models nosuch*", "no model matches"},
    };
    (void)state;
    enter_folder();
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_refuses(&run, 2, lines[i][0], lines[i][1]);
    assert_false(path_exists("runs"));
    leave_folder();
}

static void test_cli_usage__an_unknown_device_is_exit_4_and_names_those_there_are(void **state)
{
    (void)state;
    enter_folder();
    assert_refuses(&run, 4, "train cnn data=digits --device cl:77", "cpu");
    assert_refuses(&run, 4, "plan cnn --device tpu", "cpu");
    assert_false(path_exists("runs"));
    leave_folder();
}

static void test_cli_usage__no_arguments_show_the_help_on_stderr(void **state)
{
    (void)state;
    enter_folder();
    run_program(&run, "");
    assert_int_equal(run.code, 2);
    assert_string_equal(run.out, "");
    assert_contains(run.err, "usage: burthen VERB");
    leave_folder();
}

static void test_cli_usage__every_listed_verb_has_help(void **state)
{
    static const char *const verbs[] = {"devices", "models", "ops",   "summary", "plan",
                                        "train",   "eval",   "bench", "version", "help"};
    char line[64];
    (void)state;
    enter_folder();
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        snprintf(line, sizeof line, "help %s", verbs[i]);
        run_program(&run, line);
        assert_int_equal(run.code, 0);
        assert_string_equal(run.err, "");
        snprintf(line, sizeof line, "usage: burthen %s", verbs[i]);
        assert_contains(run.out, line);
        run_program(&run, "help");
        assert_contains(run.out, verbs[i]);
    }
    leave_folder();
}

/* The four hyperparameters: what each one governs. */
static void test_cli_usage__help_tells_what_batch_rate_epochs_and_optimizer_mean(void **state)
{
    static const char *const claims[] = {
        "batch=N|auto|find|usual",
        "samples per update of the weights",
        "updates often",
        "steadily",
        "lr=X                    learning rate: how far one update moves the weights",
        "learns slowly",
        "the loss grows",
        "epochs=N                passes over all training samples",
        "by heart",
        "optimizer=NAME          the way of updating",
    };
    (void)state;
    enter_folder();
    run_program(&run, "train --help");
    assert_int_equal(run.code, 0);
    for (char *at = run.out; (at = strchr(at, '\n')) != NULL;) /* undo the line breaks of texts */
        if (strncmp(at + 1, "                          ", 26) == 0) {
            *at = ' ';
            memmove(at + 1, at + 27, strlen(at + 27) + 1);
        } else {
            at++;
        }
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
        assert_contains(run.out, claims[i]);
    leave_folder();
}

static void test_cli_usage__version_is_one_line(void **state)
{
    (void)state;
    enter_folder();
    run_program(&run, "version");
    assert_int_equal(run.code, 0);
    assert_int_equal(strncmp(run.out, "burthen 0.", 10), 0);
    assert_ptr_equal(strchr(run.out, '\n'), run.out + strlen(run.out) - 1);
    leave_folder();
}
