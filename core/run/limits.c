/* What a device can do at most, and how close a kernel comes. */
#include "device.h"

bur_status bur_device_measure_limits(bur_device *device, bur_limits *out)
{
    if (device == NULL || out == NULL)
        return bur_fail(BUR_E_ARG, "bur_device_measure_limits: NULL argument");
    if (device->backend->measure_limits == NULL)
        return bur_fail(BUR_E_UNSUPPORTED, "backend %s measures no limits", device->backend->name);
    return device->backend->measure_limits(device->handle, out);
}

/* The bandwidth measured with the smallest working set that is no smaller; the last for more. */
static double bytes_per_s(const bur_limits *limits, double bytes)
{
    int32_t i = 0;
    while (i + 1 < BUR_BANDWIDTH_COUNT && limits->bandwidth[i].working_set_bytes < bytes)
        i++;
    return limits->bandwidth[i].bytes_per_s;
}

double bur_limits_least_s(const bur_limits *limits, bur_cost cost)
{
    const double arithmetic_s = limits->flop_per_s > 0 ? cost.flop / limits->flop_per_s : 0;
    const double bandwidth = bytes_per_s(limits, cost.bytes);
    const double memory_s = bandwidth > 0 ? cost.bytes / bandwidth : 0;
    return arithmetic_s > memory_s ? arithmetic_s : memory_s;
}
