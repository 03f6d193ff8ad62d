/* What a device can do at most. */
#include "device.h"

bur_status bur_device_measure_limits(bur_device *device, bur_limits *out)
{
    if (device == NULL || out == NULL)
        return bur_fail(BUR_E_ARG, "bur_device_measure_limits: NULL argument");
    if (device->backend->measure_limits == NULL)
        return bur_fail(BUR_E_UNSUPPORTED, "backend %s measures no limits", device->backend->name);
    return device->backend->measure_limits(device->handle, out);
}
