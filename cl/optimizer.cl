/* Multi-tensor optimizer steps: one work-group a block of BLOCK elements of one tensor, a work-item
 * V elements at a time. blocks[b] = (group, first element); groups[g] = element counts and offsets
 * of the tensors. With V > 1 a group has one work-item. */

typedef struct tensors {
    ulong count, p, g, s0, s1;
} tensors;

#define SGD      0
#define MOMENTUM 1
#define ADAM     2
#define RMSPROP  3
#define ADAGRAD  4
#define AVERAGE  5
#define SUM      6

#define load_one(p)     (*(p))
#define store_one(v, p) (*(p) = (v))

/* What stands around a step, see bur_optimizer_attr: of the gradient `d` and the weight `w` before
 * it, and of the weight after it. NaN stays. */
#ifdef REGULAR
#ifdef PROXIMAL
#define PENALTY    (2.0f * l2 * w)
#define SHRINK(w_) (w_ - clamp(w_, -s->learning_rate * l1, s->learning_rate * l1))
#else
#define PENALTY    (l1 * sign(w) + 2.0f * l2 * w)
#define SHRINK(w_) (w_)
#endif
#ifdef SCALED
#define SCALE_GRADIENT d *= scale[scale_at];
#else
#define SCALE_GRADIENT
#endif
#define BEFORE                                                                                     \
    SCALE_GRADIENT                                                                                 \
    d = (d < -clip ? -clip : d > clip ? clip : d) + PENALTY;                                       \
    w -= s->learning_rate * decay * w;
#else
#define BEFORE
#define SHRINK(w_) (w_)
#endif

/* Of elements i on, `type` at once: the gradient is d, the weight w. */
#define UPDATE(type, load, store)                                                                  \
    type d = load(g + t.g + i), w = load(p + t.p + i);                                             \
    BEFORE                                                                                         \
    STEP_OF(type, load, store)                                                                     \
    store(SHRINK(w), p + t.p + i);

#if STEP == SGD
#define STEP_OF(type, load, store) w -= s->learning_rate * d;
#elif STEP == MOMENTUM
#define STEP_OF(type, load, store)                                                                 \
    const type v = momentum * load(s0 + t.s0 + i) + d;                                             \
    store(v, s0 + t.s0 + i);                                                                       \
    w -= s->learning_rate * (nesterov ? d + momentum * v : v);
#elif STEP == ADAM
#define STEP_OF(type, load, store)                                                                 \
    const type m = beta1 * load(s0 + t.s0 + i) + (1.0f - beta1) * d;                               \
    const type v = beta2 * load(s1 + t.s1 + i) + (1.0f - beta2) * d * d;                           \
    store(m, s0 + t.s0 + i);                                                                       \
    store(v, s1 + t.s1 + i);                                                                       \
    w -= s->learning_rate * (m * s->correction1) / (sqrt(v * s->correction2) + epsilon);
#elif STEP == AVERAGE /* w is the average, d what it is of */
#define STEP_OF(type, load, store) w = keep * w + (1.0f - keep) * d;
#elif STEP == SUM /* w is the sum of the micro-batches before, d what is added */
#define STEP_OF(type, load, store) w = s->first_sample == 0 ? d : w + d;
#else
#if STEP == RMSPROP
#define ACCUMULATED(v_) (beta2 * (v_) + (1.0f - beta2) * d * d)
#else
#define ACCUMULATED(v_) ((v_) + d * d)
#endif
#define STEP_OF(type, load, store)                                                                 \
    const type v = ACCUMULATED(load(s0 + t.s0 + i));                                               \
    store(v, s0 + t.s0 + i);                                                                       \
    w -= s->learning_rate * d / (sqrt(v) + epsilon);
#endif

kernel void optimizer_step(global const scalars *step, ulong step_at, global const float *scale,
                           ulong scale_at, global float *p, global const float *g, global float *s0,
                           global float *s1, global const tensors *groups,
                           global const uint2 *blocks, float momentum, int nesterov, float beta1,
                           float beta2, float epsilon, float l1, float l2, float decay, float clip,
                           float ema)
{
    const uint2 block = blocks[get_group_id(0)];
    const tensors t = groups[block.x];
    global const scalars *s = (global const scalars *)((global const uint *)step + step_at);
    const float keep = (s->step[0] | s->step[1]) == 0 ? 0.0f : ema;
    const ulong end = min((ulong)block.y + BLOCK, t.count);
    ulong i = block.y + get_local_id(0);
    for (; i + V <= end; i += V * get_local_size(0)) {
        UPDATE(vec, load_all, store_all)
    }
    for (; i < end; i += get_local_size(0)) {
        UPDATE(float, load_one, store_one)
    }
}

/* partial[b] = sum of the squares of block b, for the blocks of one launch. */
kernel void sum_of_squares(global const float *x, global float *partial, ulong partial_at,
                           global const tensors *groups, global const uint2 *blocks, int first)
{
    LOCAL_MEMORY(memory)
    const uint2 block = blocks[get_group_id(0)];
    const tensors t = groups[block.x];
    const ulong end = min((ulong)block.y + BLOCK, t.count);
    float sum = 0.0f, part[V];
    vec sums = (vec)(0.0f);
    ulong i = block.y + get_local_id(0);
    for (; i + V <= end; i += V * get_local_size(0)) {
        const vec value = load_all(x + t.p + i);
        sums += value * value;
    }
    for (; i < end; i += get_local_size(0))
        sum += x[t.p + i] * x[t.p + i];
    store_all(sums, part);
    for (int v = 0; v < V; v++)
        sum += part[v];
    sum = group_sum(sum, memory);
    if (get_local_id(0) == 0)
        partial[partial_at + first + get_group_id(0)] = sum;
}

/* y = {min(1, clip / (norm + 1e-6)), norm}, by one group. */
kernel void norm_of_squares(global const float *partial, ulong partial_at, global float *y,
                            ulong y_at, int blocks, float clip)
{
    LOCAL_MEMORY(memory)
    float sum = 0.0f;
    for (int i = get_local_id(0); i < blocks; i += GROUP)
        sum += partial[partial_at + i];
    const float norm = sqrt(group_sum(sum, memory)), scale = clip / (norm + 1e-6f);
    if (get_local_id(0) == 0) {
        y[y_at] = scale > 1.0f ? 1.0f : scale;
        y[y_at + 1] = norm;
    }
}
