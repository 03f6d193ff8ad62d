/* Attention. */
#include "rows.h"

#include <math.h>

/* q, k and v lie in rows of `pitch` elements, those of y in rows of `heads` times `width`. */
typedef struct sizes {
    int64_t samples, queries, keys, heads, width, q_pitch, k_pitch;
    double scale;
} sizes;

static sizes sizes_of(const bur_call *call, int32_t from, bool packed)
{
    const int64_t *q = call->inputs[from].shape.dim;
    const int64_t *k = call->inputs[packed ? from : from + 1].shape.dim;
    const int64_t heads = call->attr->attention.heads == 0 ? 1 : call->attr->attention.heads;
    sizes v = {q[0], q[1], k[1], heads, q[2] / heads / (packed ? 3 : 1), q[2], k[2], 0};
    v.scale = call->attr->attention.scale > 0 ? (double)call->attr->attention.scale
                                              : 1 / sqrt((double)v.width);
    return v;
}

/* Keys that query t of sample n sees. */
static int64_t keys_of(const bur_call *call, const sizes *v, const double *lengths, int64_t n,
                       int64_t t)
{
    int64_t keys = v->keys;
    if (lengths != NULL && lengths[n] < (double)keys)
        keys = lengths[n] < 0 ? 0 : (int64_t)lengths[n];
    return call->attr->attention.causal != 0 && t + 1 < keys ? t + 1 : keys;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void forward(const bur_call *call, const double *q, const double *k, const double *v,
                    const double *lengths, const sizes *s, double *const *y)
{
    for (int64_t i = 0; i < s->samples * s->heads * s->queries; i++) {
        const int64_t t = i % s->queries, h = i / s->queries % s->heads,
                      n = i / s->queries / s->heads;
        const int64_t keys = keys_of(call, s, lengths, n, t), at = h * s->width;
        const double *query = q + (n * s->queries + t) * s->q_pitch + at;
        const double *key = k + n * s->keys * s->k_pitch + at;
        const double *value = v + n * s->keys * s->k_pitch + at;
        double *out = y[0] + ((n * s->queries + t) * s->heads + h) * s->width;
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < s->width; j++)
            out[j] = 0;
        for (int64_t u = 0; u < keys; u++)
            most = fmax(most, s->scale * dot(query, key + u * s->k_pitch, s->width));
        for (int64_t u = 0; u < keys; u++)
            sum += exp(s->scale * dot(query, key + u * s->k_pitch, s->width) - most);
        for (int64_t u = 0; u < keys; u++) {
            const double p =
                exp(s->scale * dot(query, key + u * s->k_pitch, s->width) - most) / sum;
            for (int64_t j = 0; j < s->width; j++)
                out[j] += p * value[u * s->k_pitch + j];
        }
        if (call->n_outputs > 1)
            y[1][i] = keys == 0 ? 0 : most + log(sum);
    }
}

void ref_attention(const bur_call *call, double *const *x, double *const *y)
{
    const sizes s = sizes_of(call, 0, false);
    forward(call, x[0], x[1], x[2], call->n_inputs > 3 ? x[3] : NULL, &s, y);
}

void ref_self_attention(const bur_call *call, double *const *x, double *const *y)
{
    const sizes s = sizes_of(call, 0, true);
    const int64_t channels = s.heads * s.width;
    forward(call, x[0], x[0] + channels, x[0] + 2 * channels, call->n_inputs > 1 ? x[1] : NULL, &s,
            y);
}

/* p = exp(s - log sum), dv = p^T dy, ds = p (dy v^T - dy . y), dq = scale ds k, dk = scale ds^T q;
 * x: dy, y, log sums; d: dq, dk, dv, all zero, in rows like q, k and v. */
static void backward(const bur_call *call, double *const *x, const double *const *qkv,
                     const double *lengths, const sizes *s, double *const *d)
{
    for (int64_t i = 0; i < s->samples * s->heads * s->queries; i++) {
        const int64_t t = i % s->queries, h = i / s->queries % s->heads,
                      n = i / s->queries / s->heads;
        const int64_t keys = keys_of(call, s, lengths, n, t), at = h * s->width;
        const int64_t row = (n * s->queries + t) * s->q_pitch + at;
        const int64_t in_y = ((n * s->queries + t) * s->heads + h) * s->width;
        const double delta = dot(x[0] + in_y, x[1] + in_y, s->width);
        for (int64_t u = 0; u < keys; u++) {
            const int64_t line = (n * s->keys + u) * s->k_pitch + at;
            const double p = exp(s->scale * dot(qkv[0] + row, qkv[1] + line, s->width) - x[2][i]);
            const double ds = s->scale * p * (dot(x[0] + in_y, qkv[2] + line, s->width) - delta);
            for (int64_t j = 0; j < s->width; j++) {
                d[0][row + j] += ds * qkv[1][line + j];
                d[1][line + j] += ds * qkv[0][row + j];
                d[2][line + j] += p * x[0][in_y + j];
            }
        }
    }
}

static void clear(const bur_call *call, double *const *y)
{
    for (int32_t i = 0; i < call->n_outputs; i++)
        for (int64_t j = 0; j < ref_count(&call->outputs[i]); j++)
            y[i][j] = 0;
}

void ref_attention_grad(const bur_call *call, double *const *x, double *const *y)
{
    const sizes s = sizes_of(call, 3, false);
    clear(call, y);
    backward(call, x, (const double *[]){x[3], x[4], x[5]}, call->n_inputs > 6 ? x[6] : NULL, &s,
             y);
}

void ref_self_attention_grad(const bur_call *call, double *const *x, double *const *y)
{
    const sizes s = sizes_of(call, 3, true);
    const int64_t channels = s.heads * s.width;
    clear(call, y);
    backward(call, x, (const double *[]){x[3], x[3] + channels, x[3] + 2 * channels},
             call->n_inputs > 4 ? x[4] : NULL, &s,
             (double *[]){y[0], y[0] + channels, y[0] + 2 * channels});
}
