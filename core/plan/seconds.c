/* What a step will take: measured times of its calls, the device's limits for the rest. */
#include "plan.h"
#include "../base/vector.h"

#include <string.h>

/* Kernels of one operator that differ in what they reach of the limits. */
enum { ANY_SIZE, ONE_PIXEL, GROUPS, FEW_CHANNELS, VARIANT_COUNT };
/* What a kernel of no measured class is like. */
enum { OPTIMIZERS, MEMORY_BOUND, ARITHMETIC_BOUND, KIND_COUNT };

/* What was measured together: the seconds at the limits and those that it took. */
typedef struct share {
    double at_limits_s, seconds;
} share;

struct bur_calibration {
    bur_context *context;
    bur_limits limits;
    bur_call_time *times; /* by family, then key */
    int32_t count, room;
    share classes[BUR_OP_COUNT][VARIANT_COUNT], kinds[KIND_COUNT], all;
};

/* Where nothing was measured: what kernels reach of the limits, roughly. */
static const double usual_share = 0.6;

/* The bandwidth measured with the smallest working set that is no smaller; the last for more. */
static double bytes_per_s(const bur_limits *limits, double bytes)
{
    int32_t i = 0;
    while (i + 1 < BUR_BANDWIDTH_COUNT && limits->bandwidth[i].working_set_bytes < bytes)
        i++;
    return limits->bandwidth[i].bytes_per_s;
}

static double arithmetic_s(const bur_limits *limits, const bur_call_time *call)
{
    return limits->flop_per_s > 0 ? call->cost.flop / limits->flop_per_s : 0;
}

static double memory_s(const bur_limits *limits, const bur_call_time *call)
{
    const double near = bytes_per_s(limits, call->cost.bytes),
                 far = limits->bandwidth[BUR_BANDWIDTH_COUNT - 1].bytes_per_s;
    return (near > 0 ? (call->cost.bytes - call->far_bytes) / near : 0) +
           (far > 0 ? call->far_bytes / far : 0);
}

double bur_limits_least_s(const bur_limits *limits, bur_cost cost)
{
    const bur_call_time call = {.cost = cost};
    const double arithmetic = arithmetic_s(limits, &call), memory = memory_s(limits, &call);
    return arithmetic > memory ? arithmetic : memory;
}

/* What a call takes at the limits, one after the other: few kernels compute while they wait.
 * Without limits a number in proportion to its work. */
static double time_at_limits(const bur_calibration *calibration, const bur_call_time *call)
{
    static const double flop_per_byte = 8;
    const bur_limits *limits = &calibration->limits;
    if (limits->flop_per_s > 0)
        return arithmetic_s(limits, call) + memory_s(limits, call);
    return call->cost.flop / flop_per_byte + call->cost.bytes;
}

/* ---- kernel classes ---- */

static int32_t conv_variant(const bur_call *call, const bur_desc *w)
{
    enum { MOST_FEW = 4 };
    const int64_t *dim = w->shape.dim; /* [kh, kw, ic / groups, oc] */
    if (call->attr->conv2d.groups > 1)
        return GROUPS;
    if (dim[2] <= MOST_FEW)
        return FEW_CHANNELS;
    return dim[0] * dim[1] == 1 ? ONE_PIXEL : ANY_SIZE;
}

/* A row that adds to a sum is of the class of the one that does not. */
static bur_op row_of_class(bur_op op)
{
    static const bur_op adding[][2] = {{BUR_OP_conv2d_grad_w_add, BUR_OP_conv2d_grad_w},
                                       {BUR_OP_matmul_add, BUR_OP_matmul}};
    for (size_t i = 0; i < sizeof adding / sizeof *adding; i++)
        if (op == adding[i][0])
            return adding[i][1];
    return op;
}

static int32_t variant_of(const bur_call *call)
{
    static const bur_op read_weights[] = {BUR_OP_conv2d, BUR_OP_conv2d_bias_act,
                                          BUR_OP_conv2d_grad_x};
    for (size_t i = 0; i < sizeof read_weights / sizeof *read_weights; i++)
        if (call->op == read_weights[i])
            return conv_variant(call, &call->inputs[1]);
    return row_of_class(call->op) == BUR_OP_conv2d_grad_w ? conv_variant(call, &call->outputs[0])
                                                          : ANY_SIZE;
}

/* ---- keys ---- */

#define FNV_PRIME UINT64_C(0x100000001b3)

/* 64-bit FNV-1a. */
static uint64_t hash(uint64_t h, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ byte[i]) * FNV_PRIME;
    return h;
}

/* The same of a number's bytes, at most eight, the lowest first. Most are zero, which only
 * multiply: by the prime to the power of their count. */
static uint64_t hash_number(uint64_t h, uint64_t number, size_t bytes)
{
    static const uint64_t powers[] = {
        1,
        FNV_PRIME,
        UINT64_C(0x000366000002e329),
        UINT64_C(0x08a97b0004e7feab),
        UINT64_C(0x9ffaac085635bc91),
        UINT64_C(0x0caee32a7d4f6a63),
        UINT64_C(0xdc966432edf1c639),
        UINT64_C(0xc5527b8a51d3d2db),
        UINT64_C(0x1efac7090aef4a21),
    };
    for (; number != 0; number >>= 8, bytes--)
        h = (h ^ (number & 0xff)) * FNV_PRIME;
    return h * powers[bytes];
}

static uint64_t hash_shape(uint64_t h, const bur_desc *desc, int32_t from)
{
    h = hash_number(h, (uint32_t)desc->dtype, sizeof desc->dtype);
    h = hash_number(h, (uint32_t)desc->shape.rank, sizeof desc->shape.rank);
    for (int32_t i = from; i < desc->shape.rank; i++)
        h = hash_number(h, (uint64_t)desc->shape.dim[i], sizeof desc->shape.dim[i]);
    return h;
}

/* The row's own attributes: the rest of the union may hold anything. */
static uint64_t hash_attr(uint64_t h, const bur_call *call)
{
    const bur_attr_field *field = bur_op_get(call->op)->fields;
    for (; field != NULL && field->name != NULL; field++)
        for (int32_t i = 0; i < field->count; i++)
            h = hash_number(h, (uint32_t)call->attr->word[field->offset + i],
                            sizeof *call->attr->word);
    return h;
}

static uint64_t hash_call(const bur_call *call, int32_t from)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    const char *name = bur_op_get(call->op)->name; /* numbers change when rows are added */
    h = hash_attr(hash(h, name, strlen(name) + 1), call);
    for (int32_t i = 0; i < call->n_inputs; i++)
        h = hash_shape(h, &call->inputs[i], from);
    for (int32_t i = 0; i < call->n_outputs; i++)
        h = hash_shape(h, &call->outputs[i], from);
    return h;
}

bur_call_time bur_call_time_of(const bur_call *call, double seconds)
{
    return (bur_call_time){.key = hash_call(call, 0),
                           .family = hash_call(call, 1),
                           .op = (int32_t)call->op,
                           .variant = variant_of(call),
                           .cost = bur_op_cost(call),
                           .seconds = seconds};
}

bur_call_time bur__call_time_of_class(const bur_call_time *time)
{
    static const char what[] = "class";
    bur_call_time probe = *time;
    probe.key = probe.family = hash(time->key, what, sizeof what);
    return probe;
}

/* ---- what is known ---- */

bur_status bur_calibration_create(bur_calibration **out, bur_context *context,
                                  const bur_limits *limits)
{
    bur_calibration *calibration = bur_alloc(context, sizeof *calibration);
    if (calibration == NULL)
        return BUR_E_NOMEM;
    calibration->context = context;
    calibration->limits = *limits;
    *out = calibration;
    return BUR_OK;
}

void bur_calibration_destroy(bur_calibration *calibration)
{
    if (calibration == NULL)
        return;
    bur_free(calibration->context, calibration->times);
    bur_free(calibration->context, calibration);
}

static int32_t kind_of(const bur_limits *limits, const bur_call_time *call)
{
    if (bur_op_get((bur_op)call->op)->group > 0)
        return OPTIMIZERS;
    return memory_s(limits, call) > arithmetic_s(limits, call) ? MEMORY_BOUND : ARITHMETIC_BOUND;
}

static void count_time(bur_calibration *calibration, const bur_call_time *time, double sign)
{
    const bur_op op = (bur_op)time->op;
    const double at_limits = time_at_limits(calibration, time);
    share *const shares[] = {&calibration->classes[row_of_class(op)][time->variant],
                             &calibration->kinds[kind_of(&calibration->limits, time)],
                             &calibration->all};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        shares[i]->at_limits_s += sign * at_limits;
        shares[i]->seconds += sign * time->seconds;
    }
}

/* The first place whose family and key are not before these. */
static int32_t find(const bur_calibration *calibration, uint64_t family, uint64_t key)
{
    int32_t low = 0, high = calibration->count;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        const bur_call_time *time = &calibration->times[middle];
        if (time->family < family || (time->family == family && time->key < key))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bur_status bur_calibration_add(bur_calibration *calibration, const bur_call_time *time)
{
    if ((unsigned)time->op >= BUR_OP_COUNT || (unsigned)time->variant >= VARIANT_COUNT ||
        !(time->seconds > 0))
        return bur_fail(BUR_E_ARG, "variant %d of operator %d took %g s", (int)time->variant,
                        (int)time->op, time->seconds);
    const int32_t at = find(calibration, time->family, time->key);
    if (at == calibration->count || calibration->times[at].key != time->key) {
        BUR_TRY(bur__vector_reserve(calibration->context, (void **)&calibration->times,
                                    &calibration->room, calibration->count + 1,
                                    sizeof *calibration->times));
        memmove(&calibration->times[at + 1], &calibration->times[at],
                (size_t)(calibration->count - at) * sizeof *calibration->times);
        calibration->count++;
    } else {
        count_time(calibration, &calibration->times[at], -1);
    }
    calibration->times[at] = *time;
    count_time(calibration, time, 1);
    return BUR_OK;
}

int32_t bur_calibration_count(const bur_calibration *calibration)
{
    return calibration->count;
}

const bur_call_time *bur_calibration_at(const bur_calibration *calibration, int32_t index)
{
    return &calibration->times[index];
}

/* ---- predicting ---- */

/* The measured call of the same family whose time at the limits is nearest in proportion. */
static const bur_call_time *nearest(const bur_calibration *calibration, const bur_call_time *call)
{
    const bur_call_time *best = NULL;
    double best_ratio = 0;
    const double wanted = time_at_limits(calibration, call);
    for (int32_t i = find(calibration, call->family, 0); i < calibration->count; i++) {
        const bur_call_time *time = &calibration->times[i];
        if (time->family != call->family)
            break;
        if (time->key == call->key)
            return time;
        const double known = time_at_limits(calibration, time);
        const double ratio = known > wanted ? wanted / known : known / wanted;
        if (best == NULL || ratio > best_ratio) {
            best = time;
            best_ratio = ratio;
        }
    }
    return best;
}

/* The share of the limits that a class of kernels reaches; else those of its kind, else all. */
static double share_of(const bur_calibration *calibration, const bur_call_time *call)
{
    const bur_op op = (bur_op)call->op;
    const share *const classes = calibration->classes[row_of_class(op)];
    const share *const shares[] = {&classes[call->variant], &classes[ANY_SIZE],
                                   &calibration->kinds[kind_of(&calibration->limits, call)],
                                   &calibration->all};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        if (shares[i]->seconds > 0 && shares[i]->at_limits_s > 0)
            return shares[i]->at_limits_s / shares[i]->seconds;
    return usual_share;
}

static double predict(const bur_calibration *calibration, const bur_call_time *wanted,
                      bool *measured)
{
    const bur_call_time *known = nearest(calibration, wanted);
    const double at_limits = time_at_limits(calibration, wanted);
    *measured = known != NULL && known->key == wanted->key;
    if (*measured)
        return known->seconds;
    const double launch = calibration->limits.launch_s;
    if (known == NULL || !(time_at_limits(calibration, known) > 0))
        return at_limits / share_of(calibration, wanted) + launch;
    return known->seconds * at_limits / time_at_limits(calibration, known);
}

static bur_step_time add_up(const bur_plan *plan, const bur_calibration *calibration,
                            const double *far_bytes, bur_desc *inputs)
{
    bur_step_time time = {.known = true};
    double measured_s = 0;
    for (int32_t i = 0; i < plan->n_steps; i++) {
        const bur_plan_step *step = &plan->steps[i];
        if (step->kind != BUR_STEP_RUN)
            continue;
        bur_desc outputs[BUR_MAX_OUTPUTS];
        bool measured = false;
        const bur_call call = bur__graph_call(plan->graph, step->node, inputs, outputs);
        bur_call_time wanted = bur_call_time_of(&call, 0);
        wanted.far_bytes = far_bytes[step->node];
        const double seconds = predict(calibration, &wanted, &measured);
        *(step->update ? &time.update_s : &time.accumulate_s) += seconds;
        measured_s += measured ? seconds : 0;
    }
    time.measured_share = measured_s / (time.accumulate_s + time.update_s);
    return time;
}

bur_step_time bur_plan_step_time(const bur_plan *plan, const bur_calibration *calibration)
{
    bur_step_time time = {.known = false};
    double *far_bytes = NULL;
    if (calibration->count == 0 && !(calibration->limits.flop_per_s > 0))
        return time;
    bur_desc *inputs =
        bur_alloc_array(plan->context, (size_t)bur__graph_most_inputs(plan->graph), sizeof *inputs);
    if (bur__plan_far_bytes(&far_bytes, plan) == BUR_OK && inputs != NULL)
        time = add_up(plan, calibration, far_bytes, inputs);
    bur_free(plan->context, far_bytes);
    bur_free(plan->context, inputs);
    return time;
}
