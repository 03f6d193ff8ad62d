/* YAML documents, read by libyaml and held against limits: a file is hostile. */
#define _POSIX_C_SOURCE 200809L
#include <burthen/format.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

enum { MAX_BYTES = 1 << 20, MAX_DEPTH = 16 };

struct bur_yaml {
    bur_context *context;
    yaml_document_t document;
    bool *seen; /* [nodes] reached already: an alias would reach one twice */
    int32_t nodes;
};

static const yaml_node_t *node_of(const bur_yaml *yaml, bur_yaml_node node)
{
    return node < 1 || node > yaml->nodes ? NULL : &yaml->document.nodes.start[node - 1];
}

/* ---- checks ---- */

static bur_status check_node(bur_yaml *yaml, bur_yaml_node index, int32_t depth);

static bur_status check_map(bur_yaml *yaml, bur_yaml_node index, int32_t depth)
{
    const int32_t count = bur_yaml_count(yaml, index);
    for (int32_t i = 0; i < count; i++) {
        const bur_yaml_node key = bur_yaml_key(yaml, index, i);
        const char *text = bur_yaml_text(yaml, key);
        if (text == NULL)
            return bur_fail(BUR_E_FORMAT, "line %" PRId32 ": a key must be a word",
                            bur_yaml_line(yaml, key));
        for (int32_t k = 0; k < i; k++)
            if (strcmp(bur_yaml_text(yaml, bur_yaml_key(yaml, index, k)), text) == 0)
                return bur_fail(BUR_E_FORMAT, "line %" PRId32 ": '%s' stands twice",
                                bur_yaml_line(yaml, key), text);
        BUR_TRY(check_node(yaml, key, depth + 1));
        BUR_TRY(check_node(yaml, bur_yaml_at(yaml, index, i), depth + 1));
    }
    return BUR_OK;
}

static bur_status check_node(bur_yaml *yaml, bur_yaml_node index, int32_t depth)
{
    const yaml_node_t *node = node_of(yaml, index);
    const int32_t line = bur_yaml_line(yaml, index);
    if (depth > MAX_DEPTH)
        return bur_fail(BUR_E_FORMAT, "line %" PRId32 ": more than %d levels", line, MAX_DEPTH);
    if (yaml->seen[index - 1])
        return bur_fail(BUR_E_FORMAT, "line %" PRId32 ": aliases (*name) are not taken", line);
    yaml->seen[index - 1] = true;
    if (node->type == YAML_MAPPING_NODE)
        return check_map(yaml, index, depth);
    if (node->type == YAML_SCALAR_NODE)
        return strlen((const char *)node->data.scalar.value) == node->data.scalar.length
                   ? BUR_OK
                   : bur_fail(BUR_E_FORMAT, "line %" PRId32 ": a zero byte in a text", line);
    for (int32_t i = 0; i < bur_yaml_count(yaml, index); i++)
        BUR_TRY(check_node(yaml, bur_yaml_at(yaml, index, i), depth + 1));
    return BUR_OK;
}

/* ---- reading ---- */

static bur_status read_text(char **out, size_t *bytes, bur_context *context, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return bur_fail(BUR_E_FILE, "%s: %s", path, strerror(errno));
    char *text = bur_alloc(context, MAX_BYTES + 1);
    const size_t length = text == NULL ? 0 : fread(text, 1, MAX_BYTES + 1, file);
    const bool failed = ferror(file) != 0;
    const int error = errno;
    fclose(file);
    if (text == NULL)
        return BUR_E_NOMEM;
    if (failed || length > MAX_BYTES) {
        bur_free(context, text);
        return failed ? bur_fail(BUR_E_FILE, "%s: %s", path, strerror(error))
                      : bur_fail(BUR_E_FORMAT, "%s has more than %d bytes", path, MAX_BYTES);
    }
    *out = text;
    *bytes = length;
    return BUR_OK;
}

/* Parses one document; *loaded tells whether there is one to be deleted. */
static bur_status parse(bur_yaml *yaml, const char *text, size_t bytes, bool *loaded)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return BUR_E_NOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    *loaded = yaml_parser_load(&parser, &yaml->document) != 0;
    const bur_status status =
        *loaded ? BUR_OK
                : bur_fail(BUR_E_FORMAT, "line %zu: %s", parser.problem_mark.line + 1,
                           parser.problem == NULL ? "not YAML" : parser.problem);
    yaml_parser_delete(&parser);
    return status;
}

static bur_status check(bur_yaml *yaml)
{
    yaml->nodes = (int32_t)(yaml->document.nodes.top - yaml->document.nodes.start);
    if (yaml->nodes == 0)
        return bur_fail(BUR_E_FORMAT, "the file is empty");
    yaml->seen = bur_alloc_array(yaml->context, (size_t)yaml->nodes, sizeof *yaml->seen);
    return yaml->seen == NULL ? BUR_E_NOMEM : check_node(yaml, 1, 0);
}

bur_status bur_yaml_open(bur_yaml **out, bur_context *context, const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    bool loaded = false;
    if (out == NULL || context == NULL || path == NULL)
        return bur_fail(BUR_E_ARG, "bur_yaml_open: NULL argument");
    BUR_TRY(read_text(&text, &bytes, context, path));
    bur_yaml *yaml = bur_alloc(context, sizeof *yaml);
    bur_status status = yaml == NULL ? BUR_E_NOMEM : BUR_OK;
    if (status == BUR_OK) {
        yaml->context = context;
        status = parse(yaml, text, bytes, &loaded);
    }
    bur_free(context, text);
    if (status == BUR_OK)
        status = check(yaml);
    if (status == BUR_OK) {
        *out = yaml;
        return BUR_OK;
    }
    if (loaded)
        bur_yaml_close(yaml);
    else
        bur_free(context, yaml);
    return bur_fail_in(status, "%s", path);
}

void bur_yaml_close(bur_yaml *yaml)
{
    if (yaml == NULL)
        return;
    yaml_document_delete(&yaml->document);
    bur_free(yaml->context, yaml->seen);
    bur_free(yaml->context, yaml);
}

/* ---- what is in it ---- */

bur_yaml_kind bur_yaml_kind_of(const bur_yaml *yaml, bur_yaml_node node)
{
    const yaml_node_t *n = node_of(yaml, node);
    if (n == NULL)
        return BUR_YAML_NONE;
    return n->type == YAML_MAPPING_NODE    ? BUR_YAML_MAP
           : n->type == YAML_SEQUENCE_NODE ? BUR_YAML_LIST
                                           : BUR_YAML_TEXT;
}

const char *bur_yaml_text(const bur_yaml *yaml, bur_yaml_node node)
{
    const yaml_node_t *n = node_of(yaml, node);
    return n != NULL && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

int32_t bur_yaml_line(const bur_yaml *yaml, bur_yaml_node node)
{
    const yaml_node_t *n = node_of(yaml, node);
    return n == NULL ? 0 : (int32_t)n->start_mark.line + 1;
}

int32_t bur_yaml_count(const bur_yaml *yaml, bur_yaml_node node)
{
    const yaml_node_t *n = node_of(yaml, node);
    if (n != NULL && n->type == YAML_MAPPING_NODE)
        return (int32_t)(n->data.mapping.pairs.top - n->data.mapping.pairs.start);
    if (n != NULL && n->type == YAML_SEQUENCE_NODE)
        return (int32_t)(n->data.sequence.items.top - n->data.sequence.items.start);
    return 0;
}

bur_yaml_node bur_yaml_at(const bur_yaml *yaml, bur_yaml_node node, int32_t index)
{
    const yaml_node_t *n = node_of(yaml, node);
    if (index < 0 || index >= bur_yaml_count(yaml, node))
        return 0;
    return n->type == YAML_MAPPING_NODE ? n->data.mapping.pairs.start[index].value
                                        : n->data.sequence.items.start[index];
}

bur_yaml_node bur_yaml_key(const bur_yaml *yaml, bur_yaml_node node, int32_t index)
{
    const yaml_node_t *n = node_of(yaml, node);
    if (n == NULL || n->type != YAML_MAPPING_NODE || index < 0 ||
        index >= bur_yaml_count(yaml, node))
        return 0;
    return n->data.mapping.pairs.start[index].key;
}

bur_yaml_node bur_yaml_find(const bur_yaml *yaml, bur_yaml_node node, const char *key)
{
    for (int32_t i = 0;
         bur_yaml_kind_of(yaml, node) == BUR_YAML_MAP && i < bur_yaml_count(yaml, node); i++)
        if (strcmp(bur_yaml_text(yaml, bur_yaml_key(yaml, node, i)), key) == 0)
            return bur_yaml_at(yaml, node, i);
    return 0;
}
