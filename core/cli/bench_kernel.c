/* Operators, memory and launches, measured through eager calls. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

enum { MAX_INPUTS = 3 };

typedef struct kernel_case {
    const char *kind; /* the word of the command line */
    const char *name; /* NULL: made of operator and shapes */
    bur_op op;
    bur_shape inputs[MAX_INPUTS];
    int32_t n_inputs, n_outputs;
    bur_attr attr;
} kernel_case;

#define MATRIX(rows, columns)                                                                      \
    {                                                                                              \
        .rank = 2, .dim = { rows, columns }                                                        \
    }
#define IMAGES(n, h, w, c)                                                                         \
    {                                                                                              \
        .rank = 4, .dim = { n, h, w, c }                                                           \
    }
#define VECTOR(n)                                                                                  \
    {                                                                                              \
        .rank = 1, .dim = { n }                                                                    \
    }
#define GEMM(m, k, n)                                                                              \
    {                                                                                              \
        .kind = "gemm", .op = BUR_OP_matmul, .inputs = {MATRIX(m, k), MATRIX(k, n)},               \
        .n_inputs = 2, .n_outputs = 1                                                              \
    }
/* A 3x3 convolution that keeps the image's size, and its two gradients; wc: channels of a filter.
 */
#define CONV(n, size, ic, oc) GROUPED(n, size, ic, ic, oc, 1)
#define DEPTHWISE(n, size, c) GROUPED(n, size, c, 1, c, c)
#define GROUPED(n, size, ic, wc, oc, n_groups)                                                     \
    {.kind = "conv",                                                                               \
     .op = BUR_OP_conv2d,                                                                          \
     .inputs = {IMAGES(n, size, size, ic), IMAGES(3, 3, wc, oc)},                                  \
     .n_inputs = 2,                                                                                \
     .n_outputs = 1,                                                                               \
     .attr = {.conv2d = {.groups = n_groups, .pad = {1, 1, 1, 1}}}},                               \
        {.kind = "conv",                                                                           \
         .op = BUR_OP_conv2d_grad_x,                                                               \
         .inputs = {IMAGES(n, size, size, oc), IMAGES(3, 3, wc, oc)},                              \
         .n_inputs = 2,                                                                            \
         .n_outputs = 1,                                                                           \
         .attr = {                                                                                 \
             .conv2d = {.groups = n_groups, .pad = {1, 1, 1, 1}, .input_size = {size, size}}}},    \
    {                                                                                              \
        .kind = "conv", .op = BUR_OP_conv2d_grad_w,                                                \
        .inputs = {IMAGES(n, size, size, ic), IMAGES(n, size, size, oc)}, .n_inputs = 2,           \
        .n_outputs = 1, .attr = {                                                                  \
            .conv2d = {.groups = n_groups, .pad = {1, 1, 1, 1}, .kernel_size = {3, 3}}             \
        }                                                                                          \
    }

enum { STREAM_FLOATS = 16 << 20 };

static const kernel_case cases[] = {
    {.kind = "device",
     .name = "arithmetic (1024x1024x1024)",
     .op = BUR_OP_matmul,
     .inputs = {MATRIX(1024, 1024), MATRIX(1024, 1024)},
     .n_inputs = 2,
     .n_outputs = 1},
    /* in place, so that no fresh memory is part of the time */
    {.kind = "device",
     .name = "memory (p -= lr g, 128 MiB)",
     .op = BUR_OP_sgd,
     .inputs = {VECTOR(BUR_SCALAR_WORDS), VECTOR(STREAM_FLOATS), VECTOR(STREAM_FLOATS)},
     .n_inputs = 3},
    {.kind = "device",
     .name = "launch (one eager call)",
     .op = BUR_OP_sgd,
     .inputs = {VECTOR(BUR_SCALAR_WORDS), VECTOR(1), VECTOR(1)},
     .n_inputs = 3},
    GEMM(256, 256, 256),
    GEMM(512, 512, 512),
    GEMM(1024, 1024, 1024),
    GEMM(2048, 2048, 2048),
    GEMM(32, 784, 128),
    GEMM(256, 1152, 128),
    CONV(32, 28, 1, 32),
    CONV(32, 14, 32, 64),
    CONV(32, 7, 64, 128),
    CONV(8, 56, 64, 64),
    DEPTHWISE(8, 56, 144),
};

static void case_name(char *text, size_t size, const kernel_case *c)
{
    char first[BUR_SHAPE_TEXT], second[BUR_SHAPE_TEXT];
    if (c->name != NULL)
        snprintf(text, size, "%s", c->name);
    else
        snprintf(text, size, "%s %s, %s", bur_op_get(c->op)->name,
                 bur_shape_format(first, sizeof first, &c->inputs[0]),
                 bur_shape_format(second, sizeof second, &c->inputs[1]));
}

typedef struct running {
    const kernel_case *c;
    bur_device *device;
    bur_array *inputs[MAX_INPUTS];
    bur_array *mark; /* reading it waits for the device */
} running;

static bur_status run_once(void *user)
{
    running *r = user;
    bur_array *output = NULL;
    float ignored = 0;
    BUR_TRY(bur_run(r->device, r->c->op, &r->c->attr, r->inputs, r->c->n_inputs, &output,
                    r->c->n_outputs));
    const bur_status status = bur_array_read(r->mark, &ignored, sizeof ignored);
    bur_array_destroy(output);
    return status;
}

/* Input `i` with random values; the step scalars of an optimizer row are all zero: nothing moves.
 */
static bur_status create_input(running *r, int32_t i)
{
    const bool is_scalars = r->c->op == BUR_OP_sgd && i == 0;
    int64_t count = 0;
    BUR_TRY(bur_shape_count(&count, &r->c->inputs[i]));
    if (is_scalars)
        return bur_array_create(&r->inputs[i], r->device, BUR_I32, &r->c->inputs[i], NULL);
    bur_context *context = bur_device_context(r->device);
    float *values = bur_alloc_array(context, (size_t)count, sizeof *values);
    if (values == NULL)
        return BUR_E_NOMEM;
    cli_fill_random(values, count, (uint32_t)i);
    const bur_status status =
        bur_array_create(&r->inputs[i], r->device, BUR_F32, &r->c->inputs[i], values);
    bur_free(context, values);
    return status;
}

static bur_status prepare(running *r)
{
    const bur_shape one = VECTOR(1);
    BUR_TRY(bur_array_create(&r->mark, r->device, BUR_F32, &one, NULL));
    for (int32_t i = 0; i < r->c->n_inputs; i++)
        BUR_TRY(create_input(r, i));
    return BUR_OK;
}

static bur_cost case_cost(const kernel_case *c)
{
    bur_desc inputs[MAX_INPUTS], outputs[1];
    for (int32_t i = 0; i < c->n_inputs; i++)
        inputs[i] = bur_desc_make(c->op == BUR_OP_sgd && i == 0 ? BUR_I32 : BUR_F32, &c->inputs[i]);
    const bur_call call = {.op = c->op,
                           .attr = &c->attr,
                           .n_inputs = c->n_inputs,
                           .n_outputs = c->n_outputs,
                           .inputs = inputs,
                           .outputs = outputs};
    if (bur_op_infer(&call, outputs) != BUR_OK)
        return (bur_cost){0};
    return bur_op_cost(&call);
}

static bur_status run_case(json_t *rows, bur_device *device, const bur_limits *limits,
                           const kernel_case *c)
{
    running r = {.c = c, .device = device};
    cli_timing timing = {0};
    char name[2 * BUR_SHAPE_TEXT];
    bur_status status = prepare(&r);
    if (status == BUR_OK)
        status = cli_time(&timing, run_once, &r);
    for (int32_t i = 0; i < c->n_inputs; i++)
        bur_array_destroy(r.inputs[i]);
    bur_array_destroy(r.mark);
    BUR_TRY(status);
    const bur_cost cost = case_cost(c);
    const double least_s = bur_limits_least_s(limits, cost);
    case_name(name, sizeof name, c);
    json_array_append_new(
        rows, json_pack("{ss ss so so so so so si}", "device", bur_device_describe(device)->name,
                        "case", name, "median_ms", cli_real(timing.median_ms), "min_ms",
                        cli_real(timing.least_ms), "gflops",
                        cli_real(cost.flop / timing.median_ms * 1e-6), "gbs",
                        cli_real(cost.bytes / timing.median_ms * 1e-6), "percent_of_limit",
                        least_s > 0 ? cli_real(least_s / timing.median_ms * 1e5) : json_null(),
                        "runs", timing.runs));
    return BUR_OK;
}

bur_status cli_bench_kernels(json_t *rows, bur_device *device, const char *kind)
{
    bur_limits limits = {0};
    const bur_status status = bur_device_measure_limits(device, &limits);
    if (status != BUR_OK && status != BUR_E_UNSUPPORTED)
        return status;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].kind, kind) == 0)
            BUR_TRY(run_case(rows, device, &limits, &cases[i]));
    return BUR_OK;
}
