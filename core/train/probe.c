/* What each class of kernels reaches of a device's limits, from a few steps of networks that have
 * one or two of each at sizes of real ones. */
#include "../run/session.h"

#include <burthen/train.h>

enum { CLASSES = 10, RUNS = 7 };

/* A network being built: its present value. */
typedef struct builder {
    bur_recipe *recipe;
    bur_ref value;
} builder;

static bur_status put(builder *b, bur_layer layer)
{
    const bur_ref input = b->value;
    return bur_layer_apply(b->recipe, &layer, &input, 1, &b->value);
}

static bur_status join(builder *b, bur_layer layer, bur_ref other)
{
    const bur_ref inputs[] = {other, b->value};
    return bur_layer_apply(b->recipe, &layer, inputs, 2, &b->value);
}

static bur_layer convolution(int32_t filters, int32_t kernel)
{
    bur_layer layer = bur_conv2d(filters, kernel, BUR_SAME, BUR_LINEAR);
    layer.no_bias = true;
    return layer;
}

static bur_status put_normalized(builder *b, bur_layer layer, bur_activation activation)
{
    BUR_TRY(put(b, layer));
    BUR_TRY(put(b, bur_batch_normalization()));
    return activation == BUR_LINEAR ? BUR_OK : put(b, bur_activate(activation));
}

static bur_status put_gate(builder *b)
{
    const bur_ref input = b->value;
    bur_layer pool = bur_global_average_pooling2d();
    pool.keep_dims = true;
    BUR_TRY(put(b, pool));
    BUR_TRY(put(b, bur_conv2d(16, 1, BUR_SAME, BUR_SILU)));
    BUR_TRY(put(b, bur_conv2d(128, 1, BUR_SAME, BUR_SIGMOID)));
    const bur_ref factor = b->value;
    b->value = input;
    return join(b, bur_multiply(BUR_LINEAR), factor);
}

/* Convolutions of every kind, with what stands around them; dense layers of some million weights.
 */
static bur_status build_image(builder *b)
{
    BUR_TRY(put_normalized(b, convolution(64, 3), BUR_RELU));
    BUR_TRY(put(b, bur_max_pooling2d(2)));
    bur_layer depthwise = bur_depthwise_conv2d(3, BUR_SAME, BUR_LINEAR);
    depthwise.no_bias = true;
    const bur_ref before = b->value;
    BUR_TRY(put_normalized(b, convolution(64, 3), BUR_RELU));
    BUR_TRY(put_normalized(b, convolution(64, 3), BUR_LINEAR));
    BUR_TRY(join(b, bur_add(BUR_RELU), before));
    BUR_TRY(put_normalized(b, convolution(128, 1), BUR_SILU));
    BUR_TRY(put_normalized(b, depthwise, BUR_RELU6));
    BUR_TRY(put_gate(b));
    BUR_TRY(put_normalized(b, convolution(64, 1), BUR_LINEAR));
    BUR_TRY(put(b, bur_conv2d(64, 3, BUR_SAME, BUR_RELU)));
    BUR_TRY(put(b, bur_max_pooling2d(2)));
    BUR_TRY(put(b, bur_flatten()));
    BUR_TRY(put(b, bur_dense(256, BUR_RELU)));
    return put(b, bur_dense(CLASSES, BUR_SOFTMAX));
}

static bur_status build_sequence(builder *b)
{
    const bur_ref before = b->value;
    BUR_TRY(put(b, bur_layer_normalization()));
    BUR_TRY(put(b, bur_multi_head_attention(6, false)));
    BUR_TRY(join(b, bur_add(BUR_LINEAR), before));
    BUR_TRY(put(b, bur_layer_normalization()));
    BUR_TRY(put(b, bur_dense(1536, BUR_GELU)));
    BUR_TRY(put(b, bur_dense(384, BUR_LINEAR)));
    BUR_TRY(put(b, bur_global_average_pooling1d()));
    return put(b, bur_dense(CLASSES, BUR_SOFTMAX));
}

static bur_status build_recurrent(builder *b, bur_layer layer)
{
    BUR_TRY(put(b, layer));
    return put(b, bur_dense(CLASSES, BUR_SOFTMAX));
}

static bur_status build_simple(builder *b)
{
    return build_recurrent(b, bur_simple_rnn(128));
}

static bur_status build_lstm(builder *b)
{
    return build_recurrent(b, bur_lstm(128));
}

static bur_status build_gru(builder *b)
{
    return build_recurrent(b, bur_gru(128));
}

static const struct probe {
    const char *name;
    bur_status (*build)(builder *b);
    int64_t batch;
    bur_shape x;
} probes[] = {
    {"image", build_image, 8, {.rank = 4, .dim = {BUR_DIM_BATCH, 56, 56, 3}}},
    {"sequence", build_sequence, 8, {.rank = 3, .dim = {BUR_DIM_BATCH, 196, 384}}},
    {"rnn", build_simple, 32, {.rank = 3, .dim = {BUR_DIM_BATCH, 50, 32}}},
    {"lstm", build_lstm, 32, {.rank = 3, .dim = {BUR_DIM_BATCH, 50, 32}}},
    {"gru", build_gru, 32, {.rank = 3, .dim = {BUR_DIM_BATCH, 50, 32}}},
};

/* A probe bound to the device. */
typedef struct bound {
    bur_recipe *recipe;
    bur_graph *graph;
    bur_plan *plan;
    bur_memory *memory;
    bur_session *session;
    float *x;
    int32_t *labels;
} bound;

static bur_status make_samples(bound *p, bur_context *context, int64_t batch)
{
    const int64_t count = bur_desc_count(bur_recipe_input_desc(p->recipe)) * batch;
    p->x = bur_alloc_array(context, (size_t)count, sizeof *p->x);
    p->labels = bur_alloc_array(context, (size_t)batch, sizeof *p->labels);
    if (p->x == NULL || p->labels == NULL)
        return BUR_E_NOMEM;
    for (int64_t i = 0; i < count; i++)
        p->x[i] = (float)(i * 37 % 101) / 101;
    for (int64_t i = 0; i < batch; i++)
        p->labels[i] = (int32_t)(i % CLASSES);
    return BUR_OK;
}

static bur_status bind(bound *p, bur_device *device, const struct probe *what)
{
    bur_context *context = bur_device_context(device);
    bur_device *cpu = NULL;
    const bur_graph_options options = {.batch = what->batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM)};
    BUR_TRY(bur_device_open(&cpu, context, "cpu"));
    const bur_target target = bur_device_target(device), host = bur_device_target(cpu);
    BUR_TRY(bur_recipe_create(&p->recipe, context, what->name));
    builder b = {.recipe = p->recipe};
    BUR_TRY(bur_recipe_input(p->recipe, "x", BUR_F32, &what->x, &b.value));
    BUR_TRY(what->build(&b));
    BUR_TRY(bur_recipe_output(p->recipe, b.value));
    BUR_TRY(bur_graph_create(&p->graph, p->recipe, &options));
    BUR_TRY(bur_plan_create(&p->plan, p->graph, &target, &host));
    const bur_plan *plans[] = {p->plan};
    BUR_TRY(bur_memory_create(&p->memory, device, plans, 1));
    BUR_TRY(bur_session_create(&p->session, p->memory, p->plan));
    BUR_TRY(bur_session_initialize(p->session, p->recipe, 0));
    return make_samples(p, context, what->batch);
}

static bur_status measure(bound *p, int64_t batch)
{
    const bur_scalars scalars = {.learning_rate = 1e-6F,
                                 .inverse_weight_sum = 1 / (float)batch,
                                 .correction1 = 10,
                                 .correction2 = 1000};
    float result[BUR_RESULT_WORDS];
    BUR_TRY(bur_session_write_batch(p->session, p->x, p->labels));
    BUR_TRY(bur_session_step(p->session, &scalars)); /* pages are touched, code is compiled */
    BUR_TRY(bur_session_read_result(p->session, result));
    return bur__session_calibrate(p->session, p->x, p->labels, &scalars, 1, RUNS, true);
}

static bur_status run_probe(bur_device *device, const struct probe *what)
{
    bur_context *context = bur_device_context(device);
    bound p = {.recipe = NULL};
    bur_status status = bind(&p, device, what);
    if (status == BUR_OK)
        status = measure(&p, what->batch);
    bur_free(context, p.x);
    bur_free(context, p.labels);
    bur_session_destroy(p.session);
    bur_memory_destroy(p.memory);
    bur_plan_destroy(p.plan);
    bur_graph_destroy(p.graph);
    bur_recipe_destroy(p.recipe);
    return status;
}

bur_status bur_device_probe(bur_device *device)
{
    if (device == NULL)
        return bur_fail(BUR_E_ARG, "bur_device_probe: NULL argument");
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++)
        BUR_TRY(run_probe(device, &probes[i]));
    return BUR_OK;
}
