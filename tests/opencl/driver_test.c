#define _POSIX_C_SOURCE 200809L
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lists devices with the module of that folder in place of the OpenCL backend. */
static const char *list_with(const char *folder, bur_context **context, int32_t *count)
{
    char path[512];
    const bur_device_info *infos = NULL;
    const char *note = NULL;
    snprintf(path, sizeof path, "%s/tests/modules/%s", BURTHEN_BINARY_DIR, folder);
    assert_int_equal(setenv("BURTHEN_MODULE_PATH", path, 1), 0);
    assert_int_equal(setenv("BURTHEN_PROBE_MS", "700", 1), 0);
    assert_ok(bur_context_create(context, NULL));
    assert_ok(bur_device_list(*context, &infos, count, &note));
    assert_string_equal(infos[0].name, "cpu");
    return note;
}

static void test_opencl_driver__a_crashing_driver_costs_a_note(void **state)
{
    (void)state;
    bur_context *context = NULL;
    int32_t count = 0;
    assert_non_null(strstr(list_with("crash", &context, &count), "crashed"));
    assert_int_equal(count, 1);
    bur_context_destroy(context);
}

static void test_opencl_driver__a_hanging_driver_costs_its_time_limit_and_a_note(void **state)
{
    (void)state;
    bur_context *context = NULL;
    int32_t count = 0;
    const int64_t start_ns = bur_time_ns();
    assert_non_null(strstr(list_with("hang", &context, &count), "did not answer within 700 ms"));
    assert_true(bur_time_ns() - start_ns < 5000000000);
    assert_int_equal(count, 1);
    bur_context_destroy(context);
}

static void test_opencl_driver__a_missing_module_is_no_device(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_device *device = NULL;
    int32_t count = 0;
    assert_true(strlen(list_with("nothing-here", &context, &count)) > 0);
    assert_int_equal(count, 1);
    assert_status(BUR_E_DEVICE, bur_device_open(&device, context, "cl:0"));
    assert_non_null(strstr(bur_last_error(), "there are: cpu"));
    assert_null(device);
    bur_context_destroy(context);
}

/* Training on the CPU asks no driver at all. */
static void test_opencl_driver__opening_the_cpu_asks_no_driver(void **state)
{
    (void)state;
    char path[512];
    bur_context *context = NULL;
    bur_device *device = NULL, *again = NULL;
    snprintf(path, sizeof path, "%s/tests/modules/hang", BURTHEN_BINARY_DIR);
    assert_int_equal(setenv("BURTHEN_MODULE_PATH", path, 1), 0);
    assert_int_equal(unsetenv("BURTHEN_PROBE_MS"), 0); /* the full 15 s */
    assert_ok(bur_context_create(&context, NULL));
    const int64_t start_ns = bur_time_ns();
    assert_ok(bur_device_open(&device, context, "cpu"));
    assert_true(bur_time_ns() - start_ns < 5000000000);
    assert_ok(bur_device_open(&again, context, "cpu"));
    assert_ptr_equal(device, again);
    bur_context_destroy(context);
}
