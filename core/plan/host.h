/* Host memory, from a tree of files that tests can build. */
#ifndef BUR_PLAN_HOST_H
#define BUR_PLAN_HOST_H

#include <burthen/plan.h>

/* bur_host_memory_read with `root` before every path ("" is this machine). BUR_E_FILE without
 * /proc/meminfo; what else is missing sets no limit, and 0 for the process. */
bur_status bur__host_memory_read_at(bur_host_memory *out, const char *root);

#endif
