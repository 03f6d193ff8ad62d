/* Start values of parameters. */
#include <burthen/nn.h>

#include <math.h>
#include <string.h>

typedef enum draw { CONSTANT, UNIFORM, NORMAL, TRUNCATED, ORTHOGONAL, SECOND_QUARTER } draw;
typedef enum fan { FAN_NONE, FAN_IN, FAN_MEAN } fan;

/* What is drawn and its variance, scale / fan; for a constant scale is the value itself. */
static const struct {
    draw draw;
    fan fan;
    double scale;
} rows[BUR_INITIALIZER_COUNT] = {
    [BUR_INIT_DEFAULT] = {UNIFORM, FAN_MEAN, 1},
    [BUR_INIT_ZEROS] = {CONSTANT, FAN_NONE, 0},
    [BUR_INIT_ONES] = {CONSTANT, FAN_NONE, 1},
    [BUR_INIT_GLOROT_UNIFORM] = {UNIFORM, FAN_MEAN, 1},
    [BUR_INIT_GLOROT_NORMAL] = {TRUNCATED, FAN_MEAN, 1},
    [BUR_INIT_HE_UNIFORM] = {UNIFORM, FAN_IN, 2},
    [BUR_INIT_HE_NORMAL] = {TRUNCATED, FAN_IN, 2},
    [BUR_INIT_LECUN_UNIFORM] = {UNIFORM, FAN_IN, 1},
    [BUR_INIT_LECUN_NORMAL] = {TRUNCATED, FAN_IN, 1},
    [BUR_INIT_RANDOM_UNIFORM] = {UNIFORM, FAN_NONE, 0.05 * 0.05 / 3},
    [BUR_INIT_RANDOM_NORMAL] = {NORMAL, FAN_NONE, 0.05 * 0.05},
    [BUR_INIT_TRUNCATED_NORMAL] = {TRUNCATED, FAN_NONE, 0.05 * 0.05},
    [BUR_INIT_ORTHOGONAL] = {ORTHOGONAL, FAN_NONE, 1},
    [BUR_INIT_UNIT_FORGET] = {SECOND_QUARTER, FAN_NONE, 1},
};

/* The deviation of a standard normal that is truncated at -2 and 2. */
#define TRUNCATED_DEVIATION 0.87962566103423978

/* Where a parameter's random numbers come from: those of an element depend on these, its index and
 * how often it was drawn. */
typedef struct source {
    uint64_t seed;
    int32_t parameter;
} source;

/* The n-th block of four random words, drawn for the `attempt`-th time. */
static void words(uint32_t out[4], source from, uint64_t block, uint32_t attempt)
{
    const uint32_t key[2] = {(uint32_t)from.seed,
                             (uint32_t)(from.seed >> 32) ^ 0x696e6974u /* "init" */};
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)from.parameter,
                                 attempt};
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

static void draw_uniform(float *values, int64_t count, source from, double deviation)
{
    const float limit = (float)(deviation * sqrt(3.0)); /* U(-l, l) has variance l^2 / 3 */
    uint32_t word[4];
    for (int64_t i = 0; i < count; i++) {
        if (i % 4 == 0)
            words(word, from, (uint64_t)i / 4, 0);
        values[i] = (2 * bur_uniform(word[i % 4]) - 1) * limit;
    }
}

static void draw_four(float out[4], source from, uint64_t block, uint32_t attempt)
{
    uint32_t word[4];
    words(word, from, block, attempt);
    normal_pair(out, word[0], word[1]);
    normal_pair(out + 2, word[2], word[3]);
}

/* Beyond `most` deviations an element is drawn again. */
static void draw_normal(float *values, int64_t count, source from, double deviation, float most)
{
    float four[4], again[4];
    for (int64_t i = 0; i < count; i++) {
        const uint64_t block = (uint64_t)i / 4;
        if (i % 4 == 0)
            draw_four(four, from, block, 0);
        float value = four[i % 4];
        for (uint32_t attempt = 1; fabsf(value) > most; attempt++) {
            draw_four(again, from, block, attempt);
            value = again[i % 4];
        }
        values[i] = value * (float)deviation;
    }
}

/* The vectors that are made orthonormal: `count` of `length` elements, fewer than elements. */
typedef struct vectors {
    float *values;
    int64_t count, length, vector_step, element_step;
} vectors;

static double dot(const vectors *v, int64_t a, int64_t b)
{
    const float *x = v->values + a * v->vector_step, *y = v->values + b * v->vector_step;
    double sum = 0;
    for (int64_t i = 0; i < v->length; i++)
        sum += (double)x[i * v->element_step] * (double)y[i * v->element_step];
    return sum;
}

/* The factor Q of A = QR with R's diagonal positive, by Gram and Schmidt with every vector cleaned
 * twice, which leaves it orthogonal to rounding. Source: Giraud, Langou, "When modified
 * Gram-Schmidt generates a well-conditioned set of vectors", IMA J. Numer. Anal. 2002. */
static void orthonormalize(const vectors *v)
{
    for (int64_t k = 0; k < v->count; k++) {
        float *y = v->values + k * v->vector_step;
        for (int64_t j = 0; j < 2 * k; j++) {
            const float *x = v->values + j % k * v->vector_step;
            const float share = (float)dot(v, j % k, k);
            for (int64_t i = 0; i < v->length; i++)
                y[i * v->element_step] -= share * x[i * v->element_step];
        }
        const float scale = (float)(1 / sqrt(dot(v, k, k)));
        for (int64_t i = 0; i < v->length; i++)
            y[i * v->element_step] *= scale;
    }
}

static void draw_orthogonal(float *values, const bur_shape *shape, int64_t count, source from)
{
    const int64_t columns = shape->rank > 0 ? shape->dim[shape->rank - 1] : 1;
    const int64_t n_rows = count / columns;
    const vectors of_columns = {values, columns, n_rows, 1, columns},
                  of_rows = {values, n_rows, columns, columns, 1};
    draw_normal(values, count, from, 1, INFINITY);
    orthonormalize(columns <= n_rows ? &of_columns : &of_rows);
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

static double deviation_of(bur_initializer initializer, const bur_shape *shape)
{
    double fan_in = 1, fan_out = 1;
    fans(shape, &fan_in, &fan_out);
    const double fan_of[] = {
        [FAN_NONE] = 1, [FAN_IN] = fan_in, [FAN_MEAN] = (fan_in + fan_out) / 2};
    const double deviation = sqrt(rows[initializer].scale / fan_of[rows[initializer].fan]);
    const bool is_scaled = rows[initializer].fan != FAN_NONE;
    return is_scaled && rows[initializer].draw == TRUNCATED ? deviation / TRUNCATED_DEVIATION
                                                            : deviation;
}

void bur_initialize(float *values, const bur_desc *desc, bur_initializer initializer, uint64_t seed,
                    int32_t parameter)
{
    const int64_t count = bur_desc_count(desc);
    const source from = {seed, parameter};
    const double deviation = deviation_of(initializer, &desc->shape);
    switch (rows[initializer].draw) {
    case CONSTANT:
        for (int64_t i = 0; i < count; i++)
            values[i] = (float)rows[initializer].scale;
        break;
    case UNIFORM:
        draw_uniform(values, count, from, deviation);
        break;
    case NORMAL:
        draw_normal(values, count, from, deviation, INFINITY);
        break;
    case TRUNCATED:
        draw_normal(values, count, from, deviation, 2);
        break;
    case ORTHOGONAL:
        draw_orthogonal(values, &desc->shape, count, from);
        break;
    case SECOND_QUARTER:
        for (int64_t i = 0; i < count; i++)
            values[i] = 4 * i / count == 1 ? 1.0F : 0.0F;
        break;
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
        if (tensor->slot >= 0 && tensor->initial == 0) {
            status = bur_session_clear_state(session, i);
            continue;
        }
        if (tensor->slot < 0)
            bur_initialize(values, &tensor->desc, parameter->initializer, seed, tensor->parameter);
        for (int64_t j = 0; tensor->slot >= 0 && j < bur_desc_count(&tensor->desc); j++)
            values[j] = tensor->initial;
        status = bur_session_write_state(session, i, values);
    }
    bur_free(context, values);
    return status;
}
