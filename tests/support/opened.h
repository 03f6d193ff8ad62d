/* The devices that tests run on, opened through the public interface in one context. */
#ifndef BUR_TESTS_SUPPORT_OPENED_H
#define BUR_TESTS_SUPPORT_OPENED_H

#include <burthen/run.h>

typedef struct test_opened {
    bur_context *context;
    bur_device *devices[16];
    int32_t count;
} test_opened;

/* Opens the CPU and every usable OpenCL device. Fails the running test if one that the environment
 * variable BURTHEN_TEST_DEVICES names ("pocl,rusticl"; default "pocl" where OpenCL was built) is
 * missing. */
void test_opened_create(test_opened *out);
void test_opened_destroy(test_opened *opened);

#endif
