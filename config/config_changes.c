/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config_changes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define VALUE_MAX_BYTES 4000 /* a longer one is cut: 64 addresses may be 4 KiB each */

struct key;
/* The values as people write them. more: of a row that has two. */
typedef void (*print_fn)(const struct key *key, const void *value, const void *more, FILE *file);

struct key {
    const char *name;
    print_fn print;
    const char *word; /* in place of LIMIT_UNLIMITED; NULL: there is none */
    bool needs_restart;
    size_t offset, size;           /* in struct config or struct cordon_config */
    size_t more_offset, more_size; /* 0: no more */
};

/* ---- kinds of values */

static void print_text(const struct key *key, const void *value, const void *more, FILE *file)
{
    const char *text = *(const char *const *) value;

    (void) key;
    (void) more;
    (void) fputs(text ? text : "not set", file);
}

static void print_number(const struct key *key, const void *value, const void *more, FILE *file)
{
    uint32_t number = *(const uint32_t *) value;

    (void) more;
    if (key->word && number == LIMIT_UNLIMITED)
        (void) fputs(key->word, file);
    else
        (void) fprintf(file, "%" PRIu32, number);
}

static void print_switch(const struct key *key, const void *value, const void *more, FILE *file)
{
    (void) key;
    (void) more;
    (void) fputs(*(const bool *) value ? "on" : "off", file);
}

static void print_jit(const struct key *key, const void *value, const void *more, FILE *file)
{
    (void) key;
    (void) more;
    (void) fputs(jit_name(*(const enum jit_mode *) value), file);
}

static void print_texts(const struct key *key, const void *value, const void *more, FILE *file)
{
    char *const *texts = *(char *const *const *) value;
    unsigned n = *(const unsigned *) more;

    (void) key;
    (void) fputc('[', file);
    for (unsigned i = 0; i < n; i++)
        (void) fprintf(file, "%s%s", i > 0 ? ", " : "", texts[i]);
    (void) fputc(']', file);
}

static void print_ids(const struct key *key, const void *value, const void *more, FILE *file)
{
    const uint32_t *ids = *(const uint32_t *const *) value;
    unsigned n = *(const unsigned *) more;

    (void) key;
    (void) fputc('[', file);
    for (unsigned i = 0; i < n; i++)
        (void) fprintf(file, "%s%" PRIu32, i > 0 ? ", " : "", ids[i]);
    (void) fputc(']', file);
}

static void print_format(const struct key *key, const void *value, const void *more, FILE *file)
{
    static const char *const names[] = {
        [LOG_FORMAT_AUTO] = "auto",
        [LOG_FORMAT_HUMAN] = "human",
        [LOG_FORMAT_JSON] = "json",
        [LOG_FORMAT_JOURNAL] = "journal",
    };

    (void) key;
    (void) more;
    (void) fputs(names[*(const enum log_format *) value], file);
}

static void print_level(const struct key *key, const void *value, const void *more, FILE *file)
{
    (void) key;
    (void) more;
    (void) fputs(*(const bool *) value ? "reduced" : "full", file);
}

static void print_layers(const struct key *key, const void *value, const void *more, FILE *file)
{
    char text[512];

    (void) key;
    (void) more;
    (void) fprintf(file, "[%s]", layers_names(*(const layer_set *) value, text, sizeof text));
}

/* value: a limit_set; more: observe_rss and, behind it, observe_strikes. */
static void print_observed(const struct key *key, const void *value, const void *more, FILE *file)
{
    limit_set observed = *(const limit_set *) value;
    const bool *others = more;
    const char *comma = "";

    (void) key;
    (void) fputc('[', file);
    for (size_t i = 0; i < LIMITS_COUNT; i++)
        if ((observed >> i & 1U) != 0) {
            (void) fprintf(file, "%s%s", comma, limit_table[i].name);
            comma = ", ";
        }
    if (others[0]) {
        (void) fprintf(file, "%srss_mib", comma);
        comma = ", ";
    }
    (void) fprintf(file, "%s]", others[1] ? (*comma ? ", strikes" : "strikes") : "");
}

/* more: is_solitary. */
static void print_workers(const struct key *key, const void *value, const void *more, FILE *file)
{
    if (*(const bool *) more)
        (void) fputs("solitary", file);
    else
        print_number(key, value, NULL, file);
}

/* ---- the keys */

#define AT(type, field) .offset = offsetof(type, field), .size = sizeof(((type *) 0)->field)
#define MORE(type, field) \
    .more_offset = offsetof(type, field), .more_size = sizeof(((type *) 0)->field)
#define KEY(field, kind)                                                \
    {                                                                   \
        .name = #field, .print = print_##kind, AT(struct config, field) \
    }
#define START_KEY(field, kind)                                                                 \
    {                                                                                          \
        .name = #field, .print = print_##kind, .needs_restart = true, AT(struct config, field) \
    }

/* clang-format off */
static const struct key keys[] = {
    { .name = "listen", .print = print_texts, .needs_restart = true,
      AT(struct config, listen), MORE(struct config, n_listen) },
    START_KEY(admin_socket, text),
    START_KEY(tenants, text),
    START_KEY(state, text),
    START_KEY(admin.group, text),
    { .name = "admin.read.uids", .print = print_ids,
      AT(struct config, admin.read.uids), MORE(struct config, admin.read.n_uids) },
    { .name = "admin.read.gids", .print = print_ids,
      AT(struct config, admin.read.gids), MORE(struct config, admin.read.n_gids) },
    { .name = "admin.write.uids", .print = print_ids,
      AT(struct config, admin.write.uids), MORE(struct config, admin.write.n_uids) },
    { .name = "admin.write.gids", .print = print_ids,
      AT(struct config, admin.write.gids), MORE(struct config, admin.write.n_gids) },
    KEY(log_level, text),
    START_KEY(log_format, format),
    KEY(access_log, switch),
    KEY(log.tenant_lines, number),
    KEY(log.tenant_kib, number),
    KEY(log.lines, number),
    KEY(log.kib, number),
    KEY(log.access_lines, number),
    START_KEY(metrics.listen, text),
    KEY(metrics.tenants, number),
    KEY(deploy.keep, number),
    KEY(deploy.watch_s, number),
    KEY(deploy.errors, number),
    KEY(deploy.error_percent, number),
    KEY(drain_s, number),
    KEY(http.header_bytes, number),
    KEY(http.header_count, number),
    KEY(http.connections, number),
    KEY(http.connections_per_ip, number),
    KEY(http.header_timeout_ms, number),
    KEY(http.body_idle_ms, number),
    KEY(http.keepalive_ms, number),
    KEY(http.write_idle_ms, number),
    KEY(http.half_close_ms, number),
    { .name = "http.proxies", .print = print_texts, AT(struct config, proxies),
      MORE(struct config, n_proxies) },
    KEY(http.min_bytes_per_s, number),
    { .name = "http.server_timing", .print = print_switch, AT(struct config, server_timing) },
    { .name = "http.default_host", .print = print_text, AT(struct config, default_host) },
    KEY(http.body_buffer_kib, number),
    KEY(http.buffer_mib, number),
    KEY(http.share_percent, number),
    { .name = "jail.minimum", .print = print_level, .needs_restart = true,
      AT(struct config, jail.may_be_reduced) },
    START_KEY(jail.without, layers),
    { .name = "limits.observe", .print = print_observed,
      AT(struct config, observed), MORE(struct config, observe_rss) },
};

#define CORDON_KEY(field, kind) \
    { .name = #field, .print = print_##kind, AT(struct cordon_config, field) }
#define CORDON_WORD_KEY(field, text) \
    { .name = #field, .print = print_number, .word = text, AT(struct cordon_config, field) }

static const struct key cordon_keys[] = {
    { .name = "workers", .print = print_workers,
      AT(struct cordon_config, workers), MORE(struct cordon_config, is_solitary) },
    CORDON_KEY(solitary, number),
    CORDON_KEY(jit, jit),
    CORDON_KEY(spare, switch),
    CORDON_KEY(allow_unlimited, switch),
    CORDON_KEY(calls_across, switch),
    CORDON_KEY(caller_percent, number),
    CORDON_WORD_KEY(rss_mib, "unlimited"),
    CORDON_WORD_KEY(drift_mib, "unlimited"),
    CORDON_KEY(cpu_weight, number),
    CORDON_WORD_KEY(retire_after_s, "never"),
    CORDON_WORD_KEY(retire_after_requests, "never"),
    CORDON_KEY(strikes, number),
    CORDON_KEY(quarantine_s, number),
    { .name = "limits.observe", .print = print_observed,
      AT(struct cordon_config, observed), MORE(struct cordon_config, observe_rss) },
};
/* clang-format on */

_Static_assert(offsetof(struct config, observe_strikes) == offsetof(struct config, observe_rss) + 1,
               "print_observed");
_Static_assert(offsetof(struct cordon_config, observe_strikes) ==
                   offsetof(struct cordon_config, observe_rss) + 1,
               "print_observed");

/* ---- differences */

static char *value_text(const struct key *key, const void *base)
{
    const char *at = base;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    if (!file)
        return NULL;
    key->print(key, at + key->offset, at + key->more_offset, file);
    if (fclose(file) != 0) {
        free(text);
        return NULL;
    }
    if (size > VALUE_MAX_BYTES)
        memcpy(text + VALUE_MAX_BYTES - 3, "...", sizeof "...");
    return text;
}

/* Takes over the three texts, also where it fails; NULL ones are out of memory. */
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
    return add(ret, path_text(prefix, key->name), TAKE_PTR(old), TAKE_PTR(new), key->needs_restart);
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

static int compare_cordon(const struct cordon_config *before, const struct cordon_config *after,
                          struct config_changes *ret)
{
    char prefix[128];
    int r = 0;

    (void) snprintf(prefix, sizeof prefix, "cordons.%s.", before->name);
    for (size_t i = 0; i < ARRAY_LEN(cordon_keys) && r == 0; i++)
        r = compare_key(&cordon_keys[i], prefix, before, after, ret);
    (void) snprintf(prefix, sizeof prefix, "cordons.%s.limits.default.", before->name);
    if (r == 0)
        r = compare_limits(prefix, &before->defaults, &after->defaults, ret);
    (void) snprintf(prefix, sizeof prefix, "cordons.%s.limits.maximum.", before->name);
    return r < 0 ? r : compare_limits(prefix, &before->maximum, &after->maximum, ret);
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
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(keys) && r == 0; i++)
        r = compare_key(&keys[i], "", before, after, &changes);
    if (r == 0)
        r = compare_limits("limits.default.", &before->defaults, &after->defaults, &changes);
    if (r == 0)
        r = compare_limits("limits.maximum.", &before->maximum, &after->maximum, &changes);
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

/* ---- what only a start reads */

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
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const struct key *key = &keys[i];
        if (!key->needs_restart)
            continue;
        exchange((char *) running + key->offset, (char *) next + key->offset, key->size);
        exchange((char *) running + key->more_offset, (char *) next + key->more_offset,
                 key->more_size);
    }
}
