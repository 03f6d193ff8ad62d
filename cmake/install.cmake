# Installation: program, library, headers, CMake package, pkg-config. A loadable backend installs itself.
include(CMakePackageConfigHelpers)

install(TARGETS burthen EXPORT burthenTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS burthen-program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# burthen/op.h includes the table of operators from its own folder.
install(DIRECTORY core/include/burthen DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES core/op/ops.def DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/burthen)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/burthen)
install(EXPORT burthenTargets NAMESPACE burthen:: DESTINATION ${package_dir})
configure_package_config_file(cmake/burthenConfig.cmake.in ${PROJECT_BINARY_DIR}/burthenConfig.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/burthenConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/burthenConfig.cmake ${PROJECT_BINARY_DIR}/burthenConfigVersion.cmake
  DESTINATION ${package_dir})

file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/burthen.pc.in ${PROJECT_BINARY_DIR}/burthen.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/burthen.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
