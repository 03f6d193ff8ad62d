/* The module's only exported symbol: the table of the OpenCL backend. */
#include "cl.h"

static const bur_backend backend = {
    .version = BUR_BACKEND_VERSION,
    .name = "opencl",
    .enumerate = bur__cl_enumerate,
    .open = bur__cl_open,
    .close = bur__cl_close,
    .buffer_create = bur__cl_buffer_create,
    .buffer_destroy = bur__cl_buffer_destroy,
    .write = bur__cl_write,
    .read = bur__cl_read,
    .fill = bur__cl_fill,
    .map = NULL, /* a buffer's address may change with every map */
    .supports = bur__cl_supports,
    .scratch = bur__cl_scratch,
    .build = bur__cl_build,
    .bind = bur__cl_bind,
    .command_destroy = bur__cl_command_destroy,
    .run = bur__cl_run,
    .sync = bur__cl_sync,
    .run_timed = bur__cl_run_timed,
    .command_text = bur__cl_command_text,
    .measure_limits = bur__cl_measure_limits,
};

BUR_API const bur_backend *bur_backend_entry(char *reason);

const bur_backend *bur_backend_entry(char *reason)
{
    reason[0] = '\0';
    return &backend;
}
