/* Normalisation. */
#include "rows.h"

#include <math.h>

/* Element i of x lies in this cell: a row, or a group of a sample's channels. */
static int64_t cell_of(const bur_call *call, const bur_desc *x, int64_t i)
{
    const int64_t c = ref_columns(x);
    if (call->op != BUR_OP_group_norm && call->op != BUR_OP_group_norm_grad)
        return i / c;
    const int64_t groups = call->attr->norm.groups == 0 ? 1 : call->attr->norm.groups;
    const int64_t sample = i / (ref_count(x) / x->shape.dim[0]);
    return sample * groups + i % c / (c / groups);
}

static double epsilon_of(const bur_call *call)
{
    return call->attr->norm.epsilon > 0 ? (double)call->attr->norm.epsilon : (double)1e-5F;
}

/* The mean of `values` over one cell. */
static double cell_mean(const bur_call *call, const bur_desc *x, const double *values, int64_t cell)
{
    double sum = 0, count = 0;
    for (int64_t i = 0; i < ref_count(x); i++)
        if (cell_of(call, x, i) == cell) {
            sum += values[i];
            count++;
        }
    return sum / count;
}

static double cell_variance(const bur_call *call, const bur_desc *x, const double *values,
                            int64_t cell, double mean)
{
    double sum = 0, count = 0;
    for (int64_t i = 0; i < ref_count(x); i++)
        if (cell_of(call, x, i) == cell) {
            sum += (values[i] - mean) * (values[i] - mean);
            count++;
        }
    return sum / count;
}

static int64_t cells_of(const bur_call *call, const bur_desc *x)
{
    return cell_of(call, x, ref_count(x) - 1) + 1;
}

static void normalise(const bur_call *call, double *const *x, double *const *y, bool centred)
{
    const bur_desc *desc = &call->inputs[0];
    const int64_t cells = cells_of(call, desc), c = ref_columns(desc);
    for (int64_t cell = 0; cell < cells; cell++) {
        const double mean = centred ? cell_mean(call, desc, x[0], cell) : 0;
        const double inverse =
            1 / sqrt(cell_variance(call, desc, x[0], cell, mean) + epsilon_of(call));
        for (int64_t i = 0; i < ref_count(desc); i++)
            if (cell_of(call, desc, i) == cell)
                y[0][i] = (x[0][i] - mean) * inverse * x[1][i % c] + (centred ? x[2][i % c] : 0);
        if (call->n_outputs > 1 && centred)
            y[1][cell] = mean;
        if (call->n_outputs > 1)
            y[1][centred ? cells + cell : cell] = inverse;
    }
}

void ref_layer_norm(const bur_call *call, double *const *x, double *const *y)
{
    normalise(call, x, y, true);
}

void ref_group_norm(const bur_call *call, double *const *x, double *const *y)
{
    normalise(call, x, y, true);
}

void ref_rms_norm(const bur_call *call, double *const *x, double *const *y)
{
    normalise(call, x, y, false);
}

/* From the chain rule for y = (x - mean(x)) / deviation(x) scale + shift; x is [dy, x, scale,
 * stats]. */
static void gradients(const bur_call *call, double *const *x, double *const *y, bool centred)
{
    const bur_desc *desc = &call->inputs[1];
    const int64_t cells = cells_of(call, desc), c = ref_columns(desc);
    for (int32_t k = 1; k < call->n_outputs; k++)
        for (int64_t j = 0; j < c; j++)
            y[k][j] = 0;
    for (int64_t cell = 0; cell < cells; cell++) {
        const double mean = centred ? x[3][cell] : 0;
        const double inverse = x[3][centred ? cells + cell : cell];
        double sum = 0, product = 0, count = 0;
        for (int64_t i = 0; i < ref_count(desc); i++) {
            if (cell_of(call, desc, i) != cell)
                continue;
            const double normal = (x[1][i] - mean) * inverse, h = x[0][i] * x[2][i % c];
            y[1][i % c] += x[0][i] * normal;
            if (centred)
                y[2][i % c] += x[0][i];
            sum += h;
            product += h * normal;
            count++;
        }
        for (int64_t i = 0; i < ref_count(desc); i++)
            if (cell_of(call, desc, i) == cell)
                y[0][i] = inverse * (x[0][i] * x[2][i % c] - (centred ? sum / count : 0) -
                                     (x[1][i] - mean) * inverse * product / count);
    }
}

void ref_layer_norm_grad(const bur_call *call, double *const *x, double *const *y)
{
    gradients(call, x, y, true);
}

void ref_group_norm_grad(const bur_call *call, double *const *x, double *const *y)
{
    gradients(call, x, y, true);
}

void ref_rms_norm_grad(const bur_call *call, double *const *x, double *const *y)
{
    gradients(call, x, y, false);
}
