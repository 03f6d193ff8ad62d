#include "test.h"

#include "support/model.h"

#include <burthen/burthen.h>
#include <math.h>
#include <string.h>

enum { STEPS = 5, FEATURES = 7, UNITS = 3 };

static bur_context *context;

static bur_recipe *start(int32_t rank, bur_ref *x)
{
    bur_recipe *recipe = NULL;
    const bur_shape shape = {.rank = rank, .dim = {BUR_DIM_BATCH, STEPS, FEATURES, 2}};
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_recipe_create(&recipe, context, "recurrent"));
    assert_ok(bur_recipe_input(recipe, "x", BUR_F32, &shape, x));
    return recipe;
}

static void finish(bur_recipe *recipe)
{
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

/* Keras' formulas: G H (C + H) and one bias of G H, GRU two. */
static void test_nn_recurrent__layers_have_the_shapes_and_parameters_of_keras(void **state)
{
    (void)state;
    static const struct {
        bur_layer_kind kind;
        bool sequences, both, two_biases, no_bias;
        int64_t parameters;
    } cases[] = {
        {BUR_LAYER_SIMPLE_RNN, false, false, false, false, 3 * (7 + 3) + 3},
        {BUR_LAYER_SIMPLE_RNN, true, true, true, false, 2 * (3 * (7 + 3) + 6)},
        {BUR_LAYER_LSTM, false, false, false, false, 12 * (7 + 3) + 12},
        {BUR_LAYER_LSTM, true, false, true, false, 12 * (7 + 3) + 24},
        {BUR_LAYER_LSTM, false, true, false, true, 2 * 12 * (7 + 3)},
        {BUR_LAYER_GRU, false, false, false, false, 9 * (7 + 3) + 18},
        {BUR_LAYER_GRU, true, true, false, false, 2 * (9 * (7 + 3) + 18)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bur_ref value = -1;
        bur_recipe *recipe = start(3, &value);
        bur_layer layer = bur_lstm(UNITS);
        layer.kind = cases[i].kind;
        layer.return_sequences = cases[i].sequences;
        layer.bidirectional = cases[i].both;
        layer.two_biases = cases[i].two_biases;
        layer.no_bias = cases[i].no_bias;
        assert_ok(test_put(recipe, layer, &value));
        bur_layer_summary summary;
        assert_ok(bur_recipe_layer_summary(recipe, 0, &summary));
        assert_int_equal(summary.parameters, cases[i].parameters);
        const bur_shape *y = &bur_recipe_desc(recipe, value)->shape;
        assert_int_equal(y->rank, cases[i].sequences ? 3 : 2);
        assert_int_equal(y->dim[y->rank - 1], cases[i].both ? 2 * UNITS : UNITS);
        assert_int_equal(y->dim[1], cases[i].sequences ? STEPS : y->dim[y->rank - 1]);
        finish(recipe);
    }
}

static bur_status refused(int32_t rank, bur_layer layer)
{
    bur_ref value = -1;
    bur_recipe *recipe = start(rank, &value);
    layer.name = "memory";
    const bur_status status = test_put(recipe, layer, &value);
    assert_non_null(strstr(bur_last_error(), "'memory'"));
    finish(recipe);
    return status;
}

static void test_nn_recurrent__what_does_not_fit_names_the_layer(void **state)
{
    (void)state;
    assert_status(BUR_E_SHAPE, refused(4, bur_lstm(UNITS)));
    assert_non_null(strstr(bur_last_error(), "1x5x7x2"));
    assert_status(BUR_E_SHAPE, refused(2, bur_gru(UNITS)));
    assert_non_null(strstr(bur_last_error(), "1x5"));
    assert_status(BUR_E_ARG, refused(3, bur_simple_rnn(0)));
    bur_layer layer = bur_gru(UNITS);
    layer.activation = BUR_RELU;
    assert_status(BUR_E_ARG, refused(3, layer));
    assert_non_null(strstr(bur_last_error(), "relu"));
}

static const bur_parameter *parameter(const bur_recipe *recipe, const char *name)
{
    for (int32_t i = 0; i < bur_recipe_parameter_count(recipe); i++)
        if (strcmp(bur_recipe_parameter_at(recipe, i)->name, name) == 0)
            return bur_recipe_parameter_at(recipe, i);
    fail_msg("no parameter '%s'", name);
    return NULL;
}

static void test_nn_recurrent__an_lstm_starts_by_remembering(void **state)
{
    (void)state;
    bur_ref value = -1;
    bur_recipe *recipe = start(3, &value);
    bur_layer layer = bur_lstm(UNITS);
    layer.bidirectional = true;
    assert_ok(test_put(recipe, layer, &value));
    float values[4 * UNITS * UNITS];
    const bur_parameter *bias = parameter(recipe, "lstm1.reverse.bias");
    bur_initialize(values, &bias->desc, bias->initializer, 1, 0);
    for (int32_t i = 0; i < 4 * UNITS; i++)
        assert_true(values[i] == (i / UNITS == 1 ? 1.0F : 0.0F));
    const bur_parameter *u = parameter(recipe, "lstm1.recurrent_weight");
    bur_initialize(values, &u->desc, u->initializer, 1, 0);
    for (int32_t i = 0; i < UNITS; i++)
        for (int32_t j = 0; j < UNITS; j++) { /* the rows are orthonormal */
            double dot = 0;
            for (int32_t k = 0; k < 4 * UNITS; k++)
                dot += (double)values[i * 4 * UNITS + k] * (double)values[j * 4 * UNITS + k];
            assert_true(fabs(dot - (i == j)) < 1e-6);
        }
    finish(recipe);
}
