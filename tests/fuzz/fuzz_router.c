/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares the route table with a plain reading of its rules. Each line of the input is an order:
 * "+ROUTE" adds a route, "-N" takes out all routes of target N, anything else is "HOST PATH" to be
 * looked up.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "supervisor/tenants/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUTES_MAX 64
#define TARGETS 4U
#define HOST_MAX 253 /* RFC 1035; a longer host fits only a route for any host */

struct route {
    struct route_pattern pattern;
    uintptr_t target; /* 1 to TARGETS; 0: the place is free */
};

struct table {
    struct router *router;
    struct route routes[ROUTES_MAX];
    unsigned added;
};

/* ---- the rules, read plainly */

/* Returns how well the pattern's host fits, 0: not at all. An exact one is better than any suffix,
 * and a longer suffix than a shorter one. */
static size_t host_rank(const struct route_pattern *pattern, const char *host, size_t size)
{
    size_t own = strlen(pattern->host);

    if (own == 0 && !pattern->is_suffix)
        return 1;
    if (size > HOST_MAX)
        return 0;
    if (!pattern->is_suffix)
        return own == size && memcmp(host, pattern->host, own) == 0 ? SIZE_MAX : 0;
    if (size < own + 1 || host[size - own - 1] != '.' ||
        memcmp(host + size - own, pattern->host, own) != 0)
        return 0;
    return own + 2;
}

/* Returns the same of its path. */
static size_t path_rank(const struct route_pattern *pattern, const char *path, size_t size)
{
    size_t own = strlen(pattern->path);

    if (pattern->is_exact)
        return own == size && memcmp(path, pattern->path, own) == 0 ? SIZE_MAX : 0;
    if (size >= own && memcmp(path, pattern->path, own) == 0)
        return own + 1;
    return own > 1 && pattern->path[own - 1] == '/' && size == own - 1 &&
                   memcmp(path, pattern->path, size) == 0
               ? own + 1
               : 0;
}

static uintptr_t find_plainly(const struct table *table, const char *host, size_t host_size,
                              const char *path, size_t path_size)
{
    size_t best_host = 0, best_path = 0;
    uintptr_t found = 0;

    if (host_size > 0 && host[host_size - 1] == '.')
        host_size--;
    const char *query = memchr(path, '?', path_size);
    if (query)
        path_size = (size_t) (query - path);
    if (path_size == 0 || path[0] != '/') {
        path = "/";
        path_size = 1;
    }
    for (unsigned i = 0; i < ROUTES_MAX; i++) {
        const struct route *route = &table->routes[i];
        size_t of_host = route->target ? host_rank(&route->pattern, host, host_size) : 0;
        size_t of_path = of_host > 0 ? path_rank(&route->pattern, path, path_size) : 0;
        if (of_path == 0 || of_host < best_host || (of_host == best_host && of_path <= best_path))
            continue;
        best_host = of_host;
        best_path = of_path;
        found = route->target;
    }
    return found;
}

/* ---- orders */

static bool has_pattern(const struct table *table, const struct route_pattern *pattern)
{
    for (unsigned i = 0; i < ROUTES_MAX; i++) {
        const struct route_pattern *other = &table->routes[i].pattern;
        if (table->routes[i].target && strcmp(other->host, pattern->host) == 0 &&
            strcmp(other->path, pattern->path) == 0 && other->is_suffix == pattern->is_suffix &&
            other->is_exact == pattern->is_exact)
            return true;
    }
    return false;
}

static void add(struct table *table, const char *text)
{
    struct route *route = NULL;
    const char *reason = NULL;

    for (unsigned i = 0; i < ROUTES_MAX && !route; i++)
        if (!table->routes[i].target)
            route = &table->routes[i];
    if (!route || route_pattern_parse(text, &route->pattern, &reason) < 0)
        return;
    bool is_there = has_pattern(table, &route->pattern);
    uintptr_t target = table->added++ % TARGETS + 1;
    int r = router_add(table->router, &route->pattern, (void *) target);
    if (r != (is_there ? -EEXIST : 0))
        abort();
    if (r == 0)
        route->target = target;
    else
        route_pattern_done(&route->pattern);
}

static void take_out(struct table *table, uintptr_t target)
{
    router_remove(table->router, (void *) target);
    for (unsigned i = 0; i < ROUTES_MAX; i++)
        if (table->routes[i].target == target) {
            table->routes[i].target = 0;
            route_pattern_done(&table->routes[i].pattern);
        }
}

static void look_up(const struct table *table, const char *line)
{
    const char *blank = strchr(line, ' ');
    const char *path = blank ? blank + 1 : "/";
    size_t host_size = blank ? (size_t) (blank - line) : strlen(line);

    uintptr_t found = (uintptr_t) router_find(table->router, line, host_size, path, strlen(path));
    if (found != find_plainly(table, line, host_size, path, strlen(path)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table table = { 0 };

    if (router_new(&table.router) < 0)
        return 0;
    _cleanup_free_ char *copy = strndup((const char *) data, size < 8192 ? size : 8192);
    char *rest = copy;
    for (const char *line; copy && (line = strsep(&rest, "\n"));) {
        if (line[0] == '+')
            add(&table, line + 1);
        else if (line[0] == '-')
            take_out(&table, (uintptr_t) ((unsigned char) line[1] % TARGETS + 1));
        else
            look_up(&table, line);
    }
    for (uintptr_t target = 1; target <= TARGETS; target++)
        take_out(&table, target);
    (void) router_free(table.router);
    return 0;
}
