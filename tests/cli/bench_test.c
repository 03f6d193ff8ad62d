#define _DEFAULT_SOURCE /* mkdtemp */
#include "program.h"

#include <math.h>

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

static void test_cli_bench__the_parts_of_a_step_carry_their_share_of_the_limit(void **state)
{
    size_t i = 0;
    json_t *op = NULL;
    double sum_ms = 0;
    (void)state;
    enter_folder();
    json_t *result =
        run_json(&run, "bench cnn --batch 64 --device cpu --profile --json accumulate=4");
    const json_t *row = json_array_get(json_object_get(result, "results"), 0);
    assert_true(number_at(row, "accumulate") == 4);
    json_array_foreach(json_object_get(row, "breakdown"), i, op)
    {
        sum_ms += number_at(op, "ms");
        if (strcmp(json_string_value(json_object_get(op, "op")), "conv2d_grad_w") == 0) {
            /* 64 samples, though each run of it sees 16: what is done in parts is counted whole */
            assert_true(
                fabs(number_at(op, "gflops") * number_at(op, "ms") * 1e6 / 9.5367168e8 - 1) < 0.01);
            assert_true(number_at(op, "percent_of_limit") > 0);
        }
    }
    bool has_conv2 = false;
    double kernels_ms = 0;
    json_array_foreach(json_object_get(row, "kernels"), i, op)
    {
        kernels_ms += number_at(op, "ms");
        has_conv2 |= strcmp(json_string_value(json_object_get(op, "layer")), "conv2") == 0 &&
                     strlen(json_string_value(json_object_get(op, "kernel"))) > 0;
    }
    assert_true(has_conv2 && fabs(kernels_ms / sum_ms - 1) < 1e-6);
    const double accounted = number_at(row, "accounted_percent");
    assert_true(fabs(accounted / 100 * number_at(row, "profiled_step_ms") / sum_ms - 1) < 1e-6);
    json_decref(result);
    leave_folder();
}

static void test_cli_bench__compare_puts_earlier_times_beside_the_same_rows(void **state)
{
    (void)state;
    enter_folder();
    write_text("before.json",
               "{\"schema\": 1, \"results\": [{\"device\": \"cpu\", \"model\": \"mlp\", \"mode\": "
               "\"train\","
               " \"batch\": 8, \"precision\": \"f32\", \"median_ms\": 1000.0}]}");
    json_t *result =
        run_json(&run, "bench mlp --device cpu --batch 8,16 --json --compare before.json");
    const json_t *rows = json_object_get(result, "results");
    const json_t *same = json_array_get(rows, 0), *other = json_array_get(rows, 1);
    assert_true(number_at(same, "before_ms") == 1000);
    assert_true(fabs(number_at(same, "ratio") - number_at(same, "median_ms") / 1000) < 1e-9);
    assert_null(json_object_get(other, "before_ms"));
    assert_contains(run.err, "geometric mean of 1 ratios");
    json_decref(result);
    leave_folder();
}

static void test_cli_bench__compare_refuses_what_bench_did_not_write(void **state)
{
    (void)state;
    enter_folder();
    assert_refuses(&run, 3, "bench mlp --compare none.json", "none.json");
    write_text("other.json", "{\"schema\": 1}");
    assert_refuses(&run, 3, "bench mlp --compare other.json", "results");
    leave_folder();
}

static void test_cli_bench__a_batch_that_does_not_split_is_a_row_with_its_reason(void **state)
{
    (void)state;
    enter_folder();
    run_program(&run, "bench mlp --device cpu --batch 30 accumulate=7");
    assert_int_equal(run.code, 4);
    assert_contains(run.out, "accumulate=7 does not divide batch 30");
    leave_folder();
}
