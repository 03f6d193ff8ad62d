/**
 * burthen/nn.h: layers, Sequential, the model zoo, initial values. Defaults are those of Keras.
 */
#ifndef BURTHEN_NN_H
#define BURTHEN_NN_H

#include <burthen/run.h>

#ifdef __cplusplus
extern "C" {
#endif

/** None; Keras' same (output = ceil(input / stride), the odd pixel behind); as `pad` says. */
typedef enum bur_padding { BUR_VALID, BUR_SAME, BUR_PADDED } bur_padding;

typedef enum bur_layer_kind {
    BUR_LAYER_DENSE,
    BUR_LAYER_CONV2D,
    BUR_LAYER_DEPTHWISE_CONV2D,
    BUR_LAYER_CONV2D_TRANSPOSE,
    BUR_LAYER_MAX_POOLING2D,
    BUR_LAYER_AVERAGE_POOLING2D,
    BUR_LAYER_GLOBAL_AVERAGE_POOLING2D,
    BUR_LAYER_GLOBAL_MAX_POOLING2D,
    BUR_LAYER_FLATTEN,
    BUR_LAYER_DROPOUT,
    BUR_LAYER_STOCHASTIC_DEPTH,
    BUR_LAYER_ACTIVATION,
    BUR_LAYER_ADD,
    BUR_LAYER_MULTIPLY,
    BUR_LAYER_CONCATENATE,
    BUR_LAYER_BATCH_NORMALIZATION,
    BUR_LAYER_LAYER_NORMALIZATION,
    BUR_LAYER_SIMPLE_RNN,
    BUR_LAYER_LSTM,
    BUR_LAYER_GRU,
    BUR_LAYER_MULTI_HEAD_ATTENTION,
    BUR_LAYER_EMBEDDING,
    BUR_LAYER_POSITION_EMBEDDING,
    BUR_LAYER_CLASS_TOKEN,
    BUR_LAYER_FIRST_TOKEN,
    BUR_LAYER_GLOBAL_AVERAGE_POOLING1D,
    BUR_LAYER_COUNT
} bur_layer_kind;

/** A layer's settings; make it with the functions below or by designated initialisers. */
typedef struct bur_layer {
    bur_layer_kind kind;
    const char *name;  /* NULL: type and a running number, "dense1" */
    int32_t units;     /* dense, embedding: outputs; conv2d: filters; attention: channels of a head,
                          0: the input's over the heads */
    int32_t kernel[2]; /* conv2d: kernel; max_pooling2d: window; y, x */
    int32_t stride[2]; /* 0: 1 for conv2d, the window for max_pooling2d */
    bur_padding padding;
    int32_t pad[4];            /* BUR_PADDED: top, bottom, left, right */
    int32_t dilation[2];       /* conv2d; 0: 1 */
    int32_t groups;            /* conv2d; 0: 1 */
    bur_activation activation; /* dense, conv2d, activation */
    float alpha;               /* leaky_relu, elu; 0: 0.3, 1 */
    float rate;                /* dropout, stochastic depth */
    float epsilon;             /* normalisation; 0: 1e-3 */
    float momentum;            /* batch normalisation, of the running statistics; 0: 0.99 */
    bool unbiased;             /* the running variance is of n - 1, as PyTorch's; Keras': of n */
    bool frozen;               /* batch normalisation by the running statistics, which stay, in
                                  training too */
    bool no_bias;
    bool keep_dims;                     /* global pooling: [N, 1, 1, channels] */
    int32_t heads;                      /* attention */
    bool causal;                        /* attention: of what stands before a token and itself */
    int32_t vocabulary;                 /* embedding: rows of the table */
    bur_initializer weight_initializer; /* default: glorot_uniform */
    bool return_sequences;    /* recurrent: the state after every step, not after the last alone */
    bool bidirectional;       /* and a second network from the end, beside the first */
    bool two_biases;          /* simple_rnn, lstm: also one of the product with x, as PyTorch */
    bool no_unit_forget_bias; /* lstm: the forget gate's bias starts at 0, not 1 */
    bur_initializer recurrent_initializer; /* default: orthogonal */
} bur_layer;

BUR_API bur_layer bur_dense(int32_t units, bur_activation activation);
BUR_API bur_layer bur_conv2d(int32_t filters, int32_t kernel, bur_padding padding,
                             bur_activation activation);
/** A convolution turned round: an image `stride` times as large (same), or as large as the windows
 * reach (valid). */
BUR_API bur_layer bur_conv2d_transpose(int32_t filters, int32_t kernel, int32_t stride,
                                       bur_padding padding, bur_activation activation);
/** A filter for each channel. */
BUR_API bur_layer bur_depthwise_conv2d(int32_t kernel, bur_padding padding,
                                       bur_activation activation);
BUR_API bur_layer bur_max_pooling2d(int32_t window);
/** The mean of each window; padding does not count (Keras). */
BUR_API bur_layer bur_average_pooling2d(int32_t window);
/** [N, height, width, channels] to [N, channels]: the mean or the greatest of each channel. */
BUR_API bur_layer bur_global_average_pooling2d(void);
BUR_API bur_layer bur_global_max_pooling2d(void);
/** By mean and variance of each channel over the batch in training, over what it has seen of them
 * in evaluation; then scale and shift. */
BUR_API bur_layer bur_batch_normalization(void);
/** By mean and variance over the last dimension; then scale and shift. */
BUR_API bur_layer bur_layer_normalization(void);
/** Self-attention of [N, length, channels]: q, k and v by one product, scaled dot products in
 * `heads` parts of the channels, and a product to the channels again. */
BUR_API bur_layer bur_multi_head_attention(int32_t heads, bool causal);
/** Ids to `units` channels, by a table of so many rows; an id outside of it gives zeros. */
BUR_API bur_layer bur_embedding(int32_t vocabulary, int32_t units);
/** Adds a learned value to each place of a sequence, [length, channels]. */
BUR_API bur_layer bur_position_embedding(void);
/** Puts a learned token before a sequence. */
BUR_API bur_layer bur_class_token(void);
/** [N, length, channels] to [N, channels]: the first of a sequence, or the mean. */
BUR_API bur_layer bur_first_token(void);
BUR_API bur_layer bur_global_average_pooling1d(void);
BUR_API bur_layer bur_flatten(void);
BUR_API bur_layer bur_dropout(float rate);
/** Dropout of whole samples, in a branch beside a shortcut (Huang et al. 2016). */
BUR_API bur_layer bur_stochastic_depth(float rate);
BUR_API bur_layer bur_activate(bur_activation activation);

/** The sum of two or more values of one shape, then an activation: a residual connection. */
BUR_API bur_layer bur_add(bur_activation activation);

/** The product of two or more values, broadcast as NumPy does: a gate, or squeeze and excite. */
BUR_API bur_layer bur_multiply(bur_activation activation);
/** Values side by side along the last dimension. */
BUR_API bur_layer bur_concatenate(void);

/** Recurrent networks, [N, steps, features] to the last state [N, units], or all of them
 * [N, steps, units]; two directions make 2 units. Gates, their order and the bias as
 * bur_recurrent_attr has them. Parameters: weight [features, G units], recurrent_weight [units,
 * G units], bias, and gru (or with two_biases) recurrent_bias; "reverse." before the names of the
 * second direction. Activation: tanh, of simple_rnn also relu. */
BUR_API bur_layer bur_simple_rnn(int32_t units);
BUR_API bur_layer bur_lstm(int32_t units);
BUR_API bur_layer bur_gru(int32_t units);

/** Puts a layer behind values of a recipe, in any order that a model needs: branches, residuals,
 * several inputs. *out is the layer's output. All layers but those that join values take one input.
 * BUR_E_ARG for settings out of range or another number of inputs, BUR_E_NAME for a name that is
 * taken, BUR_E_SHAPE; the message names the layer. */
BUR_API bur_status bur_layer_apply(bur_recipe *recipe, const bur_layer *layer,
                                   const bur_ref *inputs, int32_t n_inputs, bur_ref *out);

/** A list of layers; unbuilt until its input shape is known. */
typedef struct bur_sequential bur_sequential;
BUR_API bur_status bur_sequential_create(bur_sequential **out, bur_context *context,
                                         const char *name);
BUR_API void bur_sequential_destroy(bur_sequential *sequential);
/** Appends a copy of `layer`; BUR_E_ARG for settings out of range. */
BUR_API bur_status bur_sequential_add(bur_sequential *sequential, const bur_layer *layer);
/** Makes the recipe for inputs of `sample` (without batch dimension); yours to destroy. May be
 * called again for another shape. BUR_E_SHAPE names the layer and both shapes. */
BUR_API bur_status bur_sequential_build(const bur_sequential *sequential, const bur_shape *sample,
                                        bur_recipe **out);

/* ---- the zoo ---- */

typedef struct bur_zoo_info {
    const char *name;
    const char *text; /* one line for listings */
    bur_shape sample; /* default input */
    int32_t classes;  /* default */
} bur_zoo_info;

typedef struct bur_zoo_options {
    bur_shape sample;   /* rank 0: the model's default */
    int32_t classes;    /* 0: the model's default; 1 with `values`: a linear head */
    bool values;        /* a linear head for regression */
    const char *hidden; /* mlp "128-64-32", rnn, lstm, gru "128"; NULL: default */
    float width;        /* multiplies filters and units, 0: 1; transformers keep their heads */
    int32_t depth;      /* transformers: encoder layers, 0: the model's */
    float dropout;      /* before the last dense layer, 0: the model's: none; mobilenet-v2 and
                           efficientnet 0.2 */
    bool no_dropout;    /* neither that nor stochastic depth */
    bool small_stem;    /* networks for photographs: no halving before the first block, for small
                           images */
} bur_zoo_options;

BUR_API int32_t bur_zoo_count(void);
BUR_API const bur_zoo_info *bur_zoo_at(int32_t index);
/** Builds a model by name; yours to destroy. BUR_E_NAME with "did you mean". */
BUR_API bur_status bur_zoo_create(bur_recipe **out, bur_context *context, const char *name,
                                  const bur_zoo_options *options);

/** Builds the model of a YAML file; yours to destroy. Layers and settings have Keras' words:
 *
 *     name: small
 *     input: [28, 28, 1]
 *     layers:
 *       - Conv2D: {filters: 16, kernel_size: 3, padding: same, activation: relu, name: stem}
 *       - DepthwiseConv2D: {kernel_size: 3, padding: same}
 *       - Add: {inputs: [stem, depthwise1], activation: relu}
 *       - Flatten
 *       - Dense: {units: classes, activation: softmax}
 *
 * A layer reads the one before it, or those that `inputs` names ("input" is the model's); the last
 * is the output. options->sample, if given, takes the place of `input`, options->classes that of
 * the word `classes` (10). BUR_E_FILE; BUR_E_FORMAT, BUR_E_NAME, BUR_E_SHAPE, BUR_E_ARG with the
 * line. */
BUR_API bur_status bur_model_load(bur_recipe **out, bur_context *context, const char *path,
                                  const bur_zoo_options *options);
/** The `input` of such a file. */
BUR_API bur_status bur_model_sample(bur_shape *out, bur_context *context, const char *path);

/** Fills `values` (desc's count of f32) as `initializer` says; `parameter` and `seed` key the
 * random numbers, so a parameter's start does not depend on what stands before it. */
BUR_API void bur_initialize(float *values, const bur_desc *desc, bur_initializer initializer,
                            uint64_t seed, int32_t parameter);
/** Writes start values into all parameters and zero into all optimizer state of a session. */
BUR_API bur_status bur_session_initialize(bur_session *session, const bur_recipe *recipe,
                                          uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
