/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded tree with lines, built from libyaml's events. The text may be a tenant's: every
 * bound holds while the tree grows, and its depth bounds every recursion over it. Any process.
 */
#include "config/yaml_document.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "common/cleanup.h"

static const char byte_order_mark[] = "\xef\xbb\xbf";

struct builder {
    struct yaml_document *document; /* borrowed: from yaml_document_parse */
    struct config_errors *errors;   /* borrowed: the same */
    struct yaml_node *open;         /* borrowed: the innermost container; NULL outside */
    unsigned depth;
    char *key; /* key of the next value in a mapping; NULL before a key */
    unsigned key_line;
    bool has_duplicates;
};

static void parser_cleanup(yaml_parser_t *parser)
{
    yaml_parser_delete(parser);
}

static void event_cleanup(yaml_event_t *event)
{
    yaml_event_delete(event);
}

static void builder_cleanup(struct builder *builder)
{
    free(builder->key);
}

DEFINE_CLEANUP(struct yaml_document *, yaml_document_free, yaml_document_cleanup)

static unsigned line_of(const yaml_mark_t *mark)
{
    return (unsigned) mark->line + 1;
}

static int refuse(const struct builder *builder, unsigned line, const char *what)
{
    config_errors_add(builder->errors, builder->document->file, line, "%s", what);
    return -EINVAL;
}

/* Makes a node, which from here on is in the document's list and thereby owned. */
static struct yaml_node *node_new(struct yaml_document *document, enum yaml_kind kind,
                                  unsigned line)
{
    struct yaml_node *node = calloc(1, sizeof *node);

    if (!node)
        return NULL;
    node->kind = kind;
    node->line = node->key_line = line;
    node->next_in_document = document->all;
    document->all = node;
    return node;
}

static int attach(struct builder *builder, struct yaml_node *node)
{
    struct yaml_node *parent = builder->open;

    if (builder->key) {
        node->key = TAKE_PTR(builder->key);
        node->key_line = builder->key_line;
    } else if (!(node->key = strdup(""))) {
        return -ENOMEM;
    }
    if (!parent) {
        builder->document->root = node;
        return 0;
    }
    if (parent->n_children >= YAML_CHILDREN_MAX)
        return refuse(builder, node->line,
                      "too many entries: expected at most 1024 in one "
                      "mapping or list");
    node->parent = parent;
    node->index = parent->n_children++;
    if (parent->last_child)
        parent->last_child->next = node;
    else
        parent->first_child = node;
    parent->last_child = node;
    return 0;
}

static int take_key(struct builder *builder, const yaml_event_t *event)
{
    const char *key = (const char *) event->data.scalar.value;
    unsigned line = line_of(&event->start_mark);

    if (event->data.scalar.length > YAML_KEY_MAX)
        return refuse(builder, line, "key is too long: expected at most 128 bytes");
    for (const struct yaml_node *n = builder->open->first_child; n; n = n->next)
        if (strcmp(n->key, key) == 0) {
            config_errors_add(builder->errors, builder->document->file, line,
                              "duplicate key \"%s\": it is in line %u already", key, n->key_line);
            builder->has_duplicates = true;
            break;
        }
    builder->key = strdup(key);
    builder->key_line = line;
    return builder->key ? 0 : -ENOMEM;
}

static int on_scalar(struct builder *builder, const yaml_event_t *event)
{
    const char *value = (const char *) event->data.scalar.value;
    size_t size = event->data.scalar.length;
    unsigned line = line_of(&event->start_mark);

    if (event->data.scalar.tag)
        return refuse(builder, line, "tags (\"!…\") are not supported: expected plain YAML");
    if (memchr(value, '\0', size))
        return refuse(builder, line, "NUL character: expected text without it");
    if (size > YAML_VALUE_MAX)
        return refuse(builder, line, "value is too long: expected at most 64 KiB");
    if (builder->open && builder->open->kind == YAML_KIND_MAPPING && !builder->key)
        return take_key(builder, event);

    struct yaml_node *node = node_new(builder->document, YAML_KIND_SCALAR, line);
    if (!node || !(node->value = strdup(value)))
        return -ENOMEM;
    node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return attach(builder, node);
}

static int on_start(struct builder *builder, enum yaml_kind kind, const yaml_char_t *tag,
                    const yaml_mark_t *mark)
{
    if (tag)
        return refuse(builder, line_of(mark),
                      "tags (\"!…\") are not supported: expected plain YAML");
    if (builder->open && builder->open->kind == YAML_KIND_MAPPING && !builder->key)
        return refuse(builder, line_of(mark), "key is a mapping or a list: expected text");
    if (++builder->depth > YAML_DEPTH_MAX)
        return refuse(builder, line_of(mark), "nested too deeply: expected at most 16 levels");

    struct yaml_node *node = node_new(builder->document, kind, line_of(mark));
    if (!node)
        return -ENOMEM;
    int r = attach(builder, node);
    if (r < 0)
        return r;
    builder->open = node;
    return 0;
}

static int on_end(struct builder *builder)
{
    builder->open = builder->open->parent;
    builder->depth--;
    return 0;
}

static const char anchors_refused[] = "anchors (\"&…\") are not supported: expected plain YAML";

static int on_event(struct builder *builder, const yaml_event_t *event)
{
    unsigned line = line_of(&event->start_mark);

    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->document->root)
            return refuse(builder, line, "second document (\"---\"): expected only one");
        return 0;
    case YAML_ALIAS_EVENT:
        return refuse(builder, line,
                      "aliases (\"*…\") are not supported: expected the value "
                      "itself, or text with \"*\" in quotes");
    case YAML_SCALAR_EVENT:
        if (event->data.scalar.anchor)
            return refuse(builder, line, anchors_refused);
        return on_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        if (event->data.sequence_start.anchor)
            return refuse(builder, line, anchors_refused);
        return on_start(builder, YAML_KIND_LIST, event->data.sequence_start.tag,
                        &event->start_mark);
    case YAML_MAPPING_START_EVENT:
        if (event->data.mapping_start.anchor)
            return refuse(builder, line, anchors_refused);
        return on_start(builder, YAML_KIND_MAPPING, event->data.mapping_start.tag,
                        &event->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(builder);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    }
    return -EINVAL;
}

static unsigned count_lines(const char *text, size_t size)
{
    unsigned lines = 1;

    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    return lines;
}

/* Returns the text at a mark, which counts characters; "" if there is none. */
static const char *text_at(const struct yaml_document *document, const yaml_mark_t *mark)
{
    const char *at = document->text;

    for (size_t line = 0; line < mark->line && at; line++)
        at = (at = strchr(at, '\n')) ? at + 1 : NULL;
    if (!at)
        return "";
    if (mark->line == 0 && strncmp(at, byte_order_mark, strlen(byte_order_mark)) == 0)
        at += strlen(byte_order_mark);
    for (size_t column = 0; column < mark->column && *at && *at != '\n'; column++)
        for (at++; (*at & 0xc0) == 0x80;)
            at++;
    return at;
}

/* Adds an error with libyaml's own words for the syntax error. */
static int refuse_syntax(const struct builder *builder, const yaml_parser_t *parser)
{
    const struct yaml_document *document = builder->document;
    const char *problem = parser->problem ? parser->problem : "cannot be read";

    if (parser->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    if (parser->error == YAML_READER_ERROR) { /* has an offset, no mark */
        size_t offset =
            parser->problem_offset < document->size ? parser->problem_offset : document->size;
        config_errors_add(builder->errors, document->file, count_lines(document->text, offset),
                          "not YAML: %s: expected UTF-8 text", problem);
        return -EINVAL;
    }
    const char *start = parser->context ? text_at(document, &parser->context_mark) : "";
    if (*start == '*') { /* libyaml scans an alias, where people mean a text like *.example.com */
        int size = (int) strcspn(start, " \t\r\n,]}#");
        config_errors_add(builder->errors, document->file, line_of(&parser->context_mark),
                          "not YAML: a text may not begin with * without quotes: write \"%.*s\" in "
                          "quotes",
                          size < 100 ? size : 100, start);
        return -EINVAL;
    }
    if (strstr(problem, "cannot start any token"))
        problem = "found a character that nothing can start with, such as a tab, @ or `; expected "
                  "spaces for indentation, and quotes around such text";
    if (parser->context)
        config_errors_add(builder->errors, document->file, line_of(&parser->problem_mark),
                          "not YAML: %s, %s that starts in line %u", problem, parser->context,
                          line_of(&parser->context_mark));
    else
        config_errors_add(builder->errors, document->file, line_of(&parser->problem_mark),
                          "not YAML: %s", problem);
    return -EINVAL;
}

static int build(struct builder *builder, yaml_parser_t *parser)
{
    const struct yaml_document *document = builder->document;
    size_t skipped = document->size >= 3 && memcmp(document->text, byte_order_mark, 3) == 0 ? 3 : 0;

    /* A byte order mark could otherwise make libyaml read the text as UTF-16; that of UTF-8 is left out, because libyaml
     * would count it as a column. */
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *) document->text + skipped,
                                 document->size - skipped);
    for (bool done = false; !done;) {
        _cleanup_(event_cleanup) yaml_event_t event = { 0 };
        if (!yaml_parser_parse(parser, &event))
            return refuse_syntax(builder, parser);
        int r = on_event(builder, &event);
        if (r < 0)
            return r;
        done = event.type == YAML_STREAM_END_EVENT || event.type == YAML_NO_EVENT;
    }
    if (!builder->document->root)
        return refuse(builder, 1, "nothing in it: expected a mapping (key: value)");
    return builder->has_duplicates ? -EINVAL : 0;
}

int yaml_document_parse(const char *file, const char *text, size_t size,
                        struct yaml_document **ret_document, struct config_errors *errors)
{
    _cleanup_(yaml_document_cleanup) struct yaml_document *document = calloc(1, sizeof *document);

    if (!document || !(document->file = strdup(file)) || !(document->text = malloc(size + 1)))
        return -ENOMEM;
    if (size > 0)
        memcpy(document->text, text, size);
    document->text[size] = '\0';
    document->size = size;

    _cleanup_(parser_cleanup) yaml_parser_t parser = { 0 };
    _cleanup_(builder_cleanup) struct builder builder = { .document = document, .errors = errors };
    if (!yaml_parser_initialize(&parser))
        return -ENOMEM;
    int r = build(&builder, &parser);
    if (r < 0)
        return r;
    *ret_document = TAKE_PTR(document);
    return 0;
}

struct yaml_document *yaml_document_free(struct yaml_document *document)
{
    if (!document)
        return NULL;
    for (struct yaml_node *node = document->all, *next; node; node = next) {
        next = node->next_in_document;
        free(node->key);
        free(node->value);
        free(node);
    }
    free(document->file);
    free(document->text);
    free(document);
    return NULL;
}

/* Moves *path behind one step, "name", ".name" or "[3]", and returns the child it names. */
static const struct yaml_node *find_step(const struct yaml_node *node, const char **path)
{
    const struct yaml_node *child = node->first_child;

    if (**path == '[') {
        char *end = NULL;
        unsigned long index = strtoul(*path + 1, &end, 10);
        *path = *end == ']' ? end + 1 : end;
        while (child && child->index != index)
            child = child->next;
        return child;
    }
    *path += **path == '.';
    size_t size = strcspn(*path, ".[");
    while (child && (strncmp(child->key, *path, size) != 0 || child->key[size] != '\0'))
        child = child->next;
    *path += size;
    return child;
}

__attribute__((format(printf, 2, 0))) static const struct yaml_node *
find_path(const struct yaml_document *document, const char *format, va_list args)
{
    char path[YAML_PATH_MAX];

    int n = vsnprintf(path, sizeof path, format, args);
    return n < 0 || (size_t) n >= sizeof path ? NULL : yaml_find_below(document->root, path);
}

const struct yaml_node *yaml_find_below(const struct yaml_node *node, const char *path)
{
    while (*path && node)
        node = find_step(node, &path);
    return node;
}

const struct yaml_node *yaml_find(const struct yaml_document *document, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const struct yaml_node *node = find_path(document, format, args);
    va_end(args);
    return node;
}

unsigned yaml_line(const struct yaml_document *document, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const struct yaml_node *node = find_path(document, format, args);
    va_end(args);
    return node ? node->line : 1;
}

const char *yaml_path(const struct yaml_node *node, char *buffer, size_t size)
{
    char parent[YAML_PATH_MAX];

    buffer[0] = '\0';
    if (!node->parent)
        return buffer;
    (void) yaml_path(node->parent, parent, sizeof parent);
    if (node->parent->kind == YAML_KIND_LIST)
        (void) snprintf(buffer, size, "%s[%u]", parent, node->index);
    else
        (void) snprintf(buffer, size, "%s%s%s", parent, parent[0] ? "." : "", node->key);
    return buffer;
}

void yaml_error(const struct yaml_document *document, const struct yaml_node *node,
                struct config_errors *errors, const char *format, ...)
{
    char path[YAML_PATH_MAX];
    char text[1024];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void) yaml_path(node, path, sizeof path);
    config_errors_add(errors, document->file, node->line, "%s%s%s", path, path[0] ? ": " : "",
                      text);
}

bool yaml_is_null(const struct yaml_node *node)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };

    for (size_t i = 0; node->kind == YAML_KIND_SCALAR && node->is_plain && i < ARRAY_LEN(nulls);
         i++)
        if (strcmp(node->value, nulls[i]) == 0)
            return true;
    return false;
}
