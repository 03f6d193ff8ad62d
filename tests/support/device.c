#include "device.h"

#include <stdio.h>
#include <string.h>

bur_status test_device_open_as(test_device *out, const bur_backend *backend, bur_context *context,
                               const bur_device_info *info)
{
    memset(out, 0, sizeof *out);
    out->backend = backend;
    out->context = context;
    out->info = *info;
    snprintf(out->label, sizeof out->label, "%s (%s), %d threads", info->name, info->description,
             bur_context_threads(context));
    return backend->open(&out->handle, context, info);
}

bur_status test_device_open(test_device *out, const bur_backend *backend, int threads)
{
    bur_context *context = NULL;
    BUR_TRY(bur_context_create(&context, &(bur_context_options){.threads = threads}));
    bur_device_info info;
    memset(&info, 0, sizeof info);
    int32_t count = 0;
    char note[BUR_TEXT_BYTES] = "";
    bur_status status = backend->enumerate(context, &info, 1, &count, note);
    if (status == BUR_OK && count < 1)
        status = bur_fail(BUR_E_DEVICE, "%s has no device", backend->name);
    if (status == BUR_OK)
        status = test_device_open_as(out, backend, context, &info);
    if (status != BUR_OK)
        bur_context_destroy(context);
    return status;
}

void test_device_close(test_device *device)
{
    device->backend->close(device->handle);
    bur_context_destroy(device->context);
}
