/* The dtypes of safetensors files. */
#include "safetensors.h"

#include <string.h>

static const struct {
    const char *name;
    int32_t rank;
} dtypes[BUR_DTYPE_COUNT] = {
    [BUR_I64] = {"I64", 0}, [BUR_F64] = {"F64", 1},   [BUR_F32] = {"F32", 2},
    [BUR_I32] = {"I32", 3}, [BUR_BF16] = {"BF16", 4}, [BUR_F16] = {"F16", 5},
    [BUR_U8] = {"U8", 6},   [BUR_BOOL] = {"BOOL", 7},
};

const char *bur__safetensors_dtype_name(bur_dtype dtype)
{
    return dtypes[dtype].name;
}

int32_t bur__safetensors_dtype_rank(bur_dtype dtype)
{
    return dtypes[dtype].rank;
}

bur_dtype bur__safetensors_dtype_find(const char *name)
{
    int dtype = 0;
    while (dtype < BUR_DTYPE_COUNT && strcmp(dtypes[dtype].name, name) != 0)
        dtype++;
    return (bur_dtype)dtype;
}
