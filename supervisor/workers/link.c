/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/link.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "proto/worker_tails.h"
#include "supervisor/record/record.h"
#include "supervisor/server.h"

/* Well below a millisecond of the loop's time. */
#define FRAMES_PER_TURN 256
#define VERSION_TEXT_MAX 31

/* ---- in */

int link_on_hello(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Hello *hello = (const Skep__Worker__Hello *) message;
    static const char allowed[] = "0123456789.-abcdefghijklmnopqrstuvwxyz";
    struct child *child = owner;
    char *version = child->server->record.v8_version;

    if (hello->protocol != PROTOCOL_VERSION)
        log_event(LOG_LEVEL_ERROR, LOG_ABOUT_CHILD(child),
                  "worker %u (pid %d) speaks version %u of the protocol, this skepd version %u: "
                  "skepd and skep-worker are not of one release; after installing both, "
                  "\"skep upgrade\" or a restart takes both",
                  child->number, (int) child->pid, hello->protocol, PROTOCOL_VERSION);
    if (child->has_hello || hello->protocol != PROTOCOL_VERSION ||
        hello->v8_version.len > VERSION_TEXT_MAX)
        return -EPROTO;
    for (size_t i = 0; i < hello->v8_version.len; i++)
        if (!memchr(allowed, hello->v8_version.data[i], sizeof allowed - 1))
            return -EPROTO;
    (void) snprintf(version, sizeof child->server->record.v8_version, "%.*s",
                    (int) hello->v8_version.len, (const char *) hello->v8_version.data);
    child_on_event(child, EVENT_HELLO);
    return 0;
}

int link_on_pong(void *owner, const ProtobufCMessage *message)
{
    struct child *child = owner;

    (void) message;
    if (child->pings_open == 0)
        return -EPROTO;
    child->pings_open--;
    return 0; /* that it came at all is what counts: child_check looks at the number of frames */
}

static void on_closed(void *owner, int error)
{
    struct child *child = owner;

    if (error == -EPROTO || error == -EMSGSIZE) {
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT_CHILD(child),
                  "worker %u (pid %d) broke the protocol", child->number, (int) child->pid);
        child_kill(child, KILL_PROTOCOL, 0);
        return;
    }
    child_on_event(child, EVENT_CLOSED);
}

static void on_drained(void *owner)
{
    struct child *child = owner;

    child->ops->on_drained(child);
}

static void on_written(void *owner)
{
    static const struct timeval at_once = { 0 };
    const struct child *child = owner;

    (void) event_add(child->load_turn, &at_once);
}

int link_open(struct child *child, int fd)
{
    struct channel_options options = {
        .base = child->server->base,
        .fd = fd,
        .name = "worker: frames",
        .receive = child->frames,
        .tails = &worker_tails,
        .phase = LINK_PHASE_BOOTING,
        .owner = child,
        .on_closed = on_closed,
        .on_drained = on_drained,
        .on_written = on_written,
        .output_high_bytes = LINK_OUTPUT_HIGH_BYTES,
        .output_max_bytes = LINK_OUTPUT_MAX_BYTES,
        .frames_per_turn = FRAMES_PER_TURN,
    };

    return channel_new(&options, &child->channel);
}

void link_set_ready(struct child *child)
{
    channel_set_phase(child->channel, LINK_PHASE_READY);
}

/* ---- out */

int link_send(struct child *child, Skep__Worker__ToWorker__MessageCase which, void *message)
{
    Skep__Worker__ToWorker envelope = SKEP__WORKER__TO_WORKER__INIT;

    if (!child->channel)
        return -EPIPE;
    envelope.message_case = which;
    envelope.ping = message; /* any member: all are pointers */
    int r = channel_send(child->channel, &envelope.base);
    if (r == -ENOBUFS && child->state != CHILD_KILLED) {
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT_CHILD(child),
                  "worker %u (pid %d) does not read: %u MiB wait for it", child->number,
                  (int) child->pid, LINK_OUTPUT_MAX_BYTES >> 20);
        child->server->record.counters.unread++;
        child_kill(child, KILL_SILENT, 0);
    }
    return r;
}

int link_send_unload(struct child *child, uint32_t placement)
{
    Skep__Worker__Unload unload = SKEP__WORKER__UNLOAD__INIT;

    unload.tenant = placement;
    return link_send(child, SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD, &unload);
}

int link_send_retire(struct child *child, uint32_t placement)
{
    Skep__Worker__Retire retire = SKEP__WORKER__RETIRE__INIT;

    retire.tenant = placement;
    return link_send(child, SKEP__WORKER__TO_WORKER__MESSAGE_RETIRE, &retire);
}

int link_send_body(struct child *child, uint64_t id, const uint8_t *data, size_t size, bool end)
{
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;

    body.id = id;
    body.data = link_bytes(data, size);
    body.end = end;
    return link_send(child, SKEP__WORKER__TO_WORKER__MESSAGE_BODY, &body);
}

int link_send_credit(struct child *child, uint64_t id, uint32_t size)
{
    Skep__Worker__Credit credit = SKEP__WORKER__CREDIT__INIT;

    credit.id = id;
    credit.bytes = size;
    return link_send(child, SKEP__WORKER__TO_WORKER__MESSAGE_CREDIT, &credit);
}

int link_send_cancel(struct child *child, uint64_t id, enum link_cancel reason)
{
    Skep__Worker__Cancel cancel = SKEP__WORKER__CANCEL__INIT;

    cancel.id = id;
    cancel.reason = (Skep__Worker__CancelReason) reason;
    return link_send(child, SKEP__WORKER__TO_WORKER__MESSAGE_CANCEL, &cancel);
}

int link_send_ping(struct child *child)
{
    Skep__Worker__Ping ping = SKEP__WORKER__PING__INIT;

    ping.token = child->signs_seen;
    int r = link_send(child, SKEP__WORKER__TO_WORKER__MESSAGE_PING, &ping);
    if (r == 0)
        child->pings_open++;
    return r;
}
