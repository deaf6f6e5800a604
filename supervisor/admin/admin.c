/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of the admin socket: who may connect, how many, for how long, and how much may be queued
 * for each. The handlers of their commands are in the table in supervisor/commands.c. Supervisor,
 * loop thread.
 */
#include "supervisor/admin/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/log_gate.h"
#include "common/loop_watch.h"
#include "supervisor/admin/internal.h"
#include "supervisor/host/sockets.h"
#include "supervisor/record/log_store.h"
#include "supervisor/reload/reload.h"

/* Bounds, so that no user can keep root or another user out. */
#define CLIENTS_MAX 32
#define CLIENTS_BUT_ROOT_MAX 24
#define CLIENTS_OF_USER_MAX 8 /* for a user other than root and skepd's own */
#define IDLE_TIMEOUT_S 60
#define OUTPUT_HIGH_BYTES (256U << 10) /* above this, no log lines and no more commands */
#define OUTPUT_MAX_BYTES (4U << 20)    /* more than high and the largest answer */
#define ACCEPTS_PER_TURN 8
#define ACCEPT_PAUSE_S 1
#define LOG_INTERVAL_NS NSEC_PER_SEC /* between two lines of a kind that clients can repeat */

struct admin {
    struct admin_options with;
    struct admin_socket socket;
    gid_t group; /* group of the socket; ADMIN_NO_GROUP: that of skepd */
    struct event *accept_event;
    struct event *resume_event; /* event that accepts again after a shortage of descriptors */
    struct admin_client_list clients;
    unsigned n_clients;
    uint64_t refused;                              /* clients that were refused as too many */
    struct log_gate refusals, closings, shortages; /* lines in the log that clients can repeat */
};

/* ---- one client */

static void client_free(struct admin_client *client)
{
    admin_leave_deploy(client);
    admin_leave_data(client);
    admin_walk_done(&client->walk);
    reload_forget(client->admin->with.reload, client);
    LIST_REMOVE(client, entry);
    client->admin->n_clients--;
    (void) channel_free(client->channel);
    if (client->idle)
        event_free(client->idle);
    if (client->next)
        event_free(client->next);
    admin_peer_done(&client->peer);
    free(client->tenant);
    free(client);
}

static void on_client_closed(void *owner, int error)
{
    struct admin_client *client = owner;

    uint64_t left_out;
    char text[LOG_GATE_TEXT_BYTES];

    if (error < 0 && error != -EPIPE && error != -ECONNRESET &&
        log_gate_pass(&client->admin->closings, io_now_ns(), LOG_INTERVAL_NS, &left_out))
        log_warning("admin client (uid %u, pid %d) is closed: %s%s",
                    (unsigned) client->peer.who.uid, (int) client->peer.who.pid,
                    strerrordesc_np(-error), log_gate_text(left_out, text));
    client_free(client);
}

static void on_client_idle(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("admin: idle client");

    client_free(arg);
}

static void send_lost_mark(struct admin_client *client)
{
    Skep__Admin__LogLine line = SKEP__ADMIN__LOG_LINE__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;

    line.level = admin_bytes("warn", 4);
    line.lost = client->lost;
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_LOG;
    answer.log = &line;
    if (channel_send(client->channel, &answer.base) == 0)
        client->lost = 0;
}

static void on_client_drained(void *owner)
{
    struct admin_client *client = owner;

    if (client->lost > 0)
        send_lost_mark(client);
    channel_set_reading(client->channel, !client->is_awaiting);
}

/* Handles one command, or a part of one, in each turn of the loop, so that others have their turn between the commands
 * of a client, with any number and cost of them. */
static void on_next(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("admin: next command");
    struct admin_client *client = arg;

    if (client->walk.goal != ADMIN_WALK_NONE) {
        if (admin_walk_on(client) < 0)
            client_free(client);
    } else if (!channel_is_congested(client->channel) && !client->is_awaiting) {
        channel_set_reading(client->channel, true);
    }
}

/* Returns the right by the current configuration, for each command, since a reload may have changed
 * it. */
enum admin_right admin_client_right(const struct admin_client *client)
{
    return admin_peer_right(&client->peer, &client->admin->with.config->admin,
                            client->admin->group);
}

static int refuse_command(struct admin_client *client, enum admin_right right)
{
    return admin_send_failure(
        client,
        right == ADMIN_MAY_READ
            ? "this needs the right to write: have the operator add your uid or a gid of "
              "yours to admin.write in skepd.yaml, or become root (sudo skep …)"
            : "your right to use the admin socket has ended: have the operator add your uid "
              "or a gid of yours to admin.read or admin.write in skepd.yaml");
}

enum admin_right admin_command_right(const struct admin_commands *commands, unsigned number)
{
    return number < commands->n_rights ? commands->rights[number] : ADMIN_MAY_WRITE;
}

static int may_handle(void *owner, unsigned number, const ProtobufCMessage *message)
{
    struct admin_client *client = owner;
    enum admin_right right = admin_client_right(client);

    (void) message;
    channel_set_reading(client->channel, false);
    admin_client_next_turn(client);
    if (right <= admin_command_right(client->admin->with.commands, number))
        return 1;
    int r = refuse_command(client, right);
    return r < 0 ? r : 0;
}

static int send_failure(struct admin_client *client, const char *reason, bool is_busy)
{
    Skep__Admin__Failure failure = SKEP__ADMIN__FAILURE__INIT;

    failure.message = admin_bytes(reason, strlen(reason));
    failure.busy = is_busy;
    return admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_FAILURE, &failure);
}

int admin_send_failure(struct admin_client *client, const char *reason)
{
    return send_failure(client, reason, false);
}

int admin_send_refusal(struct admin_client *client, const struct failure *failure)
{
    _cleanup_free_ char *message = failure_message(failure);

    return send_failure(client, message ? message : ADMIN_NO_MEMORY, failure->code == -EBUSY);
}

struct tenant *admin_find_tenant(const struct admin_client *client, ProtobufCBinaryData name)
{
    return tenant_find(client->admin->with.tenants, (const char *) name.data, name.len);
}

const struct cordon_config *admin_find_cordon(const struct config *config, ProtobufCBinaryData name)
{
    for (unsigned i = 0; i < config->n_cordons; i++)
        if (strlen(config->cordons[i]->name) == name.len &&
            memcmp(config->cordons[i]->name, name.data, name.len) == 0)
            return config->cordons[i];
    return NULL;
}

uid_t admin_client_uid(const struct admin_client *client)
{
    return client->peer.who.uid;
}

pid_t admin_client_pid(const struct admin_client *client)
{
    return client->peer.who.pid;
}

const struct admin_options *admin_client_options(const struct admin_client *client)
{
    return &client->admin->with;
}

void *admin_client_above(const struct admin_client *client)
{
    return client->admin->with.above;
}

int admin_send_report(struct admin_client *client, int r, Skep__Admin__Answer__MessageCase kind,
                      void *message)
{
    return r < 0 ? admin_send_failure(client, ADMIN_NO_MEMORY)
                 : admin_client_send(client, kind, message);
}

int admin_client_send(struct admin_client *client, Skep__Admin__Answer__MessageCase kind,
                      void *message)
{
    static const struct timeval timeout = { .tv_sec = IDLE_TIMEOUT_S };
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;

    answer.message_case = kind;
    answer.stats = message; /* any member of the union: all are pointers */
    int r = channel_send(client->channel, &answer.base);

    if (channel_is_congested(client->channel))
        channel_set_reading(client->channel, false);
    if (!client->is_subscribed)
        (void) event_add(client->idle, &timeout);
    return r;
}

void admin_client_wait(struct admin_client *client)
{
    (void) event_del(client->idle);
}

int admin_client_subscribe(struct admin_client *client, const char *tenant,
                           enum tenant_log_level level)
{
    char *copy = tenant ? strdup(tenant) : NULL;

    if (tenant && !copy)
        return -ENOMEM;
    free(client->tenant);
    client->tenant = copy;
    client->level = level;
    client->is_subscribed = true;
    (void) event_del(client->idle);
    return 0;
}

void admin_client_await(struct admin_client *client)
{
    client->is_awaiting = true;
    channel_set_reading(client->channel, false);
    (void) event_del(client->idle);
}

void admin_client_next_turn(struct admin_client *client)
{
    static const struct timeval at_once = { 0 };

    (void) event_add(client->next, &at_once);
}

/* Resumes a client: its next command is read in the next turn, after the answer. */
void admin_client_resume(struct admin_client *client)
{
    client->is_awaiting = false;
    admin_client_next_turn(client);
}

void admin_client_await_answer(struct admin_client *client, admin_answer_fn answer)
{
    client->waits_with = answer;
    admin_client_await(client);
}

/* Makes a client, which owns fd and the contents of peer on success. */
static int client_new(struct admin *admin, int fd, struct admin_peer *peer)
{
    static const struct timeval timeout = { .tv_sec = IDLE_TIMEOUT_S };
    struct admin_client *client = calloc(1, sizeof *client);

    if (!client)
        return -ENOMEM;
    client->admin = admin;
    struct channel_options options = {
        .base = admin->with.base,
        .fd = fd,
        .name = "admin: commands",
        .is_each_watched = true,
        .receive = &admin->with.commands->table,
        .phase = ADMIN_PHASE_OPEN,
        .owner = client,
        .may_handle = may_handle,
        .on_closed = on_client_closed,
        .on_drained = on_client_drained,
        .output_high_bytes = OUTPUT_HIGH_BYTES,
        .output_max_bytes = OUTPUT_MAX_BYTES,
    };
    client->idle = evtimer_new(admin->with.base, on_client_idle, client);
    client->next = evtimer_new(admin->with.base, on_next, client);
    if (!client->idle || !client->next || event_add(client->idle, &timeout) < 0 ||
        channel_new(&options, &client->channel) < 0) {
        if (client->idle)
            event_free(client->idle);
        if (client->next)
            event_free(client->next);
        free(client);
        return -ENOMEM;
    }
    client->peer = *peer;
    *peer = (struct admin_peer){ 0 };
    LIST_INSERT_HEAD(&admin->clients, client, entry);
    admin->n_clients++;
    return 0;
}

static void read_total(void *owner, struct total *total)
{
    const struct admin *admin = owner;

    total->limit = CLIENTS_MAX;
    total->used = admin->n_clients;
    total->refused = admin->refused;
}

/* ---- accepting */

/* Returns NULL if the peer may connect, else why not. */
static const char *find_objection(const struct admin *admin, const struct admin_peer *peer)
{
    const struct admin_client *client;
    unsigned n_but_root = 0, n_of_user = 0;

    if (admin_peer_right(peer, &admin->with.config->admin, admin->group) == ADMIN_MAY_NOTHING)
        return "this user may not use the admin socket: have the operator add its uid or a gid of "
               "it "
               "to admin.read or admin.write in skepd.yaml, or become root (sudo skep …)";
    LIST_FOREACH (client, &admin->clients, entry) {
        n_but_root += client->peer.who.uid != 0;
        n_of_user += client->peer.who.uid == peer->who.uid;
    }
    if (!admin_peer_is_trusted(peer) && n_of_user >= CLIENTS_OF_USER_MAX)
        return "too many admin clients of this user: close one and try again";
    if (admin->n_clients >= CLIENTS_MAX ||
        (peer->who.uid != 0 && n_but_root >= CLIENTS_BUT_ROOT_MAX))
        return "too many admin clients: close one and try again";
    return NULL;
}

/* Refuses a peer and sends the reason, without waiting: a new socket has room for it. */
static void refuse(struct admin *admin, int fd, const struct ucred *peer, const char *reason)
{
    Skep__Admin__Failure failure = SKEP__ADMIN__FAILURE__INIT;
    Skep__Admin__Answer answer = SKEP__ADMIN__ANSWER__INIT;
    uint8_t frame[512];
    uint64_t left_out;
    char text[LOG_GATE_TEXT_BYTES];

    failure.message = admin_bytes(reason, strlen(reason));
    answer.message_case = SKEP__ADMIN__ANSWER__MESSAGE_FAILURE;
    answer.failure = &failure;
    size_t size = frame_packed_size(&answer.base);
    if (size > 0 && size <= sizeof frame) {
        frame_pack(&answer.base, frame, size);
        (void) !send(fd, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    admin->refused++;
    if (log_gate_pass(&admin->refusals, io_now_ns(), LOG_INTERVAL_NS, &left_out))
        log_warning("admin client (uid %u, pid %d) is refused: %s%s", (unsigned) peer->uid,
                    (int) peer->pid, reason, log_gate_text(left_out, text));
}

/* Logs that a client cannot be served for want of memory or descriptors. */
static void say_short(struct admin *admin, int error, const char *what)
{
    uint64_t left_out;
    char text[LOG_GATE_TEXT_BYTES];

    if (log_gate_pass(&admin->shortages, io_now_ns(), LOG_INTERVAL_NS, &left_out))
        log_warning("%s: %s%s", what, strerrordesc_np(-error), log_gate_text(left_out, text));
}

static void admit(struct admin *admin, int accepted)
{
    _cleanup_fd_ int fd = accepted;
    struct admin_peer peer;

    int r = admin_peer_init(&peer, fd);
    const char *objection =
        r < 0 ? "who you are cannot be found out" : find_objection(admin, &peer);
    if (objection) {
        refuse(admin, fd, &peer.who, objection);
        admin_peer_done(&peer);
        return;
    }
    r = client_new(admin, fd, &peer);
    admin_peer_done(&peer);
    if (r < 0)
        say_short(admin, r, "cannot serve an admin client");
    else
        (void) TAKE_FD(fd);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("admin: new clients");
    static const struct timeval pause = { .tv_sec = ACCEPT_PAUSE_S };
    struct admin *admin = arg;

    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            admit(admin, accepted);
            continue;
        }
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (errno == EAGAIN)
            return;
        /* Out of descriptors or memory, where the event would fire again at once. */
        say_short(admin, -errno, "cannot accept an admin client");
        (void) event_del(admin->accept_event);
        (void) event_add(admin->resume_event, &pause);
        return;
    }
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("admin: new clients");
    struct admin *admin = arg;

    (void) event_add(admin->accept_event, NULL);
}

/* ---- life */

static void on_line(void *owner, const struct counted *counted, const struct log_line *line,
                    const char *text)
{
    struct admin *admin = owner;

    admin_forward_line(&admin->clients, counted, line, text);
}

int admin_new(const struct admin_options *options, struct admin **ret_admin)
{
    struct admin *admin = calloc(1, sizeof *admin);

    if (!admin)
        return log_error_errno(-ENOMEM, "cannot make the admin socket");
    admin->with = *options;
    LIST_INIT(&admin->clients);
    admin->socket.fd = -1;
    int inherited = sockets_take_file(options->sockets, "admin", options->socket_path);
    int r = admin_group_find(options->config->admin.group, &admin->group);
    if (r == 0)
        r = admin_socket_open(options->socket_path, admin->group, inherited, &admin->socket);
    if (r == 0 && inherited < 0)
        r = sockets_add(options->sockets, SOCKET_ADMIN, admin->socket.fd);
    if (r < 0) {
        admin_free(admin);
        return r;
    }
    admin->accept_event =
        event_new(options->base, admin->socket.fd, EV_READ | EV_PERSIST, on_acceptable, admin);
    admin->resume_event = evtimer_new(options->base, on_resume, admin);
    if (!admin->accept_event || !admin->resume_event || event_add(admin->accept_event, NULL) < 0) {
        admin_free(admin);
        return log_error_errno(-ENOMEM, "cannot make the admin socket");
    }
    log_store_listen(options->record->log_store, on_line, admin);
    total_set(options->record->totals, TOTAL_ADMIN_CLIENTS, read_total, admin);
    *ret_admin = admin;
    return 0;
}

void admin_set_file(struct admin *admin, bool is_ours)
{
    admin->socket.owns_file = is_ours;
}

void admin_hold(struct admin *admin, bool hold)
{
    if (hold) {
        (void) event_del(admin->accept_event);
        (void) event_del(admin->resume_event);
    } else {
        (void) event_add(admin->accept_event, NULL);
    }
}

void admin_stop_listening(struct admin *admin)
{
    admin_hold(admin, true);
    (void) close(TAKE_FD(admin->socket.fd));
}

void admin_answer_waiting(struct admin *admin, admin_answer_fn answer, const void *what)
{
    struct admin_client *client, *next;

    for (client = LIST_FIRST(&admin->clients); client; client = next) {
        next = LIST_NEXT(client, entry);
        if (client->waits_with != answer)
            continue;
        client->waits_with = NULL;
        admin_client_resume(client);
        answer(client, what);
    }
}

struct admin *admin_free(struct admin *admin)
{
    if (!admin)
        return NULL;
    if (admin->accept_event)
        event_free(admin->accept_event);
    if (admin->resume_event)
        event_free(admin->resume_event);
    while (!LIST_EMPTY(&admin->clients)) {
        struct admin_client *client = LIST_FIRST(&admin->clients);
        unsigned n_clients = admin->n_clients;
        channel_flush(client->channel);
        if (admin->n_clients == n_clients) /* otherwise the flush failed, and the client is gone */
            client_free(client);
    }
    admin_socket_done(&admin->socket);
    log_store_listen(admin->with.record->log_store, NULL, NULL);
    total_set(admin->with.record->totals, TOTAL_ADMIN_CLIENTS, NULL, NULL);
    free(admin);
    return NULL;
}
