/* What a source of data provides, for core/data. */
#ifndef BUR_DATA_SOURCE_H
#define BUR_DATA_SOURCE_H

#include "dataset.h"

enum { BUR__TRAIN, BUR__TEST, BUR__PARTS };

/* A part of a set before memory is taken. */
typedef struct bur__part {
    bur_dataset_info info; /* name and bytes are set by the caller of describe */
    bur_dtype x_dtype;
} bur__part;

/* A source is two functions: one tells what there is, from names and headers alone, the other
 * writes the samples of one part into memory of exactly that size. */
typedef struct bur__source {
    const char *name, *text;
    bur_status (*describe)(bur__part parts[BUR__PARTS], const char *name,
                           const bur_data_options *options);
    bur_status (*fill)(bur_dataset *dataset, int part, const bur_data_options *options);
    int64_t least_length; /* of a set of sequences; 0: it has no length */
} bur__source;

/* images.c: a folder of four IDX files, by path or where the named set is looked for. */
bur_status bur__folder_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options);
bur_status bur__folder_fill(bur_dataset *dataset, int part, const bur_data_options *options);
bur_status bur__fashion_describe(bur__part parts[BUR__PARTS], const char *name,
                                 const bur_data_options *options);
bur_status bur__fashion_fill(bur_dataset *dataset, int part, const bur_data_options *options);
/* The folder of Fashion-MNIST: root/fashion-mnist or root, if there is a root ($BURTHEN_DATA), else
 * that of the Debian package. BUR_E_FILE names the four files and the package. */
enum { BUR__PATH_BYTES = 4096 };
bur_status bur__fashion_find(char folder[BUR__PATH_BYTES], const char *root, const char *package);

/* digits.c */
bur_status bur__digits_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options);
bur_status bur__digits_fill(bur_dataset *dataset, int part, const bur_data_options *options);

/* points.c */
bur_status bur__xor_describe(bur__part parts[BUR__PARTS], const char *name,
                             const bur_data_options *options);
bur_status bur__xor_fill(bur_dataset *dataset, int part, const bur_data_options *options);
bur_status bur__spiral_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options);
bur_status bur__spiral_fill(bur_dataset *dataset, int part, const bur_data_options *options);
bur_status bur__linear_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options);
bur_status bur__linear_fill(bur_dataset *dataset, int part, const bur_data_options *options);
bur_status bur__random_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options);
bur_status bur__random_fill(bur_dataset *dataset, int part, const bur_data_options *options);

/* sequences.c */
enum { BUR__ADDING_LEAST_LENGTH = 2, BUR__TOKENS_LEAST_LENGTH = 4 };
bur_status bur__adding_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options);
bur_status bur__adding_fill(bur_dataset *dataset, int part, const bur_data_options *options);
bur_status bur__tokens_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options);
bur_status bur__tokens_fill(bur_dataset *dataset, int part, const bur_data_options *options);

/* The counts of a drawn set: as asked, or its default; the test part has a quarter of it. */
void bur__drawn_counts(bur__part parts[BUR__PARTS], const bur_data_options *options,
                       int64_t default_count);

#endif
