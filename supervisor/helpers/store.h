/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skepd's side of the store: the process that keeps what was deployed, below config->state, and is the
 * only one that writes there. Forked as the spawner is; dies with skepd. PROTOCOL.md has the frames.
 */
#pragma once

#include <event2/event.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

struct channel_table;
struct store;

struct store_start_options {
    const char *path; /* of the state folder, which is made if its parent is there; borrowed */
    bool landlock_may_be_missing;
    bool
        has_predecessor; /* a skepd that owns the folder hands over to this one: store_own comes later */
};
/* Takes the state folder for this skepd alone, forks the store, and waits until it has taken away what
 * interrupted changes have left, and says that it is ready. Call in a single-threaded process, before any
 * socket is opened and before event_base_new, and after the spawner. 0, or -errno with what is wrong
 * logged (-EBUSY: another skepd has the folder). */
int store_start(const struct store_start_options *options, struct store **ret_store);

struct store_options {
    struct event_base *base;             /* borrowed */
    const struct channel_table *receive; /* borrowed; what may come, and the handlers for owner */
    void *owner;                         /* borrowed */
    /* The store ended: nothing can be deployed any more. error: of the channel, or -ETIMEDOUT if the store stood
     * still and was ended. May come twice. */
    void (*on_gone)(void *owner, int error);
    /* Notes that the store has not answered for long; false: now it has. Also of a store that is gone. */
    void (*on_silent)(void *owner, bool is_silent);
};
/* Attaches the answers to the loop. 0 or -errno. */
int store_attach(struct store *store, const struct store_options *options);

/* The lock of the state folder, for the skepd that takes over: it lasts as long as one of both is there. -1:
 * none, or store is NULL. */
int store_owner_fd(const struct store *store);
/* Takes the lock that the skepd before this one had. */
void store_inherit(struct store *store, int owner_fd);
/* The state folder is this skepd's alone from now on: the one before it has ended. Does nothing to a lock that
 * was inherited. 0, or -errno, logged. NULL is allowed. */
int store_own(const struct store *store);

/* Queues a request (an envelope). 0 or -errno: -EPIPE if the store is gone. */
int store_send(struct store *store, const ProtobufCMessage *request);
/* It is behind: no time for new work. */
bool store_is_congested(const struct store *store);

/* Takes it from the loop, before that is freed. What was asked for and not sent yet is sent, for which it
 * waits some seconds at most; the store does it all the same, and nobody hears of it. NULL is allowed. */
void store_detach(struct store *store);

/* Ends the store, which is detached or never was attached, and returns once it is reaped. NULL is allowed. Returns NULL. */
struct store *store_free(struct store *store);
