/* Replacing a file so that its path is the old content or the new one at every instant. */
#ifndef BUR_FORMAT_REPLACE_H
#define BUR_FORMAT_REPLACE_H

#include <burthen/base.h>

typedef struct bur__replace {
    bur_context *context;
    const char *path; /* the caller's, must outlive the replacement */
    char *aside;      /* path.tmp */
    int fd;
    int64_t written, begun, waited; /* bytes: in all; on their way to the disk; there */
} bur__replace;

/* Opens path.tmp for writing and locks it: a second writer of the same path waits, and what a
 * killed writer left there is overwritten. BUR_E_FILE. */
bur_status bur__replace_begin(bur__replace *out, bur_context *context, const char *path);
/* Appends bytes; some MiB of them at most wait in memory for the disk. BUR_E_FILE with the reason.
 */
bur_status bur__replace_write(bur__replace *r, const void *data, size_t bytes);
/* With status BUR_OK: syncs the file, renames it to path, syncs the folder. Otherwise, or if that
 * fails, removes it. Gives `status` or what went wrong. Once for every successful begin. */
bur_status bur__replace_end(bur__replace *r, bur_status status);

#endif
