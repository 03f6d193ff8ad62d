/* Which device trains fastest: measured, kept, and opened as "auto". */
#define _POSIX_C_SOURCE 200809L
#include "device.h"
#include "speed.h"
#include "../../backends/backends.h"

#include <stdio.h>
#include <string.h>

enum { MEASURE_LIMIT_MS = 20000 };

/* Which speeds are measured; the others are as they were kept, or 0. */
typedef enum measured { MEASURE_NONE, MEASURE_MISSING, MEASURE_ALL } measured;

/* ---- one device ---- */

typedef struct question {
    bur__registry *registry;
    int32_t index;
    bool limits;
} question;

/* Fills a bur_device_speed; what fails is its note. */
static void measure(void *user, void *answer)
{
    const question *q = user;
    bur_device_speed *speed = answer;
    bur_device *device = NULL;
    bur_status status = bur__device_open_own(&device, q->registry, q->index);
    if (status == BUR_OK) {
        status = bur__speed_measure(&speed->train_samples_per_s, device);
        if (q->limits && status == BUR_OK &&
            bur_device_measure_limits(device, &speed->limits) != BUR_OK)
            speed->limits = (bur_limits){0}; /* not offered: the training speed is what counts */
        bur__device_close_own(device);
    }
    if (status != BUR_OK)
        snprintf(speed->note, sizeof speed->note, "%s", bur_last_error());
}

/* The CPU has no driver, and one that this process has loaded is trusted already. */
static bool is_measured_here(const bur__device_source *source)
{
    return source->backend == bur_backend_cpu() ||
           (source->loadable >= 0 && bur__drivers_are_loaded());
}

/* Measures and keeps the speed of device `index`; false if there was no process to do it in. */
static bool measure_device(bur__registry *r, int32_t index, bool limits)
{
    question q = {r, index, limits};
    bur_device_speed speed = {.train_samples_per_s = 0};
    char why[BUR_TEXT_BYTES / 2] = "";
    bur__child_end end = BUR__CHILD_ANSWERED;
    if (is_measured_here(&r->sources[index]))
        measure(&q, &speed);
    else
        end = bur__child_run(r->context, bur__child_limit_ms(MEASURE_LIMIT_MS), measure, &q, &speed,
                             sizeof speed, why, sizeof why);
    if (end != BUR__CHILD_ANSWERED) {
        speed = (bur_device_speed){.train_samples_per_s = 0};
        snprintf(speed.note, sizeof speed.note, "%s while its training speed was measured", why);
    }
    r->speeds[index] = speed;
    if (speed.note[0] != '\0')
        bur_log(r->context, BUR_LOG_WARN, "device", "%s: %s; --device auto leaves it alone",
                r->infos[index].name, speed.note);
    return end != BUR__CHILD_NOT_STARTED;
}

/* ---- all devices ---- */

static int32_t count_training(const bur__registry *r)
{
    int32_t count = 0;
    for (int32_t i = 0; i < r->count; i++)
        count += r->infos[i].trains != 0;
    return count;
}

/* The fastest device that has not been `tried`; the first of equals, so the CPU if none was
 * measured. */
static int32_t fastest(const bur__registry *r, const bool *tried)
{
    int32_t best = 0;
    for (int32_t i = 1; i < r->count; i++)
        if (!tried[i] && r->infos[i].trains &&
            r->speeds[i].train_samples_per_s > r->speeds[best].train_samples_per_s)
            best = i;
    return best;
}

/* Keeps the name that answers "auto", to spare later runs the drivers. Added backends are the
 * context's own and seen by no other. */
static void keep_answer(const bur__registry *r, const char *answer)
{
    char kept[BUR_NAME_BYTES];
    const uint64_t key = bur__listing_key(r->context);
    if (r->n_added > 0 || r->asked == BUR__CHILD_NOT_STARTED)
        return;
    if (!bur__kept_read(key, kept, sizeof kept) || strcmp(kept, answer) != 0)
        bur__kept_write(key, answer);
}

static bool cpu_is_kept_answer(const bur__registry *r)
{
    char kept[BUR_NAME_BYTES];
    return r->n_added == 0 && bur__kept_read(bur__listing_key(r->context), kept, sizeof kept) &&
           strcmp(kept, "cpu") == 0;
}

/* "measured training speed: cpu 41200 samples/s, cl:0 3100 samples/s; kept for later runs" */
static void tell(const bur__registry *r, bool kept)
{
    char text[256] = "";
    size_t used = 0;
    for (int32_t i = 0; i < r->count && used < sizeof text; i++)
        if (r->speeds[i].train_samples_per_s > 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %.0f samples/s",
                                     used == 0 ? "" : ", ", r->infos[i].name,
                                     r->speeds[i].train_samples_per_s);
    bur_log(r->context, BUR_LOG_INFO, "device", "measured training speed: %s%s", text,
            kept ? "; kept for later runs" : "");
}

/* Fills registry->speeds. The CPU is measured last: the threads that it starts would not follow the
 * fork of a later child. */
static void find_speeds(bur__registry *r, measured what)
{
    bool any = false, all_kept = true, all_known = true;
    for (int32_t i = r->count - 1; i >= 0; i--) {
        const uint64_t key = bur__speed_key(r->context, &r->infos[i]);
        bur_device_speed kept = {.train_samples_per_s = 0};
        const bool is_kept = r->infos[i].trains && bur__speed_read(&kept, key);
        r->speeds[i] = kept;
        if (!r->infos[i].trains || (is_kept && what != MEASURE_ALL))
            continue;
        if (what == MEASURE_NONE) {
            all_known = false;
            continue;
        }
        any = true;
        all_kept &=
            measure_device(r, i, what == MEASURE_ALL) && bur__speed_write(key, &r->speeds[i]);
    }
    if (any)
        tell(r, all_kept);
    const int32_t choice = fastest(r, (const bool[BUR__MAX_DEVICES]){false});
    r->speeds[choice].is_auto = all_known || count_training(r) == 1;
    keep_answer(r, r->speeds[choice].is_auto ? r->infos[choice].name : "unknown");
}

static bur_status get_speeds(bur_context *context, measured what, const bur_device_speed **out,
                             int32_t *count)
{
    if (out == NULL || count == NULL)
        return bur_fail(BUR_E_ARG, "bur_device_speeds: NULL argument");
    bur__registry *r = NULL;
    BUR_TRY(bur__devices_list(&r, context));
    find_speeds(r, what);
    if (what == MEASURE_ALL)
        r->chosen = NULL;
    *out = r->speeds;
    *count = r->count;
    return BUR_OK;
}

bur_status bur_device_speeds(bur_context *context, bool anew, const bur_device_speed **out,
                             int32_t *count)
{
    return get_speeds(context, anew ? MEASURE_ALL : MEASURE_MISSING, out, count);
}

bur_status bur_device_speeds_kept(bur_context *context, const bur_device_speed **out,
                                  int32_t *count)
{
    return get_speeds(context, MEASURE_NONE, out, count);
}

/* ---- "auto" ---- */

/* Lists, measures where there is a choice, and opens the fastest device that can be opened. */
static bur_status choose(bur_device **out, bur__registry *r)
{
    bool tried[BUR__MAX_DEVICES] = {false};
    BUR_TRY(bur__devices_list(&r, r->context));
    if (r->asked != BUR__CHILD_ANSWERED)
        bur_log(r->context, BUR_LOG_WARN, "device", "%s; the CPU is used", r->note);
    if (count_training(r) > 1)
        find_speeds(r, MEASURE_MISSING);
    else
        keep_answer(r, "cpu");
    for (;;) {
        const int32_t index = fastest(r, tried);
        if (index == 0)
            return bur__device_open_cpu(out, r);
        if (bur__device_open(out, r, index) == BUR_OK)
            return BUR_OK;
        bur_log(r->context, BUR_LOG_WARN, "device", "%s; the next fastest device is used",
                bur_last_error());
        tried[index] = true;
    }
}

bur_status bur__device_open_auto(bur_device **out, bur__registry *r)
{
    if (r->chosen == NULL && cpu_is_kept_answer(r))
        BUR_TRY(bur__device_open_cpu(&r->chosen, r));
    else if (r->chosen == NULL)
        BUR_TRY(choose(&r->chosen, r));
    *out = r->chosen;
    return BUR_OK;
}
