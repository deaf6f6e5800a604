/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sorted arrays: of hosts, and in each host of exact paths and of prefixes. A prefix knows the
 * longest other one that it starts with, so that one binary search and a walk over these links
 * find the longest that fits. Supervisor, loop thread; knows nothing of tenants.
 */
#include "supervisor/tenants/router.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

#define HOST_MAX 253 /* RFC 1035; a longer host can match "any host" only */

struct route {
    const struct route *parent; /* a prefix's longest other prefix; borrowed */
    void *target;               /* borrowed: from router_add */
    size_t size;
    char path[];
};

struct routes { /* sorted by path */
    struct route **items;
    size_t count;
};

struct host {
    struct routes exact, prefixes;
    size_t size;
    char name[];
};

struct hosts { /* sorted by size, then name */
    struct host **items;
    size_t count;
};

struct router {
    struct hosts exact, suffixes;
    struct hosts any; /* one host, with an empty name */
};

/* A request path followed by a '/' that it may not have: see find_prefix. */
struct target_path {
    const char *data;
    size_t size; /* without that '/' */
};

int router_new(struct router **ret_router)
{
    struct router *router = calloc(1, sizeof *router);

    if (!router)
        return -ENOMEM;
    *ret_router = router;
    return 0;
}

static void host_free(struct host *host)
{
    for (size_t i = 0; i < host->exact.count; i++)
        free(host->exact.items[i]);
    for (size_t i = 0; i < host->prefixes.count; i++)
        free(host->prefixes.items[i]);
    free(host->exact.items);
    free(host->prefixes.items);
    free(host);
}

static void hosts_done(struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++)
        host_free(hosts->items[i]);
    free(hosts->items);
}

struct router *router_free(struct router *router)
{
    if (!router)
        return NULL;
    hosts_done(&router->exact);
    hosts_done(&router->suffixes);
    hosts_done(&router->any);
    free(router);
    return NULL;
}

static int compare_host(const struct host *host, const char *name, size_t size)
{
    if (host->size != size)
        return host->size < size ? -1 : 1;
    return memcmp(host->name, name, size);
}

/* Returns the index of the first host that is not before name. */
static size_t hosts_place(const struct hosts *hosts, const char *name, size_t size)
{
    size_t low = 0;
    size_t high = hosts->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_host(hosts->items[middle], name, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct host *hosts_find(const struct hosts *hosts, const char *name, size_t size)
{
    size_t place = hosts_place(hosts, name, size);

    if (place < hosts->count && compare_host(hosts->items[place], name, size) == 0)
        return hosts->items[place];
    return NULL;
}

static int hosts_add(struct hosts *hosts, const char *name, struct host **ret_host)
{
    size_t size = strlen(name);
    size_t place = hosts_place(hosts, name, size);
    struct host **items = reallocarray(hosts->items, hosts->count + 1, sizeof(struct host *));

    if (!items)
        return -ENOMEM;
    hosts->items = items;
    struct host *host = calloc(1, sizeof *host + size);
    if (!host)
        return -ENOMEM;
    host->size = size;
    memcpy(host->name, name, size);
    memmove(items + place + 1, items + place, (hosts->count - place) * sizeof(struct host *));
    items[place] = host;
    hosts->count++;
    *ret_host = host;
    return 0;
}

static char path_at(const struct target_path *path, size_t i)
{
    if (i < path->size)
        return path->data[i];
    return '/';
}

/* Returns how many first bytes of route and path, with the '/' behind it, are the same. */
static size_t common_size(const struct route *route, const struct target_path *path)
{
    size_t most = route->size < path->size + 1 ? route->size : path->size + 1;
    size_t n = 0;

    while (n < most && route->path[n] == path_at(path, n))
        n++;
    return n;
}

/* Returns whether route comes after path in the order of bytes; shared: common_size of the two. */
static bool is_after(const struct route *route, const struct target_path *path, size_t shared)
{
    if (shared == route->size)
        return false;
    return shared > path->size ||
           (unsigned char) route->path[shared] > (unsigned char) path_at(path, shared);
}

/*
 * Finds the longest prefix of path and a '/': with that '/', "/api" finds "/api/", and no other
 * result changes, as each prefix of "/api/" but itself is one of "/api". The last route that is not
 * after path shares more with it than any other, so each prefix of path is that route or is among
 * its parents.
 */
static const struct route *find_prefix(const struct routes *routes, const struct target_path *path)
{
    size_t low = 0;
    size_t high = routes->count;
    size_t shared = 0; /* common size of path and items[low - 1] */

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t n = common_size(routes->items[middle], path);
        if (is_after(routes->items[middle], path, n)) {
            high = middle;
        } else {
            low = middle + 1;
            shared = n;
        }
    }
    const struct route *route = low > 0 ? routes->items[low - 1] : NULL;
    while (route && route->size > shared)
        route = route->parent;
    return route;
}

static int compare_route(const struct route *route, const char *path, size_t size)
{
    int r = memcmp(route->path, path, route->size < size ? route->size : size);

    if (r != 0)
        return r;
    return (route->size > size) - (route->size < size);
}

/* Returns the index of the first route that is not before path. */
static size_t routes_place(const struct routes *routes, const char *path, size_t size)
{
    size_t low = 0;
    size_t high = routes->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_route(routes->items[middle], path, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct route *find_exact(const struct routes *routes, const char *path, size_t size)
{
    size_t place = routes_place(routes, path, size);

    if (place < routes->count && compare_route(routes->items[place], path, size) == 0)
        return routes->items[place];
    return NULL;
}

static bool starts_with(const struct route *route, const struct route *prefix)
{
    return route->size >= prefix->size && memcmp(route->path, prefix->path, prefix->size) == 0;
}

/* Sets the parent of items[i]; the items before it have theirs. */
static void link_parent(struct routes *routes, size_t i)
{
    const struct route *parent = i > 0 ? routes->items[i - 1] : NULL;

    while (parent && !starts_with(routes->items[i], parent))
        parent = parent->parent;
    routes->items[i]->parent = parent;
}

static int routes_add(struct routes *routes, const char *path, void *target)
{
    size_t size = strlen(path);
    size_t place = routes_place(routes, path, size);

    if (find_exact(routes, path, size))
        return -EEXIST;
    struct route **items = reallocarray(routes->items, routes->count + 1, sizeof(struct route *));
    if (!items)
        return -ENOMEM;
    routes->items = items;
    struct route *route = calloc(1, sizeof *route + size);
    if (!route)
        return -ENOMEM;
    route->size = size;
    route->target = target;
    memcpy(route->path, path, size);
    memmove(items + place + 1, items + place, (routes->count - place) * sizeof(struct route *));
    items[place] = route;
    routes->count++;
    link_parent(routes, place);
    for (size_t i = place + 1; i < routes->count && starts_with(items[i], route); i++)
        link_parent(routes, i);
    return 0;
}

static void routes_remove(struct routes *routes, const void *target)
{
    size_t kept = 0;

    for (size_t i = 0; i < routes->count; i++)
        if (routes->items[i]->target == target)
            free(routes->items[i]);
        else
            routes->items[kept++] = routes->items[i];
    if (kept == routes->count)
        return;
    routes->count = kept;
    for (size_t i = 0; i < kept; i++)
        link_parent(routes, i);
}

int router_add(struct router *router, const struct route_pattern *pattern, void *target)
{
    struct hosts *hosts = &router->exact;

    if (pattern->host[0] == '\0')
        hosts = &router->any;
    else if (pattern->is_suffix)
        hosts = &router->suffixes;
    struct host *host = hosts_find(hosts, pattern->host, strlen(pattern->host));
    if (!host) {
        int r = hosts_add(hosts, pattern->host, &host);
        if (r < 0)
            return r;
    }
    return routes_add(pattern->is_exact ? &host->exact : &host->prefixes, pattern->path, target);
}

static void hosts_remove(struct hosts *hosts, const void *target)
{
    size_t kept = 0;

    for (size_t i = 0; i < hosts->count; i++) {
        struct host *host = hosts->items[i];
        routes_remove(&host->exact, target);
        routes_remove(&host->prefixes, target);
        if (host->exact.count + host->prefixes.count == 0)
            host_free(host);
        else
            hosts->items[kept++] = host;
    }
    hosts->count = kept;
}

void router_remove(struct router *router, const void *target)
{
    hosts_remove(&router->exact, target);
    hosts_remove(&router->suffixes, target);
    hosts_remove(&router->any, target);
}

static void *host_match(const struct host *host, const struct target_path *path)
{
    const struct route *route = find_exact(&host->exact, path->data, path->size);

    if (!route)
        route = find_prefix(&host->prefixes, path);
    return route ? route->target : NULL;
}

static void *find_named(const struct router *router, const char *name, size_t size,
                        const struct target_path *path)
{
    const struct host *host = hosts_find(&router->exact, name, size);
    void *target = host ? host_match(host, path) : NULL;

    while (!target && router->suffixes.count > 0) {
        const char *dot = memchr(name, '.', size);
        if (!dot)
            break;
        size -= (size_t) (dot + 1 - name);
        name = dot + 1;
        host = hosts_find(&router->suffixes, name, size);
        target = host ? host_match(host, path) : NULL;
    }
    return target;
}

void *router_find(const struct router *router, const char *host, size_t host_size, const char *path,
                  size_t path_size)
{
    struct target_path target_path = { .data = "/", .size = 1 };
    void *target = NULL;

    if (path_size > 0 && path[0] == '/') {
        const char *query = memchr(path, '?', path_size);
        target_path.data = path;
        target_path.size = query ? (size_t) (query - path) : path_size;
    }
    if (host_size > 0 && host[host_size - 1] == '.')
        host_size--;
    if (host_size > 0 && host_size <= HOST_MAX)
        target = find_named(router, host, host_size, &target_path);
    if (!target && router->any.count > 0)
        target = host_match(router->any.items[0], &target_path);
    return target;
}
