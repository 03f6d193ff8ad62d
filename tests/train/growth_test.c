/* S-110: memory_growth takes the device's memory as the first step comes to need it. */
#include "test.h"

#include "backends/backends.h"
#include "reference/reference.h"
#include "support/model.h"
#include "support/run.h"
#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 96, BATCH = 32, STEPS = 3, LENGTH = 8, MOST_PIECES = 64 };

/* What a device holds after each buffer that it made. */
static struct {
    bur_backend backend;
    const bur_backend *inner;
    bur_device *device;
    size_t bytes[MOST_PIECES];
    int count, given_back;
} curve;

static bur_status recorded_create(bur_buffer **out, bur_device_handle *device, size_t bytes)
{
    if (curve.device != NULL && curve.count < MOST_PIECES)
        curve.bytes[curve.count++] = bur_device_live_bytes(curve.device) + bytes;
    return curve.inner->buffer_create(out, device, bytes);
}

static void recorded_destroy(bur_buffer *buffer)
{
    curve.given_back++;
    curve.inner->buffer_destroy(buffer);
}

static bur_status enumerate_cpu(bur_context *context, bur_device_info *out, int32_t capacity,
                                int32_t *count, char *note)
{
    BUR_TRY(bur_backend_cpu()->enumerate(context, out, capacity, count, note));
    snprintf(out->name, sizeof out->name, "recorded:0");
    return BUR_OK;
}

/* A device whose buffers are recorded: the reference, whose memory the host does not map, or the
 * CPU. */
typedef struct scene {
    bur_context *context;
    bur_device *device;
    bur_recipe *recipe;
    bur_data data;
    int notes;
} scene;

/* length: of sequences, 0 for digits. */
static void scene_open(scene *s, bool reference, const char *data, int64_t length)
{
    *s = (scene){.context = NULL};
    curve.device = NULL;
    curve.inner = reference ? bur_test_reference_backend() : bur_backend_cpu();
    curve.backend = *curve.inner;
    curve.backend.buffer_create = recorded_create;
    curve.backend.buffer_destroy = recorded_destroy;
    if (!reference) {
        curve.backend.name = "recorded";
        curve.backend.enumerate = enumerate_cpu;
    }
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_context_add_backend(s->context, &curve.backend));
    assert_ok(bur_device_open(&s->device, s->context, reference ? "ref:0" : "recorded:0"));
    assert_ok(bur_data_open(&s->data, s->context, data,
                            &(bur_data_options){.count = COUNT, .length = length}));
}

static void scene_close(scene *s)
{
    bur_recipe_destroy(s->recipe);
    bur_data_close(&s->data);
    bur_context_destroy(s->context);
}

static bur_status hear(void *user, bur_event event, const void *data)
{
    scene *s = user;
    if (event == BUR_EVENT_NOTE)
        s->notes += strstr(data, "memory grew as it was needed") != NULL;
    return BUR_OK;
}

/* Trains a few steps; the state is yours to free. */
static float *train(scene *s, bool grows, bur_trainer **trainer, int64_t *count)
{
    const bur_fit_options options = {.batch = BATCH,
                                     .epochs = 1,
                                     .max_steps = STEPS,
                                     .accumulate = 1,
                                     .recompute = 1,
                                     .validation_split = 0.25,
                                     .memory_growth = grows,
                                     .callback = hear,
                                     .callback_user = s};
    s->notes = 0;
    curve.device = s->device;
    curve.count = curve.given_back = 0;
    assert_ok(bur_trainer_create(trainer, s->device, s->recipe, &s->data, &options));
    assert_ok(bur_trainer_fit(*trainer));
    assert_int_equal(s->notes, grows);
    return test_run_read_state(bur_trainer_session(*trainer), count);
}

/* The first piece below a quarter of the plan, nothing given back, never above the plan, and at
 * last most of it. */
static void check_curve(const bur_trainer *trainer, const char *model)
{
    const size_t planned = bur_trainer_plan(trainer)->device_bytes;
    print_message("%s: of %zu planned", model, planned);
    for (int i = 0; i < curve.count; i++)
        print_message(" %zu", curve.bytes[i]);
    print_message("\n");
    assert_in_range(curve.count, 4, MOST_PIECES - 1);
    assert_int_equal(curve.given_back, 0);
    assert_true(4 * curve.bytes[0] < planned);
    for (int i = 1; i < curve.count; i++)
        assert_true(curve.bytes[i] > curve.bytes[i - 1]);
    const size_t end = bur_device_live_bytes(curve.device);
    assert_int_equal(end, curve.bytes[curve.count - 1]);
    assert_true(end <= planned && 2 * end > planned);
    assert_int_equal(bur_device_peak_bytes(curve.device), end);
    /* The three times that the note tells of lie on the curve. */
    assert_true(curve.bytes[0] <= trainer->grown_bytes[0] &&
                trainer->grown_bytes[0] < trainer->grown_bytes[1] &&
                trainer->grown_bytes[1] <= end);
}

/* Grows along the curve, and to the bits of a run that took all before its first step. */
static void check_growth(scene *s, const char *model)
{
    int64_t count = 0, fixed_count = 0;
    bur_trainer *trainer = NULL;
    float *grown = train(s, true, &trainer, &count);
    check_curve(trainer, model);
    bur_trainer_destroy(trainer);
    assert_int_equal(bur_device_live_bytes(s->device), 0);
    float *fixed = train(s, false, &trainer, &fixed_count);
    assert_int_equal(curve.bytes[curve.count - 1], bur_trainer_plan(trainer)->device_bytes);
    assert_int_equal(count, fixed_count);
    assert_memory_equal(grown, fixed, (size_t)count * sizeof *grown);
    bur_trainer_destroy(trainer);
    free(grown);
    free(fixed);
}

static void test_train_growth__memory_the_host_does_not_map_rises_to_the_plan(void **state)
{
    (void)state;
    const bur_layer layers[] = {bur_conv2d(2, 3, BUR_SAME, BUR_TANH),
                                bur_conv2d(2, 3, BUR_SAME, BUR_TANH),
                                bur_max_pooling2d(4),
                                bur_flatten(),
                                bur_dense(32, BUR_TANH),
                                bur_dense(10, BUR_SOFTMAX)};
    const bur_shape image = {.rank = 3, .dim = {28, 28, 1}};
    scene s;
    bur_test_reference_reset();
    scene_open(&s, true, "digits", 0);
    s.recipe = test_sequential(s.context, &image, layers, sizeof layers / sizeof *layers);
    check_growth(&s, "a small network");
    scene_close(&s);
}

/* One of each family, smaller where that saves time. */
static void test_train_growth__every_family_rises_from_a_piece_to_the_same_bits(void **state)
{
    (void)state;
    static const bur_shape image = {.rank = 3, .dim = {28, 28, 1}},
                           tokens = {.rank = 1, .dim = {LENGTH}},
                           steps = {.rank = 2, .dim = {LENGTH, 2}};
    const struct {
        const char *model, *data;
        int64_t length;
        bur_zoo_options zoo;
    } families[] = {
        {"linear", "digits", 0, {.sample = image, .classes = 10}},
        {"mlp", "digits", 0, {.sample = image, .classes = 10}},
        {"cnn", "digits", 0, {.sample = image, .classes = 10, .width = 0.25F}},
        {"resnet18",
         "digits",
         0,
         {.sample = image, .classes = 10, .width = 0.25F, .small_stem = true}},
        {"mobilenet-v2", "digits", 0, {.sample = image, .classes = 10, .width = 0.5F}},
        {"efficientnet-b0", "digits", 0, {.sample = image, .classes = 10, .width = 0.5F}},
        {"vit-tiny", "digits", 0, {.sample = image, .classes = 10, .width = 0.25F, .depth = 2}},
        {"transformer-small", "tokens", LENGTH, {.sample = tokens, .classes = 2, .width = 0.25F}},
        {"rnn", "adding", LENGTH, {.sample = steps, .classes = 1, .values = true}},
        {"lstm", "adding", LENGTH, {.sample = steps, .classes = 1, .values = true}},
        {"gru", "adding", LENGTH, {.sample = steps, .classes = 1, .values = true}},
    };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        scene s;
        scene_open(&s, false, families[i].data, families[i].length);
        assert_ok(bur_zoo_create(&s.recipe, s.context, families[i].model, &families[i].zoo));
        check_growth(&s, families[i].model);
        scene_close(&s);
    }
}

/* Every built-in model at its full size: the first piece is one of the persistent region. */
static void test_train_growth__no_model_starts_with_a_quarter_of_its_plan(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    const bur_target target = bur_device_target(cpu);
    for (int32_t m = 0; m < bur_zoo_count(); m++) {
        const bur_zoo_info *model = bur_zoo_at(m);
        const bur_dataset_info data = {
            .name = "", .count = COUNT, .sample = model->sample, .classes = model->classes};
        const bur_fit_options options = {
            .batch = BATCH, .accumulate = 1, .recompute = 1, .memory_growth = true};
        bur_recipe *recipe = NULL;
        bur_run_plan plan;
        bur_run_sessions sessions;
        bur_fit_options set;
        assert_ok(bur__fit_options(&set, &options, &data));
        assert_ok(bur_zoo_create(&recipe, context, model->name, NULL));
        assert_ok(bur__run_sessions_plan(&sessions, recipe, &target, NULL, &data, NULL, &set));
        assert_ok(bur__run_plan_sum(&plan, &sessions, recipe, &target, &data, NULL, &set));
        print_message("%s: pieces of %zu and %zu, %zu planned\n", model->name,
                      sessions.persistent_chunk_bytes, sessions.arena_chunk_bytes,
                      plan.device_bytes);
        assert_true(4 * sessions.persistent_chunk_bytes < plan.device_bytes);
        bur__run_sessions_destroy(&sessions);
        bur_recipe_destroy(recipe);
    }
    bur_context_destroy(context);
}

/* A mostly persistent model: its weights and their optimizer's state come one after the other. */
static void test_train_growth__optimizer_state_is_taken_when_it_is_first_used(void **state)
{
    (void)state;
    scene s;
    int64_t count = 0;
    bur_trainer *trainer = NULL;
    scene_open(&s, false, "digits", 0);
    assert_ok(bur_zoo_create(&s.recipe, s.context, "mlp",
                             &(bur_zoo_options){.hidden = "512-512-512-512-512-512"}));
    free(train(&s, true, &trainer, &count));
    assert_true(2 * trainer->grown_bytes[0] < bur_trainer_plan(trainer)->device_bytes);
    check_curve(trainer, "a wide mlp");
    bur_trainer_destroy(trainer);
    scene_close(&s);
}
