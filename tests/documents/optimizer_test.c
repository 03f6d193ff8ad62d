/* What the documents say of optimizers, by eager calls and one training step, on every device. */
#include "support/opened.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { N = 3, MAX_TENSORS = 4 };

/* A parameter of three elements with its optimizer's tensors: parameter, gradient, slots. */
typedef struct descent {
    bur_device *device;
    bur_optimizer optimizer;
    bur_op op;
    bur_array *scalars, *tensors[MAX_TENSORS];
    int32_t count;
    int step;
} descent;

static void start(descent *d, bur_device *device, bur_optimizer_kind kind, const float *w)
{
    static const bur_op ops[] = {
        [BUR_SGD] = BUR_OP_sgd, [BUR_MOMENTUM] = BUR_OP_momentum, [BUR_ADAM] = BUR_OP_adam};
    const bur_shape words = {.rank = 1, .dim = {BUR_SCALAR_WORDS}}, shape = {.rank = 1, .dim = {N}};
    *d = (descent){
        .device = device, .optimizer = bur_optimizer_default(kind), .op = ops[kind], .step = 0};
    d->count = bur_op_get(d->op)->group;
    assert_ok(bur_array_create(&d->scalars, device, BUR_I32, &words, NULL));
    for (int32_t i = 0; i < d->count; i++)
        assert_ok(bur_array_create(&d->tensors[i], device, BUR_F32, &shape, i == 0 ? w : NULL));
}

static void finish(descent *d)
{
    bur_array_destroy(d->scalars);
    for (int32_t i = 0; i < d->count; i++)
        bur_array_destroy(d->tensors[i]);
}

/* One step down `gradient`; w[N] is the parameter before and after. */
static void descend(descent *d, const float *gradient, float *w)
{
    const bur_optimizer_attr *attr = &d->optimizer.attr;
    bur_array *inputs[1 + MAX_TENSORS] = {d->scalars};
    bur_scalars scalars = {.learning_rate = d->optimizer.learning_rate};
    d->step++;
    scalars.correction1 = (float)(1 / (1 - pow(attr->beta1, d->step)));
    scalars.correction2 = (float)(1 / (1 - pow(attr->beta2, d->step)));
    memcpy(inputs + 1, d->tensors, (size_t)d->count * sizeof *inputs);
    assert_ok(bur_array_write(d->scalars, &scalars, sizeof scalars));
    assert_ok(bur_array_write(d->tensors[1], gradient, N * sizeof *gradient));
    assert_ok(
        bur_run(d->device, d->op, &(bur_attr){.optimizer = *attr}, inputs, 1 + d->count, NULL, 0));
    assert_ok(bur_array_read(d->tensors[0], w, N * sizeof *w));
}

/* S-032, S-147: w - rate g. The values are exact in f32. */
static void test_documents_optimizer__sgd_is_weight_minus_rate_times_gradient(void **state)
{
    (void)state;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t i = 0; i < opened.count; i++) {
        float w[N] = {1, -2, 0.5F};
        descent d;
        start(&d, opened.devices[i], BUR_SGD, w);
        assert_true(d.optimizer.learning_rate == 0.01F);
        d.optimizer.learning_rate = 0.25F;
        descend(&d, (const float[N]){2, -1, 0}, w);
        assert_true(w[0] == 0.5F && w[1] == -1.75F && w[2] == 0.5F);
        finish(&d);
    }
    test_opened_destroy(&opened);
}

/* S-007: rate 0.001, beta1 0.9, beta2 0.999, eps 1e-7, bias correction; gradient of sum(c w^2). */
static void test_documents_optimizer__adam_follows_its_formula_for_10_steps(void **state)
{
    (void)state;
    const double c[N] = {1, 10, 0.01};
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t i = 0; i < opened.count; i++) {
        float w[N] = {1, -2, 3}, gradient[N];
        double u[N] = {1, -2, 3}, m[N] = {0}, v[N] = {0};
        descent d;
        start(&d, opened.devices[i], BUR_ADAM, w);
        for (int step = 1; step <= 10; step++) {
            for (int k = 0; k < N; k++)
                gradient[k] = (float)(2 * c[k] * (double)w[k]);
            descend(&d, gradient, w);
            for (int k = 0; k < N; k++) {
                const double g = 2 * c[k] * u[k];
                m[k] = 0.9 * m[k] + 0.1 * g;
                v[k] = 0.999 * v[k] + 0.001 * g * g;
                u[k] -= 0.001 * (m[k] / (1 - pow(0.9, step))) /
                        (sqrt(v[k] / (1 - pow(0.999, step))) + 1e-7);
                assert_true(fabs((double)w[k] - u[k]) <= 1e-6 * fabs(u[k]));
            }
        }
        finish(&d);
    }
    test_opened_destroy(&opened);
}

/* Steps down the valley x^2 + 25 y^2 until both are below 0.01. */
static int valley_steps(bur_device *device, bur_optimizer_kind kind)
{
    float w[N] = {5, 1, 0};
    descent d;
    start(&d, device, kind, w);
    d.optimizer.learning_rate = 0.005F;
    while (d.step < 2000 && (fabsf(w[0]) > 0.01F || fabsf(w[1]) > 0.01F))
        descend(&d, (const float[N]){2 * w[0], 50 * w[1], 0}, w);
    const int steps = d.step;
    finish(&d);
    return steps;
}

/* S-121: momentum 0.9 needs fewer steps than SGD at the same rate. */
static void test_documents_optimizer__momentum_is_faster_down_a_valley(void **state)
{
    (void)state;
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t i = 0; i < opened.count; i++) {
        const int sgd = valley_steps(opened.devices[i], BUR_SGD);
        const int momentum = valley_steps(opened.devices[i], BUR_MOMENTUM);
        if (sgd >= 2000 || momentum * 2 > sgd)
            fail_msg("momentum took %d steps, SGD %d", momentum, sgd);
    }
    test_opened_destroy(&opened);
}

/* S-118: y = w x + b with w unknown at the start. One sample x = 2, target 1, mean squared error:
 * gradients 2 (y - 1) x and 2 (y - 1). */
static void test_documents_optimizer__one_dense_step_by_hand_is_the_programs(void **state)
{
    (void)state;
    const float x[] = {2}, target[] = {1};
    const bur_shape one = {.rank = 1, .dim = {1}};
    const bur_dataset_info info = {
        .name = "one", .count = 1, .sample = one, .target = one, .bytes = sizeof x + sizeof target};
    test_opened opened;
    test_opened_create(&opened);
    for (int32_t i = 0; i < opened.count; i++) {
        bur_recipe *recipe = NULL;
        bur_data data = {0};
        bur_trainer *trainer = NULL;
        bur_fit_options fit = {
            .batch = 1, .epochs = 1, .optimizer = bur_optimizer_default(BUR_SGD)};
        float w[2] = {0}, after[2] = {0};
        fit.optimizer.learning_rate = 0.125F;
        assert_ok(bur_zoo_create(&recipe, opened.context, "linear",
                                 &(bur_zoo_options){.sample = one, .classes = 1, .values = true}));
        assert_ok(bur_dataset_from_arrays(&data.train, opened.context, &info, BUR_F32, x, target));
        assert_ok(bur_trainer_create(&trainer, opened.devices[i], recipe, &data, &fit));
        bur_session *session = bur_trainer_session(trainer);
        for (int32_t k = 0; k < 2; k++)
            assert_ok(bur_session_read_state(session, k, &w[k]));
        assert_ok(bur_trainer_fit(trainer));
        for (int32_t k = 0; k < 2; k++)
            assert_ok(bur_session_read_state(session, k, &after[k]));
        const float error = w[0] * 2 + w[1] - 1;
        assert_true(error != 0);
        assert_true(fabsf(after[0] - (w[0] - 0.125F * 2 * error * 2)) <= 1e-6F);
        assert_true(fabsf(after[1] - (w[1] - 0.125F * 2 * error)) <= 1e-6F);
        bur_trainer_destroy(trainer);
        bur_dataset_destroy(data.train);
        bur_recipe_destroy(recipe);
    }
    test_opened_destroy(&opened);
}
