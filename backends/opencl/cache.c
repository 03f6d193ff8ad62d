/* The disk cache of compiled programs: $XDG_CACHE_HOME/burthen/cl-KEY.bin. */
#define _POSIX_C_SOURCE 200809L /* mkdir, getpid */
#include "cl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FORMAT = 1, MAX_BINARY_BYTES = 256 << 20 };
static const char MAGIC[8] = "burcl1\n";

typedef struct header {
    char magic[8];
    bur__cl_key key;
    uint64_t bytes;
    bur__cl_key content;
} header;

/* Two FNV-1a streams with different starts: 128 bits. */
static void hash(bur__cl_key *key, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++) {
        key->word[0] = (key->word[0] ^ byte[i]) * UINT64_C(0x100000001b3);
        key->word[1] = (key->word[1] ^ byte[i]) * UINT64_C(0x9e3779b97f4a7c15);
        key->word[1] ^= key->word[1] >> 29;
    }
}

static bur__cl_key hash_start(void)
{
    return (bur__cl_key){{UINT64_C(0xcbf29ce484222325), UINT64_C(0x6a09e667f3bcc908)}};
}

bur__cl_key bur__cl_cache_key(const bur_device_handle *device, const bur__cl_source *const *sources,
                              int32_t n_sources, const char *options)
{
    bur__cl_key key = hash_start();
    const int32_t format = FORMAT;
    hash(&key, &format, sizeof format);
    for (int32_t i = 0; i < n_sources; i++)
        hash(&key, sources[i]->text, sources[i]->bytes);
    const char *words[] = {options, device->info.description, device->info.vendor,
                           device->info.driver};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        hash(&key, words[i], strlen(words[i]) + 1);
    return key;
}

/* The cache's directory, made if it is missing. */
static bool cache_directory(char *path)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char parent[PATH_BYTES];
    int length;
    if (base != NULL && base[0] == '/')
        length = snprintf(parent, sizeof parent, "%s", base);
    else if (home != NULL && home[0] == '/')
        length = snprintf(parent, sizeof parent, "%s/.cache", home);
    else
        return false;
    if (length >= PATH_BYTES - 64)
        return false;
    mkdir(parent, 0700);
    snprintf(path, PATH_BYTES, "%s/burthen", parent);
    mkdir(path, 0700);
    return access(path, W_OK) == 0;
}

static bool cache_path(char *path, const bur__cl_key *key)
{
    char directory[PATH_BYTES];
    if (!cache_directory(directory))
        return false;
    return snprintf(path, PATH_BYTES, "%s/cl-%016" PRIx64 "%016" PRIx64 ".bin", directory,
                    key->word[0], key->word[1]) < PATH_BYTES;
}

/* The file's binary, checked against its header; NULL if anything is wrong. */
static unsigned char *read_binary(bur_context *context, FILE *file, const bur__cl_key *key,
                                  size_t *bytes)
{
    header head;
    if (fread(&head, sizeof head, 1, file) != 1 || memcmp(head.magic, MAGIC, sizeof MAGIC) != 0 ||
        memcmp(&head.key, key, sizeof *key) != 0 || head.bytes == 0 ||
        head.bytes > MAX_BINARY_BYTES)
        return NULL;
    unsigned char *binary = bur_alloc(context, head.bytes);
    if (binary == NULL)
        return NULL;
    bur__cl_key content = hash_start();
    const bool whole = fread(binary, 1, head.bytes, file) == head.bytes;
    hash(&content, binary, head.bytes);
    if (!whole || memcmp(&content, &head.content, sizeof content) != 0) {
        bur_free(context, binary);
        return NULL;
    }
    *bytes = head.bytes;
    return binary;
}

cl_program bur__cl_cache_load(bur_device_handle *device, const bur__cl_key *key,
                              const char *options)
{
    char path[PATH_BYTES];
    FILE *file = cache_path(path, key) ? fopen(path, "rb") : NULL;
    if (file == NULL)
        return NULL;
    size_t bytes = 0;
    unsigned char *binary = read_binary(device->context, file, key, &bytes);
    fclose(file);
    if (binary == NULL)
        return NULL;
    cl_int status = CL_SUCCESS, error = CL_SUCCESS;
    cl_program program = clCreateProgramWithBinary(
        device->cl, 1, &device->id, &bytes, (const unsigned char **)&binary, &status, &error);
    bur_free(device->context, binary);
    if (error != CL_SUCCESS || status != CL_SUCCESS)
        return NULL;
    if (clBuildProgram(program, 1, &device->id, options, NULL, NULL) != CL_SUCCESS) {
        clReleaseProgram(program);
        return NULL;
    }
    return program;
}

static bool write_binary(const char *path, const bur__cl_key *key, const unsigned char *binary,
                         size_t bytes)
{
    header head = {.key = *key, .bytes = bytes, .content = hash_start()};
    memcpy(head.magic, MAGIC, sizeof MAGIC);
    hash(&head.content, binary, bytes);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return false;
    const bool written =
        fwrite(&head, sizeof head, 1, file) == 1 && fwrite(binary, 1, bytes, file) == bytes;
    return (fclose(file) == 0) & written;
}

void bur__cl_cache_store(bur_device_handle *device, const bur__cl_key *key, cl_program program)
{
    char path[PATH_BYTES], aside[PATH_BYTES + 32];
    size_t bytes = 0;
    if (!cache_path(path, key) ||
        clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) !=
            CL_SUCCESS ||
        bytes == 0 || bytes > MAX_BINARY_BYTES)
        return;
    unsigned char *binary = bur_alloc(device->context, bytes);
    if (binary == NULL)
        return;
    /* Written aside and renamed: another process sees all of it or nothing. */
    snprintf(aside, sizeof aside, "%s.%ld", path, (long)getpid());
    if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) ==
        CL_SUCCESS) {
        if (!write_binary(aside, key, binary, bytes) || rename(aside, path) != 0)
            remove(aside);
    }
    bur_free(device->context, binary);
}
