/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internals that the files of http/ share: the front, its connections, and who owns which part
 * of them. Not for others. Supervisor, loop thread.
 *
 * One epoll registration for each connection (edge-triggered, for reading, writing and the peer's
 * FIN) that never changes: can_read and can_write remember its events. Connections are only freed
 * by the front's work event, so a pointer stays good through any callback.
 */
#pragma once

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/log_gate.h"
#include "config/host_name.h"
#include "supervisor/http/http.h"

#define HTTP_INPUT_BYTES ((size_t) 64 * 1024)
#define HTTP_DRAIN_MAX_BYTES 65536 /* unread request body that is read and thrown away */
/* Bytes read after the last response, for clients that read it only when they have sent all. */
#define HTTP_LINGER_MAX_BYTES 16777216
#define HTTP_LINGER_MS 5000
#define HTTP_LOOK_MS 1000
#define HTTP_SPARE_BUFFERS 64
#define HTTP_HEADS_PER_TURN 16 /* heads of one connection; then others have their turn */
#define HTTP_PORT_BYTES 7      /* ":65535" and NUL */
#define HTTP_DEFAULT_HOST "localhost"
#define HTTP_SLOW_MS 10000       /* how long an address is remembered for a slow client */
#define HTTP_CLIENT_MAX_BYTES 46 /* INET6_ADDRSTRLEN */

enum connection_state {
    CONNECTION_IDLE,     /* no byte of a request yet */
    CONNECTION_HEAD,     /* part of a request head is there */
    CONNECTION_EXCHANGE, /* the handler has a request */
    CONNECTION_DRAIN,    /* answered; the rest of the request body is thrown away */
    CONNECTION_FLUSH,    /* the last output goes out, then linger or close */
    CONNECTION_LINGER,   /* output is shut down; input is thrown away until the client closes */
    CONNECTION_CLOSED,   /* fd closed; freed by the work event */
    CONNECTION_STATES,
};

enum http_timer_kind {
    HTTP_TIMER_NONE,
    HTTP_TIMER_KEEPALIVE,
    HTTP_TIMER_HEAD,
    HTTP_TIMER_BODY,
    HTTP_TIMER_HALF, /* the client has ended its side and waits for the rest of the answer */
    HTTP_TIMER_WRITE,
    HTTP_TIMER_LINGER,
    /* No read while the handler is at work: look whether the client is still there. */
    HTTP_TIMER_LOOK,
    HTTP_TIMER_KINDS,
};

enum http_body_mode {
    HTTP_BODY_NONE,
    HTTP_BODY_LENGTH,
    HTTP_BODY_CHUNKED,
    HTTP_BODY_CLOSE, /* for HTTP/1.0: ends with the connection */
};

/* State of the check of raw head, chunk and trailer lines (scan.c). */
enum http_scan_state {
    HTTP_SCAN_BAD,
    HTTP_SCAN_START,    /* before the request line: empty lines are skipped */
    HTTP_SCAN_START_CR, /* in such an empty line */
    HTTP_SCAN_LINE,
    HTTP_SCAN_LINE_CR,
    HTTP_SCAN_NEXT,   /* at the start of a field line */
    HTTP_SCAN_END_CR, /* in the empty line that ends the section */
    HTTP_SCAN_DONE,
    HTTP_SCAN_DATA_END, /* after chunk data: CR LF must follow */
    HTTP_SCAN_DATA_END_CR,
    HTTP_SCAN_SIZE, /* in a chunk size */
    /* Chunk extensions: from here on the bytes are thrown away. */
    HTTP_SCAN_EXTENSION_END, /* behind a size or a value: blanks, then ";" */
    HTTP_SCAN_EXTENSION,     /* behind ";" */
    HTTP_SCAN_NAME,
    HTTP_SCAN_NAME_END, /* behind a name: blanks, then "=" or ";" */
    HTTP_SCAN_VALUE,    /* behind "=" */
    HTTP_SCAN_TOKEN,
    HTTP_SCAN_QUOTED,
    HTTP_SCAN_QUOTED_PAIR, /* behind a backslash */
    HTTP_SCAN_QUOTED_END,
    HTTP_SCAN_STATES,
};

struct http_scan {
    enum http_scan_state state;
    uint32_t lines; /* complete, not empty */
    uint32_t bytes;
};

struct http_timer {
    TAILQ_ENTRY(http_timer) link;
    struct http_connection *connection;
    uint64_t due_ms;
    enum http_timer_kind kind;
};
TAILQ_HEAD(http_timer_list, http_timer);

/* Bytes that were read and not used: start..end of data. */
struct http_input {
    uint8_t *data;
    size_t start;
    size_t end;
    size_t capacity;
};

struct http_exchange {
    void *request;          /* borrowed: the handler's; NULL until on_request has returned */
    uint64_t grant;         /* body bytes that the handler still takes */
    uint64_t body_left;     /* rest of the request body, or of its current chunk */
    uint64_t response_left; /* HTTP_BODY_LENGTH: bytes that the handler still owes */
    uint64_t request_id;    /* 0: none */
    uint64_t queue_us;      /* with has_timing: for Server-Timing */
    uint64_t total_us;
    uint64_t body_taken;    /* bytes of the request body, decoded */
    uint64_t body_wait_ms;  /* time of waiting for them, up to body_since_ms */
    uint64_t body_since_ms; /* 0: waits for none */
    enum http_body_mode body_mode;
    enum http_body_mode response_mode;
    bool is_active; /* the handler may answer */
    bool body_open; /* the request body has not ended */
    bool head_sent;
    bool is_head; /* method HEAD: the response has no body */
    bool is_http10;
    bool keep_alive;
    bool has_timing;
    bool is_cold;
    bool expects_continue; /* 100 Continue is still due */
    bool has_been_full;    /* on_writable is due when output has drained */
};

enum http_queue {
    HTTP_QUEUE_NONE,
    HTTP_QUEUE_WORK,  /* at the end of this loop turn */
    HTTP_QUEUE_LATER, /* in the next loop turn */
};

struct http_connection {
    LIST_ENTRY(http_connection) link;
    TAILQ_ENTRY(http_connection) queue_link;
    struct http_front *front; /* borrowed: owner */
    struct http_peer *peer;   /* counted reference; NULL for unix sockets */
    struct evbuffer *out;     /* NULL while nothing is queued */
    struct http_input input;
    struct http_scan scan;
    llhttp_t parser; /* one message at a time */
    struct http_exchange exchange;
    struct http_timer read_timer;
    struct http_timer write_timer;
    struct event event;
    int fd;
    enum connection_state state;
    enum http_queue queue;
    bool can_read;
    bool can_write;
    bool peer_closed;    /* FIN seen; bytes may still be unread */
    bool is_read_out;    /* the FIN has been read: no byte is unread */
    bool reset_on_close; /* the client must not take the end for that of a complete body */
    bool no_linger;
    uint32_t lingered_bytes;
    uint32_t turn_heads;  /* heads taken in this turn */
    size_t noted_bytes;   /* bytes of this connection in the front's buffered */
    size_t kept_bytes;    /* likewise, bytes that the handler keeps for its request */
    uint64_t period_sent; /* response bytes that the client took since the write timer was set */
    char client[HTTP_CLIENT_MAX_BYTES];
};
LIST_HEAD(http_connection_list, http_connection);
TAILQ_HEAD(http_connection_queue, http_connection);

struct http_listener {
    LIST_ENTRY(http_listener) link;
    struct http_front *front; /* borrowed: owner */
    struct event event;
    int fd;
    char *unix_path; /* NULL: the socket has no file */
    bool owns_file;  /* the file is removed with the socket */
};
LIST_HEAD(http_listener_list, http_listener);

struct http_cap_state {
    uint64_t met;
    struct log_gate gate; /* gate of the log lines about the cap */
};

struct http_peers; /* connections for each client address (peers.c) */

struct http_front {
    struct event_base *base;        /* borrowed: the loop's */
    const struct http_handler *ops; /* borrowed: const */
    void *handler;                  /* borrowed: the ledger */
    struct http_limits limits;
    struct http_listener_list listeners;
    struct http_connection_list connections;
    size_t n_connections, *n_connections_out; /* n_connections_out: that of the options */
    struct http_peers *peers;
    struct http_connection_queue work;
    struct http_connection_queue later;
    struct http_timer_list timers[HTTP_TIMER_KINDS];
    uint32_t timer_ms[HTTP_TIMER_KINDS];
    uint64_t timer_due_ms; /* time that timer_event is set to; UINT64_MAX: off */
    struct event work_event;
    struct event later_event;
    struct event timer_event;
    struct event accept_event; /* accepts again after a shortage of descriptors */
    struct evbuffer *spare[HTTP_SPARE_BUFFERS];
    size_t n_spare;
    struct http_field *fields; /* limits.header_count + 1, for the head that is being parsed */
    struct http_cap_state caps[HTTP_CAPS];
    uint64_t buffered; /* bytes, see buffers.c */
    bool is_accepting;
    /* Descriptors are short: a connection that closes is no reason to accept again. */
    bool is_short;
    bool is_held; /* another process accepts on the same sockets */
    bool is_draining;
    bool is_closing_idle;
    int64_t date_second;
    char date[32];
    char host[HOST_NAME_MAX_BYTES +
              HTTP_PORT_BYTES]; /* host and port of the head that is being parsed */
    uint8_t input[HTTP_INPUT_BYTES];
};

static inline void http_front_count_connection(struct http_front *front, int change)
{
    front->n_connections += (size_t) change;
    if (front->n_connections_out)
        *front->n_connections_out = front->n_connections;
}

/* --- front.c: queues and timers ------------------------------------------------------- */

void http_front_queue(struct http_connection *connection, enum http_queue queue);
/* Moves a timer to kind's list, due in kind's time from now; NONE stops it. */
void http_timer_set(struct http_timer *timer, enum http_timer_kind kind);
/* Returns the time of the timers' clock: monotonic, as coarse as the kernel's tick. */
uint64_t http_front_now_ms(void);

/* --- listener.c ----------------------------------------------------------------------- */

/* Accepts again if a limit or shortage had stopped it. */
void http_listeners_resume(struct http_front *front);
/* Closes all listeners. accept_rest: takes connections that the kernel has already accepted
 * first. */
void http_listeners_close(struct http_front *front, bool accept_rest);
void http_listener_on_shortage_over(evutil_socket_t fd, short what, void *front);

/* --- buffers.c ------------------------------------------------------------------------ */

/* Counts the bytes that the connection keeps now. */
void http_buffers_note(struct http_connection *connection);
/* Forgets bytes that the handler keeps for an exchange which ends: they no longer count for this
 * connection. */
void http_buffers_forget_kept(struct http_connection *connection);
/* Returns whether the client takes the queued output at a fair rate. */
bool http_buffers_moves(const struct http_connection *connection);
/* Returns the size above which output is "full", see HTTP_OUTPUT_LOW_BYTES: less under pressure. */
size_t http_front_low_bytes(const struct http_front *front);
/* Cuts off clients until the kept bytes are within the budget. */
void http_buffers_shed(struct http_front *front);

/* --- caps.c --------------------------------------------------------------------------- */

void http_cap_met(struct http_front *front, enum http_cap cap, const char *client);

/* --- peers.c -------------------------------------------------------------------------- */

int http_peers_new(uint32_t max_per_peer, struct http_peers **ret_peers);
void http_peers_set_max(struct http_peers *peers, uint32_t max_per_peer);
/* Sets the proxies. 0, or -ENOMEM and nothing is changed. */
int http_peers_set_proxies(struct http_peers *peers, const struct address_prefix *proxies,
                           size_t n);
struct http_peers *http_peers_free(struct http_peers *peers);
/* Counts one connection from address (IPv4 /32, IPv6 /64). 0 with *ret_peer NULL for other
 * families and for proxies; -EDQUOT over the limit, -ENOMEM. */
int http_peer_enter(struct http_peers *peers, const struct sockaddr *address,
                    struct http_peer **ret_peer);
/* NULL is allowed. */
void http_peer_leave(struct http_peers *peers, struct http_peer *peer);
/* Returns the peer's id, which is not 0, and another one in each process. */
uint64_t http_peer_id(const struct http_peer *peer);
/* Returns the time when a client of the address was last found slow; 0: never. */
uint64_t *http_peer_slow_ms(struct http_peer *peer);
/* Returns the bytes that are kept for all connections of the peer (buffers.c). */
uint64_t *http_peer_buffered(struct http_peer *peer);

/* --- connection.c --------------------------------------------------------------------- */

/* Writes the address in text; "unix" without one. */
void http_client_name(const struct sockaddr *address, char name[HTTP_CLIENT_MAX_BYTES]);
/* Makes a connection. Takes over fd on success. */
int http_connection_new(struct http_front *front, int fd, const struct sockaddr *address);
/* Closes a connection that can give way to a new one. False: there is none. */
bool http_connection_make_room(struct http_front *front);
/* Ends the connection of a client that is too slow (HTTP_GONE_SLOW, HTTP_GONE_LATE). */
void http_connection_cut(struct http_connection *connection, enum http_gone why);
void http_connection_on_timeout(struct http_connection *connection, enum http_timer_kind kind);
/* Closes the fd and leaves all lists; calls no handler. The work event frees the connection. */
void http_connection_close(struct http_connection *connection);
/* Frees a closed connection. */
void http_connection_free(struct http_connection *connection);
/* Tells the handler, if it has a request here, that the exchange is gone. */
void http_connection_forget_exchange(struct http_connection *connection, enum http_gone why);
/* Goes on to the next phase when the response is complete (or cut off). */
void http_connection_end_exchange(struct http_connection *connection);
/* Does the same for a response that is in the kernel as a whole, of a connection that stays and has
 * no other work. */
void http_connection_end_sent(struct http_connection *connection);
/* Sends queued output, then closes. */
void http_connection_finish(struct http_connection *connection);
/* Sends FIN when all output is in the kernel, then LINGER; or closes. */
void http_connection_linger(struct http_connection *connection);
/* Closes a broken connection: on_gone first if there is a request. */
void http_connection_fail(struct http_connection *connection);
/* Notes the client's FIN, with bytes unread perhaps: an exchange under way has half_close_ms to go
 * on. */
void http_connection_on_fin(struct http_connection *connection);
/* Notes that the client has ended its side. */
void http_connection_on_end(struct http_connection *connection);
/* Gives bytes to the state; returns how many of them were used. */
size_t http_connection_take(struct http_connection *connection, uint8_t *data, size_t size);
bool http_connection_may_read(const struct http_connection *connection);
/* Returns the response queue; NULL without memory. */
struct evbuffer *http_connection_output(struct http_connection *connection);
void http_connection_release_output(struct http_connection *connection);
size_t http_connection_queued(const struct http_connection *connection);
/* Returns whether the rest of the request body is known and small enough to read and throw away. */
bool http_connection_can_drain_body(const struct http_connection *connection);
struct http_connection *http_exchange_connection(const struct http_exchange *exchange);
/* Starts or stops the timer for the request body, after a change of state or grant. */
void http_connection_time_body(struct http_connection *connection);
/* Returns whether the request body has come more slowly than limits.min_bytes_per_s, beyond the first body_idle_ms. */
bool http_connection_is_late(struct http_connection *connection);

/* --- io.c ----------------------------------------------------------------------------- */

void http_connection_on_event(evutil_socket_t fd, short what, void *connection);
/* Returns whether the client has reset the connection. */
bool http_connection_has_failed(const struct http_connection *connection);
/* Does the work that is due at the end of a loop turn. Returns when it wants to be called again:
 * LATER or NONE. Called with connection->queue still WORK, so that the work queues nothing; the
 * caller frees a connection that is closed after it. */
enum http_queue http_connection_work(struct http_connection *connection);

/* --- scan.c --------------------------------------------------------------------------- */

/* Checks bytes up to the end of the section (state DONE). Returns how many were checked, or
 * -EBADMSG. */
ssize_t http_scan_bytes(struct http_scan *scan, const uint8_t *data, size_t size);
/* --- parse.c -------------------------------------------------------------------------- */

/* Parses a complete, scanned head, changing its bytes in place. Fills the connection's exchange
 * and *ret_request, which points into bytes and front. Returns 0 or the HTTP status to answer; then *ret_detail says what
 * skepd does not have, and what to do (static), or is NULL. */
unsigned http_parse_head(struct http_connection *connection, uint8_t *bytes, size_t size,
                         struct http_request *ret_request, const char **ret_detail);

/* --- target.c ------------------------------------------------------------------------- */

/* Checks authority (as sent), sets request->host to the host's one spelling, and ->authority to that
 * and the port, if it is not 80; both in front->host. 0 or -EBADMSG. */
int http_parse_authority(struct http_front *front, struct http_text authority,
                         struct http_request *request);
/* Sets the configured host, for HTTP/1.0 without Host. */
void http_use_default_host(const struct http_front *front, struct http_request *request);
/* Splits an absolute-form target in place; origin-form stays unchanged; "*" (for OPTIONS) becomes
 * "/". *ret_authority: that of an absolute target, else empty. 0 or -EBADMSG. */
int http_parse_target(struct http_text *target, bool is_options, struct http_text *ret_authority);

/* --- body.c --------------------------------------------------------------------------- */

/* Takes body bytes: to the handler as far as it granted, or thrown away in state DRAIN. Returns how
 * many were used; 0: no more now. On malformed chunks the request fails. */
size_t http_body_take(struct http_connection *connection, const uint8_t *data, size_t size);

/* --- response.c ----------------------------------------------------------------------- */

/* Answers with a front error while a request may be with the handler: on_gone, then the answer,
 * then close. detail: see above. */
void http_reject(struct http_connection *connection, unsigned status, const char *detail);

/* --- fields.c ------------------------------------------------------------------------- */

enum http_field_kind {
    HTTP_FIELD_PLAIN,
    HTTP_FIELD_HOP, /* belongs to one connection only: never passed on */
    HTTP_FIELD_CONNECTION,
    HTTP_FIELD_UPGRADE, /* likewise, but for answers that name the protocol to upgrade to */
    HTTP_FIELD_CONTENT_LENGTH,
    HTTP_FIELD_DATE,
    HTTP_FIELD_EXPECT,
    HTTP_FIELD_HOST,
    HTTP_FIELD_SKEP, /* may be written by the front only */
    HTTP_FIELD_TRANSFER_ENCODING,
};

/* Returns the kind of a field, by its name in any case. */
enum http_field_kind http_field_kind(struct http_text name);
/* Returns whether a field is for the tenant whatever Connection says of it (docs/http.md). Any
 * case. */
bool http_is_end_to_end(struct http_text name);
/* Makes the name lower case in place. False: not a token. */
bool http_token_to_lower(char *data, size_t size);
/* Returns whether the text has no control characters but TAB; 0x80 to 0xff pass. */
bool http_is_field_value(struct http_text text);
bool http_text_is(struct http_text text, const char *lower_case); /* any case */
struct http_text http_text_trim(struct http_text text);           /* spaces and tabs */
/* Parses decimal digits only, at most 18 of them. 0 or -EBADMSG. */
int http_parse_length(struct http_text text, uint64_t *ret_length);
/* Returns the phrase of a status; never NULL: "" for a status without a name. */
const char *http_status_text(unsigned status);
/* Returns the Date field's value, made once for each second. */
const char *http_date(struct http_front *front);
