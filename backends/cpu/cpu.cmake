# The CPU backend, part of the library.
file(GLOB cpu_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
list(FILTER cpu_sources EXCLUDE REGEX "/onednn[a-z0-9_]*\\.c$")
target_sources(burthen PRIVATE ${cpu_sources})

# oneDNN's entries, if asked for and present: sets BUR_HAVE_ONEDNN on the library's sources.
if(BURTHEN_WITH_ONEDNN)
  include(${CMAKE_CURRENT_LIST_DIR}/onednn.cmake OPTIONAL)
endif()
