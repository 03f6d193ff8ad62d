/* Runs bound commands: one parallel region for a maximal run of them. */
#include "cpu.h"

#include <omp.h>
#include <sched.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* Denormal numbers as operands and results become zero; gives the mode that was set before. */
static uint64_t flush_denormals(void)
{
#if defined(__SSE2__)
    const unsigned int mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* flush to zero, denormals are zero */
    return mode;
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (UINT64_C(1) << 24)));
    return mode;
#else
    return 0;
#endif
}

static void restore_mode(uint64_t mode)
{
#if defined(__SSE2__)
    _mm_setcsr((unsigned int)mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#else
    (void)mode;
#endif
}

/* oneDNN's regions run on the threads of the team but know nothing of its modes: where there are
 * any, the whole run has them. A convolution of denormal numbers takes up to a hundred times as
 * long, and late gradients are full of them. The caller's mode is set outside the region: LLVM's
 * OpenMP takes it back at the region's end. */
static void flush_team(const bur_device_handle *device)
{
    device->modes[0] = flush_denormals();
#pragma omp parallel num_threads(device->threads)
    if (omp_get_thread_num() > 0)
        device->modes[omp_get_thread_num()] = flush_denormals();
}

static void restore_team(const bur_device_handle *device)
{
#pragma omp parallel num_threads(device->threads)
    if (omp_get_thread_num() > 0)
        restore_mode(device->modes[omp_get_thread_num()]);
    restore_mode(device->modes[0]);
}

static void relax(void)
{
#if defined(__SSE2__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

enum { SPINS = 1000 }; /* some ten microseconds */

void bur__cpu_wait(bur_device_handle *device, int threads)
{
    if (threads < 2)
        return;
    bur_cpu_barrier *barrier = &device->barrier;
    const unsigned int round = atomic_load_explicit(&barrier->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) == threads - 1) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->round, round + 1, memory_order_release);
        return;
    }
    int spins = 0;
    while (atomic_load_explicit(&barrier->round, memory_order_acquire) == round) {
        if (spins < SPINS) {
            spins++;
            relax();
        } else {
            sched_yield();
        }
    }
}

/* Where times go: NULL if nobody wants them. */
typedef struct stopwatch {
    int64_t *ns; /* of the next command */
    int64_t last_ns;
} stopwatch;

static void stop(stopwatch *watch)
{
    const int64_t now_ns = bur_time_ns();
    *watch->ns++ = now_ns - watch->last_ns;
    watch->last_ns = now_ns;
}

/* One thread's part of all commands. Neighbours that thread 0 runs alone need no barrier between
 * them. */
static void run_share(bur_device_handle *device, bur_command *const *commands, int32_t count,
                      stopwatch *watch)
{
    const int thread = omp_get_thread_num(), threads = omp_get_num_threads();
    const uint64_t mode = flush_denormals();
    for (int32_t i = 0; i < count; i++) {
        const bur_command *command = commands[i];
        if (!command->alone)
            command->run(command, thread, threads);
        else if (thread == 0)
            command->run(command, 0, 1);
        if (i + 1 < count && !(command->alone && commands[i + 1]->alone))
            bur__cpu_wait(device, threads);
        if (watch != NULL && thread == 0 && i + 1 < count)
            stop(watch);
    }
    restore_mode(mode);
}

/* The team's parting belongs to the last command. */
static void run_team(bur_device_handle *device, bur_command *const *commands, int32_t count,
                     stopwatch *watch)
{
    bool all_alone = true;
    for (int32_t i = 0; i < count; i++)
        all_alone &= commands[i]->alone;
#pragma omp parallel num_threads(all_alone ? 1 : device->threads)
    run_share(device, commands, count, watch);
}

static bool any_outside(bur_command *const *commands, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (commands[i]->outside)
            return true;
    return false;
}

static int32_t length_of_run(bur_command *const *commands, int32_t count)
{
    int32_t length = 0;
    while (length < count && !commands[length]->outside)
        length++;
    return length;
}

bur_status bur__cpu_run_timed(bur_device_handle *device, bur_command *const *commands,
                              int32_t count, int64_t *ns)
{
    stopwatch times = {ns, ns == NULL ? 0 : bur_time_ns()}, *watch = ns == NULL ? NULL : &times;
    const int callers_threads = omp_get_max_threads();
    if (callers_threads != device->threads)
        omp_set_num_threads(device->threads);
    const bool leaves = any_outside(commands, count);
    if (leaves)
        flush_team(device);
    for (int32_t i = 0; i < count;) {
        const int32_t length = length_of_run(commands + i, count - i);
        if (length > 0)
            run_team(device, commands + i, length, watch);
        else
            commands[i]->run(commands[i], 0, 1);
        if (watch != NULL)
            stop(watch);
        i += length > 0 ? length : 1;
    }
    if (leaves)
        restore_team(device);
    if (callers_threads != device->threads)
        omp_set_num_threads(callers_threads);
    if (device->failed != NULL)
        return bur_fail(BUR_E_LOST, "%s could not run", device->failed);
    return BUR_OK;
}

bur_status bur__cpu_run(bur_device_handle *device, bur_command *const *commands, int32_t count)
{
    return bur__cpu_run_timed(device, commands, count, NULL);
}
