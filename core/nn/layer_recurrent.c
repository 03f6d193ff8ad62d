/* Recurrent layers, with Keras' defaults: one product gives the input's part of every step's gates,
 * one row walks the steps. */
#include "layer.h"

#include <stdio.h>

static bur_layer recurrent(bur_layer_kind kind, int32_t units)
{
    return (bur_layer){.kind = kind, .units = units, .activation = BUR_TANH};
}

bur_layer bur_simple_rnn(int32_t units)
{
    return recurrent(BUR_LAYER_SIMPLE_RNN, units);
}

bur_layer bur_lstm(int32_t units)
{
    return recurrent(BUR_LAYER_LSTM, units);
}

bur_layer bur_gru(int32_t units)
{
    return recurrent(BUR_LAYER_GRU, units);
}

bur_status bur__check_recurrent(const bur_layer *layer)
{
    const bool relu = layer->kind == BUR_LAYER_SIMPLE_RNN && layer->activation == BUR_RELU;
    BUR_TRY(bur__check_positive("units", layer->units));
    BUR_TRY(bur__check_activation(layer));
    return layer->activation == BUR_TANH || relu
               ? BUR_OK
               : bur_fail(BUR_E_ARG, "activation is %s; it must be tanh%s",
                          bur_activation_name(layer->activation),
                          layer->kind == BUR_LAYER_SIMPLE_RNN ? " or relu" : "");
}

typedef struct cell {
    bur_op op;
    int32_t gates;
    bool input_bias;          /* a bias of the product beside that of the state, as PyTorch has */
    bur_initializer own_bias; /* of the row's bias */
} cell;

static cell cell_of(const bur_layer *layer)
{
    const bool two = layer->two_biases;
    if (layer->kind == BUR_LAYER_GRU) /* its candidate's are not a sum */
        return (cell){BUR_OP_gru, 3, true, BUR_INIT_ZEROS};
    if (layer->kind == BUR_LAYER_LSTM)
        return (cell){BUR_OP_lstm, 4, two,
                      layer->no_unit_forget_bias ? BUR_INIT_ZEROS : BUR_INIT_UNIT_FORGET};
    return (cell){BUR_OP_simple_rnn, 1, two, BUR_INIT_ZEROS};
}

static bur_status reshape(bur_recipe *recipe, bur_ref input, const bur_reshape_attr *shape,
                          bur_ref *out)
{
    const bur_attr attr = {.reshape = *shape};
    return bur_recipe_apply(recipe, BUR_OP_reshape, &attr, &input, 1, out);
}

/* [N, T, C] to the input's part of the gates [N, T, gates units]. */
static bur_status project(const bur_layer *layer, const cell *c, const char *name,
                          bur_recipe *recipe, bur_ref *value)
{
    const bur_shape x = bur_recipe_desc(recipe, *value)->shape;
    const int64_t dim[] = {x.dim[2], (int64_t)c->gates * layer->units};
    const bur_reshape_attr flat = {.rank = 2, .shape = {-1, (int32_t)x.dim[2]}};
    const bur_reshape_attr steps = {.rank = 3, .shape = {-1, (int32_t)x.dim[1], (int32_t)dim[1]}};
    bur_layer product = *layer;
    product.activation = BUR_LINEAR;
    product.no_bias = layer->no_bias || !c->input_bias;
    BUR_TRY(reshape(recipe, *value, &flat, value));
    BUR_TRY(bur__add_product(&product, name, recipe, BUR_OP_matmul, NULL, 2, dim, value));
    return reshape(recipe, *value, &steps, value);
}

/* One direction; its parameters are named "name.weight" and so on. */
static bur_status add_direction(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                bool reverse, bur_ref *value)
{
    const cell c = cell_of(layer);
    const int64_t gates = (int64_t)c.gates * layer->units, dim[] = {layer->units, gates};
    const bur_initializer initializer = layer->recurrent_initializer == BUR_INIT_DEFAULT
                                            ? BUR_INIT_ORTHOGONAL
                                            : layer->recurrent_initializer;
    const bur_attr attr = {.recurrent = {.reverse = reverse,
                                         .last = !layer->return_sequences,
                                         .activation = c.op == BUR_OP_simple_rnn
                                                           ? (int32_t)layer->activation
                                                           : BUR_LINEAR}};
    bur_ref inputs[3] = {*value};
    int32_t n = 2;
    BUR_TRY(project(layer, &c, name, recipe, &inputs[0]));
    BUR_TRY(bur__add_parameter(recipe, name, "recurrent_weight", 2, dim, initializer, &inputs[1]));
    if (!layer->no_bias)
        BUR_TRY(bur__add_parameter(recipe, name, c.input_bias ? "recurrent_bias" : "bias", 1,
                                   &gates, c.own_bias, &inputs[n++]));
    return bur_recipe_apply(recipe, c.op, &attr, inputs, n, value);
}

bur_status bur__build_recurrent(const bur_layer *layer, const char *name, bur_recipe *recipe,
                                bur_ref *value)
{
    const bur_shape *x = &bur_recipe_desc(recipe, *value)->shape;
    char backward[160];
    if (x->rank != 3)
        return bur_fail(BUR_E_SHAPE, "a recurrent layer takes [N, steps, features], not %s",
                        bur_shape_format((char[BUR_SHAPE_TEXT]){0}, BUR_SHAPE_TEXT, x));
    bur_ref both[2] = {*value, *value};
    BUR_TRY(add_direction(layer, name, recipe, false, &both[0]));
    *value = both[0];
    if (!layer->bidirectional)
        return BUR_OK;
    const bur_attr attr = {.concat = {.axis = -1}};
    snprintf(backward, sizeof backward, "%s.reverse", name);
    BUR_TRY(add_direction(layer, backward, recipe, true, &both[1]));
    return bur_recipe_apply(recipe, BUR_OP_concat, &attr, both, 2, value);
}
