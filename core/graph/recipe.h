/* A recipe's insides, for core/graph. */
#ifndef BUR_GRAPH_RECIPE_H
#define BUR_GRAPH_RECIPE_H

#include <burthen/graph.h>

typedef enum bur_recipe_value_kind {
    RECIPE_SCALARS, /* value 0 of every recipe: the step scalars that random rows read */
    RECIPE_INPUT,
    RECIPE_PARAMETER,
    RECIPE_NODE,
} bur_recipe_value_kind;

typedef struct bur_recipe_value {
    bur_recipe_value_kind kind;
    int32_t index; /* of the input, parameter or node */
    bur_desc desc; /* with the batch as 1 */
} bur_recipe_value;

enum { RECIPE_MAX_INPUTS = 8 };

typedef struct bur_recipe_node {
    bur_op op;
    bur_attr attr;
    bur_ref inputs[RECIPE_MAX_INPUTS];
    int32_t n_inputs;
    bur_ref output;
    int32_t layer;
} bur_recipe_node;

typedef struct bur_recipe_layer_entry {
    char *type, *name;
} bur_recipe_layer_entry;

typedef struct bur_recipe_input_entry {
    char *name;
    bur_shape shape; /* with BUR_DIM_BATCH */
    bur_ref ref;
} bur_recipe_input_entry;

struct bur_recipe {
    bur_context *context;
    char *name;
    bur_recipe_value *values;
    bur_recipe_node *nodes;
    bur_parameter *parameters;
    bur_recipe_layer_entry *layers;
    int32_t *parameter_layers;
    bur_recipe_input_entry *inputs;
    int32_t n_values, n_nodes, n_parameters, n_layers, n_inputs;
    int32_t value_room, node_room, parameter_room, parameter_layer_room, layer_room, input_room;
    bur_ref output; /* -1 until declared */
};

/* Whether a parameter is the second factor of a product or a convolution: [in, out] or
 * [y, x, in, out], and not a table, a bias or a scale. */
bool bur__recipe_is_kernel(const bur_recipe *recipe, int32_t parameter);

#endif
