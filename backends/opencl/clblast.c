/* Matrix products by CLBlast, on GPUs. The only place that includes clblast_c.h.
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

/* The largest tile of any row of CLBlast's database: its temporary matrices are padded to tiles. */
enum { MOST_TILE_MN = 128, MOST_TILE_K = 64 };

/* CLBlast's caches of programs and parameters are shared by the whole process. */
static pthread_mutex_t clblast_lock = PTHREAD_MUTEX_INITIALIZER;

static CLBlastTranspose transpose_of(bool transposed)
{
    return transposed ? CLBlastTransposeYes : CLBlastTransposeNo;
}

/* The product as CLBlast is told of it: column-major, so operands and sizes change places. */
static bur__cl_gemm gemm_of(const bur_call *call)
{
    const bur_matmul_attr *attr = &call->attr->matmul;
    const bur__cl_product size = bur__cl_product_of(call);
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
static size_t temp_bytes_bound(const bur__cl_product *size)
{
    const int64_t m = bur__cl_divide_up(size->m, MOST_TILE_MN) * MOST_TILE_MN;
    const int64_t n = bur__cl_divide_up(size->n, MOST_TILE_MN) * MOST_TILE_MN;
    const int64_t k = bur__cl_divide_up(size->k, MOST_TILE_K) * MOST_TILE_K;
    return (size_t)(m * k + k * n + m * n) * sizeof(cl_float);
}

size_t bur__cl_clblast_scratch(const bur_device_info *info, const bur_call *call)
{
    const bur__cl_product size = bur__cl_product_of(call);
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

bur_status bur__cl_clblast_bind(bur_command *command, const bur_kernel *kernel,
                                const bur_place *inputs, const bur_place *y,
                                const bur_place *scratch)
{
    const bur_call *call = &kernel->call;
    const bur_matmul_attr *attr = &call->attr->matmul;
    const bur__cl_product size = bur__cl_product_of(call);
    const size_t m = (size_t)size.m, n = (size_t)size.n, k = (size_t)size.k;
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
    if (call->op != BUR_OP_matmul_bias_act)
        return BUR_OK;
    return bur__cl_launch_bias_act(command, kernel->second, y, &inputs[2], y, &call->outputs[0],
                                   attr->activation, attr->alpha);
}
