/* What the documents say of classes of computers (S-084 to S-094), asked of `burthen plan`. */
#define _DEFAULT_SOURCE /* mkdtemp */
#include "program.h"

static program_run run;

/* Whether one batch fits, and its bytes. */
static bool fits(const char *line, double *peak_bytes)
{
    json_t *plan = run_json(&run, line);
    const json_t *row = json_array_get(json_object_get(plan, "rows"), 0);
    const bool yes = json_is_true(json_object_get(row, "fits"));
    *peak_bytes = number_at(row, "peak_bytes");
    json_decref(plan);
    return yes;
}

/* The tables' batches fit where the numbers allow it, and what does not is said with its bytes,
 * never the table's value. */
static void test_cli_classes__table_batches_fit_or_are_refused_by_their_true_bytes(void **state)
{
    static const struct {
        const char *line;
        bool fits;
        double least_gib, most_gib;
    } cases[] = {
        {"plan resnet18 batch=32 recompute=off --device-memory 4GiB --json", true, 0.6, 1},
        {"plan resnet50 batch=32 recompute=off --device-memory 8GiB --json", true, 2.6, 3.2},
        {"plan resnet50 batch=64 recompute=off --device-memory 8GiB --json", true, 5.2, 6},
        {"plan resnet101 batch=64 recompute=off --device-memory 12GiB --json", true, 7.7, 8.5},
        {"plan resnet101 batch=128 recompute=off --device-memory 12GiB --json", false, 15, 16.5},
        {"plan resnet50 input=512x512x3 batch=32 recompute=off --device-memory 8GiB --json", false,
         13, 15},
        {"plan resnet101 input=1024x1024x3 batch=64 recompute=off --device-memory 12GiB --json",
         false, 150, 175},
    };
    (void)state;
    enter_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double peak_bytes = 0;
        const bool yes = fits(cases[i].line, &peak_bytes);
        const double gib = peak_bytes / 0x1p30;
        if (yes != cases[i].fits || gib < cases[i].least_gib || gib > cases[i].most_gib)
            fail_msg("burthen %s: %s, %.2f GiB", cases[i].line, yes ? "fits" : "does not fit", gib);
    }
    leave_folder();
}

static void test_cli_classes__a_model_above_its_class_is_warned_of_with_numbers(void **state)
{
    static const struct {
        const char *line;
        bool warns;
    } cases[] = {
        {"plan mlp --ram 16GiB", false},
        {"plan cnn --ram 16GiB", false},
        {"plan cnn-mid --ram 32GiB", false},
        {"plan resnet50 --ram 16GiB", true},
        {"plan vit-b16 --ram 32GiB", true},
        {"plan resnet18 --device-memory 4GiB", false},
        {"plan resnet50 --device-memory 4GiB", true},
        {"plan resnet50 --device-memory 8GiB", false},
        {"plan vit-b16 --device-memory 12GiB", false},
    };
    (void)state;
    enter_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_program(&run, cases[i].line);
        assert_int_equal(run.code, 0);
        if ((strstr(run.err, "multiply-adds a sample") != NULL) != cases[i].warns)
            fail_msg("burthen %s: '%s'", cases[i].line, run.err);
    }
    leave_folder();
}

/* S-085, S-087: exactly the documents' values; what is given beside a preset wins, on either side.
 */
static void test_cli_classes__presets_are_the_documents_samples(void **state)
{
    static const struct {
        const char *line;
        double batch;
    } cases[] = {
        {"train mlp data=digits preset=laptop-16 --dry-run --json --device cpu", 8},
        {"train mlp data=digits preset=laptop-32 --dry-run --json --device cpu", 16},
        {"train mlp data=digits batch=4 preset=laptop-16 --dry-run --json --device cpu", 4},
        {"train mlp data=digits preset=laptop-16 batch=4 --dry-run --json --device cpu", 4},
    };
    (void)state;
    enter_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *plan = run_json(&run, cases[i].line);
        assert_true(number_at(plan, "batch") == cases[i].batch);
        json_decref(plan);
    }
    json_t *trained =
        run_json(&run, "train linear data=spiral preset=laptop-16 --json --device cpu");
    assert_true(number_at(trained, "batch") == 8);
    assert_int_equal(json_array_size(json_object_get(trained, "epochs")), 50);
    const json_t *epoch = json_array_get(json_object_get(trained, "epochs"), 0);
    assert_true(json_is_real(json_object_get(epoch, "val_loss"))); /* a fifth is set apart */
    json_decref(trained);
    assert_refuses(&run, 2, "train mlp data=digits preset=laptop-64", "laptop-32");
    leave_folder();
}

/* S-097: memory and class of every device. */
static void test_cli_classes__every_device_shows_its_memory_and_class(void **state)
{
    size_t i = 0;
    json_t *device = NULL;
    (void)state;
    enter_folder();
    json_t *result = run_json(&run, "devices --json");
    assert_true(json_array_size(json_object_get(result, "devices")) >= 1);
    json_array_foreach(json_object_get(result, "devices"), i, device)
    {
        const double gib = number_at(device, "memory_bytes") / 0x1p30;
        const char *text = json_string_value(json_object_get(device, "batch_class"));
        assert_true(gib > 0);
        assert_non_null(text);
        if (json_integer_value(json_object_get(device, "unified")) != 0)
            assert_contains(text, gib >= 28.8   ? "32 GB of RAM"
                                  : gib >= 14.4 ? "8-16, 16 GB of RAM"
                                                : "less than 16 GB");
    }
    json_decref(result);
    leave_folder();
}
