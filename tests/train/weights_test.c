/* Weights as PyTorch saves them are turned into our layouts; what does not fit is refused by name
 * before anything changes. tests/golden/make.py makes the file. */
#include "test.h"

#include "support/model.h"
#include "support/pytorch.h"
#include "support/run.h"

#include <stdlib.h>
#include <string.h>

#define PYTORCH_FILE BURTHEN_SOURCE_DIR "/tests/golden/pytorch.safetensors"

enum { UNITS = 5 };

typedef struct scene {
    bur_context *context;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    int32_t n_devices;
} scene;

static void scene_open(scene *s)
{
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    s->n_devices = test_run_devices(s->devices, s->context);
}

/* A filter of 3 by 2 for 4 channels, normalisation, a filter for each channel, a dense layer. */
static bur_recipe *small_net(bur_context *context, int32_t filters, int32_t units)
{
    const bur_shape sample = {.rank = 3, .dim = {7, 6, 3}};
    bur_layer conv = bur_conv2d(filters, 3, BUR_VALID, BUR_LINEAR);
    conv.kernel[1] = 2;
    const bur_layer layers[] = {
        conv,
        {.kind = BUR_LAYER_BATCH_NORMALIZATION, .name = "bn1", .epsilon = 1e-5F},
        bur_activate(BUR_RELU),
        bur_depthwise_conv2d(3, BUR_SAME, BUR_LINEAR),
        bur_global_average_pooling2d(),
        bur_dense(units, BUR_LINEAR)};
    return test_sequential(context, &sample, layers, sizeof layers / sizeof *layers);
}

static void test_train_weights__pytorchs_give_pytorchs_logits(void **state)
{
    (void)state;
    scene s;
    scene_open(&s);
    bur_recipe *recipe = small_net(s.context, 4, UNITS);
    for (int32_t d = 0; d < s.n_devices; d++) {
        test_pytorch p;
        test_pytorch_open(&p, s.devices[d], recipe, PYTORCH_FILE);
        assert_true(test_pytorch_difference(&p) > 0.1); /* start values */
        assert_ok(bur_trainer_load(p.trainer, PYTORCH_FILE, false));
        const double difference = test_pytorch_difference(&p);
        if (!(difference <= 1e-6))
            fail_msg("%s: logits are off by %.3g of the largest", test_run_label(s.devices[d]),
                     difference);
        test_pytorch_close(&p);
    }
    bur_recipe_destroy(recipe);
    bur_context_destroy(s.context);
}

/* Loads the file into a net of other sizes. */
static void check_refused(int32_t filters, int32_t units, const char *says)
{
    scene s;
    scene_open(&s);
    bur_recipe *recipe = small_net(s.context, filters, units);
    const bur_dataset_info info = {.name = "zeros",
                                   .count = 1,
                                   .sample = {.rank = 3, .dim = {7, 6, 3}},
                                   .target = {.rank = 1, .dim = {units}}};
    const float x[7 * 6 * 3] = {0}, target[2 * UNITS] = {0};
    bur_data data = {NULL, NULL};
    bur_trainer *trainer = NULL;
    int64_t count = 0;
    assert_ok(bur_dataset_from_arrays(&data.train, s.context, &info, BUR_F32, x, target));
    assert_ok(bur_trainer_create(&trainer, s.devices[0], recipe, &data, NULL));
    float *before = test_run_read_state(bur_trainer_session(trainer), &count);
    assert_status(BUR_E_FORMAT, bur_trainer_load(trainer, PYTORCH_FILE, false));
    if (strstr(bur_last_error(), says) == NULL)
        fail_msg("'%s' does not say '%s'", bur_last_error(), says);
    float *after = test_run_read_state(bur_trainer_session(trainer), &count);
    assert_memory_equal(before, after, (size_t)count * sizeof *before);
    free(before);
    free(after);
    bur_trainer_destroy(trainer);
    bur_data_close(&data);
    bur_recipe_destroy(recipe);
    bur_context_destroy(s.context);
}

static void test_train_weights__another_number_of_filters_is_refused_by_name(void **state)
{
    (void)state;
    check_refused(6, UNITS,
                  "'conv1.weight' is f32 4x3x3x2 in the file, f32 6x3x3x2 in the model, as PyTorch "
                  "lays it out");
}

static void test_train_weights__another_number_of_classes_is_refused_by_name(void **state)
{
    (void)state;
    check_refused(4, 2 * UNITS,
                  "'dense1.weight' is f32 5x4 in the file, f32 10x4 in the model, as PyTorch lays "
                  "it out; it makes the model's classes");
}
