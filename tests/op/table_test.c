#include "op/rules.h"
#include "test.h"

static void test_op_table__a_row_says_it_has_a_gradient_just_when_it_has_a_rule(void **state)
{
    (void)state;
    for (int op = 0; op < BUR_OP_COUNT; op++) {
        const bur_op_info *info = bur_op_get((bur_op)op);
        const bool rule = bur__op_rules((bur_op)op)->gradient != NULL;
        if (info->has_gradient != rule)
            fail_msg("%s: has_gradient %d, rule %d", info->name, info->has_gradient, rule);
    }
}
