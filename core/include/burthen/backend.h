/**
 * burthen/backend.h: what a backend is. For authors of backends; users need burthen/run.h.
 *
 * A backend is a table of functions. A NULL entry means "not offered" where the comment says so.
 * The order of use: enumerate, open, then for every node of a planned graph supports, scratch,
 * build and bind; then run and sync, thousands of times. Everything a step needs was bound before:
 * run neither allocates nor looks up. A device is used by one thread at a time.
 */
#ifndef BURTHEN_BACKEND_H
#define BURTHEN_BACKEND_H

#include <burthen/op.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BUR_BACKEND_VERSION 4u
#define BUR_NAME_BYTES      64
#define BUR_TEXT_BYTES      160

#define BUR_BANDWIDTH_COUNT 5

typedef enum bur_device_kind { BUR_DEVICE_CPU, BUR_DEVICE_GPU, BUR_DEVICE_OTHER } bur_device_kind;

/** A device as its driver describes it. Plain data: it crosses the pipe from the probe process, is
 * cached, and may describe a device that is not present. */
typedef struct bur_device_info {
    char name[BUR_NAME_BYTES];        /* as --device takes it: "cpu", "cl:0" */
    char alias[BUR_NAME_BYTES];       /* a second name: "cl:1.0" (platform.device), or "" */
    char description[BUR_TEXT_BYTES]; /* "NVIDIA GeForce RTX 4060" */
    char vendor[BUR_TEXT_BYTES];
    char driver[BUR_TEXT_BYTES]; /* platform and version, changes when the driver does */
    int32_t kind;                /* bur_device_kind */
    int32_t index;               /* of the backend's own counting, for open */
    int32_t compute_units;
    int32_t unified;          /* shares memory with the host */
    int32_t trains;           /* 1 if usable for training, else `reason` says why not */
    int32_t assumed;          /* described, not present */
    uint64_t memory_bytes;    /* total */
    uint64_t free_bytes;      /* 0 if the driver does not tell */
    uint64_t max_alloc_bytes; /* largest single buffer */
    uint64_t cache_bytes;     /* last level of a processor's cache, 0 where it does not matter */
    uint32_t align_bytes;     /* of tensors in a buffer, a power of two */
    uint32_t max_group_size;  /* OpenCL: work-items in a work-group */
    uint64_t local_bytes;     /* OpenCL: local memory, 0 if it is emulated in global memory */
    char reason[BUR_TEXT_BYTES];
} bur_device_info;

typedef struct bur_device_handle bur_device_handle; /* an opened device; the backend's own */
typedef struct bur_buffer bur_buffer;               /* device memory; the backend's own */
typedef struct bur_kernel bur_kernel;               /* a chosen algorithm for one call signature */
typedef struct bur_command bur_command;             /* a kernel bound to addresses */

/** Where a tensor lives: a buffer and an offset in bytes (a multiple of align_bytes). */
typedef struct bur_place {
    bur_buffer *buffer;
    size_t offset_bytes;
} bur_place;

/** What a device can do at most, measured on it by kernels of the backend's own. */
typedef struct bur_limits {
    double flop_per_s; /* f32 multiply-adds in registers on all compute units; two flop each */
    /* x += s y over arrays of so many bytes in all (12 bytes an element moved): caches first, the
     * last far larger than any cache. */
    struct {
        double working_set_bytes, bytes_per_s;
    } bandwidth[BUR_BANDWIDTH_COUNT];
    double launch_s; /* a command without work, one of many queued together */
} bur_limits;

/** Host memory that a library takes for a kernel once it is built; upper estimates, 0 where it
 * generates nothing: other kernels take next to nothing. */
typedef struct bur_generated {
    size_t kernel_bytes;  /* code, and what describes it: equal calls share them */
    size_t command_bytes; /* of each command */
} bur_generated;

typedef struct bur_backend {
    uint32_t version; /* BUR_BACKEND_VERSION */
    const char *name; /* "cpu", "opencl" */

    /** Lists devices into out[0..capacity) and sets *count. A platform without devices or with a
     * broken driver is not an error: note[BUR_TEXT_BYTES] tells of it, "" if nothing is to tell. */
    bur_status (*enumerate)(bur_context *context, bur_device_info *out, int32_t capacity,
                            int32_t *count, char *note);

    /** Opens the device that `info` (from enumerate) names. */
    bur_status (*open)(bur_device_handle **out, bur_context *context, const bur_device_info *info);
    void (*close)(bur_device_handle *device);

    /** Buffers. `create` may allocate lazily; `fill` over the whole buffer commits it. Offsets and
     * sizes in bytes. read and write return when the host memory may be reused; both wait for
     * earlier commands. fill repeats one byte value. */
    bur_status (*buffer_create)(bur_buffer **out, bur_device_handle *device, size_t bytes);
    void (*buffer_destroy)(bur_buffer *buffer);
    bur_status (*write)(bur_buffer *buffer, size_t offset, const void *data, size_t bytes);
    bur_status (*read)(bur_buffer *buffer, size_t offset, void *data, size_t bytes);
    bur_status (*fill)(bur_buffer *buffer, size_t offset, int value, size_t bytes);
    /** The buffer's address in host memory, stable for its life; NULL entry or NULL result if it
     * has none. */
    void *(*map)(bur_buffer *buffer);

    /** Whether the backend has a kernel for the call on such a device; if not,
     * reason[BUR_TEXT_BYTES] says why. A pure function. */
    bool (*supports)(const bur_device_info *info, const bur_call *call, char *reason);

    /** Scratch bytes the call's kernel needs while it runs; a pure function of its arguments and
     * `threads` (the context's compute threads). */
    size_t (*scratch)(const bur_device_info *info, const bur_call *call, int32_t threads);

    /** What a library generates for the call's kernel, threads as above; a pure function. NULL:
     * nothing for any call. */
    bur_generated (*generates)(const bur_device_info *info, const bur_call *call, int32_t threads);

    /** Frees what is kept for questions about calls, megabytes after many plans; asked again, it is
     * found again. NULL: nothing is kept. */
    void (*forget)(void);

    /** Chooses the algorithm and compiles; kernels are cached by signature in the device and freed
     * with it, so the caller borrows *out. */
    bur_status (*build)(bur_kernel **out, bur_device_handle *device, const bur_call *call);

    /** Binds a kernel to addresses: inputs[n_inputs], outputs[n_outputs] of the call it was built
     * for, and scratch (buffer NULL if the call needs none). The command is the caller's. */
    bur_status (*bind)(bur_command **out, bur_kernel *kernel, const bur_place *inputs,
                       const bur_place *outputs, const bur_place *scratch);
    void (*command_destroy)(bur_command *command);

    /** Queues commands in order; later commands see earlier ones' results. May return before they
     * ran. BUR_E_LOST if the device failed. */
    bur_status (*run)(bur_device_handle *device, bur_command *const *commands, int32_t count);
    /** Waits until everything queued has run. */
    bur_status (*sync)(bur_device_handle *device);

    /** Like run + sync, and ns[i] is the time from the end of commands[i - 1] (of the call's begin)
     * to the end of commands[i], so that nothing between them is lost. NULL: the caller times run
     * and sync command by command. */
    bur_status (*run_timed)(bur_device_handle *device, bur_command *const *commands, int32_t count,
                            int64_t *ns);

    /** What carried a command out, for profile and tests: "oneDNN brg:avx512", "CLBlast Xgemm",
     * "portable". Static or owned by the command. */
    const char *(*command_text)(const bur_command *command);

    /** Measures the device's limits; takes below two seconds. NULL: not offered. */
    bur_status (*measure_limits)(bur_device_handle *device, bur_limits *out);
} bur_backend;

/** A loadable backend exports this function under this name. It returns NULL and sets
 * reason[BUR_TEXT_BYTES] if the backend cannot work here. */
#define BUR_BACKEND_ENTRY "bur_backend_entry"
typedef const bur_backend *(*bur_backend_entry_function)(char *reason);

#ifdef __cplusplus
}
#endif
#endif
