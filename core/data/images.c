#define _POSIX_C_SOURCE 200809L /* access */
/* Folders of four IDX files, as MNIST, Fashion-MNIST, KMNIST and EMNIST come. */
#include "idx.h"
#include "source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES, LABELS, FILES };
enum {
    DEFAULT_CLASSES = 10,
    MAX_CLASSES = 256,
};

#define FASHION_FOLDER "/usr/share/datasets/fashion-mnist"

static const char *const file_name[BUR__PARTS][FILES] = {
    [BUR__TRAIN] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
    [BUR__TEST] = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
};

static bur_status join(char path[BUR__PATH_BYTES], const char *folder, const char *name,
                       const char *suffix)
{
    const int length = snprintf(path, BUR__PATH_BYTES, "%s/%s%s", folder, name, suffix);
    if (length < 0 || length >= BUR__PATH_BYTES)
        return bur_fail(BUR_E_FILE, "a path of %d bytes; at most %d are possible", length,
                        BUR__PATH_BYTES - 1);
    return BUR_OK;
}

/* The path of a file, plain or .gz, whichever is there. */
static bur_status find_file(char path[BUR__PATH_BYTES], const char *folder, const char *name)
{
    BUR_TRY(join(path, folder, name, ""));
    if (access(path, F_OK) == 0)
        return BUR_OK;
    BUR_TRY(join(path, folder, name, ".gz"));
    if (access(path, F_OK) == 0)
        return BUR_OK;
    return bur_fail(BUR_E_FILE, "%s has no %s (.gz or plain); the four files are %s, %s, %s and %s",
                    folder, name, file_name[0][0], file_name[0][1], file_name[1][0],
                    file_name[1][1]);
}

/* Both files of a part: paths and headers that agree with each other. */
typedef struct part_files {
    char path[FILES][BUR__PATH_BYTES];
    bur__idx idx[FILES];
} part_files;

static bur_status open_part(part_files *out, const char *folder, int part)
{
    static const int32_t min_rank[FILES] = {3, 1}, max_rank[FILES] = {4, 1};
    for (int i = 0; i < FILES; i++) {
        BUR_TRY(find_file(out->path[i], folder, file_name[part][i]));
        BUR_TRY(bur__idx_describe(&out->idx[i], out->path[i], min_rank[i], max_rank[i]));
    }
    if (out->idx[IMAGES].dim[0] != out->idx[LABELS].dim[0])
        return bur_fail(BUR_E_FORMAT,
                        "%s has %" PRId64 " images and %s %" PRId64 " labels; get both files again",
                        out->path[IMAGES], out->idx[IMAGES].dim[0], file_name[part][LABELS],
                        out->idx[LABELS].dim[0]);
    return BUR_OK;
}

static int32_t class_count(const bur_data_options *options)
{
    return options->classes > 0 ? options->classes : DEFAULT_CLASSES;
}

static bur_status describe_part(bur__part *out, const char *folder, int part,
                                const bur_data_options *options)
{
    part_files files;
    BUR_TRY(open_part(&files, folder, part));
    const int64_t *dim = files.idx[IMAGES].dim;
    const int64_t sample[] = {dim[1], dim[2], files.idx[IMAGES].rank == 4 ? dim[3] : 1};
    BUR_TRY(bur_shape_make(&out->info.sample, 3, sample));
    out->info.count = dim[0];
    out->info.classes = class_count(options);
    out->x_dtype = BUR_U8;
    return BUR_OK;
}

bur_status bur__folder_describe(bur__part parts[BUR__PARTS], const char *name,
                                const bur_data_options *options)
{
    if (class_count(options) > MAX_CLASSES)
        return bur_fail(BUR_E_ARG,
                        "%" PRId32 " classes; IDX labels are bytes, at most %d are possible",
                        options->classes, MAX_CLASSES);
    for (int part = 0; part < BUR__PARTS; part++)
        BUR_TRY(describe_part(&parts[part], name, part, options));
    const bur_shape *train = &parts[BUR__TRAIN].info.sample, *test = &parts[BUR__TEST].info.sample;
    if (bur_shape_equal(train, test))
        return BUR_OK;
    char a[BUR_SHAPE_TEXT], b[BUR_SHAPE_TEXT];
    return bur_fail(BUR_E_FORMAT, "%s: training images are %s and test images %s", name,
                    bur_shape_format(a, sizeof a, train), bur_shape_format(b, sizeof b, test));
}

static bur_status fill(bur_dataset *dataset, const char *folder, int part)
{
    part_files files;
    BUR_TRY(open_part(&files, folder, part));
    const bur__idx *images = &files.idx[IMAGES];
    if (images->dim[0] != dataset->info.count ||
        images->data_bytes != (size_t)(dataset->info.count * dataset->x_count))
        return bur_fail(BUR_E_FILE, "%s changed while it was read: %zu bytes now, %zu before",
                        files.path[IMAGES], images->data_bytes,
                        (size_t)(dataset->info.count * dataset->x_count));
    BUR_TRY(bur__idx_read(dataset->own_target, files.path[LABELS], &files.idx[LABELS]));
    for (int64_t i = 0; i < dataset->info.count; i++)
        if (dataset->target[i] >= dataset->info.classes)
            return bur_fail(BUR_E_FORMAT,
                            "%s: label %d of sample %" PRId64 " is not in 0..%" PRId32
                            "; give the number of classes if there are more",
                            files.path[LABELS], dataset->target[i], i, dataset->info.classes - 1);
    return bur__idx_read(dataset->own_x, files.path[IMAGES], images);
}

bur_status bur__folder_fill(bur_dataset *dataset, int part, const bur_data_options *options)
{
    (void)options;
    return fill(dataset, dataset->info.name, part);
}

bur_status bur__fashion_find(char folder[BUR__PATH_BYTES], const char *root, const char *package)
{
    const bool asked = root != NULL && root[0] != '\0';
    const char *const place[][2] = {{root, "/fashion-mnist"}, {root, ""}, {package, ""}};
    for (size_t i = asked ? 0 : 2; i < sizeof place / sizeof *place; i++) {
        char path[BUR__PATH_BYTES];
        const int length = snprintf(folder, BUR__PATH_BYTES, "%s%s", place[i][0], place[i][1]);
        if (length > 0 && length < BUR__PATH_BYTES &&
            find_file(path, folder, file_name[BUR__TRAIN][IMAGES]) == BUR_OK)
            return BUR_OK;
    }
    return bur_fail(
        BUR_E_FILE,
        "fashion-mnist is not installed: no %s, %s, %s, %s (.gz or plain) in %s%s%s; apt "
        "install dataset-fashion-mnist, or set BURTHEN_DATA to the folder that has them",
        file_name[0][0], file_name[0][1], file_name[1][0], file_name[1][1], asked ? root : "",
        asked ? " or " : "", package);
}

bur_status bur__fashion_describe(bur__part parts[BUR__PARTS], const char *name,
                                 const bur_data_options *options)
{
    (void)name;
    char folder[BUR__PATH_BYTES];
    BUR_TRY(bur__fashion_find(folder, getenv("BURTHEN_DATA"), FASHION_FOLDER));
    return bur__folder_describe(parts, folder, options);
}

bur_status bur__fashion_fill(bur_dataset *dataset, int part, const bur_data_options *options)
{
    (void)options;
    char folder[BUR__PATH_BYTES];
    BUR_TRY(bur__fashion_find(folder, getenv("BURTHEN_DATA"), FASHION_FOLDER));
    return fill(dataset, folder, part);
}
