/* Losses: result[4] as burthen/op.h has it, and the gradient of result[BUR_RESULT_LOSS] by x. */
#include "rows.h"

#include <math.h>

static const double least_probability = 1e-7;

static int64_t argmax(const double *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

static void write_result(double *result, double sum, double metric, int64_t samples,
                         const bur_scalars *scalars)
{
    result[BUR_RESULT_LOSS] = sum * (double)scalars->inverse_weight_sum;
    result[BUR_RESULT_LOSS_SUM] = sum;
    result[BUR_RESULT_METRIC] = metric;
    result[BUR_RESULT_COUNT] = (double)samples;
}

/* x are probabilities: loss = -log(max(p[label], 1e-7)), dp[label] = -1 / p where p > 1e-7 */
void ref_cross_entropy(const bur_call *call, double *const *x, double *const *y)
{
    const bur_scalars scalars = ref_scalars(x[2]);
    const int64_t samples = call->inputs[0].shape.dim[0], classes = call->inputs[0].shape.dim[1];
    double sum = 0, right = 0;
    for (int64_t s = 0; s < samples; s++) {
        const double *p = x[0] + s * classes;
        const int64_t label = (int64_t)x[1][s];
        sum -= log(fmax(p[label], least_probability));
        right += argmax(p, classes) == label;
        for (int64_t j = 0; call->n_outputs > 1 && j < classes; j++)
            y[1][s * classes + j] = j == label && p[j] > least_probability
                                        ? -(double)scalars.inverse_weight_sum / p[j]
                                        : 0;
    }
    write_result(y[0], sum, right, samples, &scalars);
}

/* x are logits: loss = log(sum_j exp(x[j])) - x[label], dx[j] = softmax(x)[j] - (j == label) */
void ref_softmax_cross_entropy(const bur_call *call, double *const *x, double *const *y)
{
    const bur_scalars scalars = ref_scalars(x[2]);
    const int64_t samples = call->inputs[0].shape.dim[0], classes = call->inputs[0].shape.dim[1];
    double sum = 0, right = 0;
    for (int64_t s = 0; s < samples; s++) {
        const double *logits = x[0] + s * classes;
        const int64_t label = (int64_t)x[1][s], best = argmax(logits, classes);
        double total = 0;
        for (int64_t j = 0; j < classes; j++)
            total += exp(logits[j] - logits[best]);
        sum += log(total) - (logits[label] - logits[best]);
        right += best == label;
        for (int64_t j = 0; call->n_outputs > 1 && j < classes; j++)
            y[1][s * classes + j] = (exp(logits[j] - logits[best]) / total - (j == label)) *
                                    (double)scalars.inverse_weight_sum;
    }
    write_result(y[0], sum, right, samples, &scalars);
}

/* An element's loss; its derivative by x; what is counted. */
typedef double element_loss(double x, double t, double delta, double *slope, double *metric);

/* A sample's loss and metric are the means over its elements. */
static void values(const bur_call *call, double *const *x, double *const *y, element_loss *of)
{
    const bur_scalars scalars = ref_scalars(x[2]);
    const int64_t count = ref_count(&call->inputs[0]), samples = call->inputs[0].shape.dim[0];
    const double elements = samples > 0 ? (double)(count / samples) : 1;
    const double delta = call->attr->loss.delta == 0 ? 1 : (double)call->attr->loss.delta;
    double sum = 0, metric = 0;
    for (int64_t i = 0; i < count; i++) {
        double slope = 0, counted = 0;
        sum += of(x[0][i], x[1][i], delta, &slope, &counted) / elements;
        metric += counted / elements;
        if (call->n_outputs > 1)
            y[1][i] = slope / elements * (double)scalars.inverse_weight_sum;
    }
    write_result(y[0], sum, metric, samples, &scalars);
}

static double squared(double x, double t, double delta, double *slope, double *metric)
{
    (void)delta;
    *slope = 2 * (x - t);
    *metric = fabs(x - t);
    return (x - t) * (x - t);
}

static double absolute(double x, double t, double delta, double *slope, double *metric)
{
    (void)delta;
    *slope = (x > t) - (x < t);
    *metric = fabs(x - t);
    return fabs(x - t);
}

static double squared_then_absolute(double x, double t, double delta, double *slope, double *metric)
{
    const double size = fabs(x - t);
    *metric = size;
    *slope = size <= delta ? x - t : delta * ((x > t) - (x < t));
    return size <= delta ? size * size / 2 : delta * (size - delta / 2);
}

static double binary(double x, double t, double delta, double *slope, double *metric)
{
    (void)delta;
    *slope = 1 / (1 + exp(-x)) - t;
    *metric = (x > 0) == (t > 0.5);
    return fmax(x, 0) - x * t + log1p(exp(-fabs(x)));
}

void ref_mse(const bur_call *call, double *const *x, double *const *y)
{
    values(call, x, y, squared);
}

void ref_mae(const bur_call *call, double *const *x, double *const *y)
{
    values(call, x, y, absolute);
}

void ref_huber(const bur_call *call, double *const *x, double *const *y)
{
    values(call, x, y, squared_then_absolute);
}

void ref_binary_cross_entropy(const bur_call *call, double *const *x, double *const *y)
{
    values(call, x, y, binary);
}
