/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the admin socket share: admin.c (clients), socket.c (the socket file),
 * roles.c (who may what), commands.c, operator.c, deploys.c and logs.c (what a client may ask), report*.c (what it is told). No other includes
 * this.
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
#include "supervisor/admin/admin.h"
#include "supervisor/admin/roles.h"

struct log_line;
struct log_store;

struct upgrade_result;

struct admin_client {
    LIST_ENTRY(admin_client) entry;
    struct admin *admin; /* borrowed */
    struct channel *channel;
    struct event *idle; /* closes a client that neither asks nor listens */
    struct event *next; /* its next command is read in the next turn of the loop */
    struct admin_peer peer;
    bool is_subscribed;
    bool is_awaiting; /* the answer to its last command comes later; nothing is read until then */
    bool awaits_upgrade; /* the answer to its last command comes when the upgrade has ended */
    char *tenant;        /* whose lines; NULL: of all */
    enum tenant_log_level level; /* of these, or more important ones */
    uint64_t lost;               /* lines since the last one that was sent */
    struct deploy *deploy;       /* borrowed: what it waits for, or uploads; NULL: nothing */
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

struct server *admin_client_server(const struct admin_client *client);
/* Queues an answer. 0 or -errno of channel_send. */
int admin_client_send(struct admin_client *client, const Skep__Admin__Answer *answer);
/* Its answer takes its time: until admin_client_send it is not closed for saying nothing. */
void admin_client_wait(struct admin_client *client);
/* From now on it gets log lines. tenant: NULL for all. 0 or -ENOMEM. */
int admin_client_subscribe(struct admin_client *client, const char *tenant,
                           enum tenant_log_level level);
/* By the configuration that holds now. */
enum admin_right admin_client_right(const struct admin_client *client);
struct log_store *admin_client_log_store(const struct admin_client *client);

/* Reads nothing more from it until admin_client_resume. */
void admin_client_await(struct admin_client *client);
void admin_client_resume(struct admin_client *client);
/* Reads nothing more from it until admin_tell_upgrade. */
void admin_client_await_upgrade(struct admin_client *client);

/* ---- commands.c */

enum { ADMIN_PHASE_OPEN = 1 };
extern const struct channel_table admin_commands; /* owner: struct admin_client */
/* What a peer must be allowed to, for a command by its number in the oneof. */
enum admin_right admin_command_right(unsigned number);
int admin_send_failure(struct admin_client *client, const char *reason);
#define ADMIN_NO_TENANT "no such tenant: `skep tenants` lists them"
/* NULL if there is none of that name. */
struct tenant *admin_find_tenant(const struct admin_client *client, ProtobufCBinaryData name);
#define ADMIN_NO_CORDON "no such cordon: `skep workers` lists them"
/* NULL if there is none of that name. */
const struct cordon_config *admin_find_cordon(const struct config *config,
                                              ProtobufCBinaryData name);
static inline ProtobufCBinaryData admin_bytes(const void *data, size_t size)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
}

/* ---- operator.c: handlers, as of channel_handler_fn */

int admin_on_quarantine(void *owner, const ProtobufCMessage *message);
int admin_on_release(void *owner, const ProtobufCMessage *message);
int admin_on_retire(void *owner, const ProtobufCMessage *message);
int admin_on_kill_worker(void *owner, const ProtobufCMessage *message);

/* ---- logs.c: handlers, as of channel_handler_fn */

int admin_on_logs(void *owner, const ProtobufCMessage *message);
int admin_on_log_tail(void *owner, const ProtobufCMessage *message);
/* Sends a line to those that want it. */
void admin_forward_line(struct admin_client_list *clients, const struct counted *counted,
                        const struct log_line *line, const char *text);

/* ---- reload.c: the same */

int admin_on_config_reload(void *owner, const ProtobufCMessage *message);

/* ---- service.c: handlers, and an answer */

int admin_on_drain(void *owner, const ProtobufCMessage *message);
int admin_on_upgrade(void *owner, const ProtobufCMessage *message);
int admin_send_upgraded(struct admin_client *client, const struct upgrade_result *result);

/* ---- inspect.c: handlers, as of channel_handler_fn */

int admin_on_explain(void *owner, const ProtobufCMessage *message);
int admin_on_top(void *owner, const ProtobufCMessage *message);

/* ---- deploys.c: handlers, as of channel_handler_fn */

int admin_on_deploy(void *owner, const ProtobufCMessage *message);
int admin_on_deploy_part(void *owner, const ProtobufCMessage *message);
int admin_on_rollback(void *owner, const ProtobufCMessage *message);
int admin_on_versions(void *owner, const ProtobufCMessage *message);
int admin_on_remove(void *owner, const ProtobufCMessage *message);
/* The client is not there to be told any more. */
void admin_leave_deploy(struct admin_client *client);

/* ---- report*.c: fill an answer from server. Its memory comes from the arena; texts are
 * borrowed from server, so pack it before anything changes. 0 or -ENOMEM. skip: leave out that
 * many of the list; the page ends where a frame would become too large. */

int admin_report_stats(const struct server *server, struct arena *arena, Skep__Admin__Stats *ret);
int admin_report_workers(const struct server *server, uint32_t skip, struct arena *arena,
                         Skep__Admin__Workers *ret);
int admin_report_tenants(const struct server *server, uint32_t skip, struct arena *arena,
                         Skep__Admin__Tenants *ret);
/* Those after a number, of a tenant or of all: see the request. */
int admin_report_incidents(const struct server *server,
                           const Skep__Admin__IncidentsRequest *request, struct arena *arena,
                           Skep__Admin__Incidents *ret);
int admin_report_status(const struct server *server, struct arena *arena, Skep__Admin__Status *ret);
int admin_report_top(const struct server *server, const Skep__Admin__TopRequest *request,
                     struct arena *arena, Skep__Admin__Top *ret);
int admin_report_explained(const struct tenant *tenant, struct arena *arena,
                           Skep__Admin__Explained *ret);
/* cordon: of the configuration. */
int admin_report_jail(const struct server *server, const struct cordon_config *cordon,
                      struct arena *arena, Skep__Admin__JailReport *ret);
/* Why the tenant has a worker of its own; "shared" if it has none. Static. */
const char *report_seclusion(const struct tenant *tenant);
