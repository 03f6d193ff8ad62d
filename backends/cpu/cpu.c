/* The CPU as a backend: describes the processor and chooses who carries out a call. */
#include "cpu.h"

#include "../backends.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <unistd.h>

/* ---- instruction sets ---- */

static bool always(void)
{
    return true;
}

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

#define ISA_MAP(X) X(avx512, has_avx512) X(avx2, has_avx2) X(sse2, always)
#elif defined(__aarch64__)
#define ISA_MAP(X) X(neon, always)
#else
#define ISA_MAP(X) X(generic, always)
#endif

#define EXTERN(isa, runs_here)                                                                     \
    extern const bur_cpu_entry bur__cpu_entries_##isa[BUR_OP_COUNT];                               \
    extern const bur_cpu_limits bur__cpu_limits_##isa;
ISA_MAP(EXTERN)
#undef EXTERN

#define PORTABLE "portable "

static const bur_cpu_isa isas[] = {
#define ROW(isa, runs_here)                                                                        \
    {#isa, runs_here, bur__cpu_entries_##isa, &bur__cpu_limits_##isa, PORTABLE #isa},
    ISA_MAP(ROW)
#undef ROW
};

enum { ISA_COUNT = sizeof isas / sizeof isas[0] };

const bur_cpu_isa *bur__cpu_isas(int32_t *count)
{
    *count = ISA_COUNT;
    return isas;
}

const bur_cpu_isa *bur__cpu_isa_of(const bur_device_info *info)
{
    const char *text = strstr(info->driver, PORTABLE);
    for (int32_t i = 0; text != NULL && i < ISA_COUNT; i++)
        if (strcmp(text, isas[i].text) == 0)
            return &isas[i];
    return NULL;
}

/* ---- choice of an entry ---- */

static bool type_fits(char letter, const bur_desc *desc)
{
    switch (letter) {
    case 'f':
        return desc->dtype == BUR_F32;
    case 'i':
        return desc->dtype == BUR_I32;
    case 't':
        return desc->dtype == BUR_F32 || desc->dtype == BUR_I32;
    case 'u':
        return desc->dtype == BUR_U8;
    case '*':
        return desc->dtype == BUR_F32 || desc->dtype == BUR_I32 || desc->dtype == BUR_U8;
    default:
        return desc->dtype == BUR_I32 && desc->shape.rank == 1 &&
               desc->shape.dim[0] == BUR_SCALAR_WORDS;
    }
}

/* Checks `count` tensors against the letters up to `end`, whose last holds for all that follow. */
static bool types_fit(const char *letters, const char *end, const bur_desc *descs, int32_t count,
                      const char *what, char *reason)
{
    for (int32_t i = 0; i < count; i++) {
        if (!type_fits(*letters, &descs[i]) || descs[i].layout != BUR_LAYOUT_PLAIN) {
            snprintf(reason, BUR_TEXT_BYTES, "the CPU has no kernel for %s %" PRId32 " of %s", what,
                     i, bur_dtype_name((bur_dtype)descs[i].dtype));
            return false;
        }
        if (letters + 1 < end)
            letters++;
    }
    return true;
}

static bool entry_fits(const bur_cpu_entry *entry, const bur_device_info *info,
                       const bur_call *call, char *reason)
{
    const char *arrow = strchr(entry->types, '>'), *outputs = arrow + 1;
    return types_fit(entry->types, arrow, call->inputs, call->n_inputs, "input", reason) &&
           types_fit(outputs, outputs + strlen(outputs), call->outputs, call->n_outputs, "output",
                     reason) &&
           (entry->supports == NULL || entry->supports(info, call, reason));
}

const bur_cpu_entry *bur__cpu_entry(const bur_device_info *info, const bur_call *call, char *reason)
{
#ifdef BUR_HAVE_ONEDNN
    const bur_cpu_entry *onednn = &bur__cpu_onednn_entries[call->op];
    if (onednn->run != NULL && strncmp(info->driver, "oneDNN", 6) == 0 &&
        entry_fits(onednn, info, call, reason))
        return onednn;
#endif
    const bur_cpu_isa *isa = bur__cpu_isa_of(info);
    if (isa == NULL) {
        snprintf(reason, BUR_TEXT_BYTES, "this build has no kernels for '%.64s'", info->driver);
        return NULL;
    }
    const bur_cpu_entry *portable = &isa->entries[call->op];
    if (portable->run == NULL) {
        snprintf(reason, BUR_TEXT_BYTES, "the CPU has no kernel for %s",
                 bur_op_get(call->op)->name);
        return NULL;
    }
    return entry_fits(portable, info, call, reason) ? portable : NULL;
}

static bool supports(const bur_device_info *info, const bur_call *call, char *reason)
{
    return bur__cpu_entry(info, call, reason) != NULL;
}

/* Sharing work out costs a barrier, about a microsecond: less than a few of work is done alone. */
bool bur__cpu_is_alone(const bur_cpu_entry *entry, const bur_call *call)
{
    const bur_cost cost = bur_op_cost(call);
    return !entry->outside && cost.flop < 50000 && cost.bytes < 16384;
}

static size_t scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    char reason[BUR_TEXT_BYTES];
    const bur_cpu_entry *entry = bur__cpu_entry(info, call, reason);
    if (entry == NULL || entry->scratch == NULL)
        return 0;
    return entry->scratch(info, call, bur__cpu_is_alone(entry, call) ? 1 : threads);
}

static bur_generated generates(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    char reason[BUR_TEXT_BYTES];
    const bur_cpu_entry *entry = bur__cpu_entry(info, call, reason);
    return entry == NULL || entry->generates == NULL ? (bur_generated){0}
                                                     : entry->generates(call, threads);
}

static void forget(void)
{
#ifdef BUR_HAVE_ONEDNN
    bur__onednn_forget();
#endif
}

/* ---- description ---- */

/* The value of the first line "name : value" of a file in /proc; "" if there is none. */
static void read_field(char *out, size_t size, const char *path, const char *name)
{
    char line[512];
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        char *value = strchr(line, ':');
        if (strncmp(line, name, strlen(name)) != 0 || value == NULL)
            continue;
        value += 1 + strspn(value + 1, " \t");
        value[strcspn(value, "\n")] = '\0';
        snprintf(out, size, "%s", value);
        break;
    }
    if (file != NULL)
        fclose(file);
}

/* kB of /proc/meminfo as bytes; 0 if it is not told. */
static uint64_t read_memory(const char *name)
{
    char text[64] = "";
    uint64_t kb = 0;
    read_field(text, sizeof text, "/proc/meminfo", name);
    return sscanf(text, "%" SCNu64, &kb) == 1 ? kb * 1024 : 0;
}

static const bur_cpu_isa *best_isa(void)
{
    const bur_cpu_isa *isa = isas;
    while (!isa->runs_here())
        isa++;
    return isa;
}

static const char *onednn_version(void)
{
#ifdef BUR_HAVE_ONEDNN
    return bur__cpu_onednn_version();
#else
    return NULL;
#endif
}

/* Bytes of the last level of the first processor's cache ("32768K"); 0 if the system does not tell.
 */
static uint64_t read_cache_bytes(void)
{
    char path[80];
    uint64_t kib = 0;
    for (int level = 0;; level++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", level);
        FILE *file = fopen(path, "r");
        if (file == NULL)
            return kib << 10;
        uint64_t here = 0;
        if (fscanf(file, "%" SCNu64 "K", &here) == 1 && here > kib)
            kib = here;
        fclose(file);
    }
}

static void describe(bur_device_info *info, const bur_context *context)
{
#if defined(__aarch64__)
    const char *processor = "arm64 processor";
#else
    const char *processor = "processor";
#endif
    memset(info, 0, sizeof *info);
    snprintf(info->name, sizeof info->name, "cpu");
    snprintf(info->description, sizeof info->description, "%s", processor);
    read_field(info->description, sizeof info->description, "/proc/cpuinfo", "model name");
    snprintf(info->vendor, sizeof info->vendor, "unknown");
    read_field(info->vendor, sizeof info->vendor, "/proc/cpuinfo", "vendor_id");
    const char *onednn = onednn_version();
    snprintf(info->driver, sizeof info->driver, "%s%s%s", onednn == NULL ? "" : onednn,
             onednn == NULL ? "" : ", ", best_isa()->text);
    info->kind = BUR_DEVICE_CPU;
    info->compute_units = bur_context_threads(context);
    info->unified = 1;
    info->trains = 1;
    info->memory_bytes = read_memory("MemTotal");
    info->free_bytes = read_memory("MemAvailable");
    if (info->memory_bytes == 0)
        info->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    info->max_alloc_bytes = info->memory_bytes;
    info->cache_bytes = read_cache_bytes();
    info->align_bytes = 64;
}

static bur_status enumerate(bur_context *context, bur_device_info *out, int32_t capacity,
                            int32_t *count, char *note)
{
    if (capacity > 0)
        describe(&out[0], context);
    *count = capacity > 0 ? 1 : 0;
    note[0] = '\0';
    return BUR_OK;
}

/* ---- the table ---- */

/* Commands have run when run returns. */
static bur_status device_sync(bur_device_handle *device)
{
    (void)device;
    return BUR_OK;
}

static bur_status buffer_write(bur_buffer *buffer, size_t offset, const void *data, size_t bytes)
{
    assert(offset <= buffer->bytes && bytes <= buffer->bytes - offset);
    memcpy(buffer->memory + offset, data, bytes);
    return BUR_OK;
}

static bur_status buffer_read(bur_buffer *buffer, size_t offset, void *data, size_t bytes)
{
    assert(offset <= buffer->bytes && bytes <= buffer->bytes - offset);
    memcpy(data, buffer->memory + offset, bytes);
    return BUR_OK;
}

static bur_status buffer_fill(bur_buffer *buffer, size_t offset, int value, size_t bytes)
{
    assert(offset <= buffer->bytes && bytes <= buffer->bytes - offset);
    memset(buffer->memory + offset, value, bytes);
    return BUR_OK;
}

static void *buffer_map(bur_buffer *buffer)
{
    return buffer->memory;
}

static const char *command_text(const bur_command *command)
{
    const bur_cpu_entry *entry = command->kernel->entry;
    return entry->text != NULL ? entry->text(command) : command->kernel->device->isa->text;
}

static const bur_backend cpu = {
    .version = BUR_BACKEND_VERSION,
    .name = "cpu",
    .enumerate = enumerate,
    .open = bur__cpu_open,
    .close = bur__cpu_close,
    .buffer_create = bur__cpu_buffer_create,
    .buffer_destroy = bur__cpu_buffer_destroy,
    .write = buffer_write,
    .read = buffer_read,
    .fill = buffer_fill,
    .map = buffer_map,
    .supports = supports,
    .scratch = scratch,
    .generates = generates,
    .forget = forget,
    .build = bur__cpu_build,
    .bind = bur__cpu_bind,
    .command_destroy = bur__cpu_command_destroy,
    .run = bur__cpu_run,
    .sync = device_sync,
    .run_timed = bur__cpu_run_timed,
    .command_text = command_text,
    .measure_limits = bur__cpu_measure_limits,
};

const bur_backend *bur_backend_cpu(void)
{
    return &cpu;
}
