/* From a problem to primitive descriptors, the same for oneDNN 2.x (operation descriptors, memory
 * descriptors are structs) and 3.x (primitive descriptors at once, memory descriptors are handles).
 */
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "onednn.h"

/* ---- memory descriptors ---- */

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t md_pointer;
#define MD_STRIDES memory_desc_create_with_strides
#define MD_TAG     memory_desc_create_with_tag

static md_pointer pointer_to(const dnnl_memory_desc_t *md)
{
    return *md;
}

static void md_destroy(const bur_onednn *dnnl, dnnl_memory_desc_t *md)
{
    if (*md)
        dnnl->memory_desc_destroy(*md);
}
#else
typedef const dnnl_memory_desc_t *md_pointer;
#define MD_STRIDES memory_desc_init_by_strides
#define MD_TAG     memory_desc_init_by_tag

static md_pointer pointer_to(const dnnl_memory_desc_t *md)
{
    return md;
}

static void md_destroy(const bur_onednn *dnnl, dnnl_memory_desc_t *md)
{
    (void)dnnl;
    (void)md;
}
#endif

/* Memory descriptors of a problem; an absent bias stays zero, which both APIs take for none. */
typedef struct descriptors {
    dnnl_memory_desc_t x, w, bias, y;
    dnnl_memory_desc_t plain_w; /* as the caller has them; w leaves the choice to oneDNN */
} descriptors;

static dnnl_status_t describe_tensor(const bur_onednn *dnnl, dnnl_memory_desc_t *md,
                                     const bur_onednn_tensor *t, bool any)
{
    dnnl_dims_t dim = {0}, stride = {0};
    memcpy(dim, t->dim, sizeof t->dim);
    memcpy(stride, t->stride, sizeof t->stride);
    if (t->rank == 0)
        return dnnl_success;
    if (any)
        return dnnl->MD_TAG(md, (int)t->rank, dim, dnnl_f32, dnnl_format_tag_any);
    return dnnl->MD_STRIDES(md, (int)t->rank, dim, dnnl_f32, stride);
}

static dnnl_status_t describe_tensors(const bur_onednn *dnnl, descriptors *md,
                                      const bur_onednn_problem *p)
{
    /* Convolutions are 1.4 to 6 times faster with blocked weights, reordering them each time
     * included (a few microseconds); a matrix product never gains by it. */
    const bool any = p->kind != BUR_ONEDNN_MATMUL;
    dnnl_status_t status = describe_tensor(dnnl, &md->x, &p->x, false);
    if (status == dnnl_success)
        status = describe_tensor(dnnl, &md->w, &p->w, any);
    if (status == dnnl_success)
        status = describe_tensor(dnnl, &md->bias, &p->bias, false);
    if (status == dnnl_success)
        status = describe_tensor(dnnl, &md->y, &p->y, false);
    if (status == dnnl_success)
        status = describe_tensor(dnnl, &md->plain_w, &p->w, false);
    return status;
}

static void destroy_tensors(const bur_onednn *dnnl, descriptors *md)
{
    md_destroy(dnnl, &md->x);
    md_destroy(dnnl, &md->w);
    md_destroy(dnnl, &md->bias);
    md_destroy(dnnl, &md->y);
    md_destroy(dnnl, &md->plain_w);
}

/* ---- primitive descriptors; `forward` is the hint that gradients need ---- */

typedef struct window {
    dnnl_dims_t stride, dilation, pad_begin, pad_end;
} window;

static window window_of(const bur_onednn_problem *p)
{
    window w = {0};
    memcpy(w.stride, p->stride, sizeof p->stride);
    memcpy(w.dilation, p->dilation, sizeof p->dilation);
    memcpy(w.pad_begin, p->pad_begin, sizeof p->pad_begin);
    memcpy(w.pad_end, p->pad_end, sizeof p->pad_end);
    return w;
}

typedef dnnl_status_t create_function(const bur_onednn *dnnl, dnnl_primitive_desc_t *out,
                                      const bur_onednn_problem *p, const descriptors *md,
                                      const_dnnl_primitive_attr_t attr,
                                      const_dnnl_primitive_desc_t forward);

#if DNNL_VERSION_MAJOR >= 3

static dnnl_status_t create_matmul(const bur_onednn *dnnl, dnnl_primitive_desc_t *out,
                                   const bur_onednn_problem *p, const descriptors *md,
                                   const_dnnl_primitive_attr_t attr,
                                   const_dnnl_primitive_desc_t forward)
{
    (void)p;
    (void)forward;
    return dnnl->matmul_primitive_desc_create(out, dnnl->engine, md->x, md->w, md->bias, md->y,
                                              attr);
}

static dnnl_status_t create_conv(const bur_onednn *dnnl, dnnl_primitive_desc_t *out,
                                 const bur_onednn_problem *p, const descriptors *md,
                                 const_dnnl_primitive_attr_t attr,
                                 const_dnnl_primitive_desc_t forward)
{
    (void)forward;
    const window w = window_of(p);
    return dnnl->convolution_forward_primitive_desc_create(
        out, dnnl->engine, dnnl_forward_training, dnnl_convolution_direct, md->x, md->w, md->bias,
        md->y, w.stride, w.dilation, w.pad_begin, w.pad_end, attr);
}

static dnnl_status_t create_conv_grad_x(const bur_onednn *dnnl, dnnl_primitive_desc_t *out,
                                        const bur_onednn_problem *p, const descriptors *md,
                                        const_dnnl_primitive_attr_t attr,
                                        const_dnnl_primitive_desc_t forward)
{
    const window w = window_of(p);
    return dnnl->convolution_backward_data_primitive_desc_create(
        out, dnnl->engine, dnnl_convolution_direct, md->x, md->w, md->y, w.stride, w.dilation,
        w.pad_begin, w.pad_end, forward, attr);
}

static dnnl_status_t create_conv_grad_w(const bur_onednn *dnnl, dnnl_primitive_desc_t *out,
                                        const bur_onednn_problem *p, const descriptors *md,
                                        const_dnnl_primitive_attr_t attr,
                                        const_dnnl_primitive_desc_t forward)
{
    const window w = window_of(p);
    return dnnl->convolution_backward_weights_primitive_desc_create(
        out, dnnl->engine, dnnl_convolution_direct, md->x, md->w, NULL, md->y, w.stride, w.dilation,
        w.pad_begin, w.pad_end, forward, attr);
}

#else

static dnnl_status_t create_matmul(const bur_onednn *dnnl, dnnl_primitive_desc_t *out,
                                   const bur_onednn_problem *p, const descriptors *md,
                                   const_dnnl_primitive_attr_t attr,
                                   const_dnnl_primitive_desc_t forward)
{
    (void)p;
    dnnl_matmul_desc_t op;
    const dnnl_status_t status = dnnl->matmul_desc_init(&op, &md->x, &md->w, &md->bias, &md->y);
    if (status != dnnl_success)
        return status;
    return dnnl->primitive_desc_create(out, &op, attr, dnnl->engine, forward);
}

static dnnl_status_t create_conv(const bur_onednn *dnnl, dnnl_primitive_desc_t *out,
                                 const bur_onednn_problem *p, const descriptors *md,
                                 const_dnnl_primitive_attr_t attr,
                                 const_dnnl_primitive_desc_t forward)
{
    const window w = window_of(p);
    dnnl_convolution_desc_t op;
    const dnnl_status_t status = dnnl->dilated_convolution_forward_desc_init(
        &op, dnnl_forward_training, dnnl_convolution_direct, &md->x, &md->w, &md->bias, &md->y,
        w.stride, w.dilation, w.pad_begin, w.pad_end);
    if (status != dnnl_success)
        return status;
    return dnnl->primitive_desc_create(out, &op, attr, dnnl->engine, forward);
}

static dnnl_status_t create_conv_grad_x(const bur_onednn *dnnl, dnnl_primitive_desc_t *out,
                                        const bur_onednn_problem *p, const descriptors *md,
                                        const_dnnl_primitive_attr_t attr,
                                        const_dnnl_primitive_desc_t forward)
{
    const window w = window_of(p);
    dnnl_convolution_desc_t op;
    const dnnl_status_t status = dnnl->dilated_convolution_backward_data_desc_init(
        &op, dnnl_convolution_direct, &md->x, &md->w, &md->y, w.stride, w.dilation, w.pad_begin,
        w.pad_end);
    if (status != dnnl_success)
        return status;
    return dnnl->primitive_desc_create(out, &op, attr, dnnl->engine, forward);
}

static dnnl_status_t create_conv_grad_w(const bur_onednn *dnnl, dnnl_primitive_desc_t *out,
                                        const bur_onednn_problem *p, const descriptors *md,
                                        const_dnnl_primitive_attr_t attr,
                                        const_dnnl_primitive_desc_t forward)
{
    const window w = window_of(p);
    dnnl_convolution_desc_t op;
    const dnnl_status_t status = dnnl->dilated_convolution_backward_weights_desc_init(
        &op, dnnl_convolution_direct, &md->x, &md->w, NULL, &md->y, w.stride, w.dilation,
        w.pad_begin, w.pad_end);
    if (status != dnnl_success)
        return status;
    return dnnl->primitive_desc_create(out, &op, attr, dnnl->engine, forward);
}

#endif

static const struct {
    create_function *create;
    dnnl_query_t weights; /* where its descriptor holds the weights' layout */
    bool writes_weights;
    bool is_gradient; /* of the convolution with the same tensors */
    bool adds;        /* has a reorder that adds to what the result holds */
} kinds[BUR_ONEDNN_KINDS] = {
    [BUR_ONEDNN_MATMUL] = {create_matmul, dnnl_query_weights_md, false, false, false},
    [BUR_ONEDNN_CONV] = {create_conv, dnnl_query_weights_md, false, false, false},
    [BUR_ONEDNN_CONV_GRAD_X] = {create_conv_grad_x, dnnl_query_weights_md, false, true, false},
    [BUR_ONEDNN_CONV_GRAD_W] = {create_conv_grad_w, dnnl_query_diff_weights_md, true, true, false},
    [BUR_ONEDNN_CONV_GRAD_W_ADD] = {create_conv_grad_w, dnnl_query_diff_weights_md, true, true,
                                    true},
};

/* ---- attributes: caller's scratchpad, activation after the sum ---- */

typedef struct eltwise {
    dnnl_alg_kind_t kind;
    float alpha, beta;
    bool takes_alpha; /* the problem's */
} eltwise;

/* By activation, one or two steps. */
static const eltwise eltwises[BUR_ACTIVATION_COUNT][2] = {
    [BUR_RELU] = {{dnnl_eltwise_relu, 0, 0, false}},
    [BUR_LEAKY_RELU] = {{dnnl_eltwise_relu, 0, 0, true}},
    [BUR_TANH] = {{dnnl_eltwise_tanh, 0, 0, false}},
    [BUR_SIGMOID] = {{dnnl_eltwise_logistic, 0, 0, false}},
    [BUR_RELU6] = {{dnnl_eltwise_clip, 0, 6, false}},
    [BUR_ELU] = {{dnnl_eltwise_elu, 0, 0, true}},
    [BUR_SELU] = {{dnnl_eltwise_elu, BUR_SELU_ALPHA, 0, false},
                  {dnnl_eltwise_linear, BUR_SELU_SCALE, 0, false}},
    [BUR_HARD_SIGMOID] = {{dnnl_eltwise_linear, 1.0f / 6, 0.5f, false},
                          {dnnl_eltwise_clip, 0, 1, false}},
};

static dnnl_status_t append_eltwise(const bur_onednn *dnnl, dnnl_post_ops_t post,
                                    const eltwise *step, float alpha)
{
    if (step->kind == dnnl_alg_kind_undef)
        return dnnl_success;
    const float first = step->takes_alpha ? alpha : step->alpha;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl->post_ops_append_eltwise(post, step->kind, first, step->beta);
#else
    return dnnl->post_ops_append_eltwise(post, 1.0f, step->kind, first, step->beta);
#endif
}

static dnnl_status_t append_sum(const bur_onednn *dnnl, dnnl_post_ops_t post)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl->post_ops_append_sum(post, 1.0f, 0, dnnl_data_type_undef);
#else
    return dnnl->post_ops_append_sum(post, 1.0f);
#endif
}

static dnnl_status_t append_activation(const bur_onednn *dnnl, dnnl_primitive_attr_t attr,
                                       const bur_onednn_problem *p)
{
    if (p->activation == BUR_LINEAR)
        return dnnl_success;
    dnnl_post_ops_t post = NULL;
    dnnl_status_t status = dnnl->post_ops_create(&post);
    for (int i = 0; i < 2 && status == dnnl_success; i++)
        status = append_eltwise(dnnl, post, &eltwises[p->activation][i], p->alpha);
    if (status == dnnl_success)
        status = dnnl->primitive_attr_set_post_ops(attr, post);
    if (post != NULL)
        dnnl->post_ops_destroy(post);
    return status;
}

static dnnl_status_t create_attr(const bur_onednn *dnnl, dnnl_primitive_attr_t *out,
                                 const bur_onednn_problem *p)
{
    dnnl_status_t status = dnnl->primitive_attr_create(out);
    if (status != dnnl_success)
        return status;
    status = dnnl->primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    return status == dnnl_success ? append_activation(dnnl, *out, p) : status;
}

/* ---- descriptors by problem ---- */

/* Planning asks for the scratch of every node and for many batch sizes, then the kernels are built:
 * each signature is described once. A fixed table, so that nothing here grows. */
enum { CACHE_ENTRIES = 256, PAD = 64 /* bytes: a cache line, the alignment of every tensor */ };

typedef struct entry {
    bur_onednn_problem problem;
    dnnl_primitive_desc_t main;
    size_t scratchpad_bytes, weights_bytes; /* 0: the weights stay plain */
    bur_onednn_needs needs;
    uint64_t used; /* 0: free, else grows with every use */
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry cache[CACHE_ENTRIES];
static entry *latest = cache; /* a call is asked about several times in a row */
static uint64_t uses;

static void entry_clear(const bur_onednn *dnnl, entry *e)
{
    if (e->main)
        dnnl->primitive_desc_destroy(e->main);
    memset(e, 0, sizeof *e);
}

/* The bytes of the weights in the layout that `main` chose, if it is not the caller's or `main`
 * would overwrite what is to be added to. */
static void measure_weights(const bur_onednn *dnnl, entry *e, const descriptors *md)
{
    const md_pointer chosen =
        dnnl->primitive_desc_query_md(e->main, kinds[e->problem.kind].weights, 0);
    if (!dnnl->memory_desc_equal(pointer_to(&md->plain_w), chosen) || kinds[e->problem.kind].adds)
        e->weights_bytes = dnnl->memory_desc_get_size(chosen);
}

/* Attributes of a reorder that adds. */
static dnnl_status_t create_sum_attr(const bur_onednn *dnnl, dnnl_primitive_attr_t *out)
{
    dnnl_post_ops_t post = NULL;
    dnnl_status_t status = dnnl->primitive_attr_create(out);
    if (status == dnnl_success)
        status = dnnl->post_ops_create(&post);
    if (status == dnnl_success)
        status = append_sum(dnnl, post);
    if (status == dnnl_success)
        status = dnnl->primitive_attr_set_post_ops(*out, post);
    if (post != NULL)
        dnnl->post_ops_destroy(post);
    return status;
}

/* The reorder between the caller's weights and the layout that `main` chose, if there is one, with
 * `attr` or NULL: only a kernel that is built needs it. */
static dnnl_status_t create_reorder(dnnl_primitive_t *out, const bur_onednn *dnnl, const entry *e,
                                    const_dnnl_primitive_attr_t attr)
{
    if (e->weights_bytes == 0)
        return dnnl_success;
    const int32_t kind = e->problem.kind;
    dnnl_memory_desc_t md = {0};
    dnnl_primitive_desc_t description = NULL;
    dnnl_status_t status = describe_tensor(dnnl, &md, &e->problem.w, false);
    const md_pointer plain = pointer_to(&md),
                     chosen = dnnl->primitive_desc_query_md(e->main, kinds[kind].weights, 0);
    const md_pointer from = kinds[kind].writes_weights ? chosen : plain;
    const md_pointer to = kinds[kind].writes_weights ? plain : chosen;
    if (status == dnnl_success)
        status = dnnl->reorder_primitive_desc_create(&description, from, dnnl->engine, to,
                                                     dnnl->engine, attr);
    if (status == dnnl_success)
        status = dnnl->primitive_create(out, description);
    if (description)
        dnnl->primitive_desc_destroy(description);
    md_destroy(dnnl, &md);
    return status;
}

static dnnl_status_t create_reorders(bur_onednn_code *code, const bur_onednn *dnnl, const entry *e)
{
    dnnl_status_t status = create_reorder(&code->reorder, dnnl, e, NULL);
    if (status != dnnl_success || !kinds[e->problem.kind].adds)
        return status;
    dnnl_primitive_attr_t attr = NULL;
    status = create_sum_attr(dnnl, &attr);
    if (status == dnnl_success)
        status = create_reorder(&code->add, dnnl, e, attr);
    if (attr != NULL)
        dnnl->primitive_attr_destroy(attr);
    return status;
}

static size_t pad(size_t bytes)
{
    return (bytes + PAD - 1) / PAD * PAD;
}

static void measure_needs(const bur_onednn *dnnl, entry *e)
{
    const char *name = "";
    dnnl->primitive_desc_query(e->main, dnnl_query_impl_info_str, 0, (void *)&name);
    bur__onednn_estimate(&e->needs, name, &e->problem);
    e->needs.scratch_bytes = pad(e->scratchpad_bytes) + pad(e->weights_bytes);
}

static dnnl_status_t describe_main(const bur_onednn *dnnl, entry *e, const descriptors *md,
                                   const_dnnl_primitive_attr_t attr,
                                   const_dnnl_primitive_desc_t forward)
{
    const bur_onednn_problem *p = &e->problem;
    const dnnl_status_t status = kinds[p->kind].create(dnnl, &e->main, p, md, attr, forward);
    if (status != dnnl_success)
        return status;
    const md_pointer scratchpad =
        dnnl->primitive_desc_query_md(e->main, dnnl_query_scratchpad_md, 0);
    e->scratchpad_bytes = scratchpad ? dnnl->memory_desc_get_size(scratchpad) : 0;
    measure_weights(dnnl, e, md);
    measure_needs(dnnl, e);
    return dnnl_success;
}

static dnnl_status_t describe(const bur_onednn *dnnl, entry *e, const_dnnl_primitive_desc_t forward)
{
    descriptors md = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = describe_tensors(dnnl, &md, &e->problem);
    if (status == dnnl_success)
        status = create_attr(dnnl, &attr, &e->problem);
    if (status == dnnl_success)
        status = describe_main(dnnl, e, &md, attr, forward);
    if (attr)
        dnnl->primitive_attr_destroy(attr);
    destroy_tensors(dnnl, &md);
    return status;
}

static bool is_entry_of(const entry *e, const bur_onednn_problem *p)
{
    return e->used && memcmp(&e->problem, p, sizeof *p) == 0;
}

static entry *find_entry(const bur_onednn_problem *p)
{
    if (is_entry_of(latest, p))
        return latest;
    for (entry *e = cache; e < cache + CACHE_ENTRIES; e++)
        if (is_entry_of(e, p))
            return e;
    return NULL;
}

static entry *oldest_entry(void)
{
    entry *oldest = cache;
    for (entry *e = cache; e < cache + CACHE_ENTRIES; e++)
        if (e->used < oldest->used)
            oldest = e;
    return oldest;
}

/* The entry of a problem, described if it is new, in the place of the one unused for longest. A
 * gradient's description takes that of its convolution as a hint, which both gradients share and
 * often the forward node, too. The lock is held. oneDNN splits work and sizes scratch by
 * omp_get_max_threads() at this time. */
static dnnl_status_t entry_get(entry **out, const bur_onednn *dnnl, const bur_onednn_problem *p)
{
    entry *e = find_entry(p), *forward = NULL;
    dnnl_status_t status = dnnl_success;
    if (e == NULL && kinds[p->kind].is_gradient) {
        bur_onednn_problem convolution = *p;
        convolution.kind = BUR_ONEDNN_CONV;
        status = entry_get(&forward, dnnl, &convolution);
    }
    if (e == NULL && status == dnnl_success) {
        e = oldest_entry();
        entry_clear(dnnl, e);
        e->problem = *p;
        status = describe(dnnl, e, forward ? forward->main : NULL);
        if (status != dnnl_success)
            entry_clear(dnnl, e);
    }
    if (status != dnnl_success)
        return status;
    e->used = ++uses;
    *out = latest = e;
    return dnnl_success;
}

void bur__onednn_forget(void)
{
    pthread_mutex_lock(&lock);
    for (entry *e = cache; e < cache + CACHE_ENTRIES; e++)
        if (e->used)
            entry_clear(bur__onednn(), e);
    pthread_mutex_unlock(&lock);
}

bur_status bur__onednn_status(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return BUR_OK;
    if (status == dnnl_out_of_memory)
        return bur_fail(BUR_E_NOMEM, "oneDNN: no memory for %s", what);
    return bur_fail(BUR_E_UNSUPPORTED, "oneDNN: %s failed with status %d", what, (int)status);
}

bur_status bur__onednn_describe(bur_onednn_needs *out, const bur_onednn_problem *problem)
{
    const bur_onednn *dnnl = bur__onednn();
    const int threads_before = omp_get_max_threads();
    omp_set_num_threads(problem->threads);
    pthread_mutex_lock(&lock);
    entry *e = NULL;
    const dnnl_status_t status = entry_get(&e, dnnl, problem);
    if (status == dnnl_success)
        *out = e->needs;
    pthread_mutex_unlock(&lock);
    omp_set_num_threads(threads_before);
    return bur__onednn_status(status, "the description of a kernel");
}

void bur__onednn_code_clear(bur_onednn_code *code)
{
    const dnnl_primitive_t primitives[] = {code->main, code->reorder, code->add};
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++)
        if (primitives[i] != NULL)
            bur__onednn()->primitive_destroy(primitives[i]);
    memset(code, 0, sizeof *code);
}

bur_status bur__onednn_compile(bur_onednn_code *out, const bur_onednn_problem *problem)
{
    const bur_onednn *dnnl = bur__onednn();
    const int threads_before = omp_get_max_threads();
    omp_set_num_threads(problem->threads);
    pthread_mutex_lock(&lock);
    entry *e = NULL;
    bur_onednn_code code = {0};
    dnnl_status_t status = entry_get(&e, dnnl, problem);
    if (status == dnnl_success)
        status = dnnl->primitive_create(&code.main, e->main);
    if (status == dnnl_success)
        status = create_reorders(&code, dnnl, e);
    if (status == dnnl_success) {
        code.scratchpad_bytes = e->scratchpad_bytes;
        code.weights_offset = pad(e->scratchpad_bytes);
        *out = code;
        entry_clear(dnnl, e); /* the primitives have copies, tens of KiB each, of what they need */
    } else {
        bur__onednn_code_clear(&code);
    }
    pthread_mutex_unlock(&lock);
    omp_set_num_threads(threads_before);
    return bur__onednn_status(status, "the build of a kernel");
}
