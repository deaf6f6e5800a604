/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All tenants of a folder, checked against each other and against the config. skepd at start and
 * on reload; `skep check`.
 */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/manifest.h"
#include "config/names.h"
#include "config/tenant_files.h"

/* A route and its tenant; borrowed from the set. */
struct claim {
    const struct route_pattern *pattern;
    const struct manifest *manifest;
};

struct index {
    void *names;  /* tsearch(3) trees of borrowed manifests */
    void *routes; /* tree of owned claims */
};

static int compare_names(const void *a, const void *b)
{
    const struct manifest *left = a;
    const struct manifest *right = b;

    return strcmp(left->name, right->name);
}

static int compare_claims(const void *a, const void *b)
{
    const struct claim *left = a;
    const struct claim *right = b;

    return route_pattern_compare(left->pattern, right->pattern);
}

static void keep(void *borrowed)
{
    (void) borrowed;
}

static void index_done(struct index *index)
{
    tdestroy(index->names, keep);
    tdestroy(index->routes, free);
}

DEFINE_CLEANUP(struct manifest *, manifest_free, manifest_cleanup)

static void set_cleanup(struct manifest_set *set)
{
    manifest_set_done(set);
}

int manifest_check(const struct manifest *manifest, const struct config *config,
                   struct config_errors *errors)
{
    const struct cordon_config *cordon = config_find_cordon(config, manifest->cordon);
    unsigned before = errors->count;

    if (!cordon) {
        char names[256] = "";
        for (unsigned i = 0; i < config->n_cordons; i++) {
            size_t have = strlen(names);
            (void) snprintf(names + have, sizeof names - have, "%s%s", i > 0 ? ", " : "",
                            config->cordons[i]->name);
        }
        config_errors_add(errors, manifest->file, manifest->lines.cordon,
                          "cordon: unknown cordon \"%s\": expected one of %s", manifest->cordon,
                          names);
        return -EINVAL;
    }
    for (size_t i = 0; i < LIMITS_COUNT && !cordon->allow_unlimited; i++)
        if (!limit_table[i].word &&
            limit_get(&manifest->limits, &limit_table[i]) == LIMIT_UNLIMITED)
            config_errors_add(errors, manifest->file, manifest->lines.limits[i],
                              "limits.%s: \"unlimited\" is not allowed: expected a number, or "
                              "allow_unlimited: on in cordon \"%s\"",
                              limit_table[i].name, cordon->name);
    /* Where it is not given, nobody asked for more than the cordon allows. */
    if (manifest->eval > cordon->eval && manifest->lines.eval > 0)
        config_errors_add(errors, manifest->file, manifest->lines.eval,
                          "eval: \"%s\" is not allowed: expected %s, or eval: %s in cordon \"%s\"",
                          eval_mode_name(manifest->eval), cordon->eval == EVAL_OFF ? "off" : "load",
                          eval_mode_name(manifest->eval), cordon->name);
    const struct binding *stored = manifest_find_storage(manifest);
    if (stored && !config->storage.folder)
        config_errors_add(errors, manifest->file, stored->line,
                          "bindings: \"%s\" needs storage, and skepd.yaml names no folder for it: "
                          "expected storage.folder (or state) there",
                          stored->name);
    size_t bytes = tenant_files_bytes(manifest), max_bytes = (size_t) cordon->files_mib << 20;
    if (bytes > max_bytes)
        config_errors_add(errors, manifest->file, manifest->lines.cordon,
                          "its files are too large: %.1f MiB: expected at most %u MiB together, "
                          "files_mib of cordon \"%s\"",
                          (double) bytes / (1 << 20), cordon->files_mib, cordon->name);
    return errors->count > before ? -EINVAL : 0;
}

static int check_name(const struct index *index, const struct manifest *manifest,
                      struct config_errors *errors)
{
    struct manifest *const *first = tfind(manifest, &index->names, compare_names);

    if (!first)
        return 0;
    config_errors_add(errors, manifest->file, manifest->lines.name,
                      "duplicate name \"%s\": %s:%u has it already", manifest->name, (*first)->file,
                      (*first)->lines.name);
    return -EINVAL;
}

static int check_routes(const struct index *index, const struct manifest *manifest,
                        struct config_errors *errors)
{
    int r = 0;

    for (unsigned i = 0; i < manifest->n_routes; i++) {
        char text[ROUTE_TEXT_BYTES];
        const struct route_pattern *pattern = &manifest->routes[i];
        const struct claim claim = { pattern, manifest };
        struct claim *const *first = tfind(&claim, &index->routes, compare_claims);
        if (!first)
            continue;
        config_errors_add(
            errors, manifest->file, pattern->line, "duplicate route \"%s\": %s:%u has it already",
            route_pattern_text(pattern, text), (*first)->manifest->file, (*first)->pattern->line);
        r = -EINVAL;
    }
    return r;
}

/* Adds a manifest, which must outlive the index. */
static int index_add(struct index *index, const struct manifest *manifest)
{
    if (!tsearch(manifest, &index->names, compare_names))
        return -ENOMEM;
    for (unsigned i = 0; i < manifest->n_routes; i++) {
        _cleanup_free_ struct claim *claim = malloc(sizeof *claim);
        if (!claim)
            return -ENOMEM;
        *claim = (struct claim){ &manifest->routes[i], manifest };
        if (!tsearch(claim, &index->routes, compare_claims))
            return -ENOMEM;
        TAKE_PTR(claim);
    }
    return 0;
}

static int set_add(struct manifest_set *set, struct index *index, struct manifest *manifest)
{
    struct manifest **items = reallocarray(set->items, set->count + 1, sizeof(struct manifest *));

    if (!items) {
        (void) manifest_free(manifest);
        return -ENOMEM;
    }
    set->items = items;
    items[set->count++] = manifest;
    return index_add(index, manifest);
}

/* Adds a folder. Folders are added in the order of their names, so the list is sorted. */
static struct manifest_folder *add_folder(struct manifest_set *set, const char *dir)
{
    struct manifest_folder *folders =
        reallocarray(set->folders, set->n_folders + 1, sizeof *set->folders);

    if (!folders)
        return NULL;
    set->folders = folders;
    folders[set->n_folders] = (struct manifest_folder){ .dir = strdup(dir) };
    return folders[set->n_folders].dir ? &folders[set->n_folders++] : NULL;
}

static int read_one(const char *dir, const struct config *config, struct manifest_set *set,
                    struct index *index, struct config_errors *errors)
{
    _cleanup_(manifest_cleanup) struct manifest *manifest = NULL;

    struct manifest_folder *folder = add_folder(set, dir);

    if (!folder)
        return -ENOMEM;
    int r = manifest_read(dir, config_files_bytes(config), &manifest, errors);
    if (r == 0 && config)
        r = manifest_check(manifest, config, errors);
    if (r == 0)
        r = check_name(index, manifest, errors);
    if (r == 0)
        r = check_routes(index, manifest, errors);
    if (r < 0)
        return r;
    folder->is_good = true;
    return set_add(set, index, TAKE_PTR(manifest));
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* alphasort(3) depends on the locale */
}

/* Returns whether a folder has a skep.yaml, be it a broken one. */
static bool has_manifest(const char *dir)
{
    _cleanup_free_ char *file = path_absolute(dir, "skep.yaml");
    _cleanup_fd_ int fd = file ? open(file, O_PATH | O_CLOEXEC | O_NOFOLLOW) : -1;

    return fd >= 0;
}

/* ---- finding */

struct manifest_name {
    char text[NAME_MAX_BYTES + 1];
    unsigned item;
};

static int compare_texts(const void *a, const void *b)
{
    const struct manifest_name *left = a;
    const struct manifest_name *right = b;

    return strcmp(left->text, right->text);
}

static int sort_names(struct manifest_set *set)
{
    set->names = calloc(set->count + 1, sizeof *set->names);
    if (!set->names)
        return -ENOMEM;
    for (unsigned i = 0; i < set->count; i++) {
        (void) snprintf(set->names[i].text, sizeof set->names[i].text, "%s", set->items[i]->name);
        set->names[i].item = i;
    }
    qsort(set->names, set->count, sizeof *set->names, compare_texts);
    return 0;
}

struct manifest **manifest_set_find(const struct manifest_set *set, const char *name)
{
    struct manifest_name key = { .item = 0 };

    (void) snprintf(key.text, sizeof key.text, "%s", name);
    const struct manifest_name *found =
        set->names ? bsearch(&key, set->names, set->count, sizeof *set->names, compare_texts)
                   : NULL;
    return found && set->items[found->item] ? &set->items[found->item] : NULL;
}

static int compare_folders(const void *a, const void *b)
{
    const struct manifest_folder *left = a;
    const struct manifest_folder *right = b;

    return strcmp(left->dir, right->dir);
}

struct manifest_folder *manifest_set_find_folder(const struct manifest_set *set, const char *dir)
{
    const struct manifest_folder key = { .dir = (char *) (uintptr_t) dir };

    return set->folders ? bsearch(&key, set->folders, set->n_folders, sizeof key, compare_folders)
                        : NULL;
}

/* ---- reading */

int manifest_read_all(const char *dir, const struct config *config, struct manifest_set *ret_set,
                      struct config_errors *errors)
{
    _cleanup_(set_cleanup) struct manifest_set set = { 0 };
    _cleanup_(index_done) struct index index = { 0 };
    struct dirent **entries = NULL;
    unsigned before = errors->count;
    int r = 0;

    int count = scandir(dir, &entries, is_visible, compare_entries);
    if (count < 0)
        config_errors_add(errors, dir, 0, "cannot be read: %s", strerrordesc_np(errno));
    set.is_read = count >= 0;
    for (int i = 0; i < count; i++) {
        _cleanup_free_ struct dirent *entry = entries[i];
        _cleanup_free_ char *path = path_absolute(dir, entry->d_name);
        if (!path)
            r = -ENOMEM;
        else if (r != -ENOMEM && has_manifest(path))
            r = read_one(path, config, &set, &index, errors);
    }
    free(entries);
    if (r == -ENOMEM || (r = sort_names(&set)) < 0)
        return r;
    *ret_set = set;
    set = (struct manifest_set){ 0 };
    return errors->count > before ? -EINVAL : 0;
}

void manifest_set_done(struct manifest_set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        (void) manifest_free(set->items[i]);
    free(set->items);
    for (unsigned i = 0; i < set->n_folders; i++)
        free(set->folders[i].dir);
    free(set->folders);
    free(set->names);
    *set = (struct manifest_set){ 0 };
}
