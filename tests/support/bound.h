/* A model of the zoo bound on a device, its training step watched byte by byte. What gives no
 * status fails the running test on error. Uses internal headers: a step is run command by command.
 */
#ifndef BUR_TESTS_SUPPORT_BOUND_H
#define BUR_TESTS_SUPPORT_BOUND_H

#include <burthen/nn.h>
#include <burthen/run.h>

typedef struct test_subject {
    const char *model;
    bur_zoo_options options;
} test_subject;

typedef struct test_bound {
    bur_recipe *recipe;
    bur_graph *graph;
    bur_plan *plan;
    bur_memory *memory;
    bur_session *session;
    int64_t batch;
} test_bound;

/* Plans a training step by Adam, allocates, binds and initialises. guard_bytes are left round every
 * buffer: 0, or TEST_GUARD_BYTES for what test_run_guarded is to watch. */
enum { TEST_GUARD_BYTES = 256 };
void test_bind(test_bound *out, bur_device *device, const test_subject *what, int64_t batch,
               size_t guard_bytes);
void test_unbind(test_bound *bound);

/* Makes up a batch of samples and labels. */
void test_write_batch(const test_bound *bound);

/* Runs one step. */
void test_step(const test_bound *bound, uint32_t step);

/* Runs one step command by command; the guards of whatever is live are intact after each. */
void test_step_guarded(const test_bound *bound, uint32_t step);

#endif
