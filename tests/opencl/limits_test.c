/* The measured limits of a device, and the times of its commands. */
#include "opencl/call.h"

#include <backends/backends.h>
#include <math.h>

static void open_first(test_device *device)
{
    const char *name = NULL;
    char reason[BUR_TEXT_BYTES] = "";
    const bur_backend *backend = bur_backend_load(0, &name, reason);
    if (backend == NULL)
        fail_msg("%s: %s", name, reason);
    assert_ok(test_device_open(device, backend, 1));
}

static void bind_square(bound_call *c, const test_device *device, int64_t size)
{
    *c = (bound_call){.call = {.op = BUR_OP_matmul, .n_outputs = 1}};
    call_add_input(c, BUR_F32, 2, (int64_t[]){size, size});
    call_add_input(c, BUR_F32, 2, (int64_t[]){size, size});
    assert_ok(call_bind(c, device));
}

static void test_opencl_limits__are_told_in_order(void **state)
{
    (void)state;
    test_device device;
    open_first(&device);
    bur_limits limits = {0};
    assert_ok(device.backend->measure_limits(device.handle, &limits));
    assert_true(isfinite(limits.flop_per_s) && limits.flop_per_s > 1e8);
    assert_true(isfinite(limits.launch_s) && limits.launch_s > 0 && limits.launch_s < 0.1);
    for (int i = 0; i < BUR_BANDWIDTH_COUNT; i++) {
        const double bytes = limits.bandwidth[i].working_set_bytes;
        assert_true(bytes >= 4096 && bytes <= (double)device.info.max_alloc_bytes);
        assert_true(i == 0 || bytes > limits.bandwidth[i - 1].working_set_bytes);
        assert_true(isfinite(limits.bandwidth[i].bytes_per_s));
        assert_true(limits.bandwidth[i].bytes_per_s > 1e7);
        /* one multiply-add moves twelve bytes */
        assert_true(limits.bandwidth[i].bytes_per_s < 6 * limits.flop_per_s * 1.05);
    }
    test_device_close(&device);
}

static void test_opencl_limits__no_product_is_above_the_arithmetic_limit(void **state)
{
    (void)state;
    enum { SIZE = 512, RUNS = 20, TRIES = 10 };
    test_device device;
    open_first(&device);
    bound_call c;
    bind_square(&c, &device, SIZE);
    double best_s = INFINITY;
    for (int i = 0; i < RUNS; i++) {
        const int64_t start_ns = bur_time_ns();
        assert_ok(device.backend->run(device.handle, &c.command, 1));
        assert_ok(device.backend->sync(device.handle));
        best_s = fmin(best_s, (double)(bur_time_ns() - start_ns) * 1e-9);
    }
    const double flop_per_s = 2.0 * SIZE * SIZE * SIZE / best_s;
    double limit = 0; /* may be measured while another process has a processor */
    for (int i = 0; i < TRIES && flop_per_s >= 1.05 * limit; i++) {
        bur_limits limits = {0};
        assert_ok(device.backend->measure_limits(device.handle, &limits));
        limit = fmax(limit, limits.flop_per_s);
    }
    assert_true(flop_per_s < 1.05 * limit);
    call_free(&c, &device);
    test_device_close(&device);
}

/* Whether the times of a run add up to its whole, most of it spent in the large products. */
static bool adds_up(const test_device *device, bur_command *const *commands, int count)
{
    int64_t ns[64];
    double sum_ns = 0, large_ns = 0;
    const int64_t start_ns = bur_time_ns();
    assert_ok(device->backend->run_timed(device->handle, commands, count, ns));
    const double whole_ns = (double)(bur_time_ns() - start_ns);
    for (int i = 0; i < count; i++) {
        assert_true(ns[i] >= 0);
        sum_ns += (double)ns[i];
        large_ns += i % 3 == 1 ? (double)ns[i] : 0;
    }
    assert_true(sum_ns <= whole_ns);
    return sum_ns >= 0.98 * whole_ns && large_ns > 0.5 * whole_ns;
}

static void test_opencl_limits__the_times_of_commands_add_up_to_the_whole(void **state)
{
    (void)state;
    enum { COUNT = 30, TRIES = 50 };
    test_device device;
    open_first(&device);
    bound_call small, large;
    bind_square(&small, &device, 8);
    bind_square(&large, &device, 512); /* 260,000 times the work */
    bur_command *commands[COUNT];
    for (int i = 0; i < COUNT; i++)
        commands[i] = i % 3 == 1 ? large.command : small.command;
    bool right = false; /* another process may take the processor in any of them */
    for (int i = 0; i < TRIES && !right; i++)
        right = adds_up(&device, commands, COUNT);
    assert_true(right);
    call_free(&small, &device);
    call_free(&large, &device);
    test_device_close(&device);
}
