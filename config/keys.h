/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a YAML file as rows of a table. A row has all about its key: the kind of its value,
 * the value's place, preset and bounds, what applies it at a reload, and one line of help. The
 * reader, `skep check`, the differences of a reload, `skep schema` and the man pages are made from
 * the rows. For config/ and cli/. Any process; no state.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/yaml_document.h"

enum key_kind {
    KEY_NUMBER,  /* uint32_t: a whole number within bounds, or the row's word */
    KEY_SWITCH,  /* bool: on, off, true, false, yes, no */
    KEY_WORD,    /* an enum or a bool: one of the row's words */
    KEY_TEXT,    /* char *, owned; NULL where it is not given */
    KEY_TEXTS,   /* char **, owned, and more: unsigned, how many */
    KEY_IDS,     /* uint32_t *, owned, and more: unsigned, how many; of users or groups */
    KEY_LIMITS,  /* struct limits: a mapping of the names in limit_table */
    KEY_OBSERVE, /* limit_set, and more: two bools, for rss_mib and strikes */
    KEY_LAYERS,  /* layer_set */
    KEY_HOSTS,   /* struct host_rules */
    KEY_ENTRIES, /* a list of mappings, each with the keys of `entry`: `read` stores them */
    KEY_MAP,     /* names of the user's own, each with a text: `read` stores them */
    KEY_REFUSED, /* not a key: a message for a user who writes it */
    KEY_KINDS,
};

/* The effect of a reload on a key that has changed. */
enum key_reload {
    RELOAD_AT_ONCE,
    RELOAD_NEXT_COMMAND, /* the next command of the admin socket */
    RELOAD_OPEN_TOO,     /* connections that are open follow */
    RELOAD_WORKERS,
    RELOAD_TENANTS, /* some limits are known to workers */
    RELOAD_RESTART,
    RELOAD_VERSION, /* a key of a tenant */
    RELOADS,
};

struct key;

/* The input and output of a key's reader. */
struct key_reading {
    const struct yaml_document *document;
    const char *folder; /* folder of the file, absolute; relative paths count from there */
    void *root;         /* struct config or struct manifest */
    struct config_errors *errors;
};

/* Reads a value of the right shape into the struct at base. node: NULL if the key is not given and
 * has no preset. A wrong value is added to errors; 0 or -ENOMEM. */
typedef int (*key_read_fn)(const struct key_reading *reading, const struct key *key,
                           const struct yaml_node *node, void *base);
typedef void (*key_print_fn)(const struct key *key, const void *base, FILE *file);

struct key_word { /* ends with a row without word; of words with one value, the first is shown */
    const char *word;
    int value;
};

struct key_table {
    const struct key *rows;
    size_t n;
};

struct key {
    const char *name; /* with the mappings in which it stands: "http.header_bytes" */
    enum key_kind kind;
    enum key_reload reload;
    bool is_required; /* must be given, if the mapping that it stands in is given */
    /* one row with this, and no more, is given in the mapping that they stand in */
    bool is_choice;
    size_t offset, size;           /* in the struct */
    size_t more_offset, more_size; /* place of a second member; 0: none */
    const char *preset;            /* value of a key that is not given, as in YAML; NULL: none */
    /* bounds of a number, of the entries of a list or map, or of the bytes of a text (0: any) */
    uint32_t least, most;
    const char *unit;              /* unit of a number; NULL: none */
    const char *word;              /* in place of a number; stored as LIMIT_UNLIMITED; NULL: none */
    const struct key_word *words;  /* words of KEY_WORD */
    const struct key_table *entry; /* keys of an entry of KEY_ENTRIES */
    /* the reason why KEY_LIMITS has no `unlimited`; NULL: it may have it */
    const char *(*refuse_unlimited)(const void *base);
    key_read_fn read;   /* NULL: the reader of the kind */
    key_print_fn print; /* NULL: the printer of the kind */
    const char *help;   /* one line, without a dot */
};

/* Members of a row. */
#define KEY_AT(type, field) .offset = offsetof(type, field), .size = sizeof(((type *) 0)->field)
#define KEY_MORE(type, field) \
    .more_offset = offsetof(type, field), .more_size = sizeof(((type *) 0)->field)

static inline void *key_at(const struct key *key, void *base)
{
    return (char *) base + key->offset;
}

static inline void *key_more(const struct key *key, void *base)
{
    return (char *) base + key->more_offset;
}

/* Compares the document with the rows: unknown keys (with the nearest right one), keys that are missing, and
 * values of another shape, such as a list for a number. 0, or -EINVAL with errors filled. */
int keys_check(const struct yaml_document *document, const struct key_table *table,
               struct config_errors *errors);
/* Reads the values of a mapping that keys_check has passed into the struct at base, which is all
 * zero; node: NULL for presets alone. Wrong values are added to errors; 0 or -ENOMEM. */
int keys_read(const struct key_reading *reading, const struct key_table *table,
              const struct yaml_node *node, void *base);
/* Reads a value as the row's kind says; for rows with a reader that adds to that. */
int key_read_kind(const struct key_reading *reading, const struct key *key,
                  const struct yaml_node *node, void *base);
/* Prints the value as people write it; "not set" for nothing. */
void key_print(const struct key *key, const void *base, FILE *file);
/* Frees the memory that the rows own in the struct at base. */
void keys_done(const struct key_table *table, void *base);

/* Describes a kind of reload, as "needs a restart"; static. */
const char *key_reload_name(enum key_reload reload);
