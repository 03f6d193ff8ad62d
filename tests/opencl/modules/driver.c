/* A loadable backend whose driver misbehaves: HANGS says how, IN_OPEN when: while its device is
 * opened, to be measured, instead of while it is asked for its devices. */
#include <burthen/backend.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn static void misbehave(void)
{
    while (HANGS)
        pause();
    abort();
}

static bur_status enumerate(bur_context *context, bur_device_info *out, int32_t capacity,
                            int32_t *count, char *note)
{
    (void)context;
    (void)note;
    if (!IN_OPEN || capacity < 1)
        misbehave();
    *out = (bur_device_info){.kind = BUR_DEVICE_GPU, .trains = 1};
    strcpy(out->name, "cl:0");
    strcpy(out->description, "a card that looks fine");
    *count = 1;
    return BUR_OK;
}

static bur_status open_device(bur_device_handle **out, bur_context *context,
                              const bur_device_info *info)
{
    (void)out;
    (void)context;
    (void)info;
    misbehave();
}

BUR_API const bur_backend *bur_backend_entry(char *reason);

const bur_backend *bur_backend_entry(char *reason)
{
    static const bur_backend backend = {.version = BUR_BACKEND_VERSION,
                                        .name = "opencl",
                                        .enumerate = enumerate,
                                        .open = open_device};
    (void)reason;
    return &backend;
}
