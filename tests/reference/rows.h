/* One function per row of ops.def, named ref_ROW. */
#ifndef BUR_TESTS_REFERENCE_ROWS_H
#define BUR_TESTS_REFERENCE_ROWS_H

#include <burthen/op.h>

/* x[n_inputs] and y[n_outputs] are the operands' elements as double, never overlapping; integers
 * are exact. Rows that update write to x. */
typedef void ref_row(const bur_call *call, double *const *x, double *const *y);

#define BUR_OP_ROW(name, ...) ref_row ref_##name;
#include "ops.def"
#undef BUR_OP_ROW

/* act(x), and act'(x) in terms of y = act(x) where fused rows take it. */
double ref_activate(int32_t activation, double alpha, double x);
double ref_activate_slope(int32_t activation, double alpha, double y);

/* The step scalars from the elements of their tensor. */
bur_scalars ref_scalars(const double *words);

/* Elements of a tensor, and of its last axis. */
static inline int64_t ref_count(const bur_desc *desc)
{
    return bur_desc_count(desc);
}

static inline int64_t ref_columns(const bur_desc *desc)
{
    return desc->shape.dim[desc->shape.rank - 1];
}

#endif
