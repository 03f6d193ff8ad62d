# oneDNN: its header decides the C API (2.x or 3.x), the library is opened at run time. Looked for in
# DNNL_ROOT, CMAKE_PREFIX_PATH and the system. Sets BUR_HAVE_ONEDNN.
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h HINTS ${DNNL_ROOT} ENV DNNL_ROOT PATH_SUFFIXES include)
set(BUR_HAVE_ONEDNN OFF)
if(DNNL_INCLUDE_DIR)
  file(STRINGS ${DNNL_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h version_lines
    REGEX "#define DNNL_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" DNNL_VERSION "${version_lines}")
  string(REPLACE ";" "." DNNL_VERSION "${DNNL_VERSION}")
  string(REGEX REPLACE "\\..*" "" DNNL_VERSION_MAJOR "${DNNL_VERSION}")
  find_library(DNNL_LIBRARY NAMES libdnnl.so.${DNNL_VERSION_MAJOR}
    HINTS ${DNNL_INCLUDE_DIR}/../lib ${DNNL_ROOT} ENV DNNL_ROOT PATH_SUFFIXES lib lib64)
  if(DNNL_LIBRARY AND DNNL_VERSION_MAJOR MATCHES "^[23]$")
    set(BUR_HAVE_ONEDNN ON)
  endif()
endif()

if(NOT BUR_HAVE_ONEDNN)
  message(STATUS "oneDNN 2 or 3 (libdnnl-dev) not found: the CPU runs the portable kernels")
  return()
endif()
message(STATUS "oneDNN ${DNNL_VERSION}: ${DNNL_LIBRARY}")

file(GLOB onednn_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/onednn*.c)
target_sources(burthen PRIVATE ${onednn_sources})
set_source_files_properties(${onednn_sources} PROPERTIES INCLUDE_DIRECTORIES ${DNNL_INCLUDE_DIR})
target_compile_definitions(burthen PRIVATE BUR_HAVE_ONEDNN)
set_source_files_properties(core/base/version.c PROPERTIES
  COMPILE_DEFINITIONS BUR_BUILD_ONEDNN="oneDNN ${DNNL_VERSION}")
# The loader searches the library's run path for what it opens.
get_filename_component(DNNL_LIBRARY_DIR ${DNNL_LIBRARY} DIRECTORY)
set_property(TARGET burthen APPEND PROPERTY BUILD_RPATH ${DNNL_LIBRARY_DIR})
