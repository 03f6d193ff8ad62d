/* How fast a device trains, and what is kept of it, for core/run. */
#ifndef BUR_RUN_SPEED_H
#define BUR_RUN_SPEED_H

#include <burthen/run.h>

#include <stdio.h>

/* Samples per second of training steps of a small convolutional network. Takes about half a second
 * on any device; one that is slower than that is timed for a step or two. BUR_E_DEVICE if it
 * computes a loss that is no number. */
bur_status bur__speed_measure(double *samples_per_s, bur_device *device);

/* ---- the file of kept answers (speed_cache.c) ---- */

/* What a device's speed depends on: the device, its driver, the context's threads, this library. */
uint64_t bur__speed_key(const bur_context *context, const bur_device_info *info);
/* What the pages of program and libraries depend on when a model is planned: its name, and what the
 * speed depends on. */
uint64_t bur__pages_key(const bur_context *context, const bur_device_info *info, const char *model);
/* What the list of devices depends on, without asking a driver: the files that name the drivers,
 * the variables that choose among them, the graphics devices of the system, the loadable backends;
 * threads and library as above. */
uint64_t bur__listing_key(const bur_context *context);

enum { BUR__PATH_BYTES = 4096 };
/* The path of a file of the user's cache, whose folder is made if `make` says so; false without a
 * home. */
bool bur__cache_path(char path[BUR__PATH_BYTES], const char *name, bool make);
/* Replaces such a file by what `write` writes, at once; false if it cannot be written. */
bool bur__cache_replace(const char *name, void (*write)(FILE *file, const void *user),
                        const void *user);

/* The kept line of `key`, into text[size]; false if there is none. */
bool bur__kept_read(uint64_t key, char *text, size_t size);
/* Keeps a line (no newline) in place of the one that was kept; false if it cannot be written. */
bool bur__kept_write(uint64_t key, const char *text);

/* A speed as a line and back. */
bool bur__speed_read(bur_device_speed *out, uint64_t key);
bool bur__speed_write(uint64_t key, const bur_device_speed *speed);

#endif
