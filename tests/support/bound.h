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

/* Steps touch the arena to its end, and nothing of it that the plan does not count: the highest
 * buffer but for its padding, of scratch at least its beginning, since the last thread's share of
 * it may be the smallest. For a plan in one chunk, without guards. `name` is for messages. */
void test_check_end(const test_bound *bound, const char *name);

/* After two steps so many more allocate nothing: not by the library's allocator, not by malloc, not
 * by mmap or brk, and no further page of anonymous memory is touched (pages of code may be, when a
 * busy machine makes a thread wait as it never did before). Sanitizers keep books of their own:
 * there the library's count alone is telling. */
void test_check_steady(const test_bound *bound, const bur_context *context, const char *name,
                       uint32_t steps);

#endif
