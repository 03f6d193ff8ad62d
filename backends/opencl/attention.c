/* Attention: a work-item a query, or a key for its gradients. */
#include "cl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef struct attention {
    int64_t samples, heads, width, queries, keys, q_pitch, k_pitch;
    float scale;
    int32_t from;    /* forward inputs begin here */
    bool packed;     /* q, k and v side by side in one tensor */
    int32_t lengths; /* input, -1: none */
} attention;

static attention attention_of(const bur_call *call)
{
    const bur_attention_attr *attr = &call->attr->attention;
    const bool backward = (bur_op_get(call->op)->flags & BUR_OP_BACKWARD) != 0;
    attention a = {.from = backward ? 3 : 0};
    a.packed = call->op == BUR_OP_self_attention || call->op == BUR_OP_self_attention_grad;
    const int64_t *q = call->inputs[a.from].shape.dim;
    const int64_t *k = call->inputs[a.from + (a.packed ? 0 : 1)].shape.dim;
    const int32_t behind = a.from + (a.packed ? 1 : 3);
    a.samples = q[0];
    a.heads = bur__cl_max(attr->heads, 1);
    a.width = q[2] / (a.packed ? 3 : 1) / a.heads;
    a.queries = q[1];
    a.keys = k[1];
    a.q_pitch = q[2];
    a.k_pitch = k[2];
    a.scale = attr->scale > 0 ? attr->scale : 1 / sqrtf((float)a.width);
    a.lengths = call->n_inputs > behind ? behind : -1;
    return a;
}

/* Number `i` of q, k and v, or of their gradients. */
static bur__cl_arg operand(const attention *a, const bur_place *places, int32_t i)
{
    bur_place place = places[a->packed ? 0 : i];
    if (a->packed)
        place.offset_bytes += (size_t)(i * a->heads * a->width) * sizeof(cl_float);
    return bur__cl_f32(&place);
}

bur_status bur__cl_build_attention(bur_kernel *kernel)
{
    const attention a = attention_of(&kernel->call);
    char options[BUR_CL_OPTIONS_BYTES];
    int64_t vector = 4;
    while (vector < kernel->device->vector_width && vector < a.width)
        vector *= 2;
    snprintf(options, sizeof options, "-DV=%" PRId64 " -DWIDTH=%" PRId64 " -DCAUSAL=%d%s%s", vector,
             a.width, kernel->call.attr->attention.causal != 0, a.lengths < 0 ? "" : " -DLENGTHS",
             a.from == 0 && kernel->call.n_outputs > 1 ? " -DLOG_SUMS" : "");
    return bur__cl_program(&kernel->program, kernel->device, "attention", options);
}

/* Launches `name` over `items` with the operands in args[0..n), and the sizes behind them. */
static bur_status launch(bur_command *command, const bur_kernel *kernel, const char *name,
                         const attention *a, const bur_place *inputs, int64_t items,
                         bur__cl_arg *args, int32_t n)
{
    const int64_t count = a->samples * a->heads * items;
    if (a->lengths >= 0)
        args[n++] = bur__cl_f32(&inputs[a->lengths]);
    const int64_t sizes[] = {count, a->heads, a->queries, a->keys, a->q_pitch, a->k_pitch};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        args[n++] = bur__cl_int(sizes[i]);
    args[n++] = bur__cl_float(a->scale);
    return bur__cl_launch_add(command, kernel->program, name, count,
                              bur__cl_on_host(&kernel->device->info) ? 1 : BUR_CL_LOCAL, args, n);
}

enum { MOST_ARGUMENTS = 20 };

bur_status bur__cl_bind_attention(bur_command *command, const bur_kernel *kernel,
                                  const bur_place *inputs, const bur_place *outputs,
                                  const bur_place *scratch)
{
    (void)scratch;
    const attention a = attention_of(&kernel->call);
    bur__cl_arg args[MOST_ARGUMENTS];
    int32_t n = 0;
    for (int32_t i = 0; i < 3; i++)
        args[n++] = operand(&a, inputs, i);
    for (int32_t i = 0; i < kernel->call.n_outputs; i++)
        args[n++] = bur__cl_f32(&outputs[i]);
    return launch(command, kernel, "attention", &a, inputs, a.queries, args, n);
}

/* dy . y of each query in each head. */
size_t bur__cl_scratch_attention_grad(const bur_device_info *info, const bur_call *call)
{
    (void)info;
    const attention a = attention_of(call);
    return (size_t)(a.samples * a.heads * a.queries) * sizeof(cl_float);
}

bur_status bur__cl_build_attention_grad(bur_kernel *kernel)
{
    return bur__cl_build_attention(kernel);
}

bur_status bur__cl_bind_attention_grad(bur_command *command, const bur_kernel *kernel,
                                       const bur_place *inputs, const bur_place *outputs,
                                       const bur_place *scratch)
{
    const attention a = attention_of(&kernel->call);
    const bur__cl_arg dy = bur__cl_f32(&inputs[0]), y = bur__cl_f32(&inputs[1]),
                      log_sums = bur__cl_f32(&inputs[2]), deltas = bur__cl_f32(scratch);
    const bur__cl_arg q = operand(&a, inputs + a.from, 0), k = operand(&a, inputs + a.from, 1),
                      v = operand(&a, inputs + a.from, 2);
    bur__cl_arg of_q[MOST_ARGUMENTS] = {dy, y, log_sums, q, k, v, operand(&a, outputs, 0), deltas};
    bur__cl_arg of_kv[MOST_ARGUMENTS] = {
        dy, log_sums, deltas, q, k, v, operand(&a, outputs, 1), operand(&a, outputs, 2)};
    BUR_TRY(launch(command, kernel, "attention_grad_q", &a, inputs, a.queries, of_q, 8));
    return launch(command, kernel, "attention_grad_kv", &a, inputs, a.keys, of_kv, 8);
}
