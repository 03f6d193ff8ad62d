/* How work is shared out. Part of kernels.c. */
#ifndef BUR_CPU_TEAM_H
#define BUR_CPU_TEAM_H

#include "vector.h"

#include <string.h>

typedef struct range {
    int64_t begin, end;
} range;

/* The share of `part` (of `parts`) in 0..total, in multiples of `unit` but for the last. */
INLINE range share(int64_t total, int64_t unit, int64_t part, int64_t parts)
{
    const int64_t units = (total + unit - 1) / unit;
    const int64_t begin = units * part / parts * unit, end = units * (part + 1) / parts * unit;
    return (range){least(begin, total), least(end, total)};
}

enum { CACHE_LINE_FLOATS = 16 };

/* Between two phases of a kernel. */
INLINE void team_wait(const bur_command *command, int threads)
{
    bur__cpu_wait(command->kernel->device, threads);
}

/* What a row (.., .., sum, scalars) adds to: NULL in the first micro-batch. */
INLINE const float *sum_so_far(const bur_command *command)
{
    const bur_scalars *scalars = command->inputs[3];
    return scalars->first_sample == 0 ? NULL : command->inputs[2];
}

/* Its result begins as that, where it does not lie there; false if it begins as nothing. */
static bool start_from_sum(const bur_command *command, int thread, int threads)
{
    const float *sum = sum_so_far(command);
    float *y = command->outputs[0];
    if (sum == NULL || sum == y)
        return sum != NULL;
    const int64_t count = bur_desc_count(&command->kernel->call.outputs[0]);
    const range own = share(count, CACHE_LINE_FLOATS, thread, threads);
    memcpy(y + own.begin, sum + own.begin, 4 * (size_t)(own.end - own.begin));
    team_wait(command, threads);
    return true;
}

static size_t no_scratch(const bur_device_info *info, const bur_call *call, int32_t threads)
{
    (void)info, (void)call, (void)threads;
    return 0;
}

#endif
