/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/watch.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDERS_MAX 4096
#define DEPTH_MAX 16        /* the same as TENANT_DEPTH_MAX */
#define SAVED_DELAY_MS 5    /* files that are saved together come within a fraction of that */
#define REMOVED_DELAY_MS 60 /* an editor is about to put something in its place */
#define EVENTS_BYTES 16384

/* IN_CREATE alone is left out: the file is empty, and IN_CLOSE_WRITE follows. */
#define REMOVED (IN_DELETE | IN_MOVED_FROM)
#define FOLDER_GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)
#define MASK (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | REMOVED | FOLDER_GONE | IN_ONLYDIR)

struct folder {
    int wd;
    char *prefix; /* relative to the root, with a slash at the end, or "" */
    char *only;   /* the one name in the folder that matters; NULL: all */
};

struct watch {
    int fd;
    char *path;
    bool is_folder;
    bool is_lost;
    struct folder *folders;
    unsigned n_folders;
};

static void forget_folders(struct watch *watch)
{
    for (unsigned i = 0; i < watch->n_folders; i++) {
        free(watch->folders[i].prefix);
        free(watch->folders[i].only);
    }
    watch->n_folders = 0;
}

/* Watches a folder. only: NULL for all names. */
static int add_folder(struct watch *watch, const char *path, const char *prefix, const char *only)
{
    if (watch->n_folders == FOLDERS_MAX)
        return -EOVERFLOW;
    int wd = inotify_add_watch(watch->fd, path, MASK);
    if (wd < 0)
        return -errno;
    struct folder *folder = &watch->folders[watch->n_folders];
    *folder = (struct folder){ .wd = wd, .prefix = strdup(prefix) };
    folder->only = only ? strdup(only) : NULL;
    watch->n_folders++;
    return folder->prefix && (folder->only || !only) ? 0 : -ENOMEM;
}

/* Returns whether the reader of tenants leaves such entries out, too. */
static bool is_ignored(const char *name)
{
    return name[0] == '.' || strcmp(name, "node_modules") == 0;
}

static bool is_directory(const char *path, const struct dirent *entry)
{
    struct stat st;

    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Watches a folder and those in it. Depth is bounded, and links are not followed. */
// NOLINTNEXTLINE(misc-no-recursion)
static int add_tree(struct watch *watch, const char *path, const char *prefix, unsigned depth)
{
    int r = add_folder(watch, path, prefix, NULL);
    if (r < 0 || depth == DEPTH_MAX)
        return r;
    _cleanup_dir_ DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
        char child[PATH_MAX], child_prefix[PATH_MAX];
        if (is_ignored(entry->d_name) ||
            snprintf(child, sizeof child, "%s/%s", path, entry->d_name) >= (int) sizeof child ||
            snprintf(child_prefix, sizeof child_prefix, "%s%s/", prefix, entry->d_name) >=
                (int) sizeof child_prefix ||
            !is_directory(child, entry))
            continue;
        r = add_tree(watch, child, child_prefix, depth + 1);
        if (r == -ENOENT || r == -ENOTDIR) /* the folder was removed meanwhile */
            r = 0;
    }
    return r;
}

/* Watches a script by way of its folder, so that another file renamed over it is seen. */
static int add_script(struct watch *watch, const char *path)
{
    char copy[PATH_MAX];

    if (snprintf(copy, sizeof copy, "%s", path) >= (int) sizeof copy)
        return -ENAMETOOLONG;
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (!slash)
        return add_folder(watch, ".", "", name);
    *slash = '\0';
    return add_folder(watch, slash == copy ? "/" : copy, "", name);
}

int watch_restore(struct watch *watch)
{
    char target[PATH_MAX];

    if (watch->fd >= 0)
        (void) close(watch->fd);
    forget_folders(watch);
    watch->is_lost = true;
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0)
        return -errno;
    int r = watch->is_folder ? add_tree(watch, watch->path, "", 0) : add_script(watch, watch->path);
    /* If the script is a link, watch the file that it leads to, too. */
    if (r == 0 && !watch->is_folder && realpath(watch->path, target) &&
        strcmp(target, watch->path) != 0)
        r = add_script(watch, target);
    /* Too many folders: some are watched, and trying again would not help. */
    watch->is_lost = r < 0 && r != -EOVERFLOW && r != -ENOSPC;
    return r;
}

int watch_new(const char *path, bool is_folder, struct watch **ret_watch)
{
    _cleanup_(watch_cleanup) struct watch *watch = calloc(1, sizeof *watch);

    if (!watch)
        return -ENOMEM;
    watch->fd = -1;
    watch->is_folder = is_folder;
    watch->path = strdup(path);
    watch->folders = calloc(FOLDERS_MAX, sizeof *watch->folders);
    if (!watch->path || !watch->folders)
        return -ENOMEM;
    int r = watch_restore(watch);
    if (r < 0)
        return r;
    *ret_watch = TAKE_PTR(watch);
    return 0;
}

struct watch *watch_free(struct watch *watch)
{
    if (!watch)
        return NULL;
    if (watch->fd >= 0)
        (void) close(watch->fd);
    forget_folders(watch);
    free(watch->folders);
    free(watch->path);
    free(watch);
    return NULL;
}

int watch_fd(const struct watch *watch)
{
    return watch->fd;
}

bool watch_is_lost(const struct watch *watch)
{
    return watch->is_lost;
}

static bool matters(const struct folder *folder, const struct inotify_event *event)
{
    const char *name = event->len > 0 ? event->name : "";

    if (folder->only)
        return strcmp(name, folder->only) == 0 && !(event->mask & IN_CREATE);
    if (is_ignored(name) || (name[0] && name[strlen(name) - 1] == '~'))
        return false;
    return (event->mask & IN_ISDIR) || !(event->mask & IN_CREATE);
}

/* Notes a change. The last one counts: a removed file may be back by now, and a file that is saved
 * under another name first has its own at the end. */
static void note_change(struct watch_change *change, const char *prefix, const char *name,
                        unsigned delay_ms)
{
    change->is_due = true;
    change->delay_ms = delay_ms;
    (void) snprintf(change->name, sizeof change->name, "%.*s%.*s", 60, prefix, 60, name);
}

/* Returns whether the set of folders has changed. */
static bool take_event(const struct watch *watch, const struct inotify_event *event,
                       struct watch_change *change)
{
    if (event->mask & IN_Q_OVERFLOW) {
        note_change(change, "", "many files", SAVED_DELAY_MS);
        return true;
    }
    for (unsigned i = 0; i < watch->n_folders; i++) {
        const struct folder *folder = &watch->folders[i];
        if (folder->wd != event->wd)
            continue;
        if (event->mask & FOLDER_GONE) {
            note_change(change, folder->prefix, "", REMOVED_DELAY_MS);
            return true;
        }
        if (!matters(folder, event))
            continue; /* a folder may be there twice, with different names */
        note_change(change, folder->prefix, event->len > 0 ? event->name : "",
                    event->mask & REMOVED ? REMOVED_DELAY_MS : SAVED_DELAY_MS);
        /* A link was made anew, or a folder has come or gone. */
        return !folder->only ? event->mask & IN_ISDIR : event->mask & IN_MOVED_TO;
    }
    return false;
}

int watch_read(struct watch *watch, struct watch_change *ret_change)
{
    _Alignas(struct inotify_event) char buffer[EVENTS_BYTES];
    struct watch_change change = { 0 };
    bool is_outdated = false;
    ssize_t n;

    while ((n = read(watch->fd, buffer, sizeof buffer)) > 0)
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *event = (const void *) (buffer + at);
            is_outdated |= take_event(watch, event, &change);
            at += (ssize_t) (sizeof *event + event->len);
        }
    int r = n < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
    /* Watch everything anew, which is simple and cannot be wrong. Changes meanwhile are read with
     * the change that is reported now. */
    if (is_outdated)
        (void) watch_restore(watch);
    *ret_change = change;
    return r;
}
