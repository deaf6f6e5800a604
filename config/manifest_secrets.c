/* SPDX-License-Identifier: Apache-2.0 */
#include "config/manifest_secrets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "config/names.h"

#define TEXT_MAX 1000
#define HEADER_MAX_BYTES 64
#define FORMAT_MAX_BYTES 256

/* ---- injected ones */

/* Headers that frame a request or lead it elsewhere: skep's own. */
static bool is_own_header(const char *name)
{
    static const char *const own[] = { "host",    "connection",        "content-length", "te",
                                       "trailer", "transfer-encoding", "upgrade",        "expect",
                                       "via",     "keep-alive",        "date",           "origin" };

    if (strncasecmp(name, "proxy-", strlen("proxy-")) == 0 ||
        strncasecmp(name, "sec-", strlen("sec-")) == 0 ||
        strncasecmp(name, "skep-", strlen("skep-")) == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (strcasecmp(own[i], name) == 0)
            return true;
    return false;
}

static bool is_header(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

    return name[0] && strlen(name) <= HEADER_MAX_BYTES && name[strspn(name, allowed)] == '\0';
}

static int read_header(const struct key_reading *reading, const struct yaml_node *node,
                       struct secret_use *use)
{
    if (!is_header(node->value))
        yaml_error(reading->document, node, reading->errors,
                   "\"%s\" is not the name of a header: expected one like authorization",
                   node->value);
    else if (is_own_header(node->value))
        yaml_error(reading->document, node, reading->errors,
                   "\"%s\" is written by skep alone: expected another header", node->value);
    use->header = strdup(node->value);
    for (char *c = use->header; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char) (*c - 'A' + 'a');
    return use->header ? 0 : -ENOMEM;
}

static bool is_format(const char *format)
{
    const char *place = strstr(format, "{}");

    if (!place || strstr(place + 2, "{}") || strlen(format) > FORMAT_MAX_BYTES)
        return false;
    for (const char *c = format; *c; c++)
        if (*c < ' ' || *c > '~')
            return false;
    return true;
}

static int read_format(const struct key_reading *reading, const struct yaml_node *node,
                       struct secret_use *use)
{
    if (node && !is_format(node->value))
        yaml_error(reading->document, node, reading->errors,
                   "expected printable ASCII with {} once, where the value goes, as in \"Bearer "
                   "{}\"");
    use->format = strdup(node ? node->value : "{}");
    return use->format ? 0 : -ENOMEM;
}

/* Reads the place as a rule of allowed_hosts: https, one host, one port, and a path if one is wanted. */
static int read_where(const struct key_reading *reading, const struct yaml_node *host,
                      const struct yaml_node *path, struct secret_use *use)
{
    _cleanup_free_ char *text = NULL;
    const char *reason = NULL;

    if (host->value[strcspn(host->value, "/ ")] != '\0' || strchr(host->value, '*')) {
        yaml_error(reading->document, host, reading->errors,
                   "\"%s\": expected exactly one host, HOST or HOST:PORT, which is asked by https",
                   host->value);
        return 0;
    }
    if (path && path->value[0] != '/') {
        yaml_error(reading->document, path, reading->errors,
                   "\"%s\" is not a path: expected it to begin with \"/\"", path->value);
        return 0;
    }
    if (asprintf(&text, "https://%s%s", host->value, path ? path->value : "") < 0) {
        text = NULL;
        return -ENOMEM;
    }
    int r = host_rule_parse(text, &use->where, &reason);
    if (r == -EINVAL)
        yaml_error(reading->document, host, reading->errors, "\"%s\": %s", text, reason);
    use->has_where = r == 0;
    return r == -EINVAL ? 0 : r;
}

static int read_injection(const struct key_reading *reading, const struct yaml_node *entry,
                          struct secret_use *use)
{
    const struct yaml_node *host = yaml_find_below(entry, "inject.host"),
                           *header = yaml_find_below(entry, "inject.header");

    use->is_injected = yaml_find_below(entry, "inject") != NULL;
    if (!use->is_injected)
        return 0;
    int r = header ? read_header(reading, header, use) : 0;
    if (r == 0)
        r = read_format(reading, yaml_find_below(entry, "inject.format"), use);
    if (r == 0 && host)
        r = read_where(reading, host, yaml_find_below(entry, "inject.path"), use);
    return r;
}

/* clang-format off */
static const struct key secret_rows[] = {
    { .name = "name", .kind = KEY_TEXT, .is_required = true, .most = TEXT_MAX, .reload = RELOAD_VERSION,
      .help = "its name, and the name in env unless it is injected" },
    { .name = "inject.host", .kind = KEY_TEXT, .is_required = true, .most = TEXT_MAX, .reload = RELOAD_VERSION,
      .help = "the one host, HOST or HOST:PORT, whose https requests get it" },
    { .name = "inject.header", .kind = KEY_TEXT, .is_required = true, .most = TEXT_MAX, .reload = RELOAD_VERSION,
      .help = "the header of these requests that has it, in place of one that the tenant has set" },
    { .name = "inject.format", .kind = KEY_TEXT, .most = TEXT_MAX, .reload = RELOAD_VERSION,
      .help = "the header's value, with {} for the secret; {} alone if it is not given" },
    { .name = "inject.path", .kind = KEY_TEXT, .most = TEXT_MAX, .reload = RELOAD_VERSION,
      .help = "only requests of this path and below get it" },
};
/* clang-format on */

const struct key_table manifest_secret_keys = { secret_rows, ARRAY_LEN(secret_rows) };

/* ---- all */

static bool is_taken(const struct manifest *manifest, const char *name)
{
    for (unsigned i = 0; i < manifest->n_env; i++)
        if (strcmp(manifest->env[i].name, name) == 0)
            return true;
    return manifest_find_binding(manifest, name) != NULL;
}

const struct secret_use *manifest_find_secret(const struct manifest *manifest, const char *name)
{
    for (unsigned i = 0; i < manifest->n_secrets; i++)
        if (strcmp(manifest->secrets[i].name, name) == 0)
            return &manifest->secrets[i];
    return NULL;
}

/* Refuses two secrets for one header of one server. */
static void check_place(const struct key_reading *reading, const struct yaml_node *node,
                        const struct manifest *manifest, const struct secret_use *use)
{
    for (const struct secret_use *other = manifest->secrets; other < use; other++)
        if (other->has_where && use->has_where && other->header && use->header &&
            other->where.port == use->where.port &&
            strcmp(other->where.host, use->where.host) == 0 &&
            strcmp(other->header, use->header) == 0)
            yaml_error(reading->document, node, reading->errors,
                       "\"%s\" is for the same header of the same host: expected one secret for "
                       "it",
                       other->name);
}

static int take_secret(const struct key_reading *reading, const struct yaml_node *entry,
                       struct manifest *manifest)
{
    const struct yaml_node *name = yaml_find_below(entry, "name");
    struct secret_use *use = &manifest->secrets[manifest->n_secrets];

    if (!secret_name_is_valid(name->value))
        yaml_error(reading->document, name, reading->errors, "\"%s\" is not a name: %s",
                   name->value, secret_name_expected);
    else if (manifest_find_secret(manifest, name->value))
        yaml_error(reading->document, name, reading->errors,
                   "duplicate secret \"%s\": expected each once", name->value);
    else if (is_taken(manifest, name->value))
        yaml_error(reading->document, name, reading->errors,
                   "\"%s\" is taken: expected a name that neither env nor a binding has",
                   name->value);
    manifest->n_secrets++;
    use->line = name->line;
    use->name = strdup(name->value);
    int r = use->name ? read_injection(reading, entry, use) : -ENOMEM;
    if (r == 0)
        check_place(reading, name, manifest, use);
    return r;
}

int manifest_read_secrets(const struct key_reading *reading, const struct key *key,
                          const struct yaml_node *list, void *base)
{
    struct manifest *manifest = base;
    int r = 0;

    (void) key;
    if (!list || list->n_children == 0)
        return 0;
    manifest->secrets = calloc(list->n_children, sizeof *manifest->secrets);
    if (!manifest->secrets)
        return -ENOMEM;
    for (const struct yaml_node *node = list->first_child; node && r == 0; node = node->next)
        r = take_secret(reading, node, manifest);
    return r;
}

static int copy_text(const char *text, char **ret)
{
    *ret = text ? strdup(text) : NULL;
    return text && !*ret ? -ENOMEM : 0;
}

int manifest_copy_secrets(const struct manifest *from, struct manifest *to)
{
    int r = 0;

    to->secrets = calloc(from->n_secrets + 1, sizeof *to->secrets);
    if (!to->secrets)
        return -ENOMEM;
    for (unsigned i = 0; i < from->n_secrets && r == 0; i++) {
        const struct secret_use *one = &from->secrets[i];
        struct secret_use *use = &to->secrets[to->n_secrets++];
        *use = *one;
        use->name = use->header = use->format = use->where.methods = use->where.path = NULL;
        r = copy_text(one->name, &use->name);
        if (r == 0)
            r = copy_text(one->header, &use->header);
        if (r == 0)
            r = copy_text(one->format, &use->format);
        if (r == 0)
            r = copy_text(one->where.methods, &use->where.methods);
        if (r == 0)
            r = copy_text(one->where.path, &use->where.path);
    }
    return r;
}

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool manifest_has_same_secrets(const struct manifest *a, const struct manifest *b)
{
    if (a->n_secrets != b->n_secrets)
        return false;
    for (unsigned i = 0; i < a->n_secrets; i++) {
        const struct secret_use *one = &a->secrets[i], *other = &b->secrets[i];
        if (strcmp(one->name, other->name) != 0 || one->is_injected != other->is_injected ||
            one->where.port != other->where.port ||
            strcmp(one->where.host, other->where.host) != 0 ||
            !is_same_text(one->where.path, other->where.path) ||
            !is_same_text(one->header, other->header) || !is_same_text(one->format, other->format))
            return false;
    }
    return true;
}

void manifest_free_secrets(struct manifest *manifest)
{
    for (unsigned i = 0; i < manifest->n_secrets; i++) {
        struct secret_use *use = &manifest->secrets[i];
        free(use->name);
        free(use->header);
        free(use->format);
        if (use->has_where)
            host_rule_done(&use->where);
    }
    free(manifest->secrets);
}
