/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of keys and limits for people: `skep schema --text` and `skep explain KEY`.
 */
#pragma once

#include <stdbool.h>

#include "config/keys.h"

/* The two files that have keys. */
struct key_file {
    const char *name;  /* "skepd.yaml" */
    const char *title; /* one line about the file */
    const struct key_table *table;
};

extern const struct key_file key_files[2];

/* Prints all keys of a file, and of the entries of its lists. */
void keys_text_print_all(const struct key_file *file);
/* Returns what a mapping of keys is for, by its name in the table in which it stands: "egress", "admin.read". Static; NULL: nothing
 * is said of it. */
const char *keys_text_section(const char *name);
/* Prints each key, mapping of keys, or limit of that name; the last part of a name may do. Returns whether there is
 * one. */
bool keys_text_explain(const char *name);
