# The OpenCL backend: lib/burthen/opencl.so, opened at run time by backends.c.
find_package(OpenCL QUIET)
if(NOT OpenCL_FOUND)
  message(FATAL_ERROR "OpenCL headers or ICD loader not found: install ocl-icd-opencl-dev, "
                      "or configure with -DBURTHEN_WITH_OPENCL=OFF")
endif()
pkg_check_modules(CLBLAST QUIET IMPORTED_TARGET clblast)
if(NOT CLBLAST_FOUND)
  message(FATAL_ERROR "CLBlast not found: install libclblast-dev, "
                      "or configure with -DBURTHEN_WITH_OPENCL=OFF")
endif()

# cl/*.cl become byte arrays in one generated file.
file(GLOB cl_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cl/*.cl)
set(cl_embedded ${PROJECT_BINARY_DIR}/generated/cl_sources.c)
add_custom_command(OUTPUT ${cl_embedded}
  COMMAND ${CMAKE_COMMAND} -DOUTPUT=${cl_embedded} "-DSOURCES=${cl_sources}"
          -P ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
  DEPENDS ${cl_sources} ${CMAKE_CURRENT_LIST_DIR}/embed.cmake
  COMMENT "Embedding the OpenCL kernels" VERBATIM)

file(GLOB opencl_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
add_library(burthen-opencl MODULE ${opencl_sources} ${cl_embedded})
target_include_directories(burthen-opencl PRIVATE ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(burthen-opencl PRIVATE burthen burthen_flags OpenCL::OpenCL
  PkgConfig::CLBLAST Threads::Threads m)
set_target_properties(burthen-opencl PROPERTIES
  OUTPUT_NAME opencl PREFIX "" C_VISIBILITY_PRESET hidden
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/burthen
  INSTALL_RPATH "$ORIGIN/..")
install(TARGETS burthen-opencl LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/burthen)
target_compile_definitions(burthen PRIVATE BURTHEN_WITH_OPENCL)
set_property(SOURCE core/base/version.c APPEND PROPERTY COMPILE_DEFINITIONS BUR_BUILD_OPENCL="OpenCL")
