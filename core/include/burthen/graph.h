/**
 * burthen/graph.h: recipes (models with a named batch dimension) and graphs (their instances).
 *
 * A recipe is what a model is; a graph is one recipe at a given batch size and mode, differentiated
 * and fused, on no device yet. Node ids come from the recipe and survive every pass and batch size.
 */
#ifndef BURTHEN_GRAPH_H
#define BURTHEN_GRAPH_H

#include <burthen/op.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Named dimensions in a recipe's input shapes. */
#define BUR_DIM_BATCH (-1)

typedef struct bur_recipe bur_recipe;
typedef int32_t bur_ref; /* a value of a recipe */

/** How a parameter starts; names and figures are Keras'. fan_in and fan_out come from the shape:
 * [in, out], [kh, kw, ic, oc].
 * glorot: variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010); he: 2 / fan_in (He et al.
 * 2015); lecun: 1 / fan_in (LeCun et al. 1998). _uniform: U(-l, l), l = sqrt(3 variance); _normal:
 * a normal truncated at two of its deviations, which is widened so that the variance holds.
 * random_uniform: U(-0.05, 0.05); random_normal: N(0, 0.05^2); truncated_normal: the same, what is
 * beyond 0.1 drawn again. orthogonal: the shape as a matrix [all but the last, last] with
 * orthonormal columns, or rows if it has fewer (Saxe et al. 2014).
 * unit_forget: the bias of an lstm, 1 for the second of its four gates, else 0 (Jozefowicz et al.
 * 2015). */
#define BUR_INITIALIZER_MAP(X)                                                                     \
    X(DEFAULT, "default") /* the layer's own; glorot_uniform where it names none */                \
    X(ZEROS, "zeros")                                                                              \
    X(ONES, "ones")                                                                                \
    X(GLOROT_UNIFORM, "glorot_uniform")                                                            \
    X(GLOROT_NORMAL, "glorot_normal")                                                              \
    X(HE_UNIFORM, "he_uniform")                                                                    \
    X(HE_NORMAL, "he_normal")                                                                      \
    X(LECUN_UNIFORM, "lecun_uniform")                                                              \
    X(LECUN_NORMAL, "lecun_normal")                                                                \
    X(RANDOM_UNIFORM, "random_uniform")                                                            \
    X(RANDOM_NORMAL, "random_normal")                                                              \
    X(TRUNCATED_NORMAL, "truncated_normal")                                                        \
    X(ORTHOGONAL, "orthogonal")                                                                    \
    X(UNIT_FORGET, "unit_forget")

typedef enum bur_initializer {
#define BUR_INITIALIZER_ENUM(name, text) BUR_INIT_##name,
    BUR_INITIALIZER_MAP(BUR_INITIALIZER_ENUM)
#undef BUR_INITIALIZER_ENUM
        BUR_INITIALIZER_COUNT
} bur_initializer;

BUR_API bur_status bur_recipe_create(bur_recipe **out, bur_context *context, const char *name);
BUR_API void bur_recipe_destroy(bur_recipe *recipe);
BUR_API const char *bur_recipe_name(const bur_recipe *recipe);
BUR_API bur_context *bur_recipe_context(const bur_recipe *recipe);

/** An input; shape->dim[0] is BUR_DIM_BATCH. */
BUR_API bur_status bur_recipe_input(bur_recipe *recipe, const char *name, bur_dtype dtype,
                                    const bur_shape *shape, bur_ref *out);
/** A trained f32 tensor; its name must be unique (BUR_E_NAME). */
BUR_API bur_status bur_recipe_parameter(bur_recipe *recipe, const char *name,
                                        const bur_shape *shape, bur_initializer initializer,
                                        bur_ref *out);
/** A running statistic: an f32 tensor that lives, is saved and is restored with the parameters, but
 * that no gradient and no optimizer changes. */
BUR_API bur_status bur_recipe_statistic(bur_recipe *recipe, const char *name,
                                        const bur_shape *shape, bur_initializer initializer,
                                        bur_ref *out);
/** Starts a layer: nodes and parameters that follow belong to it (for summaries). */
BUR_API bur_status bur_recipe_layer(bur_recipe *recipe, const char *type, const char *name);
/** Applies a forward operator; its first output is *out. `attr` may be NULL (all defaults). Shapes
 * are checked at once, with the batch dimension as 1. */
BUR_API bur_status bur_recipe_apply(bur_recipe *recipe, bur_op op, const bur_attr *attr,
                                    const bur_ref *inputs, int32_t n_inputs, bur_ref *out);
/** Declares the model's output. */
BUR_API bur_status bur_recipe_output(bur_recipe *recipe, bur_ref output);

/** A value's description with the batch dimension as 1. Borrowed. */
BUR_API const bur_desc *bur_recipe_desc(const bur_recipe *recipe, bur_ref ref);

typedef struct bur_parameter {
    const char *name;
    bur_desc desc;
    bur_initializer initializer;
    bur_ref ref;
    bool trainable;   /* not a running statistic */
    bool unpenalized; /* an optimizer's l1, l2 and weight_decay leave it alone */
} bur_parameter;

/** Whether l1, l2 and weight_decay act on a parameter. They do unless it is a vector: on kernels,
 * not on biases and scales, as Keras' kernel_regularizer. BUR_E_ARG if `parameter` is none. */
BUR_API bur_status bur_recipe_penalize(bur_recipe *recipe, bur_ref parameter, bool penalize);

BUR_API int32_t bur_recipe_parameter_count(const bur_recipe *recipe);
BUR_API const bur_parameter *bur_recipe_parameter_at(const bur_recipe *recipe, int32_t index);
/** The first input's and the output's description, batch as 1; NULL if not declared yet. */
BUR_API const bur_desc *bur_recipe_input_desc(const bur_recipe *recipe);
BUR_API const bur_desc *bur_recipe_output_desc(const bur_recipe *recipe);

/** One layer of a summary, per sample (batch 1). */
typedef struct bur_layer_summary {
    const char *name, *type;
    bur_shape output;
    int64_t parameters;       /* trainable ones */
    int64_t macs;             /* multiply-adds of its products and convolutions */
    int64_t activation_bytes; /* outputs of its nodes, views left out */
} bur_layer_summary;

BUR_API int32_t bur_recipe_layer_count(const bur_recipe *recipe);
/** A layer's name and type; NULL past the last. */
BUR_API const char *bur_recipe_layer_name(const bur_recipe *recipe, int32_t index,
                                          const char **type);
BUR_API bur_status bur_recipe_layer_summary(const bur_recipe *recipe, int32_t index,
                                            bur_layer_summary *out);

/* ---- training options that shape a graph ---- */

#define BUR_LOSS_MAP(X)                                                                            \
    X(NONE, "none")                                                                                \
    X(CROSS_ENTROPY, "cross_entropy") /* integer labels */                                         \
    X(MSE, "mse")                                                                                  \
    X(MAE, "mae")                                                                                  \
    X(HUBER, "huber")                                                                              \
    X(BINARY_CROSS_ENTROPY, "binary_cross_entropy") /* of logits, or behind a sigmoid */

typedef enum bur_loss {
#define BUR_LOSS_ENUM(name, text) BUR_LOSS_##name,
    BUR_LOSS_MAP(BUR_LOSS_ENUM)
#undef BUR_LOSS_ENUM
        BUR_LOSS_COUNT
} bur_loss;

/* name, row, states per parameter */
#define BUR_OPTIMIZER_MAP(X)                                                                       \
    X(SGD, sgd, sgd, 0)                                                                            \
    X(MOMENTUM, momentum, momentum, 1)                                                             \
    X(ADAM, adam, adam, 2)                                                                         \
    X(NESTEROV, nesterov, momentum, 1)                                                             \
    X(RMSPROP, rmsprop, rmsprop, 1)                                                                \
    X(ADAGRAD, adagrad, adagrad, 1)                                                                \
    X(ADAMW, adamw, adam, 2)

typedef enum bur_optimizer_kind {
#define BUR_OPTIMIZER_ENUM(name, text, op, slots) BUR_##name,
    BUR_OPTIMIZER_MAP(BUR_OPTIMIZER_ENUM)
#undef BUR_OPTIMIZER_ENUM
        BUR_OPTIMIZER_COUNT
} bur_optimizer_kind;

typedef struct bur_optimizer {
    bur_optimizer_kind kind;
    float learning_rate;
    bur_optimizer_attr attr;
} bur_optimizer;

/** Keras' defaults: rate 0.01 for sgd, momentum and nesterov (0.9), else 0.001; adam and adamw 0.9,
 * 0.999, 1e-7; adamw's weight decay 0.004; rmsprop's rho 0.9; adagrad's start 0.1. */
BUR_API bur_optimizer bur_optimizer_default(bur_optimizer_kind kind);

BUR_API const char *bur_loss_name(bur_loss loss);
BUR_API const char *bur_optimizer_name(bur_optimizer_kind kind);
BUR_API const char *bur_initializer_name(bur_initializer initializer);
BUR_API bur_status bur_loss_find(bur_loss *out, const char *name);
BUR_API bur_status bur_optimizer_find(bur_optimizer_kind *out, const char *name);

typedef enum bur_mode {
    BUR_TRAIN,    /* forward, loss, backward, update */
    BUR_EVALUATE, /* forward, loss */
    BUR_PREDICT,  /* forward */
} bur_mode;

typedef struct bur_graph_options {
    int64_t batch; /* samples of one (micro-)batch, at least 1 */
    bur_mode mode;
    bur_loss loss;              /* train and evaluate */
    bur_loss_attr loss_attr;    /* smoothing is for training, the rest for evaluation too */
    const float *class_weights; /* train: of each class; borrowed while the graph and its sessions
                                   live; NULL: 1 */
    bur_optimizer optimizer;    /* train */
    bool accumulate;   /* gradients are kept and added up over several runs of the accumulate
                          list before the update list runs once */
    bool early_update; /* train: where nothing needs all gradients at once (accumulate, clip_norm),
                          the optimizer takes each as soon as it is complete, within the backward
                          pass, and its bytes are free again: it cannot be read. Same bits */
    float recompute;   /* train: to what share, above 0 and below 1, the live bytes of a step
                          are to come by dropping values of the forward pass and computing
                          them again in the backward pass (Chen et al. 2016); 0 or 1: none are */
    bool no_fuse;      /* keep the rows as the recipe has them */
} bur_graph_options;

typedef struct bur_graph bur_graph;

/** Makes the graph of a recipe. BUR_E_ARG for a batch below 1 or a recipe without output;
 * BUR_E_SHAPE, BUR_E_RANGE from the shape rules; BUR_E_NOMEM. The recipe must outlive the graph. */
BUR_API bur_status bur_graph_create(bur_graph **out, const bur_recipe *recipe,
                                    const bur_graph_options *options);
BUR_API void bur_graph_destroy(bur_graph *graph);
BUR_API const bur_graph_options *bur_graph_get_options(const bur_graph *graph);
/** Nodes in the graph, and the operator of one in the order of execution. */
BUR_API int32_t bur_graph_node_count(const bur_graph *graph);
BUR_API bur_op bur_graph_node_op(const bur_graph *graph, int32_t node);
/** How many of them compute a value of the forward pass once more (bur_graph_options.recompute). */
BUR_API int32_t bur_graph_recomputed_count(const bur_graph *graph);
/** Whether some operator's result for one sample depends on the others (batch normalisation in
 * training): a batch in parts is another computation. */
BUR_API bool bur_graph_needs_whole_batch(const bur_graph *graph);
/** The share of the step's work that these are, estimated from flop and traffic. */
BUR_API double bur_graph_recomputed_share(const bur_graph *graph);

#ifdef __cplusplus
}
#endif
#endif
