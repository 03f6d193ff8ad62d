/* The devices that tests run on. */
#ifndef BUR_TESTS_SUPPORT_DEVICE_H
#define BUR_TESTS_SUPPORT_DEVICE_H

#include <burthen/backend.h>

enum { TEST_MAX_DEVICES = 16 };

typedef struct test_device {
    char label[BUR_TEXT_BYTES + BUR_NAME_BYTES]; /* "cpu, 3 threads", "cl:0 (llvmpipe ...)" */
    const bur_backend *backend;
    bur_context *context;
    bur_device_info info;
    bur_device_handle *handle;
} test_device;

/* Opens the CPU with one and with three threads and every usable device of the loadable backends.
 * The environment variable BURTHEN_TEST_DEVICES ("pocl,rusticl", default "pocl" where OpenCL was
 * built) names those that must be there. False, with a line on stderr, if one is missing. */
bool test_devices_open(test_device *devices, int32_t *count);

/* The names in that variable; prepares the environment for the drivers they need. */
const char *test_expected_devices(void);
/* Whether `word` of that list means the device: "pocl", "rusticl", or part of its driver's or its
 * own description. */
bool test_device_is(const bur_device_info *info, const char *word);
/* Whether every expected device is among these; if not, says on stderr which is missing. */
bool test_expected_are_there(const bur_device_info *const *infos, int32_t count);

/* Opens the first device of `backend`, or the one that `info` describes; the context is the
 * device's once it is open. */
bur_status test_device_open_as(test_device *out, const bur_backend *backend, bur_context *context,
                               const bur_device_info *info);
bur_status test_device_open(test_device *out, const bur_backend *backend, int threads);
void test_device_close(test_device *device);

#endif
