/* "auto": devices that are made fast, slow or broken by wrapping the CPU's backend. */
#define _GNU_SOURCE /* setenv, mkdtemp, MAP_ANONYMOUS */
#include "test.h"

#include "run/device.h"
#include <backends/backends.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* What a wrapped device does with a list of commands. */
typedef enum manner { FAST, SLOW, HANGS, CRASHES, LOST } manner;

static manner manner_of_a; /* of device a:0; b:0 is always fast */
static const char *driver_of_a = "1.0";
static bool opens_in_children_only;
static pid_t parent;
static atomic_int *measured; /* openings in child processes, counted across them */
static char folder[64], file[128];

static bur_status enumerate_as(bur_context *context, bur_device_info *out, int32_t capacity,
                               int32_t *count, char *note, const char *name, const char *driver)
{
    assert_true(capacity > 0);
    BUR_TRY(bur_backend_cpu()->enumerate(context, out, 1, count, note));
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->description, sizeof out->description, "wrapped CPU");
    size_t used = strlen(out->driver);
    snprintf(out->driver + used, sizeof out->driver - used, "; wrapper %s", driver);
    return BUR_OK;
}

static bur_status enumerate_a(bur_context *context, bur_device_info *out, int32_t capacity,
                              int32_t *count, char *note)
{
    return enumerate_as(context, out, capacity, count, note, "a:0", driver_of_a);
}

static bur_status enumerate_b(bur_context *context, bur_device_info *out, int32_t capacity,
                              int32_t *count, char *note)
{
    return enumerate_as(context, out, capacity, count, note, "b:0", "1.0");
}

/* The CPU's own kernels go by its own driver text. */
static bur_status open_wrapped(bur_device_handle **out, bur_context *context,
                               const bur_device_info *info)
{
    bur_device_info own = *info;
    if (getpid() != parent)
        atomic_fetch_add(measured, 1);
    else if (opens_in_children_only)
        return bur_fail(BUR_E_DEVICE, "no more");
    *strstr(own.driver, "; wrapper") = '\0';
    return bur_backend_cpu()->open(out, context, &own);
}

static bool supports_all(const bur_device_info *info, const bur_call *call, char *reason)
{
    (void)info, (void)call, (void)reason;
    return true;
}

static size_t scratch_of_own(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    bur_device_info own = *info;
    *strstr(own.driver, "; wrapper") = '\0';
    return bur_backend_cpu()->scratch(&own, call, threads);
}

/* Nothing is faster than what is not done. */
static bur_status run_nothing(bur_device_handle *device, bur_command *const *commands,
                              int32_t count)
{
    (void)device, (void)commands, (void)count;
    return BUR_OK;
}

/* Four times as slow as the CPU and 10 ms: the machine may be busy while either is measured. */
static bur_status run_slowly(bur_device_handle *device, bur_command *const *commands, int32_t count)
{
    const int64_t start_ns = bur_time_ns();
    BUR_TRY(bur_backend_cpu()->run(device, commands, count));
    const int64_t rest_ns = 10000000 + 3 * (bur_time_ns() - start_ns);
    nanosleep(&(struct timespec){rest_ns / 1000000000, rest_ns % 1000000000}, NULL);
    return BUR_OK;
}

static bur_status run_a(bur_device_handle *device, bur_command *const *commands, int32_t count)
{
    switch (manner_of_a) {
    case FAST:
        break;
    case SLOW:
        return run_slowly(device, commands, count);
    case HANGS:
        for (;;)
            pause();
    case CRASHES:
        abort();
    case LOST:
        return bur_fail(BUR_E_LOST, "gone in the middle");
    }
    return run_nothing(device, commands, count);
}

static bur_backend backend_a, backend_b;

static const bur_backend *
wrap(bur_backend *out, const char *name,
     bur_status (*enumerate)(bur_context *, bur_device_info *, int32_t, int32_t *, char *),
     bur_status (*run)(bur_device_handle *, bur_command *const *, int32_t))
{
    *out = *bur_backend_cpu();
    out->name = name;
    out->enumerate = enumerate;
    out->open = open_wrapped;
    out->supports = supports_all;
    out->scratch = scratch_of_own;
    out->run = run;
    return out;
}

/* A cache of its own, no drivers, a short limit. */
static void begin(manner of_a)
{
    strcpy(folder, "/tmp/burthen-speed-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/burthen/speeds.txt", folder);
    assert_int_equal(setenv("XDG_CACHE_HOME", folder, 1), 0);
    assert_int_equal(setenv("BURTHEN_MODULE_PATH", folder, 1), 0);
    assert_int_equal(unsetenv("BURTHEN_PROBE_MS"), 0);
    parent = getpid();
    if (measured == NULL)
        measured =
            mmap(NULL, sizeof *measured, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(measured, MAP_FAILED);
    atomic_store(measured, 0);
    manner_of_a = of_a;
    opens_in_children_only = false;
}

static void end(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

typedef struct said {
    char warning[512], info[512];
} said;

static void listen(void *user, bur_log_level level, const char *module, const char *line)
{
    said *s = user;
    (void)module;
    snprintf(level == BUR_LOG_WARN ? s->warning : s->info, sizeof s->info, "%s", line);
}

/* One thread: children find no thread pool of this process (child.h). */
static bur_context *open_context(said *s)
{
    bur_context *context = NULL;
    const bur_context_options options = {
        .threads = 1, .log = s == NULL ? NULL : listen, .log_user = s, .log_level = BUR_LOG_INFO};
    assert_ok(bur_context_create(&context, &options));
    assert_ok(bur_context_add_backend(context, wrap(&backend_a, "a", enumerate_a, run_a)));
    return context;
}

static void assert_picks(bur_context *context, const char *name)
{
    bur_device *device = NULL;
    assert_ok(bur_device_open(&device, context, "auto"));
    assert_string_equal(bur_device_describe(device)->name, name);
}

/* The speed of a:0, device 1, as bur_device_speeds tells it. */
static bur_device_speed speed_of_a(bool anew)
{
    const bur_device_speed *speeds = NULL;
    int32_t count = 0;
    bur_context *context = open_context(NULL);
    assert_ok(bur_device_speeds(context, anew, &speeds, &count));
    assert_int_equal(count, 2);
    const bur_device_speed speed = speeds[1];
    assert_true(speeds[0].train_samples_per_s > 0);
    assert_string_equal(speeds[0].note, "");
    assert_int_equal(speeds[0].is_auto + speeds[1].is_auto, 1);
    bur_context_destroy(context);
    return speed;
}

static void test_run_speed__auto_never_picks_the_slower_device_in_20_trials(void **state)
{
    (void)state;
    for (int trial = 0; trial < 20; trial++) {
        begin(SLOW);
        bur_context *context = open_context(NULL);
        assert_picks(context, "cpu");
        assert_ok(
            bur_context_add_backend(context, wrap(&backend_b, "b", enumerate_b, run_nothing)));
        assert_picks(context, "b:0");
        bur_context_destroy(context);
        end();
    }
}

static void test_run_speed__a_speed_is_measured_once_and_told(void **state)
{
    (void)state;
    begin(FAST);
    said first = {"", ""}, second = {"", ""};
    bur_context *context = open_context(&first);
    assert_picks(context, "a:0");
    bur_context_destroy(context);
    assert_int_equal(atomic_load(measured), 1);
    assert_int_equal(strncmp(first.info, "measured training speed: cpu ", 29), 0);
    assert_non_null(strstr(first.info, "a:0 "));
    assert_non_null(strstr(first.info, "kept for later runs"));
    context = open_context(&second);
    assert_picks(context, "a:0");
    bur_context_destroy(context);
    assert_int_equal(atomic_load(measured), 1);
    assert_string_equal(second.info, "");
    assert_string_equal(second.warning, "");
    assert_true(speed_of_a(true).train_samples_per_s > 0);
    assert_int_equal(atomic_load(measured), 2);
    end();
}

/* A driver that hangs costs its limit once; `anew` gives it another chance. */
static void test_run_speed__a_hanging_device_costs_its_limit_once_and_a_line(void **state)
{
    (void)state;
    begin(HANGS);
    assert_int_equal(setenv("BURTHEN_PROBE_MS", "500", 1), 0);
    said s = {"", ""};
    bur_context *context = open_context(&s);
    const int64_t start_ns = bur_time_ns();
    assert_picks(context, "cpu");
    assert_true(bur_time_ns() - start_ns < 10000000000);
    assert_non_null(strstr(s.warning, "a:0: did not answer within 500 ms"));
    bur_context_destroy(context);
    const bur_device_speed kept = speed_of_a(false);
    assert_int_equal(atomic_load(measured), 1);
    assert_true(kept.train_samples_per_s == 0);
    assert_non_null(strstr(kept.note, "did not answer within 500 ms"));
    manner_of_a = FAST;
    assert_int_equal(unsetenv("BURTHEN_PROBE_MS"), 0);
    const bur_device_speed again = speed_of_a(true);
    assert_int_equal(atomic_load(measured), 2);
    assert_true(again.train_samples_per_s > 0 && again.is_auto);
    end();
}

static void test_run_speed__a_crashing_or_failing_device_is_a_note(void **state)
{
    static const struct {
        manner manner;
        const char *note;
    } cases[] = {{CRASHES, "crashed"}, {LOST, "gone in the middle"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(cases[i].manner);
        const bur_device_speed speed = speed_of_a(false);
        assert_non_null(strstr(speed.note, cases[i].note));
        assert_true(speed.train_samples_per_s == 0 && !speed.is_auto);
        end();
    }
}

/* Overwrites the byte at `at` (from the end if negative) of the kept file. */
static void damage(long at)
{
    FILE *f = fopen(file, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fputc('x', f), 'x');
    assert_int_equal(fclose(f), 0);
}

static void test_run_speed__a_damaged_or_foreign_file_is_ignored(void **state)
{
    (void)state;
    begin(FAST);
    assert_true(speed_of_a(false).train_samples_per_s > 0); /* a:0 is the first line */
    assert_int_equal(atomic_load(measured), 1);
    damage(2);
    assert_true(speed_of_a(false).train_samples_per_s > 0);
    assert_int_equal(atomic_load(measured), 2);
    (void)speed_of_a(false);
    assert_int_equal(atomic_load(measured), 2);
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    for (int i = 0; i < 5000; i++)
        fputc(i * 37 % 256, f);
    assert_int_equal(fclose(f), 0);
    assert_true(speed_of_a(false).train_samples_per_s > 0);
    assert_int_equal(atomic_load(measured), 3);
    assert_int_equal(truncate(file, 30), 0);
    assert_true(speed_of_a(false).train_samples_per_s > 0);
    assert_int_equal(atomic_load(measured), 4);
    end();
}

static void test_run_speed__without_a_folder_for_it_auto_still_measures(void **state)
{
    (void)state;
    begin(FAST);
    assert_int_equal(setenv("XDG_CACHE_HOME", "/proc/nowhere", 1), 0);
    bur_context *context = open_context(NULL);
    assert_picks(context, "a:0");
    bur_context_destroy(context);
    end();
}

static void test_run_speed__another_driver_is_measured(void **state)
{
    (void)state;
    begin(FAST);
    (void)speed_of_a(false);
    driver_of_a = "1.1";
    (void)speed_of_a(false);
    assert_int_equal(atomic_load(measured), 2);
    driver_of_a = "1.0";
    (void)speed_of_a(false);
    assert_int_equal(atomic_load(measured), 2);
    end();
}

/* Nothing is measured for a list that shows what is known. */
static void test_run_speed__kept_speeds_measure_nothing(void **state)
{
    (void)state;
    begin(FAST);
    const bur_device_speed *speeds = NULL;
    int32_t count = 0;
    bur_context *context = open_context(NULL);
    assert_ok(bur_device_speeds_kept(context, &speeds, &count));
    assert_int_equal(count, 2);
    assert_int_equal(atomic_load(measured), 0);
    assert_true(!speeds[0].is_auto && !speeds[1].is_auto); /* auto would have to measure */
    assert_picks(context, "a:0");
    assert_ok(bur_device_speeds_kept(context, &speeds, &count));
    assert_true(speeds[1].is_auto && speeds[1].train_samples_per_s > 0);
    bur_context_destroy(context);
    end();
}

/* Where there is the CPU alone, there is nothing to compare. */
static void test_run_speed__a_computer_without_a_choice_measures_nothing(void **state)
{
    (void)state;
    begin(FAST);
    said s = {"", ""};
    bur_context *context = NULL;
    const bur_device_speed *speeds = NULL;
    int32_t count = 0;
    const bur_context_options options = {.log = listen, .log_user = &s, .log_level = BUR_LOG_INFO};
    assert_ok(bur_context_create(&context, &options));
    assert_picks(context, "cpu");
    assert_ok(bur_device_speeds_kept(context, &speeds, &count));
    assert_int_equal(count, 1);
    assert_true(speeds[0].is_auto && speeds[0].train_samples_per_s == 0);
    assert_string_equal(s.info, "");
    assert_string_equal(s.warning, "");
    bur_context_destroy(context);
    end();
}

static void test_run_speed__the_next_fastest_is_used_if_the_fastest_cannot_be_opened(void **state)
{
    (void)state;
    begin(FAST);
    said s = {"", ""};
    opens_in_children_only = true;
    bur_context *context = open_context(&s);
    assert_picks(context, "cpu");
    assert_non_null(strstr(s.warning, "a:0: no more"));
    bur_context_destroy(context);
    end();
}
