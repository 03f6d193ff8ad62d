/* The table of sources, and opening data by name. */
#include "source.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const bur__source sources[] = {
    {"fashion-mnist",
     "70,000 pictures of clothes, 28x28, 10 classes (Debian: dataset-fashion-mnist)",
     bur__fashion_describe, bur__fashion_fill, 0},
    {"digits", "handwritten digits drawn by the program, 28x28, 10 classes", bur__digits_describe,
     bur__digits_fill, 0},
    {"xor", "four blobs in the plane, 2 classes that no line parts", bur__xor_describe,
     bur__xor_fill, 0},
    {"spiral", "three arms of a spiral in the plane, 3 classes", bur__spiral_describe,
     bur__spiral_fill, 0},
    {"linear", "y = 3x + 2 and noise, values", bur__linear_describe, bur__linear_fill, 0},
    {"adding", "values and two marks in a sequence, the target is the sum of the marked values",
     bur__adding_describe, bur__adding_fill, BUR__ADDING_LEAST_LENGTH},
    {"tokens", "sequences of ids; do the four that stand out ascend? 2 classes that tell attention",
     bur__tokens_describe, bur__tokens_fill, BUR__TOKENS_LEAST_LENGTH},
    {"random", "uniform numbers of any shape, for benchmarks", bur__random_describe,
     bur__random_fill, 0},
};
enum { SOURCE_COUNT = sizeof sources / sizeof *sources };

static const bur__source folder = {"folder", "the four IDX files of a folder", bur__folder_describe,
                                   bur__folder_fill, 0};

static const char *source_name(const void *user, int32_t index)
{
    (void)user;
    return sources[index].name;
}

const char *bur_data_name(int32_t index, const char **text)
{
    if (index < 0 || index >= SOURCE_COUNT)
        return NULL;
    if (text != NULL)
        *text = sources[index].text;
    return sources[index].name;
}

/* A name in the table, else a folder: what has a slash or is there as one. */
static bur_status find_source(const bur__source **out, const char *name)
{
    const int32_t index = bur_word_find(name, SOURCE_COUNT, source_name, NULL);
    if (index >= 0) {
        *out = &sources[index];
        return BUR_OK;
    }
    struct stat status;
    const bool exists = name[0] != '\0' && stat(name, &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) {
        *out = &folder;
        return BUR_OK;
    }
    if (exists)
        return bur_fail(BUR_E_FILE, "%s is not a folder; give the folder that holds the IDX files",
                        name);
    if (strchr(name, '/') != NULL)
        return bur_fail(BUR_E_FILE, "%s: there is no such folder", name);
    const char *nearest = bur_word_nearest(name, SOURCE_COUNT, source_name, NULL);
    if (nearest != NULL)
        return bur_fail(BUR_E_NAME, "there is no data '%s'; did you mean %s?", name, nearest);
    char list[256];
    size_t used = 0;
    for (int32_t i = 0; i < SOURCE_COUNT && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s, ", sources[i].name);
    return bur_fail(BUR_E_NAME, "there is no data '%s'; there is %sor the path of a folder", name,
                    list);
}

static bur_status check_options(const bur_data_options *options)
{
    if (options->count < 0)
        return bur_fail(BUR_E_ARG, "%" PRId64 " samples; at least 1 is needed", options->count);
    if (options->classes < 0)
        return bur_fail(BUR_E_ARG, "%" PRId32 " classes; 0 (values) or more are possible",
                        options->classes);
    if (!isfinite(options->noise))
        return bur_fail(BUR_E_ARG, "noise %g is no finite number", (double)options->noise);
    return BUR_OK;
}

void bur__drawn_counts(bur__part parts[BUR__PARTS], const bur_data_options *options,
                       int64_t default_count)
{
    const int64_t count = options->count > 0 ? options->count : default_count;
    parts[BUR__TRAIN].info.count = count;
    parts[BUR__TEST].info.count = count < 4 ? 1 : count / 4;
}

static bur_status check_length(const bur__source *source, const bur_data_options *options)
{
    if (options->length == 0)
        return BUR_OK;
    if (source->least_length == 0)
        return bur_fail(BUR_E_ARG, "length %" PRId64 "; data %s is no sequence", options->length,
                        source->name);
    if (options->length < source->least_length)
        return bur_fail(BUR_E_ARG, "length %" PRId64 "; data %s needs at least %" PRId64,
                        options->length, source->name, source->least_length);
    if (options->length > INT32_MAX)
        return bur_fail(BUR_E_RANGE, "length %" PRId64 "; at most %" PRId32 " is possible",
                        options->length, INT32_MAX);
    return BUR_OK;
}

/* Drawn data come in any number. */
static bur_status check_count(const bur__source *source, const bur__part *train,
                              const bur_data_options *options)
{
    return options->count == 0 || options->count == train->info.count
               ? BUR_OK
               : bur_fail(BUR_E_ARG,
                          "samples %" PRId64 "; data %s are not drawn: there are %" PRId64,
                          options->count, source->name, train->info.count);
}

/* Finds the source and describes both parts, sizes checked. */
static bur_status describe(bur__part parts[BUR__PARTS], const bur__source **source,
                           const char *name, const bur_data_options *options)
{
    BUR_TRY(check_options(options));
    BUR_TRY(find_source(source, name));
    BUR_TRY(check_length(*source, options));
    memset(parts, 0, BUR__PARTS * sizeof *parts);
    BUR_TRY((*source)->describe(parts, name, options));
    BUR_TRY(check_count(*source, &parts[BUR__TRAIN], options));
    for (int i = 0; i < BUR__PARTS; i++) {
        bur__part *part = &parts[i];
        part->info.name = name;
        const bur_dtype target_dtype = bur__dataset_target_dtype(part->info.classes);
        const bur_status status = bur__dataset_measure(&part->info, part->x_dtype, target_dtype);
        if (status != BUR_OK)
            return bur_fail_in(status, "%s", name);
    }
    return BUR_OK;
}

static const bur_data_options default_options = {.noise = -1.0f};

bur_status bur_data_describe(bur_dataset_info *train, bur_dataset_info *test, bur_context *context,
                             const char *name, const bur_data_options *options)
{
    if (train == NULL || context == NULL || name == NULL)
        return bur_fail(BUR_E_ARG, "bur_data_describe: NULL argument");
    bur__part parts[BUR__PARTS];
    const bur__source *source = NULL;
    BUR_TRY(describe(parts, &source, name, options == NULL ? &default_options : options));
    *train = parts[BUR__TRAIN].info;
    if (test != NULL)
        *test = parts[BUR__TEST].info;
    return BUR_OK;
}

bur_status bur_data_open(bur_data *out, bur_context *context, const char *name,
                         const bur_data_options *options)
{
    if (out == NULL || context == NULL || name == NULL)
        return bur_fail(BUR_E_ARG, "bur_data_open: NULL argument");
    if (options == NULL)
        options = &default_options;
    bur__part parts[BUR__PARTS];
    const bur__source *source = NULL;
    BUR_TRY(describe(parts, &source, name, options));

    bur_dataset *set[BUR__PARTS] = {NULL, NULL};
    bur_status status = BUR_OK;
    for (int i = 0; i < BUR__PARTS && status == BUR_OK; i++) {
        status = bur__dataset_create(&set[i], context, &parts[i].info, parts[i].x_dtype);
        if (status == BUR_OK)
            status = source->fill(set[i], i, options);
    }
    bur_data data = {set[BUR__TRAIN], set[BUR__TEST]};
    if (status != BUR_OK)
        bur_data_close(&data);
    else
        *out = data;
    return status;
}

void bur_data_close(bur_data *data)
{
    if (data == NULL)
        return;
    bur_dataset_destroy(data->train);
    bur_dataset_destroy(data->test);
    *data = (bur_data){NULL, NULL};
}
