/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands that pass one operation of storage at a time from a client to a tenant's data process and back (`skep data`), as the
 * operator's. A part of the request is answered when data has taken it, and a part of the answer goes when the client asks for it: skepd keeps
 * at most one part of each for a client. The operation is gone with its client. Supervisor, loop thread.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/loop_watch.h"
#include "config/names.h"
#include "data/program.h"
#include "supervisor/admin/internal.h"
#include "supervisor/helpers/data.h"

#define PART_BYTES (UINT32_C(256) << 10) /* most of a part of a request, or of an answer */
#define OPEN_PAUSE_MS 50                 /* between two attempts to open */
#define OPEN_MS 5000                     /* for all of them */
#define END_TEXT_BYTES 1024

struct admin_data {
    struct admin_client *client; /* borrowed */
    struct data_call *call;      /* NULL: not open yet, or over */
    struct event *retry;
    struct evbuffer *request, *answer; /* bytes that wait for data, and for the client */
    uint64_t give_up_ns;
    char tenant[NAME_MAX_BYTES + 1], space[NAME_MAX_BYTES + 1];
    char operation[DATA_OPERATION_NAME_MAX + 1];
    enum data_kind kind;
    uint32_t window; /* bytes of the request that data still takes */
    unsigned status; /* 0: no head yet */
    bool is_whole;   /* all of the request has come from the client */
    bool is_sent;    /* and has gone to data */
    bool is_over;    /* the operation has ended, complete */
    bool is_asked;   /* the client waits for an answer */
};

static void data_end(struct admin_data *data)
{
    if (!data)
        return;
    data->client->data = NULL;
    if (data->call)
        data_cancel(data->call);
    if (data->retry)
        event_free(data->retry);
    if (data->request)
        evbuffer_free(data->request);
    if (data->answer)
        evbuffer_free(data->answer);
    free(data);
}

void admin_leave_data(struct admin_client *client)
{
    data_end(client->data);
}

/* Ends the operation with a failure, for the command that the client waits for or (not asked) the next one. */
static void fail(struct admin_data *data, const char *text)
{
    struct admin_client *client = data->client;
    const bool is_asked = data->is_asked;

    data_end(data);
    if (is_asked)
        (void) admin_send_failure(client, text);
}

/* ---- the answers to the client */

static void reply(struct admin_data *data, bool more)
{
    Skep__Admin__DataAnswer answer = SKEP__ADMIN__DATA_ANSWER__INIT;
    struct admin_client *client = data->client;
    const size_t size = evbuffer_get_length(data->answer);

    answer.status = data->status;
    answer.more = more;
    if (size > 0)
        answer.data = admin_bytes(evbuffer_pullup(data->answer, -1), size);
    if (size > 0 && !answer.data.data) {
        fail(data, ADMIN_NO_MEMORY);
        return;
    }
    data->is_asked = false;
    (void) admin_client_send(client, SKEP__ADMIN__ANSWER__MESSAGE_DATA, &answer);
    (void) evbuffer_drain(data->answer, size);
    if (size > 0 && data->call)
        data_give_credit(data->call, (uint32_t) size);
    if (!more)
        data_end(data);
}

/* Answers the client if there is something to say. The operation may be gone afterwards. */
static void answer(struct admin_data *data)
{
    const bool has_begun = data->status > 0 || data->is_over;

    if (!data->is_asked)
        return;
    if (data->is_over)
        reply(data, false);
    else if (has_begun && evbuffer_get_length(data->answer) > 0)
        reply(data, true);
    else if (!has_begun && !data->is_whole && data->call && evbuffer_get_length(data->request) == 0)
        reply(data, true);
}

/* ---- the operation at data */

/* Sends as much of the request as data takes. */
static void send_request(struct admin_data *data)
{
    const size_t all = evbuffer_get_length(data->request);
    const size_t size = all < data->window ? all : data->window;
    const bool is_end = data->is_whole && size == all;

    if (!data->call || data->is_sent || (size == 0 && !is_end))
        return;
    const uint8_t *bytes = size > 0 ? evbuffer_pullup(data->request, (ssize_t) size) : NULL;
    if (size > 0 && !bytes) {
        fail(data, ADMIN_NO_MEMORY);
        return;
    }
    data->window -= (uint32_t) size;
    data->is_sent = is_end;
    data_send_body(data->call, bytes, size, is_end);
    (void) evbuffer_drain(data->request, size);
    answer(data);
}

static void on_head(void *owner, unsigned status)
{
    struct admin_data *data = owner;

    data->status = status;
}

static void on_body(void *owner, const uint8_t *bytes, size_t size)
{
    struct admin_data *data = owner;

    if (evbuffer_add(data->answer, bytes, size) < 0)
        fail(data, ADMIN_NO_MEMORY);
    else
        answer(data);
}

static void on_credit(void *owner, uint32_t bytes)
{
    struct admin_data *data = owner;

    data->window += bytes;
    send_request(data);
}

static void on_end(void *owner, const struct data_result *result)
{
    struct admin_data *data = owner;
    char text[END_TEXT_BYTES];

    data->call = NULL;
    if (result->end == DATA_COMPLETE) {
        data->is_over = true;
        answer(data);
        return;
    }
    (void) snprintf(text, sizeof text, "storage: %.*s", (int) result->text.size, result->text.data);
    if (data->is_asked)
        fail(data, text);
    else
        data->status = 0; /* the next command finds no call */
}

static const struct data_ops data_ops = {
    .on_head = on_head,
    .on_body = on_body,
    .on_credit = on_credit,
    .on_end = on_end,
};

/* ---- opening */

/* Opens the operation. 0 or -errno, with -ENOENT for a tenant that is not there. */
static int open_at_data(struct admin_data *data)
{
    const struct admin_options *with = admin_client_options(data->client);
    const struct tenant *tenant = tenant_find(with->tenants, data->tenant, strlen(data->tenant));

    if (!tenant)
        return -ENOENT;
    const struct data_request request = {
        .tenant = data->tenant,
        .kind = data->kind,
        .space = data->space,
        .operation = data->operation,
        .has_body = true,
        .is_operator = true,
        .credit = PART_BYTES,
        .limits = &tenant->version->limits,
    };
    return data_open(with->data, tenant->version->cordon->name, &request, &data_ops, data,
                     &data->call);
}

static const char *explain_open(int error)
{
    switch (error) {
    case -ENOENT:
        return ADMIN_NO_TENANT;
    case -EPIPE:
        return "the storage process is not running: the log of skepd says why";
    case -EAGAIN:
        return "the storage process is busy: try again";
    case -EINVAL:
        return "no such operation of storage";
    default:
        return ADMIN_NO_MEMORY;
    }
}

/* Opens the operation, or sees to it that it is tried again soon. */
static void try_to_open(struct admin_data *data)
{
    static const struct timeval pause = { .tv_usec = OPEN_PAUSE_MS * 1000 };
    int r = open_at_data(data);

    if ((r == -EPIPE || r == -EAGAIN) && io_now_ns() < data->give_up_ns) {
        (void) event_add(data->retry, &pause);
        return;
    }
    if (r < 0) {
        fail(data, explain_open(r));
        return;
    }
    data->window = DATA_WINDOW_BYTES;
    send_request(data);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("admin: storage that was not there");

    try_to_open(arg);
}

static bool copy_text(ProtobufCBinaryData from, char *to, size_t room)
{
    if (from.len == 0 || from.len >= room || memchr(from.data, '\0', from.len))
        return false;
    memcpy(to, from.data, from.len);
    to[from.len] = '\0';
    return true;
}

/* Makes the state of an operation. 0; -EINVAL: a name is none; or -ENOMEM. */
static int make(struct admin_client *client, const Skep__Admin__DataRequest *request,
                struct admin_data **ret_data)
{
    struct admin_data *data = calloc(1, sizeof *data);

    if (!data)
        return -ENOMEM;
    client->data = data;
    data->client = client;
    data->kind = request->sql ? DATA_SQL : DATA_KV;
    data->give_up_ns = io_now_ns() + OPEN_MS * NSEC_PER_MSEC;
    data->request = evbuffer_new();
    data->answer = evbuffer_new();
    data->retry = event_new(admin_client_options(client)->base, -1, 0, on_retry, data);
    int r = data->request && data->answer && data->retry ? 0 : -ENOMEM;
    if (r == 0 && (!copy_text(request->tenant, data->tenant, sizeof data->tenant) ||
                   !copy_text(request->space, data->space, sizeof data->space) ||
                   !copy_text(request->operation, data->operation, sizeof data->operation) ||
                   !name_is_valid(data->space)))
        r = -EINVAL;
    if (r < 0)
        data_end(data);
    else
        *ret_data = data;
    return r;
}

/* ---- commands */

/* Takes a part of the request. 0 or -EPROTO, which is no part that may come. */
static int take_part(struct admin_data *data, ProtobufCBinaryData part, bool more)
{
    if (data->is_whole || part.len > PART_BYTES || (more && part.len == 0))
        return -EPROTO;
    data->is_whole = !more;
    data->is_asked = true;
    admin_client_wait(data->client);
    if (part.len > 0 && evbuffer_add(data->request, part.data, part.len) < 0)
        fail(data, ADMIN_NO_MEMORY);
    else
        send_request(data);
    return 0;
}

int admin_on_data(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__DataRequest *request = (const Skep__Admin__DataRequest *) message;
    struct admin_client *client = owner;
    struct admin_data *data;

    if (client->data && client->data->is_asked)
        return -EPROTO;
    data_end(client->data);
    if (!admin_find_tenant(client, request->tenant))
        return admin_send_failure(client, ADMIN_NO_TENANT);
    if (!admin_client_options(client)->data)
        return admin_send_failure(
            client, "skepd has no storage: neither `storage.folder` nor `state` is in skepd.yaml");
    int r = make(client, request, &data);
    if (r < 0)
        return admin_send_failure(client, r == -EINVAL ? "that is no name of a namespace or a "
                                                         "database, or no operation of storage"
                                                       : ADMIN_NO_MEMORY);
    r = take_part(data, request->data, request->more);
    if (r == 0 && client->data)
        try_to_open(data);
    return r;
}

/* Returns the operation of a client to which a command belongs; NULL: a failure or -EPROTO (ret_r) is the answer. */
static struct admin_data *find(struct admin_client *client, int *ret_r)
{
    struct admin_data *data = client->data;

    if (data && data->is_asked) {
        *ret_r = -EPROTO;
        return NULL;
    }
    if (data && (data->call || data->is_over))
        return data;
    data_end(data);
    *ret_r = admin_send_failure(client, "the operation of storage has ended");
    return NULL;
}

int admin_on_data_part(void *owner, const ProtobufCMessage *message)
{
    const Skep__Admin__DataPart *part = (const Skep__Admin__DataPart *) message;
    int r = 0;
    struct admin_data *data = find(owner, &r);

    return data ? take_part(data, part->data, part->more) : r;
}

int admin_on_data_read(void *owner, const ProtobufCMessage *message)
{
    int r = 0;
    struct admin_data *data = find(owner, &r);

    (void) message;
    if (!data)
        return r;
    if (!data->is_whole && data->status == 0 && !data->is_over)
        return -EPROTO;
    data->is_asked = true;
    admin_client_wait(data->client);
    answer(data);
    return 0;
}
