#define _GNU_SOURCE /* mkdtemp, mkfifo, kill, setrlimit */
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct place {
    bur_context *context;
    char folder[64], path[96], aside[104];
} place;

static place place_make(void)
{
    place p = {.folder = "/tmp/burthen-safetensors-XXXXXX"};
    assert_non_null(mkdtemp(p.folder));
    snprintf(p.path, sizeof p.path, "%s/model.safetensors", p.folder);
    snprintf(p.aside, sizeof p.aside, "%s.tmp", p.path);
    assert_ok(bur_context_create(&p.context, NULL));
    return p;
}

static void place_free(place *p)
{
    unlink(p->path);
    assert_int_equal(rmdir(p->folder), 0); /* nothing else is there */
    assert_int_equal(bur_context_memory(p->context).live_bytes, 0);
    bur_context_destroy(p->context);
}

static void write_bytes(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static size_t read_bytes(const char *path, void *data, size_t most)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t bytes = fread(data, 1, most, file);
    fclose(file);
    return bytes;
}

static bur_desc desc(bur_dtype dtype, int32_t rank, int64_t a, int64_t b)
{
    const bur_shape shape = {.rank = rank, .dim = {a, b}};
    return bur_desc_make(dtype, &shape);
}

static const float weights[6] = {1, 2, 3, 4, 5, 6};
static const uint8_t mask[3] = {7, 8, 9};
static const int64_t step = 258;

/* Four tensors, given in another order than the one in which they are laid out. */
static bur_status save_four(const place *p)
{
    const bur_named_tensor tensors[] = {{"mask", desc(BUR_U8, 1, 3, 0), mask},
                                        {"b.kernel", desc(BUR_F32, 2, 2, 3), weights},
                                        {"a.empty", desc(BUR_F32, 1, 0, 0), NULL},
                                        {"step", desc(BUR_I64, 0, 0, 0), &step}};
    static const char *const metadata[] = {"format", "burthen", "epoch", "3"};
    return bur_safetensors_save(p->context, p->path, tensors, 4, metadata, 2);
}

/* Byte for byte what the format description asks for, in the reference implementation's order. */
static void test_format_safetensors__a_file_is_as_described_byte_for_byte(void **state)
{
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"burthen\",\"epoch\":\"3\"},"
        "\"step\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
        "\"a.empty\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]},"
        "\"b.kernel\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
        "\"mask\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[32,35]}}";
    /* clang-format off */
    static const unsigned char data[35] = {
        2, 1, 0, 0, 0, 0, 0, 0,
        0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40,
        0, 0, 0x80, 0x40, 0, 0, 0xa0, 0x40, 0, 0, 0xc0, 0x40,
        7, 8, 9,
    };
    /* clang-format on */
    const size_t length = sizeof header - 1, padded = (length + 7) / 8 * 8;
    unsigned char wanted[1024] = {0};
    wanted[0] = (unsigned char)padded;
    wanted[1] = (unsigned char)(padded >> 8);
    memset(wanted + 8, ' ', padded);
    memcpy(wanted + 8, header, length);
    memcpy(wanted + 8 + padded, data, sizeof data);

    place p = place_make();
    assert_ok(save_four(&p));
    unsigned char got[1024];
    assert_int_equal(read_bytes(p.path, got, sizeof got), 8 + padded + sizeof data);
    assert_memory_equal(got, wanted, 8 + padded + sizeof data);
    place_free(&p);
}

static void test_format_safetensors__what_was_saved_is_read(void **state)
{
    (void)state;
    place p = place_make();
    assert_ok(save_four(&p));
    bur_safetensors *file = NULL;
    assert_ok(bur_safetensors_open(&file, p.context, p.path));
    assert_int_equal(bur_safetensors_count(file), 4);
    assert_string_equal(bur_safetensors_metadata(file, "epoch"), "3");
    assert_null(bur_safetensors_metadata(file, "epochs"));
    assert_int_equal(bur_safetensors_find(file, "kernel"), -1);
    assert_int_equal(bur_safetensors_find(file, "__metadata__"), -1);
    const int32_t kernel = bur_safetensors_find(file, "b.kernel");
    const bur_desc wanted = desc(BUR_F32, 2, 2, 3);
    assert_string_equal(bur_safetensors_name(file, kernel), "b.kernel");
    assert_memory_equal(bur_safetensors_desc(file, kernel), &wanted, sizeof wanted);
    float w[6] = {0};
    assert_ok(bur_safetensors_read(file, kernel, w, sizeof w));
    assert_memory_equal(w, weights, sizeof w);
    int64_t s = 0;
    assert_ok(bur_safetensors_read(file, bur_safetensors_find(file, "step"), &s, sizeof s));
    assert_int_equal(s, 258);
    assert_ok(bur_safetensors_read(file, bur_safetensors_find(file, "a.empty"), NULL, 0));
    assert_status(BUR_E_ARG, bur_safetensors_read(file, kernel, w, sizeof w - 4));
    assert_non_null(strstr(bur_last_error(), "24 bytes; the buffer has 20"));
    assert_status(BUR_E_ARG, bur_safetensors_read(file, 4, w, sizeof w));
    assert_status(BUR_E_ARG, bur_safetensors_read(file, -1, w, sizeof w));

    assert_int_equal(truncate(p.path, 8), 0); /* behind our back */
    assert_status(BUR_E_FILE, bur_safetensors_read(file, kernel, w, sizeof w));
    bur_safetensors_close(file);
    bur_safetensors_close(NULL);
    place_free(&p);
}

static void test_format_safetensors__every_dtype_and_no_tensor_at_all_survive(void **state)
{
    (void)state;
    place p = place_make();
    bur_named_tensor tensors[BUR_DTYPE_COUNT];
    unsigned char data[5 * 8];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37);
    for (int i = 0; i < BUR_DTYPE_COUNT; i++)
        tensors[i] =
            (bur_named_tensor){bur_dtype_name((bur_dtype)i), desc((bur_dtype)i, 1, 5, 0), data};
    bur_safetensors *file = NULL;
    assert_ok(bur_safetensors_save(p.context, p.path, tensors, BUR_DTYPE_COUNT, NULL, 0));
    assert_ok(bur_safetensors_open(&file, p.context, p.path));
    for (int i = 0; i < BUR_DTYPE_COUNT; i++) {
        const int32_t at = bur_safetensors_find(file, tensors[i].name);
        const size_t bytes = 5 * bur_dtype_bytes((bur_dtype)i);
        unsigned char got[sizeof data];
        assert_int_equal(bur_safetensors_desc(file, at)->dtype, i);
        assert_ok(bur_safetensors_read(file, at, got, bytes));
        assert_memory_equal(got, data, bytes);
    }
    assert_null(bur_safetensors_metadata(file, "format"));
    bur_safetensors_close(file);
    assert_ok(bur_safetensors_save(p.context, p.path, NULL, 0, NULL, 0));
    assert_ok(bur_safetensors_open(&file, p.context, p.path));
    assert_int_equal(bur_safetensors_count(file), 0);
    bur_safetensors_close(file);
    place_free(&p);
}

/* A file of this header (padding not needed) and so many bytes of data. */
static void write_header(const place *p, const char *header, size_t data_bytes)
{
    static unsigned char bytes[4096];
    const size_t length = strlen(header);
    memset(bytes, 0, sizeof bytes);
    bytes[0] = (unsigned char)length;
    bytes[1] = (unsigned char)(length >> 8);
    memcpy(bytes + 8, header, length);
    write_bytes(p->path, bytes, 8 + length + data_bytes);
}

static void check_refused(const place *p, const char *header, size_t data_bytes, bur_status status,
                          const char *word)
{
    write_header(p, header, data_bytes);
    bur_safetensors *file = NULL;
    assert_status(status, bur_safetensors_open(&file, p->context, p->path));
    assert_null(file);
    if (strstr(bur_last_error(), word) == NULL || strstr(bur_last_error(), p->path) == NULL)
        fail_msg("'%s' is not in: %s", word, bur_last_error());
    assert_int_equal(bur_context_memory(p->context).live_bytes, 0);
}

static void test_format_safetensors__headers_that_are_no_tables_of_tensors_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *word;
    } rows[] = {
        {"", 0, "too few"},
        {"[]", 0, "begin with {"},
        {" {}", 0, "begin with {"},
        {"{} x", 0, "no JSON at byte"},
        {"{\"a\":", 0, "no JSON"},
        {"{}", 1, "end at byte 0 of 1"},
        {"{\"a\":1}", 0, "'a' has no dtype"},
        {"{\"a\":{}}", 0, "'a' has no dtype"},
        {"{\"a\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "no dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "dimensions"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}",
         1, "duplicate"},
        {"{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, "no JSON"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "metadata 'a'"},
        {"{\"__metadata__\":[]}", 0, "no table"},
        {"{\"a\\u001b[2J\\n\":1}", 0, "'a?[2J?'"}, /* an escape sequence is not for the terminal */
    };
    place p = place_make();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_refused(&p, rows[i].header, rows[i].data_bytes, BUR_E_FORMAT, rows[i].word);
    check_refused(&p, "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[],\"data_offsets\":[0,1]}}", 1,
                  BUR_E_DTYPE, "F8_E4M3");
    place_free(&p);
}

static void test_format_safetensors__shapes_and_offsets_must_cover_the_data(void **state)
{
    (void)state;
    static const struct {
        const char *dtype, *shape, *offsets;
        size_t data_bytes;
        const char *word;
    } rows[] = {
        {"U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]", 1, "9 dimensions"},
        {"U8", "[-1]", "[0,1]", 1, "no size"},
        {"U8", "[1.0]", "[0,1]", 1, "no size"},
        {"U8", "[4294967296,4294967296]", "[0,1]", 1, "2^63"},
        {"F64", "[2305843009213693952]", "[0,1]", 1, "2^63"},
        {"U8", "[1]", "[0]", 1, "data_offsets"},
        {"U8", "[1]", "[0,1,2]", 1, "data_offsets"},
        {"U8", "[1]", "[1,0]", 1, "data_offsets"},
        {"U8", "[1]", "[-1,0]", 1, "data_offsets"},
        {"U8", "[1]", "[0,9223372036854775808]", 1, "no JSON"},
        {"U8", "[9]", "[0,9]", 8, "ends at byte 9 of 8"},
        {"F32", "[2,3]", "[0,20]", 20, "2x3 of f32, is 24 bytes, its data 20"},
        {"U8", "[4]", "[1,5]", 5, "begins at byte 1, the one before ends at 0"},
        {"U8", "[4]", "[0,4]", 5, "end at byte 4 of 5"},
    };
    place p = place_make();
    char header[512];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(header, sizeof header,
                 "{\"a\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":%s}}", rows[i].dtype,
                 rows[i].shape, rows[i].offsets);
        check_refused(&p, header, rows[i].data_bytes, BUR_E_FORMAT, rows[i].word);
    }
    for (int first = 3; first <= 5; first += 2) { /* overlap, gap */
        char word[64];
        snprintf(header, sizeof header,
                 "{\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[%d,%d]},"
                 "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
                 first, first + 4);
        snprintf(word, sizeof word, "'b' begins at byte %d, the one before ends at 4", first);
        check_refused(&p, header, (size_t)first + 4, BUR_E_FORMAT, word);
    }
    place_free(&p);
}

static void test_format_safetensors__wrong_lengths_are_refused(void **state)
{
    (void)state;
    static const struct {
        unsigned char bytes[10];
        size_t count;
        const char *word;
    } rows[] = {
        {{0}, 0, "0 bytes are too few"},
        {{2, 0, 0, 0, 0, 0, 0, 0, '{'}, 9, "9 bytes are too few"},
        {{0, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "header of 0 bytes"},
        {{3, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, "header of 3 bytes in a file of 10"},
        {{1, 0xe1, 0xf5, 5, 0, 0, 0, 0, '{', '}'}, 10, "header of 100000001 bytes"},
        {{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, 10, "header of 18446744073709551615"},
    };
    place p = place_make();
    bur_safetensors *file = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_bytes(p.path, rows[i].bytes, rows[i].count);
        assert_status(BUR_E_FORMAT, bur_safetensors_open(&file, p.context, p.path));
        if (strstr(bur_last_error(), rows[i].word) == NULL)
            fail_msg("'%s' is not in: %s", rows[i].word, bur_last_error());
    }
    unlink(p.path);
    assert_status(BUR_E_FILE, bur_safetensors_open(&file, p.context, p.path));
    assert_non_null(strstr(bur_last_error(), "No such file"));
    assert_status(BUR_E_FILE, bur_safetensors_open(&file, p.context, p.folder));
    assert_int_equal(mkfifo(p.path, 0600), 0); /* nobody writes: reading it would never end */
    assert_status(BUR_E_FILE, bur_safetensors_open(&file, p.context, p.path));
    assert_status(BUR_E_FILE, save_four(&p));
    assert_null(file);
    place_free(&p);
}

/* Opens a file and reads all of it, as far as it can be. */
static bool try_all(const place *p)
{
    bur_safetensors *file = NULL;
    if (bur_safetensors_open(&file, p->context, p->path) != BUR_OK)
        return false;
    for (int32_t i = 0; i < bur_safetensors_count(file); i++) {
        unsigned char data[64];
        const size_t bytes = bur_desc_bytes(bur_safetensors_desc(file, i));
        assert_true(bytes <= sizeof data);
        assert_ok(bur_safetensors_read(file, i, data, bytes));
    }
    bur_safetensors_close(file);
    return true;
}

static void test_format_safetensors__no_truncation_or_flipped_bit_harms(void **state)
{
    (void)state;
    place p = place_make();
    assert_ok(save_four(&p));
    unsigned char good[1024], bad[1024];
    const size_t bytes = read_bytes(p.path, good, sizeof good), data_bytes = 35;
    assert_true(try_all(&p));
    for (size_t n = 0; n < bytes; n++) {
        write_bytes(p.path, good, n);
        assert_false(try_all(&p));
    }
    size_t refused = 0;
    const size_t header_bits = 8 * (bytes - data_bytes);
    for (size_t bit = 0; bit < header_bits; bit++) {
        memcpy(bad, good, bytes);
        bad[bit / 8] ^= (unsigned char)(1u << bit % 8);
        write_bytes(p.path, bad, bytes);
        refused += !try_all(&p);
    }
    assert_true(refused > header_bits / 2); /* letters of names may change */
    place_free(&p);
}

static void test_format_safetensors__deep_json_is_refused(void **state)
{
    (void)state;
    enum { HEADER = 1000000 };
    place p = place_make();
    unsigned char *bytes = malloc(8 + HEADER);
    assert_non_null(bytes);
    memset(bytes, '[', 8 + HEADER);
    memcpy(bytes, (unsigned char[]){0x40, 0x42, 0x0f, 0, 0, 0, 0, 0, '{', '"', 'a', '"', ':'}, 13);
    write_bytes(p.path, bytes, 8 + HEADER);
    free(bytes);
    bur_safetensors *file = NULL;
    assert_status(BUR_E_FORMAT, bur_safetensors_open(&file, p.context, p.path));
    assert_non_null(strstr(bur_last_error(), "no JSON"));
    place_free(&p);
}

static void test_format_safetensors__wrong_tensors_are_not_saved(void **state)
{
    (void)state;
    place p = place_make();
    const bur_desc one = desc(BUR_F32, 1, 1, 0);
    bur_desc layout = one, dtype = one;
    layout.layout = 5;
    dtype.dtype = 77;
    const bur_named_tensor wrong[][2] = {
        {{"a", one, weights}, {"a", one, weights}},
        {{"a", one, weights}, {NULL, one, weights}},
        {{"a", one, weights}, {"__metadata__", one, weights}},
        {{"a", one, weights}, {"b", one, NULL}},
        {{"a", one, weights}, {"b", layout, weights}},
        {{"a", one, weights}, {"b", dtype, weights}},
        {{"a", one, weights}, {"\xff\xfe", one, weights}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_status(BUR_E_ARG, bur_safetensors_save(p.context, p.path, wrong[i], 2, NULL, 0));
    static const char *const twice[] = {"k", "1", "k", "2"}, *const none[] = {"k", NULL};
    assert_status(BUR_E_ARG, bur_safetensors_save(p.context, p.path, wrong[0], 1, twice, 2));
    assert_status(BUR_E_ARG, bur_safetensors_save(p.context, p.path, wrong[0], 1, none, 1));
    const bur_named_tensor huge[] = {{"a", desc(BUR_F64, 2, INT64_MAX, INT64_MAX), weights}};
    assert_status(BUR_E_RANGE, bur_safetensors_save(p.context, p.path, huge, 1, NULL, 0));
    assert_int_equal(access(p.path, F_OK), -1);
    assert_status(BUR_E_FILE,
                  bur_safetensors_save(p.context, "/nowhere/at/all", wrong[0], 1, NULL, 0));
    assert_non_null(strstr(bur_last_error(), "/nowhere/at/all.tmp"));
    assert_status(BUR_E_FILE, bur_safetensors_save(p.context, p.folder, wrong[0], 1, NULL, 0));
    place_free(&p);
}

enum { BIG = 1 << 18 };

/* A file whose tensor holds `value` throughout, and whose metadata says so. */
static bur_status save_value(const place *p, int32_t value)
{
    int32_t *data = malloc(BIG * sizeof *data);
    char text[16];
    for (int i = 0; i < BIG; i++)
        data[i] = value;
    snprintf(text, sizeof text, "%d", (int)value);
    const char *const metadata[] = {"value", text};
    const bur_named_tensor tensor = {"w", desc(BUR_I32, 1, BIG, 0), data};
    const bur_status status = bur_safetensors_save(p->context, p->path, &tensor, 1, metadata, 1);
    free(data);
    return status;
}

/* The value of a file, which must be whole. */
static int32_t read_value(const place *p)
{
    bur_safetensors *file = NULL;
    int32_t *data = malloc(BIG * sizeof *data);
    assert_ok(bur_safetensors_open(&file, p->context, p->path));
    assert_ok(bur_safetensors_read(file, 0, data, BIG * sizeof *data));
    const int32_t value = data[0];
    assert_int_equal(value, atoi(bur_safetensors_metadata(file, "value")));
    for (int i = 0; i < BIG; i++)
        if (data[i] != value)
            fail_msg("element %d is %d, not %d", i, (int)data[i], (int)value);
    bur_safetensors_close(file);
    free(data);
    return value;
}

static void test_format_safetensors__a_kill_leaves_the_old_file_or_the_new(void **state)
{
    (void)state;
    place p = place_make();
    const int64_t begin_ns = bur_time_ns();
    assert_ok(save_value(&p, 0));
    const int64_t save_ns = bur_time_ns() - begin_ns;
    int32_t last = 0, changed = 0;
    for (int round = 0; round < 20; round++) { /* killed in the first save, or in a later one */
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            for (int32_t value = last + 1;; value++)
                if (save_value(&p, value) != BUR_OK || write(ends[1], "", 1) != 1)
                    _exit(1);
        }
        close(ends[1]);
        char byte;
        if (round % 2 == 1)
            assert_int_equal(read(ends[0], &byte, 1), 1);
        const int64_t wait_ns = save_ns * (round / 2) / 10;
        nanosleep(&(struct timespec){wait_ns / 1000000000, wait_ns % 1000000000}, NULL);
        kill(child, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        close(ends[0]);
        const int32_t value = read_value(&p);
        assert_true(value >= last);
        changed += value > last;
        last = value;
    }
    assert_true(changed >= 10);
    assert_ok(save_value(&p, -1)); /* what a killed writer left aside is no hindrance */
    assert_int_equal(read_value(&p), -1);
    assert_int_equal(access(p.aside, F_OK), -1);
    place_free(&p);
}

/* A disk that is full in the middle: the old file stays, nothing is left aside. */
static void test_format_safetensors__a_failed_write_keeps_the_old_file(void **state)
{
    (void)state;
    place p = place_make();
    assert_ok(save_value(&p, 5));
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const bur_status status = save_value(&p, 6);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, BUR_E_FILE);
    assert_non_null(strstr(bur_last_error(), "File too large"));
    assert_int_equal(access(p.aside, F_OK), -1);
    assert_int_equal(read_value(&p), 5);
    place_free(&p);
}

enum { SAVES = 6 };

static void *save_often(void *argument)
{
    const place *p = argument;
    for (int32_t i = 0; i < SAVES; i++)
        if (save_value(p, i) != BUR_OK)
            return argument;
    return NULL;
}

static void test_format_safetensors__writers_of_one_path_do_not_mix(void **state)
{
    (void)state;
    enum { WRITERS = 4 };
    place p = place_make();
    assert_ok(save_value(&p, 0));
    pthread_t threads[WRITERS];
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, save_often, &p), 0);
    for (int i = 0; i < 20; i++)
        assert_in_range(read_value(&p), 0, SAVES - 1);
    for (int i = 0; i < WRITERS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(read_value(&p), SAVES - 1);
    place_free(&p);
}
