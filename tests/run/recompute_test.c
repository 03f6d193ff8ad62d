/* Forward values computed again in the backward pass: less memory, the same bits. */
#include "test.h"

#include "support/opened.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One accumulated batch of a model: its loss and all gradients. */
typedef struct outcome {
    float result[BUR_RESULT_WORDS];
    float *gradients;
    size_t gradient_bytes, arena_bytes, activation_bytes, persistent_bytes;
    int32_t recomputed;
} outcome;

typedef struct subject {
    const char *model;
    bur_zoo_options options;
    int64_t batch;
} subject;

static const bur_shape small_image = {.rank = 3, .dim = {32, 32, 3}};

static void write_batch(bur_session *session, const bur_recipe *recipe, int64_t batch)
{
    const int64_t n = bur_desc_count(bur_recipe_input_desc(recipe)) * batch;
    float *x = malloc((size_t)n * sizeof *x);
    int32_t *labels = malloc((size_t)batch * sizeof *labels);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i * 37 % 101) / 101;
    for (int64_t i = 0; i < batch; i++)
        labels[i] = (int32_t)(i % 10);
    assert_ok(bur_session_write_batch(session, x, labels));
    free(x);
    free(labels);
}

static void read_gradients(outcome *out, bur_session *session, const bur_recipe *recipe)
{
    const int32_t n = bur_recipe_parameter_count(recipe);
    for (int32_t i = 0; i < n; i++)
        out->gradient_bytes += bur_desc_bytes(&bur_recipe_parameter_at(recipe, i)->desc);
    out->gradients = calloc(1, out->gradient_bytes);
    float *next = out->gradients;
    for (int32_t i = 0; i < n; i++) {
        const bur_parameter *parameter = bur_recipe_parameter_at(recipe, i);
        if (parameter->trainable)
            assert_ok(bur_session_read_gradient(session, i, next));
        next += bur_desc_count(&parameter->desc);
    }
}

static outcome run(bur_device *device, const bur_recipe *recipe, int64_t batch, float share)
{
    outcome out = {.recomputed = 0};
    const bur_target target = bur_device_target(device);
    const bur_graph_options options = {.batch = batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM),
                                       .recompute = share};
    const bur_scalars scalars = {.learning_rate = 0.001F,
                                 .inverse_weight_sum = 1.0F / (float)batch,
                                 .correction1 = 10,
                                 .correction2 = 1000,
                                 .seed = {1, 0}};
    bur_graph *graph = NULL;
    bur_plan *plan = NULL;
    bur_memory *memory = NULL;
    bur_session *session = NULL;
    assert_ok(bur_graph_create(&graph, recipe, &options));
    assert_ok(bur_plan_create(&plan, graph, &target, NULL));
    assert_ok(bur_memory_create(&memory, device, (const bur_plan *const *)&plan, 1));
    assert_ok(bur_session_create(&session, memory, plan));
    assert_ok(bur_session_initialize(session, recipe, 1));
    write_batch(session, recipe, batch);
    assert_ok(bur_session_accumulate(session, &scalars));
    assert_ok(bur_session_read_result(session, out.result));
    read_gradients(&out, session, recipe);
    const bur_plan_summary *summary = bur_plan_get_summary(plan);
    out.arena_bytes = summary->arena_bytes;
    out.persistent_bytes = summary->persistent_bytes;
    out.activation_bytes = summary->bytes[BUR_BYTES_ACTIVATIONS];
    out.recomputed = bur_graph_recomputed_count(graph);
    bur_session_destroy(session);
    bur_memory_destroy(memory);
    bur_plan_destroy(plan);
    bur_graph_destroy(graph);
    return out;
}

static void test_run_recompute__gradients_keep_their_bits_on_every_device(void **state)
{
    const subject subjects[] = {
        {"resnet18",
         {.sample = small_image, .classes = 10, .width = 0.125F, .small_stem = true},
         8},
        {"mobilenet-v2",
         {.sample = small_image, .classes = 10, .width = 0.25F, .dropout = 0.3F},
         3},
        {"efficientnet-b0", {.sample = small_image, .classes = 10, .width = 0.125F}, 8},
        {"vit-b16", {.sample = small_image, .classes = 10, .width = 0.125F, .dropout = 0.1F}, 4},
    };
    (void)state;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 0; d < opened.count; d++)
        /* Drivers would compile the larger models' kernels for minutes. */
        for (size_t s = 0; s < (d == 0 ? sizeof subjects / sizeof *subjects : 1); s++) {
            bur_recipe *recipe = NULL;
            assert_ok(
                bur_zoo_create(&recipe, opened.context, subjects[s].model, &subjects[s].options));
            const outcome all = run(opened.devices[d], recipe, subjects[s].batch, 0);
            const outcome less = run(opened.devices[d], recipe, subjects[s].batch, 0.8F);
            assert_int_equal(all.recomputed, 0);
            assert_true(less.recomputed > 0);
            assert_true(less.arena_bytes < all.arena_bytes);
            assert_int_equal(less.persistent_bytes, all.persistent_bytes);
            assert_memory_equal(less.result, all.result, sizeof all.result);
            assert_memory_equal(less.gradients, all.gradients, all.gradient_bytes);
            free(all.gradients);
            free(less.gradients);
            bur_recipe_destroy(recipe);
        }
    test_opened_destroy(&opened);
}

/* The model's plan on the CPU, as it is trained. */
static bur_plan_summary plan_of(bur_device *cpu, const bur_recipe *recipe, int64_t batch,
                                float share)
{
    const bur_target target = bur_device_target(cpu);
    const bur_graph_options options = {.batch = batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM),
                                       .early_update = true,
                                       .recompute = share};
    bur_graph *graph = NULL;
    bur_plan *plan = NULL;
    assert_ok(bur_graph_create(&graph, recipe, &options));
    assert_ok(bur_plan_create(&plan, graph, &target, NULL));
    const bur_plan_summary summary = *bur_plan_get_summary(plan);
    bur_plan_destroy(plan);
    bur_graph_destroy(graph);
    return summary;
}

static void test_run_recompute__activations_come_to_0_55(void **state)
{
    static const char *const models[] = {"resnet50", "resnet101", "vit-b16"};
    (void)state;
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    const bur_zoo_options options = {.width = 0};
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        bur_recipe *recipe = NULL;
        assert_ok(bur_zoo_create(&recipe, context, models[m], &options));
        for (int64_t batch = 2; batch <= 32; batch *= 2) {
            const bur_plan_summary all = plan_of(cpu, recipe, batch, 0),
                                   less = plan_of(cpu, recipe, batch, 0.55F);
            const double share = (double)less.bytes[BUR_BYTES_ACTIVATIONS] /
                                 (double)all.bytes[BUR_BYTES_ACTIVATIONS];
            if (!(share <= 0.55))
                fail_msg("%s, batch %d: %.3f of its activations", models[m], (int)batch, share);
            if (!((double)less.arena_bytes <= 1.005 * (double)less.lower_bound_bytes))
                fail_msg("%s, batch %d: an arena of %zu bytes, at least %zu are needed", models[m],
                         (int)batch, less.arena_bytes, less.lower_bound_bytes);
        }
        bur_recipe_destroy(recipe);
    }
    bur_context_destroy(context);
}

static void test_run_recompute__what_is_no_share_is_refused(void **state)
{
    static const float wrong[] = {-0.5F, 1.25F, NAN};
    (void)state;
    bur_context *context = NULL;
    bur_recipe *recipe = NULL;
    bur_graph *graph = NULL;
    const bur_zoo_options zoo = {.width = 0};
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_zoo_create(&recipe, context, "cnn", &zoo));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const bur_graph_options options = {.batch = 1,
                                           .loss = BUR_LOSS_CROSS_ENTROPY,
                                           .optimizer = bur_optimizer_default(BUR_SGD),
                                           .recompute = wrong[i]};
        assert_status(BUR_E_ARG, bur_graph_create(&graph, recipe, &options));
    }
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}
