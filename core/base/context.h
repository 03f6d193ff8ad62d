/* The context's insides, for core/base, core/run and core/train. */
#ifndef BUR_BASE_CONTEXT_H
#define BUR_BASE_CONTEXT_H

#include <burthen/base.h>

#include <stdatomic.h>

struct bur_context {
    bur_allocator allocator;
    bur_log_function log;
    void *log_user;
    bur_log_level log_level;
    int threads;

    atomic_uint_least64_t calls;
    atomic_size_t live_bytes, peak_bytes;

    /* This process's pages: those of no file before the context's first run was planned, less what
     * the context held, and those of files after it; and both as plans of this model count them. */
    atomic_uint_least64_t runtime_own_bytes, runtime_file_bytes, runtime_bytes;

    /* Backends and opened devices; made by core/run when first asked for. */
    void *devices;
    void (*devices_destroy)(void *devices);
};

extern const bur_allocator bur__default_allocator;

/* Gives pages that the C library's heap holds and does not use back to the system, where it can. */
void bur__heap_trim(void);

#endif
