#define _GNU_SOURCE /* mallinfo2 */
#include "test.h"

#include "run/session.h"
#include "support/opened.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_BYTES = 256, GUARD = 0x5A, STEPS = 3 };

/* A model bound on a device, with random data in its batch. */
typedef struct bound {
    bur_recipe *recipe;
    bur_graph *graph;
    bur_plan *plan;
    bur_memory *memory;
    bur_session *session;
} bound;

static void write_batch(const bound *b, int64_t batch)
{
    const int64_t n = bur_desc_count(bur_recipe_input_desc(b->recipe)) * batch;
    float *x = malloc((size_t)n * sizeof *x);
    int32_t *labels = malloc((size_t)batch * sizeof *labels);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i * 37 % 101) / 101;
    for (int64_t i = 0; i < batch; i++)
        labels[i] = (int32_t)(i % 10);
    assert_ok(bur_session_write_batch(b->session, x, labels));
    free(x);
    free(labels);
}

typedef struct subject {
    const char *model;
    bur_zoo_options options;
} subject;

static void bind(bound *b, bur_device *device, const subject *what, int64_t batch,
                 size_t guard_bytes)
{
    const bur_target target = bur_device_target(device);
    const bur_graph_options options = {.batch = batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM)};
    assert_ok(bur_zoo_create(&b->recipe, bur_device_context(device), what->model, &what->options));
    assert_ok(bur_graph_create(&b->graph, b->recipe, &options));
    assert_ok(bur__plan_create(&b->plan, b->graph, &target, NULL, guard_bytes));
    assert_ok(bur_memory_create(&b->memory, device, (const bur_plan *const *)&b->plan, 1));
    assert_ok(bur_session_create(&b->session, b->memory, b->plan));
    assert_ok(bur_session_initialize(b->session, b->recipe, 1));
}

static void unbind(bound *b)
{
    bur_session_destroy(b->session);
    bur_memory_destroy(b->memory);
    bur_plan_destroy(b->plan);
    bur_graph_destroy(b->graph);
    bur_recipe_destroy(b->recipe);
}

static bur_scalars scalars_of(int64_t batch, uint32_t step)
{
    return (bur_scalars){.learning_rate = 0.001F,
                         .inverse_weight_sum = 1.0F / (float)batch,
                         .correction1 = 10,
                         .correction2 = 1000,
                         .seed = {1, 0},
                         .step = {step, 0}};
}

static void step_once(const bound *b, int64_t batch, uint32_t step)
{
    const bur_scalars scalars = scalars_of(batch, step);
    assert_ok(bur_session_step(b->session, &scalars));
}

/* Writes the guards of buffer i, before and behind it. */
static void set_guards(const bound *b, int32_t i)
{
    char guard[GUARD_BYTES];
    memset(guard, GUARD, sizeof guard);
    const bur_backend *backend = b->memory->device->backend;
    const bur_place place = bur__session_place(b->session, i);
    assert_ok(backend->write(place.buffer, place.offset_bytes - GUARD_BYTES, guard, GUARD_BYTES));
    assert_ok(backend->write(place.buffer, place.offset_bytes + b->plan->buffers[i].bytes, guard,
                             GUARD_BYTES));
}

static void check_guards(const bound *b, int32_t i, const char *after)
{
    char found[2 * GUARD_BYTES];
    const bur_backend *backend = b->memory->device->backend;
    const bur_plan_buffer *buffer = &b->plan->buffers[i];
    const bur_place place = bur__session_place(b->session, i);
    assert_ok(backend->read(place.buffer, place.offset_bytes - GUARD_BYTES, found, GUARD_BYTES));
    assert_ok(backend->read(place.buffer, place.offset_bytes + buffer->bytes, found + GUARD_BYTES,
                            GUARD_BYTES));
    for (int k = 0; k < 2 * GUARD_BYTES; k++)
        if (found[k] != GUARD)
            fail_msg("%s wrote %s a buffer of %zu bytes (region %d, live %d to %d), byte %d of the "
                     "guard",
                     after, k < GUARD_BYTES ? "before" : "behind", buffer->bytes,
                     (int)buffer->region, buffer->first, buffer->last, k % GUARD_BYTES);
}

/* Runs a step command by command; the guards of whatever is live are intact after each. */
static void run_guarded(const bound *b)
{
    const bur_plan *plan = b->plan;
    bur_device *device = b->memory->device;
    for (int32_t i = 0; i < plan->n_buffers; i++)
        if (plan->buffers[i].region == BUR_REGION_PERSISTENT || plan->buffers[i].first == 0)
            set_guards(b, i);
    for (int32_t c = 0; c < b->session->n_commands; c++) {
        const int32_t node = b->session->command_nodes[c];
        for (int32_t i = 0; i < plan->n_buffers; i++)
            if (plan->buffers[i].region == BUR_REGION_ARENA && plan->buffers[i].first == node &&
                node > 0)
                set_guards(b, i);
        assert_ok(device->backend->run(device->handle, &b->session->commands[c], 1));
        assert_ok(device->backend->sync(device->handle));
        for (int32_t i = 0; i < plan->n_buffers; i++) {
            const bur_plan_buffer *buffer = &plan->buffers[i];
            if (buffer->region == BUR_REGION_PERSISTENT ||
                (buffer->first <= node && node <= buffer->last))
                check_guards(b, i, bur_op_get(plan->graph->nodes[node].op)->name);
        }
    }
}

#define HALF                                                                                       \
    {                                                                                              \
        .width = 0.5F, .dropout = 0.3F                                                             \
    }
#define SMALL_IMAGE                                                                                \
    {                                                                                              \
        .sample = {.rank = 3, .dim = {32, 32, 3}}, .classes = 10, .width = 0.125F,                 \
        .small_stem = true                                                                         \
    }
static const subject models[] = {
    {"linear", HALF}, {"mlp", HALF}, {"cnn", HALF}, {"cnn-light", HALF}, {"cnn-mid", HALF}};
static const subject image_models[] = {
    {"resnet18", SMALL_IMAGE}, {"mobilenet-v2", SMALL_IMAGE}, {"efficientnet-b0", SMALL_IMAGE}};
static const subject sequence_models[] = {
    {"rnn", {.sample = {.rank = 2, .dim = {7, 5}}, .width = 0.125F}},
    {"lstm", {.sample = {.rank = 2, .dim = {7, 5}}, .width = 0.125F}},
    {"gru", {.sample = {.rank = 2, .dim = {7, 5}}, .width = 0.125F}},
    {"transformer-small", {.sample = {.rank = 1, .dim = {13}}, .width = 0.25F, .depth = 1}},
    {"vit-tiny",
     {.sample = {.rank = 3, .dim = {28, 28, 1}}, .classes = 10, .width = 0.34F, .depth = 2}},
};
static const int64_t batches[] = {1, 3, 8};

enum { N_MODELS = sizeof models / sizeof *models, N_BATCHES = sizeof batches / sizeof *batches };

/* Hundreds of buffers are looked at after each of hundreds of commands: large models go one step of
 * one batch size, on the CPU: drivers would compile for minutes, and op.row watches each of their
 * kernels. */
static void check_buffers(const subject *subjects, size_t count, bool large)
{
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 0; d < opened.count; d++)
        for (size_t m = 0; m < count; m++)
            for (int k = 0; k < N_BATCHES; k++) {
                bound b;
                if (large && (d > 0 || k != 1))
                    continue;
                bind(&b, opened.devices[d], &subjects[m], batches[k], GUARD_BYTES);
                for (uint32_t step = 0; step < (large ? 1 : STEPS); step++) {
                    const bur_scalars scalars = scalars_of(batches[k], step);
                    write_batch(&b, batches[k]);
                    assert_ok(bur_session_accumulate(b.session, &scalars)); /* writes the scalars */
                    write_batch(&b, batches[k]);
                    run_guarded(&b);
                }
                unbind(&b);
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

/* The end of the highest byte of the arena that differs from what it was filled with. */
static size_t touched_end(const bound *b, int value)
{
    const bur_region_memory *arena = &b->memory->regions[BUR_REGION_ARENA];
    assert_int_equal(arena->n_chunks, 1);
    unsigned char *bytes = malloc(arena->total_bytes);
    assert_ok(arena->device->backend->fill(arena->chunks[0], 0, value, arena->total_bytes));
    for (uint32_t step = 0; step < STEPS; step++) {
        write_batch(b, 8);
        step_once(b, 8, step);
    }
    assert_ok(arena->device->backend->read(arena->chunks[0], 0, bytes, arena->total_bytes));
    size_t end = arena->total_bytes;
    while (end > 0 && bytes[end - 1] == value)
        end--;
    free(bytes);
    return end;
}

/* The arena is used to its end: the highest byte touched is within the padding of the last buffer.
 */
static void test_run_memory__the_highest_byte_touched_is_the_end_of_the_plan(void **state)
{
    (void)state;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 0; d < opened.count; d++)
        for (int m = 0; m < N_MODELS; m++) {
            bound b;
            bind(&b, opened.devices[d], &models[m], 8, 0);
            const size_t first = touched_end(&b, 0xA5), second = touched_end(&b, 0x3C);
            const size_t end = first > second ? first : second;
            const size_t arena = bur_plan_get_summary(b.plan)->arena_bytes;
            const size_t padding = bur_device_describe(opened.devices[d])->align_bytes;
            if (end > arena || end + padding <= arena)
                fail_msg("%s on %s touches %zu of %zu bytes", models[m].model,
                         bur_device_describe(opened.devices[d])->name, end, arena);
            unbind(&b);
        }
    test_opened_destroy(&opened);
}

/* The arena of a training step of `model`; hundreds of buffers are placed by rule, not by search.
 */
static void check_arena(bur_device *device, bur_context *context, const char *model, int64_t batch,
                        bool accumulates)
{
    const bur_target target = bur_device_target(device);
    const bur_graph_options options = {.batch = batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM),
                                       .accumulate = accumulates};
    bur_recipe *recipe = NULL;
    bur_graph *graph = NULL;
    bur_plan *plan = NULL;
    assert_ok(bur_zoo_create(&recipe, context, model, NULL));
    assert_ok(bur_graph_create(&graph, recipe, &options));
    assert_ok(bur_plan_create(&plan, graph, &target, NULL));
    const bur_plan_summary *s = bur_plan_get_summary(plan);
    size_t sum = 0;
    for (int c = 0; c < BUR_BYTE_CLASS_COUNT; c++)
        sum += s->bytes[c];
    assert_int_equal(sum, s->total_bytes);
    const double most = bur_graph_node_count(graph) > 100 ? 1.01 : 1.001;
    if ((double)s->arena_bytes > most * (double)s->lower_bound_bytes)
        fail_msg("%s, batch %d on %s: %zu bytes, %zu would do", model, (int)batch,
                 target.info->name, s->arena_bytes, s->lower_bound_bytes);
    bur_plan_destroy(plan);
    bur_graph_destroy(graph);
    bur_recipe_destroy(recipe);
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

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

typedef struct usage {
    uint64_t calls;
    size_t heap_bytes, mapped_bytes;
    long size_pages, anonymous_kib;
} usage;

static usage read_usage(const bur_context *context)
{
    const struct mallinfo2 heap = mallinfo2();
    usage u = {.calls = bur_context_memory(context).calls,
               .heap_bytes = heap.uordblks,
               .mapped_bytes = heap.hblkhd};
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &u.size_pages), 1);
    fclose(file);
    char line[256];
    file = fopen("/proc/self/smaps_rollup", "r"); /* exact, unlike the counters of statm */
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Anonymous: %ld", &u.anonymous_kib);
    if (file != NULL)
        fclose(file);
    return u;
}

/* After the first step nothing is allocated: not by the library's allocator, not by malloc, not by
 * mmap or brk, and no further page of anonymous memory is touched (pages of code may be, when a
 * busy machine makes a thread wait as it never did before). Sanitizers keep books of their own:
 * there the library's count alone is telling. */
static void test_run_memory__a_thousand_steps_allocate_nothing(void **state)
{
    (void)state;
    static const struct {
        subject what;
        uint32_t steps;
    } cases[] = {{{"mlp", HALF}, 1000}, {{"cnn", HALF}, SANITIZED ? 50 : 1000}};
    bur_context *context = NULL;
    bur_device *device = NULL;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&device, context, "cpu"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bound b;
        float totals[BUR_RESULT_WORDS];
        bind(&b, device, &cases[i].what, 4, 0);
        write_batch(&b, 4);
        for (uint32_t step = 0; step < 2; step++)
            step_once(&b, 4, step);
        (void)read_usage(context); /* the files' own buffers */
        const usage before = read_usage(context);
        for (uint32_t step = 0; step < cases[i].steps; step++)
            step_once(&b, 4, step);
        const usage after = read_usage(context);
        assert_ok(bur_session_read_totals(b.session, totals));
        assert_true(totals[BUR_RESULT_COUNT] == (float)(4 * (cases[i].steps + 2)));
        assert_int_equal(after.calls, before.calls);
        if (!SANITIZED) {
            assert_int_equal(after.heap_bytes, before.heap_bytes);
            assert_int_equal(after.mapped_bytes, before.mapped_bytes);
            assert_int_equal(after.size_pages, before.size_pages);
            if (after.anonymous_kib != before.anonymous_kib)
                fail_msg("%s: %ld KiB of anonymous memory, then %ld", cases[i].what.model,
                         before.anonymous_kib, after.anonymous_kib);
        }
        unbind(&b);
    }
    bur_context_destroy(context);
}
