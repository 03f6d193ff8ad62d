/* The OpenCL module: how it is found, what it lists, its buffers. */
#define _GNU_SOURCE /* setenv */
#include "test.h"

#include "support/device.h"

#include <backends/backends.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const bur_backend *opencl(void)
{
    const char *name = NULL;
    char reason[BUR_TEXT_BYTES] = "";
    const bur_backend *backend = bur_backend_load(0, &name, reason);
    if (backend == NULL)
        fail_msg("%s: %s", name, reason);
    return backend;
}

static void open_first(test_device *device)
{
    assert_ok(test_device_open(device, opencl(), 1));
}

/* First in this file: a module that was loaded stays loaded. */
static void test_opencl_module__a_missing_one_is_a_reason(void **state)
{
    (void)state;
    const char *name = NULL;
    char reason[BUR_TEXT_BYTES] = "";
    assert_int_equal(0, setenv("BURTHEN_MODULE_PATH", "/nonexistent", 1));
    const bur_backend *backend = bur_backend_load(0, &name, reason);
    unsetenv("BURTHEN_MODULE_PATH");
    assert_null(backend);
    assert_string_equal("opencl", name);
    assert_non_null(strstr(reason, "/nonexistent/opencl.so"));
    assert_non_null(opencl()); /* and is looked for again */
}

static void test_opencl_module__a_foreign_library_is_a_reason(void **state)
{
    (void)state;
    const char *name = NULL;
    char reason[BUR_TEXT_BYTES] = "", folder[] = "/tmp/burthen-module-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/opencl.so", folder);
    assert_int_equal(0, symlink(BURTHEN_BINARY_DIR "/lib/libburthen.so", path));
    assert_int_equal(0, setenv("BURTHEN_MODULE_PATH", folder, 1));
    const bur_backend *backend = bur_backend_load(0, &name, reason);
    unsetenv("BURTHEN_MODULE_PATH");
    unlink(path);
    rmdir(folder);
    if (backend == NULL) /* it was loaded before where all tests run in one process */
        assert_non_null(strstr(reason, "has no " BUR_BACKEND_ENTRY));
}

static void test_opencl_module__it_exports_its_entry_only(void **state)
{
    (void)state;
    void *module = dlopen(BURTHEN_BINARY_DIR "/lib/burthen/opencl.so", RTLD_NOW | RTLD_LOCAL);
    assert_non_null(module);
    assert_non_null(dlsym(module, BUR_BACKEND_ENTRY));
    assert_null(dlsym(module, "bur__cl_open"));
    assert_null(dlsym(module, "bur__cl_sources"));
    dlclose(module);
}

static void test_opencl_module__devices_are_numbered_over_all_platforms(void **state)
{
    (void)state;
    bur_device_info info[TEST_MAX_DEVICES];
    int32_t count = 0;
    char note[BUR_TEXT_BYTES];
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(opencl()->enumerate(context, info, TEST_MAX_DEVICES, &count, note));
    assert_true(count >= 1);
    for (int32_t i = 0; i < count; i++) {
        char name[BUR_NAME_BYTES];
        int platform = -1, device = -1;
        snprintf(name, sizeof name, "cl:%" PRId32, i);
        assert_string_equal(name, info[i].name);
        assert_int_equal(2, sscanf(info[i].alias, "cl:%d.%d", &platform, &device));
        assert_int_equal(i, info[i].index);
        assert_true(info[i].trains == 1 || info[i].reason[0] != '\0');
        assert_true(info[i].align_bytes >= 64 &&
                    (info[i].align_bytes & (info[i].align_bytes - 1)) == 0);
        assert_true(info[i].memory_bytes > 0 && info[i].max_alloc_bytes <= info[i].memory_bytes);
    }
    bur_context_destroy(context);
}

static void test_opencl_module__the_expected_devices_are_there(void **state)
{
    (void)state;
    test_device devices[TEST_MAX_DEVICES];
    int32_t count = 0;
    assert_true(test_devices_open(devices, &count));
    for (int32_t i = 0; i < count; i++)
        test_device_close(&devices[i]);
}

static void test_opencl_module__another_device_under_the_name_is_refused(void **state)
{
    (void)state;
    test_device device;
    open_first(&device);
    bur_device_info info = device.info;
    snprintf(info.description, sizeof info.description, "Voodoo 2");
    bur_device_handle *handle = NULL;
    assert_status(BUR_E_DEVICE, opencl()->open(&handle, device.context, &info));
    assert_non_null(strstr(bur_last_error(), "Voodoo 2"));
    info.index = 1000;
    assert_status(BUR_E_DEVICE, opencl()->open(&handle, device.context, &info));
    assert_null(handle);
    test_device_close(&device);
}

static void test_opencl_module__a_buffer_keeps_what_is_written(void **state)
{
    (void)state;
    enum { BYTES = 1000 };
    unsigned char in[BYTES], out[BYTES];
    for (int i = 0; i < BYTES; i++)
        in[i] = (unsigned char)(i * 7);
    test_device device;
    open_first(&device);
    bur_buffer *buffer = NULL;
    assert_ok(device.backend->buffer_create(&buffer, device.handle, BYTES));
    assert_ok(device.backend->write(buffer, 0, in, BYTES));
    assert_ok(device.backend->fill(buffer, 13, 0xab, 5));
    assert_ok(device.backend->fill(buffer, 500, 0xcd, 400));
    assert_ok(device.backend->read(buffer, 0, out, BYTES));
    memset(in + 13, 0xab, 5);
    memset(in + 500, 0xcd, 400);
    assert_memory_equal(in, out, BYTES);
    assert_status(BUR_E_RANGE, device.backend->write(buffer, 1, in, BYTES));
    assert_status(BUR_E_RANGE, device.backend->read(buffer, BYTES + 1, out, 0));
    assert_status(BUR_E_RANGE, device.backend->fill(buffer, SIZE_MAX, 0, 2));
    device.backend->buffer_destroy(buffer);
    test_device_close(&device);
}

static void test_opencl_module__a_buffer_too_large_names_both_sizes(void **state)
{
    (void)state;
    test_device device;
    open_first(&device);
    const size_t bytes = (size_t)device.info.memory_bytes * 64;
    char asked[32], total[32];
    snprintf(asked, sizeof asked, "%zu", bytes);
    snprintf(total, sizeof total, "%" PRIu64, device.info.memory_bytes);
    bur_buffer *buffer = NULL;
    assert_status(BUR_E_NOMEM, device.backend->buffer_create(&buffer, device.handle, bytes));
    assert_null(buffer);
    assert_non_null(strstr(bur_last_error(), asked));
    assert_non_null(strstr(bur_last_error(), total));
    test_device_close(&device);
}
