/* One dense layer by hand, operator by operator, on the device named by the first argument:
 * y = relu(x w + b). No graph, no plan; the same kernels as in training. */
#include <burthen/burthen.h>
#include <stdio.h>

enum { ROWS = 2, INNER = 3, COLUMNS = 2 };

static bur_status matrix(bur_array **out, bur_device *device, int64_t rows, int64_t columns,
                         const float *values)
{
    bur_shape shape = {0};
    BUR_TRY(bur_shape_make(&shape, 2, (int64_t[]){rows, columns}));
    return bur_array_create(out, device, BUR_F32, &shape, values);
}

/* Values of one calculation; what was created is destroyed in main. */
struct layer {
    bur_array *x, *w, *b, *product, *sum, *y;
};

static bur_status compute(struct layer *l, bur_device *device)
{
    const float x[ROWS * INNER] = {1, 2, 3, 4, 5, 6};
    const float w[INNER * COLUMNS] = {1, 2, 0, 0, 1, -1};
    const float b[COLUMNS] = {0.5f, -0.5f};
    bur_shape bias = {0};
    BUR_TRY(bur_shape_make(&bias, 1, (int64_t[]){COLUMNS}));
    BUR_TRY(matrix(&l->x, device, ROWS, INNER, x));
    BUR_TRY(matrix(&l->w, device, INNER, COLUMNS, w));
    BUR_TRY(bur_array_create(&l->b, device, BUR_F32, &bias, b));
    BUR_TRY(bur_run(device, BUR_OP_matmul, NULL, (bur_array *[]){l->x, l->w}, 2, &l->product, 1));
    BUR_TRY(
        bur_run(device, BUR_OP_bias_add, NULL, (bur_array *[]){l->product, l->b}, 2, &l->sum, 1));
    BUR_TRY(bur_run(device, BUR_OP_relu, NULL, &l->sum, 1, &l->y, 1));

    float y[ROWS * COLUMNS];
    BUR_TRY(bur_array_read(l->y, y, sizeof y));
    printf("on %s\n", bur_device_describe(device)->description);
    for (int row = 0; row < ROWS; row++)
        printf("%5.1f %5.1f\n", y[row * COLUMNS], y[row * COLUMNS + 1]);
    return BUR_OK;
}

int main(int argc, char **argv)
{
    bur_context *context = NULL;
    bur_device *device = NULL;
    struct layer layer = {0};
    const bool ok = bur_context_create(&context, NULL) == BUR_OK &&
                    bur_device_open(&device, context, argc > 1 ? argv[1] : "cpu") == BUR_OK &&
                    compute(&layer, device) == BUR_OK;
    if (!ok)
        fprintf(stderr, "%s\n", bur_last_error());
    bur_array *const arrays[] = {layer.x, layer.w, layer.b, layer.product, layer.sum, layer.y};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        bur_array_destroy(arrays[i]);
    bur_context_destroy(context);
    return ok ? 0 : 1;
}
