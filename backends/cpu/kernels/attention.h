/* Attention: blocks of scores, QUERIES by KEYS at most, between packed products (gemm.h), so that
 * memory is linear in the length. Part of kernels.c.
 *
 * Forward each block of queries is a task: over the blocks of keys it keeps the greatest score and
 * the sum of exponentials, and scales y down when a greater one comes (Milakov and Gimelshein 2018;
 * Rabe and Staats 2021). Backward a head of a sample is a task; where heads do not share out well
 * among the threads, a block of queries (for dq) or of keys (for dk and dv) is, and scores are
 * computed twice. No sum is shared between tasks. */
#ifndef BUR_CPU_ATTENTION_H
#define BUR_CPU_ATTENTION_H

#include "matmul.h"
#include "rows.h"

enum { QUERIES = 128, KEYS = 256, SCORE_PITCH = KEYS + CACHE_LINE_FLOATS };

/* One operand, or its gradient: rows of a head `pitch` elements apart. */
typedef struct heads {
    float *data;
    int64_t length, pitch;
} heads;

typedef struct attention {
    int64_t samples, heads, width;
    float scale;
    bool causal;
    const int32_t *lengths; /* NULL: all keys */
    heads q, k, v, y, dy, dq, dk, dv;
    float *log_sums; /* may be NULL forward */
} attention;

/* Rows of one head from `row` on. */
INLINE float *head_at(const attention *a, const heads *x, int64_t head, int64_t row)
{
    const int64_t sample = head / a->heads, first = head % a->heads * a->width;
    return x->data + (sample * x->length + row) * x->pitch + first;
}

/* q, k and v, or their gradients, from three tensors or side by side in one. */
static void place_heads(heads *out, bool packed, void *const *data, const bur_desc *descs,
                        int64_t channels)
{
    for (int32_t i = 0; i < 3; i++) {
        const int64_t *dim = descs[packed ? 0 : i].shape.dim;
        float *first = data == NULL ? NULL : data[packed ? 0 : i];
        out[i] = (heads){packed && first != NULL ? first + i * channels : first, dim[1], dim[2]};
    }
}

/* The sizes of a call, and where its tensors lie; command is NULL where only sizes are asked. */
static attention attention_of(const bur_call *call, const bur_command *command)
{
    const bool backward = (bur_op_get(call->op)->flags & BUR_OP_BACKWARD) != 0;
    const bool packed = call->op == BUR_OP_self_attention || call->op == BUR_OP_self_attention_grad;
    const bur_attention_attr *attr = &call->attr->attention;
    const int32_t from = backward ? 3 : 0, n = packed ? 1 : 3;
    const bur_desc *x = &call->inputs[from];
    const int64_t channels = x->shape.dim[2] / (packed ? 3 : 1);
    attention a = {.samples = x->shape.dim[0], .heads = attr->heads == 0 ? 1 : attr->heads};
    a.width = channels / a.heads;
    a.scale = attr->scale > 0 ? attr->scale : 1 / sqrtf((float)a.width);
    a.causal = attr->causal != 0;
    heads operand[3], gradient[3];
    place_heads(operand, packed, command == NULL ? NULL : command->inputs + from, x, channels);
    a.q = operand[0], a.k = operand[1], a.v = operand[2];
    a.y = a.dy = (heads){NULL, a.q.length, channels};
    if (command == NULL)
        return a;
    a.lengths = call->n_inputs > from + n ? command->inputs[from + n] : NULL;
    a.y.data = backward ? command->inputs[1] : command->outputs[0];
    a.log_sums = backward ? command->inputs[2] : call->n_outputs > 1 ? command->outputs[1] : NULL;
    if (!backward)
        return a;
    place_heads(gradient, packed, command->outputs, call->outputs, channels);
    a.dq = gradient[0], a.dk = gradient[1], a.dv = gradient[2];
    a.dy.data = command->inputs[0];
    return a;
}

/* ---- blocks ---- */

/* Into how many blocks of at most `most` a sequence is cut; more if there are few heads. */
INLINE int64_t count_blocks(const attention *a, int64_t length, int64_t most, int threads)
{
    const int64_t all = a->samples * a->heads, least_blocks = (length + most - 1) / most;
    const int64_t wanted = (2 * threads + all - 1) / (all < 1 ? 1 : all), shortest = 16;
    const int64_t possible = (length + shortest - 1) / shortest;
    return least_blocks > least(wanted, possible) ? least_blocks : least(wanted, possible);
}

/* Keys of a sample that are not masked by its length. */
INLINE int64_t visible_keys(const attention *a, int64_t head)
{
    if (a->lengths == NULL)
        return a->k.length;
    const int64_t length = a->lengths[head / a->heads];
    return length < 0 ? 0 : least(length, a->k.length);
}

/* Of the keys s, how many query t sees. */
INLINE int64_t columns_of(const attention *a, int64_t t, range s)
{
    const int64_t end = a->causal ? least(s.end, t + 1) : s.end;
    return end > s.begin ? end - s.begin : 0;
}

typedef struct operand {
    const float *data;
    int64_t pitch;
    bool transpose;
} operand;

/* c = a b, or c += a b, by one thread. */
static void multiply(float *c, int64_t c_pitch, operand a, operand b, int64_t m, int64_t n,
                     int64_t k, bool add, float *panels)
{
    gemm g = {.m = m, .n = n, .k = k, .c = c, .c_stride = c_pitch, .add = add};
    g.pack_a = a.transpose ? pack_columns : pack_rows;
    g.pack_b = b.transpose ? pack_rows : pack_columns;
    g.a = (pack_source){.data = a.data, .stride = a.pitch};
    g.b = (pack_source){.data = b.data, .stride = b.pitch};
    if (!a.transpose && a.pitch * 4 % PAGE_BYTES != 0) {
        g.point_a = point_at_rows;
        g.run = k;
    }
    gemm_work(&g, (grid){1, 1, 1}, 0, panels, 0, 0);
}

/* Floats of one thread: scores, one matrix of them forward and two backward, the greatest score and
 * sum of each query, packed panels. */
static int64_t attention_floats(const bur_call *call)
{
    const bool backward = (bur_op_get(call->op)->flags & BUR_OP_BACKWARD) != 0;
    const attention a = attention_of(call, NULL);
    const int64_t longest = a.width > KEYS ? a.width : KEYS;
    const grid one = {1, 1, 1};
    return (backward ? 2 : 1) * QUERIES * SCORE_PITCH + 2 * QUERIES + a_floats(one, KEYS, longest) +
           b_floats(one, longest, longest);
}

static size_t attention_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info;
    return 4 * (size_t)(threads * attention_floats(call));
}

/* ---- forward ---- */

/* x = exp(scale x - most), 0 behind the first `columns`, and their sum. */
INLINE float exponentiate(float *x, int64_t columns, int64_t all, float scale, float most)
{
    vec sum = {0};
    for (int64_t j = 0; j < all; j += LANES) {
        const int64_t n = columns - j < 0 ? 0 : least(LANES, columns - j);
        const vec e = fill_rest(exponential(load(x + j) * scale - most), n, 0);
        store(x + j, e);
        sum += e;
    }
    return sum_lanes(sum);
}

/* Scores of the queries t by the keys s become exponentials, less the greatest score so far. */
static void soften(const attention *a, float *scores, float *most, float *sum, float *y, range t,
                   range s)
{
    const int64_t all = s.end - s.begin;
    for (int64_t i = 0; i < t.end - t.begin; i++, scores += SCORE_PITCH) {
        const int64_t columns = columns_of(a, t.begin + i, s);
        float new_most = most[i];
        if (columns > 0) {
            const float here = row_max(scores, columns) * a->scale;
            new_most = here > new_most ? here : new_most;
        }
        const float fade = s.begin == 0 ? 0 : expf(most[i] - new_most);
        sum[i] = fade * sum[i] + exponentiate(scores, columns, all, a->scale, new_most);
        if (s.begin > 0 && fade != 1)
            row_scale(y + i * a->y.pitch, fade, a->width);
        most[i] = new_most;
    }
}

static void attend(const attention *a, int64_t head, range t, float *own)
{
    float *scores = own, *most = scores + QUERIES * SCORE_PITCH, *sum = most + QUERIES;
    float *panels = sum + QUERIES, *y = head_at(a, &a->y, head, t.begin);
    const int64_t rows = t.end - t.begin, visible = visible_keys(a, head);
    const int64_t keys = a->causal ? least(visible, t.end) : visible;
    const operand q = {head_at(a, &a->q, head, t.begin), a->q.pitch, false};
    for (int64_t i = 0; i < rows; i++) {
        most[i] = -INFINITY;
        sum[i] = 0;
    }
    for (int64_t b = 0, blocks = (keys + KEYS - 1) / KEYS; b < blocks; b++) {
        const range s = share(keys, 1, b, blocks);
        const operand k = {head_at(a, &a->k, head, s.begin), a->k.pitch, true};
        const operand v = {head_at(a, &a->v, head, s.begin), a->v.pitch, false};
        const operand p = {scores, SCORE_PITCH, false};
        multiply(scores, SCORE_PITCH, q, k, rows, s.end - s.begin, a->width, false, panels);
        soften(a, scores, most, sum, y, t, s);
        multiply(y, a->y.pitch, p, v, rows, a->width, s.end - s.begin, b > 0, panels);
    }
    float *log_sums = a->log_sums == NULL ? NULL : a->log_sums + head * a->q.length + t.begin;
    for (int64_t i = 0; i < rows; i++) {
        if (keys == 0)
            memset(y + i * a->y.pitch, 0, 4 * (size_t)a->width);
        else
            row_scale(y + i * a->y.pitch, 1 / sum[i], a->width);
        if (log_sums != NULL)
            log_sums[i] = keys == 0 ? 0 : most[i] + logf(sum[i]);
    }
}

static void attention_forward(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const attention a = attention_of(call, command);
    const int64_t blocks = count_blocks(&a, a.q.length, QUERIES, threads);
    float *own = (float *)command->scratch + thread * attention_floats(call);
    for (int64_t task = thread; task < a.samples * a.heads * blocks; task += threads)
        attend(&a, task / blocks, share(a.q.length, 1, task % blocks, blocks), own);
}

/* ---- gradient ---- */

/* Scores become p = exp(scale score - log sum), and dp, which is dy v^T, becomes
 * ds = scale p (dp - dy . y). */
INLINE void soften_gradient(const attention *a, float *p, float *ds, int64_t head, range t, range s)
{
    const int64_t all = s.end - s.begin;
    const float *dy = head_at(a, &a->dy, head, t.begin), *y = head_at(a, &a->y, head, t.begin);
    const float *log_sums = a->log_sums + head * a->q.length + t.begin;
    for (int64_t i = 0; i < t.end - t.begin; i++, p += SCORE_PITCH, ds += SCORE_PITCH) {
        const int64_t columns = columns_of(a, t.begin + i, s);
        vec products = {0};
        for (int64_t j = 0; j < a->width; j += LANES) {
            const int64_t n = least(LANES, a->width - j);
            products +=
                load_first(dy + i * a->dy.pitch + j, n) * load_first(y + i * a->y.pitch + j, n);
        }
        const float delta = sum_lanes(products);
        for (int64_t j = 0; j < all; j += LANES) {
            const int64_t n = columns - j < 0 ? 0 : least(LANES, columns - j);
            const vec e = fill_rest(exponential(load(p + j) * a->scale - log_sums[i]), n, 0);
            store(p + j, e);
            store(ds + j, fill_rest(e * (load(ds + j) - delta) * a->scale, n, 0));
        }
    }
}

/* Adds what the pairs of queries t and keys s give to dq, or to dk and dv, or to all. */
static void attend_gradient(const attention *a, int64_t head, range t, range s, bool want_q,
                            bool want_kv, float *own)
{
    float *scores = own, *products = scores + QUERIES * SCORE_PITCH;
    float *panels = products + QUERIES * SCORE_PITCH;
    const int64_t rows = t.end - t.begin, columns = s.end - s.begin, width = a->width;
    const operand q = {head_at(a, &a->q, head, t.begin), a->q.pitch, false};
    const operand dy = {head_at(a, &a->dy, head, t.begin), a->dy.pitch, false};
    const operand k = {head_at(a, &a->k, head, s.begin), a->k.pitch, false};
    const operand k_turned = {k.data, k.pitch, true};
    const operand v_turned = {head_at(a, &a->v, head, s.begin), a->v.pitch, true};
    const operand ds = {products, SCORE_PITCH, false}, ds_turned = {products, SCORE_PITCH, true};
    const operand p_turned = {scores, SCORE_PITCH, true};
    multiply(scores, SCORE_PITCH, q, k_turned, rows, columns, width, false, panels);
    multiply(products, SCORE_PITCH, dy, v_turned, rows, columns, width, false, panels);
    soften_gradient(a, scores, products, head, t, s);
    if (want_kv) {
        multiply(head_at(a, &a->dv, head, s.begin), a->dv.pitch, p_turned, dy, columns, width, rows,
                 true, panels);
        multiply(head_at(a, &a->dk, head, s.begin), a->dk.pitch, ds_turned, q, columns, width, rows,
                 true, panels);
    }
    if (want_q)
        multiply(head_at(a, &a->dq, head, t.begin), a->dq.pitch, ds, k, rows, width, columns, true,
                 panels);
}

static void clear_rows(const attention *a, const heads *x, int64_t head, range rows)
{
    for (int64_t i = rows.begin; i < rows.end; i++)
        memset(head_at(a, x, head, i), 0, 4 * (size_t)a->width);
}

/* All pairs of queries t and keys s, block by block. */
static void attend_gradients(const attention *a, int64_t head, range t, range s, bool want_q,
                             bool want_kv, float *own)
{
    if (want_q)
        clear_rows(a, &a->dq, head, t);
    if (want_kv) {
        clear_rows(a, &a->dk, head, s);
        clear_rows(a, &a->dv, head, s);
    }
    s.end = least(s.end, visible_keys(a, head));
    const int64_t t_blocks = (t.end - t.begin + QUERIES - 1) / QUERIES;
    const int64_t s_blocks = s.end <= s.begin ? 0 : (s.end - s.begin + KEYS - 1) / KEYS;
    for (int64_t i = 0; i < t_blocks; i++)
        for (int64_t j = 0; j < s_blocks; j++) {
            range rows = share(t.end - t.begin, 1, i, t_blocks);
            range columns = share(s.end - s.begin, 1, j, s_blocks);
            rows = (range){t.begin + rows.begin, t.begin + rows.end};
            columns = (range){s.begin + columns.begin, s.begin + columns.end};
            if (a->causal)
                columns.end = least(columns.end, rows.end);
            if (columns.begin < columns.end)
                attend_gradient(a, head, rows, columns, want_q, want_kv, own);
        }
}

/* Five products for each pair by heads, seven by blocks. */
INLINE bool goes_by_heads(const attention *a, int threads)
{
    const int64_t all = a->samples * a->heads, rounds = (all + threads - 1) / threads;
    return rounds * threads * 5 <= all * 7;
}

static void attention_backward(const bur_command *command, int thread, int threads)
{
    const bur_call *call = &command->kernel->call;
    const attention a = attention_of(call, command);
    const int64_t all = a.samples * a.heads;
    const range queries = {0, a.q.length}, keys = {0, a.k.length};
    float *own = (float *)command->scratch + thread * attention_floats(call);
    if (goes_by_heads(&a, threads)) {
        for (int64_t head = thread; head < all; head += threads)
            attend_gradients(&a, head, queries, keys, true, true, own);
        return;
    }
    const int64_t of_q = count_blocks(&a, a.q.length, QUERIES, threads);
    const int64_t of_k = count_blocks(&a, a.k.length, KEYS, threads);
    for (int64_t task = thread; task < all * (of_q + of_k); task += threads) {
        const int64_t head = task / (of_q + of_k), part = task % (of_q + of_k);
        if (part < of_q)
            attend_gradients(&a, head, share(a.q.length, 1, part, of_q), keys, true, false, own);
        else
            attend_gradients(&a, head, queries, share(a.k.length, 1, part - of_q, of_k), false,
                             true, own);
    }
}

#endif
