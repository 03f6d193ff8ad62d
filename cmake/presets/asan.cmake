# Drivers stay loaded until leaks have been looked for, and tests/lsan.supp names their libraries and
# nothing else. LeakSanitizer crashes on thread-local storage of libraries opened at run time (oneDNN)
# unless intercept_tls_get_addr=0 keeps it from following it. detect_stack_use_after_return
# misaligns vectors of 64 bytes (gcc bug 110027).
get_filename_component(root ${CMAKE_CURRENT_LIST_DIR}/../.. ABSOLUTE)
set(CMAKE_C_FLAGS "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
    CACHE STRING "")
set(BURTHEN_TEST_ENVIRONMENT
    "LD_PRELOAD=${CMAKE_BINARY_DIR}/lib/libkeep-loaded.so"
    "ASAN_OPTIONS=verify_asan_link_order=0:intercept_tls_get_addr=0"
    "LSAN_OPTIONS=suppressions=${root}/tests/lsan.supp:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1" CACHE STRING "")
include(${CMAKE_CURRENT_LIST_DIR}/base.cmake)
