/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/helpers/ends.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/io.h"
#include "common/loop_watch.h"

#define FIRST_FD 3
#define REAP_AGAIN_US 50000
#define FREE_TIMEOUT_MS 2000

struct end {
    TAILQ_ENTRY(end) entry;
    struct ends *ends; /* borrowed */
    unsigned slot;
    pid_t pid;
    int pidfd;
    struct event *event;
};

struct ends {
    struct event_base *base; /* borrowed */
    TAILQ_HEAD(, end) list;
    ends_fn on_end;
    void *owner; /* borrowed */
};

static void end_free(struct end *end)
{
    TAILQ_REMOVE(&end->ends->list, end, entry);
    if (end->event)
        event_free(end->event);
    (void) close(end->pidfd);
    free(end);
}

static uint64_t cpu_ns_of(const struct rusage *usage)
{
    const struct timeval *user = &usage->ru_utime, *system = &usage->ru_stime;

    return (uint64_t) (user->tv_sec + system->tv_sec) * NSEC_PER_SEC +
           (uint64_t) (user->tv_usec + system->tv_usec) * NSEC_PER_USEC;
}

/* Reaps a worker that has ended. While a debugger traces the process, it cannot be reaped: the end is
 * reported when it can. */
static void on_ended(struct end *end)
{
    static const struct timeval later = { .tv_usec = REAP_AGAIN_US };
    const struct ends *ends = end->ends;
    const unsigned slot = end->slot;
    struct rusage usage = { 0 };
    int wait_status = 0;
    pid_t pid;

    do
        pid = wait4(end->pid, &wait_status, WNOHANG, &usage);
    while (pid < 0 && errno == EINTR);
    if (pid == 0) {
        (void) event_del(end->event);
        (void) event_assign(end->event, ends->base, -1, 0, event_get_callback(end->event), end);
        (void) event_add(end->event, &later);
        return;
    }
    pid = end->pid;
    end_free(end);
    ends->on_end(ends->owner, slot, pid, wait_status, cpu_ns_of(&usage));
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    LOOP_EVENT("spawner: end of a worker");

    on_ended(arg);
}

int ends_add(struct ends *ends, unsigned slot, pid_t pid, int pidfd)
{
    struct end *end = calloc(1, sizeof *end);

    if (!end)
        return -ENOMEM;
    end->ends = ends;
    end->slot = slot;
    end->pid = pid;
    end->pidfd = fcntl(pidfd, F_DUPFD_CLOEXEC, FIRST_FD);
    if (end->pidfd < 0) {
        int r = -errno;
        free(end);
        return r;
    }
    TAILQ_INSERT_TAIL(&ends->list, end, entry);
    end->event = event_new(ends->base, end->pidfd, EV_READ, on_event, end);
    if (!end->event || event_add(end->event, NULL) < 0) {
        end_free(end);
        return -ENOMEM;
    }
    return 0;
}

static bool has(const struct ends *ends, pid_t pid)
{
    const struct end *end;

    TAILQ_FOREACH (end, &ends->list, entry)
        if (end->pid == pid)
            return true;
    return false;
}

void ends_sweep(const struct ends *ends)
{
    siginfo_t info;

    do
        info.si_pid = 0;
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0 &&
           !has(ends, info.si_pid) && waitpid(info.si_pid, NULL, WNOHANG) > 0);
}

struct ends *ends_new(struct event_base *base, ends_fn on_end, void *owner)
{
    struct ends *ends = calloc(1, sizeof *ends);

    if (!ends)
        return NULL;
    ends->base = base;
    ends->on_end = on_end;
    ends->owner = owner;
    TAILQ_INIT(&ends->list);
    return ends;
}

struct ends *ends_free(struct ends *ends)
{
    const uint64_t until = io_now_ns() + FREE_TIMEOUT_MS * NSEC_PER_MSEC;
    struct end *end;

    if (!ends)
        return NULL;
    TAILQ_FOREACH (end, &ends->list, entry)
        (void) pidfd_send_signal(end->pidfd, SIGKILL, NULL, 0);
    while ((end = TAILQ_FIRST(&ends->list))) {
        struct pollfd wait = { .fd = end->pidfd, .events = POLLIN };
        uint64_t now = io_now_ns();
        while (now < until && poll(&wait, 1, (int) ((until - now) / NSEC_PER_MSEC) + 1) < 0 &&
               errno == EINTR)
            now = io_now_ns();
        (void) waitpid(end->pid, NULL, WNOHANG);
        end_free(end);
    }
    free(ends);
    return NULL;
}
