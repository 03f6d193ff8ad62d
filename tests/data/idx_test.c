#define _POSIX_C_SOURCE 200809L /* mkdtemp, setenv, mkfifo */
#include "test.h"
#include "data/files.h"
#include "data/source.h"

enum { TRAIN = 12, TEST = 5, ROWS = 4, COLUMNS = 3, PIXELS = ROWS * COLUMNS };

static const char *const names[4] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                     "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

/* A folder of four good files, and a context. */
typedef struct place {
    char folder[64];
    bur_context *context;
    bytes file[4];
} place;

static place place_make(void)
{
    place p = {.folder = "/tmp/burthen-idx-XXXXXX"};
    assert_non_null(mkdtemp(p.folder));
    assert_ok(bur_context_create(&p.context, NULL));
    const uint32_t count[2] = {TRAIN, TEST};
    for (int i = 0; i < 2; i++) {
        p.file[2 * i] = idx_file(3, (uint32_t[]){count[i], ROWS, COLUMNS}, 256);
        p.file[2 * i + 1] = idx_file(1, &count[i], 10);
    }
    for (int i = 0; i < 4; i++)
        write_file(p.folder, names[i], &p.file[i]);
    return p;
}

static void place_free(place *p)
{
    for (int i = 0; i < 4; i++) {
        char gz[64];
        snprintf(gz, sizeof gz, "%s.gz", names[i]);
        remove_file(p->folder, names[i]);
        remove_file(p->folder, gz);
    }
    assert_int_equal(rmdir(p->folder), 0);
    assert_int_equal(bur_context_memory(p->context).live_bytes, 0);
    bur_context_destroy(p->context);
}

/* Replaces file `index` of the folder by `b`, as plain or .gz. */
static void replace(place *p, int index, const bytes *b, bool gz)
{
    char name[64];
    snprintf(name, sizeof name, "%s.gz", names[index]);
    remove_file(p->folder, names[index]);
    remove_file(p->folder, name);
    write_file(p->folder, gz ? name : names[index], b);
}

/* Opening fails with `status`, the line holds both words, nothing is left in memory, `out` is
 * untouched. */
static void check_refused(place *p, bur_status status, const char *word, const char *other)
{
    bur_data data = {NULL, NULL};
    assert_status(status, bur_data_open(&data, p->context, p->folder, NULL));
    assert_null(data.train);
    assert_null(data.test);
    if (strstr(bur_last_error(), word) == NULL || strstr(bur_last_error(), other) == NULL)
        fail_msg("'%s' and '%s' are not both in: %s", word, other, bur_last_error());
    assert_null(strchr(bur_last_error(), '\n'));
    assert_int_equal(bur_context_memory(p->context).live_bytes, 0);
}

static void check_good(place *p)
{
    bur_data data = {NULL, NULL};
    assert_ok(bur_data_open(&data, p->context, p->folder, NULL));
    const bur_dataset_info *train = bur_dataset_describe(data.train);
    assert_int_equal(train->count, TRAIN);
    assert_int_equal(bur_dataset_describe(data.test)->count, TEST);
    assert_int_equal(train->classes, 10);
    assert_true(
        bur_shape_equal(&train->sample, &(bur_shape){.rank = 3, .dim = {ROWS, COLUMNS, 1}}));
    for (int64_t i = 0; i < TRAIN; i++) {
        float x[PIXELS];
        int32_t label = -1;
        bur_dataset_gather(data.train, &i, 1, x, &label);
        assert_int_equal(label, i * 7 % 10);
        for (int64_t j = 0; j < PIXELS; j++)
            assert_true(x[j] == (float)((i * PIXELS + j) * 7 % 256) / 255.0f);
    }
    bur_data_close(&data);
    assert_null(data.train);
}

static void test_data_idx__plain_and_gzip_files_give_the_same_samples(void **state)
{
    (void)state;
    place p = place_make();
    check_good(&p);
    for (int i = 0; i < 4; i++) {
        const bytes packed = gzip(&p.file[i]);
        replace(&p, i, &packed, true);
        check_good(&p);
    }
    place_free(&p);
}

static void test_data_idx__describe_agrees_with_open_and_reads_no_samples(void **state)
{
    (void)state;
    place p = place_make();
    bytes labels = p.file[1];
    labels.at[8] = 200; /* only a reader of samples can tell */
    const bytes packed = gzip(&labels);
    replace(&p, 1, &packed, true);
    const uint64_t calls = bur_context_memory(p.context).calls;
    bur_dataset_info train, test;
    assert_ok(bur_data_describe(&train, &test, p.context, p.folder, NULL));
    assert_int_equal(bur_context_memory(p.context).calls, calls);
    assert_int_equal(train.count, TRAIN);
    assert_int_equal(test.count, TEST);
    assert_int_equal(train.bytes, TRAIN * (PIXELS + 1));
    check_refused(&p, BUR_E_FORMAT, names[1], "label 200");
    replace(&p, 1, &p.file[1], false);

    bur_data data;
    assert_ok(bur_data_open(&data, p.context, p.folder, NULL));
    assert_int_equal(bur_dataset_describe(data.train)->bytes, train.bytes);
    assert_true(bur_shape_equal(&bur_dataset_describe(data.train)->sample, &train.sample));
    bur_data_close(&data);
    place_free(&p);
}

static void test_data_idx__a_missing_file_is_named_with_the_four(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        place p = place_make();
        remove_file(p.folder, names[i]);
        check_refused(&p, BUR_E_FILE, p.folder, names[i]);
        for (int j = 0; j < 4; j++)
            assert_non_null(strstr(bur_last_error(), names[j]));
        place_free(&p);
    }
}

static void test_data_idx__wrong_headers_are_refused(void **state)
{
    (void)state;
    /* gzip does not tell its length: its bound speaks, or the counts of the two files. */
    static const struct {
        int file;
        size_t at;
        unsigned char value;
        const char *plain, *gzip;
    } rows[] = {
        {0, 0, 1, "0x01000803", "0x01000803"},              /* magic */
        {0, 2, 0x0d, "0x0d", "0x0d"},                       /* f32 elements */
        {0, 3, 1, "1 dimensions", "1 dimensions"},          /* images of rank 1 */
        {0, 3, 9, "9 dimensions", "9 dimensions"},          /* more than can be held */
        {1, 3, 3, "3 dimensions", "3 dimensions"},          /* labels of rank 3 */
        {0, 7, 0, "dimension 0 is 0", "dimension 0 is 0"},  /* no images */
        {0, 15, 0, "dimension 2 is 0", "dimension 2 is 0"}, /* no columns */
        {0, 7, TRAIN + 1, "truncated", "12 labels"},
        {0, 7, TRAIN - 1, "bytes after the end", "12 labels"},
        {0, 4, 0xff, "truncated", "gzip can hold"}, /* four thousand million images */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        place p = place_make();
        bytes b = p.file[rows[i].file];
        b.at[rows[i].at] = rows[i].value;
        const bytes packed = gzip(&b);
        replace(&p, rows[i].file, &b, false);
        check_refused(&p, BUR_E_FORMAT, names[rows[i].file], rows[i].plain);
        replace(&p, rows[i].file, &packed, true);
        check_refused(&p, BUR_E_FORMAT, names[rows[i].file], rows[i].gzip);
        place_free(&p);
    }
}

static void test_data_idx__dimensions_that_overflow_are_refused(void **state)
{
    (void)state;
    place p = place_make();
    const uint32_t most = UINT32_MAX;
    const bytes b = idx_header(4, (uint32_t[]){most, most, most, most});
    replace(&p, 0, &b, false);
    check_refused(&p, BUR_E_FORMAT, names[0], "2^64");
    const bytes big = idx_header(4, (uint32_t[]){most, most, 1, 1});
    const bytes packed = gzip(&big);
    replace(&p, 0, &packed, true);
    check_refused(&p, BUR_E_FORMAT, names[0], "gzip can hold");
    place_free(&p);
}

static void test_data_idx__counts_that_differ_are_refused(void **state)
{
    (void)state;
    place p = place_make();
    const bytes labels = idx_file(1, (uint32_t[]){TRAIN - 1}, 10);
    replace(&p, 1, &labels, false);
    check_refused(&p, BUR_E_FORMAT, "12 images", "11 labels");
    replace(&p, 1, &p.file[1], false);
    const bytes images = idx_file(3, (uint32_t[]){TEST, ROWS + 1, COLUMNS}, 256);
    replace(&p, 2, &images, false);
    check_refused(&p, BUR_E_FORMAT, "4x3x1", "5x3x1");
    place_free(&p);
}

static void test_data_idx__a_label_out_of_range_is_named(void **state)
{
    (void)state;
    place p = place_make();
    bytes labels = p.file[1];
    labels.at[8 + 6] = 10;
    replace(&p, 1, &labels, false);
    check_refused(&p, BUR_E_FORMAT, "label 10 of sample 6", "0..9");
    bur_data data;
    const bur_data_options options = {.classes = 11};
    assert_ok(bur_data_open(&data, p.context, p.folder, &options));
    assert_int_equal(bur_dataset_describe(data.train)->classes, 11);
    bur_data_close(&data);
    assert_status(BUR_E_ARG,
                  bur_data_open(&data, p.context, p.folder, &(bur_data_options){.classes = 257}));
    place_free(&p);
}

static void test_data_idx__gzip_damage_is_refused(void **state)
{
    (void)state;
    place p = place_make();
    const bytes good = gzip(&p.file[0]);
    bytes b = good;
    b.at[b.count - 8] ^= 1; /* checksum */
    replace(&p, 0, &b, true);
    check_refused(&p, BUR_E_FORMAT, names[0], "damaged gzip");
    b = good;
    b.at[b.count - 1] ^= 1; /* length */
    replace(&p, 0, &b, true);
    check_refused(&p, BUR_E_FORMAT, names[0], "damaged gzip");
    b = good;
    b.count -= 3; /* in the trailer */
    replace(&p, 0, &b, true);
    check_refused(&p, BUR_E_FORMAT, names[0], "get the file again");
    bytes longer = p.file[0];
    put(&longer, "more", 4);
    b = gzip(&longer);
    replace(&p, 0, &b, true);
    check_refused(&p, BUR_E_FORMAT, names[0], "bytes after the end");
    place_free(&p);
}

static void test_data_idx__every_truncation_is_refused(void **state)
{
    (void)state;
    place p = place_make();
    for (int i = 0; i < 2; i++) {
        const bytes packed = gzip(&p.file[i]);
        for (int gz = 0; gz < 2; gz++) {
            bytes b = gz ? packed : p.file[i];
            while (b.count > 0) {
                b.count--;
                replace(&p, i, &b, gz);
                check_refused(&p, BUR_E_FORMAT, names[i], "");
            }
        }
        replace(&p, i, &p.file[i], false);
    }
    check_good(&p);
    place_free(&p);
}

/* Every bit of the headers and of a stretch of data, plain and gzip: an error or a set, never more.
 */
static void test_data_idx__no_flipped_bit_harms(void **state)
{
    (void)state;
    place p = place_make();
    int refused = 0;
    for (int i = 0; i < 2; i++) {
        const bytes packed = gzip(&p.file[i]);
        for (int gz = 0; gz < 2; gz++) {
            const bytes *good = gz ? &packed : &p.file[i];
            const size_t bits = 8 * (good->count < 64 ? good->count : 64);
            for (size_t bit = 0; bit < bits; bit++) {
                bytes b = *good;
                b.at[bit / 8] ^= (unsigned char)(1u << bit % 8);
                replace(&p, i, &b, gz);
                bur_data data;
                if (bur_data_open(&data, p.context, p.folder, NULL) == BUR_OK)
                    bur_data_close(&data);
                else
                    refused++;
            }
        }
        replace(&p, i, &p.file[i], false);
    }
    assert_true(refused > 500);
    place_free(&p);
}

static void test_data_idx__what_is_no_file_is_refused(void **state)
{
    (void)state;
    place p = place_make();
    char path[128];
    snprintf(path, sizeof path, "%s/%s", p.folder, names[0]);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    check_refused(&p, BUR_E_FILE, path, "regular file");
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes: reading it would never end */
    check_refused(&p, BUR_E_FILE, path, "regular file");
    unlink(path);

    bur_data data;
    snprintf(path, sizeof path, "%s/%s", p.folder, names[1]);
    assert_status(BUR_E_FILE, bur_data_open(&data, p.context, path, NULL));
    assert_non_null(strstr(bur_last_error(), "not a folder"));
    assert_status(BUR_E_FILE, bur_data_open(&data, p.context, "/nowhere/at/all", NULL));
    assert_non_null(strstr(bur_last_error(), "/nowhere/at/all"));
    place_free(&p);
}

static void test_data_idx__fashion_mnist_is_the_package_or_the_environments(void **state)
{
    (void)state;
    place p = place_make();
    unsetenv("BURTHEN_DATA");
    bur_dataset_info train, test;
    assert_ok(bur_data_describe(&train, &test, p.context, "fashion-mnist", NULL));
    assert_int_equal(train.count, 60000);
    assert_int_equal(test.count, 10000);
    assert_int_equal(train.bytes, 60000u * 785u);
    bur_data data;
    assert_ok(bur_data_open(&data, p.context, "fashion-mnist", NULL));
    int64_t count[10] = {0};
    for (int64_t i = 0; i < 10000; i++) {
        float x[784];
        int32_t label = -1;
        bur_dataset_gather(data.test, &i, 1, x, &label);
        count[label]++;
    }
    for (int i = 0; i < 10; i++)
        assert_int_equal(count[i], 1000);
    bur_data_close(&data);

    assert_int_equal(setenv("BURTHEN_DATA", p.folder, 1), 0);
    assert_ok(bur_data_describe(&train, &test, p.context, "fashion-mnist", NULL));
    assert_int_equal(train.count, TRAIN);
    assert_ok(bur_data_open(&data, p.context, "fashion-mnist", NULL));
    assert_string_equal(bur_dataset_describe(data.train)->name, "fashion-mnist");
    bur_data_close(&data);
    unsetenv("BURTHEN_DATA");
    place_free(&p);
}

static void test_data_idx__a_missing_set_names_its_files_and_its_package(void **state)
{
    (void)state;
    char folder[BUR__PATH_BYTES];
    static const char *const roots[] = {NULL, "", "/nowhere"};
    for (int i = 0; i < 3; i++) {
        assert_status(BUR_E_FILE, bur__fashion_find(folder, roots[i], "/no/package"));
        for (int j = 0; j < 4; j++)
            assert_non_null(strstr(bur_last_error(), names[j]));
        assert_non_null(strstr(bur_last_error(), "apt install dataset-fashion-mnist"));
        assert_non_null(strstr(bur_last_error(), "/no/package"));
        assert_int_equal(strstr(bur_last_error(), "/nowhere or ") != NULL, i == 2);
    }
    place p = place_make();
    assert_ok(bur__fashion_find(folder, "/nowhere", p.folder));
    assert_string_equal(folder, p.folder);
    place_free(&p);
}
