/* Start values of parameters. */
#include <burthen/nn.h>

#include <math.h>
#include <string.h>

/* The n-th block of four random words of a parameter. */
static void words(uint32_t out[4], uint64_t seed, int32_t parameter, uint64_t block)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32) ^ 0x696e6974u /* "init" */};
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)parameter, 0};
    bur_philox(out, counter, key);
}

/* Standard normal pair by Box and Muller, 1958; u is in (0, 1]. */
static void normal_pair(float *out, uint32_t a, uint32_t b)
{
    const double u = 1.0 - (double)bur_uniform(a),
                 angle = 6.283185307179586 * (double)bur_uniform(b);
    const double radius = sqrt(-2 * log(u));
    out[0] = (float)(radius * cos(angle));
    out[1] = (float)(radius * sin(angle));
}

/* Inputs and outputs of one unit: [in, out], [kh, kw, ic, oc]. */
static void fans(const bur_shape *shape, double *fan_in, double *fan_out)
{
    double field = 1;
    for (int32_t i = 0; i < shape->rank - 2; i++)
        field *= (double)shape->dim[i];
    *fan_in = field * (shape->rank >= 2 ? (double)shape->dim[shape->rank - 2] : 1);
    *fan_out = field * (shape->rank >= 1 ? (double)shape->dim[shape->rank - 1] : 1);
}

static double variance(bur_initializer initializer, double fan_in, double fan_out)
{
    const bool glorot =
        initializer == BUR_INIT_GLOROT_UNIFORM || initializer == BUR_INIT_GLOROT_NORMAL;
    return glorot ? 2 / (fan_in + fan_out) : 2 / fan_in;
}

void bur_initialize(float *values, const bur_desc *desc, bur_initializer initializer, uint64_t seed,
                    int32_t parameter)
{
    const int64_t count = bur_desc_count(desc);
    if (initializer == BUR_INIT_ZEROS || initializer == BUR_INIT_ONES) {
        for (int64_t i = 0; i < count; i++)
            values[i] = initializer == BUR_INIT_ONES ? 1.0F : 0.0F;
        return;
    }
    const bool uniform =
        initializer == BUR_INIT_GLOROT_UNIFORM || initializer == BUR_INIT_HE_UNIFORM;
    double fan_in = 1, fan_out = 1;
    fans(&desc->shape, &fan_in, &fan_out);
    const double deviation = sqrt(variance(initializer, fan_in, fan_out));
    const float limit = (float)(deviation * sqrt(3.0)); /* U(-l, l) has variance l^2 / 3 */
    for (int64_t i = 0; i < count; i += 4) {
        uint32_t word[4];
        float draw[4];
        words(word, seed, parameter, (uint64_t)i / 4);
        normal_pair(draw, word[0], word[1]);
        normal_pair(draw + 2, word[2], word[3]);
        for (int64_t j = 0; j < 4 && i + j < count; j++)
            values[i + j] =
                uniform ? (2 * bur_uniform(word[j]) - 1) * limit : draw[j] * (float)deviation;
    }
}

bur_status bur_session_initialize(bur_session *session, const bur_recipe *recipe, uint64_t seed)
{
    bur_context *context = bur_recipe_context(recipe);
    size_t most = 0;
    for (int32_t i = 0; i < bur_session_state_count(session); i++) {
        const size_t bytes = bur_desc_bytes(&bur_session_state_at(session, i)->desc);
        most = bytes > most ? bytes : most;
    }
    float *values = bur_alloc(context, most);
    if (values == NULL)
        return BUR_E_NOMEM;
    bur_status status = BUR_OK;
    for (int32_t i = 0; i < bur_session_state_count(session) && status == BUR_OK; i++) {
        const bur_state_tensor *tensor = bur_session_state_at(session, i);
        const bur_parameter *parameter = bur_recipe_parameter_at(recipe, tensor->parameter);
        if (tensor->slot < 0)
            bur_initialize(values, &tensor->desc, parameter->initializer, seed, tensor->parameter);
        for (int64_t j = 0; tensor->slot >= 0 && j < bur_desc_count(&tensor->desc); j++)
            values[j] = tensor->initial;
        status = bur_session_write_state(session, i, values);
    }
    bur_free(context, values);
    return status;
}
