/* Batch normalisation. */
#include "rows.h"

#include <math.h>

static double epsilon_of(const bur_call *call)
{
    return call->attr->norm.epsilon > 0 ? (double)call->attr->norm.epsilon : (double)1e-5F;
}

/* y[0] from x, scale, shift, one mean and variance a channel, and perhaps a residual. */
static void normalise(const bur_call *call, double *const *x, const double *mean,
                      const double *variance, const double *residual, double *y)
{
    const int64_t c = ref_columns(&call->inputs[0]);
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++) {
        const double z =
            (x[0][i] - mean[i % c]) / sqrt(variance[i % c] + epsilon_of(call)) * x[1][i % c] +
            x[2][i % c] + (residual == NULL ? 0 : residual[i]);
        y[i] = ref_activate(call->attr->norm.activation, 0, z);
    }
}

void ref_batch_norm(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t n = ref_count(&call->inputs[0]), c = ref_columns(&call->inputs[0]);
    double *mean = y[1], *variance = y[1] + c;
    for (int64_t j = 0; j < 2 * c; j++)
        y[1][j] = 0;
    for (int64_t i = 0; i < n; i++)
        mean[i % c] += x[0][i] / (double)(n / c);
    for (int64_t i = 0; i < n; i++)
        variance[i % c] += (x[0][i] - mean[i % c]) * (x[0][i] - mean[i % c]) / (double)(n / c);
    normalise(call, x, mean, variance, call->n_inputs > 3 ? x[3] : NULL, y[0]);
}

void ref_batch_norm_act(const bur_call *call, double *const *x, double *const *y)
{
    ref_batch_norm(call, x, y);
}

void ref_batch_norm_add_act(const bur_call *call, double *const *x, double *const *y)
{
    ref_batch_norm(call, x, y);
}

void ref_batch_norm_infer(const bur_call *call, double *const *x, double *const *y)
{
    normalise(call, x, x[3], x[4], call->n_inputs > 5 ? x[5] : NULL, y[0]);
}

void ref_batch_norm_infer_act(const bur_call *call, double *const *x, double *const *y)
{
    ref_batch_norm_infer(call, x, y);
}

/* x is [dy, x, scale, stats]; from the chain rule, with mean and variance as functions of x. */
void ref_batch_norm_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t n = ref_count(&call->inputs[1]), c = ref_columns(&call->inputs[1]);
    const double m = (double)(n / c);
    for (int64_t j = 0; j < c; j++) {
        const double mean = x[3][j], deviation = sqrt(x[3][c + j] + epsilon_of(call));
        y[1][j] = y[2][j] = 0;
        for (int64_t i = j; i < n; i += c) {
            y[1][j] += x[0][i] * (x[1][i] - mean) / deviation;
            y[2][j] += x[0][i];
        }
        for (int64_t i = j; i < n; i += c)
            y[0][i] = x[2][j] / deviation *
                      (x[0][i] - y[2][j] / m - (x[1][i] - mean) / deviation * y[1][j] / m);
    }
}

static double slope(int32_t activation, double z)
{
    const double s = 1 / (1 + exp(-z));
    return activation == BUR_RELU    ? z > 0
           : activation == BUR_RELU6 ? z > 0 && z < 6
           : activation == BUR_SILU  ? s * (1 + z * (1 - s))
                                     : 1;
}

/* x is [dy, x, scale, stats, shift]: dy goes through the activation, then as above. */
void ref_batch_norm_act_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t n = ref_count(&call->inputs[1]), c = ref_columns(&call->inputs[1]);
    for (int64_t i = 0; i < n; i++) {
        const int64_t j = i % c;
        const double z =
            (x[1][i] - x[3][j]) / sqrt(x[3][c + j] + epsilon_of(call)) * x[2][j] + x[4][j];
        y[0][i] = x[0][i] * slope(call->attr->norm.activation, z);
    }
    double *const operands[] = {y[0], x[1], x[2], x[3]};
    ref_batch_norm_grad(call, operands, y);
}

/* x is [dy, x, scale, mean, variance]. */
void ref_batch_norm_infer_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t n = ref_count(&call->inputs[1]), c = ref_columns(&call->inputs[1]);
    for (int64_t j = 0; j < c; j++) {
        const double deviation = sqrt(x[4][j] + epsilon_of(call));
        y[1][j] = y[2][j] = 0;
        for (int64_t i = j; i < n; i += c) {
            y[0][i] = x[0][i] * x[2][j] / deviation;
            y[1][j] += x[0][i] * (x[1][i] - x[3][j]) / deviation;
            y[2][j] += x[0][i];
        }
    }
}

/* x is [mean, variance, stats]. */
void ref_running_stats(const bur_call *call, double *const *x, double *const *y)
{
    const bur_norm_attr *attr = &call->attr->norm;
    const int64_t c = ref_columns(&call->inputs[0]);
    const double share = attr->momentum > 0 ? (double)attr->momentum : (double)0.1F;
    const double rows = (double)attr->rows;
    for (int64_t j = 0; j < c; j++) {
        const double variance =
            attr->unbiased && attr->rows > 1 ? x[2][c + j] * rows / (rows - 1) : x[2][c + j];
        y[0][j] = (1 - share) * x[0][j] + share * x[2][j];
        y[1][j] = (1 - share) * x[1][j] + share * variance;
    }
}
