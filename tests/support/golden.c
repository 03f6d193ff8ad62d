#include "golden.h"
#include "run.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the file ---- */

static double element(const void *data, bur_dtype dtype, int64_t i)
{
    switch (dtype) {
    case BUR_F64:
        return ((const double *)data)[i];
    case BUR_F32:
        return (double)((const float *)data)[i];
    case BUR_I32:
        return ((const int32_t *)data)[i];
    default:
        assert_int_equal(dtype, BUR_U8);
        return ((const uint8_t *)data)[i];
    }
}

static void read_tensor(test_golden_tensor *out, const bur_safetensors *file, int32_t index)
{
    const bur_desc *desc = bur_safetensors_desc(file, index);
    const size_t bytes = bur_desc_bytes(desc);
    void *data = test_run_memory(bytes);
    assert_ok(bur_safetensors_read(file, index, data, bytes));
    out->name = bur_safetensors_name(file, index);
    out->count = bur_desc_count(desc);
    out->is_bytes = desc->dtype == BUR_U8;
    out->values = test_run_memory((size_t)out->count * sizeof *out->values);
    for (int64_t i = 0; i < out->count; i++)
        out->values[i] = element(data, (bur_dtype)desc->dtype, i);
    free(data);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const test_golden_tensor *)a)->name, ((const test_golden_tensor *)b)->name);
}

static test_golden_tensor *find(const test_golden *golden, const char *name)
{
    const test_golden_tensor key = {.name = name};
    return bsearch(&key, golden->tensors, (size_t)golden->n_tensors, sizeof key, by_name);
}

const double *test_golden_row(const test_golden *golden, int64_t count, const char *format, ...)
{
    char name[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    const test_golden_tensor *tensor = find(golden, name);
    if (tensor == NULL && count == 0)
        return NULL;
    if (tensor == NULL)
        fail_msg("the golden file has no tensor '%s'", name);
    const int64_t row = tensor->count / TEST_GOLDEN_STEPS;
    if (count != 0 && row != count)
        fail_msg("a step's '%s' has %d elements in the golden file, %d in the model", name,
                 (int)row, (int)count);
    return tensor->values + golden->step * row;
}

/* ---- the state ---- */

static const bur_parameter *parameter_at(const test_golden *golden, int32_t index)
{
    return bur_recipe_parameter_at(golden->recipe, index);
}

static int64_t count_of(const test_golden *golden, int32_t index)
{
    return bur_desc_count(&parameter_at(golden, index)->desc);
}

/* Images are bytes: (byte - 128) / 64; ids are as they are. */
static void read_batch(test_golden *golden)
{
    const int64_t sample = bur_desc_count(bur_recipe_input_desc(golden->recipe));
    const double *x = test_golden_row(golden, golden->batch * sample, "x");
    const double *labels = test_golden_row(golden, golden->batch, "labels");
    const bool is_image = find(golden, "x")->is_bytes;
    for (int64_t i = 0; i < golden->batch * sample; i++)
        golden->x[i] = (float)(is_image ? (x[i] - 128) / 64 : x[i]);
    for (int64_t i = 0; i < golden->batch; i++)
        golden->labels[i] = (int32_t)labels[i];
}

void test_golden_rewind(test_golden *golden)
{
    golden->step = 0;
    for (int32_t i = 0; i < bur_recipe_parameter_count(golden->recipe); i++) {
        char name[256];
        snprintf(name, sizeof name, "start.%s", parameter_at(golden, i)->name);
        const test_golden_tensor *start = find(golden, name);
        if (start == NULL || start->count != count_of(golden, i))
            fail_msg("the golden file has no tensor '%s' of %d elements", name,
                     (int)count_of(golden, i));
        for (int64_t j = 0; j < start->count; j++)
            golden->parameters[i][j] = (float)start->values[j];
    }
    read_batch(golden);
}

/* Trained ones descend by 1/32 of the gradient; running statistics are in the file. The product is
 * exact in double, so this is the script's state to the last bit. */
void test_golden_advance(test_golden *golden)
{
    for (int32_t i = 0; i < bur_recipe_parameter_count(golden->recipe); i++) {
        const bur_parameter *parameter = parameter_at(golden, i);
        const int64_t count = count_of(golden, i);
        const double *row = test_golden_row(
            golden, count, "%s.%s", parameter->trainable ? "gradient" : "after", parameter->name);
        for (int64_t j = 0; j < count; j++) {
            float *p = &golden->parameters[i][j];
            *p = (float)(parameter->trainable ? (double)*p - row[j] / 32 : row[j]);
        }
    }
    if (++golden->step < TEST_GOLDEN_STEPS)
        read_batch(golden);
}

/* Rows of a table that no id of the batches names are not in the file: they are zeros. */
static void widen(test_golden *golden, const char *prefix, const bur_parameter *parameter,
                  int64_t steps)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s", prefix, parameter->name);
    test_golden_tensor *tensor = find(golden, name);
    const int64_t wanted = bur_desc_count(&parameter->desc);
    const int64_t row = tensor == NULL ? wanted : tensor->count / steps;
    if (row >= wanted || strcmp(parameter->name, "embedding.weight") != 0)
        return;
    double *values = calloc((size_t)(steps * wanted), sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < tensor->count; i++)
        values[i / row * wanted + i % row] = tensor->values[i];
    free(tensor->values);
    tensor->values = values;
    tensor->count = steps * wanted;
}

void test_golden_open(test_golden *out, bur_context *context, const char *file, bur_recipe *recipe)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/golden/%s.safetensors", BURTHEN_SOURCE_DIR, file);
    *out = (test_golden){.context = context, .recipe = recipe};
    assert_ok(bur_safetensors_open(&out->file, context, path));
    out->n_tensors = bur_safetensors_count(out->file);
    out->tensors = test_run_memory((size_t)out->n_tensors * sizeof *out->tensors);
    for (int32_t i = 0; i < out->n_tensors; i++)
        read_tensor(&out->tensors[i], out->file, i);
    qsort(out->tensors, (size_t)out->n_tensors, sizeof *out->tensors, by_name);
    const test_golden_tensor *labels = find(out, "labels");
    assert_non_null(labels);
    out->batch = labels->count / TEST_GOLDEN_STEPS;
    const int64_t sample = bur_desc_count(bur_recipe_input_desc(recipe));
    out->x = test_run_memory((size_t)(out->batch * sample) * sizeof *out->x);
    out->labels = test_run_memory((size_t)out->batch * sizeof *out->labels);
    const int32_t n = bur_recipe_parameter_count(recipe);
    out->parameters = test_run_memory((size_t)n * sizeof *out->parameters);
    for (int32_t i = 0; i < n; i++) {
        out->parameters[i] = test_run_memory((size_t)count_of(out, i) * sizeof(float));
        widen(out, "start.", parameter_at(out, i), 1);
        widen(out, "gradient.", parameter_at(out, i), TEST_GOLDEN_STEPS);
    }
    test_golden_rewind(out);
}

void test_golden_close(test_golden *golden)
{
    for (int32_t i = 0; i < bur_recipe_parameter_count(golden->recipe); i++)
        free(golden->parameters[i]);
    for (int32_t i = 0; i < golden->n_tensors; i++)
        free(golden->tensors[i].values);
    free(golden->parameters);
    free(golden->tensors);
    free(golden->x);
    free(golden->labels);
    bur_safetensors_close(golden->file);
}

double test_golden_difference(const float *got, const double *wanted, int64_t count)
{
    double error = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)got[i] - wanted[i];
        error += d * d;
        norm += wanted[i] * wanted[i];
    }
    return sqrt(norm > 0 ? error / norm : error);
}
