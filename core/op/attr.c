/* Attributes as text: "pad=1,1,1,1 activation=1". */
#include "rules.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bur_status parse_word(int32_t *word, const bur_attr_field *field, const char **text)
{
    char *end = NULL;
    errno = 0;
    if (field->is_float) {
        const float value = strtof(*text, &end);
        if (end == *text || !isfinite(value))
            return bur_fail(BUR_E_FORMAT, "%s: '%.16s' is not a number", field->name, *text);
        memcpy(word, &value, sizeof value);
    } else {
        const long value = strtol(*text, &end, 10);
        if (end == *text || errno != 0 || value < INT32_MIN || value > INT32_MAX)
            return bur_fail(BUR_E_FORMAT, "%s: '%.16s' is not a 32-bit integer", field->name,
                            *text);
        *word = (int32_t)value;
    }
    *text = end;
    return BUR_OK;
}

static const bur_attr_field *find_field(const bur_attr_field *fields, const char *name,
                                        size_t length)
{
    for (; fields->name != NULL; fields++)
        if (strlen(fields->name) == length && strncmp(fields->name, name, length) == 0)
            return fields;
    return NULL;
}

bur_status bur_attr_parse(bur_attr *out, bur_op op, const char *text)
{
    bur_attr attr;
    memset(&attr, 0, sizeof attr);
    while (*text != '\0') {
        if (isspace((unsigned char)*text)) {
            text++;
            continue;
        }
        const size_t length = strcspn(text, "= ");
        const bur_attr_field *field = find_field(bur_op_get(op)->fields, text, length);
        if (field == NULL || text[length] != '=')
            return bur_fail(field == NULL ? BUR_E_NAME : BUR_E_FORMAT, "%s has no attribute '%.*s'",
                            bur_op_get(op)->name, (int)length, text);
        text += length + 1;
        int32_t n = 0;
        for (;;) {
            BUR_TRY(parse_word(&attr.word[field->offset + n++], field, &text));
            if (n == field->count || *text != ',')
                break;
            text++;
        }
        if (field > bur_op_get(op)->fields && strcmp(field[-1].name, "rank") == 0)
            attr.word[field[-1].offset] = n; /* as many as were given */
        if (*text != '\0' && !isspace((unsigned char)*text))
            return bur_fail(BUR_E_FORMAT, "%s: unexpected '%.16s'", field->name, text);
    }
    *out = attr;
    return BUR_OK;
}
