/* The highest byte of an arena that steps touch. */
#include "bound.h"
#include "test.h"

#include "core/run/session.h"

#include <stdlib.h>

enum { END_STEPS = 2 };

/* The end of the highest byte of the arena that differs from what it was filled with. */
static size_t touched_end(const test_bound *b, int value)
{
    const bur_region_memory *arena = &b->memory->regions[BUR_REGION_ARENA];
    assert_int_equal(arena->n_chunks, 1);
    unsigned char *bytes = malloc(arena->sizes[0]);
    assert_ok(arena->device->backend->fill(arena->chunks[0], 0, value, arena->sizes[0]));
    for (uint32_t step = 0; step < END_STEPS; step++) {
        test_write_batch(b);
        test_step(b, step);
    }
    assert_ok(arena->device->backend->read(arena->chunks[0], 0, bytes, arena->sizes[0]));
    size_t end = arena->sizes[0];
    while (end > 0 && bytes[end - 1] == value)
        end--;
    free(bytes);
    return end;
}

/* What the highest buffer must be touched beyond. */
static size_t least_end(const test_bound *b)
{
    const size_t padding = bur_device_describe(b->memory->device)->align_bytes;
    const bur_plan_buffer *last = NULL;
    for (int32_t i = 0; i < b->plan->n_buffers; i++) {
        const bur_plan_buffer *it = &b->plan->buffers[i];
        if (it->region == BUR_REGION_ARENA &&
            (last == NULL || it->offset + it->bytes > last->offset + last->bytes))
            last = it;
    }
    assert_non_null(last);
    return last->byte_class == BUR_BYTES_WORKSPACE
               ? last->offset
               : bur_plan_get_summary(b->plan)->arena_bytes - padding;
}

void test_check_end(const test_bound *b, const char *name)
{
    const size_t first = touched_end(b, 0xA5), second = touched_end(b, 0x3C);
    const size_t end = first > second ? first : second;
    const size_t arena = bur_plan_get_summary(b->plan)->arena_bytes;
    if (end > arena || end <= least_end(b))
        fail_msg("%s, batch %d on %s touches %zu of %zu bytes", name, (int)b->batch,
                 bur_device_describe(b->memory->device)->name, end, arena);
}
