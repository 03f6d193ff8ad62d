#define _POSIX_C_SOURCE 200809L
#include "support/cgroup.h"
#include "test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool write_file(const test_cgroup *group, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", group->path, name);
    FILE *file = fopen(path, "r+"); /* never makes one where there is no such control */
    if (file == NULL)
        return false;
    const bool written = fputs(text, file) >= 0;
    return fclose(file) == 0 && written;
}

static bool write_bytes(const test_cgroup *group, const char *name, uint64_t bytes)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, bytes);
    return write_file(group, name, text);
}

/* The number of the line "KEY number", or of the whole file if key is "". */
static uint64_t read_number(const test_cgroup *group, const char *name, const char *key)
{
    char path[512], line[128];
    const size_t length = strlen(key);
    uint64_t value = 0;
    snprintf(path, sizeof path, "%s/%s", group->path, name);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, length) == 0 && (length == 0 || line[length] == ' '))
            value = strtoull(line + length, NULL, 10);
    if (file != NULL)
        fclose(file);
    return value;
}

static bool make(test_cgroup *group, const char *parent, bool is_v2)
{
    group->is_v2 = is_v2;
    snprintf(group->path, sizeof group->path, "%s/burthen-test-%ld", parent, (long)getpid());
    if (mkdir(group->path, 0700) != 0 && errno != EEXIST)
        return false;
    /* The first write that matters: a hierarchy that is mounted may still have no controller. */
    if (write_bytes(group, is_v2 ? "memory.max" : "memory.limit_in_bytes", UINT64_C(1) << 40))
        return true;
    rmdir(group->path);
    return false;
}

bool test_cgroup_create(test_cgroup *group)
{
    if (make(group, "/sys/fs/cgroup", true) || make(group, "/sys/fs/cgroup/memory", false))
        return true;
    const char *expected = getenv("BURTHEN_TEST_CGROUP");
    if (expected != NULL && strcmp(expected, "on") == 0)
        fail_msg("BURTHEN_TEST_CGROUP=on, but no memory cgroup can be made");
    print_message("no memory cgroup can be made here: nothing was measured\n");
    return false;
}

void test_cgroup_destroy(test_cgroup *group)
{
    for (int i = 0; i < 100 && rmdir(group->path) != 0 && errno == EBUSY; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

void test_cgroup_limit(const test_cgroup *group, uint64_t bytes)
{
    if (group->is_v2) {
        write_file(group, "memory.reclaim", "1G");
        write_file(group, "memory.swap.max", "0");
        assert_true(write_bytes(group, "memory.max", bytes));
        write_file(group, "memory.peak", "0");
        return;
    }
    write_file(group, "memory.force_empty", "0");
    write_file(group, "memory.swappiness", "0");
    assert_true(write_bytes(group, "memory.limit_in_bytes", bytes));
    write_file(group, "memory.max_usage_in_bytes", "0");
}

bool test_cgroup_enter(const test_cgroup *group)
{
    return write_bytes(group, "cgroup.procs", (uint64_t)getpid());
}

uint64_t test_cgroup_peak(const test_cgroup *group)
{
    return read_number(group, group->is_v2 ? "memory.peak" : "memory.max_usage_in_bytes", "");
}

uint64_t test_cgroup_kills(const test_cgroup *group)
{
    return read_number(group, group->is_v2 ? "memory.events" : "memory.oom_control", "oom_kill");
}
