/* Rows that move elements: transpose, slice, pad, concat and broadcast_to by one strided copy;
 * where, cast, embedding. */
#include "cl.h"

#include <stdio.h>

/* OpenCL's names of types, and the conversion to each that stops at the ends. */
static const char *const type_names[BUR_DTYPE_COUNT] = {
    [BUR_F32] = "float", [BUR_I32] = "int", [BUR_U8] = "uchar"};
static const char *const conversions[BUR_DTYPE_COUNT] = {[BUR_F32] = "convert_float",
                                                         [BUR_I32] = "convert_int_sat_rtz",
                                                         [BUR_U8] = "convert_uchar_sat_rtz"};

static bur__cl_arg element_arg(const bur_place *place, const bur_desc *desc)
{
    return desc->dtype == BUR_U8 ? bur__cl_u8(place) : bur__cl_f32(place);
}

static bur_status build(bur_kernel *kernel, int32_t to, int32_t from, bool converts)
{
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options, "-DT=%s -DFROM=%s%s%s", type_names[to], type_names[from],
             converts ? " -DCONVERT=" : "", converts ? conversions[to] : "");
    return bur__cl_program(&kernel->program, kernel->device, "move", options);
}

/* ---- the copy ---- */

bur_status bur__cl_build_copy(bur_kernel *kernel)
{
    const int32_t type = kernel->call.outputs[0].dtype;
    return build(kernel, type, type, false);
}

static bur_status launch_copy(bur_command *command, const bur_kernel *kernel, int32_t input,
                              const bur_place *x, const bur_place *y)
{
    const bur_desc *desc = &kernel->call.outputs[0];
    const bur_walk walk = bur_walk_of(&kernel->call, input);
    const bur__cl_walk argument = bur__cl_walk_of(&walk);
    const int64_t count = bur_walk_count(&walk);
    return bur__cl_launch_add(command, kernel->program, "copy", count, BUR_CL_LOCAL,
                              BUR_CL_ARGS(element_arg(x, desc), element_arg(y, desc),
                                          bur__cl_int(count), bur__cl_by_walk(&argument)));
}

/* A copy per input; pad fills its output before. */
bur_status bur__cl_bind_copy(bur_command *command, const bur_kernel *kernel,
                             const bur_place *inputs, const bur_place *outputs,
                             const bur_place *scratch)
{
    (void)scratch;
    const bur_call *call = &kernel->call;
    const int64_t count = bur_desc_count(&call->outputs[0]);
    if (call->op == BUR_OP_pad)
        BUR_TRY(bur__cl_launch_add(command, kernel->program, "fill", count, BUR_CL_LOCAL,
                                   BUR_CL_ARGS(element_arg(&outputs[0], &call->outputs[0]),
                                               bur__cl_int(count),
                                               bur__cl_float(call->attr->pad.value))));
    for (int32_t i = 0; i < call->n_inputs; i++)
        BUR_TRY(launch_copy(command, kernel, i, &inputs[i], &outputs[0]));
    return BUR_OK;
}

/* ---- where, cast ---- */

bur_status bur__cl_build_where(bur_kernel *kernel)
{
    return build(kernel, BUR_F32, BUR_F32, false);
}

bur_status bur__cl_bind_where(bur_command *command, const bur_kernel *kernel,
                              const bur_place *inputs, const bur_place *outputs,
                              const bur_place *scratch)
{
    (void)scratch;
    const bur_call *call = &kernel->call;
    const bool both = call->n_inputs > 2;
    const bur_walk walk = bur_walk_of(call, 0);
    const bur__cl_walk argument = bur__cl_walk_of(&walk);
    const int64_t count = bur_walk_count(&walk);
    return bur__cl_launch_add(command, kernel->program, "where", count, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_u8(&inputs[0]), bur__cl_f32(&inputs[1]),
                                          bur__cl_f32(&inputs[both ? 2 : 1]),
                                          bur__cl_f32(&outputs[0]), bur__cl_int(count),
                                          bur__cl_int(call->attr->where.invert != 0),
                                          bur__cl_int(both), bur__cl_by_walk(&argument)));
}

bur_status bur__cl_build_cast(bur_kernel *kernel)
{
    return build(kernel, kernel->call.outputs[0].dtype, kernel->call.inputs[0].dtype, true);
}

bur_status bur__cl_bind_cast(bur_command *command, const bur_kernel *kernel,
                             const bur_place *inputs, const bur_place *outputs,
                             const bur_place *scratch)
{
    (void)scratch;
    const bur_call *call = &kernel->call;
    const int64_t count = bur_desc_count(&call->outputs[0]);
    return bur__cl_launch_add(command, kernel->program, "cast", count, BUR_CL_LOCAL,
                              BUR_CL_ARGS(element_arg(&inputs[0], &call->inputs[0]),
                                          element_arg(&outputs[0], &call->outputs[0]),
                                          bur__cl_int(count)));
}

/* ---- embedding ---- */

bur_status bur__cl_build_embedding(bur_kernel *kernel)
{
    return bur__cl_build_where(kernel);
}

/* Elements of a row of the table. */
static int64_t row_elements(const bur_desc *table)
{
    int64_t n = 1;
    for (int32_t i = 1; i < table->shape.rank; i++)
        n *= table->shape.dim[i];
    return n;
}

bur_status bur__cl_bind_embedding(bur_command *command, const bur_kernel *kernel,
                                  const bur_place *inputs, const bur_place *outputs,
                                  const bur_place *scratch)
{
    (void)scratch;
    const bur_call *call = &kernel->call;
    const bur_desc *table = &call->inputs[0];
    const int64_t count = bur_desc_count(&call->outputs[0]);
    return bur__cl_launch_add(command, kernel->program, "embedding", count, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), bur__cl_f32(&inputs[1]),
                                          bur__cl_f32(&outputs[0]), bur__cl_int(count),
                                          bur__cl_int(table->shape.dim[0]),
                                          bur__cl_int(row_elements(table))));
}

/* Two integers per place. */
size_t bur__cl_scratch_embedding_grad(const bur_device_info *info, const bur_call *call)
{
    (void)info;
    return (size_t)bur__cl_max(bur_desc_count(&call->inputs[1]), 1) * 2 * sizeof(cl_int);
}

bur_status bur__cl_build_embedding_grad(bur_kernel *kernel)
{
    return bur__cl_build_where(kernel);
}

bur_status bur__cl_bind_embedding_grad(bur_command *command, const bur_kernel *kernel,
                                       const bur_place *inputs, const bur_place *outputs,
                                       const bur_place *scratch)
{
    const bur_call *call = &kernel->call;
    const bur_desc *table = &call->outputs[0];
    const int64_t places = bur_desc_count(&call->inputs[1]), n = row_elements(table);
    const int64_t count = bur_desc_count(table);
    bur_place heads = *scratch;
    heads.offset_bytes += (size_t)places * sizeof(cl_int);
    const bur__cl_arg ids = bur__cl_f32(&inputs[1]), next = bur__cl_f32(scratch),
                      head = bur__cl_f32(&heads), y = bur__cl_f32(&outputs[0]);
    BUR_TRY(bur__cl_launch_add(command, kernel->program, "fill", count, BUR_CL_LOCAL,
                               BUR_CL_ARGS(y, bur__cl_int(count), bur__cl_float(0.0f))));
    BUR_TRY(bur__cl_launch_add(command, kernel->program, "embedding_link", places, BUR_CL_LOCAL,
                               BUR_CL_ARGS(ids, next, head, bur__cl_int(places))));
    return bur__cl_launch_add(command, kernel->program, "embedding_sum", places * n, BUR_CL_LOCAL,
                              BUR_CL_ARGS(bur__cl_f32(&inputs[0]), ids, next, head, y,
                                          bur__cl_int(places), bur__cl_int(table->shape.dim[0]),
                                          bur__cl_int(n)));
}
