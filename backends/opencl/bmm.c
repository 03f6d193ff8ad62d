/* Products of many matrices, by a kernel of our own on every device. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

enum { ROWS = 4, ROWS_ON_HOST = 8 };

typedef struct batch_product {
    int64_t batches, m, n, k;
} batch_product;

static batch_product product_of(const bur_call *call)
{
    const bur_shape *a = &call->inputs[0].shape, *y = &call->outputs[0].shape;
    batch_product p = {.batches = 1,
                       .m = y->dim[y->rank - 2],
                       .n = y->dim[y->rank - 1],
                       .k = a->dim[a->rank - (call->attr->matmul.transpose_a ? 2 : 1)]};
    for (int32_t i = 0; i + 2 < y->rank; i++)
        p.batches *= y->dim[i];
    return p;
}

/* Columns of a tile: the device's vector, and no more than there are. */
static int64_t vector_of(const bur_device_handle *device, const batch_product *p)
{
    int64_t vector = 4;
    while (vector < device->vector_width && vector < p->n)
        vector *= 2;
    return vector;
}

static int64_t rows_of(const bur_device_handle *device)
{
    return bur__cl_on_host(&device->info) ? ROWS_ON_HOST : ROWS;
}

bur_status bur__cl_build_batch_matmul(bur_kernel *kernel)
{
    const bur_matmul_attr *attr = &kernel->call.attr->matmul;
    const batch_product p = product_of(&kernel->call);
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DV=%" PRId64 " -DROWS=%" PRId64 " -DTRANSPOSE_A=%d -DTRANSPOSE_B=%d",
             vector_of(kernel->device, &p), rows_of(kernel->device), attr->transpose_a != 0,
             attr->transpose_b != 0);
    return bur__cl_program(&kernel->program, kernel->device, "bmm", options);
}

bur_status bur__cl_bind_batch_matmul(bur_command *command, const bur_kernel *kernel,
                                     const bur_place *inputs, const bur_place *outputs,
                                     const bur_place *scratch)
{
    (void)scratch;
    const bur_device_handle *device = kernel->device;
    const batch_product p = product_of(&kernel->call);
    const bur_walk walk = bur_walk_of(&kernel->call, 0);
    const bur__cl_walk argument = bur__cl_walk_of(&walk);
    const int64_t tiles =
        bur__cl_divide_up(p.m, rows_of(device)) * bur__cl_divide_up(p.n, vector_of(device, &p));
    return bur__cl_launch_add(command, kernel->program, "batch_matmul", p.batches * tiles,
                              bur__cl_on_host(&device->info) ? 1 : BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]),
                                          bur__cl_f32(&outputs[0]), bur__cl_int(p.batches),
                                          bur__cl_int(p.m), bur__cl_int(p.n), bur__cl_int(p.k),
                                          bur__cl_by_walk(&argument)));
}
