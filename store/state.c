/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folders of the store, its lock, and why something failed. Store process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "store/internal.h"
#include "store/tree.h"

int store_fail(struct store_state *state, int error, const char *format, ...)
{
    char text[STORE_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void) vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void) snprintf(state->text, sizeof state->text, "%s", text);
    return error;
}

static int open_state(struct store_state *state, const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return store_fail(state, -errno, "cannot make %s: %s", path, strerrordesc_np(errno));
    state->state_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state->state_fd < 0)
        return store_fail(state, -errno, "cannot open %s: %s", path, strerrordesc_np(errno));
    state->lock_fd =
        openat(state->state_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (state->lock_fd < 0)
        return store_fail(state, -errno, "cannot write in %s: %s", path, strerrordesc_np(errno));
    state->tenants_fd = tree_enter(state->state_fd, "tenants", true);
    if (state->tenants_fd < 0)
        return store_fail(state, state->tenants_fd, "cannot make %s/tenants: %s", path,
                          strerrordesc_np(-state->tenants_fd));
    return 0;
}

/* Opens the key, made once. A lost key only means that content that is deployed again is a new
 * version. */
static int open_key(struct store_state *state)
{
    _cleanup_fd_ int fd =
        openat(state->state_fd, STORE_KEY_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int r = 0;

    if (fd >= 0 && read(fd, state->key, sizeof state->key) == (ssize_t) sizeof state->key)
        return 0;
    if (getrandom(state->key, sizeof state->key, 0) != (ssize_t) sizeof state->key)
        r = -errno;
    if (r == 0)
        r = tree_replace(state->state_fd, STORE_KEY_FILE, state->key, sizeof state->key);
    return r < 0 ? store_fail(state, r, "cannot make the file \"key\" in the state folder: %s",
                              strerrordesc_np(-r))
                 : 0;
}

int store_open(struct store_state *state, const char *path)
{
    state->state_fd = state->lock_fd = state->tenants_fd = -1;
    TAILQ_INIT(&state->uploads);
    int r = open_state(state, path);
    if (r == 0)
        r = open_key(state);
    if (r < 0)
        return r;
    /* Read no config file, and load the digest now: afterwards no library is loaded and no file of
     * others read. */
    (void) OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    state->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    return state->sha256 ? 0 : store_fail(state, -ENOMEM, "libcrypto has no SHA-256");
}

void store_close(struct store_state *state)
{
    struct upload *upload;

    while ((upload = TAILQ_FIRST(&state->uploads)))
        upload_free(state, upload);
    free(state->callers);
    EVP_MD_free(state->sha256);
    if (state->tenants_fd >= 0)
        (void) close(state->tenants_fd);
    if (state->lock_fd >= 0)
        (void) close(state->lock_fd);
    if (state->state_fd >= 0)
        (void) close(state->state_fd);
}

int store_lock(struct store_state *state)
{
    int r;

    do
        r = flock(state->lock_fd, LOCK_EX);
    while (r < 0 && errno == EINTR);
    return r < 0 ? store_fail(state, -errno, "cannot lock the state folder: %s",
                              strerrordesc_np(errno))
                 : 0;
}

void store_unlock(struct store_state *state)
{
    (void) flock(state->lock_fd, LOCK_UN);
}
