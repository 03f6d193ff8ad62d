#include "execute.h"

#include "../test.h"
#include "example.h"

#include <stdlib.h>
#include <string.h>

enum { GUARD_BYTES = 64 };

/* The buffer of one call. */
typedef struct arena {
    const bur_call *call;
    size_t bytes;
    size_t input[TEST_MAX_INPUTS], output[TEST_MAX_OUTPUTS], scratch; /* offsets */
    size_t scratch_bytes;
    unsigned char *writable; /* per byte: 0 must not change, RESULT, SCRATCH */
    unsigned char *before, *after[2];
} arena;

enum { RESULT = 1, SCRATCH = 2 };

/* The next place: after a guard, aligned as asked for and no better. */
static size_t take(arena *a, size_t bytes, size_t alignment)
{
    size_t offset = (a->bytes + GUARD_BYTES + alignment - 1) / alignment * alignment;
    if (offset / alignment % 2 == 0)
        offset += alignment;
    a->bytes = offset + bytes;
    return offset;
}

static void lay_out(arena *a, const test_device *device, bool in_place)
{
    const bur_call *call = a->call;
    const size_t alignment = device->info.align_bytes;
    for (int32_t i = 0; i < call->n_inputs; i++)
        a->input[i] = take(a, bur_desc_bytes(&call->inputs[i]), alignment);
    for (int32_t i = 0; i < call->n_outputs; i++)
        a->output[i] = i == 0 && in_place ? a->input[bur_op_get(call->op)->alias]
                                          : take(a, bur_desc_bytes(&call->outputs[i]), alignment);
    a->scratch_bytes =
        device->backend->scratch(&device->info, call, bur_context_threads(device->context));
    a->scratch = a->scratch_bytes > 0 ? take(a, a->scratch_bytes, alignment) : 0;
    a->bytes += GUARD_BYTES;

    unsigned char **const bytes[] = {&a->writable, &a->before, &a->after[0], &a->after[1]};
    for (int i = 0; i < 4; i++) {
        *bytes[i] = calloc(1, a->bytes);
        assert_non_null(*bytes[i]);
    }
    for (int32_t i = 0; i < call->n_inputs; i++)
        if (bur_op_changes(call, i))
            memset(a->writable + a->input[i], RESULT, bur_desc_bytes(&call->inputs[i]));
    for (int32_t i = 0; i < call->n_outputs; i++)
        memset(a->writable + a->output[i], RESULT, bur_desc_bytes(&call->outputs[i]));
    if (a->scratch_bytes > 0)
        memset(a->writable + a->scratch, SCRATCH, a->scratch_bytes);
}

/* The buffer's bytes before run 0 or 1; inputs last, as an output may lie on one. Guards are NaN at
 * first, which spoils results that read them; then they differ everywhere, so that a value computed
 * from one guard and written to another is seen. */
static void prepare(arena *a, void *const *inputs, int run)
{
    for (size_t i = 0; i < a->bytes; i++)
        if (run == 0)
            a->before[i] = 0xff;
        else
            a->before[i] =
                a->writable[i] != 0 ? 0 : (unsigned char)((uint32_t)i * 2654435761u >> 24);
    for (int32_t i = 0; i < a->call->n_inputs; i++)
        memcpy(a->before + a->input[i], inputs[i], bur_desc_bytes(&a->call->inputs[i]));
}

static void check_untouched(const arena *a, const unsigned char *after, const test_device *device)
{
    for (size_t i = 0; i < a->bytes; i++) {
        if (a->writable[i] != 0 || after[i] == a->before[i])
            continue;
        for (int32_t j = 0; j < a->call->n_inputs; j++)
            if (i >= a->input[j] && i - a->input[j] < bur_desc_bytes(&a->call->inputs[j]))
                fail_msg("%s: input %d was changed at byte %zu", device->label, (int)j,
                         i - a->input[j]);
        fail_msg("%s: the guard at byte %zu of %zu was changed (output 0 at %zu, scratch at %zu)",
                 device->label, i, a->bytes, a->call->n_outputs > 0 ? a->output[0] : 0, a->scratch);
    }
}

static void check_repeats(const arena *a, const test_device *device)
{
    for (size_t i = 0; i < a->bytes; i++)
        if (a->writable[i] == RESULT && a->after[0][i] != a->after[1][i])
            fail_msg("%s: byte %zu of %zu differs between two runs over outputs of 0xff and of 0 "
                     "(output 0 at %zu): not written or not repeatable",
                     device->label, i, a->bytes, a->call->n_outputs > 0 ? a->output[0] : 0);
}

static void run_twice(arena *a, const test_device *device, bur_buffer *buffer, bur_command *command,
                      void *const *inputs)
{
    for (int i = 0; i < 2; i++) {
        prepare(a, inputs, i);
        assert_ok(device->backend->write(buffer, 0, a->before, a->bytes));
        assert_ok(device->backend->run(device->handle, &command, 1));
        assert_ok(device->backend->sync(device->handle));
        assert_ok(device->backend->read(buffer, 0, a->after[i], a->bytes));
        check_untouched(a, a->after[i], device);
    }
    check_repeats(a, device);
}

static bur_command *bind_call(const arena *a, const test_device *device, bur_buffer *buffer)
{
    bur_place inputs[TEST_MAX_INPUTS], outputs[TEST_MAX_OUTPUTS], scratch = {NULL, 0};
    for (int32_t i = 0; i < a->call->n_inputs; i++)
        inputs[i] = (bur_place){buffer, a->input[i]};
    for (int32_t i = 0; i < a->call->n_outputs; i++)
        outputs[i] = (bur_place){buffer, a->output[i]};
    if (a->scratch_bytes > 0)
        scratch = (bur_place){buffer, a->scratch};
    bur_kernel *kernel = NULL;
    bur_command *command = NULL;
    assert_ok(device->backend->build(&kernel, device->handle, a->call));
    assert_ok(device->backend->bind(&command, kernel, inputs, outputs, &scratch));
    return command;
}

void test_execute(const test_device *device, const bur_call *call, void *const *inputs,
                  void *const *outputs, bool in_place)
{
    char reason[BUR_TEXT_BYTES] = "";
    if (!device->backend->supports(&device->info, call, reason))
        fail_msg("%s does not support %s: %s", device->label, bur_op_get(call->op)->name, reason);
    arena a = {.call = call};
    lay_out(&a, device, in_place);
    bur_buffer *buffer = NULL;
    assert_ok(device->backend->buffer_create(&buffer, device->handle, a.bytes));
    bur_command *command = bind_call(&a, device, buffer);
    run_twice(&a, device, buffer, command, inputs);

    for (int32_t i = 0; i < call->n_inputs; i++)
        if (bur_op_changes(call, i))
            memcpy(inputs[i], a.after[1] + a.input[i], bur_desc_bytes(&call->inputs[i]));
    for (int32_t i = 0; i < call->n_outputs; i++)
        memcpy(outputs[i], a.after[1] + a.output[i], bur_desc_bytes(&call->outputs[i]));
    device->backend->command_destroy(command);
    device->backend->buffer_destroy(buffer);
    unsigned char *const bytes[] = {a.writable, a.before, a.after[0], a.after[1]};
    for (int i = 0; i < 4; i++)
        free(bytes[i]);
}
