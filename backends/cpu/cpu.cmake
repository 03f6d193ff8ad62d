# The CPU backend, part of the library.
file(GLOB cpu_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
list(FILTER cpu_sources EXCLUDE REGEX "/onednn[a-z0-9_]*\\.c$")
target_sources(burthen PRIVATE ${cpu_sources})

# The portable kernels, once per instruction set; cpu.c chooses at run time.
function(bur_cpu_isa isa)
  add_library(burthen-cpu-${isa} OBJECT ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/kernels/kernels.c)
  target_compile_definitions(burthen-cpu-${isa} PRIVATE BUR_CPU_ISA=${isa})
  target_compile_options(burthen-cpu-${isa} PRIVATE -ffp-contract=fast ${ARGN})
  target_include_directories(burthen-cpu-${isa} PRIVATE ${PROJECT_SOURCE_DIR}/core/include
    ${PROJECT_SOURCE_DIR}/core/op)
  target_link_libraries(burthen-cpu-${isa} PRIVATE burthen_flags OpenMP::OpenMP_C)
  target_sources(burthen PRIVATE $<TARGET_OBJECTS:burthen-cpu-${isa}>)
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  bur_cpu_isa(sse2)
  bur_cpu_isa(avx2 -mavx2 -mfma)
  bur_cpu_isa(avx512 -mavx2 -mfma -mavx512f -mavx512vl -mavx512dq -mavx512bw)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  bur_cpu_isa(neon)
else()
  bur_cpu_isa(generic)
endif()

# oneDNN's entries, if asked for and present: sets BUR_HAVE_ONEDNN on the library's sources.
if(BURTHEN_WITH_ONEDNN)
  include(${CMAKE_CURRENT_LIST_DIR}/onednn.cmake OPTIONAL)
endif()
