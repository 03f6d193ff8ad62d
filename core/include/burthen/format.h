/**
 * burthen/format.h: files of tensors, and of settings.
 */
#ifndef BURTHEN_FORMAT_H
#define BURTHEN_FORMAT_H

#include <burthen/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A tensor to be written; data in plain layout, little-endian. */
typedef struct bur_named_tensor {
    const char *name;
    bur_desc desc;
    const void *data;
} bur_named_tensor;

/** Writes a safetensors file: aside, synced, renamed, so that `path` is the old file or the new one
 * at every instant. `metadata` holds n_metadata key, value pairs. BUR_E_FILE.
 * Source: the safetensors format description (8-byte header length, JSON header, data). */
BUR_API bur_status bur_safetensors_save(bur_context *context, const char *path,
                                        const bur_named_tensor *tensors, int32_t count,
                                        const char *const *metadata, int32_t n_metadata);

typedef struct bur_safetensors bur_safetensors;
/** Opens and checks a file: header length, JSON, names, dtypes, shapes, offsets (no overlap, no
 * gap, none past the end). BUR_E_FILE, BUR_E_FORMAT naming the tensor and both numbers. */
BUR_API bur_status bur_safetensors_open(bur_safetensors **out, bur_context *context,
                                        const char *path);
BUR_API void bur_safetensors_close(bur_safetensors *file);
BUR_API int32_t bur_safetensors_count(const bur_safetensors *file);
BUR_API const char *bur_safetensors_name(const bur_safetensors *file, int32_t index);
BUR_API const bur_desc *bur_safetensors_desc(const bur_safetensors *file, int32_t index);
/** The index of a tensor, -1 if there is none of that name. */
BUR_API int32_t bur_safetensors_find(const bur_safetensors *file, const char *name);
/** Reads a tensor; `bytes` must be its size. */
BUR_API bur_status bur_safetensors_read(const bur_safetensors *file, int32_t index, void *data,
                                        size_t bytes);
/** A metadata value, NULL if absent. */
BUR_API const char *bur_safetensors_metadata(const bur_safetensors *file, const char *key);

/* ---- YAML ---- */

/** A YAML document in memory: at most 1 MiB, 16 levels, no aliases, no key twice. */
typedef struct bur_yaml bur_yaml;
typedef int32_t bur_yaml_node; /* 1 is the document itself, 0 is nothing */
typedef enum bur_yaml_kind {
    BUR_YAML_NONE,
    BUR_YAML_TEXT,
    BUR_YAML_LIST,
    BUR_YAML_MAP
} bur_yaml_kind;

/** BUR_E_FILE; BUR_E_FORMAT with the line. */
BUR_API bur_status bur_yaml_open(bur_yaml **out, bur_context *context, const char *path);
BUR_API void bur_yaml_close(bur_yaml *yaml);
BUR_API bur_yaml_kind bur_yaml_kind_of(const bur_yaml *yaml, bur_yaml_node node);
/** The text of a node that is one, else NULL; borrowed. */
BUR_API const char *bur_yaml_text(const bur_yaml *yaml, bur_yaml_node node);
/** Counts from 1; 0 for nothing. */
BUR_API int32_t bur_yaml_line(const bur_yaml *yaml, bur_yaml_node node);
/** Items of a list or pairs of a map, 0 for others; the index-th item or value; the index-th key,
 * a text; the value of a key. What is not there is 0. */
BUR_API int32_t bur_yaml_count(const bur_yaml *yaml, bur_yaml_node node);
BUR_API bur_yaml_node bur_yaml_at(const bur_yaml *yaml, bur_yaml_node node, int32_t index);
BUR_API bur_yaml_node bur_yaml_key(const bur_yaml *yaml, bur_yaml_node node, int32_t index);
BUR_API bur_yaml_node bur_yaml_find(const bur_yaml *yaml, bur_yaml_node node, const char *key);

#ifdef __cplusplus
}
#endif
#endif
