# Flags of every target of this project; an interface target so that nothing is set directory-wide.
add_library(burthen_flags INTERFACE)
target_compile_options(burthen_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes
  -Wmissing-prototypes -fno-math-errno -fno-trapping-math
  $<$<BOOL:${BURTHEN_WERROR}>:-Werror>
  $<$<CONFIG:Release>:-O3>)
# Lines for people are cut on purpose, which gcc would report for every one of them.
target_compile_options(burthen_flags INTERFACE
  $<$<C_COMPILER_ID:GNU>:-fno-semantic-interposition -Wno-format-truncation>)
