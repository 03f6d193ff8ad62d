/* D-05: an operator that a device lacks and a device that fails go to the CPU, and say so. */
#include "test.h"

#include "reference/reference.h"
#include "support/model.h"
#include "support/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 3, COUNT = 24, BATCH = 8, EPOCHS = 2, STEPS = EPOCHS * COUNT / BATCH };

/* A backend around another one: what a driver does when it lacks a kernel or fails. */
static struct {
    bur_backend backend;
    const bur_backend *inner;
    const char *refused; /* operator */
    int64_t runs_left;   /* until it is lost */
} faulty;

static bool faulty_supports(const bur_device_info *info, const bur_call *call, char *reason)
{
    if (faulty.refused != NULL && strcmp(bur_op_get(call->op)->name, faulty.refused) == 0) {
        snprintf(reason, BUR_TEXT_BYTES, "%s is refused by request", faulty.refused);
        return false;
    }
    return faulty.inner->supports(info, call, reason);
}

static bur_status faulty_run(bur_device_handle *device, bur_command *const *commands, int32_t count)
{
    return faulty.runs_left-- > 0 ? faulty.inner->run(device, commands, count)
                                  : bur_fail(BUR_E_LOST, "lost by request");
}

/* A model, drawn data of its shape and a device that can be made to fail. */
typedef struct scene {
    bur_context *context;
    bur_device *cpu, *device;
    bur_recipe *recipe;
    bur_data data;
    char note[512]; /* the last that was told */
    int notes, epochs;
} scene;

/* Everything that a convolutional network of the library consists of, small. */
static bur_recipe *tiny_cnn(bur_context *context)
{
    const bur_layer layers[] = {bur_conv2d(3, 3, BUR_SAME, BUR_TANH),
                                bur_max_pooling2d(2),
                                bur_flatten(),
                                bur_dropout(0.25F),
                                bur_dense(6, BUR_LEAKY_RELU),
                                bur_dense(3, BUR_SOFTMAX)};
    const bur_shape image = {.rank = 3, .dim = {6, 6, 1}};
    return test_sequential(context, &image, layers, sizeof layers / sizeof *layers);
}

static void scene_open(scene *s, const bur_backend *backend, const char *name)
{
    *s = (scene){.context = NULL};
    const bur_data_options options = {
        .seed = SEED, .count = COUNT, .classes = 3, .sample = {.rank = 3, .dim = {6, 6, 1}}};
    bur_test_reference_reset();
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    if (backend != NULL)
        assert_ok(bur_context_add_backend(s->context, backend));
    assert_ok(bur_device_open(&s->cpu, s->context, "cpu"));
    assert_ok(bur_device_open(&s->device, s->context, name));
    assert_ok(bur_data_open(&s->data, s->context, "random", &options));
    s->recipe = tiny_cnn(s->context);
}

static void scene_close(scene *s)
{
    bur_test_reference_reset();
    bur_recipe_destroy(s->recipe);
    bur_data_close(&s->data);
    bur_context_destroy(s->context);
}

static bur_status hear(void *user, bur_event event, const void *data)
{
    scene *s = user;
    if (event == BUR_EVENT_NOTE) {
        snprintf(s->note, sizeof s->note, "%s", (const char *)data);
        s->notes++;
    }
    s->epochs += event == BUR_EVENT_EPOCH;
    return BUR_OK;
}

static bur_fit_options options_of(scene *s)
{
    /* A snapshot with every step: the CPU goes on where the device stopped. */
    return (bur_fit_options){.batch = BATCH,
                             .epochs = EPOCHS,
                             .validation_split = 0.25,
                             .seed = SEED,
                             .snapshot_s = 1e-9,
                             .callback = hear,
                             .callback_user = s};
}

/* ---- a device that fails ---- */

/* What the run gives where nothing fails. */
typedef struct outcome {
    double losses[EPOCHS], val_losses[EPOCHS], rates[EPOCHS];
    int64_t updates, calls;
} outcome;

static void take_outcome(outcome *out, const bur_trainer *trainer)
{
    int64_t epochs = 0;
    const bur_epoch *history = bur_trainer_history(trainer, &epochs);
    assert_int_equal(epochs, EPOCHS);
    for (int e = 0; e < EPOCHS; e++) {
        assert_int_equal(history[e].epoch, e + 1);
        out->losses[e] = history[e].loss;
        out->val_losses[e] = history[e].val_loss;
        out->rates[e] = history[e].learning_rate;
    }
    out->updates = history[EPOCHS - 1].updates;
}

static void check_same(const outcome *a, const outcome *b, int64_t after)
{
    assert_int_equal(a->updates, b->updates);
    for (int e = 0; e < EPOCHS; e++)
        if (a->rates[e] != b->rates[e] ||
            !(fabs(a->losses[e] - b->losses[e]) <= 1e-5 * b->losses[e]) ||
            !(fabs(a->val_losses[e] - b->val_losses[e]) <= 1e-5 * b->val_losses[e]))
            fail_msg("lost after %lld calls: epoch %d at %g has losses %.9g and %.9g, "
                     "without at %g %.9g, %.9g",
                     (long long)after, e + 1, a->rates[e], a->losses[e], a->val_losses[e],
                     b->rates[e], b->losses[e], b->val_losses[e]);
}

/* Fits and evaluates on a device that is lost after so many calls; -1: never. */
static bool fit_and_lose(scene *s, const bur_fit_options *options, int64_t after, outcome *out)
{
    bur_trainer *trainer = NULL;
    double loss = 0, metric = 0;
    bur_test_reference_reset();
    assert_ok(bur_trainer_create(&trainer, s->device, s->recipe, &s->data, options));
    const int64_t before = bur_test_reference_calls();
    if (after >= 0)
        bur_test_reference_lose_after(after);
    s->notes = s->epochs = 0;
    assert_ok(bur_trainer_fit(trainer));
    assert_ok(bur_trainer_evaluate(trainer, s->data.test, &loss, &metric));
    assert_true(isfinite(loss));
    take_outcome(out, trainer);
    out->calls = bur_test_reference_calls() - before;
    assert_int_equal(s->epochs, EPOCHS);
    const bool lost = bur_trainer_device(trainer) == s->cpu;
    assert_int_equal(s->notes, lost);
    bur_trainer_destroy(trainer);
    return lost;
}

/* At every point of the run in turn, evaluations included: no update and no epoch is missing, and
 * the figures are those of a run that lost nothing. In the midst of a copy of the state they cannot
 * be, and the note says so. */
static void check_lost_anywhere(double snapshot_s)
{
    int64_t mixed = 0;
    scene s;
    scene_open(&s, bur_test_reference_backend(), "ref:0");
    bur_fit_options options = options_of(&s);
    options.snapshot_s = snapshot_s;
    /* An epoch that counted twice would be one without progress, and lower the rate. */
    options.schedule = (bur_schedule){.kind = BUR_SCHEDULE_PLATEAU, .decay_epochs = 1};
    outcome without = {.calls = 0}, with = {.calls = 0};
    assert_false(fit_and_lose(&s, &options, -1, &without));
    assert_true(without.calls > STEPS);
    for (int64_t after = 0; after < without.calls; after++) {
        assert_true(fit_and_lose(&s, &options, after, &with));
        if (strstr(s.note, "with some tensors of update") == NULL)
            check_same(&with, &without, after);
        else
            mixed++;
        if (strstr(s.note, "ref:0 failed (the reference device was lost by request)") == NULL ||
            strstr(s.note, "goes on on the CPU") == NULL)
            fail_msg("the note is '%s'", s.note);
    }
    assert_true(mixed > 0 && without.calls - mixed > STEPS);
    assert_false(fit_and_lose(&s, &options, without.calls, &with));
    scene_close(&s);
}

static void test_train_lost__a_device_lost_anywhere_is_replaced_by_the_cpu(void **state)
{
    (void)state;
    check_lost_anywhere(1e-9);
}

static void test_train_lost__what_came_after_the_last_snapshot_is_repeated(void **state)
{
    (void)state;
    check_lost_anywhere(3600);
}

static void test_train_lost__with_fallback_off_a_lost_device_is_an_error(void **state)
{
    (void)state;
    scene s;
    bur_trainer *trainer = NULL;
    scene_open(&s, bur_test_reference_backend(), "ref:0");
    bur_fit_options options = options_of(&s);
    options.fallback_off = true;
    assert_ok(bur_trainer_create(&trainer, s.device, s.recipe, &s.data, &options));
    bur_test_reference_lose_after(5);
    assert_status(BUR_E_LOST, bur_trainer_fit(trainer));
    assert_ptr_equal(bur_trainer_device(trainer), s.device);
    assert_int_equal(s.notes, 0);
    bur_trainer_destroy(trainer);
    scene_close(&s);
}

/* ---- an operator that the device lacks ---- */

/* Losses of STEPS steps, and how many nodes ran on the CPU. */
static int32_t train(const scene *s, const char *refused, double *losses)
{
    test_run run;
    const bur_optimizer adam = bur_optimizer_default(BUR_ADAM);
    test_run_create(&run, s->device, s->cpu, s->recipe, s->data.train, BATCH, &adam, SEED);
    const int32_t nodes = bur_plan_get_summary(run.plan)->fallback_nodes;
    for (int32_t i = 0; i < nodes; i++) {
        const char *reason = NULL;
        assert_string_equal(bur_plan_fallback(run.plan, i, &reason), refused);
        assert_non_null(strstr(reason, "is refused by request"));
    }
    assert_null(bur_plan_fallback(run.plan, nodes, NULL));
    for (int64_t i = 0; i < STEPS; i++)
        losses[i] = test_run_step(&run, s->data.train, i);
    test_run_destroy(&run);
    return nodes;
}

/* The operators of the training graph but views, each once. */
static int32_t list_operators(const scene *s, const char **names, int32_t room)
{
    bur_graph *graph = NULL;
    const bur_graph_options options = {.batch = BATCH,
                                       .mode = BUR_TRAIN,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_ADAM)};
    assert_ok(bur_graph_create(&graph, s->recipe, &options));
    int32_t count = 0;
    for (int32_t i = 0; i < bur_graph_node_count(graph); i++) {
        const bur_op_info *op = bur_op_get(bur_graph_node_op(graph, i));
        bool known = (op->flags & BUR_OP_VIEW) != 0;
        for (int32_t j = 0; j < count; j++)
            known = known || strcmp(names[j], op->name) == 0;
        if (known)
            continue;
        assert_true(count < room);
        names[count++] = op->name;
    }
    bur_graph_destroy(graph);
    return count;
}

/* Refuses each operator in turn by `refuse`. */
static void check_refusals(const scene *s, void (*refuse)(const char *name))
{
    const char *names[32];
    double wanted[STEPS], losses[STEPS];
    const int32_t count = list_operators(s, names, 32);
    assert_true(count >= 10); /* convolution, pooling, dropout, dense, loss; most with a gradient */
    refuse(NULL);
    assert_int_equal(train(s, NULL, wanted), 0);
    for (int32_t i = 0; i < count; i++) {
        refuse(names[i]);
        if (train(s, names[i], losses) < 1)
            fail_msg("%s was refused, and no node went to the CPU", names[i]);
        for (int k = 0; k < STEPS; k++)
            if (!(fabs(losses[k] - wanted[k]) <= 1e-5 * wanted[k]))
                fail_msg("with %s on the CPU step %d has loss %.9g, without %.9g", names[i], k,
                         losses[k], wanted[k]);
    }
    refuse(NULL);
}

static void test_train_lost__an_operator_the_device_lacks_runs_on_the_cpu(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, bur_test_reference_backend(), "ref:0");
    check_refusals(&s, bur_test_reference_refuse);
    scene_close(&s);
}

static void test_train_lost__with_fallback_off_a_lacking_operator_is_an_error(void **state)
{
    (void)state;
    scene s;
    bur_trainer *trainer = NULL;
    scene_open(&s, bur_test_reference_backend(), "ref:0");
    bur_fit_options options = options_of(&s);
    bur_test_reference_refuse("max_pool2d");
    assert_ok(bur_trainer_create(&trainer, s.device, s.recipe, &s.data, &options));
    assert_true(bur_trainer_plan(trainer)->fallback_nodes > 0);
    assert_ok(bur_trainer_fit(trainer));
    bur_trainer_destroy(trainer);
    options.fallback_off = true;
    assert_status(BUR_E_UNSUPPORTED,
                  bur_trainer_create(&trainer, s.device, s.recipe, &s.data, &options));
    assert_string_equal(bur_last_error(),
                        "ref:0 has no max_pool2d: max_pool2d is refused by request");
    scene_close(&s);
}

/* ---- the same on the expected OpenCL devices ---- */

static void refuse_faulty(const char *name)
{
    faulty.refused = name;
}

/* A context whose device `name` goes through the faulty backend: it is found before the real one.
 */
static void faulty_open(scene *s, const bur_device *real)
{
    const bur_target target = bur_device_target(real);
    faulty.inner = target.backend;
    faulty.backend = *target.backend;
    faulty.backend.supports = faulty_supports;
    faulty.backend.run = faulty_run;
    faulty.refused = NULL;
    faulty.runs_left = INT64_MAX;
    scene_open(s, &faulty.backend, target.info->name);
    assert_ptr_equal(bur_device_target(s->device).backend, &faulty.backend);
}

static void check_lost(scene *s)
{
    bur_trainer *trainer = NULL;
    bur_fit_options options = options_of(s);
    outcome with = {.calls = 0}, without = {.calls = 0};
    assert_ok(bur_trainer_create(&trainer, s->device, s->recipe, &s->data, &options));
    assert_ok(bur_trainer_fit(trainer));
    take_outcome(&without, trainer);
    bur_trainer_destroy(trainer);
    assert_ok(bur_trainer_create(&trainer, s->device, s->recipe, &s->data, &options));
    faulty.runs_left = 7;
    assert_ok(bur_trainer_fit(trainer));
    take_outcome(&with, trainer);
    assert_ptr_equal(bur_trainer_device(trainer), s->cpu);
    assert_int_equal(s->notes, 1);
    check_same(&with, &without, 7);
    bur_trainer_destroy(trainer);
}

static void test_train_lost__expected_devices_lack_operators_and_fail_as_the_reference(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    assert_ok(bur_context_create(&context, NULL));
    const int32_t count = test_run_devices(devices, context);
    for (int32_t d = 1; d < count; d++) {
        scene s;
        faulty_open(&s, devices[d]);
        check_refusals(&s, refuse_faulty);
        check_lost(&s);
        scene_close(&s);
    }
    bur_context_destroy(context);
    if (count == 1)
        skip(); /* a build without OpenCL */
}
