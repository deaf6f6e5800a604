/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One fetch: checks, the name's addresses, libcurl's handle with bodies both ways, and its end. The addresses of a name
 * are checked before libcurl hears of them, and are the only ones that it has (CURLOPT_RESOLVE); where the socket is made,
 * and when it is connected, the address is checked again. Egress process.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/address_kind.h"
#include "common/cleanup.h"
#include "config/config.h"
#include "egress/internal.h"
#include "egress/target.h"
#include "helper/helper.h"
#include "proto/frame.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)
#define TIME_MAX_MS (UINT32_C(24) * 3600 * 1000)
/* Bytes of a body that are kept, so that a request goes out again when a connection that was used before turns out to
 * be closed. */
#define KEPT_MAX_BYTES EGRESS_WINDOW_BYTES
#define RESOLVE_MAX_BYTES (HOST_NAME_MAX_BYTES + 16 + NAMES_ADDRESSES_MAX * (INET6_ADDRSTRLEN + 3))
#define CONNECTION_AGE_S 60L /* most age of an idle connection */
/* libcurl reads many buffers for one event of a socket: small ones bound the time of that. */
#define BUFFER_BYTES (16L << 10)
/* Bytes that a server may send besides EXTRA_RATIO times what came of the answer and went of the request: EXTRA_BYTES, and
 * EXTRA_PER_MS for each millisecond. Handshakes, chunks, records and signs of life in a slow stream need less. */
#define EXTRA_BYTES (UINT64_C(1) << 20)
#define EXTRA_RATIO 8 /* a chunk of one byte has six */
#define EXTRA_PER_MS 64
#define NO_ANSWER "the server sends bytes that are no answer"
#define UNREAD_MAX_BYTES ((size_t) 1 << 30)
#define LOOK_NS (5 * NS_PER_MS) /* between two looks at a server */

static uint64_t now_ns(void)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * UINT64_C(1000000000) + (uint64_t) now.tv_nsec;
}

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) text, .len = strlen(text) };
}

/* ---- frames to skepd; none if it has left */

static void send_frame(struct fetch *fetch, Skep__Egress__FromEgress *frame)
{
    if (fetch->client)
        (void) helper_send(fetch->client, &frame->base);
}

static void send_head(struct fetch *fetch, uint32_t status, uint32_t version, uint8_t *packed,
                      size_t size)
{
    Skep__Egress__Head head = SKEP__EGRESS__HEAD__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    head.id = fetch->id;
    head.status = status;
    head.version = version;
    head.head = (ProtobufCBinaryData){ .data = packed, .len = size };
    head.reason = (ProtobufCBinaryData){ .data = (uint8_t *) fetch->head.reason,
                                         .len = fetch->head.reason_bytes };
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_HEAD;
    frame.head = &head;
    send_frame(fetch, &frame);
}

static void send_body(struct fetch *fetch, const uint8_t *data, size_t size)
{
    Skep__Stream__Body body = SKEP__STREAM__BODY__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    body.id = fetch->id;
    body.data = (ProtobufCBinaryData){ .data = (uint8_t *) (uintptr_t) data, .len = size };
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_BODY;
    frame.body = &body;
    send_frame(fetch, &frame);
}

static void send_credit(struct fetch *fetch, uint32_t bytes)
{
    Skep__Stream__Credit credit = SKEP__STREAM__CREDIT__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;

    credit.id = fetch->id;
    credit.bytes = bytes;
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_CREDIT;
    frame.credit = &credit;
    send_frame(fetch, &frame);
}

static uint64_t since_us(const struct fetch *fetch, uint64_t then_ns)
{
    return then_ns > fetch->opened_ns ? (then_ns - fetch->opened_ns) / NS_PER_US : 0;
}

static void send_done(struct fetch *fetch)
{
    Skep__Egress__Done done = SKEP__EGRESS__DONE__INIT;
    Skep__Egress__FromEgress frame = SKEP__EGRESS__FROM_EGRESS__INIT;
    long connects = 0;

    if (fetch->easy)
        (void) curl_easy_getinfo(fetch->easy, CURLINFO_NUM_CONNECTS, &connects);
    done.id = fetch->id;
    done.failure = fetch->failure;
    done.text = bytes_of(fetch->text);
    done.address = bytes_of(fetch->address);
    done.sent = fetch->sent;
    done.received = fetch->received;
    done.connects = (uint32_t) connects;
    done.connect_us = since_us(fetch, fetch->connected_ns);
    done.head_us = since_us(fetch, fetch->head_ns);
    done.total_us = since_us(fetch, now_ns());
    frame.message_case = SKEP__EGRESS__FROM_EGRESS__MESSAGE_DONE;
    frame.done = &done;
    send_frame(fetch, &frame);
}

/* ---- the end */

/* Notes a failure. The fetch is ended by pool_leave; until then each callback of libcurl stops it. */
static void fail(struct fetch *fetch, Skep__Egress__Failure failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct fetch *fetch, Skep__Egress__Failure failure, const char *format, ...)
{
    va_list args;

    if (fetch->is_over)
        return;
    fetch->is_over = true;
    fetch->failure = failure;
    va_start(args, format);
    (void) vsnprintf(fetch->text, sizeof fetch->text, format, args);
    va_end(args);
    /* libcurl quotes the server's certificate and answer. */
    for (char *at = fetch->text; *at != '\0'; at++)
        if (*at < ' ' || *at > '~')
            *at = '?';
}

void fetch_free(struct fetch *fetch)
{
    struct pool *pool = fetch->pool;

    pool_forget_lookup(pool, fetch);
    if (pool->egress->gathering == fetch)
        pool->egress->gathering = NULL;
    if (fetch->is_in_multi)
        (void) curl_multi_remove_handle(pool->multi, fetch->easy);
    if (fetch->easy)
        curl_easy_cleanup(fetch->easy);
    curl_slist_free_all(fetch->headers);
    curl_slist_free_all(fetch->resolve);
    if (fetch->timer)
        event_free(fetch->timer);
    if (fetch->body)
        evbuffer_free(fetch->body);
    if (fetch->held)
        evbuffer_free(fetch->held);
    answer_done(&fetch->head);
    LIST_REMOVE(fetch, bucket);
    TAILQ_REMOVE(&pool->fetches, fetch, entry);
    pool->n_fetches--;
    pool->egress->n_fetches--;
    free(fetch);
}

void fetch_end(struct fetch *fetch)
{
    fetch_flush(fetch->pool->egress);
    send_done(fetch);
    fetch_free(fetch);
}

void fetch_cancel(struct fetch *fetch)
{
    struct pool *pool = fetch->pool;

    pool_enter(pool);
    fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_CANCELLED, "cancelled");
    pool_leave(pool);
}

static struct fetch_bucket *bucket_of(struct egress *egress, uint64_t id)
{
    return &egress->fetches[id % FETCH_BUCKETS];
}

struct fetch *fetch_find(struct egress *egress, const struct helper_client *client, uint64_t id)
{
    struct fetch *fetch;

    LIST_FOREACH (fetch, bucket_of(egress, id), bucket)
        if (fetch->id == id && fetch->client == client)
            break;
    return fetch;
}

/* ---- time */

/* Returns whether the server has to do something. */
static bool is_servers_turn(const struct fetch *fetch)
{
    if (fetch->phase == FETCH_HEAD)
        return !fetch->is_send_paused;
    return fetch->phase == FETCH_BODY && !fetch->is_receive_paused && !fetch->is_send_paused;
}

/* Returns the time at which the fetch has taken too long, and what for. */
static uint64_t deadline(const struct fetch *fetch, const char **ret_what)
{
    uint64_t total = fetch->opened_ns + fetch->total_ms * NS_PER_MS, phase = total;

    *ret_what = "the whole took too long";
    if (fetch->phase <= FETCH_CONNECT)
        phase = fetch->opened_ns + fetch->connect_ms * NS_PER_MS;
    else if (is_servers_turn(fetch))
        phase = fetch->progress_ns +
                (fetch->phase == FETCH_HEAD ? fetch->head_ms : fetch->idle_ms) * NS_PER_MS;
    if (phase >= total)
        return total;
    *ret_what = fetch->phase == FETCH_LOOKUP    ? "the look-up of the name took too long"
                : fetch->phase == FETCH_CONNECT ? "the connection took too long"
                : fetch->phase == FETCH_HEAD    ? "the server did not answer in time"
                                                : "the server sent nothing more in time";
    return phase;
}

/* Sets the timer for the deadline as it is now. A later deadline is found when the timer comes. */
static void arm(struct fetch *fetch)
{
    const char *what;
    uint64_t then = deadline(fetch, &what), now = now_ns();
    uint64_t wait_us = then > now ? (then - now) / NS_PER_US + 1 : 0;
    const struct timeval wait = { (time_t) (wait_us / 1000000), (suseconds_t) (wait_us % 1000000) };

    (void) event_add(fetch->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct fetch *fetch = arg;
    struct pool *pool = fetch->pool;
    const char *what;

    (void) fd;
    (void) events;
    if (deadline(fetch, &what) > now_ns()) {
        arm(fetch);
        return;
    }
    pool_enter(pool);
    fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_TIME, "%s", what);
    pool_leave(pool);
}

/* Notes that the server has done something, or that it is its turn from now on. */
static void progress(struct fetch *fetch)
{
    fetch->progress_ns = now_ns();
    fetch->pool->idle_bytes = 0;
}

/* ---- addresses */

/* A long name of the host is cut, so that the remedy is whole. */
static void refuse_address(struct fetch *fetch, enum address_kind kind)
{
    if (kind == ADDRESS_DENIED)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_ADDRESS,
             "%.100s leads to an address that egress.deny_addresses in skepd.yaml has",
             fetch->host);
    else
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_ADDRESS,
             "%.100s leads to %s, which may not be reached unless egress.addresses in skepd.yaml "
             "names "
             "it",
             fetch->host, address_kind_text(kind));
}

static bool may_reach(struct fetch *fetch, const struct sockaddr *address)
{
    enum address_kind kind;

    if (address_is_reachable(address, &fetch->addresses, &kind))
        return true;
    refuse_address(fetch, kind);
    return false;
}

/* Returns whether the address is one of this host: then the kernel would send from the address itself. No packet is
 * sent. */
static bool is_own(const struct sockaddr *address, socklen_t size)
{
    _cleanup_fd_ int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_storage own;
    socklen_t own_size = sizeof own;
    struct address_prefix there, here;

    return fd >= 0 && connect(fd, address, size) == 0 &&
           getsockname(fd, (struct sockaddr *) &own, &own_size) == 0 &&
           address_of(address, &there) && address_of((const struct sockaddr *) &own, &here) &&
           memcmp(there.bytes, here.bytes, sizeof there.bytes) == 0;
}

/* Notes the end of a connection, and closes its socket. */
static int on_close(void *arg, curl_socket_t fd)
{
    struct egress *egress = arg;

    egress->n_sockets--;
    return close(fd);
}

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetch *fetch = arg;

    (void) purpose;
    if (fetch->is_over || address->socktype != SOCK_STREAM || !may_reach(fetch, &address->addr))
        return CURL_SOCKET_BAD;
    if (!address_is_named(&address->addr, fetch->addresses.named, fetch->addresses.n_named) &&
        is_own(&address->addr, address->addrlen)) {
        refuse_address(fetch, ADDRESS_OWN);
        return CURL_SOCKET_BAD;
    }
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    fetch->pool->egress->n_sockets++;
    return fd;
}

/* Reads an address as libcurl writes it. */
static bool read_address(const char *text, struct sockaddr_storage *ret_address)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        memcpy(ret_address, &in, sizeof in);
        return true;
    }
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
        return false;
    memcpy(ret_address, &in6, sizeof in6);
    return true;
}

/* Checks the connection over which the request is about to go, a new one or one that was there. */
static int on_connected(void *arg, char *there, char *here, int port, int here_port)
{
    struct fetch *fetch = arg;
    struct sockaddr_storage address;

    (void) here;
    (void) here_port;
    if (fetch->is_over || !read_address(there, &address) ||
        !may_reach(fetch, (const struct sockaddr *) &address))
        return CURL_PREREQFUNC_ABORT;
    (void) snprintf(fetch->address, sizeof fetch->address,
                    address.ss_family == AF_INET6 ? "[%s]:%d" : "%s:%d", there, port);
    fetch->phase = FETCH_HEAD;
    fetch->connected_ns = now_ns();
    progress(fetch);
    arm(fetch);
    return CURL_PREREQFUNC_OK;
}

/* ---- the request's body */

/* Lets skepd send as much as libcurl has taken for the first time. */
static void grant(struct fetch *fetch)
{
    uint64_t due = fetch->sent - fetch->granted;

    if (fetch->sent <= fetch->granted || fetch->is_body_ended || due < EGRESS_WINDOW_BYTES / 4)
        return;
    fetch->granted = fetch->sent;
    fetch->window += (uint32_t) due;
    send_credit(fetch, (uint32_t) due);
}

static size_t on_read(char *buffer, size_t size, size_t n, void *arg)
{
    struct fetch *fetch = arg;
    struct evbuffer_ptr at;

    if (fetch->is_over)
        return CURL_READFUNC_ABORT;
    size_t left = evbuffer_get_length(fetch->body) - fetch->taken;
    if (left == 0 && fetch->is_body_ended)
        return 0;
    if (left == 0) {
        fetch->is_send_paused = true;
        return CURL_READFUNC_PAUSE;
    }
    size_t bytes = left < size * n ? left : size * n;
    if (evbuffer_ptr_set(fetch->body, &at, fetch->taken, EVBUFFER_PTR_SET) < 0 ||
        evbuffer_copyout_from(fetch->body, &at, buffer, bytes) != (ssize_t) bytes)
        return CURL_READFUNC_ABORT;
    fetch->taken += bytes;
    fetch->sent += bytes;
    if (fetch->is_dropped || fetch->taken > KEPT_MAX_BYTES) {
        (void) evbuffer_drain(fetch->body, fetch->taken);
        fetch->taken = 0;
        fetch->is_dropped = true;
    }
    progress(fetch);
    grant(fetch);
    return bytes;
}

/* Goes back to the first byte: libcurl sends the request again, on another connection. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct fetch *fetch = arg;

    if (offset != 0 || origin != SEEK_SET || fetch->is_dropped)
        return CURL_SEEKFUNC_FAIL;
    fetch->taken = 0;
    fetch->sent = 0;
    return CURL_SEEKFUNC_OK;
}

/* Makes libcurl ask again for what it may have. */
static void unpause(struct fetch *fetch)
{
    progress(fetch);
    arm(fetch);
    if (fetch->is_in_multi)
        (void) curl_easy_pause(fetch->easy, (fetch->is_send_paused ? CURLPAUSE_SEND : 0) |
                                                (fetch->is_receive_paused ? CURLPAUSE_RECV : 0));
}

int fetch_on_body(struct fetch *fetch, const Skep__Stream__Body *body)
{
    struct pool *pool = fetch->pool;

    if (!fetch->has_body || fetch->is_body_ended || body->data.len > fetch->window ||
        (body->data.len == 0 && !body->end))
        return -EPROTO;
    fetch->window -= (uint32_t) body->data.len;
    fetch->got += body->data.len;
    fetch->is_body_ended = body->end;
    pool_enter(pool);
    if (fetch->has_length &&
        (fetch->got > fetch->length || (body->end && fetch->got < fetch->length)))
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_REQUEST,
             "the body has another length than it said");
    else if (evbuffer_add(fetch->body, body->data.data, body->data.len) < 0)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    if (!fetch->is_over && fetch->is_send_paused) {
        fetch->is_send_paused = false;
        unpause(fetch);
    }
    pool_leave(pool);
    return 0;
}

/* ---- the answer */

void fetch_flush(struct egress *egress)
{
    if (egress->gathering)
        send_body(egress->gathering, egress->gathered, egress->n_gathered);
    egress->gathering = NULL;
}

/* Gathers a part of the body for which there is credit, until libcurl has returned: each frame costs skepd and the worker
 * as much as many bytes. */
static void gather(struct fetch *fetch, const uint8_t *data, size_t size)
{
    struct egress *egress = fetch->pool->egress;

    fetch->credit -= (uint32_t) size;
    fetch->received += size;
    while (size > 0) {
        if (egress->gathering != fetch || egress->n_gathered == sizeof egress->gathered) {
            fetch_flush(egress);
            egress->gathering = fetch;
            egress->n_gathered = 0;
        }
        size_t room = sizeof egress->gathered - egress->n_gathered;
        size_t part = size < room ? size : room;
        memcpy(egress->gathered + egress->n_gathered, data, part);
        egress->n_gathered += part;
        data += part;
        size -= part;
    }
}

static bool is_congested(const struct fetch *fetch)
{
    return fetch->client && helper_client_is_congested(fetch->client);
}

/* Sends what waited, as far as there is credit for it. */
static void pass_held(struct fetch *fetch)
{
    size_t size = evbuffer_get_length(fetch->held);

    size = size < fetch->credit ? size : fetch->credit;
    if (size == 0)
        return;
    gather(fetch, evbuffer_pullup(fetch->held, (ev_ssize_t) size), size);
    (void) evbuffer_drain(fetch->held, size);
}

void fetch_pass(struct fetch *fetch)
{
    if (!is_congested(fetch) ||
        (fetch->is_over && fetch->failure != SKEP__EGRESS__FAILURE__FAILURE_CANCELLED))
        pass_held(fetch);
}

/* Takes body from libcurl. While the channel is full, the server is held back: all that egress keeps for a skepd that does
 * not read is bounded by the channel's mark, and what libcurl gives at once. */
static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
    struct fetch *fetch = arg;
    size_t bytes = size * n, most = is_congested(fetch) ? 0 : fetch->credit;
    size_t now = bytes < most ? bytes : most;

    if (!fetch->is_head_sent)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL,
             "the answer has a body before its head");
    if (fetch->is_over)
        return 0;
    if (now == 0 || evbuffer_get_length(fetch->held) > 0) {
        fetch->is_receive_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    progress(fetch);
    gather(fetch, (const uint8_t *) data, now);
    if (now < bytes && evbuffer_add(fetch->held, data + now, bytes - now) < 0)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    return bytes;
}

void fetch_go_on(struct fetch *fetch)
{
    fetch_pass(fetch);
    if (evbuffer_get_length(fetch->held) > 0)
        return;
    if (fetch->phase == FETCH_REST)
        fetch->is_over = true;
    if (!fetch->is_over && fetch->is_receive_paused && fetch->credit > 0) {
        fetch->is_receive_paused = false;
        unpause(fetch);
    }
}

int fetch_on_credit(struct fetch *fetch, const Skep__Stream__Credit *credit)
{
    struct pool *pool = fetch->pool;

    if (credit->bytes > EGRESS_CREDIT_MAX_BYTES - fetch->credit)
        return -EPROTO;
    pool_enter(pool);
    fetch->credit += credit->bytes;
    fetch_go_on(fetch);
    pool_leave(pool);
    return 0;
}

static uint32_t version_of(CURL *easy)
{
    long version = 0;

    (void) curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    return version == CURL_HTTP_VERSION_1_0 ? 10 : version == CURL_HTTP_VERSION_1_1 ? 11 : 20;
}

/*
 * Closes the connection of an answer 204 that says it has a body, after the fetch. libcurl reads none, as it should; what
 * such a server sends nevertheless would be the beginning of the answer to the tenant's next request.
 */
static void forbid_reuse(struct fetch *fetch, long status)
{
    if (status == 204 && answer_has_body(&fetch->head) && version_of(fetch->easy) < 20)
        (void) curl_easy_setopt(fetch->easy, CURLOPT_FORBID_REUSE, 1L);
}

/* Notes the empty line: the head of a provisional answer is passed over. -EBADMSG: the server goes over to another protocol, for which
 * nobody has asked, and which libcurl would give out as a body. */
static int end_head(struct fetch *fetch)
{
    _cleanup_free_ uint8_t *packed = NULL;
    size_t size;
    long status = 0;

    if (curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK ||
        status < 100 || status > 999)
        return -EPROTO;
    if (status == 101)
        return -EBADMSG;
    if (status < 200)
        return 0;
    int r = answer_settle_length(&fetch->head);
    if (r < 0)
        return r;
    r = answer_pack(&fetch->head, &packed, &size);
    if (r < 0)
        return r;
    forbid_reuse(fetch, status);
    fetch->is_head_sent = true;
    fetch->head_ns = now_ns();
    fetch->phase = FETCH_BODY;
    progress(fetch);
    arm(fetch);
    send_head(fetch, (uint32_t) status, version_of(fetch->easy), packed, size);
    return 0;
}

static int take_line(struct fetch *fetch, const char *line, size_t size)
{
    int r = answer_count(&fetch->head, size);

    if (r < 0 || fetch->is_head_sent) /* trailers */
        return r;
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
        size--;
    if (size == 0)
        return end_head(fetch);
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        answer_begin(&fetch->head, line, size);
        return memchr(line, '\r', size) ? -EPROTO : 0;
    }
    r = answer_check_coding(line, size);
    if (r < 0)
        return -ENOTSUP;
    return answer_add_line(&fetch->head, line, size);
}

static size_t on_line(char *line, size_t size, size_t n, void *arg)
{
    struct fetch *fetch = arg;

    if (fetch->is_over)
        return 0;
    int r = take_line(fetch, line, size * n);
    if (r == -EMSGSIZE)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_HEAD_SIZE,
             "the answer has more than %u headers or %u bytes of them", EGRESS_FIELDS_MAX,
             EGRESS_HEAD_MAX_BYTES);
    else if (r == -EPROTO)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL,
             "the answer has a header that is none");
    else if (r == -EBADMSG)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL,
             "the server answers with another protocol (101)");
    else if (r == -ENOTSUP)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL,
             "the answer has a Transfer-Encoding other than chunked");
    else if (r < 0)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    return r < 0 ? 0 : size * n;
}

/* ---- what a server sends */

/* Returns how many bytes the connection has received in its life. */
static uint64_t received_by(int fd)
{
    struct tcp_info info = { 0 };
    socklen_t size = sizeof info;

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

/* Returns how many of them nobody has read yet: MSG_TRUNC counts without copying. */
static uint64_t unread_of(int fd)
{
    ssize_t n = recv(fd, NULL, UNREAD_MAX_BYTES, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

    return n > 0 ? (uint64_t) n : 0;
}

void fetch_on_watch(struct fetch *fetch, int fd, int what)
{
    fetch->watched = what == CURL_POLL_REMOVE ? CURL_POLL_NONE : what;
    if (what == CURL_POLL_REMOVE || fetch->fd == fd)
        return;
    fetch->fd = fd;
    fetch->fd_first = received_by(fd);
}

void fetch_check_server(struct fetch *fetch)
{
    const uint64_t now = now_ns();

    if (fetch->is_over || !fetch->is_in_multi || fetch->watched == CURL_POLL_NONE ||
        now - fetch->looked_ns < LOOK_NS)
        return;
    fetch->looked_ns = now;
    const uint64_t wanted =
        fetch->received + evbuffer_get_length(fetch->held) + fetch->head.line_bytes + fetch->sent;
    const uint64_t most =
        EXTRA_BYTES + EXTRA_RATIO * wanted + (now - fetch->opened_ns) / NS_PER_MS * EXTRA_PER_MS;
    const uint64_t all = received_by(fetch->fd);
    if (all < fetch->fd_first) /* another connection with the same number */
        fetch->fd_first = 0;
    if (all <= fetch->fd_first + most || all - unread_of(fetch->fd) <= fetch->fd_first + most)
        return;
    /* libcurl would use a connection of HTTP/2 again. */
    (void) curl_easy_setopt(fetch->easy, CURLOPT_FORBID_REUSE, 1L);
    fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL, NO_ANSWER);
}

/* ---- libcurl's end */

static Skep__Egress__Failure failure_of(CURLcode result)
{
    switch (result) {
    case CURLE_OK:
        return SKEP__EGRESS__FAILURE__FAILURE_NONE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return SKEP__EGRESS__FAILURE__FAILURE_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return SKEP__EGRESS__FAILURE__FAILURE_TLS;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_HTTP2_STREAM:
        return SKEP__EGRESS__FAILURE__FAILURE_CLOSED;
    case CURLE_OPERATION_TIMEDOUT:
        return SKEP__EGRESS__FAILURE__FAILURE_TIME;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
        return SKEP__EGRESS__FAILURE__FAILURE_INTERNAL;
    default:
        return SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL;
    }
}

/* Returns how much of the answer's body has come; *ret_is_known: whether the answer said how much there is, in *ret_length. */
static uint64_t count_answer(const struct fetch *fetch, bool *ret_is_known, uint64_t *ret_length)
{
    curl_off_t length = -1;

    *ret_is_known =
        curl_easy_getinfo(fetch->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK &&
        length >= 0;
    *ret_length = *ret_is_known ? (uint64_t) length : 0;
    return fetch->received + evbuffer_get_length(fetch->held);
}

/* Returns whether libcurl still waits for a part of the request's body. */
static bool is_sending(const struct fetch *fetch)
{
    return fetch->has_body &&
           (!fetch->is_body_ended || evbuffer_get_length(fetch->body) > fetch->taken);
}

bool fetch_is_answered(const struct fetch *fetch)
{
    bool is_known;
    uint64_t length;

    if (!fetch->is_in_multi || fetch->phase != FETCH_BODY || fetch->is_receive_paused ||
        (fetch->watched & CURL_POLL_IN) != 0 || !is_sending(fetch))
        return false;
    return count_answer(fetch, &is_known, &length) >= length;
}

/* Returns whether an error is no failure: the request's body could not be sent to its end, but the answer was complete by then. */
static bool is_answered_before(const struct fetch *fetch, CURLcode result)
{
    bool is_known;
    uint64_t length;

    return (result == CURLE_SEND_ERROR || result == CURLE_HTTP2_STREAM) && fetch->is_head_sent &&
           count_answer(fetch, &is_known, &length) == length && is_known;
}

/* Says in skep's words what libcurl's result means. */
static void fail_for_result(struct fetch *fetch, CURLcode result)
{
    Skep__Egress__Failure failure = failure_of(result);
    const char *words = fetch->error[0] != '\0' ? fetch->error : curl_easy_strerror(result);
    long error = 0, verified = X509_V_OK;

    (void) curl_easy_getinfo(fetch->easy, CURLINFO_OS_ERRNO, &error);
    (void) curl_easy_getinfo(fetch->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
    if (result == CURLE_COULDNT_CONNECT && error == ECONNREFUSED)
        fail(fetch, failure, "the server refused the connection: nothing listens at that port");
    else if (result == CURLE_COULDNT_CONNECT)
        fail(fetch, failure, "no connection to the server: %s",
             error != 0 ? strerrordesc_np((int) error) : "it was not reached");
    else if (result == CURLE_PEER_FAILED_VERIFICATION && verified != X509_V_OK)
        fail(fetch, failure, "the server's certificate is not valid: %s",
             X509_verify_cert_error_string(verified));
    else if (failure == SKEP__EGRESS__FAILURE__FAILURE_TLS)
        fail(fetch, failure, "no TLS with the server: %s", words);
    else if (failure == SKEP__EGRESS__FAILURE__FAILURE_CLOSED && fetch->is_head_sent)
        fail(fetch, failure, "the server closed the connection in the body of the answer");
    else if (failure == SKEP__EGRESS__FAILURE__FAILURE_CLOSED)
        fail(fetch, failure, "the server closed the connection before it answered");
    else if (failure == SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL)
        fail(fetch, failure, "the server's answer is not valid HTTP: %s", words);
    else
        fail(fetch, failure, "%s", words);
}

void fetch_on_result(struct fetch *fetch, CURLcode result)
{
    (void) curl_multi_remove_handle(fetch->pool->multi, fetch->easy);
    fetch->is_in_multi = false;
    fetch_pass(fetch);
    if (fetch->is_over)
        return;
    fetch->phase = FETCH_REST;
    if (is_answered_before(fetch, result))
        result = CURLE_OK;
    if (result == CURLE_OK && !fetch->is_head_sent && !fetch->pool->has_cut)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_CLOSED,
             "the server closed in the head of the answer");
    else if ((result != CURLE_OK || !fetch->is_head_sent) && fetch->pool->has_cut)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL, NO_ANSWER);
    else if (result != CURLE_OK)
        fail_for_result(fetch, result);
    else if (evbuffer_get_length(fetch->held) == 0)
        fetch->is_over = true;
    else
        arm(fetch);
}

/* ---- libcurl's handle */

/* Counts the records of a connection. libcurl reads frames of HTTP/2 that carry nothing for as long as there are any, in
 * one call: where there are too many, the connection looks closed to it. */
static void on_record(int is_written, int version, int type, const void *data, size_t size,
                      SSL *tls, void *arg)
{
    const uint8_t *header = data;
    struct pool *pool = arg;

    (void) version;
    if (is_written != 0 || type != SSL3_RT_HEADER || size < SSL3_RT_HEADER_LENGTH)
        return;
    pool->idle_bytes += SSL3_RT_HEADER_LENGTH + ((size_t) header[3] << 8 | header[4]);
    if (pool->idle_bytes <= EXTRA_BYTES)
        return;
    pool->idle_bytes = 0;
    pool->has_cut = true;
    SSL_set_shutdown(tls, SSL_RECEIVED_SHUTDOWN);
}

static CURLcode on_tls(CURL *easy, void *context, void *arg)
{
    struct pool *pool = arg; /* has the connection, and outlives it */

    (void) easy;
    SSL_CTX_set1_cert_store(context, pool->egress->trust);
    SSL_CTX_set_msg_callback(context, on_record);
    SSL_CTX_set_msg_callback_arg(context, pool);
    return CURLE_OK;
}

/* Sets all that does not depend on the request. */
static int set_common(struct fetch *fetch)
{
    CURL *easy = fetch->easy;
    CURLcode r = CURLE_OK;

#define SET(option, value) r |= curl_easy_setopt(easy, option, value)
    SET(CURLOPT_PRIVATE, fetch);
    SET(CURLOPT_ERRORBUFFER, fetch->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    /* The frame alone says what is done: no proxy, no netrc, no other protocol, no redirect, no cookie, no name of
     * libcurl's own. */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_HTTPAUTH, 0L);
    SET(CURLOPT_HTTP09_ALLOWED, 0L);
    SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_MAXAGE_CONN, CONNECTION_AGE_S);
    SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    /* Time is counted here, not by libcurl. */
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long) TIME_MAX_MS);
    SET(CURLOPT_EXPECT_100_TIMEOUT_MS, 0L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    /* A handshake with Diffie-Hellman over a field as large as the server likes takes a second of CPU time. */
    SET(CURLOPT_SSL_CIPHER_LIST, "DEFAULT:!kDHE");
    SET(CURLOPT_CAINFO, NULL);
    SET(CURLOPT_CAPATH, NULL);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
    SET(CURLOPT_SSL_CTX_DATA, fetch->pool);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, fetch);
    /* A connection may outlive its fetch. */
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
    SET(CURLOPT_CLOSESOCKETDATA, fetch->pool->egress);
    SET(CURLOPT_PREREQFUNCTION, on_connected);
    SET(CURLOPT_PREREQDATA, fetch);
    SET(CURLOPT_HEADERFUNCTION, on_line);
    SET(CURLOPT_HEADERDATA, fetch);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, fetch);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, fetch);
    SET(CURLOPT_SEEKFUNCTION, on_seek);
    SET(CURLOPT_SEEKDATA, fetch);
#undef SET
    return r == CURLE_OK ? 0 : -ENOMEM;
}

static int add_line(struct fetch *fetch, const char *line)
{
    struct curl_slist *headers = curl_slist_append(fetch->headers, line);

    if (!headers)
        return -ENOMEM;
    fetch->headers = headers;
    return 0;
}

/* Adds a header as libcurl wants it: one without a value ends with ";" instead of ":". */
static int add_header(struct fetch *fetch, struct head_text name, struct head_text value)
{
    _cleanup_free_ char *line = NULL;
    int n = value.size > 0 ? asprintf(&line, "%.*s: %.*s", (int) name.size, name.data,
                                      (int) value.size, value.data)
                           : asprintf(&line, "%.*s;", (int) name.size, name.data);

    if (n < 0) {
        line = NULL;
        return -ENOMEM;
    }
    return add_line(fetch, line);
}

/* Adds the headers of the request, whose packed head was checked. 0; -EINVAL: a header is refused, and the fetch has failed; -ENOMEM. */
static int add_headers(struct fetch *fetch, ProtobufCBinaryData packed)
{
    struct head head;
    bool has_accept = false;
    const char *reason;

    int r = head_open(packed.data, packed.len, 0, EGRESS_FIELDS_MAX, &head);
    while (r == 0 && head.n_texts > 0) {
        struct head_text name = head_next(&head), value = head_next(&head);
        has_accept |= target_text_is(name, "accept");
        if (target_check_header(name, value, &reason) < 0) {
            fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_REQUEST, "%s", reason);
            return -EINVAL;
        }
        r = add_header(fetch, name, value);
    }
    /* libcurl adds none of its own. */
    if (r == 0 && !has_accept)
        r = add_line(fetch, "Accept:");
    return r < 0 ? r : add_line(fetch, "Expect:");
}

/* Sets method, URL and body. The path goes past libcurl's parser of URLs. */
static int set_request(struct fetch *fetch, const Skep__Egress__Open *open,
                       const struct target *target)
{
    char url[HOST_NAME_MAX_BYTES + 32], method[TARGET_METHOD_MAX_BYTES + 1];
    _cleanup_free_ char *path = strndup(target->path.data, target->path.size);
    CURLcode r = path ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    const bool is_post = target_method_is(target, "POST") || target_method_is(target, "PUT");

    (void) snprintf(url, sizeof url, "%.*s://%s:%u/", (int) target->scheme.size,
                    target->scheme.data, fetch->host, fetch->port);
    (void) snprintf(method, sizeof method, "%.*s", (int) target->method.size, target->method.data);
#define SET(option, value) r |= curl_easy_setopt(fetch->easy, option, value)
    SET(CURLOPT_URL, url);
    SET(CURLOPT_REQUEST_TARGET, path);
    SET(CURLOPT_HTTPHEADER, fetch->headers);
    if (target_method_is(target, "HEAD")) {
        SET(CURLOPT_NOBODY, 1L);
    } else if (fetch->has_body || is_post) {
        /* A request of these methods without a body says so: Content-Length: 0. */
        curl_off_t length = !fetch->has_body    ? 0
                            : fetch->has_length ? (curl_off_t) open->length
                                                : -1;
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, length);
        SET(CURLOPT_CUSTOMREQUEST, method);
    } else {
        SET(CURLOPT_HTTPGET, 1L);
        SET(CURLOPT_CUSTOMREQUEST, method);
    }
#undef SET
    return r == CURLE_OK ? 0 : -ENOMEM;
}

/* ---- the beginning */

static bool is_literal(const char *host)
{
    size_t size = strlen(host);

    return host[0] == '[' || strspn(host, "0123456789.") == size;
}

static int append(char *text, size_t size, size_t *at, const char *more)
{
    size_t length = strlen(more);

    if (size - *at <= length)
        return -ENOSPC;
    memcpy(text + *at, more, length + 1);
    *at += length;
    return 0;
}

/* Pins the name to its addresses: "example.com:443:192.0.2.1,[2001:db8::1]". */
static int pin(struct fetch *fetch, const struct name_addresses *addresses)
{
    char line[RESOLVE_MAX_BYTES], address[INET6_ADDRSTRLEN];
    size_t at;

    int n = snprintf(line, sizeof line, "%s:%u:", fetch->host, fetch->port);
    at = (size_t) n;
    int r = 0;
    for (size_t i = 0; i < addresses->n && r == 0; i++) {
        const struct sockaddr_storage *one = &addresses->list[i];
        const bool is_ipv6 = one->ss_family == AF_INET6;
        const void *bytes = is_ipv6 ? (const void *) &((const struct sockaddr_in6 *) one)->sin6_addr
                                    : (const void *) &((const struct sockaddr_in *) one)->sin_addr;
        if (!inet_ntop(one->ss_family, bytes, address, sizeof address))
            return -EINVAL;
        r = append(line, sizeof line, &at, i > 0 ? "," : "");
        r = r < 0 ? r : append(line, sizeof line, &at, is_ipv6 ? "[" : "");
        r = r < 0 ? r : append(line, sizeof line, &at, address);
        r = r < 0 ? r : append(line, sizeof line, &at, is_ipv6 ? "]" : "");
    }
    fetch->resolve = r == 0 ? curl_slist_append(NULL, line) : NULL;
    return fetch->resolve &&
                   curl_easy_setopt(fetch->easy, CURLOPT_RESOLVE, fetch->resolve) == CURLE_OK
               ? 0
               : -ENOMEM;
}

static void start(struct fetch *fetch)
{
    fetch->phase = FETCH_CONNECT;
    if (curl_multi_add_handle(fetch->pool->multi, fetch->easy) == CURLM_OK)
        fetch->is_in_multi = true;
    else
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
}

void fetch_on_addresses(struct fetch *fetch, int error, const struct name_addresses *addresses)
{
    if (!addresses) {
        if (error == -ENOENT)
            fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_NAME, "%s has no address", fetch->host);
        else
            fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_RESOLVER,
                 "the address of %s cannot be found out now: %s", fetch->host,
                 strerrordesc_np(-error));
        return;
    }
    /* One address that may not be reached spoils the others: an honest name has none. */
    for (size_t i = 0; i < addresses->n; i++)
        if (!may_reach(fetch, (const struct sockaddr *) &addresses->list[i]))
            return;
    if (pin(fetch, addresses) < 0)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    else
        start(fetch);
}

/* Every list of the config fits in a frame. */
_Static_assert(EGRESS_ADDRESSES_MAX <= EGRESS_PREFIXES_MAX, "EGRESS_PREFIXES_MAX");

/* Copies prefixes. False: one is none. */
static bool take_prefixes(Skep__Egress__Prefix *const *from, size_t n, struct address_prefix *to)
{
    for (size_t i = 0; i < n; i++) {
        if (from[i]->address.len != sizeof to[i].bytes || from[i]->bits > 128)
            return false;
        memcpy(to[i].bytes, from[i]->address.data, sizeof to[i].bytes);
        to[i].bits = from[i]->bits;
    }
    return true;
}

/* Takes numbers and prefixes. -EPROTO: skepd sends no such ones. */
static int take_numbers(struct fetch *fetch, const Skep__Egress__Open *open)
{
    struct head head;
    const uint32_t times[] = { open->connect_ms, open->head_ms, open->idle_ms, open->total_ms };

    for (size_t i = 0; i < ARRAY_LEN(times); i++)
        if (times[i] == 0 || times[i] > TIME_MAX_MS)
            return -EPROTO;
    if (open->credit > EGRESS_CREDIT_MAX_BYTES || open->n_named > EGRESS_PREFIXES_MAX ||
        open->n_denied > EGRESS_PREFIXES_MAX || open->head.len > EGRESS_HEAD_MAX_BYTES ||
        head_open(open->head.data, open->head.len, 0, EGRESS_FIELDS_MAX, &head) < 0 ||
        (open->has_length && (!open->has_body || open->length > INT64_MAX)))
        return -EPROTO;
    if (!take_prefixes(open->named, open->n_named, fetch->named) ||
        !take_prefixes(open->denied, open->n_denied, fetch->denied))
        return -EPROTO;
    fetch->addresses =
        (struct address_rules){ fetch->named, open->n_named, fetch->denied, open->n_denied };
    fetch->connect_ms = open->connect_ms;
    fetch->head_ms = open->head_ms;
    fetch->idle_ms = open->idle_ms;
    fetch->total_ms = open->total_ms;
    fetch->credit = open->credit;
    fetch->has_body = open->has_body;
    fetch->has_length = open->has_length;
    fetch->length = open->length;
    fetch->is_body_ended = !open->has_body;
    fetch->window = open->has_body ? EGRESS_WINDOW_BYTES : 0;
    return 0;
}

static struct head_text text_of(ProtobufCBinaryData bytes)
{
    return (struct head_text){ (const char *) bytes.data, bytes.len };
}

/* Checks the request and gives it to libcurl's handle. As add_headers. */
static int prepare(struct fetch *fetch, const Skep__Egress__Open *open)
{
    const struct target target = {
        .method = text_of(open->method),
        .scheme = text_of(open->scheme),
        .host = text_of(open->host),
        .path = text_of(open->path),
        .port = open->port,
    };
    const char *reason;

    if (target_check(&target, &reason) < 0) {
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_REQUEST, "%s", reason);
        return -EINVAL;
    }
    if (open->has_body && (target_method_is(&target, "GET") || target_method_is(&target, "HEAD"))) {
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_REQUEST, "a %.*s has no body",
             (int) target.method.size, target.method.data);
        return -EINVAL;
    }
    memcpy(fetch->host, target.host.data, target.host.size);
    fetch->port = target.port;
    int r = add_headers(fetch, open->head);
    if (r == 0)
        r = set_common(fetch);
    return r < 0 ? r : set_request(fetch, open, &target);
}

static void look_up(struct fetch *fetch)
{
    if (is_literal(fetch->host)) {
        start(fetch);
        return;
    }
    int r = pool_look_up(fetch->pool, fetch);
    if (r == -EBUSY)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_BUSY, "too many names are being looked up");
    else if (r < 0)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
}

/* Makes a fetch that is in all lists. NULL: out of memory. */
static struct fetch *fetch_new(struct pool *pool, struct helper_client *client, uint64_t id)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);

    if (!fetch)
        return NULL;
    fetch->pool = pool;
    fetch->client = client;
    fetch->id = id;
    fetch->fd = -1;
    fetch->opened_ns = fetch->progress_ns = now_ns();
    TAILQ_INSERT_TAIL(&pool->fetches, fetch, entry);
    LIST_INSERT_HEAD(bucket_of(pool->egress, id), fetch, bucket);
    pool->n_fetches++;
    pool->egress->n_fetches++;
    fetch->easy = curl_easy_init();
    fetch->timer = evtimer_new(pool->egress->base, on_timer, fetch);
    fetch->body = evbuffer_new();
    fetch->held = evbuffer_new();
    if (fetch->easy && fetch->timer && fetch->body && fetch->held)
        return fetch;
    fetch_free(fetch);
    return NULL;
}

/* Answers an Open for which there is no fetch. */
static void refuse(struct helper_client *client, uint64_t id, const char *text)
{
    struct fetch none = {
        .client = client,
        .id = id,
        .failure = SKEP__EGRESS__FAILURE__FAILURE_BUSY,
    };

    (void) snprintf(none.text, sizeof none.text, "%s", text);
    none.opened_ns = now_ns();
    send_done(&none);
}

int fetch_open(struct egress *egress, struct helper_client *client, const Skep__Egress__Open *open)
{
    struct pool *pool = NULL;

    if (egress->n_fetches < EGRESS_FETCHES_MAX)
        pool = pool_get(egress, client, open->tenant);
    if (!pool || pool->n_fetches >= EGRESS_TENANT_FETCHES_MAX) {
        refuse(client, open->id,
               pool ? "too many fetches at a time" : "too many fetches of all tenants");
        return 0;
    }
    pool_enter(pool);
    pool_bound_idle(pool);
    struct fetch *fetch = fetch_new(pool, client, open->id);
    int r = fetch ? take_numbers(fetch, open) : 0;
    if (!fetch)
        refuse(client, open->id, "out of memory");
    if (fetch && r == 0)
        r = prepare(fetch, open);
    if (r == -ENOMEM)
        fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_INTERNAL, "out of memory");
    if (fetch && r == 0) {
        arm(fetch);
        look_up(fetch);
    } else if (r == -EPROTO) {
        fetch_free(fetch);
    }
    pool_leave(pool);
    return r == -EPROTO ? r : 0;
}
