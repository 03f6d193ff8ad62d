/* Layers of normalisation, with Keras' defaults. */
#include "layer.h"

#include <stdio.h>

bur_layer bur_batch_normalization(void)
{
    return (bur_layer){.kind = BUR_LAYER_BATCH_NORMALIZATION};
}

bur_layer bur_layer_normalization(void)
{
    return (bur_layer){.kind = BUR_LAYER_LAYER_NORMALIZATION};
}

bur_status bur__check_normalization(const bur_layer *layer)
{
    if (!(layer->epsilon >= 0))
        return bur_fail(BUR_E_ARG, "epsilon %g is negative", (double)layer->epsilon);
    return layer->momentum >= 0 && layer->momentum < 1
               ? BUR_OK
               : bur_fail(BUR_E_ARG, "momentum %g is not in [0, 1)", (double)layer->momentum);
}

/* "name.what", a vector of one element for each of the channels of *value. */
static bur_status add_vector(bur_status (*add)(bur_recipe *, const char *, const bur_shape *,
                                               bur_initializer, bur_ref *),
                             bur_recipe *recipe, const char *name, const char *what, bur_ref value,
                             bur_initializer initializer, bur_ref *out)
{
    char full[160];
    const bur_shape *x = &bur_recipe_desc(recipe, value)->shape;
    const bur_shape shape = {.rank = 1, .dim = {x->dim[x->rank - 1]}};
    snprintf(full, sizeof full, "%s.%s", name, what);
    return add(recipe, full, &shape, initializer, out);
}

/* x, scale and shift. */
static bur_status add_affine(bur_recipe *recipe, const char *name, bur_ref value, bur_ref *inputs)
{
    inputs[0] = value;
    BUR_TRY(
        add_vector(bur_recipe_parameter, recipe, name, "weight", value, BUR_INIT_ONES, &inputs[1]));
    return add_vector(bur_recipe_parameter, recipe, name, "bias", value, BUR_INIT_ZEROS,
                      &inputs[2]);
}

static float epsilon_of(const bur_layer *layer)
{
    return layer->epsilon > 0 ? layer->epsilon : 1e-3F;
}

bur_status bur__build_batch_normalization(const bur_layer *layer, const char *name,
                                          bur_recipe *recipe, bur_ref *value)
{
    const float momentum = layer->momentum > 0 ? layer->momentum : 0.99F;
    const bur_attr attr = {.norm = {.epsilon = epsilon_of(layer),
                                    .momentum = 1 - momentum,
                                    .unbiased = layer->unbiased,
                                    .frozen = layer->frozen}};
    bur_ref inputs[5];
    BUR_TRY(add_affine(recipe, name, *value, inputs));
    BUR_TRY(add_vector(bur_recipe_statistic, recipe, name, "running_mean", *value, BUR_INIT_ZEROS,
                       &inputs[3]));
    BUR_TRY(add_vector(bur_recipe_statistic, recipe, name, "running_var", *value, BUR_INIT_ONES,
                       &inputs[4]));
    return bur_recipe_apply(recipe, BUR_OP_batch_norm_infer, &attr, inputs, 5, value);
}

bur_status bur__build_layer_normalization(const bur_layer *layer, const char *name,
                                          bur_recipe *recipe, bur_ref *value)
{
    const bur_attr attr = {.norm = {.epsilon = epsilon_of(layer)}};
    bur_ref inputs[3];
    BUR_TRY(add_affine(recipe, name, *value, inputs));
    return bur_recipe_apply(recipe, BUR_OP_layer_norm, &attr, inputs, 3, value);
}
