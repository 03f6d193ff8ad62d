/* Losses: result f32[4] (burthen/op.h) and, where wanted, the gradient of x. Part of kernels.c. */
#ifndef BUR_CPU_LOSS_H
#define BUR_CPU_LOSS_H

#include "rows.h"

/* One thread's part of the result; a cache line, so that threads do not share it. */
typedef struct loss_part {
    double loss, metric, weight;
    double unused[5];
} loss_part;

static size_t loss_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info, (void)call;
    return (size_t)threads * sizeof(loss_part);
}

/* Adds the parts up in order. */
static void finish_loss(const bur_command *command, int thread, int threads)
{
    team_wait(command, threads);
    if (thread != 0)
        return;
    const loss_part *part = command->scratch;
    const bur_scalars *scalars = command->inputs[2];
    float *result = command->outputs[0];
    double loss = 0, metric = 0, weight = 0;
    for (int t = 0; t < threads; t++) {
        loss += part[t].loss;
        metric += part[t].metric;
        weight += part[t].weight;
    }
    result[BUR_RESULT_LOSS] = (float)(loss * (double)scalars->inverse_weight_sum);
    result[BUR_RESULT_LOSS_SUM] = (float)loss;
    result[BUR_RESULT_METRIC] = (float)metric;
    result[BUR_RESULT_COUNT] = (float)weight;
}

/* Loss of one row x [c] with its label; dx [c] is its gradient times `weight`, or NULL. */
typedef float row_loss(const float *x, float *dx, int64_t c, int32_t label, float most,
                       float weight);

/* log(sum_j exp x_j) - x_label; dx = softmax(x) - onehot(label) */
static float softmax_row_loss(const float *x, float *dx, int64_t c, int32_t label, float most,
                              float weight)
{
    const float sum = row_exponentials(dx, x, most, c), loss = logf(sum) + (most - x[label]);
    if (dx != NULL) {
        row_scale(dx, weight / sum, c);
        dx[label] -= weight;
    }
    return loss;
}

/* -log(max(x_label, 1e-7)), x are probabilities; Keras clips so. */
static float class_row_loss(const float *x, float *dx, int64_t c, int32_t label, float most,
                            float weight)
{
    (void)most;
    const float least_p = 1e-7f, p = x[label];
    if (dx != NULL) {
        memset(dx, 0, 4 * (size_t)c);
        dx[label] = p > least_p ? -weight / p : 0;
    }
    return -logf(p < least_p ? least_p : p);
}

/* The label has the greatest value, and the first such. */
INLINE bool is_right(const float *x, int32_t label, float most)
{
    for (int32_t j = 0; j < label; j++)
        if (x[j] == most)
            return false;
    return x[label] == most;
}

/* A label outside of the classes gives a loss and a gradient that are no numbers: the run stops as
 * diverged. */
INLINE void class_loss(const bur_command *command, int thread, int threads, row_loss *of_row)
{
    const bur_call *call = &command->kernel->call;
    const int64_t c = last_dim(&call->inputs[0]);
    const float *x = command->inputs[0];
    const int32_t *labels = command->inputs[1];
    const float weight = ((const bur_scalars *)command->inputs[2])->inverse_weight_sum;
    float *gradient = call->n_outputs > 1 ? command->outputs[1] : NULL;
    const range own = share(count_rows(&call->inputs[0]), 1, thread, threads);
    loss_part part = {.weight = (double)(own.end - own.begin)};
    for (int64_t row = own.begin; row < own.end; row++) {
        const float *from = x + row * c, most = row_max(from, c);
        float *dx = gradient == NULL ? NULL : gradient + row * c;
        if (labels[row] < 0 || labels[row] >= c) {
            part.loss = NAN;
            for (int64_t j = 0; dx != NULL && j < c; j++)
                dx[j] = NAN;
            continue;
        }
        part.loss += (double)of_row(from, dx, c, labels[row], most, weight);
        part.metric += is_right(from, labels[row], most);
    }
    ((loss_part *)command->scratch)[thread] = part;
    finish_loss(command, thread, threads);
}

/* ---- with distributions, weights, smoothing or an ignored label ---- */

/* A row's target: a label, or a distribution t [c]; w are the classes' weights or NULL. */
typedef struct class_target {
    const float *t, *w;
    int32_t label;
    float smoothing;
} class_target;

/* w[j] (t[j] (1 - smoothing) + smoothing / c) */
INLINE float target_part(const class_target *target, int64_t j, int64_t c)
{
    const float t = target->t != NULL ? target->t[j] : j == target->label ? 1 : 0;
    const float part = t * (1 - target->smoothing) + target->smoothing / (float)c;
    return target->w == NULL ? part : target->w[j] * part;
}

/* Loss of one row x [c], logits or probabilities; dx [c] is its gradient times `weight`, or NULL.
 */
INLINE double target_row_loss(const float *x, float *dx, int64_t c, const class_target *target,
                              float weight, const bool logits)
{
    const float least_p = 1e-7f, most = row_max(x, c);
    const float sum = logits ? row_exponentials(dx, x, most, c) : 1, log_sum = logf(sum);
    double loss = 0, total = 0;
    for (int64_t j = 0; j < c; j++) {
        const float part = target_part(target, j, c);
        total += (double)part;
        if (part != 0) /* an impossible class may have an infinite logit */
            loss += (double)part * (double)(logits ? log_sum + (most - x[j])
                                                   : -logf(x[j] < least_p ? least_p : x[j]));
    }
    const float factor = (float)total / sum;
    for (int64_t j = 0; dx != NULL && j < c; j++) {
        const float part = target_part(target, j, c);
        if (logits)
            dx[j] = (factor * dx[j] - part) * weight;
        else
            dx[j] = x[j] > least_p ? -part * weight / x[j] : 0;
    }
    return loss;
}

/* Adds a row to its thread's part. */
INLINE void add_target_row(loss_part *part, const float *x, float *dx, int64_t c,
                           const class_target *target, const bur_loss_attr *attr, float weight,
                           const bool logits)
{
    const int32_t label = target->label;
    const bool is_label = target->t == NULL, unknown = is_label && (label < 0 || label >= c);
    const bool ignored = is_label && attr->ignores && label == attr->ignored;
    if (ignored || unknown) {
        part->loss += ignored ? 0 : (double)NAN;
        part->weight += ignored ? 0 : 1;
        for (int64_t j = 0; dx != NULL && j < c; j++)
            dx[j] = ignored ? 0 : NAN;
        return;
    }
    const double own = is_label && target->w != NULL ? (double)target->w[label] : 1;
    int32_t wanted = label;
    if (!is_label) {
        const float greatest = row_max(target->t, c);
        for (wanted = 0; wanted < c - 1 && target->t[wanted] != greatest;)
            wanted++;
    }
    part->loss += target_row_loss(x, dx, c, target, weight, logits);
    part->metric += is_right(x, wanted, row_max(x, c)) ? own : 0;
    part->weight += own;
}

INLINE void target_loss(const bur_command *command, int thread, int threads, const bool logits)
{
    const bur_call *call = &command->kernel->call;
    const int64_t c = last_dim(&call->inputs[0]);
    const bool is_label = call->inputs[1].dtype == BUR_I32;
    const float weight = ((const bur_scalars *)command->inputs[2])->inverse_weight_sum;
    const range own = share(count_rows(&call->inputs[0]), 1, thread, threads);
    loss_part part = {0};
    for (int64_t row = own.begin; row < own.end; row++) {
        const class_target target = {
            .t = is_label ? NULL : (const float *)command->inputs[1] + row * c,
            .w = call->n_inputs > 3 ? command->inputs[3] : NULL,
            .label = is_label ? ((const int32_t *)command->inputs[1])[row] : -1,
            .smoothing = call->attr->loss.smoothing};
        float *dx = call->n_outputs > 1 ? (float *)command->outputs[1] + row * c : NULL;
        add_target_row(&part, (const float *)command->inputs[0] + row * c, dx, c, &target,
                       &call->attr->loss, weight, logits);
    }
    ((loss_part *)command->scratch)[thread] = part;
    finish_loss(command, thread, threads);
}

/* Whether a label is all there is: no distribution, weights, smoothing or ignored label. */
INLINE bool is_plain_label(const bur_call *call)
{
    const bur_loss_attr *attr = &call->attr->loss;
    return call->inputs[1].dtype == BUR_I32 && call->n_inputs == 3 && attr->smoothing == 0 &&
           !attr->ignores;
}

static void cross_entropy(const bur_command *command, int thread, int threads)
{
    if (is_plain_label(&command->kernel->call))
        class_loss(command, thread, threads, class_row_loss);
    else
        target_loss(command, thread, threads, false);
}

static void softmax_cross_entropy(const bur_command *command, int thread, int threads)
{
    if (is_plain_label(&command->kernel->call))
        class_loss(command, thread, threads, softmax_row_loss);
    else
        target_loss(command, thread, threads, true);
}

/* ---- losses of values ---- */

/* The losses of elements x with targets t; *slope is their derivative by x, *metric what is
 * counted. */
typedef vec value_loss(vec x, vec t, float delta, vec *slope, vec *metric);

INLINE vec mse_value(vec x, vec t, float delta, vec *slope, vec *metric)
{
    (void)delta;
    const vec e = x - t;
    *slope = e * 2.0f;
    *metric = greater(e, -e);
    return e * e;
}

INLINE vec mae_value(vec x, vec t, float delta, vec *slope, vec *metric)
{
    (void)delta;
    const vec e = x - t, size = greater(e, -e);
    const vec below = where_greater(splat(0), e, splat(-1), e); /* 0 and NaN stay */
    *slope = where_greater(e, splat(0), splat(1), below);
    *metric = size;
    return size;
}

/* With c = e cut to [-delta, delta] the loss is c (e - c / 2) on both sides of delta. */
INLINE vec huber_value(vec x, vec t, float delta, vec *slope, vec *metric)
{
    const vec e = x - t, c = lesser(splat(delta), greater(splat(-delta), e));
    *slope = c;
    *metric = greater(e, -e);
    return c * (e - c * 0.5f);
}

/* log(1 + u) for 0 <= u <= 1, to about 2 ulp also where u is small: 2 atanh(s) with s = u / (2 +
 * u), at most 1/3, by its series to s^13. */
INLINE vec log_one_plus(vec u)
{
    const vec s = u / (u + 2.0f), z = s * s;
    vec p = z * (1.0f / 13) + 1.0f / 11;
    p = p * z + 1.0f / 9;
    p = p * z + 1.0f / 7;
    p = p * z + 1.0f / 5;
    p = p * z + 1.0f / 3;
    return 2.0f * (p * z * s + s);
}

INLINE vec binary_cross_entropy_value(vec x, vec t, float delta, vec *slope, vec *metric)
{
    (void)delta;
    const vec one = splat(1), none = splat(0), half = splat(0.5f);
    const vec rest = log_one_plus(exponential(-greater(x, -x)));
    *slope = logistic(x) - t;
    *metric = where_greater(x, none, where_greater(t, half, one, none),
                            where_greater(t, half, none, one));
    return greater(none, x) - x * t + rest;
}

/* A sample's loss and metric are the means over its elements. */
INLINE void sum_value_loss(const bur_command *command, int thread, int threads, value_loss *of)
{
    enum { BLOCK = 64 * LANES };
    const bur_call *call = &command->kernel->call;
    const int64_t count = bur_desc_count(&call->inputs[0]), samples = call->inputs[0].shape.dim[0];
    const double per_sample = samples == 0 ? 1 : (double)count / (double)samples;
    const float *x = command->inputs[0], *target = command->inputs[1];
    const float weight = ((const bur_scalars *)command->inputs[2])->inverse_weight_sum;
    const float factor = (float)((double)weight / per_sample);
    const float delta = call->attr->loss.delta > 0 ? call->attr->loss.delta : 1;
    float *gradient = call->n_outputs > 1 ? command->outputs[1] : NULL;
    const range own = share(count, CACHE_LINE_FLOATS, thread, threads);
    loss_part part = {0};
    for (int64_t first = own.begin; first < own.end; first += BLOCK) {
        vec losses = {0}, metrics = {0};
        for (int64_t i = first; i < least(own.end, first + BLOCK); i += LANES) {
            const int64_t n = least(LANES, own.end - i);
            vec slope, metric;
            const vec loss =
                of(load_first(x + i, n), load_first(target + i, n), delta, &slope, &metric);
            losses += fill_rest(loss, n, 0);
            metrics += fill_rest(metric, n, 0);
            if (gradient != NULL)
                store_first(gradient + i, slope * factor, n);
        }
        part.loss += (double)sum_lanes(losses);
        part.metric += (double)sum_lanes(metrics);
    }
    part.loss /= per_sample;
    part.metric /= per_sample;
    part.weight = thread == 0 ? (double)samples : 0;
    ((loss_part *)command->scratch)[thread] = part;
    finish_loss(command, thread, threads);
}

#define VALUE_LOSS_ROW(name)                                                                       \
    static void name(const bur_command *command, int thread, int threads)                          \
    {                                                                                              \
        sum_value_loss(command, thread, threads, name##_value);                                    \
    }
VALUE_LOSS_ROW(mse)
VALUE_LOSS_ROW(mae)
VALUE_LOSS_ROW(huber)
VALUE_LOSS_ROW(binary_cross_entropy)
#undef VALUE_LOSS_ROW

#endif
