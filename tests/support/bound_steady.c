/* Steps that allocate nothing. */
#define _GNU_SOURCE /* mallinfo2 */
#include "bound.h"
#include "test.h"

#include <malloc.h>
#include <stdio.h>

typedef struct usage {
    uint64_t calls;
    size_t heap_bytes, mapped_bytes;
    long size_pages, anonymous_kib;
} usage;

static usage read_usage(const bur_context *context)
{
    const struct mallinfo2 heap = mallinfo2();
    usage u = {.calls = bur_context_memory(context).calls,
               .heap_bytes = heap.uordblks,
               .mapped_bytes = heap.hblkhd};
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &u.size_pages), 1);
    fclose(file);
    char line[256];
    file = fopen("/proc/self/smaps_rollup", "r"); /* exact, unlike the counters of statm */
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Anonymous: %ld", &u.anonymous_kib);
    if (file != NULL)
        fclose(file);
    return u;
}

void test_check_steady(const test_bound *b, const bur_context *context, const char *name,
                       uint32_t steps)
{
    float totals[BUR_RESULT_WORDS];
    test_write_batch(b);
    for (uint32_t step = 0; step < 2; step++)
        test_step(b, step);
    (void)read_usage(context); /* the files' own buffers */
    const usage before = read_usage(context);
    for (uint32_t step = 0; step < steps; step++)
        test_step(b, step);
    const usage after = read_usage(context);
    assert_ok(bur_session_read_totals(b->session, totals));
    assert_true(totals[BUR_RESULT_COUNT] == (float)(b->batch * (int64_t)(steps + 2)));
    if (after.calls != before.calls)
        fail_msg("%s, batch %d: %d allocations in %d steps", name, (int)b->batch,
                 (int)(after.calls - before.calls), (int)steps);
    if (TEST_SANITIZED)
        return;
    if (after.heap_bytes != before.heap_bytes || after.mapped_bytes != before.mapped_bytes)
        fail_msg("%s, batch %d: %zu bytes of heap and %zu mapped, then %zu and %zu", name,
                 (int)b->batch, before.heap_bytes, before.mapped_bytes, after.heap_bytes,
                 after.mapped_bytes);
    if (after.size_pages != before.size_pages || after.anonymous_kib != before.anonymous_kib)
        fail_msg("%s, batch %d: %ld pages of address space and %ld KiB of anonymous memory, then "
                 "%ld and %ld",
                 name, (int)b->batch, before.size_pages, before.anonymous_kib, after.size_pages,
                 after.anonymous_kib);
}
