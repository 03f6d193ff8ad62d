/* Work in a child process with a time limit, for core/run. */
#ifndef BUR_RUN_CHILD_H
#define BUR_RUN_CHILD_H

#include <burthen/backend.h>

/* Fills the answer, in the child. */
typedef void (*bur__child_work)(void *user, void *answer);

typedef enum bur__child_end {
    BUR__CHILD_ANSWERED,
    BUR__CHILD_FAILED,      /* it hung or crashed: what was asked is to blame */
    BUR__CHILD_NOT_STARTED, /* the system had no process for it */
} bur__child_end;

/* Runs work(user, answer) in a child process and reads the `bytes` of its answer. The child is
 * killed at the limit and reaped in any case; unless it answered, `answer` is of no use and
 * why[why_bytes] says what it did: "did not answer within 700 ms". The work finds no other
 * thread of this process, so it must not use a thread pool (OpenMP) that was started before. */
bur__child_end bur__child_run(bur_context *context, int64_t limit_ms, bur__child_work work,
                              void *user, void *answer, size_t bytes, char *why, size_t why_bytes);

/* BURTHEN_PROBE_MS if it is set and sensible, else the standard. */
int64_t bur__child_limit_ms(int64_t standard_ms);

#endif
