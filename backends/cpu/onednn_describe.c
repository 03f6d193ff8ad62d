/* From a problem to primitive descriptors, the same for oneDNN 2.x (operation descriptors, memory
 * descriptors are structs) and 3.x (primitive descriptors at once, memory descriptors are handles).
 */
#include "onednn_describe.h"

#include <string.h>

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

/* ---- descriptions ---- */

bool bur__onednn_is_gradient(int32_t kind)
{
    return kinds[kind].is_gradient;
}

/* The bytes of the weights in the layout that `main` chose, if it is not the caller's or `main`
 * would overwrite what is to be added to. */
static size_t weights_bytes(const bur_onednn *dnnl, dnnl_primitive_desc_t main, int32_t kind,
                            const descriptors *md)
{
    const md_pointer chosen = dnnl->primitive_desc_query_md(main, kinds[kind].weights, 0);
    const bool stay_plain = dnnl->memory_desc_equal(pointer_to(&md->plain_w), chosen) != 0;
    return stay_plain && !kinds[kind].adds ? 0 : dnnl->memory_desc_get_size(chosen);
}

static dnnl_status_t describe_main(bur_onednn_description *out, const bur_onednn *dnnl,
                                   const bur_onednn_problem *p, const descriptors *md,
                                   const_dnnl_primitive_attr_t attr,
                                   const_dnnl_primitive_desc_t forward)
{
    dnnl_primitive_desc_t main = NULL;
    const dnnl_status_t status = kinds[p->kind].create(dnnl, &main, p, md, attr, forward);
    if (status != dnnl_success)
        return status;
    const md_pointer scratchpad = dnnl->primitive_desc_query_md(main, dnnl_query_scratchpad_md, 0);
    out->main = main;
    out->scratchpad_bytes = scratchpad ? dnnl->memory_desc_get_size(scratchpad) : 0;
    out->weights_bytes = weights_bytes(dnnl, main, p->kind, md);
    return dnnl_success;
}

dnnl_status_t bur__onednn_description_create(bur_onednn_description *out, const bur_onednn *dnnl,
                                             const bur_onednn_problem *problem,
                                             const_dnnl_primitive_desc_t forward)
{
    descriptors md = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = describe_tensors(dnnl, &md, problem);
    if (status == dnnl_success)
        status = create_attr(dnnl, &attr, problem);
    if (status == dnnl_success)
        status = describe_main(out, dnnl, problem, &md, attr, forward);
    if (attr)
        dnnl->primitive_attr_destroy(attr);
    destroy_tensors(dnnl, &md);
    return status;
}

void bur__onednn_description_destroy(bur_onednn_description *description, const bur_onednn *dnnl)
{
    if (description->main)
        dnnl->primitive_desc_destroy(description->main);
    *description = (bur_onednn_description){0};
}

/* ---- reorders ---- */

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
static dnnl_status_t create_reorder(dnnl_primitive_t *out, const bur_onednn *dnnl,
                                    const bur_onednn_description *d, const bur_onednn_problem *p,
                                    const_dnnl_primitive_attr_t attr)
{
    if (d->weights_bytes == 0)
        return dnnl_success;
    dnnl_memory_desc_t md = {0};
    dnnl_primitive_desc_t reorder = NULL;
    dnnl_status_t status = describe_tensor(dnnl, &md, &p->w, false);
    const md_pointer plain = pointer_to(&md),
                     chosen = dnnl->primitive_desc_query_md(d->main, kinds[p->kind].weights, 0);
    const md_pointer from = kinds[p->kind].writes_weights ? chosen : plain;
    const md_pointer to = kinds[p->kind].writes_weights ? plain : chosen;
    if (status == dnnl_success)
        status = dnnl->reorder_primitive_desc_create(&reorder, from, dnnl->engine, to, dnnl->engine,
                                                     attr);
    if (status == dnnl_success)
        status = dnnl->primitive_create(out, reorder);
    if (reorder)
        dnnl->primitive_desc_destroy(reorder);
    md_destroy(dnnl, &md);
    return status;
}

dnnl_status_t bur__onednn_create_reorders(bur_onednn_code *code, const bur_onednn *dnnl,
                                          const bur_onednn_description *description,
                                          const bur_onednn_problem *problem)
{
    dnnl_status_t status = create_reorder(&code->reorder, dnnl, description, problem, NULL);
    if (status != dnnl_success || !kinds[problem->kind].adds)
        return status;
    dnnl_primitive_attr_t attr = NULL;
    status = create_sum_attr(dnnl, &attr);
    if (status == dnnl_success)
        status = create_reorder(&code->add, dnnl, description, problem, attr);
    if (attr != NULL)
        dnnl->primitive_attr_destroy(attr);
    return status;
}
