/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets, as skepd has sealed them: the store has no key, and sees no value. Store process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "store/internal.h"
#include "store/program.h"
#include "store/tree.h"

/* ---- checks */

static bool take_tenant(ProtobufCBinaryData text, char name[static NAME_MAX_BYTES + 1])
{
    if (text.len == 0 || text.len > NAME_MAX_BYTES)
        return false;
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    return strlen(name) == text.len && name_is_valid(name);
}

static bool take_secret(ProtobufCBinaryData text, char name[static SECRET_NAME_MAX_BYTES + 1])
{
    if (text.len == 0 || text.len > SECRET_NAME_MAX_BYTES)
        return false;
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    return strlen(name) == text.len && secret_name_is_valid(name);
}

/* ---- setting */

/* Opens the tenant's folder. Returns a descriptor or -errno. */
static int enter(const struct store_state *state, const char *tenant, bool make)
{
    int top = tree_enter(state->state_fd, STORE_SECRETS_FOLDER, make);

    if (top < 0)
        return top;
    int fd = tree_enter(top, tenant, make);
    (void) close(top);
    return fd;
}

/* Makes the folder the tenant's with that id. -EEXIST: it is another one's. */
static int claim(int fd, ProtobufCBinaryData owner)
{
    _cleanup_free_ char *id = NULL;
    size_t size = 0;

    int r = io_read_file(fd, STORE_OWNER_FILE, STORE_OWNER_BYTES, &id, &size);
    if (r == -ENOENT)
        return tree_replace(fd, STORE_OWNER_FILE, owner.data, owner.len);
    if (r < 0)
        return r;
    return size == owner.len && memcmp(id, owner.data, size) == 0 ? 0 : -EEXIST;
}

static int count(void *arg, int dir_fd, const char *name)
{
    unsigned *n = arg;

    (void) dir_fd;
    *n += secret_name_is_valid(name);
    return 0;
}

static int set(const struct store_state *state, const char *tenant, const char *name,
               const Skep__Store__SecretSet *set)
{
    _cleanup_fd_ int fd = enter(state, tenant, true);
    unsigned n = 0;

    if (fd < 0)
        return fd;
    int r = claim(fd, set->owner);
    if (r == 0)
        r = tree_each(fd, count, &n);
    if (r == 0 && n >= STORE_SECRETS_MAX && faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        r = -ENOSPC;
    return r < 0 ? r : tree_replace(fd, name, set->sealed.data, set->sealed.len);
}

int secret_set(struct store_state *state, const Skep__Store__SecretSet *request)
{
    char tenant[NAME_MAX_BYTES + 1], name[SECRET_NAME_MAX_BYTES + 1];

    if (!take_tenant(request->tenant, tenant) || !take_secret(request->name, name) ||
        request->owner.len != STORE_OWNER_BYTES || request->sealed.len == 0 ||
        request->sealed.len > STORE_SECRET_MAX_BYTES)
        return store_fail(state, -EINVAL, "not a secret");
    int r = store_lock(state);
    if (r < 0)
        return r;
    r = set(state, tenant, name, request);
    store_unlock(state);
    if (r == -EEXIST)
        return store_fail(state, r,
                          "the folder secrets/%s in the state folder is of another tenant: restart "
                          "skepd",
                          tenant);
    return r < 0 ? store_fail(state, r, "%s of %s cannot be stored: %s", name, tenant,
                              strerrordesc_np(-r))
                 : 0;
}

/* ---- removing */

static int drop(const struct store_state *state, const char *tenant, const char *name)
{
    _cleanup_fd_ int fd = enter(state, tenant, false);

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int r = tree_remove(fd, name);
    return r == 0 && fsync(fd) < 0 ? -errno : r;
}

int secret_remove(struct store_state *state, const Skep__Store__SecretRemove *request)
{
    char tenant[NAME_MAX_BYTES + 1], name[SECRET_NAME_MAX_BYTES + 1];

    if (!take_tenant(request->tenant, tenant) || !take_secret(request->name, name))
        return store_fail(state, -EINVAL, "not the name of a secret");
    int r = store_lock(state);
    if (r < 0)
        return r;
    r = drop(state, tenant, name);
    store_unlock(state);
    return r < 0 ? store_fail(state, r, "%s of %s cannot be removed: %s", name, tenant,
                              strerrordesc_np(-r))
                 : 0;
}

int secrets_remove_tenant(const struct store_state *state, const char *tenant)
{
    _cleanup_fd_ int top = tree_enter(state->state_fd, STORE_SECRETS_FOLDER, false);

    if (top < 0)
        return top == -ENOENT ? 0 : top;
    int r = tree_remove(top, tenant);
    return r == 0 && fsync(top) < 0 ? -errno : r;
}

/* ---- recovery */

static int sweep_one(void *arg, int dir_fd, const char *name)
{
    unsigned *n = arg;

    if (strncmp(name, TREE_TEMPORARY, strlen(TREE_TEMPORARY)) != 0)
        return 0;
    (*n)++;
    return tree_remove(dir_fd, name);
}

static int sweep_tenant(void *arg, int dir_fd, const char *name)
{
    _cleanup_fd_ int fd = name_is_valid(name) ? tree_enter(dir_fd, name, false) : -1;

    return fd < 0 ? 0 : tree_each(fd, sweep_one, arg);
}

int secrets_recover(const struct store_state *state, unsigned *leftovers)
{
    _cleanup_fd_ int top = tree_enter(state->state_fd, STORE_SECRETS_FOLDER, false);

    return top < 0 ? 0 : tree_each(top, sweep_tenant, leftovers);
}
