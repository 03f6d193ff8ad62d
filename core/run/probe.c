/* Asks drivers for their devices in a child process with a time limit. */
#define _POSIX_C_SOURCE 200809L
#include "device.h"
#include "../../backends/backends.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROBE_LIMIT_MS = 15000 };

/* What crosses the pipe before the device descriptions. */
typedef struct probe_header {
    int32_t count;
    char note[BUR_TEXT_BYTES];
} probe_header;

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

/* The child: loads the backend, asks it, writes the answer and ends without running exit handlers.
 */
static void answer(int fd, bur_context *context, int32_t index, bur_device_info *found,
                   int32_t capacity)
{
    probe_header header = {0};
    const char *name = NULL;
    const bur_backend *backend = bur_backend_load(index, &name, header.note);
    if (backend != NULL) {
        const bur_status status =
            backend->enumerate(context, found, capacity, &header.count, header.note);
        if (status != BUR_OK) {
            header.count = 0;
            snprintf(header.note, sizeof header.note, "%s", bur_last_error());
        }
    }
    if (write_all(fd, &header, sizeof header))
        write_all(fd, found, (size_t)header.count * sizeof *found);
    _exit(0);
}

/* Reads exactly `bytes` before the deadline. */
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

static int64_t limit_ms(void)
{
    const char *text = getenv("BURTHEN_PROBE_MS");
    const long wanted = text == NULL ? 0 : strtol(text, NULL, 10);
    return wanted > 0 && wanted < 600000 ? wanted : PROBE_LIMIT_MS;
}

void bur__probe(bur_context *context, int32_t backend, bur_device_info *found, int32_t capacity,
                int32_t *count, char *note)
{
    *count = 0;
    int ends[2];
    if (pipe(ends) != 0) {
        snprintf(note, BUR_TEXT_BYTES, "cannot ask drivers: %s", strerror(errno));
        return;
    }
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        answer(ends[1], context, backend, found, capacity);
    }
    close(ends[1]);
    probe_header header = {0};
    const int64_t deadline_ns = bur_time_ns() + limit_ms() * 1000000;
    bool heard = child > 0 && read_all(ends[0], &header, sizeof header, deadline_ns);
    heard = heard && header.count >= 0 && header.count <= capacity &&
            read_all(ends[0], found, (size_t)header.count * sizeof *found, deadline_ns);
    const bool late = !heard && errno == ETIMEDOUT;
    close(ends[0]);
    int state = 0;
    if (child > 0) {
        if (!heard)
            kill(child, SIGKILL);
        while (waitpid(child, &state, 0) < 0 && errno == EINTR) {
        }
    }
    if (heard) {
        *count = header.count;
        memcpy(note, header.note, sizeof header.note);
    } else if (child < 0) {
        snprintf(note, BUR_TEXT_BYTES, "cannot ask drivers: %s", strerror(errno));
    } else if (late) {
        snprintf(note, BUR_TEXT_BYTES, "an OpenCL driver did not answer within %lld ms",
                 (long long)limit_ms());
    } else {
        snprintf(note, BUR_TEXT_BYTES,
                 "an OpenCL driver crashed while it was asked for its devices (signal %d)",
                 WIFSIGNALED(state) ? WTERMSIG(state) : 0);
    }
}
