/* Multi-tensor optimizer steps: one work-group a block of BLOCK elements of one tensor, a work-item
 * V elements at a time. blocks[b] = (group, first element); groups[g] = element counts and offsets
 * of the tensors. With V > 1 a group has one work-item. */

typedef struct tensors {
    ulong count, p, g, s0, s1;
} tensors;

#define SGD      0
#define MOMENTUM 1
#define ADAM     2

#define load_one(p)     (*(p))
#define store_one(v, p) (*(p) = (v))

/* The step of elements i on, `type` at once. */
#if STEP == SGD
#define UPDATE(type, load, store)                                                                  \
    store(load(p + t.p + i) - s->learning_rate * load(g + t.g + i), p + t.p + i);
#elif STEP == MOMENTUM
#define UPDATE(type, load, store)                                                                  \
    const type gradient = load(g + t.g + i);                                                       \
    const type v = momentum * load(s0 + t.s0 + i) + gradient;                                      \
    store(v, s0 + t.s0 + i);                                                                       \
    store(load(p + t.p + i) - s->learning_rate * (nesterov ? gradient + momentum * v : v),         \
          p + t.p + i);
#else
#define UPDATE(type, load, store)                                                                  \
    const type gradient = load(g + t.g + i);                                                       \
    const type m = beta1 * load(s0 + t.s0 + i) + (1.0f - beta1) * gradient;                        \
    const type v = beta2 * load(s1 + t.s1 + i) + (1.0f - beta2) * gradient * gradient;             \
    store(m, s0 + t.s0 + i);                                                                       \
    store(v, s1 + t.s1 + i);                                                                       \
    store(load(p + t.p + i) -                                                                      \
              s->learning_rate * (m * s->correction1) / (sqrt(v * s->correction2) + epsilon),      \
          p + t.p + i);
#endif

kernel void optimizer_step(global const scalars *step, ulong step_at, global float *p,
                           global const float *g, global float *s0, global float *s1,
                           global const tensors *groups, global const uint2 *blocks, float momentum,
                           int nesterov, float beta1, float beta2, float epsilon)
{
    const uint2 block = blocks[get_group_id(0)];
    const tensors t = groups[block.x];
    global const scalars *s = (global const scalars *)((global const uint *)step + step_at);
    const ulong end = min((ulong)block.y + BLOCK, t.count);
    ulong i = block.y + get_local_id(0);
    for (; i + V <= end; i += V * get_local_size(0)) {
        UPDATE(vec, load_all, store_all)
    }
    for (; i < end; i += get_local_size(0)) {
        UPDATE(float, load_one, store_one)
    }
}
