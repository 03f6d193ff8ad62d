#define _POSIX_C_SOURCE 200809L /* pread, O_CLOEXEC */
/* Reading safetensors files. A file is hostile until its header was checked against its length. */
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct entry {
    const char *name; /* the JSON's */
    bur_desc desc;
    uint64_t first, last; /* bytes, from the start of the data */
} entry;

struct bur_safetensors {
    bur_context *context;
    char *path;
    int fd;
    uint64_t data_start, data_bytes;
    json_t *header; /* owns the names and the metadata */
    entry *entries;
    int32_t count;
};

static bur_status read_at(const bur_safetensors *file, void *data, size_t bytes, uint64_t offset)
{
    char *at = data;
    while (bytes > 0) {
        const ssize_t n = pread(file->fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return bur_fail(BUR_E_FILE, "%s: %s", file->path, strerror(errno));
        if (n == 0)
            return bur_fail(BUR_E_FILE, "%s was cut while it was read: it ends at byte %" PRIu64,
                            file->path, offset);
        at += n;
        offset += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return BUR_OK;
}

static bur_status parse(bur_safetensors *file, const char *text, size_t bytes)
{
    if (text[0] != '{')
        return bur_fail(BUR_E_FORMAT,
                        "%s: not a safetensors file, its header does not begin with {", file->path);
    json_error_t error;
    file->header = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (file->header == NULL)
        return bur_fail(BUR_E_FORMAT, "%s: the header is no JSON at byte %d of %zu: %s", file->path,
                        error.position, bytes, error.text);
    return BUR_OK;
}

/* Length, then JSON: the length is believed only up to the file's own and the format's limit. */
static bur_status read_header(bur_safetensors *file)
{
    struct stat status;
    if (fstat(file->fd, &status) != 0 || !S_ISREG(status.st_mode))
        return bur_fail(BUR_E_FILE, "%s is not a regular file", file->path);
    const uint64_t file_bytes = (uint64_t)status.st_size;
    unsigned char length[BUR__SAFETENSORS_LENGTH_BYTES];
    if (file_bytes < sizeof length + 2)
        return bur_fail(BUR_E_FORMAT, "%s: %" PRIu64 " bytes are too few for a safetensors file",
                        file->path, file_bytes);
    BUR_TRY(read_at(file, length, sizeof length, 0));
    uint64_t bytes = 0;
    for (int i = sizeof length - 1; i >= 0; i--)
        bytes = bytes << 8 | length[i];
    if (bytes < 2 || bytes > BUR__SAFETENSORS_MAX_HEADER_BYTES)
        return bur_fail(BUR_E_FORMAT,
                        "%s: not a safetensors file, a header of %" PRIu64
                        " bytes; 2 to %d are possible",
                        file->path, bytes, BUR__SAFETENSORS_MAX_HEADER_BYTES);
    if (bytes > file_bytes - sizeof length)
        return bur_fail(BUR_E_FORMAT,
                        "%s: truncated, a header of %" PRIu64 " bytes in a file of %" PRIu64,
                        file->path, bytes, file_bytes);
    file->data_start = sizeof length + bytes;
    file->data_bytes = file_bytes - file->data_start;

    char *text = bur_alloc_aligned(file->context, (size_t)bytes, 1);
    if (text == NULL)
        return BUR_E_NOMEM;
    bur_status read = read_at(file, text, (size_t)bytes, sizeof length);
    if (read == BUR_OK)
        read = parse(file, text, (size_t)bytes);
    bur_free(file->context, text);
    return read;
}

static bur_status read_shape(bur_shape *out, const bur_safetensors *file, const char *name,
                             const json_t *shape)
{
    const size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > BUR_MAX_RANK)
        return bur_fail(BUR_E_FORMAT, "%s: tensor '%s' has %zu dimensions; 0 to %d are possible",
                        file->path, name, rank, BUR_MAX_RANK);
    *out = (bur_shape){.rank = (int32_t)rank};
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return bur_fail(BUR_E_FORMAT, "%s: dimension %zu of tensor '%s' is no size", file->path,
                            i, name);
        out->dim[i] = json_integer_value(dim);
    }
    return BUR_OK;
}

static bur_status read_offsets(entry *e, const bur_safetensors *file, const json_t *offsets)
{
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
        json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first))
        return bur_fail(BUR_E_FORMAT, "%s: tensor '%s' has no data_offsets [first, last]",
                        file->path, e->name);
    e->first = (uint64_t)json_integer_value(first);
    e->last = (uint64_t)json_integer_value(last);
    if (e->last > file->data_bytes)
        return bur_fail(BUR_E_FORMAT,
                        "%s: truncated, tensor '%s' ends at byte %" PRIu64 " of %" PRIu64,
                        file->path, e->name, e->last, file->data_bytes);
    return BUR_OK;
}

static bur_status read_entry(entry *e, const bur_safetensors *file, const json_t *value)
{
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (dtype == NULL)
        return bur_fail(BUR_E_FORMAT, "%s: tensor '%s' has no dtype", file->path, e->name);
    const bur_dtype found = bur__safetensors_dtype_find(dtype);
    if (found == BUR_DTYPE_COUNT)
        return bur_fail(BUR_E_DTYPE, "%s: tensor '%s' has dtype %s, which is not supported",
                        file->path, e->name, dtype);
    bur_shape shape;
    BUR_TRY(read_shape(&shape, file, e->name, json_object_get(value, "shape")));
    e->desc = bur_desc_make(found, &shape);
    BUR_TRY(read_offsets(e, file, json_object_get(value, "data_offsets")));
    size_t bytes = 0;
    const bur_status status = bur_shape_bytes(&bytes, &shape, found);
    if (status != BUR_OK)
        return bur_fail_in(BUR_E_FORMAT, "%s: tensor '%s'", file->path, e->name);
    char text[BUR_SHAPE_TEXT];
    if (bytes != e->last - e->first)
        return bur_fail(BUR_E_FORMAT, "%s: tensor '%s', %s of %s, is %zu bytes, its data %" PRIu64,
                        file->path, e->name, bur_shape_format(text, sizeof text, &shape),
                        bur_dtype_name(found), bytes, e->last - e->first);
    return BUR_OK;
}

static bur_status check_metadata(const bur_safetensors *file)
{
    json_t *metadata = json_object_get(file->header, BUR__SAFETENSORS_METADATA);
    if (metadata != NULL && !json_is_object(metadata))
        return bur_fail(BUR_E_FORMAT, "%s: the metadata is no table", file->path);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return bur_fail(
        BUR_E_FORMAT, "%s: metadata '%s' is no text", file->path, key);
    return BUR_OK;
}

static int compare(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return (x->last > y->last) - (x->last < y->last);
}

/* Every byte of the data belongs to exactly one tensor. Sorts the entries by their place. */
static bur_status check_cover(bur_safetensors *file)
{
    qsort(file->entries, (size_t)file->count, sizeof *file->entries, compare);
    uint64_t end = 0;
    for (int32_t i = 0; i < file->count; i++) {
        const entry *e = &file->entries[i];
        if (e->first != end)
            return bur_fail(BUR_E_FORMAT,
                            "%s: tensor '%s' begins at byte %" PRIu64
                            ", the one before ends at %" PRIu64,
                            file->path, e->name, e->first, end);
        end = e->last;
    }
    if (end != file->data_bytes)
        return bur_fail(BUR_E_FORMAT, "%s: the tensors end at byte %" PRIu64 " of %" PRIu64,
                        file->path, end, file->data_bytes);
    return BUR_OK;
}

static bur_status read_entries(bur_safetensors *file)
{
    BUR_TRY(check_metadata(file));
    const size_t keys = json_object_size(file->header);
    if (keys > INT32_MAX)
        return bur_fail(BUR_E_FORMAT, "%s: %zu tensors", file->path, keys);
    file->entries = bur_alloc_array(file->context, keys, sizeof *file->entries);
    if (file->entries == NULL)
        return BUR_E_NOMEM;
    const char *key;
    json_t *value;
    json_object_foreach(file->header, key, value)
    {
        if (strcmp(key, BUR__SAFETENSORS_METADATA) == 0)
            continue;
        file->entries[file->count].name = key;
        BUR_TRY(read_entry(&file->entries[file->count], file, value));
        file->count++;
    }
    return check_cover(file);
}

bur_status bur_safetensors_open(bur_safetensors **out, bur_context *context, const char *path)
{
    if (out == NULL || context == NULL || path == NULL)
        return bur_fail(BUR_E_ARG, "bur_safetensors_open: NULL argument");
    /* O_NONBLOCK: a pipe of that name must not hold us up before it is refused. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return bur_fail(BUR_E_FILE, "%s: %s", path, strerror(errno));
    bur_safetensors *file = bur_alloc(context, sizeof *file);
    if (file == NULL) {
        close(fd);
        return BUR_E_NOMEM;
    }
    *file = (bur_safetensors){.context = context, .path = bur_strdup(context, path), .fd = fd};
    bur_status status = file->path == NULL ? BUR_E_NOMEM : read_header(file);
    if (status == BUR_OK)
        status = read_entries(file);
    if (status != BUR_OK)
        bur_safetensors_close(file);
    else
        *out = file;
    return status;
}

void bur_safetensors_close(bur_safetensors *file)
{
    if (file == NULL)
        return;
    close(file->fd);
    json_decref(file->header);
    bur_free(file->context, file->entries);
    bur_free(file->context, file->path);
    bur_free(file->context, file);
}

int32_t bur_safetensors_count(const bur_safetensors *file)
{
    return file->count;
}

const char *bur_safetensors_name(const bur_safetensors *file, int32_t index)
{
    return file->entries[index].name;
}

const bur_desc *bur_safetensors_desc(const bur_safetensors *file, int32_t index)
{
    return &file->entries[index].desc;
}

int32_t bur_safetensors_find(const bur_safetensors *file, const char *name)
{
    for (int32_t i = 0; i < file->count; i++)
        if (strcmp(file->entries[i].name, name) == 0)
            return i;
    return -1;
}

bur_status bur_safetensors_read(const bur_safetensors *file, int32_t index, void *data,
                                size_t bytes)
{
    if (file == NULL || index < 0 || index >= file->count)
        return bur_fail(BUR_E_ARG, "tensor %" PRId32 " of %" PRId32, index,
                        file == NULL ? 0 : file->count);
    const entry *e = &file->entries[index];
    if (bytes != e->last - e->first)
        return bur_fail(BUR_E_ARG, "%s: tensor '%s' is %" PRIu64 " bytes; the buffer has %zu",
                        file->path, e->name, e->last - e->first, bytes);
    return read_at(file, data, bytes, file->data_start + e->first);
}

const char *bur_safetensors_metadata(const bur_safetensors *file, const char *key)
{
    return json_string_value(
        json_object_get(json_object_get(file->header, BUR__SAFETENSORS_METADATA), key));
}
