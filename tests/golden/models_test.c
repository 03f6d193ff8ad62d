/* Every model of the zoo against PyTorch, from the states of golden files: ten steps with each
 * optimizer on every device. What is compared may be off from PyTorch's f64, by the norm of each
 * tensor, 4 times as far as PyTorch's f32 and 1e-6 more. See README.md. */
#include "test.h"

#include "reference/reference.h"
#include "support/device.h"
#include "support/golden.h"
#include "support/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* make.py has the same; every number is an f32 without rounding. */
#define ADAM .beta1 = 0.875F, .beta2 = 1 - 0x1p-10F, .epsilon = 0x1p-23F
static const bur_optimizer optimizers[] = {
    {.kind = BUR_SGD, .learning_rate = 0x1p-6F},
    {BUR_MOMENTUM, 0x1p-6F, {.momentum = 0.875F}},
    {BUR_NESTEROV, 0x1p-6F, {.momentum = 0.875F, .nesterov = 1}},
    {BUR_RMSPROP, 0x1p-10F, {.beta2 = 0.9375F, .epsilon = 0x1p-23F}},
    {BUR_ADAGRAD, 0x1p-10F, {.initial = 0.125F, .epsilon = 0x1p-23F}},
    {BUR_ADAM, 0x1p-10F, {ADAM}},
    {BUR_ADAMW, 0x1p-10F, {ADAM, .weight_decay = 0x1p-8F}},
};
_Static_assert(sizeof optimizers / sizeof *optimizers == BUR_OPTIMIZER_COUNT,
               "every optimizer is here");

/* One model on one device. */
typedef struct subject {
    const char *model;
    test_golden golden;
    bur_device *device;
    const char *doing; /* the optimizer, or "predicting" */
    double worst;      /* difference, as a share of what is allowed */
    char worst_what[256];
} subject;

/* The check itself. Where there is no PyTorch f32 to compare with `own` is NULL: 1e-6. */
static void check(subject *s, const char *what, const char *name, const float *got,
                  const double *wanted, int64_t count, const double *own)
{
    const double difference = test_golden_difference(got, wanted, count);
    const double allowed = 4 * (own == NULL ? 0 : *own) + 1e-6;
    if (!(difference <= allowed))
        fail_msg("%s on %s, %s, step %d: %s%s is off by %.3g of its norm; %.3g is allowed",
                 s->model, test_run_label(s->device), s->doing, (int)s->golden.step, what, name,
                 difference, allowed);
    if (difference / allowed > s->worst) {
        s->worst = difference / allowed;
        snprintf(s->worst_what, sizeof s->worst_what, "%s%s, %s, step %d", what, name, s->doing,
                 (int)s->golden.step);
    }
}

/* A tensor that the file has under "WHATNAME". */
static void check_golden(subject *s, const char *what, const char *name, const float *got,
                         int64_t count)
{
    check(s, what, name, got, test_golden_row(&s->golden, count, "%s%s", what, name), count,
          test_golden_row(&s->golden, 1, "difference.%s%s", what, name));
}

static void write_parameters(subject *s, bur_session *session)
{
    for (int32_t i = 0; i < bur_session_state_count(session); i++) {
        const bur_state_tensor *tensor = bur_session_state_at(session, i);
        if (tensor->slot < 0)
            assert_ok(bur_session_write_state(session, i, s->golden.parameters[tensor->parameter]));
    }
}

static int64_t largest_state(const bur_session *session)
{
    int64_t most = BUR_RESULT_WORDS;
    for (int32_t i = 0; i < bur_session_state_count(session); i++) {
        const int64_t count = bur_desc_count(&bur_session_state_at(session, i)->desc);
        most = count > most ? count : most;
    }
    return most;
}

/* ---- outputs ---- */

static void check_outputs(subject *s)
{
    const bur_graph_options options = {.batch = s->golden.batch, .mode = BUR_PREDICT};
    const int64_t count =
        s->golden.batch * bur_desc_count(bur_recipe_output_desc(s->golden.recipe));
    float *output = test_run_memory((size_t)count * sizeof *output);
    test_run run;
    s->doing = "predicting";
    test_run_open(&run, s->device, NULL, s->golden.recipe, &options);
    for (test_golden_rewind(&s->golden); s->golden.step < TEST_GOLDEN_STEPS;
         test_golden_advance(&s->golden)) {
        const bur_scalars scalars = {.inverse_weight_sum = 1};
        write_parameters(s, run.session);
        assert_ok(bur_session_write_batch(run.session, s->golden.x, NULL));
        assert_ok(bur_session_accumulate(run.session, &scalars));
        assert_ok(bur_session_read_output(run.session, output, (size_t)count * sizeof *output));
        check_golden(s, "output", "", output, count);
    }
    test_run_destroy(&run);
    free(output);
}

/* ---- steps ---- */

/* A trained parameter: its gradient, and its state before and after the step. */
typedef struct update {
    const bur_parameter *parameter;
    int64_t count;
    int32_t states[3]; /* of the session: the parameter, then the optimizer's slots */
    int32_t n_states;
    float *gradient, *before[3], *after[3];
} update;

static void read_states(const update *u, bur_session *session, float *const *values)
{
    for (int32_t i = 0; i < u->n_states; i++)
        assert_ok(bur_session_read_state(session, u->states[i], values[i]));
}

static void update_open(update *u, const subject *s, bur_session *session, int32_t parameter)
{
    *u = (update){.parameter = bur_recipe_parameter_at(s->golden.recipe, parameter)};
    u->count = bur_desc_count(&u->parameter->desc);
    for (int32_t i = 0; i < bur_session_state_count(session); i++) {
        const bur_state_tensor *tensor = bur_session_state_at(session, i);
        if (tensor->parameter != parameter)
            continue;
        u->states[tensor->slot + 1] = i;
        u->n_states++;
    }
    const size_t bytes = (size_t)u->count * sizeof(float);
    u->gradient = test_run_memory(bytes);
    for (int32_t i = 0; i < u->n_states; i++) {
        u->before[i] = test_run_memory(bytes);
        u->after[i] = test_run_memory(bytes);
    }
}

static void update_close(update *u)
{
    free(u->gradient);
    for (int32_t i = 0; i < u->n_states; i++) {
        free(u->before[i]);
        free(u->after[i]);
    }
}

/* What the file has: PyTorch's optimizer after PyTorch's gradient. */
static bool check_update_golden(subject *s, const update *u, bur_session *session)
{
    if (test_golden_row(&s->golden, 0, "%s.%s", s->doing, u->parameter->name) == NULL)
        return false;
    for (int32_t i = 0; i < u->n_states; i++) {
        char name[256];
        const bur_state_tensor *tensor = bur_session_state_at(session, u->states[i]);
        snprintf(name, sizeof name, "%s%s%s", i == 0 ? s->doing : "", i == 0 ? "." : "",
                 tensor->name);
        check_golden(s, "", name, u->after[i], u->count);
    }
    return true;
}

/* Else: the optimizer in double after the device's own gradient, which has been checked. */
static void check_update_reference(subject *s, const update *u, bur_session *session,
                                   const bur_optimizer *optimizer, const bur_scalars *scalars)
{
    static const bur_op ops[] = {
#define ROW(name, text, op, slots) [BUR_##name] = BUR_OP_##op,
        BUR_OPTIMIZER_MAP(ROW)
#undef ROW
    };
    const bur_shape words = {.rank = 1, .dim = {BUR_SCALAR_WORDS}};
    const bur_desc p = u->parameter->desc, descs[] = {bur_desc_make(BUR_I32, &words), p, p, p, p};
    bur_attr attr = {.none = {0}};
    attr.optimizer = optimizer->attr;
    if (u->parameter->unpenalized)
        attr.optimizer.weight_decay = 0;
    bur_scalars copy = *scalars;
    void *operands[] = {&copy, u->before[0], u->gradient, u->before[1], u->before[2]};
    const bur_call call = {
        .op = ops[optimizer->kind], .attr = &attr, .n_inputs = 2 + u->n_states, .inputs = descs};
    double *wanted = test_run_memory((size_t)u->count * sizeof *wanted);
    bur_test_reference_evaluate(&call, operands, NULL);
    for (int32_t i = 0; i < u->n_states; i++) {
        for (int64_t j = 0; j < u->count; j++)
            wanted[j] = (double)u->before[i][j];
        check(s, "", bur_session_state_at(session, u->states[i])->name, u->after[i], wanted,
              u->count, NULL);
    }
    free(wanted);
}

/* Slots as PyTorch has them after the step before, where the file has them. */
static void write_slots(const subject *s, const update *u, bur_session *session)
{
    const int64_t row = u->count;
    for (int32_t i = 1; i < u->n_states && s->golden.step > 0; i++) {
        const double *golden =
            test_golden_row(&s->golden, 0, "%s", bur_session_state_at(session, u->states[i])->name);
        for (int64_t j = 0; golden != NULL && j < row; j++)
            u->before[i][j] = (float)golden[j - row];
        if (golden != NULL)
            assert_ok(bur_session_write_state(session, u->states[i], u->before[i]));
    }
}

static void check_statistics(subject *s, bur_session *session, float *values)
{
    for (int32_t i = 0; i < bur_session_state_count(session); i++) {
        const bur_state_tensor *tensor = bur_session_state_at(session, i);
        if (bur_recipe_parameter_at(s->golden.recipe, tensor->parameter)->trainable)
            continue;
        assert_ok(bur_session_read_state(session, i, values));
        check_golden(s, "after.", tensor->name, values, bur_desc_count(&tensor->desc));
    }
}

static void check_step(subject *s, test_run *run, update *updates, int32_t count, float *values)
{
    const bur_scalars scalars =
        test_run_scalars(&run->optimizer, 1, s->golden.step, s->golden.batch);
    bur_session *session = run->session;
    write_parameters(s, session);
    for (int32_t i = 0; i < count; i++) {
        write_slots(s, &updates[i], session);
        read_states(&updates[i], session, updates[i].before);
    }
    assert_ok(bur_session_write_batch(session, s->golden.x, s->golden.labels));
    assert_ok(bur_session_accumulate(session, &scalars));
    assert_ok(bur_session_read_result(session, values));
    check_golden(s, "loss", "", &values[BUR_RESULT_LOSS], 1);
    for (int32_t i = 0; i < count; i++) {
        const update *u = &updates[i];
        const int32_t parameter = bur_session_state_at(session, u->states[0])->parameter;
        assert_ok(bur_session_read_gradient(session, parameter, u->gradient));
        check_golden(s, "gradient.", u->parameter->name, u->gradient, u->count);
    }
    assert_ok(bur_session_update(session));
    check_statistics(s, session, values);
    for (int32_t i = 0; i < count; i++) {
        read_states(&updates[i], session, updates[i].after);
        if (!check_update_golden(s, &updates[i], session))
            check_update_reference(s, &updates[i], session, &run->optimizer, &scalars);
    }
}

static void check_steps(subject *s, const bur_optimizer *optimizer)
{
    const bur_graph_options options = {.batch = s->golden.batch,
                                       .mode = BUR_TRAIN,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = *optimizer};
    const int32_t n = bur_recipe_parameter_count(s->golden.recipe);
    int32_t count = 0;
    test_run run;
    s->doing = bur_optimizer_name(optimizer->kind);
    test_run_open(&run, s->device, NULL, s->golden.recipe, &options);
    assert_ok(bur_session_initialize(run.session, s->golden.recipe, 1));
    float *values = test_run_memory((size_t)largest_state(run.session) * sizeof *values);
    update *updates = test_run_memory((size_t)n * sizeof *updates);
    for (int32_t i = 0; i < n; i++)
        if (bur_recipe_parameter_at(s->golden.recipe, i)->trainable)
            update_open(&updates[count++], s, run.session, i);
    for (test_golden_rewind(&s->golden); s->golden.step < TEST_GOLDEN_STEPS;
         test_golden_advance(&s->golden))
        check_step(s, &run, updates, count, values);
    for (int32_t i = 0; i < count; i++)
        update_close(&updates[i]);
    free(updates);
    free(values);
    test_run_destroy(&run);
}

/* ---- models ---- */

/* Large ones take minutes on llvmpipe and are left out there. */
typedef enum size { SMALL, LARGE } size;

static void check_model(const char *model, const bur_zoo_options *options, size how_large)
{
    bur_context *context = NULL;
    bur_recipe *recipe = NULL;
    subject s = {.model = model};
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_zoo_create(&recipe, context, model, options));
    test_golden_open(&s.golden, context, model, recipe);
    bur_device *devices[3 * TEST_MAX_RUN_DEVICES];
    int32_t n = test_run_devices(devices, context);
    n += test_run_portable(devices + n, context);
    for (int32_t d = 0; d < n; d++) {
        if (how_large == LARGE && test_device_is(bur_device_describe(devices[d]), "rusticl"))
            continue;
        s.device = devices[d];
        s.worst = 0;
        check_outputs(&s);
        for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++)
            check_steps(&s, &optimizers[i]);
        print_message("%s on %s: at most %.2f of what is allowed (%s)\n", model,
                      test_run_label(s.device), s.worst, s.worst_what);
    }
    test_golden_close(&s.golden);
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

#define IMAGE(height, width, channels)                                                             \
    {                                                                                              \
        .rank = 3, .dim = { height, width, channels }                                              \
    }

static void test_golden_models__linear_follows_pytorch(void **state)
{
    (void)state;
    check_model("linear", &(bur_zoo_options){.sample = IMAGE(3, 2, 1), .classes = 5}, SMALL);
}

static void test_golden_models__mlp_follows_pytorch(void **state)
{
    (void)state;
    check_model("mlp",
                &(bur_zoo_options){.sample = IMAGE(5, 4, 1), .classes = 5, .hidden = "11-7-6"},
                SMALL);
}

static void test_golden_models__cnn_follows_pytorch(void **state)
{
    (void)state;
    check_model("cnn",
                &(bur_zoo_options){.sample = IMAGE(9, 10, 3), .classes = 5, .width = 1.0F / 16},
                SMALL);
}

static void test_golden_models__cnn_light_follows_pytorch(void **state)
{
    (void)state;
    check_model("cnn-light",
                &(bur_zoo_options){.sample = IMAGE(11, 12, 2), .classes = 3, .width = 1.0F / 16},
                SMALL);
}

static void test_golden_models__cnn_mid_follows_pytorch(void **state)
{
    (void)state;
    check_model("cnn-mid",
                &(bur_zoo_options){.sample = IMAGE(17, 16, 1), .classes = 5, .width = 1.0F / 32},
                SMALL);
}

static void test_golden_models__resnet18_follows_pytorch(void **state)
{
    (void)state;
    check_model("resnet18",
                &(bur_zoo_options){.sample = IMAGE(41, 35, 3), .classes = 7, .width = 1.0F / 32},
                LARGE);
}

static void test_golden_models__resnet50_follows_pytorch(void **state)
{
    (void)state;
    check_model(
        "resnet50",
        &(bur_zoo_options){
            .sample = IMAGE(13, 12, 3), .classes = 5, .width = 3.0F / 128, .small_stem = true},
        LARGE);
}

static void test_golden_models__resnet101_follows_pytorch(void **state)
{
    (void)state;
    check_model(
        "resnet101",
        &(bur_zoo_options){
            .sample = IMAGE(11, 12, 3), .classes = 5, .width = 3.0F / 128, .small_stem = true},
        LARGE);
}

static void test_golden_models__mobilenet_v2_follows_pytorch(void **state)
{
    (void)state;
    check_model("mobilenet-v2",
                &(bur_zoo_options){.sample = IMAGE(11, 9, 3),
                                   .classes = 3,
                                   .width = 0.01F,
                                   .no_dropout = true,
                                   .small_stem = true},
                LARGE);
}

static void test_golden_models__efficientnet_b0_follows_pytorch(void **state)
{
    (void)state;
    check_model("efficientnet-b0",
                &(bur_zoo_options){.sample = IMAGE(17, 18, 3),
                                   .classes = 3,
                                   .width = 0.01F,
                                   .no_dropout = true,
                                   .small_stem = true},
                LARGE);
}

static void test_golden_models__vit_tiny_follows_pytorch(void **state)
{
    (void)state;
    check_model("vit-tiny",
                &(bur_zoo_options){
                    .sample = IMAGE(12, 12, 3), .classes = 5, .width = 1.0F / 16, .depth = 2},
                SMALL);
}

static void test_golden_models__vit_small_follows_pytorch(void **state)
{
    (void)state;
    check_model(
        "vit-small",
        &(bur_zoo_options){.sample = IMAGE(8, 8, 3), .classes = 3, .width = 1.0F / 32, .depth = 2},
        SMALL);
}

static void test_golden_models__vit_b16_follows_pytorch(void **state)
{
    (void)state;
    check_model("vit-b16",
                &(bur_zoo_options){
                    .sample = IMAGE(16, 16, 3), .classes = 3, .width = 1.0F / 32, .depth = 1},
                SMALL);
}

static void test_golden_models__transformer_small_follows_pytorch(void **state)
{
    (void)state;
    check_model(
        "transformer-small",
        &(bur_zoo_options){
            .sample = {.rank = 1, .dim = {9}}, .classes = 3, .width = 1.0F / 32, .depth = 2},
        SMALL);
}

static void test_golden_models__rnn_follows_pytorch(void **state)
{
    (void)state;
    check_model(
        "rnn",
        &(bur_zoo_options){.sample = {.rank = 2, .dim = {7, 3}}, .classes = 3, .hidden = "5-4"},
        SMALL);
}

static void test_golden_models__lstm_follows_pytorch(void **state)
{
    (void)state;
    check_model(
        "lstm",
        &(bur_zoo_options){.sample = {.rank = 2, .dim = {7, 3}}, .classes = 3, .hidden = "5-4"},
        SMALL);
}

static void test_golden_models__gru_follows_pytorch(void **state)
{
    (void)state;
    check_model(
        "gru",
        &(bur_zoo_options){.sample = {.rank = 2, .dim = {7, 3}}, .classes = 3, .hidden = "5-4"},
        SMALL);
}
