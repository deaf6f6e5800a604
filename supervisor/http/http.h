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

/* Output above this many queued bytes is "full": on_writable follows once it is below again. */
#define HTTP_OUTPUT_LOW_BYTES 65536
/* A response head may not be larger than this. */
#define HTTP_RESPONSE_HEAD_MAX_BYTES 131072

struct http_front;
struct http_exchange; /* one request and its response; owned by the front */

/* Why an exchange ended before its response had. */
enum http_gone {
    HTTP_GONE_LEFT,      /* the client closed, reset, or said nothing more after its FIN */
    HTTP_GONE_MALFORMED, /* its body; it was answered 400 */
    HTTP_GONE_LATE,      /* its body came too slowly; it was answered 408 */
    HTTP_GONE_SLOW,      /* it took the response too slowly, and was cut off */
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
    const struct http_field *fields; /* any case; checked before they go out */
    size_t n_fields;
};

struct http_limits {
    uint32_t header_bytes; /* request line and headers together: 431 */
    uint32_t header_count;
    uint32_t connections; /* in all; above, one without a request gives way, or accept stops */
    uint32_t connections_per_ip; /* above, 503 and closed */
    uint32_t header_timeout_ms;  /* first moment or byte to end of headers: 408 */
    uint32_t body_idle_ms;       /* no byte of a body for that long: 408 */
    uint32_t half_close_ms;      /* after the client's FIN, without a byte either way; 0: none */
    uint32_t min_bytes_per_s;    /* bytes a second that bodies must come and go with; 0: any */
    uint64_t buffer_bytes;       /* kept for all clients, both ways; 0: any */
    uint32_t keepalive_ms;       /* idle connection, between requests */
    uint32_t write_idle_ms;      /* client takes no byte of the response for that long: closed */
    char default_host[HOST_NAME_MAX_BYTES + 1]; /* for HTTP/1.0 without Host; "": localhost */
};

/* Caps that clients meet; each time is counted. */
enum http_cap {
    HTTP_CAP_CONNECTIONS, /* none can give way: new ones wait */
    HTTP_CAP_IDLE,        /* one without a request gave way */
    HTTP_CAP_ADDRESS,     /* connections_per_ip: refused */
    HTTP_CAP_DESCRIPTORS, /* or memory, short */
    HTTP_CAP_BUFFERS,     /* buffer_bytes: a slow client was cut off */
    HTTP_CAPS,
};

/* What the front calls, from the loop only, never from within a function of this header. Each may
 * call the functions on its exchange, but not http_front_free. handler: as given to
 * http_front_new. */
struct http_handler {
    /* A request head. Returns what on_* below get as request, or NULL if it was answered at
     * once. NULL without an answer: the front answers "overloaded". */
    void *(*on_request)(void *handler, struct http_exchange *exchange,
                        const struct http_request *request);
    /* Request body, decoded; never more than http_grant allowed. end: the last call, size may be
     * 0. Not called for requests without body. */
    void (*on_body)(void *request, const uint8_t *data, size_t size, bool end);
    /* After http_queued_bytes was over HTTP_OUTPUT_LOW_BYTES: it no longer is. */
    void (*on_writable)(void *request);
    /* The client left, sent a malformed body or was too slow: the exchange is gone, never answer on it.
     * Once, and never after the response has ended. */
    void (*on_gone)(void *request, enum http_gone why);
    /* A request whose head was not understood has been answered with that status. May be NULL. */
    void (*on_rejected)(void *handler, struct http_text client, enum error_code code,
                        unsigned status);
};

struct http_front_options {
    struct event_base *base;
    const struct http_handler *ops;
    void *handler;
    struct http_limits limits;
    size_t *n_connections; /* borrowed; kept at the number of its connections. NULL: nowhere */
};

/* Ignores SIGPIPE for the process. 0, -ENOMEM, -EOPNOTSUPP (base is not epoll's). */
int http_front_new(const struct http_front_options *options, struct http_front **ret_front);
/* Peers in one of these prefixes stand for many clients: connections_per_ip does not hold for them. 0, or
 * -ENOMEM and nothing is changed. */
int http_front_set_proxies(struct http_front *front, const struct address_prefix *proxies,
                           size_t n);
/* Other limits from now on, also for connections that are open: a shorter time counts from now. 0, or
 * -ENOMEM and nothing is changed. */
int http_front_set_limits(struct http_front *front, const struct http_limits *limits);
/* Listens on an address. *ret_fd (may be NULL): its socket, borrowed. A socket file is removed when it is
 * closed, see http_front_set_file. 0, -errno of address_parse_listen, socket, bind or listen. */
int http_front_listen(struct http_front *front, const char *address, int *ret_fd);
/* Takes over a listening socket (socket activation, an upgrade, tests). Owned from success on. Its file, if
 * it has one, is left alone. */
int http_front_adopt(struct http_front *front, int fd);
/* Whether the file of a listening socket is ours to remove when it is closed. fd: of either of the above. */
void http_front_set_file(struct http_front *front, int fd, bool is_ours);
/* Accepts nothing from now on until it is let go: somebody else does on the same sockets. */
void http_front_hold(struct http_front *front, bool hold);
/* Closes the listening sockets. From now on each response says Connection: close; connections without a
 * request stay, for one more, until http_front_close_idle. takes_backlog: what the kernel has accepted is
 * taken first; false: it is for whoever listens on the same sockets. */
void http_front_drain(struct http_front *front, bool takes_backlog);
/* After http_front_drain: closes connections without a request, unless one is already in their socket. */
void http_front_close_idle(struct http_front *front);
/* How many connections have a request that is being sent, or whose response is not complete, or not taken
 * by the client yet. *ret_idle: those that have none and may bring one. */
size_t http_front_count(const struct http_front *front, size_t *ret_idle);
size_t http_front_connections(const struct http_front *front);
uint64_t http_front_cap_count(const struct http_front *front, enum http_cap cap);
/* Closes everything; calls no handler. NULL is allowed. Returns NULL. */
struct http_front *http_front_free(struct http_front *front);

/* What becomes of a field on its way from one tenant to another. */
enum http_passage {
    HTTP_PASSAGE_FREE,
    HTTP_PASSAGE_DROPPED, /* of a connection, or for skepd alone to say */
    HTTP_PASSAGE_REFUSED, /* its name or value may not be sent at all */
};
enum http_passage http_field_passage(const struct http_field *field);
bool http_is_token(struct http_text text);
bool http_is_idempotent(struct http_text method); /* RFC 9110 section 9.2.2 */

/* Bytes that are kept for clients, of limits.buffer_bytes. The handler notes what it keeps of requests itself;
 * exchange: whose request it is, NULL once that is gone. */
uint64_t http_front_buffered(const struct http_front *front);
void http_front_note_kept(struct http_front *front, struct http_exchange *exchange, size_t before,
                          size_t now);
/* How full that is: 0, or by how many powers of four windows have to be smaller, at most 2. */
unsigned http_front_pressure(const struct http_front *front);

/* By which the client's address is known, the same for all of an IPv6 /64; 0: has none of its own, as behind
 * a proxy. Not told to anybody. */
uint64_t http_client_key(const struct http_exchange *exchange);
/* The exchange's client has been found slow; which is known of its address for a while. */
void http_client_note_slow(struct http_exchange *exchange);
bool http_client_is_slow(const struct http_exchange *exchange);
/* Returns whether more of the request body is to come, and the front would take it. */
bool http_awaits_body(const struct http_exchange *exchange);
/* Allows the client to send that many more bytes of the request body; sends 100 Continue if the
 * client waits for it. on_body follows from the loop. */
void http_grant(struct http_exchange *exchange, size_t bytes);

/* Response head with the first body part; end: the body is complete (Content-Length is set from
 * it). Otherwise the length comes from fields or the body is chunked. HEAD, 204, 304 send no body.
 * Fields of one connection (Connection, Transfer-Encoding ...), Skep-Error and Skep-Request-Id are
 * left out.
 * Returns 0; -EBADMSG if status, a field or the length cannot be sent, or -ENOMEM: call http_fail;
 * -EALREADY after a head. After a 0 with end the exchange is gone. */
int http_respond(struct http_exchange *exchange, const struct http_response *response,
                 const uint8_t *body, size_t size, bool end);
/* More of the body. 0; -EBADMSG if it does not fit the announced length or -ENOMEM (connection is
 * cut off, exchange gone); -EINVAL before a head. After end the exchange is gone. */
int http_send_body(struct http_exchange *exchange, const uint8_t *data, size_t size, bool end);
/* The number by which the request can be found in the log: http_fail tells the client
 * (Skep-Request-Id). */
void http_set_request_id(struct http_exchange *exchange, uint64_t id);
/* Has the answer to http_respond say, in Server-Timing, how long the request was in the queue and what it took in all
 * until now. Before http_respond. */
void http_set_timing(struct http_exchange *exchange, uint64_t queue_us, uint64_t total_us,
                     bool is_cold);
/* The request failed: problem+json with the code, Skep-Error, Retry-After if retry_after_s > 0; or,
 * after a head, the connection is cut off so that the client sees an incomplete body. The
 * exchange is gone. */
void http_fail(struct http_exchange *exchange, enum error_code code, unsigned retry_after_s);
bool http_head_sent(const struct http_exchange *exchange);
/* Response bytes queued for the client and not yet taken by its socket. */
size_t http_queued_bytes(const struct http_exchange *exchange);
