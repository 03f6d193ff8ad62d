/* Layers' insides, for core/nn. */
#ifndef BUR_NN_LAYER_H
#define BUR_NN_LAYER_H

#include <burthen/nn.h>

/* What a kind of layer is: its name in summaries, a check of its settings, and how it adds itself
 * to a recipe behind *value (which becomes its output); or, for a kind that takes two or more
 * inputs, how it joins them. */
typedef struct bur_layer_kind_info {
    const char *type;      /* "Dense" */
    const char *base_name; /* "dense": parameters are named "dense1.weight" */
    bur_status (*check)(const bur_layer *layer);
    bur_status (*build)(const bur_layer *layer, const char *name, bur_recipe *recipe,
                        bur_ref *value);
    bur_status (*join)(const bur_layer *layer, const char *name, bur_recipe *recipe,
                       const bur_ref *inputs, int32_t n_inputs, bur_ref *out);
} bur_layer_kind_info;

/* layer_norm.c */
bur_status bur__check_normalization(const bur_layer *layer);
bur_status bur__build_batch_normalization(const bur_layer *layer, const char *name,
                                          bur_recipe *recipe, bur_ref *value);
bur_status bur__build_layer_normalization(const bur_layer *layer, const char *name,
                                          bur_recipe *recipe, bur_ref *value);

const bur_layer_kind_info *bur__layer_kind(bur_layer_kind kind);

#endif
