/* What arithmetic and reductions make of numbers that the row tests do not draw, on every device.
 */
#include "test.h"

#include "support/example.h"
#include "support/execute.h"

#include <math.h>
#include <string.h>

enum { N = 5 };

typedef struct extreme_case {
    bur_op op;
    const char *attr;
    int32_t n_inputs;
    float x[2][N], y[N];
} extreme_case;

static const bur_desc vector = {.dtype = BUR_F32, .shape = {.rank = 1, .dim = {N}}};

static void check_case(const test_device *device, const extreme_case *c)
{
    const bur_desc inputs[] = {vector, vector};
    bur_desc outputs[2];
    bur_attr attr;
    assert_ok(bur_attr_parse(&attr, c->op, c->attr));
    bur_call call = {c->op, &attr, c->n_inputs, 1, inputs, outputs};
    assert_ok(bur_op_infer(&call, outputs));
    float x[2][N], y[N];
    memcpy(x, c->x, sizeof x);
    test_execute(device, &call, (void *[]){x[0], x[1]}, (void *[]){y}, false);
    for (int64_t i = 0; i < bur_desc_count(&outputs[0]); i++) {
        const bool same = isnan(c->y[i])
                              ? isnan(y[i])
                              : y[i] == c->y[i] || fabsf(y[i] - c->y[i]) <= 1e-5f * fabsf(c->y[i]);
        if (!same)
            fail_msg("%s: %s %s: element %d is %g, not %g", device->label, bur_op_get(c->op)->name,
                     c->attr, (int)i, (double)y[i], (double)c->y[i]);
    }
}

/* As PyTorch has it. */
static void test_op_tensor__infinities_and_nan_go_where_they_should(void **state)
{
    (void)state;
    static const extreme_case cases[] = {
        {BUR_OP_exp,
         "",
         1,
         {{-INFINITY, 88.5f, 89, INFINITY, NAN}},
         {0, 2.7230882e38f, INFINITY, INFINITY, NAN}},
        {BUR_OP_log, "", 1, {{0, -1, 1, INFINITY, NAN}}, {-INFINITY, NAN, 0, INFINITY, NAN}},
        {BUR_OP_sqrt, "", 1, {{0, -1, 4, INFINITY, NAN}}, {0, NAN, 2, INFINITY, NAN}},
        {BUR_OP_pow, "exponent=3", 1, {{-2, 0, 2, INFINITY, NAN}}, {-8, 0, 8, INFINITY, NAN}},
        {BUR_OP_div,
         "",
         2,
         {{1, -1, 0, INFINITY, NAN}, {0, 0, 0, 2, 1}},
         {INFINITY, -INFINITY, NAN, INFINITY, NAN}},
        {BUR_OP_maximum,
         "",
         2,
         {{NAN, 1, -INFINITY, 2, NAN}, {1, NAN, 3, INFINITY, NAN}},
         {NAN, NAN, 3, INFINITY, NAN}},
        {BUR_OP_minimum,
         "",
         2,
         {{NAN, 1, -INFINITY, 2, NAN}, {1, NAN, 3, INFINITY, NAN}},
         {NAN, NAN, -INFINITY, 2, NAN}},
        {BUR_OP_reduce_max, "", 1, {{1, 7, NAN, INFINITY, 2}}, {NAN}},
        {BUR_OP_reduce_max,
         "",
         1,
         {{-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY}},
         {-INFINITY}},
        {BUR_OP_reduce_sum, "", 1, {{1, 7, INFINITY, 3, 2}}, {INFINITY}},
    };
    test_device devices[TEST_MAX_DEVICES];
    int32_t count = 0;
    assert_true(test_devices_open(devices, &count));
    for (int32_t i = 0; i < count; i++) {
        for (size_t j = 0; j < sizeof cases / sizeof *cases; j++)
            check_case(&devices[i], &cases[j]);
        test_device_close(&devices[i]);
    }
}
