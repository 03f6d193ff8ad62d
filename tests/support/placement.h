/* Random sets of buffers, placed and checked. Everything here fails the running test on error. */
#ifndef BUR_TESTS_SUPPORT_PLACEMENT_H
#define BUR_TESTS_SUPPORT_PLACEMENT_H

#include "core/plan/place.h"

enum { TEST_PLACE_ALIGNMENT = 64 };

/* Of so many sets every `every`th: up to 64 random buffers of up to 5000 bytes are placed twice: no
 * two that are live at once overlap, none crosses a multiple of chunk_bytes (0: no chunks), and
 * offsets repeat. */
void test_place_random(uint32_t sets, uint32_t every, size_t chunk_bytes);

/* Cuts a rectangle of `steps` by 20,000 at random into `count` buffers, at most 200, forgets their
 * offsets and places them: the arena over the rectangle, which is the optimum. */
double test_place_cut(bur_context *context, int32_t count, int32_t steps, uint32_t seed,
                      bur_placement_effort effort);

#endif
