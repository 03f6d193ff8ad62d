/* The limits of a device, each by the shortest kernel that reaches it (cl/limits.cl). */
#include "cl.h"

#include <math.h>
#include <stdio.h>

enum {
    CHAINS = 12,        /* hide the latency of multiply-adds, and fit 16 registers */
    BLOCK = 8,          /* vectors that a step of the bandwidth's loop takes */
    ITEMS_ON_HOST = 64, /* work-items a compute unit, so that the last one to end costs little */
    ITEMS = 2048,       /* the same of a GPU, which hides latency by them */
    ARITHMETIC_STEPS = 1 << 12, /* of a work-item's loops: llvmpipe leaves them after 65,535, */
    BANDWIDTH_STEPS = 1 << 15,  /* where it counts those over the chains, too */
    LEAST_REPEATS = 8,          /* of one launch */
    BEST_OF = 10,               /* another process may take the processor in some */
    MOVED_BYTES = 3 * sizeof(cl_float), /* of an element of x += s y: two read, one written */
    HELD_BYTES = 2 * sizeof(cl_float),
};
static const int64_t LEAST_NS = INT64_C(4000000);
static const int64_t MOST_NS = INT64_C(100000000); /* a slow device is measured once */
static const int64_t MOST_LAUNCHES = 1 << 16;
static const int64_t LEAST_SET_BYTES = INT64_C(64) << 10; /* of a compute unit */
static const int64_t MOST_SET_BYTES = INT64_C(256) << 20;

typedef struct limits_run {
    bur_device_handle *device;
    cl_program program;
    bur_buffer *x, *y;
    int64_t units;
    bool host;
} limits_run;

enum { MOST_ARGS = 8 };

/* A kernel whose last argument tells how often it repeats its work. */
typedef struct work {
    const char *name;
    int64_t items, local, most_repeats;
    int32_t n_args;
    bur__cl_arg args[MOST_ARGS];
} work;

static bur_status run_launches(int64_t *ns, bur_device_handle *device, bur_command *command,
                               int64_t launches)
{
    BUR_TRY(bur__cl_sync(device));
    const int64_t start_ns = bur_time_ns();
    for (int64_t i = 0; i < launches; i++)
        BUR_TRY(bur__cl_run(device, &command, 1));
    BUR_TRY(bur__cl_sync(device));
    *ns = bur_time_ns() - start_ns;
    return BUR_OK;
}

static bur_status time_work(int64_t *ns, const limits_run *run, work *what, int64_t repeats,
                            int64_t launches)
{
    bur_command *command = NULL;
    BUR_TRY(bur__cl_command_create(&command, run->device, what->name));
    what->args[what->n_args] = bur__cl_int(repeats);
    bur_status status = bur__cl_launch_add(command, run->program, what->name, what->items,
                                           what->local, what->args, what->n_args + 1);
    if (status == BUR_OK)
        status = run_launches(ns, run->device, command, launches);
    bur__cl_command_destroy(command);
    return status;
}

/* Seconds of one repeat: so many that they can be measured, first in one launch, then by more
 * launches; the best of several times. */
static bur_status best_s(double *out, const limits_run *run, work *what)
{
    int64_t repeats = 1, launches = 1, ns = 0;
    BUR_TRY(time_work(&ns, run, what, repeats, launches)); /* compiles */
    for (;;) {
        BUR_TRY(time_work(&ns, run, what, repeats, launches));
        if (ns >= LEAST_NS || launches >= MOST_LAUNCHES)
            break;
        if (repeats < what->most_repeats)
            repeats *= 2;
        else
            launches *= 2;
    }
    for (int32_t i = 1; i < BEST_OF && ns < MOST_NS; i++) {
        int64_t again_ns = 0;
        BUR_TRY(time_work(&again_ns, run, what, repeats, launches));
        ns = bur__cl_min(ns, again_ns);
    }
    *out = (double)ns * 1e-9 / (double)(repeats * launches);
    return BUR_OK;
}

static bur_status measure_arithmetic(bur_limits *out, const limits_run *run)
{
    work what = {
        "limit_arithmetic",
        .items = run->units * (run->host ? ITEMS_ON_HOST : ITEMS),
        .local = run->host ? 1 : BUR_CL_LOCAL,
        .most_repeats = ARITHMETIC_STEPS,
        .n_args = 3,
        .args = {bur__cl_mem(run->x->mem), bur__cl_float(0.5f), bur__cl_float(1.0f)},
    };
    double seconds = 0;
    BUR_TRY(best_s(&seconds, run, &what));
    out->flop_per_s = 2.0 * CHAINS * (double)(what.items * run->device->vector_width) / seconds;
    return BUR_OK;
}

/* On a CPU a work-item has a stretch of memory of its own; a GPU's read side by side. A set whose
 * stretches would be too long is cut into more of them, which repeat by launches: repeating one
 * stretch before the next one would find it in a cache. */
static bur_status measure_bandwidth(double *bytes_per_s, const limits_run *run, int64_t blocks)
{
    int64_t items = run->host ? run->units : run->units * ITEMS;
    const bool is_long = bur__cl_divide_up(blocks, items) > BANDWIDTH_STEPS / LEAST_REPEATS;
    if (is_long)
        items = bur__cl_divide_up(blocks, BANDWIDTH_STEPS / LEAST_REPEATS);
    const int64_t share = bur__cl_divide_up(blocks, items);
    work what = {
        "limit_bandwidth",
        .items = items,
        .local = run->host ? 1 : BUR_CL_LOCAL,
        .most_repeats = is_long ? 1 : BANDWIDTH_STEPS / share,
        .n_args = 6,
        .args = {bur__cl_mem(run->x->mem), bur__cl_mem(run->y->mem), bur__cl_float(0.5f),
                 bur__cl_int(blocks), bur__cl_int(run->host ? share : 1),
                 bur__cl_int(run->host ? 1 : items)},
    };
    double seconds = 0;
    BUR_TRY(best_s(&seconds, run, &what));
    *bytes_per_s = (double)(blocks * BLOCK * run->device->vector_width * MOVED_BYTES) / seconds;
    return BUR_OK;
}

static bur_status measure_launch(bur_limits *out, const limits_run *run)
{
    work what = {"limit_launch",    .items = 1,  .local = 1,
                 .most_repeats = 1, .n_args = 1, .args = {bur__cl_mem(run->x->mem)}};
    return best_s(&out->launch_s, run, &what);
}

/* Working sets in even steps of size, from a compute unit's own cache to far beyond all caches. */
static bur_status measure_bandwidths(bur_limits *out, const limits_run *run, int64_t most_bytes)
{
    const int64_t block_bytes = BLOCK * run->device->vector_width * HELD_BYTES;
    const int64_t least_bytes =
        bur__cl_min(LEAST_SET_BYTES * run->units, most_bytes >> (BUR_BANDWIDTH_COUNT - 1));
    const double ratio =
        pow((double)most_bytes / (double)least_bytes, 1.0 / (BUR_BANDWIDTH_COUNT - 1));
    for (int32_t i = 0; i < BUR_BANDWIDTH_COUNT; i++) {
        const double set_bytes = (double)least_bytes * pow(ratio, i);
        const int64_t blocks = bur__cl_min((int64_t)set_bytes, most_bytes) / block_bytes;
        out->bandwidth[i].working_set_bytes = (double)(blocks * block_bytes);
        BUR_TRY(measure_bandwidth(&out->bandwidth[i].bytes_per_s, run, blocks));
    }
    return BUR_OK;
}

static bur_status measure_all(bur_limits *out, limits_run *run, int64_t most_bytes)
{
    char options[BUR_CL_OPTIONS_BYTES];
    snprintf(options, sizeof options, "-DV=%d -DCHAINS=%d", (int)run->device->vector_width, CHAINS);
    BUR_TRY(bur__cl_program(&run->program, run->device, "limits", options));
    BUR_TRY(bur__cl_buffer_create(&run->x, run->device, (size_t)most_bytes / 2));
    BUR_TRY(bur__cl_buffer_create(&run->y, run->device, (size_t)most_bytes / 2));
    BUR_TRY(bur__cl_fill(run->x, 0, 0, (size_t)most_bytes / 2));
    BUR_TRY(bur__cl_fill(run->y, 0, 0, (size_t)most_bytes / 2));
    BUR_TRY(measure_arithmetic(out, run));
    BUR_TRY(measure_bandwidths(out, run, most_bytes));
    return measure_launch(out, run);
}

bur_status bur__cl_measure_limits(bur_device_handle *device, bur_limits *out)
{
    limits_run run = {.device = device,
                      .units = bur__cl_max(device->info.compute_units, 1),
                      .host = bur__cl_on_host(&device->info)};
    const int64_t quarter_bytes = (int64_t)(device->info.max_alloc_bytes / 4);
    bur_limits limits = {0};
    const bur_status status =
        measure_all(&limits, &run, bur__cl_min(MOST_SET_BYTES, quarter_bytes));
    bur__cl_buffer_destroy(run.x);
    bur__cl_buffer_destroy(run.y);
    if (status == BUR_OK)
        *out = limits;
    return status;
}
