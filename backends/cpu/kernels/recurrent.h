/* The rows simple_rnn, lstm and gru and their gradients. Part of kernels.c.
 *
 * Samples have nothing to do with each other: each thread takes its own through all steps and waits
 * for nobody. A step multiplies the states of up to ROWS samples by u, packed once for all steps
 * and threads, and ends with the units of a sample, a register at a time. */
#ifndef BUR_CPU_RECURRENT_H
#define BUR_CPU_RECURRENT_H

#include "functions.h"
#include "gemm.h"
#include "team.h"

enum { ROWS = 4 * MR };

typedef struct recurrence {
    int64_t samples, steps, units, gates, kept; /* gates, kept: floats of a step of a sample */
    const float *u, *bias;                      /* bias may be NULL */
    const int32_t *lengths;                     /* or NULL */
    const bur_recurrent_attr *attr;
} recurrence;

/* One step of one sample; what a row does not need is NULL. */
typedef struct cell_step {
    int64_t units;
    int32_t activation;
    float *h, *c;               /* the state; backward, its gradient */
    const float *x, *s;         /* forward: the gates' parts from the input and from the state */
    float *kept;                /* where forward leaves what backward needs */
    const float *past;          /* backward: the same as they were left, and */
    const float *c_before;      /* ... lstm's c of the step before, NULL: 0 */
    const float *h_before, *dy; /* ... the state before, the gradient of y at this step */
    float *dx, *ds;             /* backward: the gradients of x and s */
} cell_step;

/* Units j .. j + n of a step, n <= LANES. */
typedef void cell_function(const cell_step *v, int64_t j, int64_t n);

static recurrence recurrence_of(const bur_command *command, bool backward)
{
    const bur_call *call = &command->kernel->call;
    const int64_t *u = call->inputs[1].shape.dim, *x = call->inputs[backward ? 2 : 0].shape.dim;
    const int32_t last = call->n_inputs - 1;
    const bool has_lengths = call->inputs[last].dtype == BUR_I32;
    const bool has_bias = !backward && call->n_inputs - has_lengths > 2;
    return (recurrence){.samples = x[0],
                        .steps = x[1],
                        .units = u[0],
                        .gates = u[1],
                        .kept = backward              ? x[2]
                                : call->n_outputs > 1 ? call->outputs[1].shape.dim[2]
                                                      : 0,
                        .u = command->inputs[1],
                        .bias = has_bias ? command->inputs[2] : NULL,
                        .lengths = has_lengths ? command->inputs[last] : NULL,
                        .attr = &call->attr->recurrent};
}

/* ---- scratch: u in panels of NR columns, and each thread's own rows of states and gates ---- */

static int64_t panel_floats(int64_t depth, int64_t columns)
{
    return depth * round_up(columns, NR);
}

static int64_t own_floats(int64_t samples, int64_t units, int64_t gates)
{
    return round_up(least(ROWS, samples) * (gates + 2 * units), CACHE_LINE_FLOATS);
}

static size_t recurrent_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    const int64_t *u = call->inputs[1].shape.dim, samples = call->inputs[0].shape.dim[0];
    const bool backward = (bur_op_get(call->op)->flags & BUR_OP_BACKWARD) != 0;
    const int64_t panels = backward ? panel_floats(u[1], u[0]) : panel_floats(u[0], u[1]);
    return 4 * (size_t)(panels + threads * own_floats(samples, u[0], u[1]));
}

/* Panels of u [units, gates], or of its transpose. */
static void pack_weights(const recurrence *r, float *panels, bool transposed, int thread,
                         int threads)
{
    const int64_t depth = transposed ? r->gates : r->units;
    const int64_t columns = transposed ? r->units : r->gates;
    const pack_source source = {.data = r->u, .stride = r->gates};
    const range own = share(columns, NR, thread, threads);
    for (int64_t j = own.begin; j < own.end; j += NR) {
        const int64_t lines = least(NR, own.end - j);
        (transposed ? pack_rows : pack_columns)(panels + j * depth, NR, &source, j, lines,
                                                round_up(lines, LANES), 0, depth);
    }
}

/* y [rows, columns] = a [rows, depth] times the packed matrix, added to what y holds or to a bias.
 */
static void multiply_rows(float *y, const float *a, const float *panels, int64_t rows,
                          int64_t depth, int64_t columns, bool add, const float *bias)
{
    const int64_t height = panel_height(rows);
    const float *line[ROWS];
    for (int64_t i = 0; i < rows; i++)
        line[i] = a + i * depth;
    tile t = {.k = depth,
              .first_run = depth,
              .run = depth,
              .b_stride = NR,
              .c_stride = columns,
              .add = add,
              .finish = bias != NULL};
    for (int64_t j = 0; j < columns; j += NR) {
        const int64_t here = least(NR, columns - j), vectors = (here + LANES - 1) / LANES;
        t.b = panels + j * depth;
        t.last = here - (vectors - 1) * LANES;
        t.bias = bias == NULL ? NULL : bias + j;
        for (int64_t i = 0; i < rows; i += height) {
            t.pointer = line + i;
            t.c = y + i * columns + j;
            lines_tiles[least(height, rows - i)][vectors](&t);
        }
    }
}

/* ---- walks ---- */

INLINE void run_cell(const cell_step *v, cell_function *cell)
{
    int64_t j = 0;
    for (; j + LANES <= v->units; j += LANES)
        cell(v, j, LANES);
    if (j < v->units)
        cell(v, j, v->units - j);
}

INLINE bool is_past_end(const recurrence *r, int64_t sample, int64_t t)
{
    return r->lengths != NULL && t >= r->lengths[sample];
}

static void clear_row(float *p, int64_t count)
{
    if (p != NULL)
        memset(p, 0, (size_t)count * sizeof *p);
}

static void copy_row(float *to, const float *from, int64_t count)
{
    if (to != NULL)
        memcpy(to, from, (size_t)count * sizeof *to);
}

/* Element `row` of a tensor with rows of `width`; NULL if there is none. */
INLINE float *row_of(const bur_command *command, int32_t output, int64_t row, int64_t width)
{
    const bool exists = output < command->kernel->call.n_outputs;
    return exists ? (float *)command->outputs[output] + row * width : NULL;
}

/* Step t of the samples from `first` on; own: gates, states h and c of each. */
INLINE void step_forward(const bur_command *command, const recurrence *r, float *own, int64_t first,
                         int64_t rows, int64_t t, cell_function *cell)
{
    float *gates = own, *h = gates + rows * r->gates, *c = h + rows * r->units;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t sample = first + i, at = sample * r->steps + t;
        float *y = r->attr->last ? NULL : row_of(command, 0, at, r->units);
        const cell_step v = {.units = r->units,
                             .activation = r->attr->activation,
                             .h = h + i * r->units,
                             .c = c + i * r->units,
                             .x = (const float *)command->inputs[0] + at * r->gates,
                             .s = gates + i * r->gates,
                             .kept = row_of(command, 1, at, r->kept)};
        copy_row(row_of(command, 2, at, r->units), v.h, r->units);
        if (is_past_end(r, sample, t)) {
            clear_row(v.kept, r->kept);
            clear_row(y, r->units);
            continue;
        }
        run_cell(&v, cell);
        copy_row(y, v.h, r->units);
    }
}

INLINE void walk_forward(const bur_command *command, int thread, int threads, cell_function *cell)
{
    const recurrence r = recurrence_of(command, false);
    float *panels = command->scratch;
    float *own =
        panels + panel_floats(r.units, r.gates) + thread * own_floats(r.samples, r.units, r.gates);
    pack_weights(&r, panels, false, thread, threads);
    team_wait(command, threads);
    const range samples = share(r.samples, 1, thread, threads);
    for (int64_t first = samples.begin; first < samples.end; first += ROWS) {
        const int64_t rows = least(ROWS, samples.end - first);
        float *h = own + rows * r.gates;
        clear_row(h, 2 * rows * r.units);
        for (int64_t k = 0; k < r.steps; k++) {
            multiply_rows(own, h, panels, rows, r.units, r.gates, false, r.bias);
            step_forward(command, &r, own, first, rows, r.attr->reverse ? r.steps - 1 - k : k,
                         cell);
        }
        if (r.attr->last)
            copy_row(row_of(command, 0, first, r.units), h, rows * r.units);
    }
}

/* Step t, `before` the one that forward took before it (-1: none). own: ds, the gradients of the
 * states h and c. */
INLINE void step_backward(const bur_command *command, const recurrence *r, float *own,
                          int64_t first, int64_t rows, int64_t t, int64_t before,
                          cell_function *cell)
{
    float *ds = own, *dh = ds + rows * r->gates, *dc = dh + rows * r->units;
    const bur_op op = command->kernel->call.op;
    const bool has_states = op == BUR_OP_gru_grad, has_c = op == BUR_OP_lstm_grad && before >= 0;
    const float *dy = command->inputs[0], *past = command->inputs[2];
    const float *states = has_states ? command->inputs[3] : NULL;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t sample = first + i, at = sample * r->steps + t;
        const float *c_before =
            has_c ? past + (sample * r->steps + before) * r->kept + 4 * r->units : NULL;
        float *dx = row_of(command, 0, at, r->gates), *ds_out = row_of(command, 1, at, r->gates);
        const cell_step v = {.units = r->units,
                             .activation = r->attr->activation,
                             .h = dh + i * r->units,
                             .c = dc + i * r->units,
                             .past = past + at * r->kept,
                             .c_before = c_before,
                             .h_before = has_states ? states + at * r->units : NULL,
                             .dy = r->attr->last ? NULL : dy + at * r->units,
                             .dx = dx,
                             .ds = ds + i * r->gates};
        if (is_past_end(r, sample, t)) {
            clear_row(v.ds, r->gates);
            clear_row(dx, r->gates);
        } else {
            run_cell(&v, cell);
        }
        copy_row(has_states ? ds_out : dx, v.ds, r->gates);
    }
}

INLINE void walk_backward(const bur_command *command, int thread, int threads, cell_function *cell)
{
    const recurrence r = recurrence_of(command, true);
    float *panels = command->scratch;
    float *own =
        panels + panel_floats(r.gates, r.units) + thread * own_floats(r.samples, r.units, r.gates);
    pack_weights(&r, panels, true, thread, threads);
    team_wait(command, threads);
    const range samples = share(r.samples, 1, thread, threads);
    for (int64_t first = samples.begin; first < samples.end; first += ROWS) {
        const int64_t rows = least(ROWS, samples.end - first);
        float *dh = own + rows * r.gates;
        clear_row(dh, 2 * rows * r.units);
        if (r.attr->last)
            copy_row(dh, (const float *)command->inputs[0] + first * r.units, rows * r.units);
        for (int64_t k = r.steps - 1; k >= 0; k--) {
            const bool reverse = r.attr->reverse != 0;
            const int64_t t = reverse ? r.steps - 1 - k : k;
            const int64_t before = k == 0 ? -1 : reverse ? t + 1 : t - 1;
            step_backward(command, &r, own, first, rows, t, before, cell);
            if (k > 0)
                multiply_rows(dh, own, panels, rows, r.gates, r.units, true, NULL);
        }
    }
}

/* ---- cells ---- */

/* Block g of `units` floats each. */
INLINE vec part(const cell_step *v, const float *from, int g, int64_t j, int64_t n)
{
    return load_first(from + g * v->units + j, n);
}

INLINE void put(const cell_step *v, float *to, int g, int64_t j, int64_t n, vec value)
{
    if (to != NULL)
        store_first(to + g * v->units + j, value, n);
}

/* Gate g before its activation. */
INLINE vec gate(const cell_step *v, int g, int64_t j, int64_t n)
{
    return part(v, v->x, g, j, n) + part(v, v->s, g, j, n);
}

/* What is known of the state's gradient, and y's. */
INLINE vec state_gradient(const cell_step *v, int64_t j, int64_t n)
{
    const vec dh = load_first(v->h + j, n);
    return v->dy == NULL ? dh : dh + load_first(v->dy + j, n);
}

INLINE vec logistic_gradient(vec dy, vec y)
{
    return dy * (y * (1.0f - y));
}

INLINE vec tangent_gradient(vec dy, vec y)
{
    return dy * (1.0f - y * y);
}

INLINE void simple_cell(const cell_step *v, int64_t j, int64_t n)
{
    const vec z = gate(v, 0, j, n);
    const vec h = v->activation == BUR_RELU ? greater(splat(0), z) : hyperbolic_tangent(z);
    put(v, v->h, 0, j, n, h);
    put(v, v->kept, 0, j, n, h);
}

INLINE void simple_cell_grad(const cell_step *v, int64_t j, int64_t n)
{
    const vec h = part(v, v->past, 0, j, n), dh = state_gradient(v, j, n);
    const int32_t activation = v->activation == BUR_RELU ? BUR_RELU : BUR_TANH;
    put(v, v->ds, 0, j, n, activate_gradient(dh, h, activation, 0));
    put(v, v->h, 0, j, n, splat(0));
}

INLINE void lstm_cell(const cell_step *v, int64_t j, int64_t n)
{
    const vec i = logistic(gate(v, 0, j, n)), f = logistic(gate(v, 1, j, n));
    const vec g = hyperbolic_tangent(gate(v, 2, j, n)), o = logistic(gate(v, 3, j, n));
    const vec c = f * load_first(v->c + j, n) + i * g;
    put(v, v->c, 0, j, n, c);
    put(v, v->h, 0, j, n, o * hyperbolic_tangent(c));
    const vec kept[] = {i, f, g, o, c};
    UNROLL for (int k = 0; k < 5; k++) put(v, v->kept, k, j, n, kept[k]);
}

INLINE void lstm_cell_grad(const cell_step *v, int64_t j, int64_t n)
{
    const vec i = part(v, v->past, 0, j, n), f = part(v, v->past, 1, j, n);
    const vec g = part(v, v->past, 2, j, n), o = part(v, v->past, 3, j, n);
    const vec before = v->c_before == NULL ? splat(0) : load_first(v->c_before + j, n);
    const vec y = hyperbolic_tangent(part(v, v->past, 4, j, n)), dh = state_gradient(v, j, n);
    const vec dc = load_first(v->c + j, n) + tangent_gradient(dh * o, y);
    put(v, v->ds, 0, j, n, logistic_gradient(dc * g, i));
    put(v, v->ds, 1, j, n, logistic_gradient(dc * before, f));
    put(v, v->ds, 2, j, n, tangent_gradient(dc * i, g));
    put(v, v->ds, 3, j, n, logistic_gradient(dh * y, o));
    put(v, v->c, 0, j, n, dc * f);
    put(v, v->h, 0, j, n, splat(0));
}

INLINE void gru_cell(const cell_step *v, int64_t j, int64_t n)
{
    const vec z = logistic(gate(v, 0, j, n)), r = logistic(gate(v, 1, j, n));
    const vec s = part(v, v->s, 2, j, n);
    const vec candidate = hyperbolic_tangent(part(v, v->x, 2, j, n) + r * s);
    const vec h = load_first(v->h + j, n);
    put(v, v->h, 0, j, n, candidate + z * (h - candidate));
    const vec kept[] = {z, r, candidate, s};
    UNROLL for (int k = 0; k < 4; k++) put(v, v->kept, k, j, n, kept[k]);
}

INLINE void gru_cell_grad(const cell_step *v, int64_t j, int64_t n)
{
    const vec z = part(v, v->past, 0, j, n), r = part(v, v->past, 1, j, n);
    const vec candidate = part(v, v->past, 2, j, n), s = part(v, v->past, 3, j, n);
    const vec before = load_first(v->h_before + j, n), dh = state_gradient(v, j, n);
    const vec dn = tangent_gradient(dh * (1.0f - z), candidate);
    const vec dz = logistic_gradient(dh * (before - candidate), z);
    const vec dr = logistic_gradient(dn * s, r);
    const vec dx[] = {dz, dr, dn}, ds[] = {dz, dr, dn * r};
    UNROLL for (int k = 0; k < 3; k++)
    {
        put(v, v->dx, k, j, n, dx[k]);
        put(v, v->ds, k, j, n, ds[k]);
    }
    put(v, v->h, 0, j, n, dh * z);
}

#define RECURRENT_ROW(name, walk, cell)                                                            \
    static void name(const bur_command *command, int thread, int threads)                          \
    {                                                                                              \
        walk(command, thread, threads, cell);                                                      \
    }

RECURRENT_ROW(simple_rnn, walk_forward, simple_cell)
RECURRENT_ROW(simple_rnn_grad, walk_backward, simple_cell_grad)
RECURRENT_ROW(lstm, walk_forward, lstm_cell)
RECURRENT_ROW(lstm_grad, walk_backward, lstm_cell_grad)
RECURRENT_ROW(gru, walk_forward, gru_cell)
RECURRENT_ROW(gru_grad, walk_backward, gru_cell_grad)
#undef RECURRENT_ROW

#endif
