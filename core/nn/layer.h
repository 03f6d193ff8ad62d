/* Layers' insides, for core/nn. */
#ifndef BUR_NN_LAYER_H
#define BUR_NN_LAYER_H

#include <burthen/nn.h>

typedef bur_status bur_layer_check(const bur_layer *layer);

/* Adds the layer to the recipe behind *value, which becomes its output. */
typedef bur_status bur_layer_build(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                   bur_ref *value);

/* What a kind of layer is: its name in summaries, a check of its settings, and how it adds itself
 * to a recipe; or, for a kind that takes two or more inputs, how it joins them. */
typedef struct bur_layer_kind_info {
    const char *type;      /* "Dense" */
    const char *base_name; /* "dense": parameters are named "dense1.weight" */
    bur_layer_check *check;
    bur_layer_build *build;
    bur_status (*join)(const bur_layer *layer, const char *name, bur_recipe *recipe,
                       const bur_ref *inputs, int32_t n_inputs, bur_ref *out);
} bur_layer_kind_info;

/* layer_image.c */
bur_layer_check bur__check_window, bur__check_conv2d, bur__check_depthwise_conv2d;
bur_layer_build bur__build_conv2d, bur__build_depthwise_conv2d, bur__build_conv2d_transpose;
bur_layer_build bur__build_pooling2d, bur__build_global_pooling2d;

/* layer_norm.c */
bur_layer_check bur__check_normalization;
bur_layer_build bur__build_batch_normalization, bur__build_layer_normalization;

/* layer_recurrent.c */
bur_layer_check bur__check_recurrent;
bur_layer_build bur__build_recurrent;
/* layer_attention.c */
bur_layer_check bur__check_attention, bur__check_embedding;
bur_layer_build bur__build_attention, bur__build_embedding, bur__build_position_embedding;
bur_layer_build bur__build_class_token, bur__build_first_token, bur__build_global_pooling1d;

/* For the files of kinds. */
bur_layer_check bur__check_activation;
bur_status bur__check_positive(const char *what, int32_t value);

/* The parameter "layer.name". */
bur_status bur__add_parameter(bur_recipe *recipe, const char *layer, const char *name, int32_t rank,
                              const int64_t *dim, bur_initializer initializer, bur_ref *out);

/* *value as a matrix of rows along its last dimension; and a matrix of so many rows as `x` has as a
 * tensor of the shape of `x` but for the last dimension. Views, and nothing for a matrix. */
bur_status bur__as_matrix(bur_recipe *recipe, bur_ref *value);
bur_status bur__as_rows_of(bur_recipe *recipe, const bur_shape *x, bur_ref *value);

/* *value op a new weight of rank and dim, then bias (unless no_bias) and activation. */
bur_status bur__add_product(const bur_layer *layer, const char *name, bur_recipe *recipe, bur_op op,
                            const bur_attr *attr, int32_t rank, const int64_t *dim, bur_ref *value);

const bur_layer_kind_info *bur__layer_kind(bur_layer_kind kind);

#endif
