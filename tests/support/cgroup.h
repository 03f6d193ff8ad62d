/* Memory cgroups for tests: a limit that really kills. */
#ifndef BUR_TESTS_SUPPORT_CGROUP_H
#define BUR_TESTS_SUPPORT_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A group of this test's own below the hierarchy of v2 or v1, whichever can be written. */
typedef struct test_cgroup {
    char path[256];
    bool is_v2;
} test_cgroup;

/* False where no group can be made. Fails the test if the environment variable BURTHEN_TEST_CGROUP
 * is "on", which says that it must be possible. */
bool test_cgroup_create(test_cgroup *group);
void test_cgroup_destroy(test_cgroup *group);

/* Sets the limit, without swap, for what is started next. The group must be empty: pages that an
 * earlier process left are given back first. */
void test_cgroup_limit(const test_cgroup *group, uint64_t bytes);
/* Moves the calling process into the group; for a child between fork and exec. */
bool test_cgroup_enter(const test_cgroup *group);
/* The most bytes since the limit was set, and how often the kernel killed for want of memory since
 * the group was made. */
uint64_t test_cgroup_peak(const test_cgroup *group);
uint64_t test_cgroup_kills(const test_cgroup *group);

#endif
