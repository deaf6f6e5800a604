/* SPDX-License-Identifier: Apache-2.0 */
#include "data/database_aside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

#define NAMES_MAX 100
#define MARK ".corrupt-"

static const char *const endings[] = { "", "-wal", "-journal" };

int database_sibling(const char *path, const char *ending,
                     char ret_sibling[static DATABASE_PATH_BYTES])
{
    const int n = snprintf(ret_sibling, DATABASE_PATH_BYTES, "%s%s", path, ending);

    return n < 0 || n >= DATABASE_PATH_BYTES ? -ENAMETOOLONG : 0;
}

/* Writes the name of a path's folder. */
static void folder_of(const char *path, char ret_folder[static DATABASE_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');

    (void) snprintf(ret_folder, DATABASE_PATH_BYTES, "%.*s", slash ? (int) (slash - path) + 1 : 1,
                    slash ? path : ".");
}

/* Syncs the folder of a path, so that its names are those on the disk. */
static int sync_folder(const char *path)
{
    char folder[DATABASE_PATH_BYTES];

    folder_of(path, folder);
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
            (void) snprintf(ending, sizeof ending, MARK "%s", when);
        else
            (void) snprintf(ending, sizeof ending, MARK "%s.%u", when, i);
        const int r = database_sibling(path, ending, ret_name);
        if (r < 0)
            return r;
        if (lstat(ret_name, &st) < 0)
            return errno == ENOENT ? 0 : -errno;
    }
    return -EEXIST;
}

/* ---- those of before */

/* Returns whether the name is that of a database that was put aside, and not of its WAL or journal. */
static bool is_aside(const char *name)
{
    const char *mark = strstr(name, MARK);

    return mark && !strchr(mark + strlen(MARK), '-');
}

static bool is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* Finds the one that was renamed first, and returns how many there are. */
static unsigned find_oldest(DIR *folder, char ret_name[static NAME_MAX + 1])
{
    struct timespec oldest = { 0 };
    const struct dirent *entry;
    struct stat st;
    unsigned n = 0;

    while ((entry = readdir(folder))) {
        if (!is_aside(entry->d_name) ||
            fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (n++ > 0 && !is_before(st.st_ctim, oldest))
            continue;
        oldest = st.st_ctim;
        (void) snprintf(ret_name, NAME_MAX + 1, "%s", entry->d_name);
    }
    return n;
}

/* Removes the one that was put aside first, if there are too many. Returns whether it did. */
static bool remove_oldest(const char *name)
{
    _cleanup_dir_ DIR *folder = opendir(name);
    char oldest[NAME_MAX + 1], sibling[DATABASE_PATH_BYTES];
    bool is_removed = false;

    if (!folder || find_oldest(folder, oldest) <= DATABASE_ASIDE_MAX)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(endings); i++)
        if (database_sibling(oldest, endings[i], sibling) == 0)
            is_removed |= unlinkat(dirfd(folder), sibling, 0) == 0;
    return is_removed;
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
    /* Each may be as large as a database, and counts for no quota. */
    folder_of(path, to);
    while (r == 0 && remove_oldest(to))
        ;
    if (r == 0)
        r = sync_folder(path);
    if (r == 0)
        (void) snprintf(notice, 512, "%.150s is corrupt (%.80s): kept as %.200s, a new one is made",
                        path, reason, aside);
    return r;
}
