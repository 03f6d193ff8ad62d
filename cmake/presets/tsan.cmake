# The portable CPU build by clang: gcc's ThreadSanitizer reports its OpenMP runtime falsely.
set(CMAKE_C_COMPILER clang CACHE STRING "")
set(CMAKE_C_FLAGS "-fsanitize=thread" CACHE STRING "")
set(BURTHEN_WITH_OPENCL OFF CACHE BOOL "")
set(BURTHEN_WITH_ONEDNN OFF CACHE BOOL "")
set(BURTHEN_TEST_ENVIRONMENT "TSAN_OPTIONS=ignore_noninstrumented_modules=1" CACHE STRING "")
include(${CMAKE_CURRENT_LIST_DIR}/base.cmake)
