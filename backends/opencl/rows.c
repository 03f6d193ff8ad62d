/* Operators on rows: softmax, log_softmax, their gradients, losses. */
#include "cl.h"

#include <stdio.h>

enum { GROUP = 64, LONG_ROW = 128 };

/* Work-items of a row. A CPU device has no local memory to gain from; a short row feeds no group.
 */
static int32_t group_of(const bur_device_handle *device, int64_t columns)
{
    const bool wide = !bur__cl_on_host(&device->info) && device->info.local_bytes > 0 &&
                      device->info.max_group_size >= GROUP && columns >= LONG_ROW;
    return wide ? GROUP : 1;
}

/* Work-items in a work-group: all of one row, or one of each row. */
static int64_t local_of(int32_t group)
{
    return group > 1 ? group : BUR_CL_LOCAL;
}

/* softmax, log_softmax and their gradients. */
bur_status bur__cl_build_softmax(bur_kernel *kernel)
{
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options, "-DGROUP=%d",
             (int)group_of(kernel->device, bur__cl_columns(&kernel->call.inputs[0])));
    return bur__cl_program(&kernel->program, kernel->device, "rows", options);
}

/* Kernel <operator>(inputs..., output, rows, columns). */
bur_status bur__cl_bind_softmax(bur_command *command, const bur_kernel *kernel,
                                const bur_place *inputs, const bur_place *outputs,
                                const bur_place *scratch)
{
    (void)scratch;
    const bur_desc *x = &kernel->call.inputs[0];
    const int64_t rows = bur__cl_rows(x), columns = bur__cl_columns(x);
    const int32_t group = group_of(kernel->device, columns);
    bur__cl_arg args[5];
    int32_t n = 0;
    for (int32_t i = 0; i < kernel->call.n_inputs; i++)
        args[n++] = bur__cl_f32(&inputs[i]);
    args[n++] = bur__cl_f32(&outputs[0]);
    args[n++] = bur__cl_int(rows);
    args[n++] = bur__cl_int(columns);
    return bur__cl_launch_add(command, kernel->program, kernel->row->name, rows * group,
                              local_of(group), args, n);
}

/* ---- losses ---- */

/* Samples and elements of each: the first dimension, and all the others. */
static void loss_sizes(const bur_call *call, int64_t *rows, int64_t *columns)
{
    *rows = call->inputs[0].shape.dim[0];
    *columns = *rows == 0 ? 0 : bur_desc_count(&call->inputs[0]) / *rows;
}

/* Loss, metric and weight of each sample. */
size_t bur__cl_scratch_loss(const bur_device_info *info, const bur_call *call)
{
    (void)info;
    int64_t rows, columns;
    loss_sizes(call, &rows, &columns);
    return (size_t)(rows > 0 ? rows : 1) * 3 * sizeof(cl_float);
}

/* Kernel class_rows, else value_rows. */
static bool is_of_classes(const bur_call *call)
{
    return call->op == BUR_OP_cross_entropy || call->op == BUR_OP_softmax_cross_entropy;
}

/* The program of the samples has a group per row, the one of the result a group for all rows. */
bur_status bur__cl_build_loss(bur_kernel *kernel)
{
    static const char *const names[BUR_OP_COUNT] = {
        [BUR_OP_cross_entropy] = "LOSS_CROSS_ENTROPY",
        [BUR_OP_softmax_cross_entropy] = "LOSS_SOFTMAX_CROSS_ENTROPY",
        [BUR_OP_mse] = "LOSS_MSE",
        [BUR_OP_mae] = "LOSS_MAE",
        [BUR_OP_huber] = "LOSS_HUBER",
        [BUR_OP_binary_cross_entropy] = "LOSS_BINARY_CROSS_ENTROPY",
    };
    int64_t rows, columns;
    loss_sizes(&kernel->call, &rows, &columns);
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options, "-DLOSS=%s -DGROUP=%d%s%s%s", names[kernel->call.op],
             (int)group_of(kernel->device, columns),
             kernel->call.n_outputs > 1 ? " -DGRADIENT" : "",
             kernel->call.inputs[1].dtype == BUR_I32 ? "" : " -DSOFT",
             kernel->call.n_inputs > 3 ? " -DWEIGHTS" : "");
    BUR_TRY(bur__cl_program(&kernel->program, kernel->device, "rows", options));
    snprintf(options, sizeof options, "-DLOSS=LOSS_MSE -DGROUP=%d",
             (int)group_of(kernel->device, rows));
    return bur__cl_program(&kernel->second, kernel->device, "rows", options);
}

bur_status bur__cl_bind_loss(bur_command *command, const bur_kernel *kernel,
                             const bur_place *inputs, const bur_place *outputs,
                             const bur_place *scratch)
{
    int64_t rows, columns;
    loss_sizes(&kernel->call, &rows, &columns);
    const int32_t group = group_of(kernel->device, columns);
    const int32_t result_group = group_of(kernel->device, rows);
    const bur_loss_attr *attr = &kernel->call.attr->loss;
    const bool classes = is_of_classes(&kernel->call);
    bur__cl_arg args[11];
    int32_t n = 0;
    for (int i = 0; i < kernel->call.n_inputs; i++)
        args[n++] = bur__cl_f32(&inputs[i]);
    if (kernel->call.n_outputs > 1)
        args[n++] = bur__cl_f32(&outputs[1]);
    args[n++] = bur__cl_f32(scratch);
    args[n++] = bur__cl_int(rows);
    args[n++] = bur__cl_int(columns);
    args[n++] = bur__cl_float(classes ? attr->smoothing : attr->delta > 0 ? attr->delta : 1);
    if (classes) {
        args[n++] = bur__cl_int(attr->ignores);
        args[n++] = bur__cl_int(attr->ignored);
    }
    BUR_TRY(bur__cl_launch_add(command, kernel->program, classes ? "class_rows" : "value_rows",
                               rows * group, local_of(group), args, n));
    return bur__cl_launch_add(command, kernel->second, "loss_result", result_group, result_group,
                              BUR_CL_ARGS(bur__cl_f32(scratch), bur__cl_f32(&inputs[2]),
                                          bur__cl_f32(&outputs[0]), bur__cl_int(rows)));
}
