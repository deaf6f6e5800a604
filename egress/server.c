/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server of a fetch, which nobody trusts: which addresses may be reached, looked at again where each socket is made, and
 * how much it may send that is no part of an answer. Egress process.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "egress/internal.h"

#define NS_PER_MS UINT64_C(1000000)
/* Bytes that a server may send besides EXTRA_RATIO times what came of the answer and went of the request: EXTRA_BYTES, and
 * EXTRA_PER_MS for each millisecond. Handshakes, chunks, records and signs of life in a slow stream need less. */
#define EXTRA_BYTES (UINT64_C(1) << 20)
#define EXTRA_RATIO 8 /* a chunk of one byte has six */
#define EXTRA_PER_MS 64
#define UNREAD_MAX_BYTES ((size_t) 1 << 30)
#define LOOK_NS (5 * NS_PER_MS) /* between two looks at a server */

/* ---- addresses */

/* A long name of the host is cut, so that the remedy is whole. */
static void refuse_address(struct fetch *fetch, enum address_kind kind)
{
    if (kind == ADDRESS_DENIED)
        fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_ADDRESS,
                   "%.100s leads to an address that egress.deny_addresses in skepd.yaml has",
                   fetch->host);
    else
        fetch_fail(
            fetch, SKEP__EGRESS__FAILURE__FAILURE_ADDRESS,
            "%.100s leads to %s, which may not be reached unless egress.addresses in skepd.yaml "
            "names it",
            fetch->host, address_kind_text(kind));
}

bool server_may_reach(struct fetch *fetch, const struct sockaddr *address)
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
    if (fetch->is_over || address->socktype != SOCK_STREAM ||
        !server_may_reach(fetch, &address->addr))
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
        !server_may_reach(fetch, (const struct sockaddr *) &address))
        return CURL_PREREQFUNC_ABORT;
    (void) snprintf(fetch->address, sizeof fetch->address,
                    address.ss_family == AF_INET6 ? "[%s]:%d" : "%s:%d", there, port);
    fetch->phase = FETCH_HEAD;
    fetch->connected_ns = io_now_ns();
    fetch_note_progress(fetch);
    fetch_arm(fetch);
    return CURL_PREREQFUNC_OK;
}

/* ---- bytes that a server sends */

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

void server_on_watch(struct fetch *fetch, int fd, int what)
{
    fetch->watched = what == CURL_POLL_REMOVE ? CURL_POLL_NONE : what;
    if (what == CURL_POLL_REMOVE || fetch->fd == fd)
        return;
    fetch->fd = fd;
    fetch->fd_first = received_by(fd);
}

void server_check(struct fetch *fetch)
{
    const uint64_t now = io_now_ns();

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
    fetch_fail(fetch, SKEP__EGRESS__FAILURE__FAILURE_PROTOCOL, NO_ANSWER);
}

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

/* ---- libcurl's handle */

int server_set(struct fetch *fetch)
{
    CURLcode r = CURLE_OK;

#define SET(option, value) r |= curl_easy_setopt(fetch->easy, option, value)
    SET(CURLOPT_SSL_CTX_FUNCTION, on_tls);
    SET(CURLOPT_SSL_CTX_DATA, fetch->pool);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket);
    SET(CURLOPT_OPENSOCKETDATA, fetch);
    /* A connection may outlive its fetch. */
    SET(CURLOPT_CLOSESOCKETFUNCTION, on_close);
    SET(CURLOPT_CLOSESOCKETDATA, fetch->pool->egress);
    SET(CURLOPT_PREREQFUNCTION, on_connected);
    SET(CURLOPT_PREREQDATA, fetch);
#undef SET
    return r == CURLE_OK ? 0 : -ENOMEM;
}
