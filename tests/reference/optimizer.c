/* Optimizers: x[0] are the step scalars, then groups of parameter, gradient and slots. */
#include "rows.h"

#include <math.h>

/* One element's step: the new parameter; s[] are its slots. */
typedef double element_step(const bur_optimizer_attr *attr, const bur_scalars *scalars, double p,
                            double g, double *const *s, int64_t i);

static double sign_of(double x)
{
    return (x > 0) - (x < 0);
}

/* Clipping, penalties and decay around the step of every element. */
static void update(const bur_call *call, double *const *x, element_step *step)
{
    const bur_scalars scalars = ref_scalars(x[0]);
    const bur_optimizer_attr *attr = &call->attr->optimizer;
    const double rate = (double)scalars.learning_rate, l1 = (double)attr->l1,
                 most = attr->clip_value > 0 ? (double)attr->clip_value : HUGE_VAL;
    const int32_t group = bur_op_get(call->op)->group;
    const bool scaled = attr->clip_norm > 0;
    for (int32_t t = scaled ? 2 : 1; t < call->n_inputs; t += group)
        for (int64_t i = 0; i < ref_count(&call->inputs[t]); i++) {
            const double p = x[t][i];
            const double scale = scaled ? x[1][0] : 1;
            double g = fmax(fmin(scale * x[t + 1][i], most), -most) + 2 * (double)attr->l2 * p;
            if (!attr->proximal)
                g += l1 * sign_of(p);
            double *const slots[2] = {group > 2 ? x[t + 2] : NULL, group > 3 ? x[t + 3] : NULL};
            double q = step(attr, &scalars, p - rate * (double)attr->weight_decay * p, g, slots, i);
            if (attr->proximal)
                q = fabs(q) > rate * l1 ? q - rate * l1 * sign_of(q) : 0;
            x[t][i] = q;
        }
}

/* p -= lr g */
static double sgd_step(const bur_optimizer_attr *attr, const bur_scalars *scalars, double p,
                       double g, double *const *s, int64_t i)
{
    (void)attr, (void)s, (void)i;
    return p - (double)scalars->learning_rate * g;
}

/* v = momentum v + g; p -= lr (nesterov ? g + momentum v : v) */
static double momentum_step(const bur_optimizer_attr *attr, const bur_scalars *scalars, double p,
                            double g, double *const *s, int64_t i)
{
    const double momentum = (double)attr->momentum, v = momentum * s[0][i] + g;
    s[0][i] = v;
    return p - (double)scalars->learning_rate * (attr->nesterov ? g + momentum * v : v);
}

/* v = b2 v + (1-b2) g^2; p -= lr g / (sqrt(v) + epsilon) */
static double rmsprop_step(const bur_optimizer_attr *attr, const bur_scalars *scalars, double p,
                           double g, double *const *s, int64_t i)
{
    s[0][i] = (double)attr->beta2 * s[0][i] + (1 - (double)attr->beta2) * g * g;
    return p - (double)scalars->learning_rate * g / (sqrt(s[0][i]) + (double)attr->epsilon);
}

/* v = v + g^2; p -= lr g / (sqrt(v) + epsilon) */
static double adagrad_step(const bur_optimizer_attr *attr, const bur_scalars *scalars, double p,
                           double g, double *const *s, int64_t i)
{
    s[0][i] += g * g;
    return p - (double)scalars->learning_rate * g / (sqrt(s[0][i]) + (double)attr->epsilon);
}

/* m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
 * p -= lr (m correction1) / (sqrt(v correction2) + epsilon), corrections 1 / (1 - b^t) */
static double adam_step(const bur_optimizer_attr *attr, const bur_scalars *scalars, double p,
                        double g, double *const *s, int64_t i)
{
    const double b1 = (double)attr->beta1, b2 = (double)attr->beta2;
    s[0][i] = b1 * s[0][i] + (1 - b1) * g;
    s[1][i] = b2 * s[1][i] + (1 - b2) * g * g;
    return p - (double)scalars->learning_rate * s[0][i] * (double)scalars->correction1 /
                   (sqrt(s[1][i] * (double)scalars->correction2) + (double)attr->epsilon);
}

/* e = ema e + (1 - ema) p; in the first step e = p */
static double moving_average_step(const bur_optimizer_attr *attr, const bur_scalars *scalars,
                                  double e, double p, double *const *s, int64_t i)
{
    (void)s, (void)i;
    const double ema = scalars->step[0] + scalars->step[1] == 0 ? 0 : (double)attr->ema;
    return ema * e + (1 - ema) * p;
}

/* sum = sum + g; in the first micro-batch sum = g */
static double accumulate_step(const bur_optimizer_attr *attr, const bur_scalars *scalars,
                              double sum, double g, double *const *s, int64_t i)
{
    (void)attr, (void)s, (void)i;
    return scalars->first_sample == 0 ? g : sum + g;
}

#define REF_OPTIMIZER(name)                                                                        \
    void ref_##name(const bur_call *call, double *const *x, double *const *y)                      \
    {                                                                                              \
        (void)y;                                                                                   \
        update(call, x, name##_step);                                                              \
    }
REF_OPTIMIZER(sgd)
REF_OPTIMIZER(momentum)
REF_OPTIMIZER(rmsprop)
REF_OPTIMIZER(adagrad)
REF_OPTIMIZER(adam)
REF_OPTIMIZER(moving_average)
REF_OPTIMIZER(accumulate)

void ref_global_norm(const bur_call *call, double *const *x, double *const *y)
{
    double sum = 0;
    for (int32_t t = 0; t < call->n_inputs; t++)
        for (int64_t i = 0; i < ref_count(&call->inputs[t]); i++)
            sum += x[t][i] * x[t][i];
    y[0][1] = sqrt(sum);
    y[0][0] = fmin(1, (double)call->attr->optimizer.clip_norm / (y[0][1] + 1e-6));
}
