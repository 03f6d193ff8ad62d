/* Devices' insides, for core/run. */
#ifndef BUR_RUN_DEVICE_H
#define BUR_RUN_DEVICE_H

#include <burthen/run.h>

struct bur_device {
    bur_context *context;
    const bur_backend *backend;
    bur_device_info info;
    bur_device_handle *handle;
    size_t live_bytes, peak_bytes;
    bur_device *next; /* of the context's opened devices */
};

/* Device memory, counted in the device; NULL is allowed in destroy. */
bur_status bur__buffer_create(bur_buffer **out, bur_device *device, size_t bytes);
void bur__buffer_destroy(bur_device *device, bur_buffer *buffer, size_t bytes);

/* Lists the devices of a loadable backend in a child process: the driver may hang or crash there,
 * and nowhere else. Fills found[0..capacity); note[BUR_TEXT_BYTES] tells what went wrong or "". */
void bur__probe(bur_context *context, int32_t backend, bur_device_info *found, int32_t capacity,
                int32_t *count, char *note);

#endif
