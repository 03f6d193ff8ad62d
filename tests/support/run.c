#define _POSIX_C_SOURCE 200809L /* strtok_r */
#include "run.h"
#include "device.h"
#include "reference/reference.h"
#include "test.h"

#include <backends/backends.h>
#include <backends/cpu/cpu.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name of the listed device that `word` means. */
static const char *find_device(const bur_device_info *infos, int32_t count, const char *word)
{
    for (int32_t i = 0; i < count; i++)
        if (infos[i].trains && infos[i].kind != BUR_DEVICE_CPU && test_device_is(&infos[i], word))
            return infos[i].name;
    /* OpenCL on a processor is a CPU device too: anything but the first, the library's own. */
    for (int32_t i = 1; i < count; i++)
        if (infos[i].trains && test_device_is(&infos[i], word))
            return infos[i].name;
    return NULL;
}

int32_t test_run_devices(bur_device *devices[TEST_MAX_RUN_DEVICES], bur_context *context)
{
    char words[256];
    snprintf(words, sizeof words, "%s", test_expected_devices());
    const bur_device_info *infos = NULL;
    const char *note = "";
    int32_t found = 0, count = 0;
    assert_ok(bur_device_open(&devices[count++], context, "cpu"));
    assert_ok(bur_device_list(context, &infos, &found, &note));
    char *rest = NULL;
    for (char *word = strtok_r(words, ", ", &rest); word != NULL;
         word = strtok_r(NULL, ", ", &rest)) {
        const char *name = find_device(infos, found, word);
        if (name == NULL)
            fail_msg("device '%s' of BURTHEN_TEST_DEVICES was not found (%s)", word, note);
        assert_int_not_equal(count, TEST_MAX_RUN_DEVICES);
        assert_ok(bur_device_open(&devices[count++], context, name));
    }
    return count;
}

/* The CPU's devices without oneDNN: one for each instruction set that runs here. */
static bur_status enumerate_portable(bur_context *context, bur_device_info *out, int32_t capacity,
                                     int32_t *count, char *note)
{
    bur_device_info cpu[1];
    int32_t n = 0, isas = 0;
    BUR_TRY(bur_backend_cpu()->enumerate(context, cpu, 1, &n, note));
    const bur_cpu_isa *isa = bur__cpu_isas(&isas);
    for (int32_t i = *count = 0; i < isas && *count < capacity; i++) {
        if (!isa[i].runs_here())
            continue;
        bur_device_info *info = &out[(*count)++];
        *info = cpu[0];
        snprintf(info->name, sizeof info->name, "portable:%s", isa[i].name);
        snprintf(info->description, sizeof info->description, "portable %s", isa[i].name);
        snprintf(info->driver, sizeof info->driver, "%s", isa[i].text);
    }
    return BUR_OK;
}

int32_t test_run_portable(bur_device *devices[TEST_MAX_RUN_DEVICES], bur_context *context)
{
    static bur_backend portable;
    const bur_device_info *infos = NULL;
    int32_t found = 0, count = 0;
    portable = *bur_backend_cpu();
    portable.name = "portable";
    portable.enumerate = enumerate_portable;
    test_expected_devices(); /* drivers are asked for their devices now */
    assert_ok(bur_context_add_backend(context, &portable));
    assert_ok(bur_device_list(context, &infos, &found, NULL));
    for (int32_t i = 0; i < found; i++)
        if (strncmp(infos[i].name, "portable:", 9) == 0)
            assert_ok(bur_device_open(&devices[count++], context, infos[i].name));
    return count;
}

bur_device *test_run_reference(bur_context *context)
{
    bur_device *device = NULL;
    test_expected_devices(); /* drivers are asked for their devices now */
    assert_ok(bur_context_add_backend(context, bur_test_reference_backend()));
    assert_ok(bur_device_open(&device, context, "ref:0"));
    return device;
}

const char *test_run_label(const bur_device *device)
{
    static char label[BUR_NAME_BYTES + BUR_TEXT_BYTES + 8];
    const bur_device_info *info = bur_device_describe(device);
    snprintf(label, sizeof label, "%s (%s)", info->name, info->description);
    return label;
}

void *test_run_memory(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);
    assert_non_null(memory);
    return memory;
}

void test_run_open(test_run *out, bur_device *device, bur_device *fallback,
                   const bur_recipe *recipe, const bur_graph_options *options)
{
    const bur_target target = bur_device_target(device);
    bur_target second = {0};
    if (fallback != NULL)
        second = bur_device_target(fallback);
    *out = (test_run){.device = device, .optimizer = options->optimizer, .batch = options->batch};
    assert_ok(bur_graph_create(&out->graph, recipe, options));
    assert_ok(bur_plan_create(&out->plan, out->graph, &target, fallback == NULL ? NULL : &second));
    const bur_plan *plan = out->plan;
    assert_ok(bur_memory_create(&out->memory, device, &plan, 1));
    assert_ok(bur_session_create(&out->session, out->memory, plan));
}

void test_run_create(test_run *out, bur_device *device, bur_device *fallback,
                     const bur_recipe *recipe, const bur_dataset *data, int64_t batch,
                     const bur_optimizer *optimizer, uint64_t seed)
{
    const bur_dataset_info *info = bur_dataset_describe(data);
    const bur_graph_options options = {.batch = batch,
                                       .mode = BUR_TRAIN,
                                       .loss = info->classes > 0 ? BUR_LOSS_CROSS_ENTROPY
                                                                 : BUR_LOSS_MSE,
                                       .optimizer = *optimizer};
    test_run_open(out, device, fallback, recipe, &options);
    size_t x_bytes = 0;
    assert_ok(bur_shape_bytes(&x_bytes, &info->sample, BUR_F32));
    out->seed = seed;
    out->x = test_run_memory(x_bytes * (size_t)batch);
    out->target = test_run_memory(bur_dataset_target_bytes(info) * (size_t)batch);
    assert_ok(bur_session_initialize(out->session, recipe, seed));
}

void test_run_destroy(test_run *run)
{
    bur_session_destroy(run->session);
    bur_memory_destroy(run->memory);
    bur_plan_destroy(run->plan);
    bur_graph_destroy(run->graph);
    free(run->x);
    free(run->target);
}

bur_scalars test_run_scalars(const bur_optimizer *optimizer, uint64_t seed, int64_t step,
                             int64_t samples)
{
    const double t = (double)step + 1;
    return (bur_scalars){
        .learning_rate = optimizer->learning_rate,
        .inverse_weight_sum = (float)(1 / (double)samples),
        .correction1 = (float)(1 / (1 - pow((double)optimizer->attr.beta1, t))),
        .correction2 = (float)(1 / (1 - pow((double)optimizer->attr.beta2, t))),
        .seed = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .step = {(uint32_t)step, (uint32_t)((uint64_t)step >> 32)},
    };
}

double test_run_accumulate(test_run *run, const bur_dataset *data, int64_t step)
{
    const int64_t count = bur_dataset_describe(data)->count;
    int64_t *rows = test_run_memory((size_t)run->batch * sizeof *rows);
    for (int64_t i = 0; i < run->batch; i++)
        rows[i] = (step * run->batch + i) % count;
    bur_dataset_gather(data, rows, run->batch, run->x, run->target);
    free(rows);
    const bur_scalars scalars = test_run_scalars(&run->optimizer, run->seed, step, run->batch);
    float result[BUR_RESULT_WORDS];
    assert_ok(bur_session_write_batch(run->session, run->x, run->target));
    assert_ok(bur_session_accumulate(run->session, &scalars));
    assert_ok(bur_session_read_result(run->session, result));
    return (double)result[BUR_RESULT_LOSS];
}

double test_run_step(test_run *run, const bur_dataset *data, int64_t step)
{
    const double loss = test_run_accumulate(run, data, step);
    assert_ok(bur_session_update(run->session));
    return loss;
}

float *test_run_read_state(bur_session *session, int64_t *count)
{
    int64_t n = 0;
    for (int32_t i = 0; i < bur_session_state_count(session); i++)
        n += bur_desc_count(&bur_session_state_at(session, i)->desc);
    float *state = test_run_memory((size_t)n * sizeof *state), *at = state;
    for (int32_t i = 0; i < bur_session_state_count(session); i++) {
        assert_ok(bur_session_read_state(session, i, at));
        at += bur_desc_count(&bur_session_state_at(session, i)->desc);
    }
    if (count != NULL)
        *count = n;
    return state;
}

void test_run_write_state(bur_session *session, const float *state)
{
    for (int32_t i = 0; i < bur_session_state_count(session); i++) {
        assert_ok(bur_session_write_state(session, i, state));
        state += bur_desc_count(&bur_session_state_at(session, i)->desc);
    }
}

float *test_run_read_gradient(const test_run *run, int32_t parameter, int64_t *count)
{
    for (int32_t i = 0; i < bur_session_state_count(run->session); i++) {
        const bur_state_tensor *tensor = bur_session_state_at(run->session, i);
        if (tensor->parameter != parameter || tensor->slot >= 0)
            continue;
        *count = bur_desc_count(&tensor->desc);
        float *gradient = test_run_memory((size_t)*count * sizeof *gradient);
        assert_ok(bur_session_read_gradient(run->session, parameter, gradient));
        return gradient;
    }
    fail_msg("there is no parameter %d", (int)parameter);
    return NULL;
}

int32_t test_long_fraction(void)
{
    const char *text = getenv("BURTHEN_LONG_FRACTION");
    const long fraction = text == NULL ? 1 : strtol(text, NULL, 10);
    assert_true(fraction >= 1 && fraction <= 1000);
    return (int32_t)fraction;
}

double test_run_difference(const float *a, const float *b, int64_t count)
{
    double error = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)a[i] - (double)b[i];
        error += d * d;
        norm += (double)b[i] * (double)b[i];
    }
    return error == 0 ? 0 : sqrt(error) / sqrt(norm);
}
