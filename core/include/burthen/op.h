/**
 * burthen/op.h: the operators, their attributes and what is known of each without running it.
 *
 * ops.def holds one row per operator; everything here is made from it.
 */
#ifndef BURTHEN_OP_H
#define BURTHEN_OP_H

#include <burthen/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BUR_MANY 65535 /* no limit on the number of inputs */

typedef enum bur_op {
#define BUR_OP_ROW(name, ...) BUR_OP_##name,
#include "ops.def"
#undef BUR_OP_ROW
    BUR_OP_COUNT
} bur_op;

/** Activations as layer option and, those before softmax, as attribute of fused operators: their
 * derivative is a function of y. Definitions are PyTorch's, names Keras'. Keras 3 defines the same;
 * hard_sigmoid of Keras 2 and of ONNX has the slope 0.2.
 * Sources: Krizhevsky 2010 (relu6), Clevert et al. 2016 (elu), Klambauer et al. 2017 (selu), Howard
 * et al. 2019 (hard_sigmoid, hard_swish), Elfwing et al. 2018 (silu), Hendrycks and Gimpel 2016
 * (both gelu), Misra 2019 (mish). */
#define BUR_ACTIVATION_MAP(X)                                                                      \
    X(LINEAR, "linear")         /* y = x */                                                        \
    X(RELU, "relu")             /* y = max(x, 0) */                                                \
    X(LEAKY_RELU, "leaky_relu") /* y = x > 0 ? x : alpha x */                                      \
    X(TANH, "tanh")                                                                                \
    X(SIGMOID, "sigmoid")           /* y = 1 / (1 + exp(-x)) */                                    \
    X(RELU6, "relu6")               /* y = min(max(x, 0), 6) */                                    \
    X(ELU, "elu")                   /* y = x > 0 ? x : alpha (exp(x) - 1) */                       \
    X(SELU, "selu")                 /* y = scale elu(x), alpha = BUR_SELU_ALPHA */                 \
    X(HARD_SIGMOID, "hard_sigmoid") /* y = relu6(x + 3) / 6 */                                     \
    X(SOFTMAX, "softmax")           /* of rows, like log_softmax */                                \
    X(LOG_SOFTMAX, "log_softmax")   /* y = x - log(sum exp(x)) */                                  \
    X(SOFTPLUS, "softplus")         /* y = log(1 + exp(x)) */                                      \
    X(SILU, "silu")                 /* y = x sigmoid(x) */                                         \
    X(GELU, "gelu")                 /* y = x (1 + erf(x / sqrt(2))) / 2 */                         \
    X(GELU_TANH, "gelu_tanh")       /* y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */    \
    X(HARD_SWISH, "hard_swish")     /* y = x hard_sigmoid(x); hard_silu */                         \
    X(MISH, "mish")                 /* y = x tanh(softplus(x)) */

typedef enum bur_activation {
#define BUR_ACTIVATION_ENUM(name, text) BUR_##name,
    BUR_ACTIVATION_MAP(BUR_ACTIVATION_ENUM)
#undef BUR_ACTIVATION_ENUM
        BUR_ACTIVATION_COUNT
} bur_activation;

#define BUR_SELU_ALPHA 1.6732632423543772f
#define BUR_SELU_SCALE 1.0507009873554805f

BUR_API const char *bur_activation_name(bur_activation activation);
/** By name, Keras' other names included (swish, hard_silu); BUR_E_NAME. */
BUR_API bur_status bur_activation_find(bur_activation *out, const char *name);

/* Attribute structs: 32-bit fields only (they are hashed and compared as memory); zero means the
 * default given here. */
typedef struct bur_none_attr {
    int32_t unused;
} bur_none_attr;

typedef struct bur_activation_attr {
    int32_t activation; /* bur_activation, for fused rows */
    float alpha;        /* leaky_relu's slope for x < 0; elu's limit is -alpha; not negative */
} bur_activation_attr;

/** y = a b; a is [m,k], or [k,m] if transpose_a; b is [k,n], or [n,k] if transpose_b.
 * Fused: y = act(a b + bias). batch_matmul: the same for every matrix of the leading dimensions,
 * which are broadcast. */
typedef struct bur_matmul_attr {
    int32_t transpose_a, transpose_b;
    int32_t activation;
    float alpha;
} bur_matmul_attr;

/** y[n,oy,ox,o] = sum x[n, oy sy + ky dy - top, ox sx + kx dx - left, c] w[ky,kx,c,o]. */
typedef struct bur_conv2d_attr {
    int32_t stride[2];   /* y, x; default 1 */
    int32_t pad[4];      /* top, bottom, left, right */
    int32_t dilation[2]; /* default 1 */
    int32_t groups;      /* default 1 */
    int32_t activation;
    float alpha;
    int32_t input_size[2];  /* conv2d_grad_x: ih, iw (the stride leaves them open) */
    int32_t kernel_size[2]; /* conv2d_grad_w: kh, kw */
} bur_conv2d_attr;

/** The greatest or the mean of each window; padding is never the greatest. */
typedef struct bur_pool2d_attr {
    int32_t window[2];         /* y, x; max_pool2d: window[0] * window[1] <= 256 */
    int32_t stride[2];         /* default: the window */
    int32_t pad[4];            /* top, bottom, left, right; each less than the window */
    int32_t input_size[2];     /* gradients: ih, iw */
    int32_t count_include_pad; /* avg_pool2d: divide by the window's size (PyTorch), not by how much
                                  of it lies in the image (Keras) */
} bur_pool2d_attr;

/** layer_norm, group_norm: y = (x - mean) / sqrt(var + epsilon) scale + shift, with mean and biased
 * variance over the last dimension, or over the positions and the channels of one group of a sample
 * (Ba et al. 2016; Wu and He 2018). rms_norm: y = x / sqrt(mean of x^2 + epsilon) scale (Zhang and
 * Sennrich 2019). batch_norm: over all positions of all samples, for each channel (Ioffe and
 * Szegedy 2015); running_stats: running += momentum (batch's - running). */
typedef struct bur_norm_attr {
    float epsilon;    /* 0: 1e-5, PyTorch's */
    int32_t groups;   /* group_norm: divides the channels; 0: 1 */
    float momentum;   /* running_stats: the batch's share, 1 - Keras' momentum; 0: 0.1, PyTorch's */
    int32_t unbiased; /* running_stats: the running variance is of rows - 1 (PyTorch) */
    int32_t rows;     /* running_stats: elements per channel in the batch */
    int32_t frozen;   /* batch_norm_infer in a recipe: with the running statistics, which stay as
                         they are, in training too */
    int32_t activation; /* rows with activation: linear, relu, relu6 or silu */
} bur_norm_attr;

typedef struct bur_dropout_attr {
    float rate;         /* 0 <= rate < 1 */
    int32_t node;       /* the recipe's node id: part of the random key */
    int32_t per_sample; /* 1: a sample's elements stay or go together, by the number of its first:
                           stochastic depth (Huang et al. 2016), torchvision's mode "row" */
} bur_dropout_attr;

/** shape[0..rank) of the result: 0 copies the input's dimension, at most one -1 takes what is left.
 * broadcast_to: all of the result's dimensions, to which the input's are aligned at the end. */
typedef struct bur_reshape_attr {
    int32_t rank;
    int32_t shape[BUR_MAX_RANK];
} bur_reshape_attr;

/** Losses of classes, of logits (softmax_cross_entropy) or probabilities (cross_entropy): the
 * target is a label, or a distribution over the classes (one-hot, soft); input 3 are weights of the
 * classes, w. With t the label's one-hot or the distribution, K classes and
 * u[c] = t[c] (1 - smoothing) + smoothing / K, a sample's loss is -sum_c w[c] u[c] log p[c], as
 * PyTorch has it. Its weight in BUR_RESULT_COUNT and BUR_RESULT_METRIC is w[label], 1 for a
 * distribution, so that loss sum / count is PyTorch's mean; inverse_weight_sum is the caller's. A
 * sample with the ignored label has no loss, gradient and weight.
 *
 * Losses of values, x against target t, e = x - t; a sample's loss is the mean over its elements:
 * mse: e^2; mae: |e|; huber: |e| <= delta ? e^2 / 2 : delta (|e| - delta / 2) (as PyTorch has it);
 * binary_cross_entropy, of logits x and 0 <= t <= 1: max(x, 0) - x t + log(1 + exp(-|x|)), which is
 * -t log p - (1 - t) log(1 - p) with p = sigmoid(x), without overflow; its gradient is p - t. */
typedef struct bur_loss_attr {
    float delta;     /* huber; default 1 */
    float smoothing; /* 0 <= smoothing < 1 */
    int32_t ignores; /* whether there is an ignored label */
    int32_t ignored;
} bur_loss_attr;

/** affine: y = scale x + shift; zeros are zeros here. pow: y = x^exponent, as C's pow (x < 0 only
 * with a whole exponent); its gradient is 0 where the exponent is 0. */
typedef struct bur_affine_attr {
    float scale, shift;
} bur_affine_attr;

typedef struct bur_pow_attr {
    float exponent;
} bur_pow_attr;

/** Which dimensions are reduced: bit d of `axes` is dimension d, 0 stands for all; the result has
 * no such dimensions, or with keep_dims ones of size 1. With rank > 0 instead to the shape
 * shape[0..rank), the reverse of broadcasting from it (reduce_sum); reduce_max_grad: the shape of x
 * that the axes belong to.
 * reduce_max: NaN counts as greatest, as PyTorch has it; the second output is the position of the
 * first maximum among the reduced elements, row-major; all of the gradient goes there. */
typedef struct bur_reduce_attr {
    int32_t axes, keep_dims;
    int32_t rank;
    int32_t shape[BUR_MAX_RANK];
} bur_reduce_attr;

/** Dimension i of the result is dimension perm[i] of x; without a list all are reversed. */
typedef struct bur_transpose_attr {
    int32_t rank;
    int32_t perm[BUR_MAX_RANK];
} bur_transpose_attr;

/** Elements begin <= i < end of every dimension. Negative ones count from the end; an end of 0 is
 * the end. Splitting is several slices. */
typedef struct bur_slice_attr {
    int32_t begin[BUR_MAX_RANK], end[BUR_MAX_RANK];
} bur_slice_attr;

/** So many elements of `value` before and after each dimension, of which there are at most 7. */
#define BUR_PAD_RANK (BUR_MAX_RANK - 1)
typedef struct bur_pad_attr {
    int32_t before[BUR_PAD_RANK], after[BUR_PAD_RANK];
    float value;
} bur_pad_attr;

typedef struct bur_concat_attr {
    int32_t axis; /* negative counts from the end */
} bur_concat_attr;

/** Images to another size, with half-pixel centres: place o of the result lies at
 * (o + 1/2) in / out - 1/2 of the input, at least 0. nearest takes the pixel around it (PyTorch's
 * nearest-exact), bilinear weighs the two beside it (PyTorch's align_corners=False). */
enum { BUR_NEAREST, BUR_BILINEAR };
typedef struct bur_resize_attr {
    int32_t size[2]; /* y, x of the result */
    int32_t mode;
    int32_t input_size[2]; /* resize_grad: y, x of the forward input */
} bur_resize_attr;

/** where(mask, a[, b]): a where mask is not 0, else b, or 0 without b; the other way round with
 * `invert`. */
typedef struct bur_where_attr {
    int32_t invert;
} bur_where_attr;

/** To f32, i32 or u8. Fractions are cut off; what does not fit becomes the nearest value, NaN 0. */
typedef struct bur_cast_attr {
    int32_t dtype; /* bur_dtype */
} bur_cast_attr;

/** embedding: y[i...] = table[ids[i...]]; an id outside of the table gives zeros and no gradient.
 */
typedef struct bur_embedding_attr {
    int32_t rows; /* embedding_grad: of the table */
} bur_embedding_attr;

/** Scaled dot-product attention of q [N, T, heads * D], k and v [N, S, heads * D], in each head h
 * y[n, t] = sum_s p[t, s] v[n, s], p[t] = softmax over s of scale q[n, t] . k[n, s] (Vaswani et al.
 * 2017). self_attention takes q, k and v side by side in one x [N, T, 3 * heads * D]. Optional
 * lengths i32 [N]: keys from there on are masked, for causal also those behind the query, s > t.
 * The second output is log sum_s exp(scale q . k), [N, heads, T], by which the gradient finds p
 * again: memory is linear in the length (Rabe and Staats 2021; Dao et al. 2022). A query without a
 * key has y = 0 and 0 for the logarithm. */
typedef struct bur_attention_attr {
    int32_t heads; /* 0: 1 */
    int32_t causal;
    float scale; /* 0: 1 / sqrt(D) */
} bur_attention_attr;

/** Recurrent networks walked over whole sequences, with H units. x [N, T, G H] is the input's part
 * of every gate, u [H, G H] the recurrent weights; then, each of them or not, a bias [G H] of
 * s[t] = h[t-1] u + bias, and lengths i32 [N]. h[-1] and c[-1] are 0, * is element by element:
 *     simple_rnn: h = act(x + s)                                                        G = 1
 *     lstm: i, f, g, o = sigmoid(x0 + s0), sigmoid(x1 + s1), tanh(x2 + s2), sigmoid(x3 + s3);
 *           c = f * c[t-1] + i * g; h = o * tanh(c)                                     G = 4
 *     gru:  z, r = sigmoid(x0 + s0), sigmoid(x1 + s1); n = tanh(x2 + r * s2);
 *           h = (1 - z) * n + z * h[t-1]                                                G = 3
 * The orders are Keras' (i f c o; z r h), PyTorch's for lstm; gru is Keras' reset_after and
 * PyTorch's. Steps at or past a sample's length keep its state and give y = 0, as PyTorch's packed
 * sequences do. Outputs: y [N, T, H], or with `last` the state after the last step [N, H]; then
 * what the gradient reads: the gates [N, T, K H] (simple_rnn: h; lstm: i f g o c; gru: z r n s2), 0
 * past a sample's length, and the state before each step [N, T, H]. Sources: Elman 1990; Hochreiter
 * and Schmidhuber 1997, Gers et al. 2000; Cho et al. 2014. */
typedef struct bur_recurrent_attr {
    int32_t reverse;    /* from the last step to the first */
    int32_t last;       /* y is the last state alone */
    int32_t activation; /* simple_rnn: BUR_TANH (also 0) or BUR_RELU */
} bur_recurrent_attr;

/** g: gradient, t: step from 1.
 * sgd:      p -= lr g
 * momentum: v = momentum v + g; p -= lr (nesterov ? g + momentum v : v)
 * rmsprop:  v = b2 v + (1-b2) g^2; p -= lr g / (sqrt(v) + epsilon); b2 is called rho or alpha
 * adagrad:  v = v + g^2, from `initial` on; p -= lr g / (sqrt(v) + epsilon)
 * adam:     m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
 *           p -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + epsilon)
 * Sources: Sutskever 2013 (momentum as PyTorch has it); Tieleman and Hinton, 2012; Duchi et al.,
 * 2011; Kingma and Ba, 2015; epsilon stands outside of the root as in PyTorch.
 * Around every one of them:
 *   g = scale g                                      with clip_norm; global_norm gives the scale
 *   g = min(max(g, -clip_value), clip_value)         where clip_value > 0
 *   g = g + l1 sign(p) + 2 l2 p                      the penalty l1 sum |p| + l2 sum p^2 (Keras)
 *   p = p - lr weight_decay p                        beside the gradient (Loshchilov, Hutter 2019)
 * With `proximal` l1 is no part of g; the step ends in p = sign(p) max(|p| - lr l1, 0), which makes
 * weights exactly 0.
 * moving_average: e = ema e + (1 - ema) p, e = p in the first step (Polyak and Juditsky 1992; the
 * start is Keras'); its groups are (e, p).
 * accumulate: sum = sum + g, sum = g in the first micro-batch (first_sample 0); groups are (sum,
 * g). global_norm: {min(1, clip_norm / (norm + 1e-6)), norm}, where norm is the Euclidean norm of
 * all gradients together, without penalties (Pascanu et al. 2013; PyTorch's clip_grad_norm_). An
 * optimizer with clip_norm takes it behind the scalars. */
typedef struct bur_optimizer_attr {
    float momentum;
    int32_t nesterov;
    float beta1, beta2, epsilon;
    float initial;
    float l1, l2, weight_decay;
    int32_t proximal;
    float clip_value, clip_norm; /* 0: no clipping */
    float ema;                   /* moving_average */
} bur_optimizer_attr;

#define BUR_NORM_WORDS 2 /* of global_norm's result */

/** An operator's attributes; unused bytes are zero. */
typedef union bur_attr {
    bur_none_attr none;
    bur_activation_attr activation;
    bur_matmul_attr matmul;
    bur_conv2d_attr conv2d;
    bur_pool2d_attr pool2d;
    bur_norm_attr norm;
    bur_dropout_attr dropout;
    bur_reshape_attr reshape;
    bur_loss_attr loss;
    bur_transpose_attr transpose;
    bur_slice_attr slice;
    bur_pad_attr pad;
    bur_concat_attr concat;
    bur_resize_attr resize;
    bur_where_attr where;
    bur_cast_attr cast;
    bur_embedding_attr embedding;
    bur_attention_attr attention;
    bur_recurrent_attr recurrent;
    bur_affine_attr affine;
    bur_pow_attr pow;
    bur_reduce_attr reduce;
    bur_optimizer_attr optimizer;
    int32_t word[16];
} bur_attr;

/** What changes from step to step, written to the device before each step, never a kernel argument.
 * As a tensor: i32[16], the same words. */
#define BUR_SCALAR_WORDS 16
typedef struct bur_scalars {
    float learning_rate;
    float inverse_weight_sum; /* 1 / number of samples in the effective batch */
    float correction1;        /* 1 / (1 - beta1^t), adam */
    float correction2;        /* 1 / (1 - beta2^t), adam */
    uint32_t seed[2];         /* low, high word */
    uint32_t step[2];         /* global step from 0: low, high word */
    uint32_t first_sample;    /* index of this micro-batch's first sample in the effective batch */
    uint32_t reserved[7];
} bur_scalars;

/** A loss operator's result, f32[4]; adding results up gives the figures of an epoch. */
enum {
    BUR_RESULT_LOSS,     /* sum of sample losses * inverse_weight_sum: what is minimised */
    BUR_RESULT_LOSS_SUM, /* sum of sample losses */
    BUR_RESULT_METRIC,   /* classes: samples predicted right; binary_cross_entropy: sum over samples
                            of the share of elements with (x > 0) == (t > 0.5); other values: of the
                            mean |x - target| */
    BUR_RESULT_COUNT,    /* samples, or the sum of their weights (bur_loss_attr) */
    BUR_RESULT_WORDS
};

/** Dropout keeps element e (row-major within the sample) of sample s of the batch if
 *     uniform(word e % 4 of philox(counter {e / 4, first_sample + s, step[0], step[1]},
 *                                  key {seed[0], seed[1] + node})) >= rate. */

enum bur_op_flag {
    BUR_OP_BACKWARD = 1, /* appears in gradients only */
    BUR_OP_FUSED = 2,    /* made by the fusion pass or by hand, equals other rows in sequence */
    BUR_OP_VIEW = 4,     /* output shares the input's memory; no kernel */
    BUR_OP_RANDOM = 8,
    BUR_OP_LOSS = 16,
    BUR_OP_UPDATE = 32,       /* once per effective batch, after all gradients; of many tensors */
    BUR_OP_BATCH = 64,        /* the result for one sample depends on the others of its batch */
    BUR_OP_NO_GRADIENT = 128, /* of running statistics: stands in no graph that is differentiated */
};

enum bur_op_keep {
    BUR_KEEP_NONE = 0,
    BUR_KEEP_X0 = 1,
    BUR_KEEP_X1 = 2,
    BUR_KEEP_X2 = 4,
    BUR_KEEP_Y0 = 16,
    BUR_KEEP_Y1 = 32,
    BUR_KEEP_Y2 = 64
};

#define BUR_MAX_OUTPUTS 3 /* most outputs of a row */

/** One operator applied to described tensors: all that shape rules, costs and backends look at. */
typedef struct bur_call {
    bur_op op;
    const bur_attr *attr;
    int32_t n_inputs, n_outputs;
    const bur_desc *inputs, *outputs;
} bur_call;

typedef struct bur_cost {
    double flop;  /* floating-point operations; a fused multiply-add counts 2 */
    double bytes; /* least bytes read and written */
} bur_cost;

/** One field of an attribute struct, for parsers and printers. */
typedef struct bur_attr_field {
    const char *name;
    int32_t offset; /* in 32-bit words */
    int32_t count;  /* array length, 1 for a scalar */
    bool is_float;
} bur_attr_field;

typedef struct bur_op_info {
    const char *name;
    int32_t inputs_min, inputs_max, outputs_min, outputs_max;
    int32_t keeps, alias, group;
    uint32_t flags;
    const bur_attr_field *fields; /* ends with a NULL name */
    const char *examples;
    bool has_gradient;
} bur_op_info;

/** The row of an operator. Static. */
BUR_API const bur_op_info *bur_op_get(bur_op op);
/** Finds an operator by name; BUR_E_NAME. */
BUR_API bur_status bur_op_find(bur_op *out, const char *name);

/** Reads "pad=1,1,1,1 activation=1" by the fields of `op`; BUR_E_NAME, BUR_E_FORMAT. */
BUR_API bur_status bur_attr_parse(bur_attr *out, bur_op op, const char *text);

/** Most inputs that an example of ops.def has. */
#define BUR_EXAMPLE_INPUTS 16
/** Reads example `index` of a row: its attributes and inputs[*n_inputs] of BUR_EXAMPLE_INPUTS.
 * BUR_E_RANGE past the last one. */
BUR_API bur_status bur_op_example(bur_op op, int32_t index, bur_attr *attr, bur_desc *inputs,
                                  int32_t *n_inputs);

/** Checks the inputs of `call` (its outputs pointer is ignored, n_outputs says how many are wanted)
 * and fills outputs[0..n_outputs). BUR_E_SHAPE, BUR_E_DTYPE, BUR_E_RANGE, BUR_E_ARG with both
 * shapes in the message. */
BUR_API bur_status bur_op_infer(const bur_call *call, bur_desc *outputs);

/** Where the groups of a multi-tensor row begin: behind the scalars and, with clip_norm, the result
 * of global_norm. */
BUR_API int32_t bur_op_first_group(const bur_call *call);
/** Whether such a row changes an input in place: of a group all but the second. */
BUR_API bool bur_op_changes(const bur_call *call, int32_t input);

/** Work and least traffic of a call whose shapes were inferred. */
BUR_API bur_cost bur_op_cost(const bur_call *call);

#ifdef __cplusplus
}
#endif
#endif
