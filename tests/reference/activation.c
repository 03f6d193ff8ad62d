/* Activations and softmax. */
#include "rows.h"

#include <math.h>

static double relu6(double x)
{
    return fmin(fmax(x, 0), 6);
}

static double normal_distribution(double x)
{
    return (1 + erf(x / sqrt(2))) / 2;
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double tanh_of_gelu(double x)
{
    return tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3)));
}

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
    case BUR_RELU6:
        return relu6(x);
    case BUR_ELU:
        return x > 0 ? x : alpha * expm1(x);
    case BUR_SELU:
        return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * expm1(x));
    case BUR_HARD_SIGMOID:
        return relu6(x + 3) / 6;
    case BUR_SOFTPLUS:
        return softplus(x);
    case BUR_SILU:
        return x / (1 + exp(-x));
    case BUR_GELU:
        return x * normal_distribution(x);
    case BUR_GELU_TANH:
        return x * (1 + tanh_of_gelu(x)) / 2;
    case BUR_HARD_SWISH:
        return x * relu6(x + 3) / 6;
    case BUR_MISH:
        return x * tanh(softplus(x));
    default:
        return x;
    }
}

/* The slope at x of those whose y does not tell it. */
static double slope_at(int32_t activation, double x)
{
    const double s = 1 / (1 + exp(-x)), t = tanh(softplus(x)), u = tanh_of_gelu(x);
    switch (activation) {
    case BUR_SOFTPLUS:
        return s;
    case BUR_SILU:
        return s + x * s * (1 - s);
    case BUR_GELU:
        return normal_distribution(x) + x * exp(-x * x / 2) / sqrt(2 * acos(-1));
    case BUR_GELU_TANH:
        return (1 + u) / 2 + x * (1 - u * u) / 2 * sqrt(2 / acos(-1)) * (1 + 3 * 0.044715 * x * x);
    case BUR_HARD_SWISH:
        return x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5;
    default: /* mish */
        return t + x * (1 - t * t) * s;
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
    case BUR_RELU6:
        return y > 0 && y < 6 ? 1 : 0;
    case BUR_ELU:
        return y > 0 ? 1 : y + alpha;
    case BUR_SELU:
        return y > 0 ? 1.0507009873554805 : y + 1.0507009873554805 * 1.6732632423543772;
    case BUR_HARD_SIGMOID:
        return y > 0 && y < 1 ? 1.0 / 6 : 0;
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
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++) {
        const double slope =
            activation < BUR_SOFTMAX
                ? ref_activate_slope(activation, (double)call->attr->activation.alpha, x[1][i])
                : slope_at(activation, x[1][i]);
        dx[i] = x[0][i] * slope;
    }
}

#define ACTIVATION(name, activation)                                                               \
    void ref_##name(const bur_call *call, double *const *x, double *const *y)                      \
    {                                                                                              \
        activate(call, activation, x[0], y[0]);                                                    \
    }                                                                                              \
    void ref_##name##_grad(const bur_call *call, double *const *x, double *const *y)               \
    {                                                                                              \
        activate_grad(call, activation, x, y[0]);                                                  \
    }
ACTIVATION(relu, BUR_RELU)
ACTIVATION(leaky_relu, BUR_LEAKY_RELU)
ACTIVATION(tanh, BUR_TANH)
ACTIVATION(sigmoid, BUR_SIGMOID)
ACTIVATION(relu6, BUR_RELU6)
ACTIVATION(elu, BUR_ELU)
ACTIVATION(selu, BUR_SELU)
ACTIVATION(hard_sigmoid, BUR_HARD_SIGMOID)
ACTIVATION(softplus, BUR_SOFTPLUS)
ACTIVATION(silu, BUR_SILU)
ACTIVATION(gelu, BUR_GELU)
ACTIVATION(gelu_tanh, BUR_GELU_TANH)
ACTIVATION(hard_swish, BUR_HARD_SWISH)
ACTIVATION(mish, BUR_MISH)
#undef ACTIVATION

/* log(sum_j exp(x[j])), with the maximum taken off first */
static double log_sum_exp(const double *x, int64_t n)
{
    double most = x[0], sum = 0;
    for (int64_t j = 0; j < n; j++)
        most = fmax(most, x[j]);
    for (int64_t j = 0; j < n; j++)
        sum += exp(x[j] - most);
    return most + log(sum);
}

/* y[i,j] = x[i,j] - log(sum_j exp(x[i,j])) */
void ref_log_softmax(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t columns = ref_columns(&call->inputs[0]);
    for (int64_t first = 0; first < ref_count(&call->inputs[0]); first += columns) {
        const double whole = log_sum_exp(x[0] + first, columns);
        for (int64_t j = first; j < first + columns; j++)
            y[0][j] = x[0][j] - whole;
    }
}

/* y[i,j] = exp(x[i,j]) / sum_j exp(x[i,j]) */
void ref_softmax(const bur_call *call, double *const *x, double *const *y)
{
    ref_log_softmax(call, x, y);
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        y[0][i] = exp(y[0][i]);
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

/* dx[i,j] = dy[i,j] - exp(y[i,j]) sum_k dy[i,k] */
void ref_log_softmax_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t columns = ref_columns(&call->inputs[0]);
    for (int64_t first = 0; first < ref_count(&call->inputs[0]); first += columns) {
        double sum = 0;
        for (int64_t j = first; j < first + columns; j++)
            sum += x[0][j];
        for (int64_t j = first; j < first + columns; j++)
            y[0][j] = x[0][j] - exp(x[1][j]) * sum;
    }
}
