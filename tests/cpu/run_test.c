/* Lists of commands in one parallel region, and what surrounds them. */
#include "test.h"

#include "backends/backends.h"
#include "backends/cpu/cpu.h"
#include "support/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An opened portable CPU and one buffer, handed out from the front. */
typedef struct bench {
    test_device device;
    bur_buffer *buffer;
    char *memory;
    size_t used_bytes;
} bench;

enum { BENCH_BYTES = 1 << 22 };

static void describe(bur_device_info *info, bur_context *context, const char *driver)
{
    int32_t count = 0;
    char note[BUR_TEXT_BYTES];
    assert_ok(bur_backend_cpu()->enumerate(context, info, 1, &count, note));
    assert_int_equal(count, 1);
    if (driver != NULL)
        snprintf(info->driver, sizeof info->driver, "%s", driver);
}

static const char *best_portable(void)
{
    int32_t count = 0;
    const bur_cpu_isa *isa = bur__cpu_isas(&count);
    while (!isa->runs_here())
        isa++;
    return isa->text;
}

static void bench_open(bench *b, int threads)
{
    bur_context *context = NULL;
    bur_device_info info;
    memset(b, 0, sizeof *b);
    assert_ok(bur_context_create(&context, &(bur_context_options){.threads = threads}));
    describe(&info, context, best_portable());
    assert_ok(test_device_open_as(&b->device, bur_backend_cpu(), context, &info));
    assert_ok(b->device.backend->buffer_create(&b->buffer, b->device.handle, BENCH_BYTES));
    assert_ok(b->device.backend->fill(b->buffer, 0, 0, BENCH_BYTES));
    b->memory = b->device.backend->map(b->buffer);
}

static void bench_close(bench *b)
{
    b->device.backend->buffer_destroy(b->buffer);
    test_device_close(&b->device);
}

static bur_place take(bench *b, size_t bytes)
{
    const bur_place place = {b->buffer, b->used_bytes};
    b->used_bytes += (bytes + 63) / 64 * 64;
    assert_in_range(b->used_bytes, 0, BENCH_BYTES);
    return place;
}

static float *at(const bench *b, bur_place place)
{
    return (float *)(b->memory + place.offset_bytes);
}

static bur_desc make_desc(bur_dtype dtype, int32_t rank, const int64_t *dim)
{
    bur_shape shape;
    assert_ok(bur_shape_make(&shape, rank, dim));
    return bur_desc_make(dtype, &shape);
}

enum { LINKS = 18 };

/* x = x + x again and again in one tensor, of its first 7 elements or of many, so that commands of
 * thread 0 alone and of the whole team follow each other in both orders. */
static void check_chain(int threads)
{
    static const int64_t sizes[] = {40, 7, 90000, 33, 70000, 60000};
    bench b;
    bench_open(&b, threads);
    const bur_attr attr = {.word = {0}};
    const bur_place one = take(&b, sizeof(float) * 90000), inputs[] = {one, one};
    bur_command *commands[LINKS];
    for (int i = 0; i < 90000; i++)
        at(&b, one)[i] = 1;
    bool alone = false, together = false;
    for (int i = 0; i < LINKS; i++) {
        const bur_desc desc = make_desc(BUR_F32, 1, &sizes[i % 6]);
        const bur_call call = {BUR_OP_add, &attr, 2, 1, (const bur_desc[]){desc, desc}, &desc};
        bur_kernel *kernel = NULL;
        assert_ok(b.device.backend->build(&kernel, b.device.handle, &call));
        assert_ok(b.device.backend->bind(&commands[i], kernel, inputs, &one, NULL));
        alone |= commands[i]->alone;
        together |= !commands[i]->alone;
    }
    assert_true(alone && together);
    int64_t ns[LINKS];
    assert_ok(b.device.backend->run(b.device.handle, commands, 12));
    assert_ok(b.device.backend->run_timed(b.device.handle, commands + 12, LINKS - 12, ns));
    for (int i = 0; i < LINKS - 12; i++)
        assert_true(ns[i] >= 0 && ns[i] < INT64_C(10000000000));
    for (int i = 0; i < 90000; i++) {
        double wanted = 1;
        for (int link = 0; link < LINKS; link++)
            wanted *= i < sizes[link % 6] ? 2 : 1;
        if ((double)at(&b, one)[i] != wanted)
            fail_msg("%d threads: element %d is %g, not %g", threads, i, (double)at(&b, one)[i],
                     wanted);
    }
    for (int i = 0; i < LINKS; i++)
        b.device.backend->command_destroy(commands[i]);
    bench_close(&b);
}

static void test_cpu_run__every_command_sees_the_one_before(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads++)
        for (int repeat = 0; repeat < 20; repeat++)
            check_chain(threads);
}

/* Without flushing, m would stay among denormal numbers for hundreds of steps. */
static void test_cpu_run__denormals_become_zero(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, 2);
    const int64_t n = 50000, words = BUR_SCALAR_WORDS;
    const bur_attr attr = {.optimizer = {.beta1 = 0.5f, .beta2 = 0.5f, .epsilon = 1e-7f}};
    const bur_desc p = make_desc(BUR_F32, 1, &n);
    const bur_desc descs[] = {make_desc(BUR_I32, 1, &words), p, p, p, p};
    bur_place places[5];
    for (int i = 0; i < 5; i++)
        places[i] = take(&b, bur_desc_bytes(&descs[i]));
    const bur_call call = {BUR_OP_adam, &attr, 5, 0, descs, NULL};
    bur_kernel *kernel = NULL;
    bur_command *command = NULL;
    assert_ok(b.device.backend->build(&kernel, b.device.handle, &call));
    assert_ok(b.device.backend->bind(&command, kernel, places, NULL, NULL));
    for (int64_t i = 0; i < n; i++)
        at(&b, places[3])[i] = 0x1.8p-126f;
    assert_ok(b.device.backend->run(b.device.handle, &command, 1));
    for (int64_t i = 0; i < n; i++)
        assert_true(at(&b, places[3])[i] == 0);
    volatile float smallest = 0x1p-126f; /* and the caller's own arithmetic is as before */
    assert_true(smallest / 2 > 0);
    b.device.backend->command_destroy(command);
    bench_close(&b);
}

static void test_cpu_run__equal_calls_share_a_kernel(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, 1);
    const bur_attr linear = {.word = {0}}, relu = {.matmul = {.activation = BUR_RELU}};
    bur_desc descs[] = {make_desc(BUR_F32, 2, (int64_t[]){3, 4}),
                        make_desc(BUR_F32, 2, (int64_t[]){4, 5})};
    bur_desc y = make_desc(BUR_F32, 2, (int64_t[]){3, 5});
    bur_call call = {BUR_OP_matmul, &linear, 2, 1, descs, &y};
    bur_kernel *first = NULL, *again = NULL, *other = NULL;
    assert_ok(b.device.backend->build(&first, b.device.handle, &call));
    bur_desc copies[] = {descs[0], descs[1]};
    bur_call copy = {BUR_OP_matmul, &linear, 2, 1, copies, &y};
    assert_ok(b.device.backend->build(&again, b.device.handle, &copy));
    assert_ptr_equal(first, again);
    call.attr = &relu;
    assert_ok(b.device.backend->build(&other, b.device.handle, &call));
    assert_ptr_not_equal(first, other);
    bench_close(&b);
}

static void test_cpu_run__what_has_no_kernel_is_refused_with_its_reason(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, 1);
    const bur_attr attr = {.word = {0}};
    const int64_t n = 3;
    const bur_desc desc = make_desc(BUR_F64, 1, &n);
    const bur_call call = {BUR_OP_relu, &attr, 1, 1, &desc, &desc};
    char reason[BUR_TEXT_BYTES] = "";
    assert_false(b.device.backend->supports(&b.device.info, &call, reason));
    assert_non_null(strstr(reason, "f64"));
    bur_kernel *kernel = NULL;
    assert_status(BUR_E_UNSUPPORTED, b.device.backend->build(&kernel, b.device.handle, &call));
    assert_null(kernel);

    bur_device_handle *handle = NULL;
    bur_device_info info = b.device.info;
    snprintf(info.driver, sizeof info.driver, "portable abacus");
    assert_status(BUR_E_DEVICE, b.device.backend->open(&handle, b.device.context, &info));
    assert_null(handle);
    bench_close(&b);
}

static void test_cpu_run__large_buffers_begin_at_a_huge_page(void **state)
{
    (void)state;
    bench b;
    bench_open(&b, 1);
    assert_int_equal((uintptr_t)b.memory % (2 << 20), 0);
    const size_t before = bur_context_memory(b.device.context).live_bytes;
    bur_buffer *small = NULL;
    assert_ok(b.device.backend->buffer_create(&small, b.device.handle, 100));
    assert_int_equal((uintptr_t)b.device.backend->map(small) % 64, 0);
    b.device.backend->buffer_destroy(small);
    assert_int_equal(bur_context_memory(b.device.context).live_bytes, before);
    bench_close(&b);
}

static void test_cpu_run__the_description_is_of_this_machine(void **state)
{
    (void)state;
    bur_context *context = NULL;
    assert_ok(bur_context_create(&context, NULL));
    bur_device_info info;
    describe(&info, context, NULL);
    assert_string_equal(info.name, "cpu");
    assert_true(info.description[0] != '\0' && info.vendor[0] != '\0');
    assert_true(info.free_bytes > 0 && info.free_bytes <= info.memory_bytes);
    assert_int_equal(info.unified, 1);
    assert_int_equal(info.trains, 1);
    assert_non_null(strstr(info.driver, best_portable()));
    bur_context_destroy(context);
}

/* Memory runs out at the first, second, third ... allocation: never more than an error. */
typedef struct failing {
    int64_t left;
} failing;

static void *failing_allocate(void *user, size_t bytes, size_t alignment)
{
    failing *f = user;
    return f->left-- > 0 ? aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)
                         : NULL;
}

static void failing_release(void *user, void *pointer)
{
    (void)user;
    free(pointer);
}

static bur_status use_device(bur_context *context, const bur_device_info *info)
{
    const bur_backend *cpu = bur_backend_cpu();
    const bur_attr attr = {.word = {0}};
    const int64_t n = 3;
    const bur_desc desc = make_desc(BUR_F32, 1, &n);
    const bur_call call = {BUR_OP_relu, &attr, 1, 1, &desc, &desc};
    bur_device_handle *device = NULL;
    bur_buffer *buffer = NULL;
    bur_kernel *kernel = NULL;
    bur_command *command = NULL;
    bur_status status = cpu->open(&device, context, info);
    if (status == BUR_OK)
        status = cpu->buffer_create(&buffer, device, 64);
    if (status == BUR_OK)
        status = cpu->build(&kernel, device, &call);
    const bur_place place = {buffer, 0};
    if (status == BUR_OK)
        status = cpu->bind(&command, kernel, &place, &place, NULL);
    cpu->command_destroy(command);
    cpu->buffer_destroy(buffer);
    cpu->close(device);
    return status;
}

static void test_cpu_run__no_memory_is_an_error_and_no_leak(void **state)
{
    (void)state;
    failing f = {1000};
    bur_context *context = NULL;
    const bur_context_options options = {.allocator = {&f, failing_allocate, failing_release},
                                         .threads = 1};
    assert_ok(bur_context_create(&context, &options));
    bur_device_info info;
    describe(&info, context, best_portable());
    const size_t before = bur_context_memory(context).live_bytes;
    int failures = 0;
    for (f.left = failures; use_device(context, &info) != BUR_OK; f.left = ++failures) {
        assert_in_range(failures, 0, 20);
        assert_int_equal(bur_context_memory(context).live_bytes, before);
    }
    assert_true(failures >= 4);
    assert_int_equal(bur_context_memory(context).live_bytes, before);
    bur_context_destroy(context);
}
