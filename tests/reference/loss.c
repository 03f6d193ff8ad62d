/* Losses: result[4] as burthen/op.h has it, and the gradient of result[BUR_RESULT_LOSS] by x. */
#include "rows.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static const double least_probability = 1e-7;

static int64_t argmax(const double *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

static void write_result(double *result, double sum, double metric, double count,
                         const bur_scalars *scalars)
{
    result[BUR_RESULT_LOSS] = sum * (double)scalars->inverse_weight_sum;
    result[BUR_RESULT_LOSS_SUM] = sum;
    result[BUR_RESULT_METRIC] = metric;
    result[BUR_RESULT_COUNT] = count;
}

/* A sample's loss -sum u log p for targets u, and its derivatives by x. */
typedef double sample_loss(const double *x, int64_t classes, const double *u, double *dx);

/* x are probabilities, not less than 1e-7: dx = -u / x, 0 where x was raised */
static double of_probabilities(const double *x, int64_t classes, const double *u, double *dx)
{
    double loss = 0;
    for (int64_t j = 0; j < classes; j++) {
        loss -= u[j] * log(fmax(x[j], least_probability));
        dx[j] = x[j] > least_probability ? -u[j] / x[j] : 0;
    }
    return loss;
}

/* x are logits: log p = x - log(sum exp x), dx = softmax(x) sum(u) - u */
static double of_logits(const double *x, int64_t classes, const double *u, double *dx)
{
    const double most = x[argmax(x, classes)];
    double total = 0, weight = 0, loss = 0;
    for (int64_t j = 0; j < classes; j++) {
        total += exp(x[j] - most);
        weight += u[j];
    }
    for (int64_t j = 0; j < classes; j++) {
        loss -= u[j] * (x[j] - most - log(total));
        dx[j] = exp(x[j] - most) / total * weight - u[j];
    }
    return loss;
}

/* Labels or distributions, smoothed, then weighted by class. */
static void classes(const bur_call *call, double *const *x, double *const *y, sample_loss *of)
{
    const bur_scalars scalars = ref_scalars(x[2]);
    const bur_loss_attr *attr = &call->attr->loss;
    const int64_t samples = call->inputs[0].shape.dim[0], n = call->inputs[0].shape.dim[1];
    const bool is_label = call->inputs[1].dtype == BUR_I32;
    double sum = 0, right = 0, count = 0;
    double *u = malloc((size_t)n * sizeof *u), *dx = malloc((size_t)n * sizeof *dx);
    assert(u != NULL && dx != NULL);
    for (int64_t s = 0; s < samples; s++) {
        const int64_t label = is_label ? (int64_t)x[1][s] : argmax(x[1] + s * n, n);
        const bool ignored = is_label && attr->ignores && label == attr->ignored;
        for (int64_t j = 0; j < n; j++) {
            const double t = is_label ? j == label : x[1][s * n + j];
            u[j] = t + (double)attr->smoothing * (1 / (double)n - t);
            u[j] *= call->n_inputs > 3 ? x[3][j] : 1;
            u[j] = ignored ? 0 : u[j];
        }
        const double weight = ignored ? 0 : is_label && call->n_inputs > 3 ? x[3][label] : 1;
        sum += of(x[0] + s * n, n, u, dx);
        right += argmax(x[0] + s * n, n) == label ? weight : 0;
        count += weight;
        for (int64_t j = 0; call->n_outputs > 1 && j < n; j++)
            y[1][s * n + j] = dx[j] * (double)scalars.inverse_weight_sum;
    }
    free(u);
    free(dx);
    write_result(y[0], sum, right, count, &scalars);
}

void ref_cross_entropy(const bur_call *call, double *const *x, double *const *y)
{
    classes(call, x, y, of_probabilities);
}

void ref_softmax_cross_entropy(const bur_call *call, double *const *x, double *const *y)
{
    classes(call, x, y, of_logits);
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
    write_result(y[0], sum, metric, (double)samples, &scalars);
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
