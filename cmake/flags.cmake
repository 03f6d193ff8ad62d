# Flags of every target of this project; an interface target so that nothing is set directory-wide.
add_library(burthen_flags INTERFACE)
target_compile_options(burthen_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes
  -Wmissing-prototypes -fno-math-errno -fno-trapping-math
  $<$<BOOL:${BURTHEN_WERROR}>:-Werror>
  $<$<CONFIG:Release>:-O3>)
# Lines for people are cut on purpose, which gcc would report for every one of them.
target_compile_options(burthen_flags INTERFACE
  $<$<C_COMPILER_ID:GNU>:-fno-semantic-interposition -Wno-format-truncation>)

# Gives this directory's tests what the preset says, such as a sanitizer's options.
function(burthen_test_environment)
  get_property(all DIRECTORY PROPERTY TESTS)
  set_property(TEST ${all} APPEND PROPERTY ENVIRONMENT ${BURTHEN_TEST_ENVIRONMENT})
endfunction()
