/* Devices: listing, describing, opening. */
#include "cl.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PLATFORMS = 16, MAX_DEVICES = 32 };
static const uint64_t LEAST_MEMORY_BYTES = UINT64_C(256) << 20;

/* One device and where it stands: index over all platforms, and platform.device. */
typedef struct found {
    cl_platform_id platform;
    cl_device_id device;
    int32_t index, platform_index, device_index;
} found;

static void platform_text(char *text, size_t size, cl_platform_id platform, cl_platform_info what)
{
    text[0] = '\0';
    clGetPlatformInfo(platform, what, size, text, NULL);
    text[size - 1] = '\0';
}

static void device_text(char *text, size_t size, cl_device_id device, cl_device_info what)
{
    char full[1024] = "";
    clGetDeviceInfo(device, what, sizeof full, full, NULL);
    full[sizeof full - 1] = '\0';
    const char *start = full + strspn(full, " "); /* Intel pads names on the left */
    snprintf(text, size, "%s", start);
}

/* A number that the driver does not tell is 0. */
static uint64_t device_u64(cl_device_id device, cl_device_info what)
{
    cl_ulong value = 0;
    return clGetDeviceInfo(device, what, sizeof value, &value, NULL) == CL_SUCCESS ? value : 0;
}

static uint32_t device_u32(cl_device_id device, cl_device_info what)
{
    cl_uint value = 0;
    return clGetDeviceInfo(device, what, sizeof value, &value, NULL) == CL_SUCCESS ? value : 0;
}

static int32_t device_kind(cl_device_id device)
{
    cl_device_type type = 0;
    clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    if (type & CL_DEVICE_TYPE_CPU)
        return BUR_DEVICE_CPU;
    return type & CL_DEVICE_TYPE_GPU ? BUR_DEVICE_GPU : BUR_DEVICE_OTHER;
}

/* Why the device is of no use for training; "" if it is. */
static void find_reason(bur_device_info *info, cl_device_id device)
{
    if (device_u32(device, CL_DEVICE_AVAILABLE) == CL_FALSE)
        snprintf(info->reason, sizeof info->reason, "the driver says it is not available");
    else if (device_u32(device, CL_DEVICE_COMPILER_AVAILABLE) == CL_FALSE)
        snprintf(info->reason, sizeof info->reason, "the driver has no compiler");
    else if (device_u32(device, CL_DEVICE_ENDIAN_LITTLE) == CL_FALSE)
        snprintf(info->reason, sizeof info->reason, "it is big-endian");
    else if (info->memory_bytes < LEAST_MEMORY_BYTES)
        snprintf(info->reason, sizeof info->reason,
                 "%" PRIu64 " MiB of memory; %" PRIu64 " MiB are needed", info->memory_bytes >> 20,
                 LEAST_MEMORY_BYTES >> 20);
    info->trains = info->reason[0] == '\0';
}

static void describe(bur_device_info *info, const found *at)
{
    const cl_device_id device = at->device;
    char platform[BUR_TEXT_BYTES], version[BUR_TEXT_BYTES], driver[BUR_TEXT_BYTES];
    platform_text(platform, sizeof platform, at->platform, CL_PLATFORM_NAME);
    device_text(version, sizeof version, device, CL_DEVICE_VERSION);
    device_text(driver, sizeof driver, device, CL_DRIVER_VERSION);

    *info = (bur_device_info){.index = at->index, .kind = device_kind(device)};
    snprintf(info->name, sizeof info->name, "cl:%" PRId32, at->index);
    snprintf(info->alias, sizeof info->alias, "cl:%" PRId32 ".%" PRId32, at->platform_index,
             at->device_index);
    device_text(info->description, sizeof info->description, device, CL_DEVICE_NAME);
    device_text(info->vendor, sizeof info->vendor, device, CL_DEVICE_VENDOR);
    snprintf(info->driver, sizeof info->driver, "%s %s (%s)", platform, driver, version);
    info->compute_units = (int32_t)device_u32(device, CL_DEVICE_MAX_COMPUTE_UNITS);
    info->unified = device_u32(device, CL_DEVICE_HOST_UNIFIED_MEMORY) != CL_FALSE;
    info->memory_bytes = device_u64(device, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->max_alloc_bytes = device_u64(device, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    const uint32_t align_bytes = device_u32(device, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8; /* bits */
    info->align_bytes = align_bytes > 64 ? align_bytes : 64;
    size_t group = 0;
    clGetDeviceInfo(device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group, NULL);
    info->max_group_size = (uint32_t)group;
    if (device_u32(device, CL_DEVICE_LOCAL_MEM_TYPE) == CL_LOCAL)
        info->local_bytes = device_u64(device, CL_DEVICE_LOCAL_MEM_SIZE);
    find_reason(info, device);
}

bool bur__cl_on_host(const bur_device_info *info)
{
    return info->kind == BUR_DEVICE_CPU;
}

/* Adds what is to be said of a platform without devices. */
static void add_note(char *note, cl_platform_id platform, cl_int error)
{
    char name[BUR_NAME_BYTES];
    platform_text(name, sizeof name, platform, CL_PLATFORM_NAME);
    const size_t used = strlen(note);
    if (error != CL_SUCCESS && error != CL_DEVICE_NOT_FOUND)
        snprintf(note + used, BUR_TEXT_BYTES - used, "%s%s: %s", used > 0 ? "; " : "", name,
                 bur__cl_error_name(error));
    else
        snprintf(note + used, BUR_TEXT_BYTES - used, "%s%s: no device%s", used > 0 ? "; " : "",
                 name,
                 strcmp(name, "rusticl") == 0
                     ? " (RUSTICL_ENABLE=llvmpipe, iris or radeonsi names its drivers)"
                     : "");
}

/* Every device of every platform, in the drivers' order; at most `capacity`. */
static int32_t find_all(found *out, int32_t capacity, char *note)
{
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint n_platforms = 0;
    int32_t count = 0;
    note[0] = '\0';
    if (clGetPlatformIDs(MAX_PLATFORMS, platforms, &n_platforms) != CL_SUCCESS ||
        n_platforms == 0) {
        snprintf(note, BUR_TEXT_BYTES, "no OpenCL driver is installed");
        return 0;
    }
    if (n_platforms > MAX_PLATFORMS)
        n_platforms = MAX_PLATFORMS;
    for (cl_uint p = 0; p < n_platforms; p++) {
        cl_device_id devices[MAX_DEVICES];
        cl_uint n_devices = 0;
        const cl_int error =
            clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, devices, &n_devices);
        if (error != CL_SUCCESS || n_devices == 0) {
            add_note(note, platforms[p], error);
            continue;
        }
        for (cl_uint d = 0; d < n_devices && d < MAX_DEVICES && count < capacity; d++, count++)
            out[count] = (found){platforms[p], devices[d], count, (int32_t)p, (int32_t)d};
    }
    return count;
}

bur_status bur__cl_enumerate(bur_context *context, bur_device_info *out, int32_t capacity,
                             int32_t *count, char *note)
{
    (void)context;
    found all[MAX_DEVICES];
    const int32_t n = find_all(all, capacity < MAX_DEVICES ? capacity : MAX_DEVICES, note);
    for (int32_t i = 0; i < n; i++)
        describe(&out[i], &all[i]);
    *count = n;
    return BUR_OK;
}

/* PoCL and NVIDIA's driver keep compiled programs themselves; asking PoCL for a binary would
 * compile every kernel once more (pyopencl#731). */
static bool caches_programs(const bur_device_info *info)
{
    return strstr(info->driver, "Portable Computing Language") != NULL ||
           strstr(info->driver, "NVIDIA") != NULL;
}

/* Floats in a vector of the tiled kernels. A software driver that tells no width still gains from
 * one. */
static int32_t vector_width(const bur_device_handle *device)
{
    if (!bur__cl_on_host(&device->info))
        return 4;
    const uint32_t native = device_u32(device->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    return native >= 16 ? 16 : 8;
}

/* `info` stays the caller's: scratch was computed from it, and build must agree. */
static bur_status open_found(bur_device_handle *device, const bur_device_info *info,
                             const found *at)
{
    cl_int error = CL_SUCCESS;
    device->platform = at->platform;
    device->id = at->device;
    device->info = *info;
    device->vector_width = vector_width(device);
    device->runtime_caches = caches_programs(&device->info);
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)at->platform, 0};
    device->cl = clCreateContext(properties, 1, &device->id, NULL, NULL, &error);
    BUR_TRY(bur__cl_check_as(BUR_E_DEVICE, error, "clCreateContext"));
    device->queue = clCreateCommandQueue(device->cl, device->id, 0, &error);
    return bur__cl_check_as(BUR_E_DEVICE, error, "clCreateCommandQueue");
}

/* Devices open in this process: scratch asks CLBlast about them, where it only knows a description.
 */
static bur_device_handle *opened;
static pthread_mutex_t opened_lock = PTHREAD_MUTEX_INITIALIZER;

static void remember(bur_device_handle *device)
{
    pthread_mutex_lock(&opened_lock);
    device->next_opened = opened;
    opened = device;
    pthread_mutex_unlock(&opened_lock);
}

static void forget(bur_device_handle *device)
{
    pthread_mutex_lock(&opened_lock);
    for (bur_device_handle **at = &opened; *at != NULL; at = &(*at)->next_opened)
        if (*at == device) {
            *at = device->next_opened;
            break;
        }
    pthread_mutex_unlock(&opened_lock);
}

bur_device_handle *bur__cl_opened(const bur_device_info *info)
{
    bur_device_handle *device = NULL;
    if (info->assumed)
        return NULL;
    pthread_mutex_lock(&opened_lock);
    for (device = opened; device != NULL; device = device->next_opened)
        if (strcmp(device->info.name, info->name) == 0 &&
            strcmp(device->info.driver, info->driver) == 0 && device->info.kind == info->kind)
            break;
    pthread_mutex_unlock(&opened_lock);
    return device;
}

bur_status bur__cl_open(bur_device_handle **out, bur_context *context, const bur_device_info *info)
{
    found all[MAX_DEVICES];
    char note[BUR_TEXT_BYTES];
    const int32_t count = find_all(all, MAX_DEVICES, note);
    if (info->index < 0 || info->index >= count)
        return bur_fail(BUR_E_DEVICE, "%s is gone: %" PRId32 " OpenCL devices are there now",
                        info->name, count);
    bur_device_info now;
    describe(&now, &all[info->index]);
    if (strcmp(now.description, info->description) != 0)
        return bur_fail(BUR_E_DEVICE, "%s was '%s' and is now '%s'", info->name, info->description,
                        now.description);
    bur_device_handle *device = bur_alloc(context, sizeof *device);
    if (device == NULL)
        return BUR_E_NOMEM;
    device->context = context;
    const bur_status status = open_found(device, info, &all[info->index]);
    if (status != BUR_OK) {
        bur__cl_close(device);
        return status;
    }
    remember(device);
    *out = device;
    return BUR_OK;
}

void bur__cl_close(bur_device_handle *device)
{
    if (device == NULL)
        return;
    forget(device);
    if (device->queue != NULL)
        clFinish(device->queue);
    bur__cl_kernels_destroy(device);
    bur__cl_programs_destroy(device);
    if (device->timed != NULL)
        clReleaseCommandQueue(device->timed);
    if (device->queue != NULL)
        clReleaseCommandQueue(device->queue);
    if (device->cl != NULL)
        clReleaseContext(device->cl);
    bur_free(device->context, device);
}

cl_command_queue bur__cl_timed_queue(bur_device_handle *device)
{
    if (device->timed == NULL && !device->no_profiling) {
        cl_int error = CL_SUCCESS;
        device->timed =
            clCreateCommandQueue(device->cl, device->id, CL_QUEUE_PROFILING_ENABLE, &error);
        if (error != CL_SUCCESS) {
            device->timed = NULL;
            device->no_profiling = true;
        }
    }
    return device->timed;
}
