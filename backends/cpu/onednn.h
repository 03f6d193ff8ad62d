/* oneDNN for the CPU backend: the only include of dnnl.h, and what the files onednn*.c share.
 *
 * onednn_library.c opens the library, onednn_describe.c hides what differs between the C APIs 2.x
 * and 3.x, onednn_cache.c keeps descriptions by problem and compiles them, onednn_implementation.c
 * knows what kernels take, onednn.c has the entries of the backend's table. */
#ifndef BUR_CPU_ONEDNN_H
#define BUR_CPU_ONEDNN_H

#include <dnnl.h>

#include "cpu.h"

/* The functions in use, by their names without "dnnl_". */
#define BUR_ONEDNN_COMMON_MAP(X)                                                                   \
    X(version)                                                                                     \
    X(get_effective_cpu_isa)                                                                       \
    X(set_primitive_cache_capacity)                                                                \
    X(engine_create)                                                                               \
    X(stream_create)                                                                               \
    X(stream_destroy)                                                                              \
    X(memory_create)                                                                               \
    X(memory_destroy)                                                                              \
    X(memory_desc_equal)                                                                           \
    X(memory_desc_get_size)                                                                        \
    X(primitive_attr_create)                                                                       \
    X(primitive_attr_destroy)                                                                      \
    X(primitive_attr_set_post_ops)                                                                 \
    X(primitive_attr_set_scratchpad_mode)                                                          \
    X(post_ops_create)                                                                             \
    X(post_ops_destroy)                                                                            \
    X(post_ops_append_sum)                                                                         \
    X(post_ops_append_eltwise)                                                                     \
    X(primitive_desc_destroy)                                                                      \
    X(primitive_desc_query)                                                                        \
    X(primitive_desc_query_md)                                                                     \
    X(reorder_primitive_desc_create)                                                               \
    X(primitive_create)                                                                            \
    X(primitive_destroy)                                                                           \
    X(primitive_execute)                                                                           \
    X(primitive_get_primitive_desc)
#if DNNL_VERSION_MAJOR >= 3
#define BUR_ONEDNN_MAP(X)                                                                          \
    BUR_ONEDNN_COMMON_MAP(X)                                                                       \
    X(memory_desc_create_with_strides)                                                             \
    X(memory_desc_create_with_tag)                                                                 \
    X(memory_desc_destroy)                                                                         \
    X(matmul_primitive_desc_create)                                                                \
    X(convolution_forward_primitive_desc_create)                                                   \
    X(convolution_backward_data_primitive_desc_create)                                             \
    X(convolution_backward_weights_primitive_desc_create)
#else
#define BUR_ONEDNN_MAP(X)                                                                          \
    BUR_ONEDNN_COMMON_MAP(X)                                                                       \
    X(memory_desc_init_by_strides)                                                                 \
    X(memory_desc_init_by_tag)                                                                     \
    X(matmul_desc_init)                                                                            \
    X(dilated_convolution_forward_desc_init)                                                       \
    X(dilated_convolution_backward_data_desc_init)                                                 \
    X(dilated_convolution_backward_weights_desc_init)                                              \
    X(primitive_desc_create)
#endif

/* The opened library. Its functions are called through here: it is opened at run time because
 * Debian's links the OpenCL loader, without which burthen has to start all the same. */
typedef struct bur_onednn {
#define BUR_ONEDNN_SLOT(name) __typeof__(dnnl_##name) *name;
    BUR_ONEDNN_MAP(BUR_ONEDNN_SLOT)
#undef BUR_ONEDNN_SLOT
    dnnl_engine_t engine; /* the CPU */
    char text[32];        /* "oneDNN 2.6.3" */
} bur_onednn;

/* The library, opened by the first call and kept until the process ends. NULL if it is not
 * installed, has another major version than its header, or lacks kernels for this processor. */
const bur_onednn *bur__onednn(void);

typedef enum bur_onednn_kind {
    BUR_ONEDNN_MATMUL,
    BUR_ONEDNN_CONV,
    BUR_ONEDNN_CONV_GRAD_X,
    BUR_ONEDNN_CONV_GRAD_W,
    BUR_ONEDNN_CONV_GRAD_W_ADD, /* to what w holds */
    BUR_ONEDNN_KINDS
} bur_onednn_kind;

enum { BUR_ONEDNN_RANK = 5 }; /* of weights with groups */

/* A tensor in oneDNN's order of dimensions (n, c, h, w), with our strides in elements. */
typedef struct bur_onednn_tensor {
    int64_t rank; /* 0: absent */
    int64_t dim[BUR_ONEDNN_RANK];
    int64_t stride[BUR_ONEDNN_RANK];
} bur_onednn_tensor;

/* What is to be computed, of either API: it decides the algorithm and the scratch, and is the key
 * of the descriptors. No padding bytes: it is compared as memory. For gradients x, w and y take the
 * same places as forward and whichever is the result is a gradient. */
typedef struct bur_onednn_problem {
    int32_t kind; /* bur_onednn_kind */
    int32_t threads;
    int32_t activation; /* bur_activation */
    float alpha;
    bur_onednn_tensor x, w, bias, y;
    int64_t stride[2], dilation[2], pad_begin[2], pad_end[2]; /* y, x; dilation 0 is dense */
} bur_onednn_problem;

/* What a problem's kernel will take. */
typedef struct bur_onednn_needs {
    size_t scratch_bytes; /* the scratchpad at 0, then weights in the layout that it wants */
    size_t code_bytes;    /* of a kernel once it is built, estimated */
    bool by_products;     /* it goes by oneDNN's general product, which takes memory of its own */
} bur_onednn_needs;

/* Sets what the implementation's name ("brgconv:avx512_core") tells: all but scratch_bytes. */
void bur__onednn_estimate(bur_onednn_needs *out, const char *name,
                          const bur_onednn_problem *problem);

/* BUR_E_UNSUPPORTED, BUR_E_NOMEM. */
bur_status bur__onednn_describe(bur_onednn_needs *out, const bur_onednn_problem *problem);

/* What a problem was compiled to. */
typedef struct bur_onednn_code {
    dnnl_primitive_t main;
    dnnl_primitive_t reorder; /* of the weights, to or from scratch; NULL if they stay plain */
    dnnl_primitive_t add;     /* of a kind that adds: the reorder that does */
    size_t scratchpad_bytes;
    size_t weights_offset; /* of the reordered weights in scratch */
} bur_onednn_code;

/* Compiles (milliseconds, unless oneDNN has it in its cache); to be cleared by the caller. */
bur_status bur__onednn_compile(bur_onednn_code *out, const bur_onednn_problem *problem);
void bur__onednn_code_clear(bur_onednn_code *code);

/* Turns a failure of oneDNN into ours; `what` was tried. */
bur_status bur__onednn_status(dnnl_status_t status, const char *what);

#endif
