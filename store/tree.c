/* SPDX-License-Identifier: Apache-2.0 */
#include "store/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define DEPTH_MAX 32 /* most folders below each other; a bundle has at most 17 */
#define OPEN_FOLDER (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int sync_fd(int fd)
{
    return fsync(fd) < 0 ? -errno : 0;
}

int tree_enter(int dir_fd, const char *name, bool make)
{
    bool is_new = false;

    if (make) {
        is_new = mkdirat(dir_fd, name, 0700) == 0;
        if (!is_new && errno != EEXIST)
            return -errno;
    }
    int fd = openat(dir_fd, name, OPEN_FOLDER);
    if (fd < 0)
        return -errno;
    int r = is_new ? sync_fd(dir_fd) : 0;
    if (r < 0) {
        (void) close(fd);
        return r;
    }
    return fd;
}

int tree_write(int dir_fd, const char *name, const void *data, size_t size)
{
    _cleanup_fd_ int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    int r = io_write_all(fd, data, size);
    if (r == 0)
        r = sync_fd(fd);
    if (r < 0)
        (void) unlinkat(dir_fd, name, 0);
    return r;
}

static int temporary_name(const char *name, char temporary[static NAME_MAX + 1])
{
    int n = snprintf(temporary, NAME_MAX + 1, TREE_TEMPORARY "%s", name);

    return n < 0 || n > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Renames the temporary file to its name. */
static int put(int dir_fd, const char *temporary, const char *name, bool *ret_is_switched)
{
    if (renameat(dir_fd, temporary, dir_fd, name) < 0) {
        int r = -errno;
        (void) unlinkat(dir_fd, temporary, 0);
        return r;
    }
    *ret_is_switched = true;
    return sync_fd(dir_fd);
}

int tree_replace(int dir_fd, const char *name, const void *data, size_t size)
{
    char temporary[NAME_MAX + 1];
    bool is_switched = false;

    int r = temporary_name(name, temporary);
    if (r == 0)
        r = tree_remove(dir_fd, temporary);
    if (r == 0)
        r = tree_write(dir_fd, temporary, data, size);
    return r < 0 ? r : put(dir_fd, temporary, name, &is_switched);
}

int tree_link(int dir_fd, const char *name, const char *target, bool *ret_is_switched)
{
    char temporary[NAME_MAX + 1];

    *ret_is_switched = false;
    int r = temporary_name(name, temporary);
    if (r == 0)
        r = tree_remove(dir_fd, temporary);
    if (r == 0 && symlinkat(target, dir_fd, temporary) < 0)
        r = -errno;
    return r < 0 ? r : put(dir_fd, temporary, name, ret_is_switched);
}

int tree_rename(int dir_fd, const char *from, const char *to)
{
    return renameat(dir_fd, from, dir_fd, to) < 0 ? -errno : sync_fd(dir_fd);
}

int tree_each(int dir_fd, int (*visit)(void *arg, int dir_fd, const char *name), void *arg)
{
    int fd = openat(dir_fd, ".", OPEN_FOLDER);
    _cleanup_dir_ DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    int r = 0;

    if (!dir) {
        r = -errno;
        if (fd >= 0)
            (void) close(fd);
        return r;
    }
    for (const struct dirent *entry; r == 0 && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            r = visit(arg, dir_fd, entry->d_name);
    return r;
}

/* ---- removing and syncing a tree; arg: the depth */

static int remove_entry(void *arg, int dir_fd, const char *name)
{
    unsigned depth = *(const unsigned *) arg + 1;

    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (depth > DEPTH_MAX)
        return -ELOOP;
    _cleanup_fd_ int fd = openat(dir_fd, name, OPEN_FOLDER);
    if (fd < 0)
        return -errno;
    int r = tree_each(fd, remove_entry, &depth);
    return r == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : r;
}

int tree_remove(int dir_fd, const char *name)
{
    unsigned depth = 0;

    return remove_entry(&depth, dir_fd, name);
}

static int sync_entry(void *arg, int dir_fd, const char *name)
{
    unsigned depth = *(const unsigned *) arg + 1;
    _cleanup_fd_ int fd = openat(dir_fd, name, OPEN_FOLDER);

    if (fd < 0)
        return errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
    if (depth > DEPTH_MAX)
        return -ELOOP;
    int r = tree_each(fd, sync_entry, &depth);
    return r < 0 ? r : sync_fd(fd);
}

int tree_sync_folders(int dir_fd)
{
    unsigned depth = 0;

    int r = tree_each(dir_fd, sync_entry, &depth);
    return r < 0 ? r : sync_fd(dir_fd);
}
