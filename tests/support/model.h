/* Models and their training, a call each. What gives no status fails the running test on error. */
#ifndef BUR_TESTS_SUPPORT_MODEL_H
#define BUR_TESTS_SUPPORT_MODEL_H

#include <burthen/train.h>

/* The layer behind *value, which becomes its output. */
bur_status test_put(bur_recipe *recipe, bur_layer layer, bur_ref *value);

/* A model of layers one behind the other. */
bur_recipe *test_sequential(bur_context *context, const bur_shape *sample, const bur_layer *layers,
                            size_t n_layers);

/* The graph of a model of the zoo, of its default shape. */
typedef struct test_zoo {
    bur_recipe *recipe;
    bur_graph *graph;
} test_zoo;

void test_zoo_open(test_zoo *zoo, bur_context *context, const char *model,
                   const bur_graph_options *options);
void test_zoo_close(test_zoo *zoo);

/* y = x w + b of so many features, and rows of numbers for it: x, and the value of each. */
bur_recipe *test_linear(bur_context *context, int64_t features);
bur_dataset *test_rows(bur_context *context, int64_t count, int64_t features, const float *x,
                       const float *y);

/* A trainer that has fitted; options may be NULL. */
bur_trainer *test_fit(bur_device *device, const bur_recipe *recipe, const bur_data *data,
                      const bur_fit_options *options);

/* Drawn digits and the CPU, for those that train one model there. */
typedef struct test_digits {
    bur_context *context;
    bur_device *cpu;
    bur_data data;
} test_digits;

void test_digits_open(test_digits *digits);
void test_digits_close(test_digits *digits);

/* The metric of a set, for classes the accuracy. */
double test_metric(bur_trainer *trainer, const bur_dataset *set);

#endif
