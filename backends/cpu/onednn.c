/* The entries of the CPU backend that oneDNN overrides: matrix products and convolutions.
 *
 * Activations stay NHWC and matrices row-major. Convolutions run on weights in a layout of oneDNN's
 * choice: the kernel reorders them into scratch before each run, or their gradient out of it after,
 * where another reorder adds it to those before. */
#include <stdio.h>
#include <string.h>

#include "onednn.h"

/* ---- from calls to problems ---- */

static int64_t or_one(int32_t value)
{
    return value == 0 ? 1 : value;
}

/* A matrix [rows, columns], stored as it is or, if `transposed`, as [columns, rows]. */
static bur_onednn_tensor matrix(int64_t rows, int64_t columns, bool transposed)
{
    return (bur_onednn_tensor){
        .rank = 2,
        .dim = {rows, columns},
        .stride = {transposed ? 1 : columns, transposed ? rows : 1},
    };
}

/* An image batch stored as [n, h, w, c]. */
static bur_onednn_tensor image(const bur_desc *desc)
{
    const int64_t *d = desc->shape.dim;
    return (bur_onednn_tensor){
        .rank = 4,
        .dim = {d[0], d[3], d[1], d[2]},
        .stride = {d[1] * d[2] * d[3], 1, d[2] * d[3], d[3]},
    };
}

/* Weights stored as [kh, kw, ic / g, oc]: dimensions (oc, ic, kh, kw), or with groups (g, oc / g,
 * ic / g, kh, kw). */
static bur_onednn_tensor weights(const bur_desc *desc, int64_t groups)
{
    const int64_t *d = desc->shape.dim, kh = d[0], kw = d[1], ic = d[2], oc = d[3];
    if (groups == 1)
        return (bur_onednn_tensor){
            .rank = 4,
            .dim = {oc, ic, kh, kw},
            .stride = {1, oc, kw * ic * oc, ic * oc},
        };
    return (bur_onednn_tensor){
        .rank = 5,
        .dim = {groups, oc / groups, ic, kh, kw},
        .stride = {oc / groups, 1, oc, kw * ic * oc, ic * oc},
    };
}

static bur_onednn_problem matmul_problem(const bur_call *call, int32_t threads)
{
    const bur_matmul_attr *attr = &call->attr->matmul;
    const int64_t *a = call->inputs[0].shape.dim, *y = call->outputs[0].shape.dim;
    const int64_t m = y[0], n = y[1], k = attr->transpose_a ? a[0] : a[1];
    bur_onednn_problem p = {.kind = BUR_ONEDNN_MATMUL, .threads = threads};
    p.x = matrix(m, k, attr->transpose_a);
    p.w = matrix(k, n, attr->transpose_b);
    p.y = matrix(m, n, false);
    if (call->op == BUR_OP_matmul_bias_act) {
        p.bias = matrix(1, n, false);
        p.activation = attr->activation;
        p.alpha = attr->alpha;
    }
    return p;
}

/* Which tensor of a call is which, by operator: inputs from 0, -1 the output. */
static const struct conv_role {
    bur_onednn_kind kind;
    int x, w, y;
} conv_roles[BUR_OP_COUNT] = {
    [BUR_OP_conv2d] = {BUR_ONEDNN_CONV, 0, 1, -1},
    [BUR_OP_conv2d_bias_act] = {BUR_ONEDNN_CONV, 0, 1, -1},
    [BUR_OP_conv2d_transpose] = {BUR_ONEDNN_CONV_GRAD_X, -1, 1, 0},
    [BUR_OP_conv2d_grad_x] = {BUR_ONEDNN_CONV_GRAD_X, -1, 1, 0},
    [BUR_OP_conv2d_grad_w] = {BUR_ONEDNN_CONV_GRAD_W, 0, -1, 1},
    [BUR_OP_conv2d_grad_w_add] = {BUR_ONEDNN_CONV_GRAD_W_ADD, 0, -1, 1},
};

static const bur_desc *tensor_of(const bur_call *call, int role)
{
    return role < 0 ? &call->outputs[0] : &call->inputs[role];
}

static bur_onednn_problem conv_problem(const bur_call *call, int32_t threads)
{
    const bur_conv2d_attr *attr = &call->attr->conv2d;
    const struct conv_role *role = &conv_roles[call->op];
    bur_onednn_problem p = {.kind = role->kind, .threads = threads};
    p.x = image(tensor_of(call, role->x));
    p.w = weights(tensor_of(call, role->w), or_one(attr->groups));
    p.y = image(tensor_of(call, role->y));
    for (int i = 0; i < 2; i++) {
        p.stride[i] = or_one(attr->stride[i]);
        p.dilation[i] = or_one(attr->dilation[i]) - 1;
        p.pad_begin[i] = attr->pad[2 * i];
        p.pad_end[i] = attr->pad[2 * i + 1];
    }
    if (call->op == BUR_OP_conv2d_bias_act) {
        p.bias = (bur_onednn_tensor){.rank = 1, .dim = {p.y.dim[1]}, .stride = {1}};
        p.activation = attr->activation;
        p.alpha = attr->alpha;
    }
    return p;
}

static bur_onednn_problem problem_of(const bur_call *call, int32_t threads)
{
    const bool matmul = call->op == BUR_OP_matmul || call->op == BUR_OP_matmul_bias_act;
    return matmul ? matmul_problem(call, threads) : conv_problem(call, threads);
}

/* ---- supports and scratch ---- */

/* A device may be described by a file from another machine. */
static bool is_usable(const bur_call *call, char *reason)
{
    if (!bur__onednn()) {
        snprintf(reason, BUR_TEXT_BYTES, "oneDNN cannot be used on this machine");
        return false;
    }
    for (int32_t i = 0; i < call->n_inputs; i++) {
        if (bur_desc_count(&call->inputs[i]) == 0) {
            snprintf(reason, BUR_TEXT_BYTES, "input %d is empty", (int)i);
            return false;
        }
    }
    return true;
}

/* Where oneDNN has nothing for a shape but its general product, behind a copy of patches if need
 * be: products on processors without AVX-512, the weights of some convolutions. What that packs
 * lies in memory of its own, megabytes a thread that no plan knows of, and ours are as fast: on two
 * Zen 5 cores 0.9 to 1.25 times in models held to AVX2, 1.0 for the patches of a vision
 * transformer. */
static bool takes_general_product(const bur_device_info *info, const bur_call *call, char *reason)
{
    const bur_onednn_problem p = problem_of(call, info->compute_units);
    bur_onednn_needs needs = {0};
    if (bur__onednn_describe(&needs, &p) != BUR_OK || !needs.by_products)
        return false;
    snprintf(reason, BUR_TEXT_BYTES, "the portable kernel is as fast and takes what is planned");
    return true;
}

/* Products that take as long as a large matrix takes to arrive from memory, b or the result, which
 * ours fetch ahead: 0.65 to 1 times as long on two Zen 4 cores (1 to 32 rows or steps; 784 x 1024,
 * 12544 x 128, 3072 x 2048). A transposed b oneDNN copies into another order first, which takes
 * three times as long as such a product. */
static bool waits_for_memory(const bur_matmul_attr *attr, int64_t m, int64_t n, int64_t k)
{
    enum { FEW = 32, LARGE_B = 1 << 19, LARGE_RESULT = 1 << 20 };
    if (attr->transpose_b)
        return m < 128;
    return attr->transpose_a ? k <= FEW && m * n >= LARGE_RESULT : m <= FEW && n * k >= LARGE_B;
}

/* Products from 2^22 multiplications (160 x 160 x 160, 20 us on two cores): there oneDNN is 5 to 50
 * % faster, below it costs more to leave our parallel region and enter oneDNN's. */
static bool supports_matmul(const bur_device_info *info, const bur_call *call, char *reason)
{
    const bur_onednn_problem p = matmul_problem(call, 1);
    const int64_t m = p.x.dim[0], k = p.x.dim[1], n = p.y.dim[1];
    if (!is_usable(call, reason))
        return false;
    if ((double)m * (double)n * (double)k >= 0x1p22 &&
        !waits_for_memory(&call->attr->matmul, m, n, k))
        return !takes_general_product(info, call, reason);
    snprintf(reason, BUR_TEXT_BYTES, "the portable kernel is faster at this size");
    return false;
}

/* oneDNN 2.6 gathers the pixels that a 1x1 convolution with a stride reads, in whole vectors: where
 * the channels are no multiple of one it writes past the end of its scratchpad. */
static bool gathers_beyond(const bur_call *call)
{
    const struct conv_role *role = &conv_roles[call->op];
    const bur_conv2d_attr *attr = &call->attr->conv2d;
    const int64_t *w = tensor_of(call, role->w)->shape.dim;
    const bool strided = or_one(attr->stride[0]) > 1 || or_one(attr->stride[1]) > 1;
    return w[0] == 1 && w[1] == 1 && strided && tensor_of(call, role->x)->shape.dim[3] % 16 != 0;
}

/* The weights of depthwise convolutions with 3 or 5 columns: ours keep their sums in registers and
 * are 2 to 4 times faster. */
static bool is_depthwise_line(const bur_call *call)
{
    const int64_t *w = call->outputs[0].shape.dim, groups = or_one(call->attr->conv2d.groups);
    return conv_roles[call->op].w < 0 && groups > 1 && w[2] == 1 && w[3] == groups &&
           (w[1] == 3 || w[1] == 5);
}

/* Every other convolution: measured from 2x8x8x3 up, oneDNN is 1.1 to 7 times faster. */
static bool supports_conv(const bur_device_info *info, const bur_call *call, char *reason)
{
    if (!is_usable(call, reason))
        return false;
    const bool beyond = gathers_beyond(call);
    if (!beyond && !is_depthwise_line(call))
        return !takes_general_product(info, call, reason);
    snprintf(reason, BUR_TEXT_BYTES,
             beyond ? "oneDNN writes past its scratchpad at such a stride"
                    : "the portable kernel is faster for depthwise weights");
    return false;
}

/* What oneDNN cannot describe has no kernel: build() says so. */
static size_t scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    const bur_onednn_problem p = problem_of(call, threads);
    bur_onednn_needs needs = {0};
    return bur__onednn_describe(&needs, &p) == BUR_OK ? needs.scratch_bytes : 0;
}

static bur_generated generates(const bur_call *call, int32_t threads)
{
    enum { TENSORS_BYTES = 9 << 9 }; /* of a command, as oneDNN holds them: 4.2 KiB in the mean */
    const bur_onednn_problem p = problem_of(call, threads);
    bur_onednn_needs needs = {0};
    if (bur__onednn_describe(&needs, &p) != BUR_OK)
        return (bur_generated){0};
    return (bur_generated){.kernel_bytes = needs.code_bytes, .command_bytes = TENSORS_BYTES};
}

/* ---- build ---- */

typedef struct kernel_plan {
    bur_onednn_code code;
    dnnl_stream_t stream;
    char text[BUR_TEXT_BYTES]; /* "oneDNN brgconv:avx512_core" */
} kernel_plan;

static void discard(bur_kernel *kernel)
{
    const bur_onednn *dnnl = bur__onednn();
    kernel_plan *plan = kernel->plan;
    if (!plan)
        return;
    if (plan->stream)
        dnnl->stream_destroy(plan->stream);
    bur__onednn_code_clear(&plan->code);
    bur_free(kernel->device->context, plan);
    kernel->plan = NULL;
}

static bur_status build_plan(kernel_plan *plan, const bur_onednn_problem *problem)
{
    const bur_onednn *dnnl = bur__onednn();
    BUR_TRY(bur__onednn_compile(&plan->code, problem));
    BUR_TRY(bur__onednn_status(
        dnnl->stream_create(&plan->stream, dnnl->engine, dnnl_stream_default_flags), "a stream"));
    const_dnnl_primitive_desc_t desc = NULL;
    const char *implementation = "";
    BUR_TRY(
        bur__onednn_status(dnnl->primitive_get_primitive_desc(plan->code.main, &desc), "a query"));
    BUR_TRY(bur__onednn_status(
        dnnl->primitive_desc_query(desc, dnnl_query_impl_info_str, 0, (void *)&implementation),
        "a query"));
    snprintf(plan->text, sizeof plan->text, "oneDNN %s", implementation);
    return BUR_OK;
}

static bur_status build(bur_kernel *kernel)
{
    const bur_onednn_problem problem = problem_of(&kernel->call, kernel->device->threads);
    kernel_plan *plan = bur_alloc(kernel->device->context, sizeof *plan);
    if (!plan)
        return BUR_E_NOMEM;
    kernel->plan = plan;
    const bur_status status = build_plan(plan, &problem);
    if (status != BUR_OK)
        discard(kernel);
    return status;
}

/* ---- bind ---- */

/* Where a tensor of a call appears in oneDNN's arguments and in its primitive descriptor. */
typedef struct slot {
    int argument;
    dnnl_query_t query;
    int index;
    bool is_weights; /* may lie in scratch in another layout */
} slot;

enum { SLOTS = 4, OUTPUT = 3 }; /* inputs 0..2, then the output */

static const slot forward_slots[SLOTS] = {
    {DNNL_ARG_SRC, dnnl_query_src_md, 0, false},
    {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0, true},
    {DNNL_ARG_BIAS, dnnl_query_weights_md, 1, false},
    {DNNL_ARG_DST, dnnl_query_dst_md, 0, false},
};
static const slot grad_x_slots[SLOTS] = {
    {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0, false},
    {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0, true},
    [OUTPUT] = {DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, 0, false},
};
static const slot grad_w_slots[SLOTS] = {
    {DNNL_ARG_SRC, dnnl_query_src_md, 0, false},
    {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0, false},
    [OUTPUT] = {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, 0, true},
};
static const slot *const slots[BUR_ONEDNN_KINDS] = {
    [BUR_ONEDNN_MATMUL] = forward_slots,         [BUR_ONEDNN_CONV] = forward_slots,
    [BUR_ONEDNN_CONV_GRAD_X] = grad_x_slots,     [BUR_ONEDNN_CONV_GRAD_W] = grad_w_slots,
    [BUR_ONEDNN_CONV_GRAD_W_ADD] = grad_w_slots,
};

typedef struct step {
    dnnl_primitive_t primitive;
    int n_arguments;
    dnnl_exec_arg_t arguments[SLOTS + 1]; /* and the scratchpad */
} step;

/* The primitives of a command in order, with their arguments; owns the memory objects. */
typedef struct command_plan {
    int n_steps;
    step steps[2];
} command_plan;

static void unbind(bur_command *command)
{
    command_plan *plan = command->plan;
    if (!plan)
        return;
    for (int i = 0; i < plan->n_steps; i++)
        for (int j = 0; j < plan->steps[i].n_arguments; j++)
            bur__onednn()->memory_destroy(plan->steps[i].arguments[j].memory);
    bur_free(command->kernel->device->context, plan);
    command->plan = NULL;
}

/* Adds the tensor at `address`, laid out as the step's primitive descriptor says. */
static bur_status add_argument(step *s, int argument, dnnl_query_t query, int index, void *address)
{
    const bur_onednn *dnnl = bur__onednn();
    const_dnnl_primitive_desc_t desc = NULL;
    BUR_TRY(bur__onednn_status(dnnl->primitive_get_primitive_desc(s->primitive, &desc), "a query"));
    dnnl_memory_t memory = NULL;
    BUR_TRY(bur__onednn_status(
        dnnl->memory_create(&memory, dnnl->primitive_desc_query_md(desc, query, index),
                            dnnl->engine, address),
        "a binding"));
    s->arguments[s->n_arguments++] = (dnnl_exec_arg_t){argument, memory};
    return BUR_OK;
}

static bur_status bind_reorder(step *s, void *from, void *to)
{
    BUR_TRY(add_argument(s, DNNL_ARG_FROM, dnnl_query_src_md, 0, from));
    return add_argument(s, DNNL_ARG_TO, dnnl_query_dst_md, 0, to);
}

static bur_status bind_steps(command_plan *plan, const bur_command *command)
{
    const kernel_plan *kernel = command->kernel->plan;
    const bur_call *call = &command->kernel->call;
    const bur_onednn_code *code = &kernel->code;
    const slot *slot_of = slots[problem_of(call, 1).kind];
    const bool writes_weights = slot_of[OUTPUT].is_weights;
    void *const blocked = code->reorder ? (char *)command->scratch + code->weights_offset : NULL;
    plan->n_steps = code->reorder ? 2 : 1;
    step *main = &plan->steps[code->reorder && !writes_weights ? 1 : 0];
    main->primitive = code->main;
    for (int i = 0; i < SLOTS; i++) {
        if (i != OUTPUT && (i >= call->n_inputs || slot_of[i].argument == 0))
            continue;
        void *address = i == OUTPUT ? command->outputs[0] : command->inputs[i];
        if (slot_of[i].is_weights && code->reorder) {
            step *reorder = &plan->steps[writes_weights ? 1 : 0];
            reorder->primitive = code->reorder;
            BUR_TRY(bind_reorder(reorder, writes_weights ? blocked : address,
                                 writes_weights ? address : blocked));
            address = blocked;
        }
        BUR_TRY(
            add_argument(main, slot_of[i].argument, slot_of[i].query, slot_of[i].index, address));
    }
    if (code->scratchpad_bytes == 0)
        return BUR_OK;
    return add_argument(main, DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, 0, command->scratch);
}

static bur_status bind(bur_command *command)
{
    command_plan *plan = bur_alloc(command->kernel->device->context, sizeof *plan);
    if (!plan)
        return BUR_E_NOMEM;
    command->plan = plan;
    const bur_status status = bind_steps(plan, command);
    if (status != BUR_OK)
        unbind(command);
    return status;
}

/* ---- run ---- */

/* Whether the result is added to the sum of the micro-batches before, which the reorder does in
 * place: a result that lies elsewhere begins as that sum. */
static bool adds(const bur_command *command)
{
    const kernel_plan *kernel = command->kernel->plan;
    if (kernel->code.add == NULL)
        return false;
    const bur_scalars *scalars = command->inputs[3];
    if (scalars->first_sample == 0)
        return false;
    if (command->inputs[2] != command->outputs[0])
        memcpy(command->outputs[0], command->inputs[2],
               bur_desc_bytes(&command->kernel->call.outputs[0]));
    return true;
}

static void run(const bur_command *command, int thread, int threads)
{
    (void)thread;
    (void)threads;
    const bur_onednn *dnnl = bur__onednn();
    const kernel_plan *kernel = command->kernel->plan;
    const command_plan *plan = command->plan;
    const bool add = adds(command);
    for (int i = 0; i < plan->n_steps; i++) {
        const step *s = &plan->steps[i];
        const dnnl_primitive_t primitive =
            add && s->primitive == kernel->code.reorder ? kernel->code.add : s->primitive;
        if (dnnl->primitive_execute(primitive, kernel->stream, s->n_arguments, s->arguments) !=
            dnnl_success)
            command->kernel->device->failed = kernel->text;
    }
}

static const char *text(const bur_command *command)
{
    const kernel_plan *plan = command->kernel->plan;
    return plan->text;
}

#define ENTRY(types_, supports_)                                                                   \
    {                                                                                              \
        .types = (types_), .supports = (supports_), .scratch = scratch, .generates = generates,    \
        .build = build, .discard = discard, .bind = bind, .unbind = unbind, .run = run,            \
        .text = text, .outside = true,                                                             \
    }

const bur_cpu_entry bur__cpu_onednn_entries[BUR_OP_COUNT] = {
    [BUR_OP_matmul] = ENTRY("ff>f", supports_matmul),
    [BUR_OP_matmul_bias_act] = ENTRY("fff>f", supports_matmul),
    [BUR_OP_conv2d] = ENTRY("ff>f", supports_conv),
    [BUR_OP_conv2d_bias_act] = ENTRY("fff>f", supports_conv),
    [BUR_OP_conv2d_transpose] = ENTRY("ff>f", supports_conv),
    [BUR_OP_conv2d_grad_x] = ENTRY("ff>f", supports_conv),
    [BUR_OP_conv2d_grad_w] = ENTRY("ff>f", supports_conv),
    [BUR_OP_conv2d_grad_w_add] = ENTRY("fffs>f", supports_conv),
};
