/* The zoo's insides, for core/nn. */
#ifndef BUR_NN_ZOO_H
#define BUR_NN_ZOO_H

#include <burthen/nn.h>

/* Units or filters by the width that is asked for, at least 1. */
int32_t bur__zoo_scaled(const bur_zoo_options *options, int32_t units);

/* Networks that are lists of layers; options->sample and classes are set. */
typedef bur_status bur__zoo_list(bur_sequential *s, const bur_zoo_options *options);
bur__zoo_list bur__zoo_rnn, bur__zoo_lstm, bur__zoo_gru; /* zoo_recurrent.c */

/* Dropout if asked for, then the head: softmax over classes or linear values. */
bur__zoo_list bur__zoo_add_head;

/* The first number of "128-64-32"; *hidden moves behind it. BUR_E_ARG. */
bur_status bur__zoo_next_units(const char **hidden, int32_t *units);

/* Networks that are more than a list of layers: from the recipe's input to its declared output.
 * options->sample and classes are set. */
typedef bur_status bur__zoo_compose(bur_recipe *recipe, bur_ref input,
                                    const bur_zoo_options *options);
bur__zoo_compose bur__zoo_resnet18, bur__zoo_resnet50, bur__zoo_resnet101; /* zoo_image.c */
bur__zoo_compose bur__zoo_mobilenet_v2, bur__zoo_efficientnet_b0;
bur__zoo_compose bur__zoo_vit_tiny, bur__zoo_vit_small, bur__zoo_vit_b16; /* zoo_transformer.c */
bur__zoo_compose bur__zoo_transformer_small;

#endif
