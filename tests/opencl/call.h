/* One bound call on a device, for tests of what runs it; numbers are checked by op.row. */
#ifndef BUR_TESTS_OPENCL_CALL_H
#define BUR_TESTS_OPENCL_CALL_H

#include "support/device.h"
#include "test.h"

enum { CALL_MOST_TENSORS = 8 };

typedef struct bound_call {
    bur_attr attr;
    bur_desc inputs[CALL_MOST_TENSORS], outputs[2];
    bur_call call;
    bur_buffer *buffer;
    size_t bytes;
    bur_place places[CALL_MOST_TENSORS + 3]; /* inputs, outputs, scratch */
    bur_command *command;
} bound_call;

static inline bur_place call_place(bound_call *c, const test_device *device, size_t bytes)
{
    const size_t align = device->info.align_bytes;
    const size_t at = (c->bytes + align - 1) / align * align;
    c->bytes = at + bytes;
    return (bur_place){NULL, at};
}

static inline void call_add_input(bound_call *c, bur_dtype dtype, int32_t rank, const int64_t *dim)
{
    bur_shape shape;
    assert_ok(bur_shape_make(&shape, rank, dim));
    c->inputs[c->call.n_inputs++] = bur_desc_make(dtype, &shape);
}

/* Binds c->call, whose op, attr, inputs and n_outputs are set, in a zeroed buffer. */
static inline bur_status call_bind(bound_call *c, const test_device *device)
{
    const bur_backend *backend = device->backend;
    c->call.attr = &c->attr;
    c->call.inputs = c->inputs;
    BUR_TRY(bur_op_infer(&c->call, c->outputs));
    c->call.outputs = c->outputs;
    const int32_t n_in = c->call.n_inputs, n_out = c->call.n_outputs;
    const size_t scratch = backend->scratch(&device->info, &c->call, 1);
    for (int32_t i = 0; i < n_in; i++)
        c->places[i] = call_place(c, device, bur_desc_bytes(&c->inputs[i]));
    for (int32_t i = 0; i < n_out; i++)
        c->places[n_in + i] = call_place(c, device, bur_desc_bytes(&c->outputs[i]));
    c->places[n_in + n_out] = call_place(c, device, scratch);
    BUR_TRY(backend->buffer_create(&c->buffer, device->handle, c->bytes));
    BUR_TRY(backend->fill(c->buffer, 0, 0, c->bytes));
    for (int32_t i = 0; i < n_in + n_out + (scratch > 0); i++)
        c->places[i].buffer = c->buffer;
    bur_kernel *kernel = NULL;
    BUR_TRY(backend->build(&kernel, device->handle, &c->call));
    return backend->bind(&c->command, kernel, c->places, c->places + n_in,
                         c->places + n_in + n_out);
}

static inline void call_free(bound_call *c, const test_device *device)
{
    device->backend->command_destroy(c->command);
    device->backend->buffer_destroy(c->buffer);
}

#endif
