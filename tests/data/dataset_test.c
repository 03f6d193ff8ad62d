#include "test.h"

#include <math.h>
#include <string.h>

static bur_context *context_make(void)
{
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    return context;
}

static void context_free(bur_context *context)
{
    assert_int_equal(bur_context_memory(context).live_bytes, 0);
    bur_context_destroy(context);
}

static bur_dataset_info plane(int64_t count, int32_t classes)
{
    return (bur_dataset_info){
        .name = "plane", .count = count, .classes = classes, .sample = {.rank = 1, .dim = {2}}};
}

static void test_data_dataset__pixels_become_v_over_255(void **state)
{
    (void)state;
    bur_context *context = context_make();
    unsigned char x[256];
    const int32_t label = 0;
    for (int i = 0; i < 256; i++)
        x[i] = (unsigned char)i;
    const bur_dataset_info info = {.count = 1, .classes = 1, .sample = {.rank = 1, .dim = {256}}};
    bur_dataset *set = NULL;
    assert_ok(bur_dataset_from_arrays(&set, context, &info, BUR_U8, x, &label));
    float y[256];
    int32_t target = -1;
    bur_dataset_gather(set, &(int64_t){0}, 1, y, &target);
    for (int i = 0; i < 256; i++)
        assert_true(y[i] == (float)i / 255.0f);
    assert_int_equal(target, 0);
    assert_int_equal(bur_dataset_describe(set)->bytes, 256 + 4);
    bur_dataset_destroy(set);
    context_free(context);
}

static void test_data_dataset__values_keep_their_shape(void **state)
{
    (void)state;
    bur_context *context = context_make();
    const float x[] = {1, 2, 3, 4, 5, 6}, y[] = {10, 11, 12, 20, 21, 22, 30, 31, 32};
    bur_dataset_info info = plane(3, 0);
    info.target = (bur_shape){.rank = 1, .dim = {3}};
    bur_dataset *set = NULL;
    assert_ok(bur_dataset_from_arrays(&set, context, &info, BUR_F32, x, y));
    assert_int_equal(bur_dataset_target_bytes(bur_dataset_describe(set)), 12);
    assert_false(bur_dataset_is_sorted(set));
    float gx[4], gy[6];
    bur_dataset_gather(set, (int64_t[]){2, 0}, 2, gx, gy);
    const float wx[] = {5, 6, 1, 2}, wy[] = {30, 31, 32, 10, 11, 12};
    assert_memory_equal(gx, wx, sizeof wx);
    assert_memory_equal(gy, wy, sizeof wy);
    bur_dataset_destroy(set);
    context_free(context);
}

/* validation_split=0.2 of 1000 rows: the last 200, sharing memory. */
static void test_data_dataset__a_view_shares_the_last_rows(void **state)
{
    (void)state;
    enum { N = 1000 };
    bur_context *context = context_make();
    static float x[2 * N];
    static int32_t label[N];
    for (int i = 0; i < N; i++) {
        x[2 * i] = (float)i;
        label[i] = i % 3;
    }
    const bur_dataset_info info = plane(N, 3);
    bur_dataset *set = NULL, *view = NULL, *part = NULL;
    assert_ok(bur_dataset_from_arrays(&set, context, &info, BUR_F32, x, label));
    assert_ok(bur_dataset_view(&view, set, 800, 200));
    assert_int_equal(bur_dataset_describe(view)->count, 200);
    assert_int_equal(bur_dataset_describe(view)->bytes, 0);
    x[2 * 800] = 4711.0f;
    for (int64_t i = 0; i < 200; i++) {
        float gx[2];
        int32_t gl = -1;
        bur_dataset_gather(view, &i, 1, gx, &gl);
        assert_true(gx[0] == (i == 0 ? 4711.0f : (float)(800 + i)));
        assert_int_equal(gl, (800 + i) % 3);
    }
    assert_ok(bur_dataset_view(&part, view, 199, 1));
    float gx[2];
    int32_t gl;
    bur_dataset_gather(part, &(int64_t){0}, 1, gx, &gl);
    assert_true(gx[0] == 999.0f);
    bur_dataset_destroy(part);
    assert_status(BUR_E_RANGE, bur_dataset_view(&part, set, 801, 200));
    assert_status(BUR_E_RANGE, bur_dataset_view(&part, set, -1, 2));
    assert_status(BUR_E_RANGE, bur_dataset_view(&part, set, 0, 0));
    assert_status(BUR_E_RANGE, bur_dataset_view(&part, set, INT64_MAX, INT64_MAX));
    bur_dataset_destroy(view);
    bur_dataset_destroy(set);
    context_free(context);
}

static void test_data_dataset__a_repeat_gives_its_one_sample_at_every_row(void **state)
{
    (void)state;
    enum { COUNT = 1000000 };
    bur_context *context = context_make();
    const float x[] = {3, 4};
    const int32_t label = 2;
    const bur_dataset_info one = plane(1, 3);
    bur_dataset *sample = NULL, *set = NULL, *view = NULL, *none = NULL;
    assert_ok(bur_dataset_from_arrays(&sample, context, &one, BUR_F32, x, &label));
    assert_ok(bur_dataset_repeat(&set, sample, COUNT));
    assert_int_equal(bur_dataset_describe(set)->count, COUNT);
    assert_int_equal(bur_dataset_describe(set)->bytes, 0);
    assert_ok(bur_dataset_view(&view, set, COUNT / 2, COUNT / 2));
    const int64_t rows[] = {COUNT / 2 - 1, 0, 12345, 7};
    float gx[4][2] = {{0}};
    int32_t labels[4] = {0};
    bur_dataset_gather(view, rows, 4, gx[0], labels);
    for (int i = 0; i < 4; i++) {
        assert_memory_equal(gx[i], x, sizeof x);
        assert_int_equal(labels[i], label);
    }
    assert_false(bur_dataset_is_sorted(set));
    assert_status(BUR_E_ARG, bur_dataset_repeat(&none, sample, 0));
    assert_status(BUR_E_ARG, bur_dataset_repeat(&none, set, 5));
    bur_dataset_destroy(view);
    bur_dataset_destroy(set);
    bur_dataset_destroy(sample);
    context_free(context);
}

static void test_data_dataset__label_order_is_detected(void **state)
{
    (void)state;
    bur_context *context = context_make();
    static const struct {
        int32_t label[6];
        bool sorted;
    } rows[] = {
        {{0, 0, 1, 1, 2, 2}, true},  {{2, 2, 1, 1, 0, 0}, true},  {{0, 1, 2, 0, 1, 2}, false},
        {{1, 1, 1, 1, 1, 1}, false}, {{0, 0, 0, 0, 2, 1}, false},
    };
    const float x[12] = {0};
    const bur_dataset_info info = plane(6, 3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bur_dataset *set = NULL;
        assert_ok(bur_dataset_from_arrays(&set, context, &info, BUR_F32, x, rows[i].label));
        assert_int_equal(bur_dataset_is_sorted(set), rows[i].sorted);
        bur_dataset_destroy(set);
    }
    bur_data data;
    static const struct {
        const char *name;
        bool sorted;
    } drawn[] = {{"xor", true}, {"spiral", false}, {"digits", false}, {"linear", false}};
    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++) {
        assert_ok(bur_data_open(&data, context, drawn[i].name, NULL));
        assert_int_equal(bur_dataset_is_sorted(data.train), drawn[i].sorted);
        bur_data_close(&data);
    }
    context_free(context);
}

static void test_data_dataset__wrong_arrays_are_refused(void **state)
{
    (void)state;
    bur_context *context = context_make();
    const float x[6] = {0};
    const int32_t label[3] = {0, 2, 1}, negative[3] = {0, 1, -1};
    bur_dataset *set = NULL;
    bur_dataset_info info = plane(3, 2);
    assert_status(BUR_E_RANGE, bur_dataset_from_arrays(&set, context, &info, BUR_F32, x, label));
    assert_non_null(strstr(bur_last_error(), "label 2 of sample 1"));
    assert_non_null(strstr(bur_last_error(), "0..1"));
    assert_status(BUR_E_RANGE, bur_dataset_from_arrays(&set, context, &info, BUR_F32, x, negative));
    assert_status(BUR_E_DTYPE, bur_dataset_from_arrays(&set, context, &info, BUR_F64, x, label));
    assert_status(BUR_E_ARG, bur_dataset_from_arrays(&set, context, &info, BUR_F32, NULL, label));
    info.count = 0;
    assert_status(BUR_E_ARG, bur_dataset_from_arrays(&set, context, &info, BUR_F32, x, label));
    info = plane(INT64_MAX / 2, 3);
    assert_status(BUR_E_RANGE, bur_dataset_from_arrays(&set, context, &info, BUR_F32, x, label));
    info = plane(3, 3);
    info.sample.dim[0] = 0;
    assert_status(BUR_E_ARG, bur_dataset_from_arrays(&set, context, &info, BUR_F32, x, label));
    info.sample.rank = 8;
    assert_status(BUR_E_RANGE, bur_dataset_from_arrays(&set, context, &info, BUR_F32, x, label));
    assert_null(set);
    context_free(context);
}

static void test_data_dataset__unknown_names_get_a_suggestion(void **state)
{
    (void)state;
    bur_context *context = context_make();
    bur_data data = {NULL, NULL};
    assert_status(BUR_E_NAME, bur_data_open(&data, context, "fashon-mnist", NULL));
    assert_non_null(strstr(bur_last_error(), "did you mean fashion-mnist?"));
    assert_status(BUR_E_NAME, bur_data_open(&data, context, "zzzzzzzzzz", NULL));
    assert_non_null(strstr(bur_last_error(), "spiral"));
    assert_status(BUR_E_NAME, bur_data_open(&data, context, "", NULL));
    assert_status(BUR_E_ARG,
                  bur_data_open(&data, context, "xor", &(bur_data_options){.noise = NAN}));
    assert_status(BUR_E_ARG,
                  bur_data_open(&data, context, "xor", &(bur_data_options){.count = -1}));
    assert_status(BUR_E_RANGE,
                  bur_data_open(&data, context, "digits", &(bur_data_options){.count = INT64_MAX}));
    assert_null(data.train);
    context_free(context);
}

static void test_data_dataset__describe_agrees_with_open_for_every_drawn_set(void **state)
{
    (void)state;
    bur_context *context = context_make();
    const bur_data_options options = {
        .noise = -1, .count = 40, .classes = 300, .sample = {.rank = 2, .dim = {3, 5}}};
    const char *text = NULL;
    int drawn = 0;
    for (int32_t i = 0; bur_data_name(i, &text) != NULL; i++) {
        assert_true(strlen(text) > 10);
        if (strcmp(bur_data_name(i, NULL), "fashion-mnist") == 0)
            continue;
        bur_dataset_info train, test;
        bur_data data;
        assert_ok(bur_data_describe(&train, &test, context, bur_data_name(i, NULL), &options));
        const size_t before = bur_context_memory(context).live_bytes;
        assert_ok(bur_data_open(&data, context, bur_data_name(i, NULL), &options));
        assert_true(bur_context_memory(context).live_bytes - before >= train.bytes + test.bytes);
        const bur_dataset_info *got[2] = {bur_dataset_describe(data.train),
                                          bur_dataset_describe(data.test)};
        const bur_dataset_info *said[2] = {&train, &test};
        for (int part = 0; part < 2; part++) {
            assert_string_equal(got[part]->name, said[part]->name);
            assert_int_equal(got[part]->count, part == 0 ? 40 : 10);
            assert_int_equal(got[part]->count, said[part]->count);
            assert_int_equal(got[part]->classes, said[part]->classes);
            assert_int_equal(got[part]->bytes, said[part]->bytes);
            assert_true(bur_shape_equal(&got[part]->sample, &said[part]->sample));
            assert_true(bur_shape_equal(&got[part]->target, &said[part]->target));
        }
        bur_data_close(&data);
        drawn++;
    }
    assert_int_equal(drawn, 7);
    assert_null(bur_data_name(-1, NULL));
    context_free(context);
}
