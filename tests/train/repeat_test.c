/* One seed on one device with one thread count gives the same bits, whatever else is random or
 * ragged. */
#include "test.h"

#include "support/model.h"
#include "support/run.h"

#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 2000, TIMES = 3 };

/* Convolution, pooling and two dropouts of the library's random numbers. */
static bur_recipe *small_cnn(bur_context *context)
{
    const bur_layer layers[] = {bur_conv2d(8, 3, BUR_SAME, BUR_RELU),
                                bur_max_pooling2d(2),
                                bur_flatten(),
                                bur_dropout(0.25F),
                                bur_dense(64, BUR_RELU),
                                bur_dropout(0.5F),
                                bur_dense(10, BUR_SOFTMAX)};
    const bur_shape image = {.rank = 3, .dim = {28, 28, 1}};
    return test_sequential(context, &image, layers, sizeof layers / sizeof *layers);
}

/* Parameters and optimizer state after an epoch on the `device`-th device of a fresh context. */
static float *train_epoch(int threads, int32_t device, uint64_t seed, int64_t *count)
{
    bur_context *context = NULL;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    bur_data fashion = {0};
    bur_data data = {0};
    bur_trainer *trainer = NULL;
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = threads}));
    assert_true(device < test_run_devices(devices, context));
    assert_ok(bur_data_open(&fashion, context, "fashion-mnist", NULL));
    assert_ok(bur_dataset_view(&data.train, fashion.train, 0, SAMPLES));
    bur_recipe *recipe = small_cnn(context);
    const bur_fit_options options = {.seed = seed};
    assert_ok(bur_trainer_create(&trainer, devices[device], recipe, &data, &options));
    assert_ok(bur_trainer_fit(trainer));
    float *state = test_run_read_state(bur_trainer_session(trainer), count);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    bur_data_close(&data);
    bur_data_close(&fashion);
    bur_context_destroy(context);
    return state;
}

static int32_t count_devices(void)
{
    bur_context *context = NULL;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    assert_ok(bur_context_create(&context, NULL));
    const int32_t count = test_run_devices(devices, context);
    bur_context_destroy(context);
    return count;
}

static void check_repeats(int threads, int32_t device)
{
    int64_t count = 0;
    float *first = train_epoch(threads, device, 5, &count);
    for (int i = 1; i < TIMES; i++) {
        float *again = train_epoch(threads, device, 5, &count);
        if (memcmp(first, again, (size_t)count * sizeof *first) != 0)
            fail_msg("device %d, %d threads: time %d differs by %.3g", (int)device, threads, i + 1,
                     test_run_difference(again, first, count));
        free(again);
    }
    float *other = train_epoch(threads, device, 6, &count);
    assert_true(test_run_difference(other, first, count) > 0.01); /* the seed counts */
    free(other);
    free(first);
}

static void test_train_repeat__an_epoch_gives_the_same_bits_on_one_thread(void **state)
{
    (void)state;
    check_repeats(1, 0);
}

static void test_train_repeat__an_epoch_gives_the_same_bits_on_two_threads(void **state)
{
    (void)state;
    check_repeats(2, 0);
}

/* Where OpenCL is not built there is the CPU alone, whose tests are the two above. */
static void test_train_repeat__an_epoch_gives_the_same_bits_on_every_device(void **state)
{
    (void)state;
    const int32_t count = count_devices();
    if (count == 1)
        skip();
    for (int32_t d = 1; d < count; d++)
        check_repeats(0, d);
}

enum { BATCH = 32, RAGGED_COUNT = 1000, TAIL = RAGGED_COUNT % BATCH };

/* Two sessions over one memory: whole batches, and the last of an epoch. */
typedef struct pair {
    bur_graph *graphs[2];
    bur_plan *plans[2];
    bur_session *sessions[2];
    bur_memory *memory;
} pair;

static void pair_create(pair *p, bur_device *device, const bur_recipe *recipe,
                        const bur_optimizer *optimizer, uint64_t seed)
{
    const bur_target target = bur_device_target(device);
    static const int64_t batches[] = {BATCH, TAIL};
    for (int i = 0; i < 2; i++) {
        const bur_graph_options options = {.batch = batches[i],
                                           .mode = BUR_TRAIN,
                                           .loss = BUR_LOSS_CROSS_ENTROPY,
                                           .optimizer = *optimizer};
        assert_ok(bur_graph_create(&p->graphs[i], recipe, &options));
        assert_ok(bur_plan_create(&p->plans[i], p->graphs[i], &target, NULL));
    }
    const bur_plan *const plans[] = {p->plans[0], p->plans[1]};
    assert_ok(bur_memory_create(&p->memory, device, plans, 2));
    for (int i = 0; i < 2; i++)
        assert_ok(bur_session_create(&p->sessions[i], p->memory, p->plans[i]));
    assert_ok(bur_session_initialize(p->sessions[0], recipe, seed));
}

static void pair_destroy(pair *p)
{
    for (int i = 0; i < 2; i++)
        bur_session_destroy(p->sessions[i]);
    bur_memory_destroy(p->memory);
    for (int i = 0; i < 2; i++) {
        bur_plan_destroy(p->plans[i]);
        bur_graph_destroy(p->graphs[i]);
    }
}

/* An epoch by hand: the mean of the last, smaller batch is over its own samples, and the epoch's
 * loss counts each sample once. Returns that loss. */
static double pair_train(pair *p, bur_context *context, const bur_dataset *data,
                         const bur_optimizer *optimizer, uint64_t seed)
{
    const bur_loader_options options = {.batch = BATCH, .shuffle = true, .seed = seed};
    bur_loader *loader = NULL;
    bur_batch batch = {.count = BATCH};
    double sum = 0;
    assert_ok(bur_loader_create(&loader, context, data, &options));
    assert_ok(bur_loader_start(loader, 1));
    for (int64_t step = 0; batch.count > 0; step++) {
        assert_ok(bur_loader_next(loader, &batch));
        if (batch.count == 0) {
            assert_int_equal(step, (RAGGED_COUNT + BATCH - 1) / BATCH);
            break;
        }
        assert_int_equal(batch.count, step < RAGGED_COUNT / BATCH ? BATCH : TAIL);
        bur_session *session = p->sessions[batch.count == TAIL];
        const bur_scalars scalars = test_run_scalars(optimizer, seed, step, batch.count);
        float result[BUR_RESULT_WORDS];
        assert_ok(bur_session_write_batch(session, batch.x, batch.target));
        assert_ok(bur_session_step(session, &scalars));
        assert_ok(bur_session_read_result(session, result));
        assert_float_equal(result[BUR_RESULT_LOSS] * (float)batch.count,
                           result[BUR_RESULT_LOSS_SUM], 1e-3);
        sum += (double)result[BUR_RESULT_LOSS_SUM];
    }
    bur_loader_destroy(loader);
    return sum / RAGGED_COUNT;
}

/* 1000 samples in batches of 32: 31 of them and one of 8. */
static void test_train_repeat__fit_equals_its_steps_taken_by_hand_ragged_batch_and_all(void **state)
{
    (void)state;
    bur_context *context = NULL;
    bur_device *device = NULL;
    bur_data fashion = {0}, data = {0};
    bur_trainer *trainer = NULL;
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = 2}));
    assert_ok(bur_device_open(&device, context, "cpu"));
    assert_ok(bur_data_open(&fashion, context, "fashion-mnist", NULL));
    assert_ok(bur_dataset_view(&data.train, fashion.train, 0, RAGGED_COUNT));
    bur_recipe *recipe = small_cnn(context);
    const bur_fit_options options = {.seed = 9};
    assert_ok(bur_trainer_create(&trainer, device, recipe, &data, &options));
    assert_ok(bur_trainer_fit(trainer));
    int64_t count = 0, epochs = 0;
    float *fitted = test_run_read_state(bur_trainer_session(trainer), &count);

    pair p;
    const bur_optimizer adam = bur_optimizer_default(BUR_ADAM);
    pair_create(&p, device, recipe, &adam, 9);
    const double loss = pair_train(&p, context, data.train, &adam, 9);
    float *by_hand = test_run_read_state(p.sessions[0], &count);
    assert_memory_equal(fitted, by_hand, (size_t)count * sizeof *fitted);
    const bur_epoch *history = bur_trainer_history(trainer, &epochs);
    assert_int_equal(epochs, 1);
    assert_int_equal(history[0].updates, 32);
    assert_float_equal(history[0].loss, loss, 1e-4);

    free(fitted);
    free(by_hand);
    pair_destroy(&p);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    bur_data_close(&data);
    bur_data_close(&fashion);
    bur_context_destroy(context);
}
