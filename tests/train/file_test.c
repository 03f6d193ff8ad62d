/* Saved parameters and optimizer state come back, bit by bit; what does not fit is refused before
 * anything changes. */
#include "scene.h"

#include <string.h>

static void mlp_scene(scene *s)
{
    scene_open(s, 200);
    assert_ok(bur_zoo_create(&s->recipe, s->context, "mlp", NULL));
}

static void test_train_file__saved_parameters_give_the_same_evaluation(void **state)
{
    (void)state;
    scene s;
    mlp_scene(&s);
    scene_check_saved(&s, true);
    scene_close(&s);
}

/* Parameters alone: the optimizer's state stays as it was, zero. */
static void test_train_file__a_file_without_state_holds_the_parameters_alone(void **state)
{
    (void)state;
    scene s;
    bur_safetensors *file = NULL;
    mlp_scene(&s);
    bur_trainer *trained = scene_trainer(&s, s.devices[0], 1),
                *fresh = scene_trainer(&s, s.devices[0], 2);
    assert_ok(bur_trainer_fit(trained));
    assert_ok(bur_trainer_save(trained, s.path, false));
    assert_ok(bur_safetensors_open(&file, s.context, s.path));
    assert_int_equal(bur_safetensors_count(file), bur_recipe_parameter_count(s.recipe));
    assert_string_equal(bur_safetensors_metadata(file, "model"), "mlp");
    bur_safetensors_close(file);
    assert_ok(bur_trainer_load(fresh, s.path, false));
    bur_session *session = bur_trainer_session(fresh);
    const int32_t n = bur_session_state_count(session);
    assert_int_equal(n, 3 * bur_recipe_parameter_count(s.recipe)); /* and Adam's two */
    int64_t count = 0;
    float *loaded = test_run_read_state(session, &count),
          *wanted = test_run_read_state(bur_trainer_session(trained), &count);
    assert_memory_equal(loaded, wanted, (size_t)count / 3 * sizeof *loaded);
    for (int64_t i = count / 3; i < count; i++)
        assert_true(loaded[i] == 0);
    /* State is missing in this file: asking for it is an error that names the first of it. */
    assert_status(BUR_E_FORMAT, bur_trainer_load(fresh, s.path, true));
    assert_non_null(strstr(bur_last_error(), "adam.m."));
    free(loaded);
    free(wanted);
    bur_trainer_destroy(trained);
    bur_trainer_destroy(fresh);
    scene_close(&s);
}

static void test_train_file__another_models_file_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *model, *hidden, *says;
    } rows[] = {
        {"mlp", "128-64-48", "'dense3.weight' is f32 64x48 in the file, f32 64x32 in the model"},
        {"mlp", "128", "'dense2.weight' is f32 128x10 in the file, f32 128x64 in the model"},
        {"cnn", NULL, "'dense1.weight'"},
    };
    scene s;
    mlp_scene(&s);
    bur_trainer *trainer = scene_trainer(&s, s.devices[0], 1);
    int64_t count = 0;
    float *before = test_run_read_state(bur_trainer_session(trainer), &count);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bur_recipe *other = NULL;
        bur_trainer *source = NULL;
        const bur_zoo_options options = {.hidden = rows[i].hidden};
        assert_ok(bur_zoo_create(&other, s.context, rows[i].model, &options));
        assert_ok(bur_trainer_create(&source, s.devices[0], other, &s.data, NULL));
        assert_ok(bur_trainer_save(source, s.path, true));
        assert_status(BUR_E_FORMAT, bur_trainer_load(trainer, s.path, true));
        if (strstr(bur_last_error(), rows[i].says) == NULL ||
            strstr(bur_last_error(), s.path) == NULL)
            fail_msg("row %zu: '%s'", i, bur_last_error());
        bur_trainer_destroy(source);
        bur_recipe_destroy(other);
    }
    float *after = test_run_read_state(bur_trainer_session(trainer), &count);
    assert_memory_equal(before, after, (size_t)count * sizeof *before);
    free(before);
    free(after);
    bur_trainer_destroy(trainer);
    scene_close(&s);
}

static void test_train_file__no_file_and_no_folder_are_told(void **state)
{
    (void)state;
    scene s;
    mlp_scene(&s);
    bur_trainer *trainer = scene_trainer(&s, s.devices[0], 1);
    assert_status(BUR_E_FILE, bur_trainer_load(trainer, "no_such_file.safetensors", true));
    assert_non_null(strstr(bur_last_error(), "no_such_file.safetensors"));
    assert_status(BUR_E_FILE, bur_trainer_save(trainer, "no_such_folder/x.safetensors", true));
    bur_trainer_destroy(trainer);
    scene_close(&s);
}

/* Training half, saving, loading and training the rest is training all. */
static void test_train_file__a_run_resumed_from_its_state_goes_on_as_if_never_saved(void **state)
{
    (void)state;
    scene s;
    mlp_scene(&s);
    int64_t count = 0;
    bur_trainer *whole = scene_trainer(&s, s.devices[0], 1),
                *half = scene_trainer(&s, s.devices[0], 1);
    assert_ok(bur_trainer_fit(whole));
    assert_ok(bur_trainer_save(whole, s.path, true));
    assert_ok(bur_trainer_fit(half));
    assert_ok(bur_trainer_load(half, s.path, true));
    assert_ok(bur_trainer_fit(whole));
    assert_ok(bur_trainer_fit(half));
    float *a = test_run_read_state(bur_trainer_session(whole), &count);
    float *b = test_run_read_state(bur_trainer_session(half), &count);
    assert_memory_equal(a, b, (size_t)count * sizeof *a);
    free(a);
    free(b);
    bur_trainer_destroy(whole);
    bur_trainer_destroy(half);
    scene_close(&s);
}
