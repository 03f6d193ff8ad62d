/* Asks drivers for their devices in a child process with a time limit. */
#include "child.h"
#include "device.h"
#include "../../backends/backends.h"

#include <stdio.h>
#include <string.h>

enum { PROBE_LIMIT_MS = 15000 };

/* What crosses the pipe. */
typedef struct listing {
    int32_t count;
    char note[BUR_TEXT_BYTES];
    bur_device_info found[BUR__MAX_DEVICES];
} listing;

typedef struct question {
    bur_context *context;
    int32_t loadable, capacity;
} question;

/* The child: loads the backend and asks it. */
static void ask(void *user, void *answer)
{
    const question *q = user;
    listing *l = answer;
    const char *name = NULL;
    const bur_backend *backend = bur_backend_load(q->loadable, &name, l->note);
    if (backend == NULL ||
        backend->enumerate(q->context, l->found, q->capacity, &l->count, l->note) == BUR_OK)
        return;
    l->count = 0;
    snprintf(l->note, sizeof l->note, "%s", bur_last_error());
}

bur__child_end bur__probe(bur_context *context, int32_t loadable, bur_device_info *found,
                          int32_t capacity, int32_t *count, char *note)
{
    char why[BUR_TEXT_BYTES / 2] = "";
    question q = {context, loadable, capacity};
    *count = 0;
    listing *l = bur_alloc(context, sizeof *l);
    if (l == NULL) {
        snprintf(note, BUR_TEXT_BYTES, "%s", bur_last_error());
        return BUR__CHILD_NOT_STARTED;
    }
    const bur__child_end end = bur__child_run(context, bur__child_limit_ms(PROBE_LIMIT_MS), ask, &q,
                                              l, sizeof *l, why, sizeof why);
    if (end != BUR__CHILD_ANSWERED) {
        snprintf(note, BUR_TEXT_BYTES, "an OpenCL driver %s when it was asked for its devices",
                 why);
    } else if (l->count >= 0 && l->count <= capacity) {
        *count = l->count;
        memcpy(found, l->found, (size_t)l->count * sizeof *found);
        memcpy(note, l->note, sizeof l->note);
    }
    bur_free(context, l);
    return end;
}
