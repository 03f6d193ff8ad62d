#define _DEFAULT_SOURCE /* mkdtemp, setenv */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* ---- auto ---- */

static char cache[64];

static void begin_cache(void)
{
    strcpy(cache, "/tmp/burthen-driver-XXXXXX");
    assert_non_null(mkdtemp(cache));
    assert_int_equal(setenv("XDG_CACHE_HOME", cache, 1), 0);
}

static void end_cache(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", cache);
    assert_int_equal(system(command), 0);
}

static void keep_warning(void *user, bur_log_level level, const char *module, const char *line)
{
    (void)module;
    if (level == BUR_LOG_WARN)
        snprintf(user, 256, "%s", line);
}

/* Opens "auto" with the module of that folder: the CPU, with `warning` and after how long. */
static double auto_seconds(const char *folder, const char *limit_ms, char warning[256])
{
    char path[512];
    bur_context *context = NULL;
    bur_device *device = NULL;
    const bur_context_options options = {
        .log = keep_warning, .log_user = warning, .log_level = BUR_LOG_INFO};
    warning[0] = '\0';
    snprintf(path, sizeof path, "%s/tests/modules/%s", BURTHEN_BINARY_DIR, folder);
    assert_int_equal(setenv("BURTHEN_MODULE_PATH", path, 1), 0);
    assert_int_equal(setenv("BURTHEN_PROBE_MS", limit_ms, 1), 0);
    assert_ok(bur_context_create(&context, &options));
    const int64_t start_ns = bur_time_ns();
    assert_ok(bur_device_open(&device, context, "auto"));
    const double seconds = 1e-9 * (double)(bur_time_ns() - start_ns);
    assert_string_equal(bur_device_describe(device)->name, "cpu");
    bur_context_destroy(context);
    return seconds;
}

/* The first start pays the driver's time limit and says so, the next ones ask no driver. */
static void test_opencl_driver__auto_pays_for_a_broken_driver_once(void **state)
{
    static const struct {
        const char *folder, *warning;
    } cases[] = {
        {"hang", "an OpenCL driver did not answer within 700 ms"},
        {"crash", "an OpenCL driver crashed (signal 6)"},
        {"hang-in-open",
         "cl:0: did not answer within 700 ms while its training speed was measured"},
        {"crash-in-open", "cl:0: crashed (signal 6) while its training speed was measured"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char warning[256];
        begin_cache();
        assert_true(auto_seconds(cases[i].folder, "700", warning) < 10);
        if (strstr(warning, cases[i].warning) == NULL)
            fail_msg("%s: '%s'", cases[i].folder, warning);
        assert_true(auto_seconds(cases[i].folder, "60000", warning) < 10);
        assert_string_equal(warning, "");
        end_cache();
    }
}

static void test_opencl_driver__auto_asks_again_when_the_drivers_change(void **state)
{
    char vendors[128], icd[256], warning[256];
    (void)state;
    begin_cache();
    snprintf(vendors, sizeof vendors, "%s/vendors", cache);
    snprintf(icd, sizeof icd, "%s/new.icd", vendors);
    assert_int_equal(mkdir(vendors, 0700), 0);
    assert_int_equal(setenv("OCL_ICD_VENDORS", vendors, 1), 0);
    (void)auto_seconds("crash", "60000", warning);
    assert_non_null(strstr(warning, "crashed"));
    (void)auto_seconds("crash", "60000", warning);
    assert_string_equal(warning, "");
    FILE *file = fopen(icd, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    (void)auto_seconds("crash", "60000", warning);
    assert_non_null(strstr(warning, "crashed"));
    assert_int_equal(unsetenv("OCL_ICD_VENDORS"), 0);
    end_cache();
}

/* As users have them: no module path, and time for a driver that compiles everything anew on a
 * machine that does other things. */
static void use_real_drivers(void)
{
    assert_int_equal(unsetenv("BURTHEN_MODULE_PATH"), 0);
    assert_int_equal(setenv("BURTHEN_PROBE_MS", "120000", 1), 0);
}

/* What "auto" opens is no slower than the others. */
static void test_opencl_driver__auto_opens_the_fastest_real_device(void **state)
{
    (void)state;
    begin_cache();
    bur_context *context = NULL;
    bur_device *device = NULL;
    const bur_device_speed *speeds = NULL;
    const bur_device_info *infos = NULL;
    int32_t count = 0;
    double most = 0;
    use_real_drivers();
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_speeds(context, false, &speeds, &count));
    assert_ok(bur_device_list(context, &infos, &count, NULL));
    assert_true(count > 1);
    assert_ok(bur_device_open(&device, context, "auto"));
    for (int32_t i = 0; i < count; i++) {
        if (infos[i].trains && speeds[i].train_samples_per_s <= 0)
            fail_msg("%s was not measured: %s", infos[i].name, speeds[i].note);
        if (speeds[i].train_samples_per_s > most)
            most = speeds[i].train_samples_per_s;
    }
    for (int32_t i = 0; i < count; i++)
        if (strcmp(infos[i].name, bur_device_describe(device)->name) == 0)
            assert_true(speeds[i].is_auto && speeds[i].train_samples_per_s >= most);
    bur_context_destroy(context);
    end_cache();
}

/* A child would find none of the threads that the driver has started here. */
static void test_opencl_driver__a_driver_in_use_is_measured_where_it_is(void **state)
{
    (void)state;
    begin_cache();
    bur_context *context = NULL;
    bur_device *device = NULL;
    const bur_device_speed *speeds = NULL;
    int32_t count = 0;
    use_real_drivers();
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&device, context, "cl:0"));
    assert_ok(bur_device_speeds(context, false, &speeds, &count));
    assert_true(count > 1);
    if (speeds[1].train_samples_per_s <= 0)
        fail_msg("cl:0 was not measured: %s", speeds[1].note);
    bur_context_destroy(context);
    end_cache();
}
