/* Devices' insides, for core/run. */
#ifndef BUR_RUN_DEVICE_H
#define BUR_RUN_DEVICE_H

#include "child.h"
#include <burthen/run.h>

enum { BUR__MAX_DEVICES = 64, BUR__MAX_ADDED = 8, BUR__NOTE_BYTES = 4 * BUR_TEXT_BYTES };

struct bur_device {
    bur_context *context;
    const bur_backend *backend;
    bur_device_info info;
    bur_device_handle *handle;
    size_t live_bytes, peak_bytes;
    bur_calibration *calibration; /* NULL until it is asked for */
    bur_device *next; /* of the context's opened devices */
};

typedef struct bur__device_source {
    const bur_backend *backend; /* NULL: a loadable one that this context has not loaded yet */
    int32_t loadable;           /* its number; -1 for a backend of this process */
} bur__device_source;

/* The context's devices. */
typedef struct bur__registry {
    bur_context *context;
    const bur_backend *added[BUR__MAX_ADDED];
    int32_t n_added;
    bool listed;
    bur__child_end asked; /* the worst that listing the loadable backends met */
    bur_device_info infos[BUR__MAX_DEVICES];
    bur__device_source sources[BUR__MAX_DEVICES];
    bur_device_speed speeds[BUR__MAX_DEVICES]; /* when last asked for (auto.c) */
    int32_t count;
    char note[BUR__NOTE_BYTES];
    bur_device *opened;
    bur_device *chosen; /* what "auto" opened, NULL if it has not */
} bur__registry;

/* The context's registry, its devices listed. */
bur_status bur__devices_list(bur__registry **out, bur_context *context);
/* Opens listed device `index`, or gives the one that was opened before. */
bur_status bur__device_open(bur_device **out, bur__registry *registry, int32_t index);
/* Opens listed device `index` a second time, for the caller alone to close. */
bur_status bur__device_open_own(bur_device **out, bur__registry *registry, int32_t index);
void bur__device_close_own(bur_device *device);
/* The CPU, which is device 0 and needs no driver to be asked. */
bur_status bur__device_open_cpu(bur_device **out, bur__registry *registry);
/* Whether a context of this process has loaded drivers. Their threads do not follow a fork, so that
 * a child could not use them. */
bool bur__drivers_are_loaded(void);

/* Device memory, counted in the device; NULL is allowed in destroy. */
bur_status bur__buffer_create(bur_buffer **out, bur_device *device, size_t bytes);
void bur__buffer_destroy(bur_device *device, bur_buffer *buffer, size_t bytes);

/* Lists the devices of a loadable backend in a child process: the driver may hang or crash there,
 * and nowhere else. Fills found[0..capacity); note[BUR_TEXT_BYTES] tells what went wrong or "". */
bur__child_end bur__probe(bur_context *context, int32_t loadable, bur_device_info *found,
                          int32_t capacity, int32_t *count, char *note);

/* Opens what "auto" stands for. */
bur_status bur__device_open_auto(bur_device **out, bur__registry *registry);

#endif
