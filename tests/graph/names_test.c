#include "test.h"

#include <string.h>

/* S-036: Keras' defaults by name, but for SGD's momentum, which has names of its own. */
static void test_graph_names__an_optimizer_by_name_has_its_documented_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bur_optimizer wanted;
    } rows[] = {
        {"sgd", {BUR_SGD, 0.01F, {.momentum = 0}}},
        {"momentum", {BUR_MOMENTUM, 0.01F, {.momentum = 0.9F}}},
        {"nesterov", {BUR_NESTEROV, 0.01F, {.momentum = 0.9F, .nesterov = 1}}},
        {"rmsprop", {BUR_RMSPROP, 0.001F, {.beta2 = 0.9F, .epsilon = 1e-7F}}},
        {"adagrad", {BUR_ADAGRAD, 0.001F, {.epsilon = 1e-7F, .initial = 0.1F}}},
        {"adam", {BUR_ADAM, 0.001F, {.beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-7F}}},
        {"adamw",
         {BUR_ADAMW,
          0.001F,
          {.beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-7F, .weight_decay = 0.004F}}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bur_optimizer_kind kind = BUR_OPTIMIZER_COUNT;
        assert_ok(bur_optimizer_find(&kind, rows[i].name));
        const bur_optimizer standard = bur_optimizer_default(kind);
        assert_int_equal(standard.kind, rows[i].wanted.kind);
        assert_true(standard.learning_rate == rows[i].wanted.learning_rate);
        assert_memory_equal(&standard.attr, &rows[i].wanted.attr, sizeof standard.attr);
    }
    assert_int_equal(sizeof rows / sizeof *rows, BUR_OPTIMIZER_COUNT);
}

static void test_graph_names__an_unknown_optimizer_is_told_with_those_there_are(void **state)
{
    (void)state;
    bur_optimizer_kind kind = BUR_ADAGRAD;
    assert_status(BUR_E_NAME, bur_optimizer_find(&kind, "nosuch"));
    assert_int_equal(kind, BUR_ADAGRAD);
    for (int32_t i = 0; i < BUR_OPTIMIZER_COUNT; i++)
        assert_non_null(strstr(bur_last_error(), bur_optimizer_name((bur_optimizer_kind)i)));
}
