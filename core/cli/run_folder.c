/* Run folders. */
#define _POSIX_C_SOURCE 200809L /* opendir, fsync, mkdir */
#include "run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bur_status fail_errno(const char *what, const char *path)
{
    return bur_fail(BUR_E_FILE, "cannot %s %s: %s", what, path, strerror(errno));
}

static bool exists(const char *path)
{
    struct stat ignored;
    return lstat(path, &ignored) == 0;
}

/* The hidden name beside `path`: "runs/cnn-1" -> "runs/.cnn-1.partial". */
static void set_aside(cli_run_folder *folder, const char *ending)
{
    const char *slash = strrchr(folder->path, '/');
    const int head = slash == NULL ? 0 : (int)(slash + 1 - folder->path);
    snprintf(folder->aside, sizeof folder->aside, "%.*s.%s%s", head, folder->path,
             folder->path + head, ending);
}

/* The hidden name has the process's number: what a killed run left is not in the way of the next.
 */
static bur_status take_given(cli_run_folder *folder, const char *out)
{
    char ending[40];
    size_t length = strlen(out);
    snprintf(ending, sizeof ending, ".%ld.partial", (long)getpid());
    while (length > 1 && out[length - 1] == '/')
        length--;
    if (length + sizeof ending >= sizeof folder->path)
        return bur_fail(BUR_E_FILE, "the path of the run has %zu bytes, at most %zu are possible",
                        length, sizeof folder->path - sizeof ending);
    snprintf(folder->path, sizeof folder->path, "%.*s", (int)length, out);
    if (exists(folder->path))
        return bur_fail(BUR_E_FILE, "%s exists", folder->path);
    set_aside(folder, ending);
    if (mkdir(folder->aside, 0777) != 0) {
        const bur_status status = fail_errno("make", folder->aside);
        folder->aside[0] = '\0';
        return status;
    }
    return BUR_OK;
}

/* mkdir is atomic: two runs that start at once take two numbers. */
static bur_status take_number(cli_run_folder *folder, const char *model)
{
    if (mkdir("runs", 0777) != 0 && errno != EEXIST)
        return fail_errno("make", "runs");
    for (int number = 1;; number++) {
        snprintf(folder->path, sizeof folder->path, "runs/%s-%d", model, number);
        if (exists(folder->path))
            continue;
        set_aside(folder, ".partial");
        if (mkdir(folder->aside, 0777) == 0)
            return BUR_OK;
        if (errno != EEXIST) {
            const bur_status status = fail_errno("make", folder->aside);
            folder->aside[0] = '\0';
            return status;
        }
    }
}

bur_status cli_run_folder_create(cli_run_folder *folder, const char *model, const char *out)
{
    char path[CLI_PATH_BYTES];
    *folder = (cli_run_folder){0};
    BUR_TRY(out != NULL ? take_given(folder, out) : take_number(folder, model));
    cli_run_folder_file(folder, "metrics.jsonl", path, sizeof path);
    folder->metrics = fopen(path, "w");
    return folder->metrics != NULL ? BUR_OK : fail_errno("write", path);
}

void cli_run_folder_file(const cli_run_folder *folder, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", folder->aside, name);
}

/* Flushes to the disk and closes; false if anything written to the file was lost. */
static bool close_file(FILE *file)
{
    const bool good = fflush(file) == 0 && fsync(fileno(file)) == 0 && !ferror(file);
    return fclose(file) == 0 && good;
}

bur_status cli_run_folder_json(cli_run_folder *folder, const char *name, json_t *value)
{
    char path[CLI_PATH_BYTES];
    cli_run_folder_file(folder, name, path, sizeof path);
    FILE *file = value != NULL ? fopen(path, "w") : NULL;
    bool good = file != NULL;
    if (good) {
        good = json_dumpf(value, file, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) == 0 &&
               fputc('\n', file) != EOF;
        good = close_file(file) && good;
    }
    json_decref(value);
    return good ? BUR_OK : fail_errno("write", path);
}

static bool copy_all(FILE *from, FILE *to)
{
    char block[4096];
    size_t n = 0;
    while ((n = fread(block, 1, sizeof block, from)) > 0)
        if (fwrite(block, 1, n, to) != n)
            return false;
    return ferror(from) == 0;
}

bur_status cli_run_folder_copy(cli_run_folder *folder, const char *name, const char *from)
{
    char path[CLI_PATH_BYTES];
    cli_run_folder_file(folder, name, path, sizeof path);
    FILE *source = fopen(from, "rb");
    if (source == NULL)
        return bur_fail(BUR_E_FILE, "%s: %s", from, strerror(errno));
    FILE *target = fopen(path, "wb");
    bool good = target != NULL && copy_all(source, target);
    fclose(source);
    if (target != NULL)
        good = close_file(target) && good;
    return good ? BUR_OK : fail_errno("write", path);
}

bur_status cli_run_folder_metrics(cli_run_folder *folder, json_t *line)
{
    const bool good =
        line != NULL &&
        json_dumpf(line, folder->metrics, JSON_COMPACT | JSON_REAL_PRECISION(10)) == 0 &&
        fputc('\n', folder->metrics) != EOF && fflush(folder->metrics) == 0;
    json_decref(line);
    return good ? BUR_OK : fail_errno("write", "metrics.jsonl");
}

bur_status cli_run_folder_finish(cli_run_folder *folder)
{
    FILE *metrics = folder->metrics;
    folder->metrics = NULL;
    if (metrics != NULL && !close_file(metrics))
        return fail_errno("write", "metrics.jsonl");
    if (rename(folder->aside, folder->path) != 0)
        return fail_errno("rename the run to", folder->path);
    folder->aside[0] = '\0';
    return BUR_OK;
}

void cli_run_folder_discard(cli_run_folder *folder)
{
    char path[CLI_PATH_BYTES + 256];
    if (folder->metrics != NULL)
        fclose(folder->metrics);
    folder->metrics = NULL;
    DIR *entries = folder->aside[0] != '\0' ? opendir(folder->aside) : NULL;
    if (entries == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder->aside, entry->d_name);
        unlink(path); /* fails for "." and "..", which is as it should be */
    }
    closedir(entries);
    rmdir(folder->aside);
    folder->aside[0] = '\0';
}
