/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/events/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/io.h"
#include "tests/events/asks.h"

#define FEED_MAX (128U << 10)
#define NARROW_BYTES 1 /* the kernel makes its least of that, some 5 KiB */

static struct client *client_of(llhttp_t *parser)
{
    return parser->data;
}

/* ---- answers */

static int on_message_begin(llhttp_t *parser)
{
    struct client *client = client_of(parser);

    client->has_head = false;
    client->token = 0;
    client->got = 0;
    client->is_close = false;
    client->error[0] = '\0';
    return 0;
}

static int on_field(llhttp_t *parser, const char *at, size_t size)
{
    struct client *client = client_of(parser);

    for (size_t i = 0; i < size && client->field_size + 1 < sizeof client->field; i++)
        client->field[client->field_size++] = at[i];
    client->field[client->field_size] = '\0';
    return 0;
}

static int on_field_end(llhttp_t *parser)
{
    struct client *client = client_of(parser);

    client->is_token = strcasecmp(client->field, "x-token") == 0;
    client->is_error = strcasecmp(client->field, "skep-error") == 0;
    client->is_close |= strcasecmp(client->field, "connection") == 0; /* present only to close */
    client->field_size = 0;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t size)
{
    struct client *client = client_of(parser);

    for (size_t i = 0; client->is_token && i < size; i++)
        client->token = client->token * 10 + (uint32_t) (at[i] - '0');
    if (client->is_error) {
        size_t had = strlen(client->error), room = sizeof client->error - 1 - had;
        memcpy(client->error + had, at, size < room ? size : room);
        client->error[had + (size < room ? size : room)] = '\0';
    }
    return 0;
}

static int on_head(llhttp_t *parser)
{
    struct client *client = client_of(parser);
    unsigned status = parser->status_code;

    if (status < 200)
        return 0;
    if (client->n_asks == 0)
        events_fail("a client that waits for nothing got an answer (%u)", status);
    client->has_head = true;
    client->is_last |= client->is_close;
    if (client->token != 0 && client->token != client->asks[0])
        events_fail("the answer to ask %u reached ask %u", client->token, client->asks[0]);
    if (status < sizeof client->statuses / sizeof *client->statuses)
        client->statuses[status]++;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct client *client = client_of(parser);

    if (client->token != 0 && !ask_is_body(client->token, client->got, (const uint8_t *) at, size))
        events_fail("ask %u got other bytes than its worker sent", client->token);
    client->got += size;
    return 0;
}

static void forget_first(struct client *client)
{
    ask_find(client->asks[0])->is_over = true;
    client->n_asks--;
    memmove(client->asks, client->asks + 1, client->n_asks * sizeof *client->asks);
}

static int on_complete(llhttp_t *parser)
{
    struct client *client = client_of(parser);

    if (parser->status_code < 200)
        return 0;
    struct ask *ask = ask_find(client->asks[0]);
    HOLD(!ask->is_answered);
    if (client->token != 0) {
        if (!ask->is_ended)
            events_fail("ask %u got a whole answer that its worker has not ended", client->token);
        if (ask->answered_bytes != client->got)
            events_fail("ask %u got %llu bytes of %llu", client->token,
                        (unsigned long long) client->got, (unsigned long long) ask->answered_bytes);
    }
    ask->is_answered = true;
    client->has_head = false;
    /* Answered before its body was sent: the rest of the body is not wanted, and nothing else can
     * follow. */
    client->is_spoiled |= client->n_asks == 1 && (client->body_left > 0 || client->is_chunked);
    forget_first(client);
    return 0;
}

/* ---- the connection */

void client_init(struct client *client, bool is_narrow)
{
    free(client->out);
    *client = (struct client){ .fd = -1, .is_narrow = is_narrow };
}

static void forget_connection(struct client *client)
{
    unsigned statuses[600];

    memcpy(statuses, client->statuses, sizeof statuses);
    if (client->fd >= 0)
        (void) close(client->fd);
    client_init(client, client->is_narrow);
    memcpy(client->statuses, statuses, sizeof statuses);
}

/* The front has closed it. */
static void on_end(struct client *client)
{
    /* A client that does not send the rest of its body is late at some time. */
    bool is_late = client->body_left > 0 || client->is_chunked || client->out_size > 0;

    if (client->n_asks > 0 && !client->is_odd && !is_late) {
        const struct ask *first = ask_find(client->asks[0]);
        if (client->has_head && !first->may_be_cut)
            events_fail("ask %u was cut off within its answer, and its worker went on",
                        client->asks[0]);
        if (!client->has_head && !client->is_last)
            events_fail("ask %u was cut off without an answer", client->asks[0]);
    }
    while (client->n_asks > 0)
        forget_first(client);
    forget_connection(client);
}

void client_leave(struct client *client)
{
    while (client->n_asks > 0)
        forget_first(client);
    forget_connection(client);
}

static bool flush(struct client *client)
{
    if (client->out_size == 0)
        return false;
    ssize_t n = send(client->fd, client->out, client->out_size, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        client->out_size = 0; /* closed; bytes from before are still to be read */
    if (n <= 0)
        return false;
    client->out_size -= (size_t) n;
    memmove(client->out, client->out + n, client->out_size);
    return true;
}

static void put(struct client *client, const void *data, size_t size)
{
    client->out = realloc(client->out, client->out_size + size + 1);
    HOLD(client->out);
    memcpy(client->out + client->out_size, data, size);
    client->out_size += size;
}

/* Reads at most that many bytes. Returns whether any came, or the end. */
static bool receive(struct client *client, size_t most)
{
    static char data[1U << 16];
    bool has_moved = false;
    ssize_t n;

    while (client->fd >= 0 &&
           (n = recv(client->fd, data, most < sizeof data ? most : sizeof data, 0)) != 0) {
        if (n < 0 && errno == EAGAIN)
            return has_moved;
        if (n < 0)
            break;
        has_moved = true;
        most -= (size_t) n;
        if (llhttp_execute(&client->parser, data, (size_t) n) != HPE_OK)
            events_fail("a client got what is no answer: %s",
                        llhttp_get_error_reason(&client->parser));
        if (most == 0)
            return true;
    }
    on_end(client);
    return true;
}

bool client_turn(struct client *client)
{
    if (client->fd < 0)
        return false;
    bool has_moved = flush(client);
    has_moved |= !client->is_deaf && receive(client, SIZE_MAX);
    if (client->is_spoiled && client->n_asks == 0)
        client_leave(client);
    return has_moved;
}

void client_sip(struct client *client, size_t bytes)
{
    if (client->fd >= 0 && bytes > 0)
        (void) receive(client, bytes);
}

/* ---- the kernel's buffers */

/* The kernel counts the bytes of an answer against the sending socket, which is the front's and inherits no size from the
 * listener. A narrow client's socket has a name, by which the linker's stand-in for accept4 knows its connections. */
static void make_narrow(int fd)
{
    const sa_family_t family = AF_UNIX;
    const int bytes = NARROW_BYTES;

    HOLD(bind(fd, (const struct sockaddr *) &family, sizeof family) == 0); /* any name */
    HOLD(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
}

int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    const int bytes = NARROW_BYTES;
    int accepted = __real_accept4(fd, address, size, flags);

    if (accepted >= 0 && *size > sizeof(sa_family_t))
        HOLD(setsockopt(accepted, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
    return accepted;
}

/* ---- requests */

static void connect_to(struct client *client, const struct sockaddr_un *address, socklen_t size)
{
    static const llhttp_settings_t settings = {
        .on_message_begin = on_message_begin,
        .on_header_field = on_field,
        .on_header_field_complete = on_field_end,
        .on_header_value = on_value,
        .on_headers_complete = on_head,
        .on_body = on_body,
        .on_message_complete = on_complete,
    };

    client->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    HOLD(client->fd >= 0 && io_set_nonblocking(client->fd) == 0);
    if (client->is_narrow)
        make_narrow(client->fd);
    if (connect(client->fd, (const struct sockaddr *) address, size) < 0) {
        forget_connection(client); /* the front does not listen any more */
        return;
    }
    llhttp_init(&client->parser, HTTP_RESPONSE, &settings);
    client->parser.data = client;
}

uint32_t client_ask(struct client *client, const struct sockaddr_un *address, socklen_t size,
                    const struct client_ask *ask)
{
    char head[256];

    if (client->n_asks >= CLIENT_ASKS || client->body_left > 0 || client->is_chunked ||
        client->is_last || client->has_shut_down || client->out_size > 0)
        return 0;
    if (client->fd < 0)
        connect_to(client, address, size);
    uint32_t number = client->fd < 0 ? 0 : ask_new(!ask->is_post);
    if (number == 0)
        return 0;
    client->asks[client->n_asks++] = number;
    int n = snprintf(head, sizeof head, "%s /%u HTTP/1.1\r\nHost: %s\r\n",
                     ask->is_post ? "POST" : "GET", number, ask->host);
    if (ask->is_chunked)
        n += snprintf(head + n, sizeof head - (size_t) n, "Transfer-Encoding: chunked\r\n");
    else if (ask->body_bytes > 0)
        n += snprintf(head + n, sizeof head - (size_t) n, "Content-Length: %llu\r\n",
                      (unsigned long long) ask->body_bytes);
    put(client, head, (size_t) n);
    put(client, "\r\n", 2);
    client->body_left = ask->body_bytes;
    client->body_at = 0;
    client->is_chunked = ask->is_chunked;
    (void) flush(client);
    return number;
}

void client_feed(struct client *client, uint64_t bytes)
{
    static uint8_t part[FEED_MAX];
    char line[32];

    if (client->fd < 0 || client->out_size > 0 || client->n_asks == 0 ||
        (client->body_left == 0 && !client->is_chunked))
        return;
    size_t size = bytes < client->body_left ? (size_t) bytes : (size_t) client->body_left;
    size = size < sizeof part ? size : sizeof part;
    ask_fill(client->asks[client->n_asks - 1], client->body_at, part, size);
    if (client->is_chunked && size > 0)
        put(client, line, (size_t) snprintf(line, sizeof line, "%zx\r\n", size));
    put(client, part, size);
    client->body_at += size;
    client->body_left -= size;
    if (client->is_chunked && size > 0)
        put(client, "\r\n", 2);
    if (client->is_chunked && client->body_left == 0) {
        put(client, "0\r\n\r\n", 5);
        client->is_chunked = false;
    }
    (void) flush(client);
}

void client_break_body(struct client *client)
{
    if (client->fd < 0 || client->out_size > 0 || client->n_asks == 0 || !client->is_chunked)
        return;
    put(client, "what\r\n", 6);
    client->is_odd = true; /* the connection may be cut off within an answer */
    client->is_chunked = false;
    client->body_left = 0;
    client->has_shut_down = true;
    (void) flush(client);
}

void client_half_close(struct client *client)
{
    if (client->fd < 0)
        return;
    (void) shutdown(client->fd, SHUT_WR);
    client->is_odd = client->has_shut_down = true;
    client->body_left = 0;
    client->is_chunked = false;
    client->out_size = 0;
}

bool client_is_waiting(const struct client *client)
{
    return client->n_asks > 0;
}
