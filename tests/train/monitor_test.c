/* S-108, and what the issue calls dying of memory: the budget is read again before each epoch, and
 * a run whose budget has shrunk steps down and goes on with the same updates. */
#include "test.h"

#include "support/run.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 512, BATCH = 64, EPOCHS = 3 };

typedef struct scene {
    bur_context *context;
    bur_device *cpu;
    bur_recipe *recipe;
    bur_data data;
    bur_trainer *trainer;
    uint64_t shrunk_bytes; /* the budget after the first epoch; 0: as it was */
    int notes, epochs;
    char note[512]; /* the last */
    double ram_percent;
    size_t live_bytes[EPOCHS]; /* of the device, after each epoch */
} scene;

static bur_status hear(void *user, bur_event event, const void *data)
{
    scene *s = user;
    if (event == BUR_EVENT_NOTE) {
        s->notes++;
        snprintf(s->note, sizeof s->note, "%s", (const char *)data);
    }
    if (event != BUR_EVENT_EPOCH)
        return BUR_OK;
    const bur_epoch *row = data;
    s->ram_percent = row->ram_percent;
    s->live_bytes[s->epochs++] = bur_device_live_bytes(s->cpu);
    if (s->shrunk_bytes > 0)
        s->trainer->options.budget_bytes = s->shrunk_bytes;
    return BUR_OK;
}

static void scene_open(scene *s, const char *model, const bur_zoo_options *zoo,
                       const bur_data_options *data, const char *data_name)
{
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_device_open(&s->cpu, s->context, "cpu"));
    assert_ok(bur_data_open(&s->data, s->context, data_name, data));
    assert_ok(bur_zoo_create(&s->recipe, s->context, model, zoo));
}

static void open_cnn(scene *s)
{
    scene_open(s, "cnn", NULL, &(bur_data_options){.count = COUNT}, "digits");
}

static void open_resnet(scene *s)
{
    static const bur_shape sample = {.rank = 3, .dim = {16, 16, 3}};
    const bur_zoo_options zoo = {
        .sample = sample, .classes = 10, .width = 0.125F, .small_stem = true};
    const bur_data_options data = {.count = COUNT, .classes = 10, .sample = sample};
    scene_open(s, "resnet18", &zoo, &data, "random");
}

static void start_with(scene *s, float recompute)
{
    const bur_fit_options options = {.batch = BATCH,
                                     .epochs = EPOCHS,
                                     .accumulate = 1,
                                     .recompute = recompute,
                                     .validation_split = 0.1,
                                     .callback = hear,
                                     .callback_user = s};
    s->notes = s->epochs = 0;
    s->note[0] = '\0';
    assert_ok(bur_trainer_create(&s->trainer, s->cpu, s->recipe, &s->data, &options));
}

static void start(scene *s)
{
    start_with(s, 1);
}

/* Trains and gives the state; yours to free. */
static float *train(scene *s, int64_t *count)
{
    assert_ok(bur_trainer_fit(s->trainer));
    assert_int_equal(s->epochs, EPOCHS);
    return test_run_read_state(bur_trainer_session(s->trainer), count);
}

static void scene_close(scene *s)
{
    bur_trainer_destroy(s->trainer);
    assert_int_equal(bur_device_live_bytes(s->cpu), 0);
    bur_recipe_destroy(s->recipe);
    bur_data_close(&s->data);
    bur_context_destroy(s->context);
}

static void test_train_monitor__a_shrunk_budget_splits_the_batch_and_keeps_the_updates(void **state)
{
    (void)state;
    scene s;
    int64_t count = 0;
    double loss[2], metric[2];
    open_cnn(&s);
    start(&s);
    float *undisturbed = train(&s, &count);
    assert_int_equal(s.notes, 0);
    assert_ok(bur_trainer_evaluate(s.trainer, s.data.test, &loss[0], &metric[0]));
    bur_trainer_destroy(s.trainer);

    start(&s);
    const bur_run_plan plan = *bur_trainer_plan(s.trainer);
    s.shrunk_bytes = plan.peak_bytes - plan.arena_bytes / 2;
    float *stepped_down = train(&s, &count);
    assert_int_equal(s.notes, 1);
    assert_non_null(strstr(s.note, "from epoch 2 on the batch of 64 goes in "));
    assert_non_null(strstr(s.note, "the given budget now leaves "));
    assert_true(s.trainer->options.accumulate > 1 && s.trainer->options.batch == BATCH);
    assert_int_equal(s.live_bytes[0], plan.device_bytes);
    assert_true(s.live_bytes[1] <= plan.device_bytes - plan.arena_bytes / 2);
    assert_int_equal(s.live_bytes[2], s.live_bytes[1]);
    assert_true(bur_device_peak_bytes(s.cpu) == plan.device_bytes); /* nor while it stepped down */
    assert_int_equal(bur_trainer_plan(s.trainer)->peak_bytes, plan.peak_bytes); /* of the start */
    const double apart = test_run_difference(stepped_down, undisturbed, count);
    assert_true(apart > 0 && apart < 1e-3);
    assert_ok(bur_trainer_evaluate(s.trainer, s.data.test, &loss[1], &metric[1]));
    assert_true(fabs(loss[1] - loss[0]) < 1e-3 * loss[0]);
    free(undisturbed);
    free(stepped_down);
    scene_close(&s);
}

/* Batch normalisation: no parts, and the same bits. */
static void test_train_monitor__a_normalised_batch_is_computed_again_to_the_bit(void **state)
{
    (void)state;
    scene s;
    int64_t count = 0;
    open_resnet(&s);
    start_with(&s, 0.5F);
    const uint64_t least = bur_trainer_plan(s.trainer)->peak_bytes;
    bur_trainer_destroy(s.trainer);
    start(&s);
    float *undisturbed = train(&s, &count);
    const bur_run_plan plan = *bur_trainer_plan(s.trainer);
    bur_trainer_destroy(s.trainer);
    const uint64_t taken = (plan.peak_bytes - least) / 3;
    assert_true(plan.peak_bytes > least);
    s.shrunk_bytes = plan.peak_bytes - taken;
    start(&s);
    float *stepped_down = train(&s, &count);
    assert_int_equal(s.notes, 1);
    assert_non_null(strstr(s.note, "of a step's work is done twice"));
    assert_int_equal(s.trainer->options.accumulate, 1);
    assert_true(s.trainer->options.recompute < 1);
    assert_true(s.live_bytes[1] <= plan.device_bytes - taken);
    assert_memory_equal(stepped_down, undisturbed, (size_t)count * sizeof *undisturbed);
    free(undisturbed);
    free(stepped_down);
    scene_close(&s);
}

static void test_train_monitor__what_cannot_step_down_says_so_once_and_goes_on(void **state)
{
    (void)state;
    scene s;
    int64_t count = 0;
    open_resnet(&s);
    start(&s);
    float *undisturbed = train(&s, &count);
    const bur_run_plan plan = *bur_trainer_plan(s.trainer);
    bur_trainer_destroy(s.trainer);
    start(&s);
    s.shrunk_bytes = plan.peak_bytes - plan.arena_bytes;
    float *helpless = train(&s, &count); /* in an arena that was given back and taken again */
    assert_memory_equal(helpless, undisturbed, (size_t)count * sizeof *undisturbed);
    free(helpless);
    free(undisturbed);
    assert_int_equal(s.notes, 1);
    assert_non_null(strstr(s.note, "the run cannot give any back: it normalises the whole batch"));
    assert_int_equal(s.live_bytes[EPOCHS - 1], plan.device_bytes);
    scene_close(&s);
}

/* (total - available) / total of /proc/meminfo, as psutil computes it, within a point. */
static void test_train_monitor__epochs_tell_the_ram_in_use(void **state)
{
    (void)state;
    scene s;
    int64_t count = 0;
    char line[256];
    double total = 0, available = 0, kilobytes = 0;
    open_cnn(&s);
    start(&s);
    free(train(&s, &count));
    FILE *file = fopen("/proc/meminfo", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "MemTotal: %lf", &kilobytes) == 1)
            total = kilobytes;
        if (sscanf(line, "MemAvailable: %lf", &kilobytes) == 1)
            available = kilobytes;
    }
    fclose(file);
    bur_host_memory host;
    assert_ok(bur_host_memory_read(&host));
    const double percent = 100 * (total - available) / total;
    assert_true(s.ram_percent > 0 && s.ram_percent < 100);
    if (host.limit_bytes == 0) /* in a group it is the share of what the group may have */
        assert_true(fabs(s.ram_percent - percent) < 1);
    scene_close(&s);
}
