/* Messages to stderr, exit codes. */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void finish_error(const char *why, const char *fix)
{
    fputc('\n', stderr);
    if (why != NULL)
        fprintf(stderr, "why:   %s\n", why);
    if (fix != NULL)
        fprintf(stderr, "fix:   %s\n", fix);
}

int cli_error(int code, const char *why, const char *fix, const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    fputs("error: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    finish_error(why, fix);
    return code;
}

int cli_error_status(bur_status status, const char *fix, const char *format, ...)
{
    const char *why = bur_last_error();
    va_list arguments;
    fflush(stdout);
    fputs("error: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    finish_error(why[0] != '\0' ? why : bur_status_text(status), fix);
    return cli_exit_code(status);
}

void cli_warn(const char *format, ...)
{
    va_list arguments;
    fputs("warning: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int cli_exit_code(bur_status status)
{
    static const struct {
        bur_status status;
        cli_exit code;
    } codes[] = {
        {BUR_OK, CLI_DONE},
        {BUR_E_ARG, CLI_USAGE},
        {BUR_E_NAME, CLI_USAGE},
        {BUR_E_SHAPE, CLI_USAGE},
        {BUR_E_RANGE, CLI_USAGE},
        {BUR_E_FILE, CLI_INPUT},
        {BUR_E_FORMAT, CLI_INPUT},
        {BUR_E_DEVICE, CLI_DEVICE},
        {BUR_E_LOST, CLI_DEVICE},
        {BUR_E_UNSUPPORTED, CLI_DEVICE},
        {BUR_E_BUDGET, CLI_MEMORY},
        {BUR_E_NOMEM, CLI_MEMORY},
        {BUR_E_DIVERGED, CLI_DIVERGED},
        {BUR_E_STOPPED, CLI_STOPPED},
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].status == status)
            return codes[i].code;
    return CLI_FAILED;
}

static const char *const level_names[] = {"error", "warning", "info", "debug", "trace"};

static const char *level_name(const void *user, int32_t i)
{
    (void)user;
    return level_names[i];
}

const char *cli_log_level_name(bur_log_level level)
{
    return level_name(NULL, (int32_t)level);
}

bur_log_level cli_log_level(void)
{
    const char *wanted = getenv("BUR_LOG");
    if (wanted == NULL || wanted[0] == '\0')
        return BUR_LOG_INFO;
    const int32_t level = bur_word_find(wanted, BUR_LOG_TRACE + 1, level_name, NULL);
    if (level < 0)
        cli_warn("BUR_LOG=%s is none of error, warning, info, debug, trace", wanted);
    return level < 0 ? BUR_LOG_INFO : (bur_log_level)level;
}
