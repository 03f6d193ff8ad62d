/* What a run takes beside its tensors, what host and device leave, and whether it fits. */
#include "run_plan.h"
#include "../base/context.h"
#include "../base/size.h"
#include "../run/speed.h"

#include <inttypes.h>

enum { MIB = 1 << 20 };

/* Graphs, plans and descriptions of kernels that planning leaves behind, at most: there when a
 * budget is read, given back before a run takes its memory. */
enum { PLANNING_BYTES = 8 << 20 };

void bur__run_budget_start(bur_context *context)
{
    bur_host_memory host = {0};
    if (atomic_load(&context->runtime_own_bytes) > 0)
        return;
    const uint64_t live = bur_context_memory(context).live_bytes;
    const bool known = bur_host_memory_read(&host) == BUR_OK &&
                       host.resident_bytes > host.resident_file_bytes + live;
    atomic_store(&context->runtime_own_bytes,
                 known ? host.resident_bytes - host.resident_file_bytes - live : 8ULL * MIB);
}

/* Reads the pages of files once for a context, and what a plan counts of them and of the process's
 * own. How many pages a library's code takes differs by 0.4 MiB from start to start, with where it
 * was put; plans must not, so what one start counted is kept for the next, for as long as it is
 * neither less than what is there nor more by twice that. */
static void measure_pages(bur_context *context, const bur_device_info *info, const char *model)
{
    const uint64_t differs_bytes = MIB / 2, key = bur__pages_key(context, info, model);
    bur_host_memory host = {0};
    char text[BUR_NAME_BYTES];
    uint64_t kept = 0;
    const bool known = bur_host_memory_read(&host) == BUR_OK && host.resident_file_bytes > 0;
    const uint64_t of_files = known ? host.resident_file_bytes : 8ULL * MIB,
                   present = atomic_load(&context->runtime_own_bytes) + of_files;
    if (bur__kept_read(key, text, sizeof text))
        sscanf(text, "%" SCNu64, &kept);
    if (kept < present || kept > present + 2 * differs_bytes) {
        kept = present + differs_bytes;
        snprintf(text, sizeof text, "%" PRIu64, kept);
        bur__kept_write(key, text);
    }
    atomic_store(&context->runtime_file_bytes, of_files);
    atomic_store(&context->runtime_bytes, kept);
}

/* What a device leaves for a run: free or total memory, less a reserve for the display and the
 * driver. */
static uint64_t device_budget(const bur_device_info *info)
{
    const uint64_t known = info->free_bytes > 0 ? info->free_bytes : info->memory_bytes;
    const uint64_t twentieth = info->memory_bytes / 20,
                   reserve = twentieth > 400ULL * MIB ? twentieth : 400ULL * MIB;
    return known > 2 * reserve ? known - reserve : known / 2;
}

typedef struct host_budget {
    uint64_t bytes;
    const char *binds;
} host_budget;

uint64_t bur__run_budget_unseen_bytes(const bur_host_memory *host, uint64_t file_bytes)
{
    const uint64_t seen = host->resident_file_bytes, charged = host->mapped_bytes;
    if (file_bytes <= seen || charged >= seen)
        return 0;
    return (uint64_t)((double)(file_bytes - seen) * (double)(seen - charged) / (double)seen);
}

/* What the host leaves. What the plan counts though it is there already (`present_bytes` and up to
 * `file_bytes` of files) counts as free, and of a limit the pages of files still to come, too. */
static host_budget read_host_budget(const bur_device_info *info, bool on_host,
                                    uint64_t present_bytes, uint64_t file_bytes)
{
    bur_host_memory host = {0};
    bool by_limit = false;
    if (info->assumed && on_host)
        return (host_budget){info->memory_bytes - bur_host_reserve_bytes(info->memory_bytes),
                             "described RAM"};
    if (bur_host_memory_read(&host) != BUR_OK)
        return (host_budget){info->memory_bytes / 2, "RAM"};
    const uint64_t free_bytes =
        bur_host_free_bytes(&host, bur_host_reserve_bytes(host.ram_bytes), &by_limit);
    const uint64_t present =
        bur_size_min(present_bytes, host.resident_bytes - host.resident_file_bytes) +
        bur_size_min(file_bytes, host.resident_file_bytes);
    if (!by_limit)
        return (host_budget){free_bytes + present, "RAM"};
    return (host_budget){free_bytes + present + bur__run_budget_unseen_bytes(&host, file_bytes),
                         "memory limit (cgroup)"};
}

/* What program and libraries take on the host. */
typedef struct runtime {
    uint64_t present_bytes; /* now, without pages of files */
    uint64_t bytes;         /* in the run */
    uint64_t file_bytes;    /* of these: pages of files */
} runtime;

/* Resident pages of program and libraries, and what threads and library kernels (`uses_library`)
 * add. They are read once for a context and go on with what it holds: a second plan of the same run
 * must give the same bytes, though the process has grown by the pages that the first plan took and
 * gave back. Data that are loaded already count as data. */
static runtime runtime_of(const bur_recipe *recipe, const bur_target *target, size_t loaded_bytes,
                          bool uses_library)
{
    /* Of the program, what it is the first to touch in a run, code and heap, and what the kernel
     * keeps for it; of a library's code oneDNN's 1 to 4, in the mean of a model 2.5. */
    const uint64_t program_bytes = MIB, heap_bytes = MIB,
                   library_bytes = uses_library ? 3ULL * MIB : 0;
    /* The kernel's counts of resident pages lag behind by up to 64 for each thread. */
    const uint64_t thread_bytes = MIB / 4;
    bur_context *context = bur_recipe_context(recipe);
    const uint64_t live = bur_context_memory(context).live_bytes;
    const uint64_t held = live > loaded_bytes ? live - loaded_bytes : 0;
    if (atomic_load(&context->runtime_bytes) == 0)
        measure_pages(context, target->info, bur_recipe_name(recipe));
    const uint64_t of_files = atomic_load(&context->runtime_file_bytes),
                   present = atomic_load(&context->runtime_bytes) + held;
    return (runtime){
        .present_bytes = present - of_files,
        .bytes = present + program_bytes + heap_bytes + library_bytes +
                 (uint64_t)target->threads * thread_bytes,
        .file_bytes = of_files + program_bytes + library_bytes,
    };
}

/* What of the plan must fit where, and whether it does. */
static void judge(bur_run_plan *out, const bur_target *target, const bur_fit_options *options,
                  uint64_t present_bytes)
{
    const bur_device_info *info = target->info;
    const bool on_host = info->unified != 0;
    const uint64_t host_bytes = out->peak_bytes - out->device_bytes;
    const host_budget host = read_host_budget(info, on_host, present_bytes, out->file_bytes);
    out->needed_bytes = on_host ? out->peak_bytes : out->device_bytes;
    out->budget_bytes = on_host ? host.bytes : device_budget(info);
    out->binds = on_host ? host.binds : "device memory";
    if (on_host && target->backend->map == NULL && device_budget(info) < out->budget_bytes) {
        out->budget_bytes = device_budget(info);
        out->binds = "device memory";
    }
    if (options->budget_bytes > 0) {
        out->budget_bytes = options->budget_bytes;
        out->binds = "given budget";
    }
    if (!on_host && !info->assumed && out->needed_bytes <= out->budget_bytes &&
        host_bytes > host.bytes) {
        out->needed_bytes = host_bytes;
        out->budget_bytes = host.bytes;
        out->binds = host.binds;
    }
    out->fits = out->needed_bytes <= out->budget_bytes;
}

void bur__run_budget_judge(bur_run_plan *plan, const bur_recipe *recipe, const bur_target *target,
                           const bur_fit_options *options, size_t loaded_bytes)
{
    const runtime own =
        runtime_of(recipe, target, loaded_bytes, plan->bytes[BUR_BYTES_RUNTIME] > 0);
    plan->bytes[BUR_BYTES_RUNTIME] += own.bytes;
    plan->file_bytes = own.file_bytes;
    plan->peak_bytes = 0;
    for (int32_t c = 0; c < BUR_BYTE_CLASS_COUNT; c++)
        plan->peak_bytes += plan->bytes[c];
    judge(plan, target, options, own.present_bytes + loaded_bytes + PLANNING_BYTES);
}
