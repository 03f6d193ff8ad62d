/* Runs a row of the reference on host memory: to double, the row, back. */
#include "reference.h"
#include "rows.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static ref_row *const rows[BUR_OP_COUNT] = {
#define BUR_OP_ROW(name, ...) [BUR_OP_##name] = ref_##name,
#include "ops.def"
#undef BUR_OP_ROW
};

static void load(double *to, const void *from, const bur_desc *desc)
{
    const int64_t n = ref_count(desc);
    for (int64_t i = 0; i < n; i++) {
        if (desc->dtype == BUR_F32)
            to[i] = (double)((const float *)from)[i];
        else if (desc->dtype == BUR_F64)
            to[i] = ((const double *)from)[i];
        else if (desc->dtype == BUR_I32)
            to[i] = ((const int32_t *)from)[i];
        else
            to[i] = ((const uint8_t *)from)[i];
    }
}

static void store(void *to, const double *from, const bur_desc *desc)
{
    const int64_t n = ref_count(desc);
    for (int64_t i = 0; i < n; i++) {
        if (desc->dtype == BUR_F32)
            ((float *)to)[i] = (float)from[i];
        else if (desc->dtype == BUR_F64)
            ((double *)to)[i] = from[i];
        else if (desc->dtype == BUR_I32)
            ((int32_t *)to)[i] = (int32_t)from[i];
        else
            ((uint8_t *)to)[i] = (uint8_t)from[i];
    }
}

static double *doubles(const bur_desc *desc)
{
    double *v = malloc(((size_t)ref_count(desc) + 1) * sizeof *v);
    assert(v != NULL);
    return v;
}

void bur_test_reference_evaluate(const bur_call *call, void *const *inputs, void *const *outputs)
{
    double **x = malloc(((size_t)call->n_inputs + 1) * sizeof *x);
    double **y = malloc(((size_t)call->n_outputs + 1) * sizeof *y);
    assert(x != NULL && y != NULL);
    for (int32_t i = 0; i < call->n_inputs; i++) {
        x[i] = doubles(&call->inputs[i]);
        load(x[i], inputs[i], &call->inputs[i]);
    }
    for (int32_t i = 0; i < call->n_outputs; i++) {
        y[i] = doubles(&call->outputs[i]);
        for (int64_t j = 0; j < ref_count(&call->outputs[i]); j++)
            y[i][j] = NAN; /* so that an element the row forgets is seen */
    }
    rows[call->op](call, x, y);
    for (int32_t i = 0; i < call->n_inputs; i++) {
        if (bur_op_changes(call, i))
            store(inputs[i], x[i], &call->inputs[i]);
        free(x[i]);
    }
    for (int32_t i = 0; i < call->n_outputs; i++) {
        store(outputs[i], y[i], &call->outputs[i]);
        free(y[i]);
    }
    free(x);
    free(y);
}
