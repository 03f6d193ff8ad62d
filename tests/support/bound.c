#include "bound.h"

#include "core/run/session.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { GUARD = 0x5A };

void test_write_batch(const test_bound *bound)
{
    const int64_t n = bur_desc_count(bur_recipe_input_desc(bound->recipe)) * bound->batch;
    float *x = malloc((size_t)n * sizeof *x);
    int32_t *labels = malloc((size_t)bound->batch * sizeof *labels);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(i * 37 % 101) / 101;
    for (int64_t i = 0; i < bound->batch; i++)
        labels[i] = (int32_t)(i % 10);
    assert_ok(bur_session_write_batch(bound->session, x, labels));
    free(x);
    free(labels);
}

void test_bind(test_bound *out, bur_device *device, const test_subject *what, int64_t batch,
               size_t guard_bytes)
{
    const bur_target target = bur_device_target(device);
    const bur_graph_options options = {.batch = batch,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM)};
    *out = (test_bound){.batch = batch};
    assert_ok(
        bur_zoo_create(&out->recipe, bur_device_context(device), what->model, &what->options));
    assert_ok(bur_graph_create(&out->graph, out->recipe, &options));
    assert_ok(bur__plan_create(&out->plan, out->graph, &target, NULL, guard_bytes));
    assert_ok(bur_memory_create(&out->memory, device, (const bur_plan *const *)&out->plan, 1));
    assert_ok(bur_session_create(&out->session, out->memory, out->plan));
    assert_ok(bur_session_initialize(out->session, out->recipe, 1));
}

void test_unbind(test_bound *bound)
{
    bur_session_destroy(bound->session);
    bur_memory_destroy(bound->memory);
    bur_plan_destroy(bound->plan);
    bur_graph_destroy(bound->graph);
    bur_recipe_destroy(bound->recipe);
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

void test_step(const test_bound *bound, uint32_t step)
{
    const bur_scalars scalars = scalars_of(bound->batch, step);
    assert_ok(bur_session_step(bound->session, &scalars));
}

/* Writes the guards of buffer i, before and behind it. */
static void set_guards(const test_bound *b, int32_t i)
{
    char guard[TEST_GUARD_BYTES];
    memset(guard, GUARD, sizeof guard);
    const bur_backend *backend = b->memory->device->backend;
    const bur_place place = bur__session_place(b->session, i);
    assert_ok(backend->write(place.buffer, place.offset_bytes - sizeof guard, guard, sizeof guard));
    assert_ok(backend->write(place.buffer, place.offset_bytes + b->plan->buffers[i].bytes, guard,
                             sizeof guard));
}

static void check_guard(const test_bound *b, int32_t i, bool behind, const char *after)
{
    char found[TEST_GUARD_BYTES], expected[TEST_GUARD_BYTES];
    const bur_plan_buffer *buffer = &b->plan->buffers[i];
    const bur_place place = bur__session_place(b->session, i);
    const size_t at =
        behind ? place.offset_bytes + buffer->bytes : place.offset_bytes - sizeof found;
    memset(expected, GUARD, sizeof expected);
    assert_ok(b->memory->device->backend->read(place.buffer, at, found, sizeof found));
    if (memcmp(found, expected, sizeof found) == 0)
        return;
    size_t first = 0;
    while (found[first] == GUARD)
        first++;
    fail_msg("%s wrote %s a buffer of %zu bytes (region %d, live %d to %d), byte %zu of the guard",
             after, behind ? "behind" : "before", buffer->bytes, (int)buffer->region, buffer->first,
             buffer->last, first);
}

static bool is_live(const bur_plan_buffer *buffer, int32_t node)
{
    return buffer->region == BUR_REGION_PERSISTENT ||
           (buffer->first <= node && node <= buffer->last);
}

void test_step_guarded(const test_bound *b, uint32_t step)
{
    const bur_plan *plan = b->plan;
    bur_device *device = b->memory->device;
    const bur_scalars scalars = scalars_of(b->batch, step);
    test_write_batch(b);
    assert_ok(bur_session_accumulate(b->session, &scalars)); /* writes the scalars */
    test_write_batch(b);
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
        for (int32_t i = 0; i < plan->n_buffers; i++)
            if (is_live(&plan->buffers[i], node))
                for (int behind = 0; behind < 2; behind++)
                    check_guard(b, i, behind, bur_op_get(plan->graph->nodes[node].op)->name);
    }
}
