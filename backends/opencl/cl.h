/* The OpenCL backend's insides; the only place that includes CL/cl.h. */
#ifndef BUR_OPENCL_CL_H
#define BUR_OPENCL_CL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <burthen/backend.h>
#include <burthen/walk.h>

#define BUR_CL_MODULE "opencl" /* in log lines */

/* ---- errors ---- */

/* "CL_OUT_OF_RESOURCES"; "CL error" for codes that OpenCL 1.2 does not define. Static. */
const char *bur__cl_error_name(cl_int error);
/* BUR_OK for CL_SUCCESS, else `status` with "what: CL_NAME (number)". */
bur_status bur__cl_check_as(bur_status status, cl_int error, const char *what);
/* A command that fails means that the device failed: BUR_E_LOST. */
#define BUR_CL_TRY(error, what) BUR_TRY(bur__cl_check_as(BUR_E_LOST, error, what))

/* ---- device ---- */

typedef struct bur__cl_program_entry bur__cl_program_entry;

struct bur_device_handle {
    bur_context *context;
    bur_device_info info;
    cl_platform_id platform;
    cl_device_id id;
    cl_context cl;
    cl_command_queue queue; /* in order, no profiling */
    cl_command_queue timed; /* with profiling, made when first asked for */
    int32_t vector_width;   /* floats in a work-item's vectors: the processor's, or 4 on a GPU */
    bool no_profiling;      /* the driver refused such a queue */
    bool runtime_caches;    /* the driver keeps its own cache of programs; ours would only cost */
    bur__cl_program_entry *programs;
    bur_kernel *kernels;
    uint64_t live_bytes; /* in buffers */
    bur_device_handle *next_opened;
};

/* Runs on the host's processors: wide vectors and big tiles, never local memory. A pure function of
 * the description, so that scratch may use it for a device that is not present. */
bool bur__cl_on_host(const bur_device_info *info);

bur_status bur__cl_enumerate(bur_context *context, bur_device_info *out, int32_t capacity,
                             int32_t *count, char *note);
bur_status bur__cl_open(bur_device_handle **out, bur_context *context, const bur_device_info *info);
void bur__cl_close(bur_device_handle *device);
/* A device that was opened by this description; NULL if there is none or it is an assumed one. */
bur_device_handle *bur__cl_opened(const bur_device_info *info);
/* The queue with CL_QUEUE_PROFILING_ENABLE; NULL if the driver refuses one. */
cl_command_queue bur__cl_timed_queue(bur_device_handle *device);

/* ---- memory ---- */

struct bur_buffer {
    bur_device_handle *device;
    cl_mem mem;
    size_t bytes;
};

bur_status bur__cl_buffer_create(bur_buffer **out, bur_device_handle *device, size_t bytes);
void bur__cl_buffer_destroy(bur_buffer *buffer);
bur_status bur__cl_write(bur_buffer *buffer, size_t offset, const void *data, size_t bytes);
bur_status bur__cl_read(bur_buffer *buffer, size_t offset, void *data, size_t bytes);
bur_status bur__cl_fill(bur_buffer *buffer, size_t offset, int value, size_t bytes);

/* ---- programs ---- */

/* An embedded file of cl/, by its name without ".cl". */
typedef struct bur__cl_source {
    const char *name;
    const char *text;
    size_t bytes;
} bur__cl_source;
extern const bur__cl_source bur__cl_sources[]; /* generated; ends with a NULL name */

#define BUR_CL_OPTIONS_BYTES 1024

/* The program of cl/`source`.cl (with cl/common.cl before it) compiled with `options`; the device
 * keeps it. The compiler's log goes to the context's log. BUR_E_DEVICE if it does not compile. */
bur_status bur__cl_program(cl_program *out, bur_device_handle *device, const char *source,
                           const char *options);
void bur__cl_programs_destroy(bur_device_handle *device);

/* The disk cache of compiled programs, keyed by source, options, device and driver. Failures are
 * silent: the program is compiled again. */
typedef struct bur__cl_key {
    uint64_t word[2];
} bur__cl_key;
bur__cl_key bur__cl_cache_key(const bur_device_handle *device, const bur__cl_source *const *sources,
                              int32_t n_sources, const char *options);
cl_program bur__cl_cache_load(bur_device_handle *device, const bur__cl_key *key,
                              const char *options);
void bur__cl_cache_store(bur_device_handle *device, const bur__cl_key *key, cl_program program);

/* ---- kernels and commands ---- */

typedef struct bur__cl_row bur__cl_row;

struct bur_kernel {
    bur_kernel *next;
    bur_device_handle *device;
    const bur__cl_row *row;
    bur_call call;              /* a copy; points into this block */
    cl_program program, second; /* borrowed from the device; second is NULL for most rows */
};

typedef struct bur__cl_launch bur__cl_launch;
/* Enqueues one launch; *event, if event is not NULL, ends when all of it has run. */
typedef bur_status (*bur__cl_enqueue)(bur_command *command, const bur__cl_launch *launch,
                                      cl_command_queue queue, cl_event *event);

struct bur__cl_launch {
    bur__cl_enqueue enqueue;
    cl_kernel kernel; /* with all arguments set; NULL for CLBlast */
    size_t global, local;
};

/* What CLBlast is called with: column-major c[m,n] = a[m,k] b[k,n]. */
typedef struct bur__cl_gemm {
    bool transpose_a, transpose_b;
    size_t m, n, k, lda, ldb;
    cl_mem a, b, c, temp;
    uint64_t calls; /* how often CLBlast carried it out */
} bur__cl_gemm;

struct bur_command {
    bur_device_handle *device;
    const char *text;
    char own_text[BUR_NAME_BYTES];
    bur__cl_gemm gemm;
    cl_mem *owned; /* tables and sub-buffers, released with the command */
    int32_t n_owned, owned_capacity;
    bur__cl_launch *launches;
    int32_t n_launches, launches_capacity;
};

/* A walk as kernels take it: struct walk of common.cl. */
typedef struct bur__cl_walk {
    cl_int rank;
    cl_int size[BUR_MAX_RANK], start[BUR_WALK_OPERANDS], stride[BUR_WALK_OPERANDS][BUR_MAX_RANK];
} bur__cl_walk;

bur__cl_walk bur__cl_walk_of(const bur_walk *walk);

/* One kernel argument. A tensor is two of them: the buffer and the offset in elements. */
typedef struct bur__cl_arg {
    enum { BUR_CL_PLACE, BUR_CL_MEM, BUR_CL_INT, BUR_CL_FLOAT, BUR_CL_WALK } kind;
    cl_mem mem;
    cl_ulong offset;
    cl_int i;
    cl_float f;
    const bur__cl_walk *walk;
} bur__cl_arg;

bur__cl_arg bur__cl_f32(const bur_place *place); /* also i32 */
bur__cl_arg bur__cl_u8(const bur_place *place);
bur__cl_arg bur__cl_mem(cl_mem mem);
bur__cl_arg bur__cl_int(int64_t value);
bur__cl_arg bur__cl_float(float value);
/* Borrowed until the launch is added. */
bur__cl_arg bur__cl_by_walk(const bur__cl_walk *walk);

/* Appends a launch of kernel `name` over `items` work-items (rounded up to whole work-groups of
 * `local`; the kernel checks) with its arguments. */
bur_status bur__cl_launch_add(bur_command *command, cl_program program, const char *name,
                              int64_t items, int64_t local, const bur__cl_arg *args,
                              int32_t n_args);
/* Appends a launch that is not a kernel of ours. */
bur_status bur__cl_launch_add_call(bur_command *command, bur__cl_enqueue enqueue);

/* Hands `mem` to the command, which releases it; released at once on failure. */
bur_status bur__cl_own(cl_mem *out, bur_command *command, cl_mem mem);

/* ---- matrix products ---- */

/* y[m,n] = a[m,k] b[k,n], whichever of them are stored transposed. */
typedef struct bur__cl_product {
    int64_t m, n, k;
} bur__cl_product;

bur__cl_product bur__cl_product_of(const bur_call *call);
/* What CLBlast wants: exact for a device that is open, a bound for one that is only described. */
size_t bur__cl_clblast_scratch(const bur_device_info *info, const bur_call *call);
/* Binds a product to CLBlast, and its bias and activation to program "map" in kernel->second. */
bur_status bur__cl_clblast_bind(bur_command *command, const bur_kernel *kernel,
                                const bur_place *inputs, const bur_place *y,
                                const bur_place *scratch);

/* y = act(x + bias) along the last dimension of `desc`; of program "map". */
bur_status bur__cl_launch_bias_act(bur_command *command, cl_program program, const bur_place *x,
                                   const bur_place *bias, const bur_place *y, const bur_desc *desc,
                                   int32_t activation, float alpha);
/* y[c] = sum over chunks of partial[chunk,c]. */
bur_status bur__cl_build_sum_chunks(cl_program *out, bur_device_handle *device, int64_t columns);
bur_status bur__cl_launch_sum_chunks(bur_command *command, cl_program program,
                                     const bur_place *partial, const bur_place *y, int64_t columns,
                                     int64_t chunks);
/* The same and `sum`, which may lie where y does; without it in the first micro-batch. */
bur_status bur__cl_launch_add_chunks(bur_command *command, cl_program program,
                                     const bur_place *partial, const bur_place *sum,
                                     const bur_place *scalars, const bur_place *y, int64_t columns,
                                     int64_t chunks);

/* A row of kernels.def. */
struct bur__cl_row {
    const char *name;
    /* NULL: only what every row needs is asked */
    bool (*supports)(const bur_device_info *info, const bur_call *call, char *reason);
    size_t (*scratch)(const bur_device_info *info, const bur_call *call); /* NULL: none */
    bur_status (*build)(bur_kernel *kernel);
    bur_status (*bind)(bur_command *command, const bur_kernel *kernel, const bur_place *inputs,
                       const bur_place *outputs, const bur_place *scratch);
};

bool bur__cl_supports(const bur_device_info *info, const bur_call *call, char *reason);
size_t bur__cl_scratch(const bur_device_info *info, const bur_call *call, int32_t threads);
bur_status bur__cl_build(bur_kernel **out, bur_device_handle *device, const bur_call *call);
bur_status bur__cl_bind(bur_command **out, bur_kernel *kernel, const bur_place *inputs,
                        const bur_place *outputs, const bur_place *scratch);
/* A command without launches; `text` is static. */
bur_status bur__cl_command_create(bur_command **out, bur_device_handle *device, const char *text);
void bur__cl_command_destroy(bur_command *command);
bur_status bur__cl_run(bur_device_handle *device, bur_command *const *commands, int32_t count);
bur_status bur__cl_sync(bur_device_handle *device);
bur_status bur__cl_run_timed(bur_device_handle *device, bur_command *const *commands, int32_t count,
                             int64_t *ns);
bur_status bur__cl_measure_limits(bur_device_handle *device, bur_limits *out);
const char *bur__cl_command_text(const bur_command *command);
void bur__cl_kernels_destroy(bur_device_handle *device);

/* ---- small helpers of the families ---- */

enum { BUR_CL_LOCAL = 64 }; /* work-items in a work-group of a pointwise kernel */

static inline int64_t bur__cl_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t bur__cl_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t bur__cl_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The last dimension, and the product of the others (a scalar is 1 x 1). */
int64_t bur__cl_columns(const bur_desc *desc);
int64_t bur__cl_rows(const bur_desc *desc);

/* The device's widest vector that divides the columns; 1 if that is 2. */
int64_t bur__cl_vector_of(const bur_device_handle *device, int64_t columns);

/* Into how many chunks of rows normalisation cuts its sums over them (norm.c). */
int64_t bur__cl_row_chunks(const bur_device_info *info, int64_t rows, int64_t columns);

/* A list of arguments and its length. */
#define BUR_CL_ARGS(...)                                                                           \
    (const bur__cl_arg[]){__VA_ARGS__},                                                            \
        (int32_t)(sizeof((const bur__cl_arg[]){__VA_ARGS__}) / sizeof(bur__cl_arg))

/* ---- rows, by family: the functions that kernels.def names ---- */

#define BUR_CL_ROW_FUNCTIONS(family)                                                               \
    bur_status bur__cl_build_##family(bur_kernel *kernel);                                         \
    bur_status bur__cl_bind_##family(bur_command *command, const bur_kernel *kernel,               \
                                     const bur_place *inputs, const bur_place *outputs,            \
                                     const bur_place *scratch)
#define BUR_CL_SCRATCH_FUNCTION(family)                                                            \
    size_t bur__cl_scratch_##family(const bur_device_info *info, const bur_call *call)

BUR_CL_ROW_FUNCTIONS(map); /* map.c: activations, functions, their gradients */
BUR_CL_ROW_FUNCTIONS(bias_add);
BUR_CL_ROW_FUNCTIONS(dropout);
BUR_CL_ROW_FUNCTIONS(bias_grad); /* reduce.c */
BUR_CL_ROW_FUNCTIONS(softmax);   /* rows.c */
BUR_CL_ROW_FUNCTIONS(loss);
BUR_CL_ROW_FUNCTIONS(max_pool2d); /* pool.c */
BUR_CL_ROW_FUNCTIONS(max_pool2d_grad);
BUR_CL_ROW_FUNCTIONS(avg_pool2d); /* avgpool.c: also both global pools */
BUR_CL_ROW_FUNCTIONS(avg_pool2d_grad);
BUR_CL_ROW_FUNCTIONS(norm); /* norm.c: layer, rms and group */
BUR_CL_ROW_FUNCTIONS(norm_grad);
BUR_CL_ROW_FUNCTIONS(batch_norm); /* batchnorm.c */
BUR_CL_ROW_FUNCTIONS(batch_norm_grad);
BUR_CL_ROW_FUNCTIONS(batch_norm_infer);
BUR_CL_ROW_FUNCTIONS(batch_norm_infer_grad);
BUR_CL_ROW_FUNCTIONS(running_stats);
BUR_CL_ROW_FUNCTIONS(matmul); /* gemm.c */
BUR_CL_ROW_FUNCTIONS(matmul_add);
BUR_CL_ROW_FUNCTIONS(conv2d); /* conv.c */
BUR_CL_ROW_FUNCTIONS(conv2d_grad_x);
BUR_CL_ROW_FUNCTIONS(conv2d_grad_w);
BUR_CL_ROW_FUNCTIONS(optimizer); /* optimizer.c */
BUR_CL_ROW_FUNCTIONS(global_norm);
BUR_CL_ROW_FUNCTIONS(batch_matmul); /* bmm.c */
BUR_CL_ROW_FUNCTIONS(attention);    /* attention.c */
BUR_CL_ROW_FUNCTIONS(attention_grad);
BUR_CL_ROW_FUNCTIONS(arith);       /* arith.c */
BUR_CL_ROW_FUNCTIONS(reduce_axes); /* axes.c */
BUR_CL_ROW_FUNCTIONS(reduce_max_grad);
BUR_CL_ROW_FUNCTIONS(copy);   /* move.c */
BUR_CL_ROW_FUNCTIONS(resize); /* resize.c */
BUR_CL_ROW_FUNCTIONS(where);
BUR_CL_ROW_FUNCTIONS(cast);
BUR_CL_ROW_FUNCTIONS(embedding);
BUR_CL_ROW_FUNCTIONS(embedding_grad);
BUR_CL_ROW_FUNCTIONS(recurrent); /* recurrent.c */
BUR_CL_ROW_FUNCTIONS(recurrent_grad);
BUR_CL_SCRATCH_FUNCTION(recurrent);
BUR_CL_SCRATCH_FUNCTION(embedding_grad);
BUR_CL_SCRATCH_FUNCTION(attention_grad);
BUR_CL_SCRATCH_FUNCTION(reduce_axes);
BUR_CL_SCRATCH_FUNCTION(norm_grad);
BUR_CL_ROW_FUNCTIONS(gate_grad); /* gate.c */
BUR_CL_SCRATCH_FUNCTION(gate_grad);
BUR_CL_SCRATCH_FUNCTION(batch_norm);
BUR_CL_SCRATCH_FUNCTION(bias_grad);
BUR_CL_SCRATCH_FUNCTION(loss);
BUR_CL_SCRATCH_FUNCTION(global_norm);
BUR_CL_SCRATCH_FUNCTION(matmul);
BUR_CL_SCRATCH_FUNCTION(matmul_add);
BUR_CL_SCRATCH_FUNCTION(conv2d_grad_x);
BUR_CL_SCRATCH_FUNCTION(conv2d_grad_w);

#endif
