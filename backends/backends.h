/* The list of backends, for core/run: the only thing of backends/ that core knows. */
#ifndef BUR_BACKENDS_H
#define BUR_BACKENDS_H

#include <burthen/backend.h>

/* The built-in CPU backend; always there. */
const bur_backend *bur_backend_cpu(void);

/* The i-th loadable backend, opened on first use; NULL past the end (*name is NULL) or if it cannot be
 * loaded (*name is set and reason[BUR_TEXT_BYTES] says why). */
const bur_backend *bur_backend_load(int32_t index, const char **name, char *reason);

/* The name of the i-th loadable backend without loading it; NULL past the end. */
const char *bur_backend_name(int32_t index);

#endif
