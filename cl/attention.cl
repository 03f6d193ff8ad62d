/* Attention: a work-item a query, or for dk and dv a key, of one head; no sum is shared. Constants:
 * V, WIDTH (channels of a head), CAUSAL, LENGTHS if there are any, LOG_SUMS if they are wanted.
 * Rows of q and of k and v lie q_pitch and k_pitch elements apart, those of y as one behind the
 * other. */

#define VECTORS ((WIDTH + V - 1) / V)
#define TILE    8 /* keys between two looks at the greatest score */

#if WIDTH % V == 0
#define load_part(p, i)     load_all((p) + (i)*V)
#define store_part(v, p, i) store_all(v, (p) + (i)*V)
#else
#define load_part(p, i)     load_upto((p) + (i)*V, WIDTH - (i)*V)
#define store_part(v, p, i) store_upto(v, (p) + (i)*V, WIDTH - (i)*V)
#endif

inline void load_head(vec *x, global const float *p)
{
    UNROLL for (int i = 0; i < VECTORS; i++) x[i] = load_part(p, i);
}

inline void clear_head(vec *x)
{
    UNROLL for (int i = 0; i < VECTORS; i++) x[i] = (vec)(0.0f);
}

inline void store_head(global float *p, const vec *x, float factor)
{
    UNROLL for (int i = 0; i < VECTORS; i++) store_part(x[i] * factor, p, i);
}

/* x += factor y */
inline void add_head(vec *x, float factor, global const float *y)
{
    UNROLL for (int i = 0; i < VECTORS; i++) x[i] = fma((vec)(factor), load_part(y, i), x[i]);
}

inline float dot_head(const vec *x, global const float *y)
{
    vec products = x[0] * load_part(y, 0);
    UNROLL for (int i = 1; i < VECTORS; i++) products = fma(x[i], load_part(y, i), products);
    return sum_vec(products);
}

/* Item `i` of a head: its sample, head and place in the sequence. */
typedef struct place {
    int sample, head, at;
} place;

inline place place_of(int i, int heads, int length)
{
    const place p = {i / length / heads, i / length % heads, i % length};
    return p;
}

inline ulong row_of(place p, int at, int length, int pitch)
{
    return ((ulong)p.sample * length + at) * pitch + p.head * WIDTH;
}

#ifdef LENGTHS
#define LENGTHS_ARGUMENT global const int *lengths, ulong lengths_at,
#define visible_keys(p)  clamp(lengths[lengths_at + (p).sample], 0, keys)
#else
#define LENGTHS_ARGUMENT
#define visible_keys(p) keys
#endif

#define SIZES                                                                                      \
    LENGTHS_ARGUMENT int count, int heads, int queries, int keys, int q_pitch, int k_pitch,        \
        float scale

/* y = sum of p v over the keys, p = exp(score - greatest) / their sum, in one pass: what was summed
 * fades when a greater score comes (Milakov and Gimelshein 2018). */
kernel void attention(global const float *q, ulong q_at, global const float *k, ulong k_at,
                      global const float *v, ulong v_at, global float *y, ulong y_at,
#ifdef LOG_SUMS
                      global float *log_sums, ulong log_sums_at,
#endif
                      SIZES)
{
    const int item = get_global_id(0);
    if (item >= count)
        return;
    const place p = place_of(item, heads, queries);
    const int visible = visible_keys(p), seen = CAUSAL ? min(visible, p.at + 1) : visible;
    vec query[VECTORS], out[VECTORS];
    load_head(query, q + q_at + row_of(p, p.at, queries, q_pitch));
    clear_head(out);
    k += k_at + row_of(p, 0, keys, k_pitch);
    v += v_at + row_of(p, 0, keys, k_pitch);
    float most = -INFINITY, sum = 0.0f;
    for (int first = 0; first < seen; first += TILE) {
        float score[TILE], here = most;
        UNROLL for (int j = 0; j < TILE; j++)
        {
            const int s = min(first + j, seen - 1);
            score[j] =
                first + j < seen ? scale * dot_head(query, k + (ulong)s * k_pitch) : -INFINITY;
            here = fmax(here, score[j]);
        }
        const float fade = exp(most - here);
        most = here;
        sum *= fade;
        UNROLL for (int i = 0; i < VECTORS; i++) out[i] *= fade;
        for (int j = 0; j < TILE && first + j < seen; j++) {
            const float e = exp(score[j] - most);
            sum += e;
            add_head(out, e, v + (ulong)(first + j) * k_pitch);
        }
    }
    store_head(y + y_at + row_of(p, p.at, queries, heads * WIDTH), out,
               seen > 0 ? 1.0f / sum : 0.0f);
#ifdef LOG_SUMS
    log_sums[log_sums_at + item] = seen > 0 ? most + log(sum) : 0.0f;
#endif
}

/* dq = sum over keys of ds k, ds = scale p (dy . v - dy . y); dy . y is kept for dk and dv. */
kernel void attention_grad_q(global const float *dy, ulong dy_at, global const float *y, ulong y_at,
                             global const float *log_sums, ulong log_sums_at, global const float *q,
                             ulong q_at, global const float *k, ulong k_at, global const float *v,
                             ulong v_at, global float *dq, ulong dq_at, global float *deltas,
                             ulong deltas_at, SIZES)
{
    const int item = get_global_id(0);
    if (item >= count)
        return;
    const place p = place_of(item, heads, queries);
    const int visible = visible_keys(p), seen = CAUSAL ? min(visible, p.at + 1) : visible;
    const ulong in_y = row_of(p, p.at, queries, heads * WIDTH);
    const float log_sum = log_sums[log_sums_at + item];
    vec query[VECTORS], slope[VECTORS], sum[VECTORS];
    load_head(query, q + q_at + row_of(p, p.at, queries, q_pitch));
    load_head(slope, dy + dy_at + in_y);
    clear_head(sum);
    const float delta = dot_head(slope, y + y_at + in_y);
    deltas[deltas_at + item] = delta;
    k += k_at + row_of(p, 0, keys, k_pitch);
    v += v_at + row_of(p, 0, keys, k_pitch);
    for (int s = 0; s < seen; s++, k += k_pitch, v += k_pitch) {
        const float e = exp(scale * dot_head(query, k) - log_sum);
        add_head(sum, scale * e * (dot_head(slope, v) - delta), k);
    }
    store_head(dq + dq_at + row_of(p, p.at, queries, q_pitch), sum, 1.0f);
}

/* dv = sum over queries of p dy, dk of ds q; a masked key has neither. */
kernel void attention_grad_kv(global const float *dy, ulong dy_at, global const float *log_sums,
                              ulong log_sums_at, global const float *deltas, ulong deltas_at,
                              global const float *q, ulong q_at, global const float *k, ulong k_at,
                              global const float *v, ulong v_at, global float *dk, ulong dk_at,
                              global float *dv, ulong dv_at, SIZES)
{
    const int item = get_global_id(0);
    if (item >= count)
        return;
    const place p = place_of(item, heads, keys);
    const int first = p.at >= visible_keys(p) ? queries : CAUSAL ? p.at : 0;
    const ulong row = row_of(p, p.at, keys, k_pitch);
    vec key[VECTORS], value[VECTORS], of_key[VECTORS], of_value[VECTORS];
    load_head(key, k + k_at + row);
    load_head(value, v + v_at + row);
    clear_head(of_key);
    clear_head(of_value);
    const ulong head = (ulong)(p.sample * heads + p.head) * queries;
    dy += dy_at + row_of(p, 0, queries, heads * WIDTH);
    q += q_at + row_of(p, 0, queries, q_pitch);
    for (int t = first; t < queries; t++) {
        global const float *query = q + (ulong)t * q_pitch, *slope = dy + (ulong)t * heads * WIDTH;
        const float e = exp(scale * dot_head(key, query) - log_sums[log_sums_at + head + t]);
        const float ds = scale * e * (dot_head(value, slope) - deltas[deltas_at + head + t]);
        add_head(of_value, e, slope);
        add_head(of_key, ds, query);
    }
    store_head(dk + dk_at + row, of_key, 1.0f);
    store_head(dv + dv_at + row, of_value, 1.0f);
}
