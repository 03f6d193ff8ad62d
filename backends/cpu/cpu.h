/* The insides of the CPU backend: entries of its kernel tables, kernels, commands and devices. */
#ifndef BUR_CPU_H
#define BUR_CPU_H

#include <burthen/backend.h>
#include <burthen/walk.h>

#include <stdatomic.h>

/* Runs one thread's share of a command. Every thread of the team calls it with its own `thread`;
 * the function splits the work by (thread, threads) alone, so that equal thread counts give equal
 * bits. A function that works in phases calls bur__cpu_wait between them, in every thread. */
typedef void bur_cpu_function(const bur_command *command, int thread, int threads);

/* One way to carry out one operator. What is NULL is not needed. */
typedef struct bur_cpu_entry {
    /* Data types, one letter a tensor: f F32, i I32, t either, u U8, * any of them, s the step
     * scalars (I32[16]); inputs, '>', outputs. The last letter of either side holds for all that
     * follow. */
    const char *types;
    /* Beyond the types; a pure function. reason[BUR_TEXT_BYTES] says why not. */
    bool (*supports)(const bur_device_info *info, const bur_call *call, char *reason);
    /* Bytes needed while it runs with at most `threads` threads; a pure function. */
    size_t (*scratch)(const bur_device_info *info, const bur_call *call, int32_t threads);
    /* What a library generates for it, NULL: nothing; a pure function. */
    bur_generated (*generates)(const bur_call *call, int32_t threads);
    /* Chooses and prepares: may set kernel->plan, which discard frees. */
    bur_status (*build)(bur_kernel *kernel);
    void (*discard)(bur_kernel *kernel);
    /* May set command->plan once the addresses stand, which unbind frees. */
    bur_status (*bind)(bur_command *command);
    void (*unbind)(bur_command *command);
    bur_cpu_function *run;
    /* What carries it out, for profiles; NULL: the device's portable kernels. */
    const char *(*text)(const bur_command *command);
    /* It opens a parallel region of its own: called by one thread as run(command, 0, 1) outside of
     * ours, with omp_get_max_threads() set to the device's threads. */
    bool outside;
} bur_cpu_entry;

/* What the processor's limits are measured with. */
typedef struct bur_cpu_limits {
    /* `steps` multiply-adds in each of `sums` floats held in registers. */
    float (*multiply_adds)(int64_t steps, float factor);
    int32_t sums;
    /* x += s y; count is a multiple of 64. */
    void (*scale_and_add)(float *x, const float *y, int64_t count, float s);
} bur_cpu_limits;

/* An instruction set that the portable kernels were compiled for. */
typedef struct bur_cpu_isa {
    const char *name;             /* "avx512" */
    bool (*runs_here)(void);      /* whether this processor has it */
    const bur_cpu_entry *entries; /* [BUR_OP_COUNT], from kernels.def */
    const bur_cpu_limits *limits;
    const char *text; /* "portable avx512" */
} bur_cpu_isa;

/* A call with its chosen entry, cached in the device. */
struct bur_kernel {
    const bur_cpu_entry *entry;
    bur_device_handle *device;
    bur_call call; /* with copies of attributes and descriptions of its own */
    size_t scratch_bytes;
    bool alone;       /* too little work to share: thread 0 runs it as a team of one */
    int32_t threads;  /* most threads that will run it: the device's, or 1 if alone */
    int32_t split[3]; /* of products: blocks along m, n and k; of reductions: chunks */
    bur_walk walk;    /* of rows that broadcast, reduce or move elements */
    void *plan;       /* the entry's */
    uint64_t hash;
    bur_kernel *next; /* in the bucket */
};

/* A kernel with addresses. */
struct bur_command {
    bur_cpu_function *run;
    bool alone, outside;
    const bur_kernel *kernel;
    void *plan; /* the entry's */
    void *scratch;
    void **inputs, **outputs; /* into the command's own block */
};

enum { BUR_CPU_BUCKETS = 256 };

/* Where a team meets; see bur__cpu_wait. */
typedef struct bur_cpu_barrier {
    _Alignas(64) atomic_int arrived; /* threads of this round */
    _Alignas(64) atomic_uint round;
} bur_cpu_barrier;

struct bur_device_handle {
    bur_context *context;
    bur_device_info info;
    const bur_cpu_isa *isa;
    int threads;
    const char *failed; /* text of a kernel that could not run; from then on the device is lost */
    bur_cpu_barrier barrier;
    uint64_t *modes; /* of each thread's arithmetic, while a run has another */
    bur_kernel *kernels[BUR_CPU_BUCKETS];
};

struct bur_buffer {
    bur_device_handle *device;
    size_t bytes;
    char *memory;
};

/* The instruction sets of this build, best first; *count of them. */
const bur_cpu_isa *bur__cpu_isas(int32_t *count);
/* The one a device's info names in its driver text ("portable avx2", "oneDNN 2.6.3, portable
 * avx2"): what a call costs in scratch is a function of the info alone. NULL if this build has it
 * not. */
const bur_cpu_isa *bur__cpu_isa_of(const bur_device_info *info);

/* The entry that carries out `call`: oneDNN's if the build has it and the driver text begins with
 * "oneDNN", then the portable one; the first whose types and supports() accept the call. NULL and
 * reason[BUR_TEXT_BYTES] if none does. */
const bur_cpu_entry *bur__cpu_entry(const bur_device_info *info, const bur_call *call,
                                    char *reason);

/* Whether thread 0 runs the call as a team of one. */
bool bur__cpu_is_alone(const bur_cpu_entry *entry, const bur_call *call);

#ifdef BUR_HAVE_ONEDNN
/* Entries that oneDNN overrides, [BUR_OP_COUNT]; one with run == NULL is none. */
extern const bur_cpu_entry bur__cpu_onednn_entries[];
/* Frees the descriptions of problems that were asked for; kernels stay. */
void bur__onednn_forget(void);
/* "oneDNN 2.6.3"; NULL if its library cannot be opened here or has no kernels for this processor,
 * and then no call may reach the entries. */
const char *bur__cpu_onednn_version(void);
#endif

/* device.c: opened devices, their buffers and kernels. */
bur_status bur__cpu_open(bur_device_handle **out, bur_context *context,
                         const bur_device_info *info);
void bur__cpu_close(bur_device_handle *device);
bur_status bur__cpu_buffer_create(bur_buffer **out, bur_device_handle *device, size_t bytes);
void bur__cpu_buffer_destroy(bur_buffer *buffer);
bur_status bur__cpu_build(bur_kernel **out, bur_device_handle *device, const bur_call *call);
bur_status bur__cpu_bind(bur_command **out, bur_kernel *kernel, const bur_place *inputs,
                         const bur_place *outputs, const bur_place *scratch);
void bur__cpu_command_destroy(bur_command *command);

/* Returns when all `threads` threads of the running team have called it; at once for a team of one.
 * Not OpenMP's barrier: that one spins for milliseconds, in which a machine with other work to do
 * gets nothing done, the thread that is waited for included. This one spins for microseconds, then
 * yields. */
void bur__cpu_wait(bur_device_handle *device, int threads);

/* limits.c: see bur_backend. */
bur_status bur__cpu_measure_limits(bur_device_handle *device, bur_limits *out);

/* run.c: runs commands in order; where ns is given, ns[i] is the time of commands[i], what lies
 * between it and the one before included. */
bur_status bur__cpu_run(bur_device_handle *device, bur_command *const *commands, int32_t count);
bur_status bur__cpu_run_timed(bur_device_handle *device, bur_command *const *commands,
                              int32_t count, int64_t *ns);

#endif
