# The CPU backend, part of the library.
file(GLOB cpu_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
target_sources(burthen PRIVATE ${cpu_sources})
