/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper's side of the kit of helper processes: start, confinement, hello, requests by a const table.
 * supervisor/helpers/helper.h is skepd's side, proto/PROTOCOL.md has the frames. A helper comes in one of two
 * forms, and its main() is the same for both:
 *
 *   a program   executed by the spawner, as a worker is: a child of skepd, which dies with it; nobody's
 *               capabilities, no environment; /dev/null as 0 and 1, skepd's standard error as 2, the
 *               channel to skepd as HELPER_CHANNEL_FD, its folder, if it has one, as HELPER_FOLDER_FD. The
 *               helper ends when the channel closes, once all that was asked before is done.
 *   a unit      started by the service manager with one listening Unix socket (sd_listen_fds(3)), for what
 *               a child of skepd's unit may not have. Every skepd that connects is a client of its own: at
 *               an upgrade there are two. SO_PEERCRED must say that a client is root or owns the socket's
 *               file. The helper ends by SIGTERM.
 *
 * At an upgrade the new skepd has a helper (or a connection) of its own beside the old one's: a helper must
 * bear that there are two of it. Helper process, one loop, in the first thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/confine.h"
#include "proto/channel.h"

#define HELPER_CHANNEL_FD 3
#define HELPER_FOLDER_FD 4
#define HELPER_TEXT_MAX 512

/* One skepd that is connected. */
struct helper_client;

/* Texts of the hello besides name and version. Empty ones are left out. */
struct helper_words {
    char error[HELPER_TEXT_MAX];   /* the helper cannot work, and ends */
    char warning[HELPER_TEXT_MAX]; /* for skepd's log */
    char info[HELPER_TEXT_MAX];
};

struct helper_program {
    const char *name; /* "store": in the hello; the process is called skep-NAME */
    uint32_t version; /* version of the helper's own protocol; skepd refuses another one */
    const struct channel_table *requests; /* owner: struct helper_client */
    const struct frame_tails *tails;      /* as of struct channel_options */
    const struct policy_table *calls;     /* system calls after the hello */
    enum confine_use folder_use; /* use of HELPER_FOLDER_FD, which is the working folder then */
    bool has_folder;
    bool may_connect; /* by TCP */
    int socket_bytes; /* bytes of answers that wait for a client in its socket, as far as the host allows; 0: the kernel's default */
    /* Opens files outside of the folder, before confinement. NULL: there are none. 0; or -errno
     * with words->error. */
    int (*open)(void *owner, struct helper_words *words);
    /* Starts threads, after privileges are given up and before the filter, which is theirs, too. They have returned from all calls that
     * the filter lacks when this returns. NULL: there are none. 0 or -errno. */
    int (*start_threads)(void *owner);
    /* Gets ready to serve, confined. base: the loop; borrowed, until stop. NULL: nothing to do. 0; or -errno with
     * words->error. */
    int (*start)(void *owner, struct event_base *base, struct helper_words *words);
    /* Notes that a client has left; nothing can be sent to it any more. NULL: nothing to do. */
    void (*on_left)(void *owner, struct helper_client *client);
    /* Notes that all that was queued for a client has been written, after helper_client_is_congested has been true. NULL: nothing
     * to do. */
    void (*on_drained)(void *owner, struct helper_client *client);
    /* Frees what hangs on the loop, after all clients have left, or what a failed start has left. NULL: nothing to do. */
    void (*stop)(void *owner);
    /* The usage, for --help, and the beginnings of the options, NULL-ended; static. NULL: no argument is looked at. */
    const char *usage;
    const char *const *options;
    void *owner; /* borrowed */
};

/* Runs a helper for its life; main() returns the result. argv: as the spawner gives it,
 * "--layers=HEX" says which layers of the jail this host has (common/layers.h). A person who starts it is told who does
 * that instead. */
int helper_main(int argc, char **argv, const struct helper_program *program);

/* Returns the program's owner, for handlers of requests. */
void *helper_owner(const struct helper_client *client);

/* Sends an answer, which has the id of its request; drops it if the client has left. 0 or -errno,
 * which a handler returns. */
int helper_answer(struct helper_client *client, const ProtobufCMessage *answer);
/* Queues a frame without a request, or one of several; written with others at the end of the loop turn. Drops it if the client
 * has left. 0 or -errno. The client may be gone in a later turn (on_left), not before this returns. */
int helper_send(struct helper_client *client, const ProtobufCMessage *frame);

/* Returns whether so much is queued for a client that no more should be sent before on_drained. */
bool helper_client_is_congested(const struct helper_client *client);
/* Returns how many bytes are queued for a client. */
size_t helper_client_queued_bytes(const struct helper_client *client);

/* For protocols whose ids only grow: takes the id of a new piece of work; false: it is not greater than those before. */
bool helper_take_id(struct helper_client *client, uint64_t id);
/* Returns whether the id is one that helper_take_id has taken, or could have. */
bool helper_had_id(const struct helper_client *client, uint64_t id);
