#define _DEFAULT_SOURCE /* mkdtemp */
#include "program.h"

#include <inttypes.h>

/* Its step is almost all weights: 8 samples take little longer than one, however busy the host. */
#define MODEL "mlp input=128x128x3 hidden=256 classes=10"
#define RUN                                                                                        \
    "train " MODEL " data=random samples=64 batch=1 accumulate=1 recompute=off --device cpu "      \
    "--dry-run --json"

static program_run run;

/* The plan of one sample at a time, over so many epochs; the caller's. */
static json_t *plan_run(int64_t epochs, uint64_t budget_bytes)
{
    char line[320];
    snprintf(line, sizeof line, RUN " epochs=%" PRId64 " budget=%" PRIu64, epochs, budget_bytes);
    return run_json(&run, line);
}

static void assert_advice(int64_t epochs, uint64_t budget_bytes, const char *part)
{
    json_t *plan = plan_run(epochs, budget_bytes);
    const char *advice = json_string_value(json_object_get(plan, "advice"));
    if (part == NULL)
        assert_null(advice);
    else
        assert_contains(advice, part);
    json_decref(plan);
}

/* S-069. Half a sample more than one takes is not enough for two. */
static void test_cli_diagnosis__a_larger_batch_is_advised_where_it_is_faster_and_fits(void **state)
{
    const uint64_t plenty = 1ULL << 30;
    (void)state;
    enter_folder();
    assert_int_equal(setenv("XDG_CACHE_HOME", program_folder, 1), 0);
    assert_advice(100000, plenty, NULL); /* no times are known yet */
    for (int batch = 1; batch <= 8; batch *= 2) {
        char line[128];
        snprintf(line, sizeof line, "bench " MODEL " --batch %d --device cpu", batch);
        run_program(&run, line);
        assert_int_equal(run.code, 0);
    }
    json_t *plan = plan_run(100000, plenty);
    const double peak = number_at(plan, "peak_bytes"), step_s = number_at(plan, "step_s"),
                 sample = number_at(json_object_get(plan, "bytes"), "activations");
    json_decref(plan);
    assert_true(step_s > 0);
    assert_advice(100000, plenty, "fits and is planned");
    assert_advice(100000, (uint64_t)(peak + sample / 2), NULL);
    assert_advice(1, plenty, NULL); /* is over in a second */
    leave_folder();
}
