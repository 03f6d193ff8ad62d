/* Before every program: activations, the random generator, sums over a work-group.
 *
 * A tensor is a buffer and an offset in elements. OpenCL C 1.2; no float atomics; barriers only
 * where every work-item of the group passes. */

#define ACT_LINEAR       0
#define ACT_RELU         1
#define ACT_LEAKY_RELU   2
#define ACT_TANH         3
#define ACT_SIGMOID      4
#define ACT_RELU6        5
#define ACT_ELU          6
#define ACT_SELU         7
#define ACT_HARD_SIGMOID 8
#define ACT_SILU         12

#define SELU_ALPHA 1.6732632423543772f
#define SELU_SCALE 1.0507009873554805f

/* Before loops over a tile, whose sums lie in registers only if nothing of the loop remains. */
#define UNROLL _Pragma("unroll")

/* Philox4x32-10. Source: Salmon, Moraes, Dror, Shaw, SC 2011. */
inline uint4 philox(uint4 c, uint2 k)
{
    for (int round = 0; round < 10; round++) {
        const uint high0 = mul_hi(0xD2511F53u, c.x), low0 = 0xD2511F53u * c.x;
        const uint high1 = mul_hi(0xCD9E8D57u, c.z), low1 = 0xCD9E8D57u * c.z;
        c = (uint4)(high1 ^ c.y ^ k.x, low1, high0 ^ c.w ^ k.y, low0);
        k += (uint2)(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

/* Sums and maxima over the GROUP work-items of a group: with one there is no local memory and no
 * barrier. */
#ifdef GROUP
#if GROUP == 1
#define group_sum(value, memory) (value)
#define group_max(value, memory) (value)
#define LOCAL_MEMORY(name)
#else
#define LOCAL_MEMORY(name) local float name[GROUP];

/* Halving tree over the group; every work-item gets the result. */
#define GROUP_REDUCE(name, combine)                                                                \
    inline float name(float value, local float *memory)                                            \
    {                                                                                              \
        const int lane = get_local_id(0);                                                          \
        barrier(CLK_LOCAL_MEM_FENCE);                                                              \
        memory[lane] = value;                                                                      \
        barrier(CLK_LOCAL_MEM_FENCE);                                                              \
        for (int half_size = GROUP / 2; half_size > 0; half_size /= 2) {                           \
            if (lane < half_size) {                                                                \
                const float a = memory[lane], b = memory[lane + half_size];                        \
                memory[lane] = combine;                                                            \
            }                                                                                      \
            barrier(CLK_LOCAL_MEM_FENCE);                                                          \
        }                                                                                          \
        return memory[0];                                                                          \
    }
GROUP_REDUCE(group_sum, a + b)
GROUP_REDUCE(group_max, fmax(a, b))
#endif
#endif

/* The step's scalars, as bur_scalars has them. */
typedef struct scalars {
    float learning_rate, inverse_weight_sum, correction1, correction2;
    uint seed[2], step[2];
    uint first_sample, reserved[7];
} scalars;

/* A box of elements with each operand's strides; see burthen/walk.h. */
typedef struct walk {
    int rank;
    int size[8], start[4], stride[4][8];
} walk;

/* Element i of the box, row-major: the element of operand `operand`. */
inline int walk_at(constant walk *w, int operand, int i)
{
    int at = w->start[operand];
    for (int d = w->rank - 1; d > 0; d--) {
        at += i % w->size[d] * w->stride[operand][d];
        i /= w->size[d];
    }
    return at + i * w->stride[operand][0];
}

/* Vectors of V floats along the last dimension; single ones if V is not defined. */
#ifndef V
#define V 1
#endif
#if V == 1
typedef float vec;
typedef int ivec;
#define load_all(p)       (*(p))
#define store_all(v, p)   (*(p) = (v))
#define load_bytes(p)     ((int)*(p))
#define store_bytes(v, p) (*(p) = (uchar)(v))
#else
#define JOIN_(a, b)       a##b
#define JOIN(a, b)        JOIN_(a, b)
typedef JOIN(float, V) vec;
typedef JOIN(int, V) ivec;
#define load_all(p)       JOIN(vload, V)(0, p)
#define store_all(v, p)   JOIN(vstore, V)(v, 0, p)
#define load_bytes(p)     JOIN(convert_int, V)(JOIN(vload, V)(0, p))
#define store_bytes(v, p) JOIN(vstore, V)(JOIN(convert_uchar, V)(v), 0, p)
#endif

/* The sum of the elements, by halves. */
inline float sum4(float4 v)
{
    const float2 two = v.lo + v.hi;
    return two.x + two.y;
}

inline float sum8(float8 v)
{
    return sum4(v.lo + v.hi);
}

inline float sum16(float16 v)
{
    return sum8(v.lo + v.hi);
}

#if V == 1
#define sum_vec(v) (v)
#else
#define sum_vec(v) JOIN(sum, V)(v)
#endif

/* The first `left` of V elements; the others are 0 and are not read. */
inline vec load_some(global const float *p, int left)
{
    float t[V];
    for (int i = 0; i < V; i++)
        t[i] = i < left ? p[i] : 0.0f;
    return load_all(t);
}

inline void store_some(vec v, global float *p, int left)
{
    float t[V];
    store_all(v, t);
    for (int i = 0; i < V; i++)
        if (i < left)
            p[i] = t[i];
}

inline vec load_upto(global const float *p, int left)
{
    return left >= V ? load_all(p) : load_some(p, left);
}

inline void store_upto(vec v, global float *p, int left)
{
    if (left >= V)
        store_all(v, p);
    else
        store_some(v, p, left);
}

/* x within bounds; NaN stays NaN. */
inline vec bounded(vec x, float from, float to)
{
    return x < from ? (vec)(from) : x > to ? (vec)(to) : x;
}

inline vec exponential_linear(vec x, float alpha)
{
    return x > 0.0f ? x : alpha * expm1(x);
}

/* y = act(x); `activation` is a constant where speed matters. */
inline vec activate(vec x, int activation, float alpha)
{
    switch (activation) {
    case ACT_RELU:
        return x < 0.0f ? (vec)(0.0f) : x; /* NaN stays NaN */
    case ACT_LEAKY_RELU:
        return x > 0.0f ? x : alpha * x;
    case ACT_TANH:
        return tanh(x);
    case ACT_SIGMOID:
        return 1.0f / (1.0f + exp(-x));
    case ACT_RELU6:
        return bounded(x, 0.0f, 6.0f);
    case ACT_ELU:
        return exponential_linear(x, alpha);
    case ACT_SELU:
        return SELU_SCALE * exponential_linear(x, SELU_ALPHA);
    case ACT_HARD_SIGMOID:
        return bounded(x / 6.0f + 0.5f, 0.0f, 1.0f);
    default:
        return x;
    }
}

/* dx = dy act'(x), from y = act(x). */
inline vec activate_grad(vec dy, vec y, int activation, float alpha)
{
    switch (activation) {
    case ACT_RELU:
        return y > 0.0f ? dy : (vec)(0.0f);
    case ACT_LEAKY_RELU:
        return y > 0.0f ? dy : alpha * dy;
    case ACT_TANH:
        return dy * (1.0f - y * y);
    case ACT_SIGMOID:
        return dy * y * (1.0f - y);
    case ACT_RELU6:
        return y > 0.0f && y < 6.0f ? dy : (vec)(0.0f);
    case ACT_ELU: /* alpha exp(x) = y + alpha */
        return y > 0.0f ? dy : dy * (y + alpha);
    case ACT_SELU:
        return dy * (y > 0.0f ? (vec)(SELU_SCALE) : y + SELU_SCALE * SELU_ALPHA);
    case ACT_HARD_SIGMOID:
        return y > 0.0f && y < 1.0f ? dy / 6.0f : (vec)(0.0f);
    default:
        return dy;
    }
}
