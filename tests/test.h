/* What every test file includes. A test is `static void test_MODULE_FILE__claim(void **state)`;
 * tests/CMakeLists.txt finds it by that name and registers it as ctest MODULE.FILE.claim. */
#ifndef BUR_TESTS_TEST_H
#define BUR_TESTS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <burthen/burthen.h>

/* Fails with the library's error line unless the call gives `wanted`. */
#define assert_status(wanted, call)                                                                \
    do {                                                                                           \
        const bur_status test_status_ = (call);                                                    \
        if (test_status_ != (wanted))                                                              \
            fail_msg("%s gave %s: %s", #call, bur_status_name(test_status_), bur_last_error());    \
    } while (0)
#define assert_ok(call) assert_status(BUR_OK, call)

#endif
