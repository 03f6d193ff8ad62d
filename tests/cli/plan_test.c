#define _DEFAULT_SOURCE /* mkdtemp */
#include "program.h"

static program_run run;

static int recommended(const char *line)
{
    json_t *result = run_json(&run, line);
    const int batch = (int)number_at(json_object_get(result, "recommended"), "batch");
    json_decref(result);
    return batch;
}

/* S-084, S-086, S-091 to S-093, S-097: the upper end of the class; a class begins at 90% of its
 * nominal size. */
static void test_cli_plan__described_memory_gives_the_batch_of_its_class(void **state)
{
    static const struct {
        const char *line;
        int batch;
    } cases[] = {
        {"plan mlp --ram 8GiB --json", 8},
        {"plan mlp --ram 14.3GiB --json", 8},
        {"plan mlp --ram 14.5GiB --json", 16},
        {"plan cnn --ram 16GiB --json", 16},
        {"plan mlp --ram 24GiB --json", 16},
        {"plan cnn --ram 32GiB --json", 32},
        {"plan mlp --ram 64GiB --json", 32},
        {"plan cnn --device-memory 4GiB --json", 32},
        {"plan cnn --device-memory 8GiB --json", 64},
        {"plan cnn --device-memory 12GiB --json", 128},
        {"plan cnn --device-memory 24GiB --json", 128},
    };
    (void)state;
    enter_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int batch = recommended(cases[i].line);
        if (batch != cases[i].batch)
            fail_msg("burthen %s recommends %d, not %d", cases[i].line, batch, cases[i].batch);
    }
    /* S-213: a class wins over the usual 32, and says so. */
    run_program(&run, "plan cnn --ram 16GiB");
    assert_contains(run.out, "recommended  batch=16     suits 16 GB of RAM, 8-16");
    leave_folder();
}

static void test_cli_plan__bytes_by_class_sum_to_the_peak_and_fit_tells_the_budget(void **state)
{
    size_t i = 0;
    json_t *row = NULL;
    const char *name = NULL;
    json_t *value = NULL;
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "plan cnn data=digits --ram 4GiB --json");
    const double budget = number_at(result, "budget_bytes");
    const double largest = number_at(json_object_get(result, "largest"), "batch");
    assert_true(json_array_size(json_object_get(result, "rows")) >= 3);
    json_array_foreach(json_object_get(result, "rows"), i, row)
    {
        double sum = 0;
        json_object_foreach(json_object_get(row, "bytes"), name, value) sum +=
            json_number_value(value);
        assert_true(sum == number_at(row, "peak_bytes"));
        const bool fits = json_is_true(json_object_get(row, "fits"));
        assert_int_equal(fits, sum <= budget);
        assert_int_equal(fits, number_at(row, "batch") <= largest);
    }
    json_decref(result);
    leave_folder();
}

/* S-098: little memory cuts the class, and the reason says so. */
static void test_cli_plan__a_small_budget_cuts_the_recommendation(void **state)
{
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "plan cnn input=512x512x3 --ram 2GiB --json");
    const json_t *choice = json_object_get(result, "recommended");
    const double largest = number_at(json_object_get(result, "largest"), "batch");
    assert_true(number_at(choice, "batch") <= largest);
    assert_true(number_at(choice, "batch") < 8);
    assert_contains(json_string_value(json_object_get(choice, "binds")), "memory binds");
    json_decref(result);
    leave_folder();
}

static void test_cli_plan__not_even_one_sample_is_told(void **state)
{
    (void)state;
    enter_folder();
    run_program(&run, "plan cnn --ram 1MiB");
    assert_int_equal(run.code, 0);
    assert_contains(run.out, "Not even one sample fits");
    leave_folder();
}

/* S-107: the four remedies in their order. */
static void test_cli_plan__a_batch_beyond_memory_is_exit_5_and_lists_the_remedies(void **state)
{
    static const char *const remedies[] = {
        "1. a smaller batch", "2. smaller images", "input=128x128",
        "3. a lighter model", "width=0.5",         "4. gradient accumulation",
        "accumulate=",        "parts of",          "the largest that fits as it is: batch="};
    (void)state;
    enter_folder();
    run_program(&run, "train resnet50 data=random input=512x512x3 batch=4096 --device cpu");
    assert_int_equal(run.code, 5);
    const char *at = run.err;
    for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++) {
        assert_contains(at, remedies[i]);
        at = strstr(at, remedies[i]);
    }
    assert_false(path_exists("runs"));
    leave_folder();
}

/* S-098, S-106: a batch that was asked for and does not fit in one piece goes in parts. */
static void test_cli_plan__a_batch_beyond_memory_goes_in_parts(void **state)
{
    (void)state;
    enter_folder();
    json_t *plan = run_json(&run, "plan cnn input=512x512x3 batch=64 --ram 4GiB --json");
    const json_t *row = json_array_get(json_object_get(plan, "rows"), 0);
    assert_true(json_is_true(json_object_get(row, "fits")));
    assert_true(number_at(row, "batch") == 64);
    assert_true(number_at(row, "accumulate") > 1);
    json_decref(plan);
    leave_folder();
}

/* S-106: what parts of a batch do to its normalisation is told where parts were asked for. */
static void test_cli_plan__parts_of_a_normalised_batch_are_told(void **state)
{
    static const char caveat[] = "in 4 parts (batch normalisation sees 8 samples, not 32)";
    (void)state;
    enter_folder();
    run_program(&run, "plan resnet18 --device cpu batch=32 accumulate=4");
    assert_int_equal(run.code, 0);
    assert_contains(run.out, caveat);
    run_program(&run, "plan cnn --device cpu batch=32 accumulate=4");
    assert_int_equal(run.code, 0);
    assert_contains(run.out, "in 4 parts");
    assert_null(strstr(run.out, "batch normalisation"));
    leave_folder();
}

static void test_cli_plan__recompute_takes_less_for_the_same_batch(void **state)
{
    (void)state;
    enter_folder();
    double peak[2];
    static const char *const lines[] = {"plan resnet18 batch=32 recompute=off --ram 16GiB --json",
                                        "plan resnet18 batch=32 recompute=60% --ram 16GiB --json"};
    static const char *const words[] = {"off", "60%"};
    for (int i = 0; i < 2; i++) {
        json_t *plan = run_json(&run, lines[i]);
        const json_t *row = json_array_get(json_object_get(plan, "rows"), 0);
        assert_string_equal(json_string_value(json_object_get(row, "recompute")), words[i]);
        peak[i] = number_at(row, "peak_bytes");
        json_decref(plan);
    }
    assert_true(peak[1] < 0.75 * peak[0]);
    leave_folder();
}

static void test_cli_plan__a_dry_run_shows_the_plan_and_writes_nothing(void **state)
{
    (void)state;
    enter_folder();
    run_program(&run, "train cnn data=digits --dry-run --device cpu");
    assert_int_equal(run.code, 0);
    assert_contains(run.out, "cnn on ");
    assert_false(path_exists("runs"));
    json_t *plan = run_json(&run, "train cnn data=digits batch=32 --dry-run --json --device cpu");
    assert_true(number_at(plan, "batch") == 32);
    assert_true(number_at(plan, "peak_bytes") > 0);
    assert_false(path_exists("runs"));
    json_decref(plan);
    leave_folder();
}

/* Where libraries are put, and with that how many of their pages are there, differs. */
static void test_cli_plan__every_start_gives_the_same_answer(void **state)
{
    static char first[PROGRAM_TEXT_BYTES];
    (void)state;
    enter_folder();
    assert_int_equal(setenv("XDG_CACHE_HOME", program_folder, 1), 0);
    for (int start = 0; start < 20; start++) {
        run_program(&run, "plan resnet18 batch=4 budget=4GiB --device cpu --json");
        assert_int_equal(run.code, 0);
        if (start == 0)
            strcpy(first, run.out);
        assert_string_equal(run.out, first);
    }
    leave_folder();
}

static void test_cli_plan__a_table_leaves_out_details_to_fit_the_terminal(void **state)
{
    static char text[PROGRAM_TEXT_BYTES];
    (void)state;
    enter_folder();
    run_program(&run, "plan cnn --ram 16GiB");
    assert_contains(run.out, "RUNTIME");
    assert_null(strstr(run.out, "A wider terminal"));
    assert_int_equal(system("script -qec 'stty cols 80 && " BURTHEN_BINARY_DIR
                            "/bin/burthen plan cnn --ram 16GiB' screen.txt >stdout.txt"),
                     0);
    read_text(text, "screen.txt");
    assert_contains(text, "A wider terminal, or -o md, shows more columns.");
    assert_null(strstr(text, "RUNTIME"));
    const char *titles = strstr(text, " BATCH ");
    assert_non_null(titles);
    assert_contains(titles, "PEAK");
    for (int line = 0; line < 10; line++) { /* titles and rows */
        const size_t length = strcspn(titles, "\r\n");
        assert_in_range(length, 10, 80);
        titles += length + strspn(titles + length, "\r\n");
    }
    leave_folder();
}

/* What a plan says beside what a run takes, in bytes and seconds; and the seconds stay known. */
static void test_cli_plan__verify_measures_the_batch_in_a_process_of_its_own(void **state)
{
    static const char line[] = "plan cnn input=32x32x3 batch=24 --device cpu --json";
    char verified[128];
    (void)state;
    enter_folder();
    snprintf(verified, sizeof verified, "%s --verify", line);
    json_t *plan = run_json(&run, verified);
    const json_t *row = json_array_get(json_object_get(plan, "rows"), 0);
    const double peak = number_at(row, "measured_peak_bytes");
    assert_true(peak > 4e6);
    assert_true(TEST_SANITIZED || peak <= number_at(row, "peak_bytes"));
    assert_true(number_at(row, "measured_step_s") > 0);
    json_decref(plan);
    plan = run_json(&run, line);
    row = json_array_get(json_object_get(plan, "rows"), 0);
    assert_true(number_at(row, "step_s") > 0);
    assert_null(json_object_get(row, "measured_peak_bytes"));
    json_decref(plan);
    leave_folder();
}

static double peak_of(const char *keys, int batch)
{
    char line[256];
    snprintf(line, sizeof line, "plan %s batch=%d --device cpu --json", keys, batch);
    json_t *plan = run_json(&run, line);
    const double peak = number_at(json_array_get(json_object_get(plan, "rows"), 0), "peak_bytes");
    json_decref(plan);
    return peak;
}

/* S-116: the batch grows by doubling, each size measured, up to the limit and never beyond. */
static void test_cli_plan__find_doubles_within_the_plan_and_takes_the_fastest_measured(void **state)
{
    static const char keys[] = "cnn input=64x64x3 accumulate=1 recompute=off";
    char line[256];
    size_t i = 0;
    json_t *row = NULL;
    double best = 0, fastest = 0;
    (void)state;
    if (TEST_SANITIZED)
        skip(); /* a process that is larger than its plan does not keep to a budget */
    enter_folder();
    snprintf(line, sizeof line, "plan %s batch=find budget=%.0fB --device cpu --json", keys,
             (peak_of(keys, 8) + peak_of(keys, 16)) / 2);
    json_t *found = run_json(&run, line);
    const json_t *rows = json_object_get(found, "rows"),
                 *recommended = json_object_get(found, "recommended");
    assert_int_equal(json_array_size(rows), 2);
    json_array_foreach(rows, i, row)
    {
        assert_true(number_at(row, "batch") == (i == 0 ? 4 : 8));
        assert_true(number_at(row, "measured_peak_bytes") <= number_at(row, "peak_bytes"));
        const double speed = number_at(row, "batch") / number_at(row, "measured_step_s");
        fastest = speed > best ? number_at(row, "batch") : fastest;
        best = speed > best ? speed : best;
    }
    assert_true(number_at(recommended, "batch") == fastest);
    assert_contains(json_string_value(json_object_get(recommended, "binds")),
                    "batch=16 does not fit");
    json_decref(found);
    leave_folder();
}

/* S-013: exactly these, as far as there are samples. */
static void test_cli_plan__usual_measures_16_to_256_and_no_other(void **state)
{
    static const int usual[] = {16, 32, 64, 128, 256};
    static const struct {
        int samples, count;
        const char *end;
    } cases[] = {{1000, 5, "that is as far as it goes"}, {100, 3, "there are 100 samples"}};
    char line[256];
    (void)state;
    enter_folder();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        snprintf(line, sizeof line,
                 "plan mlp hidden=16 data=random samples=%d batch=usual --device cpu --json",
                 cases[c].samples);
        json_t *found = run_json(&run, line);
        const json_t *rows = json_object_get(found, "rows"),
                     *recommended = json_object_get(found, "recommended");
        bool is_one_of_them = false;
        assert_int_equal(json_array_size(rows), cases[c].count);
        for (int i = 0; i < cases[c].count; i++) {
            const json_t *row = json_array_get(rows, (size_t)i);
            assert_true(number_at(row, "batch") == usual[i]);
            assert_true(number_at(row, "measured_step_s") > 0);
            is_one_of_them |= number_at(recommended, "batch") == usual[i];
        }
        assert_true(is_one_of_them);
        assert_contains(json_string_value(json_object_get(recommended, "binds")), cases[c].end);
        json_decref(found);
    }
    leave_folder();
}

static void test_cli_plan__train_with_batch_find_trains_with_the_fastest(void **state)
{
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "train mlp data=digits samples=24 batch=find epochs=1 "
                                    "--device cpu --json");
    const int batch = (int)number_at(result, "batch");
    assert_true(batch == 4 || batch == 8 || batch == 16);
    assert_contains(run.err, "batch      4: planned ");
    assert_contains(run.err, "the fastest that was measured");
    json_decref(result);
    leave_folder();
}
