#define _DEFAULT_SOURCE /* mkdtemp */
#include "program.h"

static program_run run;

/* The devices of `burthen devices`, joined by commas. */
static size_t join_devices(char *text, size_t bytes)
{
    size_t i = 0, used = 0;
    json_t *device = NULL;
    json_t *result = run_json(&run, "devices --json");
    json_array_foreach(json_object_get(result, "devices"), i, device) used +=
        (size_t)snprintf(text + used, bytes - used, "%s%s", i == 0 ? "" : ",",
                         json_string_value(json_object_get(device, "name")));
    assert_true(used < bytes);
    json_decref(result);
    return i;
}

/* Every case of a bench has one row a device, each with a time. */
static void check_rows(const char *what, const char *devices, size_t count)
{
    char line[256];
    size_t i = 0, rows_of_cpu = 0;
    json_t *row = NULL;
    snprintf(line, sizeof line, "bench %s --device %s --json", what, devices);
    json_t *result = run_json(&run, line);
    json_t *rows = json_object_get(result, "results");
    json_array_foreach(rows, i, row)
    {
        if (json_object_get(row, "error") != NULL)
            fail_msg("%s: %s", line, json_string_value(json_object_get(row, "error")));
        assert_true(number_at(row, "median_ms") > 0);
        rows_of_cpu += strcmp(json_string_value(json_object_get(row, "device")), "cpu") == 0;
    }
    assert_true(rows_of_cpu > 0);
    assert_int_equal(json_array_size(rows), count * rows_of_cpu);
    json_decref(result);
}

/* D-08: products, convolutions, bandwidth, launches and training steps of every device. */
static void test_cli_bench_long__every_device_has_a_row_of_every_case(void **state)
{
    static const char *const what[] = {"device", "gemm", "conv", "cnn --batch 8"};
    char devices[256];
    (void)state;
    enter_folder();
    const size_t count = join_devices(devices, sizeof devices);
    for (size_t i = 0; i < sizeof what / sizeof *what; i++)
        check_rows(what[i], devices, count);
    leave_folder();
}
