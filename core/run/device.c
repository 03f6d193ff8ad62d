/* The context's backends and devices: listing, choosing by name, opening. */
#define _POSIX_C_SOURCE 200809L
#include "device.h"
#include "../../backends/backends.h"
#include "../base/context.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_bool drivers_loaded; /* in this process, by any context */

static void registry_destroy(void *pointer)
{
    bur__registry *r = pointer;
    for (bur_device *device = r->opened; device != NULL;) {
        bur_device *next = device->next;
        bur__device_close_own(device);
        device = next;
    }
    bur_free(r->context, r);
}

static bur_status get_registry(bur__registry **out, bur_context *context)
{
    if (context == NULL)
        return bur_fail(BUR_E_ARG, "context is NULL");
    if (context->devices == NULL) {
        bur__registry *r = bur_alloc(context, sizeof *r);
        if (r == NULL)
            return BUR_E_NOMEM;
        r->context = context;
        context->devices = r;
        context->devices_destroy = registry_destroy;
    }
    *out = context->devices;
    return BUR_OK;
}

bur_status bur_context_add_backend(bur_context *context, const bur_backend *backend)
{
    bur__registry *r = NULL;
    BUR_TRY(get_registry(&r, context));
    if (backend == NULL || backend->version != BUR_BACKEND_VERSION)
        return bur_fail(BUR_E_ARG, "backend version %u; %u is needed",
                        backend == NULL ? 0 : backend->version, BUR_BACKEND_VERSION);
    if (r->n_added == BUR__MAX_ADDED)
        return bur_fail(BUR_E_RANGE, "more than %d backends", BUR__MAX_ADDED);
    r->added[r->n_added++] = backend;
    r->listed = false;
    r->chosen = NULL;
    return BUR_OK;
}

static void add_note(bur__registry *r, const char *note)
{
    const size_t used = strlen(r->note);
    if (note[0] != '\0')
        snprintf(r->note + used, sizeof r->note - used, "%s%s", used > 0 ? "; " : "", note);
}

/* Devices of a backend that is part of this process. */
static void list_own(bur__registry *r, const bur_backend *backend)
{
    char note[BUR_TEXT_BYTES] = "";
    int32_t count = 0;
    if (backend->enumerate(r->context, r->infos + r->count, BUR__MAX_DEVICES - r->count, &count,
                           note) != BUR_OK) {
        add_note(r, bur_last_error());
        return;
    }
    add_note(r, note);
    for (int32_t i = 0; i < count; i++)
        r->sources[r->count + i] = (bur__device_source){backend, -1};
    r->count += count;
}

static void list_loadable(bur__registry *r)
{
    for (int32_t index = 0;; index++) {
        char note[BUR_TEXT_BYTES] = "";
        const char *name = bur_backend_name(index);
        if (name == NULL)
            return;
        int32_t count = 0;
        const bur__child_end end = bur__probe(r->context, index, r->infos + r->count,
                                              BUR__MAX_DEVICES - r->count, &count, note);
        add_note(r, note);
        if (end > r->asked)
            r->asked = end;
        for (int32_t i = 0; i < count; i++)
            r->sources[r->count + i] = (bur__device_source){NULL, index};
        r->count += count;
    }
}

bur_status bur__devices_list(bur__registry **out, bur_context *context)
{
    bur__registry *r = NULL;
    BUR_TRY(get_registry(&r, context));
    if (!r->listed) {
        r->count = 0;
        r->note[0] = '\0';
        r->asked = BUR__CHILD_ANSWERED;
        list_own(r, bur_backend_cpu());
        for (int32_t i = 0; i < r->n_added; i++)
            list_own(r, r->added[i]);
        list_loadable(r);
        r->listed = true;
    }
    *out = r;
    return BUR_OK;
}

bur_status bur_device_list(bur_context *context, const bur_device_info **out, int32_t *count,
                           const char **note)
{
    bur__registry *r = NULL;
    BUR_TRY(bur__devices_list(&r, context));
    *out = r->infos;
    *count = r->count;
    if (note != NULL)
        *note = r->note;
    return BUR_OK;
}

/* "radeon" is part of "AMD Radeon RX 6600", whatever the case. */
static bool contains(const char *text, const char *part)
{
    const size_t length = strlen(part);
    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (i < length && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == length)
            return true;
    }
    return false;
}

static bur_status fail_unknown(const bur__registry *r, const char *name, const char *why)
{
    char names[256] = "";
    for (int32_t i = 0; i < r->count; i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ", r->infos[i].name);
    }
    return bur_fail(BUR_E_DEVICE, "%s '%s'; there are: %s%s%s", why, name, names,
                    r->note[0] == '\0' ? "" : " (", r->note[0] == '\0' ? "" : r->note);
}

/* The listed device of that name, alias, or part of a description after the backend's prefix. */
static bur_status find(int32_t *out, const bur__registry *r, const char *name)
{
    for (int32_t i = 0; i < r->count; i++)
        if (strcmp(r->infos[i].name, name) == 0 ||
            (r->infos[i].alias[0] != '\0' && strcmp(r->infos[i].alias, name) == 0)) {
            *out = i;
            return BUR_OK;
        }
    const char *colon = strchr(name, ':');
    const size_t prefix = colon == NULL ? 0 : (size_t)(colon - name) + 1;
    int32_t found = -1;
    for (int32_t i = 0; i < r->count && colon != NULL && name[prefix] != '\0'; i++) {
        const bur_device_info *info = &r->infos[i];
        if (strncmp(info->name, name, prefix) != 0)
            continue;
        if (!contains(info->description, name + prefix) && !contains(info->vendor, name + prefix) &&
            !contains(info->driver, name + prefix))
            continue;
        if (found >= 0)
            return fail_unknown(r, name, "more than one device is called");
        found = i;
    }
    if (found < 0)
        return fail_unknown(r, name, "no device");
    *out = found;
    return BUR_OK;
}

static bur_status load(bur__device_source *source)
{
    if (source->backend != NULL)
        return BUR_OK;
    char reason[BUR_TEXT_BYTES] = "";
    const char *name = NULL;
    source->backend = bur_backend_load(source->loadable, &name, reason);
    if (source->backend == NULL)
        return bur_fail(BUR_E_DEVICE, "%s: %s", name, reason);
    atomic_store(&drivers_loaded, true);
    return BUR_OK;
}

bool bur__drivers_are_loaded(void)
{
    return atomic_load(&drivers_loaded);
}

bur_status bur__device_open_own(bur_device **out, bur__registry *r, int32_t index)
{
    const bur_device_info *info = &r->infos[index];
    bur__device_source *source = &r->sources[index];
    if (!info->trains)
        return bur_fail(BUR_E_DEVICE, "%s (%s) cannot be used: %s", info->name, info->description,
                        info->reason);
    BUR_TRY(load(source));
    bur_device *device = bur_alloc(r->context, sizeof *device);
    if (device == NULL)
        return BUR_E_NOMEM;
    *device = (bur_device){.context = r->context, .backend = source->backend, .info = *info};
    const bur_status status = device->backend->open(&device->handle, r->context, &device->info);
    if (status != BUR_OK) {
        bur_free(r->context, device);
        return bur_fail_in(status, "%s", info->name);
    }
    *out = device;
    return BUR_OK;
}

void bur__device_close_own(bur_device *device)
{
    device->backend->close(device->handle);
    bur_calibration_destroy(device->calibration);
    bur_free(device->context, device);
}

bur_status bur__device_open(bur_device **out, bur__registry *r, int32_t index)
{
    for (bur_device *device = r->opened; device != NULL; device = device->next)
        if (strcmp(device->info.name, r->infos[index].name) == 0) {
            *out = device;
            return BUR_OK;
        }
    bur_device *device = NULL;
    BUR_TRY(bur__device_open_own(&device, r, index));
    device->next = r->opened;
    r->opened = device;
    *out = device;
    return BUR_OK;
}

bur_status bur__device_open_cpu(bur_device **out, bur__registry *r)
{
    if (!r->listed) {
        r->count = 0;
        list_own(r, bur_backend_cpu());
    }
    return bur__device_open(out, r, 0);
}

bur_status bur_device_open(bur_device **out, bur_context *context, const char *name)
{
    if (out == NULL || name == NULL)
        return bur_fail(BUR_E_ARG, "bur_device_open: NULL argument");
    bur__registry *r = NULL;
    BUR_TRY(get_registry(&r, context));
    if (strcmp(name, "auto") == 0)
        return bur__device_open_auto(out, r);
    if (strcmp(name, "cpu") == 0)
        return bur__device_open_cpu(out, r);
    int32_t index = 0;
    BUR_TRY(bur__devices_list(&r, context));
    BUR_TRY(find(&index, r, name));
    return bur__device_open(out, r, index);
}

const bur_device_info *bur_device_describe(const bur_device *device)
{
    return &device->info;
}

bur_context *bur_device_context(const bur_device *device)
{
    return device->context;
}

bur_target bur_device_target(const bur_device *device)
{
    return (bur_target){.backend = device->backend,
                        .info = &device->info,
                        .threads = bur_context_threads(device->context)};
}

size_t bur_device_live_bytes(const bur_device *device)
{
    return device->live_bytes;
}

size_t bur_device_peak_bytes(const bur_device *device)
{
    return device->peak_bytes;
}

bur_status bur__buffer_create(bur_buffer **out, bur_device *device, size_t bytes)
{
    BUR_TRY(device->backend->buffer_create(out, device->handle, bytes));
    device->live_bytes += bytes;
    if (device->live_bytes > device->peak_bytes)
        device->peak_bytes = device->live_bytes;
    return BUR_OK;
}

void bur__buffer_destroy(bur_device *device, bur_buffer *buffer, size_t bytes)
{
    if (buffer == NULL)
        return;
    device->backend->buffer_destroy(buffer);
    device->live_bytes -= bytes;
}
