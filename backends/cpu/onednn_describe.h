/* oneDNN's own descriptors of a problem, the same for its C APIs 2.x and 3.x. */
#ifndef BUR_CPU_ONEDNN_DESCRIBE_H
#define BUR_CPU_ONEDNN_DESCRIBE_H

#include "onednn.h"

typedef struct bur_onednn_description {
    dnnl_primitive_desc_t main;
    size_t scratchpad_bytes;
    size_t weights_bytes; /* in the layout that `main` chose; 0: they stay plain */
} bur_onednn_description;

/* Whether a description of this kind takes that of its convolution as a hint. */
bool bur__onednn_is_gradient(int32_t kind);

/* `forward`: that hint, else NULL. oneDNN splits work and sizes scratch by omp_get_max_threads() at
 * this time. To be destroyed by the caller, which one of zeros may be, too. */
dnnl_status_t bur__onednn_description_create(bur_onednn_description *out, const bur_onednn *dnnl,
                                             const bur_onednn_problem *problem,
                                             const_dnnl_primitive_desc_t forward);
void bur__onednn_description_destroy(bur_onednn_description *description, const bur_onednn *dnnl);

/* Sets code->reorder and code->add as far as the description needs them. */
dnnl_status_t bur__onednn_create_reorders(bur_onednn_code *code, const bur_onednn *dnnl,
                                          const bur_onednn_description *description,
                                          const bur_onednn_problem *problem);

#endif
