/* Runs the built program in a folder of its own and keeps what it wrote. */
#ifndef BUR_TESTS_CLI_PROGRAM_H
#define BUR_TESTS_CLI_PROGRAM_H

#include "test.h"

#include "support/cgroup.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRAM_TEXT_BYTES = 256 * 1024 };

typedef struct program_run {
    int code; /* exit code, -1 if a signal ended it */
    char out[PROGRAM_TEXT_BYTES], err[PROGRAM_TEXT_BYTES];
} program_run;

/* What the program is started in, NULL: where the test is. */
static const test_cgroup *program_group;

/* A folder for one test, entered; removed by leave_folder. */
static char program_folder[64];

static inline void enter_folder(void)
{
    strcpy(program_folder, "/tmp/burthen-cli-XXXXXX");
    assert_non_null(mkdtemp(program_folder));
    assert_int_equal(chdir(program_folder), 0);
}

static inline void leave_folder(void)
{
    char command[128];
    assert_int_equal(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf %s", program_folder);
    assert_int_equal(system(command), 0);
}

static inline void read_text(char *text, const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t length = fread(text, 1, PROGRAM_TEXT_BYTES - 1, file);
    text[length] = '\0';
    fclose(file);
}

static inline void write_bytes(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static inline void write_text(const char *path, const char *text)
{
    write_bytes(path, text, strlen(text));
}

/* Starts the program with the words of `line` (single spaces between them). */
static inline pid_t start_program(const char *line)
{
    char words[1024];
    char *argv[32] = {(char[]){"burthen"}};
    int argc = 1;
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word != NULL && argc < 31; word = strtok(NULL, " "))
        argv[argc++] = word;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    if (program_group != NULL && !test_cgroup_enter(program_group))
        _exit(98);
    const int out = open("stdout.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int err = open("stderr.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out >= 0 && err >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0)
        execv(BURTHEN_BINARY_DIR "/bin/burthen", argv);
    _exit(99);
}

static inline void finish_program(program_run *run, pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    run->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    read_text(run->out, "stdout.txt");
    read_text(run->err, "stderr.txt");
}

static inline void run_program(program_run *run, const char *line)
{
    finish_program(run, start_program(line));
}

static inline void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no '%s' in:\n%s", part, text);
}

/* Runs a line that must fail with `code` and say `part` on stderr, with an empty stdout. */
static inline void assert_refuses(program_run *run, int code, const char *line, const char *part)
{
    run_program(run, line);
    if (run->code != code)
        fail_msg("burthen %s gave %d, not %d:\n%s", line, run->code, code, run->err);
    assert_string_equal(run->out, "");
    assert_contains(run->err, "error: ");
    assert_contains(run->err, part);
}

/* Runs a line that must succeed and gives its stdout as JSON; yours to json_decref. */
static inline json_t *run_json(program_run *run, const char *line)
{
    json_error_t error;
    run_program(run, line);
    if (run->code != 0)
        fail_msg("burthen %s gave %d:\n%s", line, run->code, run->err);
    json_t *value = json_loads(run->out, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL)
        fail_msg("burthen %s: no JSON: %s in:\n%s", line, error.text, run->out);
    assert_int_equal(json_integer_value(json_object_get(value, "schema")), 1);
    return value;
}

static inline double number_at(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        fail_msg("'%s' is no number", key);
    return json_number_value(value);
}

static inline bool path_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

#endif
