/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a YAML tree against a libcyaml schema and lets libcyaml fill the struct. The checks are
 * stricter than libcyaml's, so what passes here loads there. Any process; no state.
 */
#include "config/yaml_reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

#define WORDS_MAX 512

struct check {
    const struct yaml_document *document; /* borrowed */
    const struct yaml_refusal *refused;   /* borrowed; may be NULL */
    struct config_errors *errors;         /* borrowed */
};

typedef void (*check_fn)(const struct check *check, const struct yaml_node *node,
                         const cyaml_schema_value_t *schema);

static void check_value(const struct check *check, const struct yaml_node *node,
                        const cyaml_schema_value_t *schema);

static void join(char *words, size_t size, const char *word)
{
    size_t have = strlen(words);

    (void) snprintf(words + have, size - have, "%s%s", have > 0 ? ", " : "", word);
}

static void check_string(const struct check *check, const struct yaml_node *node,
                         const cyaml_schema_value_t *schema)
{
    size_t size = strlen(node->value);

    if (size < schema->string.min || yaml_is_null(node))
        yaml_error(check->document, node, check->errors, "no value: expected text");
    else if (size > schema->string.max)
        yaml_error(check->document, node, check->errors,
                   "%zu bytes are too long: expected at most %u", size, schema->string.max);
}

static void check_number(const struct check *check, const struct yaml_node *node,
                         const cyaml_schema_value_t *schema)
{
    uint64_t most = UINT64_MAX >> (8 * (sizeof(uint64_t) - schema->data_size));
    const char *text = node->value;
    size_t digits = strspn(text, "0123456789");
    char *end = NULL;

    errno = 0;
    if (digits == 0 || text[digits] != '\0' || (text[0] == '0' && digits > 1) ||
        strtoull(text, &end, 10) > most || errno == ERANGE)
        yaml_error(check->document, node, check->errors,
                   "\"%.64s\" is not a number here: expected a whole one, 0 to %llu", text,
                   (unsigned long long) most);
}

static void check_bool(const struct check *check, const struct yaml_node *node,
                       const cyaml_schema_value_t *schema)
{
    static const char *const words[] = { "on", "off", "true", "false", "yes", "no" };

    (void) schema;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasecmp(node->value, words[i]) == 0)
            return;
    yaml_error(check->document, node, check->errors,
               "\"%.64s\" is not a switch: expected on or off", node->value);
}

static void check_enum(const struct check *check, const struct yaml_node *node,
                       const cyaml_schema_value_t *schema)
{
    char words[WORDS_MAX] = "";

    for (uint32_t i = 0; i < schema->enumeration.count; i++) {
        if (strcmp(node->value, schema->enumeration.strings[i].str) == 0)
            return;
        join(words, sizeof words, schema->enumeration.strings[i].str);
    }
    yaml_error(check->document, node, check->errors, "\"%.64s\" is unknown: expected one of %s",
               node->value, words);
}

static void refuse_key(const struct check *check, const struct yaml_node *node,
                       const cyaml_schema_field_t *fields)
{
    char words[WORDS_MAX] = "";
    char parent[YAML_PATH_MAX];
    char path[YAML_PATH_MAX];

    (void) yaml_path(node, path, sizeof path);
    for (const struct yaml_refusal *row = check->refused; row && row->path; row++)
        if (strcmp(row->path, path) == 0) {
            config_errors_add(check->errors, check->document->file, node->key_line, "%s: %s", path,
                              row->text);
            return;
        }
    for (const cyaml_schema_field_t *field = fields; field->key; field++)
        join(words, sizeof words, field->key);
    (void) yaml_path(node->parent, parent, sizeof parent);
    config_errors_add(check->errors, check->document->file, node->key_line,
                      "unknown key \"%s\"%s%s: expected one of %s", node->key,
                      parent[0] ? " in " : "", parent, words);
}

static const struct yaml_node *find_child(const struct yaml_node *node, const char *key)
{
    for (const struct yaml_node *child = node->first_child; child; child = child->next)
        if (strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

static void check_mapping(const struct check *check, const struct yaml_node *node,
                          const cyaml_schema_value_t *schema)
{
    const cyaml_schema_field_t *fields = schema->mapping.fields;

    for (const struct yaml_node *child = node->first_child; child; child = child->next) {
        const cyaml_schema_field_t *field = fields;
        while (field->key && strcmp(field->key, child->key) != 0)
            field++;
        if (field->key)
            check_value(check, child, &field->value);
        else
            refuse_key(check, child, fields);
    }
    for (const cyaml_schema_field_t *field = fields; field->key; field++)
        if (!(field->value.flags & CYAML_FLAG_OPTIONAL) && !find_child(node, field->key))
            yaml_error(check->document, node, check->errors,
                       "missing key \"%s\": expected it in this mapping", field->key);
}

static void check_list(const struct check *check, const struct yaml_node *node,
                       const cyaml_schema_value_t *schema)
{
    if (node->n_children < schema->sequence.min)
        yaml_error(check->document, node, check->errors, "empty list: expected at least %u",
                   schema->sequence.min);
    if (node->n_children > schema->sequence.max)
        yaml_error(check->document, node, check->errors,
                   "%u entries are too many: expected at most %u", node->n_children,
                   schema->sequence.max);
    for (const struct yaml_node *child = node->first_child; child; child = child->next)
        check_value(check, child, schema->sequence.entry);
}

static const struct {
    check_fn check;
    enum yaml_kind kind;
} checks[CYAML__TYPE_COUNT] = {
    [CYAML_STRING] = { check_string, YAML_KIND_SCALAR },
    [CYAML_UINT] = { check_number, YAML_KIND_SCALAR },
    [CYAML_BOOL] = { check_bool, YAML_KIND_SCALAR },
    [CYAML_ENUM] = { check_enum, YAML_KIND_SCALAR },
    [CYAML_MAPPING] = { check_mapping, YAML_KIND_MAPPING },
    [CYAML_SEQUENCE] = { check_list, YAML_KIND_LIST },
};

static void check_value(const struct check *check, const struct yaml_node *node,
                        const cyaml_schema_value_t *schema)
{
    static const char *const found[] = {
        [YAML_KIND_SCALAR] = "a single value",
        [YAML_KIND_MAPPING] = "a mapping",
        [YAML_KIND_LIST] = "a list",
    };
    static const char *const expected[] = {
        [YAML_KIND_SCALAR] = "a single value",
        [YAML_KIND_MAPPING] = "a mapping (key: value)",
        [YAML_KIND_LIST] = "a list ([a, b])",
    };

    if (schema->type == CYAML_IGNORE || !checks[schema->type].check)
        return; /* a type without a check fails in libcyaml at the latest */
    enum yaml_kind kind = checks[schema->type].kind;
    if (node->kind == kind)
        checks[schema->type].check(check, node, schema);
    else if (node->kind == YAML_KIND_SCALAR && yaml_is_null(node))
        yaml_error(check->document, node, check->errors, "no value: expected %s, or no such key",
                   expected[kind]);
    else
        yaml_error(check->document, node, check->errors, "%s: expected %s", found[node->kind],
                   expected[kind]);
}

/* What libcyaml says when it refuses what passed our checks: the first message, and the line of
 * the innermost place of its backtrace. */
struct cyaml_complaint {
    char text[256];
    unsigned line;
};

__attribute__((format(printf, 3, 0))) static void on_cyaml_log(cyaml_log_t level, void *context,
                                                               const char *format, va_list args)
{
    struct cyaml_complaint *complaint = context;
    char text[256];

    if (level < CYAML_LOG_ERROR)
        return;
    (void) vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    const char *line = strstr(text, "(line: ");
    if (line && complaint->line == 0)
        complaint->line = (unsigned) strtoul(line + strlen("(line: "), NULL, 10);
    else if (complaint->text[0] == '\0')
        (void) snprintf(complaint->text, sizeof complaint->text, "%s", text);
}

int yaml_document_load(const struct yaml_document *document, const cyaml_schema_value_t *schema,
                       const struct yaml_refusal *refused, void **ret_data,
                       struct config_errors *errors)
{
    const struct check check = { .document = document, .refused = refused, .errors = errors };
    struct cyaml_complaint complaint = { .text = "" };
    const cyaml_config_t config = {
        .log_fn = on_cyaml_log,
        .log_ctx = &complaint,
        .log_level = CYAML_LOG_ERROR,
        .mem_fn = cyaml_mem,
        .flags = CYAML_CFG_NO_ALIAS,
    };
    unsigned before = errors->count;
    void *data = NULL;

    check_value(&check, document->root, schema);
    if (errors->count > before)
        return -EINVAL;
    cyaml_err_t error = cyaml_load_data((const uint8_t *) document->text, document->size, &config,
                                        schema, &data, NULL);
    if (error == CYAML_ERR_OOM)
        return -ENOMEM;
    if (error == CYAML_OK && data) {
        *ret_data = data;
        return 0;
    }
    config_errors_add(errors, document->file, complaint.line > 0 ? complaint.line : 1,
                      "libcyaml: %s", complaint.text[0] ? complaint.text : cyaml_strerror(error));
    return -EINVAL;
}

void yaml_data_free(const cyaml_schema_value_t *schema, void *data)
{
    const cyaml_config_t config = { .log_level = CYAML_LOG_ERROR, .mem_fn = cyaml_mem };

    if (data)
        (void) cyaml_free(&config, schema, data, 0);
}
