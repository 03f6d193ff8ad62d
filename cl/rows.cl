/* Softmax and losses: a row is the work of GROUP work-items, which is 1 on a CPU device (no local
 * memory, no barrier) and for short rows. */

/* The row and the lane of this work-item. With GROUP > 1 there are exactly GROUP per row, so that
 * the early return never splits a group. */
#define ROW_AND_LANE(rows)                                                                         \
    const int row = get_global_id(0) / GROUP, lane = get_global_id(0) % GROUP;                     \
    if (row >= rows)                                                                               \
        return;

/* top is the row's maximum, sum that of exp(in[c] - top). */
#define TOP_AND_SUM(in)                                                                            \
    float top = -INFINITY, sum = 0.0f;                                                             \
    for (int c = lane; c < columns; c += GROUP)                                                    \
        top = fmax(top, (in)[c]);                                                                  \
    top = group_max(top, memory);                                                                  \
    for (int c = lane; c < columns; c += GROUP)                                                    \
        sum += exp((in)[c] - top);                                                                 \
    sum = group_sum(sum, memory);

/* out[c] = value, which may take of_sum, evaluated once, as `whole`. */
#define SOFTMAX(name, of_sum, value)                                                               \
    kernel void name(global const float *x, ulong x_at, global float *y, ulong y_at, int rows,     \
                     int columns)                                                                  \
    {                                                                                              \
        LOCAL_MEMORY(memory)                                                                       \
        ROW_AND_LANE(rows)                                                                         \
        global const float *in = x + x_at + (ulong)row * columns;                                  \
        global float *out = y + y_at + (ulong)row * columns;                                       \
        TOP_AND_SUM(in)                                                                            \
        const float whole = of_sum;                                                                \
        for (int c = lane; c < columns; c += GROUP)                                                \
            out[c] = value;                                                                        \
    }

SOFTMAX(softmax, sum, exp(in[c] - top) / whole)
SOFTMAX(log_softmax, log(sum), in[c] - top - whole)

/* dx[c] = value, where sum is that of term; g is dy, in is y. */
#define SOFTMAX_GRAD(name, term, value)                                                            \
    kernel void name(global const float *dy, ulong dy_at, global const float *y, ulong y_at,       \
                     global float *dx, ulong dx_at, int rows, int columns)                         \
    {                                                                                              \
        LOCAL_MEMORY(memory)                                                                       \
        ROW_AND_LANE(rows)                                                                         \
        global const float *g = dy + dy_at + (ulong)row * columns;                                 \
        global const float *in = y + y_at + (ulong)row * columns;                                  \
        global float *out = dx + dx_at + (ulong)row * columns;                                     \
        float sum = 0.0f;                                                                          \
        for (int c = lane; c < columns; c += GROUP)                                                \
            sum += term;                                                                           \
        sum = group_sum(sum, memory);                                                              \
        for (int c = lane; c < columns; c += GROUP)                                                \
            out[c] = value;                                                                        \
    }

SOFTMAX_GRAD(softmax_grad, g[c] * in[c], in[c] * (g[c] - sum))
SOFTMAX_GRAD(log_softmax_grad, g[c], g[c] - exp(in[c]) * sum)

#ifdef LOSS

/* The position of the row's first maximum. */
inline int row_argmax(global const float *in, int columns)
{
    int best = 0;
    for (int c = 1; c < columns; c++)
        if (in[c] > in[best])
            best = c;
    return best;
}

#define LOSS_CROSS_ENTROPY         0
#define LOSS_SOFTMAX_CROSS_ENTROPY 1
/* from here on: of values */
#define LOSS_MSE                  2
#define LOSS_MAE                  3
#define LOSS_HUBER                4
#define LOSS_BINARY_CROSS_ENTROPY 5
#define LEAST_PROBABILITY          1e-7f

/* What each sample adds is partial[3 row]: its loss, its metric, its weight. */

#if LOSS >= LOSS_MSE

/* The mean over the row's values; dx if GRADIENT is defined. */
kernel void value_rows(global const float *x, ulong x_at, global const float *target,
                       ulong target_at, global const scalars *step, ulong step_at,
#ifdef GRADIENT
                       global float *dx, ulong dx_at,
#endif
                       global float *partial, ulong partial_at, int rows, int columns, float delta)
{
    LOCAL_MEMORY(memory)
    ROW_AND_LANE(rows)
    global const float *in = x + x_at + (ulong)row * columns;
    global const float *wanted = target + target_at + (ulong)row * columns;
    float loss = 0.0f, metric = 0.0f;
#ifdef GRADIENT
    const float weight =
        ((global const scalars *)((global const uint *)step + step_at))->inverse_weight_sum;
    global float *out = dx + dx_at + (ulong)row * columns;
#define WRITE(c, value) out[c] = (value) / columns * weight
#else
#define WRITE(c, value)
#endif
    for (int c = lane; c < columns; c += GROUP) {
        const float v = in[c], t = wanted[c], e = v - t;
#if LOSS == LOSS_MSE
        loss += e * e;
        WRITE(c, 2.0f * e);
#elif LOSS == LOSS_MAE
        loss += fabs(e);
        WRITE(c, (isnan(e) ? e : sign(e)));
#elif LOSS == LOSS_HUBER
        const float cut = isnan(e) ? e : clamp(e, -delta, delta);
        loss += cut * (e - 0.5f * cut);
        WRITE(c, cut);
#else
        loss += (v < 0.0f ? 0.0f : v) - v * t + log1p(exp(-fabs(v)));
        WRITE(c, 1.0f / (1.0f + exp(-v)) - t);
#endif
#if LOSS == LOSS_BINARY_CROSS_ENTROPY
        metric += (v > 0.0f) == (t > 0.5f) ? 1.0f : 0.0f;
#else
        metric += fabs(e);
#endif
    }
    loss = group_sum(loss, memory) / columns;
    metric = group_sum(metric, memory) / columns;
    if (lane == 0) {
        partial[partial_at + 3 * row] = loss;
        partial[partial_at + 3 * row + 1] = metric;
        partial[partial_at + 3 * row + 2] = 1.0f;
    }
}

#else

/* Classes by label or, if SOFT is defined, by distributions; with WEIGHTS of the classes; see
 * bur_loss_attr. A label outside the classes reads nothing and gives NaN as loss and gradient. */
#ifdef SOFT
#define TARGET_TYPE float
#else
#define TARGET_TYPE int
#endif

kernel void class_rows(global const float *x, ulong x_at, global const TARGET_TYPE *target,
                       ulong target_at, global const scalars *step, ulong step_at,
#ifdef WEIGHTS
                       global const float *class_weight, ulong class_weight_at,
#endif
#ifdef GRADIENT
                       global float *dx, ulong dx_at,
#endif
                       global float *partial, ulong partial_at, int rows, int columns,
                       float smoothing, int ignores, int ignored_label)
{
    LOCAL_MEMORY(memory)
    ROW_AND_LANE(rows)
    global const float *in = x + x_at + (ulong)row * columns;
#ifdef GRADIENT
    const float weight =
        ((global const scalars *)((global const uint *)step + step_at))->inverse_weight_sum;
    global float *out = dx + dx_at + (ulong)row * columns;
#endif
#ifdef WEIGHTS
#define CLASS_WEIGHT(c) class_weight[class_weight_at + (c)]
#else
#define CLASS_WEIGHT(c) 1.0f
#endif
#ifdef SOFT
    global const float *wanted_row = target + target_at + (ulong)row * columns;
    const int wanted = row_argmax(wanted_row, columns);
    const bool known = true, ignored = false;
    const float own = 1.0f;
#define CLASS_TARGET(c) wanted_row[c]
#else
    const int wanted = target[target_at + row];
    const bool known = wanted >= 0 && wanted < columns;
    const bool ignored = ignores && wanted == ignored_label;
    const float own = known ? CLASS_WEIGHT(wanted) : 1.0f;
#define CLASS_TARGET(c) ((c) == wanted ? 1.0f : 0.0f)
#endif
#define PART(c) (CLASS_WEIGHT(c) * (CLASS_TARGET(c) * (1.0f - smoothing) + smoothing / columns))
    float loss = 0.0f, total = 0.0f;
#if LOSS == LOSS_SOFTMAX_CROSS_ENTROPY
    TOP_AND_SUM(in)
#define CLASS_LOSS(c)     (log_sum + (top - in[c]))
#define CLASS_GRADIENT(c) (total / sum * exp(in[c] - top) - PART(c))
    const float log_sum = log(sum);
#else
#define CLASS_LOSS(c)     (in[c] < LEAST_PROBABILITY ? -log(LEAST_PROBABILITY) : -log(in[c]))
#define CLASS_GRADIENT(c) (in[c] > LEAST_PROBABILITY ? -PART(c) / in[c] : 0.0f)
#endif
    for (int c = lane; c < columns; c += GROUP) {
        const float part = PART(c);
        total += part;
        if (part != 0.0f) /* an impossible class may have an infinite logit */
            loss += part * CLASS_LOSS(c);
    }
    loss = group_sum(loss, memory);
    total = group_sum(total, memory);
#ifdef GRADIENT
    for (int c = lane; c < columns; c += GROUP)
        out[c] = ignored ? 0.0f : !known ? NAN : CLASS_GRADIENT(c) * weight;
#endif
    if (lane == 0) {
        partial[partial_at + 3 * row] = ignored ? 0.0f : known ? loss : NAN;
        partial[partial_at + 3 * row + 1] =
            !ignored && known && row_argmax(in, columns) == wanted ? own : 0.0f;
        partial[partial_at + 3 * row + 2] = ignored ? 0.0f : own;
    }
}
#endif

/* result[4] from the samples' losses and metrics, by one group. */
kernel void loss_result(global const float *partial, ulong partial_at, global const scalars *step,
                        ulong step_at, global float *result, ulong result_at, int rows)
{
    LOCAL_MEMORY(memory)
    const int lane = get_local_id(0);
    float loss = 0.0f, metric = 0.0f, count = 0.0f;
    for (int row = lane; row < rows; row += GROUP) {
        loss += partial[partial_at + 3 * row];
        metric += partial[partial_at + 3 * row + 1];
        count += partial[partial_at + 3 * row + 2];
    }
    loss = group_sum(loss, memory);
    metric = group_sum(metric, memory);
    count = group_sum(count, memory);
    if (lane == 0) {
        const float weight =
            ((global const scalars *)((global const uint *)step + step_at))->inverse_weight_sum;
        result[result_at] = loss * weight;
        result[result_at + 1] = loss;
        result[result_at + 2] = metric;
        result[result_at + 3] = count;
    }
}
#endif
