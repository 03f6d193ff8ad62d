/* Units that a large step has sent below zero for every sample: a ReLU gives them no gradient, and
 * they stay so. Trains a network with ReLU at a small and a large rate, and one with leaky ReLU at
 * the large one, and prints the share of dead hidden units: S-133. */
#include <burthen/burthen.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIXELS = 28 * 28, UNITS = 64, ROWS = 1000 };

static bur_status build(bur_recipe **out, bur_context *context, bur_activation activation)
{
    const bur_shape sample = {.rank = 3, .dim = {28, 28, 1}};
    const bur_layer layers[] = {bur_flatten(), bur_dense(UNITS, activation),
                                bur_dense(10, BUR_SOFTMAX)};
    bur_sequential *list = NULL;
    BUR_TRY(bur_sequential_create(&list, context, bur_activation_name(activation)));
    bur_status status = BUR_OK;
    for (int32_t i = 0; status == BUR_OK && i < 3; i++)
        status = bur_sequential_add(list, &layers[i]);
    if (status == BUR_OK)
        status = bur_sequential_build(list, &sample, out);
    bur_sequential_destroy(list);
    return status;
}

/* An array of the hidden layer's weights or biases: the first two tensors of the model. */
static bur_status parameter(bur_array **out, bur_device *device, bur_session *session,
                            int32_t index)
{
    static float values[PIXELS * UNITS];
    const bur_state_tensor *tensor = bur_session_state_at(session, index);
    BUR_TRY(bur_session_read_state(session, index, values));
    return bur_array_create(out, device, BUR_F32, &tensor->desc.shape, values);
}

/* Units whose z = x w + b is above 0 for none of the rows. */
static int32_t count_dead(const float *z)
{
    int32_t dead = 0;
    for (int32_t unit = 0; unit < UNITS; unit++) {
        bool lives = false;
        for (int32_t row = 0; row < ROWS; row++)
            lives = lives || z[row * UNITS + unit] > 0;
        dead += !lives;
    }
    return dead;
}

/* The hidden layer of `trainer` on ROWS samples, operator by operator. */
static bur_status hidden(float *z, bur_device *device, bur_trainer *trainer,
                         const bur_dataset *dataset)
{
    static float x[ROWS * PIXELS];
    static int32_t labels[ROWS];
    int64_t rows[ROWS];
    const bur_shape shape = {.rank = 2, .dim = {ROWS, PIXELS}};
    bur_array *in[3] = {NULL, NULL, NULL}, *product = NULL, *sum = NULL;
    for (int64_t i = 0; i < ROWS; i++)
        rows[i] = i;
    bur_dataset_gather(dataset, rows, ROWS, x, labels);
    bur_status status = bur_array_create(&in[0], device, BUR_F32, &shape, x);
    for (int32_t i = 0; i < 2 && status == BUR_OK; i++)
        status = parameter(&in[1 + i], device, bur_trainer_session(trainer), i);
    if (status == BUR_OK)
        status = bur_run(device, BUR_OP_matmul, NULL, in, 2, &product, 1);
    if (status == BUR_OK)
        status =
            bur_run(device, BUR_OP_bias_add, NULL, (bur_array *[]){product, in[2]}, 2, &sum, 1);
    if (status == BUR_OK)
        status = bur_array_read(sum, z, ROWS * UNITS * sizeof *z);
    bur_array *const arrays[] = {in[0], in[1], in[2], product, sum};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        bur_array_destroy(arrays[i]);
    return status;
}

static bur_status show(bur_device *device, const bur_data *data, bur_activation activation,
                       float rate)
{
    static float z[ROWS * UNITS];
    bur_recipe *recipe = NULL;
    bur_trainer *trainer = NULL;
    double loss = 0, accuracy = 0;
    const bur_fit_options fit = {
        .batch = 32, .epochs = 3, .optimizer = {BUR_SGD, rate, {0}}, .seed = 3};
    BUR_TRY(build(&recipe, bur_device_context(device), activation));
    bur_status status = bur_trainer_create(&trainer, device, recipe, data, &fit);
    if (status == BUR_OK)
        status = bur_trainer_fit(trainer);
    if (status == BUR_OK)
        status = bur_trainer_evaluate(trainer, data->test, &loss, &accuracy);
    if (status == BUR_OK)
        status = hidden(z, device, trainer, data->test);
    if (status == BUR_OK)
        printf("%-10s rate %4g: %5.1f%% of %d hidden units are dead, test accuracy %.1f%%\n",
               bur_activation_name(activation), (double)rate, 100.0 * count_dead(z) / UNITS, UNITS,
               100 * accuracy);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    return status;
}

int main(void)
{
    bur_context *context = NULL;
    bur_device *device = NULL;
    bur_data data = {0};
    const bool ok = bur_context_create(&context, NULL) == BUR_OK &&
                    bur_device_open(&device, context, "cpu") == BUR_OK &&
                    bur_data_open(&data, context, "digits", NULL) == BUR_OK &&
                    show(device, &data, BUR_RELU, 0.05F) == BUR_OK &&
                    show(device, &data, BUR_RELU, 0.5F) == BUR_OK &&
                    show(device, &data, BUR_LEAKY_RELU, 0.5F) == BUR_OK;
    if (!ok)
        fprintf(stderr, "%s\n", bur_last_error());
    bur_data_close(&data);
    bur_context_destroy(context);
    return ok ? 0 : 1;
}
