#define _GNU_SOURCE /* flock, sync_file_range */
/* Written aside, synced, renamed. */
#include "replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bur_status fail_io(const char *doing, const char *path)
{
    return bur_fail(BUR_E_FILE, "cannot %s %s: %s", doing, path, strerror(errno));
}

/* Whether `fd` is still the file of that name: the writer that we waited for has renamed its own.
 */
static bool is_named(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static bur_status open_aside(int *out, const char *aside)
{
    for (;;) {
        const int fd = open(aside, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
        if (fd < 0)
            return fail_io("create", aside);
        /* A file system without locks leaves two writers of one path unprotected, no more. */
        while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {
        }
        if (is_named(fd, aside)) {
            *out = fd;
            return BUR_OK;
        }
        close(fd);
    }
}

bur_status bur__replace_begin(bur__replace *out, bur_context *context, const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return bur_fail(BUR_E_FILE, "%s is there and is not a regular file", path);
    const size_t length = strlen(path) + sizeof ".tmp";
    char *aside = bur_alloc(context, length);
    if (aside == NULL)
        return BUR_E_NOMEM;
    snprintf(aside, length, "%s.tmp", path);
    int fd = -1;
    bur_status opened = open_aside(&fd, aside);
    if (opened == BUR_OK && ftruncate(fd, 0) != 0) {
        opened = fail_io("write", aside);
        close(fd);
    }
    if (opened != BUR_OK) {
        bur_free(context, aside);
        return opened;
    }
    *out = (bur__replace){.context = context, .path = path, .aside = aside, .fd = fd};
    return BUR_OK;
}

enum { PIECE_BYTES = 2 << 20 };

/* Sends what was written to the disk, waits for the piece before and drops its pages. Pages on
 * their way count as used in a control group, and file systems allocate while they write without
 * waiting for them: with a busy disk a run at its limit was killed beside 20 MiB of them. */
static bur_status pass_on(bur__replace *r)
{
#ifdef __linux__
    const unsigned wait =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    const int64_t before = r->begun - r->waited;
    bool failed =
        sync_file_range(r->fd, r->begun, r->written - r->begun, SYNC_FILE_RANGE_WRITE) != 0;
    if (before > 0) {
        failed = sync_file_range(r->fd, r->waited, before, wait) != 0 || failed;
        (void)posix_fadvise(r->fd, r->waited, before, POSIX_FADV_DONTNEED);
    }
    /* Told here, an error is not told again by fsync; others mean that there is no such call. */
    if (failed && (errno == EIO || errno == ENOSPC || errno == EDQUOT))
        return fail_io("write", r->aside);
#endif
    r->waited = r->begun;
    r->begun = r->written;
    return BUR_OK;
}

bur_status bur__replace_write(bur__replace *r, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        const ssize_t n = write(r->fd, at, bytes < PIECE_BYTES ? bytes : PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_io("write", r->aside);
        at += n;
        bytes -= (size_t)n;
        r->written += n;
        if (r->written - r->begun >= PIECE_BYTES)
            BUR_TRY(pass_on(r));
    }
    return BUR_OK;
}

/* Makes the rename itself last. Some file systems cannot sync a folder: nothing is lost by that. */
static bur_status sync_folder(bur__replace *r)
{
    char *slash =
        strrchr(r->aside, '/'); /* aside is not needed any more: it is cut to the folder */
    const char *folder = slash == NULL ? "." : slash == r->aside ? "/" : r->aside;
    if (slash != NULL)
        *slash = '\0';
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_io("open", folder);
    const bool failed = fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP;
    const bur_status status = failed ? fail_io("sync", folder) : BUR_OK;
    close(fd);
    return status;
}

bur_status bur__replace_end(bur__replace *r, bur_status status)
{
    if (status == BUR_OK && fsync(r->fd) != 0)
        status = fail_io("sync", r->aside);
    if (status == BUR_OK && rename(r->aside, r->path) != 0)
        status = fail_io("replace", r->path);
    if (status != BUR_OK)
        unlink(r->aside);
    close(r->fd); /* after the rename: the lock goes with it */
    if (status == BUR_OK)
        status = sync_folder(r);
    bur_free(r->context, r->aside);
    return status;
}
