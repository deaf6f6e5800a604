/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations that the files of the admin socket share: admin.c (clients), socket.c (the socket
 * file), roles.c (rights), operator.c, deploys.c, data.c, logs.c, reload.c, inspect.c and reports.c
 * (commands), report*.c (answers). No other file includes this.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "admin.pb-c.h"
#include "proto/channel.h"
#include "proto/frame.h"
#include "supervisor/admin/client.h"
#include "supervisor/admin/handlers.h"
#include "supervisor/admin/roles.h"
#include "supervisor/tenants/tenant_cursor.h"

struct log_line;
struct log_store;

/* The purpose of a walk over the tenants. */
enum admin_walk_goal {
    ADMIN_WALK_NONE,
    ADMIN_WALK_STATS,
    ADMIN_WALK_STATUS,
    ADMIN_WALK_TENANTS,
    ADMIN_WALK_TOP
};

/* Sums over all tenants, for StatsRequest and StatusRequest. */
struct admin_count {
    uint32_t tenants, quarantined;
    uint64_t heap_kib, external_kib, bodies_kib;
};

/* A command that has to look at many tenants: at some in each turn of the loop. */
struct admin_walk {
    enum admin_walk_goal goal;   /* purpose of the current walk */
    struct tenant_cursor cursor; /* kept from one page of a list to the next */
    uint32_t skip;               /* skip of the page */
    struct admin_count count;
};

struct admin_client {
    LIST_ENTRY(admin_client) entry;
    struct admin *admin; /* borrowed */
    struct channel *channel;
    struct event *idle; /* event that closes a client that neither asks nor listens */
    struct event *next; /* event that reads its next command in the next turn of the loop */
    struct admin_peer peer;
    bool is_subscribed;
    bool is_awaiting; /* the answer to the last command comes later; nothing is read until then */
    /* Answers the last command, later; NULL: it waits for no such answer. */
    admin_answer_fn waits_with;
    char *tenant;                /* the tenant whose lines it gets; NULL: all */
    enum tenant_log_level level; /* least important level of the lines */
    uint64_t lost;               /* lines since the last one that was sent */
    struct deploy *deploy;   /* borrowed: the deploy that it waits for, or uploads; NULL: none */
    struct admin_data *data; /* owned: an operation of storage; NULL: none */
    struct admin_walk walk;
};
LIST_HEAD(admin_client_list, admin_client);

/* ---- socket.c */

struct admin_socket {
    int fd;
    char *path;
    dev_t device; /* identifies the file, so that no other is removed */
    ino_t inode;
    bool owns_file;
};

/* Makes the socket, as admin_new. group: the file's, or ADMIN_NO_GROUP. inherited: a socket that
 * listens on path already, owned from now on, whose file stays as it is; -1: none. */
int admin_socket_open(const char *path, gid_t group, int inherited,
                      struct admin_socket *ret_socket);
/* Closes the socket, and removes the file if it is ours and still the same. */
void admin_socket_done(struct admin_socket *socket);

/* ---- admin.c */

/* Keeps the client from being closed as idle until admin_client_send, because its answer takes
 * long. */
void admin_client_wait(struct admin_client *client);
/* Subscribes the client to log lines. tenant: NULL for all. Returns 0 or -ENOMEM. */
int admin_client_subscribe(struct admin_client *client, const char *tenant,
                           enum tenant_log_level level);
/* Returns the objects that commands read and change. */
const struct admin_options *admin_client_options(const struct admin_client *client);
/* Returns the client's right by the current configuration. */
enum admin_right admin_client_right(const struct admin_client *client);

/* ---- walk.c */

/* Continues the client's walk, in its next turn. Returns 0, or -errno of channel_send. */
int admin_walk_on(struct admin_client *client);
void admin_walk_done(struct admin_walk *walk);

/* Reads nothing more from the client until admin_client_resume. */
void admin_client_await(struct admin_client *client);
void admin_client_resume(struct admin_client *client);
/* Has on_next called in the next turn of the loop. */
void admin_client_next_turn(struct admin_client *client);

/* ---- logs.c */

/* Sends a line to the clients that want it. */
void admin_forward_line(struct admin_client_list *clients, const struct counted *counted,
                        const struct log_line *line, const char *text);

/* ---- deploys.c */

/* Separates a client that goes from its deploy. */
void admin_leave_deploy(struct admin_client *client);

/* ---- data.c */

/* Gives up the client's operation of storage. */
void admin_leave_data(struct admin_client *client);

/* ---- report*.c: fill an answer from the objects of `with`. Memory comes from the arena; texts are
 * borrowed from those objects, so pack the answer before anything changes. 0 or -ENOMEM. skip:
 * leaves out that many of the list; the page ends where a frame would become too large. */

/* count: sums over all tenants. */
int admin_report_stats(const struct admin_options *with, const struct admin_count *count,
                       struct arena *arena, Skep__Admin__Stats *ret);
int admin_report_workers(const struct admin_options *with, uint32_t skip, struct arena *arena,
                         Skep__Admin__Workers *ret);
/* Fills a page, which begins at the cursor; the cursor moves to its end. */
int admin_report_tenants(struct tenant_cursor *cursor, uint32_t skip, struct arena *arena,
                         Skep__Admin__Tenants *ret);
/* Fills in incidents after a number, of a tenant or of all: see the request. */
int admin_report_incidents(const struct admin_options *with,
                           const Skep__Admin__IncidentsRequest *request, struct arena *arena,
                           Skep__Admin__Incidents *ret);
int admin_report_status(const struct admin_options *with, const struct admin_count *count,
                        struct arena *arena, Skep__Admin__Status *ret);
int admin_report_top_tenants(struct tenant_cursor *cursor, struct arena *arena,
                             Skep__Admin__Top *ret);
int admin_report_top_workers(const struct admin_options *with, uint32_t skip, struct arena *arena,
                             Skep__Admin__Top *ret);
int admin_report_explained(const struct tenant *tenant, struct arena *arena,
                           Skep__Admin__Explained *ret);
/* cordon: one of the configuration. */
int admin_report_jail(const struct admin_options *with, const struct cordon_config *cordon,
                      struct arena *arena, Skep__Admin__JailReport *ret);
/* Returns why the tenant is apart; "" if it is not. Static. */
const char *report_apart(const struct tenant *tenant);
