/* Running commands with the time of each. */
#include "cl.h"

/* The device's clock at the end of a command; -1 if there is no event or the driver does not tell.
 */
static int64_t end_ns(cl_event event)
{
    cl_ulong end = 0;
    if (event == NULL || clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end,
                                                 NULL) != CL_SUCCESS)
        return -1;
    return (int64_t)end;
}

/* Queues all commands; events[i] belongs to the last launch of commands[i], NULL if it has none. */
static bur_status queue_all(cl_command_queue queue, bur_command *const *commands, int32_t count,
                            cl_event *events)
{
    for (int32_t i = 0; i < count; i++) {
        const bur_command *command = commands[i];
        for (int32_t k = 0; k < command->n_launches; k++) {
            const bur__cl_launch *launch = &command->launches[k];
            cl_event *event = k + 1 == command->n_launches ? &events[i] : NULL;
            BUR_TRY(launch->enqueue(commands[i], launch, queue, event));
        }
    }
    return BUR_OK;
}

/* ns[i] from the ends of the commands. What the device's clock does not cover, the way of the first
 * launch to the device and that of the last result back, counts to the first command that did
 * anything. */
static void tell_times(const cl_event *events, int32_t count, int64_t total_ns, int64_t *ns)
{
    int32_t first = -1;
    int64_t before_ns = 0, covered_ns = 0;
    for (int32_t i = 0; i < count; i++) {
        const int64_t now_ns = end_ns(events[i]);
        ns[i] = 0;
        if (now_ns < 0)
            continue;
        if (first < 0)
            first = i;
        else
            ns[i] = bur__cl_max(now_ns - before_ns, 0);
        covered_ns += ns[i];
        before_ns = now_ns;
    }
    if (count > 0)
        ns[first < 0 ? 0 : first] = bur__cl_max(total_ns - covered_ns, 0);
}

static bur_status run_by_events(bur_device_handle *device, cl_command_queue queue,
                                bur_command *const *commands, int32_t count, int64_t *ns)
{
    cl_event *events = bur_alloc_array(device->context, (size_t)count, sizeof *events);
    if (events == NULL)
        return BUR_E_NOMEM;
    const int64_t start_ns = bur_time_ns();
    bur_status status = queue_all(queue, commands, count, events);
    const cl_int error = clFinish(queue);
    if (status == BUR_OK)
        status = bur__cl_check_as(BUR_E_LOST, error, "clFinish");
    if (status == BUR_OK)
        tell_times(events, count, bur_time_ns() - start_ns, ns);
    for (int32_t i = 0; i < count; i++)
        if (events[i] != NULL)
            clReleaseEvent(events[i]);
    bur_free(device->context, events);
    return status;
}

/* Without a queue that profiles: each command to its end. */
static bur_status run_one_by_one(bur_device_handle *device, bur_command *const *commands,
                                 int32_t count, int64_t *ns)
{
    int64_t before_ns = bur_time_ns();
    for (int32_t i = 0; i < count; i++) {
        BUR_TRY(bur__cl_run(device, &commands[i], 1));
        BUR_TRY(bur__cl_sync(device));
        const int64_t now_ns = bur_time_ns();
        ns[i] = now_ns - before_ns;
        before_ns = now_ns;
    }
    return BUR_OK;
}

bur_status bur__cl_run_timed(bur_device_handle *device, bur_command *const *commands, int32_t count,
                             int64_t *ns)
{
    BUR_TRY(bur__cl_sync(device)); /* two queues: what was queued before must be done */
    cl_command_queue timed = bur__cl_timed_queue(device);
    return timed == NULL ? run_one_by_one(device, commands, count, ns)
                         : run_by_events(device, timed, commands, count, ns);
}
