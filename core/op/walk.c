/* Walks: boxes of elements with each operand's strides; see burthen/walk.h. */
#include <burthen/walk.h>

#include "rules.h"

#include <string.h>

/* Strides of a row-major tensor along the last `rank` dimensions of a box, 0 where it has one
 * element or no such dimension. */
static void set_strides(int64_t *stride, int32_t rank, const bur_shape *shape)
{
    int64_t step = 1;
    for (int32_t i = 1; i <= rank; i++) {
        const int64_t size = i <= shape->rank ? shape->dim[shape->rank - i] : 1;
        stride[rank - i] = size == 1 ? 0 : step;
        step *= size;
    }
}

static void set_box(bur_walk *walk, const bur_shape *box)
{
    walk->rank = box->rank;
    for (int32_t i = 0; i < box->rank; i++)
        walk->size[i] = box->dim[i];
}

static void add_operand(bur_walk *walk, const bur_shape *shape)
{
    set_strides(walk->stride[walk->operands++], walk->rank, shape);
}

static void walk_broadcast(bur_walk *walk, const bur_call *call, int32_t input)
{
    (void)input;
    set_box(walk, &call->outputs[0].shape);
    add_operand(walk, &call->outputs[0].shape);
    for (int32_t i = 0; i < call->n_inputs; i++)
        add_operand(walk, &call->inputs[i].shape);
}

/* The shape of a reduction's result with 1 for every reduced dimension. */
static bur_shape kept_shape(const bur_shape *x, uint32_t axes)
{
    bur_shape kept = *x;
    for (int32_t i = 0; i < x->rank; i++)
        if ((axes >> i & 1) != 0)
            kept.dim[i] = 1;
    return kept;
}

static void walk_reduce(bur_walk *walk, const bur_call *call, int32_t input)
{
    (void)input;
    const bur_shape *x = &call->inputs[0].shape;
    const bur_shape kept = kept_shape(x, bur__reduced_axes(call->attr, x));
    set_box(walk, x);
    add_operand(walk, &kept);
    add_operand(walk, x);
}

/* The position runs over the reduced dimensions alone. */
static void walk_reduce_max_grad(bur_walk *walk, const bur_call *call, int32_t input)
{
    (void)input;
    const bur_shape *x = &call->outputs[0].shape;
    const uint32_t axes =
        call->attr->reduce.axes == 0 ? UINT32_MAX : (uint32_t)call->attr->reduce.axes;
    const bur_shape kept = kept_shape(x, axes), reduced = kept_shape(x, ~axes);
    set_box(walk, x);
    add_operand(walk, x);
    add_operand(walk, &kept);
    add_operand(walk, &kept);
    add_operand(walk, &reduced);
}

static void walk_transpose(bur_walk *walk, const bur_call *call, int32_t input)
{
    (void)input;
    const bur_shape *x = &call->inputs[0].shape;
    int64_t stride[BUR_MAX_RANK];
    set_box(walk, &call->outputs[0].shape);
    add_operand(walk, &call->outputs[0].shape);
    set_strides(stride, x->rank, x);
    for (int32_t i = 0; i < x->rank; i++)
        walk->stride[1][i] = stride[bur__transposed_dim(&call->attr->transpose, x, i)];
    walk->operands++;
}

static void walk_slice(bur_walk *walk, const bur_call *call, int32_t input)
{
    (void)input;
    const bur_shape *x = &call->inputs[0].shape;
    set_box(walk, &call->outputs[0].shape);
    add_operand(walk, &call->outputs[0].shape);
    add_operand(walk, x);
    for (int32_t i = 0; i < x->rank; i++) {
        int64_t begin = 0, end = 0;
        bur__slice_range(&call->attr->slice, x, i, &begin, &end);
        walk->start[1] += begin * walk->stride[1][i];
    }
}

static void walk_pad(bur_walk *walk, const bur_call *call, int32_t input)
{
    (void)input;
    const bur_shape *x = &call->inputs[0].shape;
    set_box(walk, x);
    add_operand(walk, &call->outputs[0].shape);
    add_operand(walk, x);
    for (int32_t i = 0; i < x->rank; i++)
        walk->start[0] += call->attr->pad.before[i] * walk->stride[0][i];
}

static void walk_concat(bur_walk *walk, const bur_call *call, int32_t input)
{
    const bur_shape *y = &call->outputs[0].shape;
    const int32_t axis = bur__axis_of(call->attr->concat.axis, y->rank);
    set_box(walk, &call->inputs[input].shape);
    add_operand(walk, y);
    add_operand(walk, &call->inputs[input].shape);
    for (int32_t i = 0; i < input; i++)
        walk->start[0] += call->inputs[i].shape.dim[axis] * walk->stride[0][axis];
}

/* The leading dimensions of a tensor of matrices. */
static bur_shape batch_shape(const bur_desc *desc)
{
    bur_shape shape = desc->shape;
    shape.rank -= 2;
    return shape;
}

static void walk_batches(bur_walk *walk, const bur_call *call, int32_t input)
{
    (void)input;
    const bur_shape y = batch_shape(&call->outputs[0]);
    set_box(walk, &y);
    add_operand(walk, &y);
    for (int32_t i = 0; i < 2; i++) {
        const bur_shape x = batch_shape(&call->inputs[i]);
        add_operand(walk, &x);
    }
}

typedef void walk_rule(bur_walk *walk, const bur_call *call, int32_t input);

/* Rows that are not named here broadcast. */
static walk_rule *const rules[BUR_OP_COUNT] = {
    [BUR_OP_batch_matmul] = walk_batches,
    [BUR_OP_transpose] = walk_transpose,
    [BUR_OP_slice] = walk_slice,
    [BUR_OP_pad] = walk_pad,
    [BUR_OP_concat] = walk_concat,
    [BUR_OP_reduce_sum] = walk_reduce,
    [BUR_OP_reduce_mean] = walk_reduce,
    [BUR_OP_reduce_max] = walk_reduce,
    [BUR_OP_reduce_max_grad] = walk_reduce_max_grad,
};

/* Whether every operand passes dimensions d and e as one of their product; d lies outside of e. */
static bool merges(const bur_walk *walk, int32_t d, int32_t e)
{
    for (int32_t i = 0; i < walk->operands; i++)
        if (walk->stride[i][d] != walk->stride[i][e] * walk->size[e])
            return false;
    return true;
}

static void copy_dim(bur_walk *to, int32_t d, const bur_walk *from, int32_t e)
{
    to->size[d] = from->size[e];
    for (int32_t i = 0; i < from->operands; i++)
        to->stride[i][d] = from->stride[i][e];
}

static bur_walk empty_like(const bur_walk *walk)
{
    bur_walk empty = {.operands = walk->operands};
    memcpy(empty.start, walk->start, sizeof empty.start);
    return empty;
}

/* A walk has a dimension, if only one of size 1. */
static void complete(bur_walk *walk)
{
    if (walk->rank == 0)
        walk->size[walk->rank++] = 1;
}

static bur_walk simplify(const bur_walk *walk)
{
    bur_walk simple = empty_like(walk);
    for (int32_t d = 0; d < walk->rank; d++) {
        if (walk->size[d] == 1)
            continue;
        copy_dim(&simple, simple.rank++, walk, d);
        const int32_t last = simple.rank - 1;
        if (last > 0 && merges(&simple, last - 1, last)) {
            const int64_t outer = simple.size[last - 1];
            copy_dim(&simple, last - 1, &simple, last);
            simple.size[last - 1] *= outer;
            simple.rank--;
        }
    }
    complete(&simple);
    return simple;
}

bur_walk bur_walk_of(const bur_call *call, int32_t input)
{
    bur_walk walk;
    memset(&walk, 0, sizeof walk);
    (rules[call->op] == NULL ? walk_broadcast : rules[call->op])(&walk, call, input);
    return simplify(&walk);
}

int64_t bur_walk_count(const bur_walk *walk)
{
    int64_t count = 1;
    for (int32_t d = 0; d < walk->rank; d++)
        count *= walk->size[d];
    return count;
}

void bur_walk_split(bur_walk *kept, bur_walk *reduced, const bur_walk *walk)
{
    *kept = *reduced = empty_like(walk);
    for (int32_t d = 0; d < walk->rank; d++) {
        bur_walk *to = walk->size[d] != 1 && walk->stride[0][d] == 0 ? reduced : kept;
        copy_dim(to, to->rank++, walk, d);
    }
    complete(kept);
    complete(reduced);
}
