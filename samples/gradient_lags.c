/* What long sequences do to a plain recurrent network, and gated ones to them: each learns to add
 * two marked numbers among a hundred, then the gradient of its answer by the input so many steps
 * back is printed. Usage: gradient_lags [device [updates]] */
#include <burthen/burthen.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 64, STEPS = 100, FEATURES = 2, UNITS = 64 };

static const int lags[] = {1, 5, 10, 20, 50, 99};
enum { LAGS = sizeof lags / sizeof *lags };

/* A model of the zoo, and the operators of its recurrent layer. */
typedef struct network {
    const char *model, *layer;
    bur_op row, gradient;
} network;

static const network networks[] = {
    {"rnn", "simple_rnn1", BUR_OP_simple_rnn, BUR_OP_simple_rnn_grad},
    {"lstm", "lstm1", BUR_OP_lstm, BUR_OP_lstm_grad},
    {"gru", "gru1", BUR_OP_gru, BUR_OP_gru_grad},
};

/* Arrays of one calculation: parameters, then what is made of them. */
enum {
    X,
    WEIGHT,
    RECURRENT,
    INPUT_BIAS,
    BIAS,
    ANSWER,
    PRODUCT,
    PART,
    STATE,
    GATES,
    STATES,
    D_STATE,
    D_PART,
    D_SUM,
    D_X,
    ARRAYS
};

/* The trained parameter "layer.name". */
static bur_status parameter(bur_array **out, bur_device *device, bur_session *session,
                            const char *layer, const char *name)
{
    char full[64];
    int32_t i = 0;
    snprintf(full, sizeof full, "%s.%s", layer, name);
    while (i < bur_session_state_count(session) &&
           strcmp(bur_session_state_at(session, i)->name, full) != 0)
        i++;
    if (i == bur_session_state_count(session))
        return bur_fail(BUR_E_NAME, "no parameter '%s'", full);
    const bur_desc *desc = &bur_session_state_at(session, i)->desc;
    float *values = malloc(bur_desc_bytes(desc));
    if (values == NULL)
        return BUR_E_NOMEM;
    bur_status status = bur_session_read_state(session, i, values);
    if (status == BUR_OK)
        status = bur_array_create(out, device, BUR_F32, &desc->shape, values);
    free(values);
    return status;
}

static bur_status read_parameters(bur_array **a, bur_device *device, const network *n,
                                  bur_session *session)
{
    const bool two = n->row == BUR_OP_gru; /* biases: of the input's part and of the state's */
    BUR_TRY(parameter(&a[WEIGHT], device, session, n->layer, "weight"));
    BUR_TRY(parameter(&a[RECURRENT], device, session, n->layer, "recurrent_weight"));
    BUR_TRY(parameter(&a[BIAS], device, session, n->layer, two ? "recurrent_bias" : "bias"));
    if (two)
        BUR_TRY(parameter(&a[INPUT_BIAS], device, session, n->layer, "bias"));
    return parameter(&a[ANSWER], device, session, "dense1", "weight");
}

/* The answer is its weights times the last state: by which each sample's gradient begins. */
static bur_status answer_gradient(bur_array **out, bur_device *device, bur_array *answer)
{
    static float one[UNITS], all[SAMPLES * UNITS];
    const bur_shape shape = {.rank = 2, .dim = {SAMPLES, UNITS}};
    BUR_TRY(bur_array_read(answer, one, sizeof one));
    for (int i = 0; i < SAMPLES * UNITS; i++)
        all[i] = one[i % UNITS];
    return bur_array_create(out, device, BUR_F32, &shape, all);
}

/* The gradient of the answers by every input: the steps forward, then back. */
static bur_status input_gradient(bur_array **a, bur_device *device, const network *n)
{
    const bur_attr last = {.recurrent = {.last = true}}, turned = {.matmul = {.transpose_b = true}};
    const bool gru = n->row == BUR_OP_gru;
    bur_array *part[] = {a[X], a[WEIGHT]};
    BUR_TRY(bur_run(device, BUR_OP_batch_matmul, NULL, part, 2, &a[PRODUCT], 1));
    bur_array *biased[] = {a[PRODUCT], a[INPUT_BIAS]};
    if (gru)
        BUR_TRY(bur_run(device, BUR_OP_bias_add, NULL, biased, 2, &a[PART], 1));
    bur_array *walk[] = {gru ? a[PART] : a[PRODUCT], a[RECURRENT], a[BIAS]};
    BUR_TRY(bur_run(device, n->row, &last, walk, 3, &a[STATE], 3));
    BUR_TRY(answer_gradient(&a[D_STATE], device, a[ANSWER]));
    bur_array *back[] = {a[D_STATE], a[RECURRENT], a[GATES], a[STATES]};
    BUR_TRY(bur_run(device, n->gradient, &last, back, gru ? 4 : 3, &a[D_PART], gru ? 2 : 1));
    bur_array *input[] = {a[D_PART], a[WEIGHT]};
    return bur_run(device, BUR_OP_batch_matmul, &turned, input, 2, &a[D_X], 1);
}

/* d[SAMPLES][STEPS][FEATURES]: the root of the mean over samples of the squares at each lag. */
static void print_norms(const float *d)
{
    for (int lag = 0; lag < LAGS; lag++) {
        double sum = 0;
        for (int sample = 0; sample < SAMPLES; sample++)
            for (int i = 0; i < FEATURES; i++) {
                const int step = STEPS - 1 - lags[lag];
                const double value = (double)d[(sample * STEPS + step) * FEATURES + i];
                sum += value * value;
            }
        printf(" %9.1e", sqrt(sum / SAMPLES));
    }
    printf("\n");
}

static bur_status show_gradients(bur_device *device, const network *n, bur_session *session,
                                 const bur_dataset *test)
{
    static float x[SAMPLES * STEPS * FEATURES], target[SAMPLES];
    static const bur_shape shape = {.rank = 3, .dim = {SAMPLES, STEPS, FEATURES}};
    int64_t rows[SAMPLES];
    bur_array *arrays[ARRAYS] = {NULL};
    for (int i = 0; i < SAMPLES; i++)
        rows[i] = i;
    bur_dataset_gather(test, rows, SAMPLES, x, target);
    bur_status status = bur_array_create(&arrays[X], device, BUR_F32, &shape, x);
    if (status == BUR_OK)
        status = read_parameters(arrays, device, n, session);
    if (status == BUR_OK)
        status = input_gradient(arrays, device, n);
    if (status == BUR_OK)
        status = bur_array_read(arrays[D_X], x, sizeof x);
    if (status == BUR_OK)
        print_norms(x);
    for (int i = 0; i < ARRAYS; i++)
        bur_array_destroy(arrays[i]);
    return status;
}

static bur_status train(bur_trainer *trainer, bur_device *device, const network *n,
                        const bur_data *data)
{
    double loss = 0, error = 0;
    BUR_TRY(bur_trainer_fit(trainer));
    BUR_TRY(bur_trainer_evaluate(trainer, data->test, &loss, &error));
    printf("%-5s %8.4f ", n->model, loss);
    return show_gradients(device, n, bur_trainer_session(trainer), data->test);
}

static bur_status show(bur_context *context, bur_device *device, const network *n, int64_t updates,
                       const bur_data *data)
{
    const bur_zoo_options shape = {.sample = {.rank = 2, .dim = {STEPS, FEATURES}},
                                   .classes = 1,
                                   .values = true,
                                   .hidden = "64"};
    bur_fit_options options = {.batch = 32, .epochs = updates, .max_steps = updates, .seed = 1};
    options.optimizer = bur_optimizer_default(BUR_ADAM);
    options.optimizer.learning_rate = 0.003F;
    bur_recipe *recipe = NULL;
    bur_trainer *trainer = NULL;
    BUR_TRY(bur_zoo_create(&recipe, context, n->model, &shape));
    bur_status status = bur_trainer_create(&trainer, device, recipe, data, &options);
    if (status == BUR_OK)
        status = train(trainer, device, n, data);
    bur_trainer_destroy(trainer);
    bur_recipe_destroy(recipe);
    return status;
}

static bur_status compare(bur_context *context, bur_device *device, int64_t updates,
                          const bur_data *data)
{
    printf("      test MSE  gradient by the input so many steps back:\n               ");
    for (int lag = 0; lag < LAGS; lag++)
        printf(" %9d", lags[lag]);
    printf("\n");
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        BUR_TRY(show(context, device, &networks[i], updates, data));
    return BUR_OK;
}

int main(int argc, char **argv)
{
    const int64_t updates = argc > 2 ? strtoll(argv[2], NULL, 10) : 3756;
    const bur_data_options options = {.length = STEPS};
    bur_context *context = NULL;
    bur_device *device = NULL;
    bur_data data = {0};
    const bool ok = bur_context_create(&context, NULL) == BUR_OK &&
                    bur_device_open(&device, context, argc > 1 ? argv[1] : "cpu") == BUR_OK &&
                    bur_data_open(&data, context, "adding", &options) == BUR_OK &&
                    compare(context, device, updates, &data) == BUR_OK;
    if (!ok)
        fprintf(stderr, "%s\n", bur_last_error());
    bur_data_close(&data);
    bur_context_destroy(context);
    return ok ? 0 : 1;
}
