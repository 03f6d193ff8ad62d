/* Plans against what runs take, by the program as users start it: in peaks, and under limits of a
 * memory cgroup, which really kill. Where no group can be made the parts that need one are told and
 * left out, unless BURTHEN_TEST_CGROUP=on says that there must be one.
 *
 * BURTHEN_LONG_FRACTION=N takes every Nth case; how seldom a run is refused for nothing is asked of
 * all of them alone. */
#define _DEFAULT_SOURCE /* mkdtemp, setenv */
#include "program.h"

#include "support/run.h"

#include <inttypes.h>
#include <math.h>

#define MIB 1048576.0

static program_run run;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- one run ---- */

/* A run of `train`: two whole batches and a half, so that there is a partial one, and a test set.
 */
static void train_line(char *line, size_t size, const char *model, int64_t batch, const char *rest)
{
    snprintf(line, size,
             "train %s data=random samples=%" PRId64 " batch=%" PRId64
             " epochs=1 lr=0.000001 out=run --device cpu --json --quiet%s%s",
             model, 2 * batch + (batch + 1) / 2, batch, rest[0] == '\0' ? "" : " ", rest);
}

/* Runs a line, in the group with so many bytes (0: anywhere), and gives its exit code; -1 if it was
 * killed. */
static int run_within(const test_cgroup *group, uint64_t limit_bytes, const char *line)
{
    program_group = limit_bytes > 0 ? group : NULL;
    if (limit_bytes > 0)
        test_cgroup_limit(group, limit_bytes);
    run_program(&run, line);
    program_group = NULL;
    assert_int_equal(system("rm -rf run"), 0);
    return run.code;
}

/* ---- peaks ---- */

typedef struct shape {
    const char *model; /* with keys */
    int64_t small, large;
} shape;

/* Images and widths that keep a run below seconds. */
static const shape shapes[] = {
    {"mlp", 32, 4096},
    {"mlp input=3072 hidden=2048-2048", 16, 512},
    {"cnn input=64x64x3", 8, 64},
    {"cnn-mid input=32x32x3", 16, 64},
    {"cnn-light input=128x128x3", 4, 16},
    {"resnet18 input=64x64x3 classes=10", 4, 32},
    {"resnet50 input=64x64x3 classes=10", 2, 16},
    {"resnet101 input=32x32x3 classes=10", 2, 8},
    {"mobilenet-v2 input=96x96x3 classes=10", 4, 16},
    {"efficientnet-b0 input=64x64x3 classes=10", 4, 16},
    {"vit-tiny input=64x64x3 depth=4", 4, 32},
    {"transformer-small depth=2", 2, 8},
    {"lstm", 16, 256},
};

/* How each of them is trained: with the smaller or the larger batch. */
static const struct {
    bool large;
    const char *keys;
} ways[] = {
    {false, "optimizer=sgd accumulate=1 recompute=off"},
    {true, "optimizer=adam accumulate=1 recompute=off"},
    {true, "optimizer=momentum accumulate=1 recompute=60%"},
    {true, "optimizer=adam accumulate=4 recompute=off"},
    {false, "optimizer=rmsprop accumulate=2 recompute=70%"},
    {true, "optimizer=adamw accumulate=1 recompute=off validation_split=0.2"},
};

enum { SHAPES = sizeof shapes / sizeof *shapes, WAYS = sizeof ways / sizeof *ways };

typedef struct peaks {
    double planned, measured, limit_peak; /* bytes */
    int limit_code;                       /* of the run within the plan */
} peaks;

static peaks measure(const test_cgroup *group, const shape *what, int way)
{
    char line[512];
    train_line(line, sizeof line, what->model, ways[way].large ? what->large : what->small,
               ways[way].keys);
    run_within(NULL, 0, line);
    if (run.code != 0)
        fail_msg("burthen %s gave %d:\n%s", line, run.code, run.err);
    json_t *result = json_loads(run.out, 0, NULL);
    peaks p = {.planned = number_at(result, "planned_peak_bytes"),
               .measured = number_at(result, "measured_peak_bytes")};
    json_decref(result);
    if (group != NULL) {
        p.limit_code = run_within(group, (uint64_t)p.planned, line);
        p.limit_peak = (double)test_cgroup_peak(group);
    }
    return p;
}

static double most(double a, double b)
{
    return a > b ? a : b;
}

/* Acceptance of the planner: never under; over by at most 1% or 16 MB in the median and 3% or 16 MB
 * at worst; and each run ends well with no byte more than planned. */
static void compare_peaks(void)
{
    test_cgroup group;
    double over[SHAPES * WAYS], share[SHAPES * WAYS];
    int n = 0, bad = 0;
    const int step = test_long_fraction();
    enter_folder();
    const bool limited = test_cgroup_create(&group);
    print_message("%-42s %-64s %9s %9s %7s %9s\n", "MODEL", "KEYS", "PLAN MiB", "PEAK MiB", "OVER",
                  "IN GROUP");
    for (int i = 0; i < SHAPES * WAYS; i += step) {
        const shape *what = &shapes[i / WAYS];
        const peaks p = measure(limited ? &group : NULL, what, i % WAYS);
        const double rest = p.planned - p.measured;
        const bool good = rest >= 0 && rest <= most(0.03 * p.measured, 16e6) && p.limit_code == 0;
        print_message("%-42s batch=%-5" PRId64 "%-54s %9.1f %9.1f %7.1f %9.1f %s\n", what->model,
                      ways[i % WAYS].large ? what->large : what->small, ways[i % WAYS].keys,
                      p.planned / MIB, p.measured / MIB, rest / MIB, p.limit_peak / MIB,
                      good                ? ""
                      : p.limit_code == 0 ? "BAD"
                                          : "DIED");
        over[n] = rest;
        share[n++] = rest / p.measured;
        bad += !good;
    }
    if (limited) {
        bad += test_cgroup_kills(&group) > 0;
        test_cgroup_destroy(&group);
    }
    qsort(over, (size_t)n, sizeof *over, by_value);
    qsort(share, (size_t)n, sizeof *share, by_value);
    print_message("%d rows: over by %.1f MiB (%.2f%%) in the median, %.1f to %.1f MiB; %d bad\n", n,
                  over[n / 2] / MIB, 100 * share[n / 2], over[0] / MIB, over[n - 1] / MIB, bad);
    assert_int_equal(bad, 0);
    assert_true(over[n / 2] <= 16e6 || share[n / 2] <= 0.01);
    leave_folder();
}

static void test_cli_memory_long__no_run_takes_more_than_its_plan_nor_much_less(void **state)
{
    (void)state;
    compare_peaks();
}

/* As on processors that know no more, where oneDNN's products take memory that is not planned. */
static void test_cli_memory_long__without_avx512_no_run_takes_more_than_its_plan(void **state)
{
    (void)state;
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    compare_peaks();
}

/* ---- random limits ---- */

typedef struct draws {
    uint32_t counter;
} draws;

static double uniform(draws *d)
{
    uint32_t words[4];
    bur_philox(words, (uint32_t[]){d->counter++, 0, 0, 0}, (uint32_t[]){20260101, 0});
    return (double)words[0] / 4294967296.0;
}

typedef struct tally {
    int ran, refused, wrongly, kills, crashes,
        useless; /* useless: a named budget that is not enough */
} tally;

/* "batch=64 needs a budget of 1.2 GiB (1,288,490,188 bytes)". */
static uint64_t named_budget(const char *text)
{
    uint64_t bytes = 0;
    const char *at = strstr(text, "needs a budget of ");
    at = at == NULL ? NULL : strchr(at, '(');
    for (; at != NULL && *at != ' '; at++)
        if (*at >= '0' && *at <= '9')
            bytes = bytes * 10 + (uint64_t)(*at - '0');
    return bytes;
}

static double planned_bytes(const char *model, int64_t batch, const char *optimizer)
{
    char line[512];
    snprintf(line, sizeof line,
             "plan %s data=random samples=%" PRId64 " batch=%" PRId64
             " optimizer=%s accumulate=1 recompute=off --device cpu --json",
             model, 2 * batch + (batch + 1) / 2, batch, optimizer);
    json_t *plan = run_json(&run, line);
    const double bytes = number_at(json_array_get(json_object_get(plan, "rows"), 0), "peak_bytes");
    json_decref(plan);
    return bytes;
}

/* What was refused: does the budget that was named do, and would the batch have run as it is? */
static void judge_refusal(tally *t, const test_cgroup *group, uint64_t limit, const char *model,
                          int64_t batch, const char *optimizer)
{
    char line[512], keys[160];
    const uint64_t named = named_budget(run.err);
    snprintf(keys, sizeof keys, "optimizer=%s", optimizer);
    train_line(line, sizeof line, model, batch, keys);
    if (named == 0 || run_within(group, named, line) != 0) {
        print_message("  the budget of %" PRIu64 " bytes is not enough:\n%s", named, run.err);
        t->useless++;
    }
    snprintf(keys, sizeof keys, "optimizer=%s accumulate=1 recompute=off budget=1TiB", optimizer);
    train_line(line, sizeof line, model, batch, keys);
    if (run_within(group, limit, line) != 0)
        return;
    print_message("  it would have run as it is\n");
    t->wrongly++;
}

/* What is known of the device: nothing, or what it takes to choose the faster of two levers. */
static void enter_cache(bool measured)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%s", program_folder, measured ? "measured" : "new");
    assert_int_equal(setenv("XDG_CACHE_HOME", path, 1), 0);
}

/* A batch and a limit: half of them within 5% of what it needs in one piece, half of both with
 * known seconds. */
static void try_pair(tally *t, const test_cgroup *group, uint32_t index)
{
    static const char *const optimizers[] = {"sgd", "momentum", "rmsprop", "adam", "adamw"};
    draws d = {.counter = index * 16};
    const shape *what = &shapes[(int)(uniform(&d) * SHAPES)];
    const double range = log2((double)what->large);
    const int64_t batch = (int64_t)exp2(uniform(&d) * range);
    const char *optimizer = optimizers[(int)(uniform(&d) * 5)];
    enter_cache(index / 2 % 2 == 1);
    const double planned = planned_bytes(what->model, batch, optimizer);
    const double factor = index % 2 == 0 ? 0.95 + 0.1 * uniform(&d) : exp2(-1.5 + 3 * uniform(&d));
    const uint64_t limit = (uint64_t)(planned * factor);
    char line[512], keys[64];
    snprintf(keys, sizeof keys, "optimizer=%s", optimizer);
    train_line(line, sizeof line, what->model, batch, keys);
    const int code = run_within(group, limit, line);
    print_message("%4" PRIu32 " %-42s batch=%-5" PRId64 "%-9s plan %7.1f MiB, limit %7.1f: %s\n",
                  index, what->model, batch, optimizer, planned / MIB, (double)limit / MIB,
                  code == 0   ? "ran"
                  : code == 5 ? "refused"
                              : "DIED");
    t->ran += code == 0;
    t->refused += code == 5;
    t->kills += code < 0;
    t->crashes += code > 0 && code != 5;
    if (code > 0 && code != 5)
        print_message("%s", run.err);
    if (code == 5)
        judge_refusal(t, group, limit, what->model, batch, optimizer);
}

static void test_cli_memory_long__under_any_limit_a_run_ends_well_or_is_refused(void **state)
{
    (void)state;
    enum { PAIRS = 1000 };
    test_cgroup group;
    tally t = {0};
    bool group_is_there = false;
    const uint32_t step = (uint32_t)test_long_fraction();
    enter_folder();
    if (test_cgroup_create(&group)) {
        enter_cache(true);
        run_program(&run, "devices --measure");
        assert_int_equal(run.code, 0);
        for (uint32_t i = 0; i < PAIRS / step; i++)
            try_pair(&t, &group, i);
        test_cgroup_destroy(&group);
        print_message("%d ran, %d refused (%d of them would have run as they are), %d killed, %d "
                      "crashed, %d named budgets too small\n",
                      t.ran, t.refused, t.wrongly, t.kills, t.crashes, t.useless);
        assert_int_equal(t.kills + t.crashes + t.useless, 0);
        assert_true(step > 1 || t.wrongly <= 0.02 * (t.ran + t.wrongly));
        group_is_there = true;
    }
    leave_folder();
    if (!group_is_there)
        skip();
}

/* ---- the monitor ---- */

/* It finds too little and plans a step down, for a model whose plans take 6 MiB themselves: from
 * limits that refuse the run to those that leave it alone none kills. */
static void test_cli_memory_long__planning_a_step_down_takes_no_more_than_there_is(void **state)
{
    (void)state;
    enum { LIMITS = 56, STEP_BYTES = 1 << 18 };
    static const char model[] = "efficientnet-b0 input=64x64x3 classes=10",
                      line[] = "train efficientnet-b0 input=64x64x3 classes=10 data=random "
                               "samples=20 batch=8 epochs=4 lr=0.000001 optimizer=momentum "
                               "accumulate=1 recompute=off out=run --device cpu --json --quiet";
    test_cgroup group;
    int ran = 0, refused = 0;
    const int step = test_long_fraction();
    enter_folder();
    const bool limited = test_cgroup_create(&group);
    const uint64_t planned = (uint64_t)planned_bytes(model, 8, "momentum");
    for (int i = 0; limited && i < LIMITS; i += step) {
        const int code = run_within(&group, planned - (uint64_t)(i * STEP_BYTES), line);
        if (code != 0 && code != 5)
            fail_msg("%.2f MiB below its plan it gave %d:\n%s", i * STEP_BYTES / MIB, code,
                     run.err);
        ran += code == 0;
        refused += code == 5;
    }
    if (limited)
        test_cgroup_destroy(&group);
    print_message("%d limits ran, %d refused\n", ran, refused);
    assert_true(!limited || step > 1 || (ran > 0 && refused > 0));
    leave_folder();
    if (!limited)
        skip();
}

/* ---- the largest batch ---- */

static const struct {
    const char *model;
    int limit_mib;
} largest_cases[] = {
    {"mlp", 96},
    {"mlp hidden=4096-4096", 500},
    {"cnn", 128},
    {"cnn input=256x256x3", 512},
    {"cnn input=512x512x3", 1700},
    {"cnn-light input=512x512x3", 2800},
    {"cnn-mid input=128x128x3", 150},
    {"cnn-mid input=256x256x3", 400},
    {"resnet18", 300},
    {"resnet50 input=160x160x3", 600},
    {"mobilenet-v2", 400},
    {"vit-tiny", 300},
    {"vit-tiny input=384x384x3", 600},
    {"transformer-small", 333},
    {"lstm", 100},
};

/* Whether a batch runs whole in the group, whatever the plan says: killed, or refused by what is
 * left when its memory is taken, it does not. */
static bool runs(const test_cgroup *group, uint64_t limit, const char *model, int64_t batch)
{
    char line[512];
    snprintf(line, sizeof line,
             "verify %s batch=%" PRId64
             " accumulate=1 recompute=off budget=1TiB --device cpu --json",
             model, batch);
    const int code = run_within(group, limit, line);
    if (code > 0 && (code != 5 || strstr(run.err, "are still to come") == NULL))
        fail_msg("burthen %s gave %d:\n%s", line, code, run.err);
    return code == 0;
}

/* Pages of files are charged to the group that reads them first. Read outside of it they do not
 * count, and a run with too little is killed instead of reading its code again for minutes. */
static void read_code(const char *model)
{
    char line[512];
    snprintf(line, sizeof line, "verify %s batch=1 --device cpu --json", model);
    assert_int_equal(run_within(NULL, 0, line), 0);
}

/* What one more sample takes, by two plans. */
static double sample_bytes(const char *model, int64_t batch)
{
    double bytes[2];
    for (int i = 0; i < 2; i++) {
        char line[512];
        snprintf(line, sizeof line,
                 "plan %s batch=%" PRId64 " accumulate=1 recompute=off --device cpu --json", model,
                 (1 + i) * batch);
        json_t *plan = run_json(&run, line);
        bytes[i] = number_at(json_array_get(json_object_get(plan, "rows"), 0), "peak_bytes");
        json_decref(plan);
    }
    return (bytes[1] - bytes[0]) / (double)batch;
}

static int64_t find_largest(const test_cgroup *group, uint64_t limit, const char *model)
{
    char line[512];
    snprintf(line, sizeof line, "plan %s recompute=off --device cpu --json", model);
    if (run_within(group, limit, line) != 0)
        fail_msg("burthen %s gave %d:\n%s", line, run.code, run.err);
    json_t *plan = json_loads(run.out, 0, NULL);
    const int64_t batch = (int64_t)number_at(json_object_get(plan, "largest"), "batch");
    json_decref(plan);
    return batch;
}

/* What becomes of the batch after the largest. */
typedef enum next_batch { FAILS, FAILS_IN_LESS, RUNS } next_batch;

static const char *const next_batch_texts[] = {"does not", "runs, but not in 4 MiB less", "RUNS"};

static next_batch try_next(const test_cgroup *group, uint64_t limit, const char *model,
                           int64_t batch, bool is_exact)
{
    enum { LESS_BYTES = 4 << 20 };
    if (!runs(group, limit, model, batch))
        return FAILS;
    return is_exact && !runs(group, limit - LESS_BYTES, model, batch) ? FAILS_IN_LESS : RUNS;
}

/* Where a sample takes 16 MB the largest is the true one, or that of a limit 4 MiB lower: a plan is
 * 1 to 4 above the truth. Elsewhere it is below it by no more than a plan may be above. */
static void test_cli_memory_long__the_largest_batch_runs_and_the_next_does_not(void **state)
{
    (void)state;
    test_cgroup group;
    int bad = 0, n = 0, in_less = 0;
    const size_t step = (size_t)test_long_fraction();
    enter_folder();
    const bool limited = test_cgroup_create(&group);
    for (size_t i = 0; limited && i < sizeof largest_cases / sizeof *largest_cases; i += step) {
        const char *model = largest_cases[i].model;
        const uint64_t limit = (uint64_t)largest_cases[i].limit_mib << 20;
        read_code(model);
        const int64_t batch = find_largest(&group, limit, model);
        const double each = sample_bytes(model, batch);
        const bool is_exact = each >= 16e6;
        const double slack = most(0.03 * (double)limit, 16e6);
        const int64_t next = batch + (is_exact ? 1 : (int64_t)ceil(slack / each));
        const bool good = runs(&group, limit, model, batch);
        const double peak = (double)test_cgroup_peak(&group);
        if (!good)
            print_message("%s\n", run.code < 0 ? "killed" : run.err);
        const next_batch more = try_next(&group, limit, model, next, is_exact);
        print_message("%-30s %5d MiB, %7.2f a sample: batch %6" PRId64
                      " %s with %.1f MiB, %6" PRId64 " %s\n",
                      model, largest_cases[i].limit_mib, each / MIB, batch, good ? "runs" : "DIES",
                      peak / MIB, next, next_batch_texts[more]);
        bad += !good || more == RUNS;
        in_less += more == FAILS_IN_LESS;
        n++;
    }
    if (limited)
        test_cgroup_destroy(&group);
    print_message("%d limits, %d within 4 MiB of what the next batch takes\n", n, in_less);
    assert_int_equal(bad, 0);
    leave_folder();
    if (!limited)
        skip();
}
