/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stored versions of a tenant: which there are, which one serves, and the switch to another,
 * which is durable once it is reported as done. Store process.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "config/tenant_files.h"
#include "store/internal.h"
#include "store/tree.h"

static const char versions_prefix[] = STORE_VERSIONS "/";

void version_current(int tenant_fd, char ret_version[static VERSION_BYTES + 1])
{
    char target[sizeof versions_prefix + VERSION_BYTES];
    ssize_t n = readlinkat(tenant_fd, STORE_CURRENT, target, sizeof target - 1);

    ret_version[0] = '\0';
    if (n < 0)
        return;
    target[n] = '\0';
    if (strncmp(target, versions_prefix, sizeof versions_prefix - 1) == 0 &&
        version_is_valid(target + sizeof versions_prefix - 1))
        memcpy(ret_version, target + sizeof versions_prefix - 1, VERSION_BYTES + 1);
}

/* ---- reading a tenant */

static void read_info(int versions_fd, struct stored_version *version)
{
    _cleanup_fd_ int fd = tree_enter(versions_fd, version->name, false);
    _cleanup_free_ char *text = NULL;
    uint64_t numbers[4] = { 0 };
    size_t size = 0;

    if (fd < 0 || tenant_file_read(fd, STORE_INFO_FILE, 128, &text, &size) < 0)
        return;
    char *rest = text;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        numbers[i] = strtoull(rest, &rest, 10);
    version->time_ms = numbers[0];
    version->uid = (uint32_t) numbers[1];
    version->files = (uint32_t) numbers[2];
    version->bytes = numbers[3];
}

static int add_version(void *arg, int dir_fd, const char *name)
{
    struct stored_tenant *tenant = arg;

    (void) dir_fd;
    if (!version_is_valid(name) || tenant->n_versions >= STORE_VERSIONS_MAX)
        return 0;
    struct stored_version *versions =
        reallocarray(tenant->versions, tenant->n_versions + 1, sizeof *versions);
    if (!versions)
        return -ENOMEM;
    tenant->versions = versions;
    struct stored_version *version = &versions[tenant->n_versions++];
    *version = (struct stored_version){ .last_record = -1 };
    memcpy(version->name, name, VERSION_BYTES + 1);
    version->is_current = strcmp(name, tenant->current) == 0;
    version->last_record = history_find(&tenant->history, name);
    read_info(tenant->versions_fd, version);
    return 0;
}

static int compare_versions(const void *a, const void *b)
{
    const struct stored_version *left = a, *right = b;

    if (left->is_current != right->is_current)
        return left->is_current ? -1 : 1;
    if (left->last_record != right->last_record)
        return left->last_record > right->last_record ? -1 : 1;
    return left->time_ms > right->time_ms ? -1 : left->time_ms < right->time_ms;
}

static struct stored_version *find_version(const struct stored_tenant *tenant, const char *name)
{
    for (unsigned i = 0; i < tenant->n_versions; i++)
        if (strcmp(tenant->versions[i].name, name) == 0)
            return &tenant->versions[i];
    return NULL;
}

/* Marks the version before: of the versions that are there, the one that served last and was not
 * rolled back for its errors. */
static void mark_previous(struct stored_tenant *tenant)
{
    const struct history *history = &tenant->history;

    for (unsigned i = history->count; i-- > 0;) {
        const char *const names[] = { history->records[i].version, history->records[i].from };
        for (size_t j = 0; j < ARRAY_LEN(names); j++) {
            struct stored_version *version = find_version(tenant, names[j]);
            if (version && !version->is_current && !history_rollback_of(history, names[j])) {
                version->is_previous = true;
                return;
            }
        }
    }
}

static int read_tenant(struct stored_tenant *tenant)
{
    version_current(tenant->fd, tenant->current);
    int r = history_read(tenant->fd, &tenant->history);
    if (r == 0)
        r = tree_each(tenant->versions_fd, add_version, tenant);
    if (r < 0)
        return r;
    if (tenant->n_versions > 0)
        qsort(tenant->versions, tenant->n_versions, sizeof *tenant->versions, compare_versions);
    mark_previous(tenant);
    return 0;
}

int stored_tenant_open(struct store_state *state, const char *name, struct stored_tenant *ret)
{
    *ret = (struct stored_tenant){ .fd = -1, .versions_fd = -1 };
    if (!name_is_valid(name))
        return store_fail(state, -EINVAL, "not the name of a tenant: %s", name_expected);
    ret->fd = tree_enter(state->tenants_fd, name, false);
    if (ret->fd < 0)
        return store_fail(state, ret->fd,
                          "nothing was deployed as %s: `skep tenants` lists tenants", name);
    ret->versions_fd = tree_enter(ret->fd, STORE_VERSIONS, false);
    int r = ret->versions_fd < 0 ? ret->versions_fd : read_tenant(ret);
    if (r < 0)
        return store_fail(state, r, "what is stored of %s cannot be read: %s", name,
                          strerrordesc_np(-r));
    return 0;
}

void stored_tenant_done(struct stored_tenant *tenant)
{
    if (tenant->versions_fd >= 0)
        (void) close(tenant->versions_fd);
    if (tenant->fd >= 0)
        (void) close(tenant->fd);
    history_done(&tenant->history);
    free(tenant->versions);
    *tenant = (struct stored_tenant){ .fd = -1, .versions_fd = -1 };
}

/* ---- the switch */

/* Copies a reason; bytes that do not fit into a line of the history become '?'. */
static void copy_reason(ProtobufCBinaryData text, char reason[static HISTORY_REASON_MAX + 1])
{
    size_t size = text.len < HISTORY_REASON_MAX ? text.len : HISTORY_REASON_MAX;

    for (size_t i = 0; i < size; i++)
        reason[i] = text.data[i] >= 0x20 && text.data[i] < 0x7f ? (char) text.data[i] : '?';
    reason[size] = '\0';
}

static int link_current(const struct stored_tenant *tenant, const char *version,
                        bool *ret_is_switched)
{
    char target[sizeof versions_prefix + VERSION_BYTES];

    (void) snprintf(target, sizeof target, "%s%s", versions_prefix, version);
    return tree_link(tenant->fd, STORE_CURRENT, target, ret_is_switched);
}

/* Switches: the history first, because recovery takes the line away again where the link does not
 * match. */
static int switch_to(struct stored_tenant *tenant, const struct history_entry *record)
{
    bool is_switched = false;

    int r = history_add(&tenant->history, record);
    if (r < 0)
        return r; /* the last line is that of a switch that was made */
    r = history_write(tenant->fd, &tenant->history);
    if (r == 0)
        r = link_current(tenant, record->version, &is_switched);
    if (r == 0)
        return 0;
    /* the new link may not outlast a power cut: link the old version again */
    if (is_switched && tenant->current[0])
        (void) link_current(tenant, tenant->current, &is_switched);
    else if (is_switched)
        (void) unlinkat(tenant->fd, STORE_CURRENT, 0);
    tenant->history.count--;
    (void) history_write(tenant->fd, &tenant->history);
    return r;
}

/* Removes all but the newest `keep` versions; never the one that serves, nor the one before it. */
static void prune(struct store_state *state, const char *name, unsigned keep)
{
    _cleanup_(stored_tenant_done) struct stored_tenant tenant;
    unsigned n_kept = 0;
    bool is_any_gone = false;

    if (stored_tenant_open(state, name, &tenant) < 0)
        return;
    for (unsigned i = 0; i < tenant.n_versions; i++)
        n_kept += tenant.versions[i].is_current || tenant.versions[i].is_previous;
    for (unsigned i = 0; i < tenant.n_versions; i++) {
        const struct stored_version *version = &tenant.versions[i];
        char trash[VERSION_BYTES + sizeof STORE_NEW];
        if (version->is_current || version->is_previous || n_kept++ < keep)
            continue;
        /* Rename first: half removed, a folder must not have the name of a version. */
        (void) snprintf(trash, sizeof trash, STORE_NEW "%s", version->name);
        if (renameat(tenant.versions_fd, version->name, tenant.versions_fd, trash) == 0)
            (void) tree_remove(tenant.versions_fd, trash);
        is_any_gone = true;
    }
    if (is_any_gone)
        (void) fsync(tenant.versions_fd);
}

/* Gives the upload its final name; *ret_is_new: no version had that name. */
static int keep_upload(struct upload *upload, bool *ret_is_new)
{
    *ret_is_new = false;
    if (upload->is_stored)
        return 0;
    char damaged[VERSION_BYTES + sizeof STORE_NEW];
    (void) snprintf(damaged, sizeof damaged, STORE_NEW "%s", upload->version);
    if (upload->has_damaged) {
        (void) tree_remove(upload->versions_fd, damaged);
        (void) renameat(upload->versions_fd, upload->version, upload->versions_fd, damaged);
    }
    int r = tree_rename(upload->versions_fd, upload->folder, upload->version);
    if (upload->has_damaged)
        (void) tree_remove(upload->versions_fd, damaged);
    if (r == -EEXIST || r == -ENOTEMPTY)
        return 0; /* the same version was stored meanwhile; this copy is removed with the upload */
    *ret_is_new = r == 0;
    return r;
}

static int commit_locked(struct store_state *state, const char *name, struct upload *upload,
                         struct history_entry *record)
{
    _cleanup_(stored_tenant_done) struct stored_tenant tenant;
    bool is_new = false;

    int r = stored_tenant_open(state, name, &tenant);
    if (r < 0)
        return r;
    r = upload ? keep_upload(upload, &is_new) : 0;
    if (r == 0 && (!upload || upload->is_stored) && !find_version(&tenant, record->version))
        return store_fail(state, -ENOENT, "there is no such version of %s any more", name);
    (void) snprintf(record->from, sizeof record->from, "%s",
                    tenant.current[0] ? tenant.current : "-");
    if (r == 0)
        r = switch_to(&tenant, record);
    if (r < 0 && is_new)
        (void) tree_remove(tenant.versions_fd, record->version);
    return r < 0 ? store_fail(state, r, "cannot be stored: %s", strerrordesc_np(-r)) : 0;
}

static bool take_text(ProtobufCBinaryData text, char *copy, size_t size)
{
    if (text.len == 0 || text.len >= size || memchr(text.data, '\0', text.len))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return true;
}

int version_commit(struct store_state *state, const Skep__Store__Commit *commit,
                   char ret_previous[static VERSION_BYTES + 1])
{
    struct upload *upload = upload_find(state, commit->id);
    struct history_entry record = { .time_ms = io_clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC,
                                    .uid = commit->uid };
    char name[NAME_MAX_BYTES + 1];

    if (!take_text(commit->tenant, name, sizeof name) ||
        !take_text(commit->version, record.version, sizeof record.version) ||
        !version_is_valid(record.version) || commit->action >= STORE_ACTIONS ||
        (upload && (!upload->is_sealed || strcmp(upload->tenant, name) != 0 ||
                    strcmp(upload->version, record.version) != 0)))
        return store_fail(state, -EINVAL, "a commit of what was not uploaded");
    record.action = (enum store_action) commit->action;
    copy_reason(commit->reason, record.reason);
    int r = store_lock(state);
    if (r == 0) {
        r = commit_locked(state, name, upload, &record);
        if (r == 0)
            prune(state, name, commit->keep);
        store_unlock(state);
    }
    if (upload)
        upload_free(state, upload);
    if (r == 0)
        (void) snprintf(ret_previous, VERSION_BYTES + 1, "%s",
                        record.from[0] == '-' ? "" : record.from);
    return r;
}

/* ---- the end of a tenant */

static int remove_locked(struct store_state *state, const char *name, unsigned *ret_versions)
{
    _cleanup_(stored_tenant_done) struct stored_tenant tenant;
    char trash[NAME_MAX_BYTES + sizeof STORE_TRASH];

    int r = stored_tenant_open(state, name, &tenant);
    if (r < 0)
        return r;
    (void) snprintf(trash, sizeof trash, STORE_TRASH "%s", name);
    r = secrets_remove_tenant(state, name); /* first: no other tenant of that name gets them */
    if (r == 0)
        r = tree_remove(state->tenants_fd, trash);
    if (r == 0)
        r = tree_rename(state->tenants_fd, name, trash);
    if (r < 0)
        return store_fail(state, r, "%s cannot be removed: %s", name, strerrordesc_np(-r));
    *ret_versions = tenant.n_versions;
    (void) tree_remove(state->tenants_fd, trash); /* else recovery removes it */
    return 0;
}

int version_remove_tenant(struct store_state *state, const char *name, unsigned *ret_versions)
{
    int r = store_lock(state);

    if (r < 0)
        return r;
    r = remove_locked(state, name, ret_versions);
    store_unlock(state);
    return r;
}
