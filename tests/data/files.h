/* IDX files for tests: built in memory, plain or as gzip of stored blocks, in a folder of their
 * own. */
#ifndef BUR_TESTS_DATA_FILES_H
#define BUR_TESTS_DATA_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct bytes {
    unsigned char at[8192];
    size_t count;
} bytes;

static inline void put(bytes *b, const void *data, size_t count)
{
    if (b->count + count > sizeof b->at)
        abort();
    memcpy(b->at + b->count, data, count);
    b->count += count;
}

static inline void put_big(bytes *b, uint32_t value)
{
    const unsigned char at[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                 (unsigned char)(value >> 8), (unsigned char)value};
    put(b, at, 4);
}

static inline void put_little(bytes *b, uint32_t value, int count)
{
    for (int i = 0; i < count; i++) {
        const unsigned char byte = (unsigned char)(value >> (8 * i));
        put(b, &byte, 1);
    }
}

static inline bytes idx_header(int rank, const uint32_t *dim)
{
    bytes b = {.count = 0};
    put_big(&b, 0x0800u + (uint32_t)rank);
    for (int i = 0; i < rank; i++)
        put_big(&b, dim[i]);
    return b;
}

/* An IDX file whose i-th element is i * 7 % modulus. */
static inline bytes idx_file(int rank, const uint32_t *dim, uint32_t modulus)
{
    bytes b = idx_header(rank, dim);
    uint32_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= dim[i];
    for (uint32_t i = 0; i < count; i++) {
        const unsigned char byte = (unsigned char)(i * 7 % modulus);
        put(&b, &byte, 1);
    }
    return b;
}

/* gzip with one stored block: RFC 1952 and 1951. */
static inline bytes gzip(const bytes *plain)
{
    static const unsigned char head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1};
    bytes b = {.count = 0};
    put(&b, head, sizeof head);
    put_little(&b, (uint32_t)plain->count, 2);
    put_little(&b, ~(uint32_t)plain->count, 2);
    put(&b, plain->at, plain->count);
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < plain->count; i++) {
        crc ^= plain->at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
    }
    put_little(&b, ~crc, 4);
    put_little(&b, (uint32_t)plain->count, 4);
    return b;
}

static inline void write_file(const char *folder, const char *name, const bytes *b)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(b->at, 1, b->count, file) != b->count || fclose(file) != 0)
        abort();
}

static inline void remove_file(const char *folder, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

#endif
