/* Files of weights as PyTorch saves them, beside them `x` and the `logits` that it makes of that.
 */
#ifndef BUR_TESTS_SUPPORT_PYTORCH_H
#define BUR_TESTS_SUPPORT_PYTORCH_H

#include <burthen/train.h>

/* What a model with a linear head is trained and asked with: the file's x. Everything here but the
 * loading of weights fails the running test on error. */
typedef struct test_pytorch {
    bur_data data;
    bur_trainer *trainer;
    int64_t batch, n_logits; /* of all samples */
    float *x, *wanted, *logits;
} test_pytorch;

void test_pytorch_open(test_pytorch *out, bur_device *device, const bur_recipe *recipe,
                       const char *path);
void test_pytorch_close(test_pytorch *p);

/* Predicts the logits; the largest difference from PyTorch's, over the largest of those. */
double test_pytorch_difference(test_pytorch *p);

#endif
