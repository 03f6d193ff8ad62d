/* Descriptions of problems, kept by problem, and what is compiled from them. */
#include <omp.h>
#include <pthread.h>
#include <string.h>

#include "onednn_describe.h"

/* Planning asks for the scratch of every node and for many batch sizes, then the kernels are built:
 * each signature is described once. A fixed table, so that nothing here grows. */
enum { CACHE_ENTRIES = 256, PAD = 64 /* bytes: a cache line, the alignment of every tensor */ };

typedef struct entry {
    bur_onednn_problem problem;
    bur_onednn_description description;
    bur_onednn_needs needs;
    uint64_t used; /* 0: free, else grows with every use */
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry cache[CACHE_ENTRIES];
static entry *latest = cache; /* a call is asked about several times in a row */
static uint64_t uses;

static void entry_clear(const bur_onednn *dnnl, entry *e)
{
    bur__onednn_description_destroy(&e->description, dnnl);
    memset(e, 0, sizeof *e);
}

static size_t pad(size_t bytes)
{
    return (bytes + PAD - 1) / PAD * PAD;
}

static void measure_needs(const bur_onednn *dnnl, entry *e)
{
    const char *name = "";
    dnnl->primitive_desc_query(e->description.main, dnnl_query_impl_info_str, 0, (void *)&name);
    bur__onednn_estimate(&e->needs, name, &e->problem);
    e->needs.scratch_bytes =
        pad(e->description.scratchpad_bytes) + pad(e->description.weights_bytes);
}

static dnnl_status_t describe(const bur_onednn *dnnl, entry *e, const_dnnl_primitive_desc_t forward)
{
    const dnnl_status_t status =
        bur__onednn_description_create(&e->description, dnnl, &e->problem, forward);
    if (status == dnnl_success)
        measure_needs(dnnl, e);
    else
        entry_clear(dnnl, e);
    return status;
}

static bool is_entry_of(const entry *e, const bur_onednn_problem *p)
{
    return e->used && memcmp(&e->problem, p, sizeof *p) == 0;
}

static entry *find_entry(const bur_onednn_problem *p)
{
    if (is_entry_of(latest, p))
        return latest;
    for (entry *e = cache; e < cache + CACHE_ENTRIES; e++)
        if (is_entry_of(e, p))
            return e;
    return NULL;
}

static entry *oldest_entry(void)
{
    entry *oldest = cache;
    for (entry *e = cache; e < cache + CACHE_ENTRIES; e++)
        if (e->used < oldest->used)
            oldest = e;
    return oldest;
}

/* The entry of a problem, described if it is new, in the place of the one unused for longest. A
 * gradient's description takes that of its convolution as a hint, which both gradients share and
 * often the forward node, too. The lock is held. */
static dnnl_status_t entry_get(entry **out, const bur_onednn *dnnl, const bur_onednn_problem *p)
{
    entry *e = find_entry(p), *forward = NULL;
    dnnl_status_t status = dnnl_success;
    if (e == NULL && bur__onednn_is_gradient(p->kind)) {
        bur_onednn_problem convolution = *p;
        convolution.kind = BUR_ONEDNN_CONV;
        status = entry_get(&forward, dnnl, &convolution);
    }
    if (e == NULL && status == dnnl_success) {
        e = oldest_entry();
        entry_clear(dnnl, e);
        e->problem = *p;
        status = describe(dnnl, e, forward ? forward->description.main : NULL);
    }
    if (status != dnnl_success)
        return status;
    e->used = ++uses;
    *out = latest = e;
    return dnnl_success;
}

void bur__onednn_forget(void)
{
    pthread_mutex_lock(&lock);
    for (entry *e = cache; e < cache + CACHE_ENTRIES; e++)
        if (e->used)
            entry_clear(bur__onednn(), e);
    pthread_mutex_unlock(&lock);
}

bur_status bur__onednn_status(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return BUR_OK;
    if (status == dnnl_out_of_memory)
        return bur_fail(BUR_E_NOMEM, "oneDNN: no memory for %s", what);
    return bur_fail(BUR_E_UNSUPPORTED, "oneDNN: %s failed with status %d", what, (int)status);
}

/* Takes the lock and lets oneDNN see so many threads; gives how many it saw before. */
static int begin(int32_t threads)
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    pthread_mutex_lock(&lock);
    return before;
}

static void end(int threads_before)
{
    pthread_mutex_unlock(&lock);
    omp_set_num_threads(threads_before);
}

bur_status bur__onednn_describe(bur_onednn_needs *out, const bur_onednn_problem *problem)
{
    const bur_onednn *dnnl = bur__onednn();
    const int threads_before = begin(problem->threads);
    entry *e = NULL;
    const dnnl_status_t status = entry_get(&e, dnnl, problem);
    if (status == dnnl_success)
        *out = e->needs;
    end(threads_before);
    return bur__onednn_status(status, "the description of a kernel");
}

void bur__onednn_code_clear(bur_onednn_code *code)
{
    const dnnl_primitive_t primitives[] = {code->main, code->reorder, code->add};
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++)
        if (primitives[i] != NULL)
            bur__onednn()->primitive_destroy(primitives[i]);
    memset(code, 0, sizeof *code);
}

bur_status bur__onednn_compile(bur_onednn_code *out, const bur_onednn_problem *problem)
{
    const bur_onednn *dnnl = bur__onednn();
    const int threads_before = begin(problem->threads);
    entry *e = NULL;
    bur_onednn_code code = {0};
    dnnl_status_t status = entry_get(&e, dnnl, problem);
    if (status == dnnl_success)
        status = dnnl->primitive_create(&code.main, e->description.main);
    if (status == dnnl_success)
        status = bur__onednn_create_reorders(&code, dnnl, &e->description, problem);
    if (status == dnnl_success) {
        code.scratchpad_bytes = e->description.scratchpad_bytes;
        code.weights_offset = pad(e->description.scratchpad_bytes);
        *out = code;
        entry_clear(dnnl, e); /* the primitives have copies, tens of KiB each, of what they need */
    } else {
        bur__onednn_code_clear(&code);
    }
    end(threads_before);
    return bur__onednn_status(status, "the build of a kernel");
}
