/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers of the keys of skepd.yaml that need more than the reader of their kind: addresses, paths,
 * and values that depend on another one. skepd at start and at a reload, as the user who starts it;
 * `skep check`.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/config_keys.h"
#include "config/host_name.h"
#include "config/names.h"
#include "config/yaml_number.h"

/* ---- addresses and paths */

static const char too_long[] =
    "socket path is too long: expected at most 107 bytes with the folder";

static void refuse_duplicate(const struct key_reading *reading, const struct yaml_node *node)
{
    const struct yaml_node *other = node->parent->first_child;

    for (; other != node; other = other->next)
        if (strcmp(other->value, node->value) == 0)
            yaml_error(reading->document, node, reading->errors,
                       "duplicate address \"%s\": it is in line %u already", node->value,
                       other->line);
}

static int read_listen_one(const struct key_reading *reading, const struct yaml_node *node,
                           char **ret)
{
    static const char unix_prefix[] = "unix:";
    const char *expected = listen_address_check(node->value);

    if (expected) {
        yaml_error(reading->document, node, reading->errors, "\"%s\" is not an address: %s",
                   node->value, expected);
        return 0;
    }
    refuse_duplicate(reading, node);
    if (strncmp(node->value, unix_prefix, strlen(unix_prefix)) != 0) {
        *ret = strdup(node->value);
        return *ret ? 0 : -ENOMEM;
    }
    _cleanup_free_ char *path = path_absolute(reading->folder, node->value + strlen(unix_prefix));
    if (!path)
        return -ENOMEM;
    if (!path_fits_socket(path))
        yaml_error(reading->document, node, reading->errors, "%s", too_long);
    return asprintf(ret, "%s%s", unix_prefix, path) < 0 ? -ENOMEM : 0;
}

int config_read_listen(const struct key_reading *reading, const struct key *key,
                       const struct yaml_node *node, void *base)
{
    struct config *config = base;
    int r = 0;

    (void) key;
    if (!node || node->n_children == 0)
        return 0;
    config->listen = calloc(node->n_children, sizeof *config->listen);
    if (!config->listen)
        return -ENOMEM;
    config->n_listen = node->n_children;
    for (const struct yaml_node *n = node->first_child; n && r == 0; n = n->next)
        r = read_listen_one(reading, n, &config->listen[n->index]);
    return r;
}

int config_read_path(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base)
{
    char **path = key_at(key, base);

    int r = key_read_kind(reading, key, node, base);
    if (r < 0 || !*path)
        return r;
    _cleanup_free_ char *relative = TAKE_PTR(*path);
    *path = path_absolute(reading->folder, relative);
    return *path ? 0 : -ENOMEM;
}

int config_read_socket(const struct key_reading *reading, const struct key *key,
                       const struct yaml_node *node, void *base)
{
    int r = config_read_path(reading, key, node, base);

    if (r == 0 && node && !path_fits_socket(*(char **) key_at(key, base)))
        yaml_error(reading->document, node, reading->errors, "%s", too_long);
    return r;
}

int config_read_metrics(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base)
{
    const char *expected = node ? listen_address_check(node->value) : NULL;

    if (node && !expected && strncmp(node->value, "unix:", 5) == 0)
        expected = "expected an address and a port";
    if (expected)
        yaml_error(reading->document, node, reading->errors, "\"%s\" is not an address: %s",
                   node->value, expected);
    return key_read_kind(reading, key, node, base);
}

int config_read_host(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base)
{
    char name[HOST_NAME_MAX_BYTES + 1] = "";
    const char *reason = NULL;
    char **place = key_at(key, base);
    size_t size;

    int r = host_name_parse(node->value, strlen(node->value), name, &size, &reason);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        yaml_error(reading->document, node, reading->errors, "%s", reason);
        name[0] = '\0';
    }
    *place = strdup(name);
    return *place ? 0 : -ENOMEM;
}

/* Parses the entries of a list; node may be NULL. *ret is written only if there are some. 0 or -ENOMEM. */
static int read_prefixes(const struct key_reading *reading, const struct yaml_node *node,
                         struct address_prefix **ret)
{
    if (!node || node->n_children == 0)
        return 0;
    struct address_prefix *prefixes = calloc(node->n_children, sizeof *prefixes);
    if (!prefixes)
        return -ENOMEM;
    *ret = prefixes;
    for (const struct yaml_node *n = node->first_child; n; n = n->next) {
        char right[ADDRESS_PREFIX_TEXT];
        if (address_prefix_parse(n->value, &prefixes[n->index]) == 0)
            continue;
        if (address_prefix_suggest(n->value, right))
            yaml_error(reading->document, n, reading->errors,
                       "\"%s\" has bits behind its prefix: expected %s", n->value, right);
        else
            yaml_error(reading->document, n, reading->errors,
                       "\"%s\" is not an address or prefix: expected one like 192.0.2.1, "
                       "10.0.0.0/8 or 2001:db8::/32",
                       n->value);
    }
    return 0;
}

int config_read_proxies(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base)
{
    struct config *config = base;

    int r = key_read_kind(reading, key, node, base);
    return r < 0 ? r : read_prefixes(reading, node, &config->proxy_prefixes);
}

/* ---- storage */

/* The row of `state` comes before. */
int config_read_storage(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base)
{
    struct config *config = base;

    if (node || !config->state)
        return config_read_path(reading, key, node, base);
    config->storage.folder = path_absolute(config->state, "data");
    return config->storage.folder ? 0 : -ENOMEM;
}

/* ---- egress */

int config_read_fetch(const struct key_reading *reading, const struct key *key,
                      const struct yaml_node *node, void *base)
{
    struct config *config = base;

    config->egress.fetch = yaml_find(reading->document, "egress") != NULL;
    return key_read_kind(reading, key, node, base);
}

/* Refuses a key of the program beside `socket`: the unit has options of its own, and the key would do nothing. */
static void refuse_beside_socket(const struct key_reading *reading, const struct yaml_node *node)
{
    if (node && yaml_find(reading->document, "egress.socket"))
        yaml_error(reading->document, node, reading->errors,
                   "this key is for a program that skepd starts: expected no socket beside it, or "
                   "the option in the unit skep-egress");
}

int config_read_program(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base)
{
    refuse_beside_socket(reading, node);
    return config_read_path(reading, key, node, base);
}

/* Returns whether the text is ADDRESS or ADDRESS:PORT, with brackets around IPv6 before a port. */
static bool is_resolver(const char *text)
{
    struct address_prefix address;
    struct sockaddr_storage with_port;
    socklen_t size;

    if (!strchr(text, '/') && address_prefix_parse(text, &address) == 0)
        return true;
    size_t length = strlen(text);
    return strncmp(text, "unix:", 5) != 0 && length > 2 && strcmp(text + length - 2, ":0") != 0 &&
           address_parse_listen(text, &with_port, &size) == 0;
}

int config_read_dns(const struct key_reading *reading, const struct key *key,
                    const struct yaml_node *node, void *base)
{
    refuse_beside_socket(reading, node);
    for (const struct yaml_node *n = node ? node->first_child : NULL; n; n = n->next)
        if (!is_resolver(n->value))
            yaml_error(reading->document, n, reading->errors,
                       "\"%.64s\" is not a resolver: expected an address, as 192.0.2.53, "
                       "192.0.2.53:5353, 2001:db8::53 or [2001:db8::53]:5353",
                       n->value);
    return key_read_kind(reading, key, node, base);
}

/* The row's place is `texts` of a struct egress_addresses. */
int config_read_addresses(const struct key_reading *reading, const struct key *key,
                          const struct yaml_node *node, void *base)
{
    struct egress_addresses *addresses =
        (void *) ((char *) key_at(key, base) - offsetof(struct egress_addresses, texts));

    int r = key_read_kind(reading, key, node, base);
    addresses->is_given = node != NULL;
    return r < 0 ? r : read_prefixes(reading, node, &addresses->prefixes);
}

void config_print_addresses(const struct key *key, const void *base, FILE *file)
{
    const struct egress_addresses *addresses =
        (const void *) ((const char *) base + key->offset -
                        offsetof(struct egress_addresses, texts));

    (void) fputs(addresses->is_given ? "[" : "not set", file);
    for (unsigned i = 0; i < addresses->n; i++)
        (void) fprintf(file, "%s%s", i > 0 ? ", " : "", addresses->texts[i]);
    (void) fputs(addresses->is_given ? "]" : "", file);
}

/* ---- the jail */

int config_read_layers(const struct key_reading *reading, const struct key *key,
                       const struct yaml_node *node, void *base)
{
    struct jail_config *jail = &((struct config *) base)->jail;
    enum jail_layer layer;

    if (!node) {
        jail->without = LAYERS_WITHOUT_PRESET;
        return 0;
    }
    (void) key_read_kind(reading, key, node, base);
    for (const struct yaml_node *n = node->first_child; n && !jail->may_be_reduced; n = n->next)
        if (layer_parse(n->value, &layer) == 0 && layer_table[layer].may_be_missing &&
            !layer_table[layer].is_no_wall)
            yaml_error(reading->document, n, reading->errors,
                       "\"%s\" makes the jail reduced: expected minimum: reduced beside it",
                       n->value);
    return 0;
}

/* ---- cordons */

int cordon_read_name(const struct key_reading *reading, const struct key *key,
                     const struct yaml_node *node, void *base)
{
    const struct config *config = reading->root;
    struct cordon_config *cordon = base;
    const struct yaml_node *entry = node->parent;

    (void) key;
    if (!name_is_valid(node->value))
        yaml_error(reading->document, node, reading->errors, "\"%s\" is not a name: %s",
                   node->value, name_expected);
    for (unsigned i = 0; entry && i < entry->index; i++)
        if (strcmp(config->cordons[i]->name, node->value) == 0) {
            yaml_error(reading->document, node, reading->errors,
                       "duplicate cordon \"%s\": it is in line %u already", node->value,
                       yaml_line(reading->document, "cordons[%u].name", i));
            break;
        }
    cordon->name = strdup(node->value);
    return cordon->name ? 0 : -ENOMEM;
}

int cordon_read_workers(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base)
{
    struct cordon_config *cordon = base;

    (void) key_read_kind(reading, key, node, base);
    cordon->is_solitary = cordon->workers == YAML_NUMBER_WORD;
    if (cordon->is_solitary)
        cordon->workers = 0;
    return 0;
}

void cordon_print_workers(const struct key *key, const void *base, FILE *file)
{
    const struct cordon_config *cordon = base;

    if (cordon->is_solitary)
        (void) fputs(key->word, file);
    else
        (void) fprintf(file, "%u", cordon->workers);
}

/* Reads the bound of workers that each belong to one tenant: beside the workers that tenants share,
 * or in their place. */
int cordon_read_solitary(const struct key_reading *reading, const struct key *key,
                         const struct yaml_node *node, void *base)
{
    static const struct yaml_number beside = { .least = 0, .most = 64 };
    static const struct yaml_number in_place = { .least = 1, .most = 1024 };
    struct cordon_config *cordon = base;

    (void) key;
    if (cordon->is_solitary && !node->parent) /* the key is not given */
        cordon->solitary = 64;
    else
        (void) yaml_number_parse(reading->document, node, cordon->is_solitary ? &in_place : &beside,
                                 &cordon->solitary, reading->errors);
    return 0;
}

int config_read_cordons(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base)
{
    struct config *config = base;
    unsigned count = node ? node->n_children : 1;
    const struct yaml_node *entry = node ? node->first_child : NULL;
    int r = 0;

    config->cordons = calloc(count, sizeof(struct cordon_config *));
    if (!config->cordons)
        return -ENOMEM;
    for (unsigned i = 0; i < count && r == 0; i++) {
        struct cordon_config *cordon = calloc(1, sizeof *cordon);
        if (!cordon)
            return -ENOMEM;
        config->cordons[config->n_cordons++] = cordon;
        r = keys_read(reading, key->entry, entry, cordon);
        entry = entry ? entry->next : NULL;
    }
    return r;
}
