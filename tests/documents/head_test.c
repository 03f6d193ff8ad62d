/* Heads that the documents name. */
#include "test.h"

#include "support/model.h"

/* S-028: Dense(1, activation='sigmoid') with binary cross-entropy, on a question that no line
 * answers: whether two coordinates have the same sign. */
static void test_documents_head__a_sigmoid_head_trains_with_binary_cross_entropy(void **state)
{
    enum { SIDE = 24, COUNT = SIDE * SIDE };
    (void)state;
    float x[2 * COUNT], target[COUNT];
    for (int i = 0; i < COUNT; i++) {
        x[2 * i] = (float)(i % SIDE) / (SIDE / 2) - 0.96F;
        x[2 * i + 1] = (float)(i / SIDE) / (SIDE / 2) - 0.96F;
        target[i] = x[2 * i] * x[2 * i + 1] > 0 ? 1 : 0;
    }
    const bur_dataset_info info = {.name = "signs",
                                   .count = COUNT,
                                   .sample = {.rank = 1, .dim = {2}},
                                   .target = {.rank = 1, .dim = {1}}};
    const bur_layer layers[] = {bur_dense(16, BUR_RELU), bur_dense(1, BUR_SIGMOID)};
    const bur_fit_options options = {.batch = 32,
                                     .epochs = 60,
                                     .optimizer = {BUR_ADAM, 0.02F, {0}},
                                     .loss = BUR_LOSS_BINARY_CROSS_ENTROPY};
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    bur_data data = {0};
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    assert_ok(bur_dataset_from_arrays(&data.train, context, &info, BUR_F32, x, target));
    bur_recipe *recipe = test_sequential(context, &info.sample, layers, 2);
    bur_trainer *trainer = test_fit(cpu, recipe, &data, &options);
    int64_t epochs = 0;
    const bur_epoch *history = bur_trainer_history(trainer, &epochs);
    assert_true(history[epochs - 1].loss < 0.5 * history[0].loss);
    assert_true(test_metric(trainer, data.train) > 0.95);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    bur_data_close(&data);
    bur_context_destroy(context);
}
