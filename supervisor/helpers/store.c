/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/helpers/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "store/program.h"

#define OWNER_FILE "owner"
#define OWNER_TRIES 40 /* the skepd before, killed, may take a moment to be gone */
#define OWNER_WAIT_NS (50 * NSEC_PER_MSEC)

struct store {
    const char *path; /* borrowed: until store_start */
    int folder_fd;
    /* Locked with flock(2) by the skepd whose state folder it is, whether its store runs or not. */
    int owner_fd;
    struct helper *helper;
};

/* ---- the owner of the folder */

static int try_to_own(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int own(struct store *store, bool has_predecessor)
{
    const struct timespec wait = { .tv_nsec = OWNER_WAIT_NS };
    const char *path = store->path;
    int r = 0;

    store->owner_fd =
        openat(store->folder_fd, OWNER_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (store->owner_fd < 0)
        return log_error_errno(-errno, "state: cannot write in %s", path);
    if (has_predecessor)
        return 0;
    r = try_to_own(store->owner_fd);
    for (unsigned i = 0; r == -EWOULDBLOCK && i < OWNER_TRIES; i++) {
        (void) clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
        r = try_to_own(store->owner_fd);
    }
    if (r == -EWOULDBLOCK)
        return log_error_errno(-EBUSY,
                               "state: %s is in use by another skepd (`fuser %s/" OWNER_FILE
                               "` names it): each needs a folder of its own; `skep upgrade` "
                               "replaces a skepd that serves",
                               path, path);
    return r < 0 ? log_error_errno(r, "state: cannot lock %s/" OWNER_FILE, path) : 0;
}

int store_owner_fd(const struct store *store)
{
    return store ? store->owner_fd : -1;
}

void store_inherit(struct store *store, int owner_fd)
{
    (void) close(store->owner_fd);
    store->owner_fd = owner_fd;
}

int store_own(const struct store *store)
{
    int r = store ? try_to_own(store->owner_fd) : 0;

    return r < 0 ? log_error_errno(r, "state: the folder of the skepd before this one cannot be "
                                      "locked: is another skepd using it?")
                 : 0;
}

/* ---- the process */

int store_new(const char *path, struct store **ret_store)
{
    _cleanup_free_ struct store *store = calloc(1, sizeof *store);

    if (!store)
        return log_error_errno(-ENOMEM, "state");
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return log_error_errno(-errno, "state: cannot make %s", path);
    store->path = path;
    store->owner_fd = -1;
    store->folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->folder_fd < 0)
        return log_error_errno(-errno, "state: cannot open %s", path);
    *ret_store = TAKE_PTR(store);
    return 0;
}

int store_folder_fd(const struct store *store)
{
    return store->folder_fd;
}

int store_start(struct store *store, const struct store_start_options *options)
{
    const struct helper_options helper = {
        .id = HELPER_STORE,
        .name = STORE_NAME,
        .version = STORE_VERSION,
        .number = options->number,
        .base = options->base,
        .spawner = options->spawner,
        .health = options->health,
    };

    int r = own(store, options->has_predecessor);
    if (r == 0)
        r = helper_new(&helper, &store->helper);
    return r == 0 ? helper_await(store->helper) : r;
}

struct helper *store_helper(const struct store *store)
{
    return store ? store->helper : NULL;
}

struct store *store_free(struct store *store)
{
    if (!store)
        return NULL;
    store->helper = helper_free(store->helper);
    fd_cleanup(&store->owner_fd);
    fd_cleanup(&store->folder_fd);
    free(store);
    return NULL;
}
