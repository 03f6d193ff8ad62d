/* Buffers: a cl_mem each, used whole with offsets. */
#include "cl.h"

#include <inttypes.h>

bur_status bur__cl_buffer_create(bur_buffer **out, bur_device_handle *device, size_t bytes)
{
    bur_buffer *buffer = bur_alloc(device->context, sizeof *buffer);
    if (buffer == NULL)
        return BUR_E_NOMEM;
    cl_int error = CL_SUCCESS;
    /* OpenCL has no empty buffers. */
    buffer->mem =
        clCreateBuffer(device->cl, CL_MEM_READ_WRITE, bytes > 0 ? bytes : 1, NULL, &error);
    if (error != CL_SUCCESS) {
        bur_free(device->context, buffer);
        return bur_fail(BUR_E_NOMEM,
                        "%s: a buffer of %zu bytes on a device of %" PRIu64 " bytes (%" PRIu64
                        " in one buffer, %" PRIu64 " held): %s",
                        device->info.name, bytes, device->info.memory_bytes,
                        device->info.max_alloc_bytes, device->live_bytes,
                        bur__cl_error_name(error));
    }
    buffer->device = device;
    buffer->bytes = bytes;
    device->live_bytes += bytes;
    *out = buffer;
    return BUR_OK;
}

void bur__cl_buffer_destroy(bur_buffer *buffer)
{
    if (buffer == NULL)
        return;
    buffer->device->live_bytes -= buffer->bytes;
    clReleaseMemObject(buffer->mem);
    bur_free(buffer->device->context, buffer);
}

static bur_status check_range(const bur_buffer *buffer, size_t offset, size_t bytes)
{
    if (offset > buffer->bytes || bytes > buffer->bytes - offset)
        return bur_fail(BUR_E_RANGE, "%zu bytes at %zu of a buffer of %zu bytes", bytes, offset,
                        buffer->bytes);
    return BUR_OK;
}

bur_status bur__cl_write(bur_buffer *buffer, size_t offset, const void *data, size_t bytes)
{
    BUR_TRY(check_range(buffer, offset, bytes));
    if (bytes == 0)
        return BUR_OK;
    BUR_CL_TRY(clEnqueueWriteBuffer(buffer->device->queue, buffer->mem, CL_TRUE, offset, bytes,
                                    data, 0, NULL, NULL),
               "writing a buffer");
    return BUR_OK;
}

bur_status bur__cl_read(bur_buffer *buffer, size_t offset, void *data, size_t bytes)
{
    BUR_TRY(check_range(buffer, offset, bytes));
    if (bytes == 0)
        return BUR_OK;
    BUR_CL_TRY(clEnqueueReadBuffer(buffer->device->queue, buffer->mem, CL_TRUE, offset, bytes, data,
                                   0, NULL, NULL),
               "reading a buffer");
    return BUR_OK;
}

bur_status bur__cl_fill(bur_buffer *buffer, size_t offset, int value, size_t bytes)
{
    BUR_TRY(check_range(buffer, offset, bytes));
    if (bytes == 0)
        return BUR_OK;
    const cl_uchar byte = (cl_uchar)value;
    const cl_uint word = byte * 0x01010101u;
    /* A pattern of four bytes where that divides: drivers fill bytewise otherwise. */
    const bool words = offset % sizeof word == 0 && bytes % sizeof word == 0;
    BUR_CL_TRY(clEnqueueFillBuffer(buffer->device->queue, buffer->mem,
                                   words ? (const void *)&word : (const void *)&byte,
                                   words ? sizeof word : sizeof byte, offset, bytes, 0, NULL, NULL),
               "filling a buffer");
    return BUR_OK;
}
