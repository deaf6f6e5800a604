/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets of the HTTP front: made from an address or adopted, accepted from as long as
 * the limits and the process's descriptors allow. Supervisor, loop thread.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/address.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"
#include "supervisor/http/internal.h"

#define LISTEN_BACKLOG 4096 /* the kernel takes the smaller of this and somaxconn */
#define ACCEPTS_PER_TURN 64
#define SHORTAGE_PAUSE_US 200000
#define UNREAD_MAX_BYTES 4096
/* Bytes in the kernel, for each connection: of a response that the client's window does not take
 * yet, and of a request (which the kernel doubles for its own account). */
#define KERNEL_UNSENT_BYTES 65536
#define KERNEL_UNREAD_BYTES 131072

static void set_accepting(struct http_front *front, bool accepting)
{
    struct http_listener *listener;

    if (front->is_held)
        accepting = false;
    if (front->is_accepting == accepting)
        return;
    front->is_accepting = accepting;
    LIST_FOREACH (listener, &front->listeners, link) {
        if (accepting)
            (void) event_add(&listener->event, NULL);
        else
            (void) event_del(&listener->event);
    }
}

void http_listeners_resume(struct http_front *front)
{
    if (!front->is_accepting && front->n_connections < front->limits.connections &&
        !front->is_short)
        set_accepting(front, true);
}

/* Accepts again; the next connection that cannot be accepted makes another pause. */
void http_listener_on_shortage_over(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("front: new connections");
    struct http_front *front = arg;

    front->is_short = false;
    if (!front->is_accepting)
        set_accepting(front, true);
}

/* Pauses when descriptors, memory or connections are short. Without a pause the loop would spin on
 * the listener. */
static void pause_accepting(struct http_front *front, enum http_cap cap)
{
    static const struct timeval pause = { .tv_usec = SHORTAGE_PAUSE_US };

    http_cap_met(front, cap, "not known");
    front->is_short = cap == HTTP_CAP_DESCRIPTORS;
    set_accepting(front, false);
    (void) event_add(&front->accept_event, &pause);
}

/* Tells a client that its address has too many connections; as cheap as closing. Bytes that it has
 * sent are read, as far as they are there, because closing with input unread may destroy the
 * answer. */
static void refuse(struct http_front *front, int fd, const struct sockaddr *address)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
        "Content-Type: application/problem+json\r\nContent-Length: 109\r\n"
        "Skep-Error: overloaded\r\nRetry-After: 5\r\n\r\n"
        "{\"type\":\"about:blank\",\"title\":\"The service has too many requests waiting.\","
        "\"status\":503,\"code\":\"overloaded\"}\n";
    char client[HTTP_CLIENT_MAX_BYTES], unread[UNREAD_MAX_BYTES];

    http_client_name(address, client);
    http_cap_met(front, HTTP_CAP_ADDRESS, client);
    if (write(fd, answer, sizeof(answer) - 1) < 0 || shutdown(fd, SHUT_WR) < 0 ||
        read(fd, unread, sizeof(unread)) < 0)
        return; /* the connection is closed all the same */
}

/* Accepts a connection. True if there may be more. */
static bool accept_one(struct http_listener *listener)
{
    struct http_front *front = listener->front;
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof(address);
    _cleanup_fd_ int fd = -1;

    fd = accept4(listener->fd, (struct sockaddr *) &address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            pause_accepting(front, HTTP_CAP_DESCRIPTORS);
        return errno == EINTR || errno == ECONNABORTED;
    }
    int r = http_connection_new(front, fd, (struct sockaddr *) &address);
    if (r == 0)
        (void) TAKE_FD(fd);
    else if (r == -EDQUOT)
        refuse(front, fd, (struct sockaddr *) &address);
    return true;
}

/* Accepts several. is_ready: the loop has reported one, for which another may have to give way. */
static void accept_some(struct http_listener *listener, int most, bool is_ready)
{
    struct http_front *front = listener->front;

    for (int i = 0; i < most; i++) {
        if (front->n_connections >= front->limits.connections) {
            if (i > 0 || !is_ready)
                return; /* the loop will report another one */
            if (!http_connection_make_room(front)) {
                pause_accepting(front, HTTP_CAP_CONNECTIONS);
                return;
            }
        }
        if (!front->is_accepting || !accept_one(listener))
            return;
    }
}

static void on_acceptable(evutil_socket_t fd, short what, void *listener)
{
    LOOP_EVENT("front: new connections");

    accept_some(listener, ACCEPTS_PER_TURN, true);
}

static void listener_free(struct http_listener *listener)
{
    if (!listener)
        return;
    if (event_initialized(&listener->event))
        (void) event_del(&listener->event);
    if (listener->fd >= 0)
        (void) close(listener->fd);
    if (listener->unix_path && listener->owns_file)
        (void) unlink(listener->unix_path);
    free(listener->unix_path);
    free(listener);
}

void http_listeners_close(struct http_front *front, bool accept_rest)
{
    struct http_listener *listener;

    while ((listener = LIST_FIRST(&front->listeners))) {
        if (accept_rest)
            accept_some(listener, LISTEN_BACKLOG, false);
        LIST_REMOVE(listener, link);
        listener_free(listener);
    }
}

void http_front_hold(struct http_front *front, bool hold)
{
    front->is_held = hold;
    if (hold)
        set_accepting(front, false);
    else
        http_listeners_resume(front);
}

void http_front_set_file(struct http_front *front, int fd, bool is_ours)
{
    struct http_listener *listener;

    LIST_FOREACH (listener, &front->listeners, link)
        if (listener->fd == fd)
            listener->owns_file = is_ours;
}

/* Finds the path of a socket; NULL for one without a file. Asked now, because a confined supervisor
 * may not ask. */
static int find_unix_path(int fd, char **ret_path)
{
    struct sockaddr_un address = { 0 };
    socklen_t size = sizeof(address) - 1; /* so that it ends with NUL */

    *ret_path = NULL;
    if (getsockname(fd, (struct sockaddr *) &address, &size) < 0)
        return -errno;
    if (address.sun_family != AF_UNIX || address.sun_path[0] == '\0')
        return 0;
    *ret_path = strdup(address.sun_path);
    return *ret_path ? 0 : -ENOMEM;
}

int http_front_adopt(struct http_front *front, int fd)
{
    struct http_listener *listener;
    int listening = 0;
    int one = 1;
    int unsent = KERNEL_UNSENT_BYTES;
    int unread = KERNEL_UNREAD_BYTES;
    socklen_t size = sizeof(listening);
    int r;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
        return -errno;
    if (!listening)
        return -EINVAL;
    r = io_set_nonblocking(fd);
    if (r < 0)
        return r;
    /* Connections inherit the option. Unix sockets refuse it and do not need it. */
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    (void) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &unread, sizeof(unread));
    listener = calloc(1, sizeof(*listener));
    if (!listener)
        return -ENOMEM;
    listener->front = front;
    listener->fd = -1; /* still the caller's */
    r = find_unix_path(fd, &listener->unix_path);
    if (r < 0) {
        listener_free(listener);
        return r;
    }
    if (event_assign(&listener->event, front->base, fd, EV_READ | EV_PERSIST, on_acceptable,
                     listener) < 0 ||
        (front->is_accepting && event_add(&listener->event, NULL) < 0)) {
        listener_free(listener);
        return -ENOMEM;
    }
    listener->fd = fd;
    LIST_INSERT_HEAD(&front->listeners, listener, link);
    return 0;
}

/* Removes a socket that a dead process left behind, and not one that answers. */
static int remove_stale_socket(const struct sockaddr_un *address)
{
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 || errno == EAGAIN)
        return -EADDRINUSE;
    if (errno != ECONNREFUSED)
        return errno == ENOENT ? 0 : -EADDRINUSE;
    return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int bind_unix(int fd, const struct sockaddr_un *address)
{
    if (bind(fd, (const struct sockaddr *) address, sizeof(*address)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return -errno;
    int r = remove_stale_socket(address);
    if (r < 0)
        return r;
    return bind(fd, (const struct sockaddr *) address, sizeof(*address)) < 0 ? -errno : 0;
}

static int bind_inet(int fd, const struct sockaddr_storage *address, socklen_t size)
{
    int one = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
        return -errno;
    /* 0.0.0.0:80 and [::]:80 may both be listed. */
    if (address->ss_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
        return -errno;
    return bind(fd, (const struct sockaddr *) address, size) < 0 ? -errno : 0;
}

int http_front_listen(struct http_front *front, const char *address, int *ret_fd)
{
    struct sockaddr_storage parsed = { 0 };
    socklen_t size = 0;
    int r;

    r = address_parse_listen(address, &parsed, &size);
    if (r < 0)
        return r;
    _cleanup_fd_ int fd = socket(parsed.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    r = parsed.ss_family == AF_UNIX ? bind_unix(fd, (const struct sockaddr_un *) &parsed)
                                    : bind_inet(fd, &parsed, size);
    if (r == 0 && listen(fd, LISTEN_BACKLOG) < 0)
        r = -errno;
    if (r == 0)
        r = http_front_adopt(front, fd);
    if (r < 0)
        return r;
    http_front_set_file(front, fd, true);
    if (ret_fd)
        *ret_fd = fd;
    (void) TAKE_FD(fd);
    return 0;
}
