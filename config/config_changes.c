/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config_changes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/config_keys.h"

#define VALUE_MAX_BYTES 4000 /* a longer one is cut: 64 addresses may be 4 KiB each */

/* ---- differences */

static char *value_text(const struct key *key, const void *base)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    if (!file)
        return NULL;
    key_print(key, base, file);
    if (fclose(file) != 0) {
        free(text);
        return NULL;
    }
    if (size > VALUE_MAX_BYTES)
        memcpy(text + VALUE_MAX_BYTES - 3, "...", sizeof "...");
    return text;
}

/* Adds a change. Takes over the three texts, also on failure; a NULL one is out of memory. */
static int add(struct config_changes *changes, char *key, char *before, char *after,
               bool needs_restart)
{
    struct config_change *items =
        key && before && after
            ? reallocarray(changes->items, changes->count + 1, sizeof *changes->items)
            : NULL;

    if (!items) {
        free(key);
        free(before);
        free(after);
        return -ENOMEM;
    }
    changes->items = items;
    items[changes->count++] = (struct config_change){ key, before, after, needs_restart };
    return 0;
}

static char *path_text(const char *prefix, const char *name)
{
    char *text;

    return asprintf(&text, "%s%s", prefix, name) < 0 ? NULL : text;
}

static int compare_key(const struct key *key, const char *prefix, const void *before,
                       const void *after, struct config_changes *ret)
{
    _cleanup_free_ char *old = value_text(key, before);
    _cleanup_free_ char *new = value_text(key, after);

    if (!old || !new)
        return -ENOMEM;
    if (strcmp(old, new) == 0)
        return 0;
    return add(ret, path_text(prefix, key->name), TAKE_PTR(old), TAKE_PTR(new),
               key->reload == RELOAD_RESTART);
}

static char *limit_text(uint32_t value)
{
    char *text;

    if (value == LIMIT_UNSET)
        return strdup("not set");
    if (value == LIMIT_UNLIMITED)
        return strdup("unlimited");
    return asprintf(&text, "%" PRIu32, value) < 0 ? NULL : text;
}

/* prefix: "limits.default." and the like. */
static int compare_limits(const char *prefix, const struct limits *before,
                          const struct limits *after, struct config_changes *ret)
{
    int r = 0;

    for (size_t i = 0; i < LIMITS_COUNT && r == 0; i++) {
        uint32_t old = limit_get(before, &limit_table[i]), new = limit_get(after, &limit_table[i]);
        if (old != new)
            r = add(ret, path_text(prefix, limit_table[i].name), limit_text(old), limit_text(new),
                    false);
    }
    return r;
}

static const struct limits *limits_of(const struct key *key, const void *base)
{
    return (const void *) ((const char *) base + key->offset);
}

static int compare_keys(const struct key_table *table, const char *prefix, const void *before,
                        const void *after, struct config_changes *ret)
{
    char name[256];
    int r = 0;

    for (size_t i = 0; i < table->n && r == 0; i++) {
        const struct key *key = &table->rows[i];
        (void) snprintf(name, sizeof name, "%s%s.", prefix, key->name);
        if (key->kind == KEY_LIMITS)
            r = compare_limits(name, limits_of(key, before), limits_of(key, after), ret);
        else if (key->kind != KEY_ENTRIES || key->print)
            r = compare_key(key, prefix, before, after, ret);
    }
    return r;
}

static int compare_cordon(const struct cordon_config *before, const struct cordon_config *after,
                          struct config_changes *ret)
{
    char prefix[128];

    (void) snprintf(prefix, sizeof prefix, "cordons.%s.", before->name);
    return compare_keys(&cordon_keys, prefix, before, after, ret);
}

static int compare_cordons(const struct config *before, const struct config *after,
                           struct config_changes *ret)
{
    int r = 0;

    for (unsigned i = 0; i < before->n_cordons && r == 0; i++) {
        const struct cordon_config *old = before->cordons[i];
        const struct cordon_config *new = config_find_cordon(after, old->name);
        r = new ? compare_cordon(old, new, ret)
                : add(ret, path_text("cordons.", old->name), strdup("there"), strdup("not there"),
                      false);
    }
    for (unsigned i = 0; i < after->n_cordons && r == 0; i++)
        if (!config_find_cordon(before, after->cordons[i]->name))
            r = add(ret, path_text("cordons.", after->cordons[i]->name), strdup("not there"),
                    strdup("there"), false);
    return r;
}

int config_compare(const struct config *before, const struct config *after,
                   struct config_changes *ret)
{
    struct config_changes changes = { 0 };

    int r = compare_keys(&config_keys, "", before, after, &changes);
    if (r == 0)
        r = compare_cordons(before, after, &changes);
    if (r < 0) {
        config_changes_done(&changes);
        return r;
    }
    *ret = changes;
    return 0;
}

void config_changes_done(struct config_changes *changes)
{
    for (unsigned i = 0; i < changes->count; i++) {
        free(changes->items[i].key);
        free(changes->items[i].before);
        free(changes->items[i].after);
    }
    free(changes->items);
    *changes = (struct config_changes){ 0 };
}

/* ---- keys that only a start reads */

static void exchange(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char byte = a[i];
        a[i] = b[i];
        b[i] = byte;
    }
}

void config_keep_running(struct config *running, struct config *next)
{
    for (size_t i = 0; i < config_keys.n; i++) {
        const struct key *key = &config_keys.rows[i];
        if (key->reload != RELOAD_RESTART)
            continue;
        exchange((char *) running + key->offset, (char *) next + key->offset, key->size);
        exchange((char *) running + key->more_offset, (char *) next + key->more_offset,
                 key->more_size);
    }
}
