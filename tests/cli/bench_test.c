#define _DEFAULT_SOURCE /* mkdtemp */
#include "program.h"

static program_run run;

static void test_cli_bench__a_device_that_fails_is_a_row_with_its_reason(void **state)
{
    size_t i = 0, good = 0, failed = 0;
    json_t *row = NULL;
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "bench mlp --device cpu,cl:77 --batch 8,32 --json");
    json_array_foreach(json_object_get(result, "results"), i, row)
    {
        if (json_object_get(row, "error") != NULL) {
            failed++;
            assert_string_equal(json_string_value(json_object_get(row, "device")), "cl:77");
            continue;
        }
        good++;
        assert_true(number_at(row, "min_ms") <= number_at(row, "median_ms"));
        assert_true(number_at(row, "samples_per_s") > 0);
        assert_true(number_at(row, "runs") >= 3);
        assert_true(number_at(row, "planned_peak_bytes") > 0);
    }
    assert_int_equal(good, 2);
    assert_int_equal(failed, 2);
    json_decref(result);
    leave_folder();
}

static void test_cli_bench__no_device_that_works_is_exit_4(void **state)
{
    (void)state;
    enter_folder();
    run_program(&run, "bench gemm --device cl:77");
    assert_int_equal(run.code, 4);
    assert_contains(run.out, "cl:77");
    assert_contains(run.err, "no device gave a result");
    leave_folder();
}

static void test_cli_bench__a_profile_names_the_operators_of_a_step(void **state)
{
    bool has_adam = false;
    size_t i = 0;
    json_t *op = NULL;
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "bench mlp --batch 16 --profile --json");
    const json_t *row = json_array_get(json_object_get(result, "results"), 0);
    json_array_foreach(json_object_get(row, "breakdown"), i, op)
    {
        assert_true(number_at(op, "ms") > 0);
        has_adam |= strcmp(json_string_value(json_object_get(op, "op")), "adam") == 0;
    }
    assert_true(has_adam);
    json_decref(result);
    leave_folder();
}
