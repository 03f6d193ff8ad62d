/* Matrix products: CLBlast, and a kernel of ours for products so small that CLBlast's call costs
 * more than the product. The only place that includes clblast_c.h.
 *
 * CLBlast works column-major; the row-major y[m,n] = a b is its column-major y'[n,m] = b' a', which
 * spares it the transposition of the result. Its C API takes operand offsets as int and the
 * temporary buffer without an offset, so here, and only here, places become sub-buffers;
 * align_bytes is the device's base address alignment, so every place may be one. */
#include "cl.h"

#include <clblast_c.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

/* Fewer multiplications than this go to our kernel. */
static const int64_t LEAST_CLBLAST_PRODUCTS = 64 * 64 * 64;

/* The largest tile of any row of CLBlast's database: its temporary matrices are padded to tiles. */
enum { MOST_TILE_MN = 128, MOST_TILE_K = 64 };

/* CLBlast's caches of programs and parameters are shared by the whole process. */
static pthread_mutex_t clblast_lock = PTHREAD_MUTEX_INITIALIZER;

typedef struct gemm_sizes {
    int64_t m, n, k;
} gemm_sizes;

static gemm_sizes sizes_of(const bur_call *call)
{
    const bur_shape *a = &call->inputs[0].shape, *y = &call->outputs[0].shape;
    return (gemm_sizes){
        .m = y->dim[0], .n = y->dim[1], .k = a->dim[call->attr->matmul.transpose_a ? 0 : 1]};
}

static bool is_small(const gemm_sizes *size)
{
    return (double)size->m * (double)size->n * (double)size->k < (double)LEAST_CLBLAST_PRODUCTS;
}

/* ---- CLBlast's parameters ---- */

/* One kernel's parameters in CLBlast's database. */
typedef struct parameter {
    const char *name;
    size_t value;
} parameter;

enum { MOST_PARAMETERS = 16 };

static void override(const bur_device_handle *device, const char *kernel, const parameter *row,
                     size_t count)
{
    const char *names[MOST_PARAMETERS];
    size_t values[MOST_PARAMETERS];
    for (size_t i = 0; i < count; i++) {
        names[i] = row[i].name;
        values[i] = row[i].value;
    }
    const CLBlastStatusCode code =
        CLBlastOverrideParameters(device->id, kernel, CLBlastPrecisionSingle, count, names, values);
    if (code != CLBlastSuccess) /* another version of CLBlast: its own row is right, if slower */
        bur_log(device->context, BUR_LOG_WARN, BUR_CL_MODULE,
                "CLBlast refuses parameters of %s: %d", kernel, (int)code);
}

/* CLBlast's database has GPUs' tiles in local memory for most processors, and its kernel for small
 * products takes minutes to compile with wide vectors on PoCL. Here: no local memory, vectors as
 * wide as the processor's, a work-item of 16 x 8 sums, and always the kernel for large products. */
static void tune_for_host(bur_device_handle *device)
{
    const size_t width = (size_t)device->vector_width;
    const parameter gemm[] = {{"GEMMK", 0}, {"KREG", 1},  {"KWG", 32},        {"KWI", 1},
                              {"MDIMA", 4}, {"MDIMC", 4}, {"MWG", 4 * width}, {"NDIMB", 4},
                              {"NDIMC", 4}, {"NWG", 32},  {"SA", 0},          {"SB", 0},
                              {"STRM", 0},  {"STRN", 0},  {"VWM", width},     {"VWN", 4}};
    const parameter routine[] = {{"XGEMM_MIN_INDIRECT_SIZE", 1}};
    pthread_mutex_lock(&clblast_lock);
    override(device, "Xgemm", gemm, sizeof gemm / sizeof gemm[0]);
    override(device, "GemmRoutine", routine, 1);
    pthread_mutex_unlock(&clblast_lock);
}

/* When the device is opened, not at CLBlast's first call: the scratch of a product follows from the
 * parameters, so they must stand before the first plan. */
void bur__cl_tune_gemm(bur_device_handle *device)
{
    if (bur__cl_on_host(&device->info))
        tune_for_host(device);
}

/* ---- our kernel ---- */

typedef struct tile {
    int64_t vector, vectors, rows;
} tile;

static tile small_tile(const bur_device_handle *device, const gemm_sizes *size)
{
    tile t = {.vector = 4, .vectors = 1, .rows = 4};
    while (t.vector < device->vector_width && t.vector < size->n)
        t.vector *= 2;
    return t;
}

static bur_status build_small(bur_kernel *kernel, const gemm_sizes *size)
{
    const bur_matmul_attr *attr = &kernel->call.attr->matmul;
    const tile t = small_tile(kernel->device, size);
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DV=%" PRId64 " -DROWS=%" PRId64 " -DVECTORS=%" PRId64
             " -DTRANSPOSE_A=%d -DTRANSPOSE_B=%d -DACT=%" PRId32 "%s",
             t.vector, t.rows, t.vectors, attr->transpose_a != 0, attr->transpose_b != 0,
             attr->activation, kernel->call.n_inputs > 2 ? " -DBIAS" : "");
    return bur__cl_program(&kernel->program, kernel->device, "gemm", options);
}

static bur_status bind_small(bur_command *command, const bur_kernel *kernel, const gemm_sizes *size,
                             const bur_place *inputs, const bur_place *y)
{
    const tile t = small_tile(kernel->device, size);
    const int64_t items =
        bur__cl_divide_up(size->m, t.rows) * bur__cl_divide_up(size->n, t.vector * t.vectors);
    bur__cl_arg args[8];
    int32_t n = 0;
    for (int32_t i = 0; i < kernel->call.n_inputs; i++)
        args[n++] = bur__cl_f32(&inputs[i]);
    args[n++] = bur__cl_f32(y);
    args[n++] = bur__cl_int(size->m);
    args[n++] = bur__cl_int(size->n);
    args[n++] = bur__cl_int(size->k);
    args[n++] = bur__cl_float(kernel->call.attr->matmul.alpha);
    return bur__cl_launch_add(command, kernel->program, "matmul", items,
                              bur__cl_on_host(&kernel->device->info) ? 1 : BUR_CL_LOCAL, args, n);
}

/* ---- CLBlast ---- */

static CLBlastTranspose transpose_of(bool transposed)
{
    return transposed ? CLBlastTransposeYes : CLBlastTransposeNo;
}

/* The product as CLBlast is told of it: column-major, so operands and sizes change places. */
static bur__cl_gemm gemm_of(const bur_call *call)
{
    const bur_matmul_attr *attr = &call->attr->matmul;
    const gemm_sizes size = sizes_of(call);
    const size_t m = (size_t)size.m, n = (size_t)size.n, k = (size_t)size.k;
    return (bur__cl_gemm){.transpose_a = attr->transpose_b != 0,
                          .transpose_b = attr->transpose_a != 0,
                          .m = n,
                          .n = m,
                          .k = k,
                          .lda = attr->transpose_b != 0 ? k : n,
                          .ldb = attr->transpose_a != 0 ? m : k};
}

/* What CLBlast wants on an open device. */
static bur_status temp_bytes_on(size_t *out, bur_device_handle *device, const bur__cl_gemm *g)
{
    cl_command_queue queue = device->queue;
    pthread_mutex_lock(&clblast_lock);
    const CLBlastStatusCode code = CLBlastSGemmTempBufferSize(
        CLBlastLayoutColMajor, transpose_of(g->transpose_a), transpose_of(g->transpose_b), g->m,
        g->n, g->k, 0, g->lda, 0, g->ldb, 0, g->m, &queue, out);
    pthread_mutex_unlock(&clblast_lock);
    return code == CLBlastSuccess ? BUR_OK
                                  : bur_fail(BUR_E_DEVICE, "CLBlastSGemmTempBufferSize: %s (%d)",
                                             bur__cl_error_name((cl_int)code), (int)code);
}

/* An upper bound that needs no device: all three operands copied and padded to the largest tiles.
 */
static size_t temp_bytes_bound(const gemm_sizes *size)
{
    const int64_t m = bur__cl_divide_up(size->m, MOST_TILE_MN) * MOST_TILE_MN;
    const int64_t n = bur__cl_divide_up(size->n, MOST_TILE_MN) * MOST_TILE_MN;
    const int64_t k = bur__cl_divide_up(size->k, MOST_TILE_K) * MOST_TILE_K;
    return (size_t)(m * k + k * n + m * n) * sizeof(cl_float);
}

/* Exact for a device that is open, the bound for one that is only described. */
size_t bur__cl_scratch_matmul(const bur_device_info *info, const bur_call *call)
{
    const gemm_sizes size = sizes_of(call);
    if (is_small(&size))
        return 0;
    bur_device_handle *device = bur__cl_opened(info);
    const bur__cl_gemm g = gemm_of(call);
    size_t bytes = 0;
    if (device == NULL || temp_bytes_on(&bytes, device, &g) != BUR_OK)
        return temp_bytes_bound(&size);
    return bytes;
}

/* Carries the command's product out by CLBlast; the text of the command tells of it from then on.
 */
static bur_status enqueue_clblast(bur_command *command, const bur__cl_launch *launch,
                                  cl_command_queue queue, cl_event *event)
{
    (void)launch;
    bur__cl_gemm *g = &command->gemm;
    pthread_mutex_lock(&clblast_lock);
    const CLBlastStatusCode code = CLBlastSgemmWithTempBuffer(
        CLBlastLayoutColMajor, transpose_of(g->transpose_a), transpose_of(g->transpose_b), g->m,
        g->n, g->k, 1.0f, g->a, 0, g->lda, g->b, 0, g->ldb, 0.0f, g->c, 0, g->m, &queue, event,
        g->temp);
    pthread_mutex_unlock(&clblast_lock);
    if (code != CLBlastSuccess)
        return bur_fail(BUR_E_LOST, "CLBlastSgemm %zux%zux%zu: %s (%d)", g->m, g->n, g->k,
                        bur__cl_error_name((cl_int)code), (int)code);
    g->calls++;
    snprintf(command->own_text, sizeof command->own_text, "CLBlast Xgemm, %" PRIu64 " calls",
             g->calls);
    return BUR_OK;
}

/* The bytes of a place as a buffer of its own. */
static bur_status sub_buffer(cl_mem *out, bur_command *command, const bur_place *place,
                             size_t bytes)
{
    cl_int error = CL_SUCCESS;
    const cl_buffer_region region = {.origin = place->offset_bytes, .size = bytes};
    cl_mem mem = clCreateSubBuffer(place->buffer->mem, CL_MEM_READ_WRITE,
                                   CL_BUFFER_CREATE_TYPE_REGION, &region, &error);
    BUR_TRY(bur__cl_check_as(BUR_E_DEVICE, error, "clCreateSubBuffer"));
    return bur__cl_own(out, command, mem);
}

static bur_status bind_clblast(bur_command *command, const bur_kernel *kernel,
                               const gemm_sizes *size, const bur_place *inputs, const bur_place *y,
                               const bur_place *scratch)
{
    const bur_call *call = &kernel->call;
    const bur_matmul_attr *attr = &call->attr->matmul;
    const size_t m = (size_t)size->m, n = (size_t)size->n, k = (size_t)size->k;
    bur__cl_gemm *g = &command->gemm;
    size_t temp_bytes = 0;
    *g = gemm_of(call);
    BUR_TRY(temp_bytes_on(&temp_bytes, kernel->device, g));
    if (temp_bytes > 0 && scratch->buffer == NULL)
        return bur_fail(BUR_E_ARG, "CLBlast wants %zu bytes of scratch on %s, planned none",
                        temp_bytes, kernel->device->info.name);
    BUR_TRY(sub_buffer(&g->a, command, &inputs[1], n * k * sizeof(cl_float)));
    BUR_TRY(sub_buffer(&g->b, command, &inputs[0], m * k * sizeof(cl_float)));
    BUR_TRY(sub_buffer(&g->c, command, y, m * n * sizeof(cl_float)));
    if (temp_bytes > 0)
        BUR_TRY(sub_buffer(&g->temp, command, scratch, temp_bytes));
    snprintf(command->own_text, sizeof command->own_text, "%s, not run", kernel->row->name);
    command->text = command->own_text;
    BUR_TRY(bur__cl_launch_add_call(command, enqueue_clblast));
    if (call->n_inputs < 3)
        return BUR_OK;
    return bur__cl_launch_bias_act(command, kernel->second, y, &inputs[2], y, &call->outputs[0],
                                   attr->activation, attr->alpha);
}

/* ---- rows matmul and matmul_bias_act ---- */

bur_status bur__cl_build_matmul(bur_kernel *kernel)
{
    const gemm_sizes size = sizes_of(&kernel->call);
    if (is_small(&size))
        return build_small(kernel, &size);
    return bur__cl_program(&kernel->second, kernel->device, "map", "");
}

bur_status bur__cl_bind_matmul(bur_command *command, const bur_kernel *kernel,
                               const bur_place *inputs, const bur_place *outputs,
                               const bur_place *scratch)
{
    const gemm_sizes size = sizes_of(&kernel->call);
    if (is_small(&size))
        return bind_small(command, kernel, &size, inputs, &outputs[0]);
    return bind_clblast(command, kernel, &size, inputs, &outputs[0], scratch);
}
