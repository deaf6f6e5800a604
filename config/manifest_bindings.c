/* SPDX-License-Identifier: Apache-2.0 */
#include "config/manifest_bindings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/names.h"
#include "config/tenant_files.h"

#define MIGRATION_END ".sql"

static bool is_taken(const struct manifest *manifest, const char *name)
{
    for (unsigned i = 0; i < manifest->n_env; i++)
        if (strcmp(manifest->env[i].name, name) == 0)
            return true;
    return manifest_find_binding(manifest, name) != NULL;
}

const struct binding *manifest_find_binding(const struct manifest *manifest, const char *name)
{
    for (unsigned i = 0; i < manifest->n_bindings; i++)
        if (strcmp(manifest->bindings[i].name, name) == 0)
            return &manifest->bindings[i];
    return NULL;
}

bool binding_is_storage(const struct binding *binding)
{
    return binding->kind == BINDING_KV || binding->kind == BINDING_SQL;
}

const struct binding *manifest_find_storage(const struct manifest *manifest)
{
    for (unsigned i = 0; i < manifest->n_bindings; i++)
        if (binding_is_storage(&manifest->bindings[i]))
            return &manifest->bindings[i];
    return NULL;
}

/* ---- migrations */

bool binding_has_migration(const struct binding *binding, const struct tenant_file *file)
{
    const size_t folder = binding->migrations ? strlen(binding->migrations) : 0;
    const size_t size = strlen(file->path), end = strlen(MIGRATION_END);

    return folder > 0 && size > folder + 1 + end &&
           strncmp(file->path, binding->migrations, folder) == 0 && file->path[folder] == '/' &&
           !strchr(file->path + folder + 1, '/') &&
           strcmp(file->path + size - end, MIGRATION_END) == 0;
}

bool manifest_is_migration(const struct manifest *manifest, const struct tenant_file *file)
{
    for (unsigned i = 0; i < manifest->n_bindings; i++)
        if (binding_has_migration(&manifest->bindings[i], file))
            return true;
    return false;
}

int manifest_check_migrations(const struct manifest *manifest, struct config_errors *errors)
{
    int r = 0;

    for (unsigned i = 0; i < manifest->n_bindings; i++) {
        const struct binding *binding = &manifest->bindings[i];
        size_t bytes = 0, n = 0;
        for (unsigned k = 0; k < manifest->n_files && binding->migrations; k++)
            if (binding_has_migration(binding, &manifest->files[k])) {
                bytes += manifest->files[k].size;
                n++;
            }
        if (!binding->migrations || (n > 0 && bytes <= MIGRATIONS_MAX_BYTES))
            continue;
        r = -EINVAL;
        if (n == 0)
            config_errors_add(errors, manifest->file, binding->line,
                              "migrations: no file *.sql in the folder \"%s\" of the tenant",
                              binding->migrations);
        else
            config_errors_add(errors, manifest->file, binding->line,
                              "migrations: \"%s\" is too large: expected at most %zu MiB",
                              binding->migrations, MIGRATIONS_MAX_BYTES >> 20);
    }
    return r;
}

/* ---- kinds. Each is a row, whose reader is given the struct binding, and sets kind and target. */

/* The tenant whose bindings are read is the root of the reading. */
static int read_service(const struct key_reading *reading, const struct key *key,
                        const struct yaml_node *node, void *base)
{
    const struct manifest *manifest = reading->root;
    struct binding *binding = base;

    (void) key;
    if (!name_is_valid(node->value))
        yaml_error(reading->document, node, reading->errors, "\"%s\" is not a tenant's name: %s",
                   node->value, name_expected);
    else if (strcmp(node->value, manifest->name) == 0)
        yaml_error(reading->document, node, reading->errors,
                   "\"%s\" is this tenant itself, which cannot call itself: expected another one",
                   node->value);
    binding->kind = BINDING_SERVICE;
    binding->target = strdup(node->value);
    return binding->target ? 0 : -ENOMEM;
}

/* Returns the number of spaces (namespaces or databases) that the bindings before this one name, and whether this one
 * names another. */
static unsigned count_spaces(const struct manifest *manifest, const struct binding *binding,
                             bool *ret_is_new)
{
    unsigned n = 0;

    *ret_is_new = true;
    for (const struct binding *one = manifest->bindings; one < binding; one++) {
        bool is_first = one->kind == binding->kind && one->target;
        for (const struct binding *other = manifest->bindings; other < one && is_first; other++)
            is_first = other->kind != one->kind || strcmp(other->target, one->target) != 0;
        n += is_first;
        if (is_first && strcmp(one->target, binding->target) == 0)
            *ret_is_new = false;
    }
    return n;
}

static int read_storage(const struct key_reading *reading, const struct yaml_node *node,
                        struct binding *binding)
{
    const bool is_kv = binding->kind == BINDING_KV;
    const unsigned most = is_kv ? TENANT_NAMESPACES_MAX : TENANT_DATABASES_MAX;
    bool is_new;

    binding->target = strdup(node->value);
    if (!binding->target)
        return -ENOMEM;
    if (!name_is_valid(node->value))
        yaml_error(reading->document, node, reading->errors, "\"%s\" is not the name of a %s: %s",
                   node->value, is_kv ? "namespace" : "database", name_expected);
    else if (count_spaces(reading->root, binding, &is_new) >= most && is_new)
        yaml_error(reading->document, node, reading->errors,
                   "\"%s\" is one too many: expected at most %u %s", node->value, most,
                   is_kv ? "namespaces" : "databases");
    return 0;
}

static int read_kv(const struct key_reading *reading, const struct key *key,
                   const struct yaml_node *node, void *base)
{
    struct binding *binding = base;

    (void) key;
    binding->kind = BINDING_KV;
    return read_storage(reading, node, binding);
}

static int read_sql(const struct key_reading *reading, const struct key *key,
                    const struct yaml_node *node, void *base)
{
    struct binding *binding = base;

    (void) key;
    binding->kind = BINDING_SQL;
    return read_storage(reading, node, binding);
}

/* Returns the folder without "./" before and "/" behind it; malloc'ed, NULL: out of memory. */
static char *normalise(const char *folder)
{
    size_t size;

    while (strncmp(folder, "./", 2) == 0)
        folder += 2;
    for (size = strlen(folder); size > 0 && folder[size - 1] == '/';)
        size--;
    return strndup(folder, size);
}

static int read_migrations(const struct key_reading *reading, const struct key *key,
                           const struct yaml_node *node, void *base)
{
    const struct manifest *manifest = reading->root;
    struct binding *binding = base;

    (void) key;
    binding->migrations = normalise(node->value);
    if (!binding->migrations)
        return -ENOMEM;
    const char *expected = tenant_path_check(binding->migrations);
    if (binding->kind != BINDING_SQL)
        yaml_error(reading->document, node, reading->errors,
                   "migrations are of a database: expected `sql` beside it");
    else if (expected)
        yaml_error(reading->document, node, reading->errors, "\"%s\" is not a folder: %s",
                   node->value, expected);
    for (const struct binding *one = manifest->bindings; one < binding; one++)
        if (one->kind == BINDING_SQL && one->migrations && binding->target &&
            strcmp(one->target, binding->target) == 0)
            yaml_error(reading->document, node, reading->errors,
                       "the database \"%s\" has migrations by the binding %s: expected them once",
                       one->target, one->name);
    return 0;
}

/* clang-format off */
static const struct key binding_rows[] = {
    { .name = "name", .kind = KEY_TEXT, .is_required = true, .reload = RELOAD_VERSION,
      .help = "its name in env" },
    { .name = "service", .kind = KEY_TEXT, .is_choice = true, .reload = RELOAD_VERSION, .read = read_service,
      .help = "the tenant that env.NAME.fetch() calls" },
    { .name = "kv", .kind = KEY_TEXT, .is_choice = true, .reload = RELOAD_VERSION, .read = read_kv,
      .help = "the namespace of the tenant's keys and values that env.NAME reads and writes" },
    { .name = "sql", .kind = KEY_TEXT, .is_choice = true, .reload = RELOAD_VERSION, .read = read_sql,
      .help = "the database of the tenant that env.NAME queries" },
    { .name = "migrations", .kind = KEY_TEXT, .reload = RELOAD_VERSION, .read = read_migrations,
      .help = "with sql: the folder of *.sql files that are applied to the database, once each and in the order of their names, before the version serves" },
};
/* clang-format on */

const struct key_table manifest_binding_keys = { binding_rows, ARRAY_LEN(binding_rows) };

/* ---- all */

static int take_binding(const struct key_reading *reading, const struct yaml_node *entry,
                        struct manifest *manifest)
{
    const struct yaml_node *name = yaml_find_below(entry, "name");
    struct binding *binding = &manifest->bindings[manifest->n_bindings];
    int r = 0;

    if (!env_name_is_valid(name->value))
        yaml_error(reading->document, name, reading->errors,
                   "\"%s\" is not a name: expected A-Z, a-z, 0-9 and _, and no digit first",
                   name->value);
    else if (is_taken(manifest, name->value))
        yaml_error(reading->document, name, reading->errors,
                   "\"%s\" is taken: expected a name that neither env nor another binding has",
                   name->value);
    manifest->n_bindings++;
    *binding = (struct binding){ .name = strdup(name->value), .line = name->line };
    for (size_t i = 0; i < ARRAY_LEN(binding_rows) && r == 0; i++) {
        const struct key *key = &binding_rows[i];
        const struct yaml_node *node = yaml_find_below(entry, key->name);
        if (key->read && node)
            r = key->read(reading, key, node, binding);
    }
    return binding->name ? r : -ENOMEM;
}

static bool has_caller(const struct manifest *manifest, const char *name)
{
    for (unsigned i = 0; i < manifest->n_callers; i++)
        if (strcmp(manifest->callers[i], name) == 0)
            return true;
    return false;
}

static int take_caller(const struct yaml_document *document, const struct yaml_node *node,
                       struct manifest *manifest, struct config_errors *errors)
{
    if (!name_is_valid(node->value))
        yaml_error(document, node, errors, "\"%s\" is not a tenant's name: %s", node->value,
                   name_expected);
    else if (strcmp(node->value, manifest->name) == 0)
        yaml_error(document, node, errors,
                   "\"%s\" is this tenant itself, which cannot call itself: expected another one",
                   node->value);
    else if (has_caller(manifest, node->value))
        yaml_error(document, node, errors, "duplicate caller \"%s\": expected each once",
                   node->value);
    manifest->callers[manifest->n_callers] = strdup(node->value);
    return manifest->callers[manifest->n_callers++] ? 0 : -ENOMEM;
}

int manifest_read_bindings(const struct key_reading *reading, const struct key *key,
                           const struct yaml_node *list, void *base)
{
    struct manifest *manifest = base;
    int r = 0;

    (void) key;
    if (!list || list->n_children == 0)
        return 0;
    manifest->bindings = calloc(list->n_children, sizeof *manifest->bindings);
    if (!manifest->bindings)
        return -ENOMEM;
    for (const struct yaml_node *node = list->first_child; node && r == 0; node = node->next)
        r = take_binding(reading, node, manifest);
    return r;
}

int manifest_read_callers(const struct key_reading *reading, const struct key *key,
                          const struct yaml_node *list, void *base)
{
    struct manifest *manifest = base;
    int r = 0;

    (void) key;
    if (!list || list->n_children == 0)
        return 0;
    manifest->callers = calloc(list->n_children, sizeof *manifest->callers);
    if (!manifest->callers)
        return -ENOMEM;
    for (const struct yaml_node *node = list->first_child; node && r == 0; node = node->next)
        r = take_caller(reading->document, node, manifest, reading->errors);
    return r;
}

int manifest_copy_bindings(const struct manifest *from, struct manifest *to)
{
    to->bindings = calloc(from->n_bindings + 1, sizeof *to->bindings);
    to->callers = calloc(from->n_callers + 1, sizeof *to->callers);
    if (!to->bindings || !to->callers)
        return -ENOMEM;
    for (unsigned i = 0; i < from->n_bindings; i++) {
        struct binding *binding = &to->bindings[to->n_bindings++];
        *binding = from->bindings[i];
        binding->name = strdup(from->bindings[i].name);
        binding->target = strdup(from->bindings[i].target);
        binding->migrations = NULL;
        if (from->bindings[i].migrations &&
            !(binding->migrations = strdup(from->bindings[i].migrations)))
            return -ENOMEM;
        if (!binding->name || !binding->target)
            return -ENOMEM;
    }
    for (unsigned i = 0; i < from->n_callers; i++) {
        to->callers[to->n_callers] = strdup(from->callers[i]);
        if (!to->callers[to->n_callers++])
            return -ENOMEM;
    }
    return 0;
}

static bool has_same_migrations(const struct binding *a, const struct binding *b)
{
    return strcmp(a->migrations ? a->migrations : "", b->migrations ? b->migrations : "") == 0;
}

bool manifest_has_same_bindings(const struct manifest *a, const struct manifest *b)
{
    if (a->n_bindings != b->n_bindings || a->n_callers != b->n_callers)
        return false;
    for (unsigned i = 0; i < a->n_bindings; i++)
        if (a->bindings[i].kind != b->bindings[i].kind ||
            strcmp(a->bindings[i].name, b->bindings[i].name) != 0 ||
            strcmp(a->bindings[i].target, b->bindings[i].target) != 0 ||
            !has_same_migrations(&a->bindings[i], &b->bindings[i]))
            return false;
    for (unsigned i = 0; i < a->n_callers; i++)
        if (strcmp(a->callers[i], b->callers[i]) != 0)
            return false;
    return true;
}

void manifest_free_bindings(struct manifest *manifest)
{
    for (unsigned i = 0; i < manifest->n_bindings; i++) {
        free(manifest->bindings[i].name);
        free(manifest->bindings[i].target);
        free(manifest->bindings[i].migrations);
    }
    for (unsigned i = 0; i < manifest->n_callers; i++)
        free(manifest->callers[i]);
    free(manifest->bindings);
    free(manifest->callers);
}
