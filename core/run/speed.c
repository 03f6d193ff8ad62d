/* The training speed of one device: a small convolutional network on random samples. */
#include "speed.h"

#include <math.h>
#include <stdio.h>

enum {
    BATCH = 32,
    SIDE = 28,
    CLASSES = 10,
    WARM_UP = 3, /* steps: code is compiled, pages are touched, clocks rise */
    LEAST_STEPS = 3,
};
static const int64_t MEASURE_NS = 200000000, WARM_UP_NS = 500000000, SLOW_NS = 2000000000;

typedef struct trial {
    bur_recipe *recipe;
    bur_graph *graph;
    bur_plan *plan;
    bur_memory *memory;
    bur_session *session;
    float *x, *state;
    int32_t *labels;
} trial;

/* ---- the network ---- */

static bur_status add_parameter(bur_recipe *recipe, const char *layer, const char *what,
                                const bur_shape *shape, bur_ref *out)
{
    char name[BUR_NAME_BYTES];
    snprintf(name, sizeof name, "%s.%s", layer, what);
    return bur_recipe_parameter(recipe, name, shape, BUR_INIT_GLOROT_UNIFORM, out);
}

/* A product with weights of that shape, then the bias. */
static bur_status add_product(bur_recipe *recipe, const char *layer, bur_op op,
                              const bur_attr *attr, const bur_shape *weights, bur_ref *value)
{
    const bur_shape units = {.rank = 1, .dim = {weights->dim[weights->rank - 1]}};
    bur_ref inputs[2] = {*value, -1};
    BUR_TRY(bur_recipe_layer(recipe, bur_op_get(op)->name, layer));
    BUR_TRY(add_parameter(recipe, layer, "weight", weights, &inputs[1]));
    BUR_TRY(bur_recipe_apply(recipe, op, attr, inputs, 2, &inputs[0]));
    BUR_TRY(add_parameter(recipe, layer, "bias", &units, &inputs[1]));
    return bur_recipe_apply(recipe, BUR_OP_bias_add, NULL, inputs, 2, value);
}

static bur_status apply(bur_recipe *recipe, bur_op op, const bur_attr *attr, bur_ref *value)
{
    const bur_ref input = *value;
    return bur_recipe_apply(recipe, op, attr, &input, 1, value);
}

/* Convolution 3x3, relu, 2x2 max pooling. */
static bur_status add_convolution(bur_recipe *recipe, const char *layer, int64_t filters,
                                  bur_ref *value)
{
    const int64_t channels = bur_recipe_desc(recipe, *value)->shape.dim[3];
    const bur_shape weights = {.rank = 4, .dim = {3, 3, channels, filters}};
    const bur_attr conv = {.conv2d = {.stride = {1, 1}, .pad = {1, 1, 1, 1}}};
    const bur_attr pool = {.pool2d = {.window = {2, 2}, .stride = {2, 2}}};
    BUR_TRY(add_product(recipe, layer, BUR_OP_conv2d, &conv, &weights, value));
    BUR_TRY(apply(recipe, BUR_OP_relu, NULL, value));
    return apply(recipe, BUR_OP_max_pool2d, &pool, value);
}

static bur_status build(bur_recipe *recipe)
{
    const bur_shape x = {.rank = 4, .dim = {BUR_DIM_BATCH, SIDE, SIDE, 1}};
    const bur_attr flat = {.reshape = {.rank = 2, .shape = {0, -1}}};
    bur_ref value = -1;
    BUR_TRY(bur_recipe_input(recipe, "x", BUR_F32, &x, &value));
    BUR_TRY(add_convolution(recipe, "conv1", 16, &value));
    BUR_TRY(add_convolution(recipe, "conv2", 32, &value));
    BUR_TRY(apply(recipe, BUR_OP_reshape, &flat, &value));
    const int64_t features = bur_recipe_desc(recipe, value)->shape.dim[1];
    const bur_shape weights = {.rank = 2, .dim = {features, CLASSES}};
    BUR_TRY(add_product(recipe, "dense", BUR_OP_matmul, NULL, &weights, &value));
    BUR_TRY(apply(recipe, BUR_OP_softmax, NULL, &value));
    return bur_recipe_output(recipe, value);
}

/* ---- its data ---- */

/* Uniform in [-limit, limit). */
static void fill_random(float *out, int64_t count, uint32_t stream, float limit)
{
    for (int64_t i = 0; i < count; i += 4) {
        uint32_t word[4];
        const uint32_t counter[4] = {(uint32_t)i, 0, stream, 0}, key[2] = {0};
        bur_philox(word, counter, key);
        for (int64_t j = i; j < count && j < i + 4; j++)
            out[j] = limit * (2 * bur_uniform(word[j - i]) - 1);
    }
}

static bur_status write_start(trial *t, bur_context *context)
{
    int64_t most = 1;
    for (int32_t i = 0; i < bur_recipe_parameter_count(t->recipe); i++) {
        const int64_t count = bur_desc_count(&bur_recipe_parameter_at(t->recipe, i)->desc);
        most = count > most ? count : most;
    }
    t->state = bur_alloc_array(context, (size_t)most, sizeof *t->state);
    if (t->state == NULL)
        return BUR_E_NOMEM;
    for (int32_t i = 0; i < bur_session_state_count(t->session); i++) {
        const bur_state_tensor *tensor = bur_session_state_at(t->session, i);
        if (tensor->slot >= 0) /* the optimizer's start at 0, as memory does */
            continue;
        fill_random(t->state, bur_desc_count(&tensor->desc), (uint32_t)i, 0.05F);
        BUR_TRY(bur_session_write_state(t->session, i, t->state));
    }
    return BUR_OK;
}

static bur_status make_samples(trial *t, bur_context *context)
{
    enum { VALUES = BATCH * SIDE * SIDE };
    t->x = bur_alloc_array(context, VALUES, sizeof *t->x);
    t->labels = bur_alloc_array(context, BATCH, sizeof *t->labels);
    if (t->x == NULL || t->labels == NULL)
        return BUR_E_NOMEM;
    fill_random(t->x, VALUES, UINT32_MAX, 1);
    for (int32_t i = 0; i < BATCH; i++)
        t->labels[i] = i % CLASSES;
    return BUR_OK;
}

static bur_status prepare(trial *t, bur_device *device)
{
    bur_context *context = bur_device_context(device);
    const bur_target target = bur_device_target(device);
    const bur_graph_options options = {.batch = BATCH,
                                       .mode = BUR_TRAIN,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM)};
    BUR_TRY(bur_recipe_create(&t->recipe, context, "speed"));
    BUR_TRY(build(t->recipe));
    BUR_TRY(bur_graph_create(&t->graph, t->recipe, &options));
    BUR_TRY(bur_plan_create(&t->plan, t->graph, &target, NULL));
    const bur_plan *plans[] = {t->plan};
    BUR_TRY(bur_memory_create(&t->memory, device, plans, 1));
    BUR_TRY(bur_session_create(&t->session, t->memory, t->plan));
    BUR_TRY(make_samples(t, context));
    return write_start(t, context);
}

/* ---- the measurement ---- */

/* A step as in training: the batch is written, the result read, which waits for the device. */
static bur_status step(int64_t *ns, const trial *t)
{
    const bur_optimizer adam = bur_optimizer_default(BUR_ADAM);
    const bur_scalars scalars = {.learning_rate = 1e-6F, /* hundreds of steps stay finite */
                                 .inverse_weight_sum = 1.0F / BATCH,
                                 .correction1 = 1 / (1 - adam.attr.beta1),
                                 .correction2 = 1 / (1 - adam.attr.beta2)};
    float result[BUR_RESULT_WORDS];
    const int64_t start_ns = bur_time_ns();
    BUR_TRY(bur_session_write_batch(t->session, t->x, t->labels));
    BUR_TRY(bur_session_step(t->session, &scalars));
    BUR_TRY(bur_session_read_result(t->session, result));
    *ns = bur_time_ns() - start_ns;
    if (!isfinite(result[BUR_RESULT_LOSS]))
        return bur_fail(BUR_E_DEVICE, "computes a loss that is no number");
    return BUR_OK;
}

/* By the least of the steps: what else the machine does makes a step longer, and the answer is
 * kept. */
static bur_status run(double *samples_per_s, const trial *t)
{
    int64_t ns = 0, spent_ns = 0, least_ns = INT64_MAX;
    int32_t n = 0;
    for (int32_t i = 0; i < WARM_UP && spent_ns < WARM_UP_NS; i++, spent_ns += ns)
        BUR_TRY(step(&ns, t));
    for (spent_ns = 0;; spent_ns += ns) {
        if (n >= LEAST_STEPS ? spent_ns >= MEASURE_NS : n > 0 && spent_ns >= SLOW_NS)
            break;
        BUR_TRY(step(&ns, t));
        least_ns = ns < least_ns ? ns : least_ns;
        n++;
    }
    *samples_per_s = BATCH / (1e-9 * (double)least_ns);
    return BUR_OK;
}

bur_status bur__speed_measure(double *samples_per_s, bur_device *device)
{
    bur_context *context = bur_device_context(device);
    trial t = {0};
    bur_status status = prepare(&t, device);
    if (status == BUR_OK)
        status = run(samples_per_s, &t);
    bur_session_destroy(t.session);
    bur_memory_destroy(t.memory);
    bur_plan_destroy(t.plan);
    bur_graph_destroy(t.graph);
    bur_recipe_destroy(t.recipe);
    void *const arrays[] = {t.x, t.state, t.labels};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        bur_free(context, arrays[i]);
    return status;
}
