/* What memory this process may use: the machine's, and what every control group above it leaves.
 * In a container /proc/meminfo is the host's, so the groups decide there; a group may sit in a v1
 * or a v2 hierarchy, both may be mounted, and the tightest ancestor binds. Source: proc(5),
 * cgroups(7), the kernel's admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst and accounting/psi.rst.
 */
#include "host.h"
#include "../base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096, LINE_BYTES = 2 * PATH_BYTES };

#define NO_LIMIT UINT64_MAX
/* v1 writes "no limit" as the largest multiple of a page in an int64. */
#define LARGEST_LIMIT ((uint64_t)1 << 62)

/* The files of a hierarchy's groups. */
typedef struct hierarchy {
    const char *file_system; /* in mountinfo */
    const char *option;      /* among its mount options, NULL: none is asked for */
    const char *controller;  /* in /proc/self/cgroup, "" for v2 */
    const char *limit[2];    /* either may bind; NULL: none */
    const char *usage;
    /* In memory.stat: */
    const char *cache[2];   /* pages of files */
    const char *unclean[2]; /* of them: dropped no sooner than they are written */
    const char *mapped;     /* in a process's memory: of files, and what processes share */
    const char *shared;
} hierarchy;

static const hierarchy hierarchies[] = {
    {.file_system = "cgroup2",
     .controller = "",
     .limit = {"memory.max", "memory.high"},
     .usage = "memory.current",
     .cache = {"inactive_file", "active_file"},
     .unclean = {"file_dirty", "file_writeback"},
     .mapped = "file_mapped",
     .shared = "shmem"},
    {.file_system = "cgroup",
     .option = "memory",
     .controller = "memory",
     .limit = {"memory.limit_in_bytes"},
     .usage = "memory.usage_in_bytes",
     .cache = {"total_inactive_file", "total_active_file"},
     .unclean = {"total_dirty", "total_writeback"},
     .mapped = "total_mapped_file",
     .shared = "total_shmem"},
};
enum { HIERARCHY_COUNT = sizeof hierarchies / sizeof *hierarchies };

static FILE *open_file(const char *root, const char *path)
{
    char full[2 * PATH_BYTES];
    const int length = snprintf(full, sizeof full, "%s%s", root, path);
    return length < 0 || (size_t)length >= sizeof full ? NULL : fopen(full, "re");
}

/* The next line without its newline; a longer one than fits is passed over. */
static bool read_line(FILE *file, char line[LINE_BYTES])
{
    while (fgets(line, LINE_BYTES, file) != NULL) {
        char *end = strchr(line, '\n');
        if (end != NULL || feof(file)) {
            if (end != NULL)
                *end = '\0';
            return true;
        }
        for (int c = 0; c != '\n' && c != EOF;)
            c = fgetc(file);
    }
    return false;
}

/* The number after "KEY" or "KEY:" at the start of a line; false without such a line. */
static bool find_number(uint64_t *out, const char *root, const char *path, const char *key)
{
    FILE *file = open_file(root, path);
    if (file == NULL)
        return false;
    char line[LINE_BYTES];
    const size_t length = strlen(key);
    bool found = false;
    while (!found && read_line(file, line)) {
        if (strncmp(line, key, length) != 0 || strchr(": \t", line[length]) == NULL)
            continue;
        char *end;
        const char *number = line + length + strspn(line + length, ": \t");
        const uint64_t value = strtoull(number, &end, 10);
        if ((found = end != number))
            *out = value;
    }
    fclose(file);
    return found;
}

/* As above for a value in kB; 0 if it is absent. */
static uint64_t find_kilobytes(const char *root, const char *path, const char *key)
{
    uint64_t kilobytes = 0;
    return find_number(&kilobytes, root, path, key) ? kilobytes * 1024 : 0;
}

/* The number that is all of folder/name; NO_LIMIT for "max", for what no machine has, and for no
 * file. */
static uint64_t read_number(const char *root, const char *folder, const char *name)
{
    char path[2 * PATH_BYTES], line[LINE_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = open_file(root, path);
    if (file == NULL)
        return NO_LIMIT;
    uint64_t value = NO_LIMIT;
    if (read_line(file, line) && line[0] >= '0' && line[0] <= '9')
        value = strtoull(line, NULL, 10);
    fclose(file);
    return value < LARGEST_LIMIT ? value : NO_LIMIT;
}

/* 0 without such a line. */
static uint64_t read_stat(const char *root, const char *folder, const char *key)
{
    char path[2 * PATH_BYTES];
    uint64_t value = 0;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    return find_number(&value, root, path, key) ? value : 0;
}

static uint64_t stat_sum(const char *root, const char *folder, const char *const key[2])
{
    return read_stat(root, folder, key[0]) + read_stat(root, folder, key[1]);
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What the groups above a process leave. */
typedef struct bounds {
    uint64_t limit_bytes, left_bytes; /* NO_LIMIT: there is none */
    uint64_t mapped_bytes;            /* in the group that leaves least */
} bounds;

/* Lowers the limit to this group's, and what is left to what it leaves: its limit less what it
 * uses, where clean pages of files do not count as used, since the kernel drops them before it
 * kills. Those that are mapped do: a program's code is, and a group that drops it reads it again,
 * page by page, for as long as the program runs. */
static void read_group(bounds *out, const hierarchy *h, const char *root, const char *folder)
{
    uint64_t own = NO_LIMIT;
    for (int i = 0; i < 2; i++)
        if (h->limit[i] != NULL)
            own = bur_size_min(own, read_number(root, folder, h->limit[i]));
    if (own == NO_LIMIT)
        return;
    out->limit_bytes = bur_size_min(out->limit_bytes, own);
    const uint64_t usage = read_number(root, folder, h->usage);
    if (usage == NO_LIMIT)
        return;
    /* Mapped, but code that only starts a program. */
    const uint64_t start_bytes = (uint64_t)1 << 20;
    const uint64_t clean =
        minus(stat_sum(root, folder, h->cache), stat_sum(root, folder, h->unclean));
    const uint64_t mapped =
        minus(read_stat(root, folder, h->mapped), read_stat(root, folder, h->shared));
    const uint64_t droppable = minus(clean, minus(mapped, start_bytes)),
                   left = minus(own, minus(usage, droppable));
    if (left >= out->left_bytes)
        return;
    out->left_bytes = left;
    out->mapped_bytes = mapped;
}

static bool has_word(const char *list, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* This process's group in /proc/self/cgroup: lines "ID:CONTROLLER,CONTROLLER:PATH". */
static bool find_group(char path[PATH_BYTES], const hierarchy *h, const char *root)
{
    FILE *file = open_file(root, "/proc/self/cgroup");
    if (file == NULL)
        return false;
    char line[LINE_BYTES];
    bool found = false;
    while (!found && read_line(file, line)) {
        char *list = strchr(line, ':'), *group = list == NULL ? NULL : strchr(list + 1, ':');
        if (group == NULL)
            continue;
        *group++ = '\0';
        list++;
        found = h->controller[0] == '\0' ? list[0] == '\0' : has_word(list, h->controller);
        if (found)
            found = snprintf(path, PATH_BYTES, "%s", group) < PATH_BYTES;
    }
    fclose(file);
    return found;
}

/* Undoes mountinfo's octal escapes (\040 for a space) in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        const bool escaped = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' &&
                             from[2] >= '0' && from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
        *to = escaped ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + from[3] - '0') : *from;
        from += escaped ? 4 : 1;
    }
    *to = '\0';
}

/* Where a hierarchy is mounted, and which group lies there: mountinfo's lines
 * "ID PARENT MAJOR:MINOR ROOT MOUNT OPTIONS ... - TYPE SOURCE OPTIONS". */
static bool find_mount(char mount[PATH_BYTES], char top[PATH_BYTES], const hierarchy *h,
                       const char *root)
{
    FILE *file = open_file(root, "/proc/self/mountinfo");
    if (file == NULL)
        return false;
    char line[LINE_BYTES];
    bool found = false;
    while (!found && read_line(file, line)) {
        char type[64], options[PATH_BYTES];
        const char *tail = strstr(line, " - ");
        found = tail != NULL && sscanf(line, "%*s %*s %*s %4095s %4095s", top, mount) == 2 &&
                sscanf(tail, " - %63s %*s %4095s", type, options) == 2 &&
                strcmp(type, h->file_system) == 0 &&
                (h->option == NULL || has_word(options, h->option));
    }
    fclose(file);
    if (found) {
        unescape(mount);
        unescape(top);
    }
    return found;
}

/* The group's path below the mount: without the part that lies at the mount itself. A group outside
 * of it (another namespace's, "/../..") is taken to be the mount. */
static const char *below_mount(const char *group, const char *top)
{
    const size_t length = strcmp(top, "/") == 0 ? 0 : strlen(top);
    if (strncmp(group, top, length) != 0 || (group[length] != '/' && group[length] != '\0') ||
        strncmp(group, "/..", 3) == 0)
        return "";
    return strcmp(group + length, "/") == 0 ? "" : group + length;
}

/* "full avg10=1.23 ...": percent of the last 10 s; false without such a line. */
static bool read_stall(double *percent, const char *root, const char *path)
{
    char line[LINE_BYTES];
    FILE *file = open_file(root, path);
    bool found = false;
    while (file != NULL && !found && read_line(file, line))
        found = sscanf(line, "full avg10=%lf", percent) == 1;
    if (file != NULL)
        fclose(file);
    return found;
}

/* The folder of this process's group, into folder; its mount's path is the first *mount_length
 * bytes. */
static bool find_folder(char folder[2 * PATH_BYTES], size_t *mount_length, const hierarchy *h,
                        const char *root)
{
    char mount[PATH_BYTES], top[PATH_BYTES], group[PATH_BYTES];
    if (!find_mount(mount, top, h, root) || !find_group(group, h, root))
        return false;
    *mount_length = strlen(mount);
    snprintf(folder, 2 * PATH_BYTES, "%s%s", mount, below_mount(group, top));
    return true;
}

static double stalled_percent(const char *root)
{
    char folder[2 * PATH_BYTES], path[2 * PATH_BYTES + 32];
    size_t mount_length = 0;
    double percent = 0;
    if (find_folder(folder, &mount_length, &hierarchies[0], root)) {
        snprintf(path, sizeof path, "%s/memory.pressure", folder);
        if (read_stall(&percent, root, path))
            return percent;
    }
    return read_stall(&percent, root, "/proc/pressure/memory") ? percent : 0;
}

/* This process's group and all its ancestors up to the mount. */
static void read_hierarchy(bounds *out, const hierarchy *h, const char *root)
{
    char folder[2 * PATH_BYTES];
    size_t mount_length = 0;
    if (!find_folder(folder, &mount_length, h, root))
        return;
    for (;;) {
        read_group(out, h, root, folder);
        char *slash = strrchr(folder, '/');
        if (strlen(folder) <= mount_length || slash == NULL)
            return;
        *slash = '\0';
    }
}

bur_status bur__host_memory_read_at(bur_host_memory *out, const char *root)
{
    static const char meminfo[] = "/proc/meminfo", process[] = "/proc/self/status";
    const uint64_t total = find_kilobytes(root, meminfo, "MemTotal");
    if (total == 0)
        return bur_fail(BUR_E_FILE, "%s%s tells no MemTotal", root, meminfo);
    uint64_t available = find_kilobytes(root, meminfo, "MemAvailable");
    if (available == 0) /* Linux before 3.14 */
        available = find_kilobytes(root, meminfo, "MemFree");

    bounds group = {.limit_bytes = NO_LIMIT, .left_bytes = NO_LIMIT};
    for (int i = 0; i < HIERARCHY_COUNT; i++)
        read_hierarchy(&group, &hierarchies[i], root);
    const uint64_t resident = find_kilobytes(root, process, "VmRSS");
    const uint64_t of_files = find_kilobytes(root, process, "RssFile");
    const uint64_t peak = find_kilobytes(root, process, "VmHWM");
    const uint64_t usable = bur_size_min(total, group.limit_bytes),
                   unused = bur_size_min(usable, bur_size_min(available, group.left_bytes));
    *out = (bur_host_memory){
        .total_bytes = usable,
        .available_bytes = unused,
        .used_percent = usable == 0 ? 100 : 100 * (double)(usable - unused) / (double)usable,
        .stalled_percent = stalled_percent(root),
        .limit_bytes = group.limit_bytes == NO_LIMIT ? 0 : group.limit_bytes,
        .ram_bytes = total,
        .ram_available_bytes = available,
        .left_bytes = group.left_bytes,
        .mapped_bytes = group.mapped_bytes,
        .resident_bytes = resident,
        .resident_file_bytes = of_files,
        .peak_bytes = peak > resident ? peak : resident, /* VmHWM lags behind by some pages */
    };
    return BUR_OK;
}

bur_status bur_host_memory_read(bur_host_memory *out)
{
    if (out == NULL)
        return bur_fail(BUR_E_ARG, "bur_host_memory_read: out is NULL");
    return bur__host_memory_read_at(out, "");
}

void bur_host_memory_reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (file == NULL)
        return;
    fputs("5", file);
    fclose(file);
}

uint64_t bur_host_reserve_bytes(uint64_t total_bytes)
{
    const uint64_t least = (uint64_t)512 << 20, share = total_bytes / 20;
    return bur_size_min(share > least ? share : least, total_bytes / 4);
}

uint64_t bur_host_free_bytes(const bur_host_memory *memory, uint64_t reserve_bytes, bool *by_limit)
{
    const uint64_t page_tables = 512; /* eight bytes for a page of 4 KiB */
    const uint64_t free_bytes = minus(memory->ram_available_bytes, reserve_bytes);
    *by_limit = memory->left_bytes < free_bytes;
    if (!*by_limit)
        return free_bytes;
    return memory->left_bytes - memory->left_bytes / page_tables;
}
