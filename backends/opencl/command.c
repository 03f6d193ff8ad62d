/* Kernels (an operator's chosen program) and commands (kernels bound to addresses), and running
 * them. Which functions carry out an operator stands in kernels.def. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const bur__cl_row rows[BUR_OP_COUNT] = {
#define BUR_CL_ROW(operator, supports, scratch, build, bind)                                       \
    [BUR_OP_##operator] = {#operator, supports, scratch, build, bind},
#include "kernels.def"
#undef BUR_CL_ROW
};

/* ---- what is asked before a kernel is built ---- */

static bool supports_tensor(const bur_desc *desc, char *reason)
{
    if (desc->dtype != BUR_F32 && desc->dtype != BUR_I32 && desc->dtype != BUR_U8) {
        snprintf(reason, BUR_TEXT_BYTES, "OpenCL kernels take f32, not %s",
                 bur_dtype_name((bur_dtype)desc->dtype));
        return false;
    }
    if (desc->layout != BUR_LAYOUT_PLAIN) {
        snprintf(reason, BUR_TEXT_BYTES, "layout %" PRIu32 " belongs to another backend",
                 desc->layout);
        return false;
    }
    if (bur_desc_count(desc) > INT32_MAX) { /* kernels count elements in int */
        snprintf(reason, BUR_TEXT_BYTES, "%" PRId64 " elements in one tensor; %" PRId32 " at most",
                 bur_desc_count(desc), INT32_MAX);
        return false;
    }
    return true;
}

bool bur__cl_supports(const bur_device_info *info, const bur_call *call, char *reason)
{
    reason[0] = '\0';
    const bur__cl_row *row = (unsigned)call->op < BUR_OP_COUNT ? &rows[call->op] : NULL;
    if (row == NULL || row->bind == NULL) {
        snprintf(reason, BUR_TEXT_BYTES, "no OpenCL kernel for %s",
                 row == NULL ? "an unknown operator" : bur_op_get(call->op)->name);
        return false;
    }
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (!supports_tensor(&call->inputs[i], reason))
            return false;
    for (int32_t i = 0; i < call->n_outputs; i++)
        if (!supports_tensor(&call->outputs[i], reason))
            return false;
    return row->supports == NULL || row->supports(info, call, reason);
}

size_t bur__cl_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)threads;
    const bur__cl_row *row = &rows[call->op];
    return row->scratch == NULL ? 0 : row->scratch(info, call);
}

/* ---- kernels ---- */

static bool same_call(const bur_call *a, const bur_call *b)
{
    return a->op == b->op && a->n_inputs == b->n_inputs && a->n_outputs == b->n_outputs &&
           memcmp(a->attr, b->attr, sizeof *a->attr) == 0 &&
           memcmp(a->inputs, b->inputs, (size_t)a->n_inputs * sizeof *a->inputs) == 0 &&
           memcmp(a->outputs, b->outputs, (size_t)a->n_outputs * sizeof *a->outputs) == 0;
}

/* A kernel with a copy of the call behind it, in one block. */
static bur_kernel *copy_call(bur_device_handle *device, const bur_call *call)
{
    const size_t n_descs = (size_t)call->n_inputs + (size_t)call->n_outputs;
    struct block {
        bur_kernel kernel;
        bur_attr attr;
        bur_desc desc[];
    } *block = bur_alloc(device->context, sizeof *block + n_descs * sizeof(bur_desc));
    if (block == NULL)
        return NULL;
    static const bur_attr no_attr;
    block->attr = call->attr == NULL ? no_attr : *call->attr;
    for (int32_t i = 0; i < call->n_inputs; i++)
        block->desc[i] = call->inputs[i];
    for (int32_t i = 0; i < call->n_outputs; i++)
        block->desc[call->n_inputs + i] = call->outputs[i];
    block->kernel.device = device;
    block->kernel.row = &rows[call->op];
    block->kernel.call = (bur_call){.op = call->op,
                                    .attr = &block->attr,
                                    .n_inputs = call->n_inputs,
                                    .n_outputs = call->n_outputs,
                                    .inputs = block->desc,
                                    .outputs = block->desc + call->n_inputs};
    return &block->kernel;
}

bur_status bur__cl_build(bur_kernel **out, bur_device_handle *device, const bur_call *call)
{
    char reason[BUR_TEXT_BYTES];
    if (!bur__cl_supports(&device->info, call, reason))
        return bur_fail(BUR_E_UNSUPPORTED, "%s", reason);
    bur_kernel *kernel = copy_call(device, call);
    if (kernel == NULL)
        return BUR_E_NOMEM;
    for (bur_kernel *old = device->kernels; old != NULL; old = old->next) {
        if (same_call(&old->call, &kernel->call)) {
            bur_free(device->context, kernel);
            *out = old;
            return BUR_OK;
        }
    }
    const bur_status status = kernel->row->build(kernel);
    if (status != BUR_OK) {
        bur_free(device->context, kernel);
        return bur_fail_in(status, "%s", kernel->row->name);
    }
    kernel->next = device->kernels;
    device->kernels = kernel;
    *out = kernel;
    return BUR_OK;
}

void bur__cl_kernels_destroy(bur_device_handle *device)
{
    while (device->kernels != NULL) {
        bur_kernel *kernel = device->kernels;
        device->kernels = kernel->next;
        bur_free(device->context, kernel);
    }
}

int64_t bur__cl_columns(const bur_desc *desc)
{
    return desc->shape.rank == 0 ? 1 : desc->shape.dim[desc->shape.rank - 1];
}

int64_t bur__cl_rows(const bur_desc *desc)
{
    int64_t rows_of = 1;
    for (int32_t i = 0; i + 1 < desc->shape.rank; i++)
        rows_of *= desc->shape.dim[i];
    return rows_of;
}

int64_t bur__cl_vector_of(const bur_device_handle *device, int64_t columns)
{
    int64_t vector = device->vector_width;
    while (columns % vector != 0)
        vector /= 2;
    return vector == 2 ? 1 : vector;
}

/* ---- arguments and launches ---- */

/* A tensor without elements may have no buffer. */
static bur__cl_arg place_arg(const bur_place *place, size_t element_bytes)
{
    return (bur__cl_arg){.kind = BUR_CL_PLACE,
                         .mem = place->buffer == NULL ? NULL : place->buffer->mem,
                         .offset = place->offset_bytes / element_bytes};
}

bur__cl_arg bur__cl_f32(const bur_place *place)
{
    return place_arg(place, sizeof(cl_float));
}

bur__cl_arg bur__cl_u8(const bur_place *place)
{
    return place_arg(place, sizeof(cl_uchar));
}

bur__cl_arg bur__cl_mem(cl_mem mem)
{
    return (bur__cl_arg){.kind = BUR_CL_MEM, .mem = mem};
}

bur__cl_arg bur__cl_int(int64_t value)
{
    return (bur__cl_arg){.kind = BUR_CL_INT, .i = (cl_int)value};
}

bur__cl_arg bur__cl_float(float value)
{
    return (bur__cl_arg){.kind = BUR_CL_FLOAT, .f = value};
}

bur__cl_arg bur__cl_by_walk(const bur__cl_walk *walk)
{
    return (bur__cl_arg){.kind = BUR_CL_WALK, .walk = walk};
}

bur__cl_walk bur__cl_walk_of(const bur_walk *walk)
{
    bur__cl_walk w = {.rank = walk->rank};
    for (int32_t d = 0; d < walk->rank; d++)
        w.size[d] = (cl_int)walk->size[d];
    for (int32_t k = 0; k < walk->operands; k++) {
        w.start[k] = (cl_int)walk->start[k];
        for (int32_t d = 0; d < walk->rank; d++)
            w.stride[k][d] = (cl_int)walk->stride[k][d];
    }
    return w;
}

/* A walk is a buffer of the command's: Mesa 22.3 takes no struct as an argument. */
static cl_int walk_buffer(cl_mem *out, bur_command *command, const bur__cl_walk *walk)
{
    cl_int error = CL_SUCCESS;
    const cl_mem mem = clCreateBuffer(command->device->cl, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR,
                                      sizeof *walk, (void *)(uintptr_t)walk, &error);
    if (error == CL_SUCCESS && bur__cl_own(out, command, mem) != BUR_OK)
        error = CL_OUT_OF_HOST_MEMORY;
    return error;
}

static cl_int set_args(bur_command *command, cl_kernel kernel, const bur__cl_arg *args,
                       int32_t n_args)
{
    cl_int error = CL_SUCCESS;
    cl_uint index = 0;
    for (int32_t i = 0; i < n_args && error == CL_SUCCESS; i++) {
        const bur__cl_arg *arg = &args[i];
        cl_mem walk = NULL;
        if (arg->kind == BUR_CL_INT)
            error = clSetKernelArg(kernel, index++, sizeof arg->i, &arg->i);
        else if (arg->kind == BUR_CL_FLOAT)
            error = clSetKernelArg(kernel, index++, sizeof arg->f, &arg->f);
        else if (arg->kind == BUR_CL_WALK &&
                 (error = walk_buffer(&walk, command, arg->walk)) == CL_SUCCESS)
            error = clSetKernelArg(kernel, index++, sizeof walk, &walk);
        else if (arg->kind != BUR_CL_WALK)
            error = clSetKernelArg(kernel, index++, sizeof arg->mem, &arg->mem);
        if (arg->kind == BUR_CL_PLACE && error == CL_SUCCESS)
            error = clSetKernelArg(kernel, index++, sizeof arg->offset, &arg->offset);
    }
    return error;
}

static bur_status enqueue_kernel(bur_command *command, const bur__cl_launch *launch,
                                 cl_command_queue queue, cl_event *event)
{
    const cl_int error = clEnqueueNDRangeKernel(queue, launch->kernel, 1, NULL, &launch->global,
                                                &launch->local, 0, NULL, event);
    return bur__cl_check_as(BUR_E_LOST, error, command->text);
}

/* Makes room for one more element in a growing array. */
static bur_status grow(bur_context *context, void **array, int32_t count, int32_t *capacity,
                       size_t element_bytes)
{
    if (count < *capacity)
        return BUR_OK;
    const int32_t more = 2 * *capacity + 2;
    void *grown = bur_realloc(context, *array, (size_t)more * element_bytes);
    if (grown == NULL)
        return BUR_E_NOMEM;
    *array = grown;
    *capacity = more;
    return BUR_OK;
}

static bur_status append(bur_command *command, const bur__cl_launch *launch)
{
    void *launches = command->launches;
    BUR_TRY(grow(command->device->context, &launches, command->n_launches,
                 &command->launches_capacity, sizeof *launch));
    command->launches = launches;
    command->launches[command->n_launches++] = *launch;
    return BUR_OK;
}

bur_status bur__cl_own(cl_mem *out, bur_command *command, cl_mem mem)
{
    void *owned = command->owned;
    const bur_status status = grow(command->device->context, &owned, command->n_owned,
                                   &command->owned_capacity, sizeof mem);
    if (status != BUR_OK) {
        clReleaseMemObject(mem);
        return status;
    }
    command->owned = owned;
    command->owned[command->n_owned++] = mem;
    *out = mem;
    return BUR_OK;
}

bur_status bur__cl_launch_add(bur_command *command, cl_program program, const char *name,
                              int64_t items, int64_t local, const bur__cl_arg *args, int32_t n_args)
{
    if (items == 0)
        return BUR_OK;
    cl_int error = CL_SUCCESS;
    bur__cl_launch launch = {.enqueue = enqueue_kernel};
    launch.local = (size_t)local;
    launch.global = (size_t)(bur__cl_divide_up(items, local) * local);
    launch.kernel = clCreateKernel(program, name, &error);
    BUR_TRY(bur__cl_check_as(BUR_E_DEVICE, error, name));
    error = set_args(command, launch.kernel, args, n_args);
    bur_status status = bur__cl_check_as(BUR_E_DEVICE, error, name);
    if (status == BUR_OK)
        status = append(command, &launch);
    if (status != BUR_OK)
        clReleaseKernel(launch.kernel);
    return status;
}

bur_status bur__cl_launch_add_call(bur_command *command, bur__cl_enqueue enqueue)
{
    return append(command, &(bur__cl_launch){.enqueue = enqueue});
}

/* ---- commands ---- */

bur_status bur__cl_command_create(bur_command **out, bur_device_handle *device, const char *text)
{
    bur_command *command = bur_alloc(device->context, sizeof *command);
    if (command == NULL)
        return BUR_E_NOMEM;
    command->device = device;
    command->text = text;
    *out = command;
    return BUR_OK;
}

bur_status bur__cl_bind(bur_command **out, bur_kernel *kernel, const bur_place *inputs,
                        const bur_place *outputs, const bur_place *scratch)
{
    bur_command *command = NULL;
    BUR_TRY(bur__cl_command_create(&command, kernel->device, kernel->row->name));
    const bur_status status = kernel->row->bind(command, kernel, inputs, outputs, scratch);
    if (status != BUR_OK) {
        bur__cl_command_destroy(command);
        return bur_fail_in(status, "%s", kernel->row->name);
    }
    *out = command;
    return BUR_OK;
}

void bur__cl_command_destroy(bur_command *command)
{
    if (command == NULL)
        return;
    for (int32_t i = 0; i < command->n_launches; i++)
        if (command->launches[i].kernel != NULL)
            clReleaseKernel(command->launches[i].kernel);
    for (int32_t i = 0; i < command->n_owned; i++)
        clReleaseMemObject(command->owned[i]);
    bur_free(command->device->context, command->owned);
    bur_free(command->device->context, command->launches);
    bur_free(command->device->context, command);
}

const char *bur__cl_command_text(const bur_command *command)
{
    return command->text;
}

bur_status bur__cl_run(bur_device_handle *device, bur_command *const *commands, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        bur_command *command = commands[i];
        for (int32_t k = 0; k < command->n_launches; k++) {
            const bur__cl_launch *launch = &command->launches[k];
            BUR_TRY(launch->enqueue(command, launch, device->queue, NULL));
        }
    }
    BUR_CL_TRY(clFlush(device->queue), "clFlush");
    return BUR_OK;
}

bur_status bur__cl_sync(bur_device_handle *device)
{
    /* Mesa 22.3's clFinish does not wait for what was flushed before; with a marker it does. */
    BUR_CL_TRY(clEnqueueMarkerWithWaitList(device->queue, 0, NULL, NULL), "clEnqueueMarker");
    BUR_CL_TRY(clFinish(device->queue), "clFinish");
    return BUR_OK;
}
