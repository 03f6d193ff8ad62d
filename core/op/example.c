/* A row's examples, as text: "5x7, 7x3 transpose_a=1; 4x10, 4:i32, scalars". */
#include "rules.h"

#include <stdlib.h>
#include <string.h>

/* The start of example `index` and its length; NULL past the last. */
static const char *find_example(bur_op op, int32_t index, size_t *length)
{
    const char *text = bur_op_get(op)->examples;
    for (; index > 0 && text != NULL; index--) {
        text = strchr(text, ';');
        text = text == NULL ? NULL : text + 1;
    }
    if (text == NULL)
        return NULL;
    text += strspn(text, " ");
    *length = strcspn(text, ";");
    return text;
}

/* "4x10", "4:i32" or "scalars". */
static bur_status read_desc(bur_desc *out, const char *token)
{
    static const struct {
        const char *suffix;
        bur_dtype dtype;
    } suffixes[] = {{"", BUR_F32}, {":i32", BUR_I32}, {":u8", BUR_U8}};
    bur_shape shape = {.rank = 0};
    if (strcmp(token, "scalars") == 0) {
        BUR_TRY(bur_shape_make(&shape, 1, (int64_t[]){BUR_SCALAR_WORDS}));
        *out = bur_desc_make(BUR_I32, &shape);
        return BUR_OK;
    }
    char *end = NULL;
    for (const char *at = token; shape.rank < BUR_MAX_RANK; at = end + 1) {
        shape.dim[shape.rank] = strtoll(at, &end, 10);
        if (end == at || shape.dim[shape.rank++] < 1)
            return bur_fail(BUR_E_FORMAT, "'%s' is not a shape", token);
        if (*end != 'x')
            break;
    }
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcmp(end, suffixes[i].suffix) == 0) {
            *out = bur_desc_make(suffixes[i].dtype, &shape);
            return BUR_OK;
        }
    return bur_fail(BUR_E_FORMAT, "'%s' is not a shape", token);
}

bur_status bur_op_example(bur_op op, int32_t index, bur_attr *attr, bur_desc *inputs,
                          int32_t *n_inputs)
{
    enum { MAX_TEXT = 255 };
    char text[MAX_TEXT + 1], token[64];
    size_t length = 0;
    const char *start = find_example(op, index, &length);
    if (start == NULL || index < 0)
        return bur_fail(BUR_E_RANGE, "%s has no example %d", bur_op_get(op)->name, index);
    if (length > MAX_TEXT)
        return bur_fail(BUR_E_FORMAT, "an example of %s has %zu bytes, at most %d are possible",
                        bur_op_get(op)->name, length, (int)MAX_TEXT);
    memcpy(text, start, length);
    text[length] = '\0';
    bur_desc descs[BUR_EXAMPLE_INPUTS];
    int32_t n = 0;
    const char *at = text;
    while (*at != '\0') { /* the first word with '=' ends the shapes */
        const size_t word = strcspn(at, ", ");
        if (memchr(at, '=', word) != NULL)
            break;
        if (word >= sizeof token || n == BUR_EXAMPLE_INPUTS)
            return bur_fail(BUR_E_FORMAT, "an example of %s is too long", bur_op_get(op)->name);
        memcpy(token, at, word);
        token[word] = '\0';
        BUR_TRY(read_desc(&descs[n++], token));
        at += word;
        at += strspn(at, ", ");
    }
    BUR_TRY(bur_attr_parse(attr, op, at));
    memcpy(inputs, descs, (size_t)n * sizeof *inputs);
    *n_inputs = n;
    return BUR_OK;
}
