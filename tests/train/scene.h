/* Drawn digits, a model for them, every device, and a file to save to. */
#ifndef BUR_TESTS_TRAIN_SCENE_H
#define BUR_TESTS_TRAIN_SCENE_H

#include "test.h"

#include "support/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct scene {
    bur_context *context;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    int32_t n_devices;
    bur_data data;
    bur_recipe *recipe; /* the caller's to set, the scene's to destroy */
    char path[64];
} scene;

static inline void scene_open(scene *s, int64_t count)
{
    *s = (scene){.context = NULL};
    assert_ok(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    s->n_devices = test_run_devices(s->devices, s->context);
    assert_ok(bur_data_open(&s->data, s->context, "digits",
                            &(bur_data_options){.seed = 1, .count = count}));
    snprintf(s->path, sizeof s->path, "scene_%ld.safetensors", (long)getpid());
}

static inline void scene_close(scene *s)
{
    remove(s->path);
    bur_recipe_destroy(s->recipe);
    bur_data_close(&s->data);
    bur_context_destroy(s->context);
}

static inline bur_trainer *scene_trainer(const scene *s, bur_device *device, uint64_t seed)
{
    bur_trainer *trainer = NULL;
    const bur_fit_options options = {.epochs = 3, .batch = 32, .seed = seed};
    assert_ok(bur_trainer_create(&trainer, device, s->recipe, &s->data, &options));
    return trainer;
}

/* On every device: what is trained, saved and loaded into a trainer of another seed evaluates as
 * before; with state, every state tensor has the same bits. */
static inline void scene_check_saved(const scene *s, bool with_state)
{
    for (int32_t d = 0; d < s->n_devices; d++) {
        int64_t count = 0;
        double loss[2], metric[2];
        bur_trainer *trained = scene_trainer(s, s->devices[d], 1);
        bur_trainer *fresh = scene_trainer(s, s->devices[d], 2);
        assert_ok(bur_trainer_fit(trained));
        assert_ok(bur_trainer_evaluate(trained, s->data.test, &loss[0], &metric[0]));
        assert_ok(bur_trainer_save(trained, s->path, with_state));
        assert_ok(bur_trainer_load(fresh, s->path, with_state));
        assert_ok(bur_trainer_evaluate(fresh, s->data.test, &loss[1], &metric[1]));
        assert_true(loss[0] == loss[1] && metric[0] == metric[1]);
        float *a = test_run_read_state(bur_trainer_session(trained), &count);
        float *b = test_run_read_state(bur_trainer_session(fresh), &count);
        if (with_state)
            assert_memory_equal(a, b, (size_t)count * sizeof *a);
        free(a);
        free(b);
        bur_trainer_destroy(trained);
        bur_trainer_destroy(fresh);
    }
}

#endif
