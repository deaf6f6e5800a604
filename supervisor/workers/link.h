/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of a worker's channel: frames out, and one handler for each frame in. Every
 * byte from a worker is hostile; a frame that does not fit the ledger is -EPROTO, which gets the
 * worker killed. Handlers are on the floor that acts on the frame: here, in placement/frames.c and
 * in requests/frames.c. Loop thread.
 */
#pragma once

#include <string.h>

#include "proto/frame.h"
#include "supervisor/workers/worker.h"
#include "worker.pb-c.h"

/* The supervisor begins nothing that can wait while more than LINK_OUTPUT_HIGH_BYTES are queued for a worker. A part of a
 * load (its env, or half a MiB of its files), one request and the small frames of those in the worker may still be
 * added: a worker with more than LINK_OUTPUT_MAX_BYTES is killed. */
#define LINK_OUTPUT_HIGH_BYTES (4U << 20)
#define LINK_OUTPUT_MAX_BYTES (LINK_OUTPUT_HIGH_BYTES + (8U << 20))

/* Makes the channel of a starting worker; fd is owned on success. */
int link_open(struct worker *worker, int fd);
/* Allows every frame, after hello and attestation. */
void link_set_ready(struct worker *worker);

/* Phases in which a frame may come. */
enum { LINK_PHASE_BOOTING = 1, LINK_PHASE_READY = 2 };
/* Handlers, as of channel_handler_fn; owner: struct worker. The table of all is supervisor/frames.c. */
int link_on_hello(void *owner, const ProtobufCMessage *message);
int link_on_pong(void *owner, const ProtobufCMessage *message);

/* Each returns 0 or -errno of channel_send. */
/* Sends any frame. */
int link_send(struct worker *worker, Skep__Worker__ToWorker__MessageCase which, void *message);
int link_send_unload(struct worker *worker, uint32_t placement);
int link_send_retire(struct worker *worker, uint32_t placement);
int link_send_body(struct worker *worker, uint64_t id, const uint8_t *data, size_t size, bool end);
int link_send_credit(struct worker *worker, uint64_t id, uint32_t bytes);
static inline ProtobufCBinaryData link_bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}
static inline ProtobufCBinaryData link_text(const char *string)
{
    return link_bytes(string, strlen(string));
}
/* Returns the size of a line to keep: texts whose length a tenant's JavaScript may choose are cut,
 * never refused. */
static inline size_t link_line_size(ProtobufCBinaryData line)
{
    return line.len < LOG_LINE_MAX_BYTES ? line.len : LOG_LINE_MAX_BYTES;
}
enum link_cancel { LINK_CANCEL_CLIENT_GONE, LINK_CANCEL_WALL, LINK_CANCEL_FAILED };
int link_send_cancel(struct worker *worker, uint64_t id, enum link_cancel reason);
int link_send_ping(struct worker *worker);
