#define _GNU_SOURCE /* setenv, strcasestr */
#include "device.h"

#include <backends/backends.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a driver calls itself where people say otherwise. */
static const char *const driver_names[][2] = {
    {"pocl", "Portable Computing Language"},
    {"rusticl", "rusticl"},
};

bool test_device_is(const bur_device_info *info, const char *word)
{
    for (size_t i = 0; i < sizeof driver_names / sizeof *driver_names; i++)
        if (strcmp(word, driver_names[i][0]) == 0)
            word = driver_names[i][1];
    return strcasestr(info->driver, word) != NULL || strcasestr(info->description, word) != NULL;
}

/* Opens one more device, in a context of its own. */
static bool open_one(test_device *devices, int32_t *count, const bur_backend *backend,
                     const bur_device_info *info)
{
    bur_context *context = NULL;
    if (*count < TEST_MAX_DEVICES && bur_context_create(&context, NULL) == BUR_OK &&
        test_device_open_as(&devices[*count], backend, context, info) == BUR_OK) {
        ++*count;
        return true;
    }
    fprintf(stderr, "%s: %s\n", info->name, bur_last_error());
    return false;
}

/* Every device of a backend that can train. A CPU device of OpenCL is opened a second time and told
 * that it is a GPU: kernels with local memory and barriers must be right on it too. */
static bool open_all(test_device *devices, int32_t *count, const bur_backend *backend)
{
    bur_device_info infos[TEST_MAX_DEVICES];
    int32_t found = 0;
    char note[BUR_TEXT_BYTES] = "";
    bur_context *context = NULL;
    if (bur_context_create(&context, NULL) != BUR_OK)
        return false;
    const bur_status status = backend->enumerate(context, infos, TEST_MAX_DEVICES, &found, note);
    bur_context_destroy(context);
    if (status != BUR_OK) {
        fprintf(stderr, "%s: %s\n", backend->name, bur_last_error());
        return false;
    }
    for (int32_t i = 0; i < found; i++) {
        if (!infos[i].trains)
            continue;
        if (!open_one(devices, count, backend, &infos[i]))
            return false;
        if (infos[i].kind != BUR_DEVICE_CPU)
            continue;
        infos[i].kind = BUR_DEVICE_GPU;
        infos[i].local_bytes = 32 << 10;
        if (!open_one(devices, count, backend, &infos[i]))
            return false;
    }
    return true;
}

const char *test_expected_devices(void)
{
    const char *expected = getenv("BURTHEN_TEST_DEVICES");
    if (expected == NULL)
        expected = BURTHEN_TEST_DEVICES_DEFAULT;
    if (strstr(expected, "rusticl") != NULL)
        setenv("RUSTICL_ENABLE", "llvmpipe", 0); /* Mesa offers no device unless told to */
    return expected;
}

bool test_expected_are_there(const bur_device_info *const *infos, int32_t count)
{
    const char *expected = test_expected_devices();
    char words[256];
    snprintf(words, sizeof words, "%s", expected);
    char *rest = NULL;
    for (char *word = strtok_r(words, ", ", &rest); word != NULL;
         word = strtok_r(NULL, ", ", &rest)) {
        bool found = false;
        for (int32_t i = 0; i < count; i++)
            found = found || test_device_is(infos[i], word);
        if (!found) {
            fprintf(stderr, "device '%s' of BURTHEN_TEST_DEVICES=%s was not found\n", word,
                    expected);
            return false;
        }
    }
    return true;
}

bool test_devices_open(test_device *devices, int32_t *count)
{
    (void)test_expected_devices();
    *count = 0;
    static const int threads[] = {1, 3};
    for (int i = 0; i < 2; i++, ++*count)
        if (test_device_open(&devices[*count], bur_backend_cpu(), threads[i]) != BUR_OK) {
            fprintf(stderr, "cpu: %s\n", bur_last_error());
            return false;
        }
    const char *name = NULL;
    char reason[BUR_TEXT_BYTES] = "";
    for (int32_t i = 0;; i++) {
        const bur_backend *backend = bur_backend_load(i, &name, reason);
        if (name == NULL)
            break;
        if (backend == NULL)
            fprintf(stderr, "%s: %s\n", name, reason);
        else if (!open_all(devices, count, backend))
            return false;
    }
    const bur_device_info *infos[TEST_MAX_DEVICES];
    for (int32_t i = 0; i < *count; i++)
        infos[i] = &devices[i].info;
    return test_expected_are_there(infos, *count);
}
