/* Growing arrays of a context: items, count, capacity kept by the owner. */
#ifndef BUR_BASE_VECTOR_H
#define BUR_BASE_VECTOR_H

#include <burthen/base.h>

/* Makes room for `count` items of item_bytes in *items; new room is zeroed. BUR_E_NOMEM. */
bur_status bur__vector_reserve(bur_context *context, void **items, int32_t *capacity, int32_t count,
                               size_t item_bytes);

#endif
