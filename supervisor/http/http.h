/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 front: listening sockets, connections, parsing by llhttp, limits, responses.
 * Knows nothing of tenants or workers: a parsed request goes to the handler (the ledger) as
 * a struct http_exchange, and the handler answers on it. Supervisor, loop thread.
 *
 * Everything a client sends is hostile. Strict: no bare LF, no CL+TE, no obs-fold, one Host.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/address.h"
#include "common/error_codes.h"
#include "config/host_name.h"

/* Queued bytes above which output is "full": on_writable follows once there are fewer again. */
#define HTTP_OUTPUT_LOW_BYTES 65536
/* Most bytes of a response head. */
#define HTTP_RESPONSE_HEAD_MAX_BYTES 131072

struct http_front;
struct http_exchange; /* one request and its response; owned by the front */

/* Reason why an exchange ended before its response had. */
enum http_gone {
    HTTP_GONE_LEFT,      /* the client closed, reset, or sent nothing more after its FIN */
    HTTP_GONE_MALFORMED, /* the body is malformed; the client got 400 */
    HTTP_GONE_LATE,      /* the body came too slowly; the client got 408 */
    HTTP_GONE_SLOW,      /* the client took the response too slowly, and was cut off */
};

struct http_text {
    const char *data; /* not NUL-ended; borrowed */
    size_t size;
};

struct http_field {
    struct http_text name; /* lower case in requests */
    struct http_text value;
};

/* A request head. Valid during on_request only. */
struct http_request {
    struct http_text method;
    struct http_text host;           /* from Host or an absolute target; see config/host_name.h */
    struct http_text authority;      /* host, and port if it is not 80: as a URL shows it */
    struct http_text target;         /* origin form: path and query */
    struct http_text client;         /* the peer's address in text; "unix" */
    const struct http_field *fields; /* hop-by-hop fields and Expect taken out */
    size_t n_fields;
    bool has_body;          /* content-length > 0 or chunked */
    int64_t content_length; /* -1: unknown (chunked) */
    bool is_idempotent;     /* RFC 9110 section 9.2.2 */
    bool is_http10;
};

struct http_response {
    unsigned status;
    const struct http_field *fields; /* any case; checked before they are sent */
    size_t n_fields;
};

struct http_limits {
    uint32_t header_bytes; /* request line and headers together; more: 431 */
    uint32_t header_count;
    /* All connections; above, one without a request gives way, or accept stops. */
    uint32_t connections;
    uint32_t connections_per_ip; /* above, 503 and closed */
    uint32_t header_timeout_ms;  /* first moment or byte to end of headers: 408 */
    uint32_t body_idle_ms;       /* no byte of a body for that long: 408 */
    uint32_t half_close_ms;      /* after the client's FIN, without a byte either way; 0: none */
    uint32_t min_bytes_per_s;    /* least bytes a second of bodies, both ways; 0: any */
    uint64_t buffer_bytes;       /* kept for all clients, both ways; 0: any */
    uint32_t keepalive_ms;       /* idle connection, between requests */
    uint32_t write_idle_ms;      /* client takes no byte of the response for that long: closed */
    char default_host[HOST_NAME_MAX_BYTES + 1]; /* for HTTP/1.0 without Host; "": localhost */
};

/* Caps that clients meet; each time is counted. */
enum http_cap {
    HTTP_CAP_CONNECTIONS, /* none can give way: new ones wait */
    HTTP_CAP_IDLE,        /* a connection without a request gave way */
    HTTP_CAP_ADDRESS,     /* connections_per_ip: refused */
    HTTP_CAP_DESCRIPTORS, /* or memory, short */
    HTTP_CAP_BUFFERS,     /* buffer_bytes: a slow client was cut off */
    HTTP_CAPS,
};

/* Callbacks of the front, from the loop only, never from within a function of this header. Each may
 * call the functions on its exchange, but not http_front_free. handler: as given to
 * http_front_new. */
struct http_handler {
    /* Takes a request head. Returns the request pointer for on_* below, or NULL if the request was
     * answered at once. NULL without an answer: the front answers "overloaded". */
    void *(*on_request)(void *handler, struct http_exchange *exchange,
                        const struct http_request *request);
    /* Takes part of the request body, decoded; never more than http_grant allowed. end: the last
     * call, size may be 0. Not called for requests without body. */
    void (*on_body)(void *request, const uint8_t *data, size_t size, bool end);
    /* Reports that http_queued_bytes was over HTTP_OUTPUT_LOW_BYTES and no longer is. */
    void (*on_writable)(void *request);
    /* Reports that the client left, sent a malformed body or was too slow: the exchange is gone,
     * never answer on it. Called once, and never after the response has ended. */
    void (*on_gone)(void *request, enum http_gone why);
    /* Reports a request whose head was not understood, and that was answered with that status. May
     * be NULL. */
    void (*on_rejected)(void *handler, struct http_text client, enum error_code code,
                        unsigned status);
};

struct http_front_options {
    struct event_base *base;
    const struct http_handler *ops;
    void *handler;
    struct http_limits limits;
    size_t *n_connections; /* borrowed; kept at the number of connections. NULL: nowhere */
};

/* Makes a front. Ignores SIGPIPE for the process. 0, -ENOMEM, -EOPNOTSUPP (base is not epoll's). */
int http_front_new(const struct http_front_options *options, struct http_front **ret_front);
/* Sets the prefixes of peers that stand for many clients: connections_per_ip does not hold for
 * them. 0, or -ENOMEM and nothing is changed. */
int http_front_set_proxies(struct http_front *front, const struct address_prefix *proxies,
                           size_t n);
/* Sets other limits, also for connections that are open: a shorter time counts from now. 0, or
 * -ENOMEM and nothing is changed. */
int http_front_set_limits(struct http_front *front, const struct http_limits *limits);
/* Listens on an address. *ret_fd (may be NULL): the socket, borrowed. The socket's file is removed
 * when it is closed, see http_front_set_file. 0, -errno of address_parse_listen, socket, bind or
 * listen. */
int http_front_listen(struct http_front *front, const char *address, int *ret_fd);
/* Takes over a listening socket (socket activation, an upgrade, tests). Owned from success on. The
 * socket's file, if it has one, is left alone. */
int http_front_adopt(struct http_front *front, int fd);
/* Sets whether the front removes the file of a listening socket when it is closed. fd: of either
 * function above. */
void http_front_set_file(struct http_front *front, int fd, bool is_ours);
/* Stops accepting, and starts again: another process accepts on the same sockets meanwhile. */
void http_front_hold(struct http_front *front, bool hold);
/* Closes the listening sockets. From now on each response says Connection: close; connections
 * without a request stay, for one more, until http_front_close_idle. takes_backlog: connections
 * that the kernel has accepted are taken first; false: they are for another process that listens on
 * the same sockets. */
void http_front_drain(struct http_front *front, bool takes_backlog);
/* Closes connections without a request, after http_front_drain, unless one is already in their
 * socket. */
void http_front_close_idle(struct http_front *front);
/* Counts connections with a request that is being sent, or whose response is not complete, or not
 * taken by the client yet. *ret_idle: connections without one that may bring one. */
size_t http_front_count(const struct http_front *front, size_t *ret_idle);
size_t http_front_connections(const struct http_front *front);
uint64_t http_front_cap_count(const struct http_front *front, enum http_cap cap);
/* Closes everything; calls no handler. NULL is allowed. Returns NULL. */
struct http_front *http_front_free(struct http_front *front);

/* The fate of a field on its way from one tenant to another. */
enum http_passage {
    HTTP_PASSAGE_FREE,
    HTTP_PASSAGE_DROPPED, /* belongs to one connection, or only skepd may write it */
    HTTP_PASSAGE_REFUSED, /* such a name or value may not be sent at all */
};
enum http_passage http_field_passage(const struct http_field *field);
/* Takes the length that a Content-Length announces, into *length, which is -1 before it; other fields are passed over. 0,
 * or -EBADMSG: not a length, or the second one. */
int http_take_length(const struct http_field *field, int64_t *length);
bool http_is_token(struct http_text text);
bool http_is_idempotent(struct http_text method); /* RFC 9110 section 9.2.2 */

/* Returns the bytes that are kept for clients, of limits.buffer_bytes. The handler reports the
 * bytes of requests that it keeps itself; exchange: that of the request, NULL once that is gone. */
uint64_t http_front_buffered(const struct http_front *front);
void http_front_note_kept(struct http_front *front, struct http_exchange *exchange, size_t before,
                          size_t now);
/* Returns the pressure: 0, or by how many powers of four windows have to be smaller, at most 2. */
unsigned http_front_pressure(const struct http_front *front);

/* Returns the key of the client's address, the same for all of an IPv6 /64; 0: the client has no
 * address of its own, as behind a proxy. The key is told to nobody. */
uint64_t http_client_key(const struct http_exchange *exchange);
/* Notes that the exchange's client was found slow, which is remembered for its address for a
 * while. */
void http_client_note_slow(struct http_exchange *exchange);
bool http_client_is_slow(const struct http_exchange *exchange);
/* Returns whether more of the request body is to come, and the front would take it. */
bool http_awaits_body(const struct http_exchange *exchange);
/* Allows the client to send that many more bytes of the request body; sends 100 Continue if the
 * client waits for it. on_body follows from the loop. */
void http_grant(struct http_exchange *exchange, size_t bytes);

/* Sends the response head with the first body part; end: the body is complete (Content-Length is
 * set from it). Otherwise the length comes from fields or the body is chunked. HEAD, 204, 304 send
 * no body. Fields of one connection (Connection, Transfer-Encoding ...), Skep-Error and
 * Skep-Request-Id are left out. Returns 0; -EBADMSG if status, a field or the length cannot be
 * sent, or -ENOMEM: call http_fail; -EALREADY after a head. After a 0 with end the exchange is
 * gone. */
int http_respond(struct http_exchange *exchange, const struct http_response *response,
                 const uint8_t *body, size_t size, bool end);
/* Sends more of the body. 0; -EBADMSG if it does not fit the announced length or -ENOMEM (the
 * connection is cut off, the exchange gone); -EINVAL before a head. After end the exchange is
 * gone. */
int http_send_body(struct http_exchange *exchange, const uint8_t *data, size_t size, bool end);
/* Sets the number of the request in the log, which http_fail tells the client (Skep-Request-Id). */
void http_set_request_id(struct http_exchange *exchange, uint64_t id);
/* Makes the answer of http_respond tell, in Server-Timing, how long the request was in the queue
 * and took in all until now. Before http_respond. */
void http_set_timing(struct http_exchange *exchange, uint64_t queue_us, uint64_t total_us,
                     bool is_cold);
/* Fails the request: problem+json with the code, Skep-Error, Retry-After if retry_after_s > 0; or,
 * after a head, the connection is cut off so that the client sees an incomplete body. The exchange
 * is gone. */
void http_fail(struct http_exchange *exchange, enum error_code code, unsigned retry_after_s);
bool http_head_sent(const struct http_exchange *exchange);
/* Returns the response bytes queued for the client and not yet taken by its socket. */
size_t http_queued_bytes(const struct http_exchange *exchange);
