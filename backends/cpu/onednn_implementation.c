/* What is known of oneDNN's implementations by the names that it gives them. */
#include "onednn.h"

#include <string.h>

/* The first that the name begins with holds. Bytes: code, primitive and descriptor, in the mean of
 * kernels of the built-in models (oneDNN 2.6.3, some 1500 of them, AVX-512 and AVX2), rounded up.
 * Convolutions by blocks have a product for each height of a block that occurs: one for each column
 * of the result at most, and the more, the more channels there are to sum. */
static const struct {
    const char *name;
    uint16_t code_kib, column_bytes, channel_bytes;
    bool by_products;
} implementations[] = {
    {"brgconv_1x1:", 58, 0, 0, false},
    {"brgconv:", 48, 1024, 128, false},
    {"brgdmm_dw:", 38, 0, 0, false},
    {"brg", 58, 0, 0, false},
    {"jit_dw:", 38, 0, 0, false},
    {"jit_1x1:avx2", 46, 0, 0, false},
    {"jit_1x1:", 62, 0, 0, false},
    {"jit:", 42, 0, 0, false},
    {"gemm:", 16, 0, 0, true},
    {"x64:gemm:", 16, 0, 0, true},
    {"", 105, 0, 0, false},
};

void bur__onednn_estimate(bur_onednn_needs *out, const char *name,
                          const bur_onednn_problem *problem)
{
    size_t i = 0;
    while (strncmp(name, implementations[i].name, strlen(implementations[i].name)) != 0)
        i++;
    const int64_t columns = problem->y.dim[problem->y.rank - 1], channels = problem->x.dim[1];
    out->by_products = implementations[i].by_products;
    out->code_bytes = ((size_t)implementations[i].code_kib << 10) +
                      (size_t)columns * implementations[i].column_bytes +
                      (size_t)channels * implementations[i].channel_bytes;
}
