/* Optimizers: x[0] are the step scalars, then groups of parameter, gradient and slots. */
#include "rows.h"

#include <math.h>

/* p -= lr g */
void ref_sgd(const bur_call *call, double *const *x, double *const *y)
{
    (void)y;
    const double rate = (double)ref_scalars(x[0]).learning_rate;
    for (int32_t t = 1; t < call->n_inputs; t += 2)
        for (int64_t i = 0; i < ref_count(&call->inputs[t]); i++)
            x[t][i] -= rate * x[t + 1][i];
}

/* v = momentum v + g; p -= lr (nesterov ? g + momentum v : v) */
void ref_momentum(const bur_call *call, double *const *x, double *const *y)
{
    (void)y;
    const double rate = (double)ref_scalars(x[0]).learning_rate,
                 momentum = (double)call->attr->optimizer.momentum;
    for (int32_t t = 1; t < call->n_inputs; t += 3) {
        double *p = x[t], *v = x[t + 2];
        const double *g = x[t + 1];
        for (int64_t i = 0; i < ref_count(&call->inputs[t]); i++) {
            v[i] = momentum * v[i] + g[i];
            p[i] -= rate * (call->attr->optimizer.nesterov ? g[i] + momentum * v[i] : v[i]);
        }
    }
}

/* m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
 * p -= lr (m correction1) / (sqrt(v correction2) + epsilon), corrections 1 / (1 - b^t) */
void ref_adam(const bur_call *call, double *const *x, double *const *y)
{
    (void)y;
    const bur_scalars scalars = ref_scalars(x[0]);
    const double b1 = (double)call->attr->optimizer.beta1, b2 = (double)call->attr->optimizer.beta2,
                 epsilon = (double)call->attr->optimizer.epsilon;
    for (int32_t t = 1; t < call->n_inputs; t += 4) {
        double *p = x[t], *m = x[t + 2], *v = x[t + 3];
        const double *g = x[t + 1];
        for (int64_t i = 0; i < ref_count(&call->inputs[t]); i++) {
            m[i] = b1 * m[i] + (1 - b1) * g[i];
            v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
            p[i] -= (double)scalars.learning_rate * m[i] * (double)scalars.correction1 /
                    (sqrt(v[i] * (double)scalars.correction2) + epsilon);
        }
    }
}
