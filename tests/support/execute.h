/* Runs one call on one device and watches every byte. */
#ifndef BUR_TESTS_SUPPORT_EXECUTE_H
#define BUR_TESTS_SUPPORT_EXECUTE_H

#include "device.h"

/* Places inputs, outputs and scratch in one buffer, apart by guards and at odd multiples of the
 * device's alignment, binds the call once and runs it twice, with outputs and scratch first filled
 * with 0xff, then with 0. Fails the test unless
 * - the call is supported,
 * - no byte outside outputs, scratch and updated inputs changes,
 * - both runs give the same bits: so every byte of the outputs is written, and nothing but inputs
 * is read. outputs[i] receive the result, inputs[i] that an updating row writes to are replaced.
 * in_place: output 0 lies in the memory of the row's alias. */
void test_execute(const test_device *device, const bur_call *call, void *const *inputs,
                  void *const *outputs, bool in_place);

#endif
