#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC */
/* IDX files, plain or gzip. A file is hostile until every length in it was checked.
 * Source: "The IDX file format", at the end of LeCun, Cortes, Burges, "The MNIST database". */
#include "idx.h"
#include "../base/size.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum {
    TYPE_U8 = 0x08,
    DEFLATE_MAX_RATIO = 1032, /* the most bytes that one byte of a deflate stream can stand for */
    CHUNK_BYTES = 1 << 20,
    GZIP_BUFFER_BYTES = 1 << 17,
};

typedef struct reader {
    const char *path;
    gzFile file;
    size_t file_bytes;
} reader;

static bur_status open_reader(reader *out, const char *path)
{
    /* O_NONBLOCK: a pipe of that name must not hold us up before it is refused. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return bur_fail(BUR_E_FILE, "%s: %s", path, strerror(errno));
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return bur_fail(BUR_E_FILE, "%s is not a regular file", path);
    }
    const gzFile file = gzdopen(fd, "rb");
    if (file == NULL) {
        close(fd);
        return bur_fail(BUR_E_NOMEM, "%s: no memory for reading gzip", path);
    }
    gzbuffer(file, GZIP_BUFFER_BYTES);
    *out = (reader){path, file, (size_t)status.st_size};
    return BUR_OK;
}

/* Why zlib stopped short of `wanted` bytes of `what`, having given `got`. */
static bur_status fail_short(const reader *r, const char *what, size_t got, size_t wanted)
{
    int code = Z_OK;
    const char *text = gzerror(r->file, &code); /* "<fd:3>: incorrect data check" */
    const char *colon = strstr(text, ": ");
    text = colon == NULL ? text : colon + 2;
    if (code == Z_ERRNO)
        return bur_fail(BUR_E_FILE, "%s: %s", r->path, strerror(errno));
    if (code == Z_MEM_ERROR)
        return bur_fail(BUR_E_NOMEM, "%s: no memory for reading gzip", r->path);
    if (code == Z_OK || code == Z_BUF_ERROR)
        return bur_fail(BUR_E_FORMAT,
                        "%s: truncated, %zu of %zu bytes of %s are there; get the file again",
                        r->path, got, wanted, what);
    return bur_fail(BUR_E_FORMAT,
                    "%s: damaged gzip after %zu of %zu bytes of %s (%s); get the file again",
                    r->path, got, wanted, what, text);
}

static bur_status read_bytes(const reader *r, const char *what, void *data, size_t bytes)
{
    for (size_t got = 0; got < bytes;) {
        const size_t left = bytes - got;
        const int n = gzread(r->file, (char *)data + got,
                             (unsigned)(left < CHUNK_BYTES ? left : CHUNK_BYTES));
        if (n <= 0)
            return fail_short(r, what, got, bytes);
        got += (size_t)n;
    }
    return BUR_OK;
}

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The header's promise against the length of the file. */
static bur_status check_length(const reader *r, const bur__idx *idx)
{
    const size_t header_bytes = 4 + 4 * (size_t)idx->rank;
    size_t total;
    if (!bur_size_add(&total, idx->data_bytes, header_bytes))
        return bur_fail(BUR_E_RANGE, "%s: the header promises more bytes than can be counted",
                        r->path);
    if (gzdirect(r->file) && total != r->file_bytes)
        return bur_fail(
            BUR_E_FORMAT,
            "%s: %s, the header promises %zu bytes and the file has %zu; get the file again",
            r->path, total > r->file_bytes ? "truncated" : "bytes after the end", total,
            r->file_bytes);
    if (!gzdirect(r->file) && total / DEFLATE_MAX_RATIO > r->file_bytes)
        return bur_fail(
            BUR_E_FORMAT,
            "%s: the header promises %zu bytes, more than %zu bytes of gzip can hold; get "
            "the file again",
            r->path, total, r->file_bytes);
    return BUR_OK;
}

static bur_status read_header(bur__idx *out, const reader *r, int32_t min_rank, int32_t max_rank)
{
    unsigned char bytes[4 * BUR__IDX_MAX_RANK];
    BUR_TRY(read_bytes(r, "header", bytes, 4));
    if (bytes[0] != 0 || bytes[1] != 0)
        return bur_fail(BUR_E_FORMAT,
                        "%s: not an IDX file, it begins with 0x%08" PRIx32 " and not 0x0000",
                        r->path, big_endian(bytes));
    if (bytes[2] != TYPE_U8)
        return bur_fail(BUR_E_FORMAT,
                        "%s: elements of IDX type 0x%02x; only bytes (0x%02x) are read", r->path,
                        bytes[2], TYPE_U8);
    bur__idx idx = {.rank = bytes[3], .data_bytes = 1};
    if (idx.rank < min_rank || idx.rank > max_rank)
        return bur_fail(BUR_E_FORMAT,
                        "%s: %" PRId32 " dimensions; %" PRId32 " to %" PRId32
                        " are possible here, is it the right file?",
                        r->path, idx.rank, min_rank, max_rank);
    BUR_TRY(read_bytes(r, "header", bytes, 4 * (size_t)idx.rank));
    for (int32_t i = 0; i < idx.rank; i++) {
        idx.dim[i] = big_endian(bytes + 4 * i);
        if (idx.dim[i] == 0)
            return bur_fail(BUR_E_FORMAT, "%s: dimension %" PRId32 " is 0", r->path, i);
        if (!bur_size_multiply(&idx.data_bytes, idx.data_bytes, (size_t)idx.dim[i]))
            return bur_fail(BUR_E_FORMAT, "%s: the dimensions make more than 2^64 bytes", r->path);
    }
    BUR_TRY(check_length(r, &idx));
    *out = idx;
    return BUR_OK;
}

bur_status bur__idx_describe(bur__idx *out, const char *path, int32_t min_rank, int32_t max_rank)
{
    reader r = {0};
    BUR_TRY(open_reader(&r, path));
    const bur_status status = read_header(out, &r, min_rank, max_rank);
    gzclose(r.file);
    return status;
}

/* One byte more is asked for: it must be missing, and asking makes zlib check its own trailer. */
static bur_status check_end(const reader *r, size_t data_bytes)
{
    char byte;
    const int n = gzread(r->file, &byte, 1);
    if (n > 0)
        return bur_fail(
            BUR_E_FORMAT,
            "%s: bytes after the end, the header promises %zu and more follow; get the file "
            "again",
            r->path, data_bytes);
    int code = Z_OK;
    gzerror(r->file, &code);
    return n == 0 && code == Z_OK ? BUR_OK
                                  : fail_short(r, "data and checksum", data_bytes, data_bytes);
}

static bur_status read_all(void *data, const reader *r, const bur__idx *expected)
{
    bur__idx idx = {0};
    BUR_TRY(read_header(&idx, r, expected->rank, expected->rank));
    if (memcmp(idx.dim, expected->dim, sizeof idx.dim) != 0)
        return bur_fail(BUR_E_FILE, "%s changed while it was read: %zu bytes now, %zu before",
                        r->path, idx.data_bytes, expected->data_bytes);
    BUR_TRY(read_bytes(r, "data", data, idx.data_bytes));
    return check_end(r, idx.data_bytes);
}

bur_status bur__idx_read(void *data, const char *path, const bur__idx *expected)
{
    reader r = {0};
    BUR_TRY(open_reader(&r, path));
    const bur_status status = read_all(data, &r, expected);
    gzclose(r.file);
    return status;
}
