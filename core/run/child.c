/* Work that may hang or crash, done in a child process with a time limit. */
#define _POSIX_C_SOURCE 200809L
#include "child.h"
#include "../base/context.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST_LIMIT_MS = 600000 };

static bool write_all(int fd, const void *data, size_t bytes)
{
    for (const char *at = data; bytes > 0;) {
        const ssize_t n = write(fd, at, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

/* Reads exactly `bytes` before the deadline; errno is ETIMEDOUT if that is why not. */
static bool read_all(int fd, void *data, size_t bytes, int64_t deadline_ns)
{
    for (char *at = data; bytes > 0;) {
        const int64_t left_ms = (deadline_ns - bur_time_ns()) / 1000000;
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (left_ms <= 0 || poll(&ready, 1, (int)left_ms) == 0) {
            errno = ETIMEDOUT;
            return false;
        }
        errno = 0;
        const ssize_t n = read(fd, at, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        bytes -= (size_t)n;
    }
    return true;
}

int64_t bur__child_limit_ms(int64_t standard_ms)
{
    const char *text = getenv("BURTHEN_PROBE_MS");
    const long wanted = text == NULL ? 0 : strtol(text, NULL, 10);
    return wanted > 0 && wanted < LONGEST_LIMIT_MS ? wanted : standard_ms;
}

/* The child: it ends with its parent, says nothing to the caller's log and runs no exit handler. */
_Noreturn static void answer_and_end(int fd, bur_context *context, bur__child_work work, void *user,
                                     void *answer, size_t bytes)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    context->log = NULL;
    work(user, answer);
    write_all(fd, answer, bytes);
    _exit(0);
}

/* Ends the child, whatever it does, and gives the state in which it ended. */
static int reap(pid_t child)
{
    int state = 0;
    kill(child, SIGKILL);
    while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
    return state;
}

bur__child_end bur__child_run(bur_context *context, int64_t limit_ms, bur__child_work work,
                              void *user, void *answer, size_t bytes, char *why, size_t why_bytes)
{
    int ends[2];
    if (pipe(ends) != 0) {
        snprintf(why, why_bytes, "cannot be asked: %s", strerror(errno));
        return BUR__CHILD_NOT_STARTED;
    }
    const int64_t deadline_ns = bur_time_ns() + limit_ms * 1000000;
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        answer_and_end(ends[1], context, work, user, answer, bytes);
    }
    close(ends[1]);
    if (child < 0) {
        snprintf(why, why_bytes, "cannot be asked: %s", strerror(errno));
        close(ends[0]);
        return BUR__CHILD_NOT_STARTED;
    }
    const bool heard = read_all(ends[0], answer, bytes, deadline_ns);
    const bool late = !heard && errno == ETIMEDOUT;
    close(ends[0]);
    const int state = reap(child);
    if (heard)
        return BUR__CHILD_ANSWERED;
    if (late)
        snprintf(why, why_bytes, "did not answer within %lld ms", (long long)limit_ms);
    else
        snprintf(why, why_bytes, "crashed (%s %d)", WIFSIGNALED(state) ? "signal" : "exit code",
                 WIFSIGNALED(state) ? WTERMSIG(state) : WEXITSTATUS(state));
    return BUR__CHILD_FAILED;
}
