/* Every model of the zoo at its full size, three training steps at batch 1, 3 and 8 on the CPU, and
 * at a small size on every OpenCL device: no kernel writes outside its buffers.
 *
 * BURTHEN_LONG_FRACTION=N takes every Nth of these cases. */
#include "test.h"

#include "run/session.h"
#include "support/bound.h"
#include "support/opened.h"
#include "support/run.h"

#include <stdio.h>

enum { STEPS = 3, N_BATCHES = 3 };
static const int64_t batches[N_BATCHES] = {1, 3, 8};

static void check(bur_device *device, const test_subject *what, int64_t batch)
{
    test_bound b;
    test_bind(&b, device, what, batch, TEST_GUARD_BYTES);
    for (uint32_t step = 0; step < STEPS; step++)
        test_step_guarded(&b, step);
    printf("%s batch %d on %s: %d commands, %d buffers\n", what->model, (int)batch,
           bur_device_describe(device)->name, (int)b.session->n_commands, (int)b.plan->n_buffers);
    test_unbind(&b);
}

static void test_run_guards_long__no_kernel_of_a_full_model_writes_outside_its_buffers(void **state)
{
    (void)state;
    const int32_t every = test_long_fraction(), n = bur_zoo_count() * N_BATCHES;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t i = 0; i < n; i += every) {
        const test_subject what = {.model = bur_zoo_at(i / N_BATCHES)->name};
        check(opened.devices[0], &what, batches[i % N_BATCHES]);
    }
    test_opened_destroy(&opened);
}

static void test_run_guards_long__no_kernel_of_a_device_writes_outside_its_buffers(void **state)
{
#define IMAGE .sample = {.rank = 3, .dim = {32, 32, 3}}, .classes = 10, .small_stem = true
    static const test_subject models[] = {
        {"resnet18", {IMAGE, .width = 0.125F}},        {"resnet50", {IMAGE, .width = 0.125F}},
        {"resnet101", {IMAGE, .width = 0.125F}},       {"mobilenet-v2", {IMAGE, .width = 0.125F}},
        {"efficientnet-b0", {IMAGE, .width = 0.125F}}, {"vit-small", {IMAGE, .width = 0.34F}},
        {"vit-b16", {IMAGE, .width = 0.25F}},
    };
#undef IMAGE
    (void)state;
    const int32_t every = test_long_fraction(),
                  n = (int32_t)(sizeof models / sizeof *models) * N_BATCHES;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t d = 1; d < opened.count; d++)
        for (int32_t i = 0; i < n; i += every)
            check(opened.devices[d], &models[i / N_BATCHES], batches[i % N_BATCHES]);
    test_opened_destroy(&opened);
}
