/* What was measured of devices and of this program: $XDG_CACHE_HOME/burthen/speeds.txt. A line is a
 * key, a check and a text; one that does not pass its check (damaged, foreign, from another format)
 * is not there. */
#define _GNU_SOURCE /* dladdr, mkstemp */
#include "speed.h"

#include <dirent.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 1, PATH_BYTES = BUR__PATH_BYTES, LINE_BYTES = 1024, MOST_LINES = 1024 };
static const char file_name[] = "speeds.txt";

/* ---- keys ---- */

static const uint64_t HASH_START = UINT64_C(0xcbf29ce484222325);

/* 64-bit FNV-1a. */
static uint64_t hash(uint64_t h, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ byte[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* With its end, so that ("ab", "c") is not ("a", "bc"). */
static uint64_t hash_text(uint64_t h, const char *text)
{
    return text == NULL ? hash(h, "\1", 2) : hash(h, text, strlen(text) + 1);
}

static uint64_t hash_context(const bur_context *context)
{
    const int threads = bur_context_threads(context);
    return hash_text(hash(HASH_START, &threads, sizeof threads), bur_version());
}

uint64_t bur__speed_key(const bur_context *context, const bur_device_info *info)
{
    uint64_t h = hash_text(hash_context(context), "speed");
    h = hash_text(h, info->name);
    h = hash_text(h, info->description);
    return hash_text(h, info->driver);
}

uint64_t bur__pages_key(const bur_context *context, const bur_device_info *info, const char *model)
{
    const uint64_t speed = bur__speed_key(context, info);
    return hash_text(hash_text(hash(HASH_START, &speed, sizeof speed), "pages"), model);
}

/* Name, size and time of change of a file; of a missing one the name. */
static uint64_t hash_file(uint64_t h, const char *path)
{
    struct stat status;
    h = hash_text(h, path);
    if (stat(path, &status) != 0)
        return h;
    h = hash(h, &status.st_size, sizeof status.st_size);
    return hash(h, &status.st_mtim, sizeof status.st_mtim);
}

/* A folder and the files in it, in any order; or one file. */
static uint64_t hash_folder(uint64_t h, const char *path)
{
    char file[PATH_BYTES];
    uint64_t sum = 0;
    DIR *folder = path == NULL ? NULL : opendir(path);
    if (folder == NULL)
        return path == NULL ? hash_text(h, NULL) : hash_file(h, path);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.' &&
            snprintf(file, sizeof file, "%s/%s", path, entry->d_name) < PATH_BYTES)
            sum += hash_file(HASH_START, file);
    closedir(folder);
    return hash(hash_text(h, path), &sum, sizeof sum);
}

/* The loadable backends: BURTHEN_MODULE_PATH, or burthen/ beside this library. */
static uint64_t hash_modules(uint64_t h)
{
    char path[PATH_BYTES];
    Dl_info self;
    const char *folder = getenv("BURTHEN_MODULE_PATH");
    if (folder != NULL && folder[0] != '\0')
        return hash_folder(h, folder);
    if (dladdr((const void *)&HASH_START, &self) == 0 || self.dli_fname == NULL)
        return h;
    const char *slash = strrchr(self.dli_fname, '/');
    const int length = slash == NULL ? 0 : (int)(slash - self.dli_fname + 1);
    snprintf(path, sizeof path, "%.*sburthen", length, self.dli_fname);
    return hash_folder(h, path);
}

uint64_t bur__listing_key(const bur_context *context)
{
    static const char *const variables[] = {"OCL_ICD_FILENAMES", "RUSTICL_ENABLE", "POCL_DEVICES"};
    static const char *const folders[] = {"OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH"};
    uint64_t h = hash_modules(hash_text(hash_context(context), "listing"));
    h = hash_folder(h, "/etc/OpenCL/vendors");
    h = hash_folder(h, "/dev/dri");
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        h = hash_folder(h, getenv(folders[i]));
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        h = hash_text(h, getenv(variables[i]));
    return h;
}

/* ---- lines ---- */

static uint64_t check_of(uint64_t key, const char *text)
{
    const int32_t format = FORMAT;
    return hash_text(hash(hash(HASH_START, &format, sizeof format), &key, sizeof key), text);
}

/* The text of the next sound line and its key; NULL at the end. */
static const char *next_line(FILE *file, char line[LINE_BYTES], uint64_t *key)
{
    while (fgets(line, LINE_BYTES, file) != NULL) {
        uint64_t check = 0;
        int text = 0;
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%16" SCNx64 " %16" SCNx64 " %n", key, &check, &text) == 2 && text > 0 &&
            check == check_of(*key, line + text))
            return line + text;
    }
    return NULL;
}

bool bur__cache_path(char path[PATH_BYTES], const char *name, bool make)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = 0;
    if (base != NULL && base[0] == '/')
        length = snprintf(path, PATH_BYTES, "%s", base);
    else if (home != NULL && home[0] == '/')
        length = snprintf(path, PATH_BYTES, "%s/.cache", home);
    if (length <= 0 || length >= PATH_BYTES - 64 - (int)strlen(name))
        return false;
    if (make)
        mkdir(path, 0700);
    strcpy(path + length, "/burthen");
    if (make)
        mkdir(path, 0700);
    strcat(path, "/");
    strcat(path, name);
    return true;
}

bool bur__cache_replace(const char *name, void (*write)(FILE *file, const void *user),
                        const void *user)
{
    char path[PATH_BYTES], aside[PATH_BYTES + 8];
    if (!bur__cache_path(path, name, true))
        return false;
    snprintf(aside, sizeof aside, "%s.XXXXXX", path);
    const int fd = mkstemp(aside);
    FILE *to = fd < 0 ? NULL : fdopen(fd, "w");
    if (to == NULL)
        return false;
    write(to, user);
    const bool written = fflush(to) == 0 && ferror(to) == 0;
    const bool kept = (fclose(to) == 0) & written && rename(aside, path) == 0;
    if (!kept)
        remove(aside);
    return kept;
}

static FILE *open_kept(void)
{
    char path[PATH_BYTES];
    return bur__cache_path(path, file_name, false) ? fopen(path, "r") : NULL;
}

bool bur__kept_read(uint64_t key, char *text, size_t size)
{
    char line[LINE_BYTES];
    uint64_t of = 0;
    const char *found = NULL;
    FILE *file = open_kept();
    if (file == NULL)
        return false;
    do
        found = next_line(file, line, &of);
    while (found != NULL && of != key);
    fclose(file);
    if (found != NULL)
        snprintf(text, size, "%s", found);
    return found != NULL;
}

static void write_line(FILE *to, uint64_t key, const char *text)
{
    fprintf(to, "%016" PRIx64 " %016" PRIx64 " %s\n", key, check_of(key, text), text);
}

/* The sound lines of other keys. A file that has grown long is begun anew. */
static void copy_others(FILE *to, FILE *from, uint64_t key)
{
    char line[LINE_BYTES];
    uint64_t of = 0;
    int32_t lines = 0;
    while (next_line(from, line, &of) != NULL)
        lines++;
    rewind(from);
    for (const char *text; lines < MOST_LINES && (text = next_line(from, line, &of)) != NULL;)
        if (of != key)
            write_line(to, of, text);
}

typedef struct new_line {
    uint64_t key;
    const char *text;
} new_line;

static void write_lines(FILE *to, const void *user)
{
    const new_line *line = user;
    FILE *from = open_kept();
    if (from != NULL) {
        copy_others(to, from, line->key);
        fclose(from);
    }
    write_line(to, line->key, line->text);
}

bool bur__kept_write(uint64_t key, const char *text)
{
    return bur__cache_replace(file_name, write_lines, &(const new_line){key, text});
}

/* ---- speeds ---- */

enum { NUMBERS = 3 + 2 * BUR_BANDWIDTH_COUNT };

bool bur__speed_read(bur_device_speed *out, uint64_t key)
{
    char text[LINE_BYTES];
    double number[NUMBERS];
    if (!bur__kept_read(key, text, sizeof text))
        return false;
    char *at = text;
    for (int32_t i = 0; i < NUMBERS; i++) {
        char *end = NULL;
        number[i] = strtod(at, &end);
        if (end == at || !(number[i] >= 0))
            return false;
        at = end;
    }
    *out = (bur_device_speed){
        .train_samples_per_s = number[0],
        .limits = {.flop_per_s = number[1], .launch_s = number[2]},
    };
    for (int32_t i = 0; i < BUR_BANDWIDTH_COUNT; i++) {
        out->limits.bandwidth[i].working_set_bytes = number[3 + 2 * i];
        out->limits.bandwidth[i].bytes_per_s = number[4 + 2 * i];
    }
    snprintf(out->note, sizeof out->note, "%s", at + strspn(at, " "));
    return true;
}

bool bur__speed_write(uint64_t key, const bur_device_speed *speed)
{
    char text[LINE_BYTES];
    const bur_limits *limits = &speed->limits;
    int used = snprintf(text, sizeof text, "%.9g %.9g %.9g", speed->train_samples_per_s,
                        limits->flop_per_s, limits->launch_s);
    for (int32_t i = 0; i < BUR_BANDWIDTH_COUNT; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, " %.9g %.9g",
                         limits->bandwidth[i].working_set_bytes, limits->bandwidth[i].bytes_per_s);
    snprintf(text + used, sizeof text - (size_t)used, " %s", speed->note);
    for (char *at = text; *at != '\0'; at++) /* a line stays one line */
        *at = *at == '\n' || *at == '\r' ? ' ' : *at;
    return bur__kept_write(key, text);
}
