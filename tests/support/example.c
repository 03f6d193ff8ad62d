#include "example.h"

#include "../test.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int32_t test_example_count(bur_op op)
{
    bur_attr attr;
    bur_desc inputs[BUR_EXAMPLE_INPUTS];
    int32_t count = 0, n_inputs = 0;
    while (bur_op_example(op, count, &attr, inputs, &n_inputs) == BUR_OK)
        count++;
    return count;
}

/* ---- values ---- */

double test_uniform(uint32_t stream, int64_t i)
{
    uint32_t word[4];
    bur_philox(word, (uint32_t[]){(uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), 0, 0},
               (uint32_t[]){stream, 20241});
    return 2 * (double)bur_uniform(word[i % 4]) - 1;
}

typedef double value_rule(const test_example *example, int32_t input, int64_t i, double u);

/* One in sixteen is exactly zero, not the same ones in every input: thresholds. */
static double with_zeros(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)example;
    return (i + 3 * input) % 16 == 5 ? 0 : u;
}

/* Never near zero: kinks are, and dropout's mask is told by zeros. */
static double without_zeros(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)example, (void)input, (void)i;
    return u < 0 ? u - 0.125 : u + 0.125;
}

/* Large arguments: saturation, overflow of exp. */
static double spread(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)example, (void)input;
    return u * (i % 17 == 3 ? 600 : 6);
}

/* Both sides of 3 and 6, where hard activations bend, and never near them. */
static double spread_without_bends(const test_example *example, int32_t input, int64_t i, double u)
{
    return without_zeros(example, input, i, u) + (i % 3 == 0 ? 0 : i % 3 == 1 ? 4.5 : -4.5);
}

/* Outputs of hard activations: zeros, ones and sixes among others. */
static double saturated(const test_example *example, int32_t input, int64_t i, double u)
{
    return i % 8 == 1 ? 1 : i % 8 == 2 ? 6 : with_zeros(example, input, i, 4 * u);
}

static double logarithm(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)example, (void)input;
    return i % 7 == 3 ? -600 * (u + 1) : 3 * (u - 1);
}

/* Equal values within windows, mostly negative, so that padding must not win. */
static double ties(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)example, (void)input, (void)i;
    return floor(u * 4 - 3) / 4;
}

/* All values differ, by far more than a difference step. */
static double distinct(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)u;
    const int64_t n = bur_desc_count(&example->inputs[input]);
    return (double)(i * 7919 % n) / (double)n - 0.5;
}

/* Hard targets, and some between. */
static double binary_target(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)example, (void)input;
    return i % 5 == 2 ? (u + 1) / 2 : u > 0;
}

static double probability(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)i;
    const double classes = (double)example->inputs[input].shape.dim[1];
    return (u + 1.25) / classes;
}

/* Every third sample's labelled class has less than the 1e-7 that cross_entropy is clamped at. */
static double clamped_probability(const test_example *example, int32_t input, int64_t i, double u)
{
    const int64_t classes = example->inputs[input].shape.dim[1], sample = i / classes;
    if (example->inputs[1].dtype != BUR_I32)
        return probability(example, input, i, u);
    const bool labelled = ((const int32_t *)example->x[1])[sample] == i % classes;
    return labelled && sample % 3 == 1 ? 0x1p-24 * (u + 1) / 2 : probability(example, input, i, u);
}

/* Squares that were added up are never negative. */
static double squares(const test_example *example, int32_t input, int64_t i, double u)
{
    static const int second_moment = 2;
    const int role = (input - bur_op_first_group(&example->call)) % 3;
    return role == second_moment ? u + 1.125 : with_zeros(example, input, i, u);
}

/* adam: every other element is so small that epsilon counts beside sqrt(v). */
static double adam(const test_example *example, int32_t input, int64_t i, double u)
{
    const double scale = i % 2 == 0 ? 1 : 0x1p-24;
    static const int parameter = 0, second_moment = 3;
    const int role = (input - bur_op_first_group(&example->call)) % 4;
    if (role == parameter)
        return u;
    return role == second_moment ? (u + 1.125) * scale * scale : u * scale;
}

/* Roots, logarithms. */
static double positive(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)example, (void)input, (void)i;
    return u + 1.0625;
}

/* Variances; of statistics [2, c] the second half. */
static double variance(const test_example *example, int32_t input, int64_t i, double u)
{
    const bur_desc *desc = &example->inputs[input];
    const bool is_mean = desc->shape.rank == 2 && i < bur_desc_count(desc) / 2;
    return is_mean ? u / 4 : 0.25 + u * u;
}

/* Recurrent weights: a product with them neither grows nor vanishes over the steps. */
static double contracting(const test_example *example, int32_t input, int64_t i, double u)
{
    (void)i;
    return u / sqrt((double)example->inputs[input].shape.dim[0]);
}

static const struct value_row {
    bur_op op;
    int32_t input; /* -1: every one */
    value_rule *rough, *smooth;
} value_rows[] = {
    {BUR_OP_cross_entropy, 0, clamped_probability, probability},
    {BUR_OP_cross_entropy, 1, probability, probability},
    {BUR_OP_cross_entropy, 3, positive, positive},
    {BUR_OP_softmax_cross_entropy, 1, probability, probability},
    {BUR_OP_softmax_cross_entropy, 3, positive, positive},
    {BUR_OP_dropout, 0, without_zeros, without_zeros},
    {BUR_OP_max_pool2d, 0, ties, distinct},
    {BUR_OP_global_max_pool2d, 0, ties, distinct},
    {BUR_OP_relu, 0, with_zeros, without_zeros},
    {BUR_OP_leaky_relu, 0, with_zeros, without_zeros},
    {BUR_OP_sigmoid, 0, spread, without_zeros},
    {BUR_OP_tanh, 0, spread, without_zeros},
    {BUR_OP_softmax, 0, spread, without_zeros},
    {BUR_OP_softmax_grad, 1, probability, probability},
    {BUR_OP_relu6, 0, spread, spread_without_bends},
    {BUR_OP_relu6_grad, 1, saturated, saturated},
    {BUR_OP_hard_sigmoid, 0, spread, spread_without_bends},
    {BUR_OP_hard_sigmoid_grad, 1, saturated, saturated},
    {BUR_OP_elu, 0, spread, without_zeros},
    {BUR_OP_selu, 0, spread, without_zeros},
    {BUR_OP_softplus, 0, spread, without_zeros},
    {BUR_OP_silu, 0, spread, without_zeros},
    {BUR_OP_gelu, 0, spread, without_zeros},
    {BUR_OP_gelu_tanh, 0, spread, without_zeros},
    {BUR_OP_mish, 0, spread, without_zeros},
    {BUR_OP_log_softmax, 0, spread, without_zeros},
    {BUR_OP_hard_swish, 0, spread, spread_without_bends},
    {BUR_OP_softplus_grad, 1, spread, spread},
    {BUR_OP_silu_grad, 1, spread, spread},
    {BUR_OP_gelu_grad, 1, spread, spread},
    {BUR_OP_gelu_tanh_grad, 1, spread, spread},
    {BUR_OP_hard_swish_grad, 1, spread, spread},
    {BUR_OP_mish_grad, 1, spread, spread},
    {BUR_OP_log_softmax_grad, 1, logarithm, logarithm},
    {BUR_OP_softmax_cross_entropy, 0, spread, without_zeros},
    {BUR_OP_binary_cross_entropy, 0, spread, without_zeros},
    {BUR_OP_binary_cross_entropy, 1, binary_target, binary_target},
    {BUR_OP_div, 1, without_zeros, without_zeros},
    {BUR_OP_maximum, -1, ties, without_zeros},
    {BUR_OP_minimum, -1, ties, without_zeros},
    {BUR_OP_maximum_grad, -1, ties, without_zeros},
    {BUR_OP_minimum_grad, -1, ties, without_zeros},
    {BUR_OP_log, 0, positive, positive},
    {BUR_OP_sqrt, 0, positive, positive},
    {BUR_OP_sqrt_grad, 1, positive, positive},
    {BUR_OP_pow, 0, without_zeros, without_zeros},
    {BUR_OP_pow_grad, 1, without_zeros, without_zeros},
    {BUR_OP_reduce_max, 0, ties, distinct},
    {BUR_OP_rmsprop, -1, squares, squares},
    {BUR_OP_adagrad, -1, squares, squares},
    {BUR_OP_cast, 0, spread, without_zeros},
    {BUR_OP_adam, -1, adam, adam},
    {BUR_OP_batch_norm_grad, 3, variance, variance},
    {BUR_OP_batch_norm_act_grad, 3, variance, variance},
    {BUR_OP_batch_norm_infer, 4, variance, variance},
    {BUR_OP_batch_norm_infer_act, 4, variance, variance},
    {BUR_OP_batch_norm_infer_grad, 4, variance, variance},
    {BUR_OP_running_stats, 1, variance, variance},
    {BUR_OP_running_stats, 2, variance, variance},
    {BUR_OP_simple_rnn, 1, contracting, contracting},
    {BUR_OP_simple_rnn_grad, 1, contracting, contracting},
    {BUR_OP_lstm, 1, contracting, contracting},
    {BUR_OP_lstm_grad, 1, contracting, contracting},
    {BUR_OP_gru, 1, contracting, contracting},
    {BUR_OP_gru_grad, 1, contracting, contracting},
};

static value_rule *find_rule(bur_op op, int32_t input, test_texture texture)
{
    for (size_t i = 0; i < sizeof value_rows / sizeof *value_rows; i++) {
        const struct value_row *row = &value_rows[i];
        if (row->op == op && (row->input < 0 || row->input == input))
            return texture == TEST_ROUGH ? row->rough : row->smooth;
    }
    return texture == TEST_ROUGH ? with_zeros : without_zeros;
}

static void fill_floats(test_example *example, int32_t input, test_texture texture)
{
    const bur_desc *desc = &example->inputs[input];
    value_rule *rule = find_rule(example->call.op, input, texture);
    const int64_t n = bur_desc_count(desc);
    for (int64_t i = 0; i < n; i++) {
        /* rounded to f32 first, so that both types hold the same number */
        const float value = (float)rule(example, input, i, test_uniform((uint32_t)input, i));
        if (desc->dtype == BUR_F32)
            ((float *)example->x[input])[i] = value;
        else
            ((double *)example->x[input])[i] = (double)value;
    }
}

/* Steps of the sequences of a recurrent row; 0 for other rows. */
static int64_t step_count(const test_example *example)
{
    const bur_op op = example->call.op;
    const bool forward = op == BUR_OP_simple_rnn || op == BUR_OP_lstm || op == BUR_OP_gru;
    const bool backward =
        op == BUR_OP_simple_rnn_grad || op == BUR_OP_lstm_grad || op == BUR_OP_gru_grad;
    return forward    ? example->inputs[0].shape.dim[1]
           : backward ? example->inputs[2].shape.dim[1]
                      : 0;
}

/* Integers are labels of classes, positions of maxima, or lengths, 0 and all steps among them. */
static int64_t integer_limit(const test_example *example)
{
    const int32_t *size = example->attr.pool2d.input_size;
    if (example->call.op == BUR_OP_global_max_pool2d_grad)
        return (int64_t)size[0] * size[1];
    if (example->call.op == BUR_OP_reduce_max_grad)
        return bur_desc_count(&example->outputs[0]) / bur_desc_count(&example->inputs[0]);
    if (example->call.op == BUR_OP_embedding)
        return example->inputs[0].shape.dim[0];
    if (example->call.op == BUR_OP_embedding_grad)
        return example->attr.embedding.rows;
    if (step_count(example) > 0)
        return step_count(example) + 1;
    return example->inputs[0].shape.rank < 2 ? 7 : example->inputs[0].shape.dim[1];
}

/* One in eleven is outside of the table. */
static void fill_ids(test_example *example, int32_t input)
{
    const int64_t rows = integer_limit(example);
    for (int64_t i = 0; i < bur_desc_count(&example->inputs[input]); i++)
        ((int32_t *)example->x[input])[i] =
            (int32_t)(i % 11 == 7 ? (i % 2 == 0 ? rows : -1) : i * i * 5 % rows);
}

static void fill_labels(test_example *example, int32_t input)
{
    const int64_t classes = integer_limit(example);
    for (int64_t i = 0; i < bur_desc_count(&example->inputs[input]); i++)
        ((int32_t *)example->x[input])[i] = (int32_t)(i * 5 % classes);
}

/* Every value, and many zeros: masks. */
static void fill_bytes(test_example *example, int32_t input)
{
    for (int64_t i = 0; i < bur_desc_count(&example->inputs[input]); i++)
        ((uint8_t *)example->x[input])[i] = (uint8_t)(i / 3 % 2 == 0 ? 0 : i * 11 + 1);
}

/* A third step, in the middle of an effective batch. */
static void fill_scalars(test_example *example, int32_t input)
{
    const bur_scalars scalars = {.learning_rate = 0.125f,
                                 .inverse_weight_sum = 1.0f / 7,
                                 .correction1 = (float)(1 / (1 - pow(0.9, 3))),
                                 .correction2 = (float)(1 / (1 - pow(0.999, 3))),
                                 .seed = {0xfedcba98u, 0x76543210u},
                                 .step = {2, 1},
                                 .first_sample = 11};
    memcpy(example->x[input], &scalars, sizeof scalars);
}

/* A position inside the window and inside the image, as max_pool2d would give. */
static void fill_index(test_example *example, int32_t input)
{
    const bur_pool2d_attr *attr = &example->attr.pool2d;
    const int64_t *ys = example->inputs[input].shape.dim;
    const int64_t stride[2] = {attr->stride[0] == 0 ? attr->window[0] : attr->stride[0],
                               attr->stride[1] == 0 ? attr->window[1] : attr->stride[1]};
    const int64_t positions = attr->window[0] * attr->window[1];
    for (int64_t i = 0; i < bur_desc_count(&example->inputs[input]); i++) {
        const int64_t oy = i / ys[3] / ys[2] % ys[1], ox = i / ys[3] % ys[2];
        int64_t k = (int64_t)((test_uniform(99, i) + 1) / 2 * (double)positions);
        for (int64_t tries = 0; tries < positions; tries++, k = (k + 1) % positions) {
            const int64_t iy = oy * stride[0] + k / attr->window[1] - attr->pad[0];
            const int64_t ix = ox * stride[1] + k % attr->window[1] - attr->pad[2];
            if (iy >= 0 && iy < attr->input_size[0] && ix >= 0 && ix < attr->input_size[1])
                break;
        }
        ((uint8_t *)example->x[input])[i] = (uint8_t)k;
    }
}

/* ---- examples ---- */

static bool is_scalars(const bur_desc *desc)
{
    return desc->dtype == BUR_I32 && desc->shape.dim[0] == BUR_SCALAR_WORDS;
}

/* Integers first: clamped_probability looks at the labels. */
static void fill_inputs(test_example *example, test_texture texture)
{
    for (int32_t i = 0; i < example->call.n_inputs; i++) {
        example->x[i] = malloc(bur_desc_bytes(&example->inputs[i]) + 1);
        assert_non_null(example->x[i]);
        if (example->inputs[i].dtype == BUR_U8 && example->call.op == BUR_OP_max_pool2d_grad)
            fill_index(example, i);
        else if (example->inputs[i].dtype == BUR_U8)
            fill_bytes(example, i);
        else if (is_scalars(&example->inputs[i]))
            fill_scalars(example, i);
        else if (example->inputs[i].dtype == BUR_I32 && (example->call.op == BUR_OP_embedding ||
                                                         example->call.op == BUR_OP_embedding_grad))
            fill_ids(example, i);
        else if (example->inputs[i].dtype == BUR_I32)
            fill_labels(example, i);
    }
    for (int32_t i = 0; i < example->call.n_inputs; i++)
        if (example->inputs[i].dtype == BUR_F32 || example->inputs[i].dtype == BUR_F64)
            fill_floats(example, i, texture);
}

/* "matmul example 2: 5x7 7x3" */
static void name_example(test_example *example, int32_t index)
{
    char *text = example->text;
    size_t used = (size_t)snprintf(text, sizeof example->text, "%s example %" PRId32 ":",
                                   bur_op_get(example->call.op)->name, index);
    for (int32_t i = 0; i < example->call.n_inputs && used < sizeof example->text; i++) {
        char shape[BUR_SHAPE_TEXT];
        used += (size_t)snprintf(text + used, sizeof example->text - used, " %s",
                                 bur_shape_format(shape, sizeof shape, &example->inputs[i].shape));
    }
}

void test_example_create(test_example *out, bur_op op, int32_t index, int32_t n_outputs,
                         bur_dtype dtype, test_texture texture)
{
    memset(out, 0, sizeof *out);
    int32_t n_inputs = 0;
    assert_ok(bur_op_example(op, index, &out->attr, out->inputs, &n_inputs));
    out->call = (bur_call){.op = op,
                           .attr = &out->attr,
                           .n_inputs = n_inputs,
                           .n_outputs = n_outputs,
                           .inputs = out->inputs,
                           .outputs = out->outputs};
    name_example(out, index);
    for (int32_t i = 0; i < out->call.n_inputs; i++)
        if (out->inputs[i].dtype == BUR_F32)
            out->inputs[i].dtype = (int32_t)dtype;
    assert_ok(bur_op_infer(&out->call, out->outputs));
    for (int32_t i = 0; i < n_outputs; i++) /* a cast says f32 itself */
        if (out->outputs[i].dtype == BUR_F32)
            out->outputs[i].dtype = (int32_t)dtype;
    fill_inputs(out, texture);
}

void test_example_destroy(test_example *example)
{
    for (int32_t i = 0; i < example->call.n_inputs; i++)
        free(example->x[i]);
}
