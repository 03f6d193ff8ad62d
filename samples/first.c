/* The example of the top README: an MLP learns handwritten-looking digits. */
#include <burthen/burthen.h>
#include <stdio.h>

int main(void)
{
    bur_context *context = NULL;
    bur_device *device = NULL;
    bur_recipe *model = NULL;
    bur_data data = {0};
    bur_trainer *trainer = NULL;
    double loss = 0, accuracy = 0;
    const bur_fit_options fit = {.batch = 32, .epochs = 3};

    bool ok = bur_context_create(&context, NULL) == BUR_OK &&
              bur_device_open(&device, context, "auto") == BUR_OK &&
              bur_data_open(&data, context, "digits", NULL) == BUR_OK &&
              bur_zoo_create(&model, context, "mlp", NULL) == BUR_OK &&
              bur_trainer_create(&trainer, device, model, &data, &fit) == BUR_OK &&
              bur_trainer_fit(trainer) == BUR_OK &&
              bur_trainer_evaluate(trainer, data.test, &loss, &accuracy) == BUR_OK;
    if (ok)
        printf("test accuracy %.1f%%\n", 100 * accuracy);
    else
        fprintf(stderr, "%s\n", bur_last_error());

    bur_trainer_destroy(trainer);
    bur_recipe_destroy(model);
    bur_data_close(&data);
    bur_context_destroy(context);
    return ok ? 0 : 1;
}
