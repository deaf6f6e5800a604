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

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "supervisor/http/internal.h"

#define LISTEN_BACKLOG 4096 /* the kernel takes the smaller of this and somaxconn */
#define ACCEPTS_PER_TURN 64
#define SHORTAGE_PAUSE_US 200000

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
        !event_pending(&front->accept_event, EV_TIMEOUT, NULL))
        set_accepting(front, true);
}

void http_listener_on_shortage_over(evutil_socket_t fd, short what, void *front)
{
    (void) fd;
    (void) what;
    http_listeners_resume(front);
}

/* Out of descriptors or memory. Without a pause the loop would spin on the listener. */
static void pause_accepting(struct http_front *front, int error)
{
    static const struct timeval pause = { .tv_usec = SHORTAGE_PAUSE_US };

    (void) log_warning_errno(error, "cannot accept HTTP connections, pausing");
    set_accepting(front, false);
    (void) event_add(&front->accept_event, &pause);
}

/* True if there may be more to accept. */
static bool accept_one(struct http_listener *listener)
{
    struct http_front *front = listener->front;
    struct sockaddr_storage address = { 0 };
    socklen_t size = sizeof(address);
    _cleanup_fd_ int fd = -1;

    fd = accept4(listener->fd, (struct sockaddr *) &address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            pause_accepting(front, -errno);
        return errno == EINTR || errno == ECONNABORTED;
    }
    if (http_connection_new(front, fd, (struct sockaddr *) &address) == 0)
        (void) TAKE_FD(fd);
    return true;
}

static void accept_some(struct http_listener *listener, int most)
{
    struct http_front *front = listener->front;

    for (int i = 0; i < most; i++) {
        if (front->n_connections >= front->limits.connections) {
            set_accepting(front, false);
            return;
        }
        if (!front->is_accepting || !accept_one(listener))
            return;
    }
}

static void on_acceptable(evutil_socket_t fd, short what, void *listener)
{
    (void) fd;
    (void) what;
    accept_some(listener, ACCEPTS_PER_TURN);
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
            accept_some(listener, LISTEN_BACKLOG);
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

/* NULL for a socket without a file. Now, because a confined supervisor may not ask. */
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
    socklen_t size = sizeof(listening);
    int r;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0)
        return -errno;
    if (!listening)
        return -EINVAL;
    r = io_set_nonblocking(fd);
    if (r < 0)
        return r;
    /* Connections inherit it. Refused by unix sockets, which need it not. */
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
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

/* A socket that a dead process left behind is removed; one that answers is not. */
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
    /* So that 0.0.0.0:80 and [::]:80 can both be listed. */
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

    r = http_address_parse(address, &parsed, &size);
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

static int parse_unix(const char *path, struct sockaddr_storage *ret_address, socklen_t *ret_size)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (*path == '\0' || strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    memcpy(ret_address, &address, sizeof(address));
    *ret_size = sizeof(address);
    return 0;
}

int http_address_parse(const char *address, struct sockaddr_storage *ret_address,
                       socklen_t *ret_size)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
    };
    _cleanup_free_ char *copy = NULL;
    struct addrinfo *info = NULL;
    char *host;
    char *port;

    if (strncmp(address, "unix:", 5) == 0)
        return parse_unix(address + 5, ret_address, ret_size);
    copy = strdup(address);
    if (!copy)
        return -ENOMEM;
    host = copy;
    port = strrchr(copy, ':');
    if (!port || port == copy || port[1] == '\0')
        return -EINVAL;
    *port++ = '\0';
    if (host[0] == '[' && port[-2] == ']') {
        host++;
        port[-2] = '\0';
    } else if (strchr(host, ':')) {
        return -EINVAL; /* an IPv6 address without brackets */
    }
    /* glibc takes larger ports and cuts them off. */
    if (strspn(port, "0123456789") != strlen(port) || strtoul(port, NULL, 10) > UINT16_MAX)
        return -EINVAL;
    if (getaddrinfo(host, port, &hints, &info) != 0)
        return -EINVAL;
    memcpy(ret_address, info->ai_addr, info->ai_addrlen);
    *ret_size = info->ai_addrlen;
    freeaddrinfo(info);
    return 0;
}
