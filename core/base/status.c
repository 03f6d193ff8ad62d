/* Status names and the thread's error line. */
#include <burthen/base.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char error_line[512];

static const struct {
    bur_status status;
    const char *name, *text;
} statuses[] = {
#define ROW(name, value, text) {BUR_##name, "BUR_" #name, text},
    BUR_STATUS_MAP(ROW)
#undef ROW
};

const char *bur_status_name(bur_status status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return statuses[i].name;
    return "unknown status";
}

const char *bur_status_text(bur_status status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i].status == status)
            return statuses[i].text;
    return "unknown status";
}

const char *bur_last_error(void)
{
    return error_line;
}

/* Keeps it one line whatever name from a file or an argument is in it: a control character would
 * reach the user's terminal. */
static bur_status set_line(bur_status status, const char line[sizeof error_line])
{
    size_t i = 0;
    for (; i < sizeof error_line - 1 && line[i] != '\0'; i++)
        error_line[i] = (unsigned char)line[i] < ' ' || line[i] == 0x7f ? '?' : line[i];
    error_line[i] = '\0';
    return status;
}

bur_status bur_fail(bur_status status, const char *format, ...)
{
    char line[sizeof error_line]; /* arguments may point into error_line */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return set_line(status, line);
}

bur_status bur_fail_in(bur_status status, const char *format, ...)
{
    char line[sizeof error_line];
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (used < 0 || (size_t)used >= sizeof line)
        used = (int)sizeof line - 1;
    snprintf(line + used, sizeof line - (size_t)used, ": %s", error_line);
    return set_line(status, line);
}
