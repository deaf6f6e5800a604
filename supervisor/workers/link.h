/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of a worker's channel: frames out, and one handler for each frame in.
 * Every byte from a worker is hostile; what does not fit the ledger is -EPROTO, which gets the
 * worker killed. The only supervisor code that sees worker.proto. Loop thread.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "supervisor/requests/ledger.h"
#include "supervisor/workers/child.h"

/* The supervisor begins nothing that can wait while more than LINK_OUTPUT_HIGH_BYTES are queued for a worker. A part of a
 * load (its env, or half a MiB of its files), one request and the small frames of those in the worker may still be
 * added: a worker with more than LINK_OUTPUT_MAX_BYTES is killed. */
#define LINK_OUTPUT_HIGH_BYTES (4U << 20)
#define LINK_OUTPUT_MAX_BYTES (LINK_OUTPUT_HIGH_BYTES + (8U << 20))

/* Handlers of the frames by which requests make calls, for the rows of the channel's table. Each 0 or -EPROTO; owner: struct
 * child. */
struct link_call_frames {
    int (*on_call)(void *owner, const ProtobufCMessage *message);
    int (*on_body)(void *owner, const ProtobufCMessage *message);
    int (*on_credit)(void *owner, const ProtobufCMessage *message);
    int (*on_cancel)(void *owner, const ProtobufCMessage *message);
};

/* Makes the channel of a worker that is being started; fd owned on success. */
int link_open(struct child *child, int fd);
/* Hello and attestation are through: every frame is allowed now. */
void link_set_ready(struct child *child);

/* Begins to send what the placement's isolate is made of, behind the loads that are on their way to that worker; the rest
 * follows in later turns of the loop. 0; or -errno of channel_send, and nothing was sent. */
int link_send_load(struct placement *placement);
/* The placement goes, or has failed: nothing more of its load is sent. */
void link_drop_load(struct placement *placement);
/* For the child's load_turn. */
void link_on_load_turn(struct child *child);

/* Each 0 or -errno of channel_send. */
/* which: of the oneof in ToWorker; message: its member. */
int link_send_message(struct child *child, unsigned which, void *message);
int link_send_unload(struct child *child, uint32_t placement);
int link_send_retire(struct child *child, uint32_t placement);
int link_send_request(struct child *child, struct request *request);
int link_send_body(struct child *child, uint64_t id, const uint8_t *data, size_t size, bool end);
int link_send_credit(struct child *child, uint64_t id, uint32_t bytes);
enum link_cancel { LINK_CANCEL_CLIENT_GONE, LINK_CANCEL_WALL, LINK_CANCEL_FAILED };
int link_send_cancel(struct child *child, uint64_t id, enum link_cancel reason);
int link_send_ping(struct child *child);
