#define _DEFAULT_SOURCE /* mkdtemp, setenv */
#include "program.h"

static program_run run;

static void assert_keys(const json_t *object, const char *const *keys)
{
    for (; *keys != NULL; keys++)
        if (json_object_get(object, *keys) == NULL)
            fail_msg("no key '%s'", *keys);
}

/* The row of the CPU, which is the first. */
static const json_t *cpu_of(const json_t *result)
{
    return json_array_get(json_object_get(result, "devices"), 0);
}

static void test_cli_lists__devices_have_the_promised_keys_and_one_mark(void **state)
{
    static const char *const keys[] = {
        "name",    "kind",         "description",         "vendor",
        "driver",  "memory_bytes", "free_bytes",          "max_alloc_bytes",
        "unified", "gflops_f32",   "bandwidth_gbs",       "launch_us",
        "trains",  "auto",         "train_samples_per_s", NULL};
    size_t i = 0, marks = 0;
    json_t *device = NULL;
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "devices --measure --json");
    json_array_foreach(json_object_get(result, "devices"), i, device)
    {
        assert_keys(device, keys);
        marks += json_is_true(json_object_get(device, "auto"));
    }
    assert_string_equal(json_string_value(json_object_get(cpu_of(result), "name")), "cpu");
    assert_int_equal(marks, 1);
    json_decref(result);
    leave_folder();
}

static void test_cli_lists__devices_show_what_was_measured_and_measure_when_asked(void **state)
{
    static const char key[] = "train_samples_per_s";
    (void)state;
    enter_folder();
    assert_int_equal(setenv("XDG_CACHE_HOME", program_folder, 1), 0);
    assert_int_equal(setenv("BURTHEN_MODULE_PATH", program_folder, 1), 0); /* the CPU alone */
    json_t *before = run_json(&run, "devices --json");
    run_program(&run, "plan cnn");
    assert_contains(run.out, "no times are known yet: 'burthen devices --measure'");
    assert_null(strstr(run.out, "SAMPLES/s"));
    json_t *measured = run_json(&run, "devices --measure --json");
    assert_contains(run.err, "measured training speed: cpu ");
    json_t *after = run_json(&run, "devices --json");
    assert_null(strstr(run.err, "measured training speed"));
    assert_true(json_is_null(json_object_get(cpu_of(before), key)));
    assert_true(number_at(cpu_of(measured), key) > 0);
    const double kept = number_at(cpu_of(after), key) / number_at(cpu_of(measured), key);
    assert_true(kept > 0.999999 && kept < 1.000001);
    json_decref(before);
    json_decref(measured);
    json_decref(after);
    run_program(&run, "devices");
    assert_int_equal(run.code, 0);
    assert_contains(run.out, "SAMPLES/s");
    assert_contains(run.out, "* is what --device auto picks");
    run_program(&run, "plan cnn");
    assert_contains(run.out, "SAMPLES/s");
    assert_contains(run.out, "fastest      batch=");
    leave_folder();
}

static void test_cli_lists__ops_tell_kernels_and_gradients_of_every_row(void **state)
{
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "ops -o json");
    json_t *ops = json_object_get(result, "ops");
    assert_int_equal(json_array_size(ops), BUR_OP_COUNT);
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *op = json_array_get(ops, i);
        const bur_op_info *info = bur_op_get((bur_op)i);
        assert_string_equal(json_string_value(json_object_get(op, "name")), info->name);
        assert_int_equal(json_is_true(json_object_get(op, "gradient")), info->has_gradient);
        if (!json_is_true(json_object_get(op, "cpu")))
            fail_msg("the CPU has no kernel for %s", info->name);
        assert_non_null(json_object_get(op, "opencl"));
    }
    json_decref(result);
    leave_folder();
}

static void test_cli_lists__models_match_a_pattern_and_their_summaries(void **state)
{
    char line[128];
    size_t i = 0;
    json_t *model = NULL;
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "models --json");
    json_array_foreach(json_object_get(result, "models"), i, model)
    {
        const char *name = json_string_value(json_object_get(model, "name"));
        snprintf(line, sizeof line, "summary %s --json", name);
        json_t *summary = run_json(&run, line);
        assert_true(number_at(summary, "parameters") == number_at(model, "parameters"));
        assert_true(number_at(summary, "macs") == number_at(model, "macs"));
        json_decref(summary);
    }
    json_decref(result);
    result = run_json(&run, "models cnn* --json");
    json_array_foreach(json_object_get(result, "models"), i, model)
        assert_int_equal(strncmp(json_string_value(json_object_get(model, "name")), "cnn", 3), 0);
    json_decref(result);
    leave_folder();
}

/* mlp is 784-128-64-32-10: 784*128+128 + 128*64+64 + 64*32+32 + 32*10+10 parameters. */
static void test_cli_lists__a_summary_counts_parameters_and_work(void **state)
{
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "summary mlp --json");
    assert_true(number_at(result, "parameters") == 111146);
    assert_true(number_at(result, "macs") == 784 * 128 + 128 * 64 + 64 * 32 + 32 * 10);
    double parameters = 0;
    size_t i = 0;
    json_t *layer = NULL;
    json_array_foreach(json_object_get(result, "layers"), i, layer) parameters +=
        number_at(layer, "parameters");
    assert_true(parameters == 111146);
    json_decref(result);
    run_program(&run, "summary mlp");
    assert_int_equal(run.code, 0);
    assert_contains(run.out, "111,146 parameters to learn");
    leave_folder();
}

/* The other formats carry the same rows. */
static void test_cli_lists__csv_markdown_and_json_lines_have_a_line_per_row(void **state)
{
    static const struct {
        const char *line, *first;
        size_t extra;
    } cases[] = {
        {"ops -o csv", "name,cpu,opencl,gradient\n", 1},
        {"ops -o md", "| OPERATOR | CPU |", 2},
        {"ops -o jsonl", "{\"name\":\"matmul\",", 0},
        {"ops", "OPERATOR ", 1},
    };
    (void)state;
    enter_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t lines = 0;
        run_program(&run, cases[i].line);
        assert_int_equal(run.code, 0);
        assert_int_equal(strncmp(run.out, cases[i].first, strlen(cases[i].first)), 0);
        for (const char *at = run.out; (at = strchr(at, '\n')) != NULL; at++)
            lines++;
        assert_int_equal(lines, BUR_OP_COUNT + cases[i].extra);
        assert_null(strstr(run.out, " \n"));
    }
    leave_folder();
}
