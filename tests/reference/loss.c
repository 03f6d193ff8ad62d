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

/* e = x - target: a sample's loss is the mean of e^2 over its elements, its metric that of |e| */
void ref_mse(const bur_call *call, double *const *x, double *const *y)
{
    const bur_scalars scalars = ref_scalars(x[2]);
    const int64_t count = ref_count(&call->inputs[0]), samples = call->inputs[0].shape.dim[0];
    const double elements = samples > 0 ? (double)(count / samples) : 1;
    double sum = 0, absolute = 0;
    for (int64_t i = 0; i < count; i++) {
        const double e = x[0][i] - x[1][i];
        sum += e * e / elements;
        absolute += fabs(e) / elements;
        if (call->n_outputs > 1)
            y[1][i] = 2 * e / elements * (double)scalars.inverse_weight_sum;
    }
    write_result(y[0], sum, absolute, samples, &scalars);
}
