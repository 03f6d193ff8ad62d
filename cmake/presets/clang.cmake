set(CMAKE_C_COMPILER clang CACHE STRING "")
include(${CMAKE_CURRENT_LIST_DIR}/base.cmake)
