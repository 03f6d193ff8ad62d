/* Sequential: a list of layers that becomes a recipe when the input's shape is known. */
#include "layer.h"
#include "../base/vector.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct bur_sequential {
    bur_context *context;
    char *name;
    bur_layer *layers; /* names are copies */
    int32_t n_layers, layer_room;
};

bur_status bur_sequential_create(bur_sequential **out, bur_context *context, const char *name)
{
    if (out == NULL || context == NULL || name == NULL)
        return bur_fail(BUR_E_ARG, "bur_sequential_create: NULL argument");
    bur_sequential *sequential = bur_alloc(context, sizeof *sequential);
    if (sequential == NULL)
        return BUR_E_NOMEM;
    sequential->context = context;
    sequential->name = bur_strdup(context, name);
    if (sequential->name == NULL) {
        bur_free(context, sequential);
        return BUR_E_NOMEM;
    }
    *out = sequential;
    return BUR_OK;
}

void bur_sequential_destroy(bur_sequential *sequential)
{
    if (sequential == NULL)
        return;
    for (int32_t i = 0; i < sequential->n_layers; i++)
        bur_free(sequential->context, (char *)sequential->layers[i].name);
    bur_free(sequential->context, sequential->layers);
    bur_free(sequential->context, sequential->name);
    bur_free(sequential->context, sequential);
}

/* "dense2": the base name and the layer's number among its kind. */
static void running_name(char *name, size_t size, const bur_sequential *sequential,
                         bur_layer_kind kind)
{
    int32_t number = 1;
    for (int32_t i = 0; i < sequential->n_layers; i++)
        number += sequential->layers[i].kind == kind;
    snprintf(name, size, "%s%" PRId32, bur__layer_kind(kind)->base_name, number);
}

bur_status bur_sequential_add(bur_sequential *sequential, const bur_layer *layer)
{
    if (sequential == NULL || layer == NULL || (unsigned)layer->kind >= BUR_LAYER_COUNT)
        return bur_fail(BUR_E_ARG, "bur_sequential_add: NULL argument or unknown kind of layer");
    if (bur__layer_kind(layer->kind)->join != NULL)
        return bur_fail(BUR_E_ARG, "layer '%s' joins several values: see bur_layer_apply",
                        bur__layer_kind(layer->kind)->type);
    char name[96];
    if (layer->name == NULL)
        running_name(name, sizeof name, sequential, layer->kind);
    else
        snprintf(name, sizeof name, "%s", layer->name);
    const bur_status status = bur__layer_kind(layer->kind)->check(layer);
    if (status != BUR_OK)
        return bur_fail_in(status, "layer '%s'", name);
    BUR_TRY(bur__vector_reserve(sequential->context, (void **)&sequential->layers,
                                &sequential->layer_room, sequential->n_layers + 1,
                                sizeof *sequential->layers));
    char *copy = bur_strdup(sequential->context, name);
    if (copy == NULL)
        return BUR_E_NOMEM;
    bur_layer *added = &sequential->layers[sequential->n_layers++];
    *added = *layer;
    added->name = copy;
    return BUR_OK;
}

static bur_status build_layers(const bur_sequential *sequential, const bur_shape *sample,
                               bur_recipe *recipe)
{
    bur_shape x = {.rank = sample->rank + 1, .dim = {BUR_DIM_BATCH}};
    memcpy(x.dim + 1, sample->dim, (size_t)sample->rank * sizeof *sample->dim);
    bur_ref value = -1;
    BUR_TRY(bur_recipe_input(recipe, "x", BUR_F32, &x, &value));
    for (int32_t i = 0; i < sequential->n_layers; i++) {
        const bur_ref input = value;
        BUR_TRY(bur_layer_apply(recipe, &sequential->layers[i], &input, 1, &value));
    }
    return bur_recipe_output(recipe, value);
}

bur_status bur_sequential_build(const bur_sequential *sequential, const bur_shape *sample,
                                bur_recipe **out)
{
    if (sequential == NULL || sample == NULL || out == NULL)
        return bur_fail(BUR_E_ARG, "bur_sequential_build: NULL argument");
    if (sequential->n_layers == 0)
        return bur_fail(BUR_E_ARG, "'%s' has no layers", sequential->name);
    if (sample->rank < 1 || sample->rank >= BUR_MAX_RANK)
        return bur_fail(BUR_E_SHAPE, "a sample has 1 to %d dimensions, not %" PRId32,
                        BUR_MAX_RANK - 1, sample->rank);
    bur_recipe *recipe = NULL;
    BUR_TRY(bur_recipe_create(&recipe, sequential->context, sequential->name));
    const bur_status status = build_layers(sequential, sample, recipe);
    if (status != BUR_OK) {
        bur_recipe_destroy(recipe);
        return status;
    }
    *out = recipe;
    return BUR_OK;
}
