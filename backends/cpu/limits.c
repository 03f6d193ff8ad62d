/* The limits of the processor: arithmetic, memory by working set, what a meeting of the team costs.
 * The best of several, since everything that disturbs makes it slower. */
#include "cpu.h"

#include <math.h>
#include <omp.h>

enum { TRIES = 15, MEETINGS = 2000 };
static const int64_t try_ns = 10000000;

/* Of all threads together, in bytes for each thread or in all. The first two are what a core has to
 * itself on processors of these years (first and second level), the others are shared. */
static double working_set_bytes(int32_t i, const bur_device_handle *device)
{
    static const double of_a_thread[] = {32 << 10, 512 << 10},
                        of_all[] = {8 << 20, 32 << 20, 256 << 20};
    const double most = (double)device->info.memory_bytes / 16;
    const double bytes = i < 2 ? of_a_thread[i] * device->threads : of_all[i - 2];
    return bytes < most ? bytes : most;
}

/* ---- arithmetic ---- */

/* Seconds that `steps` take on all threads. */
static double time_arithmetic(bur_device_handle *device, int64_t steps)
{
    const bur_cpu_limits *kernels = device->isa->limits;
    volatile float sink = 0;
    int64_t begin_ns = 0;
#pragma omp parallel num_threads(device->threads)
    {
        bur__cpu_wait(device, omp_get_num_threads());
#pragma omp master
        begin_ns = bur_time_ns();
        const float sum = kernels->multiply_adds(steps, 0.5f);
#pragma omp critical
        sink = sink + sum;
    }
    return (double)(bur_time_ns() - begin_ns) * 1e-9;
}

static double measure_arithmetic(bur_device_handle *device)
{
    int64_t steps = 1000;
    while (time_arithmetic(device, steps) * 1e9 < (double)try_ns)
        steps *= 2;
    double best_s = INFINITY;
    for (int i = 0; i < TRIES; i++)
        best_s = fmin(best_s, time_arithmetic(device, steps));
    return 2 * device->isa->limits->sums * (double)steps * device->threads / best_s;
}

/* ---- memory ---- */

/* Seconds of one pass, the least over passes of `try_ns` in all and at least three. */
static double time_passes(bur_device_handle *device, float *x, float *y, int64_t count)
{
    double best_s = INFINITY;
    int64_t spent_ns = 0, begin_ns = 0;
    /* Small sets are swept several times, so that a pass is far longer than the meeting around it.
     */
    const int64_t sweeps = 1 + (4 << 20) / count;
    for (int pass = 0; pass < 3 || spent_ns < try_ns; pass++) {
#pragma omp parallel num_threads(device->threads)
        {
            const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
            const int64_t own = count / threads, first = own * thread;
            bur__cpu_wait(device, threads);
#pragma omp master
            begin_ns = bur_time_ns();
            for (int64_t i = 0; i < sweeps; i++)
                device->isa->limits->scale_and_add(x + first, y + first, own, 0x1p-30f);
            bur__cpu_wait(device, threads);
        }
        const int64_t pass_ns = bur_time_ns() - begin_ns;
        spent_ns += pass_ns;
        best_s = fmin(best_s, (double)pass_ns * 1e-9 / (double)sweeps);
    }
    return best_s;
}

static bur_status measure_memory(bur_device_handle *device, bur_limits *out)
{
    const size_t most = (size_t)working_set_bytes(BUR_BANDWIDTH_COUNT - 1, device);
    bur_buffer *buffer = NULL;
    BUR_TRY(bur__cpu_buffer_create(&buffer, device, most));
    for (int32_t i = 0; i < BUR_BANDWIDTH_COUNT; i++) {
        const double bytes = working_set_bytes(i, device);
        const int64_t count = (int64_t)(bytes / 2 / sizeof(float)) / 1024 * 1024;
        float *x = (float *)(void *)buffer->memory;
        out->bandwidth[i].working_set_bytes = bytes;
        out->bandwidth[i].bytes_per_s =
            12.0 * (double)count / time_passes(device, x, x + count, count);
    }
    bur__cpu_buffer_destroy(buffer);
    return BUR_OK;
}

/* ---- meetings ---- */

static double measure_meeting(bur_device_handle *device)
{
    double best_s = INFINITY;
    int64_t begin_ns = 0;
    for (int i = 0; i < TRIES; i++) {
#pragma omp parallel num_threads(device->threads)
        {
            const int threads = omp_get_num_threads();
            bur__cpu_wait(device, threads);
#pragma omp master
            begin_ns = bur_time_ns();
            for (int k = 0; k < MEETINGS; k++)
                bur__cpu_wait(device, threads);
        }
        best_s = fmin(best_s, (double)(bur_time_ns() - begin_ns) * 1e-9 / MEETINGS);
    }
    return best_s;
}

bur_status bur__cpu_measure_limits(bur_device_handle *device, bur_limits *out)
{
    bur_limits limits = {0};
    BUR_TRY(measure_memory(device, &limits));
    limits.flop_per_s = measure_arithmetic(device);
    limits.launch_s = measure_meeting(device);
    *out = limits;
    return BUR_OK;
}
