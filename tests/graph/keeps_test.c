#include "test.h"

#include "graph/graph.h"
#include "op/rules.h"

#include <string.h>

enum { X0, X1, X2, X3, X4, Y0, Y1, Y2, DY, N_VALUES };

/* Values read by a rule's nodes, told apart by their number. */
typedef struct reader {
    bur_desc descs[N_VALUES];
    bool read[N_VALUES + 64];
    int32_t next;
} reader;

static bur_status emit(void *graph, bur_op op, const bur_attr *attr, const int32_t *inputs,
                       int32_t n_inputs, int32_t n_outputs, int32_t *first_output)
{
    (void)op;
    (void)attr;
    reader *r = graph;
    for (int32_t i = 0; i < n_inputs; i++)
        r->read[inputs[i]] = true;
    *first_output = r->next;
    r->next += n_outputs;
    return BUR_OK;
}

static const bur_desc *desc(const void *graph, int32_t value)
{
    return &((const reader *)graph)->descs[value];
}

/* The planner counts on it: a gradient rule reads what its row says is kept, and all of that. */
static void test_graph_keeps__gradient_rules_read_what_their_row_says(void **state)
{
    (void)state;
    int32_t checked = 0;
    for (bur_op op = 0; op < BUR_OP_COUNT; op++) {
        const bur_op_rules *rules = bur__op_rules(op);
        if (rules->gradient == NULL)
            continue;
        const bur_op_info *info = bur_op_get(op);
        reader r = {.next = N_VALUES};
        bur_attr attr;
        bur_desc inputs[8], outputs[BUR_MAX_OUTPUTS];
        int32_t n_inputs = 0;
        assert_ok(bur_op_example(op, 0, &attr, inputs, &n_inputs));
        bur_call call = {op, &attr, n_inputs, info->outputs_max, inputs, outputs};
        assert_ok(bur_op_infer(&call, outputs));
        if (op == BUR_OP_matmul_bias_act)
            attr.matmul.activation = BUR_RELU; /* without an activation y is not needed */
        if (op == BUR_OP_conv2d_bias_act)
            attr.conv2d.activation = BUR_RELU;
        memcpy(r.descs, inputs, (size_t)n_inputs * sizeof *inputs);
        memcpy(r.descs + Y0, outputs, sizeof outputs);
        const int32_t x[] = {X0, X1, X2, X3, X4}, y[] = {Y0, Y1, Y2};
        const bool needs[] = {true, true, true, true, true};
        int32_t dx[] = {-1, -1, -1, -1, -1};
        const bool loss = info->flags & BUR_OP_LOSS;
        const bur_emitter emitter = {&r, emit, desc};
        const bur_gradient_call gradient = {&emitter,       op,    &attr, x,       y,
                                            loss ? -1 : DY, needs, dx,    n_inputs};
        assert_ok(rules->gradient(&gradient));
        for (int32_t i = 0; i < 5; i++) /* a loss hands out its second output itself */
            if (dx[i] >= 0 && dx[i] < N_VALUES)
                r.read[dx[i]] = true;
        if (info->flags & BUR_OP_RANDOM)
            r.read[X1] = false; /* the step scalars are always there */
        const int32_t read = (r.read[X0] ? BUR_KEEP_X0 : 0) | (r.read[X1] ? BUR_KEEP_X1 : 0) |
                             (r.read[X2] ? BUR_KEEP_X2 : 0) | (r.read[Y0] ? BUR_KEEP_Y0 : 0) |
                             (r.read[Y1] ? BUR_KEEP_Y1 : 0) | (r.read[Y2] ? BUR_KEEP_Y2 : 0);
        if (read != info->keeps)
            fail_msg("%s keeps %d, its gradient reads %d", info->name, info->keeps, read);
        checked++;
    }
    assert_true(checked >= 12);
}
