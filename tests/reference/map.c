/* Activations, softmax, dropout, reshape. */
#include "rows.h"

#include <math.h>
#include <string.h>

double ref_activate(int32_t activation, double alpha, double x)
{
    switch (activation) {
    case BUR_RELU:
        return x > 0 ? x : 0;
    case BUR_LEAKY_RELU:
        return x > 0 ? x : alpha * x;
    case BUR_TANH:
        return tanh(x);
    case BUR_SIGMOID:
        return 1 / (1 + exp(-x));
    default:
        return x;
    }
}

double ref_activate_slope(int32_t activation, double alpha, double y)
{
    switch (activation) {
    case BUR_RELU:
        return y > 0 ? 1 : 0;
    case BUR_LEAKY_RELU:
        return y > 0 ? 1 : alpha;
    case BUR_TANH:
        return 1 - y * y;
    case BUR_SIGMOID:
        return y * (1 - y);
    default:
        return 1;
    }
}

static void activate(const bur_call *call, int32_t activation, const double *x, double *y)
{
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        y[i] = ref_activate(activation, (double)call->attr->activation.alpha, x[i]);
}

static void activate_grad(const bur_call *call, int32_t activation, double *const *x, double *dx)
{
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        dx[i] =
            x[0][i] * ref_activate_slope(activation, (double)call->attr->activation.alpha, x[1][i]);
}

void ref_relu(const bur_call *call, double *const *x, double *const *y)
{
    activate(call, BUR_RELU, x[0], y[0]);
}

void ref_leaky_relu(const bur_call *call, double *const *x, double *const *y)
{
    activate(call, BUR_LEAKY_RELU, x[0], y[0]);
}

void ref_tanh(const bur_call *call, double *const *x, double *const *y)
{
    activate(call, BUR_TANH, x[0], y[0]);
}

void ref_sigmoid(const bur_call *call, double *const *x, double *const *y)
{
    activate(call, BUR_SIGMOID, x[0], y[0]);
}

void ref_relu_grad(const bur_call *call, double *const *x, double *const *y)
{
    activate_grad(call, BUR_RELU, x, y[0]);
}

void ref_leaky_relu_grad(const bur_call *call, double *const *x, double *const *y)
{
    activate_grad(call, BUR_LEAKY_RELU, x, y[0]);
}

void ref_tanh_grad(const bur_call *call, double *const *x, double *const *y)
{
    activate_grad(call, BUR_TANH, x, y[0]);
}

void ref_sigmoid_grad(const bur_call *call, double *const *x, double *const *y)
{
    activate_grad(call, BUR_SIGMOID, x, y[0]);
}

/* y[i,j] = exp(x[i,j]) / sum_j exp(x[i,j]), with the row's maximum taken off first */
void ref_softmax(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t columns = ref_columns(&call->inputs[0]);
    for (int64_t first = 0; first < ref_count(&call->inputs[0]); first += columns) {
        double most = x[0][first], sum = 0;
        for (int64_t j = first; j < first + columns; j++)
            most = fmax(most, x[0][j]);
        for (int64_t j = first; j < first + columns; j++)
            sum += exp(x[0][j] - most);
        for (int64_t j = first; j < first + columns; j++)
            y[0][j] = exp(x[0][j] - most) / sum;
    }
}

/* dx[i,j] = y[i,j] (dy[i,j] - sum_k dy[i,k] y[i,k]) */
void ref_softmax_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t columns = ref_columns(&call->inputs[0]);
    for (int64_t first = 0; first < ref_count(&call->inputs[0]); first += columns) {
        double sum = 0;
        for (int64_t j = first; j < first + columns; j++)
            sum += x[0][j] * x[1][j];
        for (int64_t j = first; j < first + columns; j++)
            y[0][j] = x[1][j] * (x[0][j] - sum);
    }
}

bur_scalars ref_scalars(const double *words)
{
    int32_t word[BUR_SCALAR_WORDS];
    bur_scalars scalars;
    for (int i = 0; i < BUR_SCALAR_WORDS; i++)
        word[i] = (int32_t)words[i];
    memcpy(&scalars, word, sizeof scalars);
    return scalars;
}

/* The comparison with the rate is one of floats: the mask is exact on every device. */
void ref_dropout(const bur_call *call, double *const *x, double *const *y)
{
    const bur_scalars scalars = ref_scalars(x[1]);
    const float rate = call->attr->dropout.rate;
    const uint32_t key[2] = {scalars.seed[0], scalars.seed[1] + (uint32_t)call->attr->dropout.node};
    const int64_t samples = call->inputs[0].shape.dim[0],
                  elements = samples > 0 ? ref_count(&call->inputs[0]) / samples : 0;
    for (int64_t s = 0; s < samples; s++)
        for (int64_t e = 0; e < elements; e++) {
            const uint32_t counter[4] = {(uint32_t)(e / 4), scalars.first_sample + (uint32_t)s,
                                         scalars.step[0], scalars.step[1]};
            uint32_t word[4];
            bur_philox(word, counter, key);
            const int64_t i = s * elements + e;
            y[0][i] = bur_uniform(word[e % 4]) >= rate ? x[0][i] / (1 - (double)rate) : 0;
        }
}

void ref_reshape(const bur_call *call, double *const *x, double *const *y)
{
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        y[0][i] = x[0][i];
}
