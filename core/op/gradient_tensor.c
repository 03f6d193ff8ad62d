/* Gradient rules of arithmetic, reductions and movement of elements. */
#include "rules.h"

#include <string.h>

static const bur_attr no_attr;

static bool is_float(bur_dtype dtype)
{
    return dtype == BUR_F32 || dtype == BUR_F64;
}

static bur_status emit(const bur_gradient_call *call, bur_op op, const bur_attr *attr,
                       const int32_t *inputs, int32_t n_inputs, int32_t *out)
{
    return call->emitter->emit(call->emitter->graph, op, attr, inputs, n_inputs, 1, out);
}

static bur_status emit1(const bur_gradient_call *call, bur_op op, const bur_attr *attr, int32_t a,
                        int32_t *out)
{
    return emit(call, op, attr, &a, 1, out);
}

static bur_status emit2(const bur_gradient_call *call, bur_op op, int32_t a, int32_t b,
                        int32_t *out)
{
    return emit(call, op, &no_attr, (const int32_t[]){a, b}, 2, out);
}

static const bur_desc *desc_of(const bur_gradient_call *call, int32_t value)
{
    return call->emitter->desc(call->emitter->graph, value);
}

static const bur_shape *shape_of(const bur_gradient_call *call, int32_t value)
{
    return &desc_of(call, value)->shape;
}

static void put_shape(int32_t *rank, int32_t *list, const bur_shape *shape)
{
    *rank = shape->rank;
    for (int32_t i = 0; i < shape->rank; i++)
        list[i] = (int32_t)shape->dim[i];
}

/* Sums the gradient of x, broadcast to y's shape, over the dimensions that x has not. */
static bur_status sum_to(const bur_gradient_call *call, int32_t gradient, int32_t x, int32_t *out)
{
    const bur_shape *shape = shape_of(call, x);
    *out = gradient;
    if (bur_shape_equal(shape, shape_of(call, call->y[0])))
        return BUR_OK;
    bur_attr attr = no_attr;
    put_shape(&attr.reduce.rank, attr.reduce.shape, shape);
    return emit1(call, BUR_OP_reduce_sum, &attr, gradient, out);
}

/* ---- arithmetic: the gradient by input i, before it is summed to x_i's shape ---- */

typedef bur_status arithmetic_rule(const bur_gradient_call *call, int32_t i, int32_t *out);

static bur_status by_add(const bur_gradient_call *call, int32_t i, int32_t *out)
{
    (void)i;
    *out = call->dy; /* the graph never writes into it while another reader is left */
    return BUR_OK;
}

static bur_status by_mul(const bur_gradient_call *call, int32_t i, int32_t *out)
{
    return emit2(call, BUR_OP_mul, call->dy, call->x[1 - i], out);
}

/* dy / b, and dy y / b whose sign is turned after the sum */
static bur_status by_div(const bur_gradient_call *call, int32_t i, int32_t *out)
{
    int32_t dividend = call->dy;
    if (i == 1)
        BUR_TRY(emit2(call, BUR_OP_mul, call->dy, call->y[0], &dividend));
    return emit2(call, BUR_OP_div, dividend, call->x[1], out);
}

static bur_status by_extreme(const bur_gradient_call *call, int32_t i, int32_t *out)
{
    const bur_op row = call->op == BUR_OP_maximum ? BUR_OP_maximum_grad : BUR_OP_minimum_grad;
    const int32_t inputs[] = {call->dy, call->x[i], call->x[1 - i]};
    return emit(call, row, &no_attr, inputs, 3, out);
}

/* Of x_i times a gate: *done if it is one. */
static bur_status by_gate(const bur_gradient_call *call, int32_t i, bool *done)
{
    const int32_t inputs[] = {call->dy, call->x[i], call->x[1 - i]};
    const bur_shape *x = shape_of(call, call->x[i]), *s = shape_of(call, call->x[1 - i]);
    if (call->op != BUR_OP_mul || !call->needs[0] || !call->needs[1] || bur_shape_equal(x, s) ||
        !bur__is_gate(x, s))
        return BUR_OK;
    int32_t first = -1;
    BUR_TRY(call->emitter->emit(call->emitter->graph, BUR_OP_gate_grad, &no_attr, inputs, 3, 2,
                                &first));
    call->dx[i] = first;
    call->dx[1 - i] = first + 1;
    *done = true;
    return BUR_OK;
}

bur_status bur_gradient_arithmetic(const bur_gradient_call *call)
{
    static arithmetic_rule *const rules[BUR_OP_COUNT] = {
        [BUR_OP_add] = by_add, [BUR_OP_sub] = by_add,         [BUR_OP_mul] = by_mul,
        [BUR_OP_div] = by_div, [BUR_OP_maximum] = by_extreme, [BUR_OP_minimum] = by_extreme,
    };
    const bool negates = call->op == BUR_OP_sub || call->op == BUR_OP_div;
    bool done = false;
    for (int32_t i = 0; i < 2 && !done; i++)
        BUR_TRY(by_gate(call, i, &done));
    if (done)
        return BUR_OK;
    for (int32_t i = 0; i < 2; i++) {
        if (!call->needs[i])
            continue;
        int32_t gradient = -1;
        BUR_TRY(rules[call->op](call, i, &gradient));
        BUR_TRY(sum_to(call, gradient, call->x[i], &gradient));
        if (i == 1 && negates)
            BUR_TRY(emit1(call, BUR_OP_neg, &no_attr, gradient, &gradient));
        call->dx[i] = gradient;
    }
    return BUR_OK;
}

/* The row that makes dx of dy and, where it is asked for, x or y. */
bur_status bur_gradient_unary(const bur_gradient_call *call)
{
    enum source { NOTHING, X, Y };
    static const struct {
        int32_t row;
        enum source source;
    } rules[BUR_OP_COUNT] = {
        [BUR_OP_neg] = {BUR_OP_neg, NOTHING},
        [BUR_OP_exp] = {BUR_OP_mul, Y},
        [BUR_OP_log] = {BUR_OP_div, X},
        [BUR_OP_sqrt] = {BUR_OP_sqrt_grad, Y},
        [BUR_OP_square] = {BUR_OP_square_grad, X},
        [BUR_OP_abs] = {BUR_OP_abs_grad, X},
        [BUR_OP_pow] = {BUR_OP_pow_grad, X},
        [BUR_OP_affine] = {BUR_OP_affine, NOTHING},
    };
    const enum source source = rules[call->op].source;
    const int32_t inputs[] = {call->dy, source == Y ? call->y[0] : call->x[0]};
    bur_attr attr = *call->attr;
    if (call->op == BUR_OP_affine)
        attr.affine.shift = 0;
    return emit(call, (bur_op)rules[call->op].row, &attr, inputs, source == NOTHING ? 1 : 2,
                &call->dx[0]);
}

/* ---- products ---- */

/* Sums a gradient of y's batches over those that x has one matrix for. */
static bur_status sum_batches(const bur_gradient_call *call, int32_t gradient, int32_t x,
                              int32_t *out)
{
    const bur_shape *own = shape_of(call, x);
    bur_shape y = *shape_of(call, call->y[0]);
    for (int32_t i = 1; y.rank == own->rank && i <= 2; i++)
        y.dim[y.rank - i] = own->dim[y.rank - i];
    *out = gradient;
    if (bur_shape_equal(own, &y))
        return BUR_OK;
    bur_attr attr = no_attr;
    put_shape(&attr.reduce.rank, attr.reduce.shape, own);
    return emit1(call, BUR_OP_reduce_sum, &attr, gradient, out);
}

/* As matmul's: dA = dy B^T and dB = A^T dy, turned where a or b was. */
bur_status bur_gradient_batch_matmul(const bur_gradient_call *call)
{
    const bool ta = call->attr->matmul.transpose_a != 0, tb = call->attr->matmul.transpose_b != 0;
    const int32_t a = call->x[0], b = call->x[1], dy = call->dy;
    const struct {
        int32_t left, right;
        bool turn_left, turn_right;
    } products[2] = {
        {ta ? b : dy, ta ? dy : b, ta && tb, ta || !tb},
        {tb ? dy : a, tb ? a : dy, tb || !ta, tb && ta},
    };
    for (int32_t i = 1; i >= 0; i--) {
        if (!call->needs[i])
            continue;
        const bur_attr attr = {.matmul = {.transpose_a = products[i].turn_left,
                                          .transpose_b = products[i].turn_right}};
        const int32_t inputs[] = {products[i].left, products[i].right};
        int32_t gradient = -1;
        BUR_TRY(emit(call, BUR_OP_batch_matmul, &attr, inputs, 2, &gradient));
        BUR_TRY(sum_batches(call, gradient, call->x[i], &call->dx[i]));
    }
    return BUR_OK;
}

/* ---- movement ---- */

bur_status bur_gradient_transpose(const bur_gradient_call *call)
{
    const bur_shape *x = shape_of(call, call->x[0]);
    bur_attr inverse = {.transpose = {.rank = x->rank}};
    for (int32_t i = 0; i < x->rank; i++)
        inverse.transpose.perm[bur__transposed_dim(&call->attr->transpose, x, i)] = i;
    return emit1(call, BUR_OP_transpose, &inverse, call->dy, &call->dx[0]);
}

bur_status bur_gradient_slice(const bur_gradient_call *call)
{
    const bur_shape *x = shape_of(call, call->x[0]);
    if (x->rank > BUR_PAD_RANK)
        return bur_fail(BUR_E_UNSUPPORTED, "a slice of %d dimensions has no gradient; %d at most",
                        (int)x->rank, BUR_PAD_RANK);
    bur_attr attr = no_attr;
    for (int32_t i = 0; i < x->rank; i++) {
        int64_t begin = 0, end = 0;
        bur__slice_range(&call->attr->slice, x, i, &begin, &end);
        attr.pad.before[i] = (int32_t)begin;
        attr.pad.after[i] = (int32_t)(x->dim[i] - end);
    }
    return emit1(call, BUR_OP_pad, &attr, call->dy, &call->dx[0]);
}

bur_status bur_gradient_pad(const bur_gradient_call *call)
{
    const bur_shape *x = shape_of(call, call->x[0]);
    bur_attr attr = no_attr;
    for (int32_t i = 0; i < x->rank; i++) {
        attr.slice.begin[i] = call->attr->pad.before[i];
        attr.slice.end[i] = -call->attr->pad.after[i];
    }
    return emit1(call, BUR_OP_slice, &attr, call->dy, &call->dx[0]);
}

/* An end of a slice, counted from the end: 0 at it. */
static int32_t from_end(int64_t end, int64_t size)
{
    return (int32_t)(end - size);
}

/* Every input gets its slice of dy. */
bur_status bur_gradient_concat(const bur_gradient_call *call)
{
    const bur_shape *y = shape_of(call, call->y[0]);
    const int32_t axis = bur__axis_of(call->attr->concat.axis, y->rank);
    int64_t begin = 0;
    for (int32_t i = 0; i < call->n_x; i++) {
        const int64_t end = begin + shape_of(call, call->x[i])->dim[axis];
        bur_attr attr = no_attr;
        attr.slice.begin[axis] = (int32_t)begin;
        attr.slice.end[axis] = from_end(end, y->dim[axis]);
        if (call->needs[i])
            BUR_TRY(emit1(call, BUR_OP_slice, &attr, call->dy, &call->dx[i]));
        begin = end;
    }
    return BUR_OK;
}

/* da is dy where a was chosen and db where b was, each summed to its shape. */
bur_status bur_gradient_where(const bur_gradient_call *call)
{
    for (int32_t i = 1; i < call->n_x; i++) {
        if (!call->needs[i])
            continue;
        const bur_attr attr = {.where = {.invert = (call->attr->where.invert != 0) != (i == 2)}};
        const int32_t inputs[] = {call->x[0], call->dy};
        int32_t chosen = -1;
        BUR_TRY(emit(call, BUR_OP_where, &attr, inputs, 2, &chosen));
        BUR_TRY(sum_to(call, chosen, call->x[i], &call->dx[i]));
    }
    return BUR_OK;
}

bur_status bur_gradient_resize(const bur_gradient_call *call)
{
    const bur_shape *x = shape_of(call, call->x[0]);
    bur_attr attr = *call->attr;
    for (int i = 0; i < 2; i++) {
        attr.resize.size[i] = 0;
        attr.resize.input_size[i] = (int32_t)x->dim[1 + i];
    }
    return emit1(call, BUR_OP_resize_grad, &attr, call->dy, &call->dx[0]);
}

/* Integers have no gradient. */
bur_status bur_gradient_cast(const bur_gradient_call *call)
{
    const bur_dtype from = (bur_dtype)desc_of(call, call->x[0])->dtype;
    const bur_dtype to = (bur_dtype)desc_of(call, call->y[0])->dtype;
    if (!is_float(from) || !is_float(to))
        return BUR_OK;
    const bur_attr attr = {.cast = {.dtype = (int32_t)from}};
    return emit1(call, BUR_OP_cast, &attr, call->dy, &call->dx[0]);
}

bur_status bur_gradient_embedding(const bur_gradient_call *call)
{
    const bur_attr attr = {.embedding = {.rows = (int32_t)shape_of(call, call->x[0])->dim[0]}};
    const int32_t inputs[] = {call->dy, call->x[1]};
    return emit(call, BUR_OP_embedding_grad, &attr, inputs, 2, &call->dx[0]);
}

/* ---- reductions ---- */

bur_status bur_gradient_broadcast_to(const bur_gradient_call *call)
{
    return sum_to(call, call->dy, call->x[0], &call->dx[0]);
}

/* dx = dy (over n, for a mean) in every place that was summed. */
bur_status bur_gradient_reduce(const bur_gradient_call *call)
{
    const bur_shape *x = shape_of(call, call->x[0]);
    const uint32_t axes = bur__reduced_axes(call->attr, x);
    bur_attr kept = no_attr, all = no_attr;
    put_shape(&kept.reshape.rank, kept.reshape.shape, x);
    put_shape(&all.reshape.rank, all.reshape.shape, x);
    double terms = 1;
    for (int32_t i = 0; i < x->rank; i++)
        if ((axes >> i & 1) != 0) {
            terms *= (double)x->dim[i];
            kept.reshape.shape[i] = 1;
        }
    int32_t dx = call->dy;
    if (axes == 0) {
        call->dx[0] = dx;
        return BUR_OK;
    }
    if (call->op == BUR_OP_reduce_mean) {
        const bur_attr share = {.affine = {.scale = (float)(1 / terms)}};
        BUR_TRY(emit1(call, BUR_OP_affine, &share, dx, &dx));
    }
    if (call->attr->reduce.keep_dims == 0 && call->attr->reduce.rank == 0)
        BUR_TRY(emit1(call, BUR_OP_reshape, &kept, dx, &dx));
    return emit1(call, BUR_OP_broadcast_to, &all, dx, &call->dx[0]);
}

bur_status bur_gradient_reduce_max(const bur_gradient_call *call)
{
    bur_attr attr = *call->attr;
    put_shape(&attr.reduce.rank, attr.reduce.shape, shape_of(call, call->x[0]));
    const int32_t inputs[] = {call->dy, call->y[1]};
    return emit(call, BUR_OP_reduce_max_grad, &attr, inputs, 2, &call->dx[0]);
}
