/* Models in YAML files, in Keras' words: a list of layers, each behind the one before it or behind
 * those that its `inputs` name, in any order. */
#include "layer.h"

#include <burthen/format.h>

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 4096, MOST_JOINED = 16, NAME_BYTES = 64 };

/* A layer of the file: where it stands, what it reads, its value once it is in the recipe. */
typedef struct file_layer {
    bur_yaml_node settings; /* 0: none */
    int32_t line;
    bur_layer layer;
    char name[NAME_BYTES];
    bur_ref value; /* -1: not placed */
} file_layer;

typedef struct model_file {
    const bur_yaml *yaml;
    const bur_zoo_options *options;
    file_layer *layers;
    int32_t n_layers;
    bur_recipe *recipe;
    bur_ref input;
} model_file;

/* ---- settings ---- */

typedef bur_status read_setting(const model_file *m, bur_yaml_node node, void *out);

/* A whole number of a field's range. */
static bur_status read_int(const model_file *m, bur_yaml_node node, void *out)
{
    const char *text = bur_yaml_text(m->yaml, node);
    char *end = NULL;
    errno = 0;
    const long value = text == NULL ? 0 : strtol(text, &end, 10);
    if (text == NULL || end == text || *end != '\0' || errno != 0 || value < 0 || value > INT32_MAX)
        return bur_fail(BUR_E_FORMAT, "'%s' is no whole number", text == NULL ? "(list)" : text);
    *(int32_t *)out = (int32_t)value;
    return BUR_OK;
}

/* Units may also be the word `classes`: what the data have. */
static bur_status read_units(const model_file *m, bur_yaml_node node, void *out)
{
    const char *text = bur_yaml_text(m->yaml, node);
    if (text == NULL || strcmp(text, "classes") != 0)
        return read_int(m, node, out);
    *(int32_t *)out = m->options->classes;
    return BUR_OK;
}

/* One number for both axes, or [y, x]. */
static bur_status read_pair(const model_file *m, bur_yaml_node node, void *out)
{
    int32_t *pair = out;
    const bool is_list = bur_yaml_kind_of(m->yaml, node) == BUR_YAML_LIST;
    if (is_list && bur_yaml_count(m->yaml, node) != 2)
        return bur_fail(BUR_E_FORMAT, "%" PRId32 " numbers; one or two are needed",
                        bur_yaml_count(m->yaml, node));
    for (int32_t i = 0; i < 2; i++)
        BUR_TRY(read_int(m, is_list ? bur_yaml_at(m->yaml, node, i) : node, &pair[i]));
    return BUR_OK;
}

static bur_status read_real(const model_file *m, bur_yaml_node node, void *out)
{
    const char *text = bur_yaml_text(m->yaml, node);
    char *end = NULL;
    const float value = text == NULL ? 0 : strtof(text, &end);
    if (text == NULL || end == text || *end != '\0')
        return bur_fail(BUR_E_FORMAT, "'%s' is no number", text == NULL ? "(list)" : text);
    *(float *)out = value;
    return BUR_OK;
}

static bur_status read_bool(const model_file *m, bur_yaml_node node, void *out)
{
    const char *text = bur_yaml_text(m->yaml, node);
    const bool is_true = text != NULL && strcmp(text, "true") == 0;
    if (!is_true && (text == NULL || strcmp(text, "false") != 0))
        return bur_fail(BUR_E_FORMAT, "'%s' is neither true nor false",
                        text == NULL ? "(list)" : text);
    *(bool *)out = is_true;
    return BUR_OK;
}

/* use_bias, unit_forget_bias: the field is the opposite. */
static bur_status read_inverse(const model_file *m, bur_yaml_node node, void *out)
{
    bool value = false;
    BUR_TRY(read_bool(m, node, &value));
    *(bool *)out = !value;
    return BUR_OK;
}

/* valid, same, a number for all sides, or [top, bottom, left, right]; `out` is the layer. */
static bur_status read_padding(const model_file *m, bur_yaml_node node, void *out)
{
    bur_layer *layer = out;
    const char *text = bur_yaml_text(m->yaml, node);
    if (text != NULL && (strcmp(text, "valid") == 0 || strcmp(text, "same") == 0)) {
        layer->padding = text[0] == 'v' ? BUR_VALID : BUR_SAME;
        return BUR_OK;
    }
    layer->padding = BUR_PADDED;
    if (text == NULL && bur_yaml_count(m->yaml, node) != 4)
        return bur_fail(BUR_E_FORMAT, "it takes valid, same, a number or four");
    for (int32_t i = 0; i < 4; i++)
        BUR_TRY(read_int(m, text == NULL ? bur_yaml_at(m->yaml, node, i) : node, &layer->pad[i]));
    return BUR_OK;
}

typedef const char *name_function(const void *user, int32_t i);

/* One of `count` words; its index. */
static bur_status read_word(const model_file *m, bur_yaml_node node, int32_t count,
                            name_function *name, const char *what, int32_t *out)
{
    const char *text = bur_yaml_text(m->yaml, node);
    const int32_t index = text == NULL ? -1 : bur_word_find(text, count, name, NULL);
    if (index >= 0) {
        *out = index;
        return BUR_OK;
    }
    const char *near = text == NULL ? NULL : bur_word_nearest(text, count, name, NULL);
    return bur_fail(BUR_E_NAME, "no %s '%s'%s%s%s", what, text == NULL ? "(list)" : text,
                    near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                    near == NULL ? "" : "'?");
}

static const char *initializer_name(const void *user, int32_t i)
{
    (void)user;
    return bur_initializer_name((bur_initializer)i);
}

static bur_status read_activation(const model_file *m, bur_yaml_node node, void *out)
{
    const char *text = bur_yaml_text(m->yaml, node);
    return bur_activation_find(out, text == NULL ? "(list)" : text);
}

static bur_status read_initializer(const model_file *m, bur_yaml_node node, void *out)
{
    int32_t index = 0;
    BUR_TRY(read_word(m, node, BUR_INITIALIZER_COUNT, initializer_name, "initializer", &index));
    *(bur_initializer *)out = (bur_initializer)index;
    return BUR_OK;
}

#define KIND(name) (UINT64_C(1) << BUR_LAYER_##name)
#define FILTERS    (KIND(CONV2D) | KIND(CONV2D_TRANSPOSE))
#define CONVS      (FILTERS | KIND(DEPTHWISE_CONV2D))
#define ACTIVATED  (KIND(ACTIVATION) | KIND(ADD) | KIND(MULTIPLY))
#define POOLS      (KIND(MAX_POOLING2D) | KIND(AVERAGE_POOLING2D))
#define GLOBAL_POOLS                                                                               \
    (KIND(GLOBAL_AVERAGE_POOLING1D) | KIND(GLOBAL_AVERAGE_POOLING2D) | KIND(GLOBAL_MAX_POOLING2D))
#define RECURRENT (KIND(SIMPLE_RNN) | KIND(LSTM) | KIND(GRU))
#define ATTENTION KIND(MULTI_HEAD_ATTENTION)
#define SLOPED    (KIND(DENSE) | CONVS | ACTIVATED)
#define WEIGHTED  (KIND(DENSE) | CONVS | RECURRENT | ATTENTION)

/* Which kinds of layer have a setting, and where it goes. */
static const struct {
    const char *key;
    uint64_t kinds;
    read_setting *read;
    size_t offset;
} settings[] = {
    {"units", KIND(DENSE) | RECURRENT, read_units, offsetof(bur_layer, units)},
    {"filters", FILTERS, read_int, offsetof(bur_layer, units)},
    {"kernel_size", CONVS, read_pair, offsetof(bur_layer, kernel)},
    {"pool_size", POOLS, read_pair, offsetof(bur_layer, kernel)},
    {"strides", CONVS | POOLS, read_pair, offsetof(bur_layer, stride)},
    {"padding", CONVS | POOLS, read_padding, 0},
    {"dilation_rate", CONVS, read_pair, offsetof(bur_layer, dilation)},
    {"groups", FILTERS, read_int, offsetof(bur_layer, groups)},
    {"activation", SLOPED | RECURRENT, read_activation, offsetof(bur_layer, activation)},
    {"alpha", SLOPED, read_real, offsetof(bur_layer, alpha)},
    {"negative_slope", SLOPED, read_real, offsetof(bur_layer, alpha)},
    {"rate", KIND(DROPOUT) | KIND(STOCHASTIC_DEPTH), read_real, offsetof(bur_layer, rate)},
    {"epsilon", KIND(BATCH_NORMALIZATION) | KIND(LAYER_NORMALIZATION), read_real,
     offsetof(bur_layer, epsilon)},
    {"momentum", KIND(BATCH_NORMALIZATION), read_real, offsetof(bur_layer, momentum)},
    {"frozen", KIND(BATCH_NORMALIZATION), read_bool, offsetof(bur_layer, frozen)},
    {"keepdims", GLOBAL_POOLS, read_bool, offsetof(bur_layer, keep_dims)},
    {"use_bias", WEIGHTED, read_inverse, offsetof(bur_layer, no_bias)},
    {"kernel_initializer", WEIGHTED, read_initializer, offsetof(bur_layer, weight_initializer)},
    {"recurrent_initializer", RECURRENT, read_initializer,
     offsetof(bur_layer, recurrent_initializer)},
    {"return_sequences", RECURRENT, read_bool, offsetof(bur_layer, return_sequences)},
    {"bidirectional", RECURRENT, read_bool, offsetof(bur_layer, bidirectional)},
    {"unit_forget_bias", KIND(LSTM), read_inverse, offsetof(bur_layer, no_unit_forget_bias)},
    {"num_heads", ATTENTION, read_int, offsetof(bur_layer, heads)},
    {"key_dim", ATTENTION, read_int, offsetof(bur_layer, units)},
    {"use_causal_mask", ATTENTION, read_bool, offsetof(bur_layer, causal)},
    {"input_dim", KIND(EMBEDDING), read_int, offsetof(bur_layer, vocabulary)},
    {"output_dim", KIND(EMBEDDING), read_int, offsetof(bur_layer, units)},
    {"embeddings_initializer", KIND(EMBEDDING), read_initializer,
     offsetof(bur_layer, weight_initializer)},
    {"initializer", KIND(POSITION_EMBEDDING), read_initializer,
     offsetof(bur_layer, weight_initializer)},
};

enum { N_SETTINGS = sizeof settings / sizeof *settings };

/* The i-th setting of the kind that `user` points at, for "did you mean"; "" for one it has not. */
static const char *setting_name(const void *user, int32_t i)
{
    const uint64_t kind = UINT64_C(1) << *(const bur_layer_kind *)user;
    return (settings[i].kinds & kind) != 0 ? settings[i].key : "";
}

static bur_status read_one(const model_file *m, file_layer *l, const char *key, bur_yaml_node value)
{
    const int32_t i = bur_word_find(key, N_SETTINGS, setting_name, &l->layer.kind);
    if (i < 0 || key[0] == '\0') {
        const char *near = bur_word_nearest(key, N_SETTINGS, setting_name, &l->layer.kind);
        const bool is_near = near != NULL && near[0] != '\0';
        return bur_fail(
            BUR_E_NAME, "%s has no setting '%s'%s%s%s", bur__layer_kind(l->layer.kind)->type, key,
            is_near ? "; did you mean '" : "", is_near ? near : "", is_near ? "'?" : "");
    }
    const bur_status status = settings[i].read(m, value, (char *)&l->layer + settings[i].offset);
    return status == BUR_OK ? BUR_OK : bur_fail_in(status, "%s", key);
}

static bur_status read_settings(const model_file *m, file_layer *l)
{
    for (int32_t i = 0; i < bur_yaml_count(m->yaml, l->settings); i++) {
        const char *key = bur_yaml_text(m->yaml, bur_yaml_key(m->yaml, l->settings, i));
        if (strcmp(key, "name") != 0 && strcmp(key, "inputs") != 0)
            BUR_TRY(read_one(m, l, key, bur_yaml_at(m->yaml, l->settings, i)));
    }
    return BUR_OK;
}

/* ---- layers ---- */

static const char *type_name(const void *user, int32_t i)
{
    (void)user;
    return bur__layer_kind((bur_layer_kind)i)->type;
}

/* "dense2" where the file gives no name; a given one must be new. */
static bur_status name_layer(const model_file *m, file_layer *l)
{
    const char *given = bur_yaml_text(m->yaml, bur_yaml_find(m->yaml, l->settings, "name"));
    int32_t number = 1;
    for (const file_layer *before = m->layers; before < l; before++)
        number += before->layer.kind == l->layer.kind;
    if (given == NULL)
        snprintf(l->name, sizeof l->name, "%s%" PRId32, bur__layer_kind(l->layer.kind)->base_name,
                 number);
    else if (strlen(given) >= sizeof l->name || given[0] == '\0')
        return bur_fail(BUR_E_NAME, "a name has 1 to %d characters", NAME_BYTES - 1);
    else
        snprintf(l->name, sizeof l->name, "%s", given);
    for (const file_layer *before = m->layers; before < l; before++)
        if (strcmp(before->name, l->name) == 0)
            return bur_fail(BUR_E_NAME, "two layers are named '%s' (the other in line %" PRId32 ")",
                            l->name, before->line);
    return strcmp(l->name, "input") == 0
               ? bur_fail(BUR_E_NAME, "'input' is the model's input, not a layer")
               : BUR_OK;
}

/* `- Flatten` or `- Dense: {units: 10}`. */
static bur_status read_layer(const model_file *m, bur_yaml_node node, file_layer *l)
{
    const bool is_map = bur_yaml_kind_of(m->yaml, node) == BUR_YAML_MAP;
    if (is_map && bur_yaml_count(m->yaml, node) != 1)
        return bur_fail(BUR_E_FORMAT, "a layer is one type and its settings");
    int32_t kind = 0;
    BUR_TRY(read_word(m, is_map ? bur_yaml_key(m->yaml, node, 0) : node, BUR_LAYER_COUNT, type_name,
                      "layer", &kind));
    l->layer.kind = (bur_layer_kind)kind;
    if ((UINT64_C(1) << kind & RECURRENT) != 0)
        l->layer.activation = BUR_TANH; /* Keras' default */
    l->settings = is_map ? bur_yaml_at(m->yaml, node, 0) : 0;
    BUR_TRY(name_layer(m, l));
    return read_settings(m, l);
}

static bur_status read_layers(model_file *m, bur_yaml_node list)
{
    for (int32_t i = 0; i < m->n_layers; i++) {
        file_layer *l = &m->layers[i];
        const bur_yaml_node node = bur_yaml_at(m->yaml, list, i);
        l->line = bur_yaml_line(m->yaml, node);
        l->value = -1;
        const bur_status status = read_layer(m, node, l);
        if (status != BUR_OK)
            return bur_fail_in(status, "line %" PRId32, l->line);
    }
    return BUR_OK;
}

/* ---- the graph of layers ---- */

/* The value of a name: -1 if its layer is not placed yet. */
static bur_status value_of(const model_file *m, const char *name, bur_ref *out)
{
    if (strcmp(name, "input") == 0) {
        *out = m->input;
        return BUR_OK;
    }
    for (int32_t i = 0; i < m->n_layers; i++)
        if (strcmp(m->layers[i].name, name) == 0) {
            *out = m->layers[i].value;
            return BUR_OK;
        }
    return bur_fail(BUR_E_NAME, "it reads '%s', which no layer is named", name);
}

/* What a layer reads; *ready if all of it is placed. */
static bur_status read_inputs(const model_file *m, int32_t index, bur_ref inputs[MOST_JOINED],
                              int32_t *count, bool *ready)
{
    const bur_yaml_node list = bur_yaml_find(m->yaml, m->layers[index].settings, "inputs");
    *count = 1;
    *ready = true;
    if (list == 0) {
        inputs[0] = index == 0 ? m->input : m->layers[index - 1].value;
        *ready = inputs[0] >= 0;
        return BUR_OK;
    }
    const bool is_list = bur_yaml_kind_of(m->yaml, list) == BUR_YAML_LIST;
    *count = is_list ? bur_yaml_count(m->yaml, list) : 1;
    if (*count < 1 || *count > MOST_JOINED)
        return bur_fail(BUR_E_FORMAT, "%" PRId32 " inputs; 1 to %d are possible", *count,
                        MOST_JOINED);
    for (int32_t i = 0; i < *count; i++) {
        const char *name = bur_yaml_text(m->yaml, is_list ? bur_yaml_at(m->yaml, list, i) : list);
        if (name == NULL)
            return bur_fail(BUR_E_FORMAT, "inputs are names of layers");
        BUR_TRY(value_of(m, name, &inputs[i]));
        *ready = *ready && inputs[i] >= 0;
    }
    return BUR_OK;
}

static bur_status place_layer(model_file *m, int32_t index, bool *placed)
{
    file_layer *l = &m->layers[index];
    bur_ref inputs[MOST_JOINED];
    int32_t count = 0;
    bool ready = false;
    BUR_TRY(read_inputs(m, index, inputs, &count, &ready));
    *placed = ready;
    l->layer.name = l->name;
    return ready ? bur_layer_apply(m->recipe, &l->layer, inputs, count, &l->value) : BUR_OK;
}

/* Places what can be placed until all is; what is left then waits for itself. */
static bur_status place_layers(model_file *m)
{
    for (int32_t left = m->n_layers, before = left + 1; left > 0 && left < before;) {
        before = left;
        for (int32_t i = 0; i < m->n_layers; i++) {
            bool placed = false;
            if (m->layers[i].value >= 0)
                continue;
            const bur_status status = place_layer(m, i, &placed);
            if (status != BUR_OK)
                return bur_fail_in(status, "line %" PRId32, m->layers[i].line);
            left -= placed;
        }
    }
    for (int32_t i = 0; i < m->n_layers; i++)
        if (m->layers[i].value < 0)
            return bur_fail(BUR_E_ARG, "line %" PRId32 ": layer '%s' reads itself in a circle",
                            m->layers[i].line, m->layers[i].name);
    return BUR_OK;
}

static bur_status build_recipe(model_file *m, const bur_shape *sample)
{
    bur_shape x = {.rank = sample->rank + 1, .dim = {BUR_DIM_BATCH}};
    if (sample->rank < 1 || sample->rank >= BUR_MAX_RANK)
        return bur_fail(BUR_E_SHAPE, "a sample has 1 to %d dimensions, not %" PRId32,
                        BUR_MAX_RANK - 1, sample->rank);
    memcpy(x.dim + 1, sample->dim, (size_t)sample->rank * sizeof *sample->dim);
    BUR_TRY(bur_recipe_input(m->recipe, "x", BUR_F32, &x, &m->input));
    BUR_TRY(place_layers(m));
    return bur_recipe_output(m->recipe, m->layers[m->n_layers - 1].value);
}

/* ---- the file ---- */

/* input: [28, 28, 1], or a number for vectors. */
static bur_status read_sample(const bur_yaml *yaml, bur_shape *out)
{
    const bur_yaml_node node = bur_yaml_find(yaml, 1, "input");
    const bool is_list = bur_yaml_kind_of(yaml, node) == BUR_YAML_LIST;
    const int32_t count = is_list ? bur_yaml_count(yaml, node) : node > 0;
    bur_shape shape = {.rank = 0};
    if (count < 1 || count >= BUR_MAX_RANK)
        return bur_fail(BUR_E_FORMAT, "input: it takes the sizes of a sample, such as [28, 28, 1]");
    for (int32_t i = 0; i < count; i++) {
        int32_t size = 0;
        const model_file m = {.yaml = yaml};
        BUR_TRY(read_int(&m, is_list ? bur_yaml_at(yaml, node, i) : node, &size));
        shape.dim[shape.rank++] = size;
    }
    return bur_shape_make(out, shape.rank, shape.dim);
}

static bur_status check_head(const bur_yaml *yaml)
{
    static const char *const known[] = {"name", "input", "layers"};
    if (bur_yaml_kind_of(yaml, 1) != BUR_YAML_MAP)
        return bur_fail(BUR_E_FORMAT, "a model has name, input and layers");
    for (int32_t i = 0; i < bur_yaml_count(yaml, 1); i++) {
        const bur_yaml_node key = bur_yaml_key(yaml, 1, i);
        bool is_known = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            is_known |= strcmp(bur_yaml_text(yaml, key), known[k]) == 0;
        if (!is_known)
            return bur_fail(BUR_E_NAME,
                            "line %" PRId32 ": a model has name, input and layers, not '%s'",
                            bur_yaml_line(yaml, key), bur_yaml_text(yaml, key));
    }
    const int32_t count = bur_yaml_count(yaml, bur_yaml_find(yaml, 1, "layers"));
    return count >= 1 && count <= MOST_LAYERS
               ? BUR_OK
               : bur_fail(BUR_E_FORMAT, "%" PRId32 " layers; 1 to %d are possible", count,
                          MOST_LAYERS);
}

static bur_status load(bur_recipe **out, bur_context *context, const bur_yaml *yaml,
                       const bur_zoo_options *options)
{
    bur_shape sample = options->sample;
    const char *name = bur_yaml_text(yaml, bur_yaml_find(yaml, 1, "name"));
    BUR_TRY(check_head(yaml));
    if (sample.rank == 0)
        BUR_TRY(read_sample(yaml, &sample));
    const bur_yaml_node list = bur_yaml_find(yaml, 1, "layers");
    model_file m = {.yaml = yaml, .options = options, .n_layers = bur_yaml_count(yaml, list)};
    m.layers = bur_alloc_array(context, (size_t)m.n_layers, sizeof *m.layers);
    bur_status status = m.layers == NULL ? BUR_E_NOMEM : read_layers(&m, list);
    if (status == BUR_OK)
        status = bur_recipe_create(&m.recipe, context, name == NULL ? "model" : name);
    if (status == BUR_OK)
        status = build_recipe(&m, &sample);
    bur_free(context, m.layers);
    if (status != BUR_OK) {
        bur_recipe_destroy(m.recipe);
        return status;
    }
    *out = m.recipe;
    return BUR_OK;
}

bur_status bur_model_load(bur_recipe **out, bur_context *context, const char *path,
                          const bur_zoo_options *options)
{
    static const bur_zoo_options defaults;
    bur_yaml *yaml = NULL;
    if (out == NULL || context == NULL || path == NULL)
        return bur_fail(BUR_E_ARG, "bur_model_load: NULL argument");
    BUR_TRY(bur_yaml_open(&yaml, context, path));
    bur_zoo_options set = options == NULL ? defaults : *options;
    if (set.classes == 0)
        set.classes = 10;
    const bur_status status = load(out, context, yaml, &set);
    bur_yaml_close(yaml);
    return status == BUR_OK ? BUR_OK : bur_fail_in(status, "%s", path);
}

bur_status bur_model_sample(bur_shape *out, bur_context *context, const char *path)
{
    bur_yaml *yaml = NULL;
    if (out == NULL || context == NULL || path == NULL)
        return bur_fail(BUR_E_ARG, "bur_model_sample: NULL argument");
    BUR_TRY(bur_yaml_open(&yaml, context, path));
    bur_status status = check_head(yaml);
    if (status == BUR_OK)
        status = read_sample(yaml, out);
    bur_yaml_close(yaml);
    return status == BUR_OK ? BUR_OK : bur_fail_in(status, "%s", path);
}
