/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the admin socket share: admin.c (clients), socket.c (the socket file),
 * roles.c (who may what), operator.c, deploys.c, logs.c, reload.c, inspect.c and reports.c (what a client may
 * ask), report*.c (what it is told). No other includes this.
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

/* What a walk over the tenants is for. */
enum admin_walk_goal {
    ADMIN_WALK_NONE,
    ADMIN_WALK_STATS,
    ADMIN_WALK_STATUS,
    ADMIN_WALK_TENANTS,
    ADMIN_WALK_TOP
};

/* What StatsRequest and StatusRequest ask of all tenants together. */
struct admin_count {
    uint32_t tenants, quarantined;
    uint64_t heap_kib, external_kib, bodies_kib;
};

/* A command that has to look at many tenants: at some in each turn of the loop. */
struct admin_walk {
    enum admin_walk_goal goal;   /* of the one that is under way */
    struct tenant_cursor cursor; /* kept from one page of a list to the next */
    uint32_t skip;               /* of the page */
    struct admin_count count;
};

struct admin_client {
    LIST_ENTRY(admin_client) entry;
    struct admin *admin; /* borrowed */
    struct channel *channel;
    struct event *idle; /* closes a client that neither asks nor listens */
    struct event *next; /* its next command is read in the next turn of the loop */
    struct admin_peer peer;
    bool is_subscribed;
    bool is_awaiting; /* the answer to its last command comes later; nothing is read until then */
    admin_answer_fn
        waits_with; /* answers its last command, later; NULL: it does not wait for that */
    char *tenant;   /* whose lines; NULL: of all */
    enum tenant_log_level level; /* of these, or more important ones */
    uint64_t lost;               /* lines since the last one that was sent */
    struct deploy *deploy;       /* borrowed: what it waits for, or uploads; NULL: nothing */
    struct admin_walk walk;
};
LIST_HEAD(admin_client_list, admin_client);

/* ---- socket.c */

struct admin_socket {
    int fd;
    char *path;
    dev_t device; /* of the file, to remove no other */
    ino_t inode;
    bool owns_file;
};

/* As admin_new. group: that the file gets, or ADMIN_NO_GROUP. inherited: a socket that listens on path
 * already, owned from now on, whose file stays as it is; -1: none. */
int admin_socket_open(const char *path, gid_t group, int inherited,
                      struct admin_socket *ret_socket);
/* Closes, and removes the file if it is ours and still the same. */
void admin_socket_done(struct admin_socket *socket);

/* ---- admin.c */

/* Its answer takes its time: until admin_client_send it is not closed for saying nothing. */
void admin_client_wait(struct admin_client *client);
/* From now on it gets log lines. tenant: NULL for all. 0 or -ENOMEM. */
int admin_client_subscribe(struct admin_client *client, const char *tenant,
                           enum tenant_log_level level);
/* What commands read and change. */
const struct admin_options *admin_client_options(const struct admin_client *client);
/* By the configuration that holds now. */
enum admin_right admin_client_right(const struct admin_client *client);

/* ---- walk.c */

/* Goes on with the client's walk, in its next turn. 0, or -errno of channel_send. */
int admin_walk_on(struct admin_client *client);
void admin_walk_done(struct admin_walk *walk);

/* Reads nothing more from it until admin_client_resume. */
void admin_client_await(struct admin_client *client);
void admin_client_resume(struct admin_client *client);
/* on_next comes in the next turn of the loop. */
void admin_client_next_turn(struct admin_client *client);

/* ---- logs.c */

/* Sends a line to those that want it. */
void admin_forward_line(struct admin_client_list *clients, const struct counted *counted,
                        const struct log_line *line, const char *text);

/* ---- deploys.c */

/* The client is not there to be told any more. */
void admin_leave_deploy(struct admin_client *client);

/* ---- report*.c: fill an answer from with. Its memory comes from the arena; texts are
 * borrowed from its objects, so pack it before anything changes. 0 or -ENOMEM. skip: leave out that
 * many of the list; the page ends where a frame would become too large. */

/* count: of all tenants. */
int admin_report_stats(const struct admin_options *with, const struct admin_count *count,
                       struct arena *arena, Skep__Admin__Stats *ret);
int admin_report_workers(const struct admin_options *with, uint32_t skip, struct arena *arena,
                         Skep__Admin__Workers *ret);
/* The page begins at the cursor, which goes to its end. */
int admin_report_tenants(struct tenant_cursor *cursor, uint32_t skip, struct arena *arena,
                         Skep__Admin__Tenants *ret);
/* Those after a number, of a tenant or of all: see the request. */
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
/* cordon: of the configuration. */
int admin_report_jail(const struct admin_options *with, const struct cordon_config *cordon,
                      struct arena *arena, Skep__Admin__JailReport *ret);
/* Why the tenant has a worker of its own; "shared" if it has none. Static. */
const char *report_seclusion(const struct tenant *tenant);
