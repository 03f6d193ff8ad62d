/* The examples of ops.def as calls with values. Everything here fails the running test on error. */
#ifndef BUR_TESTS_SUPPORT_EXAMPLE_H
#define BUR_TESTS_SUPPORT_EXAMPLE_H

#include <burthen/op.h>

enum { TEST_MAX_INPUTS = BUR_EXAMPLE_INPUTS, TEST_MAX_OUTPUTS = BUR_MAX_OUTPUTS };

/* One example; `call` points into it, so it is not copied. */
typedef struct test_example {
    char text[256]; /* "matmul example 2: 7x5 7x3" */
    bur_attr attr;
    bur_desc inputs[TEST_MAX_INPUTS], outputs[TEST_MAX_OUTPUTS];
    bur_call call;
    void *x[TEST_MAX_INPUTS]; /* values of the inputs */
} test_example;

/* ROUGH has what breaks kernels: exact zeros, equal values, large ones, probabilities near 0.
 * SMOOTH keeps away from every kink, for differences. */
typedef enum test_texture { TEST_ROUGH, TEST_SMOOTH } test_texture;

/* Examples of the row that can be read; op.example tests that all can. */
int32_t test_example_count(bur_op op);

/* Reads example `index` of `op`, infers n_outputs outputs and draws the inputs' values (the same
 * each time). With dtype BUR_F64 every f32 tensor is f64 and has the same values, widened. */
void test_example_create(test_example *out, bur_op op, int32_t index, int32_t n_outputs,
                         bur_dtype dtype, test_texture texture);
void test_example_destroy(test_example *example);

/* Uniform in [-1, 1), element i of stream `stream`; as exact in f32 as in f64. */
double test_uniform(uint32_t stream, int64_t i);

#endif
