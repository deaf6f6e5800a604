/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hosts that have answered most fetches of all tenants, in a fixed room (the Space-Saving algorithm of Metwally and others): a host
 * with more than one in TOP_HOSTS_KEPT of all fetches is found, however many others there are. Pure but for the table.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TOP_HOSTS_KEPT 64
/* Hosts that are shown at most; each of them has one in TOP_HOSTS_KEPT of all fetches at least. Tenants choose the names, so a
 * name that is seen once in a while must not become a label: of N fetches, the names that are ever shown grow with the logarithm of
 * N alone. */
#define TOP_HOSTS_SHOWN 16
#define TOP_HOST_BYTES 256

struct top_host {
    uint64_t weight; /* order of the algorithm: never less than the host's fetches */
    uint64_t count;  /* fetches since the host is in the table */
    char name[TOP_HOST_BYTES];
};

/* All zero: no fetch yet. */
struct top_hosts {
    struct top_host hosts[TOP_HOSTS_KEPT];
    uint64_t total; /* fetches of all hosts */
};

/* Counts a fetch. A name that is too long is cut. */
void top_hosts_count(struct top_hosts *top, const char *name);
/* Lists the hosts that are shown, the first one has most fetches; borrowed until the next count. Returns their number. */
size_t top_hosts_list(const struct top_hosts *top,
                      const struct top_host *ret_hosts[static TOP_HOSTS_SHOWN]);
