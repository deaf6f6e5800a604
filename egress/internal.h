/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The internals that the files of the egress process share: main.c (the process and its frames), pool.c (connections and
 * names of one tenant), fetch.c (one fetch), server.c (its server), handle.c (libcurl's handle), answer.c (the head of an answer). Included by these only. One thread, one loop.
 *
 * libcurl calls back while it is at work, and must not lose a fetch meanwhile: whatever ends a fetch inside such a
 * call is noted in the fetch, and done when libcurl has returned (pool_leave).
 */
#pragma once

#include <curl/curl.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/address_kind.h"
#include "config/host_name.h"
#include "egress.pb-c.h"
#include "egress/names.h"
#include "egress/program.h"
#include "proto/frame.h"
#include "proto/head.h"

#define FETCH_BUCKETS 1024
#define FETCH_TEXT_MAX 256

struct fetch;
struct helper_client;
struct pool;
LIST_HEAD(fetch_bucket, fetch);
TAILQ_HEAD(fetch_list, fetch);
TAILQ_HEAD(pool_list, pool);

/* The whole process. */
struct egress {
    const char *servers;     /* option --dns; NULL: resolvers of the system */
    const char *ca_file;     /* option --ca; NULL: certificates of the system alone */
    struct event_base *base; /* borrowed */
    struct names *names;
    X509_STORE *trust;      /* certificates by which servers are checked */
    struct event *sweep;    /* ends fetches whose skepd has left */
    struct pool_list pools; /* the one that was used last comes first; without retired ones */
    struct pool_list retired;
    unsigned n_pools; /* without retired ones */
    struct fetch_bucket fetches[FETCH_BUCKETS];
    unsigned n_fetches;
    unsigned n_sockets;      /* sockets of all connections, idle ones included */
    struct fetch *gathering; /* borrowed: the fetch of the gathered bytes; NULL: there are none */
    size_t n_gathered;
    /* Bytes of an answer's body, of which libcurl gives 16 KiB at a time. */
    uint8_t gathered[ANSWER_CHUNK_MAX_BYTES];
};

/* ---- pool.c: the connections and names of one tenant of one skepd */

struct pool {
    TAILQ_ENTRY(pool) entry;
    struct egress *egress;              /* borrowed */
    const struct helper_client *client; /* only compared: may be gone */
    uint64_t tenant;
    CURLM *multi;
    struct event *timer; /* libcurl's */
    struct event *turn;  /* the next one, for connections that wait */
    TAILQ_HEAD(connection_list, connection) waiting;
    bool is_timer_waiting;
    size_t
        idle_bytes; /* bytes of TLS that libcurl has read since the last progress in this call of it */
    bool has_cut;                /* a connection was closed in this call, for too many of them */
    uint64_t began_ns, spent_ns; /* the turn under way, and libcurl's time in it */
    struct event *idle;          /* the end of a pool that nobody uses */
    struct fetch_list fetches;
    unsigned n_fetches, n_lookups;
    TAILQ_HEAD(, known_name) known;
    unsigned n_known;
    unsigned depth; /* calls into libcurl */
    bool is_retired;
};

/* Returns the pool of a tenant, made if there is none. NULL: no memory, or too many. */
struct pool *pool_get(struct egress *egress, const struct helper_client *client, uint64_t tenant);
/* Takes a pool out of use: the next fetch of the tenant gets another one, with fresh connections. */
void pool_retire(struct egress *egress, const struct helper_client *client, uint64_t tenant);
/* Retires all pools of a skepd. */
void pool_retire_client(struct egress *egress, const struct helper_client *client);
/* Goes on with the fetches of a skepd that has taken all that was queued for it. */
void pool_on_drained(struct egress *egress, const struct helper_client *client);
/* Frees all pools, with their fetches, which are told nothing. */
void pool_free_all(struct egress *egress);
/* Decides how many idle connections the pool keeps from now on; before each fetch, outside of libcurl. */
void pool_bound_idle(struct pool *pool);
/* Begins and ends a use of libcurl; at the end of the outermost one, fetches that are over are ended, and a pool that
 * nobody needs is freed. */
void pool_enter(struct pool *pool);
void pool_leave(struct pool *pool);
/* Looks a name up for a fetch, which gets fetch_on_addresses, in a later turn of the loop or before this returns. */
int pool_look_up(struct pool *pool, struct fetch *fetch);
/* Makes a look-up that is under way report to nobody. */
void pool_forget_lookup(struct pool *pool, struct fetch *fetch);

/* ---- answer.c: the head of an answer, line by line */

struct answer_head {
    char *texts; /* owned; names and values */
    size_t n_bytes, size;
    uint32_t sizes[2 * EGRESS_FIELDS_MAX]; /* sizes of the texts */
    uint32_t n_texts;
    char reason[EGRESS_REASON_MAX_BYTES]; /* the reason phrase */
    size_t reason_bytes;
    size_t line_bytes; /* bytes of all lines so far, those of 1xx and of trailers, too */
};

/* Takes one line of a head without its end. 0; -EMSGSIZE: too many bytes or headers; -EPROTO: a line that is none;
 * -ENOMEM. */
int answer_add_line(struct answer_head *head, const char *line, size_t size);
/* Takes a status line, and forgets the lines of a provisional answer, whose bytes still count. */
void answer_begin(struct answer_head *head, const char *line, size_t size);
/* Counts bytes of lines. 0 or -EMSGSIZE. */
int answer_count(struct answer_head *head, size_t bytes);
/* Takes one line's claims about how the body comes: -EPROTO for a coding of the transfer but "chunked", which libcurl would decode on its
 * own, to any size and past every credit. 0 for all other lines, too. */
int answer_check_coding(const char *line, size_t size);
/* Leaves one Content-Length, or none beside a Transfer-Encoding (RFC 9112, 6.3). 0; -EPROTO: one is no number, or two differ. */
int answer_settle_length(struct answer_head *head);
/* Returns whether the head says that a body follows. After answer_settle_length. */
bool answer_has_body(const struct answer_head *head);
/* Packs all headers. The caller frees *ret_packed. 0 or -ENOMEM. */
int answer_pack(const struct answer_head *head, uint8_t **ret_packed, size_t *ret_size);
void answer_done(struct answer_head *head);

/* ---- fetch.c */

enum fetch_phase {
    FETCH_LOOKUP,  /* the name has no address yet */
    FETCH_CONNECT, /* libcurl has it, and no connection yet */
    FETCH_HEAD,    /* the request goes out */
    FETCH_BODY,    /* the answer's body comes in */
    FETCH_REST,    /* libcurl is through; the rest of the answer waits for credit */
};

struct fetch {
    TAILQ_ENTRY(fetch) entry;
    LIST_ENTRY(fetch) bucket;
    struct pool *pool;            /* borrowed */
    struct helper_client *client; /* borrowed; NULL: skepd has left */
    uint64_t id;
    enum fetch_phase phase;
    bool is_in_multi;
    int watched; /* libcurl's wishes for its socket: CURL_POLL_… */
    int fd;      /* the socket that was watched last, borrowed: may be closed; -1: none */
    uint64_t fd_first, looked_ns; /* bytes that it had received before; the last look */

    CURL *easy;
    struct curl_slist *headers, *resolve;
    char host[HOST_NAME_MAX_BYTES + 1];
    uint32_t port;
    struct address_prefix named[EGRESS_PREFIXES_MAX], denied[EGRESS_PREFIXES_MAX];
    struct address_rules addresses; /* both */
    void *lookup;                   /* pool.c's; NULL: none is under way */

    uint64_t opened_ns, connected_ns, head_ns, progress_ns;
    uint32_t connect_ms, head_ms, idle_ms, total_ms;
    struct event *timer;

    /* The request's body. */
    struct evbuffer
        *body; /* bytes that libcurl may still ask for, from the first on as long as taken counts */
    size_t taken;    /* bytes at its beginning that libcurl has, and may ask for again */
    bool is_dropped; /* bytes are gone that libcurl had */
    bool has_body, has_length, is_body_ended, is_send_paused;
    uint64_t length, got, sent, granted;
    uint32_t window; /* bytes that skepd may still send */

    /* The answer. */
    struct answer_head head;
    struct evbuffer
        *held; /* body that waits for credit or for the channel: less than libcurl gives at once */
    uint32_t credit;
    bool is_head_sent, is_receive_paused;
    uint64_t received;

    Skep__Egress__Failure failure; /* the first one counts */
    bool is_over;                  /* has failed, or skepd wants no more of it */
    char text[FETCH_TEXT_MAX];
    char address[64];
    char error[CURL_ERROR_SIZE];
};

/* The frames. 0 or -EPROTO. */
int fetch_open(struct egress *egress, struct helper_client *client, const Skep__Egress__Open *open);
int fetch_on_body(struct fetch *fetch, const Skep__Stream__Body *body);
int fetch_on_credit(struct fetch *fetch, const Skep__Stream__Credit *credit);
void fetch_cancel(struct fetch *fetch);
/* Returns the fetch of that number; NULL: there is none any more. */
struct fetch *fetch_find(struct egress *egress, const struct helper_client *client, uint64_t id);

/* Notes the end of the look-up. addresses: NULL with an error. */
void fetch_on_addresses(struct fetch *fetch, int error, const struct name_addresses *addresses);
/* Sends the body that waits, as far as credit and the channel allow. Outside of libcurl. */
void fetch_pass(struct fetch *fetch);
/* As fetch_pass; and asks libcurl for more of the answer if nothing waits any more. In pool_enter. */
void fetch_go_on(struct fetch *fetch);
/* Returns whether the answer is complete although libcurl waits for the rest of the request's body, which nobody needs any more: libcurl
 * wants to read no more, and was not asked to pause. Outside of libcurl. */
bool fetch_is_answered(const struct fetch *fetch);
/* Notes that libcurl is through with it. The fetch may be gone afterwards. */
void fetch_on_result(struct fetch *fetch, CURLcode result);
/* Sends the gathered bytes of an answer's body, if there are any. */
void fetch_flush(struct egress *egress);
/* Ends a fetch that is over, outside of libcurl: tells skepd, if it is there, and frees it. */
void fetch_end(struct fetch *fetch);
void fetch_free(struct fetch *fetch);

/* ---- for server.c and handle.c */

/* Notes a failure. The fetch is ended by pool_leave; until then each callback of libcurl stops it. */
void fetch_fail(struct fetch *fetch, Skep__Egress__Failure failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Notes that the server does what it is asked for. */
void fetch_note_progress(struct fetch *fetch);
/* Sets the timer to the next end of the fetch's time. */
void fetch_arm(struct fetch *fetch);

/* ---- server.c: the addresses of a server, and what it sends */

#define NO_ANSWER "the server sends bytes that are no answer"

/* Returns whether the address may be reached; false: the fetch has failed. */
bool server_may_reach(struct fetch *fetch, const struct sockaddr *address);
/* Has libcurl ask here about each socket and connection. 0 or -ENOMEM. */
int server_set(struct fetch *fetch);
/* Notes libcurl's wishes, CURL_POLL_…, for a socket of the fetch. */
void server_on_watch(struct fetch *fetch, int fd, int what);
/* Fails a fetch whose server sends much that is no part of an answer. Outside of libcurl. */
void server_check(struct fetch *fetch);

/* ---- handle.c: libcurl's handle of a fetch */

struct target;

/* Sets all that does not depend on the request. 0 or -ENOMEM. */
int handle_set(struct fetch *fetch);
/* Sets the request, whose numbers and target were checked. 0; -EINVAL: a header is refused, and the fetch has failed;
 * -ENOMEM. */
int handle_set_request(struct fetch *fetch, const Skep__Egress__Open *open,
                       const struct target *target);
/* Pins the name to its addresses: "example.com:443:192.0.2.1,[2001:db8::1]". 0; -EINVAL, -ENOSPC, -ENOMEM. */
int handle_pin(struct fetch *fetch, const struct name_addresses *addresses);
/* Fails the fetch with what libcurl's result means, in skep's words. */
void handle_fail(struct fetch *fetch, CURLcode result);
