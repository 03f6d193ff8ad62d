/* The monitor under a memory control group, which kills what goes beyond its limit: memory that is
 * gone when training starts is an answer, and a limit that shrinks while it trains costs no run. */
#define _GNU_SOURCE
#include "test.h"

#include "train/trainer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)

/* A group of this test's own, below the root of whichever hierarchy may be written to. */
typedef struct group {
    char folder[128];
    const char *limit, *usage;
} group;

static bool write_number(const group *g, const char *name, uint64_t value)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", g->folder, name);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    const bool written = fprintf(file, "%" PRIu64, value) > 0;
    return fclose(file) == 0 && written;
}

static uint64_t read_number(const group *g, const char *name)
{
    char path[256];
    uint64_t value = 0;
    snprintf(path, sizeof path, "%s/%s", g->folder, name);
    FILE *file = fopen(path, "r");
    if (file == NULL || fscanf(file, "%" SCNu64, &value) != 1)
        fail_msg("%s cannot be read", path);
    fclose(file);
    return value;
}

static group make_group(void)
{
    static const struct {
        const char *mount, *limit, *usage;
    } kinds[] = {
        {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"},
        {"/sys/fs/cgroup", "memory.max", "memory.current"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        group g = {.limit = kinds[i].limit, .usage = kinds[i].usage};
        snprintf(g.folder, sizeof g.folder, "%s/burthen-monitor-%ld", kinds[i].mount,
                 (long)getpid());
        if (mkdir(g.folder, 0700) != 0)
            continue;
        if (write_number(&g, g.limit, 2048 * MIB))
            return g;
        rmdir(g.folder);
    }
    fail_msg("this test needs a memory control group that it may write to");
    return (group){.limit = NULL};
}

typedef struct scene {
    const group *group;
    bur_context *context;
    bur_device *cpu;
    bur_recipe *recipe;
    bur_data data;
    bur_trainer *trainer;
    uint64_t left_bytes; /* what the group is left after each epoch, beyond what it uses and
                            cannot give back */
    uint64_t planned_bytes, last_limit_bytes;
    int64_t accumulate;
    int downs, epochs;
    bool shrinks_when_planned;
} scene;

/* The limit that leaves so much; the kernel takes pages of files back for it, and refuses one below
 * what is used otherwise. */
static void shrink(scene *s)
{
    bur_host_memory host = {0};
    assert_ok(bur_host_memory_read(&host));
    const uint64_t limit =
        read_number(s->group, s->group->limit) - host.available_bytes + s->left_bytes;
    if (write_number(s->group, s->group->limit, limit))
        s->last_limit_bytes = limit;
}

static bur_status hear(void *user, bur_event event, const void *data)
{
    scene *s = user;
    if (event == BUR_EVENT_PLANNED) {
        const bur_run_plan *plan = data;
        s->planned_bytes = plan->peak_bytes;
        if (s->shrinks_when_planned && plan->fits)
            shrink(s);
    }
    if (event == BUR_EVENT_NOTE)
        printf("  %s\n", (const char *)data);
    if (event == BUR_EVENT_EPOCH) {
        s->epochs++;
        s->downs += s->trainer->options.accumulate > s->accumulate;
        s->accumulate = s->trainer->options.accumulate;
        printf("  epoch %d: %" PRIu64 " MiB used of %" PRIu64 " MiB, in %" PRId64 " parts\n",
               s->epochs, read_number(s->group, s->group->usage) / MIB,
               read_number(s->group, s->group->limit) / MIB, s->accumulate);
        shrink(s);
    }
    return BUR_OK;
}

static bur_status run(scene *s, int64_t batch, int64_t epochs)
{
    const bur_fit_options options = {.batch = batch,
                                     .epochs = epochs,
                                     .accumulate = 1,
                                     .recompute = 1,
                                     .callback = hear,
                                     .callback_user = s};
    BUR_TRY(bur_context_create(&s->context, &(bur_context_options){.threads = 2}));
    BUR_TRY(bur_device_open(&s->cpu, s->context, "cpu"));
    BUR_TRY(bur_data_open(&s->data, s->context, "digits", &(bur_data_options){.count = 2 * batch}));
    BUR_TRY(bur_zoo_create(&s->recipe, s->context, "cnn", NULL));
    s->accumulate = 1;
    BUR_TRY(bur_trainer_create(&s->trainer, s->cpu, s->recipe, &s->data, &options));
    return bur_trainer_fit(s->trainer);
}

/* Runs `body` in a child inside a group; it must not be killed, and give true. */
static void in_group(bool (*body)(const group *g))
{
    const group g = make_group();
    int status = -1;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        const bool good = write_number(&g, "cgroup.procs", (uint64_t)getpid()) && body(&g);
        fflush(stdout);
        _exit(good ? 0 : 1);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    rmdir(g.folder);
    assert_true(child > 0);
    if (WIFSIGNALED(status))
        fail_msg("killed by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Between plan and allocation somebody takes all but 48 MiB. */
static bool starts_too_late(const group *g)
{
    scene s = {.group = g, .left_bytes = 48 * MIB, .shrinks_when_planned = true};
    const bur_status status = run(&s, 2048, 1);
    printf("  plan %" PRIu64 " MiB, limit %" PRIu64 " MiB: %s\n", s.planned_bytes / MIB,
           s.last_limit_bytes / MIB, bur_last_error());
    return s.last_limit_bytes < s.planned_bytes && status == BUR_E_BUDGET && s.trainer == NULL;
}

static void test_train_monitor_long__memory_gone_at_the_start_is_an_answer(void **state)
{
    (void)state;
    in_group(starts_too_late);
}

/* What is left is less than a plan counts beyond what a run takes. */
static bool limit_shrinks(const group *g)
{
    scene s = {.group = g, .left_bytes = MIB / 2};
    const bur_status status = run(&s, 2048, 8);
    if (status != BUR_OK)
        printf("  %s\n", bur_last_error());
    printf("  plan %" PRIu64 " MiB, last limit %" PRIu64 " MiB, stepped down %d times\n",
           s.planned_bytes / MIB, s.last_limit_bytes / MIB, s.downs);
    return status == BUR_OK && s.epochs == 8 && s.downs >= 2 &&
           s.last_limit_bytes < s.planned_bytes - 64 * MIB;
}

static void test_train_monitor_long__a_limit_that_shrinks_costs_no_run(void **state)
{
    (void)state;
    in_group(limit_shrinks);
}
