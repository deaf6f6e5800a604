/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/workers/link.h"

#include <errno.h>
#include <event2/event.h>
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
#include "supervisor/workers/slots.h"
#include "supervisor/workers/trace.h"

/* Well below a millisecond of the loop's time. */
#define FRAMES_PER_TURN 256
#define VERSION_TEXT_MAX 31

/* ---- in */

int link_on_hello(void *owner, const ProtobufCMessage *message)
{
    const Skep__Worker__Hello *hello = (const Skep__Worker__Hello *) message;
    static const char allowed[] = "0123456789.-abcdefghijklmnopqrstuvwxyz";
    struct worker *worker = owner;
    struct record *record = worker->slots->record;

    if (hello->protocol != PROTOCOL_VERSION)
        log_event(LOG_LEVEL_ERROR, LOG_ABOUT_WORKER(worker),
                  "worker %u (pid %d) speaks version %u of the protocol, this skepd version %u: "
                  "skepd and skep-worker are not of one release; after installing both, "
                  "\"skep upgrade\" or a restart takes both",
                  worker->number, (int) worker->pid, hello->protocol, PROTOCOL_VERSION);
    if (worker->has_hello || hello->protocol != PROTOCOL_VERSION ||
        hello->v8_version.len > VERSION_TEXT_MAX)
        return -EPROTO;
    for (size_t i = 0; i < hello->v8_version.len; i++)
        if (!memchr(allowed, hello->v8_version.data[i], sizeof allowed - 1))
            return -EPROTO;
    (void) snprintf(record->v8_version, sizeof record->v8_version, "%.*s",
                    (int) hello->v8_version.len, (const char *) hello->v8_version.data);
    worker_on_event(worker, EVENT_HELLO);
    return 0;
}

int link_on_pong(void *owner, const ProtobufCMessage *message)
{
    struct worker *worker = owner;

    (void) message;
    if (worker->pings_open == 0)
        return -EPROTO;
    worker->pings_open--;
    return 0; /* only the frame itself counts: placement_check_worker looks at the number of frames */
}

static void on_closed(void *owner, int error)
{
    struct worker *worker = owner;

    if (error == -EPROTO || error == -EMSGSIZE) {
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT_WORKER(worker),
                  "worker %u (pid %d) broke the protocol", worker->number, (int) worker->pid);
        worker_kill(worker, KILL_PROTOCOL, 0);
        return;
    }
    worker_on_event(worker, EVENT_CLOSED);
}

static void on_drained(void *owner)
{
    struct worker *worker = owner;

    worker->slots->ops->on_drained(worker);
}

static void on_written(void *owner)
{
    static const struct timeval at_once = { 0 };
    const struct worker *worker = owner;

    (void) event_add(worker->load_turn, &at_once);
}

static int on_received(void *owner, unsigned number, const ProtobufCMessage *message)
{
    const struct worker *worker = owner;

    (void) number;
    trace_frame(worker->slots->trace, true, message);
    return 1;
}

int link_open(struct worker *worker, int fd)
{
    struct channel_options options = {
        .base = worker->slots->base,
        .fd = fd,
        .name = "worker: frames",
        .receive = worker->slots->frames,
        .tails = &worker_tails,
        .phase = LINK_PHASE_BOOTING,
        .owner = worker,
        .on_closed = on_closed,
        .may_handle = worker->slots->trace ? on_received : NULL,
        .on_drained = on_drained,
        .on_written = on_written,
        .output_high_bytes = LINK_OUTPUT_HIGH_BYTES,
        .output_max_bytes = LINK_OUTPUT_MAX_BYTES,
        .frames_per_turn = FRAMES_PER_TURN,
    };

    return channel_new(&options, &worker->channel);
}

void link_set_ready(struct worker *worker)
{
    channel_set_phase(worker->channel, LINK_PHASE_READY);
}

/* ---- out */

int link_send(struct worker *worker, Skep__Worker__ToWorker__MessageCase which, void *message)
{
    Skep__Worker__ToWorker envelope = SKEP__WORKER__TO_WORKER__INIT;

    if (!worker->channel)
        return -EPIPE;
    envelope.message_case = which;
    envelope.ping = message; /* any member of the union: all are pointers */
    trace_frame(worker->slots->trace, false, message);
    int r = channel_send(worker->channel, &envelope.base);
    if (r == -ENOBUFS && worker->state != WORKER_KILLED) {
        log_event(LOG_LEVEL_WARNING, LOG_ABOUT_WORKER(worker),
                  "worker %u (pid %d) does not read: %u MiB wait for it", worker->number,
                  (int) worker->pid, LINK_OUTPUT_MAX_BYTES >> 20);
        worker->slots->record->counters.unread++;
        worker_kill(worker, KILL_SILENT, 0);
    }
    return r;
}

int link_send_unload(struct worker *worker, uint32_t placement)
{
    Skep__Worker__Unload unload = SKEP__WORKER__UNLOAD__INIT;

    unload.placement = placement;
    return link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_UNLOAD, &unload);
}

int link_send_retire(struct worker *worker, uint32_t placement)
{
    Skep__Worker__Retire retire = SKEP__WORKER__RETIRE__INIT;

    retire.placement = placement;
    return link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_RETIRE, &retire);
}

int link_send_body(struct worker *worker, uint64_t id, const uint8_t *data, size_t size, bool end)
{
    Skep__Worker__Body body = SKEP__WORKER__BODY__INIT;

    body.id = id;
    body.data = link_bytes(data, size);
    body.end = end;
    return link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_BODY, &body);
}

int link_send_credit(struct worker *worker, uint64_t id, uint32_t size)
{
    Skep__Worker__Credit credit = SKEP__WORKER__CREDIT__INIT;

    credit.id = id;
    credit.bytes = size;
    return link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_CREDIT, &credit);
}

int link_send_cancel(struct worker *worker, uint64_t id, enum link_cancel reason)
{
    Skep__Worker__Cancel cancel = SKEP__WORKER__CANCEL__INIT;

    cancel.id = id;
    cancel.reason = (Skep__Worker__CancelReason) reason;
    return link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_CANCEL, &cancel);
}

int link_send_ping(struct worker *worker)
{
    Skep__Worker__Ping ping = SKEP__WORKER__PING__INIT;

    ping.token = worker->signs_seen;
    int r = link_send(worker, SKEP__WORKER__TO_WORKER__MESSAGE_PING, &ping);
    if (r == 0)
        worker->pings_open++;
    return r;
}
