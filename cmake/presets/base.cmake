# What the presets share. A preset fills the cache of a new build folder:
#
#   cmake -C cmake/presets/asan.cmake -B build/asan && cmake --build build/asan && ctest --test-dir build/asan
#
# (CMake's own presets file would have to lie at the top level.)
set(CMAKE_GENERATOR Ninja CACHE INTERNAL "")
set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "")
set(BURTHEN_WERROR ON CACHE BOOL "")
