/* Multi-tensor optimizer steps: one work-group a block of BLOCK elements of one tensor.
 * blocks[b] = (group, first element); groups[g] = element counts and offsets of the tensors. */

typedef struct tensors {
    ulong count, p, g, s0, s1;
} tensors;

#define SGD      0
#define MOMENTUM 1
#define ADAM     2

kernel void optimizer_step(global const scalars *step, ulong step_at, global float *p,
                           global const float *g, global float *s0, global float *s1,
                           global const tensors *groups, global const uint2 *blocks, float momentum,
                           int nesterov, float beta1, float beta2, float epsilon)
{
    const uint2 block = blocks[get_group_id(0)];
    global const tensors *t = groups + block.x;
    const ulong i = block.y + get_local_id(0);
    if (i >= t->count)
        return;
    global const scalars *s = (global const scalars *)((global const uint *)step + step_at);
    const float gradient = g[t->g + i];
#if STEP == SGD
    p[t->p + i] -= s->learning_rate * gradient;
#elif STEP == MOMENTUM
    const float v = momentum * s0[t->s0 + i] + gradient;
    s0[t->s0 + i] = v;
    p[t->p + i] -= s->learning_rate * (nesterov ? gradient + momentum * v : v);
#else
    const float m = beta1 * s0[t->s0 + i] + (1.0f - beta1) * gradient;
    const float v = beta2 * s1[t->s1 + i] + (1.0f - beta2) * gradient * gradient;
    s0[t->s0 + i] = m;
    s1[t->s1 + i] = v;
    p[t->p + i] -= s->learning_rate * (m * s->correction1) / (sqrt(v * s->correction2) + epsilon);
#endif
}
