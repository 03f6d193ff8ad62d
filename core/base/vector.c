#include "vector.h"

bur_status bur__vector_reserve(bur_context *context, void **items, int32_t *capacity, int32_t count,
                               size_t item_bytes)
{
    if (count <= *capacity)
        return BUR_OK;
    if (count > INT32_MAX / 2)
        return bur_fail(BUR_E_RANGE, "more than %d items", INT32_MAX / 2);
    int32_t wanted = *capacity < 8 ? 8 : *capacity * 2;
    if (wanted < count)
        wanted = count;
    void *grown = bur_realloc(context, *items, (size_t)wanted * item_bytes);
    if (grown == NULL)
        return BUR_E_NOMEM;
    *items = grown;
    *capacity = wanted;
    return BUR_OK;
}
