/* Golden files (tests/golden/README.md): ten steps of a model as PyTorch makes them. Everything
 * here fails the running test on error. */
#ifndef BUR_TESTS_SUPPORT_GOLDEN_H
#define BUR_TESTS_SUPPORT_GOLDEN_H

#include <burthen/train.h>

enum { TEST_GOLDEN_STEPS = 10 };

/* A tensor of the file; values are doubles, whatever they are there. */
typedef struct test_golden_tensor {
    const char *name;
    double *values;
    int64_t count; /* of all steps */
    bool is_bytes;
} test_golden_tensor;

typedef struct test_golden {
    bur_context *context;
    bur_safetensors *file;
    bur_recipe *recipe;
    test_golden_tensor *tensors;
    int32_t n_tensors;
    int64_t batch;
    float *x; /* one batch */
    int32_t *labels;
    float **parameters; /* of the recipe, as they are before the present step */
    int32_t step;
} test_golden;

/* Reads FILE.safetensors, made for the recipe, and stands before step 0. */
void test_golden_open(test_golden *out, bur_context *context, const char *file, bur_recipe *recipe);
void test_golden_close(test_golden *golden);
void test_golden_rewind(test_golden *golden);
/* On to the state before the next step, and to its batch. */
void test_golden_advance(test_golden *golden);

/* The present step's row of the tensor called like printf's; NULL if there is none and `count` is
 * 0, else it must have so many elements. */
const double *test_golden_row(const test_golden *golden, int64_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* |got - wanted| / |wanted|, or |got - wanted| where nothing is wanted. */
double test_golden_difference(const float *got, const double *wanted, int64_t count);

#endif
