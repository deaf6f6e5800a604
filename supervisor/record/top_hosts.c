/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/record/top_hosts.h"

#include <stdio.h>
#include <string.h>

/* Returns the host's place, or the one that it takes over: of the least weight. */
static struct top_host *find(struct top_hosts *top, const char *name)
{
    struct top_host *least = &top->hosts[0];

    for (size_t i = 0; i < TOP_HOSTS_KEPT; i++) {
        struct top_host *host = &top->hosts[i];
        if (host->count > 0 && strncmp(host->name, name, sizeof host->name - 1) == 0)
            return host;
        if (host->weight < least->weight)
            least = host;
    }
    least->count = 0;
    (void) snprintf(least->name, sizeof least->name, "%s", name);
    return least;
}

void top_hosts_count(struct top_hosts *top, const char *name)
{
    struct top_host *host = find(top, name);

    host->weight++;
    host->count++;
    top->total++;
}

size_t top_hosts_list(const struct top_hosts *top,
                      const struct top_host *ret_hosts[static TOP_HOSTS_SHOWN])
{
    size_t n = 0;

    for (size_t i = 0; i < TOP_HOSTS_KEPT; i++) {
        const struct top_host *host = &top->hosts[i];
        size_t at = n;
        if (host->count == 0 || host->count < top->total / TOP_HOSTS_KEPT)
            continue;
        while (at > 0 && ret_hosts[at - 1]->count < host->count)
            at--;
        if (at == TOP_HOSTS_SHOWN)
            continue;
        n += n < TOP_HOSTS_SHOWN;
        for (size_t k = n - 1; k > at; k--)
            ret_hosts[k] = ret_hosts[k - 1];
        ret_hosts[at] = host;
    }
    return n;
}
