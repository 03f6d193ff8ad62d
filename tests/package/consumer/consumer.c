/* Uses headers, library and an operator's row: relu of -1 and 2 on the CPU is 0 and 2. */
#include <burthen/burthen.h>
#include <stdio.h>

static bur_status relu(bur_device *device, float *y)
{
    const float x[] = {-1, 2};
    bur_shape shape = {0};
    bur_array *input = NULL, *output = NULL;
    BUR_TRY(bur_shape_make(&shape, 1, (int64_t[]){2}));
    BUR_TRY(bur_array_create(&input, device, BUR_F32, &shape, x));
    bur_status status = bur_run(device, BUR_OP_relu, NULL, &input, 1, &output, 1);
    if (status == BUR_OK)
        status = bur_array_read(output, y, sizeof x);
    bur_array_destroy(output);
    bur_array_destroy(input);
    return status;
}

int main(void)
{
    bur_context *context = NULL;
    bur_device *device = NULL;
    float y[2] = {-1, -1};
    bur_status status = bur_context_create(&context, NULL);
    if (status == BUR_OK)
        status = bur_device_open(&device, context, "cpu");
    if (status == BUR_OK)
        status = relu(device, y);
    if (status != BUR_OK)
        fprintf(stderr, "%s\n", bur_last_error());
    bur_context_destroy(context);
    printf("burthen %s: relu gives %g %g\n", bur_version(), y[0], y[1]);
    return status == BUR_OK ? 0 : 1;
}
