/* Recurrent networks: one sample after the other, one step after the other, with h and c of every
 * step. */
#include "rows.h"

#include <math.h>
#include <stdlib.h>

typedef struct walk {
    int64_t n, t, h, gates;
    const double *lengths;
    bool reverse, last;
} walk;

static walk walk_of(const bur_call *call, double *const *x, const bur_desc *sequences)
{
    const int32_t end = call->n_inputs - 1;
    return (walk){.n = sequences->shape.dim[0],
                  .t = sequences->shape.dim[1],
                  .h = call->inputs[1].shape.dim[0],
                  .gates = call->inputs[1].shape.dim[1] / call->inputs[1].shape.dim[0],
                  .lengths = call->inputs[end].dtype == BUR_I32 ? x[end] : NULL,
                  .reverse = call->attr->recurrent.reverse != 0,
                  .last = call->attr->recurrent.last != 0};
}

/* The k-th step that is taken, or -1 past the sample's length. */
static int64_t step_at(const walk *w, int64_t n, int64_t k)
{
    const int64_t t = w->reverse ? w->t - 1 - k : k;
    return w->lengths != NULL && (double)t >= w->lengths[n] ? -1 : t;
}

static double sigma(double v)
{
    return 1 / (1 + exp(-v));
}

static double *zeros(int64_t count)
{
    double *v = calloc((size_t)count + 1, sizeof *v);
    if (v == NULL)
        abort();
    return v;
}

/* New state of unit j from its gates' parts; c is lstm's, `keep` what a gradient reads. */
typedef double unit_rule(const bur_call *call, const double *x, const double *s, double before,
                         double *c, double *keep);

static double simple_unit(const bur_call *call, const double *x, const double *s, double before,
                          double *c, double *keep)
{
    (void)before, (void)c;
    const double z = x[0] + s[0];
    keep[0] = call->attr->recurrent.activation == BUR_RELU ? fmax(z, 0) : tanh(z);
    return keep[0];
}

static double lstm_unit(const bur_call *call, const double *x, const double *s, double before,
                        double *c, double *keep)
{
    (void)call, (void)before;
    for (int g = 0; g < 4; g++)
        keep[g] = g == 2 ? tanh(x[g] + s[g]) : sigma(x[g] + s[g]);
    keep[4] = *c = keep[1] * *c + keep[0] * keep[2];
    return keep[3] * tanh(*c);
}

static double gru_unit(const bur_call *call, const double *x, const double *s, double before,
                       double *c, double *keep)
{
    (void)call, (void)c;
    keep[0] = sigma(x[0] + s[0]);
    keep[1] = sigma(x[1] + s[1]);
    keep[2] = tanh(x[2] + keep[1] * s[2]);
    keep[3] = s[2];
    return (1 - keep[0]) * keep[2] + keep[0] * before;
}

static void forward(const bur_call *call, double *const *x, double *const *y, int64_t kept,
                    unit_rule *rule)
{
    const walk w = walk_of(call, x, &call->inputs[0]);
    const bool has_bias = call->n_inputs - (w.lengths != NULL) > 2;
    double *h = zeros(w.h), *next = zeros(w.h), *c = zeros(w.h);
    for (int64_t n = 0; n < w.n; n++) {
        for (int64_t j = 0; j < w.h; j++)
            h[j] = c[j] = 0;
        for (int64_t k = 0; k < w.t; k++) {
            const int64_t t = step_at(&w, n, k), at = n * w.t + (w.reverse ? w.t - 1 - k : k);
            for (int64_t j = 0; j < w.h; j++) {
                double part[4] = {0}, s[4] = {0}, keep[5] = {0};
                for (int64_t g = 0; g < w.gates; g++) {
                    const int64_t column = g * w.h + j;
                    part[g] = x[0][at * w.gates * w.h + column];
                    s[g] = has_bias ? x[2][column] : 0;
                    for (int64_t i = 0; i < w.h; i++)
                        s[g] += h[i] * x[1][i * w.gates * w.h + column];
                }
                next[j] = t < 0 ? h[j] : rule(call, part, s, h[j], &c[j], keep);
                if (!w.last)
                    y[0][at * w.h + j] = t < 0 ? 0 : next[j];
                for (int64_t g = 0; call->n_outputs > 1 && g < kept; g++)
                    y[1][(at * kept + g) * w.h + j] = keep[g];
                if (call->n_outputs > 2)
                    y[2][at * w.h + j] = h[j];
            }
            for (int64_t j = 0; j < w.h; j++)
                h[j] = next[j];
        }
        for (int64_t j = 0; w.last && j < w.h; j++)
            y[0][n * w.h + j] = h[j];
    }
    free(h);
    free(next);
    free(c);
}

/* Gradients of a unit's gates, ds and where they differ dx, from dh; gives what goes straight to
 * the state before. c_before, dc: lstm's. */
typedef double unit_gradient(const bur_call *call, double dh, double before, double c_before,
                             double *dc, const double *keep, double *dx, double *ds);

static double simple_gradient(const bur_call *call, double dh, double before, double c_before,
                              double *dc, const double *keep, double *dx, double *ds)
{
    (void)before, (void)c_before, (void)dc;
    const double slope =
        call->attr->recurrent.activation == BUR_RELU ? keep[0] > 0 : 1 - keep[0] * keep[0];
    ds[0] = dx[0] = dh * slope;
    return 0;
}

static double lstm_gradient(const bur_call *call, double dh, double before, double c_before,
                            double *dc, const double *keep, double *dx, double *ds)
{
    (void)call, (void)before;
    const double i = keep[0], f = keep[1], g = keep[2], o = keep[3], y = tanh(keep[4]);
    const double d = *dc + dh * o * (1 - y * y);
    ds[0] = d * g * i * (1 - i);
    ds[1] = d * c_before * f * (1 - f);
    ds[2] = d * i * (1 - g * g);
    ds[3] = dh * y * o * (1 - o);
    for (int k = 0; k < 4; k++)
        dx[k] = ds[k];
    *dc = d * f;
    return 0;
}

static double gru_gradient(const bur_call *call, double dh, double before, double c_before,
                           double *dc, const double *keep, double *dx, double *ds)
{
    (void)call, (void)c_before, (void)dc;
    const double z = keep[0], r = keep[1], n = keep[2], s = keep[3];
    dx[2] = dh * (1 - z) * (1 - n * n);
    ds[2] = dx[2] * r;
    dx[0] = ds[0] = dh * (before - n) * z * (1 - z);
    dx[1] = ds[1] = dx[2] * s * r * (1 - r);
    return dh * z;
}

static void backward(const bur_call *call, double *const *x, double *const *y, int64_t kept,
                     unit_gradient *rule)
{
    const walk w = walk_of(call, x, &call->inputs[2]);
    const bool gru = call->op == BUR_OP_gru_grad;
    double *dh = zeros(w.h), *next = zeros(w.h), *dc = zeros(w.h), *ds = zeros(w.gates * w.h);
    for (int64_t n = 0; n < w.n; n++) {
        for (int64_t j = 0; j < w.h; j++) {
            dh[j] = w.last ? x[0][n * w.h + j] : 0;
            dc[j] = 0;
        }
        for (int64_t k = w.t - 1; k >= 0; k--) {
            const int64_t t = step_at(&w, n, k), at = n * w.t + (w.reverse ? w.t - 1 - k : k);
            const int64_t at_before = k == 0 ? -1 : w.reverse ? at + 1 : at - 1;
            for (int64_t j = 0; j < w.h; j++) {
                double keep[5] = {0}, dx_unit[4] = {0}, ds_unit[4] = {0};
                for (int64_t g = 0; g < kept; g++)
                    keep[g] = x[2][(at * kept + g) * w.h + j];
                const double c_before =
                    kept == 5 && at_before >= 0 ? x[2][(at_before * kept + 4) * w.h + j] : 0;
                const double d = dh[j] + (w.last ? 0 : x[0][at * w.h + j]);
                next[j] = t < 0 ? dh[j]
                                : rule(call, d, gru ? x[3][at * w.h + j] : 0, c_before, &dc[j],
                                       keep, dx_unit, ds_unit);
                for (int64_t g = 0; g < w.gates; g++) {
                    const int64_t column = g * w.h + j;
                    ds[column] = ds_unit[g];
                    y[0][at * w.gates * w.h + column] = dx_unit[g];
                    if (gru)
                        y[1][at * w.gates * w.h + column] = ds_unit[g];
                }
            }
            for (int64_t j = 0; j < w.h; j++) {
                dh[j] = next[j];
                for (int64_t i = 0; i < w.gates * w.h; i++)
                    dh[j] += ds[i] * x[1][j * w.gates * w.h + i];
            }
        }
    }
    free(dh);
    free(next);
    free(dc);
    free(ds);
}

#define ROWS(name, kept, unit, gradient)                                                           \
    void ref_##name(const bur_call *call, double *const *x, double *const *y)                      \
    {                                                                                              \
        forward(call, x, y, kept, unit);                                                           \
    }                                                                                              \
    void ref_##name##_grad(const bur_call *call, double *const *x, double *const *y)               \
    {                                                                                              \
        backward(call, x, y, kept, gradient);                                                      \
    }

ROWS(simple_rnn, 1, simple_unit, simple_gradient)
ROWS(lstm, 5, lstm_unit, lstm_gradient)
ROWS(gru, 4, gru_unit, gru_gradient)
