/* The disk cache of compiled programs, on the first device whose driver has none of its own. */
#define _GNU_SOURCE /* setenv, mkdtemp */
#include "opencl/call.h"

#include <backends/backends.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Counts the lines that tell of a compiled program. */
static void count_compiled(void *user, bur_log_level level, const char *module, const char *line)
{
    (void)level, (void)module;
    if (strstr(line, " compiled in ") != NULL)
        ++*(int *)user;
}

/* Opens Mesa's software device; skips the test where it is neither there nor asked for. */
static void open_rusticl(test_device *device, int *compiled)
{
    const char *name = NULL, *expected = getenv("BURTHEN_TEST_DEVICES");
    char reason[BUR_TEXT_BYTES] = "", note[BUR_TEXT_BYTES];
    setenv("RUSTICL_ENABLE", "llvmpipe", 0);
    const bur_backend *backend = bur_backend_load(0, &name, reason);
    assert_non_null(backend);
    bur_context *context = NULL;
    const bur_context_options options = {
        .log = count_compiled, .log_user = compiled, .log_level = BUR_LOG_TRACE};
    assert_ok(bur_context_create(&context, &options));
    bur_device_info info[TEST_MAX_DEVICES];
    int32_t count = 0;
    assert_ok(backend->enumerate(context, info, TEST_MAX_DEVICES, &count, note));
    for (int32_t i = 0; i < count; i++)
        if (strstr(info[i].driver, "rusticl") != NULL) {
            assert_ok(test_device_open_as(device, backend, context, &info[i]));
            return;
        }
    bur_context_destroy(context);
    if (expected != NULL && strstr(expected, "rusticl") != NULL)
        fail_msg("rusticl of BURTHEN_TEST_DEVICES is missing: %s", note);
    skip();
}

/* relu(-2) and relu(3) on a freshly opened device; returns how many programs were compiled. */
static int compiled_for_relu(void)
{
    int compiled = 0;
    test_device device;
    open_rusticl(&device, &compiled);
    bound_call c = {.call = {.op = BUR_OP_relu, .n_outputs = 1}};
    call_add_input(&c, BUR_F32, 1, (int64_t[]){2});
    assert_ok(call_bind(&c, &device));
    float values[2] = {-2.0f, 3.0f};
    assert_ok(device.backend->write(c.buffer, c.places[0].offset_bytes, values, sizeof values));
    assert_ok(device.backend->run(device.handle, &c.command, 1));
    assert_ok(device.backend->read(c.buffer, c.places[1].offset_bytes, values, sizeof values));
    assert_true(values[0] == 0.0f && values[1] == 3.0f);
    call_free(&c, &device);
    test_device_close(&device);
    return compiled;
}

static void use_folder(char *folder)
{
    assert_non_null(mkdtemp(folder));
    assert_int_equal(0, setenv("XDG_CACHE_HOME", folder, 1));
}

/* The path of the only file in the cache. */
static void cached_file(char *path, size_t size, const char *folder)
{
    char pattern[256];
    glob_t files;
    snprintf(pattern, sizeof pattern, "%s/burthen/*", folder);
    assert_int_equal(0, glob(pattern, 0, NULL, &files));
    assert_int_equal(1, files.gl_pathc);
    snprintf(path, size, "%s", files.gl_pathv[0]);
    globfree(&files);
}

static void test_opencl_cache__a_program_is_compiled_once(void **state)
{
    (void)state;
    char folder[] = "/tmp/burthen-cache-XXXXXX", path[256], below[256];
    use_folder(folder);
    assert_int_equal(1, compiled_for_relu());
    cached_file(path, sizeof path, folder);
    assert_int_equal(0, compiled_for_relu());
    unlink(path);
    snprintf(below, sizeof below, "%s/burthen", folder);
    rmdir(below);
    rmdir(folder);
}

static void test_opencl_cache__a_damaged_file_is_compiled_again(void **state)
{
    (void)state;
    char folder[] = "/tmp/burthen-cache-XXXXXX", path[256], below[256];
    use_folder(folder);
    assert_int_equal(1, compiled_for_relu());
    cached_file(path, sizeof path, folder);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(0, fseek(file, -5, SEEK_END));
    const int byte = fgetc(file);
    assert_int_equal(0, fseek(file, -1, SEEK_CUR));
    fputc(byte ^ 0x40, file);
    assert_int_equal(0, fclose(file));
    assert_int_equal(1, compiled_for_relu());
    assert_int_equal(0, truncate(path, 20));
    assert_int_equal(1, compiled_for_relu());
    assert_int_equal(0, compiled_for_relu()); /* it was replaced */
    unlink(path);
    snprintf(below, sizeof below, "%s/burthen", folder);
    rmdir(below);
    rmdir(folder);
}
