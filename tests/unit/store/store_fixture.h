/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the store: its functions called as its process calls them, on a folder in /tmp.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "store/internal.h"
#include "store/tree.h"

struct file {
    const char *path, *content;
};

/* The contents of one version; ends with a row without path. */
struct bundle {
    struct file files[6];
    const char *env; /* value of env.A; NULL: none */
};

static inline ProtobufCBinaryData bytes(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

static inline int begin(struct store_state *state, uint64_t id, const char *tenant)
{
    Skep__Store__Begin message = SKEP__STORE__BEGIN__INIT;

    message.id = id;
    message.tenant = bytes(tenant);
    message.uid = 7;
    return upload_begin(state, &message);
}

/* Returns -ENOENT if there is no such upload. */
static inline int add_part(struct store_state *state, uint64_t id, const char *path,
                           const char *data, bool more)
{
    Skep__Store__Part message = SKEP__STORE__PART__INIT;
    struct upload *upload = upload_find(state, id);

    message.path = bytes(path);
    message.data = bytes(data);
    message.more = more;
    return upload ? upload_part(state, upload, &message) : -ENOENT;
}

static inline int add_env_value(struct store_state *state, uint64_t id, const char *name,
                                const char *value)
{
    Skep__Store__Part message = SKEP__STORE__PART__INIT;
    struct upload *upload = upload_find(state, id);

    message.env = bytes(name);
    message.data = bytes(value);
    return upload ? upload_part(state, upload, &message) : -ENOENT;
}

/* Uploads a bundle; fills version. */
static inline int upload(struct store_state *state, uint64_t id, const char *tenant,
                         const struct bundle *bundle, char version[static VERSION_BYTES + 1])
{
    int r = begin(state, id, tenant);

    for (const struct file *file = bundle->files; r == 0 && file->path; file++)
        r = add_part(state, id, file->path, file->content, false);
    if (r == 0 && bundle->env)
        r = add_env_value(state, id, "A", bundle->env);
    struct upload *made = r == 0 ? upload_find(state, id) : NULL;
    if (made)
        r = upload_seal(state, made);
    if (r == 0 && made)
        memcpy(version, made->version, VERSION_BYTES + 1);
    return r;
}

static inline int commit(struct store_state *state, uint64_t id, const char *tenant,
                         const char *version, enum store_action action, unsigned keep)
{
    Skep__Store__Commit message = SKEP__STORE__COMMIT__INIT;
    char previous[VERSION_BYTES + 1];

    message.id = id;
    message.tenant = bytes(tenant);
    message.version = bytes(version);
    message.action = (uint32_t) action;
    message.reason = bytes("a reason");
    message.uid = 7;
    message.keep = keep;
    return version_commit(state, &message, previous);
}

static inline int deploy(struct store_state *state, uint64_t id, const char *tenant,
                         const struct bundle *bundle, unsigned keep)
{
    char version[VERSION_BYTES + 1];

    int r = upload(state, id, tenant, bundle, version);
    return r < 0 ? r : commit(state, id, tenant, version, STORE_DEPLOY, keep);
}

static inline void make_folder(char path[static 32])
{
    (void) strcpy(path, "/dev/shm/skep-store-XXXXXX"); /* where fsync costs nothing */
    if (mkdtemp(path))
        return;
    (void) strcpy(path, "/tmp/skep-store-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static inline void remove_folder(const char *path)
{
    assert_int_equal(tree_remove(AT_FDCWD, path), 0);
}
