/* Optimizers: one sweep over all parameters, shared out evenly whatever their sizes. Part of
 * kernels.c.
 */
#ifndef BUR_CPU_OPTIMIZER_H
#define BUR_CPU_OPTIMIZER_H

#include "team.h"
#include "vector.h"

/* What an update needs besides its tensors; copies, since the tensors' memory could be theirs as
 * far as the compiler knows. */
typedef struct update {
    bur_optimizer_attr attr;
    bur_scalars scalars;
} update;

/* One parameter's vectors; every function gives the new ones. state[] are the optimizer's slots. */
typedef vec update_function(const update *u, vec p, vec g, vec state[2]);

INLINE vec sgd_value(const update *u, vec p, vec g, vec state[2])
{
    (void)state;
    return p - u->scalars.learning_rate * g;
}

INLINE vec momentum_value(const update *u, vec p, vec g, vec state[2])
{
    const float momentum = u->attr.momentum;
    state[0] = momentum * state[0] + g;
    const vec step = u->attr.nesterov ? g + momentum * state[0] : state[0];
    return p - u->scalars.learning_rate * step;
}

INLINE vec adam_value(const update *u, vec p, vec g, vec state[2])
{
    const float beta1 = u->attr.beta1, beta2 = u->attr.beta2;
    state[0] = beta1 * state[0] + (1 - beta1) * g;
    state[1] = beta2 * state[1] + (1 - beta2) * (g * g);
    const vec m = state[0] * u->scalars.correction1, v = state[1] * u->scalars.correction2;
    return p - u->scalars.learning_rate * m / (square_root(v) + u->attr.epsilon);
}

INLINE vec rmsprop_value(const update *u, vec p, vec g, vec state[2])
{
    const float beta2 = u->attr.beta2;
    state[0] = beta2 * state[0] + (1 - beta2) * (g * g);
    return p - u->scalars.learning_rate * g / (square_root(state[0]) + u->attr.epsilon);
}

INLINE vec adagrad_value(const update *u, vec p, vec g, vec state[2])
{
    state[0] += g * g;
    return p - u->scalars.learning_rate * g / (square_root(state[0]) + u->attr.epsilon);
}

/* A step with what stands around it: see bur_optimizer_attr. */
INLINE vec regular_value(const update *u, vec p, vec g, vec state[2], update_function *f)
{
    const bur_optimizer_attr *attr = &u->attr;
    const float rate = u->scalars.learning_rate, most = attr->clip_value;
    const vec zero = splat(0),
              sign = where_greater(p, zero, splat(1), where_greater(zero, p, splat(-1), zero));
    if (most > 0)
        g = lesser(splat(most), greater(splat(-most), g));
    g += (attr->proximal ? 0 : attr->l1) * sign + 2 * attr->l2 * p;
    p = f(u, p - rate * attr->weight_decay * p, g, state);
    if (!attr->proximal)
        return p;
    const vec cut = splat(rate * attr->l1);
    return p - lesser(cut, greater(-cut, p));
}

/* Elements `own` of the parameter whose tensors are parameter, gradient and slots. */
INLINE void update_range(const update *u, void *const *tensor, const int32_t slots, range own,
                         update_function *f, const bool plain)
{
    float *p = tensor[0], *slot[2] = {NULL, NULL};
    const float *g = tensor[1];
    for (int32_t s = 0; s < slots; s++)
        slot[s] = tensor[2 + s];
    for (int64_t i = own.begin; i < own.end; i += LANES) {
        const int64_t n = least(LANES, own.end - i);
        vec state[2];
        for (int32_t s = 0; s < slots; s++)
            state[s] = load_first(slot[s] + i, n);
        const vec value = load_first(p + i, n), gradient = load_first(g + i, n);
        store_first(
            p + i,
            plain ? f(u, value, gradient, state) : regular_value(u, value, gradient, state, f), n);
        for (int32_t s = 0; s < slots; s++)
            store_first(slot[s] + i, state[s], n);
    }
}

/* Cache lines of all parameters, one after the other, are shared out. */
INLINE void update_all(const bur_command *command, int thread, int threads, const int32_t slots,
                       update_function *f)
{
    const bur_call *call = &command->kernel->call;
    const update u = {call->attr->optimizer, *(const bur_scalars *)command->inputs[0]};
    const bool plain =
        u.attr.l1 == 0 && u.attr.l2 == 0 && u.attr.weight_decay == 0 && u.attr.clip_value == 0;
    int64_t lines = 0, before = 0;
    for (int32_t i = 1; i < call->n_inputs; i += 2 + slots)
        lines += round_up(bur_desc_count(&call->inputs[i]), CACHE_LINE_FLOATS);
    const range own = share(lines, CACHE_LINE_FLOATS, thread, threads);
    for (int32_t i = 1; i < call->n_inputs && before < own.end; i += 2 + slots) {
        const int64_t count = bur_desc_count(&call->inputs[i]);
        const range part = {own.begin > before ? own.begin - before : 0,
                            least(count, own.end - before)};
        if (plain)
            update_range(&u, command->inputs + i, slots, part, f, true);
        else
            update_range(&u, command->inputs + i, slots, part, f, false);
        before += round_up(count, CACHE_LINE_FLOATS);
    }
}

static void sgd(const bur_command *command, int thread, int threads)
{
    update_all(command, thread, threads, 0, sgd_value);
}

static void momentum(const bur_command *command, int thread, int threads)
{
    update_all(command, thread, threads, 1, momentum_value);
}

static void rmsprop(const bur_command *command, int thread, int threads)
{
    update_all(command, thread, threads, 1, rmsprop_value);
}

static void adagrad(const bur_command *command, int thread, int threads)
{
    update_all(command, thread, threads, 1, adagrad_value);
}

static void adam(const bur_command *command, int thread, int threads)
{
    update_all(command, thread, threads, 2, adam_value);
}

#endif
