/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML text, read once, as a bounded tree in which every key and value knows its line. keys.h
 * makes a struct of the tree. Any process; no state.
 *
 * Refused, so that no text is larger in memory than on disk and each has one meaning: anchors and
 * aliases, tags, duplicate keys, several documents, NUL, more than 16 levels.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "config/errors.h"

#define YAML_DEPTH_MAX 16
#define YAML_CHILDREN_MAX 1024 /* children of one mapping or list */
#define YAML_KEY_MAX 128
#define YAML_VALUE_MAX 65536
#define YAML_PATH_MAX 256 /* "cordons[1].limits.default.cpu_ms" */

enum yaml_kind {
    YAML_KIND_SCALAR,
    YAML_KIND_MAPPING,
    YAML_KIND_LIST,
};

struct yaml_node {
    enum yaml_kind kind;
    bool is_plain;     /* a scalar without quotes */
    unsigned line;     /* line of the value */
    unsigned key_line; /* line of the key; in lists that of the value */
    unsigned index;    /* among the children of parent */
    unsigned n_children;
    char *key;                /* owned; "" in lists and for the root */
    char *value;              /* owned; NUL-ended; NULL if not a scalar */
    struct yaml_node *parent; /* borrowed, like all below: from the document */
    struct yaml_node *first_child, *last_child, *next;
    struct yaml_node *next_in_document;
};

struct yaml_document {
    char *file; /* for messages */
    char *text;
    size_t size;
    const struct yaml_node *root; /* borrowed: from all; set once parsed */
    struct yaml_node *all;        /* linked by next_in_document */
};

/* Parses a text. file: name for messages, copied. 0, -EINVAL with errors filled, or -ENOMEM. An
 * empty text is an error. */
int yaml_document_parse(const char *file, const char *text, size_t size,
                        struct yaml_document **ret_document, struct config_errors *errors);
struct yaml_document *yaml_document_free(struct yaml_document *document);

/* Finds the node at a path, "limits.cpu_ms" or "cordons[0].name"; NULL if it is not there. */
const struct yaml_node *yaml_find(const struct yaml_document *document, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Finds a node from another node on: "limits.cpu_ms" of a cordon. */
const struct yaml_node *yaml_find_below(const struct yaml_node *node, const char *path);
/* Returns the line of the value at a path; 1 if it is not there. */
unsigned yaml_line(const struct yaml_document *document, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Writes the path of a node, cut at size. Returns buffer. */
const char *yaml_path(const struct yaml_node *node, char *buffer, size_t size);
/* Returns whether the node has no value: a key alone, or ~ or null without quotes. */
bool yaml_is_null(const struct yaml_node *node);
/* Adds "FILE:LINE: PATH: text" to errors, with the line of the value. */
void yaml_error(const struct yaml_document *document, const struct yaml_node *node,
                struct config_errors *errors, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
