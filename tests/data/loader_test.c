#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include "test.h"

#include <string.h>
#include <time.h>

enum { MOST = 2001 };

/* A set whose sample i is {i, -i} with label i % 3, over arrays of this file. */
typedef struct fixture {
    bur_context *context;
    bur_dataset *set;
} fixture;

static float samples[2 * MOST];
static int32_t labels[MOST];

static fixture fixture_make(int64_t count)
{
    fixture f = {NULL, NULL};
    assert_true(count <= MOST);
    for (int i = 0; i < MOST; i++) {
        samples[2 * i] = (float)i;
        samples[2 * i + 1] = -(float)i;
        labels[i] = i % 3;
    }
    assert_ok(bur_context_create(&f.context, NULL));
    const bur_dataset_info info = {.count = count, .classes = 3, .sample = {.rank = 1, .dim = {2}}};
    assert_ok(bur_dataset_from_arrays(&f.set, f.context, &info, BUR_F32, samples, labels));
    return f;
}

static void fixture_free(fixture *f)
{
    bur_dataset_destroy(f->set);
    assert_int_equal(bur_context_memory(f->context).live_bytes, 0);
    bur_context_destroy(f->context);
}

static bur_loader *loader_make(const fixture *f, const bur_dataset *set, bur_loader_options options)
{
    bur_loader *loader = NULL;
    assert_ok(bur_loader_create(&loader, f->context, set, &options));
    return loader;
}

/* Runs an epoch: the rows in the order in which they came; returns the number of batches. */
static int64_t run_epoch(bur_loader *loader, int64_t epoch, int64_t batch, int64_t count,
                         int64_t *rows)
{
    assert_ok(bur_loader_start(loader, epoch));
    int64_t batches = 0, seen = 0;
    for (;;) {
        bur_batch b = {NULL, NULL, -1};
        assert_ok(bur_loader_next(loader, &b));
        if (b.count == 0)
            break;
        assert_int_equal(b.count, count - seen < batch ? count - seen : batch);
        for (int64_t i = 0; i < b.count; i++) {
            const int64_t row = (int64_t)b.x[2 * i];
            assert_true(b.x[2 * i + 1] == -(float)row);
            assert_int_equal(((const int32_t *)b.target)[i], row % 3);
            rows[seen++] = row;
        }
        batches++;
    }
    assert_int_equal(seen, count);
    bur_batch b;
    assert_ok(bur_loader_next(loader, &b));
    assert_int_equal(b.count, 0);
    return batches;
}

static void test_data_loader__2000_rows_in_hundreds_are_20_steps_and_2001_are_21(void **state)
{
    (void)state;
    static const int64_t count[] = {2000, 2001}, steps[] = {20, 21};
    for (int i = 0; i < 2; i++) {
        fixture f = fixture_make(count[i]);
        bur_loader *loader = loader_make(&f, f.set, (bur_loader_options){.batch = 100});
        static int64_t rows[MOST];
        assert_int_equal(run_epoch(loader, 0, 100, count[i], rows), steps[i]);
        for (int64_t row = 0; row < count[i]; row++) /* not shuffled */
            assert_int_equal(rows[row], row);
        bur_loader_destroy(loader);
        fixture_free(&f);
    }
}

static void test_data_loader__an_epoch_is_a_permutation_by_seed_and_epoch(void **state)
{
    (void)state;
    enum { N = 1000 };
    fixture f = fixture_make(N);
    static int64_t rows[4][N];
    const bur_loader_options options = {.batch = 64, .shuffle = true, .seed = 11};
    bur_loader_options other = options;
    other.seed = 12;
    bur_loader *loader = loader_make(&f, f.set, options), *second = loader_make(&f, f.set, other);
    run_epoch(loader, 0, 64, N, rows[0]);
    run_epoch(loader, 1, 64, N, rows[1]);
    run_epoch(loader, 0, 64, N, rows[2]);
    run_epoch(second, 0, 64, N, rows[3]);
    assert_memory_equal(rows[0], rows[2], sizeof rows[0]);
    int same[2] = {0, 0}, fixed = 0;
    for (int e = 0; e < 4; e++) {
        bool seen[N] = {false};
        for (int i = 0; i < N; i++) {
            assert_false(seen[rows[e][i]]);
            seen[rows[e][i]] = true;
        }
    }
    for (int i = 0; i < N; i++) {
        same[0] += rows[0][i] == rows[1][i];
        same[1] += rows[0][i] == rows[3][i];
        fixed += rows[0][i] == i;
    }
    /* A random permutation keeps one row in place in the mean; ten are less likely than 1 in 10^7.
     */
    assert_true(same[0] < 10 && same[1] < 10 && fixed < 10);
    bur_loader_destroy(second);
    bur_loader_destroy(loader);
    fixture_free(&f);
}

static void test_data_loader__every_place_gets_every_row_equally_often(void **state)
{
    (void)state;
    enum { N = 5, EPOCHS = 5000 };
    fixture f = fixture_make(N);
    bur_loader *loader =
        loader_make(&f, f.set, (bur_loader_options){.batch = N, .shuffle = true, .seed = 3});
    int64_t times[N][N] = {{0}}, rows[N];
    for (int64_t epoch = 0; epoch < EPOCHS; epoch++) {
        run_epoch(loader, epoch, N, N, rows);
        for (int i = 0; i < N; i++)
            times[i][rows[i]]++;
    }
    double chi2 = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            chi2 +=
                (double)((times[i][j] - EPOCHS / N) * (times[i][j] - EPOCHS / N)) / (EPOCHS / N);
    assert_true(chi2 < 45); /* 16 degrees of freedom: 1 in 10^4 */
    bur_loader_destroy(loader);
    fixture_free(&f);
}

static void test_data_loader__batches_do_not_depend_on_threads_or_depth(void **state)
{
    (void)state;
    enum { N = 1003 };
    fixture f = fixture_make(N);
    static int64_t first[N], rows[N];
    bur_loader *one = loader_make(&f, f.set, (bur_loader_options){.batch = 10, .shuffle = true});
    run_epoch(one, 5, 10, N, first);
    bur_loader_destroy(one);
    static const int32_t threads[] = {0, 1, 2, 16}, depth[] = {1, 2, 7, 300};
    for (int t = 0; t < 4; t++) {
        for (int d = 0; d < 4; d++) {
            const bur_loader_options options = {
                .batch = 10, .shuffle = true, .threads = threads[t], .depth = depth[d]};
            bur_loader *loader = loader_make(&f, f.set, options);
            assert_int_equal(run_epoch(loader, 5, 10, N, rows), 101);
            assert_memory_equal(rows, first, sizeof first);
            bur_loader_destroy(loader);
        }
    }
    fixture_free(&f);
}

/* The validation part is the last fifth, taken before shuffling: none of it is ever trained on. */
static void test_data_loader__no_validation_row_is_in_a_training_batch(void **state)
{
    (void)state;
    enum { N = 1000, TRAIN = 800 };
    fixture f = fixture_make(N);
    bur_dataset *train = NULL, *validation = NULL;
    assert_ok(bur_dataset_view(&train, f.set, 0, TRAIN));
    assert_ok(bur_dataset_view(&validation, f.set, TRAIN, N - TRAIN));
    static int64_t rows[N];
    for (uint64_t seed = 0; seed < 3; seed++) {
        const bur_loader_options options = {
            .batch = 32, .shuffle = true, .seed = seed, .threads = 2};
        bur_loader *loader = loader_make(&f, train, options);
        for (int64_t epoch = 0; epoch < 5; epoch++) {
            run_epoch(loader, epoch, 32, TRAIN, rows);
            for (int i = 0; i < TRAIN; i++)
                assert_true(rows[i] < TRAIN);
        }
        bur_loader_destroy(loader);
        loader = loader_make(&f, validation, options);
        run_epoch(loader, 0, 32, N - TRAIN, rows);
        for (int i = 0; i < N - TRAIN; i++)
            assert_true(rows[i] >= TRAIN);
        bur_loader_destroy(loader);
    }
    bur_dataset_destroy(validation);
    bur_dataset_destroy(train);
    fixture_free(&f);
}

static void test_data_loader__takes_exactly_the_bytes_it_tells_and_none_later(void **state)
{
    (void)state;
    static const bur_loader_options options[] = {
        {.batch = 1},
        {.batch = 33, .depth = 5, .threads = 3},
        {.batch = 5000, .threads = 1},
        {.batch = 2000, .depth = 9},
    };
    fixture f = fixture_make(2001);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const bur_memory_stats before = bur_context_memory(f.context);
        bur_loader *loader = loader_make(&f, f.set, options[i]);
        const bur_memory_stats after = bur_context_memory(f.context);
        assert_int_equal(after.live_bytes - before.live_bytes,
                         bur_loader_bytes(bur_dataset_describe(f.set), &options[i]));
        static int64_t rows[MOST];
        const int64_t batch = options[i].batch < 2001 ? options[i].batch : 2001;
        for (int64_t epoch = 0; epoch < 3; epoch++)
            run_epoch(loader, epoch, batch, 2001, rows);
        assert_int_equal(bur_context_memory(f.context).calls, after.calls);
        bur_loader_destroy(loader);
    }
    fixture_free(&f);
}

static void test_data_loader__is_ready_while_the_caller_works(void **state)
{
    (void)state;
    fixture f = fixture_make(2000);
    bur_loader *loader =
        loader_make(&f, f.set, (bur_loader_options){.batch = 100, .depth = 2, .threads = 1});
    assert_ok(bur_loader_start(loader, 0));
    bur_batch b;
    for (int i = 0; i < 20; i++) {
        assert_ok(bur_loader_next(loader, &b));
        /* What the caller holds stays as it is while the next ones are prepared. */
        const float first = b.x[0];
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        assert_true(b.x[0] == first && first == (float)(100 * i));
    }
    /* 40 ms of work; preparing 20 batches of 100 pairs takes microseconds. */
    assert_true(bur_loader_wait_ns(loader) < 20000000);
    bur_loader_destroy(loader);
    fixture_free(&f);
}

static void test_data_loader__can_be_restarted_and_destroyed_at_any_time(void **state)
{
    (void)state;
    fixture f = fixture_make(2001);
    for (int taken = 0; taken < 40; taken++) {
        const bur_loader_options options = {
            .batch = 7, .shuffle = true, .threads = taken % 4, .depth = 1 + taken % 3};
        bur_loader *loader = loader_make(&f, f.set, options);
        bur_batch b;
        if (taken == 0)
            assert_status(BUR_E_STATE, bur_loader_next(loader, &b));
        for (int restart = 0; restart < taken % 5; restart++) {
            assert_ok(bur_loader_start(loader, restart));
            for (int i = 0; i < taken; i++)
                assert_ok(bur_loader_next(loader, &b));
        }
        if (taken % 2 == 1) {
            static int64_t rows[MOST];
            run_epoch(loader, taken, 7, 2001, rows);
        }
        bur_loader_destroy(loader);
    }
    bur_loader_destroy(NULL);
    fixture_free(&f);
}

static void test_data_loader__wrong_options_are_refused(void **state)
{
    (void)state;
    static const bur_loader_options wrong[] = {
        {.batch = 0},
        {.batch = -5},
        {.batch = 1, .depth = -1},
        {.batch = 1, .threads = -1},
        {.batch = 1, .threads = 100000},
    };
    fixture f = fixture_make(10);
    bur_loader *loader = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_status(BUR_E_ARG, bur_loader_create(&loader, f.context, f.set, &wrong[i]));
        assert_int_equal(bur_loader_bytes(bur_dataset_describe(f.set), &wrong[i]), 0);
    }
    assert_null(loader);
    bur_dataset_info huge = *bur_dataset_describe(f.set);
    huge.count = INT64_MAX / 2;
    const bur_loader_options all = {.batch = INT64_MAX / 2};
    assert_true(bur_loader_bytes(&huge, &all) == SIZE_MAX);
    fixture_free(&f);
}
