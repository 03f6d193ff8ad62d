/* Small examples of every row on the first OpenCL device, as it is and told that it is a GPU: what
 * race_test.sh runs on a simulator that sees every access. Figures are checked by op.row. */
#include "test.h"

#include "support/example.h"
#include "support/execute.h"

#include <backends/backends.h>
#include <stdlib.h>

/* A simulator takes seconds for more. */
static const double MOST_FLOP = 50000;

static void execute_example(const test_device *device, bur_op op, int32_t index, int32_t n_outputs)
{
    test_example example;
    test_example_create(&example, op, index, n_outputs, BUR_F32, TEST_ROUGH);
    if (bur_op_cost(&example.call).flop <= MOST_FLOP) {
        void *outputs[TEST_MAX_OUTPUTS] = {NULL};
        for (int32_t i = 0; i < n_outputs; i++)
            outputs[i] = malloc(bur_desc_bytes(&example.outputs[i]) + 1);
        test_execute(device, &example.call, example.x, outputs, false);
        for (int32_t i = 0; i < n_outputs; i++)
            free(outputs[i]);
    }
    test_example_destroy(&example);
}

static void execute_all(bool as_gpu)
{
    const char *name = NULL;
    char reason[BUR_TEXT_BYTES] = "", note[BUR_TEXT_BYTES];
    const bur_backend *backend = bur_backend_load(0, &name, reason);
    assert_non_null(backend);
    bur_context *context = NULL;
    bur_device_info info[TEST_MAX_DEVICES];
    int32_t count = 0;
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(backend->enumerate(context, info, TEST_MAX_DEVICES, &count, note));
    assert_true(count > 0);
    print_message("on %s\n", info[0].driver);
    if (as_gpu) {
        info[0].kind = BUR_DEVICE_GPU;
        info[0].local_bytes = 32 << 10;
    }
    test_device device;
    assert_ok(test_device_open_as(&device, backend, context, &info[0]));
    for (int32_t op = 0; op < BUR_OP_COUNT; op++) {
        const bur_op_info *row = bur_op_get((bur_op)op);
        for (int32_t i = 0; i < test_example_count((bur_op)op); i++)
            for (int32_t n = row->outputs_min; n <= row->outputs_max; n++)
                if ((row->flags & BUR_OP_VIEW) == 0)
                    execute_example(&device, (bur_op)op, i, n);
    }
    test_device_close(&device);
}

static void test_opencl_small__every_row_writes_its_outputs_only(void **state)
{
    (void)state;
    execute_all(false);
}

static void test_opencl_small__so_do_the_kernels_for_a_gpu(void **state)
{
    (void)state;
    execute_all(true);
}
