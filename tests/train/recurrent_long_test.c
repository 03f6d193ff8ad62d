/* Recurrent networks on the adding problem (Hochreiter and Schmidhuber 1997): who always answers 1
 * has a mean squared error of 1/6.
 *
 * BURTHEN_LONG_FRACTION=N trains for one Nth of the epochs, at least one: that shows that the whole
 * path works; the bound is then what a net reaches that has learned the mean. */
#include "test.h"

#include "support/run.h"

#include <burthen/burthen.h>

typedef struct task {
    const char *model;
    int64_t length, epochs;
    bur_optimizer_kind optimizer;
    float learning_rate;
    double bound; /* of the mean squared error on unseen sequences */
} task;

static double test_error(bur_context *context, const task *t, int64_t epochs)
{
    const bur_data_options sequences = {.length = t->length};
    const bur_zoo_options shape = {
        .sample = {.rank = 2, .dim = {t->length, 2}}, .classes = 1, .values = true, .hidden = "64"};
    bur_fit_options options = {.batch = 32, .epochs = epochs, .seed = 1};
    bur_device *cpu = NULL;
    bur_data data = {0};
    bur_recipe *recipe = NULL;
    bur_trainer *trainer = NULL;
    double loss = 0, error = 0;
    options.optimizer = bur_optimizer_default(t->optimizer);
    options.optimizer.learning_rate = t->learning_rate;
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    assert_ok(bur_data_open(&data, context, "adding", &sequences));
    assert_ok(bur_zoo_create(&recipe, context, t->model, &shape));
    assert_ok(bur_trainer_create(&trainer, cpu, recipe, &data, &options));
    assert_ok(bur_trainer_fit(trainer));
    assert_ok(bur_trainer_evaluate(trainer, data.test, &loss, &error));
    print_message("%s, length %d, %d epochs: test MSE %.4f\n", t->model, (int)t->length,
                  (int)epochs, loss);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    bur_data_close(&data);
    return loss;
}

static void check(const task *t)
{
    const int64_t fraction = test_long_fraction();
    const int64_t epochs = (t->epochs + fraction - 1) / fraction;
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    assert_true(test_error(context, t, epochs) <= (fraction == 1 ? t->bound : 0.2));
    bur_context_destroy(context);
}

static void test_train_recurrent_long__an_lstm_adds_over_100_steps(void **state)
{
    (void)state;
    check(&(const task){"lstm", 100, 15, BUR_ADAM, 0.003F, 0.01});
}

static void test_train_recurrent_long__a_gru_adds_over_100_steps(void **state)
{
    (void)state;
    check(&(const task){"gru", 100, 15, BUR_ADAM, 0.003F, 0.01});
}

/* S-037 and S-079: a short memory is learned, by the optimizer that recurrent networks are often
 * trained with. */
static void test_train_recurrent_long__a_simple_rnn_adds_over_20_steps_by_rmsprop(void **state)
{
    (void)state;
    check(&(const task){"rnn", 20, 15, BUR_RMSPROP, 0.001F, 0.05});
}
