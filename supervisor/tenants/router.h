/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the tenant that answers for a host and a path: exact host, then the longest *.suffix, then
 * any host; within the host the exact path, then the longest prefix. Where a host has no route
 * for the path, the next host is tried. Pure data; supervisor.
 *
 * Paths are compared byte by byte, as sent: nothing is percent-decoded, no "." or ".." is
 * resolved, and case counts. So "/%61pi" is not below "/api/", and "/api/../x" is. A request
 * that misses a route by its spelling goes to the next shorter route.
 *
 * A prefix that ends with '/' also takes the path without that '/': "/api/" with '*' takes
 * "/api/x", "/api/" and "/api", not "/apix". (Cloudflare leaves "/api" out, so people write
 * two routes there.) A prefix without it takes "/apix" too.
 *
 * *.example.com takes a.example.com and a.b.example.com, not example.com itself.
 */
#pragma once

#include <stddef.h>

#include "config/manifest.h"

struct router;

int router_new(struct router **ret_router);
struct router *router_free(struct router *router);

/* Adds a route to target (borrowed, not NULL). -EEXIST if that pattern is there already;
 * -ENOMEM. pattern is copied. Time grows with the number of hosts, and of routes of that host. */
int router_add(struct router *router, const struct route_pattern *pattern, void *target);
/* Removes all routes of target. Looks at every route. */
void router_remove(struct router *router, const void *target);

/* host: lower case, without port; one dot at its end does not count. path: with or without query;
 * "*" and any other path that does not start with '/' counts as "/". Returns NULL if no route fits.
 * No allocation. Time: for each label of the host a binary search over the hosts, and for each host
 * found one over its routes and a step for each of its prefixes that contains the next: no hash, so
 * nothing for an adversary to collide. */
void *router_find(const struct router *router, const char *host, size_t host_size, const char *path,
                  size_t path_size);
