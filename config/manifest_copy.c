/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of a tenant's state, which share its files, and whether two states are the same. Lines and paths of origin do not
 * count.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/manifest_bindings.h"
#include "config/manifest_secrets.h"

DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)

/* ---- the same */

static bool has_same_routes(const struct manifest *a, const struct manifest *b)
{
    if (a->n_routes != b->n_routes)
        return false;
    for (unsigned i = 0; i < a->n_routes; i++)
        if (route_pattern_compare(&a->routes[i], &b->routes[i]) != 0)
            return false;
    return true;
}

static bool has_same_env(const struct manifest *a, const struct manifest *b)
{
    if (a->n_env != b->n_env)
        return false;
    for (unsigned i = 0; i < a->n_env; i++)
        if (strcmp(a->env[i].name, b->env[i].name) != 0 ||
            strcmp(a->env[i].value, b->env[i].value) != 0)
            return false;
    return true;
}

static bool has_same_limits(const struct manifest *a, const struct manifest *b)
{
    for (size_t i = 0; i < LIMITS_COUNT; i++)
        if (limit_get(&a->limits, &limit_table[i]) != limit_get(&b->limits, &limit_table[i]))
            return false;
    return true;
}

/* Compares the files but for their bytes. */
static bool has_same_list_of_files(const struct manifest *a, const struct manifest *b)
{
    if (a->n_files != b->n_files)
        return false;
    for (unsigned i = 0; i < a->n_files; i++)
        if (strcmp(a->files[i].path, b->files[i].path) != 0 || a->files[i].size != b->files[i].size)
            return false;
    return true;
}

static bool is_same_but_bytes(const struct manifest *a, const struct manifest *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->main, b->main) == 0 &&
           strcmp(a->cordon, b->cordon) == 0 && has_same_routes(a, b) && has_same_env(a, b) &&
           a->reuse_after_stop == b->reuse_after_stop && a->eval == b->eval &&
           has_same_limits(a, b) && manifest_has_same_bindings(a, b) &&
           manifest_has_same_secrets(a, b) && host_rules_are_same(&a->hosts, &b->hosts) &&
           has_same_list_of_files(a, b);
}

enum manifest_match manifest_compare_part(const struct manifest *a, const struct manifest *b,
                                          size_t max_bytes, struct manifest_place *place)
{
    if (!place->has_begun && !is_same_but_bytes(a, b))
        return MANIFESTS_DIFFER;
    place->has_begun = true;
    if (a->files == b->files) /* shared */
        return MANIFESTS_SAME;
    for (; place->file < a->n_files; place->file++, place->at = 0) {
        const struct tenant_file *one = &a->files[place->file], *other = &b->files[place->file];
        size_t left = one->size - place->at, part = left < max_bytes ? left : max_bytes;
        if (memcmp(one->data + place->at, other->data + place->at, part) != 0)
            return MANIFESTS_DIFFER;
        place->at += part;
        max_bytes -= part;
        if (place->at < one->size)
            return MANIFESTS_SAME_SO_FAR;
    }
    return MANIFESTS_SAME;
}

bool manifest_is_same(const struct manifest *a, const struct manifest *b)
{
    struct manifest_place place = { 0 };

    return manifest_compare_part(a, b, SIZE_MAX, &place) == MANIFESTS_SAME;
}

/* ---- copy */

static int copy_text(const char *text, char **ret)
{
    *ret = strdup(text);
    return *ret ? 0 : -ENOMEM;
}

static int copy_routes(const struct manifest *from, struct manifest *to)
{
    to->routes = calloc(from->n_routes + 1, sizeof *to->routes);
    if (!to->routes)
        return -ENOMEM;
    for (unsigned i = 0; i < from->n_routes; i++) {
        struct route_pattern *route = &to->routes[to->n_routes++];
        *route = from->routes[i];
        route->path = NULL;
        int r = copy_text(from->routes[i].host, &route->host);
        if (r == 0)
            r = copy_text(from->routes[i].path, &route->path);
        if (r < 0)
            return r;
    }
    return 0;
}

static int copy_env(const struct manifest *from, struct manifest *to)
{
    to->env = calloc(from->n_env + 1, sizeof *to->env);
    if (!to->env)
        return -ENOMEM;
    for (unsigned i = 0; i < from->n_env; i++) {
        struct env_entry *entry = &to->env[to->n_env++];
        int r = copy_text(from->env[i].name, &entry->name);
        if (r == 0)
            r = copy_text(from->env[i].value, &entry->value);
        if (r < 0)
            return r;
    }
    return 0;
}

static int share_files(struct manifest *from, struct manifest *to)
{
    if (!from->file_users) {
        from->file_users = malloc(sizeof *from->file_users);
        if (!from->file_users)
            return -ENOMEM;
        atomic_init(from->file_users, 1);
    }
    (void) atomic_fetch_add(from->file_users, 1);
    to->file_users = from->file_users;
    to->files = from->files;
    to->n_files = from->n_files;
    return 0;
}

int manifest_copy(struct manifest *manifest, struct manifest **ret_manifest)
{
    _cleanup_(manifest_cleanup) struct manifest *copy = calloc(1, sizeof *copy);

    if (!copy)
        return -ENOMEM;
    copy->limits = manifest->limits;
    copy->reuse_after_stop = manifest->reuse_after_stop;
    copy->eval = manifest->eval;
    copy->lines = manifest->lines;
    int r = copy_text(manifest->file, &copy->file);
    if (r == 0)
        r = copy_text(manifest->name, &copy->name);
    if (r == 0)
        r = copy_text(manifest->main, &copy->main);
    if (r == 0)
        r = copy_text(manifest->cordon, &copy->cordon);
    if (r == 0)
        r = copy_routes(manifest, copy);
    if (r == 0)
        r = copy_env(manifest, copy);
    if (r == 0)
        r = manifest_copy_bindings(manifest, copy);
    if (r == 0)
        r = host_rules_copy(&manifest->hosts, &copy->hosts);
    if (r == 0)
        r = manifest_copy_secrets(manifest, copy);
    if (r == 0)
        r = share_files(manifest, copy);
    if (r < 0)
        return r;
    *ret_manifest = TAKE_PTR(copy);
    return 0;
}
