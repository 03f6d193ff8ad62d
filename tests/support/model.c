#include "model.h"

#include "test.h"

bur_status test_put(bur_recipe *recipe, bur_layer layer, bur_ref *value)
{
    const bur_ref input = *value;
    return bur_layer_apply(recipe, &layer, &input, 1, value);
}

bur_recipe *test_sequential(bur_context *context, const bur_shape *sample, const bur_layer *layers,
                            size_t n_layers)
{
    bur_sequential *list = NULL;
    bur_recipe *recipe = NULL;
    assert_ok(bur_sequential_create(&list, context, "test"));
    for (size_t i = 0; i < n_layers; i++)
        assert_ok(bur_sequential_add(list, &layers[i]));
    assert_ok(bur_sequential_build(list, sample, &recipe));
    bur_sequential_destroy(list);
    return recipe;
}

void test_zoo_open(test_zoo *zoo, bur_context *context, const char *model,
                   const bur_graph_options *options)
{
    *zoo = (test_zoo){.recipe = NULL};
    assert_ok(bur_zoo_create(&zoo->recipe, context, model, NULL));
    assert_ok(bur_graph_create(&zoo->graph, zoo->recipe, options));
}

void test_zoo_close(test_zoo *zoo)
{
    bur_graph_destroy(zoo->graph);
    bur_recipe_destroy(zoo->recipe);
}

bur_recipe *test_linear(bur_context *context, int64_t features)
{
    const bur_zoo_options options = {
        .sample = {.rank = 1, .dim = {features}}, .classes = 1, .values = true};
    bur_recipe *recipe = NULL;
    assert_ok(bur_zoo_create(&recipe, context, "linear", &options));
    return recipe;
}

bur_dataset *test_rows(bur_context *context, int64_t count, int64_t features, const float *x,
                       const float *y)
{
    const bur_dataset_info info = {.name = "rows",
                                   .count = count,
                                   .sample = {.rank = 1, .dim = {features}},
                                   .target = {.rank = 1, .dim = {1}}};
    bur_dataset *data = NULL;
    assert_ok(bur_dataset_from_arrays(&data, context, &info, BUR_F32, x, y));
    return data;
}

bur_trainer *test_fit(bur_device *device, const bur_recipe *recipe, const bur_data *data,
                      const bur_fit_options *options)
{
    bur_trainer *trainer = NULL;
    assert_ok(bur_trainer_create(&trainer, device, recipe, data, options));
    assert_ok(bur_trainer_fit(trainer));
    return trainer;
}

double test_metric(bur_trainer *trainer, const bur_dataset *set)
{
    double loss = 0, metric = 0;
    assert_ok(bur_trainer_evaluate(trainer, set, &loss, &metric));
    return metric;
}

void test_digits_open(test_digits *digits)
{
    *digits = (test_digits){.context = NULL};
    assert_ok(bur_context_create(&digits->context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_device_open(&digits->cpu, digits->context, "cpu"));
    assert_ok(bur_data_open(&digits->data, digits->context, "digits", NULL));
}

void test_digits_close(test_digits *digits)
{
    bur_data_close(&digits->data);
    bur_context_destroy(digits->context);
}
