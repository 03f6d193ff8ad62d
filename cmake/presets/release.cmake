# What is installed: no tests, no symbols for them.
set(CMAKE_BUILD_TYPE Release CACHE STRING "")
set(BURTHEN_TESTS OFF CACHE BOOL "")
include(${CMAKE_CURRENT_LIST_DIR}/base.cmake)
