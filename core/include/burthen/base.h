/**
 * burthen/base.h: status codes, errors, log, allocator and the context that owns them.
 *
 * Every function that can fail returns a bur_status. On failure its out parameters are untouched
 * and bur_last_error() gives one line that names the cause, with both numbers where there are two.
 * The library never exits, aborts or prints.
 */
#ifndef BURTHEN_BASE_H
#define BURTHEN_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define BUR_API                 __attribute__((visibility("default")))
#define BUR_PRINTF(line, first) __attribute__((format(printf, line, first)))
#else
#define BUR_API
#define BUR_PRINTF(line, first)
#endif

#define BUR_VERSION_MAJOR 0
#define BUR_VERSION_MINOR 1
#define BUR_VERSION_PATCH 0

/** Status codes: name, value, text. The values are part of the ABI. */
#define BUR_STATUS_MAP(X)                                                                          \
    X(OK, 0, "ok")                                                                                 \
    X(E_ARG, -1, "bad argument")                                                                   \
    X(E_NOMEM, -2, "out of memory")                                                                \
    X(E_RANGE, -3, "size out of range")                                                            \
    X(E_SHAPE, -4, "shapes do not fit")                                                            \
    X(E_DTYPE, -5, "wrong data type")                                                              \
    X(E_NAME, -6, "unknown name")                                                                  \
    X(E_FILE, -7, "cannot read or write")                                                          \
    X(E_FORMAT, -8, "malformed input")                                                             \
    X(E_DEVICE, -9, "no such or unusable device")                                                  \
    X(E_LOST, -10, "the device failed")                                                            \
    X(E_UNSUPPORTED, -11, "not supported")                                                         \
    X(E_BUDGET, -12, "does not fit memory")                                                        \
    X(E_DIVERGED, -13, "training diverged")                                                        \
    X(E_STOPPED, -14, "stopped by request")                                                        \
    X(E_STATE, -15, "called out of order")

typedef enum bur_status {
#define BUR_STATUS_ENUM(name, value, text) BUR_##name = value,
    BUR_STATUS_MAP(BUR_STATUS_ENUM)
#undef BUR_STATUS_ENUM
} bur_status;

/** The name of a status ("BUR_E_SHAPE") and its general text ("shapes do not fit"). Static. */
BUR_API const char *bur_status_name(bur_status status);
BUR_API const char *bur_status_text(bur_status status);

/** The calling thread's last error, one line without a newline; "" if none. Valid until the next
 * failing call of the same thread. */
BUR_API const char *bur_last_error(void);

/** Sets the calling thread's error line (printf style, cut at 511 bytes) without allocating and
 * returns `status`. For library code, backends and user callbacks. */
BUR_API bur_status bur_fail(bur_status status, const char *format, ...) BUR_PRINTF(2, 3);

/** Prepends "context: " to the error line of a failure that is being forwarded; returns `status`.
 */
BUR_API bur_status bur_fail_in(bur_status status, const char *format, ...) BUR_PRINTF(2, 3);

/** Forwards a failure. */
#define BUR_TRY(call)                                                                              \
    do {                                                                                           \
        const bur_status bur_try_status_ = (call);                                                 \
        if (bur_try_status_ != BUR_OK)                                                             \
            return bur_try_status_;                                                                \
    } while (0)

typedef enum bur_log_level {
    BUR_LOG_ERROR,
    BUR_LOG_WARN,
    BUR_LOG_INFO,  /* once a run */
    BUR_LOG_DEBUG, /* once a plan */
    BUR_LOG_TRACE, /* once an operator */
} bur_log_level;

/** Receives one line (no newline) from `module` ("plan", "opencl", ...). May be called from any
 * thread of the library. */
typedef void (*bur_log_function)(void *user, bur_log_level level, const char *module,
                                 const char *line);

/** The caller's allocator. Both functions must be safe to call from several threads.
 * allocate returns `bytes` bytes aligned to `alignment` (a power of two, at most 2 MiB) or NULL. */
typedef struct bur_allocator {
    void *user;
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *pointer);
} bur_allocator;

/** Zero in a field means its default. */
typedef struct bur_context_options {
    bur_allocator allocator; /* default: the C library's */
    bur_log_function log;    /* default: silent */
    void *log_user;
    bur_log_level log_level; /* the finest level that is delivered; default BUR_LOG_ERROR */
    int threads;             /* compute threads; default: the processors this process may use */
} bur_context_options;

typedef struct bur_context bur_context;

/** Creates a context: it owns allocator, log, thread count and opened devices. Contexts are
 * independent of each other. `options` may be NULL.
 * Errors: BUR_E_NOMEM; BUR_E_ARG for a negative thread count. */
BUR_API bur_status bur_context_create(bur_context **out, const bur_context_options *options);

/** Closes every device of the context and frees it. NULL is allowed. Everything that was created
 * with the context must have been destroyed before. */
BUR_API void bur_context_destroy(bur_context *context);

BUR_API int bur_context_threads(const bur_context *context);

/** What the context's allocator has handed out so far. */
typedef struct bur_memory_stats {
    uint64_t calls;    /* successful allocations so far */
    size_t live_bytes; /* held now */
    size_t peak_bytes; /* most ever held */
} bur_memory_stats;

BUR_API bur_memory_stats bur_context_memory(const bur_context *context);

/** Memory of the context's allocator: zeroed, aligned to 64 bytes. NULL and BUR_E_NOMEM's error
 * line if there is none. bur_free takes NULL. */
BUR_API void *bur_alloc(bur_context *context, size_t bytes);
BUR_API void *bur_alloc_array(bur_context *context, size_t count, size_t element_bytes);
BUR_API void *bur_alloc_aligned(bur_context *context, size_t bytes, size_t alignment);
BUR_API void *bur_realloc(bur_context *context, void *pointer, size_t bytes);
BUR_API char *bur_strdup(bur_context *context, const char *text);
BUR_API void bur_free(bur_context *context, void *pointer);

/** Sends one line to the context's log; cheap when the level is not delivered. */
BUR_API void bur_log(const bur_context *context, bur_log_level level, const char *module,
                     const char *format, ...) BUR_PRINTF(4, 5);

/** The index of `word` among `count` names, read by name(user, i); -1 if absent. */
BUR_API int32_t bur_word_find(const char *word, int32_t count,
                              const char *(*name)(const void *user, int32_t i), const void *user);
/** The name nearest to `word`, for "did you mean": it starts with `word`, or the edit distance is
 * at most a third of the word's length (at least 1). NULL if none is near. */
BUR_API const char *bur_word_nearest(const char *word, int32_t count,
                                     const char *(*name)(const void *user, int32_t i),
                                     const void *user);

/** Nanoseconds of a monotonic clock. */
BUR_API int64_t bur_time_ns(void);

/** "0.1.0", and one line with the options this build was made with ("oneDNN 2.6.3, OpenMP, ...").
 */
BUR_API const char *bur_version(void);
BUR_API const char *bur_build_info(void);

/** Philox4x32-10: out[4] = f(counter[4], key[2]); the source of every random number in training.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
BUR_API void bur_philox(uint32_t out[4], const uint32_t counter[4], const uint32_t key[2]);

/** Uniform f32 in [0, 1) from one 32-bit word: the top 24 bits times 2^-24. */
static inline float bur_uniform(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24f;
}

#ifdef __cplusplus
}
#endif
#endif
