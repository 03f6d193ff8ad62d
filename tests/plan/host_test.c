#define _GNU_SOURCE /* mkdtemp, nftw, MAP_ANONYMOUS */
#include "test.h"

#include "plan/host.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

/* A tree of files that stands for a machine. */
typedef struct machine {
    char root[64];
} machine;

static void put(const machine *m, const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", m->root, path);
    for (char *slash = full + strlen(m->root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* 16 GiB, 12 of them free; no groups. */
static machine machine_make(void)
{
    machine m = {.root = "/tmp/burthen-host-XXXXXX"};
    assert_non_null(mkdtemp(m.root));
    put(&m, "/proc/meminfo",
        "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:   12582912 kB\n");
    put(&m, "/proc/self/status",
        "Name:\tburthen\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\nRssFile:\t    1024 kB\n");
    return m;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void machine_free(const machine *m)
{
    assert_int_equal(nftw(m->root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static bur_host_memory read_machine(const machine *m)
{
    bur_host_memory memory = {0};
    assert_ok(bur__host_memory_read_at(&memory, m->root));
    return memory;
}

static void check(const machine *m, uint64_t total_mib, uint64_t available_mib, uint64_t limit_mib)
{
    const bur_host_memory memory = read_machine(m);
    assert_int_equal(memory.total_bytes, total_mib * MIB);
    assert_int_equal(memory.available_bytes, available_mib * MIB);
    assert_int_equal(memory.limit_bytes, limit_mib * MIB);
}

static void test_plan_host__without_groups_the_machine_decides(void **state)
{
    (void)state;
    const machine m = machine_make();
    check(&m, 16384, 12288, 0);
    assert_int_equal(read_machine(&m).peak_bytes, 4 * MIB);
    assert_int_equal(read_machine(&m).resident_bytes, 2 * MIB);
    assert_int_equal(read_machine(&m).resident_file_bytes, MIB);
    put(&m, "/proc/meminfo",
        "MemTotal: 16777216 kB\nMemFree: 1048576 kB\n"); /* before Linux 3.14 */
    check(&m, 16384, 1024, 0);
    put(&m, "/proc/meminfo", "MemTotals: 5 kB\nnonsense\n");
    bur_host_memory memory = {.total_bytes = 77};
    assert_status(BUR_E_FILE, bur__host_memory_read_at(&memory, m.root));
    assert_int_equal(memory.total_bytes, 77);
    machine_free(&m);
}

static const char v2_mount[] =
    "22 27 0:21 / /proc rw - proc proc rw\n"
    "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

static void test_plan_host__every_ancestor_of_a_v2_group_counts(void **state)
{
    (void)state;
    const machine m = machine_make();
    put(&m, "/proc/self/mountinfo", v2_mount);
    put(&m, "/proc/self/cgroup", "0::/user.slice/session.scope\n");
    put(&m, "/sys/fs/cgroup/user.slice/session.scope/memory.max", "max\n");
    put(&m, "/sys/fs/cgroup/user.slice/session.scope/memory.current", "104857600\n");
    check(&m, 16384, 12288, 0);
    /* 4096 MiB for the parent, 1024 used, of which 300 are file pages, 40 of them not yet written.
     */
    put(&m, "/sys/fs/cgroup/user.slice/memory.max", "4294967296\n");
    put(&m, "/sys/fs/cgroup/user.slice/memory.current", "1073741824\n");
    put(&m, "/sys/fs/cgroup/user.slice/memory.stat",
        "anon 5\ninactive_file 209715200\nactive_file 104857600\nfile_dirty 31457280\n"
        "file_writeback 10485760\nfile 999999999\n");
    check(&m, 4096, 4096 - 1024 + 260, 4096);
    /* 11 MiB of programs' files and 10 that processes share are mapped: all but 1 of the 11 stay.
     */
    put(&m, "/sys/fs/cgroup/user.slice/memory.stat",
        "anon 5\ninactive_file 209715200\nactive_file 104857600\nfile_dirty 31457280\n"
        "file_writeback 10485760\nfile 999999999\nfile_mapped 22020096\nshmem 10485760\n");
    check(&m, 4096, 4096 - 1024 + 250, 4096);
    assert_int_equal(read_machine(&m).mapped_bytes, 11 * MIB);
    /* The child's memory.high is lower, and then what it uses leaves less. */
    put(&m, "/sys/fs/cgroup/user.slice/session.scope/memory.high", "2147483648\n");
    check(&m, 2048, 2048 - 100, 2048);
    machine_free(&m);
}

static void test_plan_host__v1_groups_count_beside_v2(void **state)
{
    (void)state;
    const machine m = machine_make();
    put(&m, "/proc/self/mountinfo",
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put(&m, "/proc/self/cgroup",
        "9:name=systemd:/\n4:hugetlb,memory:/jobs/7\n1:cpu:/other\n0::/\n");
    put(&m, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put(&m, "/sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n");
    put(&m, "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "9223372036854771712\n");
    put(&m, "/sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes", "524288000\n"); /* 500 MiB */
    put(&m, "/sys/fs/cgroup/memory/jobs/7/memory.usage_in_bytes", "209715200\n");
    put(&m, "/sys/fs/cgroup/memory/jobs/7/memory.stat",
        "inactive_file 1\ntotal_inactive_file 52428800\ntotal_active_file 0\ntotal_dirty 0\n"
        "mapped_file 52428800\ntotal_mapped_file 5242880\ntotal_shmem 1048576\n");
    check(&m, 500, 500 - 200 + 50 - 3, 500);
    put(&m, "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "419430400\n");
    put(&m, "/sys/fs/cgroup/memory/jobs/memory.usage_in_bytes", "943718400\n"); /* over its limit */
    check(&m, 400, 0, 400);
    machine_free(&m);
}

/* A container whose own group is what is mounted (Docker without a cgroup namespace), and one that
 * sees paths of another namespace. */
static void test_plan_host__a_container_sees_its_own_group_at_the_mount(void **state)
{
    (void)state;
    const machine m = machine_make();
    put(&m, "/proc/self/mountinfo",
        "41 31 0:38 /docker/ab /sys/fs/my\\040cgroup rw - cgroup2 cgroup2 rw\n");
    put(&m, "/proc/self/cgroup", "0::/docker/ab/inner\n");
    put(&m, "/sys/fs/my cgroup/memory.max", "2147483648\n");
    put(&m, "/sys/fs/my cgroup/memory.current", "0\n");
    check(&m, 2048, 2048, 2048);
    put(&m, "/sys/fs/my cgroup/inner/memory.max", "1073741824\n");
    check(&m, 1024, 1024, 1024); /* its use is not told: the limit itself is what there is */
    put(&m, "/proc/self/cgroup", "0::/docker/abc\n");
    check(&m, 2048, 2048, 2048);
    put(&m, "/proc/self/cgroup", "0::/../../elsewhere\n");
    check(&m, 2048, 2048, 2048);
    machine_free(&m);
}

/* S-108: what psutil's virtual_memory().percent is. */
static void test_plan_host__the_share_in_use_is_what_is_not_available(void **state)
{
    (void)state;
    const machine m = machine_make();
    assert_true(read_machine(&m).used_percent == 25);
    put(&m, "/proc/self/mountinfo", v2_mount);
    put(&m, "/proc/self/cgroup", "0::/\n");
    put(&m, "/sys/fs/cgroup/memory.max", "1073741824\n");
    put(&m, "/sys/fs/cgroup/memory.current", "536870912\n");
    assert_true(read_machine(&m).used_percent == 50); /* of what the group may have */
    put(&m, "/sys/fs/cgroup/memory.max", "0\n");
    assert_true(read_machine(&m).used_percent == 100);
    machine_free(&m);
}

static void test_plan_host__stalls_are_those_of_the_group_or_else_of_the_machine(void **state)
{
    (void)state;
    const machine m = machine_make();
    assert_true(read_machine(&m).stalled_percent == 0);
    put(&m, "/proc/pressure/memory",
        "some avg10=50.00 avg60=7.00 avg300=1.00 total=9\n"
        "full avg10=12.50 avg60=3.00 avg300=0.50 total=8\n");
    assert_true(read_machine(&m).stalled_percent == 12.5);
    put(&m, "/proc/self/mountinfo", v2_mount);
    put(&m, "/proc/self/cgroup", "0::/a\n");
    assert_true(read_machine(&m).stalled_percent == 12.5);
    put(&m, "/sys/fs/cgroup/a/memory.pressure", "full avg10=0.25 avg60=3.00 avg300=0.50 total=8\n");
    assert_true(read_machine(&m).stalled_percent == 0.25);
    put(&m, "/sys/fs/cgroup/a/memory.pressure", "nonsense\n");
    assert_true(read_machine(&m).stalled_percent == 12.5);
    machine_free(&m);
}

static void test_plan_host__odd_files_set_no_limit(void **state)
{
    (void)state;
    static char line[20000];
    memset(line, 'x', sizeof line - 2);
    line[sizeof line - 2] = '\n';
    const machine m = machine_make();
    put(&m, "/proc/self/cgroup", "nonsense\n0:\n:::\n\n");
    check(&m, 16384, 12288, 0);
    put(&m, "/proc/self/mountinfo", line); /* longer than any buffer: passed over */
    char full[128];
    snprintf(full, sizeof full, "%s/proc/self/mountinfo", m.root);
    FILE *file = fopen(full, "a");
    assert_non_null(file);
    fputs(v2_mount, file);
    fclose(file);
    put(&m, "/proc/self/cgroup", "0::/\n");
    put(&m, "/sys/fs/cgroup/memory.max", "-5\n");
    check(&m, 16384, 12288, 0);
    put(&m, "/sys/fs/cgroup/memory.max", "");
    check(&m, 16384, 12288, 0);
    put(&m, "/sys/fs/cgroup/memory.max", "99999999999999999999999\n");
    check(&m, 16384, 12288, 0);
    put(&m, "/sys/fs/cgroup/memory.max", "1073741824");
    check(&m, 1024, 1024, 1024);
    machine_free(&m);
}

static void test_plan_host__this_process_is_measured(void **state)
{
    (void)state;
    bur_host_memory before, after;
    assert_ok(bur_host_memory_read(&before));
    assert_true(before.total_bytes >= 64 * MIB);
    assert_true(before.available_bytes <= before.total_bytes);
    assert_true(before.resident_bytes > MIB / 4);
    assert_true(before.peak_bytes >= before.resident_bytes);
    const size_t bytes = 64 * MIB;
    char *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(block != MAP_FAILED);
    memset(block, 1, bytes);
    assert_ok(bur_host_memory_read(&after));
    assert_true(after.resident_bytes >= before.resident_bytes + 60 * MIB);
    assert_int_equal(munmap(block, bytes), 0);
    assert_ok(bur_host_memory_read(&after));
    assert_true(after.peak_bytes >= before.resident_bytes + 60 * MIB);
    bur_host_memory_reset_peak();
    if (access("/proc/self/clear_refs", W_OK) == 0) {
        assert_ok(bur_host_memory_read(&after));
        assert_true(after.peak_bytes < before.resident_bytes + 32 * MIB);
    }
    assert_status(BUR_E_ARG, bur_host_memory_read(NULL));
}

static void test_plan_host__the_reserve_is_5_percent_between_half_a_gib_and_a_quarter(void **state)
{
    (void)state;
    assert_int_equal(bur_host_reserve_bytes(0), 0);
    assert_int_equal(bur_host_reserve_bytes(1024 * MIB), 256 * MIB);
    assert_int_equal(bur_host_reserve_bytes(2048 * MIB), 512 * MIB);
    assert_int_equal(bur_host_reserve_bytes(8192 * MIB), 512 * MIB);
    assert_int_equal(bur_host_reserve_bytes(20480 * MIB), 1024 * MIB);
    assert_int_equal(bur_host_reserve_bytes(65536 * MIB), 65536 * MIB / 20);
}
