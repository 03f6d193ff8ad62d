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

/* Built with AddressSanitizer or ThreadSanitizer, which keep books of their own: a process is larger
 * than what the library allocates. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

/* Fails with the library's error line unless the call gives `wanted`. */
#define assert_status(wanted, call)                                                                \
    do {                                                                                           \
        const bur_status test_status_ = (call);                                                    \
        if (test_status_ != (wanted))                                                              \
            fail_msg("%s gave %s: %s", #call, bur_status_name(test_status_), bur_last_error());    \
    } while (0)
#define assert_ok(call) assert_status(BUR_OK, call)

#endif
