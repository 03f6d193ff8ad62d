#include "test.h"

#include "run/session.h"
#include "support/bound.h"
#include "support/model.h"
#include "support/opened.h"

enum { STEPS = 3 };

#define HALF                                                                                       \
    {                                                                                              \
        .width = 0.5F, .dropout = 0.3F                                                             \
    }
#define SMALL_IMAGE                                                                                \
    {                                                                                              \
        .sample = {.rank = 3, .dim = {32, 32, 3}}, .classes = 10, .width = 0.125F,                 \
        .small_stem = true                                                                         \
    }
static const test_subject models[] = {
    {"linear", HALF}, {"mlp", HALF}, {"cnn", HALF}, {"cnn-light", HALF}, {"cnn-mid", HALF}};
static const test_subject image_models[] = {
    {"resnet18", SMALL_IMAGE}, {"mobilenet-v2", SMALL_IMAGE}, {"efficientnet-b0", SMALL_IMAGE}};
static const test_subject sequence_models[] = {
    {"rnn", {.sample = {.rank = 2, .dim = {7, 5}}, .width = 0.125F}},
    {"lstm", {.sample = {.rank = 2, .dim = {7, 5}}, .width = 0.125F}},
    {"gru", {.sample = {.rank = 2, .dim = {7, 5}}, .width = 0.125F}},
    {"transformer-small", {.sample = {.rank = 1, .dim = {13}}, .width = 0.25F, .depth = 1}},
    {"vit-tiny",
     {.sample = {.rank = 3, .dim = {28, 28, 1}}, .classes = 10, .width = 0.34F, .depth = 2}},
};
static const int64_t batches[] = {1, 3, 8};

enum { N_MODELS = sizeof models / sizeof *models, N_BATCHES = sizeof batches / sizeof *batches };

/* Large models go on the CPU: drivers would compile for minutes, and op.row watches each of their
 * kernels. */
static void check_buffers(const test_subject *subjects, size_t count, bool large)
{
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 0; d < (large ? 1 : opened.count); d++)
        for (size_t m = 0; m < count; m++)
            for (int k = 0; k < N_BATCHES; k++) {
                test_bound b;
                test_bind(&b, opened.devices[d], &subjects[m], batches[k], TEST_GUARD_BYTES);
                for (uint32_t step = 0; step < STEPS; step++)
                    test_step_guarded(&b, step);
                test_unbind(&b);
            }
    test_opened_destroy(&opened);
}

static void test_run_memory__no_kernel_writes_outside_its_buffers(void **state)
{
    (void)state;
    check_buffers(models, N_MODELS, false);
}

static void test_run_memory__no_kernel_of_an_image_model_writes_outside_its_buffers(void **state)
{
    (void)state;
    check_buffers(image_models, sizeof image_models / sizeof *image_models, true);
}

static void test_run_memory__no_kernel_of_a_sequence_model_writes_outside_its_buffers(void **state)
{
    (void)state;
    check_buffers(sequence_models, sizeof sequence_models / sizeof *sequence_models, false);
}

/* The arena is used to its end. */
static void test_run_memory__the_highest_byte_touched_is_the_end_of_the_plan(void **state)
{
    (void)state;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 0; d < opened.count; d++)
        for (int m = 0; m < N_MODELS; m++) {
            test_bound b;
            test_bind(&b, opened.devices[d], &models[m], 8, 0);
            test_check_end(&b, models[m].model);
            test_unbind(&b);
        }
    test_opened_destroy(&opened);
}

/* The arena of a training step of `model`. */
static void check_arena(bur_device *device, bur_context *context, const char *model, int64_t batch,
                        bool accumulates)
{
    const bur_target target = bur_device_target(device);
    const bur_graph_options options = {.batch = batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM),
                                       .accumulate = accumulates};
    test_zoo zoo;
    bur_plan *plan = NULL;
    test_zoo_open(&zoo, context, model, &options);
    assert_ok(bur_plan_create(&plan, zoo.graph, &target, NULL));
    const bur_plan_summary *s = bur_plan_get_summary(plan);
    size_t sum = 0;
    for (int c = 0; c < BUR_BYTE_CLASS_COUNT; c++)
        sum += s->bytes[c];
    assert_int_equal(sum, s->total_bytes);
    const bool in_chunks = target.info->max_alloc_bytes < s->lower_bound_bytes;
    const double most = in_chunks ? 1.03 : 1.001;
    if ((double)s->arena_bytes > most * (double)s->lower_bound_bytes)
        fail_msg("%s, batch %d on %s: %zu bytes, %zu would do", model, (int)batch,
                 target.info->name, s->arena_bytes, s->lower_bound_bytes);
    bur_plan_destroy(plan);
    test_zoo_close(&zoo);
}

static void test_run_memory__arenas_are_at_their_lower_bound(void **state)
{
    (void)state;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 0; d < opened.count; d++)
        for (int32_t m = 0; m < bur_zoo_count(); m++)
            for (int64_t batch = 1; batch <= 256; batch *= 4)
                for (int accumulates = 0; accumulates < 2; accumulates++)
                    check_arena(opened.devices[d], opened.context, bur_zoo_at(m)->name, batch,
                                accumulates);
    test_opened_destroy(&opened);
}

/* After the first step nothing is allocated. */
static void test_run_memory__a_thousand_steps_allocate_nothing(void **state)
{
    (void)state;
    static const struct {
        test_subject what;
        uint32_t steps;
    } cases[] = {{{"mlp", HALF}, 1000}, {{"cnn", HALF}, TEST_SANITIZED ? 50 : 1000}};
    bur_context *context = NULL;
    bur_device *device = NULL;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&device, context, "cpu"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_bound b;
        test_bind(&b, device, &cases[i].what, 4, 0);
        test_check_steady(&b, context, cases[i].what.model, cases[i].steps);
        test_unbind(&b);
    }
    bur_context_destroy(context);
}
