/* Small problems with known answers are learned. */
#include "test.h"

#include <math.h>
#include <string.h>

/* Trains a model on drawn data, evaluates on its test part, gives the history's last row. */
typedef struct result {
    double loss, metric, test_loss, test_metric;
    float state[8]; /* the first numbers of the parameters */
} result;

static result learn(const char *data_name, const bur_data_options *data_options, const char *model,
                    const char *hidden, const bur_fit_options *options)
{
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    bur_data data = {0};
    bur_recipe *recipe = NULL;
    bur_trainer *trainer = NULL;
    int64_t epochs = 0;
    result r = {.loss = 0};
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = 1}));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    assert_ok(bur_data_open(&data, context, data_name, data_options));
    const bur_dataset_info *info = bur_dataset_describe(data.train);
    const bur_zoo_options zoo = {.sample = info->sample,
                                 .classes = info->classes > 0 ? info->classes : 1,
                                 .values = info->classes == 0,
                                 .hidden = hidden};
    assert_ok(bur_zoo_create(&recipe, context, model, &zoo));
    assert_ok(bur_trainer_create(&trainer, cpu, recipe, &data, options));
    assert_ok(bur_trainer_fit(trainer));
    assert_ok(bur_trainer_evaluate(trainer, data.train, &r.loss, &r.metric));
    assert_ok(bur_trainer_evaluate(trainer, data.test, &r.test_loss, &r.test_metric));
    bur_trainer_history(trainer, &epochs);
    assert_int_equal(epochs, options->epochs);
    bur_session *session = bur_trainer_session(trainer);
    for (int32_t i = 0; i < 2 && hidden == NULL; i++)
        assert_ok(bur_session_read_state(session, i, &r.state[i]));
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    bur_data_close(&data);
    bur_context_destroy(context);
    return r;
}

/* The line of least squares through the drawn points, from their sums in double. */
static void least_squares(const bur_data_options *options, double *slope, double *intercept,
                          double *residual)
{
    bur_context *context = NULL;
    bur_data data = {0};
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_data_open(&data, context, "linear", options));
    const int64_t n = bur_dataset_describe(data.train)->count;
    double sx = 0, sy = 0, sxx = 0, sxy = 0, syy = 0;
    for (int64_t i = 0; i < n; i++) {
        float x = 0, y = 0;
        bur_dataset_gather(data.train, &i, 1, &x, &y);
        sx += (double)x;
        sy += (double)y;
        sxx += (double)x * (double)x;
        sxy += (double)x * (double)y;
        syy += (double)y * (double)y;
    }
    const double count = (double)n;
    *slope = (count * sxy - sx * sy) / (count * sxx - sx * sx);
    *intercept = (sy - *slope * sx) / count;
    *residual = (syy - *slope * sxy - *intercept * sy) / count;
    bur_data_close(&data);
    bur_context_destroy(context);
}

/* S-139 and S-140: a linear head under mean squared error finds the line of least squares. */
static void test_train_learn__regression_converges_to_the_line_of_least_squares(void **state)
{
    (void)state;
    const bur_data_options data = {.seed = 3, .count = 200, .noise = 0.5F};
    const bur_optimizer sgd = {.kind = BUR_SGD, .learning_rate = 0.1F};
    const bur_fit_options options = {.batch = 200, .epochs = 300, .optimizer = sgd};
    double slope = 0, intercept = 0, residual = 0;
    least_squares(&data, &slope, &intercept, &residual);
    assert_true(fabs(slope - 3) < 0.2 && fabs(intercept - 2) < 0.2); /* y = 3x + 2 was drawn */
    const result r = learn("linear", &data, "linear", NULL, &options);
    assert_true(fabs((double)r.state[0] - slope) < 1e-5 * fabs(slope));
    assert_true(fabs((double)r.state[1] - intercept) < 1e-5 * fabs(intercept));
    assert_true(fabs(r.loss - residual) < 1e-4 * residual);
    assert_true(fabs(r.metric - 0.5 * sqrt(2 / 3.14159265)) < 0.1); /* mean |noise| */
}

/* No line separates xor's blobs; a hidden layer does. */
static void test_train_learn__xor_needs_a_hidden_layer_and_is_learned_with_one(void **state)
{
    (void)state;
    const bur_data_options data = {.seed = 4, .count = 400, .noise = 0.1F};
    const bur_optimizer adam = {.kind = BUR_ADAM, .learning_rate = 0.01F};
    const bur_fit_options options = {.epochs = 60, .optimizer = adam, .seed = 1};
    const result deep = learn("xor", &data, "mlp", "8-8", &options);
    const result line = learn("xor", &data, "linear", NULL, &options);
    assert_true(deep.metric >= 0.99 && deep.test_metric >= 0.98);
    assert_true(line.metric < 0.8 && line.test_metric < 0.8);
}

static void test_train_learn__the_spiral_is_learned(void **state)
{
    (void)state;
    const bur_data_options data = {.seed = 5, .count = 600, .noise = 0.1F};
    const bur_optimizer adam = {.kind = BUR_ADAM, .learning_rate = 0.01F};
    const bur_fit_options options = {.epochs = 100, .optimizer = adam, .seed = 2};
    const result deep = learn("spiral", &data, "mlp", "32-32", &options);
    const result line = learn("spiral", &data, "linear", NULL, &options);
    assert_true(deep.metric >= 0.95 && deep.test_metric >= 0.9);
    assert_true(line.metric < 0.7);
}
