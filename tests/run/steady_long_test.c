/* Every model of the zoo holds to its plan on the CPU: at full size its steps use the arena to the
 * end and no further; made narrow, so that a thousand steps are soon done, it allocates nothing
 * after the first.
 *
 * BURTHEN_LONG_FRACTION=N takes every Nth case, with an Nth of the steps. */
#include "test.h"

#include "support/bound.h"
#include "support/run.h"

#include <stdio.h>

enum { STEPS = 1000, N_BATCHES = 3 };
static const int64_t batches[N_BATCHES] = {1, 3, 8};

static void test_run_steady_long__every_full_model_uses_its_arena_to_the_end(void **state)
{
    (void)state;
    const int32_t every = test_long_fraction(), n = bur_zoo_count() * N_BATCHES;
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    for (int32_t i = 0; i < n; i += every) {
        const test_subject what = {.model = bur_zoo_at(i / N_BATCHES)->name};
        test_bound b;
        test_bind(&b, cpu, &what, batches[i % N_BATCHES], 0);
        test_check_end(&b, what.model);
        test_unbind(&b);
    }
    bur_context_destroy(context);
}

#define IMAGE                                                                                      \
    {                                                                                              \
        .sample = {.rank = 3, .dim = {32, 32, 3}}, .classes = 10, .width = 0.125F,                 \
        .small_stem = true                                                                         \
    }
#define PATCHES                                                                                    \
    {                                                                                              \
        .sample = {.rank = 3, .dim = {32, 32, 3}}, .classes = 10, .width = 0.34F, .depth = 2       \
    }
#define SEQUENCE                                                                                   \
    {                                                                                              \
        .sample = {.rank = 2, .dim = {7, 5}}, .width = 0.125F                                      \
    }
static const test_subject narrow[] = {
    {"linear", {.width = 1}},
    {"mlp", {.width = 1, .dropout = 0.3F}},
    {"cnn", {.width = 0.25F, .dropout = 0.3F}},
    {"cnn-light", {.width = 0.5F}},
    {"cnn-mid", {.width = 0.125F}},
    {"resnet18", IMAGE},
    {"resnet50", IMAGE},
    {"resnet101", IMAGE},
    {"mobilenet-v2", IMAGE},
    {"efficientnet-b0", IMAGE},
    {"vit-tiny", PATCHES},
    {"vit-small", PATCHES},
    {"vit-b16", PATCHES},
    {"transformer-small", {.sample = {.rank = 1, .dim = {13}}, .width = 0.25F, .depth = 2}},
    {"rnn", SEQUENCE},
    {"lstm", SEQUENCE},
    {"gru", SEQUENCE},
};
enum { N_NARROW = sizeof narrow / sizeof *narrow };

static void test_run_steady_long__no_model_allocates_after_its_first_step(void **state)
{
    (void)state;
    const int32_t every = test_long_fraction(), n = N_NARROW * N_BATCHES;
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    assert_int_equal(N_NARROW, bur_zoo_count());
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    for (int32_t i = 0; i < n; i += every) {
        const test_subject *what = &narrow[i / N_BATCHES];
        test_bound b;
        test_bind(&b, cpu, what, batches[i % N_BATCHES], 0);
        test_check_steady(&b, context, what->model, STEPS / (uint32_t)every);
        test_unbind(&b);
    }
    bur_context_destroy(context);
}
