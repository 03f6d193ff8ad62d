/* Arithmetic on sizes, checked where it may overflow. */
#ifndef BUR_BASE_SIZE_H
#define BUR_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* These give false on overflow and leave *out undefined. */
static inline bool bur_size_multiply(size_t *out, size_t a, size_t b)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool bur_size_add(size_t *out, size_t a, size_t b)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline uint64_t bur_size_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Rounds up to a multiple of a power of two; the caller knows that it does not overflow. */
static inline size_t bur_size_align(size_t bytes, size_t alignment)
{
    return (bytes + alignment - 1) & ~(alignment - 1);
}

#endif
