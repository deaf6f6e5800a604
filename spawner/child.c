/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spawner process: takes jobs from its socket, starts workers, looks at their jails. Workers
 * are children of the supervisor (CLONE_PARENT), which reaps them, and die with it, not with the
 * spawner. The spawner has only that socket and keeps only the privileges that a birth needs. The
 * spawner trusts the supervisor, and reads nothing from workers. Single-threaded. The first spawner
 * is a fork of skepd, each later one of the spawner before it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"
#include "common/process.h"
#include "common/rss.h"
#include "helper/journal.h"
#include "spawner/wire.h"

/* Numbers of the spawner's own descriptors: these three, then two for each helper. Descriptors that
 * are received and opened later have higher numbers. */
enum { SOCKET_FD = 3, PROGRAM_FD = 4, NULL_FD = 5, HELPER_FDS = 6 };

#define OWN_FDS (HELPER_FDS - SOCKET_FD + 2 * SPAWNER_HELPERS_MAX)
#define SPARE_FD 64 /* above all of these */

#define REAP_AGAIN_MS 50

/* polls[0] is the socket, polls[1] the pidfd of the successor, which is owned. */
struct spawner_child {
    const struct spawner_start *start; /* borrowed */
    bool high_ids;
    bool has_started; /* at least one worker */
    layer_set floor;  /* layers that every worker has */
    pid_t successor;  /* 0: no successor is being started */
    struct pollfd polls[2];
};

/* ---- setting up */

/* Moves the descriptors to their numbers, and notes those of the helpers in start. */
static int place_descriptors(struct spawner_start *start)
{
    int *wanted[OWN_FDS] = { &start->socket, &start->worker, &start->null };
    unsigned n = HELPER_FDS - SOCKET_FD;

    for (unsigned i = 0; i < start->n_helpers; i++) {
        wanted[n++] = &start->helpers[i].program_fd;
        wanted[n++] = &start->helpers[i].folder_fd;
    }
    for (unsigned i = 0; i < n; i++)
        if (*wanted[i] >= 0 && (*wanted[i] = fcntl(*wanted[i], F_DUPFD_CLOEXEC, SPARE_FD)) < 0)
            return -errno;
    for (unsigned i = 0; i < n; i++) {
        int fd = SOCKET_FD + (int) i;
        if (*wanted[i] < 0)
            (void) close(fd);
        else if (dup3(*wanted[i], fd, O_CLOEXEC) < 0)
            return -errno;
        else
            *wanted[i] = fd;
    }
    return close_range((unsigned) SOCKET_FD + n, ~0U, 0) < 0 ? -errno : 0;
}

/* Ignores signals of the terminal, which go to the whole group: the supervisor decides what they
 * mean. */
static void set_signals(void)
{
    static const int ignored[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2 };
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    const struct sigaction standard = { .sa_handler = SIG_DFL };
    sigset_t none;

    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        (void) sigaction(ignored[i], &ignore, NULL);
    /* If SIGCHLD were ignored, there would be nothing to wait for. */
    (void) sigaction(SIGCHLD, &standard, NULL);
    (void) sigemptyset(&none);
    (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The capabilities that the spawner keeps. For id maps: SETUID and SETGID for ids of the workers'
 * own, SETFCAP where root has to be mapped to itself. DAC_READ_SEARCH to list the descriptors of a
 * worker with another uid. SETPCAP for the bounding set: of workers without a user namespace, and
 * of a successor. KILL and SYS_PTRACE for workers without a user namespace only, which belong to
 * nobody: without them nobody could kill them and look into them. A user without privileges has
 * none of these capabilities, and all works too. */
static const cap_value_t kept[] = {
    CAP_SETUID, CAP_SETGID, CAP_SETFCAP, CAP_DAC_READ_SEARCH, CAP_SETPCAP, CAP_KILL, CAP_SYS_PTRACE,
};
#define N_KEPT_WITH_USER_NAMESPACES 5

static int keep_capabilities(size_t n_kept)
{
    cap_t now = cap_get_proc();
    cap_t few = cap_init();
    int r = now && few ? 0 : -ENOMEM;

    for (size_t i = 0; i < n_kept && r == 0; i++) {
        cap_flag_value_t value = CAP_CLEAR;
        if (cap_get_flag(now, kept[i], CAP_PERMITTED, &value) < 0 ||
            cap_set_flag(few, CAP_PERMITTED, 1, &kept[i], value) < 0 ||
            cap_set_flag(few, CAP_EFFECTIVE, 1, &kept[i], value) < 0)
            r = -errno;
    }
    if (r == 0 && cap_set_proc(few) < 0)
        r = -errno;
    (void) cap_free(now);
    (void) cap_free(few);
    return r;
}

/* Sets the signal at the supervisor's death; called after a fork, which clears it. -ESRCH: the
 * supervisor died before that. */
static int die_with(pid_t supervisor)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    return getppid() == supervisor ? 0 : -ESRCH;
}

static int set_up(struct spawner_start *start)
{
    int r = die_with(start->supervisor);

    if (r < 0)
        return r;
    (void) prctl(PR_SET_NAME, "skep-spawner", 0, 0, 0);
    set_signals();
    if (chdir("/") < 0)
        return -errno;
    r = place_descriptors(start);
    if (r == 0)
        r = keep_capabilities(ARRAY_LEN(kept));
    if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = -errno;
    return r;
}

/* ---- messages */

/* Sends an answer. fds: n_fds of them, at most SPAWNER_RESULT_FDS. body: the struct that follows
 * the answer, for the kinds that have one; else NULL. */
static void send_answer(const struct spawner_answer *answer, const int *fds, size_t n_fds,
                        const void *body, size_t body_size)
{
    const struct iovec parts[] = {
        { .iov_base = (void *) (uintptr_t) answer, .iov_len = sizeof *answer },
        { .iov_base = (void *) (uintptr_t) body, .iov_len = body_size },
    };

    if (spawner_wire_send(SOCKET_FD, parts, fds, n_fds) < 0)
        _exit(0); /* the supervisor is gone, and its workers with it */
}

/* Receives a request and its descriptors. 0; -EPIPE at the end; -EPROTO if the message is no
 * request. */
static int receive_request(struct spawner_request *ret_request,
                           int ret_fds[static SPAWNER_REQUEST_FDS])
{
    const struct iovec parts[] = { { ret_request, sizeof *ret_request }, { NULL, 0 } };

    ssize_t n = spawner_wire_receive(SOCKET_FD, parts, ret_fds, SPAWNER_REQUEST_FDS);
    if (n < 0)
        return -EPIPE;
    return n == (ssize_t) sizeof *ret_request && ret_request->slot < SPAWNER_MAX_SLOTS ? 0
                                                                                       : -EPROTO;
}

/* Starts a worker and opens the files that let the supervisor see its state. 0 or -errno: then the
 * worker has ended, if *ret_pid is not -1, and is the supervisor's to reap. */
static int start_worker(const struct spawner_birth *birth, pid_t *ret_pid,
                        int ret_fds[static SPAWNER_RESULT_FDS], enum spawner_step *ret_step)
{
    _cleanup_fd_ int pidfd = -1, stat_fd = -1, statm_fd = -1;

    int r = spawner_exec(birth, ret_pid, &pidfd, ret_step);
    if (r < 0)
        return r;
    r = process_open(*ret_pid, &stat_fd);
    if (r == 0)
        r = rss_open(*ret_pid, &statm_fd);
    if (r < 0) {
        *ret_step = SPAWNER_STEP_DESCRIPTORS;
        spawner_end_birth(birth, *ret_pid, pidfd);
        return r;
    }
    ret_fds[0] = TAKE_FD(pidfd);
    ret_fds[1] = TAKE_FD(stat_fd);
    ret_fds[2] = TAKE_FD(statm_fd);
    return 0;
}

static void on_spawn(struct spawner_child *child, const struct spawner_request *request,
                     const int fds[static SPAWNER_REQUEST_FDS])
{
    struct spawner_answer answer = {
        .kind = SPAWNER_RESULT,
        .slot = request->slot,
        .step = SPAWNER_STEP_REQUEST,
    };
    enum spawner_step step = SPAWNER_STEP_REQUEST;
    int result_fds[SPAWNER_RESULT_FDS];
    pid_t pid = -1;
    int r = 0;

    if (fds[0] < 0 || fds[1] < 0 || (fds[2] >= 0) != (request->has_cgroup != 0))
        r = -EPROTO;
    if ((request->layers & child->floor) != child->floor)
        r = -EPERM;
    if (r == 0) {
        const struct spawner_birth birth = {
            .slot = request->slot,
            .jit = request->jit < JIT_MODES ? (enum jit_mode) request->jit : JIT_OFF,
            .layers = request->layers & LAYERS_ALL,
            .high_ids = child->high_ids,
            .channel_fd = fds[0],
            .second_fd = fds[1],
            .cgroup_fd = fds[2],
            .program_fd = PROGRAM_FD,
            .null_fd = NULL_FD,
        };
        r = start_worker(&birth, &pid, result_fds, &step);
    }
    answer.error = r;
    answer.step = step;
    answer.pid = pid;
    child->has_started = child->has_started || r == 0;
    send_answer(&answer, result_fds, r == 0 ? SPAWNER_RESULT_FDS : 0, NULL, 0);
    for (size_t i = 0; r == 0 && i < SPAWNER_RESULT_FDS; i++)
        (void) close(result_fds[i]);
}

/* Looks at a child of the supervisor, and at no other process, so that the spawner is no oracle
 * about those. The worker may have been started by the spawner before this one. */
static int look(const struct spawner_child *child, const struct spawner_request *request,
                struct jail_facts *ret_facts)
{
    _cleanup_fd_ int pidfd = pidfd_open(request->pid, 0);
    pid_t parent = -1;

    if (pidfd < 0)
        return -ESRCH;
    int r = process_parent(request->pid, &parent);
    if (r < 0 || parent != child->start->supervisor)
        return -ESRCH;
    return facts_collect(request->pid, pidfd, request->with_maps != 0, ret_facts);
}

static void on_look(const struct spawner_child *child, const struct spawner_request *request)
{
    struct spawner_answer answer = {
        .kind = SPAWNER_FACTS,
        .slot = request->slot,
        .pid = request->pid,
    };
    struct jail_facts facts = { 0 };

    answer.error = look(child, request, &facts);
    send_answer(&answer, NULL, 0, &facts, sizeof facts);
}

static void on_probe(struct spawner_child *child, const struct spawner_request *request)
{
    static struct jail_probe probe;
    struct spawner_answer answer = { .kind = SPAWNER_PROBED };
    enum spawner_step step = SPAWNER_STEP_NONE;
    const struct spawner_birth birth = {
        .jit = request->jit < JIT_MODES ? (enum jit_mode) request->jit : JIT_OFF,
        .layers = request->layers & LAYERS_ALL,
        .high_ids = child->high_ids,
        .program_fd = PROGRAM_FD,
        .null_fd = NULL_FD,
    };

    /* A probe takes long, and no worker's end would be seen meanwhile: at the start only. */
    answer.error =
        child->has_started ? -EBUSY : spawner_probe_run(&birth, &probe, &step, answer.text);
    answer.step = step;
    if (answer.error == 0 && (probe.layers & LAYER_BIT(LAYER_USER)))
        answer.error = keep_capabilities(N_KEPT_WITH_USER_NAMESPACES);
    if (answer.error == 0 && request->is_last)
        child->floor = probe.layers;
    send_answer(&answer, NULL, 0, &probe, sizeof probe);
}

static bool is_upgrade(const struct spawner_request *request,
                       const int fds[static SPAWNER_REQUEST_FDS])
{
    size_t n = 0;

    if (request->n_sockets > SOCKETS_MAX)
        return false;
    while (n < SPAWNER_REQUEST_FDS && fds[n] >= 0)
        n++;
    for (size_t i = 0; i < request->n_sockets; i++)
        if (request->socket_kinds[i] >= SOCKET_KINDS)
            return false;
    return n == 1 + request->n_sockets;
}

static void on_upgrade(struct spawner_child *child, const struct spawner_request *request,
                       const int fds[static SPAWNER_REQUEST_FDS])
{
    struct spawner_answer answer = { .kind = SPAWNER_SUCCESSOR };
    pid_t pid = -1;
    int pidfd = -1, r = 0;

    if (!is_upgrade(request, fds))
        r = -EPROTO;
    else if (!child->start->origin)
        r = -EOPNOTSUPP;
    else if (child->successor > 0)
        r = -EBUSY;
    if (r == 0)
        r = spawner_start_successor(child->start->origin, fds, request, &pid, &pidfd);
    if (r == 0) {
        child->successor = pid;
        child->polls[1] = (struct pollfd){ .fd = pidfd, .events = POLLIN };
    }
    answer.error = r;
    answer.pid = pid;
    send_answer(&answer, &pidfd, r == 0 ? 1 : 0, NULL, 0);
}

static void close_fds(const int fds[static SPAWNER_RESULT_FDS])
{
    for (size_t i = 0; i < SPAWNER_RESULT_FDS; i++)
        fd_cleanup(&fds[i]);
}

static size_t count_fds(const int fds[static SPAWNER_RESULT_FDS])
{
    size_t n = 0;

    while (n < SPAWNER_RESULT_FDS && fds[n] >= 0)
        n++;
    return n;
}

static void on_helper(const struct spawner_child *child, const struct spawner_request *request)
{
    struct spawner_answer answer = { .kind = SPAWNER_STARTED, .slot = request->slot };
    enum spawner_step step = SPAWNER_STEP_REQUEST;
    int fds[SPAWNER_RESULT_FDS] = { -1, -1, -1 };
    pid_t pid = 0;

    answer.error = request->slot >= child->start->n_helpers
                       ? -EPROTO
                       : spawner_run_helper(&child->start->helpers[request->slot], request->word,
                                            NULL_FD, child->floor, fds, &pid, &step);
    answer.step = step;
    answer.pid = pid;
    send_answer(&answer, fds, answer.error == 0 ? count_fds(fds) : 0, NULL, 0);
    close_fds(fds);
}

/* Makes this process the reserve: a copy of the spawner with a socket of its own, and without the
 * successor, which is not its child. */
static void become_reserve(struct spawner_child *child, int socket_fd)
{
    if (die_with(child->start->supervisor) < 0 || dup3(socket_fd, SOCKET_FD, O_CLOEXEC) < 0)
        _exit(1);
    fd_cleanup(&child->polls[1].fd);
    child->polls[1].fd = -1;
    child->successor = 0;
}

static int fork_reserve(struct spawner_child *child, int ret_fds[static SPAWNER_RESULT_FDS],
                        pid_t *ret_pid)
{
    int pair[2], pidfd = -1;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    _cleanup_fd_ int ours = pair[0], theirs = pair[1];
    int r = io_set_nonblocking(ours); /* a confined supervisor cannot */
    if (r < 0)
        return r;
    *ret_pid = spawner_fork_sibling(&pidfd);
    if (*ret_pid < 0)
        return -errno;
    if (*ret_pid == 0) {
        become_reserve(child, theirs);
        return 0;
    }
    ret_fds[0] = TAKE_FD(ours);
    ret_fds[1] = pidfd;
    return process_open(*ret_pid, &ret_fds[2]);
}

/* Makes a reserve. Returns twice, as a fork does. */
static void on_reserve(struct spawner_child *child)
{
    struct spawner_answer answer = { .kind = SPAWNER_RESERVED };
    int fds[SPAWNER_RESULT_FDS] = { -1, -1, -1 };
    pid_t pid = -1;

    int r = fork_reserve(child, fds, &pid);
    if (pid == 0)
        return;
    answer.error = r;
    answer.step = SPAWNER_STEP_FORK;
    answer.pid = pid;
    /* If the answer is lost, the reserve's socket closes and the reserve ends by itself. */
    send_answer(&answer, fds, r == 0 ? SPAWNER_RESULT_FDS : 0, NULL, 0);
    close_fds(fds);
}

static void close_all(int fds[static SPAWNER_REQUEST_FDS])
{
    for (size_t i = 0; i < SPAWNER_REQUEST_FDS; i++)
        fd_cleanup(&fds[i]);
}

static void on_request(struct spawner_child *child)
{
    struct spawner_request request = { 0 };
    int fds[SPAWNER_REQUEST_FDS];

    int r = receive_request(&request, fds);
    if (r < 0)
        _exit(0); /* the supervisor is gone, or is not what it was */
    switch ((enum spawner_request_kind) request.kind) {
    case SPAWNER_SPAWN:
        on_spawn(child, &request, fds);
        break;
    case SPAWNER_LOOK:
        on_look(child, &request);
        break;
    case SPAWNER_PROBE:
        on_probe(child, &request);
        break;
    case SPAWNER_UPGRADE:
        on_upgrade(child, &request, fds);
        break;
    case SPAWNER_HELPER:
        on_helper(child, &request);
        break;
    case SPAWNER_RESERVE:
        on_reserve(child);
        break;
    }
    close_all(fds);
}

/* Reaps the successor, whose pidfd says that it has ended. While a debugger traces the successor,
 * it cannot be reaped: jobs do not wait for that. */
static void on_successor_ended(struct spawner_child *child)
{
    struct spawner_answer answer = { .kind = SPAWNER_SUCCESSOR_EXITED, .pid = child->successor };
    pid_t pid;

    do
        pid = waitpid(child->successor, &answer.wait_status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    child->polls[1].events = 0; /* or poll(2) would report the end again and again */
    if (pid == 0)
        return;
    (void) close(child->polls[1].fd);
    child->polls[1].fd = -1; /* poll(2) ignores it */
    child->successor = 0;
    send_answer(&answer, NULL, 0, NULL, 0);
}

static void turn(struct spawner_child *child)
{
    bool is_unreaped = child->successor > 0 && child->polls[1].events == 0;

    if (poll(child->polls, ARRAY_LEN(child->polls), is_unreaped ? REAP_AGAIN_MS : -1) < 0)
        return; /* EINTR or ENOMEM: try again */
    if (child->successor > 0 && (child->polls[1].revents || is_unreaped))
        on_successor_ended(child);
    if (child->polls[0].revents)
        on_request(child);
}

_Noreturn void spawner_child_run(struct spawner_start *start)
{
    struct spawner_child child = {
        .start = start,
        .polls = { { .fd = SOCKET_FD, .events = POLLIN }, { .fd = -1 } },
    };

    journal_leave();
    int r = set_up(start);
    if (r < 0) {
        (void) log_error_errno(r, "the spawner cannot start");
        _exit(1);
    }
    child.high_ids = spawner_may_map_high_ids();
    for (;;)
        turn(&child);
}
