#define _POSIX_C_SOURCE 200809L /* mkstemp */
#include "test.h"

#include <burthen/burthen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bur_context *context;
static char path[64];

static void write_file(const char *text)
{
    strcpy(path, "/tmp/burthen-model-XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    assert_ok(bur_context_create(&context, NULL));
}

static void remove_file(void)
{
    unlink(path);
    bur_context_destroy(context);
}

/* The text must be refused with `status` and the words of `part`. */
static void assert_refused(const char *text, bur_status wanted, const char *part)
{
    bur_recipe *recipe = NULL;
    write_file(text);
    const bur_status status = bur_model_load(&recipe, context, path, NULL);
    if (status != wanted || strstr(bur_last_error(), part) == NULL)
        fail_msg("status %d, not %d, or no '%s' in '%s' for:\n%s", (int)status, (int)wanted, part,
                 bur_last_error(), text);
    assert_null(recipe);
    remove_file();
}

#define HEAD "input: [28, 28, 1]\nlayers:\n"

static void test_nn_model_file__is_the_model_of_the_same_layers_in_c(void **state)
{
    (void)state;
    write_file("name: cnn\n" HEAD "  - Conv2D: {filters: 32, kernel_size: 3, padding: same, "
               "activation: relu}\n"
               "  - MaxPooling2D: {pool_size: 2}\n"
               "  - Conv2D: {filters: 64, kernel_size: [3, 3], padding: same, activation: relu}\n"
               "  - MaxPooling2D: {pool_size: 2, strides: 2}\n"
               "  - Conv2D: {filters: 128, kernel_size: 3, padding: same, activation: relu}\n"
               "  - MaxPooling2D: {pool_size: 2}\n"
               "  - Flatten\n"
               "  - Dense: {units: 128, activation: relu}\n"
               "  - Dense: {units: classes, activation: softmax}\n");
    bur_recipe *from_file = NULL, *from_zoo = NULL;
    assert_ok(bur_model_load(&from_file, context, path, NULL));
    assert_ok(bur_zoo_create(&from_zoo, context, "cnn", NULL));
    assert_string_equal(bur_recipe_name(from_file), "cnn");
    const int32_t count = bur_recipe_layer_count(from_zoo);
    assert_int_equal(bur_recipe_layer_count(from_file), count);
    for (int32_t i = 0; i < count; i++) {
        bur_layer_summary a, b;
        assert_ok(bur_recipe_layer_summary(from_file, i, &a));
        assert_ok(bur_recipe_layer_summary(from_zoo, i, &b));
        assert_string_equal(a.name, b.name);
        assert_true(bur_shape_equal(&a.output, &b.output));
        assert_int_equal(a.parameters, b.parameters);
        assert_int_equal(a.macs, b.macs);
    }
    bur_recipe_destroy(from_file);
    bur_recipe_destroy(from_zoo);
    remove_file();
}

static void test_nn_model_file__branches_may_stand_in_any_order(void **state)
{
    (void)state;
    write_file(HEAD
               "  - Add: {inputs: [stem, drop], activation: relu, name: sum}\n"
               "  - StochasticDepth: {inputs: branch, rate: 0.2, name: drop}\n"
               "  - Conv2D: {inputs: stem, filters: 8, kernel_size: 3, padding: 1, name: branch}\n"
               "  - Conv2D: {inputs: input, filters: 8, kernel_size: 3, padding: [1, 1, 1, 1], "
               "name: stem, use_bias: false}\n"
               "  - Flatten: {inputs: [sum]}\n"
               "  - Dense: {units: 3}\n");
    bur_recipe *recipe = NULL;
    const bur_zoo_options small = {.sample = {.rank = 3, .dim = {6, 5, 2}}};
    assert_ok(bur_model_load(&recipe, context, path, &small));
    static const char *const order[] = {"stem", "branch", "drop", "sum", "flatten1", "dense1"};
    for (int32_t i = 0; i < 6; i++)
        assert_string_equal(bur_recipe_layer_name(recipe, i, NULL), order[i]);
    assert_int_equal(bur_recipe_input_desc(recipe)->shape.dim[3], 2);
    assert_int_equal(bur_recipe_output_desc(recipe)->shape.dim[1], 3);
    bur_recipe_destroy(recipe);
    remove_file();
}

/* Keras' numbers of both layers. */
static void test_nn_model_file__recurrent_layers_have_keras_words(void **state)
{
    (void)state;
    write_file("input: [20, 5]\nlayers:\n"
               "  - LSTM: {units: 4, return_sequences: true, bidirectional: true, "
               "unit_forget_bias: false, recurrent_initializer: glorot_uniform}\n"
               "  - SimpleRNN: {units: 3, activation: relu}\n"
               "  - Dense: {units: 1}\n");
    bur_recipe *recipe = NULL;
    assert_ok(bur_model_load(&recipe, context, path, NULL));
    bur_layer_summary layer;
    assert_ok(bur_recipe_layer_summary(recipe, 0, &layer));
    assert_int_equal(layer.parameters, 2 * (16 * (5 + 4) + 16));
    assert_ok(bur_recipe_layer_summary(recipe, 1, &layer));
    assert_int_equal(layer.parameters, 3 * (8 + 3) + 3);
    bur_recipe_destroy(recipe);
    remove_file();
    assert_refused("input: [20, 5]\nlayers:\n  - GRU: {units: 4, activation: sigmoid}\n", BUR_E_ARG,
                   "tanh");
    assert_refused("input: [20, 5]\nlayers:\n  - GRU: {units: 4, return_sequence: true}\n",
                   BUR_E_NAME, "return_sequences");
}

/* A transformer in Keras' words: 8 channels, twice 2 heads, of sequences of 6 ids of 11. */
static void test_nn_model_file__a_transformer_has_the_parameters_of_its_words(void **state)
{
    (void)state;
    write_file("input: [6]\nlayers:\n"
               "  - Embedding: {input_dim: 11, output_dim: 8}\n"
               "  - PositionEmbedding: {name: sum}\n"
               "  - MultiHeadAttention: {num_heads: 2, use_causal_mask: true}\n"
               "  - MultiHeadAttention: {num_heads: 2, key_dim: 3, use_bias: false}\n"
               "  - Add: {inputs: [sum, attention2]}\n"
               "  - LayerNormalization\n"
               "  - Dense: {units: 5, activation: gelu}\n"
               "  - GlobalAveragePooling1D\n"
               "  - Dense: {units: 2}\n");
    static const struct {
        const char *name;
        int64_t parameters, last;
    } wanted[] = {{"embedding1", 88, 8},
                  {"sum", 48, 8},
                  {"attention1", 4 * 64 + 4 * 8, 8},
                  {"attention2", 8 * 18 + 6 * 8, 8},
                  {"add1", 0, 8},
                  {"layer_norm1", 16, 8},
                  {"dense1", 45, 5},
                  {"global_average1", 0, 5},
                  {"dense2", 12, 2}};
    bur_recipe *recipe = NULL;
    assert_ok(bur_model_load(&recipe, context, path, NULL));
    for (int32_t i = 0; i < (int32_t)(sizeof wanted / sizeof *wanted); i++) {
        bur_layer_summary layer;
        assert_ok(bur_recipe_layer_summary(recipe, i, &layer));
        assert_string_equal(layer.name, wanted[i].name);
        assert_int_equal(layer.parameters, wanted[i].parameters);
        assert_int_equal(layer.output.dim[layer.output.rank - 1], wanted[i].last);
    }
    bur_recipe_destroy(recipe);
    remove_file();
}

static void test_nn_model_file__what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    assert_refused("", BUR_E_FORMAT, "empty");
    assert_refused("a: [1\n", BUR_E_FORMAT, "line 2");
    assert_refused("a: 1\na: 2\n", BUR_E_FORMAT, "line 2: 'a' stands twice");
    assert_refused("a: &x 1\nb: *x\n", BUR_E_FORMAT, "aliases");
    assert_refused("- 1\n", BUR_E_FORMAT, "layers");
    assert_refused("layer:\n  - Flatten\n", BUR_E_NAME, "not 'layer'");
    assert_refused("layers:\n  - Flatten\n", BUR_E_FORMAT, "input");
    assert_refused("input: [0]\nlayers:\n  - Flatten\n", BUR_E_SHAPE, "");
    assert_refused(HEAD "  - Flaten\n", BUR_E_NAME,
                   "line 3: no layer 'Flaten'; did you mean 'Flatten'?");
    assert_refused(HEAD "  - Dense: {unit: 3}\n", BUR_E_NAME,
                   "Dense has no setting 'unit'; did you mean 'units'?");
    assert_refused(HEAD "  - Dense: {filters: 3}\n", BUR_E_NAME, "no setting 'filters'");
    assert_refused(HEAD "  - Dense: {units: many}\n", BUR_E_FORMAT, "'many'");
    assert_refused(HEAD "  - Dense: {units: 99999999999}\n", BUR_E_FORMAT, "whole number");
    assert_refused(HEAD "  - Flatten\n  - Dense: {units: 3, activation: rely}\n", BUR_E_NAME,
                   "did you mean 'relu'");
    assert_refused(HEAD "  - Flatten: {name: a}\n  - Dense: {units: 3, name: a}\n", BUR_E_NAME,
                   "two layers are named 'a'");
    assert_refused(HEAD "  - Flatten: {inputs: nothing}\n", BUR_E_NAME, "'nothing'");
    assert_refused(HEAD "  - Flatten: {inputs: b, name: a}\n  - Flatten: {inputs: a, name: b}\n",
                   BUR_E_ARG, "circle");
    assert_refused(HEAD "  - MultiHeadAttention: {num_heads: 4}\n", BUR_E_SHAPE, "attention1");
    assert_refused(HEAD "  - Embedding: {output_dim: 4}\n", BUR_E_ARG, "vocabulary is 0");
    assert_refused(HEAD "  - Conv2D: {filters: 4, kernel_size: 99}\n", BUR_E_SHAPE, "conv1");
    assert_refused(HEAD "  - Add: {inputs: [input]}\n", BUR_E_ARG, "two or more");
}

static void test_nn_model_file__deep_and_long_files_are_refused(void **state)
{
    (void)state;
    enum { DEEP = 4000 };
    char *text = malloc(2 << 20);
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    text[2 * DEEP] = '\0';
    assert_refused(text, BUR_E_FORMAT, "");
    memset(text, ' ', (2 << 20) - 1);
    text[(2 << 20) - 1] = '\0';
    assert_refused(text, BUR_E_FORMAT, "1048576 bytes");
    free(text);
}

static void test_nn_model_file__activations_have_all_of_keras_names(void **state)
{
    (void)state;
    bur_recipe *recipe = NULL;
    write_file(HEAD "  - Flatten\n"
                    "  - Dense: {units: 3, activation: swish}\n"
                    "  - Dense: {units: 3, activation: hard_silu}\n"
                    "  - Dense: {units: 3, activation: elu, alpha: 0.5}\n"
                    "  - Dense: {units: 3, activation: gelu}\n"
                    "  - Activation: {activation: log_softmax}\n");
    assert_ok(bur_model_load(&recipe, context, path, NULL));
    assert_int_equal(bur_recipe_layer_count(recipe), 6);
    bur_recipe_destroy(recipe);
    remove_file();
}

static void test_nn_model_file__kernel_initializer_takes_every_word(void **state)
{
    (void)state;
    for (int32_t i = 0; i < BUR_INITIALIZER_COUNT; i++) {
        const char *word = bur_initializer_name((bur_initializer)i);
        char text[128];
        bur_recipe *recipe = NULL;
        snprintf(text, sizeof text,
                 "input: 4\nlayers:\n  - Dense: {units: 3, kernel_initializer: %s}\n", word);
        write_file(text);
        assert_ok(bur_model_load(&recipe, context, path, NULL));
        assert_int_equal(bur_recipe_parameter_at(recipe, 0)->initializer, i);
        assert_int_equal(bur_recipe_parameter_at(recipe, 1)->initializer, BUR_INIT_ZEROS);
        bur_recipe_destroy(recipe);
        remove_file();
    }
}
