/* The list of backends. A loadable one is burthen/NAME.so beside the library. */
#define _GNU_SOURCE /* dladdr */
#include "backends.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

/* A backend stays loaded until the process ends: OpenCL drivers do not survive being unloaded. */
typedef struct module {
    const char *name;
    const bur_backend *backend;
    char reason[BUR_TEXT_BYTES];
} module;

static module modules[] = {
#ifdef BURTHEN_WITH_OPENCL
    {.name = "opencl"},
#endif
    {.name = NULL},
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* BURTHEN_MODULE_PATH/NAME.so, or burthen/NAME.so in the directory of this library. */
static bool module_path(char *path, const char *name)
{
    const char *directory = getenv("BURTHEN_MODULE_PATH");
    if (directory != NULL && *directory != '\0')
        return snprintf(path, PATH_BYTES, "%s/%s.so", directory, name) < PATH_BYTES;
    Dl_info self;
    if (dladdr((void *)modules, &self) == 0 || self.dli_fname == NULL)
        return false;
    const char *slash = strrchr(self.dli_fname, '/');
    const int length = slash == NULL ? 1 : (int)(slash - self.dli_fname);
    return snprintf(path, PATH_BYTES, "%.*s/burthen/%s.so", length,
                    slash == NULL ? "." : self.dli_fname, name) < PATH_BYTES;
}

/* The module's backend; NULL with `reason` if it cannot be used. */
static const bur_backend *load(const char *name, char *reason)
{
    char path[PATH_BYTES];
    if (!module_path(path, name)) {
        snprintf(reason, BUR_TEXT_BYTES, "the directory of module %s.so is unknown", name);
        return NULL;
    }
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(reason, BUR_TEXT_BYTES, "%s", dlerror());
        return NULL;
    }
    bur_backend_entry_function entry = NULL;
    *(void **)&entry = dlsym(handle, BUR_BACKEND_ENTRY);
    const bur_backend *backend = NULL;
    if (entry == NULL)
        snprintf(reason, BUR_TEXT_BYTES, "%s has no %s", path, BUR_BACKEND_ENTRY);
    else
        backend = entry(reason);
    if (backend != NULL && backend->version != BUR_BACKEND_VERSION) {
        snprintf(reason, BUR_TEXT_BYTES, "%s has version %u of the backend interface, not %u", path,
                 backend->version, BUR_BACKEND_VERSION);
        backend = NULL;
    }
    if (backend == NULL)
        dlclose(handle);
    return backend;
}

const bur_backend *bur_backend_load(int32_t index, const char **name, char *reason)
{
    const int32_t count = (int32_t)(sizeof modules / sizeof modules[0]) - 1;
    *name = NULL;
    reason[0] = '\0';
    if (index < 0 || index >= count)
        return NULL;
    module *wanted = &modules[index];
    *name = wanted->name;
    pthread_mutex_lock(&lock);
    if (wanted->backend == NULL) { /* asked again: what was missing may have been installed */
        wanted->reason[0] = '\0';
        wanted->backend = load(wanted->name, wanted->reason);
    }
    snprintf(reason, BUR_TEXT_BYTES, "%s", wanted->reason);
    const bur_backend *backend = wanted->backend;
    pthread_mutex_unlock(&lock);
    return backend;
}

const char *bur_backend_name(int32_t index)
{
    const int32_t count = (int32_t)(sizeof modules / sizeof modules[0]) - 1;
    return index >= 0 && index < count ? modules[index].name : NULL;
}
