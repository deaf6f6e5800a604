/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store process: the only one that writes below the state folder. It reads one request after the
 * other from skepd, blocking, so that skepd's loop never waits for a write or a sync. What skepd reads
 * itself, when a version loads, was written just now or, for a rollback, some time ago. Forked before skepd
 * has any socket; confined to its folder before it reads the first request.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "helper/confine.h"
#include "proto/frame.h"
#include "sandbox-policy/policy.h"
#include "store/child.h"
#include "store/internal.h"

#define SOCKET_FD 3
#define INPUT_BYTES (FRAME_HEADER_BYTES + FRAME_MAX_BYTES)
#define ARENA_BYTES (2U << 20)

struct store_child {
    struct store_state state;
    struct arena arena;
    uint8_t *input;
    size_t have;
};

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

/* ---- answers */

static int send_answer(const Skep__Store__Answer *answer)
{
    size_t size = frame_packed_size(&answer->base);
    _cleanup_free_ uint8_t *frame = size > 0 ? malloc(size) : NULL;

    if (!frame)
        return size > 0 ? -ENOMEM : -EMSGSIZE;
    frame_pack(&answer->base, frame, size);
    int r = io_write_all(SOCKET_FD, frame, size);
    /* skepd stops, and does not wait for answers: what it has asked for is done all the same. */
    return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

static int send_failed(const struct store_child *child, uint64_t id)
{
    Skep__Store__Failed failed = SKEP__STORE__FAILED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;

    failed.id = id;
    failed.text = bytes_of(child->state.text);
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_FAILED;
    answer.failed = &failed;
    return send_answer(&answer);
}

static int send_accepted(uint64_t id)
{
    Skep__Store__Accepted accepted = SKEP__STORE__ACCEPTED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;

    accepted.id = id;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_ACCEPTED;
    answer.accepted = &accepted;
    return send_answer(&answer);
}

static int send_ready(const char *error, const char *broken, unsigned leftovers)
{
    Skep__Store__Ready ready = SKEP__STORE__READY__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;

    ready.error = bytes_of(error);
    ready.broken = bytes_of(broken);
    ready.leftovers = leftovers;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_READY;
    answer.ready = &ready;
    return send_answer(&answer);
}

/* ---- requests */

static int on_begin(struct store_child *child, const Skep__Store__Begin *begin)
{
    return upload_begin(&child->state, begin) < 0 ? send_failed(child, begin->id)
                                                  : send_accepted(begin->id);
}

static int on_part(struct store_child *child, const Skep__Store__Part *part)
{
    struct upload *upload = upload_find(&child->state, part->id);

    if (!upload)
        (void) store_fail(&child->state, -ENOENT, "there is no such upload");
    if (!upload || upload_part(&child->state, upload, part) < 0)
        return send_failed(child, part->id);
    return send_accepted(part->id);
}

static int on_seal(struct store_child *child, const Skep__Store__Seal *seal)
{
    Skep__Store__Sealed sealed = SKEP__STORE__SEALED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;
    struct upload *upload = upload_find(&child->state, seal->id);
    char current[VERSION_BYTES + 1];

    if (!upload)
        (void) store_fail(&child->state, -ENOENT, "there is no such upload");
    if (!upload || upload_seal(&child->state, upload) < 0)
        return send_failed(child, seal->id);
    version_current(upload->tenant_fd, current);
    sealed.id = seal->id;
    sealed.version = bytes_of(upload->version);
    sealed.folder = bytes_of(upload->is_stored ? upload->version : upload->folder);
    sealed.files = upload->n_files;
    sealed.bytes = upload->bytes;
    sealed.current = strcmp(current, upload->version) == 0 && !upload->has_damaged;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_SEALED;
    answer.sealed = &sealed;
    return send_answer(&answer);
}

static int on_abort(struct store_child *child, const Skep__Store__Abort *abort)
{
    struct upload *upload = upload_find(&child->state, abort->id);

    if (upload)
        upload_free(&child->state, upload);
    return send_accepted(abort->id);
}

static int on_commit(struct store_child *child, const Skep__Store__Commit *commit)
{
    Skep__Store__Committed committed = SKEP__STORE__COMMITTED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;
    char previous[VERSION_BYTES + 1] = "";

    if (version_commit(&child->state, commit, previous) < 0)
        return send_failed(child, commit->id);
    committed.id = commit->id;
    committed.previous = bytes_of(previous);
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_COMMITTED;
    answer.committed = &committed;
    return send_answer(&answer);
}

static void fill_version(const struct stored_tenant *tenant, const struct stored_version *version,
                         Skep__Store__Version *ret)
{
    const struct history_entry *rolled_back = history_rollback_of(&tenant->history, version->name);

    skep__store__version__init(ret);
    ret->version = bytes_of(version->name);
    ret->time_ms = version->time_ms;
    ret->uid = version->uid;
    ret->files = version->files;
    ret->bytes = version->bytes;
    ret->state = bytes_of(version->is_current    ? "serving"
                          : rolled_back          ? "rolled_back"
                          : version->is_previous ? "previous"
                                                 : "stored");
    ret->reason = bytes_of(rolled_back ? rolled_back->reason : "");
    for (unsigned i = tenant->history.count; i-- > 0;)
        if (strcmp(tenant->history.records[i].version, version->name) == 0) {
            ret->served_ms = tenant->history.records[i].time_ms;
            break;
        }
}

static int send_versions(const struct stored_tenant *tenant, uint64_t id)
{
    Skep__Store__Versions versions = SKEP__STORE__VERSIONS__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;
    size_t n = tenant->n_versions;
    _cleanup_free_ Skep__Store__Version *items = calloc(n + 1, sizeof *items);
    _cleanup_free_ Skep__Store__Version **list = calloc(n + 1, sizeof(Skep__Store__Version *));

    if (!items || !list)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        list[i] = &items[i];
        fill_version(tenant, &tenant->versions[i], list[i]);
    }
    versions.id = id;
    versions.versions = list;
    versions.n_versions = n;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_VERSIONS;
    answer.versions = &versions;
    return send_answer(&answer);
}

static bool take_name(ProtobufCBinaryData text, char name[static NAME_MAX_BYTES + 1])
{
    if (text.len == 0 || text.len > NAME_MAX_BYTES)
        return false;
    memcpy(name, text.data, text.len);
    name[text.len] = '\0';
    return true;
}

static int on_list(struct store_child *child, const Skep__Store__List *list)
{
    _cleanup_(stored_tenant_done) struct stored_tenant tenant = { .fd = -1, .versions_fd = -1 };
    char name[NAME_MAX_BYTES + 1] = "";

    (void) take_name(list->tenant, name);
    return stored_tenant_open(&child->state, name, &tenant) < 0 ? send_failed(child, list->id)
                                                                : send_versions(&tenant, list->id);
}

static int on_check(struct store_child *child, const Skep__Store__Check *check)
{
    _cleanup_(stored_tenant_done) struct stored_tenant tenant = { .fd = -1, .versions_fd = -1 };
    char name[NAME_MAX_BYTES + 1] = "", version[VERSION_BYTES + 1] = "";

    (void) take_name(check->tenant, name);
    if (check->version.len == VERSION_BYTES)
        memcpy(version, check->version.data, VERSION_BYTES);
    int r = stored_tenant_open(&child->state, name, &tenant);
    if (r == 0 && !version_is_valid(version))
        r = store_fail(&child->state, -EINVAL, "not the name of a version");
    if (r == 0)
        r = version_check(&child->state, tenant.versions_fd, version);
    return r < 0 ? send_failed(child, check->id) : send_accepted(check->id);
}

static int on_remove(struct store_child *child, const Skep__Store__Remove *remove)
{
    Skep__Store__Removed removed = SKEP__STORE__REMOVED__INIT;
    Skep__Store__Answer answer = SKEP__STORE__ANSWER__INIT;
    char name[NAME_MAX_BYTES + 1] = "";

    (void) take_name(remove->tenant, name);
    if (version_remove_tenant(&child->state, name, &removed.versions) < 0)
        return send_failed(child, remove->id);
    removed.id = remove->id;
    answer.message_case = SKEP__STORE__ANSWER__MESSAGE_REMOVED;
    answer.removed = &removed;
    return send_answer(&answer);
}

/* 0, or -errno: then there is nobody to talk to any more. */
static int dispatch(struct store_child *child, const Skep__Store__Request *request)
{
    switch (request->message_case) {
    case SKEP__STORE__REQUEST__MESSAGE_BEGIN:
        return on_begin(child, request->begin);
    case SKEP__STORE__REQUEST__MESSAGE_PART:
        return on_part(child, request->part);
    case SKEP__STORE__REQUEST__MESSAGE_SEAL:
        return on_seal(child, request->seal);
    case SKEP__STORE__REQUEST__MESSAGE_ABORT:
        return on_abort(child, request->abort);
    case SKEP__STORE__REQUEST__MESSAGE_COMMIT:
        return on_commit(child, request->commit);
    case SKEP__STORE__REQUEST__MESSAGE_LIST:
        return on_list(child, request->list);
    case SKEP__STORE__REQUEST__MESSAGE_REMOVE:
        return on_remove(child, request->remove);
    case SKEP__STORE__REQUEST__MESSAGE_CHECK:
        return on_check(child, request->check);
    case SKEP__STORE__REQUEST__MESSAGE__NOT_SET:
    default:
        return -EPROTO;
    }
}

/* ---- the loop */

static int handle_frames(struct store_child *child)
{
    size_t at = 0;
    int r = 0;

    while (r == 0) {
        int64_t size = frame_measure(child->input + at, child->have - at);
        if (size <= 0) {
            r = (int) size;
            break;
        }
        const Skep__Store__Request *request = (const Skep__Store__Request *) frame_unpack(
            &skep__store__request__descriptor, child->input + at, (size_t) size, &child->arena);
        r = request ? dispatch(child, request) : -EPROTO;
        at += (size_t) size;
    }
    child->have -= at;
    memmove(child->input, child->input + at, child->have);
    return r;
}

static void serve(struct store_child *child)
{
    int r = 0;

    while (r == 0) {
        ssize_t n = read(SOCKET_FD, child->input + child->have, INPUT_BYTES - child->have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        child->have += (size_t) n;
        r = handle_frames(child);
    }
}

/* ---- start */

/* Signals of the terminal go to the whole group: skepd decides what they mean. */
static void set_signals(void)
{
    static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2 };
    sigset_t none;

    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        (void) signal(ignored[i], SIG_IGN);
    (void) sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Only the socket and the standard descriptors stay: others are skepd's, whose end must be seen. */
static int set_up(int socket_fd, pid_t supervisor)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    if (getppid() != supervisor)
        return -ESRCH;
    (void) prctl(PR_SET_NAME, "skep-store", 0, 0, 0);
    set_signals();
    if (chdir("/") < 0 || (socket_fd != SOCKET_FD && dup2(socket_fd, SOCKET_FD) < 0))
        return -errno;
    return close_range(SOCKET_FD + 1, ~0U, 0) < 0 ? -errno : 0;
}

static int confine(struct store_child *child, const char *path, bool landlock_may_be_missing)
{
#ifndef SKEP_UNJAILED
    const struct confine_folder folder = { path, CONFINE_WRITE };
    const struct confine_options options = {
        .folders = &folder,
        .n_folders = 1,
        .cgroup_fd = -1,
        .table = &policy_store_table,
        .no_signals = true,
        .landlock_may_be_missing = landlock_may_be_missing,
    };
    const char *step = "";
    int r = confine_supervisor(&options, &step);
    if (r < 0)
        return store_fail(&child->state, r, "the store cannot confine itself (%s): %s", step,
                          strerrordesc_np(-r));
#else
    (void) child;
    (void) path;
    (void) landlock_may_be_missing;
#endif
    return 0;
}

_Noreturn void store_child_run(int socket_fd, const char *path, bool landlock_may_be_missing,
                               pid_t supervisor)
{
    struct store_child child = { 0 };
    unsigned leftovers = 0;

    if (set_up(socket_fd, supervisor) < 0)
        _exit(1);
    child.input = malloc(INPUT_BYTES);
    if (!child.input || arena_init(&child.arena, ARENA_BYTES) < 0)
        _exit(1);
    int r = store_open(&child.state, path);
    if (r == 0)
        r = confine(&child, path, landlock_may_be_missing);
    if (r == 0)
        r = store_recover(&child.state, &leftovers);
    const char *text = child.state.text;
    if (send_ready(r < 0 ? text : "", r < 0 ? "" : text, leftovers) < 0 || r < 0)
        _exit(1);
    serve(&child);
    store_close(&child.state);
    _exit(0);
}
