/* Recurrent networks: a launch walks whole sequences. */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>

enum { MOST_SAMPLES = 4, MOST_SAMPLES_BACKWARD = 8, GROUP_UNIT = 64, MOST_GROUP = 256 };

typedef struct sequences {
    int64_t samples, steps, units, gates;
    int64_t at_once; /* samples of a work-group */
    bool backward, has_bias, has_lengths;
} sequences;

static sequences sequences_of(const bur_device_info *info, const bur_call *call)
{
    const int64_t *u = call->inputs[1].shape.dim;
    const bool backward = (bur_op_get(call->op)->flags & BUR_OP_BACKWARD) != 0;
    const int64_t *x = call->inputs[backward ? 2 : 0].shape.dim;
    sequences v = {.samples = x[0], .steps = x[1], .units = u[0], .gates = u[1]};
    v.backward = backward;
    v.has_lengths = call->inputs[call->n_inputs - 1].dtype == BUR_I32;
    v.has_bias = !backward && call->n_inputs - v.has_lengths > 2;
    v.at_once = bur__cl_min(v.samples / bur__cl_max(info->compute_units, 1),
                            backward ? MOST_SAMPLES_BACKWARD : MOST_SAMPLES);
    v.at_once = bur__cl_max(v.at_once, 1);
    return v;
}

static int64_t groups_of(const sequences *v)
{
    return bur__cl_divide_up(v->samples, v->at_once);
}

/* On a processor a work-item takes all units, in vectors. */
static int64_t group_of(const bur_device_info *info, const sequences *v)
{
    const int64_t wanted = bur__cl_divide_up(v->units, GROUP_UNIT) * GROUP_UNIT;
    const int64_t most = bur__cl_min(MOST_GROUP, bur__cl_max(info->max_group_size, 1));
    return bur__cl_on_host(info) ? 1 : bur__cl_min(wanted, most);
}

/* Forward h twice and c; backward dh and dc. */
static int64_t state_floats(const sequences *v)
{
    return groups_of(v) * v->at_once * v->units * (v->backward ? 2 : 3);
}

/* Backward the weights, turned, lie before the states. */
size_t bur__cl_scratch_recurrent(const bur_device_info *info, const bur_call *call)
{
    const sequences v = sequences_of(info, call);
    return (size_t)(state_floats(&v) + (v.backward ? v.units * v.gates : 0)) * sizeof(cl_float);
}

bur_status bur__cl_build_recurrent(bur_kernel *kernel)
{
    static const int32_t cells[BUR_OP_COUNT] = {
        [BUR_OP_lstm] = 1, [BUR_OP_lstm_grad] = 1, [BUR_OP_gru] = 2, [BUR_OP_gru_grad] = 2};
    const bur_device_handle *device = kernel->device;
    const bur_call *call = &kernel->call;
    const bur_recurrent_attr *attr = &call->attr->recurrent;
    const sequences v = sequences_of(&device->info, call);
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options,
             "-DV=%" PRId64 " -DGROUP=%" PRId64 " -DSAMPLES=%" PRId64 " -DH=%" PRId64
             " -DCELL=%d -DRELU=%d -DREVERSE=%d -DLAST=%d -DOUTPUTS=%d%s%s",
             bur__cl_on_host(&device->info) ? bur__cl_vector_of(device, v.units) : 1,
             group_of(&device->info, &v), v.at_once, v.units, (int)cells[call->op],
             attr->activation == BUR_RELU, attr->reverse != 0, attr->last != 0,
             (int)call->n_outputs, v.has_bias ? " -DBIAS" : "", v.has_lengths ? " -DLENGTHS" : "");
    return bur__cl_program(&kernel->program, kernel->device, "recurrent", options);
}

/* Kernel name(inputs..., outputs..., state, samples, steps). */
static bur_status launch(bur_command *command, const bur_kernel *kernel, const sequences *v,
                         const char *name, const bur_place *inputs, const bur_place *outputs,
                         const bur_place *state)
{
    const bur_call *call = &kernel->call;
    const int64_t group = group_of(&kernel->device->info, v);
    bur__cl_arg args[10];
    int32_t n = 0;
    for (int32_t i = 0; i < call->n_inputs; i++)
        args[n++] = bur__cl_f32(&inputs[i]);
    for (int32_t i = 0; i < call->n_outputs; i++)
        args[n++] = bur__cl_f32(&outputs[i]);
    args[n++] = bur__cl_f32(state);
    args[n++] = bur__cl_int(v->samples);
    args[n++] = bur__cl_int(v->steps);
    return bur__cl_launch_add(command, kernel->program, name, groups_of(v) * group, group, args, n);
}

bur_status bur__cl_bind_recurrent(bur_command *command, const bur_kernel *kernel,
                                  const bur_place *inputs, const bur_place *outputs,
                                  const bur_place *scratch)
{
    const sequences v = sequences_of(&kernel->device->info, &kernel->call);
    return launch(command, kernel, &v, "recurrent", inputs, outputs, scratch);
}

bur_status bur__cl_bind_recurrent_grad(bur_command *command, const bur_kernel *kernel,
                                       const bur_place *inputs, const bur_place *outputs,
                                       const bur_place *scratch)
{
    const sequences v = sequences_of(&kernel->device->info, &kernel->call);
    const int64_t weights = v.units * v.gates;
    const bur_place state = {scratch->buffer,
                             scratch->offset_bytes + (size_t)weights * sizeof(cl_float)};
    bur_place turned[5];
    for (int32_t i = 0; i < kernel->call.n_inputs; i++)
        turned[i] = i == 1 ? *scratch : inputs[i];
    BUR_TRY(bur__cl_launch_add(command, kernel->program, "turn_weights", weights, BUR_CL_LOCAL,
                               BUR_CL_ARGS(bur__cl_f32(&inputs[1]), bur__cl_f32(scratch))));
    return launch(command, kernel, &v, "recurrent_grad", turned, outputs, &state);
}

bur_status bur__cl_build_recurrent_grad(bur_kernel *kernel)
{
    return bur__cl_build_recurrent(kernel);
}
