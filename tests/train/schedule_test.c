/* Learning-rate schedules, against their formulas in double, and what training does with them. */
#include "test.h"

#include "support/model.h"
#include "support/run.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 8, EPOCHS = 12, UPDATES = 3 * EPOCHS };

#define PI 3.14159265358979323846

/* y = 2 x - 1, so that both the slope and the offset have a way to go. */
static const float rows_x[ROWS] = {-1, -0.75F, -0.5F, -0.25F, 0, 0.25F, 0.5F, 0.75F};
static const float rows_y[ROWS] = {-3, -2.5F, -2, -1.5F, -1, -0.5F, 0, 0.5F};

typedef struct scene {
    bur_context *context;
    bur_device *cpu;
    bur_recipe *recipe;
    bur_data data;
} scene;

static void scene_open(scene *s)
{
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_device_open(&s->cpu, s->context, "cpu"));
    s->recipe = test_linear(s->context, 1);
    s->data.train = test_rows(s->context, ROWS, 1, rows_x, rows_y);
}

static void scene_close(scene *s)
{
    bur_data_close(&s->data);
    bur_recipe_destroy(s->recipe);
    bur_context_destroy(s->context);
}

static void assert_near(double got, double wanted, const char *what, int64_t at)
{
    if (!(fabs(got - wanted) <= 1e-12 + 1e-6 * fabs(wanted)))
        fail_msg("%s %d: %.9g, wanted %.9g", what, (int)at, got, wanted);
}

static void test_train_schedule__every_update_takes_the_share_of_the_formula(void **state)
{
    (void)state;
    const bur_schedule
        constant = {.kind = BUR_SCHEDULE_CONSTANT, .warmup = 4, .decay = 1, .decay_epochs = 1},
        cosine = {.kind = BUR_SCHEDULE_COSINE, .warmup = 6, .decay = 1, .decay_epochs = 1},
        exponential = {.kind = BUR_SCHEDULE_EXPONENTIAL, .decay = 0.5F, .decay_epochs = 2},
        step = {.kind = BUR_SCHEDULE_STEP, .decay = 0.5F, .decay_epochs = 2};
    for (int64_t u = 0; u < UPDATES; u++) {
        const double epoch = (double)u / 3;
        assert_near(bur_schedule_share(&constant, u, UPDATES, 3), u < 4 ? (double)(u + 1) / 5 : 1,
                    "constant after a warm-up of 4", u);
        assert_near(bur_schedule_share(&cosine, u, UPDATES, 3),
                    u < 6 ? (double)(u + 1) / 7 : pow(cos(PI * (double)(u - 6) / 60), 2),
                    "cosine after a warm-up of 6", u);
        assert_near(bur_schedule_share(&exponential, u, UPDATES, 3), exp2(-epoch / 2),
                    "exponential", u);
        assert_near(bur_schedule_share(&step, u, UPDATES, 3), ldexp(1, -(int)(u / 6)), "step", u);
    }
}

/* Of slope and offset, in double: one update takes all rows. */
static void descend(double p[2], double rate)
{
    double g[2] = {0, 0};
    for (int i = 0; i < ROWS; i++) {
        const double e = p[0] * (double)rows_x[i] + p[1] - (double)rows_y[i];
        g[0] += 2 * e * (double)rows_x[i] / ROWS;
        g[1] += 2 * e / ROWS;
    }
    p[0] -= rate * g[0];
    p[1] -= rate * g[1];
}

static bur_trainer *create(const scene *s, const bur_schedule *schedule, float rate)
{
    bur_trainer *trainer = NULL;
    const bur_fit_options options = {.batch = ROWS,
                                     .epochs = EPOCHS,
                                     .optimizer = {.kind = BUR_SGD, .learning_rate = rate},
                                     .schedule = *schedule};
    assert_ok(bur_trainer_create(&trainer, s->cpu, s->recipe, &s->data, &options));
    return trainer;
}

/* The weights tell what rates were used; the history, what it says they were. */
static void test_train_schedule__weights_and_history_follow_the_rates(void **state)
{
    (void)state;
    static const bur_schedule schedules[] = {
        {.kind = BUR_SCHEDULE_CONSTANT, .warmup = 5},
        {.kind = BUR_SCHEDULE_COSINE, .warmup = 2},
        {.kind = BUR_SCHEDULE_EXPONENTIAL}, /* 0.9 each epoch */
        {.kind = BUR_SCHEDULE_STEP},        /* 0.1 each third of them */
    };
    const float rate = 0.25F;
    scene s;
    scene_open(&s);
    for (size_t k = 0; k < sizeof schedules / sizeof *schedules; k++) {
        bur_trainer *trainer = create(&s, &schedules[k], rate);
        float *start = test_run_read_state(bur_trainer_session(trainer), NULL);
        double p[2] = {(double)start[0], (double)start[1]};
        int64_t n = 0;
        assert_ok(bur_trainer_fit(trainer));
        const bur_epoch *history = bur_trainer_history(trainer, &n);
        assert_int_equal(n, EPOCHS);
        for (int64_t u = 0; u < EPOCHS; u++) {
            const double shares[] = {
                u < 5 ? (double)(u + 1) / 6 : 1,
                u < 2 ? (double)(u + 1) / 3 : pow(cos(PI * (double)(u - 2) / 20), 2),
                pow(0.9, (double)u),
                pow(0.1, (double)(u / 4)),
            };
            assert_near(history[u].learning_rate, (double)rate * shares[k], "rate", u);
            descend(p, (double)rate * shares[k]);
        }
        float *end = test_run_read_state(bur_trainer_session(trainer), NULL);
        for (int i = 0; i < 2; i++)
            if (!(fabs((double)end[i] - p[i]) <= 1e-5))
                fail_msg("%s: weight %d is %.9g, in double %.9g",
                         bur_schedule_name(schedules[k].kind), i, (double)end[i], p[i]);
        free(start);
        free(end);
        bur_trainer_destroy(trainer);
    }
    scene_close(&s);
}

/* With a rate that moves nothing no epoch is better than the first, which is better than none. */
static void test_train_schedule__a_plateau_lowers_the_rate(void **state)
{
    (void)state;
    const bur_schedule plateau = {.kind = BUR_SCHEDULE_PLATEAU, .decay = 0.5F, .decay_epochs = 3};
    scene s;
    int64_t n = 0;
    scene_open(&s);
    bur_trainer *stuck = create(&s, &plateau, 1e-9F), *moving = create(&s, &plateau, 0.25F);
    assert_ok(bur_trainer_fit(stuck));
    const bur_epoch *history = bur_trainer_history(stuck, &n);
    for (int64_t e = 0; e < EPOCHS; e++)
        assert_near(history[e].learning_rate,
                    (double)1e-9F * ldexp(1, e < 1 ? 0 : -(int)(e - 1) / 3),
                    "rate without progress", e);
    assert_ok(bur_trainer_fit(moving));
    history = bur_trainer_history(moving, &n);
    for (int64_t e = 0; e < EPOCHS; e++)
        assert_near(history[e].learning_rate, 0.25, "rate with progress", e);
    bur_trainer_destroy(stuck);
    bur_trainer_destroy(moving);
    scene_close(&s);
}

static void test_train_schedule__what_is_no_schedule_is_refused(void **state)
{
    (void)state;
    static const bur_schedule wrong[] = {
        {.kind = BUR_SCHEDULE_COUNT},
        {.warmup = -1},
        {.decay = -0.5F},
        {.decay = 1.5F},
        {.decay = NAN},
        {.decay_epochs = -1},
    };
    scene s;
    scene_open(&s);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        bur_trainer *trainer = NULL;
        const bur_fit_options options = {.schedule = wrong[i]};
        assert_status(BUR_E_ARG, bur_trainer_create(&trainer, s.cpu, s.recipe, &s.data, &options));
        assert_null(trainer);
    }
    scene_close(&s);
}
