/* The reference backend: every row of ops.def as naive loops in double, the specification in code.
 * It computes in double whatever the tensors' type is: f64 tensors give the figures other backends
 * are compared with, f32 tensors are converted at the edges so that whole graphs run on it.
 * It is also the device that fails on request. */
#ifndef BUR_TESTS_REFERENCE_H
#define BUR_TESTS_REFERENCE_H

#include <burthen/backend.h>

/* A device "ref:0" with memory of its own: no map, so hosts must copy. */
const bur_backend *bur_test_reference_backend(void);

/* Runs one call whose shapes were inferred on host memory; inputs of updating rows are changed. */
void bur_test_reference_evaluate(const bur_call *call, void *const *inputs, void *const *outputs);

/* Faults, of every device of this backend in the process; reset takes them all back. */
void bur_test_reference_reset(void);
/* supports() refuses the operator of that name, NULL for none. Borrowed. */
void bur_test_reference_refuse(const char *op_name);
/* After so many further calls that touch the device (run, read, write, fill, sync, a new buffer) it
 * is lost: each one is BUR_E_LOST until reset. */
void bur_test_reference_lose_after(int64_t calls);
/* Memory of the device and its largest buffer, in bytes; 0: 1 GiB. Buffers beyond are BUR_E_NOMEM.
 */
void bur_test_reference_limit(uint64_t memory_bytes, uint64_t max_alloc_bytes);
/* Calls that touched a device since the last reset. */
int64_t bur_test_reference_calls(void);

#endif
