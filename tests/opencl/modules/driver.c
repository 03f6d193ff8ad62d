/* A loadable backend whose driver misbehaves while it is asked for its devices: MISBEHAVIOUR is a
 * statement. */
#include <burthen/backend.h>

#include <stdlib.h>
#include <unistd.h>

static bur_status enumerate(bur_context *context, bur_device_info *out, int32_t capacity,
                            int32_t *count, char *note)
{
    (void)context;
    (void)out;
    (void)capacity;
    (void)note;
    *count = 0;
    while (HANGS)
        pause();
    abort();
}

BUR_API const bur_backend *bur_backend_entry(char *reason);

const bur_backend *bur_backend_entry(char *reason)
{
    static const bur_backend backend = {
        .version = BUR_BACKEND_VERSION, .name = "opencl", .enumerate = enumerate};
    (void)reason;
    return &backend;
}
