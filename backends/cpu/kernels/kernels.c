/* The portable kernels of one instruction set, BUR_CPU_ISA: this file is compiled once for each,
 * with the compiler's flags for it. Every function is static, so the only symbols are two tables.
 */
#include "../cpu.h"

#include "arith.h"
#include "attention.h"
#include "avgpool.h"
#include "batchnorm.h"
#include "bmm.h"
#include "conv.h"
#include "dropout.h"
#include "gate.h"
#include "limits.h"
#include "loss.h"
#include "map.h"
#include "matmul.h"
#include "move.h"
#include "norm.h"
#include "optimizer.h"
#include "pool.h"
#include "recurrent.h"
#include "reduce.h"
#include "resize.h"
#include "rows.h"

#define TABLE_OF(isa)  bur__cpu_entries_##isa
#define TABLE(isa)     TABLE_OF(isa)
#define LIMITS_OF(isa) bur__cpu_limits_##isa
#define LIMITS(isa)    LIMITS_OF(isa)

extern const bur_cpu_entry TABLE(BUR_CPU_ISA)[BUR_OP_COUNT];

const bur_cpu_entry TABLE(BUR_CPU_ISA)[BUR_OP_COUNT] = {
#define BUR_KERNEL(op_, types_, scratch_, build_, run_)                                            \
    [BUR_OP_##op_] = {.types = types_, .scratch = scratch_, .build = build_, .run = run_},
#include "../kernels.def"
#undef BUR_KERNEL
};

extern const bur_cpu_limits LIMITS(BUR_CPU_ISA);

const bur_cpu_limits LIMITS(BUR_CPU_ISA) = {multiply_adds, MR *NV *LANES, scale_and_add};
