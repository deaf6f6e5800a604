/* SPDX-License-Identifier: Apache-2.0 */
#include "common/v8_release.h"

#include <string.h>

#include "common/cleanup.h"

/* Releases by the release of Node.js that has them: the gem libv8-node has Node's number. */
static const struct {
    const char *version, *date;
} releases[] = {
    { "13.6.233.17", "2025-12-10" }, /* Node.js 24.12.0 */
};

const char *v8_release_date(const char *version)
{
    for (size_t i = 0; i < ARRAY_LEN(releases); i++) {
        size_t size = strlen(releases[i].version);
        /* Node's builds add "-node.12", those of the gem nothing. */
        if (strncmp(version, releases[i].version, size) == 0 &&
            (version[size] == '\0' || version[size] == '-'))
            return releases[i].date;
    }
    return "";
}
