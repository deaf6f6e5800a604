/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/host/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/loop_watch.h"

#define TEXT_MAX_BYTES 512
/* Further messages are lost; a manager that reads nothing needs none of them. */
#define WAITING_MAX 512
#define BARRIER_TIMEOUT_S 5
#define FIRST_FD 3
#define RETRY_US 50000

struct notify_message {
    TAILQ_ENTRY(notify_message) entry;
    int fd; /* owned; -1: none */
    size_t size;
    char text[TEXT_MAX_BYTES];
};

struct notify {
    int fd; /* -1: from notify_end on */
    struct sockaddr_un to;
    socklen_t to_size;   /* 0: fd is connected */
    struct event *retry; /* NULL until notify_attach */
    TAILQ_HEAD(, notify_message) waiting;
    unsigned n_waiting;
    /* Error of the last message; logged once, until a message gets through again. */
    int error;
    bool is_other_main; /* another process is the service, and this one must not speak for it */
    char status[TEXT_MAX_BYTES];
    /* The barrier that is waited for. */
    struct event *barrier; /* NULL: none */
    int barrier_fd;
    void (*on_barrier)(void *owner, int error);
    void *barrier_owner; /* borrowed */
};

/* ---- sending */

static int send_now(const struct notify *notify, const struct notify_message *message)
{
    struct iovec iov = { .iov_base = (void *) (uintptr_t) message->text, .iov_len = message->size };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (notify->to_size > 0) {
        header.msg_name = (void *) (uintptr_t) &notify->to;
        header.msg_namelen = notify->to_size;
    }
    if (message->fd >= 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof control.bytes;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &message->fd, sizeof(int));
    }
    return sendmsg(notify->fd, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void message_free(struct notify_message *message)
{
    if (message->fd >= 0)
        (void) close(message->fd);
    free(message);
}

/* Sends the queue in order, until there is no room: that is looked at again after a while, because
 * poll(2) tells nothing of a receiver that is not connected, nor of memory of the kernel. Any other
 * error is that of one message, or of a manager that is gone: skepd serves on. */
static void flush(struct notify *notify)
{
    static const struct timeval wait = { .tv_usec = RETRY_US };
    struct notify_message *message, *next;

    for (message = TAILQ_FIRST(&notify->waiting); message; message = next) {
        next = TAILQ_NEXT(message, entry);
        int r = send_now(notify, message);
        if (r == -EAGAIN || r == -EINTR || r == -ENOBUFS)
            break;
        if (r < 0 && notify->error == 0)
            (void) log_warning_errno(r, "cannot notify the service manager");
        notify->error = r;
        TAILQ_REMOVE(&notify->waiting, message, entry);
        notify->n_waiting--;
        message_free(message);
    }
    if (message && notify->retry)
        (void) event_add(notify->retry, &wait);
}

/* Queues and sends a message. fd: duplicated; -1: none. 0 (it is sent, or waits) or -errno. */
__attribute__((format(printf, 3, 0))) static int put(struct notify *notify, int fd,
                                                     const char *format, va_list args)
{
    struct notify_message *message =
        notify->n_waiting < WAITING_MAX ? calloc(1, sizeof *message) : NULL;
    if (!message)
        return -ENOBUFS;
    int n = vsnprintf(message->text, sizeof message->text, format, args);
    message->size = n < (int) sizeof message->text ? (size_t) n : sizeof message->text - 1;
    message->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
    if (fd >= 0 && message->fd < 0) {
        int r = -errno;
        message_free(message);
        return r;
    }
    TAILQ_INSERT_TAIL(&notify->waiting, message, entry);
    notify->n_waiting++;
    flush(notify);
    return TAILQ_EMPTY(&notify->waiting) ? notify->error : 0;
}

/* Returns whether there is nobody to send to any more. */
static bool is_over(const struct notify *notify)
{
    return !notify || notify->fd < 0;
}

/* Sends a message of the service; as put, or -ENOTCONN: nobody listens. */
__attribute__((format(printf, 3, 4))) static int say(struct notify *notify, int fd,
                                                     const char *format, ...)
{
    va_list args;

    if (is_over(notify) || notify->is_other_main)
        return -ENOTCONN;
    va_start(args, format);
    int r = put(notify, fd, format, args);
    va_end(args);
    return r;
}

/* Sends a message of the hand-over, which is allowed also when another process is the service. */
__attribute__((format(printf, 3, 4))) static void say_anyway(struct notify *notify, int fd,
                                                             const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void) put(notify, fd, format, args);
    va_end(args);
}

/* ---- messages */

void notify_ready(struct notify *notify)
{
    (void) say(notify, -1, "READY=1");
}

void notify_reloading(struct notify *notify)
{
    (void) say(notify, -1, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, io_now_ns() / NSEC_PER_USEC);
}

void notify_stopping(struct notify *notify)
{
    (void) say(notify, -1, "STOPPING=1");
}

void notify_status(struct notify *notify, const char *text)
{
    char visible[TEXT_MAX_BYTES];

    (void) log_escape(text, strlen(text), visible, sizeof visible);
    if (!notify || strcmp(visible, notify->status) == 0)
        return;
    (void) snprintf(notify->status, sizeof notify->status, "%s", visible);
    (void) say(notify, -1, "STATUS=%s", visible);
}

void notify_watchdog(struct notify *notify)
{
    (void) say(notify, -1, "WATCHDOG=1");
}

void notify_extend_timeout(struct notify *notify, uint64_t usec)
{
    (void) say(notify, -1, "EXTEND_TIMEOUT_USEC=%" PRIu64, usec);
}

void notify_main_pid(struct notify *notify, pid_t pid)
{
    if (is_over(notify))
        return;
    say_anyway(notify, -1, "MAINPID=%d", (int) pid);
    notify->is_other_main = pid != getpid();
}

int notify_store_fd(struct notify *notify, int fd, const char *name)
{
    return say(notify, fd, "FDSTORE=1\nFDNAME=%s", name);
}

void notify_remove_fds(struct notify *notify, const char *name)
{
    (void) say(notify, -1, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

/* ---- the barrier */

void notify_cancel_barrier(struct notify *notify)
{
    if (!notify || !notify->barrier)
        return;
    event_free(TAKE_PTR(notify->barrier));
    (void) close(TAKE_FD(notify->barrier_fd));
}

static void end_barrier(struct notify *notify, int error)
{
    notify_cancel_barrier(notify);
    notify->on_barrier(notify->barrier_owner, error);
}

/* Ends the barrier: the manager closes its end when that message's turn has come. */
static void on_barrier_event(evutil_socket_t fd, short what, void *notify)
{
    LOOP_EVENT("notify: barrier");

    end_barrier(notify, what & EV_TIMEOUT ? -ETIMEDOUT : 0);
}

/* Makes the barrier's pipe. Returns the end to send, or -errno. */
static int open_barrier(struct notify *notify)
{
    static const struct timeval timeout = { .tv_sec = BARRIER_TIMEOUT_S };
    int pair[2];

    if (!notify->retry)
        return -ENOTCONN; /* without a loop nobody would see the end of the barrier */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    notify->barrier =
        event_new(event_get_base(notify->retry), pair[0], EV_READ, on_barrier_event, notify);
    if (!notify->barrier || event_add(notify->barrier, &timeout) < 0) {
        if (notify->barrier)
            event_free(TAKE_PTR(notify->barrier));
        (void) close(pair[0]);
        (void) close(pair[1]);
        return -ENOMEM;
    }
    notify->barrier_fd = pair[0];
    return pair[1];
}

void notify_barrier(struct notify *notify, void (*on_done)(void *owner, int error), void *owner)
{
    _cleanup_fd_ int end = notify ? open_barrier(notify) : -1;

    if (end < 0) {
        on_done(owner, notify ? end : 0);
        return;
    }
    notify->on_barrier = on_done;
    notify->barrier_owner = owner;
    say_anyway(notify, end, "BARRIER=1");
}

/* ---- life */

static void on_retry(evutil_socket_t fd, short what, void *notify)
{
    LOOP_EVENT("notify: retry");

    flush(notify);
}

int notify_attach(struct notify *notify, struct event_base *base)
{
    if (!notify)
        return 0;
    notify->retry = evtimer_new(base, on_retry, notify);
    if (!notify->retry)
        return -ENOMEM;
    flush(notify);
    return 0;
}

/* Checks that the address can be reached. A path is then looked up for each message, so that a
 * manager that has made its socket anew has the next one. An abstract name is connected: Landlock
 * keeps a confined process from all others. */
static int reach(int fd, const struct sockaddr_un *to, socklen_t size)
{
    static const struct sockaddr none = { .sa_family = AF_UNSPEC };

    if (connect(fd, (const struct sockaddr *) to, size) < 0)
        return -errno;
    return to->sun_path[0] && connect(fd, &none, sizeof none) < 0 ? -errno : 0;
}

int notify_new(const char *address, struct notify **ret_notify)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };

    *ret_notify = NULL;
    if (!address)
        return 0;
    size_t length = strlen(address);
    if ((address[0] != '/' && address[0] != '@') || length < 2 || length >= sizeof to.sun_path)
        return -EINVAL;
    memcpy(to.sun_path, address, length);
    if (address[0] == '@')
        to.sun_path[0] = '\0'; /* an abstract name ends with its length */
    _cleanup_fd_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    socklen_t size =
        (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length + (address[0] == '/'));
    int r = reach(fd, &to, size);
    if (r < 0)
        return r;
    struct notify *notify = calloc(1, sizeof *notify);
    if (!notify)
        return -ENOMEM;
    notify->fd = TAKE_FD(fd);
    notify->to = to;
    notify->to_size = to.sun_path[0] ? size : 0;
    notify->barrier_fd = -1;
    TAILQ_INIT(&notify->waiting);
    *ret_notify = notify;
    return 0;
}

void notify_end(struct notify *notify)
{
    struct notify_message *message;

    if (is_over(notify))
        return;
    flush(notify);
    while ((message = TAILQ_FIRST(&notify->waiting))) {
        TAILQ_REMOVE(&notify->waiting, message, entry);
        message_free(message);
    }
    notify_cancel_barrier(notify);
    if (notify->retry)
        event_free(TAKE_PTR(notify->retry));
    (void) close(TAKE_FD(notify->fd));
}

struct notify *notify_free(struct notify *notify)
{
    notify_end(notify);
    free(notify);
    return NULL;
}
