#define _POSIX_C_SOURCE 200809L /* posix_memalign */
/* The only place that allocates: the context's allocator with a size header, counted. */
#include "context.h"
#include "size.h"

#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Before every block, at its end: what bur_free must know. `start` is what the allocator gave. */
typedef struct block_header {
    void *start;
    size_t bytes;
} block_header;

enum { ALIGNMENT = 64 };

static void *default_allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    void *pointer = NULL;
    return posix_memalign(&pointer, alignment, bytes) == 0 ? pointer : NULL;
}

static void default_release(void *user, void *pointer)
{
    (void)user;
    free(pointer);
}

const bur_allocator bur__default_allocator = {NULL, default_allocate, default_release};

void bur__heap_trim(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static block_header *header_of(void *pointer)
{
    return (block_header *)((char *)pointer - sizeof(block_header));
}

static void count_up(bur_context *context, size_t bytes)
{
    atomic_fetch_add(&context->calls, 1);
    const size_t live = atomic_fetch_add(&context->live_bytes, bytes) + bytes;
    size_t peak = atomic_load(&context->peak_bytes);
    while (live > peak && !atomic_compare_exchange_weak(&context->peak_bytes, &peak, live)) {
    }
}

static void *allocate(bur_context *context, size_t bytes, size_t alignment)
{
    size_t total;
    if (!bur_size_add(&total, bytes, alignment)) {
        bur_fail(BUR_E_NOMEM, "%zu bytes are more than the address space", bytes);
        return NULL;
    }
    char *start = context->allocator.allocate(context->allocator.user, total, alignment);
    if (start == NULL) {
        bur_fail(BUR_E_NOMEM, "no memory for %zu bytes (%zu held)", bytes,
                 (size_t)atomic_load(&context->live_bytes));
        return NULL;
    }
    char *block = start + alignment; /* alignment >= sizeof(block_header) */
    *header_of(block) = (block_header){start, bytes};
    count_up(context, bytes);
    return block;
}

void *bur_alloc_aligned(bur_context *context, size_t bytes, size_t alignment)
{
    return allocate(context, bytes, alignment < ALIGNMENT ? ALIGNMENT : alignment);
}

void *bur_alloc(bur_context *context, size_t bytes)
{
    void *block = allocate(context, bytes, ALIGNMENT);
    if (block != NULL)
        memset(block, 0, bytes);
    return block;
}

void *bur_alloc_array(bur_context *context, size_t count, size_t element_bytes)
{
    size_t bytes;
    if (!bur_size_multiply(&bytes, count, element_bytes)) {
        bur_fail(BUR_E_NOMEM, "%zu elements of %zu bytes are more than the address space", count,
                 element_bytes);
        return NULL;
    }
    return bur_alloc(context, bytes);
}

void *bur_realloc(bur_context *context, void *pointer, size_t bytes)
{
    void *block = bur_alloc(context, bytes);
    if (block == NULL || pointer == NULL)
        return block;
    const size_t old_bytes = header_of(pointer)->bytes;
    memcpy(block, pointer, old_bytes < bytes ? old_bytes : bytes);
    bur_free(context, pointer);
    return block;
}

char *bur_strdup(bur_context *context, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = bur_alloc(context, bytes);
    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

void bur_free(bur_context *context, void *pointer)
{
    if (pointer == NULL)
        return;
    const block_header header = *header_of(pointer);
    atomic_fetch_sub(&context->live_bytes, header.bytes);
    context->allocator.release(context->allocator.user, header.start);
}

bur_memory_stats bur_context_memory(const bur_context *context)
{
    return (bur_memory_stats){
        .calls = atomic_load(&context->calls),
        .live_bytes = atomic_load(&context->live_bytes),
        .peak_bytes = atomic_load(&context->peak_bytes),
    };
}
