/* Trains Dense 128-64-32-10 (three hidden layers) on drawn digits, on the device given as argument.
 * The plan comes before the first allocation, then a line per epoch. */
#include <burthen/burthen.h>
#include <inttypes.h>
#include <stdio.h>

static bur_status report(void *user, bur_event event, const void *data)
{
    (void)user;
    if (event == BUR_EVENT_PLANNED) {
        const bur_run_plan *plan = data;
        printf("%s on %s, batch %" PRId64 ": %.1f MiB at the peak, %.0f MiB allowed by %s\n",
               plan->model, plan->device, plan->batch, (double)plan->peak_bytes / 0x1p20,
               (double)plan->budget_bytes / 0x1p20, plan->binds);
    } else if (event == BUR_EVENT_EPOCH) {
        const bur_epoch *epoch = data;
        printf("epoch %" PRId64 ": loss %.4f, accuracy %.4f, validation %.4f, %.0f samples/s\n",
               epoch->epoch, epoch->loss, epoch->metric, epoch->val_metric, epoch->samples_per_s);
    }
    return BUR_OK;
}

static bur_status train(bur_device *device, const bur_recipe *mlp, const bur_data *data)
{
    const bur_fit_options options = {.epochs = 5, .validation_split = 0.2, .callback = report};
    bur_trainer *trainer = NULL;
    double loss = 0, accuracy = 0;
    BUR_TRY(bur_trainer_create(&trainer, device, mlp, data, &options));
    bur_status status = bur_trainer_fit(trainer);
    if (status == BUR_OK)
        status = bur_trainer_evaluate(trainer, data->test, &loss, &accuracy);
    if (status == BUR_OK)
        printf("test: loss %.4f, accuracy %.4f\n", loss, accuracy);
    bur_trainer_destroy(trainer);
    return status;
}

int main(int argc, char **argv)
{
    bur_context *context = NULL;
    bur_device *device = NULL;
    bur_recipe *mlp = NULL;
    bur_data digits = {0};
    const bool ok = bur_context_create(&context, NULL) == BUR_OK &&
                    bur_device_open(&device, context, argc > 1 ? argv[1] : "cpu") == BUR_OK &&
                    bur_data_open(&digits, context, "digits", NULL) == BUR_OK &&
                    bur_zoo_create(&mlp, context, "mlp", NULL) == BUR_OK &&
                    train(device, mlp, &digits) == BUR_OK;
    if (!ok)
        fprintf(stderr, "%s\n", bur_last_error());
    bur_recipe_destroy(mlp);
    bur_data_close(&digits);
    bur_context_destroy(context);
    return ok ? 0 : 1;
}
