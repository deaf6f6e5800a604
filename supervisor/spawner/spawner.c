/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of the spawner: forks it, sends it jobs, hands its answers to the
 * loop. Supervisor process, main thread. The other side is child.c.
 */
#include "supervisor/spawner/spawner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "supervisor/spawner/internal.h"

#define FREE_TIMEOUT_MS 2000
#define PROBE_TIMEOUT_MS 60000 /* some tries of 10 s each, on a host that hardly moves */

struct spawner {
    pid_t pid;
    int pidfd;
    int socket_fd;
    struct event *event;
    const struct spawner_ops *ops; /* borrowed: from the caller of spawner_attach */
    void *owner;                   /* borrowed: same */
    bool gone;
};

static const char *const step_names[SPAWNER_STEPS] = {
    [SPAWNER_STEP_FORK] = "fork",
    [SPAWNER_STEP_USER_NAMESPACE] = "user namespace",
    [SPAWNER_STEP_NAMESPACES] = "pid, net, mount, ipc, uts and cgroup namespaces",
    [SPAWNER_STEP_CGROUP_NAMESPACE] = "cgroup namespace",
    [SPAWNER_STEP_CGROUP] = "cgroup of the worker",
    [SPAWNER_STEP_ID_MAP] = "uid and gid map of the user namespace",
    [SPAWNER_STEP_IDS] = "change to the worker's uid",
    [SPAWNER_STEP_PARENT_DEATH] = "parent death signal",
    [SPAWNER_STEP_DESCRIPTORS] = "file descriptors",
    [SPAWNER_STEP_EXEC] = "exec of the worker program",
    [SPAWNER_STEP_TIMEOUT] = "wait for the exec of the worker program",
    [SPAWNER_STEP_REQUEST] = "request",
    [SPAWNER_STEP_JAIL] = "jail",
};

const char *spawner_hint(int error, const char *step)
{
    if (!step)
        return NULL;
    if (strcmp(step, step_names[SPAWNER_STEP_USER_NAMESPACE]) == 0)
        return error == -ENOSPC || error == -EUSERS ? "raise the sysctl user.max_user_namespaces"
                                                    : layer_table[LAYER_USER].hint;
    if (strcmp(step, step_names[SPAWNER_STEP_NAMESPACES]) == 0 ||
        strcmp(step, step_names[SPAWNER_STEP_CGROUP_NAMESPACE]) == 0)
        return layer_table[LAYER_CGROUP].hint;
    if (strcmp(step, step_names[SPAWNER_STEP_CGROUP]) == 0)
        return "skepd's cgroup and those below are its own to change (Delegate=): look for another "
               "program that moves processes, removes cgroups or changes their owner";
    if (strcmp(step, step_names[SPAWNER_STEP_EXEC]) == 0 && error == -EACCES)
        return "the worker's program file must be readable and executable for every user, and "
               "not on a file system mounted noexec";
    if (strcmp(step, step_names[SPAWNER_STEP_FORK]) == 0 && error == -EAGAIN)
        return "raise TasksMax= of the unit, or the limit on processes";
    return NULL;
}

/* In the child, never returns. */
static int fork_spawner(int our_socket, const struct spawner_descriptors *theirs,
                        const struct origin *origin, pid_t *ret_pid, int *ret_pidfd)
{
    pid_t supervisor = getpid();
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid == 0) {
        (void) close(our_socket);
        spawner_child_run(theirs, supervisor, origin);
    }
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0) {
        int r = -errno;
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
        return r;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}

int spawner_start(const struct spawner_options *options, struct spawner **ret_spawner)
{
    _cleanup_fd_ int worker_fd = open(options->worker_path, O_PATH | O_CLOEXEC);
    _cleanup_fd_ int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int pair[2];

    if (worker_fd < 0 || null_fd < 0)
        return -errno;
    if (faccessat(AT_FDCWD, options->worker_path, X_OK, AT_EACCESS) < 0)
        return -errno;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    _cleanup_fd_ int ours = pair[0];
    _cleanup_fd_ int theirs = pair[1];
    _cleanup_free_ struct spawner *spawner = calloc(1, sizeof *spawner);
    if (!spawner)
        return -ENOMEM;

    const struct spawner_descriptors descriptors = { theirs, worker_fd, null_fd };
    int r = io_set_nonblocking(ours);
    if (r == 0)
        r = fork_spawner(ours, &descriptors, options->origin, &spawner->pid, &spawner->pidfd);
    if (r < 0)
        return r;
    spawner->socket_fd = TAKE_FD(ours);
    *ret_spawner = TAKE_PTR(spawner);
    return 0;
}

static int send_request(const struct spawner *spawner, const struct spawner_request *request,
                        const int *fds, size_t n_fds)
{
    const size_t fds_size = n_fds * sizeof fds[0];
    struct iovec iov = { .iov_base = (void *) (uintptr_t) request, .iov_len = sizeof *request };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int[SPAWNER_REQUEST_FDS]))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (request->slot >= SPAWNER_MAX_SLOTS)
        return -EINVAL;
    if (spawner->gone)
        return -EPIPE;
    if (n_fds > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fds_size);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds_size);
        memcpy(CMSG_DATA(header), fds, fds_size);
    }
    if (sendmsg(spawner->socket_fd, &message, MSG_NOSIGNAL) < 0)
        return -errno;
    return 0;
}

int spawner_spawn(struct spawner *spawner, const struct spawner_job *job)
{
    const struct spawner_request request = {
        .kind = SPAWNER_SPAWN,
        .slot = job->slot,
        .jit = job->jit,
        .has_cgroup = job->cgroup_fd > 0,
        .layers = job->layers,
    };
    const int fds[SPAWNER_SPAWN_FDS] = { job->channel_fd, job->scoreboard_fd, job->cgroup_fd };

    return send_request(spawner, &request, fds, request.has_cgroup ? 3 : 2);
}

int spawner_upgrade(struct spawner *spawner, const struct spawner_upgrade_job *job)
{
    struct spawner_request request = {
        .kind = SPAWNER_UPGRADE,
        .n_sockets = (uint32_t) job->n_sockets,
    };
    int fds[SPAWNER_REQUEST_FDS] = { job->handover_fd };

    assert(job->n_sockets <= SOCKETS_MAX);
    for (size_t i = 0; i < job->n_sockets; i++) {
        fds[1 + i] = job->socket_fds[i];
        request.socket_kinds[i] = (uint8_t) job->socket_kinds[i];
    }
    return send_request(spawner, &request, fds, 1 + job->n_sockets);
}

int spawner_look(struct spawner *spawner, unsigned slot, pid_t pid, bool with_maps)
{
    const struct spawner_request request = {
        .kind = SPAWNER_LOOK,
        .slot = slot,
        .pid = pid,
        .with_maps = with_maps,
    };

    return send_request(spawner, &request, NULL, 0);
}

/* What follows the answer itself, by its kind. */
union answer_body {
    struct jail_facts facts;
    struct jail_probe probe;
};

static size_t body_size_of(uint32_t kind)
{
    return kind == SPAWNER_FACTS    ? sizeof(struct jail_facts)
           : kind == SPAWNER_PROBED ? sizeof(struct jail_probe)
                                    : 0;
}

/* One answer and its descriptors; those that are not there are -1. 0, -EAGAIN, -EPIPE at the end, or
 * another -errno. */
static int receive_answer(int socket_fd, struct spawner_answer *ret_answer,
                          union answer_body *ret_body, int ret_fds[static SPAWNER_RESULT_FDS])
{
    struct iovec iov[] = {
        { .iov_base = ret_answer, .iov_len = sizeof *ret_answer },
        { .iov_base = ret_body, .iov_len = sizeof *ret_body },
    };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int[SPAWNER_RESULT_FDS]))];
    } control = { 0 };
    struct msghdr message = {
        .msg_iov = iov,
        .msg_iovlen = ARRAY_LEN(iov),
        .msg_control = &control,
        .msg_controllen = sizeof control.bytes,
    };

    ssize_t n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
    for (size_t i = 0; i < SPAWNER_RESULT_FDS; i++)
        ret_fds[i] = -1;
    if (n < 0)
        return -errno;
    if (n == 0)
        return -EPIPE;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
    if (n < (ssize_t) sizeof *ret_answer ||
        (size_t) n != sizeof *ret_answer + body_size_of(ret_answer->kind))
        return -EPROTO;
    return 0;
}

static const char *step_name(const struct spawner_answer *answer)
{
    return step_names[answer->step < SPAWNER_STEPS ? answer->step : SPAWNER_STEP_REQUEST];
}

static void close_fds(const int fds[static SPAWNER_RESULT_FDS])
{
    for (size_t i = 0; i < SPAWNER_RESULT_FDS; i++)
        if (fds[i] >= 0)
            (void) close(fds[i]);
}

static void deliver_result(const struct spawner *spawner, const struct spawner_answer *answer,
                           const int fds[static SPAWNER_RESULT_FDS])
{
    const struct spawner_worker worker = {
        .pid = answer->pid,
        .pidfd = fds[0],
        .stat_fd = fds[1],
        .statm_fd = fds[2],
    };
    const char *step = step_name(answer);
    int error = answer->error;

    if (error == 0 && fds[SPAWNER_RESULT_FDS - 1] < 0) {
        /* The kernel drops the descriptors that we have no room for, from the last one on, and says
         * nothing. */
        error = -EMFILE;
        (void) kill(answer->pid, SIGKILL);
        step = step_names[SPAWNER_STEP_DESCRIPTORS];
    }
    if (error < 0)
        close_fds(fds);
    spawner->ops->on_result(spawner->owner, answer->slot, error, step, error == 0 ? &worker : NULL);
}

static void deliver(const struct spawner *spawner, const struct spawner_answer *answer,
                    const union answer_body *body, const int fds[static SPAWNER_RESULT_FDS])
{
    switch ((enum spawner_answer_kind) answer->kind) {
    case SPAWNER_RESULT:
        deliver_result(spawner, answer, fds);
        break;
    case SPAWNER_EXITED:
        spawner->ops->on_exited(spawner->owner, answer->slot, answer->pid, answer->wait_status);
        break;
    case SPAWNER_FACTS:
        spawner->ops->on_facts(spawner->owner, answer->slot, answer->pid, answer->error,
                               answer->error == 0 ? &body->facts : NULL);
        break;
    case SPAWNER_SUCCESSOR:
        spawner->ops->on_successor(spawner->owner, answer->error, answer->pid, fds[0]);
        break;
    case SPAWNER_SUCCESSOR_EXITED:
        spawner->ops->on_successor_exited(spawner->owner, answer->pid, answer->wait_status);
        break;
    case SPAWNER_PROBED:
        break; /* spawner_probe has waited for it */
    }
}

int spawner_probe(struct spawner *spawner, const struct spawner_probe_job *job,
                  struct jail_probe *ret_probe, char *text, size_t size)
{
    const struct spawner_request request = {
        .kind = SPAWNER_PROBE,
        .jit = job->jit,
        .layers = job->layers,
        .is_last = job->is_last,
    };
    struct pollfd wait = { .fd = spawner->socket_fd, .events = POLLIN };
    struct spawner_answer answer = { 0 };
    union answer_body body;
    int fds[SPAWNER_RESULT_FDS];

    (void) snprintf(text, size, "the spawner does not answer");
    int r = send_request(spawner, &request, NULL, 0);
    if (r < 0)
        return r;
    do
        r = poll(&wait, 1, PROBE_TIMEOUT_MS);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        return r < 0 ? -errno : -ETIMEDOUT;
    r = receive_answer(spawner->socket_fd, &answer, &body, fds);
    close_fds(fds); /* there are none */
    if (r == 0 && answer.kind != SPAWNER_PROBED)
        r = -EPROTO;
    if (r < 0)
        return r;
    answer.text[sizeof answer.text - 1] = '\0';
    (void) snprintf(text, size, "%s%s%s", answer.error < 0 ? step_name(&answer) : "",
                    answer.text[0] ? ": " : "", answer.text);
    if (answer.error == 0)
        *ret_probe = body.probe;
    return answer.error;
}

/* One message for each call: the event is level-triggered, and after a callback the spawner may
 * be freed. */
static void on_readable(struct spawner *spawner)
{
    struct spawner_answer answer = { 0 };
    union answer_body body;
    int fds[SPAWNER_RESULT_FDS];
    int r = receive_answer(spawner->socket_fd, &answer, &body, fds);

    if (r == -EAGAIN || r == -EINTR)
        return;
    if (r == 0) {
        deliver(spawner, &answer, &body, fds);
        return;
    }
    close_fds(fds);
    spawner->gone = true;
    (void) event_del(spawner->event);
    spawner->ops->on_gone(spawner->owner);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    on_readable(arg);
}

int spawner_attach(struct spawner *spawner, struct event_base *base, const struct spawner_ops *ops,
                   void *owner)
{
    assert(!spawner->event);
    struct event *event =
        event_new(base, spawner->socket_fd, EV_READ | EV_PERSIST, on_event, spawner);

    if (!event)
        return -ENOMEM;
    if (event_add(event, NULL) < 0) {
        event_free(event);
        return -ENOMEM;
    }
    spawner->event = event;
    spawner->ops = ops;
    spawner->owner = owner;
    return 0;
}

pid_t spawner_pid(const struct spawner *spawner)
{
    return spawner->pid;
}

struct spawner *spawner_free(struct spawner *spawner)
{
    if (!spawner)
        return NULL;
    if (spawner->event)
        event_free(spawner->event);
    (void) close(spawner->socket_fd);

    struct pollfd end = { .fd = spawner->pidfd, .events = POLLIN };
    int r;
    do
        r = poll(&end, 1, FREE_TIMEOUT_MS);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        (void) pidfd_send_signal(spawner->pidfd, SIGKILL, NULL, 0);
    while (waitpid(spawner->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    (void) close(spawner->pidfd);
    free(spawner);
    return NULL;
}
