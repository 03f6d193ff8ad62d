/* Transformers of the zoo at small width: what they compute, and that they learn. */
#include "test.h"

#include "support/model.h"
#include "support/run.h"

#include <burthen/burthen.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bur_recipe *make(bur_context *context, const char *model, const bur_data *data, float width,
                        int32_t depth)
{
    bur_recipe *recipe = NULL;
    const bur_dataset_info *info = bur_dataset_describe(data->train);
    const bur_zoo_options options = {
        .sample = info->sample, .classes = info->classes, .width = width, .depth = depth};
    assert_ok(bur_zoo_create(&recipe, context, model, &options));
    return recipe;
}

/* The loss of a first batch and all gradients, one behind the other; free() them. */
static float *gradients(bur_device *device, const bur_recipe *recipe, const bur_dataset *data,
                        double *loss, int64_t *count)
{
    enum { BATCH = 5 };
    const bur_optimizer sgd = bur_optimizer_default(BUR_SGD);
    float *all = NULL;
    test_run run;
    test_run_create(&run, device, NULL, recipe, data, BATCH, &sgd, 3);
    *loss = test_run_accumulate(&run, data, 0);
    *count = 0;
    for (int32_t i = 0; i < bur_recipe_parameter_count(recipe); i++) {
        int64_t n = 0;
        float *one = test_run_read_gradient(&run, i, &n);
        all = realloc(all, (size_t)(*count + n) * sizeof *all);
        assert_non_null(all);
        memcpy(all + *count, one, (size_t)n * sizeof *all);
        *count += n;
        free(one);
    }
    test_run_destroy(&run);
    return all;
}

static void check_step(const char *model, const char *data_name, int64_t length, float width)
{
    bur_context *context = NULL;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    bur_data data = {0};
    const bur_data_options options = {.count = 20, .length = length};
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_data_open(&data, context, data_name, &options));
    bur_recipe *recipe = make(context, model, &data, width, 2);
    double wanted_loss = 0, loss = 0;
    int64_t n = 0, count = 0;
    float *wanted = gradients(test_run_reference(context), recipe, data.train, &wanted_loss, &n);
    const int32_t n_devices = test_run_devices(devices, context);
    for (int32_t d = 0; d < n_devices; d++) {
        float *found = gradients(devices[d], recipe, data.train, &loss, &count);
        assert_int_equal(count, n);
        const double difference = test_run_difference(found, wanted, n);
        if (!(fabs(loss - wanted_loss) <= 1e-5 * wanted_loss) || !(difference <= 1e-5))
            fail_msg("%s: %s: loss %.9g, not %.9g, or its gradient, off by %.3g", model,
                     test_run_label(devices[d]), loss, wanted_loss, difference);
        free(found);
    }
    free(wanted);
    bur_recipe_destroy(recipe);
    bur_data_close(&data);
    bur_context_destroy(context);
}

static void test_nn_transformer__a_step_has_the_reference_s_loss_and_gradients(void **state)
{
    (void)state;
    check_step("vit-tiny", "digits", 0, 0.125F);
    check_step("transformer-small", "tokens", 13, 0.0625F);
}

static void test_nn_transformer__a_small_vision_transformer_learns_digits(void **state)
{
    (void)state;
    test_digits digits;
    test_digits_open(&digits);
    bur_recipe *recipe = make(digits.context, "vit-tiny", &digits.data, 0.1875F, 1);
    bur_fit_options options = {.epochs = 1, .optimizer = bur_optimizer_default(BUR_ADAM)};
    options.optimizer.learning_rate = 0.003F;
    bur_trainer *trainer = test_fit(digits.cpu, recipe, &digits.data, &options);
    assert_true(test_metric(trainer, digits.data.test) > 0.7);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    test_digits_close(&digits);
}
