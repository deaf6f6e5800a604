/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/versions/migrate.h"

#include <endian.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/loop_watch.h"
#include "data/program.h"
#include "proto/values.h"
#include "supervisor/helpers/data.h"
#include "supervisor/versions/internal.h"

#define OPEN_PAUSE_MS 50
#define OPEN_MS 30000 /* for a process that is not there yet, or has others to do */
/* Migrations of a cordon that run at a time: each may keep one of data's threads for minutes, and statements need the others. */
#define AT_ONCE_MAX 4
#define SIZE_BYTES sizeof(uint32_t)
#define TEXT_MAX_BYTES 2048

struct migration {
    LIST_ENTRY(migration) entry; /* in the list of its versions */
    struct versions *versions;   /* borrowed, as version, ops and owner */
    const struct version *version;
    const struct migration_ops *ops;
    void *owner;
    struct data_call *call; /* NULL: not open */
    struct event *turn;     /* the next database, or another attempt */
    uint64_t give_up_ns;
    unsigned binding; /* the one at hand */
    uint8_t *request; /* owned; of its migrations */
    size_t size, sent;
    uint32_t window; /* bytes that data takes */
    struct evbuffer *answer;
    unsigned status;
    struct migrated migrated;
};

static const struct data_ops data_ops;

void migrated_done(struct migrated *migrated)
{
    for (unsigned i = 0; i < migrated->n; i++)
        free(migrated->names[i]);
    free(migrated->names);
    *migrated = (struct migrated){ 0 };
}

bool version_has_migrations(const struct version *version)
{
    const struct manifest *manifest = version->manifest;

    for (unsigned i = 0; i < manifest->n_bindings; i++)
        if (manifest->bindings[i].migrations)
            return true;
    return false;
}

struct migration *migration_free(struct migration *migration)
{
    if (!migration)
        return NULL;
    LIST_REMOVE(migration, entry);
    if (migration->call)
        data_cancel(migration->call);
    if (migration->turn)
        event_free(migration->turn);
    if (migration->answer)
        evbuffer_free(migration->answer);
    migrated_done(&migration->migrated);
    free(migration->request);
    free(migration);
    return NULL;
}

/* ---- ends */

static void fail(struct migration *migration, int code, const char *text, size_t size)
{
    const struct binding *binding = &migration->version->manifest->bindings[migration->binding];
    const struct migration_ops *ops = migration->ops;
    _cleanup_(failure_done) struct failure failure = { 0 };
    void *owner = migration->owner;

    (void) failure_set(&failure, code,
                       "%s/, database %s: %.*s; what it did is undone, the migrations before it "
                       "stay, and the new version does not serve",
                       binding->migrations, binding->target, (int) size, text);
    (void) migration_free(migration);
    ops->failed(owner, &failure);
}

static void fail_text(struct migration *migration, int code, const char *text)
{
    fail(migration, code, text, strlen(text));
}

static void succeed(struct migration *migration)
{
    const struct migration_ops *ops = migration->ops;
    struct migrated migrated = migration->migrated;
    void *owner = migration->owner;

    migration->migrated = (struct migrated){ 0 };
    (void) migration_free(migration);
    ops->done(owner, &migrated);
    migrated_done(&migrated);
}

/* ---- one database */

static const char *name_of(const struct binding *binding, const struct tenant_file *file)
{
    return file->path + strlen(binding->migrations) + 1;
}

/* Makes the request: t name, t statements of each file, in the order of their names. 0 or -ENOMEM. */
static int make_request(struct migration *migration)
{
    const struct manifest *manifest = migration->version->manifest;
    const struct binding *binding = &manifest->bindings[migration->binding];
    size_t size = SIZE_BYTES;

    for (int is_second = 0; is_second < 2; is_second++) {
        uint8_t *to = is_second ? migration->request : NULL;
        size = SIZE_BYTES;
        for (unsigned i = 0; i < manifest->n_files; i++) {
            const struct tenant_file *file = &manifest->files[i];
            if (!binding_has_migration(binding, file))
                continue;
            const char *name = name_of(binding, file);
            size += values_put_bytes(to ? to + size : NULL, VALUE_TEXT, name, strlen(name));
            size += values_put_bytes(to ? to + size : NULL, VALUE_TEXT, file->data, file->size);
        }
        if (!is_second && !(migration->request = malloc(size)))
            return -ENOMEM;
    }
    const uint32_t values = htole32((uint32_t) (size - SIZE_BYTES));
    memcpy(migration->request, &values, SIZE_BYTES);
    migration->size = size;
    migration->sent = 0;
    return 0;
}

static void send_request(struct migration *migration)
{
    size_t left = migration->size - migration->sent;
    size_t size = left < migration->window ? left : migration->window;

    if (size == 0)
        return;
    migration->window -= (uint32_t) size;
    migration->sent += size;
    data_send_body(migration->call, migration->request + migration->sent - size, size,
                   size == left);
}

static int add_name(struct migrated *migrated, const char *database, const char *name)
{
    char **names = reallocarray(migrated->names, migrated->n + 1, sizeof *names);

    if (!names)
        return -ENOMEM;
    migrated->names = names;
    if (asprintf(&names[migrated->n], "%s/%s", database, name) < 0)
        return -ENOMEM;
    migrated->n++;
    return 0;
}

/* Returns whether JSON has a name among its texts. */
static bool has_name(struct evbuffer *json, const char *name)
{
    _cleanup_free_ char *text = malloc(2 * strlen(name) + 3);
    size_t size = 0;

    if (!text)
        return false;
    text[size++] = '"';
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\')
            text[size++] = '\\';
        text[size++] = *name;
    }
    text[size++] = '"';
    return evbuffer_search(json, text, size, NULL).pos >= 0;
}

/* Notes which migrations the answer names: no other name is believed. */
static int take_names(struct migration *migration)
{
    const struct manifest *manifest = migration->version->manifest;
    const struct binding *binding = &manifest->bindings[migration->binding];
    int r = 0;

    for (unsigned i = 0; i < manifest->n_files && r == 0; i++)
        if (binding_has_migration(binding, &manifest->files[i]) &&
            has_name(migration->answer, name_of(binding, &manifest->files[i])))
            r = add_name(&migration->migrated, binding->target,
                         name_of(binding, &manifest->files[i]));
    return r;
}

static void plan(struct migration *migration, unsigned ms)
{
    const struct timeval wait = { .tv_usec = (suseconds_t) ms * 1000 };

    (void) event_add(migration->turn, &wait);
}

static void on_head(void *owner, unsigned status)
{
    struct migration *migration = owner;

    migration->status = status;
}

static void on_body(void *owner, const uint8_t *data, size_t size)
{
    struct migration *migration = owner;

    if (evbuffer_add(migration->answer, data, size) < 0)
        fail_text(migration, -ENOMEM, "skepd is out of memory");
}

static void on_credit(void *owner, uint32_t bytes)
{
    struct migration *migration = owner;

    migration->window += bytes;
    send_request(migration);
}

static void on_end(void *owner, const struct data_result *result)
{
    struct migration *migration = owner;

    migration->call = NULL;
    if (result->end != DATA_COMPLETE) {
        fail(migration, -EIO, result->text.data, result->text.size);
    } else if (migration->status != 200) {
        char text[TEXT_MAX_BYTES];
        ssize_t n = evbuffer_remove(migration->answer, text, sizeof text);
        fail(migration, -EINVAL, text, n > 0 ? (size_t) n : 0);
    } else if (take_names(migration) < 0) {
        fail_text(migration, -ENOMEM, "skepd is out of memory");
    } else {
        free(TAKE_PTR(migration->request));
        (void) evbuffer_drain(migration->answer, evbuffer_get_length(migration->answer));
        migration->binding++;
        migration->give_up_ns = io_now_ns() + OPEN_MS * NSEC_PER_MSEC;
        plan(migration, 0);
    }
}

static const struct data_ops data_ops = {
    .on_head = on_head,
    .on_body = on_body,
    .on_credit = on_credit,
    .on_end = on_end,
};

/* Returns whether another migration of the cordon may run. */
static bool has_turn(const struct migration *migration)
{
    const struct migration *other;
    unsigned n = 0;

    LIST_FOREACH (other, &migration->versions->open_migrations, entry)
        n += other->call && other->version->cordon == migration->version->cordon;
    return n < AT_ONCE_MAX;
}

/* Opens the operation. 0 or -errno: -ENODEV: there is no storage; -EPIPE or -EAGAIN: not now; -EBUSY: not now for other migrations. */
static int open_at_data(struct migration *migration)
{
    const struct version *version = migration->version;
    const struct data_request request = {
        .tenant = version->manifest->name,
        .kind = DATA_SQL,
        .space = version->manifest->bindings[migration->binding].target,
        .operation = "migrate",
        .has_body = true,
        .is_operator = true,
        .credit = DATA_CREDIT_MAX_BYTES,
        .limits = &version->limits,
    };

    if (!migration->versions->data)
        return -ENODEV;
    if (!has_turn(migration))
        return -EBUSY;
    int r = migration->request ? 0 : make_request(migration);
    if (r == 0)
        r = data_open(migration->versions->data, version->cordon->name, &request, &data_ops,
                      migration, &migration->call);
    return r;
}

static const char *explain(int error)
{
    switch (error) {
    case -ENODEV:
        return "skepd has no storage: neither `storage.folder` nor `state` is in skepd.yaml";
    case -EPIPE:
        return "the storage process is not running: the log of skepd says why";
    case -EBUSY:
        return "other migrations have not ended for 30 s: try again";
    default:
        return strerrordesc_np(-error);
    }
}

static bool is_for_now(int error)
{
    return error == -EPIPE || error == -EAGAIN || error == -EBUSY;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("versions: migrations");
    struct migration *migration = arg;
    const struct manifest *manifest = migration->version->manifest;

    while (migration->binding < manifest->n_bindings &&
           !manifest->bindings[migration->binding].migrations)
        migration->binding++;
    if (migration->binding == manifest->n_bindings) {
        succeed(migration);
        return;
    }
    int r = open_at_data(migration);
    if (is_for_now(r) && io_now_ns() < migration->give_up_ns) {
        plan(migration, OPEN_PAUSE_MS);
    } else if (r < 0) {
        fail_text(migration, r, explain(r));
    } else {
        migration->window = DATA_WINDOW_BYTES;
        send_request(migration);
    }
}

int migration_begin(struct versions *versions, const struct version *version,
                    const struct migration_ops *ops, void *owner, struct migration **ret_migration)
{
    struct migration *migration = calloc(1, sizeof *migration);

    if (!migration)
        return -ENOMEM;
    LIST_INSERT_HEAD(&versions->open_migrations, migration, entry);
    migration->versions = versions;
    migration->version = version;
    migration->ops = ops;
    migration->owner = owner;
    migration->give_up_ns = io_now_ns() + OPEN_MS * NSEC_PER_MSEC;
    migration->answer = evbuffer_new();
    migration->turn = event_new(versions->base, -1, 0, on_turn, migration);
    if (!migration->answer || !migration->turn) {
        (void) migration_free(migration);
        return -ENOMEM;
    }
    plan(migration, 0);
    *ret_migration = migration;
    return 0;
}
