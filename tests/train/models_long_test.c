/* The larger networks learn what they are made for: a residual network and a vision transformer
 * tell Fashion-MNIST's clothes apart, a transformer encoder tells sorted tokens from unsorted ones.
 *
 * BURTHEN_LONG_FRACTION=N trains on one Nth of the rows for at most two epochs: that shows that the
 * whole path works. What is asked then is that the loss falls: so few updates teach little. */
#include "test.h"

#include "support/run.h"

typedef struct task {
    const char *model, *data;
    bur_zoo_options shape;
    int64_t batch, epochs;
    float learning_rate, clip_norm, ema;
    bur_schedule schedule;
    double wanted; /* accuracy on the test part */
} task;

static const task resnet18 = {
    .model = "resnet18",
    .data = "fashion-mnist",
    .shape = {.sample = {.rank = 3, .dim = {28, 28, 1}},
              .classes = 10,
              .width = 0.25F,
              .small_stem = true},
    .batch = 64,
    .epochs = 5,
    .learning_rate = 0.001F,
    .wanted = 0.910,
};

static const task vit_tiny = {
    .model = "vit-tiny",
    .data = "fashion-mnist",
    .shape = {.sample = {.rank = 3, .dim = {28, 28, 1}}, .classes = 10},
    .batch = 32,
    .epochs = 10,
    .learning_rate = 0.0003F,
    .clip_norm = 1,
    .ema = 0.999F,
    .schedule = {.kind = BUR_SCHEDULE_COSINE, .warmup = 1000},
    .wanted = 0.880,
};

/* Sequences of 32, of which four tokens have an order, see core/data/README.md. */
static const task transformer = {
    .model = "transformer-small",
    .data = "tokens",
    .shape = {.sample = {.rank = 1, .dim = {32}}, .classes = 2},
    .batch = 32,
    .epochs = 5,
    .learning_rate = 0.0005F,
    .clip_norm = 1,
    .ema = 0.999F,
    .wanted = 0.950,
};

/* An Nth of the training samples of a set. */
static void take_part(bur_data *part, const bur_data *whole, int64_t n)
{
    const int64_t count = bur_dataset_describe(whole->train)->count / n;
    const int64_t tested = bur_dataset_describe(whole->test)->count / n;
    assert_ok(bur_dataset_view(&part->train, whole->train, 0, count));
    assert_ok(bur_dataset_view(&part->test, whole->test, 0, tested));
}

/* A sign of life: these runs take up to an hour. */
static bur_status tell_epoch(void *user, bur_event event, const void *data)
{
    const task *t = user;
    const bur_epoch *row = data;
    if (event == BUR_EVENT_EPOCH)
        print_message("%s: epoch %d, %.0f s, loss %.4f, accuracy %.4f, learning rate %.6f\n",
                      t->model, (int)row->epoch, row->seconds, row->loss, row->metric,
                      row->learning_rate);
    return BUR_OK;
}

static void learn(const task *t, uint64_t seed)
{
    const int64_t n = test_long_fraction();
    const bur_data_options drawn = {.length =
                                        t->shape.sample.rank == 1 ? t->shape.sample.dim[0] : 0};
    bur_fit_options options = {.batch = t->batch,
                               .epochs = n == 1 || t->epochs < 2 ? t->epochs : 2,
                               .optimizer = bur_optimizer_default(BUR_ADAM),
                               .schedule = t->schedule,
                               .seed = seed,
                               .callback = tell_epoch,
                               .callback_user = (void *)t};
    options.optimizer.learning_rate = t->learning_rate;
    options.optimizer.attr.clip_norm = t->clip_norm;
    options.optimizer.attr.ema = t->ema;
    bur_context *context = NULL;
    bur_device *cpu = NULL;
    bur_data whole = {0}, data = {0};
    bur_recipe *recipe = NULL;
    bur_trainer *trainer = NULL;
    double loss = 0, accuracy = 0;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_device_open(&cpu, context, "cpu"));
    assert_ok(bur_data_open(&whole, context, t->data, &drawn));
    take_part(&data, &whole, n);
    assert_ok(bur_zoo_create(&recipe, context, t->model, &t->shape));
    assert_ok(bur_trainer_create(&trainer, cpu, recipe, &data, &options));
    assert_ok(bur_trainer_fit(trainer));
    assert_ok(bur_trainer_evaluate(trainer, data.test, &loss, &accuracy));
    int64_t rows = 0;
    const bur_epoch *history = bur_trainer_history(trainer, &rows);
    print_message(
        "%s on %s, %d epochs, seed %d: training loss %.4f, then %.4f; test accuracy %.4f\n",
        t->model, t->data, (int)rows, (int)seed, history[0].loss, history[rows - 1].loss, accuracy);
    assert_true(history[rows - 1].loss < history[0].loss);
    assert_true(n > 1 || accuracy >= t->wanted);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    bur_data_close(&data);
    bur_data_close(&whole);
    bur_context_destroy(context);
}

static void test_train_models_long__a_quarter_resnet18_reaches_91_percent(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++)
        learn(&resnet18, seed);
}

static void test_train_models_long__vit_tiny_reaches_88_percent(void **state)
{
    (void)state;
    learn(&vit_tiny, 0);
}

static void test_train_models_long__a_transformer_tells_sorted_tokens_from_unsorted(void **state)
{
    (void)state;
    learn(&transformer, 0);
}
