/* Pointwise operators: one work-item an element. x and y may be the same memory. */

#define MAP1(name, value)                                                                          \
    kernel void name(global const float *x, ulong x_at, global float *y, ulong y_at, int count,    \
                     float alpha)                                                                  \
    {                                                                                              \
        const int i = get_global_id(0);                                                            \
        if (i >= count)                                                                            \
            return;                                                                                \
        const float v = x[x_at + i];                                                               \
        y[y_at + i] = value;                                                                       \
    }

#define MAP2(name, value)                                                                          \
    kernel void name(global const float *a, ulong a_at, global const float *b, ulong b_at,         \
                     global float *y, ulong y_at, int count, float alpha)                          \
    {                                                                                              \
        const int i = get_global_id(0);                                                            \
        if (i >= count)                                                                            \
            return;                                                                                \
        const float u = a[a_at + i], v = b[b_at + i];                                              \
        y[y_at + i] = value;                                                                       \
    }

MAP1(map_relu, activate(v, ACT_RELU, alpha))
MAP1(map_leaky_relu, activate(v, ACT_LEAKY_RELU, alpha))
MAP1(map_tanh, activate(v, ACT_TANH, alpha))
MAP1(map_sigmoid, activate(v, ACT_SIGMOID, alpha))
/* u is dy, v is y */
MAP2(map_relu_grad, activate_grad(u, v, ACT_RELU, alpha))
MAP2(map_leaky_relu_grad, activate_grad(u, v, ACT_LEAKY_RELU, alpha))
MAP2(map_tanh_grad, activate_grad(u, v, ACT_TANH, alpha))
MAP2(map_sigmoid_grad, activate_grad(u, v, ACT_SIGMOID, alpha))

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

/* One work-item makes four elements of a sample from one draw; see burthen/op.h. */
kernel void dropout(global const float *x, ulong x_at, global const scalars *step, ulong step_at,
                    global float *y, ulong y_at, int samples, int elements, float rate, float scale,
                    int node)
{
    const int quads = (elements + 3) / 4;
    const int id = get_global_id(0), sample = id / quads, quad = id % quads;
    if (sample >= samples)
        return;
    global const scalars *s = (global const scalars *)((global const uint *)step + step_at);
    const uint4 word = philox((uint4)(quad, s->first_sample + sample, s->step[0], s->step[1]),
                              (uint2)(s->seed[0], s->seed[1] + node));
    const float4 uniform = convert_float4(word >> 8) * 0x1p-24f;
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
