/* Dropout, reshape. */
#include "rows.h"

#include <string.h>

bur_scalars ref_scalars(const double *words)
{
    int32_t word[BUR_SCALAR_WORDS];
    bur_scalars scalars;
    for (int i = 0; i < BUR_SCALAR_WORDS; i++)
        word[i] = (int32_t)words[i];
    memcpy(&scalars, word, sizeof scalars);
    return scalars;
}

/* The comparison with the rate is one of floats: the mask is exact on every device. */
void ref_dropout(const bur_call *call, double *const *x, double *const *y)
{
    const bur_scalars scalars = ref_scalars(x[1]);
    const float rate = call->attr->dropout.rate;
    const uint32_t key[2] = {scalars.seed[0], scalars.seed[1] + (uint32_t)call->attr->dropout.node};
    const int64_t samples = call->inputs[0].shape.dim[0],
                  elements = samples > 0 ? ref_count(&call->inputs[0]) / samples : 0;
    for (int64_t s = 0; s < samples; s++)
        for (int64_t e = 0; e < elements; e++) {
            const int64_t drawn = call->attr->dropout.per_sample ? 0 : e;
            const uint32_t counter[4] = {(uint32_t)(drawn / 4), scalars.first_sample + (uint32_t)s,
                                         scalars.step[0], scalars.step[1]};
            uint32_t word[4];
            bur_philox(word, counter, key);
            const int64_t i = s * elements + e;
            y[0][i] = bur_uniform(word[drawn % 4]) >= rate ? x[0][i] / (1 - (double)rate) : 0;
        }
}

void ref_reshape(const bur_call *call, double *const *x, double *const *y)
{
    for (int64_t i = 0; i < ref_count(&call->inputs[0]); i++)
        y[0][i] = x[0][i];
}
