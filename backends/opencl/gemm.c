/* Matrix products: which are CLBlast's, and our kernel for the others.
 *
 * On a GPU our kernel takes products so small that CLBlast's call costs more than the product. On a
 * CPU it takes all: CLBlast, with parameters as good as they get there, reaches a third of it on
 * PoCL and a twentieth on Intel's runtime. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

/* Fewer multiplications than this are a small product. */
static const int64_t LEAST_PRODUCTS = 64 * 64 * 64;

/* From here on copying b into the tiles' order pays, although it need not be done. */
enum { LEAST_PACKED_ROWS = 256, LEAST_PACKED_ELEMENTS = 1 << 17 };

enum { MOST_TILE_COLUMNS = 32, PACK_ROWS = 16 }; /* PACK_ROWS as in gemm.cl */

typedef struct tile {
    int64_t vector, vectors, rows;
} tile;

bur__cl_product bur__cl_product_of(const bur_call *call)
{
    const bur_shape *a = &call->inputs[0].shape, *y = &call->outputs[0].shape;
    return (bur__cl_product){
        .m = y->dim[0], .n = y->dim[1], .k = a->dim[call->attr->matmul.transpose_a ? 0 : 1]};
}

static bool is_small(const bur__cl_product *size)
{
    return (double)size->m * (double)size->n * (double)size->k < (double)LEAST_PRODUCTS;
}

static bool is_clblast(const bur_device_info *info, const bur__cl_product *size)
{
    return !bur__cl_on_host(info) && !is_small(size);
}

/* Whether b is first copied so that each tile's part of it is contiguous and complete: on a CPU,
 * where a tile would gather a transposed b, or b's rows have a remainder or lie far apart. */
static bool is_packed(const bur_device_info *info, const bur_call *call)
{
    const bur__cl_product size = bur__cl_product_of(call);
    if (!bur__cl_on_host(info) || is_small(&size))
        return false;
    return call->attr->matmul.transpose_b || size.n % MOST_TILE_COLUMNS != 0 ||
           (size.m >= LEAST_PACKED_ROWS && size.n * size.k >= LEAST_PACKED_ELEMENTS);
}

/* On a CPU as many sums as its registers hold: 32 of 16 floats, or 16 of 8. */
static tile tile_of(const bur_device_handle *device, const bur__cl_product *size)
{
    tile t = {.vector = 4, .vectors = 1, .rows = 4};
    while (t.vector < device->vector_width && t.vector < size->n)
        t.vector *= 2;
    if (bur__cl_on_host(&device->info)) {
        t.vectors = size->n > t.vector ? 2 : 1;
        t.rows = t.vector < 16 ? 6 : 8;
    }
    return t;
}

/* An upper bound: a description does not tell the tile. */
size_t bur__cl_scratch_matmul(const bur_device_info *info, const bur_call *call)
{
    const bur__cl_product size = bur__cl_product_of(call);
    if (is_clblast(info, &size))
        return bur__cl_clblast_scratch(info, call);
    if (!is_packed(info, call))
        return 0;
    return (size_t)(bur__cl_divide_up(size.n, MOST_TILE_COLUMNS) * MOST_TILE_COLUMNS * size.k) *
           sizeof(cl_float);
}

bur_status bur__cl_build_matmul(bur_kernel *kernel)
{
    const bur_call *call = &kernel->call;
    const bur_matmul_attr *attr = &call->attr->matmul;
    const bur_device_info *info = &kernel->device->info;
    const bur__cl_product size = bur__cl_product_of(call);
    if (is_clblast(info, &size))
        return call->op == BUR_OP_matmul_bias_act
                   ? bur__cl_program(&kernel->second, kernel->device, "map", "")
                   : BUR_OK;
    const tile t = tile_of(kernel->device, &size);
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DV=%" PRId64 " -DROWS=%" PRId64 " -DVECTORS=%" PRId64
             " -DTRANSPOSE_A=%d -DTRANSPOSE_B=%d -DACT=%" PRId32 "%s%s%s%s",
             t.vector, t.rows, t.vectors, attr->transpose_a != 0, attr->transpose_b != 0,
             attr->activation, call->op == BUR_OP_matmul_bias_act ? " -DBIAS" : "",
             is_packed(info, call) ? " -DPACKED" : "",
             size.n % (t.vector * t.vectors) == 0 ? " -DWHOLE" : "",
             bur__cl_on_host(info) ? " -DPANELS" : "");
    return bur__cl_program(&kernel->program, kernel->device, "gemm", options);
}

bur_status bur__cl_bind_matmul(bur_command *command, const bur_kernel *kernel,
                               const bur_place *inputs, const bur_place *outputs,
                               const bur_place *scratch)
{
    const bur_call *call = &kernel->call;
    const bur_device_info *info = &kernel->device->info;
    const bur__cl_product size = bur__cl_product_of(call);
    if (is_clblast(info, &size))
        return bur__cl_clblast_bind(command, kernel, inputs, outputs, scratch);
    const tile t = tile_of(kernel->device, &size);
    const int64_t tiles_n = bur__cl_divide_up(size.n, t.vector * t.vectors);
    const int64_t local = bur__cl_on_host(info) ? 1 : BUR_CL_LOCAL;
    const bur__cl_arg n = bur__cl_int(size.n), k = bur__cl_int(size.k);
    const bool packed = is_packed(info, call);
    if (packed)
        BUR_TRY(bur__cl_launch_add(
            command, kernel->program, "pack_b", tiles_n * bur__cl_divide_up(size.k, PACK_ROWS),
            local, BUR_CL_ARGS(bur__cl_f32(&inputs[1]), bur__cl_f32(scratch), n, k)));
    bur__cl_arg args[8];
    int32_t count = 0;
    args[count++] = bur__cl_f32(&inputs[0]);
    args[count++] = bur__cl_f32(packed ? scratch : &inputs[1]);
    if (call->op == BUR_OP_matmul_bias_act)
        args[count++] = bur__cl_f32(&inputs[2]);
    args[count++] = bur__cl_f32(&outputs[0]);
    args[count++] = bur__cl_int(size.m);
    args[count++] = n;
    args[count++] = k;
    args[count++] = bur__cl_float(call->attr->matmul.alpha);
    return bur__cl_launch_add(command, kernel->program, "matmul",
                              bur__cl_divide_up(size.m, t.rows) * tiles_n, local, args, count);
}

/* ---- with a sum: the product lies in scratch, before what it needs itself ---- */

static size_t product_bytes(const bur_device_info *info, const bur_call *call)
{
    const size_t align = info->align_bytes;
    return (bur_desc_bytes(&call->outputs[0]) + align - 1) / align * align;
}

size_t bur__cl_scratch_matmul_add(const bur_device_info *info, const bur_call *call)
{
    return product_bytes(info, call) + bur__cl_scratch_matmul(info, call);
}

bur_status bur__cl_build_matmul_add(bur_kernel *kernel)
{
    BUR_TRY(bur__cl_build_matmul(kernel));
    return bur__cl_build_sum_chunks(&kernel->second, kernel->device,
                                    bur_desc_count(&kernel->call.outputs[0]));
}

bur_status bur__cl_bind_matmul_add(bur_command *command, const bur_kernel *kernel,
                                   const bur_place *inputs, const bur_place *outputs,
                                   const bur_place *scratch)
{
    const bur_call *call = &kernel->call;
    const bur_place rest = {scratch->buffer,
                            scratch->offset_bytes + product_bytes(&kernel->device->info, call)};
    BUR_TRY(bur__cl_bind_matmul(command, kernel, inputs, scratch, &rest));
    return bur__cl_launch_add_chunks(command, kernel->second, scratch, &inputs[2], &inputs[3],
                                     &outputs[0], bur_desc_count(&call->outputs[0]), 1);
}
