/* Networks as lists of layers, unbuilt until they see an input shape, and what they count. */
#include <burthen/burthen.h>
#include <inttypes.h>
#include <stdio.h>

#define COUNT(array) (int32_t)(sizeof(array) / sizeof *(array))

static bur_status print_summary(const bur_recipe *recipe)
{
    int64_t parameters = 0;
    printf("%s\n", bur_recipe_name(recipe));
    for (int32_t i = 0; i < bur_recipe_layer_count(recipe); i++) {
        bur_layer_summary layer = {0};
        char shape[BUR_SHAPE_TEXT];
        BUR_TRY(bur_recipe_layer_summary(recipe, i, &layer));
        printf("  %-16s %-14s %10" PRId64 "\n", layer.name,
               bur_shape_format(shape, sizeof shape, &layer.output), layer.parameters);
        parameters += layer.parameters;
    }
    printf("  %" PRId64 " parameters\n", parameters);
    return BUR_OK;
}

static bur_status show(bur_context *context, const char *name, const bur_layer *layers,
                       int32_t count, const bur_shape *sample)
{
    bur_sequential *list = NULL;
    bur_recipe *recipe = NULL;
    BUR_TRY(bur_sequential_create(&list, context, name));
    bur_status status = BUR_OK;
    for (int32_t i = 0; status == BUR_OK && i < count; i++)
        status = bur_sequential_add(list, &layers[i]);
    if (status == BUR_OK)
        status = bur_sequential_build(list, sample, &recipe);
    if (status == BUR_OK)
        status = print_summary(recipe);
    bur_recipe_destroy(recipe);
    bur_sequential_destroy(list);
    return status;
}

static bur_status show_all(bur_context *context)
{
    const bur_shape row = {.rank = 1, .dim = {784}}, image = {.rank = 3, .dim = {28, 28, 1}};
    const bur_layer deep[] = {bur_dense(128, BUR_RELU), bur_dense(64, BUR_RELU),
                              bur_dense(32, BUR_RELU), bur_dense(10, BUR_SOFTMAX)};
    const bur_layer plain[] = {bur_dense(128, BUR_RELU), bur_dense(64, BUR_RELU),
                               bur_dense(10, BUR_SOFTMAX)};
    const bur_layer light[] = {bur_conv2d(32, 3, BUR_VALID, BUR_RELU),
                               bur_max_pooling2d(2),
                               bur_conv2d(64, 3, BUR_VALID, BUR_RELU),
                               bur_max_pooling2d(2),
                               bur_flatten(),
                               bur_dense(128, BUR_RELU),
                               bur_dense(10, BUR_SOFTMAX)};
    BUR_TRY(show(context, "three hidden layers", deep, COUNT(deep), &row));
    BUR_TRY(show(context, "two hidden layers", plain, COUNT(plain), &row));
    return show(context, "lighter cnn", light, COUNT(light), &image);
}

int main(void)
{
    bur_context *context = NULL;
    bur_status status = bur_context_create(&context, NULL);
    if (status == BUR_OK)
        status = show_all(context);
    if (status != BUR_OK)
        fprintf(stderr, "%s\n", bur_last_error());
    bur_context_destroy(context);
    return status == BUR_OK ? 0 : 1;
}
