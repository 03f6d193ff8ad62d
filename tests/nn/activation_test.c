/* Every activation as a layer's: in a training step, where it may be fused into its product. */
#include "test.h"

#include "support/model.h"
#include "support/run.h"

#include <burthen/nn.h>
#include <math.h>
#include <stdlib.h>

enum { ROWS = 13, FEATURES = 5, UNITS = 7 };

/* x -> dense(7, activation) -> dense(1), and rows of numbers for it. */
typedef struct scene {
    bur_context *context;
    bur_dataset *data;
    float x[ROWS * FEATURES], y[ROWS]; /* of the data */
} scene;

static void scene_open(scene *s)
{
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    for (int i = 0; i < ROWS * FEATURES; i++)
        s->x[i] = 8 * sinf((float)(7 * i)); /* beyond the bends at 3 and 6, too */
    for (int i = 0; i < ROWS; i++)
        s->y[i] = cosf((float)i);
    s->data = test_rows(s->context, ROWS, FEATURES, s->x, s->y);
}

static void scene_close(scene *s)
{
    bur_dataset_destroy(s->data);
    bur_context_destroy(s->context);
}

/* The loss and the first layer's gradient of one step; free() it. */
static float *step(const scene *s, bur_device *device, bur_activation activation, float alpha,
                   double *loss, int64_t *count)
{
    const bur_shape shape = {.rank = 2, .dim = {BUR_DIM_BATCH, FEATURES}};
    const bur_optimizer sgd = bur_optimizer_default(BUR_SGD);
    bur_layer hidden = bur_dense(UNITS, activation);
    const bur_layer last = bur_dense(1, BUR_LINEAR);
    hidden.alpha = alpha;
    bur_recipe *recipe = NULL;
    bur_ref input = -1, value = -1;
    assert_ok(bur_recipe_create(&recipe, s->context, bur_activation_name(activation)));
    assert_ok(bur_recipe_input(recipe, "x", BUR_F32, &shape, &input));
    assert_ok(bur_layer_apply(recipe, &hidden, &input, 1, &value));
    input = value;
    assert_ok(bur_layer_apply(recipe, &last, &input, 1, &value));
    assert_ok(bur_recipe_output(recipe, value));
    test_run run;
    test_run_create(&run, device, NULL, recipe, s->data, ROWS, &sgd, 3);
    *loss = test_run_accumulate(&run, s->data, 0);
    float *gradient = test_run_read_gradient(&run, 0, count);
    test_run_destroy(&run);
    bur_recipe_destroy(recipe);
    return gradient;
}

static void test_nn_activation__each_has_the_reference_s_loss_and_gradient(void **state)
{
    (void)state;
    scene s;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    scene_open(&s);
    bur_device *reference = test_run_reference(s.context);
    const int32_t n_devices = test_run_devices(devices, s.context);
    for (int a = 0; a < BUR_ACTIVATION_COUNT; a++) {
        double wanted_loss = 0, loss = 0;
        int64_t n = 0, count = 0;
        float *wanted = step(&s, reference, (bur_activation)a, 0, &wanted_loss, &n);
        for (int32_t d = 0; d < n_devices; d++) {
            float *found = step(&s, devices[d], (bur_activation)a, 0, &loss, &count);
            assert_int_equal(count, n);
            if (!(fabs(loss - wanted_loss) <= 1e-5 * wanted_loss) ||
                !(test_run_difference(found, wanted, n) <= 1e-5))
                fail_msg("%s: %s: loss %.9g, not %.9g, or its gradient", test_run_label(devices[d]),
                         bur_activation_name((bur_activation)a), loss, wanted_loss);
            free(found);
        }
        free(wanted);
    }
    scene_close(&s);
}

/* S-134: the slope is a setting; unset it is what Keras has. */
static void test_nn_activation__an_unset_alpha_is_that_of_keras(void **state)
{
    (void)state;
    static const struct {
        bur_activation activation;
        float alpha, other;
    } rows[] = {{BUR_LEAKY_RELU, 0.3F, 0.01F}, {BUR_ELU, 1, 0.5F}};
    scene s;
    bur_device *device = NULL;
    scene_open(&s);
    assert_ok(bur_device_open(&device, s.context, "cpu"));
    for (int i = 0; i < 2; i++) {
        double unset = 0, set = 0, other = 0;
        int64_t count = 0;
        free(step(&s, device, rows[i].activation, 0, &unset, &count));
        free(step(&s, device, rows[i].activation, rows[i].alpha, &set, &count));
        free(step(&s, device, rows[i].activation, rows[i].other, &other, &count));
        assert_true(unset == set && unset != other);
    }
    scene_close(&s);
}
