/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/tenants/callers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "config/names.h"
#include "supervisor/tenants/tenant.h"
#include "supervisor/tenants/unserved.h"

/* The text: this line, then one for each right: the called tenant, the caller, and `here` or `gone`. */
#define FIRST_LINE "skep callers 1"

struct kept_right {
    char callee[NAME_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];
    bool is_gone;
};

struct callers_kept {
    bool is_damaged; /* the text could not be read */
    size_t n;
    struct kept_right rights[]; /* sorted */
};

/* ---- rights from before the start */

static int compare(const void *a, const void *b)
{
    const struct kept_right *x = a, *y = b;
    int order = strcmp(x->callee, y->callee);

    return order != 0 ? order : strcmp(x->name, y->name);
}

static bool take_name(const char *field, char name[static NAME_MAX_BYTES + 1])
{
    if (!field || !name_is_valid(field) || strlen(field) > NAME_MAX_BYTES)
        return false;
    memcpy(name, field, strlen(field) + 1);
    return true;
}

static bool parse_line(char *line, struct kept_right *ret)
{
    const char *callee = strsep(&line, " "), *name = strsep(&line, " "), *state = line;

    if (!state || !take_name(callee, ret->callee) || !take_name(name, ret->name))
        return false;
    ret->is_gone = strcmp(state, "gone") == 0;
    return ret->is_gone || strcmp(state, "here") == 0;
}

/* Parses the text, which it changes. Returns whether all of it is as it was written. */
static bool parse(char *text, struct callers_kept *kept)
{
    char *line = strsep(&text, "\n");

    if (strcmp(line, FIRST_LINE) != 0)
        return false;
    while ((line = strsep(&text, "\n")) && text)
        if (!parse_line(line, &kept->rights[kept->n++]))
            return false;
    return line && line[0] == '\0'; /* the text ends with the end of a line */
}

int callers_read(struct tenants *tenants, const char *text, size_t size)
{
    _cleanup_free_ char *copy = strndup(text, size);
    size_t lines = 1;

    if (!copy)
        return -ENOMEM;
    for (const char *at = copy; (at = strchr(at, '\n')); at++)
        lines++;
    struct callers_kept *kept = calloc(1, sizeof *kept + lines * sizeof kept->rights[0]);
    if (!kept)
        return -ENOMEM;
    callers_done(tenants);
    tenants->kept = kept;
    kept->is_damaged = strlen(copy) != size || !parse(copy, kept);
    if (kept->is_damaged) {
        kept->n = 0;
        return -EBADMSG;
    }
    qsort(kept->rights, kept->n, sizeof kept->rights[0], compare);
    return 0;
}

void callers_done(struct tenants *tenants)
{
    free(tenants->kept);
    tenants->kept = NULL;
}

static const struct kept_right *find_kept(const struct callers_kept *kept, const char *callee,
                                          const char *name)
{
    struct kept_right key;

    if (!kept)
        return NULL;
    (void) snprintf(key.callee, sizeof key.callee, "%s", callee);
    (void) snprintf(key.name, sizeof key.name, "%s", name);
    return bsearch(&key, kept->rights, kept->n, sizeof key, compare);
}

/* Drops the kept rights of which the function says so. */
static void drop_kept(struct tenants *tenants,
                      bool (*is_over)(const struct tenants *tenants, const char *callee,
                                      const char *name),
                      const char *name)
{
    struct callers_kept *kept = tenants->kept;
    size_t n = 0;

    for (size_t i = 0; kept && i < kept->n; i++)
        if (!is_over(tenants, kept->rights[i].callee, name))
            kept->rights[n++] = kept->rights[i];
    if (kept)
        kept->n = n;
    if (n == 0)
        callers_done(tenants);
}

static bool is_of(const struct tenants *tenants, const char *callee, const char *name)
{
    (void) tenants;
    return strcmp(callee, name) == 0;
}

static bool is_not_unserved(const struct tenants *tenants, const char *callee, const char *name)
{
    (void) name;
    return !unserved_find(tenants, callee);
}

/* ---- rights of versions */

/* Returns the tenant of that name; NULL: none has served. */
static const struct tenant *find_served(const struct tenants *tenants, const char *name)
{
    const struct tenant *tenant = tenant_find(tenants, name, strlen(name));

    return tenant && !tenant->deployed.is_unrouted ? tenant : NULL;
}

static const struct caller_right *find(const struct version *version, const char *name)
{
    if (version)
        for (unsigned i = 0; i < version->manifest->n_callers; i++)
            if (strcmp(version->rights[i].name, name) == 0)
                return &version->rights[i];
    return NULL;
}

/* Binds a name of a tenant's first version. */
static void bind_first(const struct tenants *tenants, const char *callee,
                       struct caller_right *right)
{
    const struct kept_right *kept = find_kept(tenants->kept, callee, right->name);
    const struct tenant *tenant = find_served(tenants, right->name);

    right->was_here = kept && !kept->is_gone;
    if ((kept && kept->is_gone) || (tenants->kept && tenants->kept->is_damaged))
        right->tenant = CALLER_GONE;
    else
        right->tenant = tenant ? tenant->number : 0;
}

int callers_bind(struct tenants *tenants, struct version *version, const struct version *before)
{
    const struct manifest *manifest = version->manifest;
    unsigned n = manifest->n_callers;

    if (n == 0)
        return 0;
    version->rights = calloc(n, sizeof *version->rights);
    if (!version->rights)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        struct caller_right *right = &version->rights[i];
        right->name = manifest->callers[i];
        const struct caller_right *old = find(before, right->name);
        const struct tenant *tenant = find_served(tenants, right->name);
        if (old) {
            right->tenant = old->tenant;
            right->was_here = old->was_here;
        } else if (before) {
            right->tenant = tenant ? tenant->number : 0;
        } else {
            bind_first(tenants, manifest->name, right);
        }
        if (right->tenant == 0)
            LIST_INSERT_HEAD(&tenants->awaited, right, awaited);
    }
    return 0;
}

void callers_free(struct version *version)
{
    for (unsigned i = 0; version->rights && i < version->manifest->n_callers; i++)
        if (version->rights[i].name && version->rights[i].tenant == 0)
            LIST_REMOVE(&version->rights[i], awaited);
    free(version->rights);
}

void callers_on_served(struct tenants *tenants, const struct tenant *tenant)
{
    struct caller_right *right, *next;

    for (right = LIST_FIRST(&tenants->awaited); right; right = next) {
        next = LIST_NEXT(right, awaited);
        if (strcmp(right->name, tenant->name) != 0)
            continue;
        LIST_REMOVE(right, awaited);
        right->tenant = tenant->number;
    }
    callers_changed(tenants);
}

/* Ends the awaited rights of tenants that were there before the start. name: of that name only; NULL: of all that are
 * not there, served or not. */
static void end_awaited(struct tenants *tenants, const char *name)
{
    struct caller_right *right, *next;

    for (right = LIST_FIRST(&tenants->awaited); right; right = next) {
        next = LIST_NEXT(right, awaited);
        if (!right->was_here ||
            (name ? strcmp(right->name, name) != 0 : unserved_find(tenants, right->name) != NULL))
            continue;
        LIST_REMOVE(right, awaited);
        right->tenant = CALLER_GONE;
    }
}

void callers_on_removed(struct tenants *tenants, const char *name)
{
    drop_kept(tenants, is_of, name);
    end_awaited(tenants, name);
    callers_changed(tenants);
}

void callers_settle(struct tenants *tenants)
{
    drop_kept(tenants, is_not_unserved, NULL);
    end_awaited(tenants, NULL);
    callers_changed(tenants);
}

bool callers_may_call(const struct version *version, const struct tenant *tenant)
{
    for (unsigned i = 0; i < version->manifest->n_callers; i++)
        if (version->rights[i].tenant == tenant->number)
            return true;
    return false;
}

/* ---- over a restart */

static void write_right(FILE *file, const struct tenants *tenants, const char *callee,
                        const struct caller_right *right)
{
    const struct tenant *tenant = find_served(tenants, right->name);
    bool is_here = right->tenant == 0 || (tenant && tenant->number == right->tenant);

    if (right->tenant != 0 || right->was_here)
        (void) fprintf(file, "%s %s %s\n", callee, right->name, is_here ? "here" : "gone");
}

static void write_all(FILE *file, const struct tenants *tenants)
{
    const struct callers_kept *kept = tenants->kept;
    const struct tenant *tenant;

    (void) fputs(FIRST_LINE "\n", file);
    TAILQ_FOREACH (tenant, &tenants->list, entry)
        for (unsigned i = 0;
             !tenant->deployed.is_unrouted && i < tenant->version->manifest->n_callers; i++)
            write_right(file, tenants, tenant->name, &tenant->version->rights[i]);
    for (size_t i = 0; kept && i < kept->n; i++)
        if (!find_served(tenants, kept->rights[i].callee))
            (void) fprintf(file, "%s %s %s\n", kept->rights[i].callee, kept->rights[i].name,
                           kept->rights[i].is_gone ? "gone" : "here");
}

char *callers_write(const struct tenants *tenants, size_t *ret_size)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, ret_size);

    if (!file)
        return NULL;
    write_all(file, tenants);
    if (fclose(file) == 0)
        return text;
    free(text);
    return NULL;
}

void callers_watch(struct tenants *tenants, void (*on_changed)(void *owner), void *owner)
{
    tenants->on_callers = on_changed;
    tenants->callers_owner = owner;
}

void callers_changed(const struct tenants *tenants)
{
    if (tenants->on_callers)
        tenants->on_callers(tenants->callers_owner);
}
