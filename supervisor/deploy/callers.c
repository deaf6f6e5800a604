/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rights to call, over a restart: read at the start, and written by the store whenever one has changed, in one file for
 * all tenants. The store does requests in their order, so that a tenant made anew by a deploy is stored only after the end of
 * the rights of the one before. Supervisor, loop thread, and at the start before it is confined.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "store/program.h"
#include "supervisor/deploy/internal.h"

#define TRY_AGAIN_S 10
#define PART_BYTES (UINT32_C(256) << 10)

/* Takes over the text that the store has on the disk. */
static void set_stored(struct callers_keeping *keeping, char *text, size_t size)
{
    free(keeping->stored);
    keeping->stored = text;
    keeping->stored_size = size;
}

/* ---- writing */

static int send_part(const struct deploys *deploys, const char *data, size_t size, bool more)
{
    Skep__Store__Callers callers = SKEP__STORE__CALLERS__INIT;
    Skep__Store__Request request = SKEP__STORE__REQUEST__INIT;

    callers.id = deploys->callers.id;
    callers.data = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
    callers.more = more;
    request.message_case = SKEP__STORE__REQUEST__MESSAGE_CALLERS;
    request.callers = &callers;
    return helper_ask(store_helper(deploys->with.store), callers.id, &request.base);
}

static int send_all(struct deploys *deploys)
{
    struct callers_keeping *keeping = &deploys->callers;
    int r = 0;

    keeping->id = ++deploys->last_id;
    for (size_t at = 0, n; r == 0 && at < keeping->sent_size; at += n) {
        n = keeping->sent_size - at < PART_BYTES ? keeping->sent_size - at : PART_BYTES;
        r = send_part(deploys, keeping->sent + at, n, at + n < keeping->sent_size);
        keeping->n_unanswered += r == 0;
    }
    return r;
}

static void try_later(struct deploys *deploys)
{
    static const struct timeval later = { .tv_sec = TRY_AGAIN_S };

    (void) event_add(deploys->callers.event, &later);
}

/* Has the store write the rights, if they differ from what it has. */
static void keep(struct deploys *deploys)
{
    struct callers_keeping *keeping = &deploys->callers;
    size_t size;

    if (keeping->is_held || keeping->sent)
        return; /* looks again when that is over */
    char *text = callers_write(deploys->with.tenants, &size);
    if (!text || size > CALLERS_MAX_BYTES) {
        log_error("rights to call are not kept: %s", text ? "there are too many" : "out of memory");
        free(text);
        try_later(deploys);
    } else if (size == keeping->stored_size && memcmp(text, keeping->stored, size) == 0) {
        free(text);
    } else {
        keeping->sent = text;
        keeping->sent_size = size;
        keeping->has_failed = send_all(deploys) < 0;
        if (keeping->n_unanswered == 0) /* looks again when the store is ready */
            free(TAKE_PTR(keeping->sent));
    }
}

static void on_keep(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("deploys: callers");

    keep(arg);
}

static void on_changed(void *owner)
{
    const struct deploys *deploys = owner;

    event_active(deploys->callers.event, EV_TIMEOUT, 0);
}

bool deploy_callers_take_answer(struct deploys *deploys, uint64_t id, const char *error,
                                size_t size)
{
    struct callers_keeping *keeping = &deploys->callers;

    if (!keeping->sent || id != keeping->id)
        return false;
    if (error && !keeping->has_failed)
        log_error("rights to call are not kept, and would be other ones after a restart: %.*s",
                  (int) size, error);
    keeping->has_failed |= error != NULL;
    if (--keeping->n_unanswered > 0)
        return true;
    if (keeping->has_failed) {
        free(TAKE_PTR(keeping->sent));
        try_later(deploys);
    } else {
        set_stored(keeping, TAKE_PTR(keeping->sent), keeping->sent_size);
        keep(deploys); /* at once: before any request that follows from later answers */
    }
    return true;
}

void deploy_callers_on_ready(struct deploys *deploys)
{
    on_changed(deploys);
}

bool deploy_callers_are_pending(const struct deploys *deploys)
{
    return deploys->callers.sent != NULL;
}

void deploys_set_owner(struct deploys *deploys, bool is_owner)
{
    struct callers_keeping *keeping = &deploys->callers;

    keeping->is_held = !is_owner || keeping->is_damaged;
    if (keeping->event)
        on_changed(deploys);
}

/* ---- the start and the end */

int deploy_callers_new(struct deploys *deploys)
{
    struct callers_keeping *keeping = &deploys->callers;

    if (!deploys->with.store)
        return 0;
    keeping->event = event_new(deploys->with.base, -1, 0, on_keep, deploys);
    keeping->stored = callers_write(deploys->with.tenants, &keeping->stored_size); /* none */
    if (!keeping->event || !keeping->stored)
        return -ENOMEM;
    callers_watch(deploys->with.tenants, on_changed, deploys);
    return 0;
}

int deploys_read_callers(struct deploys *deploys)
{
    const char *state = deploys->with.config->state;
    _cleanup_free_ char *path = NULL;
    char *text = NULL;
    size_t size = 0;

    if (!deploys->with.store)
        return 0;
    if (asprintf(&path, "%s/" STORE_CALLERS_FILE, state) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    int r = io_read_file(AT_FDCWD, path, CALLERS_MAX_BYTES, &text, &size);
    if (r == -ENOENT || r == -ENOMEM)
        return r == -ENOENT ? 0 : r;
    int error = callers_read(deploys->with.tenants, r < 0 ? "" : text, size);
    if (error == 0) {
        set_stored(&deploys->callers, text, size);
        return 0;
    }
    free(text);
    log_error("%s cannot be read: %s; no tenant may call another one. Remove the file and restart "
              "skepd: then each name in `callers` stands for the tenant that has it",
              path, r < 0 ? strerrordesc_np(-r) : "it is damaged");
    deploys->callers.is_held = deploys->callers.is_damaged = true;
    return error == -EBADMSG ? 0 : error;
}

void deploy_callers_done(struct deploys *deploys)
{
    struct callers_keeping *keeping = &deploys->callers;

    callers_watch(deploys->with.tenants, NULL, NULL);
    if (keeping->event) {
        keep(deploys); /* the store still does it */
        event_free(keeping->event);
    }
    free(keeping->sent);
    free(keeping->stored);
}
