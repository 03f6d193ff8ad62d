/* Context and log. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "context.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 1024 };

/* Processors this process may run on; OMP_NUM_THREADS lowers it, as OpenMP users expect. */
static int default_threads(void)
{
    cpu_set_t set;
    int threads = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    const char *text = getenv("OMP_NUM_THREADS");
    const int wanted = text == NULL ? 0 : atoi(text);
    if (wanted > 0 && wanted < threads)
        threads = wanted;
    return threads < 1 ? 1 : threads;
}

bur_status bur_context_create(bur_context **out, const bur_context_options *options)
{
    static const bur_context_options none;
    if (out == NULL)
        return bur_fail(BUR_E_ARG, "bur_context_create: out is NULL");
    if (options == NULL)
        options = &none;
    if (options->threads < 0 || options->threads > MAX_THREADS)
        return bur_fail(BUR_E_ARG, "%d threads; 1 to %d are possible", options->threads,
                        MAX_THREADS);
    const bool own = options->allocator.allocate != NULL && options->allocator.release != NULL;
    const bur_allocator allocator = own ? options->allocator : bur__default_allocator;

    bur_context *context = allocator.allocate(allocator.user, sizeof *context, sizeof(max_align_t));
    if (context == NULL)
        return bur_fail(BUR_E_NOMEM, "no memory for a context");
    memset(context, 0, sizeof *context);
    context->allocator = allocator;
    context->log = options->log;
    context->log_user = options->log_user;
    context->log_level = options->log_level;
    context->threads = options->threads > 0 ? options->threads : default_threads();
    *out = context;
    return BUR_OK;
}

void bur_context_destroy(bur_context *context)
{
    if (context == NULL)
        return;
    if (context->devices_destroy != NULL)
        context->devices_destroy(context->devices);
    const bur_allocator allocator = context->allocator;
    allocator.release(allocator.user, context);
}

int bur_context_threads(const bur_context *context)
{
    return context->threads;
}

void bur_log(const bur_context *context, bur_log_level level, const char *module,
             const char *format, ...)
{
    if (context == NULL || context->log == NULL || level > context->log_level)
        return;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    context->log(context->log_user, level, module, line);
}
