/* Programs: the embedded sources of cl/, compiled once per device and options. */
#include "cl.h"

#include <stdio.h>
#include <string.h>

struct bur__cl_program_entry {
    bur__cl_program_entry *next;
    cl_program program;
    const bur__cl_source *source;
    char options[BUR_CL_OPTIONS_BYTES];
};

static const bur__cl_source *find_source(const char *name)
{
    const bur__cl_source *source = bur__cl_sources;
    while (source->name != NULL && strcmp(source->name, name) != 0)
        source++;
    return source->name == NULL ? NULL : source;
}

/* Hands the compiler's log to the context's log line by line, and its first line to the caller. */
static void report(bur_device_handle *device, cl_program program, bur_log_level level, char *first,
                   size_t size)
{
    size_t bytes = 0;
    clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes);
    char *log = bur_alloc(device->context, bytes + 1);
    if (log == NULL)
        return;
    clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, bytes, log, NULL);
    first[0] = '\0';
    for (char *line = strtok(log, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        bur_log(device->context, level, BUR_CL_MODULE, "%s", line);
        if (first[0] == '\0' && strstr(line, "error") != NULL)
            snprintf(first, size, "%s", line);
    }
    bur_free(device->context, log);
}

static bur_status compile(cl_program *out, bur_device_handle *device,
                          const bur__cl_source *const *sources, const char *options)
{
    cl_int error = CL_SUCCESS;
    const char *text[2] = {sources[0]->text, sources[1]->text};
    const size_t bytes[2] = {sources[0]->bytes, sources[1]->bytes};
    cl_program program = clCreateProgramWithSource(device->cl, 2, text, bytes, &error);
    BUR_TRY(bur__cl_check_as(BUR_E_DEVICE, error, "clCreateProgramWithSource"));
    const int64_t start_ns = bur_time_ns();
    error = clBuildProgram(program, 1, &device->id, options, NULL, NULL);
    if (error != CL_SUCCESS) {
        char first[256] = "";
        report(device, program, BUR_LOG_ERROR, first, sizeof first);
        clReleaseProgram(program);
        return bur_fail(BUR_E_DEVICE, "%s cannot compile cl/%s.cl (%s): %s", device->info.name,
                        sources[1]->name, bur__cl_error_name(error), first);
    }
    bur_log(device->context, BUR_LOG_TRACE, BUR_CL_MODULE, "cl/%s.cl compiled in %.0f ms: %s",
            sources[1]->name, (double)(bur_time_ns() - start_ns) * 1e-6, options);
    *out = program;
    return BUR_OK;
}

/* From the disk cache, or compiled and then stored there. */
static bur_status load_or_compile(cl_program *out, bur_device_handle *device,
                                  const bur__cl_source *const *sources, const char *options)
{
    if (device->runtime_caches)
        return compile(out, device, sources, options);
    const bur__cl_key key = bur__cl_cache_key(device, sources, 2, options);
    cl_program program = bur__cl_cache_load(device, &key, options);
    if (program == NULL) {
        BUR_TRY(compile(&program, device, sources, options));
        bur__cl_cache_store(device, &key, program);
    }
    *out = program;
    return BUR_OK;
}

bur_status bur__cl_program(cl_program *out, bur_device_handle *device, const char *source,
                           const char *options)
{
    const bur__cl_source *sources[2] = {find_source("common"), find_source(source)};
    if (sources[0] == NULL || sources[1] == NULL)
        return bur_fail(BUR_E_NAME, "no cl/%s.cl in this build", source);
    for (bur__cl_program_entry *entry = device->programs; entry != NULL; entry = entry->next) {
        if (entry->source == sources[1] && strcmp(entry->options, options) == 0) {
            *out = entry->program;
            return BUR_OK;
        }
    }
    bur__cl_program_entry *entry = bur_alloc(device->context, sizeof *entry);
    if (entry == NULL)
        return BUR_E_NOMEM;
    char all[BUR_CL_OPTIONS_BYTES];
    /* Adam's moments of weights without gradients decay into denormal numbers, which cost a
     * processor a hundred cycles each. */
    snprintf(all, sizeof all, "-cl-std=CL1.2 -cl-denorms-are-zero %s", options);
    const bur_status status = load_or_compile(&entry->program, device, sources, all);
    if (status != BUR_OK) {
        bur_free(device->context, entry);
        return status;
    }
    snprintf(entry->options, sizeof entry->options, "%s", options);
    entry->source = sources[1];
    entry->next = device->programs;
    device->programs = entry;
    *out = entry->program;
    return BUR_OK;
}

void bur__cl_programs_destroy(bur_device_handle *device)
{
    while (device->programs != NULL) {
        bur__cl_program_entry *entry = device->programs;
        device->programs = entry->next;
        clReleaseProgram(entry->program);
        bur_free(device->context, entry);
    }
}
