/* Kernel times: measured by a session, kept in the user's cache, read back by another context. */
#define _GNU_SOURCE /* setenv, mkdtemp */
#include "test.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 32, SAMPLE = 784 };

typedef struct scene {
    bur_context *context;
    bur_device *cpu;
    bur_recipe *recipe;
    bur_graph *graph;
    bur_plan *plan;
    bur_memory *memory;
    bur_session *session;
    float *x;
    int32_t labels[BATCH];
} scene;

static char folder[64];

static void enter_cache(void)
{
    snprintf(folder, sizeof folder, "/tmp/burthen-times-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("XDG_CACHE_HOME", folder, 1), 0);
}

/* The path of the one file of times, into path[size]. */
static void times_path(char *path, size_t size)
{
    char pattern[128];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/burthen/times-*.txt", folder);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    snprintf(path, size, "%s", found.gl_pathv[0]);
    globfree(&found);
}

static void leave_cache(void)
{
    char path[256];
    times_path(path, sizeof path);
    assert_int_equal(remove(path), 0);
    snprintf(path, sizeof path, "%s/burthen", folder);
    rmdir(path);
    rmdir(folder);
}

static void scene_open(scene *s)
{
    const bur_zoo_options zoo = {.hidden = "64-32"};
    const bur_graph_options options = {.batch = BATCH,
                                       .loss = BUR_LOSS_CROSS_ENTROPY,
                                       .optimizer = bur_optimizer_default(BUR_SGD)};
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, NULL));
    assert_ok(bur_device_open(&s->cpu, s->context, "cpu"));
    assert_ok(bur_zoo_create(&s->recipe, s->context, "mlp", &zoo));
    const bur_target target = bur_device_target(s->cpu);
    assert_ok(bur_graph_create(&s->graph, s->recipe, &options));
    assert_ok(bur_plan_create(&s->plan, s->graph, &target, NULL));
    assert_ok(bur_memory_create(&s->memory, s->cpu, (const bur_plan *const *)&s->plan, 1));
    assert_ok(bur_session_create(&s->session, s->memory, s->plan));
    assert_ok(bur_session_initialize(s->session, s->recipe, 1));
    s->x = calloc((size_t)BATCH * SAMPLE, sizeof *s->x);
    assert_non_null(s->x);
}

static void scene_close(scene *s)
{
    free(s->x);
    bur_session_destroy(s->session);
    bur_memory_destroy(s->memory);
    bur_plan_destroy(s->plan);
    bur_graph_destroy(s->graph);
    bur_recipe_destroy(s->recipe);
    bur_context_destroy(s->context);
}

static void calibrate(scene *s)
{
    const bur_scalars scalars = {.learning_rate = 1e-6F, .inverse_weight_sum = 1.0F / BATCH};
    assert_ok(bur_session_calibrate(s->session, s->x, s->labels, &scalars, 1, 5));
}

static bur_step_time step_time(const scene *s, int32_t *known)
{
    const bur_calibration *calibration = NULL;
    assert_ok(bur_device_calibration(&calibration, s->cpu));
    *known = bur_calibration_count(calibration);
    return bur_plan_step_time(s->plan, calibration);
}

/* All calls of the plan were measured, so its time is theirs, now and in a later process. */
static void test_run_times__a_measured_step_is_known_to_later_contexts(void **state)
{
    (void)state;
    scene s;
    int32_t known = 0, later = 0;
    enter_cache();
    scene_open(&s);
    assert_false(step_time(&s, &known).known);
    assert_int_equal(known, 0);
    calibrate(&s);
    const bur_step_time time = step_time(&s, &known);
    assert_true(time.known && known > 5 && time.measured_share > 0.999);
    assert_true(time.accumulate_s > 0 && time.update_s > 0);
    scene_close(&s);
    scene_open(&s);
    const bur_step_time again = step_time(&s, &later);
    assert_int_equal(later, known);
    assert_true(again.known && again.measured_share > 0.999);
    assert_true(again.accumulate_s > 0.999 * time.accumulate_s &&
                again.accumulate_s < 1.001 * time.accumulate_s);
    scene_close(&s);
    leave_cache();
}

static void test_run_times__damaged_lines_are_not_there(void **state)
{
    (void)state;
    scene s;
    int32_t known = 0, left = 0;
    char path[256];
    enter_cache();
    scene_open(&s);
    calibrate(&s);
    step_time(&s, &known);
    scene_close(&s);
    times_path(path, sizeof path);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fputc('x', file), 'x'); /* the first line's key is no number */
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    fputs("0123456789abcdef 0123456789abcdef 0 matmul 1 1 -1\n"
          "0123456789abcdef 0123456789abcdef 0 no_such_operator 1 1 1\n"
          "0123456789abcdef 0123456789abcdef 4 matmul 1 1 1\n"
          "0123456789abcdef 0123456789abcdef -1 matmul 1 1 1\n"
          "0123456789abcdef 0123456789abcdef matmul 1 1 1\n"
          "0123456789abcdef",
          file);
    assert_int_equal(fclose(file), 0);
    scene_open(&s);
    const bur_step_time time = step_time(&s, &left);
    assert_int_equal(left, known - 1);
    assert_true(time.known && time.measured_share < 1);
    scene_close(&s);
    leave_cache();
}
