/* Opens oneDNN at run time. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "onednn.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

/* Compiled primitives that oneDNN keeps after their last user; its default is 1024. Kernels are
 * kept by the device already, so this serves only devices opened one after the other. */
enum { CACHE_CAPACITY = 128 };

static bur_onednn library;
static bool usable;

/* Fills the function slots; false if one is missing. */
static bool find_functions(void *handle)
{
    const struct {
        const char *name;
        void *slot;
    } functions[] = {
#define FUNCTION(name) {"dnnl_" #name, &library.name},
        BUR_ONEDNN_MAP(FUNCTION)
#undef FUNCTION
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        /* dlsym's result is an object pointer; POSIX has it stored like this. */
        *(void **)functions[i].slot = dlsym(handle, functions[i].name);
        if (!*(void **)functions[i].slot)
            return false;
    }
    return true;
}

static void open_library(void)
{
    void *handle = dlopen("libdnnl.so." TEXT(DNNL_VERSION_MAJOR), RTLD_NOW | RTLD_LOCAL);
    if (!handle || !find_functions(handle))
        return;
    const dnnl_version_t *version = library.version();
    if (version->major != DNNL_VERSION_MAJOR)
        return;
    /* Below AVX2, and on processors that are not x86-64, oneDNN falls back to kernels slower than
     * ours. */
    const unsigned isa = (unsigned)library.get_effective_cpu_isa();
    if ((isa & dnnl_cpu_isa_avx2) != dnnl_cpu_isa_avx2)
        return;
    if (library.engine_create(&library.engine, dnnl_cpu, 0) != dnnl_success)
        return;
    library.set_primitive_cache_capacity(CACHE_CAPACITY);
    snprintf(library.text, sizeof library.text, "oneDNN %d.%d.%d", version->major, version->minor,
             version->patch);
    usable = true;
}

const bur_onednn *bur__onednn(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_library);
    return usable ? &library : NULL;
}

const char *bur__cpu_onednn_version(void)
{
    const bur_onednn *dnnl = bur__onednn();
    return dnnl ? dnnl->text : NULL;
}
