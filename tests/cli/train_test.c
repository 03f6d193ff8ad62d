#define _DEFAULT_SOURCE /* mkdtemp */
#include "program.h"

#include <signal.h>
#include <time.h>

static program_run run;

static const char small_run[] = "train mlp data=digits hidden=16 epochs=2 batch=64 --device cpu";

static void test_cli_train__a_run_is_saved_whole_and_judged_again_the_same(void **state)
{
    static const char *const files[] = {"model.safetensors", "config.json", "plan.json", "env.json",
                                        "metrics.jsonl"};
    char line[128], path[128];
    (void)state;
    enter_folder();
    snprintf(line, sizeof line, "%s --json", small_run);
    json_t *result = run_json(&run, line);
    const json_t *test = json_object_get(result, "test");
    assert_string_equal(json_string_value(json_object_get(result, "run")), "runs/mlp-1");
    assert_string_equal(json_string_value(json_object_get(result, "stopped_by")), "epochs");
    assert_int_equal(json_array_size(json_object_get(result, "epochs")), 2);
    assert_true(number_at(result, "planned_peak_bytes") > 0);
    assert_true(number_at(result, "measured_peak_bytes") > 0);
    assert_false(path_exists("runs/.mlp-1.partial"));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "runs/mlp-1/%s", files[i]);
        assert_true(path_exists(path));
    }
    json_t *again = run_json(&run, "eval runs/mlp-1 data=digits --device cpu --json");
    const json_t *score = json_array_get(json_object_get(again, "results"), 0);
    assert_true(number_at(score, "accuracy") == number_at(test, "accuracy"));
    assert_true(number_at(score, "loss") == number_at(test, "loss"));
    json_decref(again);
    json_decref(result);
    leave_folder();
}

static void test_cli_train__off_a_terminal_there_is_a_plain_line_per_epoch(void **state)
{
    (void)state;
    enter_folder();
    run_program(&run, small_run);
    assert_int_equal(run.code, 0);
    assert_null(strchr(run.err, '\r'));
    assert_null(strchr(run.err, '\033'));
    assert_contains(run.err, "\nepoch 1/2  loss ");
    assert_contains(run.err, "\nepoch 2/2  loss ");
    assert_contains(run.err, "  RAM ");
    assert_null(strstr(run.out, "epoch"));
    assert_contains(run.out, "test loss ");
    assert_contains(run.out, "saved in runs/mlp-1\n");
    leave_folder();
}

static void test_cli_train__quiet_prints_the_result_only(void **state)
{
    char line[128];
    (void)state;
    enter_folder();
    snprintf(line, sizeof line, "%s --quiet", small_run);
    run_program(&run, line);
    assert_int_equal(run.code, 0);
    assert_string_equal(run.err, "");
    leave_folder();
}

static void test_cli_train__runs_are_numbered_and_never_overwritten(void **state)
{
    char line[160];
    (void)state;
    enter_folder();
    run_program(&run, small_run);
    run_program(&run, small_run);
    assert_contains(run.out, "runs/mlp-2");
    snprintf(line, sizeof line, "%s out=mine", small_run);
    run_program(&run, line);
    assert_int_equal(run.code, 0);
    assert_true(path_exists("mine/model.safetensors"));
    run_program(&run, line);
    assert_int_equal(run.code, 2);
    assert_contains(run.err, "mine exists");
    leave_folder();
}

static void test_cli_train__ctrl_c_saves_and_ends_with_75(void **state)
{
    (void)state;
    enter_folder();
    const pid_t child = start_program("train cnn data=digits epochs=100000 batch=32 --device cpu");
    for (int tenths = 0; tenths < 600 && !path_exists("runs/.cnn-1.partial"); tenths++)
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    nanosleep(&(struct timespec){0, 500000000}, NULL);
    assert_int_equal(kill(child, SIGINT), 0);
    finish_program(&run, child);
    if (run.code != 75)
        fail_msg("exit code %d, not 75:\n%s", run.code, run.err);
    assert_contains(run.err, "stopped by request");
    assert_true(path_exists("runs/cnn-1/model.safetensors"));
    leave_folder();
}

static void test_cli_train__what_a_killed_run_left_is_not_in_the_way(void **state)
{
    char left[48];
    (void)state;
    enter_folder();
    const pid_t child =
        start_program("train mlp data=digits epochs=100000 batch=32 out=mine --device cpu");
    snprintf(left, sizeof left, ".mine.%ld.partial", (long)child);
    for (int tenths = 0; tenths < 600 && !path_exists(left); tenths++)
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    finish_program(&run, child);
    assert_true(path_exists(left));
    run_program(&run, "train mlp data=digits samples=40 epochs=1 out=mine --device cpu");
    assert_int_equal(run.code, 0);
    assert_true(path_exists("mine/model.safetensors"));
    leave_folder();
}

static void test_cli_train__weights_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    enter_folder();
    run_program(&run, "train mlp data=digits hidden=16 epochs=1 batch=64 out=a --device cpu");
    assert_int_equal(run.code, 0);
    run_program(
        &run, "train mlp data=digits hidden=17 epochs=1 weights=a/model.safetensors --device cpu");
    assert_int_equal(run.code, 3);
    assert_string_equal(run.out, "");
    run_program(&run, "train mlp data=digits weights=none.safetensors --device cpu");
    assert_int_equal(run.code, 3);
    assert_false(path_exists("runs"));
    leave_folder();
}

/* Headers that promise 100 images of 28x28 and their labels, with nothing behind them. */
static void test_cli_train__truncated_data_are_exit_3_and_name_the_file(void **state)
{
    static const unsigned char images[] = {0, 0, 8,  3, 0, 0, 0,  100, 0,
                                           0, 0, 28, 0, 0, 0, 28, 1,   2};
    static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 100, 1, 2};
    (void)state;
    enter_folder();
    assert_int_equal(mkdir("idx", 0700), 0);
    write_bytes("idx/train-images-idx3-ubyte", images, sizeof images);
    write_bytes("idx/train-labels-idx1-ubyte", labels, sizeof labels);
    write_bytes("idx/t10k-images-idx3-ubyte", images, sizeof images);
    write_bytes("idx/t10k-labels-idx1-ubyte", labels, sizeof labels);
    run_program(&run, "train mlp data=idx batch=10 --device cpu");
    assert_int_equal(run.code, 3);
    assert_string_equal(run.out, "");
    assert_contains(run.err, "train-images-idx3-ubyte");
    assert_false(path_exists("runs"));
    run_program(&run, "train mlp data=./nosuchfolder --device cpu");
    assert_int_equal(run.code, 3);
    run_program(&run, "eval idx data=digits --device cpu");
    assert_int_equal(run.code, 3);
    assert_contains(run.err, "config.json");
    leave_folder();
}

static void test_cli_train__json_progress_is_one_object_a_line(void **state)
{
    char line[160];
    int epochs = 0;
    (void)state;
    enter_folder();
    snprintf(line, sizeof line, "%s --progress json", small_run);
    run_program(&run, line);
    assert_int_equal(run.code, 0);
    for (char *at = strtok(run.err, "\n"); at != NULL; at = strtok(NULL, "\n")) {
        json_t *event = json_loads(at, 0, NULL);
        if (event == NULL)
            fail_msg("no JSON: %s", at);
        epochs += strcmp(json_string_value(json_object_get(event, "event")), "epoch") == 0;
        json_decref(event);
    }
    assert_int_equal(epochs, 2);
    leave_folder();
}

static void test_cli_train__a_model_file_is_trained_saved_and_judged(void **state)
{
    (void)state;
    enter_folder();
    write_text("net.yaml",
               "input: [28, 28, 1]\nlayers:\n  - Flatten\n  - Dense: {units: 16, activation: relu, "
               "name: a}\n"
               "  - Dense: {units: 16, activation: relu}\n  - Add: {inputs: [a, dense2]}\n"
               "  - Dense: {units: classes, activation: softmax}\n");
    json_t *trained =
        run_json(&run, "train net.yaml data=digits epochs=1 --device cpu --json --progress none");
    assert_string_equal(json_string_value(json_object_get(trained, "run")), "runs/net-1");
    const double loss = number_at(json_object_get(trained, "test"), "loss");
    assert_true(path_exists("runs/net-1/model.yaml"));
    assert_int_equal(remove("net.yaml"), 0); /* the run has its own copy */
    json_t *judged = run_json(&run, "eval runs/net-1 --device cpu --json");
    const json_t *row = json_array_get(json_object_get(judged, "results"), 0);
    assert_true(row != NULL && number_at(row, "loss") == loss);
    json_decref(judged);
    json_decref(trained);
    assert_refuses(&run, 3, "train net.yaml data=digits", "net.yaml");
    leave_folder();
}

/* The data's classes go before the thousand that an image model has by itself. */
static void test_cli_train__an_image_model_takes_the_classes_of_its_data(void **state)
{
    (void)state;
    enter_folder();
    json_t *plan =
        run_json(&run, "train resnet18 width=0.125 stem=small data=fashion-mnist batch=4 "
                       "--dry-run --json --device cpu");
    assert_true(number_at(plan, "batch") == 4);
    json_decref(plan);
    leave_folder();
}
