/* What buffers with lifetimes take at least where none may cross a chunk's border. */
#ifndef BUR_TESTS_SUPPORT_CHUNK_BOUND_H
#define BUR_TESTS_SUPPORT_CHUNK_BOUND_H

#include "core/plan/place.h"

/* Whether it is proved that chunks of at most chunk_bytes, each as high as it is filled, take more
 * than `total` bytes in sum; false if it is not so or the proof is too long. Bytes are aligned.
 *
 * Proof: wherever buffers lie in a chunk, it is at least as high as the largest sum of those that
 * live at once. If no way of sharing some of the buffers out among chunks keeps these heights
 * within chunk_bytes and their sum within `total`, no placement of all of them does. All ways of
 * sharing out the largest ones are tried, but for those that differ in the names of chunks, and
 * those that leave too little room at a step for what is still to be shared out: below the heights
 * so far and within what they may yet grow by. */
bool test_chunks_take_more(bur_context *context, const bur_interval *buffers, int32_t count,
                           size_t chunk_bytes, size_t total);

#endif
