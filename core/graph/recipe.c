/* Recipes: a model's nodes and parameters, for any batch size. */
#include "recipe.h"
#include "../base/vector.h"

#include <inttypes.h>
#include <string.h>

#define RESERVE(recipe, items, room, count)                                                        \
    bur__vector_reserve((recipe)->context, (void **)&(recipe)->items, &(recipe)->room, count,      \
                        sizeof *(recipe)->items)

static bur_status add_value(bur_recipe *recipe, bur_recipe_value_kind kind, int32_t index,
                            const bur_desc *desc, bur_ref *out)
{
    BUR_TRY(RESERVE(recipe, values, value_room, recipe->n_values + 1));
    recipe->values[recipe->n_values] = (bur_recipe_value){kind, index, *desc};
    *out = recipe->n_values++;
    return BUR_OK;
}

bur_status bur_recipe_create(bur_recipe **out, bur_context *context, const char *name)
{
    if (out == NULL || context == NULL || name == NULL)
        return bur_fail(BUR_E_ARG, "bur_recipe_create: NULL argument");
    bur_recipe *recipe = bur_alloc(context, sizeof *recipe);
    if (recipe == NULL)
        return BUR_E_NOMEM;
    recipe->context = context;
    recipe->output = -1;
    recipe->name = bur_strdup(context, name);
    const bur_desc scalars = {.dtype = BUR_I32, .shape = {.rank = 1, .dim = {BUR_SCALAR_WORDS}}};
    bur_ref ref = 0;
    if (recipe->name == NULL || add_value(recipe, RECIPE_SCALARS, 0, &scalars, &ref) != BUR_OK) {
        bur_recipe_destroy(recipe);
        return BUR_E_NOMEM;
    }
    *out = recipe;
    return BUR_OK;
}

void bur_recipe_destroy(bur_recipe *recipe)
{
    if (recipe == NULL)
        return;
    bur_context *context = recipe->context;
    for (int32_t i = 0; i < recipe->n_parameters; i++)
        bur_free(context, (char *)recipe->parameters[i].name);
    for (int32_t i = 0; i < recipe->n_inputs; i++)
        bur_free(context, recipe->inputs[i].name);
    for (int32_t i = 0; i < recipe->n_layers; i++) {
        bur_free(context, recipe->layers[i].type);
        bur_free(context, recipe->layers[i].name);
    }
    void *const arrays[] = {
        recipe->values, recipe->nodes,  recipe->parameters, recipe->parameter_layers,
        recipe->layers, recipe->inputs, recipe->name};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        bur_free(context, arrays[i]);
    bur_free(context, recipe);
}

const char *bur_recipe_name(const bur_recipe *recipe)
{
    return recipe->name;
}

bur_context *bur_recipe_context(const bur_recipe *recipe)
{
    return recipe->context;
}

bur_status bur_recipe_input(bur_recipe *recipe, const char *name, bur_dtype dtype,
                            const bur_shape *shape, bur_ref *out)
{
    if (shape->rank < 1 || shape->dim[0] != BUR_DIM_BATCH)
        return bur_fail(BUR_E_SHAPE, "input '%s' must begin with the batch dimension", name);
    bur_desc desc = {.dtype = (int32_t)dtype, .shape = *shape};
    desc.shape.dim[0] = 1;
    size_t bytes = 0;
    BUR_TRY(
        bur_shape_make(&desc.shape, shape->rank,
                       (const int64_t[]){desc.shape.dim[0], desc.shape.dim[1], desc.shape.dim[2],
                                         desc.shape.dim[3], desc.shape.dim[4], desc.shape.dim[5],
                                         desc.shape.dim[6], desc.shape.dim[7]}));
    BUR_TRY(bur_shape_bytes(&bytes, &desc.shape, dtype));
    if (bytes == 0)
        return bur_fail(BUR_E_SHAPE, "input '%s' is empty", name);
    BUR_TRY(RESERVE(recipe, inputs, input_room, recipe->n_inputs + 1));
    char *copy = bur_strdup(recipe->context, name);
    if (copy == NULL)
        return BUR_E_NOMEM;
    bur_recipe_input_entry *input = &recipe->inputs[recipe->n_inputs];
    *input = (bur_recipe_input_entry){copy, *shape, -1};
    recipe->n_inputs++;
    BUR_TRY(add_value(recipe, RECIPE_INPUT, recipe->n_inputs - 1, &desc, &input->ref));
    *out = input->ref;
    return BUR_OK;
}

bur_status bur_recipe_layer(bur_recipe *recipe, const char *type, const char *name)
{
    BUR_TRY(RESERVE(recipe, layers, layer_room, recipe->n_layers + 1));
    bur_recipe_layer_entry *layer = &recipe->layers[recipe->n_layers];
    layer->type = bur_strdup(recipe->context, type);
    layer->name = bur_strdup(recipe->context, name);
    recipe->n_layers++;
    return layer->type != NULL && layer->name != NULL ? BUR_OK : BUR_E_NOMEM;
}

static bur_status add_parameter(bur_recipe *recipe, const char *name, const bur_shape *shape,
                                bur_initializer initializer, bool trainable, bur_ref *out)
{
    for (int32_t i = 0; i < recipe->n_parameters; i++)
        if (strcmp(recipe->parameters[i].name, name) == 0)
            return bur_fail(BUR_E_NAME, "two parameters are named '%s'", name);
    const bur_desc desc = bur_desc_make(BUR_F32, shape);
    size_t bytes = 0;
    const bur_status status = bur_shape_bytes(&bytes, shape, BUR_F32);
    if (status != BUR_OK)
        return bur_fail_in(status, "parameter '%s'", name);
    const int32_t index = recipe->n_parameters;
    BUR_TRY(RESERVE(recipe, parameters, parameter_room, index + 1));
    BUR_TRY(RESERVE(recipe, parameter_layers, parameter_layer_room, index + 1));
    char *copy = bur_strdup(recipe->context, name);
    if (copy == NULL)
        return BUR_E_NOMEM;
    recipe->parameters[index] = (bur_parameter){.name = copy,
                                                .desc = desc,
                                                .initializer = initializer,
                                                .ref = -1,
                                                .trainable = trainable,
                                                .unpenalized = shape->rank < 2};
    recipe->parameter_layers[index] = recipe->n_layers - 1;
    recipe->n_parameters++;
    BUR_TRY(add_value(recipe, RECIPE_PARAMETER, index, &desc, &recipe->parameters[index].ref));
    *out = recipe->parameters[index].ref;
    return BUR_OK;
}

bur_status bur_recipe_parameter(bur_recipe *recipe, const char *name, const bur_shape *shape,
                                bur_initializer initializer, bur_ref *out)
{
    return add_parameter(recipe, name, shape, initializer, true, out);
}

bur_status bur_recipe_statistic(bur_recipe *recipe, const char *name, const bur_shape *shape,
                                bur_initializer initializer, bur_ref *out)
{
    return add_parameter(recipe, name, shape, initializer, false, out);
}

bur_status bur_recipe_penalize(bur_recipe *recipe, bur_ref parameter, bool penalize)
{
    for (int32_t i = 0; i < recipe->n_parameters; i++)
        if (recipe->parameters[i].ref == parameter) {
            recipe->parameters[i].unpenalized = !penalize;
            return BUR_OK;
        }
    return bur_fail(BUR_E_ARG, "value %" PRId32 " of '%s' is no parameter", parameter,
                    recipe->name);
}

bool bur__recipe_is_kernel(const bur_recipe *recipe, int32_t parameter)
{
    static const bur_op products[] = {BUR_OP_matmul, BUR_OP_conv2d, BUR_OP_conv2d_transpose};
    for (int32_t n = 0; n < recipe->n_nodes; n++)
        for (size_t i = 0; i < sizeof products / sizeof *products; i++)
            if (recipe->nodes[n].op == products[i] &&
                recipe->nodes[n].inputs[1] == recipe->parameters[parameter].ref)
                return true;
    return false;
}

bur_status bur_recipe_apply(bur_recipe *recipe, bur_op op, const bur_attr *attr,
                            const bur_ref *inputs, int32_t n_inputs, bur_ref *out)
{
    if ((unsigned)op >= BUR_OP_COUNT ||
        (bur_op_get(op)->flags & (BUR_OP_BACKWARD | BUR_OP_UPDATE | BUR_OP_LOSS)))
        return bur_fail(BUR_E_ARG, "operator %d cannot stand in a recipe", (int)op);
    bur_recipe_node node = {.op = op, .n_inputs = n_inputs, .layer = recipe->n_layers - 1};
    if (attr != NULL)
        node.attr = *attr;
    const bool random = bur_op_get(op)->flags & BUR_OP_RANDOM;
    if (n_inputs < 1 || n_inputs + random > RECIPE_MAX_INPUTS)
        return bur_fail(BUR_E_ARG, "%s: %" PRId32 " inputs", bur_op_get(op)->name, n_inputs);
    memcpy(node.inputs, inputs, (size_t)n_inputs * sizeof *inputs);
    if (random)
        node.inputs[node.n_inputs++] = 0; /* the step scalars */
    if (op == BUR_OP_dropout)
        node.attr.dropout.node = recipe->n_nodes;

    bur_desc descs[RECIPE_MAX_INPUTS], output;
    for (int32_t i = 0; i < node.n_inputs; i++) {
        if (node.inputs[i] < 0 || node.inputs[i] >= recipe->n_values)
            return bur_fail(BUR_E_ARG, "%s: input %" PRId32 " is no value of this recipe",
                            bur_op_get(op)->name, i);
        descs[i] = recipe->values[node.inputs[i]].desc;
    }
    const bur_call call = {op, &node.attr, node.n_inputs, 1, descs, &output};
    BUR_TRY(bur_op_infer(&call, &output));
    BUR_TRY(RESERVE(recipe, nodes, node_room, recipe->n_nodes + 1));
    BUR_TRY(add_value(recipe, RECIPE_NODE, recipe->n_nodes, &output, &node.output));
    recipe->nodes[recipe->n_nodes++] = node;
    *out = node.output;
    return BUR_OK;
}

bur_status bur_recipe_output(bur_recipe *recipe, bur_ref output)
{
    if (output < 0 || output >= recipe->n_values || recipe->values[output].kind != RECIPE_NODE)
        return bur_fail(BUR_E_ARG, "the output must be the result of an operator");
    recipe->output = output;
    return BUR_OK;
}

const bur_desc *bur_recipe_desc(const bur_recipe *recipe, bur_ref ref)
{
    return ref >= 0 && ref < recipe->n_values ? &recipe->values[ref].desc : NULL;
}

int32_t bur_recipe_parameter_count(const bur_recipe *recipe)
{
    return recipe->n_parameters;
}

const bur_parameter *bur_recipe_parameter_at(const bur_recipe *recipe, int32_t index)
{
    return index >= 0 && index < recipe->n_parameters ? &recipe->parameters[index] : NULL;
}

const bur_desc *bur_recipe_input_desc(const bur_recipe *recipe)
{
    return recipe->n_inputs > 0 ? &recipe->values[recipe->inputs[0].ref].desc : NULL;
}

const bur_desc *bur_recipe_output_desc(const bur_recipe *recipe)
{
    return recipe->output >= 0 ? &recipe->values[recipe->output].desc : NULL;
}

int32_t bur_recipe_layer_count(const bur_recipe *recipe)
{
    return recipe->n_layers;
}

const char *bur_recipe_layer_name(const bur_recipe *recipe, int32_t index, const char **type)
{
    if (index < 0 || index >= recipe->n_layers)
        return NULL;
    if (type != NULL)
        *type = recipe->layers[index].type;
    return recipe->layers[index].name;
}

/* Rows whose multiply-adds a summary counts. */
static bool is_product(bur_op op)
{
    return op == BUR_OP_matmul || op == BUR_OP_batch_matmul || op == BUR_OP_conv2d ||
           op == BUR_OP_conv2d_transpose || op == BUR_OP_simple_rnn || op == BUR_OP_lstm ||
           op == BUR_OP_gru || op == BUR_OP_attention || op == BUR_OP_self_attention;
}

bur_status bur_recipe_layer_summary(const bur_recipe *recipe, int32_t index, bur_layer_summary *out)
{
    if (index < 0 || index >= recipe->n_layers)
        return bur_fail(BUR_E_ARG, "layer %" PRId32 " of %" PRId32, index, recipe->n_layers);
    bur_layer_summary summary = {.name = recipe->layers[index].name,
                                 .type = recipe->layers[index].type};
    for (int32_t i = 0; i < recipe->n_parameters; i++)
        if (recipe->parameter_layers[i] == index && recipe->parameters[i].trainable)
            summary.parameters += bur_desc_count(&recipe->parameters[i].desc);
    for (int32_t i = 0; i < recipe->n_nodes; i++) {
        const bur_recipe_node *node = &recipe->nodes[i];
        if (node->layer != index)
            continue;
        const bur_desc *output = &recipe->values[node->output].desc;
        summary.output = output->shape;
        if (!(bur_op_get(node->op)->flags & BUR_OP_VIEW))
            summary.activation_bytes += (int64_t)bur_desc_bytes(output);
        if (is_product(node->op)) {
            bur_desc descs[RECIPE_MAX_INPUTS];
            for (int32_t j = 0; j < node->n_inputs; j++)
                descs[j] = recipe->values[node->inputs[j]].desc;
            const bur_call call = {node->op, &node->attr, node->n_inputs, 1, descs, output};
            summary.macs += (int64_t)(bur_op_cost(&call).flop / 2);
        }
    }
    *out = summary;
    return BUR_OK;
}
