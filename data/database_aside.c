/* SPDX-License-Identifier: Apache-2.0 */
#include "data/database_aside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cleanup.h"

#define NAMES_MAX 100

static const char *const endings[] = { "", "-wal", "-journal" };

int database_sibling(const char *path, const char *ending,
                     char ret_sibling[static DATABASE_PATH_BYTES])
{
    const int n = snprintf(ret_sibling, DATABASE_PATH_BYTES, "%s%s", path, ending);

    return n < 0 || n >= DATABASE_PATH_BYTES ? -ENAMETOOLONG : 0;
}

/* Syncs the folder of a path, so that its names are those on the disk. */
static int sync_folder(const char *path)
{
    char folder[DATABASE_PATH_BYTES];
    const char *slash = strrchr(path, '/');

    (void) snprintf(folder, sizeof folder, "%.*s", slash ? (int) (slash - path) + 1 : 1,
                    slash ? path : ".");
    _cleanup_fd_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Finds a name that no file has. 0 or -errno. */
static int find_name(const char *path, char ret_name[static DATABASE_PATH_BYTES])
{
    char ending[64], when[32];
    struct stat st;
    struct tm tm;
    const time_t now = time(NULL);

    if (!gmtime_r(&now, &tm) || strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm) == 0)
        return -EINVAL;
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        if (i == 0)
            (void) snprintf(ending, sizeof ending, ".corrupt-%s", when);
        else
            (void) snprintf(ending, sizeof ending, ".corrupt-%s.%u", when, i);
        const int r = database_sibling(path, ending, ret_name);
        if (r < 0)
            return r;
        if (lstat(ret_name, &st) < 0)
            return errno == ENOENT ? 0 : -errno;
    }
    return -EEXIST;
}

int database_put_aside(const char *path, const char *reason, char notice[static 512])
{
    char aside[DATABASE_PATH_BYTES], from[DATABASE_PATH_BYTES], to[DATABASE_PATH_BYTES];
    int r = find_name(path, aside);

    for (size_t i = 0; r == 0 && i < ARRAY_LEN(endings); i++) {
        r = database_sibling(path, endings[i], from);
        if (r == 0)
            r = database_sibling(aside, endings[i], to);
        if (r == 0 && rename(from, to) < 0 && errno != ENOENT)
            r = -errno;
    }
    if (r == 0)
        r = sync_folder(path);
    if (r == 0)
        (void) snprintf(notice, 512, "%.150s is corrupt (%.80s): kept as %.200s, a new one is made",
                        path, reason, aside);
    return r;
}
