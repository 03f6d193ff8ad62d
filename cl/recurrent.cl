/* Recurrent networks: a work-group walks SAMPLES sequences through all their steps, each work-item
 * V units, or every GROUP-th such vector. See bur_recurrent_attr.
 *
 * -D constants: V, which divides H, GROUP, SAMPLES, H, CELL (0: simple, 1: lstm, 2: gru), RELU,
 * REVERSE, LAST (0 or 1), OUTPUTS; BIAS, LENGTHS if there are any. Samples past the end repeat the
 * last one, and are not written. */

#define LSTM 1
#define GRU  2
#if CELL == LSTM
#define GATES 4
#define KEPT  5
#elif CELL == GRU
#define GATES 3
#define KEPT  4
#else
#define GATES 1
#define KEPT  1
#endif

#if GROUP == 1
#define wait_for_group()
#else
#define wait_for_group() barrier(CLK_GLOBAL_MEM_FENCE)
#endif

#define FOR_UNITS(j) for (int j = get_local_id(0) * V; j < H; j += GROUP * V)
#define FOR_SAMPLES(s) UNROLL for (int s = 0; s < SAMPLES; s++)
#define FOR_GATES(g) UNROLL for (int g = 0; g < GATES; g++)

#ifdef LENGTHS
#define LENGTHS_ARGUMENT global const int *lengths, ulong lengths_at,
#define IS_PAST_END(sample, t) ((t) >= lengths[lengths_at + (sample)])
#else
#define LENGTHS_ARGUMENT
#define IS_PAST_END(sample, t) 0
#endif

inline vec logistic(vec x)
{
    return activate(x, ACT_SIGMOID, 0.0f);
}

/* The new state from x and s, the gates' parts; what backward needs is kept. */
inline vec new_state(const vec *x, const vec *s, vec before, vec *c, vec *kept)
{
#if CELL == LSTM
    FOR_GATES(g) kept[g] = g == 2 ? tanh(x[g] + s[g]) : logistic(x[g] + s[g]);
    kept[4] = *c = kept[1] * *c + kept[0] * kept[2];
    return kept[3] * tanh(*c);
#elif CELL == GRU
    kept[0] = logistic(x[0] + s[0]);
    kept[1] = logistic(x[1] + s[1]);
    kept[2] = tanh(x[2] + kept[1] * s[2]);
    kept[3] = s[2];
    return kept[2] + kept[0] * (before - kept[2]);
#else
    kept[0] = activate(x[0] + s[0], RELU ? ACT_RELU : ACT_TANH, 0.0f);
    return kept[0];
#endif
}

/* state: for each group h [2, SAMPLES, H], written by turns, and c [SAMPLES, H]. */
kernel void recurrent(global const float *x, ulong x_at, global const float *u, ulong u_at,
#ifdef BIAS
                      global const float *bias, ulong bias_at,
#endif
                      LENGTHS_ARGUMENT global float *y, ulong y_at,
#if OUTPUTS > 1
                      global float *kept, ulong kept_at,
#endif
#if OUTPUTS > 2
                      global float *states, ulong states_at,
#endif
                      global float *state, ulong state_at, int samples, int steps)
{
    const int first = get_group_id(0) * SAMPLES;
    global float *h = state + state_at + (ulong)get_group_id(0) * (3 * SAMPLES * H);
    global float *c = h + 2 * SAMPLES * H;
    FOR_UNITS(j)
        FOR_SAMPLES(s) {
            store_all((vec)(0.0f), h + s * H + j);
            store_all((vec)(0.0f), c + s * H + j);
        }
    wait_for_group();
    for (int k = 0; k < steps; k++) {
        const int t = REVERSE ? steps - 1 - k : k;
        global const float *now = h + k % 2 * (SAMPLES * H);
        global float *next = h + (k + 1) % 2 * (SAMPLES * H);
        FOR_UNITS(j) {
            vec sum[SAMPLES][GATES];
            FOR_SAMPLES(s)
                FOR_GATES(g)
#ifdef BIAS
                    sum[s][g] = load_all(bias + bias_at + g * H + j);
#else
                    sum[s][g] = (vec)(0.0f);
#endif
            for (int i = 0; i < H; i++) {
                vec w[GATES];
                FOR_GATES(g) w[g] = load_all(u + u_at + (i * GATES + g) * H + j);
                FOR_SAMPLES(s) {
                    const vec value = (vec)(now[s * H + i]);
                    FOR_GATES(g) sum[s][g] = fma(value, w[g], sum[s][g]);
                }
            }
            FOR_SAMPLES(s) {
                const int sample = min(first + s, samples - 1);
                const ulong at = (ulong)sample * steps + t;
                const vec before = load_all(now + s * H + j);
                vec parts[GATES], keep[KEPT], after = before, shown = (vec)(0.0f);
                UNROLL for (int g = 0; g < KEPT; g++) keep[g] = (vec)(0.0f);
                if (!IS_PAST_END(sample, t)) {
                    vec cell = load_all(c + s * H + j);
                    FOR_GATES(g) parts[g] = load_all(x + x_at + (at * GATES + g) * H + j);
                    shown = after = new_state(parts, sum[s], before, &cell, keep);
                    store_all(cell, c + s * H + j);
                }
                store_all(after, next + s * H + j);
                if (first + s < samples) {
#if !LAST
                    store_all(shown, y + y_at + at * H + j);
#endif
#if OUTPUTS > 1
                    UNROLL for (int g = 0; g < KEPT; g++)
                        store_all(keep[g], kept + kept_at + (at * KEPT + g) * H + j);
#endif
#if OUTPUTS > 2
                    store_all(before, states + states_at + at * H + j);
#endif
                }
            }
        }
        wait_for_group();
    }
#if LAST
    FOR_UNITS(j)
        FOR_SAMPLES(s)
            if (first + s < samples)
                store_all(load_all(h + (steps % 2 * SAMPLES + s) * H + j),
                          y + y_at + (ulong)(first + s) * H + j);
#endif
}

/* ---- gradient ---- */

/* turned[i, j] = u[j, i]. */
kernel void turn_weights(global const float *u, ulong u_at, global float *turned, ulong turned_at)
{
    const int id = get_global_id(0);
    if (id < GATES * H * H)
        turned[turned_at + id] = u[u_at + id % H * (GATES * H) + id / H];
}

/* Gradients of the gates' parts, dx and ds, from dh; gives what goes straight to the state before.
 */
inline vec gate_gradients(vec dh, const vec *kept, vec before, vec c_before, vec *dc, vec *dx,
                          vec *ds)
{
    const vec none = (vec)(0.0f);
#if CELL == LSTM
    const vec y = tanh(kept[4]);
    const vec d = *dc + activate_grad(dh * kept[3], y, ACT_TANH, 0.0f);
    ds[0] = activate_grad(d * kept[2], kept[0], ACT_SIGMOID, 0.0f);
    ds[1] = activate_grad(d * c_before, kept[1], ACT_SIGMOID, 0.0f);
    ds[2] = activate_grad(d * kept[0], kept[2], ACT_TANH, 0.0f);
    ds[3] = activate_grad(dh * y, kept[3], ACT_SIGMOID, 0.0f);
    FOR_GATES(g) dx[g] = ds[g];
    *dc = d * kept[1];
    return none;
#elif CELL == GRU
    dx[2] = activate_grad(dh * (1.0f - kept[0]), kept[2], ACT_TANH, 0.0f);
    dx[0] = ds[0] = activate_grad(dh * (before - kept[2]), kept[0], ACT_SIGMOID, 0.0f);
    dx[1] = ds[1] = activate_grad(dx[2] * kept[3], kept[1], ACT_SIGMOID, 0.0f);
    ds[2] = dx[2] * kept[1];
    return dh * kept[0];
#else
    dx[0] = ds[0] = activate_grad(dh, kept[0], RELU ? ACT_RELU : ACT_TANH, 0.0f);
    return none;
#endif
}

/* state: for each group dh and dc [SAMPLES, H]. */
kernel void recurrent_grad(global const float *dy, ulong dy_at, global const float *turned,
                           ulong turned_at, global const float *kept, ulong kept_at,
#if CELL == GRU
                           global const float *states, ulong states_at,
#endif
                           LENGTHS_ARGUMENT global float *dx, ulong dx_at,
#if CELL == GRU
                           global float *ds, ulong ds_at,
#endif
                           global float *state, ulong state_at, int samples, int steps)
{
    const int first = get_group_id(0) * SAMPLES;
    global float *dh = state + state_at + (ulong)get_group_id(0) * (2 * SAMPLES * H);
    global float *dc = dh + SAMPLES * H;
    FOR_UNITS(j)
        FOR_SAMPLES(s) {
            const ulong sample = min(first + s, samples - 1);
            store_all(LAST ? load_all(dy + dy_at + sample * H + j) : (vec)(0.0f), dh + s * H + j);
            store_all((vec)(0.0f), dc + s * H + j);
        }
    for (int k = steps - 1; k >= 0; k--) {
        const int t = REVERSE ? steps - 1 - k : k;
        FOR_UNITS(j)
            FOR_SAMPLES(s) {
                const int sample = min(first + s, samples - 1);
                const ulong at = (ulong)sample * steps + t;
                vec by_x[GATES], by_s[GATES], keep[KEPT], before = (vec)(0.0f), c_before = before;
                FOR_GATES(g) by_x[g] = by_s[g] = before;
                if (!IS_PAST_END(sample, t)) {
                    vec d = load_all(dh + s * H + j), cell = load_all(dc + s * H + j);
                    UNROLL for (int g = 0; g < KEPT; g++)
                        keep[g] = load_all(kept + kept_at + (at * KEPT + g) * H + j);
#if !LAST
                    d += load_all(dy + dy_at + at * H + j);
#endif
#if CELL == GRU
                    before = load_all(states + states_at + at * H + j);
#elif CELL == LSTM
                    if (k > 0) {
                        const ulong past = REVERSE ? at + 1 : at - 1;
                        c_before = load_all(kept + kept_at + (past * KEPT + 4) * H + j);
                    }
#endif
                    d = gate_gradients(d, keep, before, c_before, &cell, by_x, by_s);
                    store_all(d, dh + s * H + j);
                    store_all(cell, dc + s * H + j);
                }
                if (first + s < samples)
                    FOR_GATES(g) {
                        store_all(by_x[g], dx + dx_at + (at * GATES + g) * H + j);
#if CELL == GRU
                        store_all(by_s[g], ds + ds_at + (at * GATES + g) * H + j);
#endif
                    }
            }
        wait_for_group();
        if (k == 0)
            break;
        FOR_UNITS(j) {
            vec sum[SAMPLES];
            global const float *line[SAMPLES];
            FOR_SAMPLES(s) {
                const ulong at = (ulong)min(first + s, samples - 1) * steps + t;
                sum[s] = load_all(dh + s * H + j);
#if CELL == GRU
                line[s] = ds + ds_at + at * (GATES * H);
#else
                line[s] = dx + dx_at + at * (GATES * H);
#endif
            }
            for (int i = 0; i < GATES * H; i++) {
                const vec w = load_all(turned + turned_at + (ulong)i * H + j);
                FOR_SAMPLES(s) sum[s] = fma((vec)(line[s][i]), w, sum[s]);
            }
            FOR_SAMPLES(s) store_all(sum[s], dh + s * H + j);
        }
    }
}
