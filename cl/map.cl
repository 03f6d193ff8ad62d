/* Pointwise operators: one work-item an element. x and y may be the same memory. alpha and beta are
 * the row's attributes. */

#define MAP1(name, value)                                                                          \
    kernel void name(global const float *x, ulong x_at, global float *y, ulong y_at, int count,    \
                     float alpha, float beta)                                                      \
    {                                                                                              \
        const int i = get_global_id(0);                                                            \
        if (i >= count)                                                                            \
            return;                                                                                \
        const float v = x[x_at + i];                                                               \
        y[y_at + i] = value;                                                                       \
    }

#define MAP2(name, value)                                                                          \
    kernel void name(global const float *a, ulong a_at, global const float *b, ulong b_at,         \
                     global float *y, ulong y_at, int count, float alpha, float beta)              \
    {                                                                                              \
        const int i = get_global_id(0);                                                            \
        if (i >= count)                                                                            \
            return;                                                                                \
        const float u = a[a_at + i], v = b[b_at + i];                                              \
        y[y_at + i] = value;                                                                       \
    }

/* ---- activations whose slope takes x ---- */

/* (x s(z))' = s + x z' s (1 - s), s = 1 / (1 + exp(-z)), by e = exp(-|z|) so that nothing cancels
 * or overflows. */
inline float times_logistic_slope(float x, float z, float dz)
{
    const float e = exp(-fabs(z)), s = (z > 0.0f ? 1.0f : e) / (1.0f + e);
    return s + x * dz * e / ((1.0f + e) * (1.0f + e));
}

/* (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = s(z); z' where dz is wanted. */
inline float gelu_argument(float x)
{
    return 1.59576912160573071f * (x + 0.044715f * x * x * x);
}

inline float gelu_argument_slope(float x)
{
    return 1.59576912160573071f * (1.0f + 3.0f * 0.044715f * x * x);
}

inline float gelu_tanh_slope(float x)
{
    const float near = bounded(x, -14.0f, 14.0f); /* beyond, s is 0 or 1 */
    return times_logistic_slope(near, gelu_argument(near), gelu_argument_slope(near));
}

/* The standard normal distribution (1 + erf(x / sqrt 2)) / 2 = erfc(-x / sqrt 2) / 2, nothing
 * cancels where it is small, as the CPU has it (functions.h there): some drivers take a hundred
 * times as long for erfc. */
inline float normal_distribution(float x)
{
    const float t = 1.0f / (fabs(x) * 0.35f + 1.0f);
    float p = t * -2.914589532e-2f + 1.439715348e-1f;
    p = p * t - 2.557139338e-1f;
    p = p * t + 1.591738145e-1f;
    p = p * t - 2.310961241e-2f;
    p = p * t + 1.055079168e-1f;
    p = p * t + 1.198328879e-1f;
    p = p * t + 1.398618671e-1f;
    p = p * t + 1.396214044e-1f;
    const float tail = p * t * exp(-0.5f * x * x);
    return x > 0.0f ? 1.0f - tail : tail;
}

inline float gelu_slope(float x)
{
    const float near = bounded(x, -14.0f, 14.0f);
    return normal_distribution(near) + near * 0.39894228040143268f * exp(-0.5f * near * near);
}

inline float hard_swish_slope(float x)
{
    return x <= -3.0f ? 0.0f : x >= 3.0f ? 1.0f : x / 3.0f + 0.5f;
}

/* tanh(log(1 + e)) = n / (n + 2) with e = exp(x), n = e (e + 2); 1 beyond x = 20. */
inline float mish(float x)
{
    const float e = exp(bounded(x, -INFINITY, 20.0f)), n = e * (e + 2.0f);
    return x * (n / (n + 2.0f));
}

inline float mish_slope(float x)
{
    const float near = bounded(x, -88.0f, 20.0f);
    const float e = exp(near), n = e * (e + 2.0f);
    return (n + near * 4.0f * e * (e + 1.0f) / (n + 2.0f)) / (n + 2.0f);
}

MAP1(map_relu, activate(v, ACT_RELU, alpha))
MAP1(map_leaky_relu, activate(v, ACT_LEAKY_RELU, alpha))
MAP1(map_tanh, activate(v, ACT_TANH, alpha))
MAP1(map_sigmoid, activate(v, ACT_SIGMOID, alpha))
MAP1(map_relu6, activate(v, ACT_RELU6, alpha))
MAP1(map_elu, activate(v, ACT_ELU, alpha))
MAP1(map_selu, activate(v, ACT_SELU, alpha))
MAP1(map_hard_sigmoid, activate(v, ACT_HARD_SIGMOID, alpha))
MAP1(map_softplus, fmax(v, 0.0f) + log1p(exp(-fabs(v))))
MAP1(map_silu, v / (1.0f + exp(-v)))
MAP1(map_gelu, v *normal_distribution(v))
MAP1(map_gelu_tanh, v / (1.0f + exp(-gelu_argument(v))))
MAP1(map_hard_swish, v *activate(v, ACT_HARD_SIGMOID, alpha))
MAP1(map_mish, mish(v))
MAP1(map_neg, -v)
MAP1(map_exp, exp(v))
MAP1(map_log, log(v))
MAP1(map_sqrt, sqrt(v))
MAP1(map_square, v *v)
MAP1(map_abs, fabs(v))
MAP1(map_pow, pow(v, alpha))
MAP1(map_affine, v *alpha + beta)
/* u is dy, v is y or x */
MAP2(map_relu_grad, activate_grad(u, v, ACT_RELU, alpha))
MAP2(map_leaky_relu_grad, activate_grad(u, v, ACT_LEAKY_RELU, alpha))
MAP2(map_tanh_grad, activate_grad(u, v, ACT_TANH, alpha))
MAP2(map_sigmoid_grad, activate_grad(u, v, ACT_SIGMOID, alpha))
MAP2(map_relu6_grad, activate_grad(u, v, ACT_RELU6, alpha))
MAP2(map_elu_grad, activate_grad(u, v, ACT_ELU, alpha))
MAP2(map_selu_grad, activate_grad(u, v, ACT_SELU, alpha))
MAP2(map_hard_sigmoid_grad, activate_grad(u, v, ACT_HARD_SIGMOID, alpha))
MAP2(map_softplus_grad, u / (1.0f + exp(-v)))
MAP2(map_silu_grad, u *times_logistic_slope(bounded(v, -88.0f, 88.0f), v, 1.0f))
MAP2(map_gelu_grad, u *gelu_slope(v))
MAP2(map_gelu_tanh_grad, u *gelu_tanh_slope(v))
MAP2(map_hard_swish_grad, u *hard_swish_slope(v))
MAP2(map_mish_grad, u *mish_slope(v))
MAP2(map_sqrt_grad, 0.5f * u / v)
MAP2(map_square_grad, 2.0f * u * v)
MAP2(map_abs_grad, v == 0.0f ? 0.0f : v < 0.0f ? -u : u)
MAP2(map_pow_grad, alpha == 0.0f ? 0.0f : u * alpha * pow(v, alpha - 1.0f))

/* y[r,c] = act(x[r,c] + bias[c]); x and y may be the same memory. */
kernel void bias_act(global const float *x, ulong x_at, global const float *bias, ulong bias_at,
                     global float *y, ulong y_at, int count, int columns, int activation,
                     float alpha)
{
    const int i = get_global_id(0);
    if (i >= count)
        return;
    y[y_at + i] = activate(x[x_at + i] + bias[bias_at + i % columns], activation, alpha);
}

/* One work-item makes four elements of a sample from one draw, per_sample all four by the sample's
 * first number; see burthen/op.h. */
kernel void dropout(global const float *x, ulong x_at, global const scalars *step, ulong step_at,
                    global float *y, ulong y_at, int samples, int elements, float rate, float scale,
                    int node, int per_sample)
{
    const int quads = (elements + 3) / 4;
    const int id = get_global_id(0), sample = id / quads, quad = id % quads;
    if (sample >= samples)
        return;
    global const scalars *s = (global const scalars *)((global const uint *)step + step_at);
    const uint4 word =
        philox((uint4)(per_sample ? 0 : quad, s->first_sample + sample, s->step[0], s->step[1]),
               (uint2)(s->seed[0], s->seed[1] + node));
    const float4 uniform = convert_float4((per_sample ? word.xxxx : word) >> 8) * 0x1p-24f;
    const ulong at = (ulong)sample * elements + 4 * quad;
    const int left = elements - 4 * quad;
    float v[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int j = 0; j < 4 && j < left; j++)
        v[j] = x[x_at + at + j] * scale;
    const float4 kept = select((float4)(0.0f), vload4(0, v), uniform >= rate);
    vstore4(kept, 0, v);
    for (int j = 0; j < 4 && j < left; j++)
        y[y_at + at + j] = v[j];
}
