/* Images to another size: every place of the result and its share of every pixel. */
#include "rows.h"

#include <math.h>

/* The weight of pixel i in place o, from the distance of their centres in pixels of the input. */
static double share_of(int32_t mode, int64_t i, int64_t o, int64_t in, int64_t out)
{
    const double centre = ((double)o + 0.5) * (double)in / (double)out;
    if (mode == BUR_NEAREST) /* pixel i reaches from i to i + 1 */
        return (int64_t)floor(centre + 1e-9) == i ? 1 : 0;
    const double place = fmin(fmax(centre - 0.5, 0), (double)(in - 1));
    return fmax(1 - fabs(place - (double)i), 0);
}

typedef struct sizes {
    int64_t n, ih, iw, oh, ow, c;
} sizes;

/* For every share of a pixel in a place: y += share x, or x += share y. */
static void visit(const sizes *s, int32_t mode, double *x, double *y, int to_x)
{
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t oy = 0; oy < s->oh; oy++)
            for (int64_t ox = 0; ox < s->ow; ox++)
                for (int64_t iy = 0; iy < s->ih; iy++)
                    for (int64_t ix = 0; ix < s->iw; ix++) {
                        const double share = share_of(mode, iy, oy, s->ih, s->oh) *
                                             share_of(mode, ix, ox, s->iw, s->ow);
                        for (int64_t c = 0; c < s->c; c++) {
                            double *pixel = &x[((n * s->ih + iy) * s->iw + ix) * s->c + c];
                            double *place = &y[((n * s->oh + oy) * s->ow + ox) * s->c + c];
                            if (to_x)
                                *pixel += share * *place;
                            else
                                *place += share * *pixel;
                        }
                    }
}

static void clear(double *y, const bur_desc *desc)
{
    for (int64_t i = 0; i < ref_count(desc); i++)
        y[i] = 0;
}

void ref_resize(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t *xs = call->inputs[0].shape.dim, *ys = call->outputs[0].shape.dim;
    const sizes s = {xs[0], xs[1], xs[2], ys[1], ys[2], xs[3]};
    clear(y[0], &call->outputs[0]);
    visit(&s, call->attr->resize.mode, x[0], y[0], 0);
}

void ref_resize_grad(const bur_call *call, double *const *x, double *const *y)
{
    const int64_t *ys = call->inputs[0].shape.dim, *xs = call->outputs[0].shape.dim;
    const sizes s = {xs[0], xs[1], xs[2], ys[1], ys[2], xs[3]};
    clear(y[0], &call->outputs[0]);
    visit(&s, call->attr->resize.mode, y[0], x[0], 1);
}
