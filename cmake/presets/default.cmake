include(${CMAKE_CURRENT_LIST_DIR}/base.cmake)
