/* Convolution: one loop nest visits every product, three rows say what to do with it. */
#include "rows.h"

static int64_t or_one(int32_t value)
{
    return value == 0 ? 1 : value;
}

/* Which of x, w, y a row adds to, from the other two. */
typedef enum target { TO_Y, TO_X, TO_W } target;

/* For every product x[n,iy,ix,c] w[ky,kx,c',o] of y[n,oy,ox,o], iy = oy sy + ky dy - top:
 * TO_Y: y += x w; TO_X: x += y w; TO_W: w += x y, with gradients in the places of x, w, y.
 * xs [n, ih, iw, ic], ws [kh, kw, ic / groups, oc], ys [n, oh, ow, oc]. */
static void visit(target to, const bur_conv2d_attr *attr, double *x, const int64_t *xs, double *w,
                  const int64_t *ws, double *y, const int64_t *ys)
{
    const int64_t outputs_per_group = ws[3] / or_one(attr->groups);
    for (int64_t n = 0; n < ys[0]; n++)
        for (int64_t oy = 0; oy < ys[1]; oy++)
            for (int64_t ox = 0; ox < ys[2]; ox++)
                for (int64_t ky = 0; ky < ws[0]; ky++)
                    for (int64_t kx = 0; kx < ws[1]; kx++) {
                        const int64_t iy = oy * or_one(attr->stride[0]) +
                                           ky * or_one(attr->dilation[0]) - attr->pad[0];
                        const int64_t ix = ox * or_one(attr->stride[1]) +
                                           kx * or_one(attr->dilation[1]) - attr->pad[2];
                        if (iy < 0 || iy >= xs[1] || ix < 0 || ix >= xs[2])
                            continue;
                        for (int64_t c = 0; c < ws[2]; c++)
                            for (int64_t o = 0; o < ws[3]; o++) {
                                const int64_t channel = o / outputs_per_group * ws[2] + c;
                                double *xp = &x[((n * xs[1] + iy) * xs[2] + ix) * xs[3] + channel];
                                double *wp = &w[((ky * ws[1] + kx) * ws[2] + c) * ws[3] + o];
                                double *yp = &y[((n * ys[1] + oy) * ys[2] + ox) * ys[3] + o];
                                if (to == TO_Y)
                                    *yp += *xp * *wp;
                                else if (to == TO_X)
                                    *xp += *yp * *wp;
                                else
                                    *wp += *xp * *yp;
                            }
                    }
}

static void clear(double *y, const bur_desc *desc)
{
    for (int64_t i = 0; i < ref_count(desc); i++)
        y[i] = 0;
}

void ref_conv2d(const bur_call *call, double *const *x, double *const *y)
{
    clear(y[0], &call->outputs[0]);
    visit(TO_Y, &call->attr->conv2d, x[0], call->inputs[0].shape.dim, x[1],
          call->inputs[1].shape.dim, y[0], call->outputs[0].shape.dim);
}

/* y = act(conv(x, w) + bias) */
void ref_conv2d_bias_act(const bur_call *call, double *const *x, double *const *y)
{
    const bur_conv2d_attr *attr = &call->attr->conv2d;
    const int64_t oc = call->outputs[0].shape.dim[3];
    ref_conv2d(call, x, y);
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[0][i] = ref_activate(attr->activation, (double)attr->alpha, y[0][i] + x[2][i % oc]);
}

/* dx from (dy, w) */
void ref_conv2d_grad_x(const bur_call *call, double *const *x, double *const *y)
{
    clear(y[0], &call->outputs[0]);
    visit(TO_X, &call->attr->conv2d, y[0], call->outputs[0].shape.dim, x[1],
          call->inputs[1].shape.dim, x[0], call->inputs[0].shape.dim);
}

/* the same, y from (x, w) */
void ref_conv2d_transpose(const bur_call *call, double *const *x, double *const *y)
{
    ref_conv2d_grad_x(call, x, y);
}

/* dw from (x, dy) */
void ref_conv2d_grad_w(const bur_call *call, double *const *x, double *const *y)
{
    clear(y[0], &call->outputs[0]);
    visit(TO_W, &call->attr->conv2d, x[0], call->inputs[0].shape.dim, y[0],
          call->outputs[0].shape.dim, x[1], call->inputs[1].shape.dim);
}

/* the sum of dw and that of (x, dy) */
void ref_conv2d_grad_w_add(const bur_call *call, double *const *x, double *const *y)
{
    ref_conv2d_grad_w(call, x, y);
    for (int64_t i = 0; i < ref_count(&call->outputs[0]); i++)
        y[0][i] += ref_scalars(x[3]).first_sample == 0 ? 0 : x[2][i];
}
